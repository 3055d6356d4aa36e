//! A hotspot and its guests, as the policy wants them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use doorward_policy::{
    desired::{self, Environment},
    guest::{DataLimits, DataUse, Grant, GrantId, Mac, Session, SessionId},
    hotspot::{Hotspot, HotspotId},
    item::{Item, Items},
    limits::{Bandwidth, Mark, Mbit},
    name::IfName,
};
use jiff::tz::TimeZone;

use super::world::{name, now_ms, wan};

/// A bridge of the host under test.
pub fn guests() -> IfName {
    name("guests")
}

pub fn hotspot() -> Hotspot {
    Hotspot {
        id: HotspotId(1),
        interface: guests(),
        address: "10.80.0.1/16".parse().unwrap(),
        address_ipv6: Some("fd80::1/64".parse().unwrap()),
        nat_ipv6: true,
        isolated: true,
        lan_access: Vec::new(),
        portal_tls: true,
        allowed: Vec::new(),
        blocked: Vec::new(),
    }
}

pub fn mac(guest: i64) -> Mac {
    let [high, low] = u16::try_from(guest).unwrap().to_be_bytes();
    Mac([2, 0, 0, 0, high, low])
}

pub fn g4(guest: i64) -> IpAddr {
    let [high, low] = u16::try_from(guest + 10).unwrap().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 80, high, low))
}

pub fn g6(guest: i64) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd80, 0, 0, 0, 0, 0, 0, u16::try_from(guest + 0x10).unwrap()))
}

/// A grant without limits whose one device, with both addresses, is online.
pub fn grant(guest: i64) -> Grant {
    let session = Session {
        id: SessionId(guest),
        hotspot: HotspotId(1),
        mac: mac(guest),
        addresses: vec![g4(guest), g6(guest)],
        ends_ms: None,
        open: true,
    };
    Grant {
        id: GrantId(guest),
        enabled: true,
        starts_ms: 0,
        ends_ms: None,
        speed: Bandwidth::default(),
        limits: DataLimits::default(),
        used: DataUse::default(),
        spent: false,
        mark: None,
        sessions: vec![session],
    }
}

/// The same with limits of every kind.
pub fn limited(guest: i64) -> Grant {
    let mbit = |n| Mbit::new(n).unwrap();
    Grant {
        speed: Bandwidth { down: mbit(10), up: mbit(5) },
        limits: DataLimits { down: Some(1 << 30), up: Some(1 << 29), total: Some(1 << 31) },
        used: DataUse { down: 1_000, up: 200 },
        mark: Mark::new(u32::try_from(guest).unwrap() + 200),
        ends_ms: Some(now_ms() + 3_600_000),
        ..grant(guest)
    }
}

pub fn environment() -> Environment {
    Environment { wans: vec![wan()], advertised: BTreeSet::from([wan()]), zone: TimeZone::UTC, resolver: false }
}

pub fn items_of(grant: &Grant, hotspot: &Hotspot) -> Vec<Item> {
    let hotspots = BTreeMap::from([(hotspot.id, hotspot.clone())]);
    desired::grant(grant, &hotspots, &environment(), now_ms()).0
}

/// The gateway with one hotspot and these grants.
pub fn guest_world<'a>(hotspot: &Hotspot, grants: impl IntoIterator<Item = &'a Grant>) -> Items {
    let base = desired::base([], [hotspot], &doorward_policy::firewall::Firewall::default(), &environment())
        .into_iter()
        .chain(desired::hotspot(hotspot));
    base.chain(grants.into_iter().flat_map(|grant| items_of(grant, hotspot))).collect()
}
