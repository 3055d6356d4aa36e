//! Pages of persons and of the login log, and how logins went, as the panel shows them.

use doorward_policy::guest::Method;
use sqlx::AssertSqlSafe;

use super::{Error, GuestRecord, LoginRecord, Paging, SortColumn, Store, sql::containing};

/// What a list of persons is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum GuestSort {
    Last,
    First,
    Who,
    Visits,
}

impl SortColumn for GuestSort {
    const ALL: &'static [(&'static str, Self)] =
        &[("last", Self::Last), ("first", Self::First), ("who", Self::Who), ("visits", Self::Visits)];

    fn sql(self) -> &'static str {
        match self {
            Self::Last => "last_login_ms",
            Self::First => "id",
            Self::Who => "identity",
            Self::Visits => "visits",
        }
    }
}

/// What the login log is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LoginSort {
    Time,
    Login,
    Method,
    Mac,
}

impl SortColumn for LoginSort {
    const ALL: &'static [(&'static str, Self)] =
        &[("time", Self::Time), ("login", Self::Login), ("method", Self::Method), ("mac", Self::Mac)];

    fn sql(self) -> &'static str {
        match self {
            Self::Time => "id",
            Self::Login => "login",
            Self::Method => "method",
            Self::Mac => "mac",
        }
    }
}

/// Which attempts a page of the login log is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoginRows {
    /// How.
    pub method: Option<Method>,
    /// Let in, or not.
    pub success: Option<bool>,
}

/// How logins by a method went in some time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginReport {
    /// Who was let in, each counted once.
    pub persons: u64,
    /// Those of them who were let in more than once.
    pub returning: u64,
    /// Logins that were let in, in quarters of an hour since 1970: when, and how many.
    pub succeeded: Vec<(i64, u64)>,
    /// Those that were not.
    pub failed: Vec<(i64, u64)>,
}

/// A quarter of an hour: every time zone's days begin with one.
pub const QUARTER_MS: i64 = 900_000;

const PERSONS: &str = "FROM guests WHERE gateway_id = $1 AND method = $2
    AND ($3 = '' OR LOWER(identity) LIKE $4 ESCAPE '!' OR LOWER(email) LIKE $4 ESCAPE '!' OR mobile LIKE $4 ESCAPE '!'
        OR LOWER(name) LIKE $4 ESCAPE '!' OR LOWER(last_mac) LIKE $4 ESCAPE '!')";

const LOGINS: &str = "FROM logins WHERE gateway_id = $1 AND ($2 = '' OR method = $2) AND ($3 OR success = $4)
    AND ($5 = '' OR LOWER(login) LIKE $6 ESCAPE '!' OR LOWER(mac) LIKE $6 ESCAPE '!' OR address LIKE $6 ESCAPE '!')";

impl Store {
    /// A page of the persons of a method.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn guest_rows(&self, method: Method, paging: &Paging<GuestSort>) -> Result<Vec<GuestRecord>, Error> {
        let gateway = self.gateway();
        let sql = format!(
            "SELECT id, email, mobile, name, picture, comments, comments1, comments2, marketing, verified, visits,
                last_mac, created_ms, modified_ms, last_login_ms {PERSONS} {}",
            paging.tail("id", 5)
        );
        Ok(on_reader!(self.db(), |c| {
            sqlx::query_as(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(method.as_str())
                .bind(&paging.search)
                .bind(containing(&paging.search.to_ascii_lowercase()))
                .bind(paging.limit())
                .bind(paging.offset())
                .fetch_all(c)
                .await?
        }))
    }

    /// How many persons of a method a search finds.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_guest_rows(&self, method: Method, search: &str) -> Result<u64, Error> {
        let gateway = self.gateway();
        let sql = format!("SELECT COUNT(*) {PERSONS}");
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(method.as_str())
                .bind(search)
                .bind(containing(&search.to_ascii_lowercase()))
                .fetch_one(c)
                .await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// What a person is known by among those of the method.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn guest_identity(&self, id: i64) -> Result<Option<(String, String)>, Error> {
        let gateway = self.gateway();
        Ok(on_reader!(self.db(), |c| {
            sqlx::query_as("SELECT method, identity FROM guests WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id)
                .fetch_optional(c)
                .await?
        }))
    }

    /// A page of the login log.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn login_rows(&self, paging: &Paging<LoginSort>, rows: LoginRows) -> Result<Vec<LoginRecord>, Error> {
        let gateway = self.gateway();
        // Conditions that always hold would make PostgreSQL sort everything.
        let whole = rows == LoginRows::default() && paging.search.is_empty();
        let sql = format!(
            "SELECT id, created_ms, method, login, mac, address, success, reason {} {}",
            if whole { "FROM logins WHERE gateway_id = $1" } else { LOGINS },
            paging.tail("id", if whole { 2 } else { 7 })
        );
        Ok(on_reader!(self.db(), |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(gateway);
            if !whole {
                query = query
                    .bind(rows.method.map_or("", Method::as_str))
                    .bind(rows.success.is_none())
                    .bind(rows.success.unwrap_or_default())
                    .bind(paging.search.clone())
                    .bind(containing(&paging.search.to_ascii_lowercase()));
            }
            query.bind(paging.limit()).bind(paging.offset()).fetch_all(c).await?
        }))
    }

    /// How many attempts such a list has.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_login_rows(&self, search: &str, rows: LoginRows) -> Result<u64, Error> {
        let gateway = self.gateway();
        let whole = rows == LoginRows::default() && search.is_empty();
        let sql = format!("SELECT COUNT(*) {}", if whole { "FROM logins WHERE gateway_id = $1" } else { LOGINS });
        let count: i64 = on_reader!(self.db(), |c| {
            let mut query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(gateway);
            if !whole {
                query = query
                    .bind(rows.method.map_or("", Method::as_str))
                    .bind(rows.success.is_none())
                    .bind(rows.success.unwrap_or_default())
                    .bind(search.to_owned())
                    .bind(containing(&search.to_ascii_lowercase()));
            }
            query.fetch_one(c).await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// How logins by a method went from one moment (Unix ms) to another.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn login_report(&self, method: Method, from_ms: i64, to_ms: i64) -> Result<LoginReport, Error> {
        let gateway = self.gateway();
        let (persons, returning): (i64, i64) = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT COUNT(*), COALESCE(CAST(SUM(CASE WHEN n > 1 THEN 1 ELSE 0 END) AS BIGINT), 0)
                 FROM (SELECT COUNT(*) AS n FROM logins
                       WHERE gateway_id = $1 AND method = $2 AND created_ms >= $3 AND created_ms < $4 AND success = $5
                       GROUP BY login) AS people",
            )
            .bind(gateway)
            .bind(method.as_str())
            .bind(from_ms)
            .bind(to_ms)
            .bind(true)
            .fetch_one(c)
            .await?
        });
        let quarters: Vec<(i64, bool, i64)> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT created_ms / $5 AS quarter, success, COUNT(*) FROM logins
                 WHERE gateway_id = $1 AND method = $2 AND created_ms >= $3 AND created_ms < $4
                 GROUP BY quarter, success ORDER BY quarter",
            )
            .bind(gateway)
            .bind(method.as_str())
            .bind(from_ms)
            .bind(to_ms)
            .bind(QUARTER_MS)
            .fetch_all(c)
            .await?
        });
        let of = |wanted: bool| {
            let rows = quarters.iter().filter(|(_, success, _)| *success == wanted);
            rows.map(|(quarter, _, count)| (*quarter, u64::try_from(*count).unwrap_or_default())).collect()
        };
        Ok(LoginReport {
            persons: u64::try_from(persons).unwrap_or_default(),
            returning: u64::try_from(returning).unwrap_or_default(),
            succeeded: of(true),
            failed: of(false),
        })
    }
}
