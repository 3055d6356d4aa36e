//! Who must wait before they try to sign in again.
//!
//! An address waits longer with each failure, a quarter of an hour at most. A name that many addresses guess at is
//! locked too, but never for addresses that its operator signed in from lately: guessing from elsewhere cannot keep them
//! out, and their own slips cost them minutes.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Failures that cost nothing.
const FREE: u32 = 5;
/// The same for a name, whoever guesses at it.
const FREE_OF_NAME: u32 = 10;
/// The first wait; each further failure doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(900);
/// A count is forgotten so long after its last failure.
const MEMORY: Duration = Duration::from_secs(3600);
/// Counts that are kept of each kind; beyond that, those that are the longest ago go.
const MOST: usize = 16_384;

/// Failed sign-ins.
#[derive(Default)]
pub(super) struct Lockout {
    addresses: Mutex<HashMap<IpAddr, Count>>,
    names: Mutex<HashMap<String, Count>>,
}

#[derive(Clone, Copy)]
struct Count {
    failures: u32,
    last: Instant,
}

impl Lockout {
    /// How long an address must wait.
    pub(super) fn wait_of_address(&self, address: IpAddr, now: Instant) -> Duration {
        wait(&self.addresses, &crate::subscriber::of(address), FREE, now)
    }

    /// How long a name must wait, where nobody knows the address.
    pub(super) fn wait_of_name(&self, name: &str, now: Instant) -> Duration {
        wait(&self.names, &name.to_owned(), FREE_OF_NAME, now)
    }

    /// Counts a try before it is judged, so that many at once are not all free.
    pub(super) fn count(&self, address: IpAddr, name: &str, now: Instant) {
        count(&self.addresses, crate::subscriber::of(address), now);
        count(&self.names, name.to_owned(), now);
    }

    /// Forgets the failures of an address, and of a name.
    pub(super) fn succeeded(&self, address: IpAddr, name: &str) {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).remove(&crate::subscriber::of(address));
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

fn wait<K: Eq + Hash>(counts: &Mutex<HashMap<K, Count>>, key: &K, free: u32, now: Instant) -> Duration {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(count) = counts.get(key).filter(|count| now.duration_since(count.last) < MEMORY) else {
        return Duration::ZERO;
    };
    let Some(over) = count.failures.checked_sub(free) else { return Duration::ZERO };
    let whole = FIRST_WAIT.saturating_mul(1 << over.min(10)).min(LONGEST_WAIT);
    whole.saturating_sub(now.duration_since(count.last))
}

fn count<K: Eq + Hash + Clone>(counts: &Mutex<HashMap<K, Count>>, key: K, now: Instant) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    if counts.len() >= MOST && !counts.contains_key(&key) {
        counts.retain(|_, count| now.duration_since(count.last) < MEMORY);
        if counts.len() >= MOST {
            let mut times: Vec<Instant> = counts.values().map(|count| count.last).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            counts.retain(|_, count| count.last > middle);
        }
    }
    let count = counts.entry(key).or_insert(Count { failures: 0, last: now });
    if now.duration_since(count.last) >= MEMORY {
        count.failures = 0;
    }
    count.failures = count.failures.saturating_add(1);
    count.last = now;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn waits_grow_and_end() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        let (here, other) = (at("192.0.2.1"), at("192.0.2.2"));
        for n in 0..FREE {
            assert_eq!(lockout.wait_of_address(here, start), Duration::ZERO, "{n}");
            lockout.count(here, "anna", start);
        }
        assert_eq!(lockout.wait_of_address(here, start), FIRST_WAIT);
        assert_eq!(lockout.wait_of_address(other, start), Duration::ZERO);
        assert_eq!(lockout.wait_of_name("anna", start), Duration::ZERO, "a name takes more");
        assert_eq!(lockout.wait_of_address(here, start + FIRST_WAIT), Duration::ZERO);
        for _ in 0..40 {
            lockout.count(here, "anna", start);
        }
        assert_eq!(lockout.wait_of_address(here, start), LONGEST_WAIT, "never for ever");
        assert_eq!(lockout.wait_of_name("anna", start), LONGEST_WAIT);
        assert_eq!(lockout.wait_of_address(here, start + MEMORY), Duration::ZERO);
        lockout.succeeded(here, "anna");
        assert_eq!(lockout.wait_of_address(here, start), Duration::ZERO);
        assert_eq!(lockout.wait_of_name("anna", start), Duration::ZERO);
    }

    #[test]
    fn memory_is_bounded_and_a_subscriber_is_one() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        for n in 0..=(MOST as u32 + 10) {
            lockout.count(IpAddr::V4(n.into()), &n.to_string(), start + Duration::from_millis(n.into()));
        }
        assert!(lockout.addresses.lock().unwrap().len() <= MOST);
        for n in 0..FREE {
            lockout.count(at(&format!("2001:db8::{n:x}")), "anna", start);
        }
        assert_eq!(lockout.wait_of_address(at("2001:db8::ffff"), start), FIRST_WAIT);
    }
}
