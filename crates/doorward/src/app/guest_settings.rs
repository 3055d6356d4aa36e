//! Settings for guests as a whole, and who may call the hotspot API.

use std::sync::{Arc, PoisonError};

use super::{App, Error, no_random};
pub use crate::store::ApiSwitches;
use crate::{
    hotspot_settings::GuestSettings,
    secrets::ApiKey,
    store::{self, GuestConfig, Store},
};

impl App {
    /// The settings. Costs no query.
    #[must_use]
    pub fn guest_settings(&self) -> Arc<GuestSettings> {
        Arc::new(self.guest_config().settings.clone())
    }

    /// Stores the settings.
    ///
    /// # Errors
    /// [`Error::Settings`]; the store failed.
    pub async fn set_guest_settings(&self, settings: GuestSettings) -> Result<(), Error> {
        self.edit_guest_settings(move |stored| {
            *stored = settings;
            Ok(())
        })
        .await
    }

    /// Changes some of the settings; what others change meanwhile is not lost.
    ///
    /// # Errors
    /// What `edit` refuses; [`Error::Settings`]; the store failed.
    pub async fn edit_guest_settings(
        &self,
        edit: impl FnOnce(&mut GuestSettings) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        self.change_guest_config(move |config| {
            edit(&mut config.settings)?;
            Ok(config.settings.check()?)
        })
        .await
    }

    /// Which methods of the hotspot API are switched on. Costs no query.
    #[must_use]
    pub fn api_switches(&self) -> ApiSwitches {
        self.guest_config().switches
    }

    /// Switches the methods of the hotspot API; the next request follows.
    ///
    /// # Errors
    /// The store failed.
    pub async fn set_api_switches(&self, switches: ApiSwitches) -> Result<(), Error> {
        self.change_guest_config(move |config| {
            config.switches = switches;
            Ok(())
        })
        .await
    }

    /// The key of the hotspot API. Costs no query.
    #[must_use]
    pub fn api_key(&self) -> ApiKey {
        self.guest_config().key.clone()
    }

    /// Makes a new key of the hotspot API; the old one stops at once.
    ///
    /// # Errors
    /// The store failed; the system has no random numbers.
    pub async fn renew_api_key(&self) -> Result<ApiKey, Error> {
        let key = ApiKey::generate().map_err(no_random)?;
        let new = key.clone();
        self.change_guest_config(move |config| {
            config.key = new;
            Ok(())
        })
        .await?;
        Ok(key)
    }

    fn guest_config(&self) -> Arc<GuestConfig> {
        Arc::clone(&self.0.guest_config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace_guest_config(&self, config: GuestConfig) {
        *self.0.guest_config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    async fn change_guest_config(
        &self,
        change: impl FnOnce(&mut GuestConfig) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let app = self.clone();
        self.finish(async move {
            let _one_at_a_time = app.0.guest_config_edit.lock().await;
            let mut config = app.guest_config().as_ref().clone();
            change(&mut config)?;
            app.store().set_guest_config(&config).await.map_err(Error::Store)?;
            app.replace_guest_config(config);
            Ok(())
        })
        .await
    }
}

/// What is stored; at first start our own settings, both switches off, and a new key.
pub(super) async fn load(store: &Store) -> Result<GuestConfig, store::Error> {
    if let Some(config) = store.guest_config().await? {
        return Ok(config);
    }
    let key = ApiKey::generate()?;
    let config = GuestConfig { settings: GuestSettings::default(), switches: ApiSwitches::default(), key };
    store.set_guest_config(&config).await?;
    Ok(config)
}
