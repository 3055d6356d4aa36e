//! Providers of social logins, one for each hotspot; their secrets only go in.

use std::sync::Arc;

use doorward_policy::guest::Method;

use super::{App, Error, hotspots::HotspotSpec};
use crate::hotspot_settings::{GardenEntry, HotspotSettings, MethodSettings, Provider};

/// A provider that somebody wants for a hotspot. Holds a secret: no `Debug`.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names are those of Provider")]
pub struct ProviderWish {
    /// The method is offered to guests.
    pub enabled: bool,
    pub label: String,
    pub issuer: String,
    pub authorize_url: String,
    pub token_url: String,
    pub userinfo_url: String,
    pub client_id: String,
    /// `None`: the one that is stored.
    pub client_secret: Option<String>,
    pub scopes: String,
    pub garden: Vec<GardenEntry>,
}

/// The method by which guests log in with an account elsewhere.
#[must_use]
pub fn social_method(settings: &HotspotSettings) -> Option<&MethodSettings> {
    settings.methods.iter().find(|own| own.method == Method::Facebook)
}

impl App {
    /// Sets the provider of a hotspot; what else its method says stays. A stored secret stays where it was given for:
    /// another provider or client needs it anew.
    ///
    /// # Errors
    /// [`Error::Hotspot`], [`Error::SecretAgain`], [`Error::Settings`]; the store failed.
    pub async fn set_provider(&self, hotspot: &str, wish: ProviderWish) -> Result<(), Error> {
        let edit = move |spec: HotspotSpec| {
            let mut settings = spec.settings.as_ref().clone();
            let own = match settings.methods.iter().position(|own| own.method == Method::Facebook) {
                Some(at) => settings.methods.get_mut(at),
                None => {
                    settings.methods.push(MethodSettings::new(Method::Facebook));
                    settings.methods.last_mut()
                }
            };
            if let Some(own) = own {
                own.enabled = wish.enabled;
                own.provider = Some(merged(wish, own.provider.as_ref())?);
            }
            Ok(HotspotSpec { settings: Arc::new(settings), ..spec })
        };
        self.edit_hotspot(hotspot, edit).await.map(drop)
    }
}

fn merged(wish: ProviderWish, stored: Option<&Provider>) -> Result<Provider, Error> {
    let ProviderWish {
        enabled: _,
        label,
        issuer,
        authorize_url,
        token_url,
        userinfo_url,
        client_id,
        client_secret,
        scopes,
        garden,
    } = wish;
    let client_secret = match (client_secret, stored.filter(|old| !old.client_secret.is_empty())) {
        (Some(given), _) => given,
        (None, None) => String::new(),
        (None, Some(old)) => {
            let same = (old.issuer.as_str(), old.token_url.as_str(), old.client_id.as_str());
            if same != (issuer.as_str(), token_url.as_str(), client_id.as_str()) {
                return Err(Error::SecretAgain);
            }
            old.client_secret.clone()
        }
    };
    Ok(Provider { label, issuer, authorize_url, token_url, userinfo_url, client_id, client_secret, scopes, garden })
}
