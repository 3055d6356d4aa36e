//! Persons: what is known of one, erasing one, and forgetting what is too old.

mod person;

use doorward_policy::guest::Method;

use super::{Error, Store, sessions::PRUNE_CHUNK};
use crate::hotspot_settings::GuestSettings;

/// A day in ms.
const DAY_MS: i64 = 86_400_000;

impl Store {
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
                     (SELECT g.id FROM guests g WHERE g.gateway_id = $1
                         AND g.method IN ('voucher', 'email', 'mobile', 'facebook', 'free')
                         AND g.last_login_ms < $2 AND NOT EXISTS
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
