//! The types of parameters (VPN API, section 2). Each function takes a text without white space around it and answers
//! `None` for what is no value of its type.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use doorward_policy::{
    firewall::{Chain, RuleProtocol, Verdict},
    limits::Mbit,
    name::IfName,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;

/// Longest list of subnets: the configuration that it goes into must fit into a QR code.
const MOST_LIST_BYTES: usize = 1500;

/// Decimal digits only; no sign, no fraction.
pub(in crate::http) fn number<T: FromStr>(text: &str) -> Option<T> {
    let plain = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

pub(in crate::http) fn number_within<T: FromStr + PartialOrd>(least: T, most: T) -> impl FnOnce(&str) -> Option<T> {
    move |text| number(text).filter(|n| (least..=most).contains(n))
}

pub(in crate::http) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

pub(in crate::http) fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// Empty, or a value.
pub(in crate::http) fn optional<T>(read: impl FnOnce(&str) -> Option<T>) -> impl FnOnce(&str) -> Option<Option<T>> {
    move |text| if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

/// A dotted quad, bare or with `/32` (Open 6).
pub(in crate::http) fn ipv4(text: &str) -> Option<Ipv4Addr> {
    text.strip_suffix("/32").unwrap_or(text).parse().ok()
}

/// The same, where it is an address that a host can have and others can reach.
pub(in crate::http) fn ipv4_unicast(text: &str) -> Option<Ipv4Addr> {
    ipv4(text).filter(|address| (1..=223).contains(&address.octets()[0]) && !address.is_loopback())
}

/// An IPv6 address, bare or with `/128` (Open 6).
pub(in crate::http) fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.strip_suffix("/128").unwrap_or(text).parse().ok()
}

/// An address with its prefix length; host bits stay.
pub(in crate::http) fn ipv4_net(text: &str) -> Option<Ipv4Net> {
    with_plain_length(text)?.parse().ok()
}

/// An address with its prefix length; host bits stay.
pub(in crate::http) fn ipv6_net(text: &str) -> Option<Ipv6Net> {
    with_plain_length(text)?.parse().ok()
}

/// `wg` and digits.
pub(in crate::http) fn wireguard_interface(text: &str) -> Option<IfName> {
    text.parse().ok().filter(IfName::is_wireguard)
}

pub(in crate::http) fn mbit(text: &str) -> Option<Mbit> {
    number(text).and_then(Mbit::new)
}

/// Subnets with prefix length, comma-separated, spaces allowed; answered as it came. Empty is a list.
pub(in crate::http) fn net_list(text: &str) -> Option<String> {
    let is_net = |part: &str| with_plain_length(part).is_some_and(|part| part.parse::<IpNet>().is_ok());
    let fine = text.len() <= MOST_LIST_BYTES && text.split(',').all(|part| is_net(part.trim_matches(' ')));
    (text.is_empty() || fine).then(|| text.to_owned())
}

/// An address or a domain name, without a port; or empty.
pub(in crate::http) fn endpoint(text: &str) -> Option<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // The last label of a name is never a number: 300.1.2.3 is a mistyped address.
    let last_is_number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let domain = text.len() <= 253 && text.split('.').all(label) && !last_is_number;
    (text.is_empty() || text.parse::<IpAddr>().is_ok() || domain).then(|| text.to_owned())
}

/// Either family; host bits stay.
pub(in crate::http) fn net(text: &str) -> Option<IpNet> {
    ipv4_net(text).map(IpNet::V4).or_else(|| ipv6_net(text).map(IpNet::V6))
}

pub(in crate::http) fn verdict(text: &str) -> Option<Verdict> {
    match text {
        "ACCEPT" => Some(Verdict::Accept),
        "DROP" => Some(Verdict::Drop),
        _ => None,
    }
}

pub(in crate::http) fn chain(text: &str) -> Option<Chain> {
    match text {
        "INPUT" => Some(Chain::Input),
        "FORWARD" => Some(Chain::Forward),
        "OUTPUT" => Some(Chain::Output),
        _ => None,
    }
}

pub(in crate::http) fn rule_protocol(text: &str) -> Option<RuleProtocol> {
    match text {
        "TCP" => Some(RuleProtocol::Tcp),
        "UDP" => Some(RuleProtocol::Udp),
        "ICMP" => Some(RuleProtocol::Icmp),
        "ANY" => Some(RuleProtocol::Any),
        _ => None,
    }
}

/// RFC 3339 with offset → Unix ms. Form decoding may have made a space of the offset's `+`.
pub(in crate::http) fn moment(text: &str) -> Option<i64> {
    let offset_at = text.len().checked_sub(6).filter(|at| *at > "YYYY-MM-DD".len() && text.is_ascii());
    let text = match offset_at {
        Some(at) if text.as_bytes()[at] == b' ' => format!("{}+{}", &text[..at], &text[at + 1..]),
        Some(_) | None => text.to_owned(),
    };
    if text.len() > 40 {
        return None;
    }
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// `1.2.3.4/024` is no subnet.
fn with_plain_length(text: &str) -> Option<&str> {
    let (_, length) = text.split_once('/')?;
    let plain = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    (plain && (length == "0" || !length.starts_with('0'))).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number::<u16>("65535"), Some(65_535));
        assert_eq!(number::<u16>("007"), Some(7));
        for bad in ["", "-1", "+1", "1.5", "1e3", "0x1", "65536", "1 ", "１", &"0".repeat(21)] {
            assert_eq!(number::<u16>(bad), None, "{bad}");
        }
        assert_eq!(number_within(1_u16, 5)("0"), None);
    }

    #[test]
    fn booleans() {
        for (text, value) in [("1", Some(true)), ("TRUE", Some(true)), ("0", Some(false)), ("False", Some(false))] {
            assert_eq!(boolean(text), value);
        }
        for bad in ["", "yes", "2", "on", "01"] {
            assert_eq!(boolean(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(ipv4("10.0.0.1/32"), ipv4("10.0.0.1"));
        for bad in ["", "10.0.0", "10.0.0.1/24", "010.0.0.1", "10.0.0.256", "::1", "10.0.0.1\n"] {
            assert_eq!(ipv4(bad), None, "{bad}");
        }
        for bad in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "x"] {
            assert_eq!(ipv4_unicast(bad), None, "{bad}");
        }
        assert!(ipv4_unicast("192.0.2.1/32").is_some());
        assert_eq!(ipv6("2001:db8::1/128"), ipv6("2001:db8::1"));
        assert_eq!(ipv4_net("10.0.0.5/24").map(|n| n.to_string()).as_deref(), Some("10.0.0.5/24"));
        for bad in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/8/8"] {
            assert_eq!(ipv4_net(bad), None, "{bad}");
        }
    }

    #[test]
    fn lists() {
        for good in ["", "10.0.0.5/8", "10.0.0.0/8, 2001:db8::/32", "0.0.0.0/0,::/0"] {
            assert_eq!(net_list(good).as_deref(), Some(good));
        }
        for bad in [",", "10.0.0.0", "10.0.0.0/8,", "10.0.0.0/8\n,1.0.0.0/8", "x/8", &"10.0.0.0/8,".repeat(200)] {
            assert_eq!(net_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn endpoints() {
        for good in ["", "vpn.example.net", "192.0.2.1", "2001:db8::1", "a", "xn--bcher-kva.example"] {
            assert_eq!(endpoint(good).as_deref(), Some(good));
        }
        let long = format!("{}.example", "a".repeat(64));
        for bad in ["a:1", "192.0.2.1:51820", "-a.example", "a..b", "a b", "a\nPostUp = x", "300.1.2.3", "ä.de", &long]
        {
            assert_eq!(endpoint(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments() {
        assert_eq!(moment("2031-05-01T00:00:00+02:00"), moment("2031-04-30T22:00:00Z"));
        assert_eq!(moment("2031-05-01T00:00:00 02:00"), moment("2031-05-01T00:00:00+02:00"));
        assert!(moment("2031-05-01 00:00:00+02:00").is_some());
        for bad in ["", "2031-05-01", "2031-05-01T00:00:00", "tomorrow", "2031-13-01T00:00:00Z", "1900000000"] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }
}
