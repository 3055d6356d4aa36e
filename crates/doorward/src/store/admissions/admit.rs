//! The transaction of an admission.

use std::collections::BTreeSet;

use doorward_policy::{
    guest::{Closed, EndReason, GrantId, Method, SessionId},
    voucher::ValidFor,
};

use super::{
    super::{
        Error, Field, Store,
        accounts::to_i64,
        error::corrupt,
        grants::{GrantRow, SlotRow, grant_columns},
        logins::log_login,
        sessions::{EndedSession, after_end},
    },
    Admission, AdmittedSession, By, NewGrant, Outcome, Refusal,
    find::{Found, find, lock_grant},
    row,
};
use crate::hosts::MOST_IPV6;

/// Stores a new grant with one device to come; evaluates to its row as read back.
macro_rules! insert_grant {
    ($c:ident, $gateway:expr, $new:expr) => {{
        let new: &NewGrant = $new;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO grants (gateway_id, method, enabled, starts_ms, ends_ms, limit_down, limit_up, limit_total,
                used_down, used_up, spent, speed_down, speed_up, devices, slots_used)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, $9, $10, $11, $12, 0) RETURNING id",
        )
        .bind($gateway)
        .bind(new.method.as_str())
        .bind(true)
        .bind(new.starts_ms)
        .bind(new.ends_ms)
        .bind(new.limits.down.map(to_i64))
        .bind(new.limits.up.map(to_i64))
        .bind(new.limits.total.map(to_i64))
        .bind(false)
        .bind(i64::from(new.speed.down.get()))
        .bind(i64::from(new.speed.up.get()))
        .bind(i64::from(new.devices))
        .fetch_one(&mut *$c)
        .await?;
        id
    }};
}

impl Store {
    /// Judges a device that wants to come online, and brings it online: ends its session before, opens the new one
    /// with its addresses, takes a slot, notes the login in the log and with the voucher or person.
    ///
    /// # Errors
    /// [`Error::Taken`] with `Mark` (another number may do), with `OpenSession`, `SessionAddress` or `GuestIdentity`
    /// where another login came in between (asking again helps); [`Error::Missing`] where the hotspot is gone;
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    #[expect(clippy::too_many_lines, reason = "one transaction, told from its beginning to its end")]
    pub async fn admit(&self, admission: &Admission) -> Result<Outcome, Error> {
        let gateway = self.gateway();
        let admission = admission.clone();
        on_writer!(self.db(), |c| {
            let Admission { by, hotspot, mac, address, more, lessee, session_ends_ms, mark, now_ms } = admission;
            let at = mac.to_string();
            // The row of the person, once it is found.
            let mut known = None;
            let refused = 'judge: {
                // 1. By what.
                let found = match find!(c, gateway, &by, hotspot, &at, now_ms) {
                    Ok(found) => found,
                    Err(refusal) => break 'judge refusal,
                };
                known = found.guest;
                let new = match &by {
                    By::Person(person) => Some(person.new_grant(now_ms)),
                    By::Grace { grant, .. } => Some(grant.clone()),
                    By::Voucher { .. } | By::Silent => None,
                };

                // 2. What refuses.
                if let Some(row) = &found.grant
                    && let Err(closed) = row.open(Vec::new())?.check(now_ms)
                {
                    break 'judge Refusal::Closed(closed);
                }
                let holders: Vec<(i64, i64, i64, String)> = sqlx::query_as(
                    "SELECT s.id, s.grant_id, s.hotspot_id, s.mac FROM session_addresses a
                     JOIN sessions s ON s.id = a.session_id
                     WHERE a.gateway_id = $1 AND a.address = $2 AND s.hotspot_id IS NOT NULL",
                )
                .bind(gateway)
                .bind(address.to_string())
                .fetch_all(&mut *c)
                .await?;
                let holder = match holders.into_iter().next() {
                    Some((session, grant, hotspot, mac)) => Some(EndedSession::of(session, grant, hotspot, &mac)?),
                    None => None,
                };
                let robbed = holder.filter(|holder| holder.mac != mac);
                if robbed.is_some_and(|holder| lessee == Some(holder.mac)) {
                    break 'judge Refusal::Elsewhere;
                }
                let has_speed = match (&found.grant, &new) {
                    (Some(row), _) => row.mark.is_none() && row.has_speed(),
                    (None, Some(new)) => new.has_speed(),
                    (None, None) => false,
                };
                if has_speed && mark.is_none() {
                    break 'judge Refusal::NoMark;
                }
                let mark = mark.filter(|_| has_speed);
                let slot: Option<i64> = match &found.grant {
                    Some(row) => {
                        sqlx::query_scalar("SELECT grant_id FROM grant_devices WHERE grant_id = $1 AND mac = $2")
                            .bind(row.id)
                            .bind(&at)
                            .fetch_optional(&mut *c)
                            .await?
                    }
                    None => None,
                };
                let full = slot.is_none() && found.grant.as_ref().is_some_and(|row| row.slots_used >= row.devices);
                let mut left = None;
                if let Some(row) = found.grant.as_ref().filter(|_| full) {
                    let slots: Vec<SlotRow> = sqlx::query_as(
                        "SELECT d.grant_id, d.mac, d.first_ms, d.last_ms,
                                EXISTS (SELECT 1 FROM sessions s WHERE s.grant_id = d.grant_id AND s.mac = d.mac
                                        AND s.ended_ms IS NULL) AS online
                         FROM grant_devices d WHERE d.grant_id = $1 ORDER BY d.last_ms DESC, d.mac",
                    )
                    .bind(row.id)
                    .fetch_all(&mut *c)
                    .await?;
                    let slots = slots.into_iter().map(SlotRow::open).collect::<Result<Vec<_>, _>>()?;
                    left = slots.iter().rfind(|slot| found.takes_slots && !slot.online).map(|slot| slot.mac);
                    if left.is_none() {
                        break 'judge Refusal::Slots(slots);
                    }
                }

                // 3. From here on everything succeeds, or nothing of it is stored.
                let ended: Vec<(i64, i64, i64, String)> = sqlx::query_as(
                    "UPDATE sessions SET ended_ms = $4, end_reason = 'replaced'
                     WHERE gateway_id = $1 AND hotspot_id = $2 AND mac = $3 AND ended_ms IS NULL
                     RETURNING id, grant_id, hotspot_id, mac",
                )
                .bind(gateway)
                .bind(hotspot.0)
                .bind(&at)
                .bind(now_ms)
                .fetch_all(&mut *c)
                .await?;
                let mut replaced = Vec::with_capacity(ended.len());
                for (session, grant, hotspot, mac) in ended {
                    after_end!(c, session, hotspot, &mac, EndReason::Replaced);
                    replaced.push(EndedSession::of(session, grant, hotspot, &mac)?);
                }
                let grant_id = match (&found.grant, &new) {
                    (Some(row), _) => row.id,
                    (None, Some(new)) => insert_grant!(c, gateway, new),
                    (None, None) => break 'judge Refusal::Gone,
                };
                if let Some(left) = left {
                    sqlx::query("DELETE FROM grant_devices WHERE grant_id = $1 AND mac = $2")
                        .bind(grant_id)
                        .bind(left.to_string())
                        .execute(&mut *c)
                        .await?;
                }
                sqlx::query(
                    "UPDATE grants SET slots_used = slots_used + $3, mark = COALESCE(mark, $4), ends_ms = COALESCE($5, ends_ms)
                     WHERE gateway_id = $1 AND id = $2",
                )
                .bind(gateway)
                .bind(grant_id)
                .bind(i64::from(slot.is_none() && left.is_none()))
                .bind(mark.map(|mark| i64::from(mark.get())))
                .bind(found.ends_ms)
                .execute(&mut *c)
                .await?;
                sqlx::query(
                    "INSERT INTO grant_devices (grant_id, mac, hotspot_id, silent, first_ms, last_ms)
                     VALUES ($1, $2, $3, $4, $5, $5)
                     ON CONFLICT (grant_id, mac) DO UPDATE SET
                         hotspot_id = excluded.hotspot_id, silent = excluded.silent, last_ms = excluded.last_ms",
                )
                .bind(grant_id)
                .bind(&at)
                .bind(hotspot.0)
                .bind(found.silent)
                .bind(now_ms)
                .execute(&mut *c)
                .await?;
                let guest = match &by {
                    By::Person(person) => {
                        // Where another login of a new person came first, this one begins again and finds it.
                        let sql = if found.guest.is_some() { row::UPDATE_GUEST } else { row::INSERT_GUEST };
                        let guest: i64 = sqlx::query_scalar(sql)
                            .bind(gateway)
                            .bind(person.method.as_str())
                            .bind(&person.identity)
                            .bind(grant_id)
                            .bind(&person.email)
                            .bind(&person.mobile)
                            .bind(&person.name)
                            .bind(&person.picture)
                            .bind(&person.comments[0])
                            .bind(&person.comments[1])
                            .bind(&person.comments[2])
                            .bind(person.marketing)
                            .bind(person.verified)
                            .bind(&at)
                            .bind(now_ms)
                            .bind(false)
                            .fetch_one(&mut *c)
                            .await?;
                        for (kind, given, version) in person.consents() {
                            sqlx::query(
                                "INSERT INTO consents (guest_id, kind, given, version, channel, created_ms)
                                 VALUES ($1, $2, $3, $4, 'portal', $5)",
                            )
                            .bind(guest)
                            .bind(kind)
                            .bind(given)
                            .bind(version)
                            .bind(now_ms)
                            .execute(&mut *c)
                            .await?;
                        }
                        Some(guest)
                    }
                    By::Voucher { voucher, .. } => {
                        sqlx::query(
                            "UPDATE vouchers SET first_login_ms = COALESCE(first_login_ms, $3), last_login_ms = $3,
                                modified_ms = $3, last_mac = $4 WHERE gateway_id = $1 AND id = $2",
                        )
                        .bind(gateway)
                        .bind(voucher.0)
                        .bind(now_ms)
                        .bind(&at)
                        .execute(&mut *c)
                        .await?;
                        None
                    }
                    By::Grace { .. } => None,
                    By::Silent => found.guest,
                };
                let grant_ends_ms = match (&found.grant, &new) {
                    (Some(row), _) => found.ends_ms.or(row.ends_ms),
                    (None, new) => new.as_ref().and_then(|new| new.ends_ms),
                };
                let ends_ms = [grant_ends_ms, session_ends_ms].into_iter().flatten().min();
                let session: i64 = sqlx::query_scalar(
                    "INSERT INTO sessions (gateway_id, hotspot_id, grant_id, voucher_id, guest_id, method, login, mac,
                        started_ms, ends_ms, bytes_down, bytes_up, raw_down, raw_up, collected, due_ms)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, 0, $11, $12) RETURNING id",
                )
                .bind(gateway)
                .bind(hotspot.0)
                .bind(grant_id)
                .bind(found.voucher)
                .bind(guest)
                .bind(found.method.as_str())
                .bind(&found.login)
                .bind(&at)
                .bind(now_ms)
                .bind(session_ends_ms)
                .bind(false)
                .bind(ends_ms)
                .fetch_one(&mut *c)
                .await?;
                if robbed.is_some() {
                    sqlx::query("DELETE FROM session_addresses WHERE gateway_id = $1 AND address = $2")
                        .bind(gateway)
                        .bind(address.to_string())
                        .execute(&mut *c)
                        .await?;
                }
                let mut addresses = BTreeSet::new();
                let (mut ipv4, mut ipv6) = (0, 0);
                for address in [address].into_iter().chain(more) {
                    let (count, most) = if address.is_ipv4() { (&mut ipv4, 1) } else { (&mut ipv6, MOST_IPV6) };
                    if *count == most || addresses.contains(&address) {
                        continue;
                    }
                    let added = sqlx::query(
                        "INSERT INTO session_addresses (gateway_id, address, session_id) VALUES ($1, $2, $3)
                         ON CONFLICT (gateway_id, address) DO NOTHING",
                    )
                    .bind(gateway)
                    .bind(address.to_string())
                    .bind(session)
                    .execute(&mut *c)
                    .await?;
                    if added.rows_affected() > 0 {
                        *count += 1;
                        addresses.insert(address);
                    }
                }
                if !addresses.contains(&address) {
                    // Somebody else got it at this very moment.
                    return Err(Error::Taken(Field::SessionAddress));
                }
                if !matches!(by, By::Silent | By::Grace { .. }) {
                    log_login!(c, gateway, hotspot, now_ms, found.method, &found.login, mac, address, None, guest);
                }
                return Ok(Outcome::Admitted(AdmittedSession {
                    session: SessionId(session),
                    grant: GrantId(grant_id),
                    method: found.method,
                    login: found.login,
                    ends_ms,
                    addresses,
                    took_mark: mark.is_some(),
                    ended: replaced,
                    robbed: robbed.map(|holder| (holder, address)).into_iter().collect(),
                }));
            };
            let named = match &by {
                By::Voucher { login, .. } => Some((Method::Voucher, login.clone())),
                // A name alone leads to nobody who could have it erased.
                By::Person(person) if known.is_none() && person.email.is_none() && person.mobile.is_none() => {
                    let own = (person.login == person.identity).then(|| person.login.clone());
                    Some((person.method, own.unwrap_or_default()))
                }
                By::Person(person) => Some((person.method, person.login.clone())),
                By::Grace { .. } | By::Silent => None,
            };
            if let (Some((method, login)), Some(reason)) = (named, refused.reason()) {
                log_login!(c, gateway, hotspot, now_ms, method, login, mac, address, Some(reason), known);
            }
            Ok(Outcome::Refused(refused))
        })
    }
}
