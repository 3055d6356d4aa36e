//! One-time links to accounts' configurations, and how their page looks.

mod page;

use std::net::IpAddr;

use sqlx::FromRow;

pub use page::{LinkLine, LinkSort};

use super::{Error, Store, error::corrupt};
use crate::{
    link_settings::LinkSettings,
    secrets::{LinkKey, MasterKey, Place},
};

const TABLE: &str = "one_time_links";

/// Names a stored link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub i64);

/// A link to be stored.
#[derive(Debug, Clone)]
pub struct NewLink {
    /// Name of the account that it is for.
    pub account: String,
    /// Its key.
    pub key: LinkKey,
    /// How often it may be used, at least 1.
    pub uses: u16,
    /// Unix ms.
    pub created_ms: i64,
    /// Unix ms from which on it is of no use.
    pub expires_ms: i64,
}

/// A stored link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRecord {
    /// Its row.
    pub id: LinkId,
    /// Name of the account that it is for.
    pub account: String,
    /// Its key.
    pub key: LinkKey,
    /// How often it may be used.
    pub uses: i64,
    /// How often it may still be used.
    pub uses_left: i64,
    /// Unix ms.
    pub created_ms: i64,
    /// Unix ms from which on it is of no use.
    pub expires_ms: i64,
    /// Unix ms of its last use.
    pub used_ms: Option<i64>,
    /// Where its last use came from.
    pub used_from: Option<IpAddr>,
}

/// A link that can be used.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct LiveLink {
    /// Name of the account that it is for.
    pub account: String,
    /// How often it may still be used, at least 1.
    pub uses_left: i64,
}

/// Which links a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkFilter<'a> {
    /// Those of the account of this name alone.
    pub account: Option<&'a str>,
    /// Those behind this one.
    pub after: Option<LinkId>,
    /// Unix ms: those that can still be used then; without it, all that were not pruned.
    pub live_at_ms: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

#[derive(FromRow)]
struct LinkRow {
    id: i64,
    account: String,
    digest: Vec<u8>,
    key: Vec<u8>,
    uses: i64,
    uses_left: i64,
    created_ms: i64,
    expires_ms: i64,
    used_ms: Option<i64>,
    used_from: Option<String>,
}

impl Store {
    /// Stores a new link.
    ///
    /// # Errors
    /// [`Error::Missing`] where the account is gone, [`Error::Unavailable`].
    pub async fn insert_link(&self, new: &NewLink) -> Result<LinkId, Error> {
        let gateway = self.gateway();
        let NewLink { account, key, uses, created_ms, expires_ms } = new.clone();
        let digest = key.digest();
        let sealed = self.key().seal(place(&owner(&digest)), key.expose().as_bytes())?;
        let id = on_writer!(self.db(), |c| {
            let id: Option<i64> = sqlx::query_scalar(
                "INSERT INTO one_time_links (gateway_id, account_id, digest, key, created_ms, expires_ms, uses, uses_left)
                 SELECT gateway_id, id, $3, $4, $5, $6, $7, $7 FROM accounts WHERE gateway_id = $1 AND name = $2
                 RETURNING id",
            )
            .bind(gateway)
            .bind(account)
            .bind(digest.to_vec())
            .bind(sealed)
            .bind(created_ms)
            .bind(expires_ms)
            .bind(i64::from(uses))
            .fetch_optional(c)
            .await?;
            id.ok_or(Error::Missing)
        })?;
        Ok(LinkId(id))
    }

    /// Links in the order of their making.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn links(&self, filter: LinkFilter<'_>) -> Result<Vec<LinkRecord>, Error> {
        let gateway = self.gateway();
        let rows: Vec<LinkRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT l.id, a.name AS account, l.digest, l.key, l.uses, l.uses_left, l.created_ms, l.expires_ms,
                        l.used_ms, l.used_from
                 FROM one_time_links l JOIN accounts a ON a.id = l.account_id
                 WHERE l.gateway_id = $1 AND l.id > $2 AND (l.uses_left > 0 OR $3 < 0) AND l.expires_ms > $3
                    AND (a.name = $4 OR $5)
                 ORDER BY l.id LIMIT $6",
            )
            .bind(gateway)
            .bind(filter.after.map_or(0, |id| id.0))
            .bind(filter.live_at_ms.unwrap_or(-1))
            .bind(filter.account.unwrap_or_default())
            .bind(filter.account.is_none())
            .bind(i64::from(filter.limit))
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(|row| row.open(self.key())).collect()
    }

    /// A link that can still be used. Uses nothing up.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn live_link(&self, digest: &[u8; 32], now_ms: i64) -> Result<Option<LiveLink>, Error> {
        let gateway = self.gateway();
        let link: Option<LiveLink> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT a.name AS account, l.uses_left FROM one_time_links l JOIN accounts a ON a.id = l.account_id
                 WHERE l.gateway_id = $1 AND l.digest = $2 AND l.uses_left > 0 AND l.expires_ms > $3",
            )
            .bind(gateway)
            .bind(digest.to_vec())
            .bind(now_ms)
            .fetch_optional(c)
            .await?
        });
        Ok(link)
    }

    /// Uses a link once, and answers how many uses are left then. Of any number of parallel calls, as many succeed as
    /// there are uses left.
    ///
    /// # Errors
    /// [`Error::Missing`] where it cannot be used (any more), [`Error::Unavailable`].
    pub async fn use_link(&self, digest: &[u8; 32], from: IpAddr, now_ms: i64) -> Result<i64, Error> {
        let (gateway, digest) = (self.gateway(), digest.to_vec());
        on_writer!(self.db(), |c| {
            let left: Option<i64> = sqlx::query_scalar(
                "UPDATE one_time_links SET uses_left = uses_left - 1, used_ms = $3, used_from = $4
                 WHERE gateway_id = $1 AND digest = $2 AND uses_left > 0 AND expires_ms > $3
                 RETURNING uses_left",
            )
            .bind(gateway)
            .bind(digest)
            .bind(now_ms)
            .bind(from.to_string())
            .fetch_optional(c)
            .await?;
            left.ok_or(Error::Missing)
        })
    }

    /// Deletes a link.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    pub async fn delete_link(&self, id: LinkId) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let done = sqlx::query("DELETE FROM one_time_links WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id.0)
                .execute(c)
                .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// Deletes the links whose time is over, used or not. Answers how many there were.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn prune_links(&self, now_ms: i64) -> Result<u64, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let done = sqlx::query("DELETE FROM one_time_links WHERE gateway_id = $1 AND expires_ms <= $2")
                .bind(gateway)
                .bind(now_ms)
                .execute(c)
                .await?;
            Ok(done.rows_affected())
        })
    }

    /// How the page looks; [`LinkSettings::default`] until something else is stored.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn link_settings(&self) -> Result<LinkSettings, Error> {
        let gateway = self.gateway();
        let text: Option<String> = on_reader!(self.db(), |c| {
            sqlx::query_scalar("SELECT settings FROM link_settings WHERE gateway_id = $1")
                .bind(gateway)
                .fetch_optional(c)
                .await?
        });
        let Some(text) = text else { return Ok(LinkSettings::default()) };
        serde_json::from_str(&text).map_err(|_| corrupt("link_settings", gateway)("settings"))
    }

    /// Stores how the page looks.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn set_link_settings(&self, settings: &LinkSettings) -> Result<(), Error> {
        let gateway = self.gateway();
        let text = serde_json::to_string(settings).map_err(|_| corrupt("link_settings", gateway)("settings"))?;
        on_writer!(self.db(), |c| {
            sqlx::query(
                "INSERT INTO link_settings (gateway_id, settings) VALUES ($1, $2)
                 ON CONFLICT (gateway_id) DO UPDATE SET settings = excluded.settings",
            )
            .bind(gateway)
            .bind(text)
            .execute(c)
            .await?;
            Ok(())
        })
    }
}

impl LinkRow {
    fn open(self, master: &MasterKey) -> Result<LinkRecord, Error> {
        let Self { id, account, digest, key, uses, uses_left, created_ms, expires_ms, used_ms, used_from } = self;
        let bad = corrupt(TABLE, id);
        let digest: [u8; 32] = digest.try_into().map_err(|_| bad("digest"))?;
        let key = master.open(place(&owner(&digest)), &key).map_err(|_| bad("key"))?;
        let key = std::str::from_utf8(&key).ok().and_then(LinkKey::parse).ok_or_else(|| bad("key"))?;
        let used_from = used_from.map(|text| text.parse()).transpose().map_err(|_| bad("used_from"))?;
        Ok(LinkRecord { id: LinkId(id), account, key, uses, uses_left, created_ms, expires_ms, used_ms, used_from })
    }
}

/// The digest names a row for ever.
fn owner(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place(owner: &str) -> Place<'_> {
    Place { table: TABLE, column: "key", owner }
}
