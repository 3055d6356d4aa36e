//! The gateway as a whole: state, settings, licence, and the machine below (VPN API, sections 3.1 and 3.2).

use std::path::Path;

use doorward_policy::limits::Mark;
use jiff::Timestamp;

use super::{App, Error, Given};
mod figures;
mod machine;
mod pulse;
mod report;

pub use self::{
    figures::{Figures, LoopFigures},
    machine::{FirewallVersions, Machine, WireguardVersions},
    pulse::Pulse,
    report::{Process, Report},
};
pub use crate::store::VpnSettings;

/// What the state says while a backup is restored.
const RESTORING: &str = "Loading (restoring a backup)";

/// What a caller says of the settings.
#[derive(Debug, Default)]
pub struct SettingsWish {
    /// Minutes, 1 to 1440.
    pub traffic_statistics_frequency: Given<u16>,
    /// Months, 0 to 2147483647.
    pub traffic_statistics_history: Given<u32>,
    /// Seconds, 1 to 300.
    pub wireguard_handshake_uptime: Given<u16>,
}

/// State of the gateway in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Accounts that exist.
    pub accounts: u32,
    /// Accounts that may exist.
    pub most_accounts: u32,
    /// Servers that exist.
    pub servers: u32,
    /// `OK` or `Loading (…)`.
    pub text: String,
}

/// The licence: this build enforces none, so it never ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licence {
    /// Accounts that may exist.
    pub most_accounts: u32,
    /// Five groups of six: the instance id.
    pub key: String,
    /// Now, RFC 3339 in the gateway's time zone.
    pub last_check: String,
}

impl App {
    /// State of the gateway. Costs no query.
    #[must_use]
    pub fn state(&self) -> State {
        let text = if self.is_restoring() { RESTORING.to_owned() } else { self.0.handle.state_text() };
        let directory = self.directory();
        let servers = u32::try_from(directory.count_servers()).unwrap_or(u32::MAX);
        let accounts = u32::try_from(directory.count_accounts()).unwrap_or(u32::MAX);
        State { accounts, most_accounts: self.most_accounts(), servers, text }
    }

    /// The licence.
    #[must_use]
    pub fn licence(&self) -> Licence {
        Licence {
            most_accounts: self.most_accounts(),
            key: self.0.instance_id.clone(),
            last_check: self.rfc3339(super::now_ms()),
        }
    }

    /// Compares the whole stored state with the kernel and repairs differences.
    ///
    /// # Errors
    /// [`Error::Loading`].
    pub async fn reload(&self) -> Result<(), Error> {
        if self.0.handle.status().borrow().is_loading() || self.is_restoring() {
            return Err(Error::Loading);
        }
        let ticket = self.0.handle.reload();
        if !self.0.handle.settled(ticket, super::SETTLE_WAIT).await {
            tracing::info!("a reload goes on after its answer");
        }
        Ok(())
    }

    /// The settings.
    ///
    /// # Errors
    /// The store failed.
    pub async fn vpn_settings(&self) -> Result<VpnSettings, Error> {
        self.store().vpn_settings().await.map_err(Error::Store)
    }

    /// Changes settings; what is missing stays.
    ///
    /// # Errors
    /// In the order of the list of the VPN API; the store failed.
    pub async fn update_settings(&self, wish: SettingsWish) -> Result<VpnSettings, Error> {
        let app = self.clone();
        self.finish(async move {
            // Settings are rarely written and read before: edits of servers and these wait for each other.
            let _order = app.edit_servers().await?;
            let mut settings = app.vpn_settings().await?;
            let frequency = within(&wish.traffic_statistics_frequency, 1, 1440, || Error::StatisticsFrequency)?;
            let history = within(&wish.traffic_statistics_history, 0, 2_147_483_647, || Error::StatisticsHistory)?;
            let uptime = within(&wish.wireguard_handshake_uptime, 1, 300, || Error::HandshakeUptime)?;
            settings.traffic_statistics_frequency = frequency.unwrap_or(settings.traffic_statistics_frequency);
            settings.traffic_statistics_history = history.unwrap_or(settings.traffic_statistics_history);
            settings.wireguard_handshake_uptime = uptime.unwrap_or(settings.wireguard_handshake_uptime);
            app.store().set_vpn_settings(settings).await.map_err(Error::Store)?;
            Ok(settings)
        })
        .await
    }

    /// Sets the settings back to 5 minutes, 2 months, 180 seconds.
    ///
    /// # Errors
    /// The store failed.
    pub async fn reset_settings(&self) -> Result<VpnSettings, Error> {
        self.update_settings(SettingsWish {
            traffic_statistics_frequency: Given::Is(5),
            traffic_statistics_history: Given::Is(2),
            wireguard_handshake_uptime: Given::Is(180),
        })
        .await
    }

    /// The machine as it is now.
    ///
    /// # Errors
    /// It could not be read.
    pub async fn machine(&self) -> Result<Machine, Error> {
        let zone = self.settings().zone.iana_name().unwrap_or("UTC").to_owned();
        off_thread(move || Machine::read(Path::new("/"), zone)).await
    }

    /// Versions of what the firewall is made with, and the kernel's switch.
    ///
    /// # Errors
    /// They could not be read.
    pub async fn firewall_versions(&self) -> Result<FirewallVersions, Error> {
        off_thread(|| FirewallVersions::read(Path::new("/"))).await
    }

    /// Versions of WireGuard packages.
    ///
    /// # Errors
    /// They could not be read.
    pub async fn wireguard_versions(&self) -> Result<WireguardVersions, Error> {
        off_thread(|| WireguardVersions::read(Path::new("/"))).await
    }

    /// Accounts that exist.
    #[must_use]
    pub fn count_accounts(&self) -> u32 {
        u32::try_from(self.directory().count_accounts()).unwrap_or(u32::MAX)
    }

    /// A moment in the gateway's time zone, RFC 3339 with offset.
    #[must_use]
    pub fn rfc3339(&self, at_ms: i64) -> String {
        let zone = &self.settings().zone;
        let zoned = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
        zoned.timestamp().display_with_offset(zoned.offset()).to_string()
    }

    fn most_accounts(&self) -> u32 {
        self.settings().max_accounts.min(Mark::LAST - Mark::FIRST + 1)
    }
}

fn within<T: PartialOrd + Copy>(
    given: &Given<T>,
    least: T,
    most: T,
    refusal: fn() -> Error,
) -> Result<Option<T>, Error> {
    match given.or(refusal())? {
        Some(value) if (least..=most).contains(value) => Ok(Some(*value)),
        Some(_) => Err(refusal()),
        None => Ok(None),
    }
}

async fn off_thread<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(read).await.map_err(|_| Error::Failed("the machine could not be read"))
}
