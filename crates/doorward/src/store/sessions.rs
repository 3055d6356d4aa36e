//! Sessions: devices online by a grant, what they used, and how they end.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use doorward_policy::{
    guest::{Closed, DataUse, EndReason, GrantId, Mac, Method, SessionId},
    hotspot::HotspotId,
};
use sqlx::{AssertSqlSafe, FromRow};

use super::{
    Error, Store,
    accounts::to_i64,
    error::corrupt,
    grants::{FreedMark, GrantRow, grant_columns, mark},
    sql::{CHUNK, parameters, values},
};
use crate::hosts::{MOST_IPV6, Online};

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

/// Counters of a session as the kernel showed them last, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionCounts {
    /// To the guest.
    pub raw_down: u64,
    /// From the guest.
    pub raw_up: u64,
}

/// What a session used since its counters were read the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionUse {
    /// Whose.
    pub session: SessionId,
    /// Bytes since then.
    pub add: DataUse,
    /// The counters now.
    pub raw: DataUse,
}

/// A session that was just ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedSession {
    /// Its row.
    pub session: SessionId,
    /// What it was online by.
    pub grant: GrantId,
    /// Where.
    pub hotspot: HotspotId,
    /// The device.
    pub mac: Mac,
}

impl EndedSession {
    pub(super) fn of(session: i64, grant: i64, hotspot: i64, mac: &str) -> Result<Self, Error> {
        let mac = mac.parse().map_err(|_| corrupt("sessions", session)("mac"))?;
        Ok(Self { session: SessionId(session), grant: GrantId(grant), hotspot: HotspotId(hotspot), mac })
    }
}

/// Which open sessions are to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// That of a device.
    Device(HotspotId, Mac),
    /// Those by a grant.
    Grant(GrantId),
    /// Those of a person.
    Guest(i64),
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
    #[sqlx(flatten)]
    grant: GrantRow,
}

/// Records deleted in one transaction at most, so that others need not wait long.
pub(super) const PRUNE_CHUNK: i64 = 2000;

/// What belongs to the end of a session: nobody holds its addresses any more, and a device that left, was thrown out
/// or has been online for as long as it may does not come back without a login, by whatever grant it has.
macro_rules! after_end {
    ($c:ident, $session:expr, $hotspot:expr, $mac:expr, $reason:expr) => {
        sqlx::query("DELETE FROM session_addresses WHERE session_id = $1").bind($session).execute(&mut *$c).await?;
        if matches!($reason, EndReason::Logout | EndReason::Kicked | EndReason::Timeout) {
            sqlx::query("UPDATE grant_devices SET silent = $3 WHERE hotspot_id = $1 AND mac = $2")
                .bind($hotspot)
                .bind($mac)
                .bind(false)
                .execute(&mut *$c)
                .await?;
        }
    };
}
pub(super) use after_end;

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

    /// The counters of all sessions that are still to be collected, as they were read the last time.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn raw_session_counts(&self) -> Result<HashMap<SessionId, SessionCounts>, Error> {
        let gateway = self.gateway();
        let rows: Vec<(i64, i64, i64)> = on_reader!(self.db(), |c| {
            sqlx::query_as("SELECT id, raw_down, raw_up FROM sessions WHERE gateway_id = $1 AND NOT collected")
                .bind(gateway)
                .fetch_all(c)
                .await?
        });
        rows.into_iter()
            .map(|(id, raw_down, raw_up)| {
                let bad = corrupt("sessions", id);
                let raw_down = u64::try_from(raw_down).map_err(|_| bad("raw_down"))?;
                let raw_up = u64::try_from(raw_up).map_err(|_| bad("raw_up"))?;
                Ok((SessionId(id), SessionCounts { raw_down, raw_up }))
            })
            .collect()
    }

    /// What a session used until its counters were read the last time; `None`: there is no such session.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn session_use(&self, session: SessionId) -> Result<Option<SessionUse>, Error> {
        let gateway = self.gateway();
        let row: Option<(i64, i64, i64, i64)> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT bytes_down, bytes_up, raw_down, raw_up FROM sessions WHERE gateway_id = $1 AND id = $2",
            )
            .bind(gateway)
            .bind(session.0)
            .fetch_optional(c)
            .await?
        });
        let bad = corrupt("sessions", session.0);
        let bytes = |stored: i64, column| u64::try_from(stored).map_err(|_| bad(column));
        row.map(|(down, up, raw_down, raw_up)| {
            Ok(SessionUse {
                session,
                add: DataUse { down: bytes(down, "bytes_down")?, up: bytes(up, "bytes_up")? },
                raw: DataUse { down: bytes(raw_down, "raw_down")?, up: bytes(raw_up, "raw_up")? },
            })
        })
        .transpose()
    }

    /// Adds what sessions used to their sums and to those of their grants, notes the counters, and which grants'
    /// data is used up, in one transaction. A session may appear once; one that was collected is left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn record_session_use(&self, uses: &[SessionUse], spent: &[GrantId]) -> Result<(), Error> {
        if uses.is_empty() && spent.is_empty() {
            return Ok(());
        }
        let (gateway, uses, spent) = (self.gateway(), uses.to_vec(), spent.to_vec());
        on_writer!(self.db(), |c| {
            // Grants before sessions, as everywhere: two transactions that touch both never wait for each other.
            let mut sums: BTreeMap<i64, DataUse> = BTreeMap::new();
            let mut live: BTreeSet<SessionId> = BTreeSet::new();
            for chunk in uses.chunks(CHUNK) {
                let sql = format!(
                    "SELECT id, grant_id FROM sessions WHERE gateway_id = $1 AND NOT collected AND id IN ({})",
                    parameters(2, chunk.len())
                );
                let mut query = sqlx::query_as::<_, (i64, i64)>(AssertSqlSafe(sql)).bind(gateway);
                for one in chunk {
                    query = query.bind(one.session.0);
                }
                let grants: HashMap<i64, i64> = query.fetch_all(&mut *c).await?.into_iter().collect();
                for one in chunk {
                    let Some(grant) = grants.get(&one.session.0) else { continue };
                    live.insert(one.session);
                    let sum = sums.entry(*grant).or_default();
                    sum.down = sum.down.saturating_add(one.add.down);
                    sum.up = sum.up.saturating_add(one.add.up);
                }
            }
            sums.retain(|_, sum| *sum != DataUse::default());
            let sums: Vec<(i64, DataUse)> = sums.into_iter().collect();
            for chunk in sums.chunks(CHUNK) {
                let sql = format!(
                    "UPDATE grants SET used_down = used_down + v.column2, used_up = used_up + v.column3
                     FROM {} WHERE grants.id = v.column1 AND grants.gateway_id = $1",
                    values(2, chunk.len(), 3)
                );
                let mut query = sqlx::query(AssertSqlSafe(sql)).bind(gateway);
                for (grant, sum) in chunk {
                    query = query.bind(*grant).bind(to_i64(sum.down)).bind(to_i64(sum.up));
                }
                query.execute(&mut *c).await?;
            }
            for chunk in spent.chunks(CHUNK) {
                let sql = format!(
                    "UPDATE grants SET spent = $2 WHERE gateway_id = $1 AND NOT spent AND id IN ({})",
                    parameters(3, chunk.len())
                );
                let mut query = sqlx::query(AssertSqlSafe(sql)).bind(gateway).bind(true);
                for grant in chunk {
                    query = query.bind(grant.0);
                }
                query.execute(&mut *c).await?;
            }
            let uses: Vec<&SessionUse> = uses.iter().filter(|one| live.contains(&one.session)).collect();
            for chunk in uses.chunks(CHUNK) {
                let sql = format!(
                    "UPDATE sessions SET bytes_down = bytes_down + v.column2, bytes_up = bytes_up + v.column3,
                        raw_down = v.column4, raw_up = v.column5
                     FROM {} WHERE sessions.id = v.column1 AND sessions.gateway_id = $1",
                    values(2, chunk.len(), 5)
                );
                let mut query = sqlx::query(AssertSqlSafe(sql)).bind(gateway);
                for one in chunk {
                    query = query
                        .bind(one.session.0)
                        .bind(to_i64(one.add.down))
                        .bind(to_i64(one.add.up))
                        .bind(to_i64(one.raw.down))
                        .bind(to_i64(one.raw.up));
                }
                query.execute(&mut *c).await?;
            }
            Ok(())
        })
    }

    /// Notes that the counters of ended sessions were read for the last time. Answers with the numbers that their
    /// grants hold no longer, because none of their sessions is open.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn finish_sessions(&self, sessions: &[SessionId]) -> Result<Vec<FreedMark>, Error> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        let (gateway, sessions) = (self.gateway(), sessions.to_vec());
        on_writer!(self.db(), |c| {
            let mut freed = Vec::new();
            for chunk in sessions.chunks(CHUNK) {
                let list = parameters(2, chunk.len());
                let sql = format!(
                    "SELECT g.id, g.mark FROM grants g WHERE g.gateway_id = $1 AND g.mark IS NOT NULL
                        AND g.id IN (SELECT grant_id FROM sessions WHERE gateway_id = $1 AND id IN ({list}))
                        AND NOT EXISTS
                            (SELECT 1 FROM sessions s WHERE s.grant_id = g.id AND NOT s.collected AND s.ended_ms IS NULL)"
                );
                let mut query = sqlx::query_as::<_, (i64, i64)>(AssertSqlSafe(sql)).bind(gateway);
                for session in chunk {
                    query = query.bind(session.0);
                }
                for (grant, stored) in query.fetch_all(&mut *c).await? {
                    // A login may be under way: it holds the row, and what it did is seen once that is ours.
                    sqlx::query("UPDATE grants SET mark = mark WHERE gateway_id = $1 AND id = $2")
                        .bind(gateway)
                        .bind(grant)
                        .execute(&mut *c)
                        .await?;
                    let done = sqlx::query(
                        "UPDATE grants SET mark = NULL WHERE gateway_id = $1 AND id = $2 AND NOT EXISTS
                            (SELECT 1 FROM sessions s WHERE s.grant_id = $2 AND NOT s.collected AND s.ended_ms IS NULL)",
                    )
                    .bind(gateway)
                    .bind(grant)
                    .execute(&mut *c)
                    .await?;
                    if done.rows_affected() > 0 {
                        let mark = mark(stored).ok_or_else(|| corrupt("grants", grant)("mark"))?;
                        freed.push(FreedMark { grant: GrantId(grant), mark });
                    }
                }
                let sql = format!(
                    "UPDATE sessions SET collected = ${} WHERE gateway_id = $1 AND ended_ms IS NOT NULL AND id IN ({list})",
                    chunk.len() + 2
                );
                let mut query = sqlx::query(AssertSqlSafe(sql)).bind(gateway);
                for session in chunk {
                    query = query.bind(session.0);
                }
                query.bind(true).execute(&mut *c).await?;
            }
            Ok(freed)
        })
    }

    /// Sessions that ended before `before_ms` and are still to be collected, with their grants.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ended_sessions(&self, before_ms: i64) -> Result<Vec<(SessionId, GrantId)>, Error> {
        let gateway = self.gateway();
        let rows: Vec<(i64, i64)> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, grant_id FROM sessions WHERE gateway_id = $1 AND NOT collected AND ended_ms < $2 ORDER BY id",
            )
            .bind(gateway)
            .bind(before_ms)
            .fetch_all(c)
            .await?
        });
        Ok(rows.into_iter().map(|(session, grant)| (SessionId(session), GrantId(grant))).collect())
    }

    /// Ends sessions and takes their addresses from them. Sessions that ended before are left out of the answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn end_sessions(
        &self,
        sessions: &[(SessionId, EndReason)],
        now_ms: i64,
    ) -> Result<Vec<EndedSession>, Error> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        let (gateway, sessions) = (self.gateway(), sessions.to_vec());
        on_writer!(self.db(), |c| {
            let mut ended = Vec::with_capacity(sessions.len());
            for (session, reason) in sessions {
                let row: Option<(i64, i64, i64, String)> = sqlx::query_as(
                    "UPDATE sessions SET ended_ms = $3, end_reason = $4
                     WHERE gateway_id = $1 AND id = $2 AND ended_ms IS NULL AND hotspot_id IS NOT NULL
                     RETURNING id, grant_id, hotspot_id, mac",
                )
                .bind(gateway)
                .bind(session.0)
                .bind(now_ms)
                .bind(reason.as_str())
                .fetch_optional(&mut *c)
                .await?;
                let Some((session, grant, hotspot, mac)) = row else { continue };
                after_end!(c, session, hotspot, &mac, reason);
                ended.push(EndedSession::of(session, grant, hotspot, &mac)?);
            }
            Ok(ended)
        })
    }

    /// Ends the open sessions of a device, a grant or a person.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn end_sessions_of(
        &self,
        whose: Whose,
        reason: EndReason,
        now_ms: i64,
    ) -> Result<Vec<EndedSession>, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let (condition, first, second) = match whose {
                Whose::Device(hotspot, mac) => ("hotspot_id = $4 AND mac = $5", hotspot.0, mac.to_string()),
                Whose::Grant(grant) => ("grant_id = $4 AND mac <> $5", grant.0, String::new()),
                Whose::Guest(guest) => ("guest_id = $4 AND mac <> $5", guest, String::new()),
            };
            let sql = format!(
                "UPDATE sessions SET ended_ms = $2, end_reason = $3
                 WHERE gateway_id = $1 AND {condition} AND ended_ms IS NULL AND hotspot_id IS NOT NULL
                 RETURNING id, grant_id, hotspot_id, mac"
            );
            let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(now_ms)
                .bind(reason.as_str())
                .bind(first)
                .bind(second)
                .fetch_all(&mut *c)
                .await?;
            let mut ended = Vec::with_capacity(rows.len());
            for (session, grant, hotspot, mac) in rows {
                after_end!(c, session, hotspot, &mac, reason);
                ended.push(EndedSession::of(session, grant, hotspot, &mac)?);
            }
            Ok(ended)
        })
    }

    /// Gives back a device's slot of a grant, and ends its sessions by it.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn release_slot(&self, grant: GrantId, mac: Mac, now_ms: i64) -> Result<Vec<EndedSession>, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let mac = mac.to_string();
            sqlx::query("UPDATE grants SET slots_used = slots_used WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(grant.0)
                .execute(&mut *c)
                .await?;
            let rows: Vec<(i64, i64)> = sqlx::query_as(
                "UPDATE sessions SET ended_ms = $4, end_reason = 'replaced'
                 WHERE gateway_id = $1 AND grant_id = $2 AND mac = $3 AND ended_ms IS NULL AND hotspot_id IS NOT NULL
                 RETURNING id, hotspot_id",
            )
            .bind(gateway)
            .bind(grant.0)
            .bind(&mac)
            .bind(now_ms)
            .fetch_all(&mut *c)
            .await?;
            let mut ended = Vec::with_capacity(rows.len());
            for (session, hotspot) in rows {
                after_end!(c, session, hotspot, &mac, EndReason::Replaced);
                ended.push(EndedSession::of(session, grant.0, hotspot, &mac)?);
            }
            let released = sqlx::query(
                "DELETE FROM grant_devices WHERE mac = $3 AND grant_id IN
                     (SELECT id FROM grants WHERE gateway_id = $1 AND id = $2)",
            )
            .bind(gateway)
            .bind(grant.0)
            .bind(&mac)
            .execute(&mut *c)
            .await?;
            if released.rows_affected() > 0 {
                sqlx::query("UPDATE grants SET slots_used = slots_used - 1 WHERE gateway_id = $1 AND id = $2")
                    .bind(gateway)
                    .bind(grant.0)
                    .execute(c)
                    .await?;
            }
            Ok(ended)
        })
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

    /// Open sessions that should not be, with the reason: their grant is disabled, over or used up, or their own time
    /// has come.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn overdue_sessions(&self, now_ms: i64) -> Result<Vec<(SessionId, EndReason)>, Error> {
        let gateway = self.gateway();
        let rows: Vec<OverdueRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(concat!(
                "SELECT s.id AS session_id, s.ends_ms AS session_ends_ms, ",
                grant_columns!(),
                " FROM sessions s JOIN grants g ON g.id = s.grant_id
                  WHERE s.gateway_id = $1 AND NOT s.collected AND s.ended_ms IS NULL AND (s.ends_ms <= $2
                      OR NOT g.enabled OR g.starts_ms > $2 OR g.ends_ms <= $2 OR g.spent
                      OR g.used_down >= g.limit_down OR g.used_up >= g.limit_up
                      OR g.used_down + g.used_up >= g.limit_total)
                  ORDER BY s.id"
            ))
            .bind(gateway)
            .bind(now_ms)
            .fetch_all(c)
            .await?
        });
        let mut overdue = Vec::with_capacity(rows.len());
        for row in rows {
            let reason = match row.grant.open(Vec::new())?.check(now_ms) {
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
