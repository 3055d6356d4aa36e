//! Hotspots: make, change, delete.

mod devices;
mod propose;

use std::{collections::BTreeMap, net::Ipv6Addr, sync::Arc};

use doorward_policy::{
    desired::overlaps,
    dns::Place,
    guest::EndReason,
    hotspot::{Hotspot, HotspotId},
    name::{IfName, Name},
    vpn_server::{is_host_of, is_host_of_v6},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::sync::watch;

pub use self::{devices::MOST_NOTE, propose::HotspotProposal};
use super::{
    App, Error,
    directory::{Directory, overlaps_v6},
    now_ms, vpn_servers,
};
pub use crate::store::{DevicePolicy, HotspotDevice, HotspotRecord};
use crate::{
    hotspot_settings::HotspotSettings,
    reconcile::Owner,
    store::{self, Field, Whose},
};

/// Hotspots that may exist.
const MOST_HOTSPOTS: usize = 64;
/// Networks that guests of a hotspot may reach besides the internet.
const MOST_NETWORKS: usize = 32;

/// Why a hotspot cannot be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HotspotError {
    /// No hotspot has that name.
    #[error("there is no such hotspot")]
    NotFound,
    /// Another has it.
    #[error("a hotspot of that name exists")]
    NameTaken,
    /// Another hotspot is on it.
    #[error("another hotspot is on that interface")]
    InterfaceTaken,
    /// A WAN, a tunnel or loopback.
    #[error("guests cannot be on a WAN, a tunnel or the loopback interface")]
    Interface,
    /// Not a subnet of /16 to /29 with the gateway's own address.
    #[error("the address is that of the gateway with its subnet, /16 to /29: 10.30.0.1/16")]
    Address,
    /// Not a /64 with the gateway's own address.
    #[error("the IPv6 address is that of the gateway with its subnet, a /64: fd12:3456:789a::1/64")]
    AddressIpv6,
    /// It overlaps another hotspot, a VPN server or a network of the host.
    #[error("the subnet overlaps that of another hotspot, a VPN server or an interface")]
    SubnetTaken,
    /// More than 32.
    #[error("guests can be let into at most 32 networks")]
    LanAccess,
    /// 64 exist.
    #[error("there cannot be more than 64 hotspots")]
    TooMany,
    /// Devices are online.
    #[error("devices are online at the hotspot")]
    InUse,
    /// 4,096 are listed.
    #[error("there cannot be more than 4096 pass-through and blocked devices")]
    TooManyDevices,
    /// Nothing was said about that device.
    #[error("the device is neither passed through nor blocked")]
    DeviceNotFound,
    /// At most 200 characters, none of them a control character.
    #[error("a note has at most 200 characters and no control characters")]
    Note,
}

/// What an operator wants of a hotspot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of Hotspot")]
pub struct HotspotSpec {
    pub interface: IfName,
    pub address: Ipv4Net,
    pub address_ipv6: Ipv6Choice,
    pub nat_ipv6: bool,
    pub isolated: bool,
    pub lan_access: Vec<IpNet>,
    /// What guests see.
    pub settings: Arc<HotspotSettings>,
}

/// IPv6 on a guest network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6Choice {
    /// None.
    Off,
    /// An unused unique-local /64 of this gateway (RFC 4193).
    Auto,
    /// This one.
    Net(Ipv6Net),
}

/// A hotspot, and who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotspotStanding {
    /// The hotspot.
    pub record: HotspotRecord,
    /// Devices that have an address there.
    pub seen: usize,
    /// Devices that are online.
    pub online: usize,
}

impl HotspotSpec {
    /// What is wanted of a hotspot now, to be changed.
    #[must_use]
    pub fn of(record: &HotspotRecord) -> Self {
        let HotspotRecord { name: _, hotspot, settings, created_ms: _ } = record;
        Self {
            interface: hotspot.interface,
            address: hotspot.address,
            address_ipv6: hotspot.address_ipv6.map_or(Ipv6Choice::Off, Ipv6Choice::Net),
            nat_ipv6: hotspot.nat_ipv6,
            isolated: hotspot.isolated,
            lan_access: hotspot.lan_access.clone(),
            settings: Arc::clone(settings),
        }
    }
}

impl App {
    /// The hotspots, by id, as they change.
    #[must_use]
    pub fn hotspots(&self) -> watch::Receiver<Arc<Vec<HotspotRecord>>> {
        self.0.hotspots.subscribe()
    }

    /// The hotspot of that name.
    ///
    /// # Errors
    /// [`HotspotError::NotFound`].
    pub fn hotspot(&self, name: &str) -> Result<HotspotRecord, Error> {
        let hotspots = self.0.hotspots.borrow();
        Ok(hotspots.iter().find(|record| record.name.as_str() == name).cloned().ok_or(HotspotError::NotFound)?)
    }

    /// The hotspot of that id.
    #[must_use]
    pub fn hotspot_by_id(&self, id: HotspotId) -> Option<HotspotRecord> {
        self.0.hotspots.borrow().iter().find(|record| record.hotspot.id == id).cloned()
    }

    /// The hotspots, by id, with how many devices are there. Costs no query.
    #[must_use]
    pub fn hotspot_standings(&self) -> Vec<HotspotStanding> {
        let records = self.0.hotspots.borrow().clone();
        let mut counts: BTreeMap<HotspotId, (usize, usize)> = BTreeMap::new();
        for host in self.hosts().all() {
            let (seen, online) = counts.entry(host.hotspot).or_default();
            *seen += usize::from(!host.addresses.is_empty());
            *online += usize::from(host.online.is_some());
        }
        let standing = |record: &HotspotRecord| {
            let (seen, online) = counts.get(&record.hotspot.id).copied().unwrap_or_default();
            HotspotStanding { record: record.clone(), seen, online }
        };
        records.iter().map(standing).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// [`HotspotError::NotFound`].
    pub fn hotspot_standing(&self, name: &str) -> Result<HotspotStanding, Error> {
        let found = self.hotspot_standings().into_iter().find(|standing| standing.record.name.as_str() == name);
        Ok(found.ok_or(HotspotError::NotFound)?)
    }

    /// Makes a hotspot.
    ///
    /// # Errors
    /// [`Error::Hotspot`]; the store failed.
    pub async fn create_hotspot(&self, name: Name, spec: HotspotSpec) -> Result<HotspotRecord, Error> {
        let app = self.clone();
        self.finish(async move {
            spec.settings.check()?;
            let order = app.edit_servers().await?;
            let others = app.0.hotspots.borrow().clone();
            if others.len() >= MOST_HOTSPOTS {
                return Err(HotspotError::TooMany.into());
            }
            if others.iter().any(|other| other.name == name) {
                return Err(HotspotError::NameTaken.into());
            }
            let hotspot = app.judge_hotspot(&spec, None)?;
            let mut record = HotspotRecord { name, hotspot, settings: spec.settings, created_ms: now_ms() };
            record.hotspot.id = app.store().insert_hotspot(&record).await.map_err(refusal)?;
            app.reload_hotspots().await?;
            drop(order);
            app.settle(&[Owner::Hotspot(record.hotspot.id)]).await;
            Ok(record)
        })
        .await
    }

    /// Changes a hotspot, all but its name and its devices: `edit` gets what is wanted of it now, so that two who change different parts at
    /// the same time both have their way.
    ///
    /// # Errors
    /// Those of `edit`; [`Error::Hotspot`]; the store failed.
    pub async fn edit_hotspot(
        &self,
        name: &str,
        edit: impl FnOnce(HotspotSpec) -> Result<HotspotSpec, Error> + Send + 'static,
    ) -> Result<HotspotRecord, Error> {
        let (app, name) = (self.clone(), name.to_owned());
        self.finish(async move {
            let order = app.edit_servers().await?;
            let old = app.hotspot(&name)?;
            let spec = edit(HotspotSpec::of(&old))?;
            spec.settings.check()?;
            let mut hotspot = app.judge_hotspot(&spec, Some(old.hotspot.id))?;
            (hotspot.allowed, hotspot.blocked) = (old.hotspot.allowed.clone(), old.hotspot.blocked.clone());
            let record = HotspotRecord { hotspot, settings: spec.settings, ..old };
            app.store().update_hotspot(&record).await.map_err(refusal)?;
            app.reload_hotspots().await?;
            drop(order);
            app.settle(&[Owner::Hotspot(record.hotspot.id)]).await;
            Ok(record)
        })
        .await
    }

    /// Deletes a hotspot with its devices; what was used there stays counted.
    ///
    /// # Errors
    /// [`HotspotError::NotFound`]; [`HotspotError::InUse`] where devices are online and `end_sessions` is false; the
    /// store failed.
    pub async fn delete_hotspot(&self, name: &str, end_sessions: bool) -> Result<(), Error> {
        let (app, name) = (self.clone(), name.to_owned());
        self.finish(async move {
            // Before it is gone, since its counters go with it: nothing passes any more, and all is read once again.
            let leaving = app.hotspot(&name)?.hotspot.id;
            if end_sessions {
                let ended = app.store().end_sessions_of(Whose::Hotspot(leaving), EndReason::Kicked, now_ms()).await;
                app.left(&ended.map_err(Error::Store)?, &[]).await;
                app.count_now().await;
            }
            let order = app.edit_servers().await?;
            let record = app.hotspot(&name)?;
            let id = record.hotspot.id;
            let deleted = app.store().delete_hotspot(id, end_sessions, now_ms()).await.map_err(refusal)?;
            for freed in deleted.freed {
                app.directory().give_back_grant_mark(freed.mark);
            }
            for ended in &deleted.ended {
                app.hosts().set_offline(ended.hotspot, ended.mac, ended.session);
            }
            app.reload_hotspots().await?;
            app.forget_name_place(Place::Hotspot(record.name)).await;
            drop(order);
            let grants = deleted.ended.iter().map(|ended| Owner::Grant(ended.grant));
            let owners: Vec<Owner> = grants.chain([Owner::Hotspot(id)]).collect();
            app.settle(&owners).await;
            Ok(())
        })
        .await
    }

    /// Reads the hotspots anew, for all who follow them.
    async fn reload_hotspots(&self) -> Result<(), Error> {
        let records = self.store().hotspots().await.map_err(Error::Store)?;
        self.hosts().set_hotspots(records.iter().map(|record| record.hotspot.clone()).collect());
        self.0.hotspots.send_replace(Arc::new(records));
        Ok(())
    }

    /// Judges what is wanted of a new hotspot, or of the one with id `own`. Its devices are left out.
    fn judge_hotspot(&self, spec: &HotspotSpec, own: Option<HotspotId>) -> Result<Hotspot, HotspotError> {
        let host = self.0.handle.host();
        let (mine, others): (Vec<Hotspot>, Vec<Hotspot>) = {
            let all = self.0.hotspots.borrow();
            all.iter().map(|record| record.hotspot.clone()).partition(|other| Some(other.id) == own)
        };
        let HotspotSpec { interface, address, address_ipv6, nat_ipv6, isolated, lan_access, settings: _ } = spec;
        if interface.is_wireguard() || interface.as_str() == "lo" || host.wans.contains(interface) {
            return Err(HotspotError::Interface);
        }
        if others.iter().any(|other| other.interface == *interface) {
            return Err(HotspotError::InterfaceTaken);
        }
        let unicast = vpn_servers::is_unicast(address.addr());
        if !(16..=29).contains(&address.prefix_len()) || !is_host_of(*address, address.addr()) || !unicast {
            return Err(HotspotError::Address);
        }
        // Addresses on its own interface are its own, or will be; on the interface that it leaves they are ours, and go.
        let left = |name: IfName, net: IpNet| {
            let is_own = |old: &Hotspot| net == IpNet::V4(old.address) || old.address_ipv6.map(IpNet::V6) == Some(net);
            mine.iter().any(|old| old.interface == name && is_own(old))
        };
        let others_of_host = |(name, net): &&(IfName, IpNet)| name != interface && !left(*name, *net);
        let elsewhere = || host.addresses.iter().filter(others_of_host).map(|(_, net)| *net);
        let directory = self.directory();
        if is_taken(&directory, *address, elsewhere(), &others) {
            return Err(HotspotError::SubnetTaken);
        }
        let taken_v6 = |net: Ipv6Net| {
            directory.has_subnet_v6(net, None)
                || others.iter().filter_map(|other| other.address_ipv6).any(|other| overlaps_v6(other, net))
                || elsewhere().any(|other| matches!(other, IpNet::V6(other) if overlaps_v6(other, net)))
        };
        let address_ipv6 = match address_ipv6 {
            Ipv6Choice::Off => None,
            // From the upper end: VPN servers take theirs from the lower.
            Ipv6Choice::Auto => Some(self.unique_local(taken_v6).ok_or(HotspotError::SubnetTaken)?),
            Ipv6Choice::Net(net) if !is_guest_net(*net) => return Err(HotspotError::AddressIpv6),
            Ipv6Choice::Net(net) if taken_v6(*net) => return Err(HotspotError::SubnetTaken),
            Ipv6Choice::Net(net) => Some(*net),
        };
        if lan_access.len() > MOST_NETWORKS {
            return Err(HotspotError::LanAccess);
        }
        Ok(Hotspot {
            id: own.unwrap_or(HotspotId(0)),
            interface: *interface,
            address: *address,
            address_ipv6,
            nat_ipv6: *nat_ipv6,
            isolated: *isolated,
            lan_access: lan_access.clone(),
            portal_tls: self.settings().portal_tls,
            allowed: Vec::new(),
            blocked: Vec::new(),
        })
    }

    fn unique_local(&self, taken: impl Fn(Ipv6Net) -> bool) -> Option<Ipv6Net> {
        let global = self.global_id();
        (0..=u16::MAX).rev().filter_map(|number| vpn_servers::unique_local(global, number)).find(|net| !taken(*net))
    }
}

/// Whether a subnet overlaps one of the host's, a VPN server's or another hotspot's.
fn is_taken(
    directory: &Directory,
    net: Ipv4Net,
    mut of_host: impl Iterator<Item = IpNet>,
    hotspots: &[Hotspot],
) -> bool {
    of_host.any(|other| matches!(other, IpNet::V4(other) if overlaps(other, net)))
        || hotspots.iter().any(|other| overlaps(other.address, net))
        || directory.has_subnet(net, None)
}

/// A /64 of unicast addresses with one for the gateway.
fn is_guest_net(net: Ipv6Net) -> bool {
    let address: Ipv6Addr = net.addr();
    let special = address.is_multicast()
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some();
    net.prefix_len() == 64 && is_host_of_v6(net, address) && !special
}

fn refusal(error: store::Error) -> Error {
    let known = match &error {
        store::Error::Taken(Field::HotspotName) => HotspotError::NameTaken,
        store::Error::Taken(Field::HotspotInterface) => HotspotError::InterfaceTaken,
        store::Error::InUse => HotspotError::InUse,
        store::Error::Missing => HotspotError::NotFound,
        store::Error::Taken(_)
        | store::Error::Unavailable(_)
        | store::Error::Corrupt { .. }
        | store::Error::WrongKey
        | store::Error::Setup(_)
        | store::Error::Seal(_) => return Error::Store(error),
    };
    known.into()
}
