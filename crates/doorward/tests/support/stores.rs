//! Real servers that backups are uploaded to: FTP (Debian's python3-pyftpdlib) and S3 (npm's s3rver, run by node).

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// From the start to a port that listens, on a loaded machine.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A server with a folder of its own; ends with the test.
pub struct Server {
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    child: Child,
}

impl Server {
    /// An FTP server whose user `backup` has the password `s3cret % +`.
    pub fn ftp() -> Self {
        Self::ftp_at("127.0.0.1:0")
    }

    /// The same on another address.
    pub fn ftp_at(listen: &str) -> Self {
        Self::start(listen, |address, folder| {
            let mut command = Command::new("/usr/bin/python3");
            command.args(["-m", "pyftpdlib", "-w", "-u", "backup", "-P", "s3cret % +"]);
            command.args(["-i", &address.ip().to_string(), "-p", &address.port().to_string()]);
            command.arg("-d").arg(folder);
            command
        })
    }

    /// A store with the bucket `backups`; key and secret are `S3RVER`.
    pub fn s3() -> Self {
        Self::start("127.0.0.1:0", |address, folder| {
            let mut command = Command::new("node");
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/s3/server.mjs"));
            command.args([address.ip().to_string(), address.port().to_string()]).arg(folder);
            command
        })
    }

    fn start(listen: &str, command: impl FnOnce(SocketAddr, &Path) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = TcpListener::bind(listen).and_then(|free| free.local_addr()).expect("a free port");
        let mut command = command(address, folder.path());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self { address, folder, child: child.expect("make setup installs it") };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < STARTS_WITHIN, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// A file as the server keeps it.
    pub fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
