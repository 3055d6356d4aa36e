//! Changes, each to the part of Linux that it belongs to.

use std::{net::IpAddr, time::Instant};

use doorward_policy::{
    item::{Item, TunnelSpec},
    name::IfName,
    plan::Change,
};

use super::Linux;
use crate::{
    Error,
    conntrack::{self, Doomed},
    guest_net,
    link::{self, Link},
    shaping, sysctl,
    tunnel::PeerChange,
};

impl Linux {
    pub(super) async fn carry_out(&mut self, changes: &[Change]) -> Vec<Result<(), Error>> {
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
        let mut released = Doomed::default();
        for (place, (change, result)) in changes.iter().zip(&results).enumerate() {
            if result.is_ok() && doom(change, &mut doomed) {
                dooming.push(place);
            }
            if let (Ok(()), Change::Add(Item::Device(address, _, _))) = (result, change) {
                released.captive(*address, self.gateways());
            }
        }
        if !released.is_empty() && self.probe.conntrack.usable() {
            self.releases.add(released);
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
                    let index = guest_net::put_address(&self.route, &mut self.originals, *name, *net).await?;
                    self.watch.expect_address(index);
                    Ok(())
                }
                Item::Isolated(bridge) => {
                    let index = guest_net::isolate(&self.route, &mut self.originals, *bridge).await?;
                    index.into_iter().for_each(|index| self.watch.expect_bridge(index));
                    Ok(())
                }
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

    /// Our own addresses on guest networks.
    fn gateways(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.originals.addresses().keys().map(|(_, net)| net.addr())
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
        Change::Remove(Item::Granted(address, _) | Item::Device(address, _, _)) => doomed.address(*address),
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
