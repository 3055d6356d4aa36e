//! What operators changed.

use sqlx::{AssertSqlSafe, FromRow};

use super::{Error, Paging, SortColumn, Store, paging::Cut, sql::containing};

/// Names a line of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId(pub i64);

/// A change that is about to be made.
#[derive(Debug, Clone, Default)]
pub struct NewAudit {
    /// Unix ms.
    pub created_ms: i64,
    /// Name of the operator.
    pub actor: String,
    /// Where they are.
    pub address: String,
    /// Part of the gateway.
    pub module: &'static str,
    /// What is done.
    pub action: &'static str,
    /// What it is done to.
    pub object: String,
    /// How it was, without secrets.
    pub before: String,
    /// How it is to be, without secrets.
    pub after: String,
}

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
#[expect(missing_docs, reason = "as in NewAudit")]
pub struct AuditRecord {
    pub id: i64,
    pub created_ms: i64,
    pub actor: String,
    pub address: String,
    pub module: String,
    pub action: String,
    pub object: String,
    pub before: String,
    pub after: String,
    /// `None`: not told, as when the gateway was killed meanwhile; empty: done; else why not.
    pub outcome: Option<String>,
}

/// What a list of the audit log is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum AuditSort {
    Time,
    Actor,
    Module,
    Object,
}

impl SortColumn for AuditSort {
    const ALL: &'static [(&'static str, Self)] =
        &[("time", Self::Time), ("actor", Self::Actor), ("module", Self::Module), ("object", Self::Object)];

    fn sql(self) -> &'static str {
        match self {
            Self::Time => "id",
            // As the index `audit_listed` has them.
            Self::Actor => "LOWER(actor)",
            Self::Module => "LOWER(module)",
            Self::Object => "LOWER(object)",
        }
    }
}

/// Which lines a search finds; `$2` is its pattern. Only what is asked is in the statement.
fn found(search: &str) -> &'static str {
    if search.is_empty() {
        return "FROM audit WHERE gateway_id = $1";
    }
    "FROM audit WHERE gateway_id = $1 AND (LOWER(actor) LIKE $2 ESCAPE '!' OR LOWER(object) LIKE $2 ESCAPE '!'
        OR LOWER(action) LIKE $2 ESCAPE '!' OR LOWER(module) LIKE $2 ESCAPE '!' OR address LIKE $2 ESCAPE '!')"
}

impl Store {
    /// Notes a change before it is made.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn begin_audit(&self, new: NewAudit) -> Result<AuditId, Error> {
        let gateway = self.gateway();
        let id = on_writer!(self.db(), |c| {
            let id: i64 = sqlx::query_scalar(
                "INSERT INTO audit (gateway_id, created_ms, actor, address, module, action, object, before, after)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
            )
            .bind(gateway)
            .bind(new.created_ms)
            .bind(new.actor)
            .bind(new.address)
            .bind(new.module)
            .bind(new.action)
            .bind(new.object)
            .bind(new.before)
            .bind(new.after)
            .fetch_one(c)
            .await?;
            Ok(id)
        })?;
        Ok(AuditId(id))
    }

    /// Notes what became of it: empty for done, else why not.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn finish_audit(&self, id: AuditId, outcome: String) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            sqlx::query("UPDATE audit SET outcome = $3 WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id.0)
                .bind(outcome)
                .execute(c)
                .await?;
            Ok(())
        })
    }

    /// A page of the audit log.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn audit_page(&self, paging: &Paging<AuditSort>) -> Result<Vec<AuditRecord>, Error> {
        let total = if paging.is_far() { Some(self.count_audit(&paging.search).await?) } else { None };
        let ids = self.part_of_audit(paging, paging.cut(total)).await?;
        self.audit_records(&ids).await
    }

    /// The ids of all lines that a search finds, sorted.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn audit_ids(&self, paging: &Paging<AuditSort>) -> Result<Vec<i64>, Error> {
        self.part_of_audit(paging, Cut::ALL).await
    }

    async fn part_of_audit(&self, paging: &Paging<AuditSort>, cut: Cut) -> Result<Vec<i64>, Error> {
        let gateway = self.gateway();
        let sql = format!("SELECT id {} {} LIMIT $3 OFFSET $4", found(&paging.search), paging.order("id", cut));
        let ids = on_reader!(self.db(), |c| {
            sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(containing(&paging.search.to_ascii_lowercase()))
                .bind(cut.limit)
                .bind(cut.offset)
                .fetch_all(c)
                .await?
        });
        Ok(cut.forward(ids))
    }

    /// The lines with these ids, in their order; ids without a line are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn audit_records(&self, ids: &[i64]) -> Result<Vec<AuditRecord>, Error> {
        rows_of_ids!(
            self,
            ids,
            AuditRecord,
            "SELECT id, created_ms, actor, address, module, action, object, before, after, outcome FROM audit"
        )
    }

    /// How many lines of the audit log a search finds.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_audit(&self, search: &str) -> Result<u64, Error> {
        let gateway = self.gateway();
        let sql = format!("SELECT COUNT(*) {}", found(search));
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(containing(&search.to_ascii_lowercase()))
                .fetch_one(c)
                .await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Deletes lines that are older than a moment (Unix ms).
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn prune_audit(&self, before_ms: i64) -> Result<u64, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let done = sqlx::query("DELETE FROM audit WHERE gateway_id = $1 AND created_ms < $2")
                .bind(gateway)
                .bind(before_ms)
                .execute(c)
                .await?;
            Ok(done.rows_affected())
        })
    }
}
