//! What is stored of one person: handing it out, and erasing it.
//!
//! Tables that name a person: its row, consents, sessions, slots, the login log, codes under way, and vouchers whose
//! texts name it. Messages that wait to be sent are sealed, so the caller looks through them.

use doorward_policy::guest::Method;
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

use super::super::{Error, Store, error::corrupt};

/// The device of a session whose person was erased.
const NOBODY: &str = "02:00:00:00:00:00";

/// All that is stored of a person, under the names of the columns.
#[derive(Serialize)]
struct Export {
    person: Option<GuestRow>,
    consents: Vec<ConsentRow>,
    devices: Vec<DeviceRow>,
    sessions: Vec<SessionRow>,
    logins: Vec<LoginRow>,
    login_codes: Vec<CodeRow>,
    vouchers: Vec<VoucherRow>,
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
struct DeviceRow {
    mac: String,
    first_ms: i64,
    last_ms: i64,
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

/// A code itself is known to nobody, the gateway included.
#[derive(FromRow, Serialize)]
struct CodeRow {
    identity: String,
    mac: String,
    created_ms: i64,
    expires_ms: i64,
}

#[derive(FromRow, Serialize)]
struct VoucherRow {
    username: String,
    fullname: String,
    note: String,
}

// In all of these `$1` is the gateway, `$2` the method, `$3` the identity, and `$4` the person's row, or 0.

/// The person's grants.
const GRANTS: &str =
    "(SELECT grant_id FROM sessions WHERE guest_id = $4 UNION SELECT grant_id FROM guests WHERE id = $4)";

/// Sessions: the person's, and times that were given to fetch a mail with.
const SESSIONS: &str =
    "gateway_id = $1 AND (guest_id = $4 OR (guest_id IS NULL AND method = $2 AND LOWER(login) = LOWER($3)))";

/// The login log: of the person, by what it is called, or by its name from its own device.
const LOGINS: &str = "gateway_id = $1 AND (guest_id = $4 OR (method = $2 AND (LOWER(login) = LOWER($3) OR EXISTS
    (SELECT 1 FROM guests g WHERE g.id = $4 AND (LOWER(logins.login) IN (LOWER(g.email), g.mobile, LOWER(g.identity))
        OR (logins.login = g.name AND logins.mac = g.last_mac))))))";

/// Codes under way.
const CODES: &str = "gateway_id = $1 AND method = $2 AND identity = $3 AND $4 >= 0";

/// Whether a text of a voucher names the person: by its address or number, or by its name where its device used it.
macro_rules! names {
    ($text:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM guests g WHERE g.id = $4 AND (
                (g.email <> '' AND REPLACE(LOWER(",
            $text,
            "), LOWER(g.email), '') <> LOWER(",
            $text,
            ")) OR (LENGTH(g.mobile) > 6 AND REPLACE(",
            $text,
            ", g.mobile, '') <> ",
            $text,
            ") OR (g.name <> '' AND g.last_mac = vouchers.last_mac AND REPLACE(LOWER(",
            $text,
            "), LOWER(g.name), '') <> LOWER(",
            $text,
            "))))"
        )
    };
}

/// Vouchers whose texts name the person.
const VOUCHERS: &str = concat!(
    "gateway_id = $1 AND $2 <> '' AND $3 <> '' AND (",
    names!("vouchers.fullname"),
    " OR ",
    names!("vouchers.note"),
    ")"
);

/// Runs a text with the four parameters.
macro_rules! of_person {
    ($query:path, $sql:expr, $gateway:expr, $method:expr, $identity:expr, $guest:expr) => {
        $query(AssertSqlSafe($sql)).bind($gateway).bind($method.as_str()).bind($identity).bind($guest)
    };
}

impl Store {
    /// All that is stored of a person, with the names of the columns; times are Unix ms. `None`: nothing. Messages that
    /// wait to be sent are not in it: see [`Store::messages`].
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn export_person(&self, method: Method, identity: &str) -> Result<Option<serde_json::Value>, Error> {
        let gateway = self.gateway();
        let export: Export = on_reader!(self.db(), |c| {
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
            let guest = person.as_ref().map_or(0, |person| person.id);
            let consents = sqlx::query_as(
                "SELECT kind, given, version, channel, created_ms FROM consents WHERE guest_id = $1 ORDER BY id",
            )
            .bind(guest)
            .fetch_all(&mut *c)
            .await?;
            let sql = format!(
                "SELECT d.mac, d.first_ms, d.last_ms FROM grant_devices d JOIN grants g ON g.id = d.grant_id
                 WHERE g.gateway_id = $1 AND g.method = $2 AND $3 <> '' AND g.id IN {GRANTS} ORDER BY d.mac"
            );
            let devices = of_person!(sqlx::query_as, sql, gateway, method, identity, guest).fetch_all(&mut *c).await?;
            let sql = format!(
                "SELECT login, mac, started_ms, ended_ms, end_reason, bytes_down, bytes_up FROM sessions
                 WHERE {SESSIONS} ORDER BY id"
            );
            let sessions = of_person!(sqlx::query_as, sql, gateway, method, identity, guest).fetch_all(&mut *c).await?;
            let sql = format!(
                "SELECT created_ms, login, mac, address, success, reason FROM logins WHERE {LOGINS} ORDER BY id"
            );
            let logins = of_person!(sqlx::query_as, sql, gateway, method, identity, guest).fetch_all(&mut *c).await?;
            let sql =
                format!("SELECT identity, mac, created_ms, expires_ms FROM login_codes WHERE {CODES} ORDER BY id");
            let login_codes =
                of_person!(sqlx::query_as, sql, gateway, method, identity, guest).fetch_all(&mut *c).await?;
            let sql = format!("SELECT username, fullname, note FROM vouchers WHERE {VOUCHERS} ORDER BY id");
            let vouchers = of_person!(sqlx::query_as, sql, gateway, method, identity, guest).fetch_all(c).await?;
            Export { person, consents, devices, sessions, logins, login_codes, vouchers }
        });
        let nothing = export.person.is_none()
            && export.sessions.is_empty()
            && export.logins.is_empty()
            && export.login_codes.is_empty();
        if nothing {
            return Ok(None);
        }
        serde_json::to_value(export).map(Some).map_err(|_| corrupt("guests", gateway)("identity"))
    }

    /// Erases a person: its row and consents, its lines of the login log, its codes under way, what names it in its
    /// sessions, slots, and in vouchers. Its grants are switched off; what was used stays counted. End its open sessions
    /// first.
    ///
    /// # Errors
    /// [`Error::Missing`] where nothing names it; [`Error::InUse`] where a session is open; [`Error::Unavailable`].
    pub async fn erase_person(&self, method: Method, identity: &str) -> Result<(), Error> {
        let (gateway, identity) = (self.gateway(), identity.to_owned());
        on_writer!(self.db(), |c| {
            // A login of the person waits for this row, and begins as a new person then.
            let known: Option<i64> = sqlx::query_scalar(
                "UPDATE guests SET visits = visits WHERE gateway_id = $1 AND method = $2 AND identity = $3 RETURNING id",
            )
            .bind(gateway)
            .bind(method.as_str())
            .bind(&identity)
            .fetch_optional(&mut *c)
            .await?;
            let guest = known.unwrap_or(0);
            let sql = format!("SELECT id FROM sessions WHERE ended_ms IS NULL AND {SESSIONS} LIMIT 1");
            let open: Option<i64> =
                of_person!(sqlx::query_scalar, sql, gateway, method, &identity, guest).fetch_optional(&mut *c).await?;
            if open.is_some() {
                return Err(Error::InUse);
            }
            let mut erased = u64::from(known.is_some());
            for sql in [
                format!(
                    "UPDATE grants SET enabled = (1 = 0), slots_used = 0
                     WHERE gateway_id = $1 AND method = $2 AND $3 <> '' AND id IN {GRANTS}"
                ),
                format!(
                    "DELETE FROM grant_devices WHERE grant_id IN (SELECT id FROM grants
                     WHERE gateway_id = $1 AND method = $2 AND $3 <> '' AND id IN {GRANTS})"
                ),
                format!("DELETE FROM logins WHERE {LOGINS}"),
                format!("DELETE FROM login_codes WHERE {CODES}"),
                format!(
                    "DELETE FROM grant_devices WHERE grant_id IN
                     (SELECT grant_id FROM sessions WHERE guest_id IS NULL AND {SESSIONS})"
                ),
                format!("UPDATE sessions SET login = '', mac = '{NOBODY}' WHERE {SESSIONS}"),
                format!(
                    "UPDATE vouchers SET fullname = CASE WHEN {} THEN '' ELSE fullname END,
                        note = CASE WHEN {} THEN '' ELSE note END WHERE {VOUCHERS}",
                    names!("vouchers.fullname"),
                    names!("vouchers.note")
                ),
            ] {
                let done = of_person!(sqlx::query, sql, gateway, method, &identity, guest).execute(&mut *c).await?;
                erased += done.rows_affected();
            }
            if erased == 0 {
                return Err(Error::Missing);
            }
            sqlx::query("DELETE FROM guests WHERE id = $1").bind(guest).execute(c).await?;
            Ok(())
        })
    }
}
