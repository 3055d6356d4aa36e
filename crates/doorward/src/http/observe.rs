//! What is seen of every request: its id, a line in the log, and the counts that `/metrics` tells.
//!
//! Addresses hold keys of links, and queries the key of an API: only the pattern that a path matched is ever told.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tracing::Instrument as _;

use super::{peer, source};
use crate::cloud::CloudCaller;

/// Bears the id that a request has in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Upper bounds of durations, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Counts of requests. Clones share them.
#[derive(Debug, Clone)]
pub struct Requests {
    answered: Family<Answered, Counter>,
    seconds: Family<Of, Histogram>,
    /// Ids begin with when this process began, so that none comes twice.
    began: u64,
    last: Arc<AtomicU64>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            answered: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            began: u64::try_from(crate::clock::now_ms()).unwrap_or_default(),
            last: Arc::default(),
        }
    }
}

impl Requests {
    /// Puts the counts among those that are told.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests answered", self.answered.clone());
        registry.register("http_request_seconds", "Time to the head of the answer", self.seconds.clone());
    }

    fn next_id(&self) -> String {
        format!("{:x}-{:x}", self.began, self.last.fetch_add(1, Ordering::Relaxed))
    }

    fn count(&self, face: Face, status: u16, took: Duration) {
        self.answered.get_or_create(&Answered { face, code: u32::from(status) }).inc();
        self.seconds.get_or_create(&Of { face }).observe(took.as_secs_f64());
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    face: Face,
    code: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    face: Face,
}

/// Whom a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are those that are told")]
pub(super) enum Face {
    vpn_api,
    hotspot_api,
    otl,
    panel,
}

impl Face {
    fn of(path: &str) -> Self {
        let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if below("/api/v1") {
            Self::vpn_api
        } else if below("/api") {
            Self::hotspot_api
        } else if below("/otl") {
            Self::otl
        } else {
            Self::panel
        }
    }
}

/// What the layer needs.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) requests: Requests,
    pub(super) trusted_proxies: Arc<[ipnet::IpNet]>,
}

/// The layer. It stands outside of everything that may answer.
pub(super) async fn observe(State(watch): State<Watch>, request: Request, next: Next) -> Response {
    let (began, id) = (Instant::now(), watch.requests.next_id());
    let face = Face::of(request.uri().path());
    let (method, path) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let by_line = request.extensions().get::<CloudCaller>().map(|caller| caller.0);
    let by_socket = || {
        let peer = peer(&request)?.ip();
        Some(source::of(peer, request.headers(), &watch.trusted_proxies).unwrap_or(peer))
    };
    let client = by_line.or_else(by_socket);
    let span = tracing::info_span!("request", id);
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status().as_u16(), began.elapsed());
    watch.requests.count(face, status, took);
    span.in_scope(|| {
        tracing::info!(
            target: "doorward::access",
            source = client.as_ref().map(tracing::field::display::<&IpAddr>),
            method = method.as_str(),
            path = path.as_ref().map_or("-", MatchedPath::as_str),
            status,
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
    });
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces() {
        for (path, face) in [
            ("/api/v1", Face::vpn_api),
            ("/api/v1/account", Face::vpn_api),
            ("/api/", Face::hotspot_api),
            ("/api-access", Face::panel),
            ("/otl/x", Face::otl),
            ("/", Face::panel),
        ] {
            assert_eq!(Face::of(path), face, "{path}");
        }
    }

    #[test]
    fn no_id_comes_twice() {
        let requests = Requests::default();
        assert_ne!(requests.next_id(), requests.clone().next_id());
    }
}
