//! A host: network, mount and process namespaces of its own, held by a shell that ends when the test does. When it
//! ends, the kernel ends every process in it, so that a test that panics or is killed leaves nothing behind.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Tables and sockets of WireGuard programs live under /run: each host gets its own.
const HOLD: &str = "mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys && mkdir -m 755 /run/wireguard /run/netns \
    && ip link set lo up && echo ready && read -r _";

/// A host of the lab. Cheap to clone; the namespaces go with the last clone.
#[derive(Clone)]
pub struct Host(Arc<Namespaces>);

struct Namespaces {
    name: String,
    holder: Child,
    /// Open for as long as the host shall live.
    _leash: ChildStdin,
    /// Process 1 of the host, by its number outside.
    init: u32,
}

/// A process in a host.
#[derive(Debug, Clone)]
pub struct Process {
    /// By its number outside.
    pub pid: u32,
    /// Its command line.
    pub args: Vec<String>,
}

impl Host {
    /// Makes a host with nothing but a loopback interface.
    pub fn new(name: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "the lab makes network namespaces: run it as root");
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"])
            .args(["--", "bash", "-c", HOLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let leash = holder.stdin.take().expect("stdin is piped");
        let mut ready = String::new();
        BufReader::new(holder.stdout.take().expect("stdout is piped")).read_line(&mut ready).expect("holder speaks");
        assert_eq!(ready.trim(), "ready", "host {name} could not be made");
        let init = *children(holder.id()).first().expect("unshare --fork has a child");
        Self(Arc::new(Namespaces { name: name.to_owned(), holder, _leash: leash, init }))
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Process 1, by its number outside.
    pub fn init(&self) -> u32 {
        self.0.init
    }

    /// A command that will run in the host.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.0.init.to_string(), "-n", "-m", "-p", "--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command line to its end and answers whatever became of it.
    pub fn try_run(&self, line: &str) -> Output {
        let mut words = line.split_whitespace();
        let program = words.next().expect("a command line has a program");
        self.command(program).args(words).output().expect("nsenter starts")
    }

    /// Runs a command line that must succeed, and answers what it printed.
    pub fn run(&self, line: &str) -> String {
        let output = self.try_run(line);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {line}: {}\n{out}{err}", self.name(), output.status);
        out.into_owned()
    }

    /// Starts a program that goes on until the host ends or it is killed; what it prints goes to `log`.
    pub fn spawn(&self, mut command: Command, log: fs::File) -> Process {
        let stderr = log.try_clone().expect("a file can be duplicated");
        let mut entering = command.stdout(log).stderr(stderr).spawn().expect("nsenter starts");
        let deadline = Instant::now() + Duration::from_secs(2);
        let pid = loop {
            if let Some(pid) = children(entering.id()).first() {
                break *pid;
            }
            assert!(
                entering.try_wait().expect("a child can be waited for").is_none(),
                "{}: ended at once",
                self.name()
            );
            assert!(Instant::now() < deadline, "{}: nsenter started nothing", self.name());
            thread::sleep(Duration::from_millis(1));
        };
        // Waits for the child of nsenter, so that no zombie stays.
        thread::spawn(move || entering.wait());
        Process { pid, args: Vec::new() }
    }

    /// Runs `work` on a thread in the host's network; sockets made there stay in it.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let entered = scope.spawn(|| {
                self.enter();
                work()
            });
            entered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into the host's network.
    pub fn enter(&self) {
        let net = fs::File::open(format!("/proc/{}/ns/net", self.0.init)).expect("the host is alive");
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&net), Some(LinkNameSpaceType::Network))
            .expect("root may enter a namespace");
    }

    /// A path in the host's file system, as seen from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.0.init))
    }

    /// Every process in the host, process 1 left out.
    pub fn processes(&self) -> Vec<Process> {
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = namespace(self.0.init);
        let pids =
            fs::read_dir("/proc").expect("proc is mounted").filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid| *pid != self.0.init && ours.is_some() && namespace(*pid) == ours)
            .filter_map(|pid| Some(Process { pid, args: arguments(pid)? }))
            .collect()
    }

    /// Bytes that an interface received, as its own counter says.
    pub fn received(&self, interface: &str) -> u64 {
        let table = fs::read_to_string(format!("/proc/{}/net/dev", self.0.init)).expect("the host is alive");
        let line = table.lines().find_map(|line| line.trim().strip_prefix(&format!("{interface}:")));
        let line = line.unwrap_or_else(|| panic!("{}: no interface {interface}", self.name()));
        line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
    }
}

impl Process {
    /// Sends a signal by number; a process that has ended is none of our business.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process number");
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    /// Whether anything of it is left. A killed process with several threads may hold its files for a moment after the
    /// first of them is gone; once it is reaped, all is released.
    pub fn alive(&self) -> bool {
        fs::exists(format!("/proc/{}", self.pid)).unwrap_or(false)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // `--kill-child` takes process 1 along, and that the rest.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// Joins two hosts by a cable; each end is up.
pub fn cable(a: &Host, a_name: &str, b: &Host, b_name: &str) {
    let (a_net, b_net) = (a.init().to_string(), b.init().to_string());
    let made = Command::new("ip")
        .args(["link", "add", a_name, "netns", &a_net, "type", "veth", "peer", "name", b_name, "netns", &b_net])
        .status()
        .expect("ip starts");
    assert!(made.success(), "no cable {a_name}–{b_name}");
    a.run(&format!("ip link set {a_name} up"));
    b.run(&format!("ip link set {b_name} up"));
}

/// Asks until the answer is yes; panics with `what` when the time is over.
pub fn eventually(what: &str, within: Duration, mut yes: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !yes() {
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|n| n.parse().ok()).collect()
}

fn arguments(pid: u32) -> Option<Vec<String>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|line| !line.is_empty())?;
    Some(line.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}
