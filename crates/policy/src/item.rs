//! The things that a kernel holds for Doorward, each with a key under which it is unique.

mod skeleton;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

pub use self::skeleton::{FirewallRules, HotspotRules, ServerRules, Skeleton, SkeletonRules};
use crate::{
    account::AccountId,
    firewall::RuleId,
    guest::{GrantId, Mac, SessionId, Way},
    key::{PresharedKey, PrivateKey, PublicKey},
    name::IfName,
    vpn_server::{Protocol, ServerId},
};

/// One thing in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Our table's chains and rules.
    Skeleton(Skeleton),
    /// A kernel setting.
    Sysctl(Sysctl),
    /// A WireGuard interface, up.
    Tunnel(IfName, TunnelSpec),
    /// An address of an interface, host part kept.
    Address(IfName, IpNet),
    /// An HTB qdisc `1:` at the root of an interface, unclassified packets passing unshaped.
    Root(IfName),
    /// An HTB class `1:minor` with a leaf queue.
    Class(ClassId, Rate),
    /// A named counter object.
    Counter(Counter),
    /// A named quota object.
    Quota(QuotaId, QuotaSpec),
    /// The address may send and receive: an element of the granted set.
    Granted(IpAddr, Expiry),
    /// The counter of packets from the address.
    CountUp(IpAddr, Counter),
    /// The counter of packets to the address.
    CountDown(IpAddr, Counter),
    /// A quota that the address draws on; an account's stands in the slot of both ways.
    QuotaOf(IpAddr, Way, QuotaId),
    /// The minor of the class that packets from and to the address use.
    ClassOf(IpAddr, u16),
    /// Destination NAT.
    Forward(ForwardKey, ForwardTo),
    /// A peer of a tunnel.
    Peer(PeerId, PeerSpec),
    /// The device may send from the address on a guest network; both must match.
    Device(IpAddr, Mac, Expiry),
    /// Guests who are not logged in may reach the TCP port of the address.
    Garden(IpAddr, u16, Expiry),
    /// The device needs no login on the guest interface.
    AllowedMac(IfName, Mac),
    /// Nothing is taken from the device on the guest interface.
    BlockedMac(IfName, Mac),
    /// An address that we give to an interface that is not ours, host part kept. One that stands there already is left
    /// to whom it belongs.
    GuestAddress(IfName, IpNet),
    /// The ports of a bridge do not reach each other; of an interface that is no bridge, nothing.
    Isolated(IfName),
}

/// Names an [`Item`]; the kernel holds at most one item per key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is that of Item")]
pub enum Key {
    Skeleton,
    Sysctl(SysctlKey),
    Tunnel(IfName),
    Address(IfName, IpNet),
    Root(IfName),
    Class(ClassId),
    Counter(Counter),
    Quota(QuotaId),
    Granted(IpAddr),
    CountUp(IpAddr),
    CountDown(IpAddr),
    QuotaOf(IpAddr, Way),
    ClassOf(IpAddr),
    Forward(ForwardKey),
    Peer(PeerId),
    Device(IpAddr, Mac),
    Garden(IpAddr, u16),
    AllowedMac(IfName, Mac),
    BlockedMac(IfName, Mac),
    GuestAddress(IfName, IpNet),
    Isolated(IfName),
}

impl Key {
    /// Whether the item lets packets through. All others are there before it.
    #[must_use]
    pub fn opens(&self) -> bool {
        match self {
            Self::Granted(_)
            | Self::Forward(_)
            | Self::Peer(_)
            | Self::Device(..)
            | Self::Garden(..)
            | Self::AllowedMac(..) => true,
            Self::Skeleton
            | Self::Sysctl(_)
            | Self::Tunnel(_)
            | Self::Address(..)
            | Self::Root(_)
            | Self::Class(_)
            | Self::Counter(_)
            | Self::Quota(_)
            | Self::CountUp(_)
            | Self::CountDown(_)
            | Self::QuotaOf(..)
            | Self::ClassOf(_)
            | Self::BlockedMac(..)
            | Self::GuestAddress(..)
            | Self::Isolated(_) => false,
        }
    }
}

impl Item {
    /// The key of this item.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Skeleton(_) => Key::Skeleton,
            Self::Sysctl(s) => Key::Sysctl(s.key),
            Self::Tunnel(name, _) => Key::Tunnel(*name),
            Self::Address(name, net) => Key::Address(*name, *net),
            Self::Root(name) => Key::Root(*name),
            Self::Class(id, _) => Key::Class(*id),
            Self::Counter(counter) => Key::Counter(*counter),
            Self::Quota(id, _) => Key::Quota(*id),
            Self::Granted(address, _) => Key::Granted(*address),
            Self::CountUp(address, _) => Key::CountUp(*address),
            Self::CountDown(address, _) => Key::CountDown(*address),
            Self::QuotaOf(address, way, _) => Key::QuotaOf(*address, *way),
            Self::ClassOf(address, _) => Key::ClassOf(*address),
            Self::Forward(key, _) => Key::Forward(*key),
            Self::Peer(id, _) => Key::Peer(*id),
            Self::Device(address, mac, _) => Key::Device(*address, *mac),
            Self::Garden(address, port, _) => Key::Garden(*address, *port),
            Self::AllowedMac(name, mac) => Key::AllowedMac(*name, *mac),
            Self::BlockedMac(name, mac) => Key::BlockedMac(*name, *mac),
            Self::GuestAddress(name, net) => Key::GuestAddress(*name, *net),
            Self::Isolated(name) => Key::Isolated(*name),
        }
    }
}

/// Items by key: what the kernel should hold, or does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Items(pub BTreeMap<Key, Item>);

impl Items {
    /// Puts an item in the place of the one with the same key.
    pub fn put(&mut self, item: Item) {
        self.0.insert(item.key(), item);
    }
}

impl FromIterator<Item> for Items {
    fn from_iter<T: IntoIterator<Item = Item>>(items: T) -> Self {
        Self(items.into_iter().map(|item| (item.key(), item)).collect())
    }
}

/// A kernel setting and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Which one.
    pub key: SysctlKey,
    /// The wanted value.
    pub value: u64,
}

/// The kernel settings that Doorward changes. All are put back by `doorward down`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SysctlKey {
    /// `net.ipv6.conf.IF.accept_ra` of a WAN: 2 keeps router advertisements accepted while forwarding. Before
    /// forwarding, which would drop the routes that were learned from them.
    AcceptRa(IfName),
    /// `net.ipv4.ip_forward`
    ForwardV4,
    /// `net.ipv6.conf.all.forwarding`
    ForwardV6,
    /// `net.ipv4.neigh.default.gc_thresh` 1 to 3. The table is the kernel's own, so a network namespace may not have it.
    NeighboursV4(u8),
    /// `net.ipv6.neigh.default.gc_thresh` 1 to 3.
    NeighboursV6(u8),
}

impl SysctlKey {
    /// Path below `/proc/sys`.
    #[must_use]
    pub fn path(self) -> String {
        match self {
            Self::ForwardV4 => "net/ipv4/ip_forward".to_owned(),
            Self::ForwardV6 => "net/ipv6/conf/all/forwarding".to_owned(),
            Self::AcceptRa(name) => format!("net/ipv6/conf/{name}/accept_ra"),
            Self::NeighboursV4(step) => format!("net/ipv4/neigh/default/gc_thresh{step}"),
            Self::NeighboursV6(step) => format!("net/ipv6/neigh/default/gc_thresh{step}"),
        }
    }
}

/// A WireGuard interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelSpec {
    /// The server's key.
    pub private_key: PrivateKey,
    /// UDP port.
    pub listen_port: u16,
    /// Bytes.
    pub mtu: u16,
}

/// An HTB class of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId {
    /// Where packets leave.
    pub interface: IfName,
    /// Below major 1.
    pub minor: u16,
}

/// Bits per second; rate and ceiling are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(pub u64);

/// A named counter object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// Packets from an account.
    AccountUp(AccountId),
    /// Packets to an account.
    AccountDown(AccountId),
    /// Connections that a server's source NAT translated.
    ServerNat(ServerId),
    /// Packets between accounts of a server.
    ServerInternal(ServerId),
    /// Packets that a rule of the operator's matched.
    Rule(RuleId),
    /// Packets from a guest in a session.
    SessionUp(SessionId),
    /// Packets to a guest in a session.
    SessionDown(SessionId),
}

/// A named quota object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaId {
    /// An account's, in one period.
    Account {
        /// Whose.
        account: AccountId,
        /// Unix ms; a new period has a new object.
        period_start_ms: i64,
    },
    /// A grant's, shared by all its devices.
    Grant {
        /// Whose.
        grant: GrantId,
        /// Which way it counts.
        way: Way,
    },
}

/// Bytes allowed. Two are equal when their limits are: `used_bytes` counts only for a quota that is made.
#[derive(Debug, Clone, Copy)]
pub struct QuotaSpec {
    /// Bytes: of both directions together, or of the one that the quota's id names.
    pub limit_bytes: u64,
    /// Bytes used before the object is made, at most `limit_bytes`.
    pub used_bytes: u64,
}

impl PartialEq for QuotaSpec {
    fn eq(&self, other: &Self) -> bool {
        self.limit_bytes == other.limit_bytes
    }
}
impl Eq for QuotaSpec {}

/// Unix ms at which the kernel takes a grant back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Not by itself.
    Never,
    /// At this moment.
    At(i64),
}

/// What destination NAT matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForwardKey {
    /// A server's external address.
    pub address: Ipv4Addr,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Destination port.
    pub port: u16,
}

/// Where destination NAT leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardTo {
    /// An account's address.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
}

/// A peer of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    /// The tunnel.
    pub interface: IfName,
    /// The peer's key.
    pub public_key: PublicKey,
}

/// What a peer is configured with. Endpoint and keepalive are the client's to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSpec {
    /// Sorted; single addresses.
    pub allowed_ips: Box<[IpNet]>,
    /// Mixed into the handshake.
    pub preshared_key: Option<PresharedKey>,
}
