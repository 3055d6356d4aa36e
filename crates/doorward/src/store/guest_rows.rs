//! Pages of persons and of the login log, and how logins went, as the panel shows them.

use doorward_policy::guest::Method;
use sqlx::AssertSqlSafe;

use super::{Error, GuestRecord, LoginRecord, Paging, SortColumn, Store, paging::Cut, sql::containing};

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
            // Addresses are stored in lower case.
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
            // As the index `logins_listed` has them.
            Self::Login => "LOWER(login)",
            Self::Method => "method",
            Self::Mac => "LOWER(mac)",
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

/// Which persons a search finds; `$3` is its pattern. Only what is asked is in the statement.
fn persons(method: Method, search: &str) -> &'static str {
    if search.is_empty() {
        return "FROM guests WHERE gateway_id = $1 AND method = $2";
    }
    // Who is known by an address or a number has it for an identity.
    if matches!(method, Method::Email | Method::Mobile) {
        return "FROM guests WHERE gateway_id = $1 AND method = $2
            AND (LOWER(identity) LIKE $3 ESCAPE '!' OR LOWER(name) LIKE $3 ESCAPE '!'
                OR LOWER(last_mac) LIKE $3 ESCAPE '!')";
    }
    "FROM guests WHERE gateway_id = $1 AND method = $2
        AND (LOWER(identity) LIKE $3 ESCAPE '!' OR LOWER(email) LIKE $3 ESCAPE '!' OR mobile LIKE $3 ESCAPE '!'
            OR LOWER(name) LIKE $3 ESCAPE '!' OR LOWER(last_mac) LIKE $3 ESCAPE '!')"
}

/// Which attempts a list has; `$2` to `$4` are method, success and pattern.
fn attempts(search: &str, rows: LoginRows) -> String {
    let mut sql = "FROM logins WHERE gateway_id = $1".to_owned();
    if rows.method.is_some() {
        sql += " AND method = $2";
    }
    if rows.success.is_some() {
        sql += " AND success = $3";
    }
    if !search.is_empty() {
        sql += " AND (LOWER(login) LIKE $4 ESCAPE '!' OR LOWER(mac) LIKE $4 ESCAPE '!' OR address LIKE $4 ESCAPE '!')";
    }
    sql
}

impl Store {
    /// A page of the persons of a method.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn guest_rows(&self, method: Method, paging: &Paging<GuestSort>) -> Result<Vec<GuestRecord>, Error> {
        let total = if paging.is_far() { Some(self.count_guest_rows(method, &paging.search).await?) } else { None };
        let ids = self.part_of_guests(method, paging, paging.cut(total)).await?;
        self.guest_records(&ids).await
    }

    /// The ids of all persons of a method that a search finds, sorted.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn guest_ids(&self, method: Method, paging: &Paging<GuestSort>) -> Result<Vec<i64>, Error> {
        self.part_of_guests(method, paging, Cut::ALL).await
    }

    async fn part_of_guests(&self, method: Method, paging: &Paging<GuestSort>, cut: Cut) -> Result<Vec<i64>, Error> {
        let gateway = self.gateway();
        let mut order = paging.order("id", cut);
        if !paging.search.is_empty() {
            // Not by the indexes that are in these orders: they do not hold what is searched.
            order = order.replace("last_login_ms", "last_login_ms + 0").replace("BY identity", "BY LOWER(identity)");
        }
        let sql = format!("SELECT id {} {order} LIMIT $4 OFFSET $5", persons(method, &paging.search));
        let ids = on_reader!(self.db(), |c| {
            sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(method.as_str())
                .bind(containing(&paging.search.to_ascii_lowercase()))
                .bind(cut.limit)
                .bind(cut.offset)
                .fetch_all(c)
                .await?
        });
        Ok(cut.forward(ids))
    }

    /// The persons with these ids, in their order; ids without a person are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn guest_records(&self, ids: &[i64]) -> Result<Vec<GuestRecord>, Error> {
        rows_of_ids!(
            self,
            ids,
            GuestRecord,
            "SELECT id, email, mobile, name, picture, comments, comments1, comments2, marketing, verified, visits,
                last_mac, created_ms, modified_ms, last_login_ms FROM guests"
        )
    }

    /// How many persons of a method a search finds.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_guest_rows(&self, method: Method, search: &str) -> Result<u64, Error> {
        let gateway = self.gateway();
        let sql = format!("SELECT COUNT(*) {}", persons(method, search));
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(method.as_str())
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
        let total = if paging.is_far() { Some(self.count_login_rows(&paging.search, rows).await?) } else { None };
        let ids = self.part_of_logins(paging, rows, paging.cut(total)).await?;
        self.login_records(&ids).await
    }

    /// The ids of all attempts of a list, sorted.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn login_ids(&self, paging: &Paging<LoginSort>, rows: LoginRows) -> Result<Vec<i64>, Error> {
        self.part_of_logins(paging, rows, Cut::ALL).await
    }

    async fn part_of_logins(&self, paging: &Paging<LoginSort>, rows: LoginRows, cut: Cut) -> Result<Vec<i64>, Error> {
        let gateway = self.gateway();
        let (from, order) = (attempts(&paging.search, rows), paging.order("id", cut));
        let sql = format!("SELECT id {from} {order} LIMIT $5 OFFSET $6");
        let ids = on_reader!(self.db(), |c| {
            sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(rows.method.map_or("", Method::as_str))
                .bind(rows.success.unwrap_or_default())
                .bind(containing(&paging.search.to_ascii_lowercase()))
                .bind(cut.limit)
                .bind(cut.offset)
                .fetch_all(c)
                .await?
        });
        Ok(cut.forward(ids))
    }

    /// The attempts with these ids, in their order; ids without one are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn login_records(&self, ids: &[i64]) -> Result<Vec<LoginRecord>, Error> {
        rows_of_ids!(
            self,
            ids,
            LoginRecord,
            "SELECT id, created_ms, method, login, mac, address, success, reason FROM logins"
        )
    }

    /// How many attempts such a list has.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_login_rows(&self, search: &str, rows: LoginRows) -> Result<u64, Error> {
        let gateway = self.gateway();
        let sql = format!("SELECT COUNT(*) {}", attempts(search, rows));
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(rows.method.map_or("", Method::as_str))
                .bind(rows.success.unwrap_or_default())
                .bind(containing(&search.to_ascii_lowercase()))
                .fetch_one(c)
                .await?
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
