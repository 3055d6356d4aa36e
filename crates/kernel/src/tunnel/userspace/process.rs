//! Tunnel processes: started, watched and ended by descriptor, so that a process id that was given anew is never hit.

use std::{
    fs::{File, OpenOptions},
    future::Future,
    io,
    io::{Read as _, Seek as _, SeekFrom},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use doorward_policy::name::IfName;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{
    io::{Interest, unix::AsyncFd},
    process::Command,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    Error,
    tunnel::{SOCKET_DIR, TunnelConfig, uapi::Failure},
};

/// How long a process may take to end when it is asked to.
const END_WAIT: Duration = Duration::from_secs(3);
/// Longest wait for systemd.
const SYSTEMD_WAIT: Duration = Duration::from_secs(30);
/// How much of the end of a log is looked at.
const LAST_WORDS: u64 = 1_024;

/// A process that runs, or did.
#[derive(Debug)]
pub(super) struct Process {
    pid: i32,
    descriptor: OwnedFd,
}

/// Why a process that listens at a tunnel's socket is left alone.
#[derive(Debug, thiserror::Error)]
#[error("the process {pid} that listens there is not a tunnel of this gateway")]
pub(in crate::tunnel) struct Foreign {
    pid: i32,
}

impl Process {
    /// Takes hold of the process that listens at the socket of `name`.
    ///
    /// # Errors
    /// When it runs another program, another tunnel, or in another network (`wg`'s folder is shared by all WireGuard
    /// programs of a machine), and when it ended.
    pub(super) fn open(pid: i32, name: IfName) -> Result<Self, Failure> {
        let foreign = || Failure::Foreign(Foreign { pid });
        let id = Pid::from_raw(pid).ok_or_else(foreign)?;
        let process = Self { pid, descriptor: pidfd_open(id, PidfdFlags::NONBLOCK).map_err(|_| foreign())? };
        // The descriptor was opened first: what is read of the process is read of this one, or of none.
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).map_err(|_| foreign())?;
        let mut words = command.split(|byte| *byte == 0).skip(1);
        let is_tunnel = words.next() == Some(b"tunnel") && words.next() == Some(name.as_str().as_bytes());
        let network = |who: String| std::fs::read_link(format!("/proc/{who}/ns/net")).map_err(|_| foreign());
        if is_tunnel && network(pid.to_string())? == network("self".to_owned())? { Ok(process) } else { Err(foreign()) }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Resolves when it has ended.
    pub(super) fn ended(&self) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let descriptor = self.descriptor.try_clone()?;
        // SAFETY: an OwnedFd owns its descriptor, and nobody else has this one.
        #[expect(unsafe_code, reason = "tokio's way to wait for a descriptor leaves the proof of ownership to us")]
        let descriptor = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?;
        Ok(async move {
            // The descriptor becomes readable at the end; waiting for that does not fail while the runtime lives.
            let _ = descriptor.readable().await;
        })
    }

    /// Ends it, kindly if it listens.
    pub(super) async fn end(self, name: IfName, systemd: bool) -> Result<(), Error> {
        let failed = |e: io::Error| Error::caused(format!("cannot end the tunnel process {} of {name}", self.pid), e);
        if systemd {
            systemctl("stop", name).await?;
        }
        let ended = self.ended().map_err(failed)?;
        tokio::pin!(ended);
        for signal in [Signal::TERM, Signal::KILL] {
            match pidfd_send_signal(&self.descriptor, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(failed(error.into())),
            }
            if timeout(END_WAIT, &mut ended).await.is_ok() {
                return Ok(());
            }
        }
        Err(failed(io::ErrorKind::TimedOut.into()))
    }
}

/// What was started.
pub(super) enum Started {
    Unit,
    /// Resolves when the child has ended and been reaped.
    Child(JoinHandle<()>),
}

impl Started {
    /// Whether it has ended already.
    pub(super) fn ended(&mut self) -> bool {
        match self {
            Self::Unit => false,
            Self::Child(reaper) => reaper.is_finished(),
        }
    }
}

/// Starts the process of a tunnel. It lives on when we end.
pub(super) async fn start(name: IfName, config: &TunnelConfig, log_path: &Path) -> Result<Started, Error> {
    if config.systemd {
        // Forgets how often it was started: what ended it is not its fault. Fails for a unit that was never loaded.
        let _ = systemctl("reset-failed", name).await;
        systemctl("restart", name).await?;
        return Ok(Started::Unit);
    }
    let failed = |e: io::Error| Error::caused(format!("cannot start {} for {name}", config.program.display()), e);
    std::fs::create_dir_all(&config.socket_dir).map_err(failed)?;
    let log = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(log_path).map_err(failed)?;
    let mut command = Command::new(&config.program);
    command.args(["tunnel", name.as_str()]);
    if config.socket_dir != Path::new(SOCKET_DIR) {
        command.arg("--socket-dir").arg(&config.socket_dir);
    }
    // Our environment may hold secrets that it has no need of.
    command.env_clear();
    command.envs(["PATH", "LANG", "RUST_LOG", "TZ"].into_iter().filter_map(|key| Some((key, std::env::var_os(key)?))));
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    // A group of its own: what a terminal sends to ours does not reach it.
    command.current_dir("/").process_group(0).kill_on_drop(false);
    let mut child = command.spawn().map_err(failed)?;
    let log = log_path.to_owned();
    Ok(Started::Child(tokio::spawn(async move {
        match child.wait().await {
            Ok(status) if status.success() => tracing::info!(interface = %name, "the tunnel process ended"),
            Ok(status) => {
                let words = last_words(&log).unwrap_or_default();
                tracing::warn!(interface = %name, %status, words, "the tunnel process ended");
            }
            Err(error) => tracing::warn!(interface = %name, %error, "lost sight of the tunnel process"),
        }
    })))
}

/// The last line that a process wrote, without what could disturb a terminal or a log.
pub(super) fn last_words(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS))).ok()?;
    let mut end = Vec::new();
    file.take(LAST_WORDS).read_to_end(&mut end).ok()?;
    let text = String::from_utf8_lossy(&end);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(300).collect())
}

async fn systemctl(verb: &str, name: IfName) -> Result<(), Error> {
    let unit = format!("doorward-tunnel@{name}.service");
    let failed = format!("cannot {verb} {unit}");
    let mut command = Command::new("systemctl");
    command.args(["--no-ask-password", verb, &unit]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let output = match timeout(SYSTEMD_WAIT, command.output()).await {
        Ok(output) => output.map_err(|e| Error::caused(failed.clone(), e))?,
        Err(_) => return Err(Error::new(format!("{failed}: systemd does not answer"))),
    };
    if output.status.success() {
        return Ok(());
    }
    let words: String = String::from_utf8_lossy(&output.stderr).chars().filter(|c| !c.is_control()).take(300).collect();
    Err(Error::new(format!("{failed}: {words}")))
}
