//! What a device wants to come online by: the first step of an admission.

use doorward_policy::guest::Method;

use super::super::grants::GrantRow;

/// What was found out before anything is written.
pub(super) struct Found {
    /// The grant to use; `None`: a new one is made.
    pub grant: Option<GrantRow>,
    pub method: Method,
    pub login: String,
    pub voucher: Option<i64>,
    pub guest: Option<i64>,
    /// The voucher's first use decides its end.
    pub ends_ms: Option<i64>,
    /// It may come back without a login.
    pub silent: bool,
    /// A slot of a device that is not online may be taken from it.
    pub takes_slots: bool,
}

/// Takes a grant's row for this transaction and reads it; evaluates to an `Option`.
macro_rules! lock_grant {
    ($c:ident, $gateway:expr, $id:expr) => {{
        sqlx::query("UPDATE grants SET slots_used = slots_used WHERE gateway_id = $1 AND id = $2")
            .bind($gateway)
            .bind($id)
            .execute(&mut *$c)
            .await?;
        let row: Option<GrantRow> = sqlx::query_as(concat!(
            "SELECT ",
            grant_columns!(),
            " FROM grants g WHERE g.gateway_id = $1 AND g.id = $2"
        ))
        .bind($gateway)
        .bind($id)
        .fetch_optional(&mut *$c)
        .await?;
        row
    }};
}

pub(super) use lock_grant;

/// Finds the voucher, person or earlier grant, and takes its rows (by cross joins, so that SQLite begins with the device
/// and not with all grants of the gateway); evaluates to a `Result<Found, Refusal>`.
macro_rules! find {
    ($c:ident, $gateway:expr, $by:expr, $hotspot:expr, $at:expr, $now_ms:expr) => {
        'find: {
            Ok(match $by {
                By::Voucher { voucher, grant, login, passcode } => {
                    let grant = lock_grant!($c, $gateway, grant.0);
                    // What counts is what stands now, not what stood when the passcode was compared.
                    let terms: Option<(Option<i64>, String, bool)> = sqlx::query_as(
                        "SELECT first_login_ms, valid_for, from_first_use FROM vouchers WHERE gateway_id = $1 AND id = $2 AND passcode = $3",
                    )
                    .bind($gateway)
                    .bind(voucher.0)
                    .bind(passcode.clone())
                    .fetch_optional(&mut *$c)
                    .await?;
                    let (Some(grant), Some((first_login, valid_for, from_first_use))) = (grant, terms) else {
                        break 'find Err(Refusal::Gone);
                    };
                    let valid_for = ValidFor::parse(&valid_for);
                    let valid_for = valid_for.ok_or_else(|| corrupt("vouchers", voucher.0)("valid_for"))?;
                    let begins = from_first_use && first_login.is_none();
                    Found {
                        grant: Some(grant),
                        method: Method::Voucher,
                        login: login.clone(),
                        voucher: Some(voucher.0),
                        guest: None,
                        ends_ms: valid_for.duration_ms().filter(|_| begins).map(|lasts_ms| $now_ms.saturating_add(lasts_ms)),
                        silent: true,
                        takes_slots: false,
                    }
                }
                By::Person(person) => {
                    let guest: Option<(i64, Option<i64>)> = sqlx::query_as(
                        "UPDATE guests SET visits = visits WHERE gateway_id = $1 AND method = $2 AND identity = $3
                             RETURNING id, grant_id",
                    )
                    .bind($gateway)
                    .bind(person.method.as_str())
                    .bind(&person.identity)
                    .fetch_optional(&mut *$c)
                    .await?;
                    let grant = match guest.and_then(|(_, grant)| grant) {
                        Some(id) => lock_grant!($c, $gateway, id),
                        None => None,
                    };
                    let grant = match grant {
                        Some(row) => match row.open(Vec::new())?.check($now_ms) {
                            Err(Closed::Expired | Closed::Spent) if person.may_renew(row.starts_ms, $now_ms) => None,
                            Ok(()) | Err(_) => Some(row),
                        },
                        None => None,
                    };
                    Found {
                        grant,
                        method: person.method,
                        login: person.login.clone(),
                        voucher: None,
                        guest: guest.map(|(id, _)| id),
                        ends_ms: None,
                        silent: true,
                        takes_slots: true,
                    }
                }
                By::Grace { identity, grant: _, not_since_ms } => {
                    let before: Option<i64> = sqlx::query_scalar(
                        "SELECT s.id FROM grant_devices d CROSS JOIN sessions s
                             WHERE s.grant_id = d.grant_id AND d.mac = $2 AND s.gateway_id = $1 AND s.mac = $2 AND s.method = 'email'
                                 AND s.guest_id IS NULL AND s.started_ms > $3 LIMIT 1",
                    )
                    .bind($gateway)
                    .bind($at)
                    .bind(*not_since_ms)
                    .fetch_optional(&mut *$c)
                    .await?;
                    if before.is_some() {
                        break 'find Err(Refusal::TooSoon);
                    }
                    Found {
                        grant: None,
                        method: Method::Email,
                        login: identity.clone(),
                        voucher: None,
                        guest: None,
                        ends_ms: None,
                        silent: false,
                        takes_slots: false,
                    }
                }
                By::Silent => {
                    let candidates: Vec<GrantRow> = sqlx::query_as(concat!(
                        "SELECT ",
                        grant_columns!(),
                        " FROM grant_devices d CROSS JOIN grants g
                              WHERE g.id = d.grant_id AND d.mac = $3 AND d.hotspot_id = $2 AND d.silent AND g.gateway_id = $1
                              ORDER BY d.last_ms DESC LIMIT 8"
                    ))
                    .bind($gateway)
                    .bind($hotspot.0)
                    .bind($at)
                    .fetch_all(&mut *$c)
                    .await?;
                    let mut found = None;
                    for row in candidates {
                        if row.open(Vec::new())?.check($now_ms).is_err() {
                            continue;
                        }
                        let id = row.id;
                        let voucher: Option<(i64, String)> =
                            sqlx::query_as("SELECT id, username FROM vouchers WHERE grant_id = $1")
                                .bind(id)
                                .fetch_optional(&mut *$c)
                                .await?;
                        let guest: Option<(i64, String)> = sqlx::query_as(
                            "SELECT id, COALESCE(email, mobile, name, identity) FROM guests WHERE grant_id = $1",
                        )
                        .bind(id)
                        .fetch_optional(&mut *$c)
                        .await?;
                        let login = voucher.iter().chain(&guest).map(|(_, login)| login.clone()).next();
                        let Some(login) = login else { continue };
                        // Only the one that is used is taken: whoever takes several waits for those who do too.
                        found = lock_grant!($c, $gateway, id).map(|grant| (grant, login, voucher, guest));
                        break;
                    }
                    let Some((grant, login, voucher, guest)) = found else { break 'find Err(Refusal::Gone) };
                    let method = Method::parse(&grant.method);
                    Found {
                        method: method.ok_or_else(|| corrupt("grants", grant.id)("method"))?,
                        grant: Some(grant),
                        login,
                        voucher: voucher.map(|(id, _)| id),
                        guest: guest.map(|(id, _)| id),
                        ends_ms: None,
                        silent: true,
                        takes_slots: false,
                    }
                }
            })
        }
    };
}
pub(super) use find;
