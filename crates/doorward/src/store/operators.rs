//! Operators: people who sign in.

use std::fmt;

use sqlx::FromRow;

use super::{Error, Store, error::corrupt};

/// Names a stored operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperatorId(pub i64);

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Admin,
    /// Everything but system settings and operators.
    Operator,
    /// Vouchers only: the front desk.
    VoucherManager,
    /// Reads.
    Viewer,
}

impl Role {
    /// All roles, the mightiest first.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Operator, Self::VoucherManager, Self::Viewer];

    /// The word on the command line and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::VoucherManager => "voucher_manager",
            Self::Viewer => "viewer",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// An operator to be stored.
#[derive(Clone)]
pub struct NewOperator {
    /// Unique.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// [`crate::secrets::hash_password`].
    pub password_hash: String,
    /// Unix ms.
    pub created_ms: i64,
}

/// A stored operator.
#[derive(Clone, PartialEq, Eq)]
pub struct Operator {
    /// Their row.
    pub id: OperatorId,
    /// Unique.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// For [`crate::secrets::verify_password`].
    pub password_hash: String,
    /// Unix ms.
    pub created_ms: i64,
}

impl fmt::Debug for NewOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewOperator").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut operator = f.debug_struct("Operator");
        operator.field("id", &self.id).field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

#[derive(FromRow)]
struct OperatorRow {
    id: i64,
    name: String,
    role: String,
    password_hash: String,
    created_ms: i64,
}

impl Store {
    /// All operators, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn operators(&self) -> Result<Vec<Operator>, Error> {
        let gateway = self.gateway();
        let rows: Vec<OperatorRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, name, role, password_hash, created_ms FROM operators WHERE gateway_id = $1 ORDER BY name",
            )
            .bind(gateway)
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(OperatorRow::open).collect()
    }

    /// The operator of that name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn operator_by_name(&self, name: &str) -> Result<Option<Operator>, Error> {
        let gateway = self.gateway();
        let row: Option<OperatorRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, name, role, password_hash, created_ms FROM operators WHERE gateway_id = $1 AND name = $2",
            )
            .bind(gateway)
            .bind(name)
            .fetch_optional(c)
            .await?
        });
        row.map(OperatorRow::open).transpose()
    }

    /// Stores a new operator.
    ///
    /// # Errors
    /// [`Error::Taken`] with `OperatorName`, [`Error::Unavailable`].
    pub async fn insert_operator(&self, new: &NewOperator) -> Result<OperatorId, Error> {
        let gateway = self.gateway();
        let NewOperator { name, role, password_hash, created_ms } = new.clone();
        let id = on_writer!(self.db(), |c| {
            let id: i64 = sqlx::query_scalar(
                "INSERT INTO operators (gateway_id, name, role, password_hash, created_ms) VALUES ($1, $2, $3, $4, $5)
                 RETURNING id",
            )
            .bind(gateway)
            .bind(name)
            .bind(role.as_str())
            .bind(password_hash)
            .bind(created_ms)
            .fetch_one(c)
            .await?;
            Ok(id)
        })?;
        Ok(OperatorId(id))
    }

    /// Replaces an operator's password hash.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    pub async fn set_operator_password(&self, name: &str, password_hash: &str) -> Result<(), Error> {
        let (gateway, name, password_hash) = (self.gateway(), name.to_owned(), password_hash.to_owned());
        on_writer!(self.db(), |c| {
            let done = sqlx::query("UPDATE operators SET password_hash = $3 WHERE gateway_id = $1 AND name = $2")
                .bind(gateway)
                .bind(name)
                .bind(password_hash)
                .execute(c)
                .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// Changes what an operator may do.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    pub async fn set_operator_role(&self, name: &str, role: Role) -> Result<(), Error> {
        let (gateway, name) = (self.gateway(), name.to_owned());
        on_writer!(self.db(), |c| {
            let done = sqlx::query("UPDATE operators SET role = $3 WHERE gateway_id = $1 AND name = $2")
                .bind(gateway)
                .bind(name)
                .bind(role.as_str())
                .execute(c)
                .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// Deletes an operator.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    pub async fn delete_operator(&self, name: &str) -> Result<(), Error> {
        let (gateway, name) = (self.gateway(), name.to_owned());
        on_writer!(self.db(), |c| {
            let done = sqlx::query("DELETE FROM operators WHERE gateway_id = $1 AND name = $2")
                .bind(gateway)
                .bind(name)
                .execute(c)
                .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }
}

impl OperatorRow {
    fn open(self) -> Result<Operator, Error> {
        let Self { id, name, role, password_hash, created_ms } = self;
        let role = Role::parse(&role).ok_or_else(|| corrupt("operators", id)("role"))?;
        Ok(Operator { id: OperatorId(id), name, role, password_hash, created_ms })
    }
}
