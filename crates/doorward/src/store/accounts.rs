//! VPN accounts.

mod page;
mod row;

use std::collections::HashMap;

use doorward_policy::{
    account::{Account, AccountId},
    limits::Bandwidth,
    vpn_server::{PortForward, ServerId},
};
use sqlx::AssertSqlSafe;

use super::{
    Error, Store,
    sql::{CHUNK, parameters},
};
pub use page::{AccountFilter, AccountLine, AccountSort, AccountState, Periods};
use row::AccountRow;
pub(super) use row::to_i64;

macro_rules! select {
    () => {
        "SELECT id, server_id, name, username, secrets, public_key, enabled, address, address_ipv6, bandwidth_down,
                bandwidth_up, mark, expires_at_ms, quota_bytes, quota_period, quota_use_start_ms, quota_use_bytes
         FROM accounts "
    };
    ($rest:literal) => {
        concat!(select!(), $rest)
    };
}

impl Store {
    /// All accounts, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn accounts(&self) -> Result<Vec<Account>, Error> {
        let gateway = self.gateway();
        let rows: Vec<AccountRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(select!("WHERE gateway_id = $1 ORDER BY name")).bind(gateway).fetch_all(c).await?
        });
        let forwards = self.all_forwards().await?;
        self.open_accounts(rows, forwards)
    }

    /// All accounts of a server, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn accounts_of(&self, server: ServerId) -> Result<Vec<Account>, Error> {
        let gateway = self.gateway();
        let rows: Vec<AccountRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(select!("WHERE gateway_id = $1 AND server_id = $2 ORDER BY name"))
                .bind(gateway)
                .bind(server.0)
                .fetch_all(c)
                .await?
        });
        let forwards = self.forwards_by_account_of(server).await?;
        self.open_accounts(rows, forwards)
    }

    /// The accounts with these ids, in no particular order; ids without an account are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn accounts_by_ids(&self, ids: &[AccountId]) -> Result<Vec<Account>, Error> {
        let gateway = self.gateway();
        let mut accounts = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let sql = format!("{}WHERE gateway_id = $1 AND id IN ({})", select!(), parameters(2, chunk.len()));
            let rows: Vec<AccountRow> = on_reader!(self.db(), |c| {
                let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(gateway);
                for id in chunk {
                    query = query.bind(id.0);
                }
                query.fetch_all(c).await?
            });
            let forwards = self.forwards_by_accounts(chunk).await?;
            accounts.extend(self.open_accounts(rows, forwards)?);
        }
        Ok(accounts)
    }

    /// The account of that name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn account_by_name(&self, name: &str) -> Result<Option<Account>, Error> {
        let gateway = self.gateway();
        let row: Option<AccountRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(select!("WHERE gateway_id = $1 AND name = $2"))
                .bind(gateway)
                .bind(name)
                .fetch_optional(c)
                .await?
        });
        self.open_account(row).await
    }

    /// The account of that user name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn account_by_username(&self, username: &str) -> Result<Option<Account>, Error> {
        let gateway = self.gateway();
        let row: Option<AccountRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(select!("WHERE gateway_id = $1 AND username = $2"))
                .bind(gateway)
                .bind(username)
                .fetch_optional(c)
                .await?
        });
        self.open_account(row).await
    }

    /// The ids of all accounts of a server.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn account_ids_of(&self, server: ServerId) -> Result<Vec<AccountId>, Error> {
        let gateway = self.gateway();
        let ids: Vec<i64> = on_reader!(self.db(), |c| {
            sqlx::query_scalar("SELECT id FROM accounts WHERE gateway_id = $1 AND server_id = $2 ORDER BY id")
                .bind(gateway)
                .bind(server.0)
                .fetch_all(c)
                .await?
        });
        Ok(ids.into_iter().map(AccountId).collect())
    }

    /// How many accounts there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_accounts(&self) -> Result<u64, Error> {
        let gateway = self.gateway();
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar("SELECT COUNT(*) FROM accounts WHERE gateway_id = $1").bind(gateway).fetch_one(c).await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Stores a new account and gives it an id; the one in `account` means nothing. Its `forwards` are not stored.
    ///
    /// # Errors
    /// [`Error::Taken`] with `AccountName`, `Username`, `AccountAddress`, `AccountAddressIpv6`, `AccountKey` or
    /// `Mark`; [`Error::Missing`] where its server is gone; [`Error::Unavailable`].
    pub async fn insert_account(&self, account: &Account) -> Result<AccountId, Error> {
        let gateway = self.gateway();
        let row = AccountRow::seal(account, self.key())?;
        let id = on_writer!(self.db(), |c| {
            // The server must be one of this gateway.
            let id: Option<i64> = sqlx::query_scalar(
                "INSERT INTO accounts (gateway_id, server_id, name, username, secrets, public_key, enabled, address,
                    address_ipv6, bandwidth_down, bandwidth_up, mark, expires_at_ms, quota_bytes, quota_period,
                    quota_use_start_ms, quota_use_bytes)
                 SELECT gateway_id, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17
                 FROM vpn_servers WHERE gateway_id = $1 AND id = $2
                 RETURNING id",
            )
            .bind(gateway)
            .bind(row.server_id)
            .bind(row.name)
            .bind(row.username)
            .bind(row.secrets)
            .bind(row.public_key)
            .bind(row.enabled)
            .bind(row.address)
            .bind(row.address_ipv6)
            .bind(row.bandwidth_down)
            .bind(row.bandwidth_up)
            .bind(row.mark)
            .bind(row.expires_at_ms)
            .bind(row.quota_bytes)
            .bind(row.quota_period)
            .bind(row.quota_use_start_ms)
            .bind(row.quota_use_bytes)
            .fetch_optional(c)
            .await?;
            id.ok_or(Error::Missing)
        })?;
        Ok(AccountId(id))
    }

    /// Stores what may change of an account: status, password, keys, addresses, bandwidth, expiry, quota. Its server,
    /// name, user name and number never change; what of the quota is used and the forwardings have functions of
    /// their own.
    ///
    /// # Errors
    /// [`Error::Missing`] where no row has that id and name; [`Error::Taken`] with `AccountAddress`, `AccountAddressIpv6` or `AccountKey`;
    /// [`Error::Unavailable`].
    pub async fn update_account(&self, account: &Account) -> Result<(), Error> {
        let gateway = self.gateway();
        let row = AccountRow::seal(account, self.key())?;
        on_writer!(self.db(), |c| {
            let done = sqlx::query(
                "UPDATE accounts SET secrets = $3, public_key = $4, enabled = $5, address = $6, address_ipv6 = $7,
                    bandwidth_down = $8, bandwidth_up = $9, expires_at_ms = $10, quota_bytes = $11, quota_period = $12
                 WHERE gateway_id = $1 AND id = $2 AND name = $13",
            )
            .bind(gateway)
            .bind(row.id)
            .bind(row.secrets)
            .bind(row.public_key)
            .bind(row.enabled)
            .bind(row.address)
            .bind(row.address_ipv6)
            .bind(row.bandwidth_down)
            .bind(row.bandwidth_up)
            .bind(row.expires_at_ms)
            .bind(row.quota_bytes)
            .bind(row.quota_period)
            // The secrets are sealed for this name.
            .bind(row.name)
            .execute(c)
            .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// Gives all accounts of a server the same bandwidth. Answers with their ids.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn set_bandwidth_of(&self, server: ServerId, bandwidth: Bandwidth) -> Result<Vec<AccountId>, Error> {
        let gateway = self.gateway();
        let ids = on_writer!(self.db(), |c| {
            let ids: Vec<i64> = sqlx::query_scalar(
                "UPDATE accounts SET bandwidth_down = $3, bandwidth_up = $4
                 WHERE gateway_id = $1 AND server_id = $2 RETURNING id",
            )
            .bind(gateway)
            .bind(server.0)
            .bind(i64::from(bandwidth.down.get()))
            .bind(i64::from(bandwidth.up.get()))
            .fetch_all(c)
            .await?;
            Ok(ids)
        })?;
        Ok(ids.into_iter().map(AccountId).collect())
    }

    /// Deletes an account with its forwardings and statistics.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    pub async fn delete_account(&self, id: AccountId) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let done = sqlx::query("DELETE FROM accounts WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id.0)
                .execute(c)
                .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    fn open_accounts(
        &self,
        rows: Vec<AccountRow>,
        mut forwards: HashMap<AccountId, Vec<PortForward>>,
    ) -> Result<Vec<Account>, Error> {
        rows.into_iter()
            .map(|row| {
                let forwards = forwards.remove(&AccountId(row.id)).unwrap_or_default();
                row.open(forwards, self.key())
            })
            .collect()
    }

    async fn open_account(&self, row: Option<AccountRow>) -> Result<Option<Account>, Error> {
        let Some(row) = row else { return Ok(None) };
        let id = AccountId(row.id);
        let forwards = self.forwards_by_accounts(&[id]).await?.remove(&id).unwrap_or_default();
        row.open(forwards, self.key()).map(Some)
    }
}
