//! How a backup is restored: looked at whole, then put in the place of what is there, in one transaction.

use std::{fs::File, path::PathBuf};

use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use super::{
    App, BackupError, BackupFile, BackupName, BackupSettings, Error, Flag, Folder, Manifest, Passphrase, backup_name,
    blocking, gateway_digest, keys,
    make::{self, causes},
    not_found,
};
use crate::{
    app::{directory::Directory, dns, guest_settings, load_hotspots},
    backup::{Archive, Keys, Part, Refused},
    clock::now_ms,
    reconcile::Owner,
    store::{self, Feed, ImportError, Lineage, PartReader, Store},
};

/// Parts between the archive and the database.
const QUEUE: usize = 4;

impl App {
    /// Looks at an archive of the folder without changing anything.
    ///
    /// # Errors
    /// [`BackupError::NotFound`], [`BackupError::Refused`].
    pub async fn verify_backup(&self, name: &str, passphrase: Option<Passphrase>) -> Result<Manifest, Error> {
        let (file, _) = self.open_backup(name).await?;
        self.verify_backup_file(file, passphrase).await
    }

    /// The same of a file from elsewhere.
    ///
    /// # Errors
    /// [`BackupError::Refused`].
    pub async fn verify_backup_file(&self, file: File, passphrase: Option<Passphrase>) -> Result<Manifest, Error> {
        let keys = self.opening_keys(passphrase).await?;
        let archive = look_at(file, keys).await.map_err(BackupError::Refused)?;
        Ok(archive.manifest().clone())
    }

    /// Puts what an archive of the folder holds in the place of what is there. What was there is kept in a backup of its own
    /// before. `passphrase`: another than that of the settings.
    ///
    /// # Errors
    /// [`Error::Loading`] while a start, reload or restore runs; [`BackupError`], and nothing is changed.
    pub async fn restore_backup(&self, name: &str, passphrase: Option<Passphrase>) -> Result<(), Error> {
        self.refuse_while_loading()?;
        let (folder, name) = (self.backup_folder(), backup_name(name)?);
        let opened = name.clone();
        let file = blocking(move || folder.open(&opened)).await.map_err(|e| not_found(&e))?;
        self.restore_one(file, passphrase, Some(name)).await.map(drop)
    }

    /// The same of a file from elsewhere; answers with the backup of what was there before.
    ///
    /// # Errors
    /// As [`Self::restore_backup`].
    pub async fn restore_backup_file(&self, file: File, passphrase: Option<Passphrase>) -> Result<BackupFile, Error> {
        self.restore_one(file, passphrase, None).await
    }

    async fn restore_one(
        &self,
        file: File,
        passphrase: Option<Passphrase>,
        used: Option<BackupName>,
    ) -> Result<BackupFile, Error> {
        self.refuse_while_loading()?;
        let app = self.clone();
        self.finish(async move {
            // Nobody's order waits to replace everything later on.
            let _one_at_a_time = app.0.backups.busy.try_lock().map_err(|_| Error::Loading)?;
            app.refuse_while_loading()?;
            let _flag = Flag::raise(&app.0.backups.restoring);
            app.restore(file, passphrase, used).await
        })
        .await
    }

    fn refuse_while_loading(&self) -> Result<(), Error> {
        let loading = self.0.handle.status().borrow().is_loading() || self.is_restoring();
        if loading { Err(Error::Loading) } else { Ok(()) }
    }

    async fn opening_keys(&self, passphrase: Option<Passphrase>) -> Result<Keys, Error> {
        let stored = self.store().backup_record().await.map_err(Error::Store)?.settings.passphrase;
        Ok(keys(self.store(), passphrase.or(stored)))
    }

    async fn restore(
        &self,
        file: File,
        passphrase: Option<Passphrase>,
        used: Option<BackupName>,
    ) -> Result<BackupFile, Error> {
        let keys = self.opening_keys(passphrase).await?;
        let archive = look_at(file, keys.clone()).await.map_err(BackupError::Refused)?;
        // Edits wait until everything is read anew; those of guests find their rows gone, and try again.
        let _order = self.0.order.write().await;
        let _settings = self.0.guest_config_edit.lock().await;
        let _cloud = self.0.cloud.edit.lock().await;
        let settings = self.store().backup_record().await.map_err(Error::Store)?.settings;
        let before = self.make_before(&settings).await?;
        let made_at = archive.manifest().made_at.clone();
        if let Err(error) = import(self.store(), archive).await {
            // Whether a commit whose answer was lost took place, nobody knows.
            self.mark_stale();
            return Err(error.into());
        }
        if let Err(error) = self.take_over().await {
            // Rows that the program cannot read: what was there before comes back.
            tracing::error!(error = &error as &dyn std::error::Error, "what was restored cannot be read");
            let (folder, name) = (self.backup_folder(), before.name.clone());
            let file = blocking(move || folder.open(&name)).await.map_err(|e| not_found(&e))?;
            let archive =
                look_at(file, super::keys(self.store(), settings.passphrase)).await.map_err(BackupError::Refused)?;
            import(self.store(), archive).await?;
            self.take_over().await.map_err(Error::Store)?;
            self.follow_restore().await;
            return Err(BackupError::Unzip(format!("what is in it cannot be read: {}", causes(&error))).into());
        }
        tracing::warn!(made_at, before = before.name.as_str(), "restored a backup");
        self.follow_restore().await;
        let spared: Vec<&BackupName> = [&before.name].into_iter().chain(&used).collect();
        self.prune(&settings, &spared).await;
        Ok(before)
    }

    /// Keeps what is there in an archive of its own.
    async fn make_before(&self, settings: &BackupSettings) -> Result<BackupFile, BackupError> {
        make_folder(self.backup_folder()).await?;
        self.make(settings, true)
            .await
            .map_err(|error| if let BackupError::Create(why) = error { BackupError::File(why) } else { error })
    }

    /// Reads everything anew that is kept in memory.
    async fn take_over(&self) -> Result<(), store::Error> {
        let store = self.store();
        let (servers, accounts) = (store.servers().await?, store.accounts().await?);
        let directory = Directory::of(&servers, &accounts, &store.grant_marks().await?);
        let hotspots = load_hotspots(store, &self.0.handle, self.settings().portal_tls).await?;
        let config = guest_settings::load(store).await?;
        let cloud = store.cloud().await?;
        store.firewall().await?;
        let names = dns::names(store).await?;

        *self.directory() = directory;
        // Nobody is online by what was restored.
        for host in self.hosts().all() {
            if let Some(online) = &host.online {
                self.hosts().set_offline(host.hotspot, host.mac, online.session);
            }
        }
        self.hosts().set_hotspots(hotspots.iter().map(|record| record.hotspot.clone()).collect());
        self.0.hotspots.send_replace(std::sync::Arc::new(hotspots));
        self.replace_names(names);
        self.replace_guest_config(config);
        self.replace_cloud(cloud);
        self.resume_firewall().await
    }

    /// Has the kernel follow, and waits a little for it.
    async fn follow_restore(&self) {
        let ticket = self.0.handle.reload();
        if !self.0.handle.settled(ticket, super::super::SETTLE_WAIT).await {
            tracing::info!("the kernel follows a restore after its answer");
        }
        drop(self.0.handle.nudge(&[Owner::Base]));
    }
}

/// Looks at an archive where no gateway serves. With a passphrase it needs nothing else, and touches nothing.
///
/// # Errors
/// [`BackupError::Refused`].
pub async fn verify_with(passphrase: Passphrase, path: PathBuf) -> Result<Manifest, BackupError> {
    Ok(look_at_path(path, Keys { machine: None, passphrase: Some(passphrase) }).await?.manifest().clone())
}

/// The same with the keys of a database.
///
/// # Errors
/// [`BackupError::Refused`].
pub async fn verify_by_store(store: &Store, path: PathBuf) -> Result<Manifest, BackupError> {
    Ok(look_at_path(path, keys(store, stored_or(store, None).await?)).await?.manifest().clone())
}

async fn stored_or(store: &Store, passphrase: Option<Passphrase>) -> Result<Option<Passphrase>, BackupError> {
    match passphrase {
        Some(given) => Ok(Some(given)),
        None => {
            Ok(store.backup_record().await.map_err(|error| BackupError::Unzip(causes(&error)))?.settings.passphrase)
        }
    }
}

/// Restores into a database that no gateway serves now; the next start takes it over. What was there is kept in `folder`, in an
/// archive of its own, which comes back if the rows cannot be read.
///
/// # Errors
/// [`BackupError`], and nothing is changed.
pub async fn restore_to_store(
    store: &Store,
    folder: PathBuf,
    zone: &TimeZone,
    path: PathBuf,
    passphrase: Option<Passphrase>,
) -> Result<(Manifest, Option<BackupFile>), BackupError> {
    let unreadable = |error: store::Error| BackupError::Unzip(causes(&error));
    let archive = look_at_path(path, keys(store, stored_or(store, passphrase).await?)).await?;
    let manifest = archive.manifest().clone();
    let stored = store.backup_record().await.map_err(unreadable)?.settings.passphrase;
    let is_empty =
        store.servers().await.map_err(unreadable)?.is_empty() && store.hotspots().await.map_err(unreadable)?.is_empty();
    let folder = Folder::new(folder);
    let before = if is_empty {
        None
    } else {
        make_folder(folder.clone()).await?;
        let made = make::make(store, folder.clone(), keys(store, stored.clone()), zone, true).await;
        Some(made.map_err(BackupError::File)?)
    };
    import(store, archive).await?;
    let Err(error) = look_at_rows(store).await else { return Ok((manifest, before)) };
    if let Some(before) = before {
        let file = blocking(move || folder.open(&before.name)).await.map_err(|e| not_found(&e))?;
        import(store, look_at(file, keys(store, stored)).await?).await?;
    }
    Err(BackupError::Unzip(format!("what is in it cannot be read: {}", causes(&error))))
}

async fn make_folder(folder: Folder) -> Result<(), BackupError> {
    blocking(move || folder.make()).await.map_err(|error| BackupError::Folder(error.to_string()))
}

/// Whether the program can read what the next start will.
async fn look_at_rows(store: &Store) -> Result<(), store::Error> {
    store.servers().await?;
    store.accounts().await?;
    store.grant_marks().await?;
    store.hotspots().await?;
    guest_settings::load(store).await?;
    store.cloud().await?;
    store.firewall().await?;
    store.dns().await?;
    Ok(())
}

async fn look_at_path(path: PathBuf, keys: Keys) -> Result<Archive, Refused> {
    let file = blocking(move || File::open(path)).await.map_err(|error| Refused::Open(error.to_string()))?;
    look_at(file, keys).await
}

/// Reads all of an archive, rows too, before anything is believed.
async fn look_at(file: File, keys: Keys) -> Result<Archive, Refused> {
    let look = move || {
        let mut archive = Archive::open(file, &keys)?;
        let mut reader = PartReader::default();
        archive.parts(|part: Part| reader.check(&part).map_err(Refused::Reader))?;
        Ok(archive)
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| Err(Refused::Reader("it could not be read".to_owned())))
}

async fn import(store: &Store, mut archive: Archive) -> Result<(), BackupError> {
    let lineage = if archive.manifest().gateway == gateway_digest(store) { Lineage::Same } else { Lineage::Other };
    // Sessions that were open then are not known to have lasted longer.
    let made_ms = archive.manifest().made_ms;
    let (feed, fed) = mpsc::channel(QUEUE);
    let read = tokio::task::spawn_blocking(move || {
        archive.parts(|part| {
            let gone = |_| Refused::Reader("the database takes no more".to_owned());
            feed.blocking_send(Feed::Part(part)).map_err(gone)
        })?;
        // Only now may what was fed be kept.
        feed.blocking_send(Feed::End).map_err(|_| Refused::Reader("the database takes no more".to_owned()))
    });
    let (stored, read) = tokio::join!(store.import(lineage, fed, made_ms.min(now_ms())), read);
    let Err(error) = stored else { return Ok(()) };
    Err(match error {
        ImportError::BrokeOff => match read {
            Ok(Err(refused)) => refused.into(),
            Ok(Ok(())) | Err(_) => Refused::Reader("it broke off".to_owned()).into(),
        },
        ImportError::Delete(error) => BackupError::Delete(causes(&error)),
        ImportError::Row(..) | ImportError::Store(_) => BackupError::Unzip(causes(&error)),
    })
}
