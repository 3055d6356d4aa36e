//! Doorward's things in Linux.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use doorward_policy::{
    item::{Counter, Item, Items, PeerId, QuotaId, TunnelSpec},
    key::PrivateKey,
    name::IfName,
    observed::{Observed, Scope, Stats, TunnelStats},
    plan::Change,
};
use nlink::netlink::{Connection, Protocol, Route};

use crate::{
    Error, Event, Host, Kernel,
    conntrack::{self, Doomed},
    guest_net,
    link::{self, Link, Links},
    nft::{Nft, NftOwner},
    originals::Originals,
    probe::{Offer, Probe},
    requests::Requests,
    route, shaping, sysctl,
    tunnel::{PeerChange, TunnelConfig, Tunnels},
    watch::{Suspicion, Watch},
};

/// After the first sign of a foreign change, the others that come with it are waited for.
const GATHER: Duration = Duration::from_millis(10);

/// How Doorward uses Linux.
#[derive(Debug, Clone)]
pub struct LinuxConfig {
    /// How tunnels are run.
    pub tunnels: TunnelConfig,
    /// Whether our nftables table is made so that nobody else can change it.
    pub nft_owner: NftOwner,
    /// Where is kept what [`Linux::down`] puts back.
    pub state_dir: PathBuf,
    /// Interfaces that lead to the internet. `None`: those of the default routes.
    pub wans: Option<Vec<IfName>>,
}

/// Linux, in the network namespace of the thread that opened it.
pub struct Linux {
    wans: Option<Vec<IfName>>,
    probe: Probe,
    route: Connection<Route>,
    requests: Requests,
    conntrack: Requests,
    nft: Nft,
    tunnels: Tunnels,
    originals: Originals,
    watch: Watch,
    suspicions: BTreeSet<Suspicion>,
    /// Whose flows could not be deleted; tried again with every change and full reading.
    doomed: Doomed,
    known_wans: Option<Vec<IfName>>,
}

impl Linux {
    /// Opens the connections to the kernel and finds out what it offers. Changes nothing.
    ///
    /// # Errors
    /// When a netlink socket cannot be opened, or the file of what is to be put back is unreadable.
    pub async fn open(config: LinuxConfig) -> Result<Self, Error> {
        let probe = Probe::take().await;
        tracing::info!(kernel = %probe, "looked at what this kernel offers");
        let failed = |e| Error::caused("open a netlink socket for interfaces and routes", e);
        let route = Connection::<Route>::new().map_err(failed)?;
        let requests = Requests::open(Protocol::Route).map_err(failed)?;
        let conntrack = Requests::open(Protocol::Netfilter)
            .map_err(|e| Error::caused("open a netlink socket for connection tracking", e))?;
        let owned = match config.nft_owner {
            NftOwner::Auto => probe.nft_owner == Offer::Yes,
            NftOwner::Off => false,
        };
        let nft = Nft::open(owned)?;
        let watch = Watch::begin(nft.port(), [route.socket().pid(), requests.port()])?;
        Ok(Self {
            wans: config.wans,
            probe,
            route,
            requests,
            conntrack,
            nft,
            tunnels: Tunnels::new(config.tunnels),
            originals: Originals::open(&config.state_dir)?,
            watch,
            suspicions: BTreeSet::new(),
            doomed: Doomed::default(),
            known_wans: None,
        })
    }

    /// What this kernel offers.
    #[must_use]
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Removes all that is ours and puts back what was there before: tunnels first, so that nothing passes unfiltered.
    ///
    /// # Errors
    /// The first failure; the rest is removed all the same.
    pub async fn down(&mut self) -> Result<(), Error> {
        let links = link::all(&self.route).await?;
        let mut failures = Vec::new();
        for (index, link) in links.iter().filter(|(_, link)| link.ours) {
            self.watch.forget(*index);
            failures.extend(self.tunnels.remove(link.name).await.err());
        }
        let shaped: Vec<IfName> = self.originals.roots().keys().copied().collect();
        for name in shaped {
            if let Some((index, _)) = links.iter().find(|(_, link)| link.name == name) {
                self.watch.forget_shaping(*index);
            }
            failures.extend(shaping::remove_root(&self.route, &mut self.originals, name).await.err());
        }
        failures.extend(guest_net::restore_all(&self.route, &mut self.originals).await);
        failures.extend(self.nft.down().await.err());
        failures.extend(sysctl::restore_all(&mut self.originals).err());
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    async fn observe_everything(&mut self) -> Result<Observed, Error> {
        if !self.doomed.is_empty() && conntrack::forget(&self.conntrack, &self.doomed).await.is_ok() {
            self.doomed = Doomed::default();
        }
        let (mut items, mut stats) = (Items::default(), Stats::default());
        self.nft.observe(&mut items, &mut stats).await?;
        let links = link::all(&self.route).await?;
        self.observe_tunnels(&links, None, &mut items, &mut stats).await;
        let addresses = link::addresses(&self.route).await?;
        guest_net::observe(&links, &addresses, &self.originals, &mut items);
        for (index, net) in addresses {
            if let Some(link) = links.get(&index).filter(|link| link.ours)
                && !link::is_automatic(&net)
            {
                items.put(Item::Address(link.name, net));
            }
        }
        shaping::observe(&self.route, &links, &self.originals, None, &mut items, &mut stats).await?;
        sysctl::observe(&self.originals, &mut items)?;
        self.expect(&links, &stats);
        Ok(Observed { items, stats })
    }

    async fn observe_tunnels(&mut self, links: &Links, only: Option<IfName>, items: &mut Items, stats: &mut Stats) {
        for link in links.values().filter(|link| link.ours && only.is_none_or(|name| name == link.name)) {
            let name = link.name;
            let reading = self.tunnels.read(name).await.unwrap_or_else(|error| {
                tracing::warn!(tunnel.interface = %name, error = &error as &dyn std::error::Error, "tunnel unreadable");
                None
            });
            let Some(reading) = reading else {
                items.put(Item::Tunnel(name, dead()));
                continue;
            };
            let public_key = reading.private_key.public();
            stats.tunnels.insert(name, TunnelStats { public_key, listen_port: reading.listen_port });
            // One that is switched off compares to none, so that it is made right.
            let mtu = if link.up { u16::try_from(link.mtu).unwrap_or(0) } else { 0 };
            let spec = TunnelSpec { private_key: reading.private_key, listen_port: reading.listen_port, mtu };
            items.put(Item::Tunnel(name, spec));
            for (public_key, spec, peer) in reading.peers {
                let id = PeerId { interface: name, public_key };
                items.put(Item::Peer(id, spec));
                stats.peers.insert(id, peer);
            }
        }
    }

    fn expect(&self, links: &Links, stats: &Stats) {
        let tunnels: BTreeMap<u32, u32> =
            links.iter().filter(|(_, link)| link.ours && link.up).map(|(index, link)| (*index, link.mtu)).collect();
        let shaped = links.iter().filter(|(_, link)| stats.roots.contains_key(&link.name)).map(|(index, _)| *index);
        self.watch.expect_only(tunnels, shaped.collect());
    }

    async fn apply_section(&mut self, section: Section, changes: &[Change]) -> Vec<Result<(), Error>> {
        match section {
            Section::Nft => self.apply_nft(changes).await,
            Section::Classes => shaping::apply_classes(&self.route, &self.requests, changes).await,
            Section::Peers(name) => self.apply_peers(name, changes).await,
            Section::Single => {
                let mut results = Vec::with_capacity(changes.len());
                for change in changes {
                    results.push(self.apply_single(change).await);
                }
                results
            }
        }
    }

    async fn apply_nft(&mut self, changes: &[Change]) -> Vec<Result<(), Error>> {
        let mut results = self.nft.apply(changes).await;
        // With those of earlier changes whose flows could not be deleted then.
        let mut doomed = std::mem::take(&mut self.doomed);
        let mut dooming = Vec::new();
        for (place, (change, result)) in changes.iter().zip(&results).enumerate() {
            if result.is_ok() && doom(change, &mut doomed) {
                dooming.push(place);
            }
        }
        if !doomed.is_empty()
            && self.probe.conntrack.usable()
            && let Err(error) = conntrack::forget(&self.conntrack, &doomed).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "flows of revoked grants stay tracked");
            self.doomed = doomed;
            for place in dooming {
                if let Some(result) = results.get_mut(place) {
                    *result = Err(Error::new("delete tracked connections of a revoked grant"));
                }
            }
        }
        results
    }

    async fn apply_peers(&mut self, name: IfName, changes: &[Change]) -> Vec<Result<(), Error>> {
        // A foreign interface of that name gets none of our peers.
        if let Ok(Some((_, link))) = link::by_name(&self.route, name).await
            && !link.ours
        {
            return changes.iter().map(|_| Err(Error::new(format!("interface {name} is not ours")))).collect();
        }
        let peer_changes: Vec<PeerChange> = changes.iter().filter_map(peer_change).collect();
        let results = self.tunnels.change_peers(name, &peer_changes).await;
        if results.iter().all(Result::is_ok) {
            return results;
        }
        // A tunnel that is gone took its peers along.
        let gone = matches!(link::by_name(&self.route, name).await, Ok(None));
        let forgive = |(result, change): (Result<(), Error>, &Change)| match change {
            Change::Remove(_) if gone => Ok(()),
            Change::Add(_) | Change::Replace { .. } | Change::Remove(_) => result,
        };
        results.into_iter().zip(changes).map(forgive).collect()
    }

    async fn apply_single(&mut self, change: &Change) -> Result<(), Error> {
        match change {
            Change::Add(item) | Change::Replace { to: item, .. } => match item {
                Item::Sysctl(wanted) => sysctl::put(&mut self.originals, wanted),
                Item::Tunnel(name, spec) => self.put_tunnel(*name, spec).await,
                Item::Address(name, net) => {
                    self.our_link(*name).await?;
                    link::put_address(&self.route, *name, *net).await
                }
                Item::Root(name) => self.put_root(*name).await,
                Item::GuestAddress(name, net) => {
                    guest_net::put_address(&self.route, &mut self.originals, *name, *net).await
                }
                Item::Isolated(bridge) => guest_net::isolate(&self.route, &mut self.originals, *bridge).await,
                Item::Skeleton(_)
                | Item::Class(..)
                | Item::Counter(_)
                | Item::Quota(..)
                | Item::Granted(..)
                | Item::CountUp(..)
                | Item::CountDown(..)
                | Item::QuotaOf(..)
                | Item::ClassOf(..)
                | Item::Forward(..)
                | Item::Device(..)
                | Item::Garden(..)
                | Item::AllowedMac(..)
                | Item::BlockedMac(..)
                | Item::Peer(..) => Err(misplaced(change)),
            },
            Change::Remove(item) => match item {
                Item::Sysctl(held) => sysctl::restore(&mut self.originals, &held.key.path()),
                Item::Tunnel(name, _) => self.remove_tunnel(*name).await,
                Item::Address(name, net) => match link::by_name(&self.route, *name).await? {
                    Some((_, link)) if link.ours => link::remove_address(&self.route, *name, *net).await,
                    Some(_) | None => Ok(()),
                },
                Item::Root(name) => self.remove_root(*name).await,
                Item::GuestAddress(name, net) => {
                    guest_net::remove_address(&self.route, &mut self.originals, *name, *net).await
                }
                Item::Isolated(bridge) => guest_net::join(&self.route, &mut self.originals, *bridge).await,
                Item::Skeleton(_)
                | Item::Class(..)
                | Item::Counter(_)
                | Item::Quota(..)
                | Item::Granted(..)
                | Item::CountUp(..)
                | Item::CountDown(..)
                | Item::QuotaOf(..)
                | Item::ClassOf(..)
                | Item::Forward(..)
                | Item::Device(..)
                | Item::Garden(..)
                | Item::AllowedMac(..)
                | Item::BlockedMac(..)
                | Item::Peer(..) => Err(misplaced(change)),
            },
        }
    }

    async fn put_tunnel(&mut self, name: IfName, spec: &TunnelSpec) -> Result<(), Error> {
        sysctl::raise_socket_buffers(&mut self.originals)?;
        self.forget(name).await?;
        self.tunnels.ensure(name, spec).await?;
        let index = link::bring_up(&self.route, name, spec.mtu).await?;
        self.watch.expect_tunnel(index, u32::from(spec.mtu));
        Ok(())
    }

    async fn remove_tunnel(&mut self, name: IfName) -> Result<(), Error> {
        self.forget(name).await?;
        self.tunnels.remove(name).await
    }

    /// What happens to the interface from here on is our own doing.
    async fn forget(&self, name: IfName) -> Result<(), Error> {
        if let Some((index, link)) = link::by_name(&self.route, name).await?
            && link.ours
        {
            self.watch.forget(index);
        }
        Ok(())
    }

    async fn put_root(&mut self, name: IfName) -> Result<(), Error> {
        if !self.known_wans.as_ref().is_some_and(|wans| wans.contains(&name)) && name.is_wireguard() {
            self.our_link(name).await?;
        }
        let index = shaping::put_root(&self.route, &mut self.originals, name).await?;
        self.watch.expect_shaping(index);
        Ok(())
    }

    async fn remove_root(&mut self, name: IfName) -> Result<(), Error> {
        if let Some((index, _)) = link::by_name(&self.route, name).await? {
            self.watch.forget_shaping(index);
        }
        shaping::remove_root(&self.route, &mut self.originals, name).await
    }

    async fn our_link(&self, name: IfName) -> Result<Link, Error> {
        match link::by_name(&self.route, name).await? {
            Some((_, link)) if link.ours => Ok(link),
            Some(_) => Err(Error::new(format!("interface {name} is not ours"))),
            None => Err(Error::new(format!("there is no interface {name}"))),
        }
    }

    async fn find_wans(&self, links: &Links) -> Result<Vec<IfName>, Error> {
        match &self.wans {
            Some(wans) => {
                let sorted: BTreeSet<IfName> = wans.iter().copied().collect();
                Ok(sorted.into_iter().collect())
            }
            None => route::wans(&self.route, links).await,
        }
    }

    /// Whether a suspicion is true, in words.
    async fn check(&self, suspicion: Suspicion) -> Option<String> {
        let link = async |index| link::by_index(&self.route, index).await.ok().flatten();
        let name = async |index| link(index).await.map_or_else(|| index.to_string(), |link| link.name.to_string());
        match suspicion {
            Suspicion::Table => Some("our nftables table was changed".to_owned()),
            Suspicion::Lost => Some("events of the kernel were lost".to_owned()),
            Suspicion::Link(index) => {
                let mtu = self.watch.tunnel(index)?;
                match link(index).await {
                    None => Some(format!("a tunnel interface (number {index}) was deleted")),
                    Some(link) if !link.ours => Some(format!("interface {} lost our mark", link.name)),
                    Some(link) if !link.up => Some(format!("interface {} was switched off", link.name)),
                    Some(link) if link.mtu != mtu => Some(format!("the MTU of {} was changed", link.name)),
                    Some(_) => None,
                }
            }
            Suspicion::Address(index) => {
                self.watch.tunnel(index)?;
                Some(format!("an address of {} was removed", name(index).await))
            }
            Suspicion::Shaping(index) if self.watch.is_shaped(index) => {
                Some(format!("the qdisc or a class of {} was changed", name(index).await))
            }
            Suspicion::Shaping(_) => None,
            Suspicion::Routes => {
                let known = self.known_wans.as_ref()?;
                let links = link::all(&self.route).await.ok()?;
                let wans = self.find_wans(&links).await.ok()?;
                (wans != *known).then(|| "the default route moved".to_owned())
            }
        }
    }
}

impl Kernel for Linux {
    async fn observe(&mut self, scope: Scope) -> Result<Observed, Error> {
        let (mut items, mut stats) = (Items::default(), Stats::default());
        match scope {
            Scope::Everything => return self.observe_everything().await,
            Scope::Counters => self.nft.observe_counters(&mut stats).await?,
            Scope::Guests => {
                self.nft.observe_counters(&mut stats).await?;
                stats.counters.retain(|counter, _| matches!(counter, Counter::SessionUp(_) | Counter::SessionDown(_)));
                stats.quotas.retain(|id, _| matches!(id, QuotaId::Grant { .. }));
            }
            Scope::Peers(only) => {
                let links = link::all(&self.route).await?;
                self.observe_tunnels(&links, only, &mut items, &mut stats).await;
            }
            Scope::Shaping(name) => {
                let links = link::all(&self.route).await?;
                let only = Some(name);
                shaping::observe(&self.route, &links, &self.originals, only, &mut items, &mut stats).await?;
            }
        }
        Ok(Observed { items: Items::default(), stats })
    }

    async fn apply(&mut self, changes: &[Change]) -> Vec<Result<(), Error>> {
        let mut results = Vec::with_capacity(changes.len());
        let mut rest = changes;
        while let Some(first) = rest.first() {
            let section = section(first);
            let length = rest.iter().take_while(|change| self::section(change) == section).count();
            let (run, others) = rest.split_at(length.max(1));
            rest = others;
            let started = Instant::now();
            results.extend(self.apply_section(section, run).await);
            tracing::debug!(?section, changes = run.len(), took = ?started.elapsed(), "carried out");
        }
        results
    }

    async fn host(&mut self) -> Result<Host, Error> {
        let links = link::all(&self.route).await?;
        let wans = self.find_wans(&links).await?;
        let mut addresses: Vec<(IfName, ipnet::IpNet)> = link::addresses(&self.route)
            .await?
            .into_iter()
            .filter_map(|(index, net)| Some((links.get(&index).filter(|link| !link.ours)?.name, net)))
            .collect();
        addresses.sort_unstable();
        self.known_wans = Some(wans.clone());
        Ok(Host { wans, addresses })
    }

    async fn event(&mut self) -> Event {
        loop {
            let spent = self.watch.take_spent();
            if !spent.is_empty() {
                return Event::Spent(spent);
            }
            self.suspicions.extend(self.watch.take());
            if !self.suspicions.is_empty() {
                tokio::time::sleep(GATHER).await;
                self.suspicions.extend(self.watch.take());
                let mut found = Vec::new();
                for suspicion in &self.suspicions {
                    found.extend(self.check(*suspicion).await);
                }
                // Only now: a caller who gave up before will hear it next time.
                self.suspicions.clear();
                if !found.is_empty() {
                    return Event::Drifted(found.join("; "));
                }
            }
            tokio::select! {
                () = self.watch.raised() => {}
                name = self.tunnels.ended() => return Event::Drifted(format!("the tunnel process of {name} ended")),
            }
        }
    }
}

/// Changes of one section that follow each other are carried out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Nft,
    Classes,
    Peers(IfName),
    Single,
}

fn section(change: &Change) -> Section {
    match change {
        Change::Add(item) | Change::Replace { to: item, .. } | Change::Remove(item) => match item {
            Item::Skeleton(_)
            | Item::Counter(_)
            | Item::Quota(..)
            | Item::Granted(..)
            | Item::CountUp(..)
            | Item::CountDown(..)
            | Item::QuotaOf(..)
            | Item::ClassOf(..)
            | Item::Forward(..)
            | Item::Device(..)
            | Item::Garden(..)
            | Item::AllowedMac(..)
            | Item::BlockedMac(..) => Section::Nft,
            Item::Class(..) => Section::Classes,
            Item::Peer(id, _) => Section::Peers(id.interface),
            Item::Sysctl(_)
            | Item::Tunnel(..)
            | Item::Address(..)
            | Item::Root(_)
            | Item::GuestAddress(..)
            | Item::Isolated(_) => Section::Single,
        },
    }
}

/// [`section`] brings no such change there.
fn misplaced(change: &Change) -> Error {
    Error::new(format!("change {:?}: carried out elsewhere", change.key()))
}

/// Notes whose flows end with a change; whether any do.
fn doom(change: &Change, doomed: &mut Doomed) -> bool {
    match change {
        Change::Remove(Item::Granted(address, _)) => doomed.address(*address),
        Change::Remove(Item::Forward(key, _)) | Change::Replace { to: Item::Forward(key, _), .. } => {
            doomed.forward(*key);
        }
        Change::Add(_) | Change::Remove(_) | Change::Replace { .. } => return false,
    }
    true
}

fn peer_change(change: &Change) -> Option<PeerChange> {
    match change {
        Change::Add(Item::Peer(id, spec)) | Change::Replace { to: Item::Peer(id, spec), .. } => {
            Some(PeerChange::Put(id.public_key, spec.clone()))
        }
        Change::Remove(Item::Peer(id, _)) => Some(PeerChange::Remove(id.public_key)),
        Change::Add(_) | Change::Remove(_) | Change::Replace { .. } => None,
    }
}

/// What a tunnel whose process is dead compares to: no wanted one.
fn dead() -> TunnelSpec {
    TunnelSpec { private_key: PrivateKey::from_bytes([0; 32]), listen_port: 0, mtu: 0 }
}
