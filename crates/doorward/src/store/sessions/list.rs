//! Sessions as people look at them, open ones and those that are over.

use doorward_policy::guest::{DataUse, GrantId, Mac, SessionId};
use sqlx::FromRow;

use super::super::{Error, Store, error::corrupt};

/// A session, open or over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its row.
    pub session: SessionId,
    /// The device.
    pub mac: Mac,
    /// Unix ms.
    pub started_ms: i64,
    /// Unix ms; `None`: it is open.
    pub ended_ms: Option<i64>,
    /// Bytes, up to the last collection.
    pub used: DataUse,
}

#[derive(FromRow)]
struct Row {
    id: i64,
    mac: String,
    started_ms: i64,
    ended_ms: Option<i64>,
    bytes_down: i64,
    bytes_up: i64,
}

impl Store {
    /// The newest sessions by a grant, at most `limit`, the last one first, and how many there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn grant_sessions(&self, grant: GrantId, limit: u32) -> Result<(Vec<SessionRecord>, u64), Error> {
        let gateway = self.gateway();
        let (rows, count): (Vec<Row>, i64) = on_reader!(self.db(), |c| {
            let rows = sqlx::query_as(
                "SELECT id, mac, started_ms, ended_ms, bytes_down, bytes_up FROM sessions
                 WHERE gateway_id = $1 AND grant_id = $2 ORDER BY id DESC LIMIT $3",
            )
            .bind(gateway)
            .bind(grant.0)
            .bind(i64::from(limit))
            .fetch_all(&mut *c)
            .await?;
            let count = sqlx::query_scalar("SELECT COUNT(*) FROM sessions WHERE gateway_id = $1 AND grant_id = $2")
                .bind(gateway)
                .bind(grant.0)
                .fetch_one(c)
                .await?;
            (rows, count)
        });
        let sessions = rows.into_iter().map(Row::open).collect::<Result<_, _>>()?;
        Ok((sessions, u64::try_from(count).unwrap_or_default()))
    }
}

impl Row {
    fn open(self) -> Result<SessionRecord, Error> {
        let bad = corrupt("sessions", self.id);
        let bytes = |stored: i64, column| u64::try_from(stored).map_err(|_| bad(column));
        Ok(SessionRecord {
            session: SessionId(self.id),
            mac: self.mac.parse().map_err(|_| bad("mac"))?,
            started_ms: self.started_ms,
            ended_ms: self.ended_ms,
            used: DataUse { down: bytes(self.bytes_down, "bytes_down")?, up: bytes(self.bytes_up, "bytes_up")? },
        })
    }
}
