//! Persons: what is known of one, erasing one, and forgetting what is too old.

use doorward_policy::guest::Method;
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

use super::{Error, Store, error::corrupt, sessions::PRUNE_CHUNK};
use crate::hotspot_settings::GuestSettings;

/// A day in ms.
const DAY_MS: i64 = 86_400_000;

/// The device of a session whose person was erased.
const NOBODY: &str = "02:00:00:00:00:00";

/// All that is stored of a person, under the names of the columns.
#[derive(Serialize)]
struct Export {
    person: GuestRow,
    consents: Vec<ConsentRow>,
    sessions: Vec<SessionRow>,
    logins: Vec<LoginRow>,
}

#[derive(FromRow, Serialize)]
struct GuestRow {
    #[serde(skip)]
    id: i64,
    method: String,
    identity: String,
    email: Option<String>,
    mobile: Option<String>,
    name: Option<String>,
    picture: Option<String>,
    comments: String,
    comments1: String,
    comments2: String,
    marketing: bool,
    verified: bool,
    visits: i64,
    last_mac: String,
    created_ms: i64,
    modified_ms: i64,
    last_login_ms: i64,
}

#[derive(FromRow, Serialize)]
struct ConsentRow {
    kind: String,
    given: bool,
    version: String,
    channel: String,
    created_ms: i64,
}

#[derive(FromRow, Serialize)]
struct SessionRow {
    login: String,
    mac: String,
    started_ms: i64,
    ended_ms: Option<i64>,
    end_reason: Option<String>,
    bytes_down: i64,
    bytes_up: i64,
}

#[derive(FromRow, Serialize)]
struct LoginRow {
    created_ms: i64,
    login: String,
    mac: String,
    address: String,
    success: bool,
    reason: Option<String>,
}

/// The grants of person `$1`.
const GRANTS: &str =
    "(SELECT grant_id FROM sessions WHERE guest_id = $1 UNION SELECT grant_id FROM guests WHERE id = $1)";

/// Condition for the login log: of method `$2`, by what person `$3` is called, or by its name from its own device.
const LOGINS_OF: &str = "gateway_id = $1 AND method = $2 AND EXISTS
    (SELECT 1 FROM guests g WHERE g.id = $3 AND (LOWER(logins.login) IN (LOWER(g.email), g.mobile, LOWER(g.identity))
        OR (logins.login = g.name AND logins.mac = g.last_mac)))";

impl Store {
    /// All that is stored of a person, with the names of the columns; times are Unix ms. `None`: nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn export_person(&self, method: Method, identity: &str) -> Result<Option<serde_json::Value>, Error> {
        let gateway = self.gateway();
        let export: Option<Export> = on_reader!(self.db(), |c| {
            let person: Option<GuestRow> = sqlx::query_as(
                "SELECT id, method, identity, email, mobile, name, picture, comments, comments1, comments2, marketing,
                        verified, visits, last_mac, created_ms, modified_ms, last_login_ms
                 FROM guests WHERE gateway_id = $1 AND method = $2 AND identity = $3",
            )
            .bind(gateway)
            .bind(method.as_str())
            .bind(identity)
            .fetch_optional(&mut *c)
            .await?;
            match person {
                None => None,
                Some(person) => {
                    let consents = sqlx::query_as(
                        "SELECT kind, given, version, channel, created_ms FROM consents WHERE guest_id = $1 ORDER BY id",
                    )
                    .bind(person.id)
                    .fetch_all(&mut *c)
                    .await?;
                    let sessions = sqlx::query_as(
                        "SELECT login, mac, started_ms, ended_ms, end_reason, bytes_down, bytes_up
                         FROM sessions WHERE guest_id = $1 ORDER BY id",
                    )
                    .bind(person.id)
                    .fetch_all(&mut *c)
                    .await?;
                    let sql = format!(
                        "SELECT created_ms, login, mac, address, success, reason FROM logins
                         WHERE {LOGINS_OF} ORDER BY id"
                    );
                    let logins = sqlx::query_as(AssertSqlSafe(sql))
                        .bind(gateway)
                        .bind(method.as_str())
                        .bind(person.id)
                        .fetch_all(c)
                        .await?;
                    Some(Export { person, consents, sessions, logins })
                }
            }
        });
        let bad = corrupt("guests", gateway);
        export.map(|export| serde_json::to_value(export).map_err(|_| bad("identity"))).transpose()
    }

    /// Erases a person: its row and consents, its lines of the login log, its codes under way, and what names it in its
    /// sessions and slots. Its grants are switched off; what was used stays counted. End its open sessions first.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::InUse`] where a session is open; [`Error::Unavailable`].
    pub async fn erase_person(&self, method: Method, identity: &str) -> Result<(), Error> {
        let (gateway, identity) = (self.gateway(), identity.to_owned());
        on_writer!(self.db(), |c| {
            // A login of the person waits for this row, and begins as a new person then.
            let guest: Option<i64> = sqlx::query_scalar(
                "UPDATE guests SET visits = visits WHERE gateway_id = $1 AND method = $2 AND identity = $3 RETURNING id",
            )
            .bind(gateway)
            .bind(method.as_str())
            .bind(&identity)
            .fetch_optional(&mut *c)
            .await?;
            let guest = guest.ok_or(Error::Missing)?;
            let open: Option<i64> =
                sqlx::query_scalar("SELECT id FROM sessions WHERE guest_id = $1 AND ended_ms IS NULL LIMIT 1")
                    .bind(guest)
                    .fetch_optional(&mut *c)
                    .await?;
            if open.is_some() {
                return Err(Error::InUse);
            }
            let sql = format!("UPDATE grants SET enabled = $2, slots_used = 0 WHERE id IN {GRANTS}");
            sqlx::query(AssertSqlSafe(sql)).bind(guest).bind(false).execute(&mut *c).await?;
            let sql = format!("DELETE FROM grant_devices WHERE grant_id IN {GRANTS}");
            sqlx::query(AssertSqlSafe(sql)).bind(guest).execute(&mut *c).await?;
            let sql = format!("DELETE FROM logins WHERE {LOGINS_OF}");
            sqlx::query(AssertSqlSafe(sql)).bind(gateway).bind(method.as_str()).bind(guest).execute(&mut *c).await?;
            sqlx::query("DELETE FROM login_codes WHERE gateway_id = $1 AND method = $2 AND identity = $3")
                .bind(gateway)
                .bind(method.as_str())
                .bind(&identity)
                .execute(&mut *c)
                .await?;
            sqlx::query("UPDATE sessions SET login = '', mac = $2 WHERE guest_id = $1")
                .bind(guest)
                .bind(NOBODY)
                .execute(&mut *c)
                .await?;
            sqlx::query("DELETE FROM guests WHERE id = $1").bind(guest).execute(c).await?;
            Ok(())
        })
    }

    /// The row of a person.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn guest_id(&self, method: Method, identity: &str) -> Result<Option<i64>, Error> {
        let gateway = self.gateway();
        Ok(on_reader!(self.db(), |c| {
            sqlx::query_scalar("SELECT id FROM guests WHERE gateway_id = $1 AND method = $2 AND identity = $3")
                .bind(gateway)
                .bind(method.as_str())
                .bind(identity)
                .fetch_optional(c)
                .await?
        }))
    }

    /// Deletes what is older than the settings say: the login log, sessions that are over and collected, persons who
    /// are not online, and grants that nobody can use any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; what was deleted until then stays deleted.
    pub async fn prune_guest_records(&self, settings: &GuestSettings, now_ms: i64) -> Result<(), Error> {
        let before = |days: u16| now_ms.saturating_sub(i64::from(days) * DAY_MS);
        // In this order: sessions hold persons and grants, persons hold grants.
        let steps = [
            (
                "DELETE FROM logins WHERE id IN
                     (SELECT id FROM logins WHERE gateway_id = $1 AND created_ms < $2 LIMIT $3)",
                before(settings.keep_logins_days),
            ),
            (
                "DELETE FROM sessions WHERE id IN
                     (SELECT id FROM sessions WHERE gateway_id = $1 AND ended_ms < $2 AND collected LIMIT $3)",
                before(settings.keep_sessions_days),
            ),
            (
                "DELETE FROM guests WHERE id IN
                     (SELECT g.id FROM guests g WHERE g.gateway_id = $1 AND g.last_login_ms < $2 AND NOT EXISTS
                         (SELECT 1 FROM sessions s WHERE s.guest_id = g.id AND s.ended_ms IS NULL) LIMIT $3)",
                before(settings.keep_guests_days),
            ),
            (
                "DELETE FROM grants WHERE id IN
                     (SELECT g.id FROM grants g WHERE g.gateway_id = $1 AND g.starts_ms < $2
                         AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.grant_id = g.id)
                         AND NOT EXISTS (SELECT 1 FROM vouchers v WHERE v.grant_id = g.id)
                         AND NOT EXISTS (SELECT 1 FROM guests p WHERE p.grant_id = g.id) LIMIT $3)",
                now_ms,
            ),
        ];
        for (sql, before) in steps {
            loop {
                let gateway = self.gateway();
                let done = on_writer!(self.db(), |c| {
                    let done = sqlx::query(sql).bind(gateway).bind(before).bind(PRUNE_CHUNK).execute(c).await?;
                    Ok(done.rows_affected())
                })?;
                if done < PRUNE_CHUNK.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(())
    }
}
