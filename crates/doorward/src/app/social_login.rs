//! Login by an account elsewhere: OAuth 2 with authorization code and PKCE (RFC 6749, RFC 7636), or OpenID Connect. Who
//! it is comes from the provider's user-info endpoint.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use doorward_policy::{
    guest::{Mac, Method},
    hotspot::HotspotId,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _, TokenUrl,
    basic::BasicClient,
};
use serde_json::Value;

use super::{
    App,
    codes::{self, Answers},
    email_login::EmailAddress,
    logins::{Admitted, Denied, Device, Person},
};
use crate::{
    fetch,
    hotspot_settings::{Provider, is_callable},
};

/// How long a guest may take at the provider's.
const AT_PROVIDER: Duration = Duration::from_secs(900);
/// Guests who may be there at once; beyond that, the oldest is forgotten.
const MOST_AWAY: usize = 4096;
/// Longest wait for each answer of a provider.
const ANSWER_WAIT: Duration = Duration::from_secs(8);
/// How long a discovery document is believed.
const DISCOVERED: Duration = Duration::from_secs(3600);
/// Discovery documents that are remembered.
const MOST_DISCOVERED: usize = 64;
/// Most characters of what a provider says of a person.
const MOST_SUBJECT: usize = 255;
const MOST_NAME: usize = 128;
const MOST_PICTURE: usize = 1024;

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

/// Where a provider is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoints {
    authorize: String,
    token: String,
    userinfo: String,
    /// The client's secret goes into the header, else into the body (RFC 6749, section 2.3.1).
    basic: bool,
}

/// Why an account elsewhere did not let a device in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocialDenied {
    /// The provider said no, does not answer, or answered something else; or the guest did not come back in time.
    Provider,
    /// It said yes, and the gateway did not.
    Denied(Denied),
}

/// Why a provider was of no use. Goes to the log.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0} is no address that may be called")]
    Address(&'static str),
    #[error("{0}: {1}")]
    Call(&'static str, String),
    #[error("{0}: status {1}")]
    Status(&'static str, u16),
    #[error("{0}: not what was expected")]
    Answer(&'static str),
}

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

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
        let endpoints = self.endpoints(&provider).await.map_err(|error| told(&provider, &error))?;
        let claims = ask(&provider, &endpoints, &leaving.back, code, leaving.verifier).await;
        let claims = claims.map_err(|error| told(&provider, &error))?;
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

/// Reads the discovery document (OpenID Connect Discovery 1.0, section 4).
async fn discover(issuer: &str) -> Result<Endpoints, Error> {
    const WHAT: &str = "discovery";
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let document = get(WHAT, &url, None).await?;
    let text = |key: &str| document.get(key).and_then(Value::as_str).filter(|url| is_callable(url)).map(str::to_owned);
    if document.get("issuer").and_then(Value::as_str).map(|own| own.trim_end_matches('/'))
        != Some(issuer.trim_end_matches('/'))
    {
        return Err(Error::Answer(WHAT));
    }
    // The default is the header (section 3).
    let ways = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
    let basic = ways.is_none_or(|ways| ways.iter().any(|way| way == "client_secret_basic"));
    let found = || {
        let (authorize, token) = (text("authorization_endpoint")?, text("token_endpoint")?);
        Some(Endpoints { authorize, token, userinfo: text("userinfo_endpoint")?, basic })
    };
    found().ok_or(Error::Answer(WHAT))
}

fn client(provider: &Provider, endpoints: &Endpoints, back: &str) -> Result<Client, Error> {
    let wrong = |what: &'static str| move |_| Error::Address(what);
    let authorize = AuthUrl::new(endpoints.authorize.clone()).map_err(wrong("authorize_url"))?;
    let token = TokenUrl::new(endpoints.token.clone()).map_err(wrong("token_url"))?;
    let back = RedirectUrl::new(back.to_owned()).map_err(wrong("the portal"))?;
    let auth_type = if endpoints.basic { AuthType::BasicAuth } else { AuthType::RequestBody };
    let mut client = BasicClient::new(ClientId::new(provider.client_id.clone()));
    if !provider.client_secret.is_empty() {
        client = client.set_client_secret(ClientSecret::new(provider.client_secret.clone()));
    }
    Ok(client.set_auth_type(auth_type).set_auth_uri(authorize).set_token_uri(token).set_redirect_uri(back))
}

fn scopes(provider: &Provider) -> Vec<Scope> {
    let mut scopes: Vec<&str> = provider.scopes.split_whitespace().collect();
    if !provider.issuer.is_empty() && !scopes.contains(&"openid") {
        scopes.insert(0, "openid");
    }
    scopes.into_iter().map(|scope| Scope::new(scope.to_owned())).collect()
}

/// Changes the code for a token, and that for what the provider knows of the person.
async fn ask(
    provider: &Provider,
    endpoints: &Endpoints,
    back: &str,
    code: &str,
    verifier: PkceCodeVerifier,
) -> Result<Value, Error> {
    let client = client(provider, endpoints, back)?;
    let exchange = client.exchange_code(AuthorizationCode::new(code.to_owned())).set_pkce_verifier(verifier);
    let token = exchange.request_async(&|request| post(request)).await;
    let token = token.map_err(|error| match error {
        oauth2::RequestTokenError::Request(error) => error,
        // What a provider says may repeat the code.
        oauth2::RequestTokenError::ServerResponse(_) => Error::Status("token", 400),
        oauth2::RequestTokenError::Parse(..) | oauth2::RequestTokenError::Other(_) => Error::Answer("token"),
    })?;
    get("user-info", &endpoints.userinfo, Some(token.access_token().secret())).await
}

async fn post(request: HttpRequest) -> Result<HttpResponse, Error> {
    const WHAT: &str = "token";
    let failed = |error: reqwest::Error| Error::Call(WHAT, fetch::describe(&error));
    let request = reqwest::Request::try_from(request).map_err(failed)?;
    let response = fetch::client(ANSWER_WAIT).map_err(failed)?.execute(request).await.map_err(failed)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = fetch::body(response).await.ok_or(Error::Answer(WHAT))?;
    let mut answer = HttpResponse::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

async fn get(what: &'static str, url: &str, token: Option<&str>) -> Result<Value, Error> {
    if !is_callable(url) {
        return Err(Error::Address(what));
    }
    let failed = |error: reqwest::Error| Error::Call(what, fetch::describe(&error));
    let mut request = fetch::client(ANSWER_WAIT).map_err(failed)?.get(url).header("accept", "application/json");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() {
        return Err(Error::Status(what, status.as_u16()));
    }
    let body = fetch::body(response).await.ok_or(Error::Answer(what))?;
    serde_json::from_slice(&body).map_err(|_| Error::Answer(what))
}

/// A person as a provider describes it.
#[derive(Debug, PartialEq, Eq)]
struct Who {
    identity: String,
    login: String,
    email: Option<String>,
    name: Option<String>,
    picture: Option<String>,
}

/// Reads claims (OpenID Connect Core 1.0, section 5.1) or a Graph API answer. `None`: nobody is named.
fn who(provider: &Provider, endpoints: &Endpoints, claims: &Value) -> Option<Who> {
    let text = |value: &Value, most: usize| {
        let text = value.as_str().map(str::trim).filter(|text| !text.is_empty() && !text.chars().any(char::is_control));
        text.filter(|text| text.chars().count() <= most).map(str::to_owned)
    };
    let field = |key: &str, most: usize| claims.get(key).and_then(|value| text(value, most));
    let number = || claims.get("id").and_then(Value::as_u64).map(|id| id.to_string());
    let subject = field("sub", MOST_SUBJECT).or_else(|| field("id", MOST_SUBJECT)).or_else(number)?;
    let issuer = match provider.issuer.trim_end_matches('/') {
        "" => reqwest::Url::parse(&endpoints.authorize).ok()?.host_str()?.to_owned(),
        issuer => issuer.to_owned(),
    };
    let email = field("email", 254).and_then(|text| EmailAddress::parse(&text)).map(|email| email.as_str().to_owned());
    let name = field("name", MOST_NAME);
    // The Graph API has it three levels down.
    let nested = || claims.pointer("/picture/data/url").and_then(|value| text(value, MOST_PICTURE));
    let picture = field("picture", MOST_PICTURE).or_else(nested).filter(|url| url.starts_with("https://"));
    let login = email.clone().or_else(|| name.clone()).unwrap_or_else(|| subject.clone());
    Some(Who { identity: format!("{issuer} {subject}"), login, email, name, picture })
}

/// Logs why, and tells the guest that the provider did not confirm.
fn told(provider: &Provider, error: &Error) -> SocialDenied {
    tracing::warn!(provider = provider.label, %error, "a login by a provider failed");
    SocialDenied::Provider
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(issuer: &str) -> (Provider, Endpoints) {
        let at = |path: &str| format!("https://www.example.com{path}");
        let provider = Provider {
            label: "Example".to_owned(),
            issuer: issuer.to_owned(),
            authorize_url: at("/dialog"),
            token_url: at("/token"),
            userinfo_url: at("/me"),
            client_id: "client".to_owned(),
            client_secret: "secret".to_owned(),
            scopes: "email".to_owned(),
            garden: Vec::new(),
        };
        let endpoints = Endpoints { authorize: at("/dialog"), token: at("/token"), userinfo: at("/me"), basic: true };
        (provider, endpoints)
    }

    #[test]
    fn claims_name_a_person() {
        let (oidc, endpoints) = provider("https://id.example.com/");
        let claims = serde_json::json!({
            "sub": "s-1", "email": "A@Example.com", "name": "Ann", "picture": "https://example.com/a.png"
        });
        let found = who(&oidc, &endpoints, &claims).unwrap();
        assert_eq!((found.identity.as_str(), found.login.as_str()), ("https://id.example.com s-1", "a@example.com"));
        assert_eq!(found.picture.as_deref(), Some("https://example.com/a.png"));
        let (graph, endpoints) = provider("");
        let claims = serde_json::json!({
            "id": 17, "name": "Bob\n", "email": 4, "picture": {"data": {"url": "http://example.com/b.png"}}
        });
        let found = who(&graph, &endpoints, &claims).unwrap();
        let expected = Who {
            identity: "www.example.com 17".to_owned(),
            login: "Bob".to_owned(),
            email: None,
            name: Some("Bob".to_owned()),
            picture: None,
        };
        assert_eq!(found, expected);
        for nobody in [serde_json::json!({}), serde_json::json!({"sub": "\u{0}"}), serde_json::json!([1])] {
            assert_eq!(who(&graph, &endpoints, &nobody), None);
        }
    }

    #[test]
    fn a_state_counts_once_and_for_its_device() {
        let device =
            |n: u8| Device { hotspot: HotspotId(1), mac: Mac([2, 0, 0, 0, 0, n]), address: [10, 0, 0, n].into() };
        let (social, start) = (Social::default(), Instant::now());
        let leaving = || Leaving {
            hotspot: HotspotId(1),
            mac: device(1).mac,
            verifier: PkceCodeVerifier::new("v".to_owned()),
            back: String::new(),
            answers: Answers { comments: Default::default(), terms_version: String::new(), marketing: None },
            since: start,
        };
        social.leave("a".to_owned(), leaving());
        assert!(social.back("a", &device(2), start).is_none());
        assert!(social.back("b", &device(1), start).is_none());
        assert!(social.back("a", &device(1), start + AT_PROVIDER).is_none());
        assert!(social.back("a", &device(1), start).is_some());
        assert!(social.back("a", &device(1), start).is_none(), "once");
        for n in 0..5000 {
            social.leave(n.to_string(), leaving());
        }
        assert_eq!(social.away.lock().unwrap().by_state.len(), MOST_AWAY);
    }
}
