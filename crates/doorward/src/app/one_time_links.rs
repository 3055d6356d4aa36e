//! One-time links: whoever has one gets an account's configuration, once (VPN API, section 3.7).

use std::{fmt, net::IpAddr};

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::{App, Error, missing, no_random, now_ms};
use crate::{
    link_settings::{LinkSettings, MOST_DAYS},
    secrets::LinkKey,
    store::{self, LiveLink, Paging},
};

pub use crate::store::{LinkFilter, LinkId, LinkLine, LinkRecord, LinkSort};

/// Most uses of a link.
pub const MOST_USES: u16 = 1000;

/// A link that was made.
#[derive(Clone)]
pub struct Link {
    /// Its row.
    pub id: LinkId,
    /// Where it leads to; holds the key.
    pub address: String,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a link gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the account.
    pub account: String,
    /// Client configuration; holds the private key.
    pub text: String,
    /// How often the link may still be used.
    pub uses_left: i64,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("account", &self.account).finish_non_exhaustive()
    }
}

impl App {
    /// Makes a link to an account's configuration, to be used `uses` times (1 to [`MOST_USES`]) within `days` days (1
    /// to [`MOST_DAYS`]; `None`: as the settings say) and the rest of today. Earlier links stay.
    ///
    /// # Errors
    /// [`Error::LinkUses`], [`Error::LinkDays`], [`Error::AccountNotFound`]; the store failed.
    pub async fn create_link(&self, account: &str, uses: u16, days: Option<u16>) -> Result<Link, Error> {
        self.refuse_while_restoring()?;
        let external = IpAddr::V4(self.account_and_server(account).await?.1.external_ip);
        if !(1..=MOST_USES).contains(&uses) {
            return Err(Error::LinkUses);
        }
        let days = match days {
            Some(days) => days,
            None => self.link_settings().await?.lifetime_days,
        };
        if !(1..=MOST_DAYS).contains(&days) {
            return Err(Error::LinkDays);
        }
        let (created_ms, key) = (now_ms(), LinkKey::generate().map_err(no_random)?);
        let expires_ms = end_of_day(created_ms, days, &self.settings().zone).ok_or(Error::LinkDays)?;
        let address = self.link_address(&key, external);
        let new = store::NewLink { account: account.to_owned(), key, uses, created_ms, expires_ms };
        let id = self.store().insert_link(&new).await.map_err(|error| missing(error, Error::AccountNotFound))?;
        Ok(Link { id, address })
    }

    /// Links in the order of their making, a page at a time.
    ///
    /// # Errors
    /// The store failed.
    pub async fn links(&self, filter: LinkFilter<'_>) -> Result<Vec<LinkRecord>, Error> {
        self.store().links(filter).await.map_err(Error::Store)
    }

    /// A page of the links that can be used now, and how many the search finds.
    ///
    /// # Errors
    /// The store failed.
    pub async fn link_page(&self, paging: &Paging<LinkSort>) -> Result<(Vec<LinkLine>, u64), Error> {
        let now_ms = now_ms();
        let rows = self.store().link_page(paging, now_ms).await.map_err(Error::Store)?;
        let total = self.store().count_link_page(&paging.search, now_ms).await.map_err(Error::Store)?;
        Ok((rows, total))
    }

    /// Revokes a link.
    ///
    /// # Errors
    /// [`Error::LinkNotFound`]; the store failed.
    pub async fn revoke_link(&self, id: LinkId) -> Result<(), Error> {
        self.store().delete_link(id).await.map_err(|error| missing(error, Error::LinkNotFound))
    }

    /// How often a link may be used; 0: it cannot be used now. Uses nothing up.
    ///
    /// # Errors
    /// The store failed.
    pub async fn link_uses_left(&self, key: &LinkKey) -> Result<i64, Error> {
        Ok(self.live_link(key).await?.map_or(0, |link| link.uses_left))
    }

    /// Uses a link: answers what it gives, and notes from where it was used. `None`: it is unknown, used, expired or
    /// revoked, or the settings give no configurations.
    ///
    /// # Errors
    /// The store failed; unless that was in the very last step, nothing was used up.
    pub async fn use_link(&self, key: &LinkKey, from: IpAddr) -> Result<Option<Config>, Error> {
        let Some(LiveLink { account, .. }) = self.live_link(key).await? else { return Ok(None) };
        // Made before the link is used: a failure must not cost its holder the only use.
        let text = match self.client_config(&account).await {
            Err(Error::AccountNotFound) => return Ok(None),
            other => other?,
        };
        match self.store().use_link(&key.digest(), from, now_ms()).await {
            Ok(uses_left) => {
                tracing::info!(account, %from, "a one-time link was used");
                Ok(Some(Config { account, text, uses_left }))
            }
            Err(store::Error::Missing) => Ok(None),
            Err(error) => Err(Error::Store(error)),
        }
    }

    /// How the page looks.
    ///
    /// # Errors
    /// The store failed.
    pub async fn link_settings(&self) -> Result<LinkSettings, Error> {
        self.store().link_settings().await.map_err(Error::Store)
    }

    /// Changes how the page looks.
    ///
    /// # Errors
    /// [`Error::Settings`]; the store failed.
    pub async fn set_link_settings(&self, settings: &LinkSettings) -> Result<(), Error> {
        settings.check()?;
        self.store().set_link_settings(settings).await.map_err(Error::Store)
    }

    /// The first and the last day of a link, `YYYY-MM-DD` in the gateway's time zone.
    #[must_use]
    pub fn link_days(&self, record: &LinkRecord) -> (String, String) {
        let day = |ms: i64| {
            let at = Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(self.settings().zone.clone());
            at.date().to_string()
        };
        (day(record.created_ms), day(record.expires_ms.saturating_sub(1)))
    }

    /// While the settings give no configurations, no link lives.
    async fn live_link(&self, key: &LinkKey) -> Result<Option<LiveLink>, Error> {
        match self.link_settings().await?.wireguard.enabled {
            true => self.store().live_link(&key.digest(), now_ms()).await.map_err(Error::Store),
            false => Ok(None),
        }
    }

    fn link_address(&self, key: &LinkKey, external: IpAddr) -> String {
        format!("{}/otl/{}", self.settings().public_url.with(external), key.expose())
    }
}

/// When the day ends that is `days` days after the one of a moment.
fn end_of_day(now_ms: i64, days: u16, zone: &TimeZone) -> Option<i64> {
    let today = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone()).date();
    let after = today.checked_add((i64::from(days) + 1).days()).ok()?;
    Some(after.to_zoned(zone.clone()).ok()?.start_of_day().ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_lives_to_the_end_of_its_last_day() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let end = |now: &str, days| end_of_day(ms(now), days, &zone).unwrap();
        assert_eq!(end("2030-01-02T22:59:59Z", 10), ms("2030-01-12T23:00:00Z"));
        assert_eq!(end("2030-01-02T23:00:00Z", 10), ms("2030-01-13T23:00:00Z"));
        // Over the change of the clocks.
        assert_eq!(end("2030-03-30T12:00:00Z", 1), ms("2030-03-31T22:00:00Z"));
    }
}
