//! Reading all rows that a backup holds, as of one moment.

use sqlx::Connection as _;
use tokio::sync::mpsc;

use super::{
    super::{Error, Store, error::corrupt},
    engine::Engine,
    place_of,
    tables::{Cell, Kind, Part as Which, Stored, TABLES, Table},
};
use crate::backup::Part;

/// Rows that are read at once.
const PAGE: usize = 500;
/// Longest time for a page, and for the receiver to take one (PostgreSQL).
const PAGE_WAIT_MS: u32 = 120_000;

impl Store {
    /// Sends all rows that a backup holds, with their secrets open, as of one moment; others go on writing meanwhile.
    /// Ends early where the receiver is gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`] for a secret that does not open.
    pub async fn export(&self, statistics: bool, parts: mpsc::Sender<Part>) -> Result<(), Error> {
        on_reader!(self.db(), |c| {
            // The first statement that reads takes the moment; both engines keep to it until the end.
            let mut transaction = c.begin().await?;
            begin(&mut *transaction).await?;
            for table in TABLES.iter().filter(|table| statistics || table.part == Which::Always) {
                if !self.export_table(&mut *transaction, table, &parts).await? {
                    break;
                }
            }
            transaction.rollback().await?;
        });
        Ok(())
    }

    /// `false`: nobody takes it any more.
    async fn export_table<E: Engine>(
        &self,
        c: &mut E,
        table: &Table,
        parts: &mpsc::Sender<Part>,
    ) -> Result<bool, Error> {
        let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let types: Vec<Stored> = table.columns.iter().map(|column| column.kind.stored()).collect();
        let select = format!("SELECT {} FROM {} WHERE {}", names.join(", "), table.name, table.filter());
        let mut lines = table.head();
        let mut after: Vec<Cell> = Vec::new();
        loop {
            let mut cells = vec![Cell::Int(self.gateway())];
            let mut sql = select.clone();
            if !after.is_empty() {
                let among: Vec<String> = (2..2 + after.len()).map(|n| format!("${n}")).collect();
                sql += &format!(" AND ({}) > ({})", table.key.join(", "), among.join(", "));
                cells.append(&mut after);
            }
            if !table.key.is_empty() {
                sql += &format!(" ORDER BY {} LIMIT {PAGE}", table.key.join(", "));
            }
            let rows = c.rows(sql, cells, &types).await?;
            let full = rows.len() == PAGE && !table.key.is_empty();
            if let Some(last) = rows.last() {
                after = table.key.iter().filter_map(|name| last.get(table.position(name)?).cloned()).collect();
            }
            for row in rows {
                table.line(&self.opened(table, row)?, &mut lines);
            }
            let part = Part { table: table.name.to_owned(), lines: std::mem::take(&mut lines) };
            if !part.lines.is_empty() && parts.send(part).await.is_err() {
                return Ok(false);
            }
            if !full {
                return Ok(true);
            }
        }
    }

    /// The row with its secrets open: another machine has another master key.
    fn opened(&self, table: &Table, mut row: Vec<Cell>) -> Result<Vec<Cell>, Error> {
        for (at, column) in table.columns.iter().enumerate() {
            let Kind::Sealed(owner) = column.kind else { continue };
            let owner = self.owner_of(table, owner, &row);
            let bad = corrupt(table.name, id_of(table, &row));
            if let Some(Cell::Bytes(sealed)) = row.get_mut(at) {
                let place = place_of(table.name, column.name, &owner);
                *sealed = self.key().open(place, sealed).map_err(|_| bad(column.name))?.to_vec();
            }
        }
        Ok(row)
    }
}

fn id_of(table: &Table, row: &[Cell]) -> i64 {
    match table.position("id").and_then(|at| row.get(at)) {
        Some(Cell::Int(id)) => *id,
        Some(Cell::Null(_) | Cell::Bool(_) | Cell::Text(_) | Cell::Bytes(_)) | None => 0,
    }
}

async fn begin<E: Engine>(c: &mut E) -> Result<(), Error> {
    if E::POSTGRES {
        c.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY".to_owned(), Vec::new()).await?;
        super::patience(c, PAGE_WAIT_MS).await?;
    }
    Ok(())
}
