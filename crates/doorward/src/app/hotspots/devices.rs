//! Devices that pass without a login, and blocked ones.

use std::collections::BTreeSet;

use doorward_policy::{guest::Mac, hotspot::Hotspot};

use super::{App, DevicePolicy, Error, HotspotDevice, HotspotError, now_ms, refusal};
use crate::{reconcile::Owner, store};

/// Pass-through and blocked devices of a hotspot.
const MOST_DEVICES: usize = 4096;
/// Characters of a device's note.
pub const MOST_NOTE: usize = 200;

impl App {
    /// Pass-through and blocked devices of a hotspot, by MAC.
    ///
    /// # Errors
    /// [`HotspotError::NotFound`]; the store failed.
    pub async fn hotspot_devices(&self, name: &str) -> Result<Vec<HotspotDevice>, Error> {
        let id = self.hotspot(name)?.hotspot.id;
        self.store().hotspot_devices(id).await.map_err(Error::Store)
    }

    /// The same of a device at every hotspot where it is seen. Answers at how many.
    ///
    /// # Errors
    /// As [`App::set_device_policy`].
    pub async fn set_seen_device_policy(&self, mac: Mac, policy: DevicePolicy) -> Result<usize, Error> {
        let seen: BTreeSet<_> =
            self.hosts().all().into_iter().filter(|host| host.mac == mac).map(|host| host.hotspot).collect();
        let mut set = 0;
        for record in seen.into_iter().filter_map(|id| self.hotspot_by_id(id)) {
            // What staff wrote about it stays.
            let known = self.hotspot_devices(record.name.as_str()).await?.into_iter().find(|device| device.mac == mac);
            let note = known.map(|device| device.note).unwrap_or_default();
            self.set_device_policy(record.name.as_str(), mac, Some(policy), note).await?;
            set += 1;
        }
        Ok(set)
    }

    /// Lets a device pass without a login, blocks it, or (`None`) treats it like any other again.
    ///
    /// # Errors
    /// [`Error::Hotspot`]; the store failed.
    pub async fn set_device_policy(
        &self,
        name: &str,
        mac: Mac,
        policy: Option<DevicePolicy>,
        note: String,
    ) -> Result<(), Error> {
        let (app, name) = (self.clone(), name.to_owned());
        if note.len() > 4 * MOST_NOTE || note.chars().count() > MOST_NOTE || note.chars().any(char::is_control) {
            return Err(HotspotError::Note.into());
        }
        self.finish(async move {
            let order = app.edit_servers().await?;
            let Hotspot { id, allowed, blocked, .. } = app.hotspot(&name)?.hotspot;
            if let Some(policy) = policy {
                let known = allowed.contains(&mac) || blocked.contains(&mac);
                if !known && allowed.len() + blocked.len() >= MOST_DEVICES {
                    return Err(HotspotError::TooManyDevices.into());
                }
                let device = HotspotDevice { mac, policy, note, created_ms: now_ms() };
                app.store().put_hotspot_device(id, &device).await.map_err(refusal)?;
            } else {
                app.store().remove_hotspot_device(id, mac).await.map_err(|error| {
                    let missing = matches!(error, store::Error::Missing);
                    if missing { HotspotError::DeviceNotFound.into() } else { Error::Store(error) }
                })?;
            }
            app.reload_hotspots().await?;
            drop(order);
            app.settle(&[Owner::Hotspot(id)]).await;
            Ok(())
        })
        .await
    }
}
