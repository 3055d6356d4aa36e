//! What the cases want of a kernel.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{SystemTime, UNIX_EPOCH},
};

use doorward_policy::{
    account::AccountId,
    guest::Way,
    item::{
        ClassId, Counter, Expiry, ForwardKey, ForwardTo, Item, Items, PeerId, PeerSpec, QuotaId, QuotaSpec, Rate,
        ServerRules, Skeleton, SkeletonRules, Sysctl, SysctlKey, TunnelSpec,
    },
    key::{PresharedKey, PrivateKey, PublicKey},
    name::IfName,
    vpn_server::{Protocol, ServerId},
};
use ipnet::IpNet;

pub fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

pub fn wan() -> IfName {
    name("eth0")
}

pub fn tunnel() -> IfName {
    name("wg70")
}

pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub fn v4(account: i64) -> IpAddr {
    let n = u16::try_from(account).unwrap();
    IpAddr::V4(Ipv4Addr::new(10, 70, (n >> 8) as u8, n as u8))
}

pub fn v6(account: i64) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd70, 0, 0, 0, 0, 0, 0, u16::try_from(account).unwrap()))
}

pub fn skeleton(internal_traffic: bool) -> Item {
    let server = ServerRules {
        id: ServerId(1),
        interface: tunnel(),
        subnet: "10.70.0.0/16".parse().unwrap(),
        subnet_ipv6: Some("fd70::/64".parse().unwrap()),
        nat_to: Some(Ipv4Addr::new(192, 0, 2, 10)),
        internal_traffic,
        resolver: Vec::new(),
    };
    Item::Skeleton(Skeleton::of(SkeletonRules { wans: vec![wan()], servers: vec![server], ..SkeletonRules::default() }))
}

pub fn base() -> Vec<Item> {
    vec![
        skeleton(false),
        Item::Sysctl(Sysctl { key: SysctlKey::ForwardV4, value: 1 }),
        Item::Sysctl(Sysctl { key: SysctlKey::ForwardV6, value: 1 }),
        Item::Sysctl(Sysctl { key: SysctlKey::AcceptRa(wan()), value: 2 }),
        Item::Root(wan()),
    ]
}

pub fn server(mtu: u16) -> Vec<Item> {
    let spec = TunnelSpec { private_key: PrivateKey::from_random([7; 32]), listen_port: 51_870, mtu };
    vec![
        Item::Tunnel(tunnel(), spec),
        Item::Address(tunnel(), net("10.70.255.254/16")),
        Item::Address(tunnel(), net("fd70::ffff/64")),
        Item::Root(tunnel()),
        Item::Counter(Counter::ServerNat(ServerId(1))),
        Item::Counter(Counter::ServerInternal(ServerId(1))),
    ]
}

pub fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// What of an account may differ.
#[derive(Clone, Copy)]
pub struct Account {
    pub id: i64,
    pub rate: u64,
    pub limit: u64,
    pub expiry: Expiry,
    pub to_port: u16,
    pub preshared: u8,
}

pub fn account(id: i64) -> Account {
    Account { id, rate: 10_000_000, limit: 1_000_000, expiry: Expiry::Never, to_port: 22, preshared: 1 }
}

pub fn public_key(id: i64) -> PublicKey {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    PublicKey(bytes)
}

pub fn quota_id(id: i64) -> QuotaId {
    QuotaId::Account { account: AccountId(id), period_start_ms: 1_767_222_000_000 }
}

pub fn peer_id(id: i64) -> PeerId {
    PeerId { interface: tunnel(), public_key: public_key(id) }
}

pub fn forward_key(id: i64) -> ForwardKey {
    ForwardKey {
        address: Ipv4Addr::new(192, 0, 2, 10),
        protocol: if id % 2 == 0 { Protocol::Tcp } else { Protocol::Udp },
        port: 20_000 + u16::try_from(id).unwrap(),
    }
}

impl Account {
    pub fn minor(self) -> u16 {
        0x100 + u16::try_from(self.id).unwrap()
    }

    pub fn items(self) -> Vec<Item> {
        let (up, down) = (Counter::AccountUp(AccountId(self.id)), Counter::AccountDown(AccountId(self.id)));
        let class = |interface| Item::Class(ClassId { interface, minor: self.minor() }, Rate(self.rate));
        let mut items = vec![
            Item::Counter(up),
            Item::Counter(down),
            Item::Quota(quota_id(self.id), QuotaSpec { limit_bytes: self.limit, used_bytes: 1_234 }),
            class(tunnel()),
            class(wan()),
        ];
        for address in [v4(self.id), v6(self.id)] {
            items.extend([
                Item::CountUp(address, up),
                Item::CountDown(address, down),
                Item::QuotaOf(address, Way::Total, quota_id(self.id)),
                Item::ClassOf(address, self.minor()),
                Item::Granted(address, self.expiry),
            ]);
        }
        let IpAddr::V4(inner) = v4(self.id) else { panic!("IPv4") };
        items.push(Item::Forward(forward_key(self.id), ForwardTo { address: inner, port: self.to_port }));
        let spec = PeerSpec {
            allowed_ips: Box::new([IpNet::from(v4(self.id)), IpNet::from(v6(self.id))]),
            preshared_key: Some(PresharedKey::from_bytes([self.preshared; 32])),
        };
        items.push(Item::Peer(peer_id(self.id), spec));
        items
    }
}

/// A server with some accounts.
pub fn world(accounts: impl IntoIterator<Item = i64>) -> Items {
    let accounts = accounts.into_iter().flat_map(|id| account(id).items());
    base().into_iter().chain(server(1420)).chain(accounts).collect()
}
