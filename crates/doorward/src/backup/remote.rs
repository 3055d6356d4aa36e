//! Stores away from this machine. Archives get there sealed with the passphrase, so a store need not be trusted.

mod ftp;
mod s3;
mod sftp;

use std::{
    fs::File,
    io,
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::BackupName;
use crate::backup_settings::{Ftp, HostKey, S3, Sftp};

/// Longest wait for a connection and for each step of an exchange.
const STEP_WAIT: Duration = Duration::from_secs(20);
/// Longest upload.
const LONGEST: Duration = Duration::from_secs(3600);
/// Longest wait for a trial.
const LONGEST_TRIAL: Duration = Duration::from_secs(60);
const NO_END: &str = "no end in time";

/// Why a server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// No host key is pinned, so nobody signed in.
    #[error("no host key is pinned; the server shows {0}: compare that with what its operator says, and pin it")]
    NoHostKey(HostKey),
    /// The server has another host key than the pinned one, so nobody signed in.
    #[error(
        "the server shows the host key {shown}, but {pinned} is pinned: it is another server, or has got a new key"
    )]
    OtherHostKey {
        /// What it should have.
        pinned: HostKey,
        /// What it has.
        shown: HostKey,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Uploads an archive by FTP.
///
/// # Errors
/// Why it did not get there.
pub async fn to_ftp(ftp: Ftp, file: File, name: BackupName) -> Result<(), String> {
    blocking(LONGEST, move |stop| ftp::upload(&ftp, file, &name, stop)).await
}

/// Signs in at an FTP server and makes the folder, and uploads nothing.
///
/// # Errors
/// Why it cannot.
pub async fn try_ftp(ftp: Ftp) -> Result<(), String> {
    blocking(LONGEST_TRIAL, move |stop| ftp::try_out(&ftp, stop)).await
}

async fn blocking(
    longest: Duration,
    work: impl FnOnce(&Arc<Stop>) -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let given_up = GivenUp::default();
    let stop = Arc::clone(&given_up.0);
    let work = tokio::task::spawn_blocking(move || work(&stop));
    // Each step of it has its own end; this is against a server that gives a byte now and then.
    match tokio::time::timeout(longest, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err("the upload ended before its time".to_owned()),
        Err(_) => Err(NO_END.to_owned()),
    }
}

/// Uploads an archive by SFTP.
///
/// # Errors
/// Why it did not get there.
pub async fn to_sftp(sftp: &Sftp, file: File, name: &BackupName) -> Result<(), RemoteError> {
    let done = tokio::time::timeout(LONGEST, sftp::upload(sftp, file, name)).await;
    done.unwrap_or_else(|_| Err(RemoteError::Other(NO_END.to_owned())))
}

/// Signs in at an SFTP server and makes the folder, and uploads nothing.
///
/// # Errors
/// Why it cannot.
pub async fn try_sftp(sftp: &Sftp) -> Result<(), RemoteError> {
    let done = tokio::time::timeout(LONGEST_TRIAL, sftp::try_out(sftp)).await;
    done.unwrap_or_else(|_| Err(RemoteError::Other(NO_END.to_owned())))
}

/// Ends the thread of an exchange that nobody waits for any more.
#[derive(Default)]
struct GivenUp(Arc<Stop>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Release);
        if let Some(line) = self.0.line.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(line.shutdown(Shutdown::Both));
        }
    }
}

/// What the thread looks at.
#[derive(Default)]
struct Stop {
    stopped: AtomicBool,
    line: Mutex<Option<TcpStream>>,
}

impl Stop {
    fn check(&self) -> io::Result<()> {
        if self.stopped.load(Ordering::Acquire) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// This connection ends too.
    fn holds(&self, line: &TcpStream) -> io::Result<()> {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.try_clone()?);
        self.check()
    }
}

/// Uploads an archive of `size` bytes to an S3-compatible store.
///
/// # Errors
/// Why it did not get there.
pub async fn to_s3(s3: &S3, file: File, size: u64, name: &BackupName) -> Result<(), String> {
    s3::upload(s3, file, size, name).await
}

/// A text without a secret that a server may have repeated.
fn hide(text: String, secret: &str) -> String {
    if secret.is_empty() { text } else { text.replace(secret, "…") }
}

/// A server's name or address, and not in brackets.
fn bare(server: &str) -> &str {
    server.trim_start_matches('[').trim_end_matches(']')
}

/// What a server said, on one line of bounded length, for an operator to read.
fn said(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect::<String>().trim().to_owned()
}
