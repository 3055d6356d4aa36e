//! What previews show that is not saved: one for each session.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::app::operators::PanelSessionId;

/// Sessions whose drafts are kept; more than that, and all are dropped: they are only drafts.
const MOST: usize = 32;

/// Drafts, until the next one of their session.
pub(super) struct Drafts<T>(Mutex<HashMap<PanelSessionId, T>>);

impl<T> Default for Drafts<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Drafts<T> {
    pub(super) fn put(&self, session: PanelSessionId, draft: T) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&session) {
            all.clear();
        }
        all.insert(session, draft);
    }

    pub(super) fn get(&self, session: PanelSessionId) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&session).cloned()
    }
}
