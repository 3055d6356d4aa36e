//! What guests cost the kernel: packets per second through the rules with one and with 10,000 guests (P1), and what the
//! kernel's part of one login takes (P2). Prints rows of a Markdown table.
//!
//! Needs root; runs in network and mount namespaces of its own. Programs: `ip`, `nft`, `unshare`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench ends where something fails, and prints")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{IoSlice, Write as _},
    net::{IpAddr, Ipv4Addr, UdpSocket},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use doorward_kernel::{
    Kernel as _,
    linux::{Linux, LinuxConfig},
    nft::NftOwner,
    tunnel::{Backend, TunnelConfig},
};
use doorward_policy::{
    desired::{self, Environment},
    guest::{DataLimits, DataUse, Grant, GrantId, Mac, Session, SessionId},
    hotspot::{Hotspot, HotspotId},
    item::{Item, Items},
    limits::{Bandwidth, Mark, Mbit},
    plan::{Change, plan},
};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};

const GUESTS: u32 = 10_000;
const MEASURED: Duration = Duration::from_secs(2);
const RUNS: usize = 5;
/// Of the peers: six rules for each guest, tried one after another (`openNDS`).
const LINEAR_GUESTS: u32 = 1_000;

fn main() {
    match std::env::var("BENCH_INSIDE").as_deref() {
        Ok("flood") => flood(),
        Ok(_) => tokio::runtime::Runtime::new().unwrap().block_on(measure()),
        Err(_) => {
            let own = std::env::current_exe().unwrap();
            let error = Command::new("unshare").args(["--net", "--mount"]).arg(own).env("BENCH_INSIDE", "1").exec();
            eprintln!("unshare: {error}");
            std::process::exit(1);
        }
    }
}

async fn measure() {
    for line in [
        "mount -t tmpfs tmpfs /run",
        "mount -t sysfs sysfs /sys",
        "ip netns add guest",
        "ip netns add internet",
        "ip link set lo up",
        "ip link add guest0 type veth peer name eth0 netns guest",
        "ip link add wan0 type veth peer name eth0 netns internet",
        "ip addr add 192.0.2.1/24 dev wan0",
        "ip link set guest0 up",
        "ip link set wan0 up",
        "ip route add default via 192.0.2.2",
        "ip -n guest link set eth0 up",
        "ip -n guest addr add 10.20.0.2/16 dev eth0",
        "ip -n guest route add default via 10.20.0.1",
        "ip -n internet link set eth0 up",
        "ip -n internet addr add 192.0.2.2/24 dev eth0",
        "ip -n internet route add default via 192.0.2.1",
        // What arrives is thrown away at once: the gateway is to be the limit.
        "ip netns exec internet nft add table netdev sink",
        "ip netns exec internet nft add chain netdev sink in { type filter hook ingress device eth0 priority 0 ; }",
        "ip netns exec internet nft add rule netdev sink in udp dport 9 drop",
    ] {
        run(line);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut linux = Linux::open(LinuxConfig {
        tunnels: TunnelConfig {
            backend: Backend::Auto,
            program: PathBuf::from("/bin/false"),
            socket_dir: folder.path().to_owned(),
            systemd: false,
        },
        nft_owner: NftOwner::Off,
        state_dir: folder.path().to_owned(),
        wans: Some(vec!["wan0".parse().unwrap()]),
    })
    .await
    .unwrap();

    run("ip addr add 10.20.0.1/16 dev guest0");
    run("sysctl -qw net.ipv4.ip_forward=1");
    let empty = packets_per_second();
    linear_rules();
    let linear = packets_per_second();
    let linear_login = linear_login();
    run("nft flush ruleset");
    run("ip addr del 10.20.0.1/16 dev guest0");

    let mut applied = Items::default();
    bring(&mut linux, &mut applied, 1).await;
    let one = packets_per_second();
    let login_one = login_ms(&mut linux, &mut applied, 1).await;
    let started = Instant::now();
    bring(&mut linux, &mut applied, GUESTS).await;
    eprintln!("{GUESTS} guests in the kernel after {:.1} s", started.elapsed().as_secs_f64());
    let many = packets_per_second();
    let login_many = login_ms(&mut linux, &mut applied, GUESTS).await;

    let kpps = |rate: f64| format!("{:.0} kpps", rate / 1e3);
    let ratio = many / one;
    row("P1", "forwarding, empty ruleset (the sender's own limit is near)", &kpps(empty), "reference", None);
    row(
        "P1",
        "forwarding, all rules, 1 guest",
        &format!("{}, {:.2} of empty", kpps(one), one / empty),
        "reference",
        None,
    );
    row(
        "P1",
        &format!("forwarding, all rules, {GUESTS} guests"),
        &format!("{}, {ratio:.2} of 1 guest, {:.2} of empty", kpps(many), many / empty),
        "≥ 0.90 of 1 guest",
        Some(ratio >= 0.9),
    );
    row(
        "P1",
        &format!("forwarding, six linear rules a guest, {LINEAR_GUESTS} guests"),
        &format!("{}, {:.2} of empty", kpps(linear), linear / empty),
        "reference (openNDS's layout)",
        None,
    );
    row("P2", "one login in the kernel, 1 guest online", &format!("{login_one:.2} ms"), "reference", None);
    row(
        "P2",
        &format!("one login in the kernel, {GUESTS} online"),
        &format!("{login_many:.2} ms"),
        "≤ 1 ms",
        Some(login_many <= 1.0),
    );
    row(
        "P2",
        &format!("six `nft` calls for a login, {LINEAR_GUESTS} online"),
        &format!("{linear_login:.0} ms"),
        "reference (openNDS's way)",
        None,
    );
    linux.down().await.unwrap();
}

fn row(target: &str, what: &str, measured: &str, reference: &str, met: Option<bool>) {
    let verdict = met.map_or("–", |met| if met { "met" } else { "**missed**" });
    println!("| {target} | {what} | {measured} | {reference} | {verdict} |");
}

fn address(n: u32) -> Ipv4Addr {
    let (high, low) = (u8::try_from(n / 250).unwrap(), u8::try_from(n % 250).unwrap());
    Ipv4Addr::new(10, 20, 1 + high, 1 + low)
}

/// A guest with every kind of limit, none of which bites. Number 0 is the sender.
fn guest(n: u32) -> Grant {
    let (own, mac) = (Ipv4Addr::new(10, 20, 0, 2), n.to_be_bytes());
    let mac = if n == 0 { sender_mac() } else { Mac([2, 0, mac[0], mac[1], mac[2], mac[3]]) };
    let far = Some(1 << 50);
    Grant {
        id: GrantId(i64::from(n) + 1),
        enabled: true,
        starts_ms: 0,
        ends_ms: Some(i64::MAX / 2_000_000),
        speed: Bandwidth { down: Mbit::new(10_000).unwrap(), up: Mbit::new(10_000).unwrap() },
        limits: DataLimits { down: far, up: far, total: far },
        used: DataUse::default(),
        spent: false,
        mark: Mark::new(100 + n),
        sessions: vec![Session {
            id: SessionId(i64::from(n) + 1),
            hotspot: HotspotId(1),
            mac,
            addresses: vec![IpAddr::V4(if n == 0 { own } else { address(n) })],
            ends_ms: None,
            open: true,
        }],
    }
}

fn sender_mac() -> Mac {
    let text = output("ip -n guest -o link show eth0");
    text.split_once("link/ether ").unwrap().1.split(' ').next().unwrap().parse().unwrap()
}

fn environment() -> Environment {
    let wans = vec!["wan0".parse().unwrap()];
    Environment { wans, advertised: std::collections::BTreeSet::new(), zone: jiff::tz::TimeZone::UTC, resolver: false }
}

fn hotspot() -> Hotspot {
    Hotspot {
        id: HotspotId(1),
        interface: "guest0".parse().unwrap(),
        address: "10.20.0.1/16".parse().unwrap(),
        address_ipv6: None,
        nat_ipv6: true,
        isolated: true,
        lan_access: Vec::new(),
        portal_tls: false,
        allowed: Vec::new(),
        blocked: Vec::new(),
    }
}

fn items_of(grant: &Grant) -> Vec<Item> {
    let hotspots = BTreeMap::from([(HotspotId(1), hotspot())]);
    desired::grant(grant, &hotspots, &environment(), 1).0
}

/// Brings the kernel to so many guests.
async fn bring(linux: &mut Linux, applied: &mut Items, guests: u32) {
    let hotspot = hotspot();
    let mut wanted: Items =
        desired::base([], [&hotspot], &doorward_policy::firewall::Firewall::default(), &environment())
            .into_iter()
            .collect();
    desired::hotspot(&hotspot).into_iter().for_each(|item| wanted.put(item));
    (0..guests).flat_map(|n| items_of(&guest(n))).for_each(|item| wanted.put(item));
    for slice in plan(&wanted, applied).chunks(1_000) {
        carry_out(linux, slice).await;
    }
    *applied = wanted;
}

async fn carry_out(linux: &mut Linux, changes: &[Change]) {
    for (result, change) in linux.apply(changes).await.into_iter().zip(changes) {
        result.unwrap_or_else(|error| panic!("{:?}: {error}", change.key()));
    }
}

/// Median of one more guest's login, with its class, quotas and counters.
async fn login_ms(linux: &mut Linux, applied: &mut Items, present: u32) -> f64 {
    let mut times = Vec::new();
    for n in 0..100 {
        let items: Items = items_of(&guest(present + n)).into_iter().collect();
        let changes = plan(&items, &Items::default());
        let started = Instant::now();
        carry_out(linux, &changes).await;
        times.push(started.elapsed());
        carry_out(linux, &plan(&Items::default(), &items)).await;
    }
    let _ = applied;
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// Packets per second that leave the gateway while a guest sends as fast as it can: the median of some runs.
fn packets_per_second() -> f64 {
    let mut rates: Vec<f64> = (0..RUNS).map(|_| packets_once()).collect();
    rates.sort_unstable_by(f64::total_cmp);
    rates[RUNS / 2]
}

fn packets_once() -> f64 {
    let own = std::env::current_exe().unwrap();
    let mut sender = Command::new("ip")
        .args(["netns", "exec", "guest"])
        .arg(own)
        .env("BENCH_INSIDE", "flood")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let sent = || -> f64 {
        std::fs::read_to_string("/sys/class/net/wan0/statistics/tx_packets").unwrap().trim().parse().unwrap()
    };
    let (before, started) = (sent(), Instant::now());
    std::thread::sleep(MEASURED);
    let rate = (sent() - before) / started.elapsed().as_secs_f64();
    sender.kill().unwrap();
    sender.wait().unwrap();
    rate
}

/// 100-byte UDP packets without end, 64 in one call.
fn flood() {
    let socket = UdpSocket::bind("10.20.0.2:0").unwrap();
    socket.connect("192.0.2.2:9").unwrap();
    let payload = [0_u8; 100];
    let slices = [[IoSlice::new(&payload)]; 64];
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(64, None);
    let nowhere: [Option<SockaddrIn>; 64] = [None; 64];
    loop {
        // A full queue is no reason to stop.
        drop(sendmmsg(socket.as_raw_fd(), &mut headers, &slices, nowhere, [], MsgFlags::empty()));
    }
}

/// Rules as openNDS lays them: six for each guest, tried one after another; the sender is the last of them.
fn linear_rules() {
    let (mut out, mut up, mut down) = (String::new(), String::new(), String::new());
    for n in (0..LINEAR_GUESTS).rev() {
        let (ip, mac) = match n {
            0 => (Ipv4Addr::new(10, 20, 0, 2), sender_mac()),
            n => (address(n), Mac([2, 0, 0, 1, n.to_be_bytes()[2], n.to_be_bytes()[3]])),
        };
        writeln!(out, "ip saddr {ip} ether saddr {mac} counter meta mark set mark or 0x30000").unwrap();
        writeln!(up, "ip saddr {ip} counter return\nip saddr {ip} counter drop").unwrap();
        writeln!(down, "ip daddr {ip} counter return\nip daddr {ip} counter drop").unwrap();
    }
    let text = format!(
        "table inet nds {{
         chain out {{ {out} }}
         chain up {{ {up} }}
         chain down {{ {down} }}
         chain authenticated {{ counter jump up; counter accept; }}
         chain net {{ ct state invalid counter drop; mark and 0x30000 == 0x30000 counter goto authenticated; counter reject; }}
         chain pre {{ type filter hook prerouting priority -100; iifname guest0 counter jump out; }}
         chain post {{ type filter hook forward priority -100; oifname guest0 counter jump down; }}
         chain forward {{ type filter hook forward priority 0; iifname guest0 counter jump net; }}
         chain nat {{ type nat hook postrouting priority srcnat; oifname wan0 masquerade; }}
         }}"
    );
    nft(&text);
}

/// Milliseconds of the six calls of `nft` that a login takes there.
fn linear_login() -> f64 {
    let started = Instant::now();
    for line in [
        "insert rule inet nds out ip saddr 10.20.250.1 ether saddr 02:00:00:09:00:01 counter meta mark set mark or 0x30000",
        "insert rule inet nds up ip saddr 10.20.250.1 counter drop",
        "insert rule inet nds up ip saddr 10.20.250.1 counter return",
        "insert rule inet nds down ip daddr 10.20.250.1 counter drop",
        "insert rule inet nds down ip daddr 10.20.250.1 counter return",
        "insert rule inet nds out ip daddr 10.20.250.1 counter meta mark set mark or 0x30000",
    ] {
        nft(line);
    }
    started.elapsed().as_secs_f64() * 1e3
}

fn nft(text: &str) {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "nft refused\n{text}");
}

fn run(line: &str) {
    output(line);
}

fn output(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
