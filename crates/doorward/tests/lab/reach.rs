//! Who may reach whom: port forwardings in, walls between servers, the gateway and its LAN out of reach, and the host's
//! own traffic never touched.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use crate::{
    flow::{Direction, Heartbeat, Pace, TcpFlow, can_connect},
    gateway::{Gateway, MANAGEMENT_PORT},
    lab::{Lab, text},
    world::{GATEWAY, GATEWAY_LAN, LAN_HOST, World},
};

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

/// The server's own address in its subnet.
fn own_address(server: &serde_json::Value) -> String {
    text(&server["address"]).split('/').next().unwrap_or_default().to_owned()
}

#[test]
fn a_port_forwarding_reaches_the_client_until_it_is_deleted() {
    let mut lab = Lab::new();
    let server = lab.server("name=fwd");
    let (account, client) = lab.client(&server, "name=served");
    let listener = client.host.inside(|| TcpListener::bind((client.address(), 8000))).expect("a free port");
    let internet: IpAddr = "192.0.2.80".parse().expect("an address");
    assert!(!can_connect(&lab.world.internet, internet, at(GATEWAY, 9000)), "nothing listens there yet");

    lab.api.post("wireguard/fwd/port_forward", &format!("dst_port=9000&protocol=tcp&to_peer={account}&to_port=8000"));
    let flow = TcpFlow::to(listener, &lab.world.internet, internet, at(GATEWAY, 9000), Direction::Down, Pace::Steady);
    flow.assert_flowing("through the port forwarding");

    lab.api.delete("wireguard/fwd/port_forward/9000/tcp");
    thread::sleep(Duration::from_millis(300));
    let again = client.host.inside(|| TcpListener::bind((client.address(), 8000)));
    assert!(!can_connect(&lab.world.internet, internet, at(GATEWAY, 9000)), "the forwarding is gone");
    drop(again);
}

#[test]
fn servers_are_apart_and_internal_traffic_is_a_switch() {
    let mut lab = Lab::new();
    let (one, two) = (lab.server("name=one"), lab.server("name=two"));
    let (_, a) = lab.client(&one, "name=a");
    let (_, b) = lab.client(&one, "name=b");
    let (_, c) = lab.client(&two, "name=c");
    let [a_address, b_address, c_address] = [&a, &b, &c].map(|client| client.address().to_string());

    assert!(!a.ping(&c_address) && !c.ping(&a_address), "accounts of two servers reach each other");
    assert!(!a.ping(&b_address), "internal traffic is off");
    lab.api.put("wireguard/one", "internal_traffic=1");
    assert!(a.ping(&b_address) && b.ping(&a_address), "internal traffic is on");
    assert!(!a.ping(&c_address), "internal traffic is not traffic between servers");
    lab.api.put("wireguard/one", "internal_traffic=0");
    assert!(!a.ping(&b_address), "internal traffic is off again");
}

#[test]
fn a_vpn_client_reaches_neither_the_management_nor_the_lan() {
    let mut lab = Lab::new();
    let server = lab.server("internal_traffic=1");
    let (_, client) = lab.client(&server, "name=curious");
    let from = client.address();
    // Everything through the tunnel, what is meant for the gateway's outside address too.
    client.host.run(&format!("ip rule add from {from} lookup 7"));
    client.host.run("ip route add default dev wg0 table 7");
    let lan_port = {
        let listener = lab.world.lan.inside(|| TcpListener::bind((LAN_HOST, 0))).expect("a free port");
        let at = listener.local_addr().expect("a bound listener");
        let gateway: IpAddr = GATEWAY_LAN.parse().expect("an address");
        assert!(can_connect(&lab.world.gateway, gateway, at), "the gateway itself reaches its LAN");
        (listener, at)
    };
    let internet: IpAddr = "192.0.2.80".parse().expect("an address");
    assert!(can_connect(&lab.world.internet, internet, at(GATEWAY, MANAGEMENT_PORT)), "the management is there");

    for address in [GATEWAY, GATEWAY_LAN, &own_address(&server)] {
        assert!(!can_connect(&client.host, from, at(address, MANAGEMENT_PORT)), "management at {address} was reached");
    }
    assert!(!can_connect(&client.host, from, lan_port.1), "the LAN was reached");
    assert!(!client.ping(LAN_HOST), "a LAN host was pinged");
    assert!(client.ping("192.0.2.80"), "the internet still answers");
}

#[test]
fn the_hosts_own_connections_are_never_touched() {
    let world = World::new();
    let (admin, host): (IpAddr, IpAddr) = ("192.0.2.80".parse().expect("v4"), GATEWAY.parse().expect("v4"));
    // A session like SSH's, from somewhere on the internet, older than Doorward's first start.
    let session = TcpFlow::start(&world.internet, admin, &world.gateway, host, Direction::Down, Pace::Steady);
    let typed = TcpFlow::start(&world.internet, admin, &world.gateway, host, Direction::Up, Pace::Steady);
    let beat = Heartbeat::start(&world.internet, admin, &world.gateway, host);
    let unchanged = |when: &str| {
        session.assert_flowing(when);
        typed.assert_flowing(when);
    };

    let gateway = Gateway::start(&world.gateway, "");
    let mut lab = Lab { api: gateway.api(), gateway, world };
    unchanged("after the start");
    let server = lab.server("name=edge");
    let (account, _client) = lab.client(&server, "name=any");
    unchanged("with a server and an account");
    lab.api.put("wireguard/edge", "internal_traffic=1&disable_nat=1&mtu=1380");
    lab.api.delete(&format!("account/{account}"));
    unchanged("after edits");
    lab.gateway.kill();
    lab.gateway.run();
    lab.gateway.converged(Duration::from_secs(10));
    unchanged("after a kill and a start");
    lab.gateway.stop();
    unchanged("after a stop");
    lab.gateway.doorward("down");
    unchanged("after `down`");
    beat.expect_none_lost("the host itself");
}

#[test]
fn a_graceful_stop_drops_nobody_and_down_removes_everything() {
    let world = World::new();
    let before = traces(&world);
    let gateway = Gateway::start(&world.gateway, "");
    let mut lab = Lab { api: gateway.api(), gateway, world };
    let server = lab.server("");
    let (_, client) = lab.client(&server, "name=steady&b_download=20&b_upload=20");
    let flow = lab.flow(&client, Direction::Down, Pace::Steady);
    let beat = lab.heartbeat(&client);
    lab.gateway.stop();
    flow.assert_flowing("while the gateway is stopped");
    lab.gateway.run();
    lab.gateway.converged(Duration::from_secs(10));
    flow.assert_flowing("after the next start");
    beat.expect_none_lost("a client through a stop and a start");
    lab.gateway.stop();

    lab.gateway.doorward("down");
    assert_eq!(traces(&lab.world), before, "`down` leaves the host as it was");
    assert!(lab.gateway.tunnels().is_empty(), "a tunnel process is left");
    assert!(!client.ping("192.0.2.80"));
}

/// All that a gateway may leave in a host's network.
fn traces(world: &World) -> [String; 5] {
    let sh = |script: &str| {
        let output = world.gateway.command("bash").args(["-c", script]).output().expect("bash starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    [
        sh("ip -o link | cut -d: -f2; ip -o addr | awk '{print $2, $4}'"),
        sh("nft list ruleset"),
        sh("tc qdisc show; tc class show dev wan"),
        sh("sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.wan.accept_ra"),
        sh("ls /run/wireguard; ip route; ip -6 route | sed 's/ expires.*//'"),
    ]
}
