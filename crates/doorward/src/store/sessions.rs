//! Sessions: devices online by a grant, what they used, and how they end.

mod counts;
mod ends;
mod list;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use doorward_policy::{
    guest::{Closed, EndReason, GrantId, Mac, Method, SessionId},
    hotspot::HotspotId,
};
use sqlx::FromRow;

use super::{
    Error, Store,
    error::corrupt,
    grants::{GrantRow, grant_columns},
};
use crate::hosts::{MOST_IPV6, Online};
pub use counts::{SessionCounts, SessionUse};
pub(super) use ends::after_end;
pub use ends::{EndedSession, Whose};
pub use list::SessionRecord;

/// A device that is online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// Where.
    pub hotspot: HotspotId,
    /// The device.
    pub mac: Mac,
    /// Its session.
    pub online: Online,
}

#[derive(FromRow)]
struct OpenRow {
    id: i64,
    hotspot_id: i64,
    grant_id: i64,
    mac: String,
    method: String,
    login: String,
    started_ms: i64,
}

#[derive(FromRow)]
struct OverdueRow {
    session_id: i64,
    session_ends_ms: Option<i64>,
    has_voucher: bool,
    #[sqlx(flatten)]
    grant: GrantRow,
}

/// Open sessions with their grants, of which a condition holds.
macro_rules! overdue {
    ($condition:literal) => {
        concat!(
            "SELECT s.id AS session_id, s.ends_ms AS session_ends_ms,
                EXISTS (SELECT 1 FROM vouchers v WHERE v.grant_id = g.id) AS has_voucher, ",
            grant_columns!(),
            " FROM sessions s JOIN grants g ON g.id = s.grant_id
              WHERE s.gateway_id = $1 AND s.ended_ms IS NULL AND ",
            $condition,
            " ORDER BY s.id"
        )
    };
}

/// Records deleted in one transaction at most, so that others need not wait long.
pub(super) const PRUNE_CHUNK: i64 = 2000;

impl Store {
    /// All devices that are online, by session.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn open_sessions(&self) -> Result<Vec<OpenSession>, Error> {
        let gateway = self.gateway();
        let (rows, addresses): (Vec<OpenRow>, Vec<(i64, String)>) = on_reader!(self.db(), |c| {
            let rows = sqlx::query_as(
                "SELECT id, hotspot_id, grant_id, mac, method, login, started_ms FROM sessions
                 WHERE gateway_id = $1 AND NOT collected AND ended_ms IS NULL AND hotspot_id IS NOT NULL ORDER BY id",
            )
            .bind(gateway)
            .fetch_all(&mut *c)
            .await?;
            let addresses = sqlx::query_as("SELECT session_id, address FROM session_addresses WHERE gateway_id = $1")
                .bind(gateway)
                .fetch_all(c)
                .await?;
            (rows, addresses)
        });
        let mut addresses_of: HashMap<i64, BTreeSet<IpAddr>> = HashMap::new();
        for (session, address) in addresses {
            let address = address.parse().map_err(|_| corrupt("session_addresses", session)("address"))?;
            addresses_of.entry(session).or_default().insert(address);
        }
        rows.into_iter()
            .map(|row| {
                let addresses = addresses_of.remove(&row.id).unwrap_or_default();
                row.open(addresses)
            })
            .collect()
    }

    /// Lets an open session use one more address. `false`: another session holds it, or the session is over or has
    /// its eight IPv6 addresses. An IPv4 address takes the place of the one that the session had.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn add_session_address(&self, session: SessionId, address: IpAddr) -> Result<bool, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            // Two addresses of one session wait for each other here.
            let open = sqlx::query(
                "UPDATE sessions SET collected = collected WHERE gateway_id = $1 AND id = $2 AND ended_ms IS NULL",
            )
            .bind(gateway)
            .bind(session.0)
            .execute(&mut *c)
            .await?;
            if open.rows_affected() == 0 {
                return Ok(false);
            }
            let held: Vec<String> = sqlx::query_scalar("SELECT address FROM session_addresses WHERE session_id = $1")
                .bind(session.0)
                .fetch_all(&mut *c)
                .await?;
            if held.contains(&address.to_string()) {
                return Ok(true);
            }
            let is_ipv6 = |text: &&String| text.contains(':');
            if address.is_ipv6() && held.iter().filter(is_ipv6).count() >= MOST_IPV6 {
                return Ok(false);
            }
            let added = sqlx::query(
                "INSERT INTO session_addresses (gateway_id, address, session_id) VALUES ($1, $2, $3)
                 ON CONFLICT (gateway_id, address) DO NOTHING",
            )
            .bind(gateway)
            .bind(address.to_string())
            .bind(session.0)
            .execute(&mut *c)
            .await?;
            if added.rows_affected() == 0 {
                return Ok(false);
            }
            for before in held.iter().filter(|text| address.is_ipv4() && !text.contains(':')) {
                sqlx::query("DELETE FROM session_addresses WHERE gateway_id = $1 AND address = $2")
                    .bind(gateway)
                    .bind(before)
                    .execute(&mut *c)
                    .await?;
            }
            Ok(true)
        })
    }

    /// Lets an open session use an address in the place of `leaves`, which it holds. `false`: another session holds the
    /// address, or this one is over, or does not hold `leaves`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn swap_session_address(
        &self,
        session: SessionId,
        leaves: IpAddr,
        address: IpAddr,
    ) -> Result<bool, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let held = sqlx::query(
                "UPDATE sessions SET collected = collected WHERE gateway_id = $1 AND id = $2 AND ended_ms IS NULL
                    AND EXISTS (SELECT 1 FROM session_addresses a WHERE a.session_id = $2 AND a.address = $3)",
            )
            .bind(gateway)
            .bind(session.0)
            .bind(leaves.to_string())
            .execute(&mut *c)
            .await?;
            if held.rows_affected() == 0 {
                return Ok(false);
            }
            let added = sqlx::query(
                "INSERT INTO session_addresses (gateway_id, address, session_id) VALUES ($1, $2, $3)
                 ON CONFLICT (gateway_id, address) DO NOTHING",
            )
            .bind(gateway)
            .bind(address.to_string())
            .bind(session.0)
            .execute(&mut *c)
            .await?;
            if added.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query("DELETE FROM session_addresses WHERE session_id = $1 AND address = $2")
                .bind(session.0)
                .bind(leaves.to_string())
                .execute(c)
                .await?;
            Ok(true)
        })
    }

    /// Devices whose last session by a grant ended because it was switched off, and that may come back to their hotspot
    /// without a login.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn switched_off(&self, grant: GrantId) -> Result<Vec<(HotspotId, Mac)>, Error> {
        let gateway = self.gateway();
        let rows: Vec<(i64, String)> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT d.hotspot_id, d.mac FROM grant_devices d JOIN sessions s ON s.id =
                     (SELECT MAX(l.id) FROM sessions l WHERE l.grant_id = d.grant_id AND l.mac = d.mac)
                 WHERE s.gateway_id = $1 AND d.grant_id = $2 AND d.silent AND s.end_reason = 'disabled'
                 ORDER BY d.mac",
            )
            .bind(gateway)
            .bind(grant.0)
            .fetch_all(c)
            .await?
        });
        let bad = corrupt("grant_devices", grant.0);
        rows.into_iter().map(|(at, mac)| Ok((HotspotId(at), mac.parse().map_err(|_| bad("mac"))?))).collect()
    }

    /// Open sessions that should not be, with the reason: their grant is disabled, over or used up, or their own time
    /// has come. This looks at all open sessions.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn overdue_sessions(&self, now_ms: i64) -> Result<Vec<(SessionId, EndReason)>, Error> {
        let gateway = self.gateway();
        let rows: Vec<OverdueRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(overdue!(
                "NOT s.collected AND (s.ends_ms <= $2 OR NOT g.enabled OR g.starts_ms > $2 OR g.ends_ms <= $2 OR g.spent
                    OR g.used_down >= g.limit_down OR g.used_up >= g.limit_up
                    OR g.used_down + g.used_up >= g.limit_total)"
            ))
            .bind(gateway)
            .bind(now_ms)
            .fetch_all(c)
            .await?
        });
        overdue(&rows, now_ms)
    }

    /// The same of those whose time, or whose grant's, has come: found by an index, so it may be asked each second.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn due_sessions(&self, now_ms: i64) -> Result<Vec<(SessionId, EndReason)>, Error> {
        let gateway = self.gateway();
        let rows: Vec<OverdueRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(overdue!("s.due_ms <= $2")).bind(gateway).bind(now_ms).fetch_all(c).await?
        });
        overdue(&rows, now_ms)
    }
}

fn overdue(rows: &[OverdueRow], now_ms: i64) -> Result<Vec<(SessionId, EndReason)>, Error> {
    let mut overdue = Vec::with_capacity(rows.len());
    for row in rows {
        let reason = match row.grant.open(Vec::new())?.check(now_ms) {
            // One that was removed is not switched on again.
            Err(Closed::Disabled) if row.has_voucher => EndReason::Disabled,
            Err(Closed::Disabled) => EndReason::Kicked,
            Err(Closed::NotYet | Closed::Expired) => EndReason::Expired,
            Err(Closed::Spent) => EndReason::Quota,
            Ok(()) if row.session_ends_ms.is_some_and(|end| end <= now_ms) => EndReason::Timeout,
            Ok(()) => continue,
        };
        overdue.push((SessionId(row.session_id), reason));
    }
    Ok(overdue)
}

impl OpenRow {
    fn open(self, addresses: BTreeSet<IpAddr>) -> Result<OpenSession, Error> {
        let Self { id, hotspot_id, grant_id, mac, method, login, started_ms } = self;
        let bad = corrupt("sessions", id);
        Ok(OpenSession {
            hotspot: HotspotId(hotspot_id),
            mac: mac.parse().map_err(|_| bad("mac"))?,
            online: Online {
                session: SessionId(id),
                grant: GrantId(grant_id),
                method: Method::parse(&method).ok_or_else(|| bad("method"))?,
                login,
                started_ms,
                addresses,
            },
        })
    }
}
