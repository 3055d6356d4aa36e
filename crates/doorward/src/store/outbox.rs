//! Mail and SMS that are to be sent.

use std::fmt;

use sqlx::FromRow;
use zeroize::Zeroizing;

use super::{Error, Store, error::corrupt};
use crate::secrets::{MasterKey, Place};

const TABLE: &str = "outbox";

/// Messages that may wait; beyond that, none is taken.
const MOST_WAITING: i64 = 10_000;

/// How long one that could not be sent is remembered after its time, without its text.
const KEEP_FAILED_MS: i64 = 24 * 3600 * 1000;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// By e-mail.
    Mail,
    /// By SMS.
    Sms,
}

impl Channel {
    /// The word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Sms => "sms",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Mail, Self::Sms].into_iter().find(|channel| channel.as_str() == text)
    }
}

/// Names a stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxId(pub i64);

/// A message whose time to be sent has come.
#[derive(Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// Its row.
    pub id: OutboxId,
    /// How it travels.
    pub channel: Channel,
    /// Recipient and text, as the writer made them.
    pub message: Zeroizing<Vec<u8>>,
    /// How often it was tried.
    pub tries: i64,
    /// Unix ms from which on it is of no use.
    pub expires_ms: i64,
}

impl fmt::Debug for OutboxMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxMessage").field("id", &self.id).field("tries", &self.tries).finish_non_exhaustive()
    }
}

/// How sending goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboxState {
    /// Messages that wait to be sent, or to be sent again.
    pub waiting: i64,
    /// Messages of the last day that were not sent in time.
    pub failed: i64,
    /// Why one of these could not be sent, the latest first; without recipients.
    pub errors: Vec<String>,
}

#[derive(FromRow)]
struct OutboxRow {
    id: i64,
    channel: String,
    message: Vec<u8>,
    tries: i64,
    expires_ms: i64,
}

impl Store {
    /// Takes a message. `false`: too many are waiting.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn post_message(
        &self,
        channel: Channel,
        message: &[u8],
        now_ms: i64,
        expires_ms: i64,
    ) -> Result<bool, Error> {
        let gateway = self.gateway();
        let message = self.key().seal(place(channel), message)?;
        on_writer!(self.db(), |c| {
            let done = sqlx::query(
                "INSERT INTO outbox (gateway_id, channel, message, tries, next_try_ms, created_ms, expires_ms)
                 SELECT $1, $2, $3, 0, $4, $4, $5
                 WHERE (SELECT COUNT(*) FROM outbox WHERE gateway_id = $1 AND expires_ms > $4) < $6",
            )
            .bind(gateway)
            .bind(channel.as_str())
            .bind(message)
            .bind(now_ms)
            .bind(expires_ms)
            .bind(MOST_WAITING)
            .execute(c)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// Messages whose time has come, the longest waiting first, at most `most`; and the moment of the next one.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn due_messages(&self, now_ms: i64, most: u32) -> Result<(Vec<OutboxMessage>, Option<i64>), Error> {
        let gateway = self.gateway();
        let (rows, next): (Vec<OutboxRow>, Option<i64>) = on_reader!(self.db(), |c| {
            let rows = sqlx::query_as(
                "SELECT id, channel, message, tries, expires_ms FROM outbox
                 WHERE gateway_id = $1 AND next_try_ms <= $2 AND expires_ms > $2 AND message <> $4
                 ORDER BY next_try_ms, id LIMIT $3",
            )
            .bind(gateway)
            .bind(now_ms)
            .bind(i64::from(most))
            // One whose text is wiped may look due again when the clock was set back.
            .bind(Vec::<u8>::new())
            .fetch_all(&mut *c)
            .await?;
            let next = sqlx::query_scalar(
                "SELECT MIN(next_try_ms) FROM outbox WHERE gateway_id = $1 AND next_try_ms > $2 AND expires_ms > $2",
            )
            .bind(gateway)
            .bind(now_ms)
            .fetch_one(c)
            .await?;
            (rows, next)
        });
        let messages = rows.into_iter().map(|row| row.open(self.key())).collect::<Result<_, _>>()?;
        Ok((messages, next))
    }

    /// All messages that wait, sealed no more, the oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn messages(&self) -> Result<Vec<OutboxMessage>, Error> {
        let gateway = self.gateway();
        let rows: Vec<OutboxRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, channel, message, tries, expires_ms FROM outbox
                 WHERE gateway_id = $1 AND message <> $2 ORDER BY id",
            )
            .bind(gateway)
            // Those whose text is wiped name nobody.
            .bind(Vec::<u8>::new())
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(|row| row.open(self.key())).collect()
    }

    /// Forgets a message that was sent.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn message_sent(&self, id: OutboxId) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            sqlx::query("DELETE FROM outbox WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id.0)
                .execute(c)
                .await?;
            Ok(())
        })
    }

    /// Notes why a message could not be sent, and when to try again.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn message_failed(&self, id: OutboxId, error: &str, next_try_ms: i64) -> Result<(), Error> {
        let (gateway, error) = (self.gateway(), error.to_owned());
        on_writer!(self.db(), |c| {
            sqlx::query(
                "UPDATE outbox SET tries = tries + 1, error = $3, next_try_ms = $4 WHERE gateway_id = $1 AND id = $2",
            )
            .bind(gateway)
            .bind(id.0)
            .bind(error)
            .bind(next_try_ms)
            .execute(c)
            .await?;
            Ok(())
        })
    }

    /// Wipes the text of messages whose time is over, and forgets those of which that is a day ago.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn expire_messages(&self, now_ms: i64) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            sqlx::query("DELETE FROM outbox WHERE gateway_id = $1 AND expires_ms <= $2")
                .bind(gateway)
                .bind(now_ms.saturating_sub(KEEP_FAILED_MS))
                .execute(&mut *c)
                .await?;
            sqlx::query(
                "UPDATE outbox SET message = $3, error = COALESCE(error, 'not sent in time')
                 WHERE gateway_id = $1 AND expires_ms <= $2 AND message <> $3",
            )
            .bind(gateway)
            .bind(now_ms)
            .bind(Vec::<u8>::new())
            .execute(c)
            .await?;
            Ok(())
        })
    }

    /// How sending goes, with at most `most` errors.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn outbox_state(&self, now_ms: i64, most: u32) -> Result<OutboxState, Error> {
        let gateway = self.gateway();
        let state = on_reader!(self.db(), |c| {
            let (waiting, failed): (i64, i64) = sqlx::query_as(
                "SELECT CAST(COALESCE(SUM(CASE WHEN expires_ms > $2 THEN 1 ELSE 0 END), 0) AS BIGINT),
                    CAST(COALESCE(SUM(CASE WHEN expires_ms <= $2 THEN 1 ELSE 0 END), 0) AS BIGINT)
                 FROM outbox WHERE gateway_id = $1",
            )
            .bind(gateway)
            .bind(now_ms)
            .fetch_one(&mut *c)
            .await?;
            let errors = sqlx::query_scalar(
                "SELECT error FROM outbox WHERE gateway_id = $1 AND error IS NOT NULL ORDER BY id DESC LIMIT $2",
            )
            .bind(gateway)
            .bind(i64::from(most))
            .fetch_all(c)
            .await?;
            OutboxState { waiting, failed, errors }
        });
        Ok(state)
    }
}

impl OutboxRow {
    fn open(self, key: &MasterKey) -> Result<OutboxMessage, Error> {
        let Self { id, channel, message, tries, expires_ms } = self;
        let bad = corrupt(TABLE, id);
        let channel = Channel::parse(&channel).ok_or_else(|| bad("channel"))?;
        let message = key.open(place(channel), &message).map_err(|_| bad("message"))?;
        Ok(OutboxMessage { id: OutboxId(id), channel, message, tries, expires_ms })
    }
}

/// A row is sealed before it has a number, so the seal binds it to its table and channel alone.
fn place(channel: Channel) -> Place<'static> {
    Place { table: TABLE, column: "message", owner: channel.as_str() }
}
