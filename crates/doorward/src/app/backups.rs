//! Backups: made while the gateway works, restored in one step (VPN API, section 3.9; docs/adr/0012-backups.md).

mod make;
mod receive;
mod restore;
mod schedule;
mod settings;

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::sync::{Notify, watch};

pub use self::{
    receive::Receiving,
    restore::{restore_to_store, verify_by_store, verify_with},
    schedule::spawn,
    settings::BackupWish,
};
use super::{App, Error};
pub use crate::{
    backup::{BackupFile, BackupName, Manifest, Passphrase, remote::RemoteError},
    backup_settings::{BackupSettings, Wrong},
    store::BackupRecord,
};
use crate::{
    backup::{Folder, Keys, MachineKey, Refused},
    store::Store,
};

/// Name of the folder with the archives, below the state folder.
pub const FOLDER: &str = "backups";

/// Why something with backups did not happen. Texts are those of the VPN API; what follows a colon is the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It could not be made.
    #[error("Error backup creation: {0}")]
    Create(String),
    /// It was made, and did not get to its store.
    #[error("FTP upload error: {0}")]
    Ftp(String),
    /// The same, of an SFTP server.
    #[error("Upload error: SFTP: {0}")]
    Sftp(RemoteError),
    /// The same, of a store that speaks S3.
    #[error("Upload error: {0}")]
    Upload(String),
    /// A server that was tried cannot be used.
    #[error("the server cannot be used: {0}")]
    Trial(RemoteError),
    /// There is no archive of that name.
    #[error("There is no backup with this name")]
    NotFound,
    /// The archive is refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What is there could not be removed; nothing is changed.
    #[error("Unable to delete old configuration: {0}")]
    Delete(String),
    /// The folder of the archives could not be made.
    #[error("Failed to create folder: {0}")]
    Folder(String),
    /// The state before the restore could not be kept.
    #[error("Failed to create file: {0}")]
    File(String),
    /// What is in the archive could not be stored; nothing is changed.
    #[error("Failed to unzip file: {0}")]
    Unzip(String),
    /// Settings that cannot be.
    #[error(transparent)]
    Wrong(#[from] Wrong),
}

/// A server that can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupServer {
    /// By FTP, with TLS or not.
    Ftp,
    /// By SFTP.
    Sftp,
}

/// What the application remembers of backups.
#[derive(Default)]
pub(super) struct Backups {
    /// One backup or restore at a time.
    busy: tokio::sync::Mutex<()>,
    /// One upload at a time.
    sending: tokio::sync::Mutex<()>,
    /// One edit of the settings at a time.
    edit: tokio::sync::Mutex<()>,
    making: AtomicBool,
    restoring: AtomicBool,
    /// Settings changed: the schedule looks at them anew.
    changed: Notify,
    /// The gateway stops: an upload does not hold it up.
    stopping: watch::Sender<bool>,
}

/// How backups stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupStanding {
    /// What is stored.
    pub record: BackupRecord,
    /// One is being made.
    pub making: bool,
    /// One is being restored.
    pub restoring: bool,
    /// When the next one is due, Unix ms.
    pub next_ms: Option<i64>,
}

/// Says that something goes on until dropped.
struct Flag<'a>(&'a AtomicBool);

impl<'a> Flag<'a> {
    fn raise(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Release);
        Self(flag)
    }
}

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl App {
    /// The archives in the folder, newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub async fn list_backups(&self) -> Result<Vec<BackupFile>, Error> {
        let folder = self.backup_folder();
        blocking(move || folder.list()).await.map_err(|e| BackupError::Folder(e.to_string()).into())
    }

    /// An archive, to be read, and its size in bytes.
    ///
    /// # Errors
    /// [`BackupError::NotFound`]; it cannot be opened.
    pub async fn open_backup(&self, name: &str) -> Result<(File, BackupFile), Error> {
        let (folder, name) = (self.backup_folder(), backup_name(name)?);
        blocking(move || Ok((folder.open(&name)?, folder.file(&name)?))).await.map_err(|e| not_found(&e).into())
    }

    /// Deletes an archive.
    ///
    /// # Errors
    /// [`BackupError::NotFound`]; it cannot be deleted.
    pub async fn delete_backup(&self, name: &str) -> Result<(), Error> {
        let (folder, name) = (self.backup_folder(), backup_name(name)?);
        blocking(move || folder.delete(&name)).await.map_err(|e| not_found(&e).into())
    }

    /// Settings, how the last backup went, and when the next one is due.
    ///
    /// # Errors
    /// The store failed.
    pub async fn backup_standing(&self) -> Result<BackupStanding, Error> {
        let record = self.store().backup_record().await.map_err(Error::Store)?;
        let next = record.settings.next(jiff::Timestamp::now(), &self.settings().zone);
        Ok(BackupStanding {
            record,
            making: self.0.backups.making.load(Ordering::Acquire),
            restoring: self.is_restoring(),
            next_ms: next.map(|(at, _)| at.as_millisecond()),
        })
    }

    /// Whether a backup is being restored.
    #[must_use]
    pub(super) fn is_restoring(&self) -> bool {
        self.0.backups.restoring.load(Ordering::Acquire)
    }

    /// Ends a backup that is being made or uploaded; none begins after that.
    pub fn stop_backups(&self) {
        self.0.backups.stopping.send_replace(true);
    }

    /// What is made while everything is replaced would be gone, and in no backup.
    pub(super) fn refuse_while_restoring(&self) -> Result<(), Error> {
        if self.is_restoring() { Err(Error::Loading) } else { Ok(()) }
    }

    fn backup_folder(&self) -> Folder {
        Folder::new(self.settings().backup_folder.clone())
    }
}

/// The keys by which archives are sealed and opened on this machine.
fn keys(store: &Store, passphrase: Option<Passphrase>) -> Keys {
    let store = store.clone();
    Keys { machine: Some(MachineKey::new(move |salt| store.machine_key(salt))), passphrase }
}

/// Whose rows an archive holds, as its manifest says it.
fn gateway_digest(store: &Store) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(store.instance_id()).iter().map(|b| format!("{b:02x}")).collect()
}

fn backup_name(text: &str) -> Result<BackupName, BackupError> {
    text.parse().map_err(|_| BackupError::NotFound)
}

fn not_found(error: &io::Error) -> BackupError {
    if error.kind() == io::ErrorKind::NotFound {
        BackupError::NotFound
    } else {
        Refused::Open(error.to_string()).into()
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(io::Error::other("ended before its time")))
}

/// Where archives are, for a state folder.
#[must_use]
pub fn folder_of(state_dir: &std::path::Path) -> PathBuf {
    state_dir.join(FOLDER)
}
