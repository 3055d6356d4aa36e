//! Thousands of guests on one cable: the host answers for a whole range of addresses (AnyIP), and a map at the cable's
//! end gives each address a MAC of its own.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    flow::connect_from,
    guest::{Answer, BRIDGE, GATEWAY_GUEST, parse_answer},
    host::{Host, cable},
    world::World,
};

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// The devices; they differ by number.
pub struct Swarm {
    pub host: Host,
}

impl Swarm {
    /// Makes `count` devices (at most 30,000) on the guest network, which must be 10.30.0.0/16.
    pub fn new(world: &World, count: u16) -> Self {
        assert!(count <= 30_000, "addresses end at 10.30.248.0");
        let host = Host::new("swarm");
        cable(&host, "wlan0", &world.gateway, "swarm");
        world.gateway.run(&format!("ip link set swarm master {BRIDGE}"));
        for line in [
            "ip addr add 10.30.127.2/16 dev wlan0",
            &format!("ip route add default via {GATEWAY_GUEST}"),
            "ip route add local 10.30.128.0/17 dev lo",
        ] {
            host.run(line);
        }
        let mut elements = String::new();
        for n in 0..count {
            write!(elements, "{} : {}, ", address(n), mac(n)).expect("a string grows");
        }
        // The host's own packets would otherwise all bear the cable's MAC; answers come to MACs that it does not know.
        let table = format!(
            "table netdev swarm {{
                map macs {{ type ipv4_addr : ether_addr; elements = {{ {elements} }} }}
                chain out {{ type filter hook egress device wlan0 priority 0; policy accept;
                    ether type ip ether saddr set ip saddr map @macs
                    arp operation {{ 1, 2 }} ether saddr set arp saddr ip map @macs
                    arp operation {{ 1, 2 }} arp saddr ether set arp saddr ip map @macs
                }}
                chain in {{ type filter hook ingress device wlan0 priority 0; policy accept;
                    ether daddr & ff:ff:00:00:00:00 == 02:01:00:00:00:00 meta pkttype set host
                }}
            }}"
        );
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("swarm.nft");
        fs::write(&file, table).expect("a file in a temporary folder");
        host.run(&format!("nft -f {}", file.display()));
        Self { host }
    }

    /// An HTTP request of one device to the portal; call it on a thread that has entered the host.
    pub fn request(n: u16, method: &str, path: &str, headers: &str, body: &str) -> std::io::Result<Answer> {
        let to: SocketAddr = format!("{GATEWAY_GUEST}:80").parse().expect("an address");
        Self::request_to(n, to, GATEWAY_GUEST, method, path, headers, body)
    }

    /// The same to any server.
    pub fn request_to(
        n: u16,
        to: SocketAddr,
        host: &str,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> std::io::Result<Answer> {
        let mut stream: TcpStream = connect_from(IpAddr::V4(address(n)), to)?;
        stream.set_read_timeout(Some(ANSWER))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(parse_answer(&String::from_utf8_lossy(&answer)))
    }
}

/// The address of a device.
pub fn address(n: u16) -> Ipv4Addr {
    let (high, low) = (n / 250, n % 250);
    Ipv4Addr::new(10, 30, 128 + u8::try_from(high).expect("at most 120"), 1 + u8::try_from(low).expect("below 250"))
}

/// Its MAC.
pub fn mac(n: u16) -> String {
    let [high, low] = n.to_be_bytes();
    format!("02:01:00:00:{high:02x}:{low:02x}")
}
