//! Settings for guests as a whole, and the switches and key of the hotspot API.

use sqlx::FromRow;

use super::{Error, Store, error::corrupt};
use crate::{
    hotspot_settings::GuestSettings,
    secrets::{ApiKey, Place},
};

const TABLE: &str = "guest_settings";

/// Which methods of the hotspot API are switched on (Hotspot API, section 1.2). Both are off at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApiSwitches {
    /// POST.
    pub post: bool,
    /// GET.
    pub get: bool,
}

/// All that is stored of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestConfig {
    /// Vouchers, retention, mail, SMS.
    pub settings: GuestSettings,
    /// Of the hotspot API.
    pub switches: ApiSwitches,
    /// Of the hotspot API.
    pub key: ApiKey,
}

#[derive(FromRow)]
struct ConfigRow {
    settings: Vec<u8>,
    api_post: bool,
    api_get: bool,
    api_key: Vec<u8>,
}

impl Store {
    /// What is stored; `None` until something was.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn guest_config(&self) -> Result<Option<GuestConfig>, Error> {
        let gateway = self.gateway();
        let row: Option<ConfigRow> = on_reader!(self.db(), |c| {
            sqlx::query_as("SELECT settings, api_post, api_get, api_key FROM guest_settings WHERE gateway_id = $1")
                .bind(gateway)
                .fetch_optional(c)
                .await?
        });
        let Some(ConfigRow { settings, api_post, api_get, api_key }) = row else { return Ok(None) };
        let bad = corrupt(TABLE, gateway);
        let settings = self.key().open(self.guest_place("settings"), &settings).map_err(|_| bad("settings"))?;
        let key = self.key().open(self.guest_place("api_key"), &api_key).map_err(|_| bad("api_key"))?;
        Ok(Some(GuestConfig {
            settings: serde_json::from_slice(&settings).map_err(|_| bad("settings"))?,
            switches: ApiSwitches { post: api_post, get: api_get },
            key: std::str::from_utf8(&key).ok().and_then(ApiKey::parse).ok_or_else(|| bad("api_key"))?,
        }))
    }

    /// Stores all of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn set_guest_config(&self, config: &GuestConfig) -> Result<(), Error> {
        let gateway = self.gateway();
        let GuestConfig { settings, switches, key } = config;
        let bad = corrupt(TABLE, gateway);
        let settings = serde_json::to_vec(settings).map_err(|_| bad("settings"))?;
        let settings = self.key().seal(self.guest_place("settings"), &settings)?;
        let key = self.key().seal(self.guest_place("api_key"), key.expose().as_bytes())?;
        let ApiSwitches { post, get } = *switches;
        on_writer!(self.db(), |c| {
            sqlx::query(
                "INSERT INTO guest_settings (gateway_id, settings, api_post, api_get, api_key)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (gateway_id) DO UPDATE SET settings = excluded.settings, api_post = excluded.api_post,
                     api_get = excluded.api_get, api_key = excluded.api_key",
            )
            .bind(gateway)
            .bind(settings)
            .bind(post)
            .bind(get)
            .bind(key)
            .execute(c)
            .await?;
            Ok(())
        })
    }

    fn guest_place(&self, column: &'static str) -> Place<'_> {
        Place { table: TABLE, column, owner: self.instance_id() }
    }
}
