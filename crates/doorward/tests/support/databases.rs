//! Fresh databases for tests, on both engines.
//!
//! Include it with `#[path = "../support/databases.rs"] mod databases;`, write tests as `async fn name(database:
//! Database)`, list them in `both_engines!(name, …);`, and get a store with `database.open().await`. (Where functions of it stay unused: `#[expect(dead_code, reason = "…")]`
//! on the `mod`.)
//!
//! PostgreSQL runs once for a whole `cargo nextest run`: `scripts/test-postgres` starts it (`.config/nextest.toml`) and
//! says in `DOORWARD_TEST_POSTGRES` where. Without it the tests fail; they are never skipped.

use std::path::PathBuf;

use doorward::{
    secrets::{self, MasterKey},
    store::{DEFAULT_GATEWAY, Error, Store},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// A database that nobody else uses. The file of SQLite goes with it; PostgreSQL's goes with the server.
pub struct Database {
    url: String,
    folder: Option<TempDir>,
}

/// The master key of tests.
pub const KEY: [u8; 32] = [0x5a; 32];

impl Database {
    /// An empty SQLite database.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { url: format!("sqlite:{}", folder.path().join("doorward.db").display()), folder: Some(folder) }
    }

    /// An empty PostgreSQL database.
    pub async fn postgres() -> Self {
        let server = std::env::var("DOORWARD_TEST_POSTGRES")
            .expect("DOORWARD_TEST_POSTGRES is set by scripts/test-postgres; run the tests with cargo nextest");
        let name = format!("test_{:016x}", u64::from_le_bytes(secrets::random().expect("random numbers")));
        let mut connection =
            PgConnection::connect(&with_database(&server, "postgres")).await.expect("the PostgreSQL of the tests");
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0")))
            .execute(&mut connection)
            .await
            .expect("a database of its own");
        Self { url: with_database(&server, &name), folder: None }
    }

    /// For `Store::open`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The file, on SQLite.
    pub fn file(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().join("doorward.db"))
    }

    /// Changes the database past the store.
    pub async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql);
        match &self.folder {
            Some(_) => {
                let mut connection = SqliteConnection::connect(&self.url).await.expect("a connection");
                sqlx::raw_sql(sql).execute(&mut connection).await.expect("a statement that works");
                connection.close().await.expect("a good end");
            }
            None => {
                let mut connection = PgConnection::connect(&self.url).await.expect("a connection");
                sqlx::raw_sql(sql).execute(&mut connection).await.expect("a statement that works");
            }
        }
    }

    /// A store on it.
    pub async fn open(&self) -> Store {
        self.try_open(DEFAULT_GATEWAY, KEY).await.expect("a store")
    }

    /// A store on it, if it can be opened so.
    pub async fn try_open(&self, gateway: &str, key: [u8; 32]) -> Result<Store, Error> {
        Store::open(&self.url, gateway, MasterKey::from_bytes(key)).await
    }
}

/// `postgres:///?host=/folder&user=name` with a database.
fn with_database(server: &str, name: &str) -> String {
    server.replacen("postgres:///", &format!("postgres:///{name}"), 1)
}

/// Makes two tests of each function: `sqlite::name` and `postgres::name`.
macro_rules! both_engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::databases::Database::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::databases::Database::postgres().await).await;
            })+
        }
    };
}
