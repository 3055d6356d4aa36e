//! What the loop tells of itself: data for `system/status`, the log and the panel.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use doorward_policy::item::Key;
use serde::Serialize;

/// Reason of a pass that an operator or program asked for.
pub(super) const RELOAD: &str = "reload";

/// Stored and running state may differ this long before the status says so (VPN API, section 1.7).
const QUIET_LAG: Duration = Duration::from_secs(5);

/// What the loop is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first full pass has not ended.
    Starting,
    /// A full pass that was asked for has not ended.
    Reloading,
    /// Following changes as they come.
    Following,
}

/// State of the loop, published after each pass.
#[derive(Debug, Clone)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// Words for the step in hand.
    pub step: &'static str,
    /// The skeleton stands.
    pub guarded: bool,
    /// Since when stored and running state differ, if they do.
    pub behind_since: Option<Instant>,
    /// The last full pass.
    pub last_full: Option<FullPass>,
    /// Full passes so far.
    pub full_passes: u64,
    /// Passes over single rows so far.
    pub delta_passes: u64,
    /// What the kernel refused and has not taken since, newest texts, at most `MOST_FAILURES`.
    pub failures: Vec<String>,
}

/// Failures that are kept as text.
pub(super) const MOST_FAILURES: usize = 20;

/// How a full pass went.
#[derive(Debug, Clone)]
pub struct FullPass {
    /// Why it was made.
    pub reason: &'static str,
    /// When it ended.
    pub ended: Instant,
    /// How long it took, from the first stored row read to the last change.
    pub took: Duration,
    /// What it found and did.
    pub sections: BTreeMap<Section, SectionCounts>,
}

/// Kinds of kernel state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Section {
    Skeleton,
    Settings,
    Tunnels,
    Peers,
    Shaping,
    Counters,
    Members,
}

/// What a pass found and did in one section.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SectionCounts {
    pub unchanged: usize,
    pub added: usize,
    pub changed: usize,
    pub removed: usize,
    pub failed: usize,
}

impl Section {
    /// The section that an item belongs to.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        match key {
            Key::Skeleton => Self::Skeleton,
            Key::Sysctl(_) => Self::Settings,
            Key::Tunnel(_) | Key::Address(..) | Key::GuestAddress(..) | Key::Isolated(_) => Self::Tunnels,
            Key::Peer(_) => Self::Peers,
            Key::Root(_) | Key::Class(_) => Self::Shaping,
            Key::Counter(_) | Key::Quota(_) => Self::Counters,
            Key::Granted(_)
            | Key::CountUp(_)
            | Key::CountDown(_)
            | Key::QuotaOf(..)
            | Key::ClassOf(_)
            | Key::Device(..)
            | Key::Garden(..)
            | Key::AllowedMac(..)
            | Key::BlockedMac(..)
            | Key::Forward(_) => Self::Members,
        }
    }
}

impl Status {
    pub(super) fn starting() -> Self {
        Self {
            phase: Phase::Starting,
            step: "reading the database",
            guarded: false,
            behind_since: None,
            last_full: None,
            full_passes: 0,
            delta_passes: 0,
            failures: Vec::new(),
        }
    }

    /// Whether a start or a reload is under way; reload and restore are refused meanwhile (VPN API, section 1.7).
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.phase != Phase::Following
    }
}

impl Status {
    /// `OK`, or `Loading (…)` as `system/status` answers it. `waiting_since`: since when something waits for the loop.
    #[must_use]
    pub(super) fn text(&self, waiting_since: Option<Instant>) -> String {
        let behind_since = [self.behind_since, waiting_since].into_iter().flatten().min();
        let late = behind_since.is_some_and(|since| since.elapsed() > QUIET_LAG);
        match (self.phase, self.failures.len()) {
            (Phase::Starting | Phase::Reloading, _) => format!("Loading ({})", self.step),
            (Phase::Following, 0) if late => format!("Loading ({})", self.step),
            (Phase::Following, 1) if late => "Loading (1 change failed, trying again)".to_owned(),
            (Phase::Following, n) if late => format!("Loading ({n} changes failed, trying again)"),
            (Phase::Following, _) => "OK".to_owned(),
        }
    }
}

/// The text of `system/status`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(None))
    }
}

/// What was done, section by section: `peers +3 ~0 -1 !0` is three added, none changed, one removed, none failed.
impl fmt::Display for FullPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut quiet = true;
        for (section, c) in &self.sections {
            if c.added + c.changed + c.removed + c.failed > 0 {
                let comma = if quiet { "" } else { ", " };
                let name = format!("{section:?}").to_lowercase();
                write!(f, "{comma}{name} +{} ~{} -{} !{}", c.added, c.changed, c.removed, c.failed)?;
                quiet = false;
            }
        }
        if quiet { f.write_str("nothing to do") } else { Ok(()) }
    }
}
