//! How sessions end.

use doorward_policy::{
    guest::{EndReason, GrantId, Mac, SessionId},
    hotspot::HotspotId,
};
use sqlx::AssertSqlSafe;

use super::super::{Error, Store, error::corrupt};

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
    pub(in crate::store) fn of(session: i64, grant: i64, hotspot: i64, mac: &str) -> Result<Self, Error> {
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
    /// Those at a hotspot.
    Hotspot(HotspotId),
    /// Those of a person.
    Guest(i64),
}

/// What belongs to the end of a session: nobody holds its addresses any more, and a device that left, was thrown out
/// or has been online for as long as it may does not come back without a login, by whatever grant it has. One whose grant was
/// switched off may, once that is on again.
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
pub(in crate::store) use after_end;

impl Store {
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
                Whose::Hotspot(hotspot) => ("hotspot_id = $4 AND mac <> $5", hotspot.0, String::new()),
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
}
