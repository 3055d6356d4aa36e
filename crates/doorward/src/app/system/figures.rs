//! Figures for monitoring systems.

use std::time::Duration;

use crate::{
    app::{App, now_ms},
    store,
};

/// What the database counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Mail and SMS that wait to be sent.
    pub messages_waiting: u64,
    /// Those that could not be sent in time.
    pub messages_unsent: u64,
}

/// What the loop says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopFigures {
    /// Full passes since the start.
    pub full_passes: u64,
    /// Passes over single rows since the start.
    pub delta_passes: u64,
    /// Changes that the kernel refused and has not taken since.
    pub failures: u64,
    /// How long the last full pass took; `None`: none has ended.
    pub last_full: Option<Duration>,
}

impl App {
    /// What the database counts: one small query.
    ///
    /// # Errors
    /// The store failed.
    pub async fn figures(&self) -> Result<Figures, store::Error> {
        let outbox = self.store().outbox_state(now_ms(), 1).await?;
        let count = |n: i64| u64::try_from(n).unwrap_or_default();
        Ok(Figures { messages_waiting: count(outbox.waiting), messages_unsent: count(outbox.failed) })
    }

    /// What the loop says of itself.
    #[must_use]
    pub fn loop_figures(&self) -> LoopFigures {
        let status = self.0.handle.state();
        LoopFigures {
            full_passes: status.full_passes,
            delta_passes: status.delta_passes,
            failures: u64::try_from(status.failures.len()).unwrap_or(u64::MAX),
            last_full: status.last_full.map(|pass| pass.took),
        }
    }
}
