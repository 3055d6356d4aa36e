//! The relay's configuration file.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Format as _, Toml},
};
use serde::Deserialize;

use super::wire::Domain;
use crate::config::{Error, Log};

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
    /// PEM files with the chain for the domain and everything below it, read anew when they change.
    pub tls_certificate: PathBuf,
    /// See `tls_certificate`.
    pub tls_key: PathBuf,
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
            if path.as_os_str().is_empty() {
                return unusable(key, "a PEM file is needed".to_owned());
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
}
