//! Resolvers that are asked.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{DnsName, Refused};

/// Ports of DNS (RFC 1035), DNS over TLS (RFC 7858) and over HTTPS (RFC 8484).
const PLAIN: u16 = 53;
const TLS: u16 = 853;
const HTTPS: u16 = 443;

/// Path of DNS over HTTPS, where none is said, and the longest.
const PATH: &str = "/dns-query";
const MOST_PATH: usize = 128;

/// A resolver that is asked: `ADDRESS[:PORT]`, `tls://ADDRESS[:PORT][#NAME]` or `https://ADDRESS[:PORT][/PATH][#NAME]`. It is
/// named by address, since nobody could look its name up; NAME is that of its certificate, the address where none is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Forwarder {
    /// By UDP, and TCP for long answers.
    Plain(SocketAddr),
    /// By TLS.
    Tls {
        /// Where.
        at: SocketAddr,
        /// Name in its certificate.
        name: String,
    },
    /// By HTTPS.
    Https {
        /// Where.
        at: SocketAddr,
        /// Name in its certificate.
        name: String,
        /// Of the request.
        path: String,
    },
}

impl Forwarder {
    /// Where it is.
    #[must_use]
    pub fn at(&self) -> SocketAddr {
        match self {
            Self::Plain(at) | Self::Tls { at, .. } | Self::Https { at, .. } => *at,
        }
    }
}

impl From<IpAddr> for Forwarder {
    fn from(address: IpAddr) -> Self {
        Self::Plain(SocketAddr::new(address, PLAIN))
    }
}

impl FromStr for Forwarder {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        if let Some(rest) = text.strip_prefix("tls://") {
            let (place, name) = certificate(rest)?;
            let at = place_of(place, TLS)?;
            return Ok(Self::Tls { at, name: name.unwrap_or_else(|| at.ip().to_string()) });
        }
        if let Some(rest) = text.strip_prefix("https://") {
            let (place, name) = certificate(rest)?;
            let (place, path) = place.split_at(place.find('/').unwrap_or(place.len()));
            let path = if path.is_empty() { PATH } else { path };
            let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b));
            if !plain || path.len() > MOST_PATH {
                return Err(Refused::Forwarder);
            }
            let at = place_of(place, HTTPS)?;
            let name = name.unwrap_or_else(|| at.ip().to_string());
            // A URL would need brackets around such a name, and a certificate none.
            if name.contains(':') {
                return Err(Refused::Forwarder);
            }
            return Ok(Self::Https { at, name, path: path.to_owned() });
        }
        Ok(Self::Plain(place_of(text, PLAIN)?))
    }
}

/// What stands before `#`, and the name after it.
fn certificate(text: &str) -> Result<(&str, Option<String>), Refused> {
    let Some((place, name)) = text.split_once('#') else { return Ok((text, None)) };
    let address = name.parse::<IpAddr>().map(|address| address.to_string());
    let name = address.or_else(|_| name.parse::<DnsName>().map(String::from)).map_err(|_| Refused::Forwarder)?;
    Ok((place, Some(name)))
}

fn place_of(text: &str, port: u16) -> Result<SocketAddr, Refused> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let at = match bare.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, port),
        Err(_) => text.parse().map_err(|_| Refused::Forwarder)?,
    };
    // No resolver stands there.
    let nowhere = at.ip().is_unspecified() || at.ip().is_multicast() || at.port() == 0;
    if nowhere || matches!(at, SocketAddr::V6(v6) if v6.scope_id() != 0) { Err(Refused::Forwarder) } else { Ok(at) }
}

impl fmt::Display for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |at: &SocketAddr, port| match at {
            SocketAddr::V4(v4) if v4.port() == port => v4.ip().to_string(),
            SocketAddr::V6(v6) if v6.port() == port => format!("[{}]", v6.ip()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => at.to_string(),
        };
        match self {
            Self::Plain(at) if at.port() == PLAIN => at.ip().fmt(f),
            Self::Plain(at) => at.fmt(f),
            Self::Tls { at, name } => {
                write!(f, "tls://{}", place(at, TLS))?;
                if *name == at.ip().to_string() { Ok(()) } else { write!(f, "#{name}") }
            }
            Self::Https { at, name, path } => {
                write!(f, "https://{}{path}", place(at, HTTPS))?;
                if *name == at.ip().to_string() { Ok(()) } else { write!(f, "#{name}") }
            }
        }
    }
}

impl TryFrom<String> for Forwarder {
    type Error = Refused;
    fn try_from(text: String) -> Result<Self, Refused> {
        text.parse()
    }
}

impl From<Forwarder> for String {
    fn from(forwarder: Forwarder) -> Self {
        forwarder.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarders() {
        for (text, shown) in [
            ("192.0.2.53", "192.0.2.53"),
            ("192.0.2.53:53", "192.0.2.53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "2001:db8::53"),
            ("[2001:db8::53]", "2001:db8::53"),
            ("[2001:db8::53]:54", "[2001:db8::53]:54"),
            ("tls://192.0.2.53", "tls://192.0.2.53"),
            ("tls://192.0.2.53:853#DNS.example", "tls://192.0.2.53#dns.example"),
            ("tls://[2001:db8::53]:8853#dns.example", "tls://[2001:db8::53]:8853#dns.example"),
            ("https://192.0.2.53", "https://192.0.2.53/dns-query"),
            ("https://2001:db8::53/q#dns.example", "https://[2001:db8::53]/q#dns.example"),
        ] {
            let forwarder: Forwarder = text.parse().unwrap();
            assert_eq!(forwarder.to_string(), shown);
            assert_eq!(shown.parse::<Forwarder>(), Ok(forwarder), "{shown}");
        }
        for bad in [
            "",
            "dns.example",
            "0.0.0.0",
            "224.0.0.1",
            "192.0.2.53:0",
            "192.0.2.53:70000",
            "tls://dns.example",
            "tls://",
            "https://192.0.2.53/a b",
            "https://192.0.2.53/q#",
            "tls://192.0.2.53#a b",
            "udp://192.0.2.53",
            "fe80::1%2",
            "https://[2001:db8::53]",
            "https://192.0.2.53#2001:db8::53",
        ] {
            assert_eq!(bad.parse::<Forwarder>(), Err(Refused::Forwarder), "{bad}");
        }
    }
}
