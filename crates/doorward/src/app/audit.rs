//! The audit log.

use super::{App, Error, now_ms};
use crate::store;

pub use crate::store::{AuditRecord, AuditSort, Paging, SortColumn};

const DAY_MS: i64 = 86_400_000;

impl App {
    /// A page of the audit log, and how many lines the search finds.
    ///
    /// # Errors
    /// The store failed.
    pub async fn audit(&self, paging: &Paging<AuditSort>) -> Result<(Vec<AuditRecord>, u64), Error> {
        let rows = self.store().audit_page(paging).await.map_err(Error::Store)?;
        let total = match paging.total(rows.len()) {
            Some(total) => total,
            None => self.store().count_audit(&paging.search).await.map_err(Error::Store)?,
        };
        Ok((rows, total))
    }

    /// Which lines the search finds, sorted.
    ///
    /// # Errors
    /// The store failed.
    pub async fn audit_ids(&self, paging: &Paging<AuditSort>) -> Result<Vec<i64>, Error> {
        self.store().audit_ids(paging).await.map_err(Error::Store)
    }

    /// The lines with these ids, in their order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn audit_records(&self, ids: &[i64]) -> Result<Vec<AuditRecord>, Error> {
        self.store().audit_records(ids).await.map_err(Error::Store)
    }

    /// Deletes lines that are older than the settings say.
    ///
    /// # Errors
    /// The store failed.
    pub async fn prune_audit(&self) -> Result<u64, store::Error> {
        let keep_ms = i64::from(self.guest_settings().keep_audit_days) * DAY_MS;
        self.store().prune_audit(now_ms().saturating_sub(keep_ms)).await
    }
}
