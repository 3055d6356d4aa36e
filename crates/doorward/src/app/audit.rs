//! The audit log.

use super::{App, Error};

pub use crate::store::{AuditRecord, AuditSort, Paging, SortColumn};

impl App {
    /// A page of the audit log, and how many lines the search finds.
    ///
    /// # Errors
    /// The store failed.
    pub async fn audit(&self, paging: &Paging<AuditSort>) -> Result<(Vec<AuditRecord>, u64), Error> {
        let rows = self.store().audit_page(paging).await.map_err(Error::Store)?;
        let total = self.store().count_audit(&paging.search).await.map_err(Error::Store)?;
        Ok((rows, total))
    }
}
