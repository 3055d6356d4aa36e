//! Passkeys (WebAuthn level 3): an operator's device signs in for them, after it has asked who they are. That is two
//! factors in one, which cannot be typed into a page of somebody else.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::{Host, Url};
use webauthn_rs::{
    Webauthn, WebauthnBuilder,
    prelude::{DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential, Uuid},
    prelude::{DiscoverableKey, RegisterPublicKeyCredential},
};

use super::{
    App, Error, no_random, now_ms,
    operators::{Operator, OperatorId, PanelSessionId},
    sign_in::SignInError,
};
pub use crate::store::{PasskeyId, StoredPasskey};
use crate::{
    secrets::{self, SessionToken},
    store::{self, NewPasskey},
    subscriber,
};

/// Passkeys of one operator.
const MOST_PASSKEYS: usize = 20;
/// Characters of what one is called.
pub const MOST_LABEL: usize = 60;
/// Bytes of what a browser sends.
const MOST_CREDENTIAL: usize = 16 * 1024;
/// How long a browser may take.
const WAIT: Duration = Duration::from_secs(300);
/// Browsers that are waited for, and those of them at one address.
const MOST_WAITING: usize = 1024;
const MOST_OF_ADDRESS: usize = 32;

/// What is waited for, and for whom. Where there are too many the oldest goes; of an address that has too many, its own.
struct Waiting<K, V>(Mutex<HashMap<K, Begun<V>>>);

struct Begun<V> {
    since: Instant,
    from: Option<IpAddr>,
    state: V,
}

impl<K, V> Default for Waiting<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V> Waiting<K, V> {
    fn put(&self, key: K, from: Option<IpAddr>, state: V) {
        let since = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, begun| since.duration_since(begun.since) < WAIT);
        let own = from.map_or(0, |_| all.values().filter(|begun| begun.from == from).count());
        let of_address = own >= MOST_OF_ADDRESS;
        if of_address || all.len() >= MOST_WAITING {
            let candidates = all.iter().filter(|(_, begun)| !of_address || begun.from == from);
            if let Some(oldest) = candidates.min_by_key(|(_, begun)| begun.since).map(|(key, _)| key.clone()) {
                all.remove(&oldest);
            }
        }
        all.insert(key, Begun { since, from, state });
    }

    /// Each counts once.
    fn take(&self, key: &K) -> Option<V> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        found.filter(|begun| begun.since.elapsed() < WAIT).map(|begun| begun.state)
    }
}

/// Ceremonies that have begun.
#[derive(Default)]
pub(super) struct Ceremonies {
    registrations: Waiting<PanelSessionId, PasskeyRegistration>,
    sign_ins: Waiting<String, DiscoverableAuthentication>,
}

/// Where passkeys are used: the panel by one name. What it is bound to cannot be an IP address.
pub struct Site(Webauthn);

impl Site {
    /// The panel at an address such as `https://vpn.example.net:8443`. `None`: it has no name.
    #[must_use]
    pub fn at(origin: &str) -> Option<Self> {
        let origin = Url::parse(origin).ok().filter(|url| url.scheme() == "https")?;
        let Some(Host::Domain(name)) = origin.host() else { return None };
        let name = name.to_owned();
        let builder = WebauthnBuilder::new(&name, &origin).ok()?.rp_name("Doorward");
        builder.build().ok().map(Self)
    }
}

impl App {
    /// An operator's passkeys.
    ///
    /// # Errors
    /// The store failed.
    pub async fn passkeys_of(&self, id: OperatorId) -> Result<Vec<StoredPasskey>, Error> {
        self.store().passkeys(id).await.map_err(Error::Store)
    }

    /// Begins to make a passkey: what `navigator.credentials.create` takes.
    ///
    /// # Errors
    /// [`Error::Passkey`] where there are too many; the store failed.
    pub async fn offer_passkey(&self, site: &Site, who: &Operator, session: PanelSessionId) -> Result<Value, Error> {
        let stored = self.passkeys_of(who.id).await?;
        if stored.len() >= MOST_PASSKEYS {
            return Err(Error::Passkey);
        }
        let known = stored.iter().filter_map(|own| key(own).ok()).map(|key| key.cred_id().clone()).collect();
        let begun = site.0.start_passkey_registration(self.handle(who.id), &who.name, &who.name, Some(known));
        let (options, state) = begun.map_err(|_| Error::Failed("a passkey could not be offered"))?;
        self.0.sign_ins.passkeys.registrations.put(session, None, state);
        let mut options = json!(options.public_key);
        // Without it, nobody could sign in by a passkey alone.
        if let Some(wanted) = options.get_mut("authenticatorSelection") {
            wanted["residentKey"] = json!("required");
            wanted["requireResidentKey"] = json!(true);
        }
        Ok(options)
    }

    /// Stores a passkey that the browser made, for who knows the password.
    ///
    /// # Errors
    /// [`Error::OldPassword`], [`Error::PasskeyLabel`], [`Error::Passkey`]; the store failed.
    pub async fn accept_passkey(
        &self,
        site: &Site,
        who: &Operator,
        session: PanelSessionId,
        password: &str,
        label: &str,
        credential: &str,
    ) -> Result<(), Error> {
        let label = label.trim().to_owned();
        if label.is_empty() || label.chars().count() > MOST_LABEL || label.chars().any(char::is_control) {
            return Err(Error::PasskeyLabel);
        }
        if !self.verify_password(password, &who.password_hash).await? {
            return Err(Error::OldPassword);
        }
        let state = self.0.sign_ins.passkeys.registrations.take(&session).ok_or(Error::Passkey)?;
        let credential: RegisterPublicKeyCredential = read(credential).ok_or(Error::Passkey)?;
        let made = site.0.finish_passkey_registration(&credential, &state).map_err(|error| {
            tracing::warn!(operator = who.name, %error, "a passkey was refused");
            Error::Passkey
        })?;
        let new = NewPasskey {
            operator: who.id,
            credential: made.cred_id().to_vec(),
            public_key: written(&made)?,
            label,
            created_ms: now_ms(),
        };
        match self.store().insert_passkey(new).await {
            Ok(_) => Ok(()),
            Err(store::Error::InUse) => Err(Error::Passkey),
            Err(error) => Err(Error::Store(error)),
        }
    }

    /// Deletes one passkey of an operator, or all of them.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_passkeys(&self, id: OperatorId, only: Option<PasskeyId>) -> Result<u64, Error> {
        self.store().delete_passkeys(id, only).await.map_err(Error::Store)
    }

    /// Begins to sign somebody in: a ticket, and what `navigator.credentials.get` takes.
    ///
    /// # Errors
    /// [`SignInError::Wait`]; there are no random numbers.
    pub fn begin_passkey_sign_in(&self, site: &Site, from: IpAddr) -> Result<(String, Value), SignInError> {
        self.wait_of(from)?;
        let begun = site.0.start_discoverable_authentication();
        let (options, state) = begun.map_err(|_| Error::Failed("a passkey could not be asked for"))?;
        let ticket = secrets::random_ticket().map_err(no_random)?;
        self.0.sign_ins.passkeys.sign_ins.put(ticket.clone(), Some(subscriber::of(from)), state);
        Ok((ticket, json!(options.public_key)))
    }

    /// Signs in whoever a passkey belongs to.
    ///
    /// # Errors
    /// [`SignInError::Wrong`], whatever was wrong; [`SignInError::Wait`]; the store failed.
    pub async fn passkey_sign_in(
        &self,
        site: &Site,
        ticket: &str,
        credential: &str,
        from: IpAddr,
        user_agent: &str,
    ) -> Result<SessionToken, SignInError> {
        self.wait_of(from)?;
        let lockout = &self.0.sign_ins.lockout;
        lockout.count(from, "", Instant::now());
        let judged = self.judge_passkey(site, ticket, credential).await;
        if matches!(judged, Err(SignInError::Wrong)) {
            tracing::warn!(%from, "a sign-in by passkey was refused");
        }
        let token = self.begin_session(judged?, from, user_agent, None).await?;
        lockout.succeeded(from, "");
        tracing::info!(%from, "signed in by passkey");
        Ok(token)
    }

    async fn judge_passkey(&self, site: &Site, ticket: &str, credential: &str) -> Result<OperatorId, SignInError> {
        let state = self.0.sign_ins.passkeys.sign_ins.take(&ticket.to_owned()).ok_or(SignInError::Wrong)?;
        let credential: PublicKeyCredential = read(credential).ok_or(SignInError::Wrong)?;
        let (user, id) = site.0.identify_discoverable_authentication(&credential).map_err(|_| SignInError::Wrong)?;
        let stored = self.store().passkey(id).await.map_err(Error::Store)?;
        let stored = stored.filter(|stored| self.handle(stored.operator()) == user).ok_or(SignInError::Wrong)?;
        let mut key = key(&stored)?;
        let known = DiscoverableKey::from(&key);
        let proof = site.0.finish_discoverable_authentication_v2(&credential, state, &known);
        let proof = proof.map_err(|_| SignInError::Wrong)?;
        if !proof.user_verified() {
            return Err(SignInError::Wrong);
        }
        key.update_credential(&proof);
        match self.store().use_passkey(stored.id(), &written(&key)?, now_ms()).await {
            Ok(()) => Ok(stored.operator()),
            Err(store::Error::Missing) => Err(SignInError::Wrong),
            Err(error) => Err(Error::Store(error).into()),
        }
    }

    /// What authenticators keep an operator's passkeys under: it tells nothing of who they are, and two gateways of one host
    /// name do not take each other's place.
    fn handle(&self, id: OperatorId) -> Uuid {
        let digest = Sha256::digest(format!("{}:{}", self.0.instance_id, id.0));
        Uuid::from_slice(&digest[..16]).unwrap_or_default()
    }

    fn wait_of(&self, from: IpAddr) -> Result<(), SignInError> {
        let wait = self.0.sign_ins.lockout.wait_of_address(from, Instant::now());
        if wait.is_zero() { Ok(()) } else { Err(SignInError::Wait(wait.as_secs().max(1))) }
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    (text.len() <= MOST_CREDENTIAL).then(|| serde_json::from_str(text).ok()).flatten()
}

fn key(stored: &StoredPasskey) -> Result<Passkey, Error> {
    serde_json::from_str(&stored.public_key).map_err(|_| Error::Failed("a stored passkey cannot be read"))
}

fn written(key: &Passkey) -> Result<String, Error> {
    serde_json::to_string(key).map_err(|_| Error::Failed("a passkey cannot be written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_panel_with_a_name_has_passkeys() {
        for good in ["https://vpn.example.net", "https://vpn.example.net:8443", "https://localhost:8443"] {
            assert!(Site::at(good).is_some(), "{good}");
        }
        for bad in ["https://192.0.2.1:8443", "https://[2001:db8::1]", "http://vpn.example.net", "https://", "x"] {
            assert!(Site::at(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_waits_is_bounded_and_counts_once() {
        let waiting = Waiting::default();
        for n in 0..=MOST_WAITING {
            waiting.put(n, None, n);
        }
        assert_eq!((waiting.take(&0), waiting.take(&1), waiting.take(&1)), (None, Some(1), None));
        assert_eq!(waiting.0.lock().unwrap().len(), MOST_WAITING - 1);
    }

    #[test]
    fn nobody_pushes_out_what_others_began() {
        let (waiting, flood) = (Waiting::default(), Some(IpAddr::from([203, 0, 113, 1])));
        waiting.put(0, Some(IpAddr::from([192, 0, 2, 1])), 0);
        for n in 1..=MOST_WAITING {
            waiting.put(n, flood, n);
        }
        assert_eq!(
            (waiting.take(&0), waiting.take(&1), waiting.take(&MOST_WAITING)),
            (Some(0), None, Some(MOST_WAITING))
        );
    }
}
