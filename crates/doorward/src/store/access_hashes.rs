//! Access hashes of the VPN API, as digests.

use std::fmt;

use ipnet::IpNet;
use sqlx::FromRow;

use super::{Error, Store, error::corrupt};
use crate::secrets::same_digest;

/// Names a stored access hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessHashId(pub i64);

/// An access hash to be stored.
#[derive(Clone)]
pub struct NewAccessHash {
    /// Unique; 1 to 64 characters by the rules of the caller.
    pub name: String,
    /// [`crate::secrets::AccessHash::digest`].
    pub digest: [u8; 32],
    /// Addresses that may use it; empty: any.
    pub allow: Vec<IpNet>,
    /// Unix ms.
    pub created_ms: i64,
}

impl fmt::Debug for NewAccessHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccessHash").field("name", &self.name).field("allow", &self.allow).finish_non_exhaustive()
    }
}

/// A stored access hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessHashRecord {
    /// Its row.
    pub id: AccessHashId,
    /// Unique.
    pub name: String,
    /// Addresses that may use it; empty: any.
    pub allow: Vec<IpNet>,
    /// Unix ms.
    pub created_ms: i64,
    /// Unix ms of its last use.
    pub last_login_ms: Option<i64>,
}

#[derive(FromRow)]
struct AccessHashRow {
    id: i64,
    name: String,
    digest: Vec<u8>,
    /// Networks, joined by commas.
    allow: String,
    created_ms: i64,
    last_login_ms: Option<i64>,
}

/// A use within this time after the last noted one is not noted.
const LOGIN_GRAIN_MS: i64 = 60_000;

impl Store {
    /// All access hashes, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn access_hashes(&self) -> Result<Vec<AccessHashRecord>, Error> {
        let gateway = self.gateway();
        let rows: Vec<AccessHashRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, name, digest, allow, created_ms, last_login_ms FROM access_hashes
                 WHERE gateway_id = $1 ORDER BY name",
            )
            .bind(gateway)
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(|row| row.open().map(|(record, _)| record)).collect()
    }

    /// The access hash with that digest.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn access_hash_by_digest(&self, digest: &[u8; 32]) -> Result<Option<AccessHashRecord>, Error> {
        let gateway = self.gateway();
        let row: Option<AccessHashRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, name, digest, allow, created_ms, last_login_ms FROM access_hashes
                 WHERE gateway_id = $1 AND digest = $2",
            )
            .bind(gateway)
            .bind(digest.to_vec())
            .fetch_optional(c)
            .await?
        });
        // The index compares byte by byte, but what its timing tells are bytes of a digest, not of the hash.
        let found = row.map(AccessHashRow::open).transpose()?;
        Ok(found.filter(|(_, stored)| same_digest(stored, digest)).map(|(record, _)| record))
    }

    /// Stores a new access hash.
    ///
    /// # Errors
    /// [`Error::Taken`] with `HashName` or `HashDigest`, [`Error::Unavailable`].
    pub async fn insert_access_hash(&self, new: &NewAccessHash) -> Result<AccessHashId, Error> {
        let gateway = self.gateway();
        let NewAccessHash { name, digest, allow, created_ms } = new.clone();
        let allow = allow.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",");
        let id = on_writer!(self.db(), |c| {
            let id: i64 = sqlx::query_scalar(
                "INSERT INTO access_hashes (gateway_id, name, digest, allow, created_ms) VALUES ($1, $2, $3, $4, $5)
                 RETURNING id",
            )
            .bind(gateway)
            .bind(name)
            .bind(digest.to_vec())
            .bind(allow)
            .bind(created_ms)
            .fetch_one(c)
            .await?;
            Ok(id)
        })?;
        Ok(AccessHashId(id))
    }

    /// Notes a use, at most once a minute. Nothing happens where the hash is gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn touch_access_hash(&self, id: AccessHashId, now_ms: i64) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            sqlx::query(
                "UPDATE access_hashes SET last_login_ms = $3
                 WHERE gateway_id = $1 AND id = $2 AND (last_login_ms IS NULL OR last_login_ms <= $4)",
            )
            .bind(gateway)
            .bind(id.0)
            .bind(now_ms)
            .bind(now_ms.saturating_sub(LOGIN_GRAIN_MS))
            .execute(c)
            .await?;
            Ok(())
        })
    }

    /// Deletes the access hash of that name.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    pub async fn delete_access_hash(&self, name: &str) -> Result<(), Error> {
        let (gateway, name) = (self.gateway(), name.to_owned());
        on_writer!(self.db(), |c| {
            let done = sqlx::query("DELETE FROM access_hashes WHERE gateway_id = $1 AND name = $2")
                .bind(gateway)
                .bind(name)
                .execute(c)
                .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }
}

impl AccessHashRow {
    fn open(self) -> Result<(AccessHashRecord, [u8; 32]), Error> {
        let Self { id, name, digest, allow, created_ms, last_login_ms } = self;
        let bad = corrupt("access_hashes", id);
        let digest = digest.try_into().map_err(|_| bad("digest"))?;
        let networks = allow.split(',').filter(|text| !text.is_empty()).map(str::parse).collect::<Result<_, _>>();
        let allow = networks.map_err(|_| bad("allow"))?;
        Ok((AccessHashRecord { id: AccessHashId(id), name, allow, created_ms, last_login_ms }, digest))
    }
}
