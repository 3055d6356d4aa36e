//! A kernel in memory, for tests of everything above the port (feature `fake`).
//!
//! It is as strict as Linux about what must be there first: a class needs its root, a peer its tunnel, a map element
//! the object that it names. It passes the same contract suite.

mod model;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use doorward_policy::{
    item::{ClassId, Counter, Item, Items, Key, PeerId, QuotaId},
    name::IfName,
    observed::{ClassStats, Count, Observed, PeerStats, QueueStats, Scope, Stats},
    plan::Change,
};
use ipnet::IpNet;
use tokio::sync::Notify;

use self::model::{Model, now_ms};
use crate::{Error, Event, Host, Kernel};

/// A kernel in memory.
#[derive(Debug)]
pub struct Fake(FakeHandle);

/// What tests hold of a [`Fake`]: they look into it and disturb it.
#[derive(Debug, Clone)]
pub struct FakeHandle {
    model: Arc<Mutex<Model>>,
    told: Arc<Notify>,
}

/// How often the port was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// Readings of everything.
    pub observe_all: usize,
    /// Readings of less.
    pub observe_part: usize,
    /// Calls of `apply`.
    pub apply: usize,
    /// Changes that were asked for.
    pub changes: usize,
}

impl Fake {
    /// An empty kernel whose host has one WAN, `eth0` with 192.0.2.10/24, and `lo`.
    #[must_use]
    pub fn new() -> (Self, FakeHandle) {
        let mut host = Host::default();
        if let (Ok(eth0), Ok(lo)) = ("eth0".parse::<IfName>(), "lo".parse::<IfName>()) {
            host.wans.push(eth0);
            host.addresses.extend("192.0.2.10/24".parse::<IpNet>().map(|net| (eth0, net)));
            host.addresses.extend("127.0.0.1/8".parse::<IpNet>().map(|net| (lo, net)));
        }
        let model = Model { host, ..Model::default() };
        let handle = FakeHandle { model: Arc::new(Mutex::new(model)), told: Arc::new(Notify::new()) };
        (Self(handle.clone()), handle)
    }
}

impl Kernel for Fake {
    async fn observe(&mut self, scope: Scope) -> Result<Observed, Error> {
        self.0.lock().observe(scope)
    }

    async fn apply(&mut self, changes: &[Change]) -> Vec<Result<(), Error>> {
        let mut model = self.0.lock();
        model.calls.apply += 1;
        model.calls.changes += changes.len();
        changes.iter().map(|change| model.apply(change)).collect()
    }

    async fn host(&mut self) -> Result<Host, Error> {
        let model = self.0.lock();
        if model.unreadable { Err(Error::new("read the host: told to fail")) } else { Ok(model.host.clone()) }
    }

    async fn event(&mut self) -> Event {
        loop {
            let told = self.0.lock().events.pop_front();
            match told {
                Some(event) => return event,
                None => self.0.told.notified().await,
            }
        }
    }
}

impl FakeHandle {
    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the kernel holds.
    #[must_use]
    pub fn items(&self) -> Items {
        let mut model = self.lock();
        model.expire(now_ms());
        model.items.clone()
    }

    /// One of the things that it holds.
    #[must_use]
    pub fn item(&self, key: Key) -> Option<Item> {
        self.items().0.remove(&key)
    }

    /// Whether an address may send and receive.
    #[must_use]
    pub fn is_granted(&self, address: IpAddr) -> bool {
        self.item(Key::Granted(address)).is_some()
    }

    /// What the kernel counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.lock().stats.clone()
    }

    /// Changes counters of any kind.
    pub fn change_stats(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.lock().stats);
    }

    /// Sets a counter object.
    pub fn set_counter(&self, counter: Counter, packets: u64, bytes: u64) {
        self.lock().stats.counters.insert(counter, Count { packets, bytes });
    }

    /// Sets the bytes that a quota object, if there is one, consumed.
    pub fn set_quota(&self, id: QuotaId, used_bytes: u64) {
        if let Some(quota) = self.lock().stats.quotas.get_mut(&id) {
            quota.used_bytes = used_bytes;
        }
    }

    /// Sets what a tunnel knows of a peer.
    pub fn set_peer(&self, id: PeerId, stats: PeerStats) {
        self.lock().stats.peers.insert(id, stats);
    }

    /// Sets what a root qdisc counted.
    pub fn set_root(&self, interface: IfName, stats: QueueStats) {
        self.lock().stats.roots.insert(interface, stats);
    }

    /// Sets what a class counted.
    pub fn set_class(&self, id: ClassId, stats: ClassStats) {
        self.lock().stats.classes.insert(id, stats);
    }

    /// Sets what the host has.
    pub fn set_host(&self, host: Host) {
        self.lock().host = host;
    }

    /// Makes every change of `key` fail until [`FakeHandle::heal`].
    pub fn fail(&self, key: Key) {
        self.lock().failing.insert(key);
    }

    /// Makes readings fail, or work again.
    pub fn fail_readings(&self, fail: bool) {
        self.lock().unreadable = fail;
    }

    /// Ends all failures.
    pub fn heal(&self) {
        let mut model = self.lock();
        model.failing.clear();
        model.unreadable = false;
    }

    /// Takes something away behind Doorward's back, with what hangs on it. Says nothing: see [`FakeHandle::drift`].
    pub fn take_away(&self, key: Key) {
        self.lock().remove(key);
    }

    /// Takes everything away behind Doorward's back.
    pub fn take_all(&self) {
        self.lock().clear();
    }

    /// Puts something in behind Doorward's back.
    pub fn plant(&self, item: Item) {
        self.lock().put(item);
    }

    /// Lets the kernel report a change that is not ours.
    pub fn drift(&self, text: impl Into<String>) {
        self.tell(Event::Drifted(text.into()));
    }

    /// Lets the kernel report anything.
    pub fn tell(&self, event: Event) {
        self.lock().events.push_back(event);
        self.told.notify_one();
    }

    /// How often the port was used.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.lock().calls
    }

    /// Takes the list of all changes that succeeded since the last call, in order.
    #[must_use]
    pub fn take_log(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().log)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use doorward_policy::{account::AccountId, item::Expiry};

    use super::*;

    #[tokio::test]
    async fn an_injected_failure_fails_one_change_until_healed() {
        let (mut fake, handle) = Fake::new();
        let good = Item::Counter(Counter::AccountUp(AccountId(1)));
        let bad = Item::Counter(Counter::AccountUp(AccountId(2)));
        handle.fail(bad.key());
        let changes = [Change::Add(good.clone()), Change::Add(bad.clone())];
        let results = fake.apply(&changes).await;
        assert!(results[0].is_ok() && results[1].is_err());
        assert_eq!(handle.items(), Items::from_iter([good.clone()]));
        handle.heal();
        assert!(fake.apply(&changes).await.iter().all(Result::is_ok));
        assert_eq!(handle.items(), Items::from_iter([good, bad]));
        assert_eq!(handle.calls(), Calls { apply: 2, changes: 4, ..Calls::default() });
    }

    #[tokio::test]
    async fn drift_told_before_anybody_listens_is_heard() {
        let (mut fake, handle) = Fake::new();
        handle.drift("one");
        handle.drift("two");
        assert_eq!(fake.event().await, Event::Drifted("one".to_owned()));
        assert_eq!(fake.event().await, Event::Drifted("two".to_owned()));
        let nothing = tokio::time::timeout(std::time::Duration::from_millis(10), fake.event()).await;
        assert!(nothing.is_err());
    }

    #[tokio::test]
    async fn readings_fail_when_told_to() {
        let (mut fake, handle) = Fake::new();
        handle.plant(Item::Granted(Ipv4Addr::new(10, 0, 0, 2).into(), Expiry::Never));
        handle.fail_readings(true);
        assert!(fake.observe(Scope::Everything).await.is_err());
        handle.fail_readings(false);
        assert_eq!(fake.observe(Scope::Everything).await.map(|o| o.items).ok(), Some(handle.items()));
    }
}
