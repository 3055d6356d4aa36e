//! How often an address was refused lately (VPN API, section 1.2).

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a count stands.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond that, the oldest is forgotten.
const MOST_ADDRESSES: usize = 16_384;

/// Refused requests by address; public IPv6 by /64, which is one subscriber's.
#[derive(Debug)]
pub(super) struct Refusals {
    /// Refusals within a minute, after which an address is not heard for a minute.
    most: u32,
    counts: Mutex<Counts>,
    /// Number of addresses, so that nobody waits for the lock while there is none.
    addresses: AtomicUsize,
}

#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, (Instant, u32)>,
    /// In the order of beginning, which is that of ending.
    order: VecDeque<(Instant, IpAddr)>,
}

impl Refusals {
    /// None yet; `most` within a minute are taken.
    pub(super) fn new(most: u32) -> Self {
        Self { most, counts: Mutex::default(), addresses: AtomicUsize::default() }
    }

    /// Whether an address was refused too often to be heard now.
    pub(super) fn too_many(&self, address: IpAddr, now: Instant) -> bool {
        if self.addresses.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let counts = self.lock();
        counts
            .by_address
            .get(&crate::subscriber::of(address))
            .is_some_and(|(since, count)| *count >= self.most && now.duration_since(*since) < WINDOW)
    }

    /// Counts a refusal.
    pub(super) fn count(&self, address: IpAddr, now: Instant) {
        let mut counts = self.lock();
        while let Some((since, oldest)) = counts.order.front().copied() {
            if now.duration_since(since) < WINDOW && counts.order.len() < MOST_ADDRESSES {
                break;
            }
            counts.order.pop_front();
            // Unless its time began anew.
            if counts.by_address.get(&oldest).is_some_and(|(began, _)| *began == since) {
                counts.by_address.remove(&oldest);
            }
        }
        let address = crate::subscriber::of(address);
        if let Some((since, count)) = counts.by_address.get_mut(&address) {
            *count = count.saturating_add(1);
            if *count == self.most {
                *since = now;
                counts.order.push_back((now, address));
            }
        } else {
            counts.by_address.insert(address, (now, 1));
            counts.order.push_back((now, address));
        }
        self.addresses.store(counts.order.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_twenty_first_is_too_many_for_a_minute() {
        let (refusals, start) = (Refusals::new(20), Instant::now());
        for n in 0..20 {
            assert!(!refusals.too_many(at("192.0.2.1"), start), "{n}");
            refusals.count(at("192.0.2.1"), start);
        }
        assert!(refusals.too_many(at("192.0.2.1"), start));
        assert!(refusals.too_many(at("::ffff:192.0.2.1"), start), "the same address");
        assert!(!refusals.too_many(at("192.0.2.2"), start), "another address");
        let later = start + WINDOW;
        assert!(!refusals.too_many(at("192.0.2.1"), later));
        refusals.count(at("192.0.2.1"), later);
        assert!(!refusals.too_many(at("192.0.2.1"), later), "the count began anew");
    }

    #[test]
    fn a_minute_of_silence_follows_the_last_one() {
        let (refusals, start) = (Refusals::new(2), Instant::now());
        refusals.count(at("192.0.2.1"), start);
        let second = start + WINDOW - Duration::from_secs(1);
        refusals.count(at("192.0.2.1"), second);
        let later = second + WINDOW - Duration::from_secs(1);
        refusals.count(at("192.0.2.2"), later);
        assert!(refusals.too_many(at("192.0.2.1"), later));
        assert!(!refusals.too_many(at("192.0.2.1"), second + WINDOW));
        refusals.count(at("192.0.2.2"), second + WINDOW);
        assert_eq!(refusals.lock().by_address.len(), 1, "it is forgotten");
    }

    #[test]
    fn a_64_is_one_subscriber() {
        let (refusals, now) = (Refusals::new(20), Instant::now());
        for n in 0..20 {
            refusals.count(at(&format!("2001:db8:0:1::{n:x}")), now);
        }
        assert!(refusals.too_many(at("2001:db8:0:1:ffff::1"), now));
        assert!(!refusals.too_many(at("2001:db8:0:2::1"), now));
    }

    #[test]
    fn memory_is_bounded() {
        let (refusals, now) = (Refusals::new(20), Instant::now());
        for n in 0..40_000_u32 {
            refusals.count(IpAddr::from(n.to_be_bytes()), now);
        }
        let counts = refusals.lock();
        assert_eq!((counts.by_address.len(), counts.order.len()), (MOST_ADDRESSES, MOST_ADDRESSES));
    }
}
