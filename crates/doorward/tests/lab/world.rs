//! The lab's world, addresses of RFC 5737 and 3849:
//!
//! ```text
//!  client 1 ─┐
//!  client 2 ─┼─ internet ── gateway ── LAN host
//!  client n ─┘  198.51.100.1  203.0.113.2   192.168.77.10
//!               192.0.2.80 (a server far away)
//! ```
//! Clients are out on the internet, as they are in life: tunnel packets and what comes out of the tunnel pass the same
//! WAN interface of the gateway.

use std::net::IpAddr;

use crate::{
    client::Client,
    host::{Host, cable},
};

/// The gateway's WAN address, outside end of every tunnel.
pub const GATEWAY: &str = "203.0.113.2";
/// A server on the internet.
pub const SERVER: &str = "192.0.2.80";
pub const SERVER_V6: &str = "2001:db8:80::80";
/// The gateway and a neighbour on its LAN.
pub const GATEWAY_LAN: &str = "192.168.77.1";
pub const LAN_HOST: &str = "192.168.77.10";

pub struct World {
    pub internet: Host,
    pub gateway: Host,
    pub lan: Host,
    clients: usize,
}

impl World {
    pub fn new() -> Self {
        let (internet, gateway, lan) = (Host::new("internet"), Host::new("gateway"), Host::new("lan"));
        cable(&internet, "gw", &gateway, "wan");
        cable(&lan, "eth0", &gateway, "lan");
        for line in [
            "ip addr add 203.0.113.1/24 dev gw",
            "ip addr add 2001:db8:3::1/64 dev gw nodad",
            "ip addr add 192.0.2.80/32 dev lo",
            "ip addr add 2001:db8:80::80/128 dev lo",
            // A bridge without an address of its own takes the lowest of its ports', and so would change it with a new
            // client, while others still know the old one.
            "ip link add access address 02:00:00:00:00:01 type bridge",
            "ip addr add 198.51.100.1/24 dev access",
            "ip addr add 2001:db8:51::1/64 dev access nodad",
            "ip link set access up",
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
        ] {
            internet.run(line);
        }
        for line in [
            "ip addr add 203.0.113.2/24 dev wan",
            "ip addr add 2001:db8:3::2/64 dev wan nodad",
            "ip addr add 192.168.77.1/24 dev lan",
            "ip route add default via 203.0.113.1",
            "ip -6 route add default via 2001:db8:3::1",
            // Merged packets are taken apart before they leave, so that counters on the other side see what a wire
            // would carry.
            "ip link set wan gso_max_segs 1",
        ] {
            gateway.run(line);
        }
        lan.run("ip addr add 192.168.77.10/24 dev eth0");
        lan.run("ip route add default via 192.168.77.1");
        Self { internet, gateway, lan, clients: 0 }
    }

    /// One more client on the internet. It knows the way to the gateway; all else goes where its tunnel says.
    pub fn client(&mut self) -> Client {
        self.clients += 1;
        let n = self.clients;
        let host = Host::new(&format!("client {n}"));
        cable(&host, "eth0", &self.internet, &format!("c{n}"));
        self.internet.run(&format!("ip link set c{n} master access"));
        for line in [
            format!("ip addr add 198.51.100.{}/24 dev eth0", n + 1),
            format!("ip addr add 2001:db8:51::{}/64 dev eth0 nodad", n + 1),
            "ip route add 203.0.113.0/24 via 198.51.100.1".to_owned(),
            "ip -6 route add 2001:db8:3::/64 via 2001:db8:51::1".to_owned(),
        ] {
            host.run(&line);
        }
        Client::new(host)
    }
}

impl World {
    /// Counts IP bytes, headers included, that come from the gateway's WAN to the internet and match.
    pub fn count_arrivals(&self, matching: &str) -> Count {
        Count::of(&self.internet, "prerouting", &[format!("iifname gw {matching}")])
    }

    /// Counts IP bytes to and from a client's tunnel address that the gateway's forwarding lets through, after Doorward
    /// has had its say.
    pub fn count_forwarded(&self, client: IpAddr) -> Count {
        Count::of(&self.gateway, "forward", &[format!("ip saddr {client}"), format!("ip daddr {client}")])
    }
}

/// A counter of packets, in a table of the lab's own. A host has one; the next takes its place.
pub struct Count(Host);

impl Count {
    fn of(host: &Host, hook: &str, matches: &[String]) -> Self {
        host.run("nft add table inet lab");
        host.run(&format!("nft add chain inet lab count {{ type filter hook {hook} priority 50 ; }}"));
        host.run("nft flush chain inet lab count");
        for matching in matches {
            host.run(&format!("nft add rule inet lab count {matching} counter"));
        }
        Self(host.clone())
    }

    pub fn bytes(&self) -> u64 {
        let rules = self.0.run("nft list chain inet lab count");
        let counts = rules.split("bytes ").skip(1).map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        counts.sum::<Option<u64>>().expect("a counter")
    }
}
