//! Hotspots and their guests.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::Environment;
use crate::{
    guest::{Grant, Session, Way},
    hotspot::{Hotspot, HotspotId, PORTAL_PORT, PORTAL_TLS_PORT},
    item::{ClassId, Counter, Expiry, HotspotRules, Item, QuotaId, QuotaSpec, Rate, Sysctl, SysctlKey},
    limits::Mark,
    name::IfName,
};

/// Entries of the neighbour table (`gc_thresh` 2 and 3): collected hastily above the first, refused above the last.
/// 10,000 guests are a normal day; each may have an IPv4 address, a link-local one and eight others. `gc_thresh1` stays
/// low: below it the kernel never forgets who left, and nobody would hear of it.
const NEIGHBOURS_V4: [u64; 2] = [32_768, 65_536];
const NEIGHBOURS_V6: [u64; 2] = [131_072, 262_144];

pub(super) fn hotspot_rules(hotspot: &Hotspot) -> HotspotRules {
    let mut portal_ports = vec![PORTAL_PORT];
    portal_ports.extend(hotspot.portal_tls.then_some(PORTAL_TLS_PORT));
    HotspotRules {
        interface: hotspot.interface,
        address: hotspot.address,
        address_ipv6: hotspot.address_ipv6,
        nat_ipv6: hotspot.nat_ipv6,
        isolated: hotspot.isolated,
        lan_access: hotspot.lan_access.clone(),
        portal_ports,
    }
}

pub(super) fn neighbour_tables() -> impl Iterator<Item = Item> {
    let table = |key: fn(u8) -> SysctlKey, sizes: [u64; 2]| {
        (2_u8..).zip(sizes).map(move |(step, value)| Item::Sysctl(Sysctl { key: key(step), value }))
    };
    table(SysctlKey::NeighboursV4, NEIGHBOURS_V4).chain(table(SysctlKey::NeighboursV6, NEIGHBOURS_V6))
}

/// What one hotspot needs.
#[must_use]
pub fn hotspot(hotspot: &Hotspot) -> Vec<Item> {
    let name = hotspot.interface;
    let mut items = vec![Item::GuestAddress(name, IpNet::V4(hotspot.address)), Item::Root(name)];
    items.extend(hotspot.address_ipv6.map(|net| Item::GuestAddress(name, IpNet::V6(net))));
    items.extend(hotspot.isolated.then_some(Item::Isolated(name)));
    items.extend(hotspot.allowed.iter().map(|mac| Item::AllowedMac(name, *mac)));
    items.extend(hotspot.blocked.iter().map(|mac| Item::BlockedMac(name, *mac)));
    items
}

/// What one grant with its sessions needs at `now_ms`, and the moment (Unix ms) at which that changes by itself.
///
/// Counters and quota objects stay until the counters of each session were collected for the last time; everything
/// that lets packets through goes when the grant closes or the session ends. A grant whose speed is limited lets nobody
/// through before it has a number for its class.
#[must_use]
pub fn grant(
    grant: &Grant,
    hotspots: &BTreeMap<HotspotId, Hotspot>,
    environment: &Environment,
    now_ms: i64,
) -> (Vec<Item>, Option<i64>) {
    let mut items = Vec::new();
    for session in &grant.sessions {
        items.push(Item::Counter(Counter::SessionUp(session.id)));
        items.push(Item::Counter(Counter::SessionDown(session.id)));
    }
    let quotas: Vec<(Way, QuotaId)> = if grant.sessions.is_empty() { Vec::new() } else { quotas(grant, &mut items) };

    let later = |moment: Option<i64>| moment.filter(|at| *at > now_ms);
    let waits = now_ms < grant.starts_ms && grant.enabled && !grant.is_spent();
    let starts_ms = waits.then_some(grant.starts_ms).filter(|start| grant.ends_ms.is_none_or(|end| *start < end));
    if grant.check(now_ms).is_err() {
        return (items, starts_ms.filter(|_| grant.sessions.iter().any(|session| session.open)));
    }
    let is_open = |session: &&Session| session.open && session.ends_ms.is_none_or(|end| now_ms < end);
    let open: Vec<(&Session, &Hotspot)> = grant
        .sessions
        .iter()
        .filter(is_open)
        .filter_map(|session| Some((session, hotspots.get(&session.hotspot)?)))
        .collect();
    let changes_at_ms = open.iter().filter_map(|(s, _)| later(s.ends_ms)).chain(later(grant.ends_ms)).min();
    let changes_at_ms = changes_at_ms.filter(|_| !open.is_empty());

    let (down_bps, up_bps) = (grant.speed.down.limit_bps(), grant.speed.up.limit_bps());
    let limited = down_bps.or(up_bps).is_some();
    let minor = grant.mark.map(Mark::minor).filter(|_| limited);
    if limited && minor.is_none() {
        return (items, changes_at_ms);
    }
    if let Some(minor) = minor.filter(|_| !open.is_empty()) {
        let class = |interface, rate| Item::Class(ClassId { interface, minor }, Rate(rate));
        let interfaces: BTreeSet<IfName> = open.iter().map(|(_, hotspot)| hotspot.interface).collect();
        items.extend(down_bps.into_iter().flat_map(|rate| interfaces.iter().map(move |name| class(*name, rate))));
        items.extend(up_bps.into_iter().flat_map(|rate| environment.wans.iter().map(move |wan| class(*wan, rate))));
    }
    for (session, hotspot) in open {
        let ends = [grant.ends_ms, session.ends_ms].into_iter().flatten().min();
        let expiry = ends.map_or(Expiry::Never, Expiry::At);
        for address in session.addresses.iter().copied().filter(|a| hotspot.is_guest_address(*a)) {
            items.extend(of_address(session, address, &quotas, minor, expiry));
        }
    }
    (items, changes_at_ms)
}

fn quotas(grant: &Grant, items: &mut Vec<Item>) -> Vec<(Way, QuotaId)> {
    let mut quotas = Vec::new();
    for way in Way::ALL {
        let Some(limit_bytes) = grant.limit(way) else { continue };
        let id = QuotaId::Grant { grant: grant.id, way };
        let used_bytes = grant.used_bytes(way).min(limit_bytes);
        items.push(Item::Quota(id, QuotaSpec { limit_bytes, used_bytes }));
        quotas.push((way, id));
    }
    quotas
}

fn of_address(
    session: &Session,
    address: IpAddr,
    quotas: &[(Way, QuotaId)],
    minor: Option<u16>,
    expiry: Expiry,
) -> impl Iterator<Item = Item> {
    let limits = quotas.iter().map(move |(way, id)| Item::QuotaOf(address, *way, *id));
    limits.chain(minor.map(|minor| Item::ClassOf(address, minor))).chain([
        Item::CountUp(address, Counter::SessionUp(session.id)),
        Item::CountDown(address, Counter::SessionDown(session.id)),
        Item::Granted(address, expiry),
        Item::Device(address, session.mac, expiry),
    ])
}
