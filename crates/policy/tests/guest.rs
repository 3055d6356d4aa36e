//! The rules of the hotspot, from stored rows to kernel items.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use doorward_policy::{
    desired::{self, Environment},
    guest::{DataLimits, DataUse, Grant, GrantId, Mac, Session, SessionId, Way},
    hotspot::{Hotspot, HotspotId},
    item::{ClassId, Counter, Expiry, Item, Key, QuotaId, QuotaSpec, Rate, SysctlKey},
    limits::{Bandwidth, Mark, Mbit},
};
use jiff::tz::TimeZone;

const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

fn hotspot(id: i64) -> Hotspot {
    Hotspot {
        id: HotspotId(id),
        interface: format!("guests{id}").parse().unwrap(),
        address: format!("10.{id}.0.1/16").parse().unwrap(),
        address_ipv6: Some(format!("fd00:{id}::1/64").parse().unwrap()),
        nat_ipv6: true,
        isolated: true,
        lan_access: Vec::new(),
        portal_tls: false,
        allowed: vec![Mac([2, 0, 0, 0, 0, 8])],
        blocked: vec![Mac([2, 0, 0, 0, 0, 9])],
    }
}

fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

fn session(n: u8, hotspot: i64) -> Session {
    let four = IpAddr::from([10, u8::try_from(hotspot).unwrap(), 0, n + 10]);
    let six = format!("fd00:{hotspot}::{n}1").parse().unwrap();
    Session {
        id: SessionId(n.into()),
        hotspot: HotspotId(hotspot),
        mac: mac(n),
        addresses: vec![four, six],
        ends_ms: None,
        open: true,
    }
}

fn grant() -> Grant {
    let mbit = |n| Mbit::new(n).unwrap();
    Grant {
        id: GrantId(5),
        enabled: true,
        starts_ms: NOW - HOUR,
        ends_ms: Some(NOW + HOUR),
        speed: Bandwidth { down: mbit(10), up: mbit(2) },
        limits: DataLimits { down: Some(1_000), up: None, total: Some(2_000) },
        used: DataUse { down: 300, up: 20 },
        spent: false,
        mark: Mark::new(9999),
        sessions: vec![session(1, 1), session(2, 1), session(3, 2)],
    }
}

fn of(grant: &Grant) -> (Vec<Item>, Option<i64>) {
    let hotspots: BTreeMap<_, _> = [hotspot(1), hotspot(2)].into_iter().map(|h| (h.id, h)).collect();
    let wans = vec!["eth0".parse().unwrap(), "eth1".parse().unwrap()];
    let environment = Environment { advertised: BTreeSet::new(), wans, zone: TimeZone::UTC, resolver: false };
    desired::grant(grant, &hotspots, &environment, NOW)
}

fn opens(grant: &Grant) -> usize {
    of(grant).0.iter().filter(|item| item.key().opens()).count()
}

#[test]
fn all_devices_of_a_grant_share_its_limits() {
    let (items, deadline) = of(&grant());
    let quota = |way| QuotaId::Grant { grant: GrantId(5), way };
    let spec = |limit_bytes, used_bytes| QuotaSpec { limit_bytes, used_bytes };
    let made: Vec<_> =
        items.iter().filter_map(|i| if let Item::Quota(id, s) = i { Some((*id, *s)) } else { None }).collect();
    assert_eq!(made, [(quota(Way::Down), spec(1_000, 300)), (quota(Way::Total), spec(2_000, 320))]);
    assert_eq!(made.iter().map(|(_, s)| s.used_bytes).collect::<Vec<_>>(), [300, 320]);
    let class = |name: &str, mbit: u64| {
        Item::Class(ClassId { interface: name.parse().unwrap(), minor: 0x9999 }, Rate(mbit * 1_000_000))
    };
    let classes: Vec<_> = items.iter().filter(|i| matches!(i, Item::Class(..))).cloned().collect();
    assert_eq!(classes, [class("guests1", 10), class("guests2", 10), class("eth0", 2), class("eth1", 2)]);
    for session in grant().sessions {
        for address in session.addresses {
            for item in [
                Item::Device(address, session.mac, Expiry::At(NOW + HOUR)),
                Item::Granted(address, Expiry::At(NOW + HOUR)),
                Item::CountUp(address, Counter::SessionUp(session.id)),
                Item::CountDown(address, Counter::SessionDown(session.id)),
                Item::QuotaOf(address, Way::Down, quota(Way::Down)),
                Item::QuotaOf(address, Way::Total, quota(Way::Total)),
                Item::ClassOf(address, 0x9999),
            ] {
                assert!(items.contains(&item), "{item:?}");
            }
            assert!(!items.iter().any(|item| item.key() == Key::QuotaOf(address, Way::Up)));
        }
    }
    let keys: BTreeSet<Key> = items.iter().map(Item::key).collect();
    assert_eq!((keys.len(), deadline), (items.len(), Some(NOW + HOUR)), "no key twice");
}

#[test]
fn a_closed_grant_keeps_what_counts_and_lets_nobody_through() {
    let closed = [
        Grant { enabled: false, ..grant() },
        Grant { ends_ms: Some(NOW), ..grant() },
        Grant { spent: true, ..grant() },
        Grant { used: DataUse { down: 1_000, up: 0 }, ..grant() },
        Grant { used: DataUse { down: 999, up: 1_001 }, ..grant() },
    ];
    for grant in closed {
        let (items, deadline) = of(&grant);
        assert_eq!((opens(&grant), deadline), (0, None), "{grant:?}");
        assert_eq!(items.len(), 6 + 2, "the counters of three sessions and two quotas");
    }
    let later = Grant { starts_ms: NOW + 5, ..grant() };
    assert_eq!((opens(&later), of(&later).1), (0, Some(NOW + 5)));
    let never = Grant { starts_ms: NOW + 5, ends_ms: Some(NOW + 5), ..grant() };
    assert_eq!(of(&never).1, None);
}

#[test]
fn a_session_ends_on_its_own() {
    let mut some = grant();
    some.sessions[0].ends_ms = Some(NOW);
    some.sessions[1].open = false;
    some.sessions[2].ends_ms = Some(NOW + 7);
    let (items, deadline) = of(&some);
    let devices: Vec<Key> = items.iter().filter(|item| matches!(item, Item::Device(..))).map(Item::key).collect();
    assert_eq!(devices, session(3, 2).addresses.iter().map(|a| Key::Device(*a, mac(3))).collect::<Vec<_>>());
    assert!(items.contains(&Item::Granted(session(3, 2).addresses[0], Expiry::At(NOW + 7))), "whichever comes first");
    assert_eq!(deadline, Some(NOW + 7));
    assert!(!items.iter().any(|i| matches!(i, Item::Class(id, _) if id.interface.as_str() == "guests1")));
    assert_eq!(items.iter().filter(|item| matches!(item, Item::Counter(_))).count(), 6, "until they are collected");
    assert_eq!(of(&Grant { sessions: Vec::new(), ..grant() }), (Vec::new(), None));
}

#[test]
fn nobody_gets_an_address_of_another_network_or_a_speed_without_a_class() {
    let mut odd = grant();
    odd.sessions.truncate(1);
    for foreign in ["10.2.0.11", "10.1.0.1", "10.1.255.255", "192.0.2.1", "fd00:2::1", "fd00:1::1", "fe80::1"] {
        odd.sessions[0].addresses = vec![foreign.parse().unwrap()];
        assert_eq!(opens(&odd), 0, "{foreign}");
    }
    odd.sessions[0].hotspot = HotspotId(77);
    assert_eq!((opens(&odd), of(&odd).1), (0, None), "of a hotspot that is gone");
    assert_eq!(opens(&Grant { mark: None, ..grant() }), 0);
    let free = Grant { mark: None, speed: Bandwidth::default(), ..grant() };
    assert!(opens(&free) == 12 && !of(&free).0.iter().any(|i| matches!(i, Item::ClassOf(..) | Item::Class(..))));
}

#[test]
fn a_hotspot_needs_its_network_and_room_for_neighbours() {
    let one = hotspot(1);
    let wans = vec!["eth0".parse().unwrap()];
    let environment = Environment { advertised: BTreeSet::new(), wans, zone: TimeZone::UTC, resolver: false };
    let base = desired::base([], [&one], &doorward_policy::firewall::Firewall::default(), &environment);
    let has = |key| base.iter().any(|item| item.key() == key);
    assert!(has(Key::Sysctl(SysctlKey::ForwardV4)) && has(Key::Sysctl(SysctlKey::ForwardV6)));
    assert!(has(Key::Root("eth0".parse().unwrap())));
    for n in 1..=3 {
        // Below the first threshold the kernel would never forget who left: that one stays as it is.
        let raised = n > 1;
        assert_eq!(has(Key::Sysctl(SysctlKey::NeighboursV4(n))), raised);
        assert_eq!(has(Key::Sysctl(SysctlKey::NeighboursV6(n))), raised);
    }
    let items = desired::hotspot(&one);
    assert_eq!(
        items,
        [
            Item::GuestAddress(one.interface, "10.1.0.1/16".parse().unwrap()),
            Item::Root(one.interface),
            Item::GuestAddress(one.interface, "fd00:1::1/64".parse().unwrap()),
            Item::Isolated(one.interface),
            Item::AllowedMac(one.interface, mac(8)),
            Item::BlockedMac(one.interface, mac(9)),
        ]
    );
    let open = Hotspot { isolated: false, address_ipv6: None, ..one.clone() };
    assert!(!desired::hotspot(&open).contains(&Item::Isolated(one.interface)));
    let skeleton = |hotspot: &Hotspot| {
        desired::base([], [hotspot], &doorward_policy::firewall::Firewall::default(), &environment).swap_remove(0)
    };
    assert_eq!(skeleton(&one), skeleton(&Hotspot { allowed: Vec::new(), blocked: Vec::new(), ..one.clone() }));
    for other in [open, Hotspot { portal_tls: true, ..one.clone() }, Hotspot { nat_ipv6: false, ..one.clone() }] {
        assert_ne!(skeleton(&one), skeleton(&other));
    }
}
