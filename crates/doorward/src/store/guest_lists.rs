//! Lists of persons and of the login log, page by page (Hotspot API, section 5).

use doorward_policy::guest::Method;
use sqlx::FromRow;

use super::{Error, Store, sql::containing};

/// A person as the lists show it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct GuestRecord {
    /// Its row.
    pub id: i64,
    /// Address; with method `email`, and where a provider told it.
    pub email: Option<String>,
    /// Digits with country code; with method `mobile`.
    pub mobile: Option<String>,
    /// With method `facebook`.
    pub name: Option<String>,
    /// Address of an image; with method `facebook`.
    pub picture: Option<String>,
    /// Answer to the first question of the form.
    pub comments: String,
    /// Answer to the second one.
    pub comments1: String,
    /// Answer to the third one.
    pub comments2: String,
    /// Agreed to marketing.
    pub marketing: bool,
    /// Entered the code that was sent.
    pub verified: bool,
    /// Logins.
    pub visits: i64,
    /// Device of the last login, as it is shown.
    pub last_mac: String,
    /// Unix ms of the first login.
    pub created_ms: i64,
    /// Unix ms.
    pub modified_ms: i64,
    /// Unix ms.
    pub last_login_ms: i64,
}

/// An attempt to log in.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct LoginRecord {
    /// Its row.
    pub id: i64,
    /// Unix ms.
    pub created_ms: i64,
    /// How; a word of [`Method`].
    pub method: String,
    /// Who.
    pub login: String,
    /// The device, as it is shown.
    pub mac: String,
    /// Its address.
    pub address: String,
    /// It was let in.
    pub success: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Which attempts a list holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginFilter {
    /// Part of login or MAC; letter case of A to Z does not matter.
    pub search: Option<String>,
    /// How.
    pub method: Option<Method>,
    /// Let in, or not.
    pub success: Option<bool>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, created_ms, method, login, mac, address, success, reason FROM logins ", $rest)
    };
}

impl Store {
    /// The next persons of a method behind `after`, by id, at most `limit`; `search` is part of address, number, name
    /// or MAC.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn guest_page(
        &self,
        method: Method,
        search: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<GuestRecord>, Error> {
        let gateway = self.gateway();
        let pattern = containing(&search.unwrap_or_default().to_ascii_lowercase());
        let rows = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, email, mobile, name, picture, comments, comments1, comments2, marketing, verified, visits,
                    last_mac, created_ms, modified_ms, last_login_ms
                 FROM guests WHERE gateway_id = $1 AND method = $2 AND id > $3
                    AND ($4 OR LOWER(email) LIKE $5 ESCAPE '!' OR mobile LIKE $5 ESCAPE '!'
                        OR LOWER(name) LIKE $5 ESCAPE '!' OR LOWER(last_mac) LIKE $5 ESCAPE '!')
                 ORDER BY id LIMIT $6",
            )
            .bind(gateway)
            .bind(method.as_str())
            .bind(after)
            .bind(search.is_none())
            .bind(pattern)
            .bind(i64::from(limit))
            .fetch_all(c)
            .await?
        });
        Ok(rows)
    }

    /// The next attempts before the row `before`, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn login_page(&self, filter: &LoginFilter, before: i64, limit: u32) -> Result<Vec<LoginRecord>, Error> {
        let gateway = self.gateway();
        let LoginFilter { search, method, success } = filter;
        if *filter == LoginFilter::default() {
            // Apart, because PostgreSQL would take conditions that always hold for some that leave few rows to sort.
            return Ok(on_reader!(self.db(), |c| {
                sqlx::query_as(select!("WHERE gateway_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"))
                    .bind(gateway)
                    .bind(before)
                    .bind(i64::from(limit))
                    .fetch_all(c)
                    .await?
            }));
        }
        let pattern = containing(&search.as_deref().unwrap_or_default().to_ascii_lowercase());
        let rows = on_reader!(self.db(), |c| {
            sqlx::query_as(select!(
                "WHERE gateway_id = $1 AND id < $2 AND ($3 = '' OR method = $3) AND ($4 OR success = $5)
                    AND ($6 OR LOWER(login) LIKE $7 ESCAPE '!' OR LOWER(mac) LIKE $7 ESCAPE '!')
                 ORDER BY id DESC LIMIT $8"
            ))
            .bind(gateway)
            .bind(before)
            .bind(method.map(Method::as_str).unwrap_or_default())
            .bind(success.is_none())
            .bind(success.unwrap_or_default())
            .bind(search.is_none())
            .bind(pattern)
            .bind(i64::from(limit))
            .fetch_all(c)
            .await?
        });
        Ok(rows)
    }
}
