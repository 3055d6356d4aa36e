//! Access hashes of the VPN API, as digests.

use std::fmt;

use ipnet::IpNet;
use sqlx::FromRow;

use super::{Error, Store, error::corrupt};
use crate::secrets::same_digest;

/// Names a stored access hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessHashId(pub i64);

/// What a program may do with an access hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    All,
    /// GET alone.
    Read,
}

impl Scope {
    /// Both.
    pub const ALL: [Self; 2] = [Self::All, Self::Read];

    /// The word in the database, in pages and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Read => "read",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// An access hash to be stored.
#[derive(Clone)]
pub struct NewAccessHash {
    /// Unique; 1 to 64 characters by the rules of the caller.
    pub name: String,
    /// [`crate::secrets::AccessHash::digest`].
    pub digest: [u8; 32],
    /// Addresses that may use it; empty: any.
    pub allow: Vec<IpNet>,
    /// What it may be used for.
    pub scope: Scope,
    /// Unix ms from which on it is unknown; `None`: never.
    pub expires_ms: Option<i64>,
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
    /// What it may be used for.
    pub scope: Scope,
    /// Unix ms from which on it is unknown; `None`: never.
    pub expires_ms: Option<i64>,
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
    scope: String,
    expires_ms: Option<i64>,
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
                "SELECT id, name, digest, allow, scope, expires_ms, created_ms, last_login_ms FROM access_hashes
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
                "SELECT id, name, digest, allow, scope, expires_ms, created_ms, last_login_ms FROM access_hashes
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
        let NewAccessHash { name, digest, allow, scope, expires_ms, created_ms } = new.clone();
        let allow = allow.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",");
        let id = on_writer!(self.db(), |c| {
            let id: i64 = sqlx::query_scalar(
                "INSERT INTO access_hashes (gateway_id, name, digest, allow, scope, expires_ms, created_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
            )
            .bind(gateway)
            .bind(name)
            .bind(digest.to_vec())
            .bind(allow)
            .bind(scope.as_str())
            .bind(expires_ms)
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
        let Self { id, name, digest, allow, scope, expires_ms, created_ms, last_login_ms } = self;
        let bad = corrupt("access_hashes", id);
        let digest = digest.try_into().map_err(|_| bad("digest"))?;
        let networks = allow.split(',').filter(|text| !text.is_empty()).map(str::parse).collect::<Result<_, _>>();
        let allow = networks.map_err(|_| bad("allow"))?;
        let scope = Scope::parse(&scope).ok_or_else(|| bad("scope"))?;
        let id = AccessHashId(id);
        Ok((AccessHashRecord { id, name, allow, scope, expires_ms, created_ms, last_login_ms }, digest))
    }
}
