//! SQLite: readers in a pool, one task that writes.

mod writer;

use std::{
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions, SqlSafeStr, Sqlite as Engine, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    Error,
    db::{CONNECT_WAIT, Running},
};
use writer::Writer;

const READERS: u32 = 4;
/// How long a statement waits for another process (the command line) to finish its write.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// An open SQLite database.
#[derive(Debug)]
pub(super) struct Sqlite {
    readers: SqlitePool,
    writer: Writer,
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self, Error> {
        create(path)?;
        let file = File(path.to_owned());
        let mut connection = file.connect().await?;
        migrate(&mut connection).await?;
        let writer = Writer::start(file.clone(), connection);
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(CONNECT_WAIT)
            .test_before_acquire(false)
            .connect_lazy_with(file.options().pragma("query_only", "ON"));
        Ok(Self { readers, writer })
    }

    /// A connection that cannot write.
    pub(super) async fn reader(&self) -> Result<PoolConnection<Engine>, Error> {
        Ok(self.readers.acquire().await?)
    }

    /// Runs an operation in the transaction of the next group; `Ok` once that is on disk.
    pub(super) async fn write<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Running<'c, Result<T, Error>> + Send + 'static,
    {
        self.writer.write(operation).await
    }

    /// The same, where the operation may take as long as this.
    pub(super) async fn write_within<T, F>(&self, longest: Duration, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Running<'c, Result<T, Error>> + Send + 'static,
    {
        self.writer.write_within(longest, operation).await
    }

    pub(super) async fn durability(&self) -> Result<String, Error> {
        self.write(|connection| {
            Box::pin(async move {
                let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
                let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(connection).await?;
                Ok(format!("{mode}/{synchronous}"))
            })
        })
        .await
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// The database's file.
#[derive(Debug, Clone)]
struct File(PathBuf);

impl File {
    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.0)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_WAIT)
    }

    /// Opens the connection that writes, and makes sure that what it commits is on disk.
    async fn connect(&self) -> Result<SqliteConnection, Error> {
        let mut connection = self.options().connect().await?;
        for (pragma, wanted) in
            [("PRAGMA journal_mode", "wal"), ("PRAGMA synchronous", "2"), ("PRAGMA foreign_keys", "1")]
        {
            let row = sqlx::query(pragma).fetch_one(&mut connection).await?;
            let found = sqlx::Row::try_get::<String, _>(&row, 0)
                .or_else(|_| sqlx::Row::try_get::<i64, _>(&row, 0).map(|n| n.to_string()))?;
            if found != wanted {
                return Err(Error::Setup(format!("{pragma} is {found} and should be {wanted}")));
            }
        }
        Ok(connection)
    }
}

/// Makes an empty file that only we can read, so that the files which SQLite makes beside it are like it. An existing
/// file is not touched: to open and close it would drop the locks that SQLite holds in this process.
fn create(path: &Path) -> Result<(), Error> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            Err(Error::Setup(format!("cannot make the database {}: {e}", path.display())))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), Error> {
    const ATTEMPTS: usize = 5;
    let texts = [
        (1, "vpn", include_str!("../../migrations/sqlite/0001_vpn.sql")),
        (2, "hotspot", include_str!("../../migrations/sqlite/0002_hotspot.sql")),
        (4, "one time links", include_str!("../../migrations/sqlite/0004_one_time_links.sql")),
        (5, "panel", include_str!("../../migrations/sqlite/0005_panel.sql")),
        (6, "guests", include_str!("../../migrations/sqlite/0006_guests.sql")),
        (7, "vpn lists", include_str!("../../migrations/sqlite/0007_vpn_lists.sql")),
        (8, "lists", include_str!("../../migrations/sqlite/0008_lists.sql")),
        (9, "passkeys", include_str!("../../migrations/sqlite/0009_passkeys.sql")),
        (10, "firewall", include_str!("../../migrations/sqlite/0010_firewall.sql")),
        (11, "dns", include_str!("../../migrations/sqlite/0011_dns.sql")),
        (12, "backups", include_str!("../../migrations/sqlite/0012_backups.sql")),
        (13, "cloud", include_str!("../../migrations/sqlite/0013_cloud.sql")),
        (14, "last logins", include_str!("../../migrations/sqlite/0014_last_logins.sql")),
    ];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let migrator = Migrator::with_migrations(texts.into_iter().map(migration).collect());
    // Two processes may meet at the first start; the second one then finds the work done.
    for attempt in 1.. {
        match migrator.run(&mut *connection).await {
            Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..)) if attempt < ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            done => return done.map_err(|e| Error::Setup(format!("cannot migrate the database: {e}"))),
        }
    }
    Ok(())
}
