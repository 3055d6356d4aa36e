//! The rules of the VPN service, from stored rows to kernel items.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use doorward_policy::{
    account::{Account, AccountId, ClientKey, Password, QuotaUse},
    client_config,
    desired::{self, Environment},
    item::{ClassId, Counter, Expiry, ForwardKey, ForwardTo, Item, Key, PeerId, QuotaId, Rate},
    key::{PresharedKey, PrivateKey},
    limits::{Bandwidth, Mark, Mbit, Quota, QuotaPeriod},
    vpn_server::{PortForward, Protocol, ServerId, VpnServer},
};
use jiff::tz::TimeZone;

const NOW: i64 = 1_800_000_000_000;

fn mbit(n: u16) -> Mbit {
    Mbit::new(n).unwrap()
}

fn server() -> VpnServer {
    VpnServer {
        id: ServerId(7),
        name: "Default_7".parse().unwrap(),
        interface: "wg7".parse().unwrap(),
        private_key: PrivateKey::from_random([1; 32]),
        listen_port: 51827,
        address: "10.40.6.1/24".parse().unwrap(),
        external_ip: Ipv4Addr::new(192, 0, 2, 10),
        dns: [Some(Ipv4Addr::new(10, 40, 6, 1)), Some(Ipv4Addr::new(192, 0, 2, 10))],
        dns_ipv6: [None, None],
        bandwidth: Bandwidth { down: mbit(20), up: mbit(10) },
        internal_traffic: false,
        ikev2: false,
        keep_alive: 0,
        mtu: 0,
        allowed_ips: String::new(),
        endpoint: String::new(),
        ipv6: false,
        address_ipv6: None,
        disable_nat: false,
    }
}

fn account() -> Account {
    let key = PrivateKey::from_random([3; 32]);
    Account {
        id: AccountId(3),
        server: ServerId(7),
        name: "peer_3".parse().unwrap(),
        username: "user_3".parse().unwrap(),
        password: Password::new("fake-Pass-123".to_owned()).unwrap(),
        enabled: true,
        address: Ipv4Addr::new(10, 40, 6, 3),
        address_ipv6: None,
        bandwidth: Bandwidth { down: mbit(20), up: mbit(10) },
        mark: Mark::new(102).unwrap(),
        public_key: key.public(),
        key: ClientKey::Kept(key),
        preshared_key: None,
        expires_at_ms: None,
        quota: None,
        quota_use: QuotaUse::default(),
        forwards: Vec::new(),
    }
}

fn environment() -> Environment {
    let wans = vec!["eth0".parse().unwrap()];
    Environment { advertised: wans.iter().copied().collect(), wans, zone: TimeZone::UTC, resolver: false }
}

fn keys(account: &Account) -> Vec<Key> {
    desired::account(account, &server(), &environment(), NOW).0.iter().map(Item::key).collect()
}

fn lets_through(account: &Account) -> bool {
    keys(account).iter().any(|key| matches!(key, Key::Granted(_) | Key::Peer(_) | Key::Forward(_) | Key::ClassOf(_)))
}

#[test]
fn an_account_has_a_class_in_each_direction_under_its_own_number() {
    let (items, deadline) = desired::account(&account(), &server(), &environment(), NOW);
    let class = |name: &str, mbit: u64| {
        let id = ClassId { interface: name.parse().unwrap(), minor: 0x102 };
        Item::Class(id, Rate(mbit * 1_000_000))
    };
    assert!(items.contains(&class("wg7", 20)) && items.contains(&class("eth0", 10)));
    let address = IpAddr::from([10, 40, 6, 3]);
    assert!(items.contains(&Item::ClassOf(address, 0x102)));
    assert!(items.contains(&Item::Granted(address, Expiry::Never)));
    assert_eq!(deadline, None);
}

#[test]
fn without_limits_there_is_no_class() {
    let free = Account { bandwidth: Bandwidth::default(), ..account() };
    assert!(!keys(&free).iter().any(|key| matches!(key, Key::Class(_) | Key::ClassOf(_))));
}

#[test]
fn a_suspended_account_keeps_its_counters_and_nothing_else() {
    let off = Account { enabled: false, ..account() };
    let counters = [Counter::AccountUp(AccountId(3)), Counter::AccountDown(AccountId(3))];
    assert_eq!(keys(&off), counters.map(Key::Counter));
}

#[test]
fn expiry_closes_at_its_moment_and_is_known_before() {
    let soon = Account { expires_at_ms: Some(NOW + 1), ..account() };
    assert!(lets_through(&soon));
    let (items, deadline) = desired::account(&soon, &server(), &environment(), NOW);
    assert!(items.contains(&Item::Granted([10, 40, 6, 3].into(), Expiry::At(NOW + 1))));
    assert_eq!(deadline, Some(NOW + 1));
    assert!(!lets_through(&Account { expires_at_ms: Some(NOW), ..account() }));
}

#[test]
fn a_spent_quota_closes_until_its_period_ends() {
    let quota = Some(Quota { bytes: 1_000, period: QuotaPeriod::Day });
    let (start, end) = QuotaPeriod::Day.bounds_ms(NOW, &TimeZone::UTC);
    let used = |period_start_ms, bytes| Account { quota, quota_use: QuotaUse { period_start_ms, bytes }, ..account() };
    assert!(lets_through(&used(start, 999)));
    assert!(!lets_through(&used(start, 1_000)));
    assert!(lets_through(&used(start - 86_400_000, 1_000)), "a new day has a new allowance");
    let (items, deadline) = desired::account(&used(start, 1_000), &server(), &environment(), NOW);
    assert_eq!(deadline, end);
    let id = QuotaId::Account { account: AccountId(3), period_start_ms: start };
    assert!(items.iter().any(|item| item.key() == Key::Quota(id)));
}

#[test]
fn forwardings_lead_from_the_external_address() {
    let forward = PortForward { dst_port: 8443, protocol: Protocol::Tcp, to_port: 443 };
    let (items, _) =
        desired::account(&Account { forwards: vec![forward], ..account() }, &server(), &environment(), NOW);
    let key = ForwardKey { address: [192, 0, 2, 10].into(), protocol: Protocol::Tcp, port: 8443 };
    assert!(items.contains(&Item::Forward(key, ForwardTo { address: [10, 40, 6, 3].into(), port: 443 })));
}

#[test]
fn both_families_share_what_belongs_to_the_account() {
    let ipv6: Ipv6Addr = "fd00::3".parse().unwrap();
    let both = Account { address_ipv6: Some(ipv6), ..account() };
    let v4_only = desired::account(&both, &server(), &environment(), NOW).0;
    assert!(!v4_only.iter().any(|item| item.key() == Key::Granted(ipv6.into())), "the server carries no IPv6");
    let server = VpnServer { ipv6: true, address_ipv6: Some("fd00::1/64".parse().unwrap()), ..server() };
    let (items, _) = desired::account(&both, &server, &environment(), NOW);
    let up = Counter::AccountUp(AccountId(3));
    for address in [IpAddr::from([10, 40, 6, 3]), IpAddr::V6(ipv6)] {
        assert!(items.contains(&Item::CountUp(address, up)));
        assert!(items.contains(&Item::ClassOf(address, 0x102)));
    }
    let id = PeerId { interface: "wg7".parse().unwrap(), public_key: both.public_key };
    assert_eq!(items.iter().filter(|item| item.key() == Key::Peer(id)).count(), 1);
}

#[test]
fn a_gateway_without_servers_leaves_the_host_alone() {
    let items = desired::base([], [], &doorward_policy::firewall::Firewall::default(), &environment());
    assert!(matches!(items.as_slice(), [Item::Skeleton(_)]));
}

#[test]
fn a_tunnel_gets_what_a_kernel_can_hold() {
    let tunnel = |server: &VpnServer| {
        let spec = |item| if let Item::Tunnel(_, spec) = item { Some(spec) } else { None };
        desired::server(server).into_iter().find_map(spec).unwrap()
    };
    let ipv6 = VpnServer { ipv6: true, address_ipv6: Some("fd00::1/64".parse().unwrap()), ..server() };
    for (asked, expected, expected_ipv6) in [(0, 1420, 1420), (1, 68, 1280), (1279, 1279, 1280), (9100, 9100, 9100)] {
        assert_eq!(tunnel(&VpnServer { mtu: asked, ..server() }).mtu, expected);
        assert_eq!(tunnel(&VpnServer { mtu: asked, ..ipv6.clone() }).mtu, expected_ipv6);
    }
    let unclamped = tunnel(&VpnServer { private_key: PrivateKey::from_bytes([0xff; 32]), ..server() });
    assert_eq!(unclamped.private_key, PrivateKey::from_random([0xff; 32]));
    assert_eq!(unclamped.private_key.public(), PrivateKey::from_bytes([0xff; 32]).public());
}

#[test]
fn the_skeleton_changes_with_what_it_is_rendered_from() {
    let skeleton = |server: &VpnServer| {
        let items = desired::base([server], [], &doorward_policy::firewall::Firewall::default(), &environment());
        items.into_iter().find(|item| item.key() == Key::Skeleton).unwrap()
    };
    assert_eq!(skeleton(&server()), skeleton(&VpnServer { keep_alive: 25, mtu: 1400, ..server() }));
    assert_ne!(skeleton(&server()), skeleton(&VpnServer { disable_nat: true, ..server() }));
    assert_ne!(skeleton(&server()), skeleton(&VpnServer { internal_traffic: true, ..server() }));
}

#[test]
fn the_client_configuration_is_that_of_the_specification() {
    let text = client_config::render(&account(), &server(), true);
    let expected = format!(
        "[Interface]\n\tAddress = 10.40.6.3/24\n\tDNS = 10.40.6.1,192.0.2.10\n\tPrivateKey = {}\n\t\n[Peer]\n\t\
         AllowedIPs = 0.0.0.0/0\n\tEndpoint = 192.0.2.10:51827\n\tPublicKey = {}",
        PrivateKey::from_random([3; 32]).expose_base64(),
        server().private_key.public()
    );
    assert_eq!(text, expected);
}

#[test]
fn the_client_configuration_has_what_was_asked_for() {
    let full = VpnServer {
        mtu: 1380,
        keep_alive: 70_000,
        ipv6: true,
        address_ipv6: Some("fd00:6::1/64".parse().unwrap()),
        dns_ipv6: [Some("fd00:6::1".parse().unwrap()), None],
        endpoint: "vpn.example.net".to_owned(),
        ..server()
    };
    let own = PrivateKey::from_random([9; 32]).public();
    let account = Account {
        address_ipv6: Some("fd00:6::3".parse().unwrap()),
        key: ClientKey::Own(own),
        public_key: own,
        preshared_key: Some(PresharedKey::from_bytes([5; 32])),
        ..account()
    };
    let text = client_config::render(&account, &full, false);
    for line in [
        "Address = 10.40.6.3/24,fd00:6::3/64",
        "DNS = 10.40.6.1,192.0.2.10,fd00:6::1",
        "MTU = 1380",
        "AllowedIPs = 0.0.0.0/0,::/0",
        "Endpoint = vpn.example.net:51827",
        "PersistentKeepalive = 65535",
        "PresharedKey = BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(!text.lines().any(|l| l.starts_with("PrivateKey")), "{text}");
    assert!(text.contains(&own.to_string()));
    let v6 = VpnServer { endpoint: "2001:db8::1".to_owned(), ..full };
    assert!(client_config::render(&account, &v6, false).contains("Endpoint = [2001:db8::1]:51827"));
}
