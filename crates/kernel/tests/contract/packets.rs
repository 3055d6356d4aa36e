//! Real packets through the rules: clients (Debian's wireguard-go), a LAN and an internet in namespaces beside the
//! gateway's own.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
    time::{Duration, Instant},
};

use doorward_kernel::{Kernel, linux::Linux};
use doorward_policy::{
    account::AccountId,
    item::{
        ClassId, Counter, Expiry, Item, Items, PeerId, PeerSpec, QuotaSpec, Rate, ServerRules, Skeleton, SkeletonRules,
        TunnelSpec,
    },
    key::PrivateKey,
    name::IfName,
    observed::Scope,
    plan::Change,
    vpn_server::ServerId,
};

use super::{
    cases::converge,
    linux::{in_namespaces, sh},
    world::{account, base, forward_key, net, quota_id, server, tunnel, v4, v6, wan},
};

/// The gateway within the VPN.
const GATEWAY: &str = "10.70.255.254";

pub fn succeeds(line: &str) -> bool {
    Command::new("sh").args(["-ec", line]).output().unwrap().status.success()
}

/// `line` as client `n` would run it.
fn at(n: i64, line: &str) -> String {
    format!("ip netns exec c{n} {line}")
}

fn pings(n: i64, address: &str) -> bool {
    succeeds(&at(n, &format!("ping -c2 -i0.2 -W1 {address}")))
}

/// Whether a TCP connection comes about, and lives long enough to say something.
pub fn connects(from: &str, address: &str, port: u16) -> bool {
    let family = if address.contains(':') { "TCP6" } else { "TCP4" };
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    succeeds(&format!("{from} timeout 2 socat -u {family}:{address}:{port},connect-timeout=1 - | grep -q hello"))
}

/// Says hello to whoever connects.
pub fn greet(at: &str, port: u16) {
    sh(&format!("{at} socat TCP6-LISTEN:{port},fork,reuseaddr,ipv6only=0 SYSTEM:'echo hello' >/dev/null 2>&1 &"));
}

/// Sends zeros without end to whoever connects to port 81 of the internet.
fn pour() {
    sh("ip netns exec inet socat -u OPEN:/dev/zero TCP4-LISTEN:81,fork,reuseaddr >/dev/null 2>&1 &");
    listens(81);
}

/// Waits until somebody of the internet listens.
pub fn listens(port: u16) {
    sh(&format!(
        "for i in $(seq 100); do ip netns exec inet ss -Hltn | grep -q ':{port} ' && exit 0; sleep 0.05; done; exit 1"
    ));
}

fn key(n: i64) -> PrivateKey {
    PrivateKey::from_random([u8::try_from(n).unwrap() + 40; 32])
}

/// The world of a server `wg70` with clients 1 and 2, and `wg71` with client 3.
fn desired() -> Items {
    let mut items: Items = base().into_iter().chain(server(1420)).collect();
    for n in [1, 2] {
        let mut one = account(n);
        (one.rate, one.limit) = (100_000_000, 1 << 40);
        for item in one.items() {
            items.put(if matches!(item, Item::Peer(..)) { peer(n) } else { item });
        }
    }
    let second = "wg71".parse().unwrap();
    let spec = TunnelSpec { private_key: PrivateKey::from_random([8; 32]), listen_port: 51_871, mtu: 1420 };
    let peer_spec = PeerSpec { allowed_ips: Box::new([net("10.71.0.3/32")]), preshared_key: None };
    for item in [
        Item::Tunnel(second, spec),
        Item::Address(second, net("10.71.0.1/24")),
        Item::Granted(IpAddr::V4(Ipv4Addr::new(10, 71, 0, 3)), Expiry::Never),
        Item::Peer(PeerId { interface: second, public_key: key(3).public() }, peer_spec),
        Item::Counter(Counter::ServerNat(ServerId(2))),
        Item::Counter(Counter::ServerInternal(ServerId(2))),
        skeleton(false),
    ] {
        items.put(item);
    }
    items
}

fn skeleton(internal_traffic: bool) -> Item {
    let rules = |id, interface: &str, subnet: &str, subnet_ipv6: Option<&str>| ServerRules {
        id: ServerId(id),
        interface: interface.parse().unwrap(),
        subnet: subnet.parse().unwrap(),
        subnet_ipv6: subnet_ipv6.map(|net| net.parse().unwrap()),
        nat_to: Some(Ipv4Addr::new(192, 0, 2, 10)),
        internal_traffic,
        resolver: Vec::new(),
    };
    let servers = vec![rules(1, "wg70", "10.70.0.0/16", Some("fd70::/64")), rules(2, "wg71", "10.71.0.0/24", None)];
    Item::Skeleton(Skeleton::of(SkeletonRules { wans: vec![wan()], servers, ..SkeletonRules::default() }))
}

fn peer(n: i64) -> Item {
    let allowed_ips = Box::new([v4(n).into(), v6(n).into()]);
    let id = PeerId { interface: tunnel(), public_key: key(n).public() };
    Item::Peer(id, PeerSpec { allowed_ips, preshared_key: None })
}

/// Lays the networks around the gateway and starts the clients.
async fn lay(kernel: &mut Linux) -> Items {
    sh("mkdir -p /run/netns
        ip netns add inet; ip link set internet netns inet
        ip netns exec inet sh -ec 'ip link set lo up; ip addr add 192.0.2.1/24 dev internet; ip link set internet up
            ip addr add 198.51.100.1/32 dev lo; ip addr add 2001:db8::1/64 dev internet nodad'
        ip addr add 2001:db8::10/64 dev eth0 nodad; ip route add default via 2001:db8::1
        ip netns add lan; ip link add lan0 type veth peer name eth0 netns lan
        ip addr add 10.99.0.1/24 dev lan0; ip link set lan0 up
        ip netns exec lan sh -ec 'ip link set lo up; ip addr add 10.99.0.2/24 dev eth0; ip link set eth0 up
            ip route add default via 10.99.0.1'");
    let desired = desired();
    converge(kernel, &desired).await;
    for (n, server, port, address) in [
        (1, PrivateKey::from_random([7; 32]), 51_870, "10.70.0.1"),
        (2, PrivateKey::from_random([7; 32]), 51_870, "10.70.0.2"),
        (3, PrivateKey::from_random([8; 32]), 51_871, "10.71.0.3"),
    ] {
        let (secret, public) = (key(n).expose_base64(), server.public());
        sh(&format!(
            "ip netns add c{n}; ip link add a{n} type veth peer name eth0 netns c{n}
             ip addr add 203.0.113.254/32 peer 203.0.113.{n}/32 dev a{n}; ip link set a{n} up
             alias ns='ip netns exec c{n}'
             ns ip link set lo up; ns ip addr add 203.0.113.{n}/32 peer 203.0.113.254/32 dev eth0; ns ip link set eth0 up
             ns wireguard-go w{n} >/dev/null 2>&1
             ns sh -ec 'echo {secret} | wg set w{n} private-key /dev/stdin peer {public} \
                endpoint 203.0.113.254:{port} allowed-ips 0.0.0.0/0,::/0 persistent-keepalive 5'
             ns ip addr add {address}/32 dev w{n}; ns ip addr add fd70::{n}/128 dev w{n} nodad
             ns ip link set w{n} mtu 1420 up; ns ip route add default dev w{n}; ns ip -6 route add default dev w{n}"
        ));
    }
    assert!(pings(1, GATEWAY) && pings(2, GATEWAY), "handshakes");
    desired
}

async fn bytes(kernel: &mut Linux, counter: Counter) -> u64 {
    kernel.observe(Scope::Counters).await.unwrap().stats.counters.get(&counter).map_or(0, |count| count.bytes)
}

async fn put(kernel: &mut Linux, change: Change) {
    for result in kernel.apply(&[change]).await {
        result.unwrap();
    }
}

#[test]
fn who_may_send_what() {
    in_namespaces("packets::who_may_send_what", async |host| {
        let mut kernel = host.open().await;
        let desired = lay(&mut kernel).await;
        let inet = "ip netns exec inet";
        let lan = "ip netns exec lan";
        greet(inet, 80);
        greet(lan, 80);
        greet("", 22);
        greet(&at(1, ""), 22);
        greet(&at(2, ""), 80);
        tokio::time::sleep(Duration::from_millis(300)).await;

        // Outwards, by both versions, and counted.
        assert!(pings(1, "198.51.100.1") && pings(1, "2001:db8::1"));
        assert!(connects(&at(1, ""), "198.51.100.1", 80) && connects(&at(1, ""), "2001:db8::1", 80));
        assert!(pings(3, "198.51.100.1"));
        assert!(bytes(&mut kernel, Counter::AccountUp(AccountId(1))).await > 400);
        assert!(bytes(&mut kernel, Counter::AccountDown(AccountId(1))).await > 400);
        assert!(bytes(&mut kernel, Counter::ServerNat(ServerId(1))).await > 0);
        assert_eq!(bytes(&mut kernel, Counter::AccountUp(AccountId(2))).await, 0);

        // The gateway: pings only, at any of its addresses.
        assert!(pings(1, "192.0.2.10") && pings(1, "fd70::ffff"));
        for address in [GATEWAY, "192.0.2.10", "10.99.0.1", "fd70::ffff", "2001:db8::10"] {
            assert!(!connects(&at(2, ""), address, 22), "client to the gateway at {address}");
        }
        // What is not ours is as if we were not there.
        assert!(connects(inet, "192.0.2.10", 22) && connects(lan, "10.99.0.1", 22), "the host's own services");
        assert!(connects("", "10.99.0.2", 80) && connects("", "198.51.100.1", 80), "the host itself outwards");
        assert!(succeeds("ping -c1 -W1 10.70.0.2"), "the gateway's own pings to a client");

        // The LAN, in both directions.
        assert!(!connects(&at(1, ""), "10.99.0.2", 80) && !pings(1, "10.99.0.2"));
        assert!(!connects(lan, "10.70.0.2", 80));
        // From the internet only what is forwarded: port 20002 leads to port 22 of client 2, UDP 20001 to client 1.
        sh("ip netns exec inet ip route add 10.70.0.0/16 via 192.0.2.10");
        assert!(!connects(inet, "10.70.0.2", 80));
        greet(&at(2, ""), 22);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(connects(inet, "192.0.2.10", 20_002), "a port forwarding");
        put(
            &mut kernel,
            Change::Remove(desired.0.get(&doorward_policy::item::Key::Forward(forward_key(2))).unwrap().clone()),
        )
        .await;
        assert!(!connects(inet, "192.0.2.10", 20_002));

        // Between accounts, and between servers.
        assert!(!connects(&at(1, ""), "10.70.0.2", 80) && !pings(1, "10.70.0.2"));
        assert!(bytes(&mut kernel, Counter::ServerInternal(ServerId(1))).await > 0, "refused, but counted");
        put(&mut kernel, Change::Replace { from: skeleton(false), to: skeleton(true) }).await;
        assert!(connects(&at(1, ""), "10.70.0.2", 80) && pings(1, "fd70::2"));
        assert!(bytes(&mut kernel, Counter::AccountDown(AccountId(2))).await > 0);
        assert!(!pings(1, "10.71.0.3") && !pings(3, "10.70.0.1"), "between servers");
        put(&mut kernel, Change::Remove(Item::Granted(v4(2), Expiry::Never))).await;
        assert!(!pings(1, "10.70.0.2"), "to an account without a grant");

        // Without a grant nothing passes, though the tunnel stands.
        assert!(!pings(2, "198.51.100.1") && !pings(2, GATEWAY));
        assert!(pings(2, "2001:db8::1"), "by IPv6 it still has one");
        put(&mut kernel, Change::Remove(Item::Granted(v6(2), Expiry::Never))).await;
        assert!(!pings(2, "2001:db8::1"));
        assert!(pings(1, "198.51.100.1"));
    });
}

/// Downloads as client 1 for as long as something comes; how many bytes came.
fn download(seconds: u32) -> u64 {
    let count = at(1, &format!("timeout {seconds} socat -u TCP4:198.51.100.1:81,connect-timeout=1 - | wc -c"));
    sh(&format!("{count} || true")).trim().parse().unwrap()
}

#[test]
fn a_revoked_grant_cuts_an_established_flow() {
    in_namespaces("packets::a_revoked_grant_cuts_an_established_flow", async |host| {
        let mut kernel = host.open().await;
        lay(&mut kernel).await;
        pour();
        sh(&at(1, "socat -u TCP4:198.51.100.1:81,connect-timeout=1,retry=5 OPEN:/dev/null >/dev/null 2>&1 &"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let down = Counter::AccountDown(AccountId(1));
        let before = bytes(&mut kernel, down).await;
        assert!(before > 1_000_000, "{before} bytes flow");
        let started = Instant::now();
        put(&mut kernel, Change::Remove(Item::Granted(v4(1), Expiry::Never))).await;
        let took = started.elapsed();
        let cut = bytes(&mut kernel, down).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(bytes(&mut kernel, down).await, cut, "not one more packet");
        assert!(took < Duration::from_millis(100), "{took:?}");
        // By itself at a moment.
        let soon = super::world::now_ms() + 1_500;
        put(&mut kernel, Change::Add(Item::Granted(v4(1), Expiry::At(soon)))).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(pings(1, "198.51.100.1"), "granted anew");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert!(!pings(1, "198.51.100.1"), "run out");
    });
}

#[test]
fn a_quota_cuts_where_it_should() {
    in_namespaces("packets::a_quota_cuts_where_it_should", async |host| {
        let mut kernel = host.open().await;
        lay(&mut kernel).await;
        pour();
        let quota = |limit_bytes| Item::Quota(quota_id(1), QuotaSpec { limit_bytes, used_bytes: 0 });
        let used = kernel.observe(Scope::Counters).await.unwrap().stats.quotas.get(&quota_id(1)).unwrap().used_bytes;
        let counted = async |kernel: &mut Linux| {
            bytes(kernel, Counter::AccountUp(AccountId(1))).await
                + bytes(kernel, Counter::AccountDown(AccountId(1))).await
        };
        let limit = used + 3_000_000;
        let before = counted(&mut kernel).await;
        put(&mut kernel, Change::Replace { from: quota(1 << 40), to: quota(limit) }).await;
        let got = download(4);
        let passed = counted(&mut kernel).await - before;
        assert!(passed <= 3_000_000, "never above: {passed}");
        assert!(passed > 3_000_000 - 65_536, "at most 64 KiB below: {passed}");
        assert!(got < 3_000_000 && got > 2_700_000, "{got} bytes reached the client");
        let now = kernel.observe(Scope::Counters).await.unwrap().stats.quotas.get(&quota_id(1)).unwrap().used_bytes;
        assert_eq!(now, limit);
        assert!(!pings(1, "198.51.100.1"), "nothing more");
        // A larger one lets it go on, with what was used.
        put(&mut kernel, Change::Replace { from: quota(limit), to: quota(limit + (1 << 30)) }).await;
        assert!(pings(1, "198.51.100.1"));
    });
}

/// Bytes of IP that left by the class of client 1.
async fn sent(kernel: &mut Linux, interface: IfName) -> u64 {
    let stats = kernel.observe(Scope::Shaping(interface)).await.unwrap().stats;
    let queue = stats.classes.get(&ClassId { interface, minor: account(1).minor() }).unwrap().queue;
    // A WAN counts Ethernet headers too.
    if interface == wan() { queue.bytes - 14 * queue.packets } else { queue.bytes }
}

/// Mbit/s of IP towards the client (`down`) or from it while three flows want more, and the ms of a ping meanwhile.
async fn rate(kernel: &mut Linux, direction: &str, seconds: u32) -> (f64, f64) {
    let interface = if direction == "down" { tunnel() } else { wan() };
    let one = match direction {
        "down" => "socat -u TCP4:198.51.100.1:81,connect-timeout=5 OPEN:/dev/null",
        _ => "socat -u OPEN:/dev/zero TCP4:198.51.100.1:82,connect-timeout=5",
    };
    for _ in 0..3 {
        sh(&at(1, &format!("timeout -s KILL {} {one} >/dev/null 2>&1 &", seconds + 2)));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (started, before) = (Instant::now(), sent(kernel, interface).await);
    let ping = std::thread::spawn(|| sh(&at(1, "ping -q -c 8 -i 0.3 -W 3 198.51.100.1 | tail -1")));
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    let passed = sent(kernel, interface).await - before;
    let mbit = passed as f64 * 8e-6 / started.elapsed().as_secs_f64();
    let ping = ping.join().unwrap();
    (mbit, ping.split('/').nth(4).unwrap().parse().unwrap())
}

#[test]
fn rates_hold() {
    in_namespaces("packets::rates_hold", async |host| {
        let mut kernel = host.open().await;
        lay(&mut kernel).await;
        pour();
        sh("ip netns exec inet socat -u TCP4-LISTEN:82,fork,reuseaddr OPEN:/dev/null >/dev/null 2>&1 &");
        listens(82);
        let all = std::env::var_os("DOORWARD_CONTRACT_ALL_RATES").is_some();
        let (rates, seconds): (&[u64], u32) = if all { (&[1, 10, 100], 10) } else { (&[1, 10], 3) };
        for mbit in rates {
            for interface in [tunnel(), wan()] {
                let class = |rate| Item::Class(ClassId { interface, minor: account(1).minor() }, Rate(rate));
                put(&mut kernel, Change::Replace { from: class(1), to: class(mbit * 1_000_000) }).await;
            }
            for direction in ["down", "up"] {
                let (measured, ping_ms) = rate(&mut kernel, direction, seconds).await;
                println!("{mbit} Mbit/s {direction}: {measured:.3} Mbit/s, ping {ping_ms} ms");
                let off = (measured / *mbit as f64 - 1.0).abs();
                assert!(off < 0.05, "{mbit} Mbit/s: {measured}");
                assert!(ping_ms < 200.0, "{ping_ms} ms");
            }
        }
    });
}
