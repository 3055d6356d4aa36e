//! What waits for the loop: a bounded set of owners, or "everything".

use std::{
    collections::BTreeSet,
    mem,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::{Notify, oneshot};

use super::Owner;

/// More waiting owners than this are taken for "everything".
const MOST_OWNERS: usize = 20_000;

/// A nudge that was accepted.
#[derive(Debug)]
pub struct Ticket {
    pub(super) done: oneshot::Receiver<bool>,
}

/// Nudges from all sides; the loop takes them all at once.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

/// What a pass has to do.
#[derive(Default)]
pub(super) struct Waiting {
    /// Whose items to look at.
    pub owners: BTreeSet<Owner>,
    /// Why everything is to be looked at.
    pub everything: Option<&'static str>,
    /// Who waits for the end of the pass.
    pub tickets: Vec<(Box<[Owner]>, oneshot::Sender<bool>)>,
    /// When the first of them came.
    pub since: Option<Instant>,
}

impl Waiting {
    pub(super) fn merge(&mut self, other: Self) {
        self.owners.extend(other.owners);
        self.everything = self.everything.or(other.everything);
        self.tickets.extend(other.tickets);
        self.since = [self.since, other.since].into_iter().flatten().min();
    }
}

impl Queue {
    pub(super) fn nudge(&self, owners: &[Owner]) -> Ticket {
        self.change(|waiting| {
            waiting.owners.extend(owners);
            if waiting.owners.len() > MOST_OWNERS {
                waiting.owners.clear();
                waiting.everything = Some("many changes");
            }
            owners.into()
        })
    }

    pub(super) fn everything(&self, why: &'static str) -> Ticket {
        self.change(|waiting| {
            waiting.everything = Some(why);
            Box::default()
        })
    }

    fn change(&self, change: impl FnOnce(&mut Waiting) -> Box<[Owner]>) -> Ticket {
        let (sender, done) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let owners = change(&mut waiting);
            waiting.since.get_or_insert_with(Instant::now);
            // Those who no longer wait would only fill memory.
            if waiting.tickets.len() >= MOST_OWNERS {
                waiting.tickets.retain(|(_, ticket)| !ticket.is_closed());
            }
            waiting.tickets.push((owners, sender));
        }
        self.wake.notify_one();
        Ticket { done }
    }

    /// Takes all that waits.
    pub(super) fn take(&self) -> Waiting {
        mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what could not be done.
    pub(super) fn put_back(&self, postponed: Waiting) {
        if postponed.since.is_some() {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).merge(postponed);
            self.wake.notify_one();
        }
    }

    /// Resolves when something waits. Safe to drop.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Since when something waits.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).since
    }
}
