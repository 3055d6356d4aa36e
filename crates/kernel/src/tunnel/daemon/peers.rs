//! What the tunnel holds, and how it is changed: each peer in place, and only as far as something differs.
//!
//! gotatun keeps no record of who lost an allowed network to whom, so the table here does.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use doorward_policy::key::{PresharedKey, PrivateKey, PublicKey};
use gotatun::{
    device::{Error as WireError, Peer, configure::PeerStats},
    x25519,
};
use ipnet::IpNet;
use ipnetwork::IpNetwork;
use rustix::io::Errno;
use tokio::{
    sync::{Mutex, mpsc},
    task::yield_now,
    time::{Instant, sleep, timeout},
};

use super::{
    Wire,
    request::{PEERS_MAX, PeerRequest, Request},
    sightings::{Look, Sightings},
    sockets,
};

/// New peers that are added at once. Packets wait meanwhile: 16 take 2 ms.
const ADDED_AT_ONCE: usize = 16;
/// A wait that nobody notices.
const SHORT: Duration = Duration::from_millis(1);
/// Calls in a second to one address. gotatun takes 100 handshakes a second from one, and answers more with cookies,
/// which cost 5 seconds.
const CALLS_PER_ADDRESS: u32 = 80;
/// How long to wait for the answer to a call; gotatun itself goes on calling for 90 seconds.
const CALL_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Tunnel {
    wire: Wire,
    table: Mutex<Table>,
    /// Whether the key was given to us; else it is one that nobody knows.
    has_key: AtomicBool,
    pub(super) sightings: Sightings,
    /// Told when the tunnel can no longer work.
    fatal: mpsc::Sender<io::Error>,
}

/// What was asked for so far.
#[derive(Debug, Default)]
struct Table {
    peers: HashMap<PublicKey, Known>,
    owners: HashMap<IpNet, PublicKey>,
}

#[derive(Debug, Default)]
struct Known {
    allowed_ips: Vec<IpNet>,
    preshared_key: Option<PresharedKey>,
    keepalive_s: u16,
}

/// One step for gotatun.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Add(PublicKey, Difference),
    Modify(PublicKey, Difference),
    Remove(PublicKey),
}

/// What is to be set; `None` stays.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    preshared_key: Option<Option<PresharedKey>>,
    endpoint: Option<SocketAddr>,
    keepalive_s: Option<u16>,
    allowed_ips: Option<Vec<IpNet>>,
}

/// What the tunnel holds at one moment.
pub(super) struct Holding {
    pub(super) private_key: Option<PrivateKey>,
    pub(super) listen_port: u16,
    pub(super) fwmark: u32,
    pub(super) peers: Vec<PeerStats>,
}

impl Tunnel {
    pub(super) fn new(wire: Wire, fatal: mpsc::Sender<io::Error>) -> Self {
        let (table, sightings) = (Mutex::default(), Sightings::new());
        Self { wire, table, has_key: AtomicBool::new(false), sightings, fatal }
    }

    pub(super) async fn holding(&self) -> Holding {
        let has_key = self.has_key.load(Ordering::SeqCst);
        let read = self.wire.read(async |wire| {
            let key = wire.private_key().filter(|_| has_key).map(|key| PrivateKey::from_bytes(key.to_bytes()));
            (key, wire.listen_port(), wire.fwmark().unwrap_or_default(), wire.peers().await)
        });
        let (private_key, listen_port, fwmark, peers) = read.await;
        Holding { private_key, listen_port, fwmark, peers }
    }

    pub(super) async fn looks(&self) -> Vec<Look> {
        let look = |PeerStats { peer, stats, .. }: PeerStats| {
            let key = PublicKey(peer.public_key.to_bytes());
            Look { key, endpoint: peer.endpoint, age: stats.last_handshake }
        };
        self.wire.peers().await.into_iter().map(look).collect()
    }

    pub(super) async fn apply(self: &Arc<Self>, request: Request) -> Result<(), Errno> {
        let mut table = self.table.lock().await;
        table.has_room_for(&request)?;
        if let Some(key) = &request.private_key {
            self.set_private_key(key.as_ref()).await?;
        }
        if let Some(port) = request.listen_port {
            self.set_listen_port(port).await?;
        }
        if let Some(mark) = request.fwmark {
            self.wire.set_fwmark(mark).await.map_err(|e| errno(&e))?;
        }
        let calls: Vec<_> = request.peers.iter().filter(|p| p.call).map(|p| (p.public_key, p.endpoint)).collect();
        let steps = table.plan(request.replace_peers, request.peers);
        self.carry_out(steps).await?;
        drop(table);
        self.call(calls);
        Ok(())
    }

    async fn set_private_key(&self, key: Option<&PrivateKey>) -> Result<(), Errno> {
        let secret = match key {
            Some(key) => x25519::StaticSecret::from(*key.expose()),
            None if !self.has_key.load(Ordering::SeqCst) => return Ok(()),
            None => unknown_key().map_err(|_| Errno::IO)?,
        };
        self.has_key.store(key.is_some(), Ordering::SeqCst);
        self.wire.set_private_key(secret).await.map_err(|error| self.fail(&error))
    }

    /// gotatun closes the old socket before it opens the new one. A port that is taken is refused before; if it still
    /// fails, the old one is opened again.
    async fn set_listen_port(&self, port: u16) -> Result<(), Errno> {
        let before = self.wire.read(async |wire| wire.listen_port()).await;
        if port == before {
            return Ok(());
        }
        if !sockets::is_free(port) {
            return Err(Errno::ADDRINUSE);
        }
        let Err(error) = self.wire.set_listen_port(port).await else { return Ok(()) };
        if let Err(error) = self.wire.set_listen_port(before).await {
            self.fail(&error);
        }
        Err(errno(&error))
    }

    /// gotatun has closed its socket and has no other. It would go on as if nothing was: better a new process.
    fn fail(&self, error: &WireError) -> Errno {
        // Full: it was said already.
        let _ = self.fatal.try_send(io::Error::other(error.to_string()));
        errno(error)
    }

    async fn carry_out(&self, steps: Vec<Step>) -> Result<(), Errno> {
        let mut added = Vec::new();
        for step in steps {
            match step {
                Step::Add(key, difference) => {
                    added.push(difference.into_peer(key));
                    if added.len() >= ADDED_AT_ONCE {
                        self.add(&mut added).await?;
                    }
                }
                Step::Modify(key, difference) => {
                    self.add(&mut added).await?;
                    let (since, key) = (Instant::now(), x25519::PublicKey::from(key.0));
                    let change =
                        self.wire.write(async |wire| wire.modify_peer(&key, |peer| difference.onto(peer)).await);
                    change.await.map_err(|e| errno(&e))?;
                    let_packets_through(since).await;
                }
                Step::Remove(key) => {
                    self.add(&mut added).await?;
                    let since = Instant::now();
                    self.wire.remove_peer(&x25519::PublicKey::from(key.0)).await.map_err(|e| errno(&e))?;
                    self.sightings.forget(&key);
                    let_packets_through(since).await;
                }
            }
        }
        self.add(&mut added).await
    }

    async fn add(&self, peers: &mut Vec<Peer>) -> Result<(), Errno> {
        if peers.is_empty() {
            return Ok(());
        }
        self.wire.add_peers(peers.drain(..)).await.map_err(|e| errno(&e))?;
        Ok(())
    }

    /// Starts handshakes; does not wait for them.
    fn call(self: &Arc<Self>, calls: Vec<(PublicKey, Option<SocketAddr>)>) {
        let mut at_address: HashMap<Option<IpAddr>, u32> = HashMap::new();
        for (key, endpoint) in calls {
            let earlier = at_address.entry(endpoint.map(|e| e.ip())).or_default();
            let delay = Duration::from_secs(u64::from(*earlier / CALLS_PER_ADDRESS));
            *earlier += 1;
            let tunnel = self.clone();
            tokio::spawn(async move {
                sleep(delay).await;
                let key = x25519::PublicKey::from(key.0);
                // No answer, no endpoint, peer gone again: nothing is lost, the client calls when it wants to.
                let _ = timeout(CALL_WAIT, tunnel.wire.force_handshake(&key)).await;
            });
        }
    }
}

/// A key that nobody knows, so that nobody can reach the tunnel.
pub(super) fn unknown_key() -> Result<x25519::StaticSecret, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(x25519::StaticSecret::from(bytes))
}

/// Packets waited since then, and now get as much time: gotatun goes through all peers to change or remove one (2 ms
/// for 10,000), and a thousand such steps in a row would leave no room between them.
async fn let_packets_through(since: Instant) {
    let spent = since.elapsed();
    if spent > SHORT { sleep(spent).await } else { yield_now().await }
}

impl Table {
    fn has_room_for(&self, request: &Request) -> Result<(), Errno> {
        let new = request.peers.iter().filter(|p| !p.remove && !self.peers.contains_key(&p.public_key)).count();
        let kept = if request.replace_peers { 0 } else { self.peers.len() };
        if kept + new > PEERS_MAX { Err(Errno::NOSPC) } else { Ok(()) }
    }

    /// Takes the request in and says what it means for gotatun. A peer that is replaced by itself keeps its session.
    fn plan(&mut self, replace: bool, requests: Vec<PeerRequest>) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut unnamed_before = HashSet::new();
        if replace {
            let named: HashSet<_> = requests.iter().map(|request| request.public_key).collect();
            let dropped: Vec<_> = self.peers.keys().filter(|key| !named.contains(*key)).copied().collect();
            dropped.iter().for_each(|key| self.remove(key, &mut steps));
            unnamed_before = named;
        }
        for mut request in requests {
            if unnamed_before.remove(&request.public_key) {
                request.preshared_key.get_or_insert(None);
                request.keepalive.get_or_insert(0);
                request.replace_allowed_ips = true;
            }
            if request.remove {
                self.remove(&request.public_key, &mut steps);
            } else if !request.update_only || self.peers.contains_key(&request.public_key) {
                self.put(request, &mut steps);
            }
        }
        steps
    }

    fn remove(&mut self, key: &PublicKey, steps: &mut Vec<Step>) {
        if let Some(known) = self.peers.remove(key) {
            for net in &known.allowed_ips {
                self.owners.remove(net);
            }
            steps.push(Step::Remove(*key));
        }
    }

    fn put(&mut self, request: PeerRequest, steps: &mut Vec<Step>) {
        let key = request.public_key;
        let before = self.peers.remove(&key);
        let is_new = before.is_none();
        let mut known = before.unwrap_or_default();

        let mut nets = if request.replace_allowed_ips { Vec::new() } else { known.allowed_ips.clone() };
        for (net, add) in request.allowed_ips {
            nets.retain(|other| *other != net);
            nets.extend(add.then_some(net));
        }
        nets.sort_unstable();
        for net in known.allowed_ips.iter().filter(|net| nets.binary_search(net).is_err()) {
            self.owners.remove(net);
        }
        for net in &nets {
            if let Some(loser) = self.owners.insert(*net, key).filter(|owner| *owner != key) {
                self.take_from(loser, *net, steps);
            }
        }

        let mut difference = Difference { endpoint: request.endpoint, ..Difference::default() };
        if known.allowed_ips != nets {
            difference.allowed_ips = Some(nets.clone());
            known.allowed_ips = nets;
        }
        if let Some(preshared_key) = request.preshared_key.filter(|key| *key != known.preshared_key) {
            difference.preshared_key = Some(preshared_key.clone());
            known.preshared_key = preshared_key;
        }
        if let Some(keepalive_s) = request.keepalive.filter(|seconds| *seconds != known.keepalive_s) {
            difference.keepalive_s = Some(keepalive_s);
            known.keepalive_s = keepalive_s;
        }
        self.peers.insert(key, known);
        if is_new {
            steps.push(Step::Add(key, difference));
        } else if difference != Difference::default() {
            steps.push(Step::Modify(key, difference));
        }
    }

    /// A network belongs to the peer that it was given last.
    fn take_from(&mut self, loser: PublicKey, net: IpNet, steps: &mut Vec<Step>) {
        if let Some(known) = self.peers.get_mut(&loser) {
            known.allowed_ips.retain(|other| *other != net);
            let allowed_ips = Some(known.allowed_ips.clone());
            steps.push(Step::Modify(loser, Difference { allowed_ips, ..Difference::default() }));
        }
    }
}

impl Difference {
    fn into_peer(self, key: PublicKey) -> Peer {
        let mut peer = Peer::new(x25519::PublicKey::from(key.0));
        peer.preshared_key = self.preshared_key.flatten().map(|key| *key.expose());
        peer.endpoint = self.endpoint;
        peer.keepalive = self.keepalive_s;
        peer.allowed_ips = self.allowed_ips.into_iter().flatten().filter_map(network).collect();
        peer
    }

    fn onto(self, peer: &mut gotatun::device::configure::PeerMut) {
        if let Some(key) = self.preshared_key {
            peer.set_preshared_key(key.map(|key| *key.expose()));
        }
        if self.endpoint.is_some() {
            peer.set_endpoint(self.endpoint);
        }
        if let Some(seconds) = self.keepalive_s {
            peer.set_keepalive(Some(seconds));
        }
        if let Some(nets) = self.allowed_ips {
            peer.clear_allowed_ips();
            peer.add_allowed_ips(nets.into_iter().filter_map(network));
        }
    }
}

/// The same network as gotatun's type; no length is invalid there that is valid here.
fn network(net: IpNet) -> Option<IpNetwork> {
    IpNetwork::new(net.addr(), net.prefix_len()).ok()
}

fn errno(error: &WireError) -> Errno {
    let (WireError::IoError(cause) | WireError::Bind(cause, _)) = error else { return Errno::IO };
    cause.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> PublicKey {
        PublicKey([number; 32])
    }

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    fn put(number: u8, nets: &[&str]) -> PeerRequest {
        let allowed_ips = nets.iter().map(|text| (net(text), true)).collect();
        PeerRequest { replace_allowed_ips: true, allowed_ips, ..PeerRequest::new(key(number)) }
    }

    fn nets(texts: &[&str]) -> Difference {
        Difference { allowed_ips: Some(texts.iter().map(|text| net(text)).collect()), ..Difference::default() }
    }

    #[test]
    fn what_is_there_already_is_not_done_again() {
        let mut table = Table::default();
        let request = || {
            let secret = PresharedKey::from_bytes([9; 32]);
            PeerRequest {
                preshared_key: Some(Some(secret)),
                keepalive: Some(25),
                ..put(1, &["10.0.0.2/32", "fd00::2/128"])
            }
        };
        assert!(matches!(table.plan(false, vec![request()]).as_slice(), [Step::Add(..)]));
        assert_eq!(table.plan(false, vec![request()]), []);
        assert_eq!(table.plan(true, vec![request()]), [], "nor when it is to replace itself");
        let bare = Difference { preshared_key: Some(None), keepalive_s: Some(0), ..Difference::default() };
        assert_eq!(table.plan(true, vec![put(1, &["10.0.0.2/32", "fd00::2/128"])]), [Step::Modify(key(1), bare)]);
    }

    #[test]
    fn a_network_belongs_to_one_peer() {
        let mut table = Table::default();
        table.plan(false, vec![put(1, &["10.0.0.2/32", "10.0.0.3/32"])]);
        assert_eq!(
            table.plan(false, vec![put(2, &["10.0.0.3/32"])]),
            [Step::Modify(key(1), nets(&["10.0.0.2/32"])), Step::Add(key(2), nets(&["10.0.0.3/32"]))]
        );
        // The loser's later changes do not take it back, nor does its end.
        assert_eq!(table.plan(false, vec![put(1, &["10.0.0.2/32"])]), []);
        let gone = PeerRequest { remove: true, ..PeerRequest::new(key(1)) };
        assert_eq!(table.plan(false, vec![gone]), [Step::Remove(key(1))]);
        assert_eq!(table.owners, HashMap::from([(net("10.0.0.3/32"), key(2))]));
    }

    #[test]
    fn replacing_drops_who_is_not_named() {
        let mut table = Table::default();
        table.plan(false, vec![put(1, &["10.0.0.1/32"]), put(2, &["10.0.0.2/32"])]);
        assert_eq!(table.plan(true, vec![put(2, &["10.0.0.2/32"])]), [Step::Remove(key(1))]);
        assert_eq!(table.plan(true, vec![]), [Step::Remove(key(2))]);
        assert!(table.owners.is_empty());
    }

    #[test]
    fn networks_are_added_and_taken_one_by_one() {
        let mut table = Table::default();
        table.plan(false, vec![put(1, &["10.0.0.1/32"])]);
        let mut request = PeerRequest::new(key(1));
        request.allowed_ips = vec![(net("10.0.0.5/32"), true), (net("10.0.0.1/32"), false)];
        assert_eq!(table.plan(false, vec![request]), [Step::Modify(key(1), nets(&["10.0.0.5/32"]))]);
    }

    #[test]
    fn update_only_makes_no_peer() {
        let mut table = Table::default();
        let request = PeerRequest { update_only: true, ..put(1, &["10.0.0.1/32"]) };
        assert_eq!(table.plan(false, vec![request]), []);
    }

    #[test]
    fn there_is_an_end_to_room() {
        let table = Table::default();
        let peers = |count: usize| {
            let numbered = |i: usize| {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&i.to_le_bytes());
                PeerRequest::new(PublicKey(key))
            };
            Request { peers: (0..count).map(numbered).collect(), ..Request::default() }
        };
        assert_eq!(table.has_room_for(&peers(PEERS_MAX)), Ok(()));
        assert_eq!(table.has_room_for(&peers(PEERS_MAX + 1)), Err(Errno::NOSPC));
    }
}
