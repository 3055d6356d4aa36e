//! The captive portal: what guests see, on the gateway's guest addresses.
//!
//! Every request meets the gate first. One for another host is a device that looks for the internet: it is led to the
//! portal, from memory alone. One for the portal itself gets a page, and what is behind it asks the application.

mod captive;
mod code;
mod form;
mod frame;
mod listener;
mod login;
mod methods;
mod plain;
pub(in crate::http) mod preview;
mod probes;
mod redirect;
mod silent;
mod social;
mod status;
mod token;
mod view;
mod visit;
mod voucher;

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tower_http::catch_panic::CatchPanicLayer;

pub(in crate::http) use self::social::BACK_PATH as SOCIAL_BACK_PATH;
pub use self::{
    form::{Bad, Form},
    listener::Arrival,
};
use self::{listener::Listeners, silent::Silent, token::Tokens, visit::Visit};
use super::lang;
use crate::{
    app::{App, hotspots::HotspotRecord},
    clock::now_ms,
    hotspot_settings::Lang,
    secrets,
};

/// Path of the captive-portal API (RFC 8908) on a portal's host, which DHCP and router advertisements announce.
pub const API_PATH: &str = "/captive";

/// Pages that are worked on at once; others wait.
const MOST_AT_ONCE: usize = 256;
/// Longest life of a request, its body and its wait included.
const REQUEST_WAIT: Duration = Duration::from_secs(30);
/// How long, and how often, a device that nobody has heard of is waited for.
const KNOWN_WAIT: Duration = Duration::from_millis(600);
const KNOWN_LOOK: Duration = Duration::from_millis(20);
/// Most bytes of path and query.
const MOST_URI_BYTES: usize = 4 * 1024;
/// How long a chosen language is remembered, in seconds.
const REMEMBER_S: u32 = 180 * 24 * 3600;

/// What handlers share.
#[derive(Clone)]
struct Site {
    app: App,
    hotspots: watch::Receiver<Arc<Vec<HotspotRecord>>>,
    /// There is a certificate.
    tls: bool,
    tokens: Tokens,
    silent: Arc<Silent>,
    releases: Arc<voucher::Releases>,
    slots: Arc<Semaphore>,
}

impl Site {
    fn records(&self) -> Arc<Vec<HotspotRecord>> {
        Arc::clone(&self.hotspots.borrow())
    }
}

/// Serves the portals of all hotspots, as they come and go. The sockets close when the task is aborted.
///
/// # Errors
/// The system has no random numbers.
pub fn spawn(app: App, tls: Option<Arc<rustls::ServerConfig>>) -> Result<JoinHandle<()>, secrets::Error> {
    let router = router(app.clone(), tls.is_some())?;
    let listeners = Listeners::new(router, tls.as_deref(), app.hosts().clone());
    Ok(tokio::spawn(async move {
        let mut hotspots = app.hotspots();
        let mut open = listener::Open::default();
        loop {
            let records = Arc::clone(&hotspots.borrow_and_update());
            listeners.follow(&mut open, records.iter().map(|record| &record.hotspot));
            if hotspots.changed().await.is_err() {
                return;
            }
        }
    }))
}

/// The router behind the sockets; every request needs an [`Arrival`] among its extensions. `tls`: there is a
/// certificate, so hotspots with `portal_tls` are at `https`.
///
/// # Errors
/// The system has no random numbers.
pub fn router(app: App, tls: bool) -> Result<Router, secrets::Error> {
    let site = Site {
        hotspots: app.hotspots(),
        app,
        tls,
        tokens: Tokens::new()?,
        silent: Arc::default(),
        releases: Arc::default(),
        slots: Arc::new(Semaphore::new(MOST_AT_ONCE)),
    };
    Ok(Router::new()
        .route("/", get(status::front))
        .route(API_PATH, get(captive::answer))
        .route("/terms", get(plain::terms))
        .route("/logo", get(plain::logo))
        .route("/v/{code}", get(voucher::ticket))
        .route("/login/voucher", post(voucher::log_in))
        .route("/login/email", post(methods::email))
        .route("/login/mobile", post(methods::mobile))
        .route("/login/free", post(methods::free))
        .route("/login/facebook", post(social::start))
        .route(social::BACK_PATH, get(social::back))
        .route("/code", get(code::show).post(code::enter))
        .route("/release", post(voucher::release))
        .route("/logout", post(status::log_out))
        .fallback(|visit: Visit| async move { plain::missing(&visit) })
        .method_not_allowed_fallback(|visit: Visit| async move { plain::see(&visit, "/") })
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(middleware::from_fn_with_state(site.clone(), gate))
        .layer(middleware::map_response(mark))
        .with_state(site))
}

/// Waits a little for the kernel to tell who has just come: a device's first packet may be this very request.
async fn known(site: &Site, arrival: Arrival) {
    let mut waited = Duration::ZERO;
    while waited < KNOWN_WAIT && site.app.hosts().find(arrival.peer).is_none() {
        tokio::time::sleep(KNOWN_LOOK).await;
        waited += KNOWN_LOOK;
    }
}

/// Tells requests for the portal from those for the rest of the world.
async fn gate(State(site): State<Site>, mut request: Request, next: Next) -> Response {
    let Some(arrival) = request.extensions().get::<Arrival>().copied() else { return failure() };
    if request.uri().path_and_query().is_some_and(|uri| uri.as_str().len() > MOST_URI_BYTES) {
        return StatusCode::URI_TOO_LONG.into_response();
    }
    let host = host(&request).to_owned();
    let records = site.records();
    let Some(record) = records.iter().find(|record| record.hotspot.id == arrival.hotspot) else { return failure() };
    if !redirect::is_ours(&host, record) {
        return redirect::answer(&site, record, arrival, &host, request.uri()).await;
    }
    if request.method() == Method::GET
        && let base = visit::base(&site, record, arrival)
        && let Some(answer) = redirect::upgrade(&base, &host, record, arrival, request.uri())
    {
        return answer;
    }
    known(&site, arrival).await;
    site.app.hosts().touch(arrival.peer, now_ms());
    let Some(visit) = Visit::of(&site, arrival, request.uri().query().unwrap_or_default(), request.headers()) else {
        return failure();
    };
    let asked = visit.asked;
    request.extensions_mut().insert(visit);
    let request = form::whole(request).await;
    let answer = async {
        let _slot = site.slots.acquire().await.ok()?;
        Some(next.run(request).await)
    };
    let mut response = match tokio::time::timeout(REQUEST_WAIT, answer).await {
        Ok(Some(response)) => response,
        Ok(None) | Err(_) => failure(),
    };
    if let Some(lang) = asked {
        remember(response.headers_mut(), lang);
    }
    response
}

/// The host that a request names, without its port; empty: none.
fn host(request: &Request) -> &str {
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    // A proxy's request has it in the first line.
    let named = request.uri().authority().map(axum::http::uri::Authority::as_str).or(named).unwrap_or_default();
    match named.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => named.rsplit_once(':').map_or(named, |(host, _)| host),
    }
}

fn remember(headers: &mut HeaderMap, lang: Lang) {
    let cookie = format!("{}={}; Path=/; Max-Age={REMEMBER_S}; SameSite=Lax", lang::NAME, lang.as_str());
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
}

/// Writes on every answer that it is not to be kept, and what it is not to be taken for.
async fn mark(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::SERVER, super::SERVER),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Each connection serves one request: a browser must not keep one that was led astray.
        (header::CONNECTION, "close"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A bug must not cost more than its own request.
#[expect(clippy::needless_pass_by_value, reason = "the signature is that of the layer")]
fn answer_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    super::log_panic(panic.as_ref());
    failure()
}

/// An answer where not even a page can be made.
fn failure() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "Please try again in a moment.\n").into_response()
}
