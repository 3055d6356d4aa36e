//! How much each device may ask: enough for a person, too little for a tunnel. Time is an argument.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use doorward_policy::guest::Mac;

use super::policy::ZoneId;

/// Buckets that are kept; three a device.
const MOST_BUCKETS: usize = 131_072;

/// Between two searches for buckets that are full again.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Questions of one device, and of all strangers of a hotspot, that are answered at the same time.
const MOST_IN_FLIGHT: u32 = 64;
const MOST_STRANGERS_IN_FLIGHT: u32 = 512;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// A device.
    Device(ZoneId, Mac),
    /// An account of a VPN server: its addresses are its own.
    Account(ZoneId, IpAddr),
    /// One whose address is not known yet. They share, so that new addresses are no way round.
    Stranger(ZoneId),
}

/// What for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Anything, by a device that is online.
    Online,
    /// Names of the garden and of probes.
    Named,
    /// Any other name before login.
    Other,
}

/// All budgets.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    buckets: HashMap<Key, Bucket>,
    swept: Option<Instant>,
    in_flight: HashMap<Who, u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Of(Who, Class),
    /// All of a hotspot that is not logged in: a device that makes up new addresses of its own shares with itself.
    Captive(ZoneId),
}

/// How many at once, and how many a second later on.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: f64,
    each_s: f64,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// A question that is being answered.
#[derive(Debug)]
pub struct Flight<'a>(&'a Budget, Who);

impl Budget {
    /// Takes one question off the budget. `false`: it is used up.
    #[must_use]
    pub fn take(&self, who: Who, class: Class, now: Instant) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Who::Device(zone, _) | Who::Account(zone, _) | Who::Stranger(zone)) = who;
        let who = if inner.has_room(Key::Of(who, class), now) { who } else { Who::Stranger(zone) };
        // The own one first: who has used it up takes nothing from others.
        inner.take(Key::Of(who, class), now)
            && match class {
                Class::Other => inner.take(Key::Captive(zone), now),
                Class::Online | Class::Named => true,
            }
    }

    /// Begins to answer; `None`: enough of the same are being answered.
    #[must_use]
    pub fn begin(&self, who: Who) -> Option<Flight<'_>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = match who {
            Who::Device(..) | Who::Account(..) => MOST_IN_FLIGHT,
            Who::Stranger(_) => MOST_STRANGERS_IN_FLIGHT,
        };
        let count = inner.in_flight.entry(who).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Flight(self, who))
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inner.in_flight.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                inner.in_flight.remove(&self.1);
            }
        }
    }
}

impl Inner {
    fn has_room(&mut self, key: Key, now: Instant) -> bool {
        if self.buckets.len() < MOST_BUCKETS || self.buckets.contains_key(&key) {
            return true;
        }
        if self.swept.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP_EVERY) {
            self.swept = Some(now);
            self.buckets.retain(|key, bucket| bucket.left_at(rate(*key), now) < rate(*key).burst);
        }
        self.buckets.len() < MOST_BUCKETS
    }

    fn take(&mut self, key: Key, now: Instant) -> bool {
        let rate = rate(key);
        let bucket = self.buckets.entry(key).or_insert(Bucket { left: rate.burst, at: now });
        bucket.left = bucket.left_at(rate, now);
        bucket.at = bucket.at.max(now);
        let enough = bucket.left >= 1.0;
        bucket.left -= f64::from(u8::from(enough));
        enough
    }
}

impl Bucket {
    fn left_at(&self, rate: Rate, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + passed * rate.each_s).min(rate.burst)
    }
}

fn rate(key: Key) -> Rate {
    let of = |burst, each_s| Rate { burst, each_s };
    match key {
        Key::Of(Who::Device(..), Class::Online) => of(512.0, 128.0),
        // Behind an account may be an office.
        Key::Of(Who::Account(..), Class::Online) => of(2_048.0, 512.0),
        Key::Of(Who::Device(..) | Who::Account(..), Class::Named) => of(256.0, 32.0),
        Key::Of(Who::Device(..) | Who::Account(..), Class::Other) => of(30.0, 0.5),
        Key::Of(Who::Stranger(_), Class::Online | Class::Named) => of(1_024.0, 256.0),
        Key::Of(Who::Stranger(_), Class::Other) => of(256.0, 32.0),
        Key::Captive(_) => of(1_024.0, 128.0),
    }
}

#[cfg(test)]
mod tests {
    use doorward_policy::hotspot::HotspotId;

    use super::*;

    const HOTSPOT: ZoneId = ZoneId::Hotspot(HotspotId(1));

    fn device(n: u32) -> Who {
        let [a, b, c, d] = n.to_be_bytes();
        Who::Device(HOTSPOT, Mac([2, 0, a, b, c, d]))
    }

    fn taken(budget: &Budget, who: Who, class: Class, now: Instant) -> usize {
        (0..10_000).take_while(|_| budget.take(who, class, now)).count()
    }

    #[test]
    fn a_device_has_a_burst_and_then_one_in_two_seconds() {
        let (budget, start) = (Budget::default(), Instant::now());
        assert_eq!(taken(&budget, device(1), Class::Other, start), 30);
        assert_eq!(taken(&budget, device(1), Class::Other, start + Duration::from_secs(20)), 10);
        assert_eq!(taken(&budget, device(1), Class::Named, start), 256, "the garden is counted apart");
        assert_eq!(taken(&budget, device(2), Class::Other, start), 30, "others are not concerned");
        assert_eq!(taken(&budget, device(1), Class::Other, start), 0, "a clock that goes back gives nothing");
    }

    #[test]
    fn new_addresses_are_no_way_round() {
        let (budget, start) = (Budget::default(), Instant::now());
        assert_eq!(taken(&budget, Who::Stranger(HOTSPOT), Class::Other, start), 256);
        let all: usize = (0..1_000).map(|n| taken(&budget, device(n), Class::Other, start)).sum();
        assert_eq!(256 + all, 1_024, "a hotspot's captive devices share");
        let elsewhere = Who::Device(ZoneId::Hotspot(HotspotId(2)), Mac([2, 0, 0, 0, 0, 1]));
        assert_eq!(taken(&budget, elsewhere, Class::Other, start), 30);
    }

    #[test]
    fn memory_is_bounded_and_full_buckets_make_room() {
        let (budget, start) = (Budget::default(), Instant::now());
        let most = u32::try_from(MOST_BUCKETS).unwrap();
        for n in 0..most + 100 {
            let _ = budget.take(device(n), Class::Named, start);
        }
        assert!(budget.0.lock().unwrap().buckets.len() <= MOST_BUCKETS + 1, "the last ones share");
        assert!(budget.take(device(most + 200), Class::Named, start + Duration::from_secs(60)));
        assert!(budget.0.lock().unwrap().buckets.len() < 10);
    }

    #[test]
    fn answers_at_the_same_time_are_bounded() {
        let budget = Budget::default();
        let flights: Vec<_> = std::iter::from_fn(|| budget.begin(device(1))).collect();
        assert_eq!(flights.len(), 64);
        assert!(budget.begin(device(2)).is_some());
        drop(flights);
        assert!(budget.0.lock().unwrap().in_flight.is_empty());
        assert!(budget.begin(device(1)).is_some());
    }
}
