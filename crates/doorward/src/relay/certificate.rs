//! The relay's certificate: the operator's files, or one of an authority that looks by DNS at a zone that the relay answers for.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use tokio::{
    net::{TcpListener, UdpSocket},
    sync::watch,
    task::JoinSet,
};

use super::{Error, Relay, config::RelayConfig, listen, zone::Zone};
use crate::{
    dns::{
        message::Transport,
        server::{Answer, Bounds, Client, serve_tcp, serve_udp},
    },
    subscriber,
    tls::{self, Served, acme},
};

/// What serves, and what keeps it good.
pub(super) struct Certificate {
    served: Arc<Served>,
    source: Source,
}

enum Source {
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
    Authority {
        options: acme::Options,
        method: acme::Method,
        zone: Box<Zone>,
        sockets: Vec<(IpAddr, UdpSocket, TcpListener)>,
    },
}

impl Certificate {
    /// Opens the files, or the sockets at which the zone is answered for.
    ///
    /// # Errors
    /// Names the file or the address.
    pub(super) async fn open(config: &RelayConfig) -> Result<Self, Error> {
        let RelayConfig { domain, tls_certificate, tls_key, state_dir, .. } = config;
        let Some(acme) = &config.acme else {
            let source = Source::Files { certificate: tls_certificate.clone(), key: tls_key.clone() };
            return Ok(Self { served: tls::open(tls_certificate, tls_key, state_dir)?, source });
        };
        let options = acme.options(domain, state_dir);
        let served = match acme::kept(&options) {
            Some((key, _)) => Served::new(key),
            None => {
                tracing::warn!(%domain, "there is no certificate yet: TLS is refused until the authority gives one");
                Served::nothing()
            }
        };
        let (texts, receiver) = watch::channel(Vec::new());
        let mut sockets = Vec::new();
        for address in &acme.dns_listen {
            let failed = |source| Error::Bind(*address, source);
            let udp = UdpSocket::bind(address).await.map_err(failed)?;
            sockets.push((address.ip(), udp, listen(*address).map_err(failed)?));
            tracing::info!(%address, zone = %format_args!("_acme-challenge.{domain}"), "the relay answers for its zone");
        }
        let method = acme::Method::Dns { domain: domain.to_string(), texts };
        let zone = Box::new(Zone::new(domain, receiver)?);
        Ok(Self { served, source: Source::Authority { options, method, zone, sockets } })
    }

    pub(super) fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Starts what keeps it good.
    pub(super) fn keep(self, relay: &Arc<Relay>, tasks: &mut JoinSet<()>) {
        match self.source {
            Source::Files { certificate, key } => {
                tasks.spawn(self.served.follow(certificate, key));
            }
            Source::Authority { options, method, zone, sockets } => {
                let answer = Arc::new(Server { relay: Arc::clone(relay), zone });
                let bounds = Arc::new(Bounds::default());
                for (local, udp, tcp) in sockets {
                    tasks.spawn(serve_udp(Arc::new(udp), local, Arc::clone(&answer), Arc::clone(&bounds)));
                    tasks.spawn(serve_tcp(tcp, local, Arc::clone(&answer), Arc::clone(&bounds)));
                }
                // The log says how it goes.
                let (state, _) = watch::channel(acme::State::default());
                tasks.spawn(acme::keep(options, method, self.served, state));
            }
        }
    }
}

/// Answers for the zone, within the relay's bounds.
struct Server {
    relay: Arc<Relay>,
    zone: Box<Zone>,
}

impl Answer for Server {
    async fn answer(&self, _: IpAddr, from: IpAddr, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        if self.relay.gates.question(from, transport) { self.zone.answer(packet, transport) } else { None }
    }

    fn client(&self, from: IpAddr) -> Client {
        Client::Address(subscriber::of(from))
    }

    fn dropped(&self) {
        tracing::debug!("a question about the relay's zone was dropped: there are too many");
    }
}
