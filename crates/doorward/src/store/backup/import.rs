//! Putting the rows of a backup in the place of what is there, in one transaction.

use std::{collections::HashMap, time::Duration};

use tokio::sync::mpsc;

use super::{
    super::{Error, Store, db::Db, postgres, sql::parameters},
    engine::Engine,
    place_of,
    tables::{Cell, Kind, LEFT_OUT, Layout, Mine, Stored, TABLES, Table},
};
use crate::backup::Part;

/// Longest time for a whole restore, and for one statement of it.
const LONGEST: Duration = Duration::from_mins(30);
const STATEMENT_WAIT_MS: u32 = 600_000;
/// Parameters of one statement at most; see `sql::CHUNK`.
const MOST_PARAMETERS: usize = 400;

/// What a restore is fed with. Anything but [`Self::End`] as the last one undoes all of it.
#[derive(Debug)]
pub enum Feed {
    /// Rows, in the order of the archive.
    Part(Part),
    /// That was all.
    End,
}

/// Why a restore changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// What is there could not be removed.
    #[error("what is there could not be removed")]
    Delete(#[source] Error),
    /// A row cannot be stored.
    #[error("a row of {0} cannot be stored")]
    Row(String, #[source] Error),
    /// The archive broke off.
    #[error("the archive broke off")]
    BrokeOff,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Whose rows they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lineage {
    /// This gateway's: numbers stay, and the kernel's counters are those of the same rows.
    Same,
    /// Another gateway's: rows get numbers that nobody had.
    Other,
}

impl Store {
    /// Puts what `feed` brings in the place of what is there, in one transaction: all of it, or nothing. Sessions that were
    /// open have ended: who was online logs in again.
    ///
    /// # Errors
    /// [`ImportError`]; nothing is changed then.
    pub async fn import(
        &self,
        lineage: Lineage,
        mut feed: mpsc::Receiver<Feed>,
        now_ms: i64,
    ) -> Result<(), ImportError> {
        let store = self.clone();
        // The writer's errors are the store's; ours go beside it.
        let why = std::sync::Arc::new(std::sync::Mutex::new(None));
        let told = std::sync::Arc::clone(&why);
        macro_rules! work {
            ($c:ident) => {{
                let mut import = Import { store, lineage, offsets: HashMap::new() };
                import.run($c, &mut feed, now_ms).await.map_err(|error| {
                    *told.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                    Error::Missing
                })
            }};
        }
        let done = match self.db() {
            Db::Sqlite(sqlite) => sqlite.write_within(LONGEST, move |c| Box::pin(async move { work!(c) })).await,
            Db::Postgres(pool) => postgres::write(pool, move |c| Box::pin(async move { work!(c) })).await,
        };
        match (done, why.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(error)) => Err(error),
            (Err(error), None) => Err(error.into()),
        }
    }
}

struct Import {
    store: Store,
    lineage: Lineage,
    /// What is added to the numbers of each table's rows.
    offsets: HashMap<&'static str, i64>,
}

impl Import {
    async fn run<E: Engine>(
        &mut self,
        c: &mut E,
        feed: &mut mpsc::Receiver<Feed>,
        now_ms: i64,
    ) -> Result<(), ImportError> {
        self.number(c).await?;
        let counts = self.kernel_counts(c).await?;
        self.clear(c).await.map_err(ImportError::Delete)?;
        let mut reader = PartReader::default();
        loop {
            match feed.recv().await {
                Some(Feed::Part(part)) => {
                    let (table, rows) = reader.rows(&part).map_err(|_| ImportError::BrokeOff)?;
                    self.insert(c, table, rows).await.map_err(|error| ImportError::Row(part.table, error))?;
                }
                Some(Feed::End) => break,
                None => return Err(ImportError::BrokeOff),
            }
        }
        self.end_sessions(c, now_ms).await?;
        self.put_back_counts(c, counts).await?;
        if E::POSTGRES {
            self.raise_sequences(c).await?;
        }
        Ok(())
    }

    /// Numbers that nobody had begin after the last that was given out.
    async fn number<E: Engine>(&mut self, c: &mut E) -> Result<(), Error> {
        if E::POSTGRES {
            super::patience(c, STATEMENT_WAIT_MS).await?;
        }
        for table in TABLES.iter().filter(|table| table.has_id()) {
            let name = table.name;
            if E::POSTGRES && self.lineage == Lineage::Other {
                // Another gateway may share the database, and must not be given a number of ours meanwhile.
                c.execute(format!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE"), Vec::new()).await?;
            }
            let sql = if E::POSTGRES {
                format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {name}_id_seq")
            } else {
                format!("SELECT seq FROM sqlite_sequence WHERE name = '{name}'")
            };
            let last = match c.rows(sql, Vec::new(), &[Stored::Int]).await?.first().and_then(|row| row.first()) {
                Some(Cell::Int(last)) => *last,
                Some(Cell::Null(_) | Cell::Bool(_) | Cell::Text(_) | Cell::Bytes(_)) | None => 0,
            };
            self.offsets.insert(name, if self.lineage == Lineage::Same { 0 } else { last });
        }
        Ok(())
    }

    /// What the kernel's counters showed: they go on counting for accounts that stay.
    async fn kernel_counts<E: Engine>(&self, c: &mut E) -> Result<Vec<Vec<Cell>>, Error> {
        if self.lineage == Lineage::Other {
            return Ok(Vec::new());
        }
        let sql = "SELECT account_id, raw_up, raw_down FROM usage_counts
                   WHERE account_id IN (SELECT id FROM accounts WHERE gateway_id = $1)";
        c.rows(sql.to_owned(), self.gateway(), &[Stored::Int; 3]).await
    }

    async fn put_back_counts<E: Engine>(&self, c: &mut E, counts: Vec<Vec<Cell>>) -> Result<(), Error> {
        for mut row in counts {
            let sql = "INSERT INTO usage_counts (account_id, raw_up, raw_down)
                       SELECT id, $3, $4 FROM accounts WHERE gateway_id = $1 AND id = $2";
            let mut cells = self.gateway();
            cells.append(&mut row);
            c.execute(sql.to_owned(), cells).await?;
        }
        Ok(())
    }

    async fn clear<E: Engine>(&self, c: &mut E) -> Result<(), Error> {
        for (table, _) in LEFT_OUT.iter().filter(|(_, emptied)| *emptied) {
            c.execute(format!("DELETE FROM {table} WHERE gateway_id = $1"), self.gateway()).await?;
        }
        for table in TABLES.iter().rev() {
            c.execute(format!("DELETE FROM {} WHERE {}", table.name, table.filter()), self.gateway()).await?;
        }
        Ok(())
    }

    async fn insert<E: Engine>(&self, c: &mut E, table: &Table, rows: Vec<Vec<Cell>>) -> Result<(), Error> {
        let own = usize::from(table.mine == Mine::Gateway);
        let width = table.columns.len() + own;
        let mut names: Vec<&str> = if own == 1 { vec!["gateway_id"] } else { Vec::new() };
        names.extend(table.columns.iter().map(|column| column.name));
        let overriding = if E::POSTGRES && table.has_id() { " OVERRIDING SYSTEM VALUE" } else { "" };
        let begin = format!("INSERT INTO {} ({}){overriding} VALUES ", table.name, names.join(", "));
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut cells = Vec::new();
            let mut places = Vec::new();
            for row in rows.by_ref().take((MOST_PARAMETERS / width).max(1)) {
                places.push(format!("({})", parameters(cells.len() + 1, width)));
                if own == 1 {
                    cells.append(&mut self.gateway());
                }
                cells.append(&mut self.own(table, row)?);
            }
            c.execute(format!("{begin}{}", places.join(", ")), cells).await?;
        }
        Ok(())
    }

    /// The row as it stands here: with numbers of ours, sealed under our key.
    fn own(&self, table: &Table, mut row: Vec<Cell>) -> Result<Vec<Cell>, Error> {
        for (at, column) in table.columns.iter().enumerate() {
            let of = match column.kind {
                Kind::Id => table.name,
                Kind::Ref(other) => other,
                Kind::Sealed(owner) => {
                    let owner = self.store.owner_of(table, owner, &row);
                    if let Some(Cell::Bytes(secret)) = row.get_mut(at) {
                        *secret = self.store.key().seal(place_of(table.name, column.name, &owner), secret)?;
                    }
                    continue;
                }
                Kind::Int | Kind::Bool | Kind::Text | Kind::Bytes => continue,
            };
            if let Some(Cell::Int(number)) = row.get_mut(at) {
                let offset = self.offsets.get(of).copied().unwrap_or_default();
                // Nobody gives out as many numbers; a made-up one collides or refers to nothing.
                *number = number.saturating_add(offset);
            }
        }
        Ok(row)
    }

    /// Nobody is online by what was restored: access that was withdrawn since does not come back by itself.
    async fn end_sessions<E: Engine>(&self, c: &mut E, now_ms: i64) -> Result<(), Error> {
        let mut cells = self.gateway();
        cells.push(Cell::Int(now_ms));
        cells.push(Cell::Bool(true));
        let sql =
            "UPDATE sessions SET ended_ms = COALESCE(ended_ms, $2), end_reason = COALESCE(end_reason, 'replaced'),
                       collected = $3
                   WHERE gateway_id = $1 AND (ended_ms IS NULL OR NOT collected)";
        c.execute(sql.to_owned(), cells).await?;
        c.execute(
            "UPDATE grants SET mark = NULL WHERE gateway_id = $1 AND mark IS NOT NULL".to_owned(),
            self.gateway(),
        )
        .await?;
        Ok(())
    }

    async fn raise_sequences<E: Engine>(&self, c: &mut E) -> Result<(), Error> {
        for name in TABLES.iter().filter(|table| table.has_id()).map(|table| table.name) {
            let sql = format!(
                "SELECT setval('{name}_id_seq', GREATEST((SELECT last_value FROM {name}_id_seq),
                     (SELECT COALESCE(MAX(id), 1) FROM {name})))"
            );
            c.rows(sql, Vec::new(), &[Stored::Int]).await?;
        }
        Ok(())
    }

    fn gateway(&self) -> Vec<Cell> {
        vec![Cell::Int(self.store.gateway())]
    }
}

/// Reads the parts of an archive in their order; the first of each table begins with the names of its columns.
#[derive(Default)]
pub struct PartReader(Option<Layout>);

impl PartReader {
    /// Looks at a part without storing it.
    ///
    /// # Errors
    /// Names what makes no sense.
    pub fn check(&mut self, part: &Part) -> Result<(), String> {
        self.rows(part).map(drop)
    }

    fn rows(&mut self, part: &Part) -> Result<(&'static Table, Vec<Vec<Cell>>), String> {
        let table =
            Table::find(&part.table).ok_or_else(|| format!("{} is unknown: it is of a newer version", part.table))?;
        let mut lines = part.lines.split_inclusive(|b| *b == b'\n');
        let layout = match &self.0 {
            Some(layout) if layout.table.name == table.name => layout,
            Some(_) | None => {
                let layout = lines.next().and_then(|head| Layout::of(table, head));
                let layout =
                    layout.ok_or_else(|| format!("{} has other columns: it is of another version", table.name))?;
                self.0.insert(layout)
            }
        };
        let read = |line: &[u8]| layout.read(line).ok_or_else(|| format!("a row of {} makes no sense", table.name));
        Ok((table, lines.map(read).collect::<Result<_, _>>()?))
    }
}
