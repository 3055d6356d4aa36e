//! `doorward relay`: a public host that gateways dial out to, and that hands requests for their hotspot APIs down to them
//! (Hotspot API, section 1.4). It keeps digests alone, and logs no body, no header and no key.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::http::{header, request::Parts};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

mod certificate;
pub mod config;
mod front;
mod gateways;
mod limits;
mod lines;
pub mod mux;
pub mod state;
pub mod wire;
pub mod zone;

use self::{
    certificate::Certificate,
    config::RelayConfig,
    limits::Gates,
    lines::Lines,
    state::{Known, State},
    wire::{Domain, RelayName, RelaySecret, Welcome},
};
use crate::tls::{self, Served};

/// Longest wait for a TLS handshake, and for the head of a request.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longest life of a caller's connection.
const CALLER_WAIT: Duration = Duration::from_secs(600);
/// Longest head of a request in bytes, and most headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
/// Connections that wait to be accepted: all gateways come at once after a restart.
const BACKLOG: u32 = 4096;
/// Time between looks for gateways that were renamed or revoked by the command line.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks between two writings of who was seen.
const LOOKS_PER_WRITE: u32 = 20;
/// A dead gateway is noticed after some 25 s; one that came back has replaced its old line long before.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// Why the relay does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("cannot listen on {0}")]
    Bind(SocketAddr, #[source] io::Error),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The domain, as the name of a zone.
    #[error("the domain is no DNS name")]
    Zone(#[from] hickory_proto::ProtoError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Rustls(#[from] rustls::Error),
    /// The state.
    #[error(transparent)]
    State(#[from] state::Error),
}

/// What connections share.
struct Relay {
    domain: Domain,
    state: State,
    lines: Lines,
    gates: Gates,
}

/// A relay that listens.
pub struct Bound {
    relay: Arc<Relay>,
    listeners: Vec<TcpListener>,
    acceptor: TlsAcceptor,
    certificate: Certificate,
}

impl Bound {
    /// Opens state, certificate and listeners.
    ///
    /// # Errors
    /// Names the file or the address.
    pub async fn open(config: &RelayConfig) -> Result<Self, Error> {
        let certificate = Certificate::open(config).await?;
        let state = State::open(&config.state_dir).await?;
        let listen = |address: &SocketAddr| listen(*address).map_err(|source| Error::Bind(*address, source));
        Ok(Self {
            listeners: config.listen.iter().map(listen).collect::<Result<_, _>>()?,
            acceptor: acceptor(certificate.served())?,
            certificate,
            relay: Arc::new(Relay {
                domain: config.domain.clone(),
                state,
                lines: Lines::default(),
                gates: Gates::new(&config.limits),
            }),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until dropped.
    pub async fn serve(self) {
        let mut tasks = JoinSet::new();
        self.certificate.keep(&self.relay, &mut tasks);
        tasks.spawn(watch(Arc::clone(&self.relay)));
        for listener in self.listeners {
            tasks.spawn(accept(Arc::clone(&self.relay), listener, self.acceptor.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// TLS 1.3 and 1.2 for callers; nothing is kept of a connection for a later one.
fn acceptor(served: &Arc<Served>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(served) as _);
    config.alpn_protocols = vec![wire::ALPN.to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(relay: Arc<Relay>, listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, most likely.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let from = peer.ip().to_canonical();
        let handshake = Arc::clone(&relay.gates.handshakes).try_acquire_owned();
        let (true, Ok(handshake)) = (relay.gates.connect(from), handshake) else { continue };
        let (relay, acceptor) = (Arc::clone(&relay), acceptor.clone());
        tokio::spawn(async move {
            let Some(tls) = Box::pin(shake(acceptor, stream)).await else { return };
            drop(handshake);
            match tls.get_ref().1.alpn_protocol() == Some(wire::ALPN) {
                true => gateways::serve(relay, tls, from).await,
                false => Box::pin(serve_caller(relay, tls, from)).await,
            }
        });
    }
}

async fn shake(acceptor: TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_EVERY).with_retries(3);
    drop(SockRef::from(&stream).set_tcp_keepalive(&keepalive));
    drop(stream.set_nodelay(true));
    timeout(HEAD_WAIT, acceptor.accept(stream)).await.ok()?.ok()
}

/// HTTP/1.1 for whoever calls.
async fn serve_caller(relay: Arc<Relay>, tls: TlsStream<TcpStream>, from: IpAddr) {
    let (Some(_place), Ok(_slot)) = (relay.gates.place(from), Arc::clone(&relay.gates.callers).try_acquire_owned())
    else {
        return;
    };
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let service = service_fn(move |request| {
        let relay = Arc::clone(&relay);
        async move { Ok::<_, std::convert::Infallible>(front::answer(&relay, from, request).await) }
    });
    let serving = builder.serve_connection(TokioIo::new(tls), service);
    // How a caller's connection ended is the caller's affair.
    drop(timeout(CALLER_WAIT, serving).await);
}

/// Keeps lines, limits and state true to each other.
async fn watch(relay: Arc<Relay>) {
    let mut seen = 0;
    for look in 1_u32.. {
        sleep(LOOK_EVERY).await;
        // Now and then without a reason: somebody may have connected while being revoked.
        if look % LOOKS_PER_WRITE == 0 {
            seen = -1;
        }
        if let Err(error) = relay.look(&mut seen).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the relay's state cannot be read");
        }
        if look % LOOKS_PER_WRITE == 0 {
            relay.gates.tidy();
            let alive = relay.lines.take_seen();
            if let Err(error) = relay.state.seen(alive).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "who was seen cannot be stored");
            }
        }
    }
}

impl Relay {
    async fn look(&self, seen: &mut i64) -> Result<(), state::Error> {
        let changes = self.state.changes().await?;
        if changes != *seen {
            self.lines.keep_only(&self.state.all_known().await?);
            *seen = changes;
        }
        Ok(())
    }

    async fn enrol(&self, token: &RelaySecret, from: IpAddr) -> Welcome {
        match self.state.enrol(token).await {
            Ok(Some((name, credential))) => {
                tracing::info!(%name, source = %from, "a gateway enrolled");
                Welcome::Enrolled { credential, name, domain: self.domain.clone() }
            }
            Ok(None) => {
                tracing::info!(source = %from, "an enrolment was refused: its token is unknown, used or ended");
                Welcome::Refused
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "an enrolment failed");
                Welcome::Busy
            }
        }
    }

    fn connected(&self, known: &Known) -> Welcome {
        Welcome::Connected { name: known.name.clone(), domain: self.domain.clone() }
    }

    /// The name that a request is for.
    fn name_of(&self, head: &Parts) -> Option<RelayName> {
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = head.uri.host().or(host)?;
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
        host.strip_suffix(self.domain.as_str())?.strip_suffix('.')?.parse().ok()
    }
}
