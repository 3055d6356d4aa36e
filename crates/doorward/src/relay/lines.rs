//! The gateways that are connected now.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, Semaphore};

use super::{
    mux::{MOST_STREAMS, Opener},
    state::Known,
    wire::RelayName,
};

/// A connected gateway.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) known: Known,
    pub(super) opener: Opener,
    /// Requests in hand.
    pub(super) slots: Arc<Semaphore>,
    end: Notify,
}

impl Line {
    pub(super) fn new(known: Known, opener: Opener) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(MOST_STREAMS));
        Arc::new(Self { known, opener, slots, end: Notify::new() })
    }

    /// Waits until somebody else ends the line.
    pub(super) async fn ended(&self) {
        self.end.notified().await;
    }
}

/// All lines by name.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Mutex<HashMap<RelayName, Arc<Line>>>,
    /// Signs of life that are not stored yet.
    seen: Mutex<HashMap<i64, i64>>,
}

impl Lines {
    /// Adds a line. The newest counts: an older one of the same gateway is dead, though nobody may have noticed.
    pub(super) fn add(&self, line: &Arc<Line>) {
        if let Some(old) = self.lock().insert(line.known.name.clone(), Arc::clone(line)) {
            old.end.notify_one();
        }
    }

    /// Takes a line away that has ended.
    pub(super) fn remove(&self, line: &Arc<Line>) {
        let mut lines = self.lock();
        if lines.get(&line.known.name).is_some_and(|found| Arc::ptr_eq(found, line)) {
            lines.remove(&line.known.name);
        }
    }

    pub(super) fn get(&self, name: &RelayName) -> Option<Arc<Line>> {
        self.lock().get(name).cloned()
    }

    /// Ends the lines of gateways that were renamed or revoked.
    pub(super) fn keep_only(&self, known: &[Known]) {
        let known: HashMap<i64, &RelayName> = known.iter().map(|known| (known.id, &known.name)).collect();
        self.lock().retain(|name, line| {
            let stays = known.get(&line.known.id).is_some_and(|found| *found == name);
            if !stays {
                line.end.notify_one();
            }
            stays
        });
    }

    /// Notes a sign of life.
    pub(super) fn saw(&self, line: &Line, at_ms: i64) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(line.known.id, at_ms);
    }

    /// Signs of life since the last call.
    pub(super) fn take_seen(&self) -> HashMap<i64, i64> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RelayName, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
