//! Devices on the guest networks, in memory: who has which address, and what they may. The portal's redirect, the
//! resolver and the live lists answer from here; nothing here decides what passes, which is the kernel's.
//!
//! Filled from the kernel's neighbour events, the leases of the DHCP server and the sessions of the database.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use doorward_policy::{
    guest::{GrantId, Mac, Method, SessionId},
    hotspot::{Hotspot, HotspotId},
    name::IfName,
};

/// IPv6 addresses that are kept for a device (docs/traffic-policy.md).
pub const MOST_IPV6: usize = 8;

/// How often signs of a device are noted.
const TOUCH_EVERY_MS: i64 = 5_000;

/// Devices that are remembered at once; beyond that, those are forgotten that were seen longest ago and are not online.
const MOST_HOSTS: usize = 65_536;

/// All devices. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    hotspots: HashMap<HotspotId, Hotspot>,
    hosts: HashMap<(HotspotId, Mac), Host>,
    by_address: HashMap<IpAddr, (HotspotId, Mac)>,
    leases: HashMap<Ipv4Addr, Lease>,
}

/// A device that is seen, or online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Where.
    pub hotspot: HotspotId,
    /// The device.
    pub mac: Mac,
    /// What it is reached by, as the neighbour table says: at most one IPv4 address, first, and eight IPv6 ones, the one
    /// that was seen last at the end.
    pub addresses: Vec<IpAddr>,
    /// Unix ms of its appearance.
    pub first_seen_ms: i64,
    /// Unix ms of the last sign of it: the neighbour table's, a question for a name, a page of the portal.
    pub last_seen_ms: i64,
    /// Its session.
    pub online: Option<Online>,
}

/// A session as others need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Online {
    /// Its row.
    pub session: SessionId,
    /// What it is online by.
    pub grant: GrantId,
    /// How it logged in.
    pub method: Method,
    /// Who, as `logins` of the Hotspot API, section 6.2.
    pub login: String,
    /// Unix ms of the login.
    pub started_ms: i64,
    /// Addresses that the session holds.
    pub addresses: BTreeSet<IpAddr>,
}

/// An address that a device is seen with, but that its session does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Unadmitted {
    pub hotspot: HotspotId,
    pub mac: Mac,
    pub session: SessionId,
    pub grant: GrantId,
    pub address: IpAddr,
}

/// An address that the DHCP server lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Borrower.
    pub mac: Mac,
    /// What it calls itself; empty: nothing.
    pub host_name: String,
    /// Unix ms.
    pub expires_ms: i64,
}

/// What a device may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// To log in.
    Captive,
    /// Whatever its grant gives.
    Online,
    /// Everything, without a login.
    Allowed,
    /// Nothing.
    Blocked,
}

impl Hosts {
    /// Puts the hotspots that there are now; devices of others are forgotten.
    pub fn set_hotspots(&self, hotspots: Vec<Hotspot>) {
        let mut inner = self.write();
        inner.hotspots = hotspots.into_iter().map(|hotspot| (hotspot.id, hotspot)).collect();
        let Inner { hotspots, hosts, by_address, .. } = &mut *inner;
        hosts.retain(|(hotspot, _), _| hotspots.contains_key(hotspot));
        by_address.retain(|_, key| hosts.contains_key(key));
    }

    /// The hotspot of that id.
    #[must_use]
    pub fn hotspot(&self, id: HotspotId) -> Option<Hotspot> {
        self.read().hotspots.get(&id).cloned()
    }

    /// The hotspot that an address belongs to, gateway addresses included.
    #[must_use]
    pub fn hotspot_of(&self, address: IpAddr) -> Option<Hotspot> {
        let inner = self.read();
        let holds = |hotspot: &&Hotspot| match address {
            IpAddr::V4(v4) => hotspot.address.contains(&v4),
            IpAddr::V6(v6) => hotspot.address_ipv6.is_some_and(|net| net.contains(&v6)),
        };
        inner.hotspots.values().find(holds).cloned()
    }

    /// The hotspot on an interface.
    #[must_use]
    pub fn hotspot_on(&self, interface: IfName) -> Option<HotspotId> {
        self.read().hotspots.values().find(|hotspot| hotspot.interface == interface).map(|hotspot| hotspot.id)
    }

    /// The device that has an address now.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<Host> {
        let inner = self.read();
        inner.by_address.get(&address).and_then(|key| inner.hosts.get(key)).cloned()
    }

    /// The device with that MAC.
    #[must_use]
    pub fn device(&self, hotspot: HotspotId, mac: Mac) -> Option<Host> {
        self.read().hosts.get(&(hotspot, mac)).cloned()
    }

    /// Shows every device to `look`, in no order: with what it may, and the name that it gave (empty: none). Nobody else
    /// learns anything of devices meanwhile, so it must be quick, and must not ask the registry.
    pub fn each(&self, mut look: impl FnMut(&Host, Standing, &str)) {
        let inner = self.read();
        for host in inner.hosts.values() {
            look(host, inner.standing(host, None), inner.host_name(host));
        }
    }

    /// What the device that has an address may; `None`: nobody is known to have it.
    #[must_use]
    pub fn standing(&self, address: IpAddr) -> Option<Standing> {
        let inner = self.read();
        let host = inner.by_address.get(&address).and_then(|key| inner.hosts.get(key))?;
        Some(inner.standing(host, Some(address)))
    }

    /// What a device may.
    #[must_use]
    pub fn standing_of(&self, host: &Host) -> Standing {
        self.read().standing(host, None)
    }

    /// All devices, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Host> {
        self.read().hosts.values().cloned().collect()
    }

    /// How many devices have a session.
    #[must_use]
    pub fn count_online(&self) -> u64 {
        self.read().hosts.values().filter(|host| host.online.is_some()).count() as u64
    }

    /// The session of a device.
    #[must_use]
    pub fn online(&self, hotspot: HotspotId, mac: Mac) -> Option<Online> {
        self.read().hosts.get(&(hotspot, mac)).and_then(|host| host.online.clone())
    }

    /// Notes that a device was seen with an address. `true`: it is new for that device.
    pub fn seen(&self, hotspot: HotspotId, mac: Mac, address: IpAddr, now_ms: i64) -> bool {
        let mut inner = self.write();
        let usable = inner.hotspots.get(&hotspot).is_some_and(|hotspot| hotspot.is_guest_address(address));
        let key = (hotspot, mac);
        if !usable {
            return false;
        }
        if inner.hosts.len() >= MOST_HOSTS && !inner.hosts.contains_key(&key) {
            inner.make_room();
        }
        if inner.by_address.get(&address) == Some(&key) {
            if let Some(host) = inner.hosts.get_mut(&key) {
                host.last_seen_ms = host.last_seen_ms.max(now_ms);
                if address.is_ipv6() {
                    host.addresses.retain(|one| *one != address);
                    host.addresses.push(address);
                }
            }
            return false;
        }
        inner.forget(address);
        let host = inner.hosts.entry(key).or_insert_with(|| Host {
            hotspot,
            mac,
            addresses: Vec::new(),
            first_seen_ms: now_ms,
            last_seen_ms: now_ms,
            online: None,
        });
        host.last_seen_ms = host.last_seen_ms.max(now_ms);
        let left = if address.is_ipv4() {
            let before = host.addresses.first().copied().filter(IpAddr::is_ipv4);
            if before.is_some() {
                host.addresses.remove(0);
            }
            host.addresses.insert(0, address);
            before
        } else {
            let first_v6 = usize::from(host.addresses.first().is_some_and(IpAddr::is_ipv4));
            let full = host.addresses.len() - first_v6 >= MOST_IPV6;
            // One that passes packets goes after those that do not.
            let held = |one: &IpAddr| host.online.as_ref().is_some_and(|online| online.addresses.contains(one));
            let unheld = host.addresses.iter().skip(first_v6).position(|one| !held(one));
            let oldest = full.then(|| host.addresses.remove(first_v6 + unheld.unwrap_or(0)));
            host.addresses.push(address);
            oldest
        };
        if let Some(left) = left {
            inner.by_address.remove(&left);
        }
        inner.by_address.insert(address, key);
        true
    }

    /// Notes a sign of whoever has an address.
    pub fn touch(&self, address: IpAddr, now_ms: i64) {
        let stale = |host: &Host| now_ms.saturating_sub(host.last_seen_ms) >= TOUCH_EVERY_MS;
        let find = |inner: &Inner| inner.by_address.get(&address).copied();
        let due = {
            let inner = self.read();
            find(&inner).filter(|key| inner.hosts.get(key).is_some_and(stale))
        };
        if let Some(key) = due
            && let Some(host) = self.write().hosts.get_mut(&key)
        {
            host.last_seen_ms = host.last_seen_ms.max(now_ms);
        }
    }

    /// Notes that nobody answers at an address any more.
    pub fn gone(&self, address: IpAddr) {
        self.write().forget(address);
    }

    /// Notes that a session is open. The device is listed from then on, wherever it is.
    pub fn set_online(&self, hotspot: HotspotId, mac: Mac, online: Online, now_ms: i64) {
        let mut inner = self.write();
        let host = inner.hosts.entry((hotspot, mac)).or_insert_with(|| Host {
            hotspot,
            mac,
            addresses: Vec::new(),
            first_seen_ms: now_ms,
            last_seen_ms: now_ms,
            online: None,
        });
        host.online = Some(online);
    }

    /// Addresses that online devices are seen with, but whose sessions do not hold them.
    #[must_use]
    pub fn unadmitted(&self) -> Vec<Unadmitted> {
        let inner = self.read();
        let of = |host: &Host| {
            let online = host.online.as_ref()?;
            let (hotspot, mac, session, grant) = (host.hotspot, host.mac, online.session, online.grant);
            let new = host.addresses.iter().filter(|address| !online.addresses.contains(address));
            Some(new.map(move |address| Unadmitted { hotspot, mac, session, grant, address: *address }).collect())
        };
        inner.hosts.values().filter_map(of).flat_map(|new: Vec<Unadmitted>| new).collect()
    }

    /// Notes that a session holds one more address; one of IPv4 takes the place of the last.
    pub fn add_session_address(&self, session: SessionId, hotspot: HotspotId, mac: Mac, address: IpAddr) {
        let mut inner = self.write();
        let online = inner.hosts.get_mut(&(hotspot, mac)).and_then(|host| host.online.as_mut());
        if let Some(online) = online.filter(|online| online.session == session) {
            if address.is_ipv4() {
                online.addresses.retain(IpAddr::is_ipv6);
            }
            online.addresses.insert(address);
        }
    }

    /// Notes that a session holds an address no longer.
    pub fn take_session_address(&self, session: SessionId, hotspot: HotspotId, mac: Mac, address: IpAddr) {
        let mut inner = self.write();
        let online = inner.hosts.get_mut(&(hotspot, mac)).and_then(|host| host.online.as_mut());
        if let Some(online) = online.filter(|online| online.session == session) {
            online.addresses.remove(&address);
        }
    }

    /// Notes that a session ended.
    pub fn set_offline(&self, hotspot: HotspotId, mac: Mac, session: SessionId) {
        let mut inner = self.write();
        let key = (hotspot, mac);
        let Some(host) = inner.hosts.get_mut(&key) else { return };
        if host.online.as_ref().is_some_and(|online| online.session == session) {
            host.online = None;
            if host.addresses.is_empty() {
                inner.hosts.remove(&key);
            }
        }
    }

    /// Puts the leases that there are now. Who got one is there; who let one end, and is not online, is not listed for
    /// that address any more.
    pub fn set_leases(&self, leases: HashMap<Ipv4Addr, Lease>, now_ms: i64) {
        let mut inner = self.write();
        let ended: Vec<Ipv4Addr> = inner.leases.keys().filter(|lent| !leases.contains_key(lent)).copied().collect();
        let is_new = |(address, lease): &(&Ipv4Addr, &Lease)| inner.leases.get(*address) != Some(*lease);
        let lent: Vec<(Ipv4Addr, Mac)> = leases.iter().filter(is_new).map(|(a, lease)| (*a, lease.mac)).collect();
        inner.leases = leases;
        for address in ended.into_iter().map(IpAddr::V4) {
            let host = inner.by_address.get(&address).and_then(|key| inner.hosts.get(key));
            if host.is_some_and(|host| host.online.is_none()) {
                inner.forget(address);
            }
        }
        drop(inner);
        for (address, mac) in lent {
            // Who really sends with an address, the neighbour table says.
            let address = IpAddr::V4(address);
            if let Some(hotspot) = self.hotspot_of(address).filter(|_| self.find(address).is_none()) {
                self.seen(hotspot.id, mac, address, now_ms);
            }
        }
    }

    /// Who borrowed an address.
    #[must_use]
    pub fn lease(&self, address: Ipv4Addr) -> Option<Lease> {
        self.read().leases.get(&address).cloned()
    }

    /// The name that a device gave when it borrowed its address; empty: none.
    #[must_use]
    pub fn host_name(&self, host: &Host) -> String {
        self.read().host_name(host).to_owned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn standing(&self, host: &Host, by: Option<IpAddr>) -> Standing {
        let hotspot = self.hotspots.get(&host.hotspot);
        let listed = |of: fn(&Hotspot) -> &Vec<Mac>| hotspot.is_some_and(|hotspot| of(hotspot).contains(&host.mac));
        let holds = |online: &Online| by.is_none_or(|address| online.addresses.contains(&address));
        if listed(|hotspot| &hotspot.blocked) {
            Standing::Blocked
        } else if listed(|hotspot| &hotspot.allowed) {
            Standing::Allowed
        } else if host.online.as_ref().is_some_and(holds) {
            Standing::Online
        } else {
            Standing::Captive
        }
    }

    fn host_name(&self, host: &Host) -> &str {
        let lease = host.addresses.iter().find_map(|address| match address {
            IpAddr::V4(v4) => self.leases.get(v4).filter(|lease| lease.mac == host.mac),
            IpAddr::V6(_) => None,
        });
        lease.map_or("", |lease| lease.host_name.as_str())
    }

    /// Forgets a quarter of the devices that are not online, those that were seen longest ago.
    fn make_room(&mut self) {
        let captive = self.hosts.values().filter(|host| host.online.is_none());
        let mut oldest: Vec<_> = captive.map(|host| (host.last_seen_ms, (host.hotspot, host.mac))).collect();
        oldest.sort_unstable();
        oldest.truncate(oldest.len() / 4 + 1);
        for (_, key) in oldest {
            for address in self.hosts.remove(&key).into_iter().flat_map(|host| host.addresses) {
                self.by_address.remove(&address);
            }
        }
    }

    fn forget(&mut self, address: IpAddr) {
        let Some(key) = self.by_address.remove(&address) else { return };
        let Some(host) = self.hosts.get_mut(&key) else { return };
        host.addresses.retain(|one| *one != address);
        if host.addresses.is_empty() && host.online.is_none() {
            self.hosts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hotspot() -> Hotspot {
        Hotspot {
            id: HotspotId(1),
            interface: "guest0".parse().unwrap(),
            address: "10.30.0.1/24".parse().unwrap(),
            address_ipv6: Some("fd30::1/64".parse().unwrap()),
            nat_ipv6: true,
            isolated: true,
            lan_access: Vec::new(),
            portal_tls: false,
            allowed: Vec::new(),
            blocked: vec![Mac([2, 0, 0, 0, 0, 9])],
        }
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_one_device_and_a_device_one_ipv4_address() {
        let hosts = Hosts::default();
        hosts.set_hotspots(vec![hotspot()]);
        let (one, other) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        assert!(hosts.seen(HotspotId(1), one, at("10.30.0.7"), 5));
        assert!(!hosts.seen(HotspotId(1), one, at("10.30.0.7"), 6), "known");
        assert!(!hosts.seen(HotspotId(1), one, at("10.31.0.7"), 6), "no guest address");
        assert!(hosts.seen(HotspotId(1), one, at("10.30.0.8"), 7));
        assert_eq!(hosts.find(at("10.30.0.7")), None, "it moved");
        assert!(hosts.seen(HotspotId(1), other, at("10.30.0.8"), 8), "another took the address");
        assert_eq!(hosts.find(at("10.30.0.8")).map(|host| host.mac), Some(other));
        assert_eq!(hosts.all().len(), 1);
        for n in 0..20 {
            hosts.seen(HotspotId(1), other, at(&format!("fd30::{:x}", n + 2)), 9);
        }
        let host = hosts.find(at("10.30.0.8")).unwrap();
        assert_eq!(host.addresses.len(), 1 + MOST_IPV6);
        assert_eq!(host.first_seen_ms, 8);
        host.addresses.iter().for_each(|address| hosts.gone(*address));
        assert!(hosts.all().is_empty());
    }

    #[test]
    fn a_lease_shows_and_its_end_hides_who_is_not_online() {
        let hosts = Hosts::default();
        hosts.set_hotspots(vec![hotspot()]);
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let lease = Lease { mac, host_name: "phone".to_owned(), expires_ms: 100 };
        hosts.set_leases([(Ipv4Addr::new(10, 30, 0, 7), lease)].into(), 5);
        assert_eq!(hosts.find(at("10.30.0.7")).map(|host| (host.mac, host.first_seen_ms)), Some((mac, 5)));
        hosts.set_leases(HashMap::new(), 101);
        assert_eq!(hosts.find(at("10.30.0.7")), None);
    }

    #[test]
    fn standing_is_by_device_and_address() {
        let hosts = Hosts::default();
        hosts.set_hotspots(vec![hotspot()]);
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        hosts.seen(HotspotId(1), mac, at("10.30.0.7"), 5);
        hosts.seen(HotspotId(1), Mac([2, 0, 0, 0, 0, 9]), at("10.30.0.9"), 5);
        assert_eq!(hosts.standing(at("10.30.0.7")), Some(Standing::Captive));
        assert_eq!(hosts.standing(at("10.30.0.9")), Some(Standing::Blocked));
        assert_eq!(hosts.standing(at("10.30.0.5")), None);
        let online = Online {
            session: SessionId(3),
            grant: GrantId(4),
            method: Method::Free,
            login: String::new(),
            started_ms: 6,
            addresses: [at("10.30.0.7")].into(),
        };
        hosts.set_online(HotspotId(1), mac, online, 6);
        assert_eq!(hosts.standing(at("10.30.0.7")), Some(Standing::Online));
        hosts.seen(HotspotId(1), mac, at("fd30::7"), 7);
        assert_eq!(hosts.standing(at("fd30::7")), Some(Standing::Captive), "not admitted yet");
        hosts.add_session_address(SessionId(3), HotspotId(1), mac, at("fd30::7"));
        assert_eq!(hosts.standing(at("fd30::7")), Some(Standing::Online));
        hosts.set_offline(HotspotId(1), mac, SessionId(2));
        assert_eq!(hosts.standing(at("fd30::7")), Some(Standing::Online), "an earlier session");
        hosts.set_offline(HotspotId(1), mac, SessionId(3));
        assert_eq!(hosts.standing(at("fd30::7")), Some(Standing::Captive));
    }
}
