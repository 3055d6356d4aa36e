//! The lab's own tools, proved on wireguard-go at both ends: a test that relies on them means something.

use std::{fs, time::Duration};

use crate::{
    flow::{Direction, Heartbeat, Pace, TcpFlow, can_connect},
    guest::{BRIDGE, GATEWAY_GUEST},
    swarm::{self, Swarm},
    world::{GATEWAY, SERVER, World},
};

#[test]
fn a_client_reaches_the_server_through_another_programs_tunnel() {
    let mut world = World::new();
    let mut client = world.client();
    let server_key = wireguard_go(&world, "10.90.0.2/32");
    let client_key = world.gateway.run("cat /run/client.key");
    client.up(&format!(
        "[Interface]\n\tAddress = 10.90.0.2/24\n\tDNS = 10.90.0.1\n\tPrivateKey = {}\n\t\n[Peer]\n\tAllowedIPs = \
         0.0.0.0/0\n\tEndpoint = {GATEWAY}:51820\n\tPublicKey = {server_key}",
        client_key.trim()
    ));
    client.reaches(SERVER, Duration::from_secs(5));

    let (from, server) = (client.address(), SERVER.parse().expect("an address"));
    let beat = Heartbeat::start(&client.host, from, &world.internet, server);
    let down = TcpFlow::start(&client.host, from, &world.internet, server, Direction::Down, Pace::Steady);
    let up = TcpFlow::start(&client.host, from, &world.internet, server, Direction::Up, Pace::Steady);
    down.assert_flowing("down");
    up.assert_flowing("up");
    assert!(client.host.received("wg0") > down.received(), "the bytes came through the tunnel");
    beat.expect_none_lost("the only client");

    // What the other tests rely on when they say that something is cut.
    let beat = Heartbeat::start(&client.host, from, &world.internet, server);
    world.gateway.run("sysctl -qw net.ipv4.ip_forward=0");
    std::thread::sleep(Duration::from_millis(300));
    let cut = down.received();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(down.received(), cut, "nothing passes a gateway that does not forward");
    assert!(!client.ping(SERVER));
    assert!(!can_connect(&client.host, from, format!("{SERVER}:9").parse().expect("an address")));
    assert!(!beat.finish().lost.is_empty(), "lost packets are noticed");
}

#[test]
fn each_device_of_a_swarm_has_its_own_mac_and_is_answered() {
    let world = World::new();
    world.guest_bridge();
    world.gateway.run(&format!("ip addr add {GATEWAY_GUEST}/16 dev {BRIDGE}"));
    let swarm = Swarm::new(&world, 2_000);
    let listener = world.gateway.inside(|| std::net::TcpListener::bind((GATEWAY_GUEST, 80))).expect("a free port");
    let server = std::thread::spawn(move || {
        for _ in 0..3 {
            let (stream, _) = listener.accept().expect("a connection");
            http_answer(stream);
        }
    });
    swarm.host.inside(|| {
        for n in [0, 777, 1_999] {
            let answer = Swarm::request(n, "GET", "/", "", "").expect("an answer");
            assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
        }
    });
    server.join().expect("the server saw three connections");
    let seen = world.gateway.run(&format!("ip neigh show dev {BRIDGE}"));
    for n in [0, 777, 1_999] {
        let line = format!("{} lladdr {}", swarm::address(n), swarm::mac(n));
        assert!(seen.contains(&line), "{line} is not in\n{seen}");
    }
}

fn http_answer(mut stream: std::net::TcpStream) {
    use std::io::{Read as _, Write as _};
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        request.extend(byte);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").expect("a client that listens");
}

/// A plain tunnel on the gateway; answers its public key.
fn wireguard_go(world: &World, peer: &str) -> String {
    let log = fs::File::create("/dev/null").expect("a place for output");
    let mut command = world.gateway.command("wireguard-go");
    command.args(["-f", "wg0"]);
    world.gateway.spawn(command, log);
    let script = format!(
        "set -e; until test -S /run/wireguard/wg0.sock; do sleep 0.01; done; wg genkey >/run/client.key; \
         wg genkey >/run/server.key; wg set wg0 listen-port 51820 private-key /run/server.key peer $(wg pubkey \
         </run/client.key) allowed-ips {peer}; ip addr add 10.90.0.1/24 dev wg0; ip link set wg0 up; \
         sysctl -qw net.ipv4.ip_forward=1; nft add table ip lab; \
         nft 'add chain ip lab nat {{ type nat hook postrouting priority 100; }}'; \
         nft add rule ip lab nat oifname wan masquerade; wg pubkey </run/server.key"
    );
    let output = world.gateway.command("bash").args(["-c", &script]).output().expect("bash starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
