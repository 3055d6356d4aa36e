//! The hotspot API at `/api/`: one path for all actions (Hotspot API; docs/api-design.md for what is ours).

use std::{
    any::Any,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tower_http::catch_panic::CatchPanicLayer;

use super::{MOST_AT_ONCE, REQUEST_WAIT, mark, peer, refusals::Refusals, source};
use crate::{
    app::{
        App,
        vouchers::{Once, OnceTicket},
    },
    clock::now_ms,
    cloud::CloudCaller,
    config::is_local,
};

mod answer;
mod lists;
mod live;
mod multipart;
mod parameters;
mod vouchers;

pub use parameters::{Parameters, Unusable};

use answer::{FAILED, NOT_ENABLED, NOT_SET, Refusal, WRONG_KEY};

/// Most bytes of a body, and of a query string.
const MOST_BODY_BYTES: usize = 64 * 1024;
const MOST_QUERY_BYTES: usize = 8 * 1024;
/// Longest wait for a body.
const BODY_WAIT: Duration = Duration::from_secs(20);
/// Wrong keys from one address within a minute, after which it is not heard for a minute.
const MOST_WRONG_KEYS: u32 = 10;
/// Lists that are sent at once; others wait.
const MOST_LISTS: usize = 8;

/// What requests share.
#[derive(Clone)]
struct Site {
    app: App,
    trusted_proxies: Arc<[IpNet]>,
    /// From where it answers; empty: local addresses.
    networks: Arc<[IpNet]>,
    wrong_keys: Arc<Refusals>,
    slots: Arc<Semaphore>,
    lists: Arc<Semaphore>,
}

/// `/api` and `/api/`.
pub(super) fn router(app: App, trusted_proxies: &[IpNet], networks: &[IpNet]) -> Router {
    let site = Site {
        app,
        trusted_proxies: trusted_proxies.into(),
        networks: networks.into(),
        wrong_keys: Arc::new(Refusals::new(MOST_WRONG_KEYS)),
        slots: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        lists: Arc::new(Semaphore::new(MOST_LISTS)),
    };
    // Not one redirects to the other: that would make a GET of a POST.
    Router::new()
        .route("/api", any(guard))
        .route("/api/", any(guard))
        .layer(CatchPanicLayer::custom(answer_panic))
        .with_state(site)
}

/// A listener with nothing else on it (Hotspot API, section 1.1). It needs `ConnectInfo` of the client's address.
pub(super) fn local_router(app: App, networks: &[IpNet]) -> Router {
    let nothing = || async { StatusCode::NOT_FOUND };
    router(app, &[], networks).fallback(nothing).layer(axum::middleware::map_response(mark))
}

/// What a line to a relay answers with (Hotspot API, section 1.4). Requests bear a [`CloudCaller`].
pub(super) fn cloud_router(app: App) -> Router {
    let nothing = || async { StatusCode::NOT_FOUND };
    router(app, &[], &[]).fallback(nothing).layer(axum::middleware::map_response(mark))
}

/// Who may know that there is an API, and how long a request may take.
async fn guard(State(site): State<Site>, request: Request) -> Response {
    if let Some(CloudCaller(caller)) = request.extensions().get().copied() {
        return within(answer(&site, Way::Cloud, caller, request)).await;
    }
    let client = peer(&request).and_then(|peer| source::of(peer.ip(), request.headers(), &site.trusted_proxies));
    let Some(client) = client.filter(|client| site.serves(*client)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    within(answer(&site, Way::Local, client, request)).await
}

async fn within(answer: impl Future<Output = Response>) -> Response {
    timeout(REQUEST_WAIT, answer).await.unwrap_or_else(|_| Refusal::Failed.into_response())
}

/// By which endpoint a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Local,
    /// POST alone, no query string, whatever the relay let pass (section 1.4). The caller's address is its word.
    Cloud,
}

impl Site {
    /// Not guests, and nobody from outside.
    fn serves(&self, client: IpAddr) -> bool {
        let near = if self.networks.is_empty() {
            is_local(client)
        } else {
            self.networks.iter().any(|net| net.contains(&client))
        };
        // Behind another router the WAN's neighbours have private addresses too.
        let by_wan = self.networks.is_empty() && self.app.is_by_wan(client);
        near && !by_wan && self.app.hosts().hotspot_of(client).is_none()
    }
}

/// The checks in the order of the specification's table (section 3).
async fn answer(site: &Site, way: Way, client: IpAddr, request: Request) -> Response {
    let switches = site.app.api_switches();
    if !switches.post && !switches.get {
        return NOT_ENABLED.with(StatusCode::OK);
    }
    let allowed = match *request.method() {
        Method::GET if way == Way::Cloud => return NOT_SET.with(StatusCode::METHOD_NOT_ALLOWED),
        Method::GET => switches.get,
        Method::POST => switches.post,
        _ => return NOT_SET.with(StatusCode::METHOD_NOT_ALLOWED),
    };
    if !allowed {
        return NOT_SET.with(StatusCode::OK);
    }
    let headers = request.headers().clone();
    let Some(parameters) = read(request, switches.get && way == Way::Local).await else {
        return FAILED.with(StatusCode::PAYLOAD_TOO_LARGE);
    };
    // Not before the body is there: whoever sends slowly holds up nobody.
    let Ok(_slot) = site.slots.acquire().await else { return Refusal::Failed.into_response() };
    let Some(given) = parameters.key() else { return NOT_SET.with(StatusCode::OK) };
    if site.wrong_keys.too_many(client, Instant::now()) {
        return WRONG_KEY.with(StatusCode::TOO_MANY_REQUESTS);
    }
    if !site.app.api_key().is(given) {
        site.wrong_keys.count(client, Instant::now());
        tracing::info!(source = %client, "a request to the hotspot API had a wrong key");
        return WRONG_KEY.with(StatusCode::OK);
    }
    act(site, &parameters, &headers).await.unwrap_or_else(Refusal::into_response)
}

/// The parameters of the sources that are read (section 2.1). `None`: too long.
async fn read(request: Request, query_counts: bool) -> Option<Parameters> {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    if query.len() > MOST_QUERY_BYTES {
        return None;
    }
    let query = if query_counts { Parameters::of_query(query) } else { Parameters::default() };
    if head.method != Method::POST {
        return Some(query);
    }
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > MOST_BODY_BYTES) {
        return None;
    }
    let bytes = match timeout(BODY_WAIT, to_bytes(body, MOST_BODY_BYTES)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_too_long(&error) => return None,
        // Half a body cannot be parsed.
        Ok(Err(_)) | Err(_) => return Some(query),
    };
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    Some(query.under(Parameters::of_body(kind, &bytes)))
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}

async fn act(site: &Site, parameters: &Parameters, headers: &HeaderMap) -> Result<Response, Refusal> {
    if parameters.is_broken() {
        return Err(FAILED.into());
    }
    let action = parameters.text("action").and_then(Action::parse).ok_or(FAILED)?;
    let app = &site.app;
    match action {
        Action::CreateVoucher => vouchers::create(app, parameters, ticket(parameters, headers)?).await,
        Action::RemoveVoucher => vouchers::remove(app, parameters, ticket(parameters, headers)?).await,
        Action::GetVoucher => vouchers::get(app, parameters).await,
        Action::EditVoucher => vouchers::edit(app, parameters, ticket(parameters, headers)?).await,
        Action::ExtendVoucher => vouchers::extend(app, parameters, ticket(parameters, headers)?).await,
        Action::DisableVoucher => vouchers::switch(app, parameters, false, ticket(parameters, headers)?).await,
        Action::EnableVoucher => vouchers::switch(app, parameters, true, ticket(parameters, headers)?).await,
        Action::RemoveUnusedVouchers => vouchers::remove_unused(app, parameters, ticket(parameters, headers)?).await,
        Action::GetVoucherUsers => lists::vouchers(app, parameters, site.list().await?).await,
        Action::GetEmailUsers => lists::email(app, parameters, site.list().await?).await,
        Action::GetMobileUsers => lists::mobile(app, parameters, site.list().await?).await,
        Action::GetFbUsers => lists::facebook(app, parameters, site.list().await?).await,
        Action::GetFreeUsers => lists::free(app, parameters, site.list().await?).await,
        Action::GetLogins => lists::logins(app, parameters, site.list().await?).await,
        Action::GetGuestHosts => live::hosts(app).await,
        Action::GetActiveGuests => live::active(app).await,
        Action::KickGuest => live::kick(app, parameters).await,
    }
}

impl Site {
    async fn list(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.lists).acquire_owned().await.map_err(|_| Refusal::Failed)
    }
}

/// What a request may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    CreateVoucher,
    RemoveVoucher,
    GetVoucherUsers,
    GetEmailUsers,
    GetFbUsers,
    GetMobileUsers,
    GetFreeUsers,
    GetLogins,
    GetGuestHosts,
    GetActiveGuests,
    // Ours.
    GetVoucher,
    EditVoucher,
    ExtendVoucher,
    DisableVoucher,
    EnableVoucher,
    RemoveUnusedVouchers,
    KickGuest,
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "create_voucher" => Self::CreateVoucher,
            "remove_voucher" => Self::RemoveVoucher,
            "get_voucher_users" => Self::GetVoucherUsers,
            "get_email_users" => Self::GetEmailUsers,
            "get_fb_users" => Self::GetFbUsers,
            "get_mobile_users" => Self::GetMobileUsers,
            "get_free_users" => Self::GetFreeUsers,
            "get_logins" => Self::GetLogins,
            "get_guest_hosts" => Self::GetGuestHosts,
            "get_active_guests" => Self::GetActiveGuests,
            "get_voucher" => Self::GetVoucher,
            "edit_voucher" => Self::EditVoucher,
            "extend_voucher" => Self::ExtendVoucher,
            "disable_voucher" => Self::DisableVoucher,
            "enable_voucher" => Self::EnableVoucher,
            "remove_unused_vouchers" => Self::RemoveUnusedVouchers,
            "kick_guest" => Self::KickGuest,
            _ => return None,
        })
    }
}

/// What the header `Idempotency-Key` names, if it is there.
fn ticket(parameters: &Parameters, headers: &HeaderMap) -> Result<Option<OnceTicket>, Refusal> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let bytes = key.as_bytes();
    let fine = (1..=255).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) && keys.next().is_none();
    if !fine {
        return Err(FAILED.into());
    }
    let key = Sha256::digest(bytes).into();
    Ok(Some(OnceTicket { key, request: parameters.digest(), now_ms: now_ms() }))
}

/// A ticket with how its answer is written.
fn once<T>(ticket: Option<OnceTicket>, answer: impl Fn(&T) -> Vec<u8> + Send + Sync + 'static) -> Option<Once<T>> {
    ticket.map(|ticket| Once { ticket, answer: Arc::new(answer) })
}

/// A bug must not cost more than its own request.
#[expect(clippy::needless_pass_by_value, reason = "the signature is that of the layer")]
fn answer_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(text, "a request to the hotspot API ended in a panic");
    Refusal::Failed.into_response()
}
