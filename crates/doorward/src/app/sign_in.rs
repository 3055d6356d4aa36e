//! Signing in to the panel: the first operator, password and second factor, sessions.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use doorward_policy::name::Name;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use super::{App, Error, desk::Desk, lockout::Lockout, no_random, now_ms, passkeys::Ceremonies, totp};
use crate::{
    secrets::{self, SessionToken},
    store::{self, NewOperator, NewPanelSession, OperatorId, Role},
};

/// Characters of a password that a person may choose.
const PASSWORD: std::ops::RangeInclusive<usize> = 12..=256;
/// Passwords that are hashed at once: each takes a core and 19 MiB.
const HASHES_AT_ONCE: usize = 2;
/// Longest wait for a turn.
const HASH_WAIT: Duration = Duration::from_secs(10);
/// A session ends so long after its last use.
const IDLE_MS: i64 = 12 * 3_600_000;
/// A session ends so long after its beginning.
const LIFE_MS: i64 = 7 * 24 * 3_600_000;
/// Uses are noted once in this time.
const TOUCH_EVERY_MS: i64 = 60_000;
/// An address that an operator signed in from is known for so long.
const KNOWN_MS: i64 = 30 * 24 * 3_600_000;
/// Characters that are kept of what a browser calls itself.
const MOST_USER_AGENT: usize = 200;
/// Takes as long to refuse as a real one: argon2id with the parameters of [`secrets::hash_password`].
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ4OGJ5dGVz$nOWV5ZW4bHwBYfxc3cYpUqdIYUULSAzyoOvHhUtfhmQ";

/// What signing in needs besides the store.
pub(super) struct SignIns {
    pub(super) lockout: Lockout,
    pub(super) passkeys: Ceremonies,
    hashes: Semaphore,
    /// Lets whoever can read the log make the first operator.
    setup: Mutex<Option<String>>,
}

impl Default for SignIns {
    fn default() -> Self {
        Self {
            lockout: Lockout::default(),
            passkeys: Ceremonies::default(),
            hashes: Semaphore::new(HASHES_AT_ONCE),
            setup: Mutex::new(None),
        }
    }
}

/// What somebody who signs in says.
pub struct Credentials {
    /// Name of the operator.
    pub name: String,
    /// Their password.
    pub password: String,
    /// Code of the second factor; empty where there is none.
    pub code: String,
    /// Where they are.
    pub from: IpAddr,
    /// What the browser calls itself.
    pub user_agent: String,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Name, password or code is wrong: which one is not told.
    #[error("name, password or code is wrong")]
    Wrong,
    /// Too many failures; seconds to wait.
    #[error("too many failures, wait {0} s")]
    Wait(u64),
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl App {
    /// Makes the token of the setup page, if there is no operator yet. Each call makes the one before void.
    ///
    /// # Errors
    /// The store failed, or there are no random numbers.
    pub async fn begin_setup(&self) -> Result<Option<String>, Error> {
        let token = match self.store().has_operators().await.map_err(Error::Store)? {
            true => None,
            false => Some(secrets::random_ticket().map_err(no_random)?),
        };
        self.0.sign_ins.setup.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&token);
        Ok(token)
    }

    /// Whether the setup page is open.
    ///
    /// # Errors
    /// The store failed.
    pub async fn needs_setup(&self) -> Result<bool, Error> {
        Ok(!self.store().has_operators().await.map_err(Error::Store)?)
    }

    /// Makes the first operator, an admin, for who knows the token from the log. The token works once.
    ///
    /// # Errors
    /// [`SignInError::Wrong`] for a wrong token and where there is an operator already, [`SignInError::Wait`],
    /// [`Error::Name`], [`Error::OperatorPassword`]; the store failed.
    pub async fn set_up(&self, token: &str, name: &str, password: &str, from: IpAddr) -> Result<(), SignInError> {
        let sign_ins = &self.0.sign_ins;
        let wait = sign_ins.lockout.wait_of_address(from, Instant::now());
        if !wait.is_zero() {
            return Err(SignInError::Wait(wait.as_secs().max(1)));
        }
        sign_ins.lockout.count(from, "", Instant::now());
        let expected = sign_ins.setup.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !expected.is_some_and(|expected| bool::from(expected.as_bytes().ct_eq(token.trim().as_bytes()))) {
            return Err(SignInError::Wrong);
        }
        let name = name.parse::<Name>().map_err(|_| Error::Name)?;
        let password_hash = self.hash_new_password(name.as_str(), password).await?;
        let new = NewOperator { name: name.to_string(), role: Role::Admin, password_hash, created_ms: now_ms() };
        match self.store().insert_first_operator(&new).await {
            Ok(_) => {}
            Err(store::Error::InUse) => return Err(SignInError::Wrong),
            Err(error) => return Err(Error::Store(error).into()),
        }
        *sign_ins.setup.lock().unwrap_or_else(PoisonError::into_inner) = None;
        sign_ins.lockout.succeeded(from, "");
        tracing::info!(operator = name.as_str(), %from, "the first operator was made");
        Ok(())
    }

    /// Signs somebody in.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub async fn sign_in(&self, who: Credentials) -> Result<SessionToken, SignInError> {
        let lockout = &self.0.sign_ins.lockout;
        // What cannot be a name is counted as one, and not kept.
        let name = who.name.trim().parse::<Name>().ok();
        let counted = name.as_ref().map_or("", Name::as_str);
        let wait = self.sign_in_wait(counted, who.from).await?;
        if !wait.is_zero() {
            return Err(SignInError::Wait(wait.as_secs().max(1)));
        }
        lockout.count(who.from, counted, Instant::now());
        let token = self.judge(counted, &who).await;
        match &token {
            Ok(_) => {
                lockout.succeeded(who.from, counted);
                tracing::info!(operator = counted, from = %who.from, "signed in");
            }
            Err(SignInError::Wrong) => tracing::warn!(from = %who.from, "a sign-in was refused"),
            Err(SignInError::Wait(_) | SignInError::Failed(_)) => {}
        }
        token
    }

    async fn sign_in_wait(&self, name: &str, from: IpAddr) -> Result<Duration, Error> {
        let (lockout, now) = (&self.0.sign_ins.lockout, Instant::now());
        let wait = lockout.wait_of_address(from, now);
        let of_name = lockout.wait_of_name(name, now);
        if of_name <= wait {
            return Ok(wait);
        }
        let since = now_ms().saturating_sub(KNOWN_MS);
        let known = self.store().knows_operator_address(name, &from.to_string(), since).await;
        Ok(if known.map_err(Error::Store)? { wait } else { of_name })
    }

    async fn judge(&self, name: &str, who: &Credentials) -> Result<SessionToken, SignInError> {
        let operator = self.store().operator_by_name(name).await.map_err(Error::Store)?;
        let operator = operator.filter(|operator| operator.enabled);
        let hash = operator.as_ref().map_or(NOBODY, |operator| &operator.password_hash);
        let right = self.verify_password(&who.password, hash).await?;
        let Some(operator) = operator.filter(|_| right) else { return Err(SignInError::Wrong) };
        let now = now_ms();
        let totp_step = match &operator.totp {
            None => None,
            Some(secret) => Some(totp::step_of(secret, who.code.trim(), now).ok_or(SignInError::Wrong)?),
        };
        self.begin_session(operator.id, who.from, &who.user_agent, totp_step).await
    }

    /// Begins a session of somebody who has shown who they are.
    ///
    /// # Errors
    /// [`SignInError::Wrong`] where they may not sign in any more, or the code of the second factor was used before; the
    /// store failed.
    pub(super) async fn begin_session(
        &self,
        operator: OperatorId,
        from: IpAddr,
        user_agent: &str,
        totp_step: Option<i64>,
    ) -> Result<SessionToken, SignInError> {
        let token = SessionToken::generate().map_err(no_random)?;
        let new = NewPanelSession {
            operator,
            digest: token.digest(),
            address: from.to_string(),
            user_agent: user_agent.chars().filter(|c| !c.is_control()).take(MOST_USER_AGENT).collect(),
            totp_step,
            created_ms: now_ms(),
        };
        match self.store().insert_panel_session(new).await {
            Ok(_) => Ok(token),
            // The code was used before, or the operator is gone meanwhile.
            Err(store::Error::Missing) => Err(SignInError::Wrong),
            Err(error) => Err(Error::Store(error).into()),
        }
    }

    /// Who belongs to a token, if anybody does.
    ///
    /// # Errors
    /// The store failed.
    pub async fn session(&self, token: &SessionToken, from: IpAddr) -> Result<Option<Desk>, Error> {
        let now = now_ms();
        let (began, used, digest) = (now.saturating_sub(LIFE_MS), now.saturating_sub(IDLE_MS), token.digest());
        let found = self.store().panel_session(&digest, began, used).await.map_err(Error::Store)?;
        let Some((session, operator)) = found else { return Ok(None) };
        if now.saturating_sub(session.seen_ms) >= TOUCH_EVERY_MS {
            let (store, id) = (self.store().clone(), session.id());
            tokio::spawn(async move {
                if let Err(error) = store.touch_panel_session(id, &from.to_string(), now).await {
                    tracing::warn!(%error, "the last use of a session was not noted");
                }
            });
        }
        Ok(Some(Desk::new(self.clone(), operator, session.id(), from)))
    }

    /// Deletes sessions whose time is over.
    ///
    /// # Errors
    /// The store failed.
    pub async fn prune_sessions(&self) -> Result<u64, store::Error> {
        let now = now_ms();
        self.store().prune_panel_sessions(now.saturating_sub(LIFE_MS), now.saturating_sub(IDLE_MS)).await
    }

    /// Hashes a password that a person chose for an operator.
    ///
    /// # Errors
    /// [`Error::OperatorPassword`]; there was no turn.
    pub(super) async fn hash_new_password(&self, name: &str, password: &str) -> Result<String, Error> {
        check_password(name, password)?;
        let _turn = self.hash_turn().await?;
        let password = password.to_owned();
        let hash = tokio::task::spawn_blocking(move || secrets::hash_password(&password)).await;
        hash.ok().and_then(Result::ok).ok_or(Error::Failed("a password could not be hashed"))
    }

    pub(super) async fn verify_password(&self, password: &str, hash: &str) -> Result<bool, Error> {
        if password.chars().count() > *PASSWORD.end() {
            return Ok(false);
        }
        let _turn = self.hash_turn().await?;
        let (password, hash) = (password.to_owned(), hash.to_owned());
        let right = tokio::task::spawn_blocking(move || secrets::verify_password(&password, &hash)).await;
        right.map_err(|_| Error::Failed("a password could not be compared"))
    }

    async fn hash_turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        let turn = tokio::time::timeout(HASH_WAIT, self.0.sign_ins.hashes.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(Error::Failed("too many people sign in"))
    }
}

/// What a password must be: 12 to 256 characters, no control characters, not the name.
///
/// # Errors
/// [`Error::OperatorPassword`].
pub fn check_password(name: &str, password: &str) -> Result<(), Error> {
    let length = password.chars().count();
    let like_name = password.to_lowercase().replace(&name.to_lowercase(), "").chars().count() < 6;
    if !PASSWORD.contains(&length) || password.chars().any(char::is_control) || like_name {
        return Err(Error::OperatorPassword);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_may_be_chosen() {
        for good in ["correct horse battery", "пароль-длинный", &"x".repeat(256)] {
            assert!(check_password("anna", good).is_ok(), "{good}");
        }
        for bad in ["short", "annaannaanna", "anna-anna-ann", "with\tcontrol-characters", &"x".repeat(257), ""] {
            assert!(check_password("anna", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nobodys_hash_is_refused_as_slowly_as_a_real_one() {
        let parameters = |hash: &str| hash.split('$').nth(3).map(str::to_owned);
        assert_eq!(parameters(NOBODY), parameters(&secrets::hash_password("x").unwrap()));
        assert!(argon2::password_hash::phc::PasswordHash::new(NOBODY).is_ok(), "or it would be refused at once");
        assert!(!secrets::verify_password("", NOBODY));
    }
}
