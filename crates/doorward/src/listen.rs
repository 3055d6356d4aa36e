//! The management listeners: HTTPS, plain HTTP where the operator asked for it, and plain HTTP with the hotspot API alone.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum_server::tls_rustls::RustlsConfig;
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto::Builder,
};
use rustls::ServerConfig;
use tokio::task::JoinSet;

use crate::config::Config;

/// A client that has not sent its headers by then is cut off.
const HEADER_WAIT: Duration = Duration::from_secs(10);

/// Longest head of a request in bytes, and most headers.
const HEAD_BYTES: usize = 32 * 1024;
const HEADERS: usize = 64;

/// Requests that one HTTP/2 connection may have in hand.
const STREAMS: u32 = 64;

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What is served.
pub struct Routers {
    /// Everything, for the addresses of `management.listen` and `management.plain_listen`.
    pub management: axum::Router,
    /// For those of `management.api_listen`.
    pub local_api: axum::Router,
    /// For those of `monitoring.listen`.
    pub monitoring: axum::Router,
}

/// Binds all addresses and serves the routers on them, until `server` is told to stop. Without `tls` there is no HTTPS.
///
/// # Errors
/// One address cannot be bound.
pub fn open(
    config: &Config,
    routers: Routers,
    tls: Option<&Arc<ServerConfig>>,
    server: &axum_server::Handle<SocketAddr>,
) -> Result<JoinSet<io::Result<()>>, Error> {
    let mut listeners = JoinSet::new();
    let Config { management, monitoring, .. } = config;
    let service = routers.management.into_make_service_with_connect_info::<SocketAddr>();
    if let Some(tls) = tls {
        for address in &management.listen {
            let (address, config) = (*address, RustlsConfig::from_config(Arc::clone(tls)));
            let bound = bind(address).and_then(|listener| axum_server::from_tcp_rustls(listener, config));
            let mut bound = bound.map_err(|source| Error::Bind { address, source })?.handle(server.clone());
            limit(bound.http_builder());
            listeners.spawn(bound.serve(service.clone()));
            tracing::info!("serving https://{address}");
        }
    }
    let local_api = routers.local_api.into_make_service_with_connect_info::<SocketAddr>();
    let figures = routers.monitoring.into_make_service_with_connect_info::<SocketAddr>();
    let plain = management.plain_listen.iter().map(|address| (*address, &service, ""));
    let local = management.api_listen.iter().map(|address| (*address, &local_api, "/api/ alone"));
    let monitoring = monitoring.listen.iter().map(|address| (*address, &figures, "/metrics and health alone"));
    for (address, service, what) in plain.chain(local).chain(monitoring) {
        let bound = bind(address).and_then(axum_server::from_tcp);
        let mut bound = bound.map_err(|source| Error::Bind { address, source })?.handle(server.clone());
        limit(bound.http_builder());
        listeners.spawn(bound.serve(service.clone()));
        tracing::info!("serving http://{address} {what}");
    }
    Ok(listeners)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn limit(builder: &mut Builder<TokioExecutor>) {
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_WAIT)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS);
}
