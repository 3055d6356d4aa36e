//! Backups by the clock.

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::App;
use crate::backup_settings::BackupSettings;

/// How often the clock is looked at: it may be set.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// A time that is farther back than this is not made up for: the gateway was off, or the clock was set.
const MISSED: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// Makes backups when they are due, until aborted.
#[must_use]
pub fn spawn(app: App) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut schedule = Schedule::default();
        loop {
            match app.store().backup_record().await {
                Ok(record) => {
                    let last = record.last_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
                    let (now, zone) = (Timestamp::now(), &app.settings().zone);
                    if let Some(statistics) = schedule.look(&record.settings, last, now, zone) {
                        // It is noted and logged there. An upload that takes its time does not keep the next one from being made.
                        let app = app.clone();
                        tokio::spawn(async move { app.make_backup(statistics).await });
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the schedule of backups cannot be read");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = app.0.backups.changed.notified() => {}
            }
        }
    })
}

/// What was due next, and by which settings.
#[derive(Default)]
struct Schedule {
    settings: Option<BackupSettings>,
    due: Option<(Timestamp, bool)>,
}

impl Schedule {
    /// Whether one is due now, and if so whether with statistics. `last`: when one was made before.
    fn look(
        &mut self,
        settings: &BackupSettings,
        last: Option<Timestamp>,
        now: Timestamp,
        zone: &jiff::tz::TimeZone,
    ) -> Option<bool> {
        if self.settings.is_none() {
            // What fell into the time of a restart is made up for.
            let since = last.filter(|last| *last <= now).map_or(now - MISSED, |last| last.max(now - MISSED));
            (self.due, self.settings) = (settings.next(since, zone), Some(settings.clone()));
        }
        let same = self.settings.as_ref() == Some(settings);
        let due = self.due.filter(|(at, _)| *at <= now);
        // Set back by more than the longest schedule's step, the clock would have all wait for the old time.
        let stale = self.due.is_some_and(|(at, _)| at.duration_since(now) > jiff::SignedDuration::from_hours(25));
        if !same || due.is_some() || stale {
            self.due = settings.next(now, zone);
            self.settings = Some(settings.clone());
        }
        let (at, statistics) = due?;
        if now.duration_since(at) > MISSED {
            tracing::warn!(%at, "a backup was missed: the machine was off, or its clock was set");
            return None;
        }
        Some(statistics)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn backup_is_due_once_and_not_made_up_for() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut schedule = Schedule::default();
        let mut look = |settings: &BackupSettings, now: &str| schedule.look(settings, None, at(now), &TimeZone::UTC);
        let off = BackupSettings::default();
        assert_eq!(look(&off, "2030-01-02T02:59:00Z"), None);
        let daily = BackupSettings { every_day: true, ..off };
        assert_eq!(look(&daily, "2030-01-02T02:59:50Z"), None, "the settings are new");
        assert_eq!(look(&daily, "2030-01-02T03:00:05Z"), Some(true));
        assert_eq!(look(&daily, "2030-01-02T03:00:20Z"), None, "once");
        assert_eq!(look(&daily, "2030-01-03T05:00:00Z"), None, "missed");
        assert_eq!(look(&daily, "2030-01-04T03:00:00Z"), Some(true));
        assert_eq!(look(&daily, "2029-12-31T02:59:00Z"), None, "the clock was set back");
        assert_eq!(look(&daily, "2029-12-31T03:00:00Z"), Some(true));
    }

    #[test]
    fn backup_that_fell_into_a_restart_is_made_up_for_once() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let daily = BackupSettings { every_day: true, ..BackupSettings::default() };
        let look =
            |last: Option<&str>, now: &str| Schedule::default().look(&daily, last.map(at), at(now), &TimeZone::UTC);
        assert_eq!(look(None, "2030-01-02T03:00:10Z"), Some(true));
        assert_eq!(look(Some("2030-01-01T03:00:01Z"), "2030-01-02T03:00:10Z"), Some(true));
        assert_eq!(look(Some("2030-01-02T03:00:05Z"), "2030-01-02T03:00:10Z"), None, "it was made");
        assert_eq!(look(None, "2030-01-02T04:00:00Z"), None);
    }
}
