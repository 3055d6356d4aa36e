//! Where each peer was last seen, and when it last shook hands.
//!
//! gotatun forgets a handshake with its session, after three minutes; `wg` and the gateway want to know it for as long
//! as the peer exists. And the gateway wants to know at once where clients are, for the day this process is killed.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use doorward_policy::key::PublicKey;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::peers::Tunnel;

/// How often peers are looked at: what a kill costs is what was not seen in this time. 10,000 peers take 5 ms.
const LOOK: Duration = Duration::from_secs(1);
/// Handshake times are reckoned back from an age; within this they are the same.
const SAME: Duration = Duration::from_millis(1_500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) endpoint: SocketAddr,
    pub(super) handshake: SystemTime,
    /// The round of looking in which it was new.
    round: u64,
}

/// A peer as gotatun knows it.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) key: PublicKey,
    pub(super) endpoint: Option<SocketAddr>,
    /// Of its session.
    pub(super) age: Option<Duration>,
}

/// All of them. Locks are held for moments, never across a wait.
#[derive(Debug)]
pub(super) struct Sightings {
    peers: Mutex<HashMap<PublicKey, Sighting>>,
    /// The last round in which something was new.
    news: watch::Sender<u64>,
}

impl Sightings {
    pub(super) fn new() -> Self {
        Self { peers: Mutex::default(), news: watch::Sender::new(0) }
    }

    /// Takes in what all peers look like now; `round` grows.
    fn look(&self, peers: &[Look], now: SystemTime, round: u64) {
        let mut known = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_news = false;
        for look in peers {
            let Some(handshake) = look.age.and_then(|age| now.checked_sub(age)) else { continue };
            let Some(endpoint) = look.endpoint else { continue };
            let same = |s: &Sighting| s.endpoint == endpoint && is_same(s.handshake, handshake);
            if !known.get(&look.key).is_some_and(same) {
                known.insert(look.key, Sighting { endpoint, handshake, round });
                is_news = true;
            }
        }
        if known.len() > peers.len() {
            let present: HashSet<_> = peers.iter().map(|look| look.key).collect();
            known.retain(|key, _| present.contains(key));
        }
        drop(known);
        if is_news {
            self.news.send_replace(round);
        }
    }

    /// A peer that is taken away leaves nothing behind: one that comes later under the same key is new.
    pub(super) fn forget(&self, key: &PublicKey) {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// When a peer last shook hands; `age` is what gotatun still knows of that.
    pub(super) fn handshake(&self, key: &PublicKey, age: Option<Duration>, now: SystemTime) -> Option<SystemTime> {
        let known = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = known.get(key).map(|sighting| sighting.handshake);
        let live = age.and_then(|age| now.checked_sub(age));
        match (seen, live) {
            (Some(seen), Some(live)) if !is_same(seen, live) => Some(live),
            (seen, live) => seen.or(live),
        }
    }

    /// What is newer than round `after`.
    pub(super) fn since(&self, after: u64) -> Vec<(PublicKey, Sighting)> {
        let known = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|(_, sighting)| sighting.round > after).map(|(key, sighting)| (*key, *sighting)).collect()
    }

    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

fn is_same(a: SystemTime, b: SystemTime) -> bool {
    let distance = a.duration_since(b).or_else(|_| b.duration_since(a));
    distance.is_ok_and(|distance| distance < SAME)
}

/// Looks at the peers for as long as the process lives.
pub(super) async fn keep_looking(tunnel: Arc<Tunnel>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 1.. {
        ticks.tick().await;
        let peers = tunnel.looks().await;
        tunnel.sightings.look(&peers, SystemTime::now(), round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PublicKey = PublicKey([1; 32]);

    fn look(port: u16, age_s: Option<f64>) -> Look {
        Look { key: KEY, endpoint: Some(([192, 0, 2, 1], port).into()), age: age_s.map(Duration::from_secs_f64) }
    }

    #[test]
    fn only_what_changed_is_news() {
        let (sightings, now) = (Sightings::new(), SystemTime::now());
        let later = |s: u64| now + Duration::from_secs(s);
        sightings.look(&[look(1, None)], now, 1);
        assert_eq!(sightings.since(0), [], "who never shook hands was not seen");
        sightings.look(&[look(1, Some(0.5))], later(1), 2);
        sightings.look(&[look(1, Some(1.9))], later(2), 3);
        assert_eq!((sightings.since(1).len(), sightings.since(2).len()), (1, 0), "the same handshake, a little older");
        sightings.look(&[look(2, Some(3.0))], later(3), 4);
        assert_eq!(sightings.since(3).len(), 1, "another endpoint");
        sightings.look(&[look(2, Some(0.1))], later(120), 5);
        assert_eq!(sightings.since(4).len(), 1, "another handshake");
        assert_eq!(*sightings.news().borrow(), 5);
    }

    #[test]
    fn a_handshake_is_remembered_until_the_peer_goes() {
        let (sightings, now) = (Sightings::new(), SystemTime::now());
        sightings.look(&[look(1, Some(0.0))], now, 1);
        sightings.look(&[look(1, None)], now + Duration::from_secs(300), 2);
        assert_eq!(sightings.handshake(&KEY, None, now), Some(now));
        let wobble = Some(Duration::from_millis(700));
        assert_eq!(sightings.handshake(&KEY, wobble, now), Some(now), "as it was told before");
        let new = now + Duration::from_secs(60);
        assert_eq!(sightings.handshake(&KEY, Some(Duration::ZERO), new), Some(new));
        sightings.forget(&KEY);
        assert_eq!(sightings.handshake(&KEY, None, now), None);
        sightings.look(&[look(1, Some(0.0))], now, 3);
        sightings.look(&[], now, 4);
        assert_eq!(sightings.since(0), []);
    }
}
