//! The relay's configuration file.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Format as _, Toml},
};
use serde::Deserialize;

use super::wire::Domain;
use crate::{
    config::{Error, LETS_ENCRYPT, Log, check_authority},
    tls::acme,
};

/// Where the file is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/doorward/relay.toml";

/// The whole file. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// HTTPS addresses, for gateways and for their callers.
    pub listen: Vec<SocketAddr>,
    /// Names of gateways are below it: `cloud.example.net`. Its addresses and those of `*.cloud.example.net` are the
    /// relay's.
    pub domain: Domain,
    /// PEM files with the chain for the domain and everything below it, read anew when they change. Empty: `[acme]` is there.
    #[serde(default)]
    pub tls_certificate: PathBuf,
    /// See `tls_certificate`.
    #[serde(default)]
    pub tls_key: PathBuf,
    /// Section `[acme]`, instead of the files.
    #[serde(default)]
    pub acme: Option<Acme>,
    /// Names and digests are kept there. Made with mode 0700.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Section `[log]`.
    #[serde(default)]
    pub log: Log,
}

/// A certificate for the domain and everything below it from a certification authority that speaks ACME (RFC 8555). It looks by DNS
/// (section 8.4 there): `_acme-challenge.` the domain is a zone that the relay answers for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Acme {
    /// E-mail address that the authority may write to; empty: none.
    pub contact: String,
    /// The authority's directory.
    pub directory: String,
    /// You agree to the terms of service of the authority.
    pub terms_agreed: bool,
    /// PEM file with the root that the directory itself is judged by; empty: the public ones.
    pub roots: PathBuf,
    /// Addresses for questions about that zone, by UDP and TCP. The world asks at port 53.
    pub dns_listen: Vec<SocketAddr>,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            contact: String::new(),
            directory: LETS_ENCRYPT.to_owned(),
            terms_agreed: false,
            roots: PathBuf::new(),
            dns_listen: vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, 53))],
        }
    }
}

/// What the relay bears.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Gateways connected at once, 1 to 1,000,000.
    pub gateways: u32,
    /// Connections of callers at once, 1 to 100,000.
    pub callers: u32,
    /// Requests at once for all gateways, 1 to 100,000. Each may hold a body of 64 KiB.
    pub requests: u32,
    /// Requests in a second to one name, 1 to 100,000; twice as many in a burst.
    pub name_per_second: u32,
    /// Requests in a second from one address (IPv6: one /64), 1 to 100,000; twice as many in a burst.
    pub address_per_second: u32,
    /// Connections of callers from one address at once, 1 to 100,000.
    pub address_callers: u32,
    /// New connections in a second from one address, 1 to 1,000,000; four times as many in a burst. Gateways that share
    /// an address share it.
    pub address_connects: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gateways: 20_000,
            callers: 4_096,
            requests: 1_024,
            name_per_second: 20,
            address_per_second: 20,
            address_callers: 64,
            address_connects: 32,
        }
    }
}

fn state_dir() -> PathBuf {
    PathBuf::from("/var/lib/doorward-relay")
}

impl RelayConfig {
    /// Reads the file at `path`, or at [`DEFAULT_PATH`].
    ///
    /// # Errors
    /// Names the key and the value.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        if !file.is_file() {
            return Err(Error::Missing(file.to_owned()));
        }
        Self::read(Figment::from(Toml::file_exact(file)))
    }

    fn read(figment: Figment) -> Result<Self, Error> {
        let config: Self = figment.extract().map_err(|error| Error::Unreadable(Box::new(error)))?;
        let unusable = |key, why: String| Err(Error::Unusable { key, why });
        if config.listen.is_empty() {
            return unusable("listen", "at least one address is needed".to_owned());
        }
        if !config.state_dir.is_absolute() {
            return unusable("state_dir", format!("{} is not an absolute path", config.state_dir.display()));
        }
        for (key, path) in [("tls_certificate", &config.tls_certificate), ("tls_key", &config.tls_key)] {
            match (path.as_os_str().is_empty(), &config.acme) {
                (true, None) => return unusable(key, "a PEM file is needed, or the section [acme]".to_owned()),
                (false, Some(_)) => return unusable(key, "[acme] is there: a relay has one certificate".to_owned()),
                (true, Some(_)) | (false, None) => {}
            }
        }
        if let Some(acme) = &config.acme {
            check_authority(&acme.contact, &acme.directory, acme.terms_agreed)?;
            if acme.dns_listen.is_empty() {
                return unusable("acme.dns_listen", "at least one address is needed".to_owned());
            }
        }
        let limits = &config.limits;
        for (key, value, most) in [
            ("limits.gateways", limits.gateways, 1_000_000),
            ("limits.callers", limits.callers, 100_000),
            ("limits.requests", limits.requests, 100_000),
            ("limits.name_per_second", limits.name_per_second, 100_000),
            ("limits.address_per_second", limits.address_per_second, 100_000),
            ("limits.address_callers", limits.address_callers, 100_000),
            ("limits.address_connects", limits.address_connects, 1_000_000),
        ] {
            if !(1..=most).contains(&value) {
                return unusable(key, format!("{value} is not within 1 to {most}"));
            }
        }
        Ok(config)
    }
}

impl Acme {
    /// What is asked for.
    #[must_use]
    pub fn options(&self, domain: &Domain, state_dir: &Path) -> acme::Options {
        acme::Options {
            names: vec![domain.to_string(), format!("*.{domain}")],
            contact: self.contact.clone(),
            directory: self.directory.clone(),
            roots: (!self.roots.as_os_str().is_empty()).then(|| self.roots.clone()),
            folder: state_dir.join("acme"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "listen = ['[::]:443']\ndomain = 'cloud.example.net'\ntls_certificate = '/c'\ntls_key = '/k'\n";

    #[test]
    fn a_mistake_is_named() {
        let read = |text: &str| RelayConfig::read(Figment::from(Toml::string(text)));
        assert_eq!(read(GOOD).unwrap().limits.gateways, 20_000);
        for (text, words) in [
            (GOOD.replace("'[::]:443'", ""), "listen"),
            (GOOD.replace("cloud.example.net", "cloud_example"), "domain"),
            (format!("{GOOD}porto = 1"), "porto"),
            (format!("{GOOD}[limits]\ngateways = 0"), "limits.gateways: 0 is not within"),
            (GOOD.replace("tls_key", "key"), "key"),
        ] {
            let error = read(&text).expect_err(&text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn the_certificate_comes_from_files_or_from_an_authority() {
        let read = |text: &str| RelayConfig::read(Figment::from(Toml::string(text)));
        let bare = GOOD.replace("tls_certificate = '/c'\ntls_key = '/k'\n", "");
        let acme = format!("{bare}[acme]\nterms_agreed = true\n");
        let config = read(&acme).unwrap();
        let section = config.acme.unwrap();
        assert_eq!(section.dns_listen, ["[::]:53".parse().unwrap()]);
        let options = section.options(&config.domain, &config.state_dir);
        assert_eq!(options.names, ["cloud.example.net", "*.cloud.example.net"]);
        assert_eq!((options.directory.as_str(), options.roots), (LETS_ENCRYPT, None));
        let shipped = include_str!("../../../../packaging/relay.toml");
        assert!(read(&shipped.replace("terms_agreed = false", "terms_agreed = true")).is_ok());
        for (text, words) in [
            (shipped.to_owned(), "acme.terms_agreed"),
            (bare.clone(), "tls_certificate: a PEM file is needed, or the section [acme]"),
            (format!("{bare}tls_certificate = '/c'"), "tls_key: a PEM file is needed"),
            (format!("tls_key = '/k'\n{acme}"), "tls_key: [acme] is there"),
            (format!("tls_certificate = '/c'\n{acme}"), "tls_certificate: [acme] is there"),
            (format!("{bare}[acme]"), "acme.terms_agreed"),
            (format!("{acme}names = ['a.example.net']"), "names"),
            (format!("{acme}contact = 'nobody'"), "acme.contact"),
            (format!("{acme}directory = 'http://example.net'"), "acme.directory"),
            (format!("{acme}dns_listen = []"), "acme.dns_listen"),
            (format!("{acme}dns_listen = ['example.net:53']"), "dns_listen"),
        ] {
            let error = read(&text).expect_err(&text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
