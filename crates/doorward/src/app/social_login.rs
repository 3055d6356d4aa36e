//! Login by an account elsewhere: OAuth 2 with authorization code and PKCE (RFC 6749, RFC 7636), or OpenID Connect. Who
//! it is comes from the provider's user-info endpoint.

mod person;
mod provider;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use doorward_policy::{
    guest::{Mac, Method},
    hotspot::HotspotId,
};
use oauth2::{CsrfToken, PkceCodeChallenge, PkceCodeVerifier};

use self::{
    person::who,
    provider::{Endpoints, Error, ask, client, discover, scopes},
};
use super::{
    App,
    codes::{self, Answers},
    logins::{Admitted, Denied, Device, Person},
};
use crate::hotspot_settings::Provider;

/// How long a guest may take at the provider's.
const AT_PROVIDER: Duration = Duration::from_secs(900);
/// Guests who may be there at once; beyond that, the oldest is forgotten.
const MOST_AWAY: usize = 4096;
/// How long a discovery document is believed.
const DISCOVERED: Duration = Duration::from_secs(3600);
/// Discovery documents that are remembered.
const MOST_DISCOVERED: usize = 64;

/// Guests at providers, and what providers say of themselves.
#[derive(Default)]
pub(super) struct Social {
    away: Mutex<Away>,
    discovered: Mutex<HashMap<String, (Instant, Endpoints)>>,
}

#[derive(Default)]
struct Away {
    by_state: HashMap<String, Leaving>,
    order: VecDeque<String>,
}

/// A guest who was sent to a provider.
struct Leaving {
    hotspot: HotspotId,
    mac: Mac,
    verifier: PkceCodeVerifier,
    back: String,
    answers: Answers,
    since: Instant,
}

/// Why an account elsewhere did not let a device in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocialDenied {
    /// The provider said no, does not answer, or answered something else; or the guest did not come back in time.
    Provider,
    /// It said yes, and the gateway did not.
    Denied(Denied),
}

impl App {
    /// Sends a guest to the provider: the address to open. `back` is where the provider sends the browser to then.
    ///
    /// # Errors
    /// Nothing was begun.
    pub async fn begin_social(&self, device: &Device, back: &str, answers: Answers) -> Result<String, SocialDenied> {
        let provider = self.provider(device)?;
        let endpoints = self.endpoints(&provider).await.map_err(|error| told(&provider, &error))?;
        let client = client(&provider, &endpoints, back).map_err(|error| told(&provider, &error))?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(scopes(&provider))
            .set_pkce_challenge(challenge)
            .url();
        let leaving = Leaving {
            hotspot: device.hotspot,
            mac: device.mac,
            verifier,
            back: back.to_owned(),
            answers,
            since: Instant::now(),
        };
        self.0.social.leave(state.secret().clone(), leaving);
        Ok(url.into())
    }

    /// Takes a guest back from the provider.
    ///
    /// # Errors
    /// The device stays captive.
    pub async fn finish_social(&self, device: &Device, state: &str, code: &str) -> Result<Admitted, SocialDenied> {
        let provider = self.provider(device)?;
        let leaving = self.0.social.back(state, device, Instant::now()).ok_or(SocialDenied::Provider)?;
        if code.is_empty() || code.len() > 4096 {
            // The guest said no, most likely.
            return Err(SocialDenied::Provider);
        }
        let tried = self.try_code(device).map_err(SocialDenied::Denied)?;
        let endpoints = self.endpoints(&provider).await.map_err(|error| told(&provider, &error))?;
        let claims = ask(&provider, &endpoints, &leaving.back, code, leaving.verifier).await;
        let claims = claims.map_err(|error| told(&provider, &error))?;
        self.code_was_right(&tried);
        let allowance = self.allowance(device, Method::Facebook).ok_or(SocialDenied::Denied(Denied::Failed))?;
        let who = who(&provider, &endpoints, &claims).ok_or_else(|| told(&provider, &Error::Answer("user-info")))?;
        let plain = codes::person(Method::Facebook, who.identity, leaving.answers, allowance);
        let person = Person {
            login: who.login,
            email: who.email,
            name: who.name,
            picture: who.picture,
            verified: true,
            ..plain
        };
        self.log_in_person(device, person).await.map_err(SocialDenied::Denied)
    }

    fn provider(&self, device: &Device) -> Result<Provider, SocialDenied> {
        let record = self.hotspot_by_id(device.hotspot);
        let own = record.as_ref().and_then(|record| codes::method_of(&record.settings, Method::Facebook));
        own.and_then(|own| own.provider.clone()).ok_or(SocialDenied::Denied(Denied::Failed))
    }

    /// Where the provider is: as configured, or as its discovery document says.
    async fn endpoints(&self, provider: &Provider) -> Result<Endpoints, Error> {
        if provider.issuer.is_empty() {
            return Ok(Endpoints {
                authorize: provider.authorize_url.clone(),
                token: provider.token_url.clone(),
                userinfo: provider.userinfo_url.clone(),
                basic: false,
            });
        }
        if let Some(known) = self.0.social.known(&provider.issuer, Instant::now()) {
            return Ok(known);
        }
        let found = discover(&provider.issuer).await?;
        self.0.social.learn(&provider.issuer, found.clone(), Instant::now());
        Ok(found)
    }
}

impl Social {
    fn leave(&self, state: String, leaving: Leaving) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let Away { by_state, order } = &mut *away;
        // A device is at the provider once: it cannot push others out.
        by_state.retain(|_, one| (one.hotspot, one.mac) != (leaving.hotspot, leaving.mac));
        order.retain(|state| by_state.contains_key(state));
        while let Some(oldest) = order.front() {
            let is_old = by_state.get(oldest).is_none_or(|one| leaving.since.duration_since(one.since) >= AT_PROVIDER);
            if !is_old && order.len() < MOST_AWAY {
                break;
            }
            by_state.remove(oldest);
            order.pop_front();
        }
        by_state.insert(state.clone(), leaving);
        order.push_back(state);
    }

    /// A state counts once, for the device that it was made for.
    fn back(&self, state: &str, device: &Device, now: Instant) -> Option<Leaving> {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let found = away.by_state.get(state)?;
        let fits = (found.hotspot, found.mac) == (device.hotspot, device.mac);
        if !fits || now.duration_since(found.since) >= AT_PROVIDER {
            return None;
        }
        away.by_state.remove(state)
    }

    fn known(&self, issuer: &str, now: Instant) -> Option<Endpoints> {
        let discovered = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, endpoints) = discovered.get(issuer)?;
        (now.duration_since(*since) < DISCOVERED).then(|| endpoints.clone())
    }

    fn learn(&self, issuer: &str, endpoints: Endpoints, now: Instant) {
        let mut discovered = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        if discovered.len() >= MOST_DISCOVERED {
            discovered.clear();
        }
        discovered.insert(issuer.to_owned(), (now, endpoints));
    }
}

/// Logs why, and tells the guest that the provider did not confirm.
fn told(provider: &Provider, error: &Error) -> SocialDenied {
    tracing::warn!(provider = provider.label, %error, "a login by a provider failed");
    SocialDenied::Provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_counts_once_and_for_its_device() {
        let device =
            |n: u8| Device { hotspot: HotspotId(1), mac: Mac([2, 0, 0, 0, 0, n]), address: [10, 0, 0, n].into() };
        let (social, start) = (Social::default(), Instant::now());
        let leaving_as = |mac: Mac| Leaving {
            hotspot: HotspotId(1),
            mac,
            verifier: PkceCodeVerifier::new("v".to_owned()),
            back: String::new(),
            answers: Answers { comments: Default::default(), terms_version: String::new(), marketing: None },
            since: start,
        };
        let leaving = || leaving_as(device(1).mac);
        social.leave("a".to_owned(), leaving());
        assert!(social.back("a", &device(2), start).is_none());
        assert!(social.back("b", &device(1), start).is_none());
        assert!(social.back("a", &device(1), start + AT_PROVIDER).is_none());
        assert!(social.back("a", &device(1), start).is_some());
        assert!(social.back("a", &device(1), start).is_none(), "once");
        for n in 0..5000_u16 {
            let [high, low] = n.to_be_bytes();
            social.leave(n.to_string(), leaving_as(Mac([2, 0, 0, 1, high, low])));
        }
        for n in 0..5000 {
            social.leave(format!("again {n}"), leaving());
        }
        let away = social.away.lock().unwrap();
        assert_eq!((away.by_state.len(), away.order.len()), (MOST_AWAY, MOST_AWAY));
        assert!(away.by_state.contains_key("4999"), "one device pushes nobody out");
    }
}
