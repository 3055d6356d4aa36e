//! Passes over single rows: their cost is that of the change.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use doorward_kernel::Kernel;
use doorward_policy::{
    account::AccountId,
    desired,
    guest::GrantId,
    hotspot::HotspotId,
    item::{Item, Key},
    plan::plan_part,
    vpn_server::{ServerId, VpnServer},
};

use super::{
    Owner,
    parts::Part,
    task::{PassError, SLICE, Task, Waiter, settle},
};
use crate::clock;

impl<K: Kernel> Task<K> {
    pub(super) async fn delta_pass(&mut self, owners: BTreeSet<Owner>, tickets: Vec<Waiter>) {
        match self.delta(owners).await {
            Ok(failed) => settle(tickets, &failed),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a change waits");
                self.failing_since.get_or_insert_with(Instant::now);
                self.retry_soon();
                drop(tickets);
            }
        }
        self.publish(|status| status.delta_passes += 1);
    }

    /// Looks at some owners only; answers those for whom the kernel refused a change.
    async fn delta(&mut self, mut owners: BTreeSet<Owner>) -> Result<BTreeSet<Owner>, PassError> {
        if owners.iter().any(|owner| matches!(owner, Owner::Base | Owner::Server(_))) {
            self.reload_servers(&mut owners).await?;
        }
        if owners.iter().any(|owner| matches!(owner, Owner::Base | Owner::Hotspot(_))) {
            self.reload_hotspots(&mut owners).await?;
        }
        if owners.contains(&Owner::Base) {
            self.firewall = self.store.firewall().await?.active;
            self.environment.resolver = self.store.dns().await?.enabled;
        }
        let parts = self.load_parts(&owners).await?;

        let had: BTreeMap<Owner, Vec<Key>> = owners.iter().map(|o| (*o, self.parts.keys(*o).collect())).collect();
        let mut wanted: BTreeMap<Key, Option<Item>> = had.values().flatten().map(|key| (*key, None)).collect();
        let items = parts.values().flatten().flat_map(|(items, _)| items.iter());
        wanted.extend(items.map(|item| (item.key(), Some(item.clone()))));
        self.touched.extend(wanted.keys());
        self.touched_owners.extend(&owners);
        for (owner, part) in &parts {
            self.parts.set(*owner, part.as_ref());
        }

        let mut failed_keys = BTreeSet::new();
        for slice in plan_part(&wanted, &self.applied).chunks(SLICE) {
            self.apply(slice, &mut failed_keys, None).await;
        }
        let concerns = |owner: &Owner| {
            let had = had.get(owner).into_iter().flatten().copied();
            had.chain(self.parts.keys(*owner)).any(|key| failed_keys.contains(&key))
        };
        Ok(owners.iter().copied().filter(concerns).collect())
    }

    /// Reads all servers (they are few) and adds the accounts that a server's change concerns.
    async fn reload_servers(&mut self, owners: &mut BTreeSet<Owner>) -> Result<(), PassError> {
        let fresh: BTreeMap<_, _> = self.store.servers().await?.into_iter().map(|s| (s.id, s)).collect();
        let named: Vec<ServerId> = owners
            .iter()
            .filter_map(|owner| match owner {
                Owner::Server(id) => Some(*id),
                Owner::Base | Owner::Account(_) | Owner::Hotspot(_) | Owner::Grant(_) => None,
            })
            .collect();
        for id in named {
            let shared = |servers: &BTreeMap<ServerId, VpnServer>| {
                servers.get(&id).map(|s| (s.external_ip, s.active_ipv6().is_some()))
            };
            if shared(&fresh) != shared(&self.servers) {
                owners.extend(self.store.account_ids_of(id).await?.into_iter().map(Owner::Account));
            }
        }
        self.servers = fresh;
        owners.insert(Owner::Base);
        Ok(())
    }

    /// Reads all hotspots (they are few) and adds the grants that a hotspot's change may concern.
    async fn reload_hotspots(&mut self, owners: &mut BTreeSet<Owner>) -> Result<(), PassError> {
        let fresh = self.store.hotspots().await?.into_iter().map(|record| (record.hotspot.id, record.hotspot));
        let fresh: BTreeMap<_, _> = fresh.collect();
        if fresh != self.hotspots {
            owners.extend(self.parts.grants());
        }
        self.hotspots = fresh;
        owners.insert(Owner::Base);
        Ok(())
    }

    /// What the owners need by what is stored now; `None`: they are gone.
    async fn load_parts(&mut self, owners: &BTreeSet<Owner>) -> Result<BTreeMap<Owner, Option<Part>>, PassError> {
        let ids: Vec<AccountId> = owners
            .iter()
            .filter_map(|owner| match owner {
                Owner::Account(id) => Some(*id),
                Owner::Base | Owner::Server(_) | Owner::Hotspot(_) | Owner::Grant(_) => None,
            })
            .collect();
        let accounts = if ids.is_empty() { Vec::new() } else { self.store.accounts_by_ids(&ids).await? };
        if accounts.iter().any(|a| !self.servers.contains_key(&a.server)) {
            self.servers = self.store.servers().await?.into_iter().map(|s| (s.id, s)).collect();
        }
        let ids: Vec<GrantId> = owners
            .iter()
            .filter_map(|owner| match owner {
                Owner::Grant(id) => Some(*id),
                Owner::Base | Owner::Server(_) | Owner::Hotspot(_) | Owner::Account(_) => None,
            })
            .collect();
        let grants = if ids.is_empty() { Vec::new() } else { self.store.grants_by_ids(&ids).await? };
        let unknown = |hotspot: HotspotId| !self.hotspots.contains_key(&hotspot);
        if grants.iter().flat_map(|grant| &grant.sessions).any(|session| unknown(session.hotspot)) {
            let fresh = self.store.hotspots().await?.into_iter().map(|record| (record.hotspot.id, record.hotspot));
            self.hotspots = fresh.collect();
        }
        let mut parts: BTreeMap<Owner, Option<Part>> = owners.iter().map(|owner| (*owner, None)).collect();
        for owner in owners {
            match owner {
                Owner::Base => {
                    let base =
                        desired::base(self.servers.values(), self.hotspots.values(), &self.firewall, &self.environment);
                    parts.insert(*owner, Some((base, None)));
                }
                Owner::Server(id) => {
                    parts.insert(*owner, self.servers.get(id).map(|s| (desired::server(s), None)));
                }
                Owner::Hotspot(id) => {
                    let items = self.hotspots.get(id).map(desired::hotspot);
                    parts.insert(*owner, items.map(|items| (items, None)));
                }
                Owner::Account(_) | Owner::Grant(_) => {}
            }
        }
        let now_ms = clock::now_ms();
        for account in &accounts {
            let part = self
                .servers
                .get(&account.server)
                .map(|server| desired::account(account, server, &self.environment, now_ms));
            parts.insert(Owner::Account(account.id), part);
        }
        for grant in &grants {
            let part = desired::grant(grant, &self.hotspots, &self.environment, now_ms);
            parts.insert(Owner::Grant(grant.id), Some(part));
        }
        Ok(parts)
    }
}
