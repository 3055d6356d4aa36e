//! The walled garden by name: which names may be reached before login, and their addresses, which the kernel has to
//! hold before a client hears of them.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
};

use hickory_proto::rr::Name;

use super::GardenAddress;
use crate::hotspot_settings::{GardenEntry, HotspotSettings};

/// Ports of the garden.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// An address stays open for as long as its record may be used, at least and at most this long, in seconds …
const LEAST_TTL_S: u32 = 60;
pub(super) const MOST_TTL_S: u32 = 3_600;
/// … and a while longer for the client that hears of it last, and so that not every answer has to reach the kernel.
const GRACE_MS: i64 = 30_000;
const AHEAD_MS: i64 = 60_000;

/// Addresses that are open at once.
const MOST_OPEN: usize = 8_192;

/// Addresses of one answer that are opened.
const MOST_ADDRESSES: usize = 32;

/// Names that may be reached before login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Whether port 80 is open too.
    exact: BTreeMap<Name, bool>,
    below: BTreeMap<Name, bool>,
}

/// Ports of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// 80, beside 443.
    pub http: bool,
}

impl Names {
    /// Those of a hotspot: its own and those of the providers that it offers.
    #[must_use]
    pub fn of(settings: &HotspotSettings) -> Self {
        let offered = settings.methods.iter().filter(|method| method.enabled);
        let providers = offered.filter_map(|method| method.provider.as_ref()).flat_map(|provider| &provider.garden);
        let mut names = Self::default();
        for GardenEntry { name, http } in settings.garden.iter().chain(providers) {
            let (map, name) = match name.strip_prefix("*.") {
                Some(name) => (&mut names.below, name),
                None => (&mut names.exact, name.as_str()),
            };
            // What is no name was refused when it was set.
            if let Some(name) = parse(name) {
                *map.entry(name).or_default() |= http;
            }
        }
        names
    }

    /// The ports of a name; `None`: it is not in the garden. `*.example.com` is every name below, not the name itself.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<Ports> {
        let exact = self.exact.get(name).copied();
        let mut found = exact;
        let mut above = name.clone();
        while !self.below.is_empty() && !above.is_root() {
            above = above.base_name();
            if let Some(http) = self.below.get(&above) {
                found = Some(found.unwrap_or_default() | http);
            }
        }
        found.map(|http| Ports { http })
    }
}

/// A full name in small letters.
pub(super) fn parse(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?.to_lowercase();
    name.set_fqdn(true);
    (!name.is_root()).then_some(name)
}

/// Whether an address of the garden may be opened: one of the internet. A name of others must not open what is behind
/// the gateway.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared || a == 0 || a >= 224)
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(IpAddr::V4(v4)),
            // 2000::/3 is all that was ever given out (RFC 4291); 6to4 holds an IPv4 address.
            None => {
                let [a, b, c, ..] = v6.segments();
                let inner = Ipv4Addr::from(u32::from(b) << 16 | u32::from(c));
                a & 0xe000 == 0x2000 && (a != 0x2002 || is_public(IpAddr::V4(inner)))
            }
        },
    }
}

/// Sees to it that the kernel holds the addresses of the garden that clients know.
pub(super) struct Keeper<O> {
    open: O,
    /// Until when the kernel holds each, Unix ms.
    held: Mutex<HashMap<(IpAddr, u16), i64>>,
}

impl<O, F> Keeper<O>
where
    O: Fn(Vec<GardenAddress>) -> F,
    F: Future<Output = bool>,
{
    pub(super) fn new(open: O) -> Self {
        Self { open, held: Mutex::default() }
    }

    /// Opens addresses with the seconds for which each is good. `false`: the kernel has not got all of them.
    pub(super) async fn hold(&self, addresses: &[(IpAddr, u32)], ports: Ports, now_ms: i64) -> bool {
        let wanted = self.missing(addresses, ports, now_ms);
        if wanted.is_empty() {
            return true;
        }
        if !(self.open)(wanted.clone()).await {
            return false;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend(wanted.into_iter().map(|one| ((one.address, one.port), one.until_ms)));
        true
    }

    /// What the kernel does not hold, or not for long enough.
    fn missing(&self, addresses: &[(IpAddr, u32)], ports: Ports, now_ms: i64) -> Vec<GardenAddress> {
        let open: &[u16] = if ports.http { &[HTTPS, HTTP] } else { &[HTTPS] };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MOST_OPEN {
            held.retain(|_, until_ms| *until_ms > now_ms);
        }
        let mut room = MOST_OPEN.saturating_sub(held.len());
        let mut wanted = Vec::new();
        for (address, ttl_s) in addresses.iter().filter(|(address, _)| is_public(*address)).take(MOST_ADDRESSES) {
            let needed_ms = now_ms + i64::from((*ttl_s).clamp(LEAST_TTL_S, MOST_TTL_S)) * 1_000 + GRACE_MS;
            for port in open {
                let before = held.get(&(*address, *port)).copied();
                if before.is_some_and(|until_ms| until_ms >= needed_ms) || (before.is_none() && room == 0) {
                    continue;
                }
                room -= usize::from(before.is_none());
                wanted.push(GardenAddress { address: *address, port: *port, until_ms: needed_ms + AHEAD_MS });
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn names(entries: &[(&str, bool)]) -> Names {
        let garden = entries.iter().map(|(name, http)| GardenEntry { name: (*name).to_owned(), http: *http }).collect();
        Names::of(&HotspotSettings { garden, ..HotspotSettings::default() })
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_exact_or_all_below() {
        let names = names(&[("Shop.example.com", false), ("*.cdn.example.net", false), ("*.example.net", true)]);
        for (name, http) in [
            ("shop.example.com.", Some(false)),
            ("SHOP.example.com.", Some(false)),
            ("www.shop.example.com.", None),
            ("example.com.", None),
            ("example.net.", None),
            ("a.example.net.", Some(true)),
            ("b.a.cdn.example.net.", Some(true)),
            ("notexample.net.", None),
            (".", None),
        ] {
            assert_eq!(names.find(&name.parse().unwrap()).map(|ports| ports.http), http, "{name}");
        }
    }

    #[test]
    fn only_addresses_of_the_internet_are_opened() {
        for address in ["192.0.2.80", "198.51.100.1", "2001:db8::1", "2002:c000:201::1", "::ffff:192.0.2.1"] {
            assert!(is_public(at(address)), "{address}");
        }
        for address in [
            "10.1.2.3",
            "192.168.77.10",
            "172.16.0.1",
            "127.0.0.1",
            "0.0.0.0",
            "169.254.1.1",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "2002:a00:1::1",
        ] {
            assert!(!is_public(at(address)), "{address}");
        }
    }

    #[tokio::test]
    async fn the_kernel_is_told_before_time_is_up_and_not_more_often() {
        let told: Arc<Mutex<Vec<GardenAddress>>> = Arc::default();
        let open = |addresses: Vec<GardenAddress>| {
            told.lock().unwrap().extend(addresses);
            std::future::ready(true)
        };
        let keeper = Keeper::new(open);
        let (web, inner) = (at("192.0.2.80"), at("10.0.0.1"));
        assert!(keeper.hold(&[(web, 300), (inner, 300)], Ports { http: true }, 0).await);
        let until_ms = 300_000 + GRACE_MS + AHEAD_MS;
        let address = |port| GardenAddress { address: web, port, until_ms };
        assert_eq!(*told.lock().unwrap(), [address(443), address(80)], "what is behind the gateway stays closed");

        // From the cache, with what is left of its time.
        for passed in [0_u32, 100, 299] {
            keeper.hold(&[(web, 300 - passed)], Ports { http: true }, i64::from(passed) * 1_000).await;
        }
        assert_eq!(told.lock().unwrap().len(), 2, "held for long enough");
        keeper.hold(&[(web, 1)], Ports { http: false }, 320_000).await;
        let last = *told.lock().unwrap().last().unwrap();
        assert_eq!((last.port, last.until_ms, told.lock().unwrap().len()), (443, 320_000 + 150_000, 3));
        keeper.hold(&[(web, u32::MAX)], Ports { http: false }, 400_000).await;
        assert_eq!(told.lock().unwrap().last().unwrap().until_ms, 400_000 + 3_690_000, "at most an hour and a while");
    }

    #[tokio::test]
    async fn what_the_kernel_refused_is_tried_again_and_its_list_is_bounded() {
        let keeper = Keeper::new(|_| std::future::ready(false));
        for _ in 0..2 {
            assert!(!keeper.hold(&[(at("192.0.2.80"), 60)], Ports { http: false }, 0).await);
        }
        let keeper = Keeper::new(|_| std::future::ready(true));
        for n in 0..=u32::try_from(MOST_OPEN).unwrap() {
            let address = IpAddr::V4(Ipv4Addr::from_bits(0x5000_0000 + n));
            keeper.hold(&[(address, 60)], Ports { http: false }, 0).await;
        }
        assert_eq!(keeper.held.lock().unwrap().len(), MOST_OPEN);
        keeper.hold(&[(at("192.0.2.80"), 60)], Ports { http: false }, 10_000_000).await;
        assert_eq!(keeper.held.lock().unwrap().len(), 1, "what ran out makes room");
    }
}
