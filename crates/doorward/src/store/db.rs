//! The two engines, and the macros that run one text on either.

use std::{pin::Pin, time::Duration};

use super::{Error, postgres, sqlite::Sqlite};

/// Which database.
#[derive(Debug)]
pub(super) enum Db {
    Sqlite(Sqlite),
    Postgres(sqlx::PgPool),
}

/// A future that borrows the connection it works on.
pub(super) type Running<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// Longest wait for a connection.
pub(super) const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Longest run of a statement.
pub(super) const STATEMENT_WAIT: Duration = Duration::from_secs(10);

/// Evaluates an expression with a connection for reading: `on_reader!(db, |c| sqlx::query(…).fetch_all(c).await?)`.
macro_rules! on_reader {
    ($db:expr, |$c:ident| $body:expr) => {
        match $db {
            $crate::store::db::Db::Sqlite(sqlite) => {
                let mut connection = sqlite.reader().await?;
                let $c = &mut *connection;
                $body
            }
            $crate::store::db::Db::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                let $c = &mut *connection;
                $body
            }
        }
    };
}

/// Reads the rows with some ids, in the order of the ids; ids without a row are left out. `$select` ends before its WHERE.
///
/// The gateway is no part of the search: an index that begins with it would be looked through whole, and an id is one
/// row's.
macro_rules! rows_of_ids {
    ($store:expr, $ids:expr, $row:ty, $select:literal) => {{
        let (store, ids): (&$crate::store::Store, &[i64]) = ($store, $ids);
        let gateway = store.gateway();
        let mut rows: Vec<$row> = Vec::with_capacity(ids.len());
        for chunk in ids.chunks($crate::store::sql::CHUNK) {
            let among = $crate::store::sql::parameters(2, chunk.len());
            let sql = format!(concat!($select, " WHERE gateway_id + 0 = $1 AND id IN ({})"), among);
            rows.extend::<Vec<$row>>(on_reader!(store.db(), |c| {
                let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(gateway);
                for id in chunk {
                    query = query.bind(id);
                }
                query.fetch_all(c).await?
            }));
        }
        Ok($crate::store::paging::in_order(ids, rows, |row| row.id))
    }};
}

/// Runs a block in a transaction of its own; evaluates to `Result<T, Error>` once the transaction is on disk. The
/// block takes what it uses: on SQLite it runs in another task. One that waits when its caller
/// gives up is not run.
macro_rules! on_writer {
    ($db:expr, |$c:ident| $body:block) => {
        match $db {
            $crate::store::db::Db::Sqlite(sqlite) => {
                sqlite
                    .write(move |$c| {
                        Box::pin(async move {
                            let result: Result<_, $crate::store::Error> = $body;
                            result
                        })
                    })
                    .await
            }
            $crate::store::db::Db::Postgres(pool) => {
                $crate::store::postgres::write(pool, move |$c| {
                    Box::pin(async move {
                        let result: Result<_, $crate::store::Error> = $body;
                        result
                    })
                })
                .await
            }
        }
    };
}

impl Db {
    pub(super) async fn open(url: &str) -> Result<Self, Error> {
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return postgres::open(url).await.map(Self::Postgres);
        }
        match url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            Some("" | ":memory:") | None => {
                // The text may hold a password.
                Err(Error::Setup("a database URL is sqlite:PATH or postgres://…".to_owned()))
            }
            Some(path) => Sqlite::open(path.as_ref()).await.map(Self::Sqlite),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    pub(super) async fn durability(&self) -> Result<String, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.durability().await,
            Self::Postgres(pool) => postgres::durability(pool).await,
        }
    }
}
