//! The loop itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use doorward_kernel::{Host, Kernel};
use doorward_policy::{
    desired::Environment,
    firewall::Firewall,
    hotspot::{Hotspot, HotspotId},
    item::{Items, Key},
    plan::Change,
    vpn_server::{ServerId, VpnServer},
};
use jiff::tz::TimeZone;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::{
    GARDEN_QUEUE, GardenRequest, Handle, Owner, READ_QUEUE, ReadRequest,
    parts::Parts,
    queue::{Queue, Waiting},
    status::{MOST_FAILURES, Section, SectionCounts, Status},
};
use crate::store::{self, Store};

/// Changes that are carried out at once; in between, nudges and readings have their turn.
pub(super) const SLICE: usize = 1_000;

/// First wait before a refused change is tried again; doubled up to the time between full passes.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// While nudges never end, the kernel is asked for drift this often, and for so long.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK_WAIT: Duration = Duration::from_millis(30);

/// So many repairs are made at once; more without a calm of [`REPAIR_CALM`] between them wait.
const PROMPT_REPAIRS: u32 = 8;
const REPAIR_CALM: Duration = Duration::from_secs(30);

/// How the loop works.
#[derive(Debug, Clone)]
pub struct Options {
    /// The gateway's time zone, for quota periods.
    pub zone: TimeZone,
    /// Time between full passes without any other reason.
    pub full_pass_every: Duration,
}

/// Starts the loop; it ends when the last [`Handle`] is dropped.
pub fn spawn<K: Kernel>(kernel: K, store: Store, options: Options) -> (Handle, tokio::task::JoinHandle<()>) {
    let queue = Arc::new(Queue::default());
    let (reads, read_requests) = mpsc::channel(READ_QUEUE);
    let (garden, garden_requests) = mpsc::channel(GARDEN_QUEUE);
    let spent = Arc::new(Notify::new());
    let (status_out, status) = watch::channel(Status::starting());
    let (host_out, host) = watch::channel(Arc::new(Host::default()));
    let handle = Handle { queue: Arc::clone(&queue), reads, garden, spent: Arc::clone(&spent), status, host };
    let task = Task {
        kernel,
        store,
        queue,
        read_requests,
        garden_requests,
        spent,
        status: status_out,
        host: host_out,
        environment: Environment {
            wans: Vec::new(),
            advertised: BTreeSet::new(),
            zone: options.zone.clone(),
            resolver: false,
        },
        servers: BTreeMap::new(),
        hotspots: BTreeMap::new(),
        firewall: Firewall::default(),
        applied: Items::default(),
        parts: Parts::default(),
        fenced: false,
        touched: HashSet::new(),
        touched_owners: BTreeSet::new(),
        failures: BTreeMap::new(),
        failing_since: None,
        postponed: Waiting::default(),
        ready: false,
        next_full: Instant::now() + options.full_pass_every,
        looked: Instant::now(),
        repaired: Instant::now(),
        repairs: 0,
        retry: FIRST_RETRY,
        options,
    };
    (handle, tokio::spawn(task.run()))
}

pub(super) struct Task<K> {
    pub(super) kernel: K,
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) read_requests: mpsc::Receiver<ReadRequest>,
    pub(super) garden_requests: mpsc::Receiver<GardenRequest>,
    pub(super) spent: Arc<Notify>,
    pub(super) status: watch::Sender<Status>,
    pub(super) host: watch::Sender<Arc<Host>>,
    pub(super) environment: Environment,
    pub(super) servers: BTreeMap<ServerId, VpnServer>,
    pub(super) hotspots: BTreeMap<HotspotId, Hotspot>,
    pub(super) firewall: Firewall,
    /// The last full observation and every change acknowledged since.
    pub(super) applied: Items,
    pub(super) parts: Parts,
    /// The skeleton stands as it should.
    pub(super) fenced: bool,
    /// Keys that delta passes looked at while a full pass is under way: the full pass leaves them alone.
    pub(super) touched: HashSet<Key>,
    /// The same by owner: what the full pass read of them is older than what was done.
    pub(super) touched_owners: BTreeSet<Owner>,
    pub(super) failures: BTreeMap<Key, String>,
    pub(super) failing_since: Option<Instant>,
    /// What came in during a full pass and needs another one.
    pub(super) postponed: Waiting,
    /// A full pass has succeeded: `applied` and `parts` can be relied on.
    pub(super) ready: bool,
    pub(super) next_full: Instant,
    /// When the kernel was last asked for drift out of turn.
    pub(super) looked: Instant,
    /// When somebody else's change was last noticed, and how often lately.
    pub(super) repaired: Instant,
    pub(super) repairs: u32,
    pub(super) retry: Duration,
    pub(super) options: Options,
}

enum Event {
    Nudged,
    Read(Option<ReadRequest>),
    Told(doorward_kernel::Event),
    Garden(GardenRequest),
    Timer,
}

/// Why a pass could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    #[error("the database cannot be read")]
    Store(#[from] store::Error),
    #[error("the kernel cannot be read")]
    Kernel(#[from] doorward_kernel::Error),
    #[error("reading the database was cut off")]
    Cut(#[from] tokio::task::JoinError),
}

/// Why a change was not carried out.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Kernel(doorward_kernel::Error),
    #[error("waits for the firewall's skeleton")]
    NoSkeleton,
    #[error("waits for the limits that go with it")]
    NoLimits,
}

impl<K: Kernel> Task<K> {
    async fn run(mut self) {
        self.full_pass("start", Vec::new()).await;
        // Listeners wait for this: the skeleton stands, or cannot be made to stand now.
        self.publish(|status| status.guarded = true);
        loop {
            let event = {
                let nap = tokio::time::sleep(self.nap());
                tokio::select! {
                    biased;
                    () = self.queue.woken() => Event::Nudged,
                    request = self.read_requests.recv() => Event::Read(request),
                    told = self.kernel.event() => Event::Told(told),
                    Some(request) = self.garden_requests.recv() => Event::Garden(request),
                    () = nap => Event::Timer,
                }
            };
            match event {
                Event::Nudged => {
                    self.follow().await;
                    self.give_turns().await;
                }
                Event::Read(Some(request)) => self.answer(request).await,
                Event::Read(None) => return,
                Event::Told(told) => self.hear(told).await,
                Event::Garden(request) => self.open_garden(request).await,
                Event::Timer => self.on_timer().await,
            }
        }
    }

    /// Lets the others have their turn where nudges never end.
    async fn give_turns(&mut self) {
        while let Ok(request) = self.read_requests.try_recv() {
            self.answer(request).await;
        }
        if let Ok(request) = self.garden_requests.try_recv() {
            self.open_garden(request).await;
        }
        if self.nap().is_zero() {
            self.on_timer().await;
        }
        if self.looked.elapsed() > LOOK_EVERY {
            let look = tokio::time::timeout(LOOK_WAIT, self.kernel.event()).await;
            self.looked = Instant::now();
            if let Ok(told) = look {
                self.hear(told).await;
            }
        }
    }

    async fn hear(&mut self, told: doorward_kernel::Event) {
        match told {
            doorward_kernel::Event::Drifted(what) => self.repair(&what).await,
            // The kernel itself lets nothing more through; who counts stores it.
            doorward_kernel::Event::Spent(quotas) => {
                tracing::debug!(?quotas, "used up");
                self.spent.notify_one();
            }
        }
    }

    /// Repairs at once; where somebody undoes it again and again, after growing waits.
    async fn repair(&mut self, what: &str) {
        if self.repaired.elapsed() > REPAIR_CALM {
            self.repairs = 0;
        }
        self.repairs = self.repairs.saturating_add(1);
        if self.repairs <= PROMPT_REPAIRS {
            tracing::warn!(what, "changed by somebody else, repairing");
            self.full_pass("repair", Vec::new()).await;
        } else {
            let doublings = (self.repairs - PROMPT_REPAIRS).min(6);
            let wait = (FIRST_RETRY / 2 * 2_u32.pow(doublings)).min(self.options.full_pass_every);
            tracing::warn!(
                what,
                wait_ms = wait.as_millis(),
                "changed by somebody else again and again, repairing later"
            );
            self.next_full = self.next_full.min(Instant::now() + wait);
        }
        self.repaired = Instant::now();
    }

    fn nap(&self) -> Duration {
        let until_full = self.next_full.saturating_duration_since(Instant::now());
        let until_deadline = self
            .parts
            .next_deadline_ms()
            .map(|at| Duration::from_millis(u64::try_from(at.saturating_sub(crate::clock::now_ms())).unwrap_or(0)));
        // While something fails, a moment that has come is not looked at without end; the kernel's timeouts hold.
        let until_deadline = until_deadline.map(|d| if self.failing_since.is_some() { d.max(FIRST_RETRY) } else { d });
        until_deadline.map_or(until_full, |d| d.min(until_full))
    }

    async fn on_timer(&mut self) {
        let due = self.parts.due(crate::clock::now_ms());
        if !due.is_empty() {
            tracing::debug!(owners = due.len(), "moments have come");
            self.delta_pass(due, Vec::new()).await;
        }
        if Instant::now() >= self.next_full {
            let reason = if self.failures.is_empty() && self.ready { "timer" } else { "trying again" };
            self.full_pass(reason, Vec::new()).await;
        }
    }

    pub(super) async fn answer(&mut self, request: ReadRequest) {
        if request.answer.is_closed() {
            return;
        }
        let result = self.kernel.observe(request.scope).await.map(|observed| observed.stats);
        // Who no longer waits needs no answer.
        drop(request.answer.send(result));
    }

    /// Does what waits in the queue.
    async fn follow(&mut self) {
        let Waiting { owners, everything, tickets, since: _ } = self.queue.take();
        match everything {
            Some(reason) => self.full_pass(reason, tickets).await,
            None if !self.ready => self.full_pass("trying again", tickets).await,
            None if owners.is_empty() => settle(tickets, &BTreeSet::new()),
            None => self.delta_pass(owners, tickets).await,
        }
    }

    pub(super) async fn apply(
        &mut self,
        changes: &[Change],
        failed: &mut BTreeSet<Key>,
        mut sections: Option<&mut BTreeMap<Section, SectionCounts>>,
    ) {
        if changes.is_empty() {
            return;
        }
        let results = self.carry_out(changes).await;
        for (change, result) in changes.iter().zip(results) {
            let key = change.key();
            let counts = sections.as_deref_mut().map(|s| s.entry(Section::of(&key)).or_default());
            match result {
                Ok(()) => {
                    change.apply_to(&mut self.applied);
                    self.failures.remove(&key);
                    if let Some(counts) = counts {
                        match change {
                            Change::Add(_) => counts.added += 1,
                            Change::Replace { .. } => counts.changed += 1,
                            Change::Remove(_) => counts.removed += 1,
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, ?key, "the kernel refused a change");
                    if let Some(counts) = counts {
                        counts.failed += 1;
                    }
                    self.failures.insert(key, error.to_string());
                    failed.insert(key);
                }
            }
        }
        if !self.failures.is_empty() {
            self.failing_since.get_or_insert_with(Instant::now);
            self.retry_soon();
        }
    }

    /// Fails closed: while the skeleton does not stand as it should, only what takes something away is carried out; and
    /// nobody is let through whose limits the kernel refused.
    async fn carry_out(&mut self, changes: &[Change]) -> Vec<Result<(), Refused>> {
        let skeleton = changes.iter().position(|change| change.key() == Key::Skeleton);
        let (first, rest) = changes.split_at(skeleton.map_or(0, |at| at + 1));
        let mut results = self.ask_kernel(first).await;
        if let Some(result) = skeleton.and_then(|at| results.get(at)) {
            self.fenced = result.is_ok();
        }
        if !self.fenced {
            let takes_away = |change: &Change| matches!(change, Change::Remove(_)) && !change.opens();
            for run in rest.chunk_by(|a, b| takes_away(a) == takes_away(b)) {
                match run.first().is_some_and(takes_away) {
                    true => results.extend(self.ask_kernel(run).await),
                    false => results.extend(run.iter().map(|_| Err(Refused::NoSkeleton))),
                }
            }
            return results;
        }
        let (limits, grants) = rest.split_at(rest.iter().position(Change::opens).unwrap_or(rest.len()));
        let limited = self.ask_kernel(limits).await;
        let refused = limits.iter().zip(&limited).filter(|(_, result)| result.is_err()).map(|(change, _)| change.key());
        // Limits may have been refused in an earlier slice.
        let before = self.failures.keys().copied().filter(|key| !key.opens());
        let owners = refused.chain(before).filter_map(|key| self.parts.owner_of(&key));
        let closed: BTreeSet<Owner> =
            owners.filter(|owner| matches!(owner, Owner::Account(_) | Owner::Grant(_))).collect();
        results.extend(limited);
        let is_closed: Vec<bool> = grants
            .iter()
            .map(|change| change.opens() && self.parts.owner_of(&change.key()).is_some_and(|o| closed.contains(&o)))
            .collect();
        let mut rest = grants;
        for run in is_closed.chunk_by(bool::eq) {
            let (these, later) = rest.split_at(run.len());
            rest = later;
            match run.first() {
                Some(true) => results.extend(these.iter().map(|_| Err(Refused::NoLimits))),
                Some(false) | None => results.extend(self.ask_kernel(these).await),
            }
        }
        results
    }

    async fn ask_kernel(&mut self, changes: &[Change]) -> Vec<Result<(), Refused>> {
        if changes.is_empty() {
            return Vec::new();
        }
        self.kernel.apply(changes).await.into_iter().map(|result| result.map_err(Refused::Kernel)).collect()
    }

    /// After a full pass: the next one comes by the timer, or after growing waits while something fails.
    pub(super) fn schedule_next(&mut self) {
        if self.failing_since.is_none() {
            self.next_full = Instant::now() + self.options.full_pass_every;
            self.retry = FIRST_RETRY;
        } else {
            self.next_full = Instant::now() + self.retry;
            self.retry = (self.retry * 2).min(self.options.full_pass_every);
        }
    }

    pub(super) fn retry_soon(&mut self) {
        self.next_full = self.next_full.min(Instant::now() + self.retry);
    }

    pub(super) fn publish(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| {
            status.guarded |= self.applied.0.contains_key(&Key::Skeleton);
            status.behind_since = self.failing_since;
            status.failures = self.failures.values().take(MOST_FAILURES).cloned().collect();
            change(status);
        });
    }
}

pub(super) type Waiter = (Box<[Owner]>, oneshot::Sender<bool>);

pub(super) fn settle(tickets: Vec<Waiter>, failed: &BTreeSet<Owner>) {
    for (owners, ticket) in tickets {
        let held = if owners.is_empty() { failed.is_empty() } else { !owners.iter().any(|o| failed.contains(o)) };
        // Who no longer waits needs no answer.
        _ = ticket.send(held);
    }
}
