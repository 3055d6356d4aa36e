//! Who sees what: every probe captive, online and kicked; and that there is no way round the portal.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    flow::{Direction, Heartbeat, Pace, TcpFlow, can_connect},
    gateway::MANAGEMENT_PORT,
    guest::{Form, GATEWAY_GUEST, GATEWAY_GUEST_V6, Guest},
    hotspot::{HotspotLab, PAGE, PORTAL},
    internet::PROBES,
    lab::{CUT_WITHIN, GRANT_WITHIN, SLACK, server_address},
    world::{GATEWAY, GATEWAY_LAN, LAN_HOST, SERVER, SERVER_V6},
};

/// A refusal comes at once: nobody waits for a time-out.
const REFUSED_WITHIN: Duration = Duration::from_millis(500);

#[test]
fn every_probe_finds_the_portal_when_captive_and_the_internet_when_online() {
    let lab = HotspotLab::new();
    let guest = lab.guest(1);
    let told = guest.lease();
    assert!(
        told.contains(&format!("dns={GATEWAY_GUEST}")) && told.contains(&format!("router={GATEWAY_GUEST}")),
        "{told}"
    );
    assert_captive(&guest, "before login");
    let voucher = lab.voucher(&json!({}));
    guest.redeem(&voucher);
    guest.is_online(GRANT_WITHIN);
    for (client, url, status, body) in PROBES {
        let answer = guest.get(url);
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{client}, online");
    }
    let active = lab.active(&guest).expect("an online guest is listed");
    assert_eq!(
        (active["logins"].as_str(), active["address"].as_str()),
        (Some(voucher.username.as_str()), guest.address().to_string().as_str().into())
    );

    let answer = lab.api("kick_guest", &json!({ "mac": guest.mac }));
    assert_eq!(answer["error"], false, "{answer}");
    assert_captive(&guest, "after the kick");
    assert!(lab.active(&guest).is_none(), "a kicked guest is not listed");
    // The voucher is still good.
    guest.redeem(&voucher);
    guest.is_online(GRANT_WITHIN);
}

fn assert_captive(guest: &Guest, when: &str) {
    for (client, url, _, _) in PROBES {
        let answer = guest.get(url);
        assert_eq!(answer.status, 302, "{client}, {when}: {answer:?}");
        assert!(answer.header("location").starts_with(PORTAL), "{client}, {when}: {answer:?}");
        assert!(!answer.body.is_empty(), "{client}, {when}: an empty answer means that all is well");
        assert_eq!(answer.header("cache-control"), "no-store", "{client}, {when}");
        let page = guest.get(answer.header("location"));
        assert_eq!(page.status, 200, "{client}, {when}: {page:?}");
        assert!(page.body.len() <= 30 * 1024, "the first view has {} bytes", page.body.len());
    }
    // Windows asks for a name, and believes only the truth.
    let names = guest.host.run("getent ahostsv4 dns.msftncsi.com");
    assert!(names.starts_with(SERVER), "{when}: {names}");
}

#[test]
fn the_captive_portal_api_is_announced_by_dhcp_and_tells_the_truth_over_tls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = rcgen::generate_simple_self_signed(["login.guest.internal".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.path().join("portal.pem"), folder.path().join("portal.key"));
    std::fs::write(&certificate, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let portal = format!("[portal]\ntls_certificate = {certificate:?}\ntls_key = {key:?}\n");
    let lab = HotspotLab::with(&portal, &json!({}));
    let guest = lab.guest(1);
    // Option 114, as hexadecimal digits of the address.
    let uri = "https://login.guest.internal/captive";
    let hex: String = uri.bytes().map(|byte| format!("{byte:02x}")).collect();
    let told = guest.lease();
    assert!(told.contains(&format!("opt114={hex}")) || told.contains(uri), "{told}");
    let ask = || {
        let trust = certificate.display().to_string();
        let answer = guest.curl(&["--cacert", &trust, "-H", "Accept: application/captive+json", uri], "");
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/captive+json"), "{answer:?}");
        serde_json::from_str::<serde_json::Value>(&answer.body).expect("JSON")
    };
    let before = ask();
    assert_eq!(
        (&before["captive"], &before["user-portal-url"]),
        (&json!(true), &json!("https://login.guest.internal/"))
    );
    let voucher = lab.voucher(&json!({ "valid_for": "1 hour", "total_limit": 100 }));
    let trust = certificate.display().to_string();
    let page = guest.curl(&["--cacert", &trust, "https://login.guest.internal/"], "");
    let form = Form::with_field(&page.body, "p").set("u", &voucher.username).set("p", &voucher.passcode);
    let url = format!("https://login.guest.internal{}", form.action);
    let answer = guest.curl(&["--cacert", &trust, "--data-binary", "@-", &url], &form.body());
    assert_eq!(answer.status, 303, "{answer:?}");
    guest.is_online(GRANT_WITHIN);
    let after = ask();
    assert_eq!(after["captive"], false);
    let seconds = after["seconds-remaining"].as_i64().expect("a number");
    assert!((3_500..=3_600).contains(&seconds), "{after}");
    let bytes = after["bytes-remaining"].as_u64().expect("a number");
    assert!((90 << 20..=100 << 20).contains(&bytes), "{after}");
}

#[test]
fn a_captive_guest_reaches_nothing_else() {
    let lab = HotspotLab::new();
    let guest = lab.guest(1);
    let (from, from_v6) = (guest.address(), guest.address_v6());
    // TLS is never answered by somebody else, but refused, and at once.
    for (from, to) in [(from, SERVER), (from_v6, SERVER_V6)] {
        for port in [443, 22, 853, 8443] {
            assert_refused(&guest, from, to, port);
        }
    }
    // By IPv6 as by IPv4: the portal.
    let answer = guest.curl(&["-6", PAGE], "");
    assert_eq!(answer.status, 302, "{answer:?}");
    // Another resolver is ours all the same; a tunnel in names gets no payload.
    let payload = guest.host.try_run(&format!("busybox nslookup -type=txt tunnel.example {SERVER}"));
    let payload = String::from_utf8_lossy(&payload.stdout).into_owned();
    assert!(!payload.contains("payload"), "{payload}");
    assert!(!guest.host.try_run(&format!("ping -n -c 1 -W 1 {SERVER}")).status.success(), "pings pass");
    assert_gateway_is_closed(&lab, &guest);
}

#[test]
fn an_online_guest_reaches_the_internet_and_neither_lan_nor_gateway_nor_other_guests() {
    let lab = HotspotLab::new();
    let (guest, _) = lab.online(1, &json!({}));
    let (other, _) = lab.online(2, &json!({}));
    assert!(guest.host.try_run(&format!("ping -n -c 1 -W 2 {SERVER}")).status.success());
    let from_v6 = guest.address_v6();
    crate::host::eventually("an IPv6 address is admitted", GRANT_WITHIN + SLACK, || {
        can_connect(&guest.host, from_v6, SocketAddr::new(SERVER_V6.parse().expect("an address"), 443))
    });
    assert_gateway_is_closed(&lab, &guest);
    // Through the gateway and between the ports of its bridge, by both families.
    let listener = other.host.inside(|| std::net::TcpListener::bind("[::]:7777")).expect("a free port");
    for (from, to) in [(guest.address(), other.address()), (guest.address_v6(), other.address_v6())] {
        assert!(!can_connect(&guest.host, from, SocketAddr::new(to, 7777)), "{from} reaches {to}");
        assert!(!guest.host.try_run(&format!("ping -n -c 1 -W 1 {to}")).status.success(), "{from} pings {to}");
    }
    drop(listener);
}

fn assert_gateway_is_closed(lab: &HotspotLab, guest: &Guest) {
    let from = guest.address();
    let lan = lab.world.lan.inside(|| std::net::TcpListener::bind((LAN_HOST, 7777))).expect("a free port");
    assert_refused(guest, from, LAN_HOST, 7777);
    drop(lan);
    for to in [GATEWAY_GUEST, GATEWAY_LAN, GATEWAY] {
        for port in [MANAGEMENT_PORT, 22, 8080] {
            assert_refused(guest, from, to, port);
        }
    }
    assert_refused(guest, guest.address_v6(), GATEWAY_GUEST_V6, MANAGEMENT_PORT);
}

fn assert_refused(guest: &Guest, from: IpAddr, to: &str, port: u16) {
    let (start, to) = (Instant::now(), SocketAddr::new(to.parse().expect("an address"), port));
    assert!(!can_connect(&guest.host, from, to), "{from} connects to {to}");
    let took = start.elapsed();
    assert!(took <= REFUSED_WITHIN, "{from} to {to}: silence instead of a refusal, {took:?}");
}

#[test]
fn the_address_alone_or_the_mac_alone_of_an_online_guest_gets_nothing() {
    let lab = HotspotLab::new();
    let (guest, _) = lab.online(1, &json!({}));
    let thief = lab.guest(2);
    let stolen = guest.address();
    let own = thief.address();

    // The MAC, with another address than the guest's.
    guest.host.run("ip link set wlan0 down");
    thief.host.run("ip link set wlan0 down");
    thief.host.run(&format!("ip link set wlan0 address {}", guest.mac));
    thief.host.run("ip link set wlan0 up");
    thief.host.run(&format!("ip route replace default via {GATEWAY_GUEST}"));
    assert!(!thief.reaches_v4(PAGE), "a stolen MAC alone with {own}");

    // The address, with another MAC.
    thief.host.run("ip link set wlan0 down");
    thief.host.run(&format!("ip link set wlan0 address {}", thief.mac));
    thief.host.run("ip link set wlan0 up");
    thief.host.run("ip -4 addr flush dev wlan0");
    thief.host.run(&format!("ip addr add {stolen}/16 dev wlan0"));
    thief.host.run(&format!("ip route replace default via {GATEWAY_GUEST}"));
    std::thread::sleep(Duration::from_secs(1));
    assert!(!thief.reaches_v4(PAGE), "a stolen address alone");
}

#[test]
fn a_kick_cuts_established_flows_and_a_login_does_not_wait_for_old_ones() {
    let lab = HotspotLab::new();
    let (guest, _) = lab.online(1, &json!({}));
    let (bystander, _) = lab.online(2, &json!({}));
    let internet = &lab.world.internet;
    let beat = Heartbeat::start(&bystander.host, bystander.address(), internet, server_address());
    let start =
        |direction| TcpFlow::start(&guest.host, guest.address(), internet, server_address(), direction, Pace::Steady);
    let (down, up) = (start(Direction::Down), start(Direction::Up));
    down.assert_flowing("online");
    let answered = {
        let answer = lab.api("kick_guest", &json!({ "mac": guest.mac }));
        assert_eq!(answer["error"], false, "{answer}");
        Instant::now()
    };
    std::thread::sleep(Duration::from_millis(500));
    for (flow, way) in [(&down, "down"), (&up, "up")] {
        let late = flow.last().saturating_duration_since(answered);
        assert!(late <= CUT_WITHIN + SLACK, "{way}: bytes {late:?} after the kick was answered");
    }
    assert!(guest.is_captive());
    beat.expect_none_lost("another guest");
}
