//! What the kernel in memory holds.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{SystemTime, UNIX_EPOCH},
};

use doorward_policy::{
    item::{Counter, Expiry, Item, Items, Key, QuotaId},
    observed::{Observed, Scope, Stats, TunnelStats},
    plan::Change,
};

use super::Calls;
use crate::{Error, Event, Host};

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) items: Items,
    pub(super) stats: Stats,
    pub(super) host: Host,
    pub(super) failing: BTreeSet<Key>,
    pub(super) unreadable: bool,
    pub(super) events: VecDeque<Event>,
    pub(super) calls: Calls,
    pub(super) log: Vec<Change>,
    /// How many map elements name an object.
    pub(super) named: BTreeMap<Key, usize>,
}

impl Model {
    pub(super) fn clear(&mut self) {
        self.items = Items::default();
        self.stats = Stats::default();
        self.named.clear();
    }

    pub(super) fn observe(&mut self, scope: Scope) -> Result<Observed, Error> {
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

    pub(super) fn apply(&mut self, change: &Change) -> Result<(), Error> {
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

    pub(super) fn put(&mut self, item: Item) {
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
    pub(super) fn remove(&mut self, key: Key) {
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
    pub(super) fn expire(&mut self, now_ms: i64) {
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

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
