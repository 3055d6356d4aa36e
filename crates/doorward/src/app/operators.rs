//! The people who sign in: what they are, and what they change of themselves.

use doorward_policy::name::Name;

use super::{App, Error, missing, now_ms, totp};
use crate::{
    hotspot_settings::Lang,
    store::{self, Field, NewOperator},
};

pub use crate::store::{Operator, OperatorId, PanelSession, PanelSessionId, Role, Theme};

/// A second factor that is offered to an operator.
pub struct TotpOffer {
    /// In base 32, for who cannot scan.
    pub secret: String,
    /// What the QR code holds.
    pub address: String,
}

impl App {
    /// All operators, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn operators(&self) -> Result<Vec<Operator>, Error> {
        self.store().operators().await.map_err(Error::Store)
    }

    /// The operator of that name.
    ///
    /// # Errors
    /// [`Error::OperatorNotFound`]; the store failed.
    pub async fn operator(&self, name: &str) -> Result<Operator, Error> {
        let operator = self.store().operator_by_name(name).await.map_err(Error::Store)?;
        operator.ok_or(Error::OperatorNotFound)
    }

    /// Makes an operator.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::OperatorPassword`], [`Error::NameTaken`]; the store failed.
    pub async fn create_operator(&self, name: &str, role: Role, password: &str) -> Result<(), Error> {
        let name = name.trim().parse::<Name>().map_err(|_| Error::Name)?;
        let password_hash = self.hash_new_password(name.as_str(), password).await?;
        let new = NewOperator { name: name.to_string(), role, password_hash, created_ms: now_ms() };
        match self.store().insert_operator(&new).await {
            Ok(_) => Ok(()),
            Err(store::Error::Taken(Field::OperatorName)) => Err(Error::NameTaken),
            Err(error) => Err(Error::Store(error)),
        }
    }

    /// Changes what an operator may do, and whether they may sign in. Nobody changes their own role, or locks
    /// themselves out.
    ///
    /// # Errors
    /// [`Error::OwnRole`], [`Error::OperatorNotFound`], [`Error::LastAdmin`]; the store failed.
    pub async fn edit_operator(&self, by: OperatorId, name: &str, role: Role, enabled: bool) -> Result<(), Error> {
        let operator = self.operator(name).await?;
        if operator.id == by && (operator.role != role || !enabled) {
            return Err(Error::OwnRole);
        }
        self.store().set_operator_role(name, role, Some(enabled), true).await.map_err(operator_error)
    }

    /// Deletes an operator. Nobody deletes themselves.
    ///
    /// # Errors
    /// As [`App::edit_operator`].
    pub async fn delete_operator(&self, by: OperatorId, name: &str) -> Result<(), Error> {
        if self.operator(name).await?.id == by {
            return Err(Error::OwnRole);
        }
        self.store().delete_operator(name, true).await.map_err(operator_error)
    }

    /// Gives an operator a new password. Their sessions end.
    ///
    /// # Errors
    /// [`Error::OperatorPassword`], [`Error::OperatorNotFound`]; the store failed.
    pub async fn reset_operator_password(&self, name: &str, password: &str) -> Result<(), Error> {
        let hash = self.hash_new_password(name, password).await?;
        self.store().set_operator_password(name, &hash, None).await.map_err(operator_error)
    }

    /// Changes an operator's own password, which they must know. Their other sessions end.
    ///
    /// # Errors
    /// [`Error::OldPassword`], [`Error::OperatorPassword`]; the store failed.
    pub async fn change_own_password(
        &self,
        who: &Operator,
        session: PanelSessionId,
        old: &str,
        new: &str,
    ) -> Result<(), Error> {
        if !self.verify_password(old, &who.password_hash).await? {
            return Err(Error::OldPassword);
        }
        let hash = self.hash_new_password(&who.name, new).await?;
        self.store().set_operator_password(&who.name, &hash, Some(session)).await.map_err(operator_error)
    }

    /// A second factor to be scanned. It counts once [`App::accept_totp`] has seen a code of it.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn offer_totp(&self, name: &str) -> Result<TotpOffer, Error> {
        let secret = totp::new_secret()?;
        self.offered_totp(name, &secret).ok_or(Error::SecondFactor)
    }

    /// The same one once more.
    #[must_use]
    pub fn offered_totp(&self, name: &str, secret: &str) -> Option<TotpOffer> {
        let address = totp::address(&totp::read_secret(secret)?, name)?;
        Some(TotpOffer { secret: secret.to_owned(), address })
    }

    /// Sets an operator's second factor, when they show that their app has it. One that they have must go first, for which
    /// they need the password.
    ///
    /// # Errors
    /// [`Error::SecondFactor`] for a wrong code, or where there is one; the store failed.
    pub async fn accept_totp(&self, who: &Operator, secret: &str, code: &str) -> Result<(), Error> {
        if who.totp.is_some() {
            return Err(Error::SecondFactor);
        }
        let secret = totp::read_secret(secret).ok_or(Error::SecondFactor)?;
        totp::step_of(&secret, code, now_ms()).ok_or(Error::SecondFactor)?;
        self.store().set_operator_totp(&who.name, Some(&secret)).await.map_err(operator_error)
    }

    /// Takes an operator's second factor away.
    ///
    /// # Errors
    /// [`Error::OperatorNotFound`]; the store failed.
    pub async fn remove_totp(&self, name: &str) -> Result<(), Error> {
        self.store().set_operator_totp(name, None).await.map_err(operator_error)
    }

    /// Takes an operator's own second factor away, for who knows the password.
    ///
    /// # Errors
    /// [`Error::OldPassword`]; the store failed.
    pub async fn remove_own_totp(&self, who: &Operator, password: &str) -> Result<(), Error> {
        if !self.verify_password(password, &who.password_hash).await? {
            return Err(Error::OldPassword);
        }
        self.remove_totp(&who.name).await
    }

    /// Changes how the panel looks to an operator.
    ///
    /// # Errors
    /// The store failed.
    pub async fn set_look(&self, id: OperatorId, lang: Option<Lang>, theme: Theme) -> Result<(), Error> {
        self.store().set_operator_look(id, lang, theme).await.map_err(operator_error)
    }

    /// An operator's sessions, the last used first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sessions_of(&self, id: OperatorId) -> Result<Vec<PanelSession>, Error> {
        self.store().panel_sessions(id).await.map_err(Error::Store)
    }

    /// Ends one session of an operator, or all but `keep`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_panel_sessions(
        &self,
        id: OperatorId,
        only: Option<PanelSessionId>,
        keep: Option<PanelSessionId>,
    ) -> Result<u64, Error> {
        self.store().delete_panel_sessions(id, only, keep).await.map_err(Error::Store)
    }
}

fn operator_error(error: store::Error) -> Error {
    if matches!(error, store::Error::InUse) { Error::LastAdmin } else { missing(error, Error::OperatorNotFound) }
}
