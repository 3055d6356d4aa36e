//! How a backup is made.

use std::{fs::File, io, path::PathBuf, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use tokio::{sync::mpsc, time::timeout};

use super::{
    App, BackupError, BackupFile, BackupName, BackupServer, Error, Flag, RemoteError, blocking, gateway_digest, keys,
};
use crate::{
    backup::{ArchiveWriter, Folder, Head, Keys, Part, host_name, remote},
    backup_settings::BackupSettings,
    clock::now_ms,
    store::Store,
};

/// Longest wait until what the kernel counted is stored; what is not counts from the next backup on.
const COUNT_WAIT: Duration = Duration::from_secs(3);
/// Longest wait for another backup to be made, and for another upload; who waits longer is refused.
const TURN_WAIT: Duration = Duration::from_secs(30);
/// Parts between the database and the file.
const QUEUE: usize = 4;
/// Names that are tried for two backups within one second.
const NAMES: i64 = 10;

impl App {
    /// Makes a backup and sends it where it is to go; removes the oldest beyond the number that is kept.
    ///
    /// # Errors
    /// [`BackupError::Create`]; [`BackupError::Ftp`], [`BackupError::Sftp`] and [`BackupError::Upload`] where the archive lies
    /// in the folder, but not in its store.
    pub async fn make_backup(&self, statistics: bool) -> Result<BackupFile, Error> {
        let app = self.clone();
        self.finish(async move {
            let _flag = Flag::raise(&app.0.backups.making);
            let mut stopping = app.0.backups.stopping.subscribe();
            let done = tokio::select! {
                done = app.make_and_send(statistics) => done,
                _ = stopping.wait_for(|stopping| *stopping) => Err(BackupError::Create("the gateway stops".to_owned()).into()),
            };
            let why = done.as_ref().err().map(ToString::to_string).unwrap_or_default();
            if !why.is_empty() {
                tracing::error!("{why}");
            }
            if let Err(error) = app.store().note_backup(now_ms(), why).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "how the backup went could not be noted");
            }
            done
        })
        .await
    }

    async fn make_and_send(&self, statistics: bool) -> Result<BackupFile, Error> {
        let settings = self.store().backup_record().await.map_err(Error::Store)?.settings;
        let turn = timeout(TURN_WAIT, self.0.backups.busy.lock()).await;
        let turn = turn.map_err(|_| BackupError::Create("another backup or a restore is under way".to_owned()))?;
        let file = self.make(&settings, statistics).await?;
        tracing::info!(name = file.name.as_str(), size = file.size, statistics, "made a backup");
        self.prune(&settings, &[&file.name]).await;
        drop(turn);
        self.send(&settings, &file).await?;
        Ok(file)
    }

    /// Removes the oldest archives beyond the number that is kept, but for these.
    pub(super) async fn prune(&self, settings: &BackupSettings, spared: &[&BackupName]) {
        let (folder, number) = (self.backup_folder(), settings.number_backups);
        let number = usize::try_from(number).unwrap_or(usize::MAX).max(1);
        let spared: Vec<BackupName> = spared.iter().copied().cloned().collect();
        match blocking(move || folder.prune(number, &spared)).await {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => tracing::info!(number = gone.len(), "removed old backups"),
            Err(error) => tracing::warn!("old backups could not be removed: {error}"),
        }
    }

    /// Makes an archive in the folder, and nothing else.
    pub(super) async fn make(&self, settings: &BackupSettings, statistics: bool) -> Result<BackupFile, BackupError> {
        drop(timeout(COUNT_WAIT, async { tokio::join!(self.0.meter.collect(), self.count_now()) }).await);
        let keys = keys(self.store(), settings.passphrase.clone());
        make(self.store(), self.backup_folder(), keys, &self.settings().zone, statistics)
            .await
            .map_err(BackupError::Create)
    }

    async fn send(&self, settings: &BackupSettings, file: &BackupFile) -> Result<(), BackupError> {
        const NO_PASSPHRASE: &str = "no passphrase is set, and without one no backup leaves this machine";
        let BackupSettings { passphrase, ftp, sftp, s3, .. } = settings;
        if !ftp.enabled && !sftp.enabled && !s3.enabled {
            return Ok(());
        }
        let Ok(_turn) = timeout(TURN_WAIT, self.0.backups.sending.lock()).await else {
            let why = "another upload is under way".to_owned();
            return Err(if ftp.enabled { BackupError::Ftp(why) } else { BackupError::Upload(why) });
        };
        let open = async || match passphrase {
            None => Err(NO_PASSPHRASE.to_owned()),
            Some(_) => self.reopen(file).await.map_err(|error| error.to_string()),
        };
        // One that fails does not keep the others from getting it.
        let mut first = Ok(());
        if ftp.enabled {
            let sent = match open().await {
                Ok(open) => remote::to_ftp(ftp.clone(), open, file.name.clone()).await,
                Err(why) => Err(why),
            };
            first = first.and(sent.map_err(BackupError::Ftp));
        }
        if sftp.enabled {
            let sent = match open().await {
                Ok(open) => remote::to_sftp(sftp, open, &file.name).await,
                Err(why) => Err(RemoteError::Other(why)),
            };
            first = first.and(sent.map_err(BackupError::Sftp));
        }
        if s3.enabled {
            let sent = match open().await {
                Ok(open) => remote::to_s3(s3, open, file.size, &file.name).await,
                Err(why) => Err(why),
            };
            first = first.and(sent.map_err(BackupError::Upload));
        }
        first
    }

    /// Signs in at a server of the settings and makes the folder there, and uploads nothing.
    ///
    /// # Errors
    /// [`BackupError::Trial`]: why it cannot.
    pub async fn try_backup_server(&self, server: BackupServer) -> Result<(), Error> {
        let settings = self.backup_settings().await?;
        let mut stopping = self.0.backups.stopping.subscribe();
        let tried = async {
            let Ok(_turn) = timeout(TURN_WAIT, self.0.backups.sending.lock()).await else {
                return Err(RemoteError::Other("an upload or another trial is under way".to_owned()));
            };
            match server {
                BackupServer::Ftp => remote::try_ftp(settings.ftp).await.map_err(RemoteError::Other),
                BackupServer::Sftp => remote::try_sftp(&settings.sftp).await,
            }
        };
        tokio::select! {
            tried = tried => Ok(tried.map_err(BackupError::Trial)?),
            _ = stopping.wait_for(|stopping| *stopping) => Err(Error::Failed("the gateway stops")),
        }
    }

    async fn reopen(&self, file: &BackupFile) -> io::Result<File> {
        let (folder, name) = (self.backup_folder(), file.name.clone());
        blocking(move || folder.open(&name)).await
    }
}

/// Writes all rows into an archive of the folder.
pub(super) async fn make(
    store: &Store,
    folder: Folder,
    keys: Keys,
    zone: &TimeZone,
    statistics: bool,
) -> Result<BackupFile, String> {
    let (parts, taken) = mpsc::channel(QUEUE);
    let at = Timestamp::now();
    let zoned = at.to_zoned(zone.clone());
    let head = Head {
        host: host_name(),
        gateway: gateway_digest(store),
        made_at: at.display_with_offset(zoned.offset()).to_string(),
        made_ms: at.as_millisecond(),
        statistics,
    };
    let zone = zone.clone();
    let begin = {
        let folder = folder.clone();
        blocking(move || begin(&folder, &head.host, at, &zone).map(|(file, path, name)| (file, path, name, head))).await
    };
    let (file, path, name, head) = begin.map_err(|error| error.to_string())?;
    let _under_way = UnderWay(path.clone());
    let write = blocking(move || write(file, head, &keys, taken));
    // A failure of the one ends the other: the channel breaks.
    let (read, written) = tokio::join!(store.export(statistics, parts), write);
    match (read, written) {
        (Ok(()), Ok(file)) => {
            blocking(move || folder.keep(&file, &path, &name)).await.map_err(|error| error.to_string())
        }
        (_, Err(error)) => Err(error.to_string()),
        (Err(error), Ok(_)) => Err(causes(&error)),
    }
}

/// A file that goes with this, unless it has got its name.
struct UnderWay(PathBuf);

impl Drop for UnderWay {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

type Begun = (File, PathBuf, BackupName);

/// An empty file whose name no archive has yet.
fn begin(folder: &Folder, host: &str, at: Timestamp, zone: &TimeZone) -> io::Result<Begun> {
    folder.make()?;
    for seconds in 0..NAMES {
        let later = at + jiff::SignedDuration::from_secs(seconds);
        let name =
            BackupName::of(host, later, zone).ok_or_else(|| io::Error::other("this machine's name is too long"))?;
        if folder.file(&name).is_err() {
            let (file, path) = folder.begin(&name)?;
            return Ok((file, path, name));
        }
    }
    Err(io::Error::other("too many backups within one second"))
}

fn write(file: File, head: Head, keys: &Keys, mut parts: mpsc::Receiver<Part>) -> io::Result<File> {
    let mut archive = ArchiveWriter::new(file, head, keys)?;
    while let Some(part) = parts.blocking_recv() {
        archive.add(&part)?;
    }
    let (file, _) = archive.finish()?;
    file.sync_all()?;
    Ok(file)
}

/// An error and what caused it, on one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
