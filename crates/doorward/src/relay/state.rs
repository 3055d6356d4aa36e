//! What the relay remembers: names, and digests of tokens and credentials, in a SQLite file of its own. The command line
//! writes it beside the running relay, which looks for changes.

use std::{os::unix::fs::DirBuilderExt as _, path::Path, time::Duration};

use serde::Serialize;
use sqlx::{
    FromRow, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::wire::{RelayName, RelaySecret};
use crate::{clock::now_ms, secrets};

/// File name in the state folder.
const FILE: &str = "relay.db";
/// How long a statement waits for another process.
const BUSY_WAIT: Duration = Duration::from_secs(10);
const CONNECTIONS: u32 = 4;
/// A name that was used by anybody is given to nobody else: programs may still call it, with their keys.
const ATTEMPTS: usize = 8;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS gateways (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE REFERENCES names (name),
    credential BLOB NOT NULL UNIQUE,
    note       TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    seen_ms    INTEGER,
    revoked_ms INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS tokens (
    digest  BLOB PRIMARY KEY,
    note    TEXT NOT NULL,
    ends_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS changes (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO changes (id, count) VALUES (1, 0);
";

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be made.
    #[error("state folder {0}")]
    Folder(std::path::PathBuf, #[source] std::io::Error),
    /// The database failed.
    #[error("the relay's database")]
    Database(#[from] sqlx::Error),
    /// The system has no random numbers.
    #[error(transparent)]
    Random(#[from] secrets::Error),
    /// Eight random names in a row were taken.
    #[error("no free name was found")]
    Names,
}

/// The open state. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State(SqlitePool);

/// A gateway.
#[derive(Debug, Clone, FromRow, Serialize)]
pub struct GatewayRow {
    /// Its first label, as stored.
    pub name: String,
    /// What its token was made for.
    pub note: String,
    /// Unix ms of its enrolment.
    pub created_ms: i64,
    /// Unix ms of the last sign of life; at most a minute behind.
    pub seen_ms: Option<i64>,
    /// Unix ms from which on it is refused.
    pub revoked_ms: Option<i64>,
}

/// What a line belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its row.
    pub id: i64,
    /// As it is now.
    pub name: RelayName,
}

impl State {
    /// Opens the state in a folder, which is made with mode 0700.
    ///
    /// # Errors
    /// [`Error::Folder`], [`Error::Database`].
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| Error::Folder(folder.to_owned(), source))?;
        let options = SqliteConnectOptions::new()
            .filename(folder.join(FILE))
            .create_if_missing(true)
            .busy_timeout(BUSY_WAIT)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        Ok(Self(pool))
    }

    /// Makes a token that enrols one gateway within `valid`.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Random`].
    pub async fn make_token(&self, note: &str, valid: Duration) -> Result<RelaySecret, Error> {
        let (token, now) = (RelaySecret::generate()?, now_ms());
        let ends = now.saturating_add(i64::try_from(valid.as_millis()).unwrap_or(i64::MAX));
        sqlx::query("DELETE FROM tokens WHERE ends_ms <= $1").bind(now).execute(&self.0).await?;
        sqlx::query("INSERT INTO tokens (digest, note, ends_ms) VALUES ($1, $2, $3)")
            .bind(&token.digest()[..])
            .bind(note)
            .bind(ends)
            .execute(&self.0)
            .await?;
        Ok(token)
    }

    /// Takes a token, once, and makes a gateway. `None`: unknown, used or ended.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Random`], [`Error::Names`].
    pub async fn enrol(&self, token: &RelaySecret) -> Result<Option<(RelayName, RelaySecret)>, Error> {
        let (credential, now) = (RelaySecret::generate()?, now_ms());
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
        let taken = sqlx::query_scalar("DELETE FROM tokens WHERE digest = $1 AND ends_ms > $2 RETURNING note");
        let taken: Option<String> = taken.bind(&token.digest()[..]).bind(now).fetch_optional(&mut *transaction).await?;
        let Some(note) = taken else { return Ok(None) };
        let name = new_name(&mut transaction).await?;
        sqlx::query("INSERT INTO gateways (name, credential, note, created_ms) VALUES ($1, $2, $3, $4)")
            .bind(name.as_str())
            .bind(&credential.digest()[..])
            .bind(note)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some((name, credential)))
    }

    /// Whose credential that is. `None`: unknown or revoked.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn find(&self, credential: &RelaySecret) -> Result<Option<Known>, Error> {
        let row: Option<(i64, String)> =
            sqlx::query_as("SELECT id, name FROM gateways WHERE credential = $1 AND revoked_ms IS NULL")
                .bind(&credential.digest()[..])
                .fetch_optional(&self.0)
                .await?;
        Ok(row.and_then(known))
    }

    /// All that may connect.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn all_known(&self) -> Result<Vec<Known>, Error> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, name FROM gateways WHERE revoked_ms IS NULL").fetch_all(&self.0).await?;
        Ok(rows.into_iter().filter_map(known).collect())
    }

    /// All, for people.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn list(&self) -> Result<Vec<GatewayRow>, Error> {
        let query = "SELECT name, note, created_ms, seen_ms, revoked_ms FROM gateways ORDER BY id";
        Ok(sqlx::query_as(query).fetch_all(&self.0).await?)
    }

    /// Grows with every renamed and revoked gateway.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn changes(&self) -> Result<i64, Error> {
        Ok(sqlx::query_scalar("SELECT count FROM changes").fetch_one(&self.0).await?)
    }

    /// Writes signs of life.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn seen(&self, seen: impl IntoIterator<Item = (i64, i64)>) -> Result<(), Error> {
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
        for (id, at) in seen {
            sqlx::query("UPDATE gateways SET seen_ms = $2 WHERE id = $1")
                .bind(id)
                .bind(at)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Refuses a gateway from now on. `false`: there is none of that name, or it is refused already.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn revoke(&self, name: &RelayName) -> Result<bool, Error> {
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
        let done = sqlx::query("UPDATE gateways SET revoked_ms = $2 WHERE name = $1 AND revoked_ms IS NULL")
            .bind(name.as_str())
            .bind(now_ms())
            .execute(&mut *transaction)
            .await?;
        note_change(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives a gateway a new name. `None`: there is none of that name, or it is refused.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Random`], [`Error::Names`].
    pub async fn rotate(&self, name: &RelayName) -> Result<Option<RelayName>, Error> {
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
        let new = new_name(&mut transaction).await?;
        let done = sqlx::query("UPDATE gateways SET name = $2 WHERE name = $1 AND revoked_ms IS NULL")
            .bind(name.as_str())
            .bind(new.as_str())
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        note_change(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Some(new))
    }
}

fn known((id, name): (i64, String)) -> Option<Known> {
    Some(Known { id, name: name.parse().ok()? })
}

async fn note_change(connection: &mut SqliteConnection) -> Result<(), Error> {
    sqlx::query("UPDATE changes SET count = count + 1").execute(connection).await?;
    Ok(())
}

async fn new_name(connection: &mut SqliteConnection) -> Result<RelayName, Error> {
    for _ in 0..ATTEMPTS {
        let name = RelayName::generate()?;
        let insert = sqlx::query("INSERT INTO names (name) VALUES ($1) ON CONFLICT (name) DO NOTHING");
        if insert.bind(name.as_str()).execute(&mut *connection).await?.rows_affected() > 0 {
            return Ok(name);
        }
    }
    Err(Error::Names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    async fn open() -> (tempfile::TempDir, State) {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state")).await.unwrap();
        (folder, state)
    }

    #[tokio::test]
    async fn a_token_enrols_once_and_only_in_time() {
        let (folder, state) = open().await;
        let token = state.make_token("shop", HOUR).await.unwrap();
        let (name, credential) = state.enrol(&token).await.unwrap().expect("a good token");
        assert!(state.enrol(&token).await.unwrap().is_none(), "once");
        let late = state.make_token("late", Duration::ZERO).await.unwrap();
        assert!(state.enrol(&late).await.unwrap().is_none(), "ended");
        assert!(state.enrol(&RelaySecret::generate().unwrap()).await.unwrap().is_none(), "never made");
        assert_eq!(state.find(&credential).await.unwrap().unwrap().name, name);
        let again = State::open(&folder.path().join("state")).await.unwrap();
        assert_eq!(again.find(&credential).await.unwrap().unwrap().name, name, "kept");
        let mut bytes = Vec::new();
        for file in std::fs::read_dir(folder.path().join("state")).unwrap() {
            bytes.extend(std::fs::read(file.unwrap().path()).unwrap());
        }
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(name.as_str()), "the files were read");
        assert!(!text.contains(credential.expose()) && !text.contains(token.expose()), "digests alone");
    }

    #[tokio::test]
    async fn renamed_and_revoked() {
        let (_folder, state) = open().await;
        let token = state.make_token("", HOUR).await.unwrap();
        let (name, credential) = state.enrol(&token).await.unwrap().unwrap();
        let before = state.changes().await.unwrap();
        let new = state.rotate(&name).await.unwrap().expect("it is known");
        assert_ne!(new, name);
        assert!(state.rotate(&name).await.unwrap().is_none(), "that name is gone");
        let known = state.find(&credential).await.unwrap().unwrap();
        assert_eq!(known.name, new);
        state.seen([(known.id, 7)]).await.unwrap();
        assert!(state.revoke(&new).await.unwrap() && !state.revoke(&new).await.unwrap());
        assert!(state.find(&credential).await.unwrap().is_none() && state.all_known().await.unwrap().is_empty());
        assert!(state.rotate(&new).await.unwrap().is_none(), "revoked stays revoked");
        let row = state.list().await.unwrap().pop().unwrap();
        assert!(row.seen_ms == Some(7) && row.revoked_ms.is_some());
        assert!(state.changes().await.unwrap() > before);
    }
}
