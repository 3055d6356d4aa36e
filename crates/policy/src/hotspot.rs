//! A hotspot: one guest network, as far as packets are concerned.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::{guest::Mac, name::IfName};

/// Names a stored hotspot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HotspotId(pub i64);

impl fmt::Debug for HotspotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hotspot {}", self.0)
    }
}

/// A guest network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hotspot {
    /// Its row.
    pub id: HotspotId,
    /// An interface or bridge that is there; Doorward gives it addresses, and takes it as it is otherwise. Unique.
    pub interface: IfName,
    /// The gateway's own address with the guests' subnet, /16 to /29; host bits are kept.
    pub address: Ipv4Net,
    /// The same for IPv6, a /64; `None`: no IPv6 on this network.
    pub address_ipv6: Option<Ipv6Net>,
    /// Source NAT by masquerade for IPv6; off where the operator routes the prefix. IPv4 is always translated.
    pub nat_ipv6: bool,
    /// Guests may not reach each other through the gateway or between the ports of its bridge.
    pub isolated: bool,
    /// Networks behind interfaces that are no WAN which online guests may reach; usually none.
    pub lan_access: Vec<ipnet::IpNet>,
    /// The portal is served by HTTPS too, on port 443 of the gateway's addresses.
    pub portal_tls: bool,
    /// Devices that are online without a login.
    pub allowed: Vec<Mac>,
    /// Devices from which nothing is taken.
    pub blocked: Vec<Mac>,
}

impl Hotspot {
    /// The gateway's addresses there, IPv4 first.
    pub fn gateway_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let v6 = self.address_ipv6.map(|net| IpAddr::V6(net.addr()));
        [Some(IpAddr::V4(self.address.addr())), v6].into_iter().flatten()
    }

    /// Whether a guest may have the address: within the subnet, but not the gateway's, the first or the last.
    #[must_use]
    pub fn is_guest_address(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let special: [Ipv4Addr; 3] = [self.address.addr(), self.address.network(), self.address.broadcast()];
                self.address.contains(&v4) && !special.contains(&v4)
            }
            IpAddr::V6(v6) => self.address_ipv6.is_some_and(|net| net.contains(&v6) && net.addr() != v6),
        }
    }
}

/// TCP port of the portal on the gateway's guest addresses.
pub const PORTAL_PORT: u16 = 80;
/// TCP port of the portal with TLS.
pub const PORTAL_TLS_PORT: u16 = 443;
