//! From kernel counters to stored use: daily statistics and quotas.
//!
//! Kernel counters only grow; they fall back to zero when they are made anew. What was last seen is stored beside the
//! sums, so nothing is counted twice or lost over a restart of the gateway.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use doorward_policy::{
    account::{AccountId, QuotaUse},
    item::{Counter, QuotaId},
    limits::local_day,
    observed::{Scope, Stats},
};
use jiff::{ToSpan, tz::TimeZone};
use tokio::sync::{mpsc, oneshot};

use crate::{
    clock,
    reconcile::{self, Owner},
    store::{self, RawCounts, Store, UsageDelta},
};

/// How often quota objects are read. The kernel cuts by itself; this is how much of a quota a power failure can
/// forget.
const QUOTA_TICK: Duration = Duration::from_secs(10);

/// Shortest time between ticks, so that one that fails is not made without end.
const SHORTEST_NAP: Duration = Duration::from_secs(1);

/// A collection that was asked for is not repeated within this time.
const FRESH: Duration = Duration::from_millis(500);

/// Asks the meter.
#[derive(Clone)]
pub struct Handle(mpsc::Sender<oneshot::Sender<()>>);

impl Handle {
    /// Brings the stored statistics up to this moment, at most half a second old. Fails silently: what cannot be
    /// collected now is collected later.
    pub async fn collect(&self) {
        let (answer, done) = oneshot::channel();
        if self.0.send(answer).await.is_ok() {
            drop(done.await);
        }
    }
}

/// Starts the meter; it collects a last time and ends when the last [`Handle`] is dropped.
pub fn spawn(store: Store, reconcile: reconcile::Handle, zone: TimeZone) -> (Handle, tokio::task::JoinHandle<()>) {
    let (sender, requests) = mpsc::channel(64);
    let meter = Meter {
        store,
        reconcile,
        zone,
        last: None,
        seen: Counts::new(),
        banked: Counts::new(),
        quota_use: HashMap::new(),
        day: None,
        collected: None,
    };
    (Handle(sender), tokio::spawn(meter.run(requests)))
}

/// Counters by account.
type Counts = HashMap<AccountId, RawCounts>;

struct Meter {
    store: Store,
    reconcile: reconcile::Handle,
    zone: TimeZone,
    /// What was last stored; read from the database at first.
    last: Option<Counts>,
    /// What the last tick saw.
    seen: Counts,
    /// What counters had that have since begun anew, not stored yet.
    banked: Counts,
    quota_use: HashMap<AccountId, QuotaUse>,
    /// The day that is being counted, and when it ends (Unix ms).
    day: Option<(String, i64)>,
    collected: Option<Instant>,
}

/// What stops a collection.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the database cannot be used")]
    Store(#[from] store::Error),
    #[error(transparent)]
    Kernel(#[from] reconcile::ReadError),
}

impl Meter {
    async fn run(mut self, mut requests: mpsc::Receiver<oneshot::Sender<()>>) {
        self.day = Some(local_day(clock::now_ms(), &self.zone));
        loop {
            let until_midnight = self.day.as_ref().map_or(0, |(_, end)| end.saturating_sub(clock::now_ms()));
            let nap = Duration::from_millis(u64::try_from(until_midnight).unwrap_or(0)).clamp(SHORTEST_NAP, QUOTA_TICK);
            tokio::select! {
                request = requests.recv() => {
                    let last_time = request.is_none();
                    if last_time || self.collected.is_none_or(|at| at.elapsed() > FRESH) {
                        report(self.tick(true).await);
                    }
                    match request {
                        Some(answer) => drop(answer.send(())),
                        None => return,
                    }
                }
                () = tokio::time::sleep(nap) => report(self.tick(false).await),
            }
        }
    }

    async fn tick(&mut self, now: bool) -> Result<(), Error> {
        let settings = self.store.vpn_settings().await?;
        let stats = self.reconcile.read(Scope::Counters).await?;
        self.record_quotas(&stats).await?;
        let counts = account_counts(&stats);
        self.bank(&counts);

        let now_ms = clock::now_ms();
        let day_is_over = self.day.as_ref().is_none_or(|(_, end)| now_ms >= *end);
        let every = Duration::from_secs(60 * u64::from(settings.traffic_statistics_frequency));
        let is_time = now || day_is_over || self.collected.is_none_or(|at| at.elapsed() >= every);
        if is_time {
            self.record_days(&counts, settings.traffic_statistics_history > 0).await?;
            self.collected = Some(Instant::now());
        }
        self.seen = counts;
        if day_is_over {
            self.day = Some(local_day(now_ms, &self.zone));
            self.prune(settings.traffic_statistics_history).await?;
            self.store.prune_links(now_ms).await?;
        }
        Ok(())
    }

    /// Stores how much of each quota is used, and has spent accounts looked at.
    async fn record_quotas(&mut self, stats: &Stats) -> Result<(), Error> {
        let mut changed = Vec::new();
        let mut spent = Vec::new();
        let of_accounts = || {
            stats.quotas.iter().filter_map(|(id, quota)| match id {
                QuotaId::Account { account, period_start_ms } => Some((id, *account, *period_start_ms, quota)),
                QuotaId::Grant { .. } => None,
            })
        };
        for (id, account, period_start_ms, quota) in of_accounts() {
            let used = QuotaUse { period_start_ms, bytes: quota.used_bytes };
            // An object of an earlier period may stand beside the present one for a moment.
            let superseded = |before: &QuotaUse| {
                let newer = QuotaId::Account { account, period_start_ms: before.period_start_ms };
                newer > *id && stats.quotas.contains_key(&newer)
            };
            if self.quota_use.get(&account).is_some_and(|before| *before == used || superseded(before)) {
                continue;
            }
            changed.push((account, used));
            if quota.used_bytes >= quota.limit_bytes {
                spent.push(Owner::Account(account));
            }
        }
        let counted: HashSet<AccountId> = of_accounts().map(|(_, account, _, _)| account).collect();
        self.quota_use.retain(|account, _| counted.contains(account));
        if changed.is_empty() {
            return Ok(());
        }
        self.store.record_quota_use(&changed).await?;
        self.quota_use.extend(changed);
        if !spent.is_empty() {
            drop(self.reconcile.nudge(&spent));
        }
        Ok(())
    }

    /// Adds what was counted since the last time to the day.
    async fn record_days(&mut self, now: &Counts, keep: bool) -> Result<(), Error> {
        let Some((day, _)) = &self.day else { return Ok(()) };
        let last = match self.last.take() {
            Some(last) => last,
            None => self.store.last_counts().await?,
        };
        let deltas: Vec<UsageDelta> = now
            .iter()
            .filter_map(|(account, raw)| {
                let before = last.get(account).copied().unwrap_or_default();
                let banked = self.banked.get(account).copied().unwrap_or_default();
                let (up, down) = (banked.up + grown(before.up, raw.up), banked.down + grown(before.down, raw.down));
                (before != *raw || banked != RawCounts::default()).then_some(UsageDelta {
                    account: *account,
                    raw_up: raw.up,
                    raw_down: raw.down,
                    delta_up: if keep { up } else { 0 },
                    delta_down: if keep { down } else { 0 },
                })
            })
            .collect();
        if !deltas.is_empty() {
            // After an error `last` is read anew: the write may have reached the disk all the same.
            self.store.record_usage(day, &deltas).await?;
        }
        // Counters that are gone begin at zero when they come back.
        self.last = Some(now.clone());
        self.banked.clear();
        Ok(())
    }

    /// Keeps what a counter had when it fell back to zero between two collections.
    fn bank(&mut self, now: &Counts) {
        let Some(last) = &mut self.last else { return };
        for (account, seen) in &self.seen {
            let fell = |now: &RawCounts| now.up < seen.up || now.down < seen.down;
            if now.get(account).is_some_and(|now| !fell(now)) {
                continue;
            }
            let before = last.remove(account).unwrap_or_default();
            let banked = self.banked.entry(*account).or_default();
            banked.up += grown(before.up, seen.up);
            banked.down += grown(before.down, seen.down);
        }
    }

    async fn prune(&self, history_months: u32) -> Result<(), Error> {
        let today = jiff::Timestamp::from_millisecond(clock::now_ms()).unwrap_or_default().to_zoned(self.zone.clone());
        let months = i64::from(history_months.min(12_000));
        if let Ok(oldest) = today.first_of_month().and_then(|first| first.checked_sub(months.months())) {
            self.store.prune_usage(&oldest.date().to_string()).await?;
        }
        Ok(())
    }
}

fn account_counts(stats: &Stats) -> Counts {
    let mut counts = Counts::new();
    for (counter, count) in &stats.counters {
        match counter {
            Counter::AccountUp(id) => counts.entry(*id).or_default().up = count.bytes,
            Counter::AccountDown(id) => counts.entry(*id).or_default().down = count.bytes,
            Counter::ServerNat(_)
            | Counter::ServerInternal(_)
            | Counter::Rule(_)
            | Counter::SessionUp(_)
            | Counter::SessionDown(_) => {}
        }
    }
    counts
}

/// What a counter grew by; one that is smaller than before was made anew.
fn grown(before: u64, now: u64) -> u64 {
    if now >= before { now - before } else { now }
}

fn report(result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::warn!(error = &error as &dyn std::error::Error, "counters are collected later");
    }
}
