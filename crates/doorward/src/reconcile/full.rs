//! Passes over everything: the stored state is compared with the kernel, and differences are repaired.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::Instant,
};

use doorward_kernel::Kernel;
use doorward_policy::{
    account::Account,
    desired::{self, Environment},
    firewall::Firewall,
    guest::Grant,
    hotspot::{Hotspot, HotspotId},
    item::{Item, Items, Key, SysctlKey},
    observed::Scope,
    plan::{Change, plan},
    vpn_server::{ServerId, VpnServer},
};

use super::{
    Owner,
    parts::Part,
    queue::Waiting,
    status::{FullPass, Phase, RELOAD, Section, SectionCounts},
    task::{PassError, SLICE, Task, Waiter, settle},
};
use crate::{clock, store};

/// All that is stored.
struct Snapshot {
    servers: BTreeMap<ServerId, VpnServer>,
    accounts: Vec<Account>,
    hotspots: BTreeMap<HotspotId, Hotspot>,
    grants: Vec<Grant>,
    firewall: Firewall,
    resolver: bool,
}

impl<K: Kernel> Task<K> {
    pub(super) async fn full_pass(&mut self, reason: &'static str, tickets: Vec<Waiter>) {
        let started = Instant::now();
        self.touched.clear();
        self.touched_owners.clear();
        if reason == RELOAD {
            self.publish(|status| status.phase = Phase::Reloading);
        }
        match self.full().await {
            Ok(sections) => {
                self.ready = true;
                let changes: usize = sections.values().map(|c| c.added + c.changed + c.removed).sum();
                let failed: usize = sections.values().map(|c| c.failed).sum();
                let took = started.elapsed();
                let pass = FullPass { reason, ended: Instant::now(), took, sections };
                if changes + failed > 0 || reason == "start" {
                    tracing::info!(reason, changes, failed, took_ms = took.as_millis(), "full pass: {pass}");
                }
                self.schedule_next();
                self.publish(|status| {
                    status.phase = Phase::Following;
                    status.last_full = Some(pass);
                    status.full_passes += 1;
                });
                let failed = if failed == 0 { BTreeSet::new() } else { [Owner::Base].into() };
                settle(tickets, &failed);
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, reason, "a full pass could not be made");
                self.failing_since.get_or_insert_with(Instant::now);
                self.schedule_next();
                self.publish(|status| status.step = "waiting for the database or the kernel");
            }
        }
        self.touched.clear();
        self.touched_owners.clear();
        self.queue.put_back(mem::take(&mut self.postponed));
    }

    async fn full(&mut self) -> Result<BTreeMap<Section, SectionCounts>, PassError> {
        let snapshot = self.load_snapshot().await?;

        self.publish(|status| status.step = "reading the kernel");
        let host = self.kernel.host().await?;
        self.environment.wans.clone_from(&host.wans);
        self.environment.advertised.extend(&host.wans);
        self.host.send_replace(Arc::new(host));
        let observed = self.kernel.observe(Scope::Everything).await?;
        self.applied = observed.items;
        self.fenced = self.applied.0.contains_key(&Key::Skeleton);
        let accepts = |key: &Key| if let Key::Sysctl(SysctlKey::AcceptRa(name)) = key { Some(*name) } else { None };
        let advertised = self.applied.0.keys().filter_map(accepts);
        self.environment.advertised.extend(advertised);
        let desired = self.take_over(snapshot);

        let changes = plan(&desired, &self.applied);
        let mut sections: BTreeMap<Section, SectionCounts> = BTreeMap::new();
        for key in desired.0.keys() {
            sections.entry(Section::of(key)).or_default().unchanged += 1;
        }
        for change in &changes {
            if !matches!(change, Change::Remove(_)) {
                sections.entry(Section::of(&change.key())).or_default().unchanged -= 1;
            }
        }
        drop(desired);

        self.publish(|status| status.step = "applying changes");
        let mut failed = BTreeSet::new();
        // Those of delta passes that ran meanwhile stand: this pass leaves their keys alone.
        self.failures.retain(|key, _| self.touched.contains(key));
        // What came in while the kernel was read goes first.
        if self.ready {
            self.attend().await;
        }
        for slice in changes.chunks(SLICE) {
            let left: Vec<Change> = slice.iter().filter(|c| !self.touched.contains(&c.key())).cloned().collect();
            self.apply(&left, &mut failed, Some(&mut sections)).await;
            if self.ready {
                self.attend().await;
            }
        }
        if self.failures.is_empty() {
            self.failing_since = None;
        }
        Ok(sections)
    }

    /// Reads all that is stored, while nudges and readings go on having their turn.
    async fn load_snapshot(&mut self) -> Result<Snapshot, PassError> {
        let store = self.store.clone();
        let mut load = tokio::spawn(async move {
            let servers = store.servers().await?.into_iter().map(|s| (s.id, s)).collect();
            let accounts = store.accounts().await?;
            let hotspots = store.hotspots().await?.into_iter().map(|record| (record.hotspot.id, record.hotspot));
            let (hotspots, grants) = (hotspots.collect(), store.live_grants().await?);
            let firewall = store.firewall().await?.active;
            let resolver = store.dns().await?.enabled;
            Ok::<_, store::Error>(Snapshot { servers, accounts, hotspots, grants, firewall, resolver })
        });
        if !self.ready {
            return Ok(load.await??);
        }
        loop {
            tokio::select! {
                loaded = &mut load => return Ok(loaded??),
                () = self.queue.woken() => self.attend().await,
                request = self.read_requests.recv() => if let Some(request) = request { self.answer(request).await },
                Some(request) = self.garden_requests.recv() => self.open_garden(request).await,
            }
        }
    }

    /// Does what came in while a full pass is under way.
    async fn attend(&mut self) {
        let Waiting { owners, everything, tickets, since } = self.queue.take();
        // What is under way began too early to answer those who wait for everything.
        let (whole, single): (Vec<Waiter>, Vec<Waiter>) = tickets.into_iter().partition(|(of, _)| of.is_empty());
        if everything.is_some() || !whole.is_empty() {
            self.postponed.merge(Waiting { owners: BTreeSet::new(), everything, tickets: whole, since });
        }
        if !owners.is_empty() {
            self.delta_pass(owners, single).await;
        }
        while let Ok(request) = self.read_requests.try_recv() {
            self.answer(request).await;
        }
        if let Ok(request) = self.garden_requests.try_recv() {
            self.open_garden(request).await;
        }
    }

    /// Makes the stored rows the owners of their items; what delta passes touched meanwhile stays as they left it.
    fn take_over(&mut self, snapshot: Snapshot) -> Items {
        let now_ms = clock::now_ms();
        let mut desired = Items::default();
        let mut seen = self.touched_owners.clone();
        let mut take = |task: &mut Self, owner: Owner, part: Part| {
            if task.touched_owners.contains(&owner) {
                // What was read is older than what a delta pass did.
                task.touched.extend(part.0.iter().map(Item::key));
                return;
            }
            seen.insert(owner);
            task.parts.set(owner, Some(&part));
            part.0.into_iter().for_each(|item| desired.put(item));
        };
        for account in &snapshot.accounts {
            let Some(server) = snapshot.servers.get(&account.server) else { continue };
            let part = desired::account(account, server, &self.environment, now_ms);
            take(self, Owner::Account(account.id), part);
        }
        for grant in &snapshot.grants {
            let part = desired::grant(grant, &snapshot.hotspots, &self.environment, now_ms);
            take(self, Owner::Grant(grant.id), part);
        }
        for hotspot in snapshot.hotspots.values() {
            take(self, Owner::Hotspot(hotspot.id), (desired::hotspot(hotspot), None));
        }
        for server in snapshot.servers.values() {
            take(self, Owner::Server(server.id), (desired::server(server), None));
        }
        let (servers, hotspots) = (snapshot.servers.values(), snapshot.hotspots.values());
        let environment = Environment { resolver: snapshot.resolver, ..self.environment.clone() };
        let base = desired::base(servers, hotspots, &snapshot.firewall, &environment);
        take(self, Owner::Base, (base, None));

        let gone: Vec<Owner> = self.parts.others(&seen).collect();
        for owner in gone {
            self.parts.set(owner, None);
        }
        if !self.touched_owners.contains(&Owner::Base) {
            self.servers = snapshot.servers;
            self.hotspots = snapshot.hotspots;
            self.firewall = snapshot.firewall;
            self.environment = environment;
        }
        self.open_now(now_ms).for_each(|item| desired.put(item));
        desired
    }
}
