//! The real binary in a host, started, stopped and killed.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    api::Api,
    host::{Host, Process, eventually},
};

/// Start to `OK` with a handful of accounts, built without optimisation.
const CONVERGES_WITHIN: Duration = Duration::from_secs(10);
/// A graceful stop.
const STOPS_WITHIN: Duration = Duration::from_secs(5);
/// Where the API listens without TLS, inside the gateway alone.
const API: &str = "127.0.0.1:8080";
/// Where it listens for everybody.
pub const MANAGEMENT_PORT: u16 = 8443;

/// A gateway with its files; the process may come and go.
pub struct Gateway {
    pub host: Host,
    dir: tempfile::TempDir,
    process: Option<Process>,
    hash: String,
    environment: Vec<(String, String)>,
}

impl Gateway {
    /// Makes the files and the access hash and starts the gateway. `extra` goes below `[network]`.
    pub fn start(host: &Host, extra: &str) -> Self {
        Self::start_in(host, extra, Vec::new())
    }

    /// The same with more in the gateway's environment.
    pub fn start_in(host: &Host, extra: &str, environment: Vec<(String, String)>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let config = format!(
            "state_dir = \"{}\"\n[management]\nlisten = [\"[::]:{MANAGEMENT_PORT}\"]\n\
             plain_listen = [\"{API}\"]\n[log]\nlevel = \"info\"\n[network]\n{extra}\n",
            dir.path().join("state").display()
        );
        fs::write(dir.path().join("doorward.toml"), config).expect("a file in a temporary folder");
        let mut gateway = Self { host: host.clone(), dir, process: None, hash: String::new(), environment };
        let printed = gateway.doorward("access-hash add lab 127.0.0.1");
        gateway.hash = printed.lines().last().expect("a hash is printed").trim().to_owned();
        gateway.run();
        gateway.converged(CONVERGES_WITHIN);
        gateway
    }

    /// A subcommand, run to its successful end.
    pub fn doorward(&self, words: &str) -> String {
        self.host.run(&format!("{} --config {} {words}", env!("CARGO_BIN_EXE_doorward"), self.config().display()))
    }

    /// Starts the process and does not wait.
    pub fn run(&mut self) {
        let mut command = self.host.command(env!("CARGO_BIN_EXE_doorward"));
        command.arg("--config").arg(self.config()).arg("serve");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let log = fs::File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        self.process = Some(self.host.spawn(command, log));
    }

    /// A caller of the API.
    pub fn api(&self) -> Api {
        Api::new(&self.host, API.parse().expect("an address"), &self.hash)
    }

    /// Waits until the status is `OK`.
    pub fn converged(&self, within: Duration) -> Duration {
        let mut api = self.api();
        let start = Instant::now();
        loop {
            let last = api.try_call("GET", "system/status", "").map(|a| a.msg["status"].to_string());
            if last.as_deref().is_ok_and(|s| s == "\"OK\"") {
                return start.elapsed();
            }
            assert!(start.elapsed() < within, "not OK within {within:?}, but {last:?}; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9`; what it started goes on.
    pub fn kill(&mut self) {
        let process = self.process.take().expect("the gateway was started");
        process.kill();
        eventually("a killed process is gone", STOPS_WITHIN, || !process.alive());
    }

    /// The graceful stop.
    pub fn stop(&mut self) {
        let process = self.process.take().expect("the gateway was started");
        process.signal(rustix::process::Signal::TERM);
        eventually("the gateway stops when asked", STOPS_WITHIN, || !process.alive());
    }

    /// Tunnel processes.
    pub fn tunnels(&self) -> Vec<Process> {
        let is_tunnel = |p: &Process| {
            p.args.first().is_some_and(|a| a.ends_with("doorward")) && p.args.iter().any(|a| a == "tunnel")
        };
        self.host.processes().into_iter().filter(is_tunnel).collect()
    }

    /// All that the gateway logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Length of the log, to look later at what came after.
    pub fn log_mark(&self) -> usize {
        self.log().len()
    }

    /// Where the state is.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Stops it, takes all of it out of the kernel and off the disk; the configuration file stays.
    pub fn wipe(&mut self) {
        self.stop();
        self.doorward("down");
        fs::remove_dir_all(self.state_dir()).expect("the state was there");
    }

    /// Starts it on a state that has no access hash yet.
    pub fn run_anew(&mut self) {
        let printed = self.doorward("access-hash add lab 127.0.0.1");
        self.hash = printed.lines().last().expect("a hash is printed").trim().to_owned();
        self.run();
        self.converged(CONVERGES_WITHIN);
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("doorward.toml")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("doorward.log")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- end of the gateway's log\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
            for server in 1..=2 {
                let log = fs::read_to_string(self.host.path(&format!("/run/wireguard/wg{server}.log")));
                eprintln!("--- log of tunnel wg{server}\n{}", log.unwrap_or_default());
            }
        }
    }
}
