//! Pages of vouchers, as the front desk looks through them.

use doorward_policy::voucher::VoucherStatus;
use sqlx::AssertSqlSafe;

use super::{VoucherRecord, row::VoucherRow};
use crate::store::{
    Error, Paging, SortColumn, Store,
    paging::{Cut, in_order},
    sql::{CHUNK, containing, parameters},
};

/// What a list of vouchers is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum VoucherSort {
    Created,
    Username,
    Fullname,
    Ends,
    LastLogin,
    Used,
}

impl SortColumn for VoucherSort {
    const ALL: &'static [(&'static str, Self)] = &[
        ("created", Self::Created),
        ("username", Self::Username),
        ("fullname", Self::Fullname),
        ("ends", Self::Ends),
        ("last", Self::LastLogin),
        ("used", Self::Used),
    ];

    fn sql(self) -> &'static str {
        match self {
            Self::Created => "v.id",
            Self::Username => "v.username_folded",
            // As the index `vouchers_listed` has them.
            Self::Fullname => "LOWER(v.fullname)",
            // What never ends comes last; NULL would stand on another side in each engine.
            Self::Ends => "COALESCE(g.ends_ms, 9223372036854775807)",
            Self::LastLogin => "COALESCE(v.last_login_ms, 0)",
            Self::Used => "g.used_down + g.used_up",
        }
    }
}

/// Which vouchers a page is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoucherRows {
    /// What they are good for now.
    pub status: Option<VoucherStatus>,
    /// Unix ms: those that were made together then.
    pub batch_ms: Option<i64>,
    /// With exactly this note; empty: any.
    pub note: String,
}

/// Which vouchers a list has; `$2` to `$7` are status, present, batch, note and the patterns of a search. Only what is asked
/// is in the statement.
fn conditions(search: &str, rows: &VoucherRows) -> String {
    let mut sql = "v.gateway_id = $1".to_owned();
    if rows.status.is_some() {
        sql += concat!(" AND ", status_sql!(), " = $2");
    }
    if rows.batch_ms.is_some() {
        sql += " AND v.created_ms = $4";
    }
    if !rows.note.is_empty() {
        sql += " AND v.note = $5";
    }
    if !search.is_empty() {
        sql += " AND (v.username_folded LIKE $6 ESCAPE '!' OR LOWER(v.fullname) LIKE $7 ESCAPE '!'
            OR LOWER(v.note) LIKE $7 ESCAPE '!')";
    }
    sql
}

/// What the conditions are about.
fn from(rows: &VoucherRows) -> &'static str {
    if rows.status.is_some() { "vouchers v JOIN grants g ON g.id = v.grant_id" } else { "vouchers v" }
}

/// Binds what [`conditions`] asks for.
macro_rules! bind {
    ($query:expr, $gateway:expr, $search:expr, $rows:expr, $now_ms:expr) => {
        $query
            .bind($gateway)
            .bind($rows.status.map_or("", VoucherStatus::as_str))
            .bind($now_ms)
            .bind($rows.batch_ms.unwrap_or(-1))
            .bind(&$rows.note)
            .bind(containing(&$search.to_lowercase()))
            .bind(containing(&$search.to_ascii_lowercase()))
    };
}

impl Store {
    /// A page of vouchers.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn voucher_rows(
        &self,
        paging: &Paging<VoucherSort>,
        rows: &VoucherRows,
        now_ms: i64,
    ) -> Result<Vec<VoucherRecord>, Error> {
        let far = paging.is_far();
        let total = if far { Some(self.count_voucher_rows(&paging.search, rows, now_ms).await?) } else { None };
        let ids = self.part_of_vouchers(paging, rows, now_ms, paging.cut(total)).await?;
        self.voucher_records(&ids).await
    }

    /// The ids of all vouchers of a list, sorted.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn voucher_ids(
        &self,
        paging: &Paging<VoucherSort>,
        rows: &VoucherRows,
        now_ms: i64,
    ) -> Result<Vec<i64>, Error> {
        self.part_of_vouchers(paging, rows, now_ms, Cut::ALL).await
    }

    async fn part_of_vouchers(
        &self,
        paging: &Paging<VoucherSort>,
        rows: &VoucherRows,
        now_ms: i64,
        cut: Cut,
    ) -> Result<Vec<i64>, Error> {
        let gateway = self.gateway();
        let grants = matches!(paging.sort, VoucherSort::Ends | VoucherSort::Used);
        let (conditions, from, order) = (conditions(&paging.search, rows), from(rows), paging.order("v.id", cut));
        let sql = if paging.search.is_empty() || paging.sort == VoucherSort::Created {
            let from = if grants { "vouchers v JOIN grants g ON g.id = v.grant_id" } else { from };
            format!("SELECT v.id FROM {from} WHERE {conditions} {order} LIMIT $8 OFFSET $9")
        } else {
            // First all that are found, then their order: the index of an order does not have what is searched.
            let join = if grants { "JOIN grants g ON g.id = v.grant_id" } else { "" };
            format!(
                "WITH found AS MATERIALIZED (SELECT v.id FROM {from} WHERE {conditions})
                 SELECT v.id FROM found f CROSS JOIN vouchers v {join} WHERE v.id = f.id {order} LIMIT $8 OFFSET $9"
            )
        };
        let ids = on_reader!(self.db(), |c| {
            bind!(sqlx::query_scalar(AssertSqlSafe(sql)), gateway, paging.search, rows, now_ms)
                .bind(cut.limit)
                .bind(cut.offset)
                .fetch_all(c)
                .await?
        });
        Ok(cut.forward(ids))
    }

    /// The vouchers with these ids, in their order; ids without a voucher are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn voucher_records(&self, ids: &[i64]) -> Result<Vec<VoucherRecord>, Error> {
        let gateway = self.gateway();
        let mut records = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let sql = format!("{} ({})", select!("WHERE v.gateway_id = $1 AND v.id IN"), parameters(2, chunk.len()));
            let rows: Vec<VoucherRow> = on_reader!(self.db(), |c| {
                let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(gateway);
                for id in chunk {
                    query = query.bind(id);
                }
                query.fetch_all(c).await?
            });
            for row in rows {
                records.push(row.open(self.key())?);
            }
        }
        Ok(in_order(ids, records, |record| record.id.0))
    }

    /// How many there are of such vouchers.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_voucher_rows(&self, search: &str, rows: &VoucherRows, now_ms: i64) -> Result<u64, Error> {
        let gateway = self.gateway();
        let sql = format!("SELECT COUNT(*) FROM {} WHERE {}", from(rows), conditions(search, rows));
        let count: i64 = on_reader!(self.db(), |c| {
            bind!(sqlx::query_scalar(AssertSqlSafe(sql)), gateway, search, rows, now_ms).fetch_one(c).await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// How many vouchers [`Store::remove_unused_vouchers`] would delete.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_unused_vouchers(&self, filter: &super::UnusedFilter) -> Result<u64, Error> {
        let gateway = self.gateway();
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar(
                "SELECT COUNT(*) FROM vouchers
                 WHERE gateway_id = $1 AND first_login_ms IS NULL AND created_ms < $2 AND ($3 OR note = $4)",
            )
            .bind(gateway)
            .bind(filter.created_before_ms.unwrap_or(i64::MAX))
            .bind(filter.note.is_none())
            .bind(filter.note.as_deref().unwrap_or_default())
            .fetch_one(c)
            .await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }
}
