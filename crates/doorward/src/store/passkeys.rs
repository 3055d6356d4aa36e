//! Passkeys of operators.

use sqlx::FromRow;

use super::{Error, OperatorId, Store};

/// Names a stored passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PasskeyId(pub i64);

/// A passkey to be stored.
#[derive(Debug, Clone)]
pub struct NewPasskey {
    /// Whose.
    pub operator: OperatorId,
    /// Credential id, unique.
    pub credential: Vec<u8>,
    /// JSON of the public key and its counter.
    pub public_key: String,
    /// What its owner calls it.
    pub label: String,
    /// Unix ms.
    pub created_ms: i64,
}

/// A stored passkey.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StoredPasskey {
    id: i64,
    operator_id: i64,
    /// JSON of the public key and its counter.
    pub public_key: String,
    /// What its owner calls it.
    pub label: String,
    /// Unix ms.
    pub created_ms: i64,
    /// Unix ms of the last sign-in by it.
    pub used_ms: Option<i64>,
}

impl StoredPasskey {
    /// Its row.
    #[must_use]
    pub fn id(&self) -> PasskeyId {
        PasskeyId(self.id)
    }

    /// Whose.
    #[must_use]
    pub fn operator(&self) -> OperatorId {
        OperatorId(self.operator_id)
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, operator_id, public_key, label, created_ms, used_ms FROM passkeys WHERE gateway_id = $1 ",
            $rest
        )
    };
}

impl Store {
    /// An operator's passkeys, in the order of their making.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn passkeys(&self, operator: OperatorId) -> Result<Vec<StoredPasskey>, Error> {
        let gateway = self.gateway();
        Ok(on_reader!(self.db(), |c| {
            sqlx::query_as(select!("AND operator_id = $2 ORDER BY id"))
                .bind(gateway)
                .bind(operator.0)
                .fetch_all(c)
                .await?
        }))
    }

    /// The passkey of that credential id.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn passkey(&self, credential: &[u8]) -> Result<Option<StoredPasskey>, Error> {
        let gateway = self.gateway();
        Ok(on_reader!(self.db(), |c| {
            sqlx::query_as(select!("AND credential = $2")).bind(gateway).bind(credential).fetch_optional(c).await?
        }))
    }

    /// Stores a passkey.
    ///
    /// # Errors
    /// [`Error::InUse`] where the credential is known already, [`Error::Unavailable`].
    pub async fn insert_passkey(&self, new: NewPasskey) -> Result<PasskeyId, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let NewPasskey { operator, credential, public_key, label, created_ms } = new;
            let id: Option<i64> = sqlx::query_scalar(
                "INSERT INTO passkeys (gateway_id, operator_id, credential, public_key, label, created_ms)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (gateway_id, credential) DO NOTHING RETURNING id",
            )
            .bind(gateway)
            .bind(operator.0)
            .bind(credential)
            .bind(public_key)
            .bind(label)
            .bind(created_ms)
            .fetch_optional(c)
            .await?;
            id.map(PasskeyId).ok_or(Error::InUse)
        })
    }

    /// Notes a use of a passkey, with its new counter.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    pub async fn use_passkey(&self, id: PasskeyId, public_key: &str, used_ms: i64) -> Result<(), Error> {
        let (gateway, public_key) = (self.gateway(), public_key.to_owned());
        on_writer!(self.db(), |c| {
            let done =
                sqlx::query("UPDATE passkeys SET public_key = $3, used_ms = $4 WHERE gateway_id = $1 AND id = $2")
                    .bind(gateway)
                    .bind(id.0)
                    .bind(public_key)
                    .bind(used_ms)
                    .execute(c)
                    .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// Deletes one passkey of an operator, or (`None`) all of them. Answers how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_passkeys(&self, operator: OperatorId, only: Option<PasskeyId>) -> Result<u64, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let done =
                sqlx::query("DELETE FROM passkeys WHERE gateway_id = $1 AND operator_id = $2 AND (id = $3 OR NOT $4)")
                    .bind(gateway)
                    .bind(operator.0)
                    .bind(only.map_or(0, |id| id.0))
                    .bind(only.is_some())
                    .execute(c)
                    .await?;
            Ok(done.rows_affected())
        })
    }
}
