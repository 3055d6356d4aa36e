//! Doorward's things in Linux.

mod apply;
mod events;

use std::{collections::BTreeSet, path::PathBuf};

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
    conntrack::{self, Doomed, Releases},
    guest_net,
    link::{self, Links},
    nft::{Nft, NftOwner},
    originals::Originals,
    probe::{Offer, Probe},
    requests::Requests,
    route, shaping, sysctl,
    tunnel::{TunnelConfig, Tunnels},
    watch::{Expected, Suspicion, Watch},
};

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
    releases: Releases,
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
        let tracking = || {
            Requests::open(Protocol::Netfilter)
                .map_err(|e| Error::caused("open a netlink socket for connection tracking", e))
        };
        let conntrack = tracking()?;
        let releases = Releases::start(tracking()?);
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
            releases,
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
        let index_of = |name: &IfName| links.iter().find(|(_, link)| link.name == *name).map(|(index, _)| *index);
        let guests: BTreeSet<IfName> = self.originals.addresses().keys().map(|(name, _)| *name).collect();
        self.watch.expect_only(Expected {
            tunnels: links.iter().filter(|(_, l)| l.ours && l.up).map(|(index, link)| (*index, link.mtu)).collect(),
            shaped: links.iter().filter(|(_, l)| stats.roots.contains_key(&l.name)).map(|(index, _)| *index).collect(),
            addressed: guests.iter().filter_map(index_of).collect(),
            missing: guests.iter().filter(|name| index_of(name).is_none()).copied().collect(),
            bridges: self.originals.isolated().keys().filter_map(index_of).collect(),
        });
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
        self.carry_out(changes).await
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
        self.next_event().await
    }
}

/// What a tunnel whose process is dead compares to: no wanted one.
fn dead() -> TunnelSpec {
    TunnelSpec { private_key: PrivateKey::from_bytes([0; 32]), listen_port: 0, mtu: 0 }
}
