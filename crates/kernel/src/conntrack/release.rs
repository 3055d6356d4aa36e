//! What guests who just came online had led to the portal is forgotten beside the loop: the table is as long as all
//! connections together, and a reading of it for each of a crowd that logs in would hold up the next of them. A pinned
//! connection that lives a moment longer is a nuisance, not a hole.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use super::{Doomed, forget};
use crate::requests::Requests;

/// Readings rest this many times as long as they take: at most a fifth of one processor is theirs.
const REST: u32 = 4;
/// Wait after the kernel refused.
const RETRY: Duration = Duration::from_secs(1);

/// The task and what it is to forget next. Ends with its owner.
pub(crate) struct Releases {
    waiting: Arc<Waiting>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Waiting {
    doomed: Mutex<Doomed>,
    more: Notify,
}

impl Releases {
    /// Starts the task on a connection of its own.
    pub(crate) fn start(requests: Requests) -> Self {
        let waiting = Arc::<Waiting>::default();
        let task = tokio::spawn(run(requests, Arc::clone(&waiting)));
        Self { waiting, task }
    }

    /// Has flows forgotten soon.
    pub(crate) fn add(&self, doomed: Doomed) {
        self.waiting.add(doomed);
    }
}

impl Drop for Releases {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Waiting {
    fn add(&self, doomed: Doomed) {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner).merge(doomed);
        self.more.notify_one();
    }

    fn take(&self) -> Doomed {
        std::mem::take(&mut *self.doomed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn run(requests: Requests, waiting: Arc<Waiting>) {
    loop {
        waiting.more.notified().await;
        let doomed = waiting.take();
        if doomed.is_empty() {
            continue;
        }
        let started = Instant::now();
        match forget(&requests, &doomed).await {
            Ok(()) => tokio::time::sleep(started.elapsed() * REST).await,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "connections to the portal stay tracked");
                waiting.add(doomed);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
