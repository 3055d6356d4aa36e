//! Answers that would lead a guest inside are not passed on.

use std::net::IpAddr;

use doorward_kernel::Host;
use hickory_proto::rr::{
    RData,
    rdata::{
        HTTPS,
        svcb::{SVCB, SvcParamValue},
    },
};

use super::{message::Reply, policy::Zone};

impl Zone {
    /// Takes out of an answer what would lead a browser to the gateway, other guests or the LAN, under a name of somebody
    /// else's ("rebinding"), and what is no record. Networks that guests may reach are no secret from them.
    #[must_use]
    pub fn shield(&self, reply: Reply, zones: &[Zone], host: &Host) -> Reply {
        if !self.is_of_guests() {
            // What accounts may reach is for the firewall to say; names of an office lead to its own addresses.
            return reply;
        }
        let inside = |address: IpAddr| {
            let of_zones = zones.iter().flat_map(|zone| &zone.nets).any(|net| net.contains(&address));
            of_zones || (is_of_host(address, host) && !self.lan_access.iter().any(|net| net.contains(&address)))
        };
        let leads_inside = |svcb: &SVCB| {
            svcb.svc_params.iter().any(|(_, value)| {
                if let SvcParamValue::Ipv4Hint(hint) = value {
                    hint.0.iter().any(|a| inside(IpAddr::V4(a.0)))
                } else if let SvcParamValue::Ipv6Hint(hint) = value {
                    hint.0.iter().any(|a| inside(IpAddr::V6(a.0)))
                } else {
                    false
                }
            })
        };
        let Reply { code, mut answers, authority } = reply;
        answers.retain(|record| {
            if let Some(address) = record.data.ip_addr() {
                !inside(address)
            } else if let RData::HTTPS(HTTPS(svcb)) | RData::SVCB(svcb) = &record.data {
                !leads_inside(svcb)
            } else {
                // Nothing where something must be: a client that reads strictly would drop the whole answer.
                !matches!(record.data, RData::Update0(_) | RData::OPT(_) | RData::TSIG(_))
            }
        });
        Reply { code, answers, authority }
    }
}

/// Whether an address is one of the machine's own or of a network beside it that is no WAN's.
fn is_of_host(address: IpAddr, host: &Host) -> bool {
    let never = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.octets()[0] == 0 || v4.is_broadcast(),
        IpAddr::V6(v6) => {
            let mapped = v6.to_ipv4_mapped().is_some_and(|v4| is_of_host(IpAddr::V4(v4), host));
            mapped || v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local()
        }
    };
    never
        || host
            .addresses
            .iter()
            .any(|(interface, net)| net.addr() == address || (!host.wans.contains(interface) && net.contains(&address)))
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::{
        Name, Record,
        rdata::svcb::{IpHint, SvcParamKey},
    };

    use super::*;
    use crate::dns::policy::tests::zone;

    #[test]
    fn answers_that_lead_inside_are_taken_out() {
        let host = Host {
            wans: vec!["wan".parse().unwrap()],
            addresses: [("wan", "203.0.113.2/24"), ("lan", "192.168.77.1/24"), ("wan", "2001:db8:3::2/64")]
                .map(|(name, net)| (name.parse().unwrap(), net.parse().unwrap()))
                .to_vec(),
        };
        let zone = zone();
        let name: Name = "evil.example.".parse().unwrap();
        let left = |data: RData| {
            let reply = Reply::of(vec![Record::from_rdata(name.clone(), 60, data)]);
            zone.shield(reply, std::slice::from_ref(&zone), &host).answers.len()
        };
        let address = |text: &str| RData::from(text.parse::<IpAddr>().unwrap());
        for inside in [
            "10.30.0.1",
            "10.30.0.99",
            "fd30::5",
            "203.0.113.2",
            "192.168.77.10",
            "2001:db8:3::2",
            "127.0.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:192.168.77.10",
        ] {
            assert_eq!(left(address(inside)), 0, "{inside}");
        }
        for fine in ["192.0.2.80", "203.0.113.1", "192.168.77.20", "10.99.0.1", "2001:db8:3::1"] {
            assert_eq!(left(address(fine)), 1, "{fine}");
        }
        let hint = |text: &str| {
            let value = SvcParamValue::Ipv4Hint(IpHint(vec![hickory_proto::rr::rdata::A(text.parse().unwrap())]));
            RData::SVCB(SVCB::new(1, name.clone(), vec![(SvcParamKey::Ipv4Hint, value)]))
        };
        assert_eq!((left(hint("192.168.77.1")), left(hint("192.0.2.80"))), (0, 1));
    }
}
