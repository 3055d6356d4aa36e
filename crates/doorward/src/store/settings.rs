//! Settings of the VPN service (VPN API, section 3.1).

use sqlx::FromRow;

use super::{Error, Store, error::corrupt};

/// What `/system/config` of the VPN API holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VpnSettings {
    /// Minutes between collections of statistics, 1 to 1440.
    pub traffic_statistics_frequency: u16,
    /// Months that statistics are kept; 0: nothing is collected. At most 2,147,483,647.
    pub traffic_statistics_history: u32,
    /// Seconds after its last handshake until an account counts as offline, 1 to 300.
    pub wireguard_handshake_uptime: u16,
}

impl Default for VpnSettings {
    fn default() -> Self {
        Self { traffic_statistics_frequency: 5, traffic_statistics_history: 2, wireguard_handshake_uptime: 180 }
    }
}

#[derive(FromRow)]
struct SettingsRow {
    traffic_statistics_frequency: i64,
    traffic_statistics_history: i64,
    wireguard_handshake_uptime: i64,
}

impl SettingsRow {
    fn check(self, gateway: i64) -> Result<VpnSettings, Error> {
        let Self { traffic_statistics_frequency, traffic_statistics_history, wireguard_handshake_uptime } = self;
        let bad = corrupt("settings", gateway);
        Ok(VpnSettings {
            traffic_statistics_frequency: u16::try_from(traffic_statistics_frequency)
                .ok()
                .filter(|minutes| (1..=1440).contains(minutes))
                .ok_or_else(|| bad("traffic_statistics_frequency"))?,
            traffic_statistics_history: u32::try_from(traffic_statistics_history)
                .map_err(|_| bad("traffic_statistics_history"))?,
            wireguard_handshake_uptime: u16::try_from(wireguard_handshake_uptime)
                .ok()
                .filter(|seconds| (1..=300).contains(seconds))
                .ok_or_else(|| bad("wireguard_handshake_uptime"))?,
        })
    }
}

impl Store {
    /// The settings; those of [`VpnSettings::default`] until others are stored.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn vpn_settings(&self) -> Result<VpnSettings, Error> {
        let gateway = self.gateway();
        let row: Option<SettingsRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT traffic_statistics_frequency, traffic_statistics_history, wireguard_handshake_uptime
                 FROM settings WHERE gateway_id = $1",
            )
            .bind(gateway)
            .fetch_optional(c)
            .await?
        });
        row.map_or(Ok(VpnSettings::default()), |row| row.check(gateway))
    }

    /// Stores the settings.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn set_vpn_settings(&self, settings: VpnSettings) -> Result<(), Error> {
        let gateway = self.gateway();
        let VpnSettings { traffic_statistics_frequency, traffic_statistics_history, wireguard_handshake_uptime } =
            settings;
        on_writer!(self.db(), |c| {
            sqlx::query(
                "INSERT INTO settings (gateway_id, traffic_statistics_frequency, traffic_statistics_history,
                                       wireguard_handshake_uptime)
                 VALUES ($1, $2, $3, $4)
                 ON CONFLICT (gateway_id) DO UPDATE SET
                     traffic_statistics_frequency = excluded.traffic_statistics_frequency,
                     traffic_statistics_history = excluded.traffic_statistics_history,
                     wireguard_handshake_uptime = excluded.wireguard_handshake_uptime",
            )
            .bind(gateway)
            .bind(i64::from(traffic_statistics_frequency))
            .bind(i64::from(traffic_statistics_history))
            .bind(i64::from(wireguard_handshake_uptime))
            .execute(c)
            .await?;
            Ok(())
        })
    }
}
