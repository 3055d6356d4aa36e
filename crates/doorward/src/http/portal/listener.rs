//! The portal's sockets: port 80 of every hotspot's gateway addresses, and 443 where there is a certificate for it.
//!
//! Thousands of devices probe at once when a network comes up. A connection serves one request, lives a short time and
//! costs its device one of few; the fewer are left, the fewer a device may have. So nobody keeps others from logging
//! in.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::Request;
use doorward_policy::{
    guest::Mac,
    hotspot::{Hotspot, HotspotId, PORTAL_PORT, PORTAL_TLS_PORT},
    name::IfName,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::{
    guest_sockets::{bind_to_interface, stands},
    hosts::Hosts,
};

/// Connections at once, and those of them that devices may have which nobody has seen yet, together.
const MOST_CONNECTIONS: usize = 4096;
const MOST_UNKNOWN: usize = 512;
/// Connections of one device: while less than half of all are taken, and beyond that.
const OF_A_DEVICE: usize = 16;
const OF_A_DEVICE_WHEN_BUSY: usize = 4;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// A client that has not sent its head by then is cut off.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longest life of a connection; a login waits for the kernel, a code for its mail server's name.
const LIFE: Duration = Duration::from_secs(60);
/// Longest head of a request in bytes, and most headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
/// Time between attempts to open a socket that could not be opened.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked whether the interface is still the one that the socket is bound to.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rest after a connection that could not be accepted: descriptors may be used up.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How a request came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Where from.
    pub peer: IpAddr,
    /// The gateway's address that it was sent to, or led to by the redirect.
    pub gateway: IpAddr,
    /// Whose address that is.
    pub hotspot: HotspotId,
    /// Through TLS.
    pub tls: bool,
}

/// What listeners share.
#[derive(Clone)]
pub(super) struct Listeners {
    router: axum::Router,
    tls: Option<TlsAcceptor>,
    connections: Connections,
}

/// An address to listen on, for a hotspot, at its interface, with TLS or without.
type Key = (HotspotId, SocketAddr, IfName, bool);

impl Listeners {
    pub(super) fn new(router: axum::Router, tls: Option<&rustls::ServerConfig>, hosts: Hosts) -> Self {
        let tls = tls.map(|config| {
            let mut config = config.clone();
            // One request a connection, so there is nothing that HTTP/2 could do better.
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        Self { router, tls, connections: Connections::new(hosts) }
    }

    /// Opens what the hotspots need, and closes the rest with all its connections.
    pub(super) fn follow<'a>(&self, open: &mut Open, hotspots: impl Iterator<Item = &'a Hotspot>) {
        let wanted: Vec<Key> = hotspots.flat_map(|hotspot| self.wanted(hotspot)).collect();
        open.0.retain(|key, listener| {
            let stays = wanted.contains(key);
            if !stays {
                listener.abort();
            }
            stays
        });
        for key in wanted {
            if let Entry::Vacant(place) = open.0.entry(key) {
                place.insert(tokio::spawn(self.clone().listen(key)));
            }
        }
    }

    fn wanted(&self, hotspot: &Hotspot) -> Vec<Key> {
        let with_tls = hotspot.portal_tls && self.tls.is_some();
        let at = |address, port, tls| (hotspot.id, SocketAddr::new(address, port), hotspot.interface, tls);
        let both = |address| {
            let plain = at(address, PORTAL_PORT, false);
            std::iter::once(plain).chain(with_tls.then(|| at(address, PORTAL_TLS_PORT, true)))
        };
        hotspot.gateway_addresses().flat_map(both).collect()
    }

    async fn listen(self, key: Key) {
        loop {
            self.clone().listen_once(key).await;
        }
    }

    /// Until the interface is gone: one that comes back under its name is another.
    async fn listen_once(self, (hotspot, address, interface, tls): Key) {
        let mut told = false;
        let listener = loop {
            match bind(address, interface) {
                Ok(listener) => break listener,
                Err(error) if !told => {
                    tracing::error!(%address, %error, "the portal cannot listen; trying again");
                    told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(OPEN_AGAIN).await;
        };
        tracing::info!(%address, tls, "the portal listens");
        // Its connections end with this task.
        let mut running = JoinSet::new();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let arrival =
                            Arrival { peer: peer.ip().to_canonical(), gateway: address.ip(), hotspot, tls };
                        // One too many is closed at once.
                        if let Some(permit) = self.connections.admit(arrival) {
                            running.spawn(self.clone().serve(stream, arrival, permit));
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%address, %error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                },
                Some(_) = running.join_next() => {}
                _ = look.tick() => if !stands(&SockRef::from(&listener)) {
                    return;
                },
            }
        }
    }

    async fn serve(self, stream: tokio::net::TcpStream, arrival: Arrival, permit: Permit) {
        let serve = async {
            match (arrival.tls, &self.tls) {
                (true, Some(tls)) => match tls.accept(stream).await {
                    Ok(stream) => self.answer(stream, arrival).await,
                    Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
                },
                (true, None) => {}
                (false, _) => self.answer(stream, arrival).await,
            }
        };
        // A client that is too slow gets no more of us.
        drop(tokio::time::timeout(LIFE, serve).await);
        drop(permit);
    }

    async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, arrival: Arrival) {
        let service = self.router.clone().map_request(move |mut request: Request<_>| {
            request.extensions_mut().insert(arrival);
            request
        });
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .keep_alive(false)
            .header_read_timeout(HEAD_WAIT)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS);
        let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
        if let Err(error) = served {
            tracing::debug!(error, "a connection to the portal ended early");
        }
    }
}

/// Open sockets; they close when it is dropped.
#[derive(Default)]
pub(super) struct Open(BTreeMap<Key, JoinHandle<()>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

/// A socket on an address that the interface may get later only.
fn bind(address: SocketAddr, interface: IfName) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    bind_to_interface(&socket, interface)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Counts connections.
#[derive(Clone)]
struct Connections {
    hosts: Hosts,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_device: HashMap<Device, usize>,
}

/// Who a connection counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Device {
    Known(HotspotId, Mac),
    /// Everybody whom no neighbour event has named yet.
    Unknown(HotspotId),
}

impl Connections {
    fn new(hosts: Hosts) -> Self {
        Self { hosts, counts: Arc::default() }
    }

    fn admit(&self, arrival: Arrival) -> Option<Permit> {
        let host = self.hosts.find(arrival.peer).filter(|host| host.hotspot == arrival.hotspot);
        let device = host.map_or(Device::Unknown(arrival.hotspot), |host| Device::Known(host.hotspot, host.mac));
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let most = match device {
            Device::Unknown(_) => MOST_UNKNOWN,
            Device::Known(..) if counts.all < MOST_CONNECTIONS / 2 => OF_A_DEVICE,
            Device::Known(..) => OF_A_DEVICE_WHEN_BUSY,
        };
        let has = counts.by_device.get(&device).copied().unwrap_or(0);
        if counts.all >= MOST_CONNECTIONS || has >= most {
            return None;
        }
        counts.all += 1;
        counts.by_device.insert(device, has + 1);
        Some(Permit { device, counts: Arc::clone(&self.counts) })
    }
}

/// A connection that is counted until this is dropped.
struct Permit {
    device: Device,
    counts: Arc<Mutex<Counts>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(has) = counts.by_device.get_mut(&self.device) {
            *has = has.saturating_sub(1);
            if *has == 0 {
                counts.by_device.remove(&self.device);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_few_connections_and_fewer_when_many_are_taken() {
        let hosts = Hosts::default();
        let hotspot = Hotspot {
            id: HotspotId(1),
            interface: "guest0".parse().unwrap(),
            address: "10.0.0.1/16".parse().unwrap(),
            address_ipv6: None,
            nat_ipv6: true,
            isolated: true,
            lan_access: Vec::new(),
            portal_tls: false,
            allowed: Vec::new(),
            blocked: Vec::new(),
        };
        hosts.set_hotspots(vec![hotspot]);
        let device = |n: u16| {
            let [high, low] = n.to_be_bytes();
            (Mac([2, 0, 0, 0, high, low]), IpAddr::from([10, 0, high, low]))
        };
        let arrival = |peer| Arrival { peer, gateway: [10, 0, 0, 1].into(), hotspot: HotspotId(1), tls: false };
        for n in 1000..3000 {
            let (mac, address) = device(n);
            hosts.seen(HotspotId(1), mac, address, 0);
        }
        let connections = Connections::new(hosts);
        let admitted =
            |n: u16| -> Vec<Permit> { (0..100).map_while(|_| connections.admit(arrival(device(n).1))).collect() };
        let first = admitted(1000);
        assert_eq!(first.len(), OF_A_DEVICE);
        let unknown: Vec<_> =
            (0..9999).map_while(|n: u16| connections.admit(arrival(device(n % 900 + 10).1))).collect();
        assert_eq!(unknown.len(), MOST_UNKNOWN);
        let mut many: Vec<Vec<Permit>> = (1001..1110).map(admitted).collect();
        let late = admitted(2000);
        assert_eq!(late.len(), OF_A_DEVICE_WHEN_BUSY, "{}", connections.counts.lock().unwrap().all);
        many.extend((2001..2999).map(admitted));
        assert_eq!(connections.counts.lock().unwrap().all, MOST_CONNECTIONS);
        assert!(admitted(2999).is_empty());
        drop((first, unknown, many, late));
        let counts = connections.counts.lock().unwrap();
        assert_eq!((counts.all, counts.by_device.len()), (0, 0));
    }
}
