//! A kernel in memory, for tests of everything above the port (feature `fake`).
//!
//! It is as strict as Linux about what must be there first: a class needs its root, a peer its tunnel, a map element
//! the object that it names. It passes the same contract suite.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use doorward_policy::{
    item::{ClassId, Counter, Expiry, Item, Items, Key, PeerId, QuotaId},
    name::IfName,
    observed::{ClassStats, Count, Observed, PeerStats, QueueStats, Scope, Stats, TunnelStats},
    plan::Change,
};
use ipnet::IpNet;
use tokio::sync::Notify;

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

#[derive(Debug, Default)]
struct Model {
    items: Items,
    stats: Stats,
    host: Host,
    failing: BTreeSet<Key>,
    unreadable: bool,
    events: VecDeque<Event>,
    calls: Calls,
    log: Vec<Change>,
    /// How many map elements name an object.
    named: BTreeMap<Key, usize>,
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
        let mut model = self.lock();
        model.items = Items::default();
        model.stats = Stats::default();
        model.named.clear();
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

impl Model {
    fn observe(&mut self, scope: Scope) -> Result<Observed, Error> {
        match scope {
            Scope::Everything => self.calls.observe_all += 1,
            Scope::Counters | Scope::Guests | Scope::Peers(_) | Scope::Shaping(_) => self.calls.observe_part += 1,
        }
        if self.unreadable {
            return Err(Error::new("read the kernel: told to fail"));
        }
        self.expire(now_ms());
        let all = self.stats.clone();
        let (items, stats) = match scope {
            Scope::Everything => (self.items.clone(), all),
            Scope::Counters => {
                let Stats { counters, quotas, seen, .. } = all;
                (Items::default(), Stats { counters, quotas, seen, ..Stats::default() })
            }
            Scope::Guests => {
                let Stats { mut counters, mut quotas, seen, .. } = all;
                counters.retain(|counter, _| matches!(counter, Counter::SessionUp(_) | Counter::SessionDown(_)));
                quotas.retain(|id, _| matches!(id, QuotaId::Grant { .. }));
                (Items::default(), Stats { counters, quotas, seen, ..Stats::default() })
            }
            Scope::Peers(of) => {
                let (mut tunnels, mut peers) = (all.tunnels, all.peers);
                tunnels.retain(|name, _| of.is_none_or(|of| of == *name));
                peers.retain(|id, _| of.is_none_or(|name| name == id.interface));
                (Items::default(), Stats { tunnels, peers, ..Stats::default() })
            }
            Scope::Shaping(name) => {
                let (mut roots, mut classes) = (all.roots, all.classes);
                roots.retain(|of, _| *of == name);
                classes.retain(|id, _| id.interface == name);
                (Items::default(), Stats { roots, classes, ..Stats::default() })
            }
        };
        Ok(Observed { items, stats })
    }

    fn apply(&mut self, change: &Change) -> Result<(), Error> {
        if self.failing.contains(&change.key()) {
            return Err(Error::new(format!("change {:?}: told to fail", change.key())));
        }
        match change {
            Change::Add(item) | Change::Replace { to: item, .. } => {
                if let Some(missing) = self.missing(item) {
                    return Err(Error::new(format!("put {:?}: there is no {missing:?}", item.key())));
                }
                self.put(item.clone());
            }
            Change::Remove(item) => {
                if self.named.contains_key(&item.key()) {
                    return Err(Error::new(format!("remove {:?}: a map element names it", item.key())));
                }
                self.remove(item.key());
            }
        }
        self.log.push(change.clone());
        Ok(())
    }

    /// What an item needs and does not find.
    fn missing(&self, item: &Item) -> Option<Key> {
        let needed = match item {
            Item::Address(name, _) => Key::Tunnel(*name),
            Item::Class(id, _) => Key::Root(id.interface),
            Item::CountUp(_, counter) | Item::CountDown(_, counter) => Key::Counter(*counter),
            Item::QuotaOf(_, _, quota) => Key::Quota(*quota),
            Item::Peer(id, _) => Key::Tunnel(id.interface),
            Item::Skeleton(_)
            | Item::Sysctl(_)
            | Item::Tunnel(..)
            | Item::Root(_)
            | Item::Counter(_)
            | Item::Quota(..)
            | Item::Granted(..)
            | Item::ClassOf(..)
            | Item::Device(..)
            | Item::Garden(..)
            | Item::AllowedMac(..)
            | Item::BlockedMac(..)
            | Item::GuestAddress(..)
            | Item::Isolated(_)
            | Item::Forward(..) => return None,
        };
        (!self.items.0.contains_key(&needed)).then_some(needed)
    }

    fn put(&mut self, item: Item) {
        self.unname(item.key());
        if let Some(object) = named_object(&item) {
            *self.named.entry(object).or_default() += 1;
        }
        match &item {
            Item::Counter(counter) => _ = self.stats.counters.entry(*counter).or_default(),
            Item::Quota(id, spec) => self.stats.quotas.entry(*id).or_insert(*spec).limit_bytes = spec.limit_bytes,
            Item::Peer(id, _) => _ = self.stats.peers.entry(*id).or_default(),
            Item::Root(name) => self.stats.roots.entry(*name).or_default().direct_qlen = 1000,
            Item::Tunnel(name, spec) => {
                let live = TunnelStats { public_key: spec.private_key.public(), listen_port: spec.listen_port };
                self.stats.tunnels.insert(*name, live);
            }
            Item::Class(id, rate) => {
                let class = self.stats.classes.entry(*id).or_default();
                (class.rate_bps, class.ceil_bps) = (rate.0, rate.0);
            }
            Item::Skeleton(_)
            | Item::Sysctl(_)
            | Item::Address(..)
            | Item::Granted(..)
            | Item::CountUp(..)
            | Item::CountDown(..)
            | Item::QuotaOf(..)
            | Item::ClassOf(..)
            | Item::Device(..)
            | Item::Garden(..)
            | Item::AllowedMac(..)
            | Item::BlockedMac(..)
            | Item::GuestAddress(..)
            | Item::Isolated(_)
            | Item::Forward(..) => {}
        }
        self.items.put(item);
    }

    /// Takes an item away with all that cannot be without it.
    fn remove(&mut self, key: Key) {
        let hangs_on = |other: &Key| match (key, other) {
            (Key::Tunnel(name), Key::Address(of, _) | Key::Root(of)) => name == *of,
            (Key::Tunnel(name), Key::Peer(id)) => name == id.interface,
            (Key::Tunnel(name) | Key::Root(name), Key::Class(id)) => name == id.interface,
            _ => false,
        };
        let gone: Vec<Key> = if matches!(key, Key::Tunnel(_) | Key::Root(_)) {
            self.items.0.keys().filter(|other| key == **other || hangs_on(other)).copied().collect()
        } else {
            vec![key]
        };
        for key in gone {
            self.unname(key);
            self.items.0.remove(&key);
            self.forget_stats(key);
        }
    }

    /// The element with this key names its object no more.
    fn unname(&mut self, element: Key) {
        let Some(object) = self.items.0.get(&element).and_then(named_object) else { return };
        if let Some(count) = self.named.get_mut(&object) {
            *count -= 1;
            if *count == 0 {
                self.named.remove(&object);
            }
        }
    }

    fn forget_stats(&mut self, key: Key) {
        match key {
            Key::Counter(counter) => _ = self.stats.counters.remove(&counter),
            Key::Quota(id) => _ = self.stats.quotas.remove(&id),
            Key::Peer(id) => _ = self.stats.peers.remove(&id),
            Key::Root(name) => _ = self.stats.roots.remove(&name),
            Key::Tunnel(name) => _ = self.stats.tunnels.remove(&name),
            Key::Class(id) => _ = self.stats.classes.remove(&id),
            Key::Skeleton
            | Key::Sysctl(_)
            | Key::Address(..)
            | Key::Granted(_)
            | Key::CountUp(_)
            | Key::CountDown(_)
            | Key::QuotaOf(..)
            | Key::ClassOf(_)
            | Key::Device(..)
            | Key::Garden(..)
            | Key::AllowedMac(..)
            | Key::BlockedMac(..)
            | Key::GuestAddress(..)
            | Key::Isolated(_)
            | Key::Forward(_) => {}
        }
    }

    /// Grants end by themselves, as timeouts do in Linux.
    fn expire(&mut self, now_ms: i64) {
        self.items.0.retain(|_, item| match item {
            Item::Granted(_, expiry) | Item::Device(_, _, expiry) | Item::Garden(_, _, expiry) => match expiry {
                Expiry::Never => true,
                Expiry::At(end) => *end > now_ms,
            },
            Item::Skeleton(_)
            | Item::Sysctl(_)
            | Item::Tunnel(..)
            | Item::Address(..)
            | Item::Root(_)
            | Item::Class(..)
            | Item::Counter(_)
            | Item::Quota(..)
            | Item::CountUp(..)
            | Item::CountDown(..)
            | Item::QuotaOf(..)
            | Item::ClassOf(..)
            | Item::Forward(..)
            | Item::AllowedMac(..)
            | Item::BlockedMac(..)
            | Item::GuestAddress(..)
            | Item::Isolated(_)
            | Item::Peer(..) => true,
        });
    }
}

/// The object that a map element names.
fn named_object(item: &Item) -> Option<Key> {
    match item {
        Item::CountUp(_, counter) | Item::CountDown(_, counter) => Some(Key::Counter(*counter)),
        Item::QuotaOf(_, _, quota) => Some(Key::Quota(*quota)),
        Item::Skeleton(_)
        | Item::Sysctl(_)
        | Item::Tunnel(..)
        | Item::Address(..)
        | Item::Root(_)
        | Item::Class(..)
        | Item::Counter(_)
        | Item::Quota(..)
        | Item::Granted(..)
        | Item::ClassOf(..)
        | Item::Forward(..)
        | Item::Device(..)
        | Item::Garden(..)
        | Item::AllowedMac(..)
        | Item::BlockedMac(..)
        | Item::GuestAddress(..)
        | Item::Isolated(_)
        | Item::Peer(..) => None,
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use doorward_policy::account::AccountId;

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
