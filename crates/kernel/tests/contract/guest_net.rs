//! Guests, a LAN and an internet in namespaces around the gateway, and what is asked of them.

use std::time::{Duration, Instant};

use doorward_kernel::{Kernel, linux::Linux};
use doorward_policy::{
    guest::Grant,
    hotspot::Hotspot,
    item::{Counter, Items},
    observed::Scope,
    plan::{Change, plan},
};

use super::{
    cases::converge,
    guest_world::{g4, g6, guest_world, mac},
    linux::sh,
    packets::{greet, listens, succeeds},
};

/// 100 ms are promised (docs/traffic-policy.md), and hold where nothing else runs; the rest is slack for a machine that
/// builds and tests meanwhile.
pub const PROMPTLY: Duration = Duration::from_millis(100 + 200);

/// The gateway's guest addresses.
pub const GATEWAY: &str = "10.80.0.1";
pub const GATEWAY_V6: &str = "fd80::1";
/// Servers of the internet.
pub const WEB: &str = "198.51.100.1";
pub const WEB_V6: &str = "2001:db8::1";

/// `line` as device `n` would run it.
pub fn at(n: i64, line: &str) -> String {
    format!("ip netns exec g{n} {line}")
}

pub fn pings(n: i64, address: &str) -> bool {
    succeeds(&at(n, &format!("ping -c2 -i0.2 -W1 {address}")))
}

/// What a server says first to device `n`, and whether the device was refused at once (rather than left waiting).
pub fn hears(n: i64, address: &str, port: u16) -> (String, bool) {
    let family = if address.contains(':') { "TCP6" } else { "TCP4" };
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let started = Instant::now();
    let line = at(n, &format!("timeout 2 socat -u {family}:{address}:{port},connect-timeout=1 - 2>&1 || true"));
    let said = sh(&line);
    let refused = said.contains("refused") && started.elapsed() < Duration::from_millis(900);
    (said.trim().to_owned(), refused)
}

/// What a server answers to a datagram of `bytes` zeros.
pub fn asks(n: i64, address: &str, port: u16, bytes: usize) -> String {
    let family = if address.contains(':') { "UDP6" } else { "UDP4" };
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let line =
        format!("sh -c 'head -c{bytes} /dev/zero | timeout 2 socat -t1 - {family}:{address}:{port} 2>/dev/null'");
    sh(&format!("{} || true", at(n, &line))).trim().to_owned()
}

/// Lays the networks around the gateway, as they are with `hotspot` and these grants.
pub async fn lay(kernel: &mut Linux, hotspot: &Hotspot, grants: &[&Grant]) -> Items {
    lay_with(kernel, hotspot, grants, "SYSTEM:'echo portal'").await
}

/// The same with another portal.
pub async fn lay_with(kernel: &mut Linux, hotspot: &Hotspot, grants: &[&Grant], portal: &str) -> Items {
    sh("mkdir -p /run/netns
        ip netns add inet; ip link set internet netns inet
        ip netns exec inet sh -ec 'ip link set lo up; ip addr add 192.0.2.1/24 dev internet; ip link set internet up
            ip addr add 198.51.100.1/32 dev lo; ip addr add 2001:db8::1/64 dev internet nodad'
        ip addr add 2001:db8::10/64 dev eth0 nodad; ip route add default via 2001:db8::1
        ip netns add lan; ip link add lan0 type veth peer name eth0 netns lan
        ip addr add 10.99.0.1/24 dev lan0; ip link set lan0 up
        ip netns exec lan sh -ec 'ip link set lo up; ip addr add 10.99.0.2/24 dev eth0; ip link set eth0 up
            ip route add default via 10.99.0.1'");
    let desired = guest_world(hotspot, grants.iter().copied());
    converge(kernel, &desired).await;
    for n in [1, 2] {
        let (four, six, mac) = (g4(n), g6(n), mac(n));
        sh(&format!(
            "ip netns add g{n}; ip link set guest{n} netns g{n} name eth0
             ip netns exec g{n} sh -ec 'ip link set lo up; ip link set eth0 address {mac} up
                ip addr add {four}/16 dev eth0; ip addr add {six}/64 dev eth0 nodad
                ip route add default via {GATEWAY}; ip -6 route add default via {GATEWAY_V6}'"
        ));
    }
    let inet = "ip netns exec inet";
    greet(inet, 80);
    greet(inet, 443);
    greet("ip netns exec lan", 80);
    greet("", 22);
    for (listener, answer) in [
        ("TCP4-LISTEN:80,bind=10.80.0.1", portal),
        ("TCP6-LISTEN:80,bind=[fd80::1]", portal),
        ("UDP4-RECVFROM:53,bind=10.80.0.1", "SYSTEM:'head -c1 >/dev/null; echo resolver'"),
        ("UDP6-RECVFROM:53,bind=[fd80::1]", "SYSTEM:'head -c1 >/dev/null; echo resolver'"),
    ] {
        sh(&format!("socat {listener},fork,reuseaddr {answer} >/dev/null 2>&1 &"));
    }
    for address in [
        "UDP4-RECVFROM:53,bind=198.51.100.1",
        "UDP4-RECVFROM:123,bind=198.51.100.1",
        "UDP6-RECVFROM:123,bind=[2001:db8::1]",
    ] {
        let answer = if address.contains(":123") {
            "head -c1 >/dev/null; printf %048d 0"
        } else {
            "head -c1 >/dev/null; echo elsewhere"
        };
        sh(&format!("{inet} socat {address},fork,reuseaddr SYSTEM:\"{answer}\" >/dev/null 2>&1 &"));
    }
    listens(443);
    // The bridge forwards at once, and neighbours answer.
    for n in [1, 2] {
        assert!(succeeds(&at(n, &format!("ping -c3 -i0.2 -W1 {GATEWAY}"))), "device {n} reaches the gateway");
    }
    desired
}

/// Sends zeros without end to whoever connects to port 81 of the internet, and takes what is sent to port 82.
pub fn pour() {
    sh("ip netns exec inet socat -u OPEN:/dev/zero TCP4-LISTEN:81,fork,reuseaddr >/dev/null 2>&1 &
        ip netns exec inet socat -u TCP4-LISTEN:82,fork,reuseaddr OPEN:/dev/null >/dev/null 2>&1 &");
    listens(81);
    listens(82);
}

pub async fn put(kernel: &mut Linux, changes: &[Change]) {
    for result in kernel.apply(changes).await {
        result.unwrap();
    }
}

/// Makes the kernel hold `desired`, as a pass over one grant does, and says how long it took.
pub async fn turn_into(kernel: &mut Linux, held: &mut Items, desired: Items) -> Duration {
    let changes = plan(&desired, held);
    let started = Instant::now();
    put(kernel, &changes).await;
    *held = desired;
    started.elapsed()
}

pub async fn bytes(kernel: &mut Linux, counter: Counter) -> u64 {
    kernel.observe(Scope::Guests).await.unwrap().stats.counters.get(&counter).map_or(0, |count| count.bytes)
}

pub fn assert_captive(n: i64) {
    for (web, time_answer) in [(WEB, "0".repeat(48)), (WEB_V6, "0".repeat(48))] {
        assert_eq!(hears(n, web, 80).0, "portal", "HTTP to {web} is led to the portal");
        let (said, refused) = hears(n, web, 443);
        assert!(refused && !said.contains("portal"), "HTTPS to {web} is refused, not answered: {said}");
        assert!(!pings(n, web));
        assert_eq!(asks(n, web, 123, 48), time_answer, "the time by {web}");
        assert_eq!(asks(n, web, 123, 49), "", "a longer packet to the port of time");
        assert_eq!(asks(n, web, 53, 30), "resolver", "DNS goes to ours");
        assert!(hears(n, web, 853).1 && hears(n, web, 22).1);
    }
    assert!(pings(n, GATEWAY) && pings(n, GATEWAY_V6));
    assert_eq!(hears(n, GATEWAY, 80).0, "portal");
    assert_unreachable(n);
}

/// What no guest reaches, online or not.
pub fn assert_unreachable(n: i64) {
    for (address, port) in
        [(GATEWAY, 22), ("192.0.2.10", 22), ("10.99.0.1", 22), (GATEWAY_V6, 22), ("2001:db8::10", 22)]
    {
        assert!(hears(n, address, port).1, "{address}:{port} refuses device {n}");
    }
    assert!(hears(n, "10.99.0.2", 80).0 != "hello", "the LAN");
    for address in ["192.0.2.10", "10.99.0.1", "2001:db8::10", "10.99.0.2"] {
        assert!(!pings(n, address), "device {n} pings {address}");
    }
}

pub fn assert_online(n: i64) {
    for web in [WEB, WEB_V6] {
        assert_eq!((hears(n, web, 80).0.as_str(), hears(n, web, 443).0.as_str()), ("hello", "hello"), "{web}");
        assert!(pings(n, web));
    }
    assert_eq!(asks(n, WEB, 53, 30), "elsewhere", "DNS where it wants to");
    assert_eq!(asks(n, WEB, 123, 60), "0".repeat(48));
    assert_eq!(hears(n, GATEWAY, 80).0, "portal");
    assert_unreachable(n);
}
