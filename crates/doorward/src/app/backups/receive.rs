//! Archives that come from elsewhere.

use std::{
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
};

use jiff::Timestamp;

use super::{App, BackupError, BackupFile, BackupName, Error, Refused, blocking};
use crate::backup::{Folder, MOST_ARCHIVE, check_whole, host_name};

/// An archive on its way into the folder; gone when dropped before its end.
pub struct Receiving {
    folder: Folder,
    name: BackupName,
    path: PathBuf,
    file: Option<File>,
    size: u64,
    kept: bool,
}

impl App {
    /// Begins to take an archive; under its own name if it can have that, else under a name of ours.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn receive_backup(&self, name: &str) -> Result<Receiving, Error> {
        let folder = self.backup_folder();
        let own = name.parse::<BackupName>().ok();
        let ours = BackupName::of(&host_name(), Timestamp::now(), &self.settings().zone);
        let begun = blocking(move || {
            folder.make()?;
            let free = |name: &BackupName| folder.file(name).is_err();
            let name = own.filter(free).or(ours.filter(free));
            let name = name.ok_or_else(|| io::Error::other("an archive of that name is there already"))?;
            let (file, path) = folder.begin(&name)?;
            Ok(Receiving { folder, name, path, file: Some(file), size: 0, kept: false })
        });
        begun.await.map_err(failed)
    }
}

impl Receiving {
    /// Adds bytes.
    ///
    /// # Errors
    /// They cannot be written, or are too many.
    pub async fn add(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        if self.size > MOST_ARCHIVE + 1024 * 1024 {
            return Err(BackupError::Refused(Refused::Reader("it is too large".to_owned())).into());
        }
        let Some(mut file) = self.file.take() else { return Err(Error::Failed("an upload went on after its end")) };
        let written = blocking(move || file.write_all(&bytes).map(|()| file)).await;
        self.file = Some(written.map_err(failed)?);
        Ok(())
    }

    /// Puts it among the others, if it is whole. What is in it is looked at when it is restored.
    ///
    /// # Errors
    /// [`BackupError::Refused`]; it cannot be written.
    pub async fn keep(mut self) -> Result<BackupFile, Error> {
        let Some(mut file) = self.file.take() else { return Err(Error::Failed("an upload ended twice")) };
        let (folder, path, name) = (self.folder.clone(), self.path.clone(), self.name.clone());
        let whole = tokio::task::spawn_blocking(move || check_whole(&mut file).map(|()| file)).await;
        let whole = whole.map_err(|_| Error::Failed("an archive could not be read"))?;
        let file = whole.map_err(BackupError::Refused)?;
        let kept = blocking(move || folder.keep(&file, &path, &name)).await.map_err(failed)?;
        self.kept = true;
        Ok(kept)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.kept {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

fn failed(error: io::Error) -> Error {
    BackupError::File(error.to_string()).into()
}
