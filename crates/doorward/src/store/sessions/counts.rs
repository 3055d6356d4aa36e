//! What sessions used, and when their counters are let go.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use doorward_policy::guest::{DataUse, GrantId, SessionId};
use sqlx::AssertSqlSafe;

use super::super::{
    Error, Store,
    accounts::to_i64,
    error::corrupt,
    grants::{FreedMark, mark},
    sql::{CHUNK, parameters, values},
};

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

impl Store {
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
                            (SELECT 1 FROM sessions s WHERE s.grant_id = g.id AND NOT s.collected AND s.ended_ms IS NULL)
                     ORDER BY g.id"
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
}
