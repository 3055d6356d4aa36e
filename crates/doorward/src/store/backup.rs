//! All that a backup holds, read as of one moment and put back in one transaction.

mod engine;
mod export;
mod import;
mod tables;

pub use import::{Feed, ImportError, Lineage, PartReader};

use self::{
    engine::Engine,
    tables::{Cell, Owner, Table},
};
use super::{Error, Store};
use crate::secrets::Place;

const MACHINE: Place<'static> = Place { table: "backups", column: "archive", owner: "machine" };

impl Store {
    /// The key of this machine for archives with that salt; another master key makes others.
    #[must_use]
    pub fn machine_key(&self, salt: &[u8]) -> [u8; 32] {
        self.key().digest(MACHINE, salt)
    }

    fn owner_of(&self, table: &Table, owner: Owner, row: &[Cell]) -> String {
        let (Owner::Text(column) | Owner::Hex(column)) = owner else { return self.instance_id().to_owned() };
        match table.position(column).and_then(|at| row.get(at)) {
            Some(Cell::Text(text)) => text.clone(),
            Some(Cell::Bytes(bytes)) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
            Some(Cell::Null(_) | Cell::Int(_) | Cell::Bool(_)) | None => String::new(),
        }
    }
}

fn place_of<'a>(table: &'static str, column: &'static str, owner: &'a str) -> Place<'a> {
    Place { table, column, owner }
}

/// PostgreSQL gives the statements of this transaction more time than others have.
async fn patience<E: Engine>(c: &mut E, wait_ms: u32) -> Result<(), Error> {
    for setting in ["statement_timeout", "idle_in_transaction_session_timeout"] {
        c.execute(format!("SET LOCAL {setting} = {wait_ms}"), Vec::new()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sqlx::Row as _;

    use super::{
        super::db::Db,
        tables::{Kind, LEFT_OUT, Mine, TABLES},
        *,
    };
    use crate::secrets::MasterKey;

    /// A migration that adds a table or a column must say in the list what becomes of it in a backup.
    #[tokio::test]
    async fn backup_list_knows_every_table_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("doorward.db").display());
        let store = Store::open(&url, "default", MasterKey::from_bytes([1; 32])).await.unwrap();
        let Db::Sqlite(sqlite) = store.db() else { panic!("SQLite") };
        let mut connection = sqlite.reader().await.unwrap();
        let names: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
                .fetch_all(&mut *connection)
                .await
                .unwrap();
        let ours: BTreeSet<&str> =
            TABLES.iter().map(|t| t.name).chain(LEFT_OUT.iter().map(|(name, _)| *name)).collect();
        let there: BTreeSet<&str> =
            names.iter().map(String::as_str).filter(|n| !n.starts_with("sqlite_") && !n.starts_with("_sqlx")).collect();
        assert_eq!(ours, there);
        let mut parents = BTreeSet::new();
        for table in TABLES {
            let sql = format!("PRAGMA table_info({})", table.name);
            let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *connection).await.unwrap();
            let mut there: Vec<(String, bool)> = rows
                .iter()
                .map(|row| (row.get::<String, _>(1), row.get::<i64, _>(3) == 0 && row.get::<i64, _>(5) == 0))
                .collect();
            if table.mine == Mine::Gateway {
                there.retain(|(name, _)| name != "gateway_id");
            }
            there.sort();
            let mut ours: Vec<(String, bool)> =
                table.columns.iter().map(|column| (column.name.to_owned(), column.null)).collect();
            ours.sort();
            assert_eq!(ours, there, "{}", table.name);
            // Parents come before what refers to them.
            for column in table.columns {
                if let Kind::Ref(parent) = column.kind {
                    assert!(parents.contains(parent), "{}.{}", table.name, column.name);
                }
            }
            parents.insert(table.name);
        }
    }
}
