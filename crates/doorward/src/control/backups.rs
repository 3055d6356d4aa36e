//! Backups, for the command line.

use std::{fs::File, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Answer, orders::Failure};
use crate::{
    app::{
        self, App,
        backups::{BackupError, BackupFile, Manifest, Passphrase},
    },
    backup::Refused,
};

/// How often a long order says that it goes on; the command line waits longer than that for a line.
const SIGN_EVERY: Duration = Duration::from_secs(10);

/// A line of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupNews {
    /// It goes on.
    Working,
    /// An archive in the folder.
    File(BackupLine),
    /// What an archive says of itself.
    Archive(Box<Manifest>),
}

/// An archive in the folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackupLine {
    /// Its name.
    pub name: String,
    /// RFC 3339 in the gateway's time zone.
    pub made: String,
    /// Bytes.
    pub size: u64,
}

impl BackupLine {
    fn of(app: &App, file: &BackupFile) -> Self {
        let zoned = file.written.to_zoned(app.settings().zone.clone());
        let made = file.written.display_with_offset(zoned.offset()).to_string();
        Self { name: file.name.to_string(), made, size: file.size }
    }
}

pub(super) async fn list(app: &App, answer: &mut Answer) -> Result<(), Failure> {
    for file in app.list_backups().await? {
        answer.row(&BackupNews::File(BackupLine::of(app, &file))).await?;
    }
    Ok(())
}

pub(super) async fn make(app: &App, statistics: bool, answer: &mut Answer) -> Result<(), Failure> {
    let file = patiently(answer, app.make_backup(statistics)).await?;
    Ok(answer.row(&BackupNews::File(BackupLine::of(app, &file))).await?)
}

pub(super) async fn verify(
    app: &App,
    path: &Path,
    passphrase: Option<Passphrase>,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let file = open(path)?;
    let manifest = patiently(answer, app.verify_backup_file(file, passphrase)).await?;
    Ok(answer.row(&BackupNews::Archive(Box::new(manifest))).await?)
}

pub(super) async fn restore(
    app: &App,
    path: &Path,
    passphrase: Option<Passphrase>,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let file = open(path)?;
    let before = patiently(answer, app.restore_backup_file(file, passphrase)).await?;
    Ok(answer.row(&BackupNews::File(BackupLine::of(app, &before))).await?)
}

fn open(path: &Path) -> Result<File, app::Error> {
    File::open(path).map_err(|error| BackupError::Refused(Refused::Open(error.to_string())).into())
}

/// Waits for something long, and says meanwhile that it goes on.
async fn patiently<T>(answer: &mut Answer, work: impl Future<Output = Result<T, app::Error>>) -> Result<T, Failure> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done?),
            () = tokio::time::sleep(SIGN_EVERY) => answer.row(&BackupNews::Working).await?,
        }
    }
}
