//! Stores away from this machine. Archives get there sealed with the passphrase, so a store need not be trusted.

mod ftp;
mod s3;

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::BackupName;
use crate::backup_settings::{Ftp, S3};

/// Longest wait for a connection and for each step of an exchange.
const STEP_WAIT: Duration = Duration::from_secs(20);
/// Longest upload.
const LONGEST: Duration = Duration::from_secs(3600);

/// Uploads an archive by FTP.
///
/// # Errors
/// Why it did not get there.
pub async fn to_ftp(ftp: Ftp, file: File, name: BackupName) -> Result<(), String> {
    let given_up = GivenUp::default();
    let stop = Arc::clone(&given_up.0);
    let work = tokio::task::spawn_blocking(move || ftp::upload(&ftp, file, &name, &stop));
    // Each step of it has its own end; this is against a server that gives a byte now and then.
    match tokio::time::timeout(LONGEST, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err("the upload ended before its time".to_owned()),
        Err(_) => Err("no end in time".to_owned()),
    }
}

/// Tells the thread of an upload that nobody waits for it any more.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Uploads an archive of `size` bytes to an S3-compatible store.
///
/// # Errors
/// Why it did not get there.
pub async fn to_s3(s3: &S3, file: File, size: u64, name: &BackupName) -> Result<(), String> {
    s3::upload(s3, file, size, name).await
}

/// What a server said, on one line of bounded length, for an operator to read.
fn said(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect::<String>().trim().to_owned()
}
