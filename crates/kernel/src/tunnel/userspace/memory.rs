//! Where the clients of a tunnel were last seen.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use doorward_policy::key::PublicKey;

use crate::tunnel::Reading;

/// A session is no older than this (`REJECT_AFTER_TIME` of the WireGuard paper): a client whose last handshake is
/// older has none.
const SESSION_S: i64 = 180;
/// How long a peer that was taken away is remembered.
const REMEMBER_S: i64 = 600;

/// What is remembered of one tunnel.
///
/// Shared with the task that hears of news; locks are held for moments.
#[derive(Debug, Default, Clone)]
pub(super) struct Memory {
    peers: Arc<Mutex<HashMap<PublicKey, Seen>>>,
}

#[derive(Debug)]
struct Seen {
    endpoint: SocketAddr,
    latest_handshake_s: i64,
}

/// Where a client was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastSeen {
    pub(super) endpoint: SocketAddr,
    /// It may still hold a session.
    pub(super) online: bool,
}

impl Memory {
    /// What is read of the whole tunnel.
    pub(super) fn learn_all(&self, reading: &Reading) {
        let (now, mut peers) = (now_s(), self.lock());
        peers.retain(|_, seen| seen.latest_handshake_s + REMEMBER_S > now);
        for (key, _, stats) in &reading.peers {
            // A peer that has just been put back has not been heard of yet: what is known of it is older, and true.
            if let Some(endpoint) = stats.endpoint.filter(|_| stats.latest_handshake_s > 0) {
                peers.insert(*key, Seen { endpoint, latest_handshake_s: stats.latest_handshake_s });
            }
        }
    }

    /// What the tunnel tells of one peer.
    pub(super) fn learn(&self, key: PublicKey, endpoint: SocketAddr, latest_handshake_s: i64) {
        self.lock().insert(key, Seen { endpoint, latest_handshake_s });
    }

    pub(super) fn last_seen(&self, key: &PublicKey) -> Option<LastSeen> {
        let peers = self.lock();
        let seen = peers.get(key)?;
        Some(LastSeen { endpoint: seen.endpoint, online: seen.latest_handshake_s + SESSION_S > now_s() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PublicKey, Seen>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
