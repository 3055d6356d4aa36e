//! The lab's own tools, proved on wireguard-go at both ends: a test that relies on them means something.

use std::{fs, time::Duration};

use crate::{
    flow::{Direction, Heartbeat, Pace, TcpFlow, can_connect},
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
