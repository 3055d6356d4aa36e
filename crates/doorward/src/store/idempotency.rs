//! Answers that a client of the hotspot API may ask for again (docs/api-design.md, `Idempotency-Key`).

use std::{fmt, sync::Arc};

use super::{Error, Store, error::corrupt};
use crate::secrets::Place;

/// How long an answer is kept.
pub(super) const KEEP_MS: i64 = 24 * 3_600_000;

/// A request that must be carried out once. The answer is stored, sealed, in the transaction of the change.
pub struct Once<T> {
    /// Which request, and by what key.
    pub ticket: OnceTicket,
    /// Makes the answer of what was done.
    pub answer: Answer<T>,
}

/// Writes an answer.
pub type Answer<T> = Arc<dyn Fn(&T) -> Vec<u8> + Send + Sync>;

/// What names such a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnceTicket {
    /// SHA-256 of the client's key.
    pub key: [u8; 32],
    /// SHA-256 of the request.
    pub request: [u8; 32],
    /// Unix ms.
    pub now_ms: i64,
}

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Self { ticket: self.ticket, answer: Arc::clone(&self.answer) }
    }
}

impl<T> fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

/// A kept answer.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// SHA-256 of the request that it answers.
    pub request: [u8; 32],
    /// The answer; may hold passcodes.
    pub answer: Vec<u8>,
}

impl fmt::Debug for KeptAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptAnswer").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Store {
    /// The answer that was kept under a key, if it is not too old.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn kept_answer(&self, key: &[u8; 32], now_ms: i64) -> Result<Option<KeptAnswer>, Error> {
        let gateway = self.gateway();
        let row: Option<(Vec<u8>, Vec<u8>)> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT request, answer FROM idempotency_keys
                 WHERE gateway_id = $1 AND key_digest = $2 AND created_ms > $3",
            )
            .bind(gateway)
            .bind(key.to_vec())
            .bind(now_ms.saturating_sub(KEEP_MS))
            .fetch_optional(c)
            .await?
        });
        let Some((request, answer)) = row else { return Ok(None) };
        let bad = corrupt("idempotency_keys", gateway);
        let request = request.try_into().map_err(|_| bad("request"))?;
        let answer = self.key().open(place(&owner(key)), &answer).map_err(|_| bad("answer"))?;
        Ok(Some(KeptAnswer { request, answer: answer.to_vec() }))
    }
}

/// Keeps the answer of a change, within its transaction. [`Error::Taken`] with `IdempotencyKey`: the key was used.
macro_rules! keep_answer {
    ($c:ident, $gateway:expr, $key:expr, $once:expr, $value:expr) => {
        if let Some($crate::store::Once { ticket, answer }) = $once {
            let sealed = $crate::store::idempotency::seal(&$key, &ticket, &answer($value))?;
            sqlx::query("DELETE FROM idempotency_keys WHERE gateway_id = $1 AND created_ms <= $2")
                .bind($gateway)
                .bind(ticket.now_ms.saturating_sub($crate::store::idempotency::KEEP_MS))
                .execute(&mut *$c)
                .await?;
            sqlx::query(
                "INSERT INTO idempotency_keys (gateway_id, key_digest, request, answer, created_ms)
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind($gateway)
            .bind(ticket.key.to_vec())
            .bind(ticket.request.to_vec())
            .bind(sealed)
            .bind(ticket.now_ms)
            .execute(&mut *$c)
            .await?;
        }
    };
}

pub(super) fn seal(
    key: &crate::secrets::MasterKey,
    ticket: &OnceTicket,
    answer: &[u8],
) -> Result<Vec<u8>, crate::secrets::Error> {
    key.seal(place(&owner(&ticket.key)), answer)
}

fn owner(key: &[u8; 32]) -> String {
    key.iter().map(|b| format!("{b:02x}")).collect()
}

fn place(owner: &str) -> Place<'_> {
    Place { table: "idempotency_keys", column: "answer", owner }
}
