//! Operators: people who sign in.

use std::fmt;

use sqlx::FromRow;
use zeroize::Zeroizing;

use super::{Error, PanelSessionId, Store, error::corrupt};
use crate::{
    hotspot_settings::Lang,
    secrets::{MasterKey, Place},
};

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
    /// May sign in.
    pub enabled: bool,
    /// Secret of the second factor (RFC 6238), if there is one.
    pub totp: Option<Zeroizing<Vec<u8>>>,
    /// Language of the panel; `None`: the browser's.
    pub lang: Option<Lang>,
    /// Colours of the panel.
    pub theme: Theme,
    /// Unix ms.
    pub created_ms: i64,
    /// Unix ms of the last sign-in.
    pub last_login_ms: Option<i64>,
}

/// Colours of the panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Theme {
    Auto,
    Light,
    Dark,
}

impl Theme {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// The word in the database and in pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.as_str() == text)
    }
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
pub(super) struct OperatorRow {
    id: i64,
    name: String,
    role: String,
    password_hash: String,
    enabled: bool,
    totp: Option<Vec<u8>>,
    lang: String,
    theme: String,
    created_ms: i64,
    last_login_ms: Option<i64>,
}

macro_rules! operator_columns {
    () => {
        "o.id, o.name, o.role, o.password_hash, o.enabled, o.totp, o.lang, o.theme, o.created_ms, o.last_login_ms"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", operator_columns!(), " FROM operators o WHERE o.gateway_id = $1 ", $rest)
    };
}

/// Whoever takes an admin away goes one after another.
macro_rules! lock_admins {
    ($c:ident, $gateway:expr) => {
        sqlx::query("UPDATE operators SET enabled = enabled WHERE gateway_id = $1 AND role = 'admin'")
            .bind($gateway)
            .execute(&mut *$c)
            .await?;
    };
}

/// Refuses a transaction that leaves no admin.
macro_rules! require_admin {
    ($c:ident, $gateway:expr) => {
        let left: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM operators WHERE gateway_id = $1 AND role = 'admin' AND enabled)",
        )
        .bind($gateway)
        .fetch_one(&mut *$c)
        .await?;
        if !left {
            return Err(Error::InUse);
        }
    };
}

impl Store {
    /// All operators, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn operators(&self) -> Result<Vec<Operator>, Error> {
        let gateway = self.gateway();
        let rows: Vec<OperatorRow> =
            on_reader!(self.db(), |c| sqlx::query_as(select!("ORDER BY o.name")).bind(gateway).fetch_all(c).await?);
        rows.into_iter().map(|row| row.open(self.key())).collect()
    }

    /// The operator of that name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn operator_by_name(&self, name: &str) -> Result<Option<Operator>, Error> {
        let gateway = self.gateway();
        let row: Option<OperatorRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(select!("AND o.name = $2")).bind(gateway).bind(name).fetch_optional(c).await?
        });
        row.map(|row| row.open(self.key())).transpose()
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

    /// Stores the first operator of all.
    ///
    /// # Errors
    /// [`Error::InUse`] where there is one already, [`Error::Unavailable`].
    pub async fn insert_first_operator(&self, new: &NewOperator) -> Result<OperatorId, Error> {
        let gateway = self.gateway();
        let NewOperator { name, role, password_hash, created_ms } = new.clone();
        let id = on_writer!(self.db(), |c| {
            let id: Option<i64> = sqlx::query_scalar(
                "INSERT INTO operators (gateway_id, name, role, password_hash, created_ms)
                 SELECT id, $2, $3, $4, $5 FROM gateways
                 WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM operators WHERE gateway_id = $1)
                 RETURNING id",
            )
            .bind(gateway)
            .bind(name)
            .bind(role.as_str())
            .bind(password_hash)
            .bind(created_ms)
            .fetch_optional(c)
            .await?;
            id.ok_or(Error::InUse)
        })?;
        Ok(OperatorId(id))
    }

    /// Whether there is an operator.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_operators(&self) -> Result<bool, Error> {
        let gateway = self.gateway();
        Ok(on_reader!(self.db(), |c| {
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM operators WHERE gateway_id = $1)")
                .bind(gateway)
                .fetch_one(c)
                .await?
        }))
    }

    /// Replaces an operator's password hash, and ends their sessions but `keep`. Without one to keep it is somebody else who
    /// does it, and the operator's passkeys go too: whoever had the password may have made one.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    pub async fn set_operator_password(
        &self,
        name: &str,
        password_hash: &str,
        keep: Option<PanelSessionId>,
    ) -> Result<(), Error> {
        let (gateway, name, password_hash) = (self.gateway(), name.to_owned(), password_hash.to_owned());
        on_writer!(self.db(), |c| {
            let id: Option<i64> = sqlx::query_scalar(
                "UPDATE operators SET password_hash = $3 WHERE gateway_id = $1 AND name = $2 RETURNING id",
            )
            .bind(gateway)
            .bind(name)
            .bind(password_hash)
            .fetch_optional(&mut *c)
            .await?;
            let id = id.ok_or(Error::Missing)?;
            sqlx::query("DELETE FROM panel_sessions WHERE operator_id = $1 AND id <> $2")
                .bind(id)
                .bind(keep.map_or(0, |keep| keep.0))
                .execute(&mut *c)
                .await?;
            if keep.is_none() {
                sqlx::query("DELETE FROM passkeys WHERE operator_id = $1").bind(id).execute(c).await?;
            }
            Ok(())
        })
    }

    /// Sets or takes away an operator's second factor.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    pub async fn set_operator_totp(&self, name: &str, secret: Option<&[u8]>) -> Result<(), Error> {
        let (gateway, name) = (self.gateway(), name.to_owned());
        let sealed = secret.map(|secret| self.key().seal(totp_place(&name), secret)).transpose()?;
        on_writer!(self.db(), |c| {
            let done = sqlx::query("UPDATE operators SET totp = $3, totp_step = 0 WHERE gateway_id = $1 AND name = $2")
                .bind(gateway)
                .bind(name)
                .bind(sealed)
                .execute(c)
                .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// How the panel looks to an operator.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    pub async fn set_operator_look(&self, id: OperatorId, lang: Option<Lang>, theme: Theme) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let done = sqlx::query("UPDATE operators SET lang = $3, theme = $4 WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id.0)
                .bind(lang.map_or("", Lang::as_str))
                .bind(theme.as_str())
                .execute(c)
                .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// Changes what an operator may do, and whether they may sign in; who may not loses their sessions. With
    /// `keep_admin`, an enabled admin is left in any case.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::InUse`] for the last admin, [`Error::Unavailable`].
    pub async fn set_operator_role(
        &self,
        name: &str,
        role: Role,
        enabled: Option<bool>,
        keep_admin: bool,
    ) -> Result<(), Error> {
        let (gateway, name) = (self.gateway(), name.to_owned());
        on_writer!(self.db(), |c| {
            lock_admins!(c, gateway);
            let row: Option<(i64, bool)> = sqlx::query_as(
                "UPDATE operators SET role = $3, enabled = CASE WHEN $4 THEN $5 ELSE enabled END
                 WHERE gateway_id = $1 AND name = $2 RETURNING id, enabled",
            )
            .bind(gateway)
            .bind(name)
            .bind(role.as_str())
            .bind(enabled.is_some())
            .bind(enabled.unwrap_or_default())
            .fetch_optional(&mut *c)
            .await?;
            let (id, enabled) = row.ok_or(Error::Missing)?;
            if !enabled {
                sqlx::query("DELETE FROM panel_sessions WHERE operator_id = $1").bind(id).execute(&mut *c).await?;
            }
            if keep_admin {
                require_admin!(c, gateway);
            }
            Ok(())
        })
    }

    /// Deletes an operator, with their sessions. With `keep_admin`, an enabled admin is left in any case.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::InUse`] for the last admin, [`Error::Unavailable`].
    pub async fn delete_operator(&self, name: &str, keep_admin: bool) -> Result<(), Error> {
        let (gateway, name) = (self.gateway(), name.to_owned());
        on_writer!(self.db(), |c| {
            lock_admins!(c, gateway);
            let done = sqlx::query("DELETE FROM operators WHERE gateway_id = $1 AND name = $2")
                .bind(gateway)
                .bind(name)
                .execute(&mut *c)
                .await?;
            if done.rows_affected() == 0 {
                return Err(Error::Missing);
            }
            if keep_admin {
                require_admin!(c, gateway);
            }
            Ok(())
        })
    }
}

impl OperatorRow {
    pub(super) fn open(self, key: &MasterKey) -> Result<Operator, Error> {
        let Self { id, name, role, password_hash, enabled, totp, lang, theme, created_ms, last_login_ms } = self;
        let bad = corrupt("operators", id);
        let role = Role::parse(&role).ok_or_else(|| bad("role"))?;
        let theme = Theme::parse(&theme).ok_or_else(|| bad("theme"))?;
        let totp = totp.map(|sealed| key.open(totp_place(&name), &sealed)).transpose().map_err(|_| bad("totp"))?;
        let lang = Lang::parse(&lang);
        Ok(Operator {
            id: OperatorId(id),
            name,
            role,
            password_hash,
            enabled,
            totp,
            lang,
            theme,
            created_ms,
            last_login_ms,
        })
    }
}

fn totp_place(name: &str) -> Place<'_> {
    Place { table: "operators", column: "totp", owner: name }
}
