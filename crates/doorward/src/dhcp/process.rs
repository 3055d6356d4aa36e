//! The dnsmasq process: found, started and ended. It outlives the gateway, so that guests can renew their leases while
//! the gateway restarts; the next one finds it by its command line, which names its configuration by digest.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{process::Command, time::sleep};

/// Where Debian has it; elsewhere it is looked for by `PATH`.
const PROGRAM: &str = "/usr/sbin/dnsmasq";

/// Debian makes this user with the package.
const USER: &str = "dnsmasq";

/// Between looks at whether it is still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long it may take to end when it is asked to.
const END_WAIT: Duration = Duration::from_secs(3);

/// Read of its log at once, and how long the log may grow before it is emptied.
const MOST_LOG_READ: u64 = 64 << 10;
const MOST_LOG: u64 = 256 << 10;

/// What Linux calls the rights to become somebody else and to give files away (linux/capability.h).
const CAP_CHOWN: u32 = 0;
const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;
const CAP_SETPCAP: u32 = 8;

/// A folder of ours with all that is dnsmasq's.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

/// A dnsmasq of ours.
#[derive(Debug)]
pub(super) struct Process {
    pid: i32,
    descriptor: OwnedFd,
    /// The digest of the configuration that it runs.
    pub(super) digest: String,
    folder: Folder,
}

impl Folder {
    /// That of a state folder.
    pub(super) fn of(state_dir: &Path) -> Self {
        Self(state_dir.join("dhcp"))
    }

    pub(super) fn make(&self) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    pub(super) fn leases(&self) -> PathBuf {
        self.0.join("leases")
    }

    fn log(&self) -> PathBuf {
        self.0.join("dnsmasq.log")
    }

    fn config(&self, digest: &str) -> PathBuf {
        self.0.join(format!("dnsmasq-{digest}.conf"))
    }

    /// The processes that run a configuration of this folder, whoever started them.
    pub(super) fn processes(&self) -> io::Result<Vec<Process>> {
        let pids = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(pids.filter_map(|pid| self.open(pid)).collect())
    }

    /// Takes hold of a process if it is one of ours.
    fn open(&self, pid: i32) -> Option<Process> {
        // Most processes are dismissed without a descriptor; what is read after it was opened counts.
        self.digest_of(pid)?;
        let descriptor = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let digest = self.digest_of(pid)?;
        Some(Process { pid, descriptor, digest, folder: self.clone() })
    }

    /// The digest that a command line names; `None`: not one of ours, or ended.
    fn digest_of(&self, pid: i32) -> Option<String> {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok());
        let program = words.next()?;
        if Path::new(program).file_name()? != "dnsmasq" {
            return None;
        }
        let file = Path::new(words.find_map(|word| word.strip_prefix("--conf-file="))?);
        let name = file.file_name()?.to_str()?;
        let digest = name.strip_prefix("dnsmasq-")?.strip_suffix(".conf")?;
        (file.parent() == Some(&self.0)).then(|| digest.to_owned())
    }

    /// Starts dnsmasq with a configuration. It lives on when we end.
    pub(super) fn start(&self, digest: &str, config: &str) -> io::Result<Process> {
        let file = self.config(digest);
        std::fs::write(&file, config)?;
        self.remove_others(&file);
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(self.log())?;
        let mut command = Command::new(if Path::new(PROGRAM).exists() { PROGRAM } else { "dnsmasq" });
        command.arg("--keep-in-foreground").arg(format!("--conf-file={}", file.display()));
        // No file with its number: it is found by its command line, which does not lie.
        command.arg("--pid-file");
        if !may_become_another(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()) {
            // It stays who we are, with what few rights we have.
            command.args(["--user=", "--group="]);
        } else if std::fs::read_to_string("/etc/passwd").is_ok_and(|users| has_user(&users)) {
            // It keeps CAP_NET_ADMIN and CAP_NET_RAW alone. Where it has no user of its own it becomes `nobody`.
            command.arg(format!("--user={USER}"));
        }
        // Our environment may hold secrets that it has no need of.
        command
            .env_clear()
            .envs(["PATH", "LANG", "TZ"].into_iter().filter_map(|key| Some((key, std::env::var_os(key)?))));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A group of its own: what a terminal sends to ours does not reach it.
        command.current_dir("/").process_group(0).kill_on_drop(false);
        let mut child = command.spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or(io::ErrorKind::NotFound)?;
        let id = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
        let descriptor = pidfd_open(id, PidfdFlags::empty())?;
        tokio::spawn(async move {
            // Reaped here; that it ended is seen by everybody in the same way.
            drop(child.wait().await);
        });
        Ok(Process { pid, descriptor, digest: digest.to_owned(), folder: self.clone() })
    }

    /// Removes configurations that nobody runs any more.
    fn remove_others(&self, file: &Path) {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path != file && path.extension().is_some_and(|extension| extension == "conf") {
                drop(std::fs::remove_file(path));
            }
        }
    }

    /// Bytes of its log now.
    pub(super) fn log_length(&self) -> u64 {
        std::fs::metadata(self.log()).map_or(0, |log| log.len())
    }

    /// Carries what dnsmasq wrote to our log, and keeps its own short; `from` is where the last call ended. Answers
    /// where this one did.
    pub(super) fn carry_log(&self, from: u64) -> io::Result<u64> {
        let mut file = File::options().read(true).write(true).open(self.log())?;
        let length = file.metadata()?.len();
        // Shorter than it was: somebody else emptied it.
        let from = if length < from { 0 } else { from };
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        let read = (&mut file).take(MOST_LOG_READ).read_to_end(&mut text)?;
        for line in String::from_utf8_lossy(&text).lines() {
            tracing::debug!("dnsmasq: {}", line.chars().filter(|c| !c.is_control()).take(300).collect::<String>());
        }
        let at = from + u64::try_from(read).unwrap_or(0);
        if at < MOST_LOG {
            return Ok(at);
        }
        // It is opened for appending: what comes next is written at the new end.
        file.set_len(0)?;
        Ok(0)
    }

    /// The last line that dnsmasq wrote.
    pub(super) fn last_words(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(self.log())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(1_024)))?;
            let mut end = Vec::new();
            file.take(1_024).read_to_end(&mut end)?;
            Ok(end)
        };
        let text = read().unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        line.chars().filter(|c| !c.is_control()).take(300).collect()
    }
}

impl Process {
    /// Whether it serves the network that we are in. Where that cannot be told, it does.
    pub(super) fn is_in_our_network(&self) -> bool {
        let network = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/net")).ok();
        let (theirs, ours) = (network(&self.pid.to_string()), network("self"));
        theirs.is_none() || theirs == ours
    }

    /// Whether it still runs.
    pub(super) fn alive(&self) -> bool {
        self.folder.digest_of(self.pid).is_some_and(|digest| digest == self.digest)
    }

    /// Resolves when it has ended.
    pub(super) async fn ended(&self) {
        while self.alive() {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Ends it, kindly if it listens; it writes its leases before.
    ///
    /// # Errors
    /// It may not be signalled, or goes on all the same.
    pub(super) async fn end(self) -> io::Result<()> {
        for signal in [Signal::TERM, Signal::KILL] {
            match pidfd_send_signal(&self.descriptor, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
            let ended = async {
                while self.alive() {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            if tokio::time::timeout(END_WAIT, ended).await.is_ok() {
                return Ok(());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// Whether a process with this `/proc/…/status` may start one that becomes another user.
fn may_become_another(status: &str) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let root = field("Uid:").and_then(|ids| ids.split_whitespace().nth(1)) == Some("0");
    let held = field("CapBnd:").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
    root && [CAP_CHOWN, CAP_SETGID, CAP_SETUID, CAP_SETPCAP].into_iter().all(|right| held >> right & 1 == 1)
}

fn has_user(users: &str) -> bool {
    users.lines().any(|line| line.strip_prefix(USER).is_some_and(|rest| rest.starts_with(':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_become_another_is_read_from_the_process() {
        let status = |uid: u32, mask: &str| format!("Name:\tx\nUid:\t1\t{uid}\t1\t1\nCapBnd:\t{mask}\n");
        assert!(may_become_another(&status(0, "000001ffffffffff")));
        assert!(!may_become_another(&status(0, "0000000000003400")), "the unit's three rights");
        assert!(!may_become_another(&status(1000, "000001ffffffffff")));
        assert!(!may_become_another(""));
        assert!(has_user("root:x:0:0::/:/bin/sh\ndnsmasq:x:999:65534::/:/bin/false\n") && !has_user("dnsmasqx:x:"));
    }

    #[test]
    fn only_a_dnsmasq_of_this_folder_is_ours() {
        let folder = Folder(PathBuf::from("/nowhere/dhcp"));
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(folder.open(own).is_none());
        assert!(folder.open(i32::MAX).is_none());
        assert!(folder.processes().unwrap().is_empty());
    }

    #[test]
    fn a_log_is_carried_once_and_kept_short() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path().to_owned());
        std::fs::write(folder.log(), "one\ntwo\u{7}\n").unwrap();
        assert_eq!(folder.last_words(), "two");
        let at = folder.carry_log(0).unwrap();
        assert_eq!(at, 9);
        assert_eq!(folder.carry_log(at).unwrap(), 9);
        std::fs::write(folder.log(), vec![b'x'; usize::try_from(MOST_LOG).unwrap()]).unwrap();
        let mut at = at;
        for _ in 0..MOST_LOG / MOST_LOG_READ + 1 {
            at = folder.carry_log(at).unwrap();
        }
        assert_eq!((at, std::fs::metadata(folder.log()).unwrap().len()), (0, 0));
    }
}
