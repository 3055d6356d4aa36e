//! The management listener: what every request meets before a face of Doorward answers it.

use std::{any::Any, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use ipnet::IpNet;
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;

use self::observe::{Watch, observe};
use crate::{
    app::{App, system::Process},
    tls::{self, acme},
};

mod auth;
mod body;
pub mod contract;
mod envelope;
mod error;
pub mod hotspot_api;
mod lang;
mod monitoring;
mod observe;
mod otl;
pub mod panel;
pub mod portal;
mod qr;
mod refusals;
mod source;
mod vpn_api;

pub use self::{monitoring::Token as MetricsToken, observe::Requests};

/// Requests that are worked on at once; others wait.
const MOST_AT_ONCE: usize = 512;
/// Longest life of a request, its body and its wait included.
const REQUEST_WAIT: Duration = Duration::from_secs(30);
/// The same of a request about backups, which moves archives.
const ARCHIVE_WAIT: Duration = Duration::from_secs(3_600);
/// Where those are.
const ARCHIVES: [&str; 3] = ["/api/v1/backups", "/api/v1/system/backups", "/settings/backups"];
/// Answers `Not authorized`, and requests for links that cannot be used, within a minute, after which an address is not heard for a minute.
const MOST_REFUSALS: u32 = 20;
/// Most bytes of all header names and values together.
const MOST_HEADER_BYTES: usize = 32 * 1024;
/// Most bytes of path and query.
const MOST_URI_BYTES: usize = 8 * 1024;

/// `doorward/<version>`
const SERVER: &str = concat!("doorward/", env!("CARGO_PKG_VERSION"));

/// What the configuration file says of the management listener.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The VPN API answers 200 whatever happened, for old clients (VPN API, section 1.5).
    pub v1_status_200: bool,
    /// From where the hotspot API answers; empty: private, shared, link-local and loopback addresses.
    pub api_networks: Vec<IpNet>,
    /// Where the hotspot API answers without TLS, if it does: what its page shows to operators.
    pub api_listen: Option<SocketAddr>,
    /// Which listener (`management`, `portal`) has which certificate.
    pub certificates: Vec<(&'static str, tls::Described)>,
    /// How it goes with the certification authority; `None`: none is asked.
    pub acme: Option<watch::Receiver<acme::State>>,
    /// What `/metrics` is asked with here; `None`: it is not here.
    pub metrics_token: Option<MetricsToken>,
    /// Counts of requests, those of other listeners among them.
    pub requests: Requests,
    /// What the process knows of itself; `None` where there is no more than a router.
    pub process: Option<Process>,
}

/// What handlers share.
#[derive(Clone)]
struct Site {
    app: App,
    settings: Arc<HttpSettings>,
    refusals: Arc<refusals::Refusals>,
    /// Who asked for one-time links that cannot be used.
    unknown_links: Arc<refusals::Refusals>,
    slots: Arc<Semaphore>,
}

/// The management router. It needs [`ConnectInfo`] of [`SocketAddr`]: serve it with
/// `into_make_service_with_connect_info`.
pub fn router(app: App, settings: HttpSettings) -> Router {
    let hotspot_api = hotspot_api::router(app.clone(), &settings.trusted_proxies, &settings.api_networks);
    let panel = panel::router(app.clone(), &settings);
    let monitoring = monitoring::management_router(app.clone(), &settings);
    let watch = Watch { requests: settings.requests.clone(), trusted_proxies: settings.trusted_proxies.clone().into() };
    let site = Site {
        app,
        settings: Arc::new(settings),
        refusals: Arc::new(refusals::Refusals::new(MOST_REFUSALS)),
        unknown_links: Arc::new(refusals::Refusals::new(MOST_REFUSALS)),
        slots: Arc::new(Semaphore::new(MOST_AT_ONCE)),
    };
    let vpn_api = Router::new()
        .merge(vpn_api::router(&site))
        .merge(otl::router(&site))
        .merge(panel)
        .merge(monitoring)
        .fallback(|| async { error::NOT_FOUND.into_response() })
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(middleware::from_fn_with_state(site.clone(), limit))
        .layer(middleware::from_fn_with_state(site.clone(), vpn_api::status_200))
        .layer(middleware::from_fn_with_state(watch.clone(), observe))
        .with_state(site);
    // What one face says of a broken request, the other would not understand: each has its own bounds.
    let hotspot_api = hotspot_api.layer(middleware::from_fn_with_state(watch, observe));
    hotspot_api.fallback_service(vpn_api).layer(middleware::map_response(mark))
}

/// The router of a plain listener that serves the hotspot API at `/api/` to `networks` (empty: local addresses), and
/// nothing else to anybody. It needs [`ConnectInfo`] of [`SocketAddr`].
pub fn local_api_router(app: App, settings: &HttpSettings) -> Router {
    let watch = Watch { requests: settings.requests.clone(), trusted_proxies: Arc::from([]) };
    hotspot_api::local_router(app, &settings.api_networks).layer(middleware::from_fn_with_state(watch, observe))
}

/// The router of a plain listener for monitoring systems: `/metrics`, `/healthz`, `/readyz`.
pub fn monitoring_router(app: App, settings: &HttpSettings) -> Router {
    monitoring::router(app, settings)
}

/// The router of the line to a relay: the hotspot API by POST at `/api/`, and nothing else. Requests must bear a
/// [`CloudCaller`](crate::cloud::CloudCaller).
pub fn cloud_api_router(app: App, requests: Requests) -> Router {
    let watch = Watch { requests, trusted_proxies: Arc::from([]) };
    hotspot_api::cloud_router(app).layer(middleware::from_fn_with_state(watch, observe))
}

/// Bounds what a request may cost.
async fn limit(State(site): State<Site>, request: Request, next: Next) -> Response {
    // The rules keep guests out already; a listener on every address must not let them in where the portal has a port.
    if peer(&request).is_some_and(|peer| site.app.hosts().hotspot_of(peer.ip().to_canonical()).is_some()) {
        return error::NOT_FOUND.into_response();
    }
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let uri = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if headers > MOST_HEADER_BYTES || uri > MOST_URI_BYTES {
        return error::BAD_REQUEST.into_response();
    }
    let of_archives = ARCHIVES.iter().any(|path| request.uri().path().starts_with(path));
    let wait = if of_archives { ARCHIVE_WAIT } else { REQUEST_WAIT };
    let answer = async {
        let _slot = site.slots.acquire().await.ok()?;
        Some(next.run(request).await)
    };
    match tokio::time::timeout(wait, answer).await {
        Ok(Some(response)) => response,
        Ok(None) | Err(_) => error::INTERNAL.into_response(),
    }
}

/// Writes on every answer whose it is, and that it is not to be kept unless it says so.
async fn mark(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static(SERVER));
    // But for our own scripts and styles, whose addresses change when they do.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A bug must not cost more than its own request.
#[expect(clippy::needless_pass_by_value, reason = "the signature is that of the layer")]
fn answer_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    log_panic(panic.as_ref());
    error::INTERNAL.into_response()
}

fn log_panic(panic: &(dyn Any + Send + 'static)) {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(text, "a request ended in a panic");
}

/// Where a connection comes from; a router that was built without it refuses everybody.
fn peer(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::StatusCode, routing::get};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        async fn fall() {
            panic!("told to");
        }
        let router: Router = Router::new().route("/", get(fall)).layer(CatchPanicLayer::custom(answer_panic));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"error":"Internal error","msg":"","status":"error"}"#);
    }
}
