//! `doorward backup`: archives of all that the gateway holds.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{
    say, serve,
    table::{self, Table, order},
};
use crate::{
    app::backups::{self, Manifest, Passphrase},
    backup::{BackupName, Folder, host_name},
    backup_settings::BackupSettings,
    config::Config,
    control::{BackupLine, BackupNews, Order, SOCKET},
};

/// Most bytes of a file with a passphrase.
const MOST_PASSPHRASE: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the archives in the folder, newest first.
    List {
        /// As JSON, a line for each.
        #[arg(long)]
        json: bool,
    },
    /// Make a backup now, and send it where it is to go.
    Make {
        /// Leave out statistics and logs.
        #[arg(long)]
        no_statistics: bool,
    },
    /// Look at an archive without changing anything.
    Verify(Source),
    /// Put what an archive holds in the place of what is there; also on an empty machine where the gateway does not run.
    Restore(Source),
    /// Delete an archive of the folder.
    Delete {
        /// Its name in the list.
        name: String,
    },
    /// Show the settings as JSON, with their secrets, or read them from standard input.
    Settings {
        /// Read JSON from standard input and store it.
        #[arg(long)]
        set: bool,
    },
}

/// An archive, and what it opens with.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// A file, or the name of one in the folder.
    file: PathBuf,
    /// File whose first line is the passphrase; `-`: standard input. Else the one of the settings.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::List { json } => list(&config, json).await,
        Verb::Make { no_statistics } => {
            let make = Order::MakeBackup { statistics: !no_statistics };
            order(&config, &make, |news| tell(news, |line| say(&line.name))).await
        }
        Verb::Verify(source) => verify(&config, &source).await,
        Verb::Restore(source) => restore(&config, &source).await,
        Verb::Delete { name } => table::command(&config, &Order::DeleteBackup { name }).await,
        Verb::Settings { set: false } => {
            order(&config, &Order::BackupSettings, |settings: BackupSettings| {
                say(&serde_json::to_string_pretty(&settings)?)
            })
            .await
        }
        Verb::Settings { set: true } => {
            let mut text = Zeroizing::new(String::new());
            std::io::stdin().take(1 << 20).read_to_string(&mut text).context("standard input")?;
            let settings = serde_json::from_str(&text).context("standard input")?;
            table::command(&config, &Order::SetBackupSettings { settings: Box::new(settings) }).await
        }
    }
}

async fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut table = Table::new(&["name", "made", "size"]);
    let take = |news| {
        tell(news, |line| match json {
            true => say(&serde_json::to_string(&line)?),
            false => table.row(vec![line.name, line.made, table::bytes(line.size)]),
        })
    };
    order(config, &Order::ListBackups, take).await?;
    if json { Ok(()) } else { table.end() }
}

async fn verify(config: &Config, source: &Source) -> anyhow::Result<()> {
    let (path, passphrase) = source.read(config)?;
    if is_served(config) {
        let (there, copied) = bring(config, &path)?;
        let take = |news| if let BackupNews::Archive(manifest) = news { show(&manifest) } else { Ok(()) };
        let done = order(config, &Order::VerifyBackup { path: there.clone(), passphrase }, take).await;
        if copied {
            std::fs::remove_file(&there).with_context(|| there.display().to_string())?;
        }
        return done;
    }
    if let Some(passphrase) = passphrase {
        return show(&backups::verify_with(passphrase, path).await?);
    }
    let store = super::open_store(config).await?;
    let manifest = backups::verify_by_store(&store, path).await;
    store.close().await;
    show(&manifest?)
}

async fn restore(config: &Config, source: &Source) -> anyhow::Result<()> {
    let (path, passphrase) = source.read(config)?;
    if is_served(config) {
        let (path, _) = bring(config, &path)?;
        let restore = Order::RestoreBackup { path, passphrase };
        let take = |line: BackupLine| say(&format!("restored; what was there before is in {}", line.name));
        return order(config, &restore, |news| tell(news, take)).await;
    }
    super::make_state_dir(&config.state_dir)?;
    // No gateway may start meanwhile.
    let _lock = serve::lock(&config.state_dir)?;
    let store = super::open_store(config).await?;
    let folder = backups::folder_of(&config.state_dir);
    let restored = backups::restore_to_store(&store, folder, &config.time_zone()?, path, passphrase).await;
    store.close().await;
    let (manifest, before) = restored?;
    show(&manifest)?;
    if let Some(before) = before {
        say(&format!("what was there before is in {}", before.name))?;
    }
    say("restored; start the gateway")
}

/// Copies an archive into the folder unless it is there: the gateway sees little beside its state folder. `true`: copied.
fn bring(config: &Config, path: &Path) -> anyhow::Result<(PathBuf, bool)> {
    let folder = Folder::new(backups::folder_of(&config.state_dir));
    if path.parent().is_some_and(|parent| folder.path().canonicalize().is_ok_and(|folder| folder == parent)) {
        return Ok((path.to_owned(), false));
    }
    folder.make().with_context(|| folder.path().display().to_string())?;
    let own = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<BackupName>().ok());
    let now = BackupName::of(&host_name(), jiff::Timestamp::now(), &config.time_zone()?);
    let free = |name: &BackupName| folder.file(name).is_err();
    let name = own.filter(free).or(now.filter(free)).context("an archive of that name is in the folder already")?;
    let (mut file, under_way) = folder.begin(&name)?;
    let copied = File::open(path).and_then(|mut from| std::io::copy(&mut from, &mut file));
    if copied.is_err() {
        drop(std::fs::remove_file(&under_way));
    }
    copied.with_context(|| path.display().to_string())?;
    folder.keep(&file, &under_way, &name)?;
    Ok((folder.path().join(name.as_str()), true))
}

/// Whether a gateway runs on the state folder.
fn is_served(config: &Config) -> bool {
    std::os::unix::net::UnixStream::connect(config.state_dir.join(SOCKET)).is_ok()
}

impl Source {
    fn read(&self, config: &Config) -> anyhow::Result<(PathBuf, Option<Passphrase>)> {
        let in_folder = backups::folder_of(&config.state_dir).join(&self.file);
        let is_name = self.file.components().count() == 1 && !self.file.exists();
        let path = if is_name { &in_folder } else { &self.file };
        // The gateway has another working folder.
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        Ok((path, self.passphrase_file.as_deref().map(passphrase).transpose()?))
    }
}

/// Arguments are seen by everybody on this machine, so a passphrase is none.
fn passphrase(path: &Path) -> anyhow::Result<Passphrase> {
    let mut text = Zeroizing::new(String::new());
    if path == Path::new("-") {
        std::io::stdin().take(MOST_PASSPHRASE).read_to_string(&mut text).context("standard input")?;
    } else {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        file.take(MOST_PASSPHRASE).read_to_string(&mut text).with_context(|| path.display().to_string())?;
    }
    let line = text.lines().next().unwrap_or_default().to_owned();
    match Passphrase::new(line) {
        Some(passphrase) => Ok(passphrase),
        None => bail!("a passphrase has 12 to 256 characters, no control characters"),
    }
}

fn tell(news: BackupNews, take: impl FnOnce(BackupLine) -> anyhow::Result<()>) -> anyhow::Result<()> {
    match news {
        BackupNews::File(line) => take(line),
        BackupNews::Working | BackupNews::Archive(_) => Ok(()),
    }
}

fn show(manifest: &Manifest) -> anyhow::Result<()> {
    let opens = if manifest.key.is_of_machine() { "on the machine that made it" } else { "with the passphrase" };
    for (word, value) in [
        ("made", manifest.made_at.clone()),
        ("machine", manifest.host.clone()),
        ("program", manifest.product.clone()),
        ("statistics", if manifest.statistics { "yes" } else { "no" }.to_owned()),
        ("opens", opens.to_owned()),
    ] {
        say(&format!("{word:<10}  {value}"))?;
    }
    for file in &manifest.files {
        // The first line of each names its columns.
        say(&format!("{:<10}  {} rows", table_of(&file.name), file.rows.saturating_sub(1)))?;
    }
    Ok(())
}

fn table_of(name: &str) -> &str {
    name.trim_start_matches("data/").trim_end_matches(".jsonl")
}
