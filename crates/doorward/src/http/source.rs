//! Where a request comes from (VPN API, section 1.2).

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The address that a request counts as coming from: that of the connection; behind listed proxies, the hop nearest to
/// us that is not listed. `None`: a listed proxy named a hop that cannot be read, so nobody knows.
pub(super) fn of(connection: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut source = connection.to_canonical();
    if !is_trusted(source) {
        return Some(source);
    }
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    for line in lines.into_iter().rev() {
        for hop in line.to_str().ok()?.rsplit(',') {
            source = address(hop.trim())?;
            if !is_trusted(source) {
                return Some(source);
            }
        }
    }
    Some(source)
}

/// An address, or one with a port as some proxies write it.
fn address(hop: &str) -> Option<IpAddr> {
    let plain = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let plain = plain.parse::<IpAddr>().ok();
    plain.or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip())).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(connection: &str, forwarded: &[&'static str], trusted: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", axum::http::HeaderValue::from_static(line));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        of(connection.parse().unwrap(), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn only_listed_proxies_are_believed() {
        let proxy = ["10.0.0.0/8"];
        let of = |connection, forwarded: &[&'static str]| source(connection, forwarded, &proxy);
        assert_eq!(of("192.0.2.1", &["203.0.113.5"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(of("10.0.0.1", &["203.0.113.5"]).as_deref(), Some("203.0.113.5"));
        assert_eq!(of("::ffff:10.0.0.1", &["203.0.113.5"]).as_deref(), Some("203.0.113.5"));
        // What a client makes up stands to the left of what the proxy saw.
        assert_eq!(of("10.0.0.1", &["198.51.100.1, 203.0.113.5"]).as_deref(), Some("203.0.113.5"));
        assert_eq!(of("10.0.0.1", &["198.51.100.1", "203.0.113.5, 10.0.0.2"]).as_deref(), Some("203.0.113.5"));
        assert_eq!(of("10.0.0.1", &["junk, 203.0.113.5:4711"]).as_deref(), Some("203.0.113.5"));
        assert_eq!(of("10.0.0.1", &["[2001:db8::1]:4711"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(of("10.0.0.1", &[]).as_deref(), Some("10.0.0.1"));
        assert_eq!(of("10.0.0.1", &["203.0.113.5, junk"]), None);
    }
}
