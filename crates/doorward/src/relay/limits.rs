//! How much one caller, one name and the whole may ask of the relay.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::Semaphore;

use super::{config::Limits, wire::RelayName};
use crate::dns::message::Transport;

/// TLS handshakes at once; beyond that new connections are dropped.
const MOST_HANDSHAKES: usize = 4096;

/// Questions about the relay's zone in a second, from one address, and by UDP in all; twice as many in a burst. Resolvers of authorities ask a
/// handful. The bound on all comes first: senders of UDP name any address they like, and each takes memory until it is forgotten.
const ADDRESS_QUESTIONS: u32 = 20;
const ALL_QUESTIONS: u32 = 2_000;

/// All bounds.
#[derive(Debug)]
pub(super) struct Gates {
    pub(super) gateways: Arc<Semaphore>,
    pub(super) callers: Arc<Semaphore>,
    pub(super) requests: Arc<Semaphore>,
    pub(super) handshakes: Arc<Semaphore>,
    names: DefaultKeyedRateLimiter<RelayName>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    connects: DefaultKeyedRateLimiter<IpAddr>,
    questions: DefaultKeyedRateLimiter<IpAddr>,
    all_questions: DefaultDirectRateLimiter,
    here: Arc<Mutex<HashMap<IpAddr, u32>>>,
    most_here: u32,
}

/// One of an address's connections; gives its place back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    here: Arc<Mutex<HashMap<IpAddr, u32>>>,
    address: IpAddr,
}

impl Gates {
    pub(super) fn new(limits: &Limits) -> Self {
        let semaphore = |most: u32| Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS)));
        Self {
            gateways: semaphore(limits.gateways),
            callers: semaphore(limits.callers),
            requests: semaphore(limits.requests),
            handshakes: Arc::new(Semaphore::new(MOST_HANDSHAKES)),
            names: RateLimiter::keyed(quota(limits.name_per_second, 2)),
            addresses: RateLimiter::keyed(quota(limits.address_per_second, 2)),
            connects: RateLimiter::keyed(quota(limits.address_connects, 4)),
            questions: RateLimiter::keyed(quota(ADDRESS_QUESTIONS, 2)),
            all_questions: RateLimiter::direct(quota(ALL_QUESTIONS, 2)),
            here: Arc::default(),
            most_here: limits.address_callers,
        }
    }

    /// Whether a request to a name may go on. Only names that are connected are asked for: the list has an end.
    pub(super) fn name(&self, name: &RelayName) -> bool {
        self.names.check_key(name).is_ok()
    }

    /// Whether a request from an address may go on.
    pub(super) fn address(&self, address: IpAddr) -> bool {
        self.addresses.check_key(&crate::subscriber::of(address)).is_ok()
    }

    /// Whether an address may make one more connection.
    pub(super) fn connect(&self, address: IpAddr) -> bool {
        self.connects.check_key(&crate::subscriber::of(address)).is_ok()
    }

    /// Whether a question from an address may be answered.
    pub(super) fn question(&self, address: IpAddr, transport: Transport) -> bool {
        // Addresses that come by TCP are nobody else's, and their connections are bounded: the way that floods leave open.
        let room = transport == Transport::Tcp || self.all_questions.check().is_ok();
        room && self.questions.check_key(&crate::subscriber::of(address)).is_ok()
    }

    /// A place for a caller's connection. `None`: its address has too many.
    pub(super) fn place(&self, address: IpAddr) -> Option<Place> {
        let address = crate::subscriber::of(address);
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let count = here.entry(address).or_insert(0);
        if *count >= self.most_here {
            return None;
        }
        *count += 1;
        Some(Place { here: Arc::clone(&self.here), address })
    }

    /// Forgets who was not here lately.
    pub(super) fn tidy(&self) {
        self.names.retain_recent();
        self.addresses.retain_recent();
        self.connects.retain_recent();
        self.questions.retain_recent();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = here.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                here.remove(&self.address);
            }
        }
    }
}

fn quota(per_second: u32, burst: u32) -> Quota {
    let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(rate).allow_burst(NonZeroU32::new(per_second.saturating_mul(burst)).unwrap_or(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_rates_hold() {
        let gates = Gates::new(&Limits { address_callers: 2, address_per_second: 1, ..Limits::default() });
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let (a, b) = (gates.place(at("2001:db8::1")), gates.place(at("2001:db8::2")));
        assert!(a.is_some() && b.is_some() && gates.place(at("2001:db8::3")).is_none(), "one /64 is one caller");
        assert!(gates.place(at("192.0.2.1")).is_some());
        drop(a);
        assert!(gates.place(at("2001:db8::3")).is_some());
        assert!(gates.address(at("192.0.2.1")) && gates.address(at("192.0.2.1")) && !gates.address(at("192.0.2.1")));
        assert!(gates.address(at("192.0.2.2")));
        let asked = (0..100).filter(|_| gates.question(at("192.0.2.1"), Transport::Udp)).count();
        assert!((40..100).contains(&asked) && gates.question(at("192.0.2.2"), Transport::Udp), "{asked}");
        let asked = (0..10_000_u32).filter(|n| gates.question(IpAddr::from(n.to_be_bytes()), Transport::Udp)).count();
        assert!((3_000..10_000).contains(&asked), "{asked}");
    }
}
