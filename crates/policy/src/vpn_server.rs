//! A VPN server: one WireGuard interface with its pool, port, DNS, NAT and default bandwidth.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::{
    key::PrivateKey,
    limits::Bandwidth,
    name::{IfName, Name},
};

/// Names a stored server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}", self.0)
    }
}

/// A VPN server as the operator wants it. Field by field the server object of the VPN API, section 3.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnServer {
    /// Its row.
    pub id: ServerId,
    /// Unique, immutable.
    pub name: Name,
    /// Unique, immutable, `wg` and digits.
    pub interface: IfName,
    /// The key that clients know the server by.
    pub private_key: PrivateKey,
    /// UDP port.
    pub listen_port: u16,
    /// The interface's own address with the clients' subnet; host bits are kept.
    pub address: Ipv4Net,
    /// Public address: source of NAT, and the clients' endpoint where `endpoint` is empty.
    pub external_ip: Ipv4Addr,
    /// Resolvers for clients.
    pub dns: [Option<Ipv4Addr>; 2],
    /// Resolvers for clients with IPv6.
    pub dns_ipv6: [Option<Ipv6Addr>; 2],
    /// What a new account of this server gets.
    pub bandwidth: Bandwidth,
    /// Whether accounts of this server may reach each other.
    pub internal_traffic: bool,
    /// Stored and answered; without effect until IKEv2 is built.
    pub ikev2: bool,
    /// Seconds, 0 is off; clients get at most 65,535.
    pub keep_alive: u32,
    /// Bytes, 0 is [`DEFAULT_MTU`].
    pub mtu: u16,
    /// What clients route into the tunnel, as given; empty: everything.
    pub allowed_ips: String,
    /// Host name or address for clients, as given; empty: `external_ip`.
    pub endpoint: String,
    /// Whether the server carries IPv6.
    pub ipv6: bool,
    /// Like `address`; used while `ipv6` is set.
    pub address_ipv6: Option<Ipv6Net>,
    /// No source NAT: the operator routes the subnet.
    pub disable_nat: bool,
}

/// MTU of a tunnel that asks for none: 1500 less IPv6, UDP and WireGuard headers.
pub const DEFAULT_MTU: u16 = 1420;

/// The least MTU of a Linux interface with IPv4 (RFC 791).
const LEAST_MTU: u16 = 68;

/// The least MTU with which an interface can have IPv6 addresses (RFC 8200, section 5).
const LEAST_MTU_IPV6: u16 = 1280;

impl VpnServer {
    /// MTU of the interface in bytes. The API takes less than any kernel does; what is too little is raised.
    #[must_use]
    pub fn effective_mtu(&self) -> u16 {
        match self.mtu {
            0 => DEFAULT_MTU,
            mtu if self.active_ipv6().is_some() => mtu.max(LEAST_MTU_IPV6),
            mtu => mtu.max(LEAST_MTU),
        }
    }

    /// The IPv6 address with its subnet, if the server carries IPv6.
    #[must_use]
    pub fn active_ipv6(&self) -> Option<Ipv6Net> {
        self.address_ipv6.filter(|_| self.ipv6)
    }

    /// The gateway's own addresses on its interface.
    pub fn own_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v6 = self.active_ipv6().map(|net| IpAddr::V6(net.addr()));
        [Some(IpAddr::V4(self.address.addr())), v6].into_iter().flatten()
    }

    /// Where accounts may ask the gateway for names (VPN API, section 3.3: `dns_1`, `dns_2`): its own addresses, and the
    /// server's public one.
    pub fn resolver_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let public = IpAddr::V4(self.external_ip);
        let public = (!public.is_unspecified() && self.external_ip != self.address.addr()).then_some(public);
        self.own_addresses().chain(public)
    }

    /// Whether an account may have this address: within the subnet, and neither its network, broadcast nor the
    /// server's own address.
    #[must_use]
    pub fn has_room_for(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => is_host_of(self.address, a) && a != self.address.addr(),
            IpAddr::V6(a) => self.active_ipv6().is_some_and(|net| is_host_of_v6(net, a) && a != net.addr()),
        }
    }
}

/// Whether an address can be a host's in its subnet: not the network, not the broadcast address (RFC 3021 lets a /31
/// use both, a /32 its one).
#[must_use]
pub fn is_host_of(net: Ipv4Net, address: Ipv4Addr) -> bool {
    net.contains(&address) && (net.prefix_len() >= 31 || (address != net.network() && address != net.broadcast()))
}

/// The same for IPv6, which has no broadcast; the network address is the routers' anycast (RFC 4291, 2.6.1).
#[must_use]
pub fn is_host_of_v6(net: Ipv6Net, address: Ipv6Addr) -> bool {
    net.contains(&address) && (net.prefix_len() >= 127 || address != net.network())
}

/// A port forwarding: `external_ip:port` of a server leads to one of its accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortForward {
    /// Port on the server's external address.
    pub dst_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Port at the account.
    pub to_port: u16,
}

/// What can be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
}

impl Protocol {
    /// The word in the API and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// Reads the word of the API and the database.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp].into_iter().find(|p| p.as_str() == text)
    }

    /// The number in an IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}
