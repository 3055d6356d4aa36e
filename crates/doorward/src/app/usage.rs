//! Traffic of an account, day by day (VPN API, section 3.4).

use std::{collections::HashMap, time::Duration};

use jiff::{ToSpan as _, civil::Date};

use super::{App, Error, Given};
pub use crate::store::DayUsage;

/// Longest wait for a fresh collection.
const COLLECT_WAIT: Duration = Duration::from_secs(2);

impl App {
    /// Traffic of every day of a month, zeros where nothing is known.
    ///
    /// # Errors
    /// [`Error::AccountNotFound`], [`Error::Month`], [`Error::Year`]; the store failed.
    pub async fn month_usage(&self, name: &str, year: Given<u16>, month: Given<u8>) -> Result<Vec<DayUsage>, Error> {
        let account = self.account(name).await?.account;
        let month = *month.or(Error::Month)?.ok_or(Error::Month)?;
        let year = *year.or(Error::Year)?.ok_or(Error::Year)?;
        let first = date(year, month).ok_or(Error::Month)?;
        // What the kernel counted until now; failing that, what is stored must do.
        drop(tokio::time::timeout(COLLECT_WAIT, self.0.meter.collect()).await);
        let stored = self.store().month_usage(account.id, year, month).await.map_err(Error::Store)?;
        let known: HashMap<String, (u64, u64)> = stored.into_iter().map(|u| (u.day, (u.up, u.down))).collect();
        let days = (0..first.days_in_month()).filter_map(|n| first.checked_add(n.days()).ok());
        Ok(days
            .map(|day| {
                let date = day.to_string();
                let (up, down) = known.get(&date).copied().unwrap_or_default();
                DayUsage { day: date, up, down }
            })
            .collect())
    }
}

fn date(year: u16, month: u8) -> Option<Date> {
    Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, 1).ok()
}
