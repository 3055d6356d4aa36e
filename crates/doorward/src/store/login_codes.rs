//! One-time codes that were sent and not entered yet.

use std::fmt;

use doorward_policy::{
    guest::{Mac, Method},
    hotspot::HotspotId,
};
use sqlx::FromRow;
use zeroize::Zeroizing;

use super::{Error, Store, error::corrupt};
use crate::secrets::{MasterKey, Place, same_digest};

const TABLE: &str = "login_codes";

/// What a code is for; a device has at most one under way for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeFor {
    /// Where.
    pub hotspot: HotspotId,
    /// By which method.
    pub method: Method,
    /// Which device.
    pub mac: Mac,
}

/// A code to be stored.
#[derive(Clone)]
pub struct NewLoginCode {
    /// What it is for.
    pub code_for: CodeFor,
    /// The person, as in [`super::Store`]'s guests.
    pub identity: String,
    /// The code; stored as a digest under the master key.
    pub code: Zeroizing<String>,
    /// What else was entered; stored sealed.
    pub answers: Zeroizing<Vec<u8>>,
    /// Wrong tries until it is void.
    pub tries: u8,
    /// Unix ms.
    pub created_ms: i64,
    /// Unix ms.
    pub expires_ms: i64,
}

impl fmt::Debug for NewLoginCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewLoginCode").field("code_for", &self.code_for).finish_non_exhaustive()
    }
}

/// A code that may still be entered.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginCode {
    /// The person.
    pub identity: String,
    /// What else was entered.
    pub answers: Zeroizing<Vec<u8>>,
    /// Wrong tries until it is void.
    pub tries_left: i64,
    /// Unix ms.
    pub expires_ms: i64,
}

impl fmt::Debug for LoginCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginCode").field("tries_left", &self.tries_left).finish_non_exhaustive()
    }
}

/// How entering a code went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeAnswer {
    /// It was the one that was sent, and cannot be entered again.
    Right(LoginCode),
    /// It was not, and this is how many tries are left.
    Wrong(LoginCode),
    /// None was sent, its time is over, or its tries are used up.
    Void,
}

#[derive(FromRow)]
struct CodeRow {
    id: i64,
    identity: String,
    digest: Vec<u8>,
    answers: Vec<u8>,
    tries_left: i64,
    expires_ms: i64,
}

impl Store {
    /// Stores a code in the place of the device's former one, and forgets those whose time is over.
    ///
    /// # Errors
    /// [`Error::Missing`] where the hotspot is gone, [`Error::Unavailable`].
    pub async fn put_login_code(&self, new: &NewLoginCode) -> Result<(), Error> {
        let gateway = self.gateway();
        let NewLoginCode { code_for, identity, code, answers, tries, created_ms, expires_ms } = new.clone();
        let owner = owner(&code_for);
        let digest = self.key().digest(place("digest", &owner), code.as_bytes()).to_vec();
        let answers = self.key().seal(place("answers", &owner), &answers)?;
        on_writer!(self.db(), |c| {
            sqlx::query("DELETE FROM login_codes WHERE gateway_id = $1 AND expires_ms <= $2")
                .bind(gateway)
                .bind(created_ms)
                .execute(&mut *c)
                .await?;
            sqlx::query(
                "INSERT INTO login_codes (gateway_id, hotspot_id, method, mac, identity, digest, answers, tries_left,
                    created_ms, expires_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 ON CONFLICT (hotspot_id, method, mac) DO UPDATE SET identity = excluded.identity,
                    digest = excluded.digest, answers = excluded.answers, tries_left = excluded.tries_left,
                    created_ms = excluded.created_ms, expires_ms = excluded.expires_ms",
            )
            .bind(gateway)
            .bind(code_for.hotspot.0)
            .bind(code_for.method.as_str())
            .bind(code_for.mac.to_string())
            .bind(identity)
            .bind(digest)
            .bind(answers)
            .bind(i64::from(tries))
            .bind(created_ms)
            .bind(expires_ms)
            .execute(c)
            .await?;
            Ok(())
        })
    }

    /// The code that a device may still enter.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn login_code(&self, code_for: CodeFor, now_ms: i64) -> Result<Option<LoginCode>, Error> {
        let gateway = self.gateway();
        let row: Option<CodeRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, identity, digest, answers, tries_left, expires_ms FROM login_codes
                 WHERE gateway_id = $1 AND hotspot_id = $2 AND method = $3 AND mac = $4 AND tries_left > 0
                    AND expires_ms > $5",
            )
            .bind(gateway)
            .bind(code_for.hotspot.0)
            .bind(code_for.method.as_str())
            .bind(code_for.mac.to_string())
            .bind(now_ms)
            .fetch_optional(c)
            .await?
        });
        row.map(|row| row.open(&code_for, self.key()).map(|(code, _)| code)).transpose()
    }

    /// Enters a code: a try is taken first, so no number of parallel requests gets more of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn try_login_code(&self, code_for: CodeFor, code: &str, now_ms: i64) -> Result<CodeAnswer, Error> {
        let (gateway, key) = (self.gateway(), self.key().clone());
        let given = key.digest(place("digest", &owner(&code_for)), code.as_bytes());
        on_writer!(self.db(), |c| {
            let row: Option<CodeRow> = sqlx::query_as(
                "UPDATE login_codes SET tries_left = tries_left - 1
                 WHERE gateway_id = $1 AND hotspot_id = $2 AND method = $3 AND mac = $4 AND tries_left > 0
                    AND expires_ms > $5
                 RETURNING id, identity, digest, answers, tries_left, expires_ms",
            )
            .bind(gateway)
            .bind(code_for.hotspot.0)
            .bind(code_for.method.as_str())
            .bind(code_for.mac.to_string())
            .bind(now_ms)
            .fetch_optional(&mut *c)
            .await?;
            let Some(row) = row else { return Ok(CodeAnswer::Void) };
            let id = row.id;
            let (stored, digest) = row.open(&code_for, &key)?;
            if !same_digest(&digest, &given) {
                return Ok(CodeAnswer::Wrong(stored));
            }
            sqlx::query("DELETE FROM login_codes WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id)
                .execute(c)
                .await?;
            Ok(CodeAnswer::Right(stored))
        })
    }
}

impl CodeRow {
    fn open(self, code_for: &CodeFor, key: &MasterKey) -> Result<(LoginCode, [u8; 32]), Error> {
        let Self { id, identity, digest, answers, tries_left, expires_ms } = self;
        let bad = corrupt(TABLE, id);
        let digest = digest.try_into().map_err(|_| bad("digest"))?;
        let answers = key.open(place("answers", &owner(code_for)), &answers).map_err(|_| bad("answers"))?;
        Ok((LoginCode { identity, answers, tries_left, expires_ms }, digest))
    }
}

/// What a row is for never changes.
fn owner(code_for: &CodeFor) -> String {
    format!("{}/{}/{}", code_for.hotspot.0, code_for.method.as_str(), code_for.mac)
}

fn place<'a>(column: &'static str, owner: &'a str) -> Place<'a> {
    Place { table: TABLE, column, owner }
}
