//! How often devices may come online (docs/traffic-policy.md). Each login is a transaction, a pass of the loop and a line
//! of the log, whether or not it succeeds: a device that logs in and out in a circle must not cost the others theirs.
//!
//! In memory and bounded, so that refusing costs no query. Guesses have limits of their own.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use doorward_policy::guest::Mac;

/// Logins of a device: so many at once, then one in this time.
const DEVICE: Rate = Rate { every: Duration::from_secs(10), burst: 30 };
/// Logins at the gateway: a full house at once, then so many a second.
const GATEWAY: Rate = Rate { every: Duration::from_millis(5), burst: 10_000 };
/// Devices that are remembered. Those of [`GATEWAY`]'s burst and of what follows in the time of one login of a device
/// fit in; should they not, those who are new wait a little.
const MOST_REMEMBERED: usize = 32_768;
/// How often those are looked for that can be forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// So many at once, then one in a while.
#[derive(Debug, Clone, Copy)]
struct Rate {
    every: Duration,
    burst: u32,
}

/// Who logged in lately.
#[derive(Debug, Default)]
pub(in crate::app) struct Pace(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// When the logins of a device are forgotten.
    devices: HashMap<Mac, Instant>,
    gateway: Option<Instant>,
    swept: Option<Instant>,
}

impl Rate {
    /// How long until there is room for one more; `free_at`: when all are forgotten.
    fn wait(self, free_at: Option<Instant>, now: Instant) -> Duration {
        let debt = free_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        debt.saturating_sub(self.every * (self.burst - 1))
    }

    fn charge(self, free_at: Option<Instant>, now: Instant) -> Instant {
        free_at.map_or(now, |at| at.max(now)) + self.every
    }
}

impl Pace {
    /// Counts a login, if there may be one now.
    ///
    /// # Errors
    /// Seconds until there may be one.
    pub(in crate::app) fn take(&self, mac: Mac, now: Instant) -> Result<(), u32> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.may(mac, now)?;
        let free_at = DEVICE.charge(inner.devices.get(&mac).copied(), now);
        inner.devices.insert(mac, free_at);
        inner.gateway = Some(GATEWAY.charge(inner.gateway, now));
        Ok(())
    }

    /// Whether there may be a login now. For callers that would spend something before it, such as a code.
    ///
    /// # Errors
    /// Seconds until there may be one.
    pub(in crate::app) fn look(&self, mac: Mac, now: Instant) -> Result<(), u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).may(mac, now)
    }
}

impl Inner {
    fn may(&mut self, mac: Mac, now: Instant) -> Result<(), u32> {
        if self.devices.len() >= MOST_REMEMBERED && self.swept.is_none_or(|at| now - at >= SWEEP_EVERY) {
            self.swept = Some(now);
            self.devices.retain(|_, free_at| *free_at > now);
        }
        let own = self.devices.get(&mac).copied();
        let full = own.is_none() && self.devices.len() >= MOST_REMEMBERED;
        let room = if full { SWEEP_EVERY } else { Duration::ZERO };
        let wait = DEVICE.wait(own, now).max(GATEWAY.wait(self.gateway, now)).max(room);
        if wait.is_zero() { Ok(()) } else { Err(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(n: u32) -> Mac {
        let [a, b, c, d] = n.to_be_bytes();
        Mac([2, 0, a, b, c, d])
    }

    #[test]
    fn a_device_has_a_burst_and_then_one_in_ten_seconds() {
        let (pace, start) = (Pace::default(), Instant::now());
        let passed = (0..1000).filter(|_| pace.take(mac(1), start).is_ok()).count();
        assert_eq!(passed, 30);
        assert_eq!(pace.take(mac(1), start), Err(11));
        assert_eq!(pace.look(mac(1), start), Err(11));
        assert_eq!(pace.take(mac(2), start), Ok(()), "another device");
        let later = start + DEVICE.every;
        assert_eq!((pace.look(mac(1), later), pace.look(mac(1), later)), (Ok(()), Ok(())), "looking costs nothing");
        assert_eq!((pace.take(mac(1), later), pace.take(mac(1), later)), (Ok(()), Err(11)));
    }

    #[test]
    fn a_full_house_comes_at_once_and_changing_macs_does_not_help() {
        let (pace, start) = (Pace::default(), Instant::now());
        let passed = (0..50_000).filter(|n| pace.take(mac(*n), start).is_ok()).count();
        assert_eq!(passed, 10_000);
        let passed = (50_000..60_000).filter(|n| pace.take(mac(*n), start + Duration::from_secs(1)).is_ok()).count();
        assert_eq!(passed, 200);
    }

    #[test]
    fn memory_is_bounded_and_room_comes_back() {
        let (pace, start) = (Pace::default(), Instant::now());
        let second = |n: u32| start + Duration::from_secs(u64::from(n / 200));
        for n in 0..100_000 {
            let _taken = pace.take(mac(n), second(n));
        }
        assert!(pace.0.lock().unwrap().devices.len() <= MOST_REMEMBERED);
        assert_eq!(pace.take(mac(100_001), second(100_001) + DEVICE.every), Ok(()));
    }
}
