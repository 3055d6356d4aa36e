//! Real servers that backups are uploaded to: FTP with and without TLS (Debian's python3-pyftpdlib), SFTP (OpenSSH, and for
//! passwords python3-asyncssh) and S3 (npm's s3rver, run by node).

use std::{
    fs,
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
    /// What else it needs, where nobody is let in.
    own: tempfile::TempDir,
    child: Child,
}

impl Server {
    /// An FTP server whose user `backup` has the password `s3cret % +`.
    pub fn ftp() -> Self {
        Self::ftp_at("127.0.0.1:0")
    }

    /// The same on another address.
    pub fn ftp_at(listen: &str) -> Self {
        Self::start(listen, |address, folder, _| {
            let mut command = Command::new("/usr/bin/python3");
            command.args(["-m", "pyftpdlib", "-w", "-u", "backup", "-P", "s3cret % +"]);
            command.args(["-i", &address.ip().to_string(), "-p", &address.port().to_string()]);
            command.arg("-d").arg(folder);
            command
        })
    }

    /// A store with the bucket `backups`; key and secret are `S3RVER`.
    pub fn s3() -> Self {
        Self::start("127.0.0.1:0", |address, folder, _| {
            let mut command = Command::new("node");
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/s3/server.mjs"));
            command.args([address.ip().to_string(), address.port().to_string()]).arg(folder);
            command
        })
    }

    /// An FTP server that speaks TLS alone, with a certificate for 127.0.0.1 that vouches for itself ([`Server::ca`]).
    pub fn ftps() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        Self::start("127.0.0.1:0", |address, folder, own| {
            let (ca, pem) = (own.join("ca"), own.join("pem"));
            fs::write(ca, made.cert.pem()).expect("a file in a temporary folder");
            fs::write(&pem, made.cert.pem() + &made.signing_key.serialize_pem()).expect("a file in a temporary folder");
            let mut command = Command::new("/usr/bin/python3");
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ftp/tls.py"));
            command.args([address.ip().to_string(), address.port().to_string()]).arg(folder).arg(pem);
            command
        })
    }

    /// The certificate of [`Server::ftps`], as PEM.
    pub fn ca(&self) -> String {
        fs::read_to_string(self.own.path().join("ca")).expect("it was made")
    }

    /// OpenSSH, for the user that the test runs as, with the key [`Server::key`].
    pub fn openssh() -> Self {
        // As root it wants this one, which else comes with the service.
        drop(fs::create_dir_all("/run/sshd"));
        Self::start("127.0.0.1:0", |address, folder, own| {
            for (name, kind) in [("host", "ed25519"), ("user", "ed25519"), ("ecdsa", "ecdsa")] {
                keygen(&own.join(name), &["-t", kind, "-N", ""]);
            }
            let config = format!(
                "ListenAddress {address}\nHostKey {own}/host\nAuthorizedKeysFile {own}/user.pub {own}/ecdsa.pub\nPidFile none\nStrictModes no\n\
                 UsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
                 KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp -d {folder}\n",
                own = own.display(),
                folder = folder.display(),
            );
            fs::write(own.join("config"), config).expect("a file in a temporary folder");
            let mut command = Command::new("/usr/sbin/sshd");
            command.arg("-D").arg("-f").arg(own.join("config"));
            command
        })
    }

    /// The private key of who may sign in at [`Server::openssh`].
    pub fn key(&self) -> String {
        fs::read_to_string(self.own_file("user")).expect("it was made")
    }

    /// A file that the server was made with.
    pub fn own_file(&self, name: &str) -> PathBuf {
        self.own.path().join(name)
    }

    /// The fingerprint of the host key of [`Server::openssh`], as OpenSSH prints it.
    pub fn host_key(&self) -> String {
        fingerprint(&self.own.path().join("host.pub"))
    }

    /// An SFTP server whose user `backup` has the password `s3cret % +`. `does`: `files`; `stall`, which never answers to a
    /// write; `full`, which takes the first piece of a file; `none`, which has no SFTP. The file `host_key` holds its fingerprint.
    pub fn sftp(does: &str) -> Self {
        Self::start("127.0.0.1:0", |address, folder, _| {
            let mut command = Command::new("/usr/bin/python3");
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sftp/server.py"));
            command.args([address.ip().to_string(), address.port().to_string()]).arg(folder).arg(does);
            command
        })
    }

    fn start(listen: &str, command: impl FnOnce(SocketAddr, &Path, &Path) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let own = tempfile::tempdir().expect("a temporary folder");
        let address = TcpListener::bind(listen).and_then(|free| free.local_addr()).expect("a free port");
        let mut command = command(address, folder.path(), own.path());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self { address, folder, own, child: child.expect("make setup installs it") };
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

/// A private key in a file, and its public one beside it.
pub fn keygen(path: &Path, arguments: &[&str]) {
    let made = Command::new("ssh-keygen").args(["-q", "-C", "test", "-f"]).arg(path).args(arguments).status();
    assert!(made.expect("make setup installs it").success());
}

fn fingerprint(public: &Path) -> String {
    let said = Command::new("ssh-keygen").arg("-lf").arg(public).output().expect("make setup installs it");
    let said = String::from_utf8(said.stdout).expect("text");
    said.split(' ').nth(1).expect("size, fingerprint, comment").to_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
