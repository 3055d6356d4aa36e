//! What a form for a new hotspot begins with.

use std::net::Ipv4Addr;

use doorward_policy::{hotspot::Hotspot, name::IfName};
use ipnet::Ipv4Net;

use super::{App, is_taken};

/// What is free for a new hotspot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotspotProposal {
    /// `guests`, or with a number where that is taken.
    pub name: String,
    /// Interfaces with an address that lead to no internet and have no hotspot, sorted. Others may do as well.
    pub interfaces: Vec<IfName>,
    /// The first private subnet that overlaps none; `None`: all do.
    pub address: Option<Ipv4Net>,
}

impl App {
    /// What is free for a new hotspot. Nothing is taken.
    #[must_use]
    pub fn propose_hotspot(&self) -> HotspotProposal {
        let host = self.0.handle.host();
        let records = self.0.hotspots.borrow().clone();
        let hotspots: Vec<Hotspot> = records.iter().map(|record| record.hotspot.clone()).collect();
        let free = |interface: &IfName| {
            interface.as_str() != "lo"
                && !interface.is_wireguard()
                && !host.wans.contains(interface)
                && !hotspots.iter().any(|hotspot| hotspot.interface == *interface)
        };
        let mut interfaces: Vec<IfName> = host.addresses.iter().map(|(name, _)| *name).filter(free).collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        let of_host = || host.addresses.iter().map(|(_, net)| *net);
        let directory = self.directory();
        let address = private().find(|net| !is_taken(&directory, *net, of_host(), &hotspots));
        let names = std::iter::once("guests".to_owned()).chain((2..).map(|n| format!("guests-{n}")));
        let is_free = |name: &String| !records.iter().any(|record| record.name.as_str() == name);
        HotspotProposal { name: names.take(128).find(is_free).unwrap_or_default(), interfaces, address }
    }
}

/// Addresses of gateways with private subnets (RFC 1918): first those that homes and offices seldom have.
fn private() -> impl Iterator<Item = Ipv4Net> {
    let large = (30..=255).map(|n| (Ipv4Addr::new(10, n, 0, 1), 16));
    let middle = (16..=31).map(|n| (Ipv4Addr::new(172, n, 0, 1), 16));
    let small = (2..=255).map(|n| (Ipv4Addr::new(192, 168, n, 1), 24));
    large.chain(middle).chain(small).filter_map(|(address, bits)| Ipv4Net::new(address, bits).ok())
}
