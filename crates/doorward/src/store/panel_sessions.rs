//! Who is signed in to the panel, and from where.

use sqlx::FromRow;

use super::{Error, Operator, OperatorId, Store, operators::OperatorRow};

/// Names a stored session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PanelSessionId(pub i64);

/// Sessions of one operator; beyond that, the one that was not used for the longest time ends.
const MOST_SESSIONS: i64 = 20;
/// Addresses that are remembered of one operator.
const MOST_ADDRESSES: i64 = 50;

/// A session to be stored.
#[derive(Debug, Clone)]
pub struct NewPanelSession {
    /// Whose.
    pub operator: OperatorId,
    /// [`crate::secrets::SessionToken::digest`].
    pub digest: [u8; 32],
    /// Where it was begun.
    pub address: String,
    /// What the browser calls itself; at most 200 characters by the rules of the caller.
    pub user_agent: String,
    /// The step of the second factor that was used for it, if one was.
    pub totp_step: Option<i64>,
    /// Unix ms.
    pub created_ms: i64,
}

/// A stored session.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct PanelSession {
    /// Its row.
    #[sqlx(rename = "session_id")]
    id: i64,
    /// Where it was used last.
    pub address: String,
    /// What the browser called itself.
    pub user_agent: String,
    /// Unix ms.
    #[sqlx(rename = "session_created_ms")]
    pub created_ms: i64,
    /// Unix ms of the last use, to the minute.
    pub seen_ms: i64,
}

impl PanelSession {
    /// Its row.
    #[must_use]
    pub fn id(&self) -> PanelSessionId {
        PanelSessionId(self.id)
    }
}

#[derive(FromRow)]
struct BothRow {
    #[sqlx(flatten)]
    session: PanelSession,
    #[sqlx(flatten)]
    operator: OperatorRow,
}

const SESSION: &str =
    "SELECT s.id AS session_id, s.address, s.user_agent, s.created_ms AS session_created_ms, s.seen_ms
     FROM panel_sessions s ";

impl Store {
    /// Begins a session, and notes where the operator signed in from. A step of the second factor is used up.
    ///
    /// # Errors
    /// [`Error::Missing`] where the operator is gone or switched off, or the step was used before; [`Error::Unavailable`].
    pub async fn insert_panel_session(&self, new: NewPanelSession) -> Result<PanelSessionId, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let NewPanelSession { operator, digest, address, user_agent, totp_step, created_ms } = new;
            let done = sqlx::query(
                "UPDATE operators SET last_login_ms = $3, totp_step = CASE WHEN $4 THEN $5 ELSE totp_step END
                 WHERE gateway_id = $1 AND id = $2 AND enabled AND (totp_step < $5 OR NOT $4)",
            )
            .bind(gateway)
            .bind(operator.0)
            .bind(created_ms)
            .bind(totp_step.is_some())
            .bind(totp_step.unwrap_or_default())
            .execute(&mut *c)
            .await?;
            if done.rows_affected() == 0 {
                return Err(Error::Missing);
            }
            let id: i64 = sqlx::query_scalar(
                "INSERT INTO panel_sessions (gateway_id, operator_id, digest, address, user_agent, created_ms, seen_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING id",
            )
            .bind(gateway)
            .bind(operator.0)
            .bind(digest.to_vec())
            .bind(&address)
            .bind(user_agent)
            .bind(created_ms)
            .fetch_one(&mut *c)
            .await?;
            sqlx::query(
                "DELETE FROM panel_sessions WHERE operator_id = $1 AND id NOT IN (
                    SELECT id FROM panel_sessions WHERE operator_id = $1 ORDER BY seen_ms DESC, id DESC LIMIT $2)",
            )
            .bind(operator.0)
            .bind(MOST_SESSIONS)
            .execute(&mut *c)
            .await?;
            sqlx::query(
                "INSERT INTO operator_addresses (operator_id, address, seen_ms) VALUES ($1, $2, $3)
                 ON CONFLICT (operator_id, address) DO UPDATE SET seen_ms = excluded.seen_ms",
            )
            .bind(operator.0)
            .bind(address)
            .bind(created_ms)
            .execute(&mut *c)
            .await?;
            sqlx::query(
                "DELETE FROM operator_addresses WHERE operator_id = $1 AND address NOT IN (
                    SELECT address FROM operator_addresses WHERE operator_id = $1
                    ORDER BY seen_ms DESC, address LIMIT $2)",
            )
            .bind(operator.0)
            .bind(MOST_ADDRESSES)
            .execute(c)
            .await?;
            Ok(PanelSessionId(id))
        })
    }

    /// Whether an operator signed in from an address since a moment (Unix ms).
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn knows_operator_address(&self, name: &str, address: &str, since_ms: i64) -> Result<bool, Error> {
        let gateway = self.gateway();
        Ok(on_reader!(self.db(), |c| {
            sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM operator_addresses a JOIN operators o ON o.id = a.operator_id
                 WHERE o.gateway_id = $1 AND o.name = $2 AND a.address = $3 AND a.seen_ms >= $4)",
            )
            .bind(gateway)
            .bind(name)
            .bind(address)
            .bind(since_ms)
            .fetch_one(c)
            .await?
        }))
    }

    /// The session with that digest, and whose it is, unless it was begun or last used before these moments (Unix ms).
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn panel_session(
        &self,
        digest: &[u8; 32],
        created_after_ms: i64,
        seen_after_ms: i64,
    ) -> Result<Option<(PanelSession, Operator)>, Error> {
        let gateway = self.gateway();
        let row: Option<BothRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(concat!(
                "SELECT s.id AS session_id, s.address, s.user_agent, s.created_ms AS session_created_ms, s.seen_ms, ",
                operator_columns!(),
                " FROM panel_sessions s JOIN operators o ON o.id = s.operator_id
                 WHERE s.digest = $2 AND s.gateway_id = $1 AND o.enabled AND s.created_ms > $3 AND s.seen_ms > $4"
            ))
            .bind(gateway)
            .bind(digest.to_vec())
            .bind(created_after_ms)
            .bind(seen_after_ms)
            .fetch_optional(c)
            .await?
        });
        row.map(|row| Ok((row.session, row.operator.open(self.key())?))).transpose()
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn touch_panel_session(&self, id: PanelSessionId, address: &str, now_ms: i64) -> Result<(), Error> {
        let (gateway, address) = (self.gateway(), address.to_owned());
        on_writer!(self.db(), |c| {
            sqlx::query("UPDATE panel_sessions SET seen_ms = $3, address = $4 WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id.0)
                .bind(now_ms)
                .bind(address)
                .execute(c)
                .await?;
            Ok(())
        })
    }

    /// An operator's sessions, the last used first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn panel_sessions(&self, operator: OperatorId) -> Result<Vec<PanelSession>, Error> {
        let gateway = self.gateway();
        let sql =
            format!("{SESSION} WHERE s.gateway_id = $1 AND s.operator_id = $2 ORDER BY s.seen_ms DESC, s.id DESC");
        Ok(on_reader!(self.db(), |c| {
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(gateway).bind(operator.0).fetch_all(c).await?
        }))
    }

    /// Ends one session of an operator, or all but `keep`. Answers how many ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_panel_sessions(
        &self,
        operator: OperatorId,
        only: Option<PanelSessionId>,
        keep: Option<PanelSessionId>,
    ) -> Result<u64, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let done = sqlx::query(
                "DELETE FROM panel_sessions
                 WHERE gateway_id = $1 AND operator_id = $2 AND ($3 = 0 OR id = $3) AND id <> $4",
            )
            .bind(gateway)
            .bind(operator.0)
            .bind(only.map_or(0, |id| id.0))
            .bind(keep.map_or(0, |id| id.0))
            .execute(c)
            .await?;
            Ok(done.rows_affected())
        })
    }

    /// Deletes sessions that were begun or last used before these moments (Unix ms).
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn prune_panel_sessions(&self, created_before_ms: i64, seen_before_ms: i64) -> Result<u64, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let done =
                sqlx::query("DELETE FROM panel_sessions WHERE gateway_id = $1 AND (created_ms <= $2 OR seen_ms <= $3)")
                    .bind(gateway)
                    .bind(created_before_ms)
                    .bind(seen_before_ms)
                    .execute(c)
                    .await?;
            Ok(done.rows_affected())
        })
    }
}
