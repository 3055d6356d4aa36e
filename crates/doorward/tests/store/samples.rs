//! Things to store.

use doorward::store::Store;
use doorward_policy::{
    account::{Account, AccountId, ClientKey, Password, QuotaUse},
    key::{PresharedKey, PrivateKey},
    limits::{Bandwidth, Mark, Mbit, Quota, QuotaPeriod},
    vpn_server::{PortForward, Protocol, ServerId, VpnServer},
};

pub fn bandwidth(down: u16, up: u16) -> Bandwidth {
    Bandwidth { down: Mbit::new(down).unwrap(), up: Mbit::new(up).unwrap() }
}

/// Server `n`, 1 to 255, with every field set.
pub fn server(n: u8) -> VpnServer {
    VpnServer {
        id: ServerId(0),
        name: format!("Default_{n}").parse().unwrap(),
        interface: format!("wg{n}").parse().unwrap(),
        private_key: PrivateKey::from_random([n; 32]),
        listen_port: 51820 + u16::from(n),
        address: format!("10.{n}.0.1/16").parse().unwrap(),
        external_ip: "192.0.2.10".parse().unwrap(),
        dns: [Some("10.0.0.1".parse().unwrap()), None],
        dns_ipv6: [None, Some("2001:db8::53".parse().unwrap())],
        bandwidth: bandwidth(20, 10),
        internal_traffic: true,
        ikev2: false,
        keep_alive: 2_147_483_647,
        mtu: 9100,
        allowed_ips: "10.0.0.0/8,fd00::/8".to_owned(),
        endpoint: "vpn.example.net".to_owned(),
        ipv6: true,
        address_ipv6: Some(format!("fd00:{n}::1/64").parse().unwrap()),
        disable_nat: true,
    }
}

/// Account `n`, 1 to 60,000, of server 1, with every field set.
pub fn account(n: u16, server: ServerId) -> Account {
    let key = PrivateKey::from_random(key_bytes(n));
    let [high, low] = n.to_be_bytes();
    Account {
        id: AccountId(0),
        server,
        name: format!("peer_{n}").parse().unwrap(),
        username: format!("user_{n}").parse().unwrap(),
        password: Password::new(format!("pässword {n}")).unwrap(),
        enabled: true,
        address: [10, 1, high, low].into(),
        address_ipv6: Some(format!("fd00:1::{n:x}").parse().unwrap()),
        bandwidth: bandwidth(10_000, 0),
        mark: Mark::new(u32::from(n) + 99).unwrap(),
        public_key: key.public(),
        key: ClientKey::Kept(key),
        preshared_key: Some(PresharedKey::from_bytes([high ^ low; 32])),
        expires_at_ms: Some(1_900_000_000_123),
        quota: Some(Quota { bytes: u64::from(n), period: QuotaPeriod::Week }),
        quota_use: QuotaUse { period_start_ms: 7, bytes: 8 },
        forwards: Vec::new(),
    }
}

fn key_bytes(n: u16) -> [u8; 32] {
    let mut bytes = [1; 32];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    bytes[1] &= 0xff;
    bytes[2..4].copy_from_slice(&n.to_be_bytes());
    bytes
}

pub fn forward(dst_port: u16, protocol: Protocol) -> PortForward {
    PortForward { dst_port, protocol, to_port: 443 }
}

/// Stores server `n`.
pub async fn stored_server(store: &Store, n: u8) -> VpnServer {
    let mut server = server(n);
    server.id = store.insert_server(&server).await.unwrap();
    server
}

/// Stores account `n`.
pub async fn stored_account(store: &Store, n: u16, server: ServerId) -> Account {
    let mut account = account(n, server);
    account.id = store.insert_account(&account).await.unwrap();
    account
}
