//! Pages of vouchers, as the front desk looks through them.

use doorward_policy::voucher::VoucherStatus;
use sqlx::AssertSqlSafe;

use super::{VoucherRecord, row::VoucherRow};
use crate::store::{Error, Paging, SortColumn, Store, sql::containing};

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
            Self::Fullname => "v.fullname",
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

macro_rules! filter_sql {
    () => {
        concat!(
            "WHERE v.gateway_id = $1 AND ($2 = '' OR ",
            status_sql!(),
            " = $2) AND ($4 < 0 OR v.created_ms = $4) AND ($5 = '' OR v.note = $5)
             AND ($6 = '' OR v.username_folded LIKE $7 ESCAPE '!' OR LOWER(v.fullname) LIKE $8 ESCAPE '!'
                OR LOWER(v.note) LIKE $8 ESCAPE '!') "
        )
    };
}

/// A page in the order of making needs no more than its own rows.
const NEWEST: &str = "WHERE v.gateway_id = $1 ORDER BY v.id";

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
        let gateway = self.gateway();
        let whole = *rows == VoucherRows::default() && paging.search.is_empty();
        let found: Vec<VoucherRow> = if whole && paging.sort == VoucherSort::Created {
            let way = if paging.descending { "DESC" } else { "ASC" };
            let sql = format!("{}{NEWEST} {way} LIMIT $2 OFFSET $3", select!(""));
            on_reader!(self.db(), |c| {
                sqlx::query_as(AssertSqlSafe(sql))
                    .bind(gateway)
                    .bind(paging.limit())
                    .bind(paging.offset())
                    .fetch_all(c)
                    .await?
            })
        } else {
            let sql = format!("{}{}", select!(filter_sql!()), paging.tail("v.id", 9));
            on_reader!(self.db(), |c| {
                sqlx::query_as(AssertSqlSafe(sql))
                    .bind(gateway)
                    .bind(rows.status.map_or("", VoucherStatus::as_str))
                    .bind(now_ms)
                    .bind(rows.batch_ms.unwrap_or(-1))
                    .bind(&rows.note)
                    .bind(&paging.search)
                    .bind(containing(&paging.search.to_lowercase()))
                    .bind(containing(&paging.search.to_ascii_lowercase()))
                    .bind(paging.limit())
                    .bind(paging.offset())
                    .fetch_all(c)
                    .await?
            })
        };
        found.into_iter().map(|row| row.open(self.key())).collect()
    }

    /// How many there are of such vouchers.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_voucher_rows(&self, search: &str, rows: &VoucherRows, now_ms: i64) -> Result<u64, Error> {
        if search.is_empty() && *rows == VoucherRows::default() {
            return self.count_vouchers().await;
        }
        let gateway = self.gateway();
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar(concat!(
                "SELECT COUNT(*) FROM vouchers v JOIN grants g ON g.id = v.grant_id ",
                filter_sql!()
            ))
            .bind(gateway)
            .bind(rows.status.map_or("", VoucherStatus::as_str))
            .bind(now_ms)
            .bind(rows.batch_ms.unwrap_or(-1))
            .bind(&rows.note)
            .bind(search)
            .bind(containing(&search.to_lowercase()))
            .bind(containing(&search.to_ascii_lowercase()))
            .fetch_one(c)
            .await?
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
