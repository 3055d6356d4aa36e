//! Keeps sessions true: what the kernel counted goes to the database, and what is over is ended.
//!
//! The kernel cuts at the end of time and data by itself; this only brings the records after. Nothing here costs a
//! query, a fork or a packet for each guest.

mod addresses;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use doorward_policy::{
    guest::{DataUse, EndReason, Grant, GrantId, SessionId, Way},
    item::{Counter, QuotaId},
    limits::Bandwidth,
    observed::{Scope, Stats},
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    app::{App, HotspotRecord},
    clock::now_ms,
    reconcile::{self, Owner},
    store::{self, OpenSession, SessionUse, Store},
};

/// How often counters are read. A power failure can forget this much of what was used.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// How often sessions are looked for whose time is over; those whose data is, when counters were read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often records that are too old are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// A session's counters have their last value when the kernel has had this long to follow its end.
const SETTLED_MS: i64 = 2_000;

/// Starts the tasks; they end when `stop` is dropped or says so.
pub fn spawn(app: App, store: Store, reconcile: reconcile::Handle, stop: watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let addresses = addresses::follow(app.clone(), reconcile.clone(), stop.clone());
    let hotspots = app.hotspots();
    let keeper = Keeper {
        app,
        store,
        reconcile,
        hotspots,
        raw: None,
        spent: BTreeSet::new(),
        unseen: HashMap::new(),
        doubtful: BTreeSet::new(),
    };
    vec![tokio::spawn(addresses), tokio::spawn(keeper.run(stop))]
}

struct Keeper {
    app: App,
    store: Store,
    reconcile: reconcile::Handle,
    hotspots: watch::Receiver<Arc<Vec<HotspotRecord>>>,
    /// What was last stored of each session's counters; read from the database at first.
    raw: Option<HashMap<SessionId, DataUse>>,
    /// Limits that are known to be reached.
    spent: BTreeSet<(GrantId, Way, u64)>,
    /// Sessions without a packet since the kernel was asked first, with that moment (Unix ms).
    unseen: HashMap<SessionId, i64>,
    /// Sessions of which registry and database said different things at the last count.
    doubtful: BTreeSet<SessionId>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the database cannot be used")]
    Store(#[from] store::Error),
    #[error(transparent)]
    Kernel(#[from] reconcile::ReadError),
}

impl Keeper {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        report(self.number().await);
        let (mut counted, mut pruned) = (None::<Instant>, None::<Instant>);
        let due = |last: Option<Instant>, every| last.is_none_or(|at| at.elapsed() >= every);
        let mut asked = self.app.counts_asked();
        loop {
            if due(counted, COUNT_EVERY) {
                let number = *asked.borrow_and_update();
                report(self.count().await);
                self.app.counted(number);
                report(self.end_overdue().await);
                counted = Some(Instant::now());
            }
            report(self.end_due().await);
            if due(pruned, PRUNE_EVERY) {
                report(self.prune().await);
                pruned = Some(Instant::now());
            }
            tokio::select! {
                _ = stop.changed() => break,
                () = self.reconcile.quota_spent() => counted = None,
                Ok(()) = asked.changed() => counted = None,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        report(self.count().await);
    }

    /// Gives numbers to limited grants that lack one: the gateway died between two writes.
    async fn number(&self) -> Result<(), Error> {
        let lacks = |grant: &Grant| grant.mark.is_none() && grant.speed != Bandwidth::default();
        let live = self.store.live_grants().await?;
        for grant in live.iter().filter(|grant| lacks(grant) && grant.sessions.iter().any(|session| session.open)) {
            if let Err(error) = self.app.grant_changed(grant.id).await {
                tracing::warn!(error = &error as &dyn std::error::Error, grant = ?grant.id, "a grant has no number");
            }
        }
        Ok(())
    }

    /// Reads the kernel's counters and stores what they grew by.
    async fn count(&mut self) -> Result<(), Error> {
        let read_ms = now_ms();
        let stats = self.reconcile.read(Scope::Guests).await?;
        let counts = session_counts(&stats);
        if self.raw.is_none() {
            let stored = self.store.raw_session_counts().await?.into_iter();
            self.raw = Some(stored.map(|(id, raw)| (id, DataUse { down: raw.raw_down, up: raw.raw_up })).collect());
        }
        // Where the answer to the write gets lost, what is stored is read anew: nothing counts twice.
        let raw = self.raw.take().unwrap_or_default();
        let mut uses = Vec::new();
        for (session, now) in &counts {
            let before = raw.get(session).copied().unwrap_or_default();
            if before != *now {
                let add = DataUse { down: grown(before.down, now.down), up: grown(before.up, now.up) };
                uses.push(SessionUse { session: *session, add, raw: *now });
            }
        }
        let spent = spent_quotas(&stats).filter(|quota| !self.spent.contains(quota)).map(|(grant, ..)| grant);
        let spent: Vec<GrantId> = spent.collect::<BTreeSet<_>>().into_iter().collect();
        if !(uses.is_empty() && spent.is_empty()) {
            self.store.record_session_use(&uses, &spent).await?;
        }
        self.raw = Some(counts);
        self.spent = spent_quotas(&stats).collect();
        self.mend().await?;
        self.end_idle(&stats).await?;
        self.finish(read_ms).await
    }

    /// Lets go of the counters of sessions that ended well before they were read.
    async fn finish(&mut self, read_ms: i64) -> Result<(), Error> {
        let ended = self.store.ended_sessions(read_ms.saturating_sub(SETTLED_MS)).await?;
        if ended.is_empty() {
            return Ok(());
        }
        let sessions: Vec<SessionId> = ended.iter().map(|(session, _)| *session).collect();
        let grants: BTreeSet<GrantId> = ended.iter().map(|(_, grant)| *grant).collect();
        self.app.finish_sessions(&sessions).await?;
        let owners: Vec<Owner> = grants.into_iter().map(Owner::Grant).collect();
        drop(self.reconcile.nudge(&owners));
        Ok(())
    }

    /// Ends sessions from which no packet came for the hotspot's idle time.
    async fn end_idle(&mut self, stats: &Stats) -> Result<(), Error> {
        let now = now_ms();
        let limits: HashMap<_, _> = {
            let hotspots = self.hotspots.borrow();
            let limit = |record: &HotspotRecord| i64::from(record.settings.idle_timeout_s) * 1000;
            hotspots.iter().map(|record| (record.hotspot.id, limit(record))).filter(|(_, limit)| *limit > 0).collect()
        };
        let mut idle = Vec::new();
        let mut unseen = HashMap::new();
        for host in self.app.hosts().all() {
            let (Some(online), Some(limit)) = (&host.online, limits.get(&host.hotspot)) else { continue };
            let last = online.addresses.iter().filter_map(|address| stats.seen.get(address)).min();
            // What the kernel does not know was not idle all the time: its table may be new.
            let still = match last {
                Some(ms) => i64::try_from(*ms).unwrap_or(i64::MAX),
                None => {
                    let since = self.unseen.get(&online.session).copied().unwrap_or(now);
                    unseen.insert(online.session, since);
                    now - since
                }
            };
            if still >= *limit && now - online.started_ms >= *limit {
                idle.push((online.session, EndReason::Idle));
            }
        }
        self.unseen = unseen;
        self.end(idle).await
    }

    /// Puts the registry of devices right where it differs from the database twice in a row, as after an answer of the
    /// database that got lost.
    async fn mend(&mut self) -> Result<(), Error> {
        let stored: HashMap<SessionId, OpenSession> =
            self.store.open_sessions().await?.into_iter().map(|open| (open.online.session, open)).collect();
        let hosts = self.app.hosts();
        let mut doubtful = BTreeSet::new();
        let mut told = BTreeSet::new();
        for host in hosts.all() {
            let Some(online) = host.online else { continue };
            match stored.contains_key(&online.session) {
                true => _ = told.insert(online.session),
                false if self.doubtful.contains(&online.session) => {
                    tracing::warn!(session = ?online.session, "a device was taken for online, and is not");
                    hosts.set_offline(host.hotspot, host.mac, online.session);
                    drop(self.reconcile.nudge(&[Owner::Grant(online.grant)]));
                }
                false => _ = doubtful.insert(online.session),
            }
        }
        for (session, open) in stored.into_iter().filter(|(session, _)| !told.contains(session)) {
            if self.doubtful.contains(&session) {
                tracing::warn!(?session, "a device is online, and was not taken for it");
                let grant = open.online.grant;
                hosts.set_online(open.hotspot, open.mac, open.online, now_ms());
                drop(self.reconcile.nudge(&[Owner::Grant(grant)]));
            } else {
                doubtful.insert(session);
            }
        }
        self.doubtful = doubtful;
        Ok(())
    }

    async fn end_due(&mut self) -> Result<(), Error> {
        let due = self.store.due_sessions(now_ms()).await?;
        self.end(due).await
    }

    /// Finds what was changed past the application too.
    async fn end_overdue(&mut self) -> Result<(), Error> {
        let overdue = self.store.overdue_sessions(now_ms()).await?;
        self.end(overdue).await
    }

    async fn end(&self, sessions: Vec<(SessionId, EndReason)>) -> Result<(), Error> {
        if sessions.is_empty() {
            return Ok(());
        }
        Ok(self.app.end_sessions(&sessions).await?)
    }

    async fn prune(&self) -> Result<(), Error> {
        let settings = self.app.guest_settings();
        self.store.prune_guest_records(&settings, now_ms()).await?;
        self.app.prune_audit().await?;
        self.app.prune_sessions().await?;
        Ok(())
    }
}

fn session_counts(stats: &Stats) -> HashMap<SessionId, DataUse> {
    let mut counts: HashMap<SessionId, DataUse> = HashMap::new();
    for (counter, count) in &stats.counters {
        match counter {
            Counter::SessionUp(id) => counts.entry(*id).or_default().up = count.bytes,
            Counter::SessionDown(id) => counts.entry(*id).or_default().down = count.bytes,
            Counter::AccountUp(_)
            | Counter::AccountDown(_)
            | Counter::ServerNat(_)
            | Counter::ServerInternal(_)
            | Counter::Rule(_) => {}
        }
    }
    counts
}

/// Limits at which the kernel refuses packets of a grant.
fn spent_quotas(stats: &Stats) -> impl Iterator<Item = (GrantId, Way, u64)> + '_ {
    stats.quotas.iter().filter_map(|(id, quota)| match id {
        QuotaId::Grant { grant, way } if quota.used_bytes >= quota.limit_bytes => {
            Some((*grant, *way, quota.limit_bytes))
        }
        QuotaId::Grant { .. } | QuotaId::Account { .. } => None,
    })
}

/// What a counter grew by; one that is smaller than before was made anew.
fn grown(before: u64, now: u64) -> u64 {
    if now >= before { now - before } else { now }
}

fn report(result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::warn!(error = &error as &dyn std::error::Error, "sessions are brought up to date later");
    }
}
