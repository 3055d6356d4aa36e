//! Links as lists show them: without keys.

use std::net::IpAddr;

use sqlx::{AssertSqlSafe, FromRow};

use super::{
    super::{Error, Paging, SortColumn, Store, error::corrupt, sql::containing},
    LinkId, TABLE,
};

/// A link of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in LinkRecord")]
pub struct LinkLine {
    pub id: LinkId,
    pub account: String,
    pub uses: i64,
    pub uses_left: i64,
    pub created_ms: i64,
    pub expires_ms: i64,
    pub used_ms: Option<i64>,
    pub used_from: Option<IpAddr>,
}

/// What a list of links is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LinkSort {
    Created,
    Account,
    Expires,
}

impl SortColumn for LinkSort {
    const ALL: &'static [(&'static str, Self)] =
        &[("created", Self::Created), ("account", Self::Account), ("expires", Self::Expires)];

    fn sql(self) -> &'static str {
        match self {
            Self::Created => "l.id",
            Self::Account => "a.name",
            Self::Expires => "l.expires_ms",
        }
    }
}

const LIVE: &str = "l.gateway_id = $1 AND l.uses_left > 0 AND l.expires_ms > $4";

/// Only what is asked is in the statement: a join costs a look at each row.
fn from(search: &str, named: bool) -> String {
    let join = if named || !search.is_empty() { "JOIN accounts a ON a.id = l.account_id" } else { "" };
    let found = if search.is_empty() { "" } else { "AND LOWER(a.name) LIKE $3 ESCAPE '!'" };
    format!("FROM one_time_links l {join} WHERE {LIVE} {found}")
}

#[derive(FromRow)]
struct LineRow {
    id: i64,
    account: String,
    uses: i64,
    uses_left: i64,
    created_ms: i64,
    expires_ms: i64,
    used_ms: Option<i64>,
    used_from: Option<String>,
}

impl Store {
    /// A page of the links that can be used at a moment (Unix ms).
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn link_page(&self, paging: &Paging<LinkSort>, at_ms: i64) -> Result<Vec<LinkLine>, Error> {
        let gateway = self.gateway();
        let sql = format!(
            "SELECT l.id, a.name AS account, l.uses, l.uses_left, l.created_ms, l.expires_ms, l.used_ms, l.used_from
             {} {}",
            from(&paging.search, true),
            paging.tail("l.id", 5)
        );
        let rows: Vec<LineRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(&paging.search)
                .bind(containing(&paging.search.to_lowercase()))
                .bind(at_ms)
                .bind(paging.limit())
                .bind(paging.offset())
                .fetch_all(c)
                .await?
        });
        rows.into_iter().map(LineRow::open).collect()
    }

    /// How many of them a search finds.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_link_page(&self, search: &str, at_ms: i64) -> Result<u64, Error> {
        let gateway = self.gateway();
        let sql = format!("SELECT COUNT(*) {}", from(search, false));
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(search)
                .bind(containing(&search.to_lowercase()))
                .bind(at_ms)
                .fetch_one(c)
                .await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

impl LineRow {
    fn open(self) -> Result<LinkLine, Error> {
        let Self { id, account, uses, uses_left, created_ms, expires_ms, used_ms, used_from } = self;
        let bad = corrupt(TABLE, id);
        let used_from = used_from.map(|text| text.parse()).transpose().map_err(|_| bad("used_from"))?;
        Ok(LinkLine { id: LinkId(id), account, uses, uses_left, created_ms, expires_ms, used_ms, used_from })
    }
}
