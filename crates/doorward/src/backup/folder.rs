//! The folder with the archives: names, list, places for new ones, deletion of old ones.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};

/// Longest name of an archive.
const MOST_NAME: usize = 128;
/// What files under way begin with; they are nobody's archive.
const UNDER_WAY: &str = ".making-";
/// One that is as old as this was left behind by a process that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);
/// Names that the addresses of the API have a meaning for.
const RESERVED: [&str; 2] = ["config", "restore"];

/// Name of an archive: letters, digits, `.`, `_` and `-`, ending in `.zip`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupName(String);

impl BackupName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `vpn.example.net_2030-01-02_03-00-00.zip`
    #[must_use]
    pub fn of(host: &str, at: Timestamp, zone: &TimeZone) -> Option<Self> {
        format!("{host}_{}.zip", at.to_zoned(zone.clone()).strftime("%Y-%m-%d_%H-%M-%S")).parse().ok()
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not the name of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an archive")]
pub struct NoName;

impl FromStr for BackupName {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fine = (5..=MOST_NAME).contains(&text.len())
            && text.bytes().all(plain)
            && !text.starts_with(['.', '-'])
            && text.ends_with(".zip")
            && !RESERVED.contains(&text);
        if fine { Ok(Self(text.to_owned())) } else { Err(NoName) }
    }
}

/// An archive in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Its name.
    pub name: BackupName,
    /// When it was written.
    pub written: Timestamp,
    /// Bytes.
    pub size: u64,
}

/// The folder. Its functions block.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// That of this path; made when something is written to it.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, for its owner alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    /// The archives, newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<BackupFile>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that was deleted meanwhile is no error.
            files.extend(self.file(&name).ok());
        }
        files.sort_by(|a, b| (b.written, &b.name).cmp(&(a.written, &a.name)));
        Ok(files)
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound` where there is no plain file of that name.
    pub fn file(&self, name: &BackupName) -> io::Result<BackupFile> {
        let metadata = fs::symlink_metadata(self.0.join(name.as_str()))?;
        if !metadata.is_file() {
            return Err(ErrorKind::NotFound.into());
        }
        let written = Timestamp::try_from(metadata.modified()?).unwrap_or_default();
        Ok(BackupFile { name: name.clone(), written, size: metadata.len() })
    }

    /// Opens one for reading; follows no link.
    ///
    /// # Errors
    /// `NotFound` where there is none of that name.
    pub fn open(&self, name: &BackupName) -> io::Result<File> {
        self.file(name)?;
        OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(self.0.join(name.as_str()))
    }

    /// Deletes one.
    ///
    /// # Errors
    /// `NotFound` where there is none of that name.
    pub fn delete(&self, name: &BackupName) -> io::Result<()> {
        self.file(name)?;
        fs::remove_file(self.0.join(name.as_str()))
    }

    /// An empty file for an archive of that name. What a gateway that was killed left of others is removed.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin(&self, name: &BackupName) -> io::Result<(File, PathBuf)> {
        self.sweep();
        let path = self.0.join(format!("{UNDER_WAY}{name}"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((file, path))
    }

    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.0) else { return };
        let is_old = |entry: &fs::DirEntry| {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT_BEHIND))
        };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(UNDER_WAY)) && is_old(&entry) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    /// Puts a file that was begun into its place, once it is on the disk. Never in the place of another.
    ///
    /// # Errors
    /// It cannot be written, or another has that name.
    pub fn keep(&self, file: &File, path: &Path, name: &BackupName) -> io::Result<BackupFile> {
        file.sync_all()?;
        // A link does not replace what has the name already, as a rename would.
        fs::hard_link(path, self.0.join(name.as_str()))?;
        fs::remove_file(path)?;
        File::open(&self.0)?.sync_all()?;
        self.file(name)
    }

    /// Deletes all but the newest `number`, and but for those that are spared: clocks are set, and files copied with the time of
    /// others. Answers with the names of the deleted.
    ///
    /// # Errors
    /// The folder cannot be read, or one cannot be deleted.
    pub fn prune(&self, number: usize, spared: &[BackupName]) -> io::Result<Vec<BackupName>> {
        let old = self.list()?.into_iter().skip(number);
        let old: Vec<BackupFile> = old.filter(|file| !spared.contains(&file.name)).collect();
        for file in &old {
            fs::remove_file(self.0.join(file.name.as_str()))?;
        }
        Ok(old.into_iter().map(|file| file.name).collect())
    }
}

/// Name of this machine, as names of archives may hold it.
#[must_use]
pub fn host_name() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let name: String = text.trim().chars().filter(plain).take(64).collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "doorward".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn backup_names() {
        for good in ["vpn.example.net_2030-01-02_03-00-00.zip", "a.zip"] {
            assert_eq!(good.parse::<BackupName>().unwrap().as_str(), good);
        }
        for bad in
            ["", ".zip", "a.ZIP", "../a.zip", "a/b.zip", ".a.zip", "-a.zip", "a.zip\n", "config", "restore", "ä.zip"]
        {
            assert!(bad.parse::<BackupName>().is_err(), "{bad}");
        }
        let at: Timestamp = "2030-01-02T02:00:00Z".parse().unwrap();
        let name = BackupName::of("vpn", at, &TimeZone::get("Europe/Berlin").unwrap()).unwrap();
        assert_eq!(name.as_str(), "vpn_2030-01-02_03-00-00.zip");
    }

    #[test]
    fn backup_files_are_for_their_owner_and_kept_by_number() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::new(base.path().join("backups"));
        assert!(folder.list().unwrap().is_empty(), "no folder, no archives");
        folder.make().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        for n in 1..=3 {
            let name: BackupName = format!("x{n}.zip").parse().unwrap();
            let (file, path) = folder.begin(&name).unwrap();
            assert!(folder.file(&name).is_err(), "not before it is whole");
            folder.keep(&file, &path, &name).unwrap();
            assert_eq!(mode(&folder.path().join(name.as_str())), 0o600);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let (file, path) = folder.begin(&"x1.zip".parse().unwrap()).unwrap();
        assert!(folder.keep(&file, &path, &"x1.zip".parse().unwrap()).is_err(), "nothing is replaced");
        fs::write(folder.path().join("note.txt"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.zip")).unwrap();
        let names = |files: Vec<BackupFile>| files.into_iter().map(|file| file.name.0).collect::<Vec<_>>();
        assert_eq!(names(folder.list().unwrap()), ["x3.zip", "x2.zip", "x1.zip"]);
        assert!(folder.open(&"link.zip".parse().unwrap()).is_err());
        assert_eq!(folder.prune(2, &[]).unwrap().len(), 1);
        assert_eq!(names(folder.list().unwrap()), ["x3.zip", "x2.zip"]);
        folder.delete(&"x3.zip".parse().unwrap()).unwrap();
        assert!(folder.delete(&"x3.zip".parse().unwrap()).is_err());
        assert!(folder.path().join("note.txt").exists(), "what is not ours stays");
    }
}
