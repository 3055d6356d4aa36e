//! All that a backup holds, read as of one moment and put back in one transaction.

mod engine;
mod export;
mod import;
mod tables;

pub use import::{Feed, ImportError, Lineage};

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
