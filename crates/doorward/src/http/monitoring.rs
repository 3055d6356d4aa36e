//! What monitoring systems ask: `/metrics` (Prometheus), `/healthz` and `/readyz`.
//!
//! Health says that this process answers; readiness, that it knows its database and that the kernel is as the database says.
//! Nothing here names an account, a guest or an address.

use std::{fs, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};
use subtle::ConstantTimeEq as _;

use super::{HttpSettings, observe::Requests};
use crate::app::{
    App,
    system::{Figures, Process},
};

/// Longest wait for the database.
const STORE_WAIT: Duration = Duration::from_secs(2);

/// OpenMetrics 1.0.0, which Prometheus reads.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Site {
    app: App,
    requests: Requests,
    process: Option<Process>,
    /// Who may read figures; `None`: whoever can ask.
    token: Option<Token>,
}

/// What `/metrics` is asked with on the management listener.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Reads what a file holds. `None`: not 16 to 256 visible ASCII characters on one line.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        let fine = (16..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fine.then(|| Self(text.to_owned()))
    }

    fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        given.is_some_and(|given| self.0.as_bytes().ct_eq(given).into())
    }
}

/// The router of a listener for monitoring alone.
pub(super) fn router(app: App, settings: &HttpSettings) -> Router {
    let site = Site { token: None, ..Site::new(app, settings) };
    routes().route("/metrics", get(metrics)).with_state(site)
}

/// On the management listener: `/metrics` only where there is a token for it.
pub(super) fn management_router<S: Clone + Send + Sync + 'static>(app: App, settings: &HttpSettings) -> Router<S> {
    let routes = match settings.metrics_token {
        Some(_) => routes().route("/metrics", get(metrics)),
        None => routes(),
    };
    routes.with_state(Site::new(app, settings))
}

fn routes() -> Router<Site> {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready))
}

impl Site {
    fn new(app: App, settings: &HttpSettings) -> Self {
        let HttpSettings { requests, process, metrics_token, .. } = settings;
        Self { app, requests: requests.clone(), process: process.clone(), token: metrics_token.clone() }
    }

    async fn figures(&self) -> Option<Figures> {
        tokio::time::timeout(STORE_WAIT, self.app.figures()).await.ok()?.ok()
    }
}

async fn ready(State(site): State<Site>) -> Response {
    match site.figures().await {
        None => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
        Some(_) => match site.app.state().text {
            text if text == "OK" => "ok\n".into_response(),
            text => (StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n")).into_response(),
        },
    }
}

async fn metrics(State(site): State<Site>, headers: HeaderMap) -> Response {
    if site.token.as_ref().is_some_and(|token| !token.is_in(&headers)) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response();
    }
    let mut registry = Registry::with_prefix("doorward");
    site.requests.register(&mut registry);
    gateway(&mut registry, &site).await;
    process(&mut registry);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn gateway(registry: &mut Registry, site: &Site) {
    let (state, pulse) = (site.app.state(), site.app.pulse().await);
    let loops = site.app.loop_figures();
    let figures = site.figures().await;
    gauge(registry, "ready", "1: the kernel is as the database says", u64::from(state.text == "OK"));
    gauge(registry, "database_answers", "1: it does", u64::from(figures.is_some()));
    gauge(registry, "accounts", "VPN accounts", state.accounts.into());
    gauge(registry, "accounts_available", "VPN accounts that may exist", state.most_accounts.into());
    gauge(registry, "servers", "VPN servers", state.servers.into());
    gauge(registry, "guests_online", "Devices of guests that are online", pulse.guests_online);
    counter(registry, "wan_received_bytes", "Bytes from the internet since the machine started", pulse.wan_received);
    counter(registry, "wan_sent_bytes", "Bytes to the internet since the machine started", pulse.wan_sent);
    counter(registry, "full_passes", "Comparisons of everything with the kernel", loops.full_passes);
    counter(registry, "delta_passes", "Passes over what changed", loops.delta_passes);
    gauge(registry, "kernel_failures", "Changes that the kernel refuses", loops.failures);
    if let Some(took) = loops.last_full {
        seconds(registry, "last_full_pass", "How long the last comparison of everything took", took);
    }
    if let Some(Figures { messages_waiting, messages_unsent }) = figures {
        gauge(registry, "messages_waiting", "Mail and SMS that wait to be sent", messages_waiting);
        gauge(registry, "messages_unsent", "Mail and SMS that could not be sent in time", messages_unsent);
    }
    if let Some(process) = &site.process {
        let names = process.names.read();
        counter(registry, "dns_questions", "Questions to the resolver", names.questions);
        counter(registry, "dns_answered", "Answers of the resolver", names.answered);
        counter(
            registry,
            "dns_blocked",
            "Questions that lists or the operator keep from being answered",
            names.blocked,
        );
        counter(registry, "dns_over_budget", "Questions beyond the budget of who asked", names.over_budget);
        counter(registry, "dns_failed", "Questions that no forwarder answered", names.failed);
        counter(registry, "dns_dropped", "Questions for which there was no room", names.dropped);
        seconds(registry, "uptime", "Time since the gateway started", process.started.elapsed());
    }
}

/// Memory and descriptors of this process (proc(5)).
fn process(registry: &mut Registry) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    if let Some(kib) = kib {
        gauge(registry, "resident_memory_bytes", "Memory of the gateway", kib.saturating_mul(1024));
    }
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    gauge(registry, "open_descriptors", "Open files and sockets of the gateway", u64::try_from(open).unwrap_or(0));
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter: Counter = Counter::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn seconds(registry: &mut Registry, name: &str, help: &str, value: Duration) {
    let gauge: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default();
    gauge.set(value.as_secs_f64());
    registry.register_with_unit(name, help, Unit::Seconds, gauge);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let token = Token::parse(" 0123456789abcdef\n").unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
        let mut headers = HeaderMap::new();
        assert!(!token.is_in(&headers));
        headers.insert(header::AUTHORIZATION, "Bearer 0123456789abcdeF".parse().unwrap());
        assert!(!token.is_in(&headers));
        headers.insert(header::AUTHORIZATION, "Bearer 0123456789abcdef".parse().unwrap());
        assert!(token.is_in(&headers));
        for bad in ["", "short", "0123456789 abcdef", "0123456789abcdef\n0123456789abcdef", &"x".repeat(257)] {
            assert_eq!(Token::parse(bad), None, "{bad}");
        }
    }
}
