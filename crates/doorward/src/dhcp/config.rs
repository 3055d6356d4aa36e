//! What dnsmasq is told. Only typed values of the operator's get in here; nothing that a guest says ever does.

use std::fmt::Write as _;

use doorward_policy::hotspot::Hotspot;
use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};

use super::Served;

/// Seconds that an address is lent for, at least and at most: dnsmasq takes nothing below two minutes.
const LEASE_S: std::ops::RangeInclusive<u32> = 120..=604_800;

/// Seconds between router advertisements, and for how long one is good.
const RA_INTERVAL_S: u32 = 60;
const RA_LIFETIME_S: u32 = 1_800;

/// Longest URI of options 114 and 103 (RFC 8910, section 2).
const MOST_URI: usize = 255;

/// Leases that dnsmasq keeps at most: those of one /16.
const MOST_LEASES: u32 = 65_536;

/// The configuration for these hotspots; `None`: there is nothing to serve. `lease_file` is where leases are kept, and
/// `api_path` the path of the captive-portal API on the portal's host.
pub(super) fn render(hotspots: &[Served], lease_file: &str, api_path: &str) -> Option<String> {
    let fit: Vec<&Served> = hotspots.iter().filter(|served| is_plain(served.hotspot.interface.as_str())).collect();
    if fit.is_empty() {
        return None;
    }
    let leases = fit.iter().map(|served| hosts_of(served.hotspot.address)).fold(0, u32::saturating_add);
    let mut text = format!(
        "# Written by Doorward for the hotspots that it serves; changes are lost.\n\
         # No names, and nothing of the machine's own: the gateway's resolver answers guests.\n\
         port=0\nno-hosts\nno-resolv\n\
         bind-dynamic\n\
         dhcp-leasefile={lease_file}\ndhcp-lease-max={}\n\
         # The only DHCP server of these networks; no address is tried before it is lent, which would cost 3 s.\n\
         dhcp-authoritative\nno-ping\ndhcp-rapid-commit\n\
         log-facility=-\nquiet-dhcp\nquiet-dhcp6\nquiet-ra\n",
        leases.min(MOST_LEASES),
    );
    for served in fit {
        // Writing to a string does not fail.
        let _ = write_hotspot(&mut text, served, api_path);
    }
    Some(text)
}

/// Names a configuration: the same text has the same name.
pub(super) fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(8).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn write_hotspot(text: &mut String, served: &Served, api_path: &str) -> std::fmt::Result {
    let Hotspot { id, interface, address, address_ipv6, portal_tls, .. } = &served.hotspot;
    let tag = format!("h{}", id.0);
    let gateway = address.addr();
    let lease_s = served.lease_s.clamp(*LEASE_S.start(), *LEASE_S.end());
    writeln!(text, "\ninterface={interface}")?;
    for (first, last) in ranges(*address) {
        writeln!(text, "dhcp-range=set:{tag},{first},{last},{},{lease_s}", address.netmask())?;
    }
    writeln!(text, "dhcp-option=tag:{tag},option:router,{gateway}")?;
    writeln!(text, "dhcp-option=tag:{tag},option:dns-server,{gateway}")?;
    let uri = if *portal_tls { portal_uri(&served.host_name, api_path) } else { None };
    if let Some(uri) = &uri {
        writeln!(text, "dhcp-option=tag:{tag},114,\"{uri}\"")?;
    }
    if let Some(net) = address_ipv6 {
        writeln!(text, "dhcp-range=set:{tag},{},ra-stateless,{},{lease_s}", net.network(), net.prefix_len())?;
        writeln!(text, "dhcp-option=tag:{tag},option6:dns-server,[{}]", net.addr())?;
        writeln!(text, "ra-param={interface},{RA_INTERVAL_S},{RA_LIFETIME_S}")?;
        if let Some(uri) = &uri {
            writeln!(text, "dhcp-option=tag:{tag},option6:103,\"{uri}\"")?;
        }
    }
    Ok(())
}

/// All addresses of a subnet but the first, the last and the gateway's, as one or two ranges.
fn ranges(subnet: Ipv4Net) -> Vec<(std::net::Ipv4Addr, std::net::Ipv4Addr)> {
    let (first, last) = (subnet.network().to_bits().saturating_add(1), subnet.broadcast().to_bits().saturating_sub(1));
    let gateway = subnet.addr().to_bits();
    [(first, last.min(gateway.saturating_sub(1))), (first.max(gateway.saturating_add(1)), last)]
        .into_iter()
        .filter(|(from, to)| from <= to)
        .map(|(from, to)| (from.into(), to.into()))
        .collect()
}

fn hosts_of(subnet: Ipv4Net) -> u32 {
    ranges(subnet).iter().map(|(from, to)| to.to_bits() - from.to_bits() + 1).sum()
}

/// Where a device asks whether it is captive (RFC 8910); `None`: the name is none that a configuration can hold.
fn portal_uri(host_name: &str, api_path: &str) -> Option<String> {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    let uri = format!("https://{host_name}{api_path}");
    (is_name(host_name) && uri.len() <= MOST_URI && !api_path.contains(['"', ',', ' '])).then_some(uri)
}

/// Whether an interface's name means nothing else in a configuration, as `*`, `,` and `#` do.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@' | b'+'))
}

#[cfg(test)]
mod tests {
    use doorward_policy::hotspot::HotspotId;

    use super::*;

    fn served(address: &str) -> Served {
        Served {
            hotspot: Hotspot {
                id: HotspotId(7),
                interface: "guest0".parse().unwrap(),
                address: address.parse().unwrap(),
                address_ipv6: Some("fd30::1/64".parse().unwrap()),
                nat_ipv6: true,
                isolated: true,
                lan_access: Vec::new(),
                portal_tls: true,
                allowed: Vec::new(),
                blocked: Vec::new(),
            },
            host_name: "login.guest.internal".to_owned(),
            lease_s: 3600,
        }
    }

    fn render(hotspots: &[Served]) -> Option<String> {
        super::render(hotspots, "/s/leases", "/captive")
    }

    #[test]
    fn a_hotspot_as_dnsmasq_reads_it() {
        let text = render(&[served("10.30.0.1/24")]).unwrap();
        let (_, hotspot) = text.split_once("\n\n").unwrap();
        assert_eq!(
            hotspot,
            "interface=guest0\n\
             dhcp-range=set:h7,10.30.0.2,10.30.0.254,255.255.255.0,3600\n\
             dhcp-option=tag:h7,option:router,10.30.0.1\n\
             dhcp-option=tag:h7,option:dns-server,10.30.0.1\n\
             dhcp-option=tag:h7,114,\"https://login.guest.internal/captive\"\n\
             dhcp-range=set:h7,fd30::,ra-stateless,64,3600\n\
             dhcp-option=tag:h7,option6:dns-server,[fd30::1]\n\
             ra-param=guest0,60,1800\n\
             dhcp-option=tag:h7,option6:103,\"https://login.guest.internal/captive\"\n"
        );
        assert!(text.contains("dhcp-lease-max=253\n") && text.contains("dhcp-leasefile=/s/leases\n"));
    }

    #[test]
    fn the_whole_subnet_is_lent_but_the_gateways_address() {
        let of = |net: &str| {
            let net: Ipv4Net = net.parse().unwrap();
            ranges(net).iter().map(|(a, b)| format!("{a}-{b}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("10.0.0.1/16"), "10.0.0.2-10.0.255.254");
        assert_eq!(of("10.0.128.1/16"), "10.0.0.1-10.0.128.0 10.0.128.2-10.0.255.254");
        assert_eq!(of("10.0.0.254/24"), "10.0.0.1-10.0.0.253");
        assert_eq!(of("10.0.0.3/29"), "10.0.0.1-10.0.0.2 10.0.0.4-10.0.0.6");
        assert_eq!(hosts_of("10.0.128.1/16".parse().unwrap()), 65_533);
    }

    #[test]
    fn nothing_that_means_something_else_gets_in() {
        let mut one = served("10.30.0.1/24");
        one.hotspot.interface = "eth*,wan".parse().unwrap();
        assert_eq!(render(&[one]), None, "an interface that would be a pattern is not served");
        for name in ["a\"\nport=53", "a,b", "a b", "", &"a".repeat(250)] {
            let mut one = served("10.30.0.1/24");
            name.clone_into(&mut one.host_name);
            assert!(!render(&[one]).unwrap().contains("https"), "{name:?}");
        }
        let mut one = served("10.30.0.1/24");
        one.hotspot.portal_tls = false;
        assert!(!render(&[one]).unwrap().contains("https"), "announced only where it is served");
        assert_eq!(render(&[]), None);
    }

    #[test]
    fn a_digest_names_the_text() {
        assert_eq!(digest("a"), "ca978112ca1bbdca");
    }
}
