//! Devices that come back while their grant lives, and need no login.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use doorward_policy::{guest::Mac, hotspot::HotspotId};
use tokio::sync::Semaphore;

use crate::app::{App, hotspots::HotspotRecord, logins::Device};

/// A device that cannot come back is not asked for again within this time.
const REMEMBER: Duration = Duration::from_secs(20);
/// Devices that are remembered so; beyond that, the oldest is forgotten.
const MOST_REMEMBERED: usize = 16_384;
/// Questions to the database at once.
const AT_ONCE: usize = 16;
/// Longest wait of a page for its turn.
const TURN: Duration = Duration::from_millis(500);

/// Asks whether devices may come back, within bounds.
pub(super) struct Silent {
    turns: Semaphore,
    refused: Mutex<Refused>,
}

#[derive(Default)]
struct Refused {
    at: HashMap<(HotspotId, Mac), Instant>,
    order: VecDeque<((HotspotId, Mac), Instant)>,
}

impl Default for Silent {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), refused: Mutex::default() }
    }
}

impl Silent {
    /// Lets a device come back if it may, and if that can be found out at once: for answers that must not wait.
    pub(super) async fn quickly(&self, app: &App, record: &HotspotRecord, device: &Device) -> bool {
        if !record.settings.silent_return || self.was_refused(device, Instant::now()) {
            return false;
        }
        let Ok(_turn) = self.turns.try_acquire() else { return false };
        self.ask(app, device).await
    }

    /// The same for a page, which can wait for its turn.
    pub(super) async fn patiently(&self, app: &App, allowed: bool, device: &Device) -> bool {
        if !allowed || self.was_refused(device, Instant::now()) {
            return false;
        }
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN, self.turns.acquire()).await else { return false };
        self.ask(app, device).await
    }

    /// A device that is online may come back later.
    pub(super) fn forget(&self, hotspot: HotspotId, mac: Mac) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.at.remove(&(hotspot, mac));
    }

    async fn ask(&self, app: &App, device: &Device) -> bool {
        let came_back = app.return_silently(device).await.is_some();
        if !came_back {
            self.note(device, Instant::now());
        }
        came_back
    }

    fn was_refused(&self, device: &Device, now: Instant) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.at.get(&(device.hotspot, device.mac)).is_some_and(|at| now.duration_since(*at) < REMEMBER)
    }

    fn note(&self, device: &Device, now: Instant) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Refused { at, order } = &mut *refused;
        while let Some((key, since)) = order.front().copied() {
            if now.duration_since(since) < REMEMBER && order.len() < MOST_REMEMBERED {
                break;
            }
            order.pop_front();
            // Unless it was noted again since.
            if at.get(&key) == Some(&since) {
                at.remove(&key);
            }
        }
        let key = (device.hotspot, device.mac);
        at.insert(key, now);
        order.push_back((key, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(n: u32) -> Device {
        let [a, b, c, d] = n.to_be_bytes();
        Device { hotspot: HotspotId(1), mac: Mac([2, 0, a, b, c, d]), address: [10, b, c, d].into() }
    }

    #[test]
    fn a_refusal_is_remembered_for_a_while_and_memory_is_bounded() {
        let (silent, start) = (Silent::default(), Instant::now());
        silent.note(&device(1), start);
        assert!(silent.was_refused(&device(1), start) && !silent.was_refused(&device(2), start));
        assert!(!silent.was_refused(&device(1), start + REMEMBER));
        silent.forget(HotspotId(1), device(1).mac);
        assert!(!silent.was_refused(&device(1), start));
        for n in 0..40_000 {
            silent.note(&device(n), start);
        }
        let refused = silent.refused.lock().unwrap();
        assert_eq!((refused.at.len(), refused.order.len()), (MOST_REMEMBERED, MOST_REMEMBERED));
    }
}
