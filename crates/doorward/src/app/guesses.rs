//! How often somebody may guess a code (docs/traffic-policy.md).
//!
//! Only what fails counts. A device has five tries, then one in 30 s; so has an address. When failures come faster than
//! a hotspot's or the gateway's share, only devices that failed less than three times lately are heard: those who
//! guess use up their share, and a guest who comes new still gets in. All is in memory and bounded, so that refusing
//! costs no query.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::Hash,
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use doorward_policy::{guest::Mac, hotspot::HotspotId};

/// Failures that a device or address may have at once.
const BURST: u32 = 5;
/// After that one is forgiven in this time.
const FORGIVEN_EVERY: Duration = Duration::from_secs(30);
/// Failures that a device may have when there are too many in all.
const BURST_UNDER_PRESSURE: u32 = 3;
/// A device that did not fail for so long has never failed.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Devices, and as many addresses, that are remembered; beyond that, the one that failed first is forgotten.
const MOST_REMEMBERED: usize = 32_768;
/// Failures a second of a hotspot from which on there are too many, and how many may come at once.
const PER_HOTSPOT: Share = Share { every: Duration::from_millis(50), burst: 40 };
/// The same for the gateway.
const OVERALL: Share = Share { every: Duration::from_millis(20), burst: 100 };
/// Hotspots that are remembered.
const MOST_HOTSPOTS: usize = 256;
/// How often refusals are told in the log.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// A rate.
#[derive(Debug, Clone, Copy)]
struct Share {
    every: Duration,
    burst: u32,
}

/// Who failed lately.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    inner: Mutex<Inner>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    devices: Remembered<Mac>,
    addresses: Remembered<IpAddr>,
    hotspots: HashMap<HotspotId, Flow>,
    overall: Flow,
    told: Option<Instant>,
}

/// A try under way. It counts as failed until it is forgiven, so that tries at the same time count as well.
#[derive(Debug)]
#[must_use]
pub(super) struct Guess {
    hotspot: HotspotId,
    mac: Mac,
    address: IpAddr,
}

impl Guesses {
    /// Whether a device may try now; if not, the seconds until it may.
    pub(super) fn begin(&self, hotspot: HotspotId, mac: Mac, address: IpAddr, now: Instant) -> Result<Guess, u32> {
        let address = address.to_canonical();
        let mut inner = self.lock();
        let wait = inner.wait(hotspot, mac, address, now);
        if wait > Duration::ZERO {
            let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
            if inner.told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY) {
                inner.told = Some(now);
                self.refused.store(0, Ordering::Relaxed);
                tracing::warn!(refused, ?hotspot, "logins are refused unheard: codes are being guessed");
            }
            return Err(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1));
        }
        inner.devices.charge(mac, now);
        inner.addresses.charge(address, now);
        inner.overall.charge(OVERALL, now);
        if inner.hotspots.len() < MOST_HOTSPOTS || inner.hotspots.contains_key(&hotspot) {
            inner.hotspots.entry(hotspot).or_default().charge(PER_HOTSPOT, now);
        }
        Ok(Guess { hotspot, mac, address })
    }

    /// The try was none, or succeeded.
    pub(super) fn forgive(&self, guess: &Guess) {
        let mut inner = self.lock();
        inner.devices.refund(&guess.mac);
        inner.addresses.refund(&guess.address);
        inner.overall.refund(OVERALL);
        if let Some(flow) = inner.hotspots.get_mut(&guess.hotspot) {
            flow.refund(PER_HOTSPOT);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wait(&self, hotspot: HotspotId, mac: Mac, address: IpAddr, now: Instant) -> Duration {
        let own = self.devices.wait(&mac, now).max(self.addresses.wait(&address, now));
        let pressed = self.overall.is_full(OVERALL, now)
            || self.hotspots.get(&hotspot).is_some_and(|flow| flow.is_full(PER_HOTSPOT, now));
        let failed = self.devices.failures(&mac, now).max(self.addresses.failures(&address, now));
        if pressed && failed >= BURST_UNDER_PRESSURE { own.max(FORGIVEN_EVERY) } else { own }
    }
}

/// Failures as a leaking bucket: when it would be empty.
#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    empty_at: Option<Instant>,
}

impl Flow {
    fn charge(&mut self, share: Share, now: Instant) {
        let from = self.empty_at.map_or(now, |at| at.max(now));
        // Never fuller than twice its size: pressure ends soon after the guessing does.
        self.empty_at = Some((from + share.every).min(now + share.every * (2 * share.burst)));
    }

    fn refund(&mut self, share: Share) {
        self.empty_at = self.empty_at.and_then(|at| at.checked_sub(share.every));
    }

    fn is_full(&self, share: Share, now: Instant) -> bool {
        self.empty_at.is_some_and(|at| at.saturating_duration_since(now) >= share.every * share.burst)
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
    /// When all of them are forgiven.
    empty_at: Instant,
}

/// The failures of devices or addresses.
#[derive(Debug)]
struct Remembered<K> {
    by_key: HashMap<K, Failures>,
    /// In the order of the first failure.
    order: VecDeque<K>,
}

impl<K> Default for Remembered<K> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash> Remembered<K> {
    fn wait(&self, key: &K, now: Instant) -> Duration {
        let Some(failures) = self.by_key.get(key) else { return Duration::ZERO };
        let debt = failures.empty_at.saturating_duration_since(now);
        debt.saturating_sub(FORGIVEN_EVERY * (BURST - 1))
    }

    fn failures(&self, key: &K, now: Instant) -> u32 {
        let lately = |failures: &&Failures| now.duration_since(failures.last) < FORGOTTEN_AFTER;
        self.by_key.get(key).filter(lately).map_or(0, |failures| failures.count)
    }

    fn charge(&mut self, key: K, now: Instant) {
        match self.by_key.entry(key) {
            Entry::Occupied(mut known) => {
                let failures = known.get_mut();
                let forgotten = now.duration_since(failures.last) >= FORGOTTEN_AFTER;
                failures.count = if forgotten { 1 } else { failures.count.saturating_add(1) };
                failures.last = now;
                failures.empty_at = failures.empty_at.max(now) + FORGIVEN_EVERY;
            }
            Entry::Vacant(new) => {
                new.insert(Failures { count: 1, last: now, empty_at: now + FORGIVEN_EVERY });
                self.order.push_back(key);
            }
        }
        while self.order.len() > MOST_REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.by_key.remove(&oldest);
            }
        }
    }

    fn refund(&mut self, key: &K) {
        let Some(failures) = self.by_key.get_mut(key) else { return };
        failures.count = failures.count.saturating_sub(1);
        failures.empty_at = failures.empty_at.checked_sub(FORGIVEN_EVERY).unwrap_or(failures.empty_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: HotspotId = HotspotId(1);

    fn mac(n: u32) -> Mac {
        let [a, b, c, d] = n.to_be_bytes();
        Mac([2, 0, a, b, c, d])
    }

    fn at(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    fn begin(guesses: &Guesses, n: u32, now: Instant) -> Result<Guess, u32> {
        guesses.begin(HERE, mac(n), at(n), now)
    }

    #[test]
    fn a_device_has_five_tries_and_then_one_in_thirty_seconds() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        for _ in 0..5 {
            assert!(begin(&guesses, 1, start).is_ok());
        }
        assert_eq!(begin(&guesses, 1, start).map(drop), Err(31));
        assert_eq!(begin(&guesses, 1, start + Duration::from_secs(29)).map(drop), Err(2));
        let later = start + FORGIVEN_EVERY;
        assert!(begin(&guesses, 1, later).is_ok());
        assert!(begin(&guesses, 1, later).is_err());
        assert!(guesses.begin(HERE, mac(2), at(1), later).is_err(), "the same address");
        assert!(guesses.begin(HERE, mac(1), at(2), later).is_err(), "the same device");
        assert!(begin(&guesses, 3, later).is_ok());
    }

    #[test]
    fn what_succeeds_costs_nothing() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..1000 {
            let guess = begin(&guesses, 1, now).unwrap();
            guesses.forgive(&guess);
        }
        assert!((0..5).all(|_| begin(&guesses, 1, now).is_ok()));
    }

    #[test]
    fn under_pressure_who_is_new_is_still_heard() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let heard = (0..10_000).filter(|n| begin(&guesses, n % 1000, now).is_ok()).count();
        assert!((1000..=3000).contains(&heard), "{heard}");
        assert!((0..3).all(|_| begin(&guesses, 5000, now).is_ok()), "a new guest may mistype twice");
        assert_eq!(begin(&guesses, 5000, now).map(drop), Err(31));
        let quiet = now + Duration::from_secs(10);
        assert!(begin(&guesses, 5000, quiet).is_ok(), "the pressure is gone");
    }

    #[test]
    fn memory_is_bounded() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for n in 0..100_000 {
            drop(guesses.begin(HotspotId(i64::from(n)), mac(n), at(n), now));
        }
        let inner = guesses.lock();
        assert_eq!((inner.devices.by_key.len(), inner.devices.order.len()), (MOST_REMEMBERED, MOST_REMEMBERED));
        assert_eq!((inner.addresses.by_key.len(), inner.hotspots.len()), (MOST_REMEMBERED, MOST_HOTSPOTS));
    }
}
