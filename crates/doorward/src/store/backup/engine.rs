//! The two engines, for statements that are made of the list of tables.

use sqlx::{AssertSqlSafe, PgConnection, Row as _, SqliteConnection};

use super::{
    super::Error,
    tables::{Cell, Stored},
};

/// A connection of either engine.
pub(super) trait Engine: Send {
    /// Whether it is PostgreSQL.
    const POSTGRES: bool;

    /// Runs a statement; answers with how many rows it touched.
    fn execute(&mut self, sql: String, cells: Vec<Cell>) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Reads rows with columns of these types.
    fn rows(
        &mut self,
        sql: String,
        cells: Vec<Cell>,
        columns: &[Stored],
    ) -> impl Future<Output = Result<Vec<Vec<Cell>>, Error>> + Send;
}

macro_rules! engine {
    ($connection:ty, $postgres:literal) => {
        impl Engine for $connection {
            const POSTGRES: bool = $postgres;

            async fn execute(&mut self, sql: String, cells: Vec<Cell>) -> Result<u64, Error> {
                let query = bound!(sqlx::query(AssertSqlSafe(sql)), cells);
                Ok(query.execute(&mut *self).await?.rows_affected())
            }

            async fn rows(
                &mut self,
                sql: String,
                cells: Vec<Cell>,
                columns: &[Stored],
            ) -> Result<Vec<Vec<Cell>>, Error> {
                let query = bound!(sqlx::query(AssertSqlSafe(sql)), cells);
                let mut read = Vec::new();
                for row in query.fetch_all(&mut *self).await? {
                    let mut cells = Vec::with_capacity(columns.len());
                    for (at, stored) in columns.iter().enumerate() {
                        let cell = match stored {
                            Stored::Int => row.try_get::<Option<i64>, _>(at)?.map(Cell::Int),
                            Stored::Bool => row.try_get::<Option<bool>, _>(at)?.map(Cell::Bool),
                            Stored::Text => row.try_get::<Option<String>, _>(at)?.map(Cell::Text),
                            Stored::Bytes => row.try_get::<Option<Vec<u8>>, _>(at)?.map(Cell::Bytes),
                        };
                        cells.push(cell.unwrap_or(Cell::Null(*stored)));
                    }
                    read.push(cells);
                }
                Ok(read)
            }
        }
    };
}

macro_rules! bound {
    ($query:expr, $cells:expr) => {{
        let mut query = $query;
        for cell in $cells {
            query = match cell {
                Cell::Null(Stored::Int) => query.bind(None::<i64>),
                Cell::Null(Stored::Bool) => query.bind(None::<bool>),
                Cell::Null(Stored::Text) => query.bind(None::<String>),
                Cell::Null(Stored::Bytes) => query.bind(None::<Vec<u8>>),
                Cell::Int(n) => query.bind(n),
                Cell::Bool(b) => query.bind(b),
                Cell::Text(text) => query.bind(text),
                Cell::Bytes(bytes) => query.bind(bytes),
            };
        }
        query
    }};
}

engine!(SqliteConnection, false);
engine!(PgConnection, true);
