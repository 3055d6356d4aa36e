//! The configuration file: what is needed to start. What operators change lives in the database.

mod acme;
mod public_url;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use doorward_policy::name::IfName;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use acme::Acme;
pub(crate) use acme::{LETS_ENCRYPT, check_authority};
pub use public_url::PublicUrl;

/// Where the file is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/doorward/doorward.toml";

/// Prefix of environment variables that override the file: `DOORWARD_MANAGEMENT__LISTEN='["[::]:8443"]'`.
const ENV_PREFIX: &str = "DOORWARD_";

/// The whole file. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Database, master key, certificate, and what `doorward down` puts back. Made with mode 0700.
    pub state_dir: PathBuf,
    /// Section `[database]`.
    pub database: Database,
    /// Section `[management]`.
    pub management: Management,
    /// Section `[acme]`.
    pub acme: Acme,
    /// Section `[network]`.
    pub network: Network,
    /// Section `[portal]`.
    pub portal: Portal,
    /// Section `[dns]`.
    pub dns: Dns,
    /// Section `[monitoring]`.
    pub monitoring: Monitoring,
    /// Section `[log]`.
    pub log: Log,
}

/// Where the stored state is.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite:///path` or `postgres://…`; empty: `doorward.db` in the state folder.
    pub url: String,
    /// Names this gateway among those that share a database.
    pub gateway: String,
}

/// The listener of the APIs and the panel.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Management {
    /// HTTPS addresses.
    pub listen: Vec<SocketAddr>,
    /// Plain HTTP addresses; for a trusted LAN only.
    pub plain_listen: Vec<SocketAddr>,
    /// Plain HTTP addresses, usually port 80 of LAN addresses, that serve the hotspot API at `/api/` and nothing else.
    pub api_listen: Vec<SocketAddr>,
    /// Networks from which the hotspot API answers; empty: private, shared, link-local and loopback ones. Guests never.
    pub api_networks: Vec<IpNet>,
    /// Where people outside reach this listener, such as `https://vpn.example.net`: one-time links begin so. Empty: the
    /// first address of `listen`.
    pub public_url: String,
    /// Certificate chain and key as PEM files; both empty: a self-made certificate in the state folder.
    pub tls_certificate: PathBuf,
    /// See `tls_certificate`.
    pub tls_key: PathBuf,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The VPN API answers 200 whatever happened, for old clients (VPN API, section 1.5).
    pub v1_status_200: bool,
    /// Client configurations are indented with tabs (VPN API, Open 24).
    pub config_tabs: bool,
    /// Most accounts that this gateway takes (`count_accounts_available`).
    pub max_accounts: u32,
}

/// What the gateway does to the network.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Interfaces that lead to the internet; empty: those of the default routes.
    pub wans: Vec<String>,
    /// Whether our nftables table is closed to others: `auto` where the kernel can, `off` never.
    pub nft_owner: NftOwner,
    /// Which WireGuard: `auto` is the kernel's where it has one.
    pub wireguard: Wireguard,
    /// IANA name; empty: the machine's.
    pub time_zone: String,
    /// Run user-space tunnels as systemd units instead of children of our own.
    pub systemd_tunnels: bool,
}

/// The captive portal.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Portal {
    /// Certificate chain and key as PEM files, for the host names of the hotspots; both empty: no HTTPS, and the
    /// captive-portal API (RFC 8908) is not announced.
    pub tls_certificate: PathBuf,
    /// See `tls_certificate`.
    pub tls_key: PathBuf,
}

/// The resolver for guests.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Resolvers that are asked; empty: those of `/etc/resolv.conf`.
    pub upstreams: Vec<SocketAddr>,
}

/// What monitoring systems may ask.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Monitoring {
    /// Plain HTTP addresses that serve `/metrics`, `/healthz` and `/readyz` to whoever reaches them, and nothing else.
    pub listen: Vec<SocketAddr>,
    /// A file with a token, 16 to 256 visible characters: who sends it as `Authorization: Bearer` reads `/metrics` on the
    /// management listener too. Empty: it is not there.
    pub token_file: PathBuf,
}

/// See [`Network::nft_owner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NftOwner {
    /// Owner and persist flags together where the kernel has both (Linux 6.9).
    Auto,
    /// No flags.
    Off,
}

/// See [`Network::wireguard`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wireguard {
    /// Kernel where present, user space otherwise.
    Auto,
    /// Kernel only.
    Kernel,
    /// User space only.
    Userspace,
}

/// What is logged, and how.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// A level (`error` … `trace`) or a filter such as `info,doorward::http=debug`.
    pub level: String,
}

/// See [`Log::format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line a record.
    Text,
    /// One JSON object a record.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/doorward"),
            database: Database::default(),
            management: Management::default(),
            acme: Acme::default(),
            network: Network::default(),
            portal: Portal::default(),
            dns: Dns::default(),
            monitoring: Monitoring::default(),
            log: Log::default(),
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self { url: String::new(), gateway: "default".to_owned() }
    }
}

impl Default for Management {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8443))],
            plain_listen: Vec::new(),
            api_listen: Vec::new(),
            api_networks: Vec::new(),
            public_url: String::new(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            trusted_proxies: Vec::new(),
            v1_status_200: false,
            config_tabs: true,
            max_accounts: 60_000,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            wans: Vec::new(),
            nft_owner: NftOwner::Auto,
            wireguard: Wireguard::Auto,
            time_zone: String::new(),
            systemd_tunnels: false,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file that was named is not there.
    #[error("there is no configuration file at {0}")]
    Missing(PathBuf),
    /// A key that is unknown or a value that cannot be read; the text names both.
    #[error("{0}")]
    Unreadable(Box<figment::Error>),
    /// A value that can be read but not be used.
    #[error("{key}: {why}")]
    Unusable {
        /// The key in the file.
        key: &'static str,
        /// The value and what is wrong with it.
        why: String,
    },
}

impl Config {
    /// Reads the file at `path` (`None`: [`DEFAULT_PATH`], which may be missing) and the environment.
    ///
    /// # Errors
    /// Names the key and the value.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        let defaults = Figment::from(Serialized::defaults(Self::default()));
        match file.is_file() {
            true => Self::read(defaults.merge(Toml::file_exact(file))),
            false if path.is_some() => Err(Error::Missing(file.to_owned())),
            false => Self::read(defaults),
        }
    }

    fn read(figment: Figment) -> Result<Self, Error> {
        let config: Self = figment
            .merge(Env::prefixed(ENV_PREFIX).split("__"))
            .extract()
            .map_err(|error| Error::Unreadable(Box::new(error)))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        let unusable = |key, why: String| Err(Error::Unusable { key, why });
        if !self.state_dir.is_absolute() {
            return unusable("state_dir", format!("{} is not an absolute path", self.state_dir.display()));
        }
        let url = &self.database.url;
        if !(url.is_empty() || ["sqlite:", "postgres://", "postgresql://"].iter().any(|p| url.starts_with(p))) {
            return unusable("database.url", "must begin with sqlite: or postgres://".to_owned());
        }
        if self.management.listen.is_empty() && self.management.plain_listen.is_empty() {
            return unusable("management.listen", "at least one address is needed".to_owned());
        }
        let plain = [
            ("management.plain_listen", &self.management.plain_listen),
            ("management.api_listen", &self.management.api_listen),
            ("monitoring.listen", &self.monitoring.listen),
        ];
        for (key, addresses) in plain {
            if let Some(address) = addresses.iter().find(|address| !is_local(address.ip())) {
                let why = "is no LAN address: plain HTTP is for private and loopback addresses only";
                return unusable(key, format!("{address} {why}"));
            }
        }
        let pairs = [
            ("management.tls_key", &self.management.tls_certificate, &self.management.tls_key),
            ("portal.tls_key", &self.portal.tls_certificate, &self.portal.tls_key),
        ];
        for (key, certificate, private) in pairs {
            if certificate.as_os_str().is_empty() != private.as_os_str().is_empty() {
                return unusable(key, "certificate and key go together".to_owned());
            }
        }
        if !(1..=65_000).contains(&self.management.max_accounts) {
            let why = format!("{} is not within 1 to 65000", self.management.max_accounts);
            return unusable("management.max_accounts", why);
        }
        self.acme()?;
        self.wans()?;
        self.time_zone()?;
        self.public_url()?;
        Ok(())
    }

    /// Where links to the management listener lead.
    ///
    /// # Errors
    /// `management.public_url` cannot be used.
    pub fn public_url(&self) -> Result<PublicUrl, Error> {
        PublicUrl::of(&self.management)
    }

    /// The interfaces of `network.wans`, sorted; `None` where they are found by the default routes.
    ///
    /// # Errors
    /// One of them is no interface name.
    pub fn wans(&self) -> Result<Option<Vec<IfName>>, Error> {
        let parse = |name: &String| {
            let why = || format!("{name:?} is not an interface name");
            name.parse().map_err(|_| Error::Unusable { key: "network.wans", why: why() })
        };
        let mut wans = self.network.wans.iter().map(parse).collect::<Result<Vec<IfName>, _>>()?;
        wans.sort_unstable();
        wans.dedup();
        Ok((!wans.is_empty()).then_some(wans))
    }

    /// The gateway's time zone.
    ///
    /// # Errors
    /// The name is unknown.
    pub fn time_zone(&self) -> Result<jiff::tz::TimeZone, Error> {
        let name = &self.network.time_zone;
        if name.is_empty() {
            return Ok(jiff::tz::TimeZone::system());
        }
        jiff::tz::TimeZone::get(name).map_err(|_| Error::Unusable {
            key: "network.time_zone",
            why: format!("{name:?} is not a time zone such as \"Europe/Berlin\""),
        })
    }

    /// The database's address, with the default filled in.
    #[must_use]
    pub fn database_url(&self) -> String {
        if self.database.url.is_empty() {
            format!("sqlite://{}", self.state_dir.join("doorward.db").display())
        } else {
            self.database.url.clone()
        }
    }
}

/// Addresses that plain HTTP may be offered on: loopback, RFC 1918, RFC 6598, link-local, unique-local.
pub(crate) fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let shared = a.octets()[0] == 100 && (64..128).contains(&a.octets()[1]);
            a.is_loopback() || a.is_private() || a.is_link_local() || shared
        }
        IpAddr::V6(a) => a.is_loopback() || a.is_unique_local() || a.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Error> {
        Config::read(Figment::from(Serialized::defaults(Config::default())).merge(Toml::string(text)))
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        let config = read("").unwrap();
        assert_eq!(config.database_url(), "sqlite:///var/lib/doorward/doorward.db");
        assert_eq!(config.wans().unwrap(), None);
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, words) in [
            ("statedir = '/x'", "statedir"),
            ("[management]\nlisten = ['nonsense']", "listen"),
            ("[management]\nporto = 1", "porto"),
            ("[network]\nnft_owner = 'maybe'", "maybe"),
            ("[network]\nwans = ['a/b']", "\"a/b\" is not an interface name"),
            ("[network]\ntime_zone = 'Mars/Base'", "Mars/Base"),
            ("[management]\nplain_listen = ['203.0.113.1:80']", "203.0.113.1:80 is no LAN address"),
            ("[management]\nplain_listen = ['0.0.0.0:80']", "0.0.0.0:80 is no LAN address"),
            ("[management]\ntls_key = '/k'", "go together"),
            ("state_dir = 'here'", "not an absolute path"),
            ("[database]\nurl = 'mysql://'", "database.url"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        assert!(matches!(Config::load(Some(Path::new("/nowhere.toml"))), Err(Error::Missing(_))));
    }
}
