//! What is said to a provider, and what it says.

use std::time::Duration;

use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _, TokenUrl, basic::BasicClient,
};
use serde_json::Value;

use crate::{
    fetch,
    hotspot_settings::{Provider, is_callable},
};

/// Longest wait for each answer of a provider.
const ANSWER_WAIT: Duration = Duration::from_secs(8);

/// Where a provider is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    pub(super) authorize: String,
    pub(super) token: String,
    pub(super) userinfo: String,
    /// The client's secret goes into the header, else into the body (RFC 6749, section 2.3.1).
    pub(super) basic: bool,
}

/// Why a provider was of no use. Goes to the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
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

/// Reads the discovery document (OpenID Connect Discovery 1.0, section 4).
pub(super) async fn discover(issuer: &str) -> Result<Endpoints, Error> {
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

pub(super) fn client(provider: &Provider, endpoints: &Endpoints, back: &str) -> Result<Client, Error> {
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

pub(super) fn scopes(provider: &Provider) -> Vec<Scope> {
    let mut scopes: Vec<&str> = provider.scopes.split_whitespace().collect();
    if !provider.issuer.is_empty() && !scopes.contains(&"openid") {
        scopes.insert(0, "openid");
    }
    scopes.into_iter().map(|scope| Scope::new(scope.to_owned())).collect()
}

/// Changes the code for a token, and that for what the provider knows of the person.
pub(super) async fn ask(
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
