//! Traffic of accounts: what the kernel's counters last showed, sums by day, and what of a quota is used.

use std::collections::HashMap;

use doorward_policy::account::{AccountId, QuotaUse};
use sqlx::{AssertSqlSafe, FromRow};

use super::{
    Error, Store,
    accounts::to_i64,
    error::corrupt,
    sql::{CHUNK, values},
};

/// Counters as the kernel showed them, bytes. Up is from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawCounts {
    /// Bytes from the client.
    pub up: u64,
    /// Bytes to the client.
    pub down: u64,
}

/// What an account used since the last tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageDelta {
    /// Whose.
    pub account: AccountId,
    /// The counter from the client, bytes.
    pub raw_up: u64,
    /// The counter to the client, bytes.
    pub raw_down: u64,
    /// Bytes from the client since the last tick.
    pub delta_up: u64,
    /// Bytes to the client since the last tick.
    pub delta_down: u64,
}

/// An account's traffic on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayUsage {
    /// `YYYY-MM-DD`, gateway time.
    pub day: String,
    /// Bytes from the client.
    pub up: u64,
    /// Bytes to the client.
    pub down: u64,
}

#[derive(FromRow)]
struct CountsRow {
    account_id: i64,
    raw_up: i64,
    raw_down: i64,
}

#[derive(FromRow)]
struct DayRow {
    day: String,
    up: i64,
    down: i64,
}

/// Days deleted in one transaction at most, so that others need not wait long.
const PRUNE_CHUNK: i64 = 5000;

impl Store {
    /// The counters as the last tick saw them.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn last_counts(&self) -> Result<HashMap<AccountId, RawCounts>, Error> {
        let gateway = self.gateway();
        let rows: Vec<CountsRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT u.account_id, u.raw_up, u.raw_down
                 FROM usage_counts u JOIN accounts a ON a.id = u.account_id WHERE a.gateway_id = $1",
            )
            .bind(gateway)
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(CountsRow::open).collect()
    }

    /// Adds a tick to the sums of a day (`YYYY-MM-DD`) and notes the counters, in one transaction. An account may
    /// appear once; one that does not exist any more is left out.
    ///
    /// # Errors
    /// [`Error::Missing`] where an account was deleted at that very moment (PostgreSQL; nothing is stored then);
    /// [`Error::Unavailable`].
    pub async fn record_usage(&self, day: &str, deltas: &[UsageDelta]) -> Result<(), Error> {
        if deltas.is_empty() {
            return Ok(());
        }
        let (gateway, day, deltas) = (self.gateway(), day.to_owned(), deltas.to_vec());
        on_writer!(self.db(), |c| {
            for chunk in deltas.chunks(CHUNK) {
                let sql = format!(
                    "INSERT INTO usage_counts (account_id, raw_up, raw_down)
                     SELECT a.id, v.column2, v.column3 FROM {} JOIN accounts a ON a.id = v.column1
                     WHERE a.gateway_id = $1
                     ON CONFLICT (account_id) DO UPDATE SET raw_up = excluded.raw_up, raw_down = excluded.raw_down",
                    values(2, chunk.len(), 3)
                );
                let mut query = sqlx::query(AssertSqlSafe(sql)).bind(gateway);
                for delta in chunk {
                    query = query.bind(delta.account.0).bind(to_i64(delta.raw_up)).bind(to_i64(delta.raw_down));
                }
                query.execute(&mut *c).await?;
            }
            let used: Vec<_> = deltas.iter().filter(|d| d.delta_up != 0 || d.delta_down != 0).collect();
            for chunk in used.chunks(CHUNK) {
                let sql = format!(
                    "INSERT INTO usage_days (account_id, day, up, down)
                     SELECT a.id, $2, v.column2, v.column3 FROM {} JOIN accounts a ON a.id = v.column1
                     WHERE a.gateway_id = $1
                     ON CONFLICT (account_id, day) DO UPDATE SET
                         up = usage_days.up + excluded.up, down = usage_days.down + excluded.down",
                    values(3, chunk.len(), 3)
                );
                let mut query = sqlx::query(AssertSqlSafe(sql)).bind(gateway).bind(&day);
                for delta in chunk {
                    query = query.bind(delta.account.0).bind(to_i64(delta.delta_up)).bind(to_i64(delta.delta_down));
                }
                query.execute(&mut *c).await?;
            }
            Ok(())
        })
    }

    /// Notes what of their quotas accounts have used, in one transaction. Accounts that do not exist are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn record_quota_use(&self, uses: &[(AccountId, QuotaUse)]) -> Result<(), Error> {
        if uses.is_empty() {
            return Ok(());
        }
        let (gateway, uses) = (self.gateway(), uses.to_vec());
        on_writer!(self.db(), |c| {
            for chunk in uses.chunks(CHUNK) {
                let sql = format!(
                    "UPDATE accounts SET quota_use_start_ms = v.column2, quota_use_bytes = v.column3
                     FROM {} WHERE accounts.id = v.column1 AND accounts.gateway_id = $1",
                    values(2, chunk.len(), 3)
                );
                let mut query = sqlx::query(AssertSqlSafe(sql)).bind(gateway);
                for (account, quota_use) in chunk {
                    query = query.bind(account.0).bind(quota_use.period_start_ms).bind(to_i64(quota_use.bytes));
                }
                query.execute(&mut *c).await?;
            }
            Ok(())
        })
    }

    /// An account's traffic in a month (1 to 12), ascending; days without traffic are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn month_usage(&self, account: AccountId, year: u16, month: u8) -> Result<Vec<DayUsage>, Error> {
        let gateway = self.gateway();
        let (first, last) = (format!("{year:04}-{month:02}-01"), format!("{year:04}-{month:02}-31"));
        let rows: Vec<DayRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT u.day, u.up, u.down FROM usage_days u JOIN accounts a ON a.id = u.account_id
                 WHERE a.gateway_id = $1 AND u.account_id = $2 AND u.day BETWEEN $3 AND $4 ORDER BY u.day",
            )
            .bind(gateway)
            .bind(account.0)
            .bind(&first)
            .bind(&last)
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(|row| row.open(account)).collect()
    }

    /// Deletes the sums of all days before `day` (`YYYY-MM-DD`). Answers with how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; what was deleted until then stays deleted.
    pub async fn prune_usage(&self, day: &str) -> Result<u64, Error> {
        let gateway = self.gateway();
        let mut pruned = 0;
        loop {
            let day = day.to_owned();
            let done = on_writer!(self.db(), |c| {
                let done = sqlx::query(
                    "DELETE FROM usage_days WHERE (account_id, day) IN (
                         SELECT u.account_id, u.day FROM usage_days u JOIN accounts a ON a.id = u.account_id
                         WHERE a.gateway_id = $1 AND u.day < $2 LIMIT $3)",
                )
                .bind(gateway)
                .bind(day)
                .bind(PRUNE_CHUNK)
                .execute(c)
                .await?;
                Ok(done.rows_affected())
            })?;
            pruned += done;
            if done < PRUNE_CHUNK.unsigned_abs() {
                return Ok(pruned);
            }
        }
    }
}

impl CountsRow {
    fn open(self) -> Result<(AccountId, RawCounts), Error> {
        let Self { account_id, raw_up, raw_down } = self;
        let bad = corrupt("usage_counts", account_id);
        let counts = RawCounts {
            up: u64::try_from(raw_up).map_err(|_| bad("raw_up"))?,
            down: u64::try_from(raw_down).map_err(|_| bad("raw_down"))?,
        };
        Ok((AccountId(account_id), counts))
    }
}

impl DayRow {
    fn open(self, account: AccountId) -> Result<DayUsage, Error> {
        let Self { day, up, down } = self;
        let bad = corrupt("usage_days", account.0);
        Ok(DayUsage {
            day,
            up: u64::try_from(up).map_err(|_| bad("up"))?,
            down: u64::try_from(down).map_err(|_| bad("down"))?,
        })
    }
}
