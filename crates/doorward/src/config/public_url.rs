//! Where people who get a link find the gateway.

use std::net::IpAddr;

use super::{Error, Management};

const KEY: &str = "management.public_url";

/// Where links to the management listener lead: `https://vpn.example.net:8443`, without a slash at the end. Never made
/// of what a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicUrl {
    /// As configured.
    Configured(String),
    /// A listener on one address.
    Listener(String),
    /// A listener on every address: on which one the gateway is reached must be said by who asks.
    Anywhere {
        /// `http` or `https`.
        scheme: &'static str,
        /// TCP port.
        port: u16,
    },
}

impl PublicUrl {
    /// `management.public_url`, else the first HTTPS listener, else the first plain one.
    ///
    /// # Errors
    /// The configured one cannot be used.
    pub(super) fn of(management: &Management) -> Result<Self, Error> {
        if !management.public_url.is_empty() {
            return parse(&management.public_url).map(Self::Configured);
        }
        let secure = management.listen.first().map(|address| ("https", *address));
        let plain = || management.plain_listen.first().map(|address| ("http", *address));
        Ok(match secure.or_else(plain) {
            Some((scheme, address)) if address.ip().is_unspecified() => Self::Anywhere { scheme, port: address.port() },
            Some((scheme, address)) => Self::Listener(origin(scheme, address.ip(), address.port())),
            None => Self::Anywhere { scheme: "https", port: 443 },
        })
    }

    /// The address itself; `external`: an address that the gateway is reached at.
    #[must_use]
    pub fn with(&self, external: IpAddr) -> String {
        match self {
            Self::Configured(url) | Self::Listener(url) => url.clone(),
            Self::Anywhere { scheme, port } => origin(scheme, external, *port),
        }
    }
}

fn parse(text: &str) -> Result<String, Error> {
    let wrong = |why| Error::Unusable { key: KEY, why: format!("{text:?} {why}") };
    let url = reqwest::Url::parse(text).map_err(|_| wrong("is no address such as \"https://vpn.example.net\""))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("is neither http:// nor https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold a user name or password"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must end behind the host or port"));
    }
    Ok(url.origin().ascii_serialization())
}

fn origin(scheme: &str, address: IpAddr, port: u16) -> String {
    let host = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    match (scheme, port) {
        ("https", 443) | ("http", 80) => format!("{scheme}://{host}"),
        _ => format!("{scheme}://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(change: impl FnOnce(&mut Management)) -> Result<String, Error> {
        let mut management = Management::default();
        change(&mut management);
        PublicUrl::of(&management).map(|url| url.with("192.0.2.10".parse().unwrap()))
    }

    #[test]
    fn what_is_configured_comes_first_then_the_listeners() {
        let listen = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        assert_eq!(of(|_| ()).unwrap(), "https://192.0.2.10:8443");
        assert_eq!(of(|m| m.listen = listen(&["[::]:443"])).unwrap(), "https://192.0.2.10");
        assert_eq!(of(|m| m.listen = listen(&["[2001:db8::1]:8443"])).unwrap(), "https://[2001:db8::1]:8443");
        let plain = of(|m| (m.listen, m.plain_listen) = (Vec::new(), listen(&["10.0.0.1:80"])));
        assert_eq!(plain.unwrap(), "http://10.0.0.1");
        for (text, url) in [
            ("https://VPN.example.net", "https://vpn.example.net"),
            ("https://vpn.example.net:443/", "https://vpn.example.net"),
            ("http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(of(|m| text.clone_into(&mut m.public_url)).unwrap(), url);
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        for text in [
            "vpn.example.net",
            "ftp://vpn.example.net",
            "https://",
            "https://u@vpn.example.net",
            "https://u:p@vpn.example.net",
            "https://vpn.example.net/panel",
            "https://vpn.example.net/?a",
            "https://vpn.example.net/#a",
            "javascript:alert(1)",
        ] {
            let error = of(|m| text.clone_into(&mut m.public_url)).expect_err(text).to_string();
            assert!(error.starts_with(KEY) && error.contains(text), "{error}");
        }
    }
}
