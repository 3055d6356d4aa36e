//! The operator's own firewall rules (VPN API, section 3.5; docs/traffic-policy.md).
//!
//! Programs change them at once. People edit a draft, look at what it would change, and apply it: unless somebody confirms within
//! [`CONFIRM_WITHIN`] that the gateway can still be reached, what was before comes back.

mod edit;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use doorward_policy::{
    firewall::{Firewall, Refused, RuleId},
    item::Counter,
    observed::{Count, Scope},
};
use ipnet::IpNet;

pub use self::edit::{ConfWish, RuleWish};
use super::{App, Error, now_ms};
pub use crate::store::FirewallState;
use crate::{reconcile::Owner, store};

/// Time to confirm a change.
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(45);

/// The rule that the VPN API shows first, and that nobody deletes: no rule of ours closes the panel's port.
pub const SYSTEM_RULE: &str = "system_PUQVPNCP";

impl App {
    /// What is stored of the firewall.
    ///
    /// # Errors
    /// The store failed.
    pub async fn firewall(&self) -> Result<FirewallState, Error> {
        self.store().firewall().await.map_err(Error::Store)
    }

    /// Packets and bytes that each rule matched, as the kernel counts them.
    ///
    /// # Errors
    /// The kernel could not be read.
    pub async fn rule_counts(&self) -> Result<BTreeMap<RuleId, Count>, Error> {
        let stats = self.0.handle.read(Scope::Counters).await?;
        let of_rule = |(counter, count): (Counter, Count)| match counter {
            Counter::Rule(id) => Some((id, count)),
            Counter::AccountUp(_)
            | Counter::AccountDown(_)
            | Counter::ServerNat(_)
            | Counter::ServerInternal(_)
            | Counter::SessionUp(_)
            | Counter::SessionDown(_) => None,
        };
        Ok(stats.counters.into_iter().filter_map(of_rule).collect())
    }

    /// Networks of servers and hotspots, by name: `server/NAME` or `hotspot/NAME`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn own_nets(&self) -> Result<Vec<(IpNet, String)>, Error> {
        let named = |word: &str, name: &dyn std::fmt::Display, nets: [Option<IpNet>; 2]| {
            let name = format!("{word}/{name}");
            nets.into_iter().flatten().map(move |net| (net.trunc(), name.clone())).collect::<Vec<_>>()
        };
        let servers = self.list_servers().await?;
        let servers = servers.values().flat_map(|server| {
            named("server", &server.name, [Some(server.address.into()), server.active_ipv6().map(IpNet::V6)])
        });
        let hotspots = self.hotspots().borrow().clone();
        let hotspots = hotspots.iter().flat_map(|record| {
            let hotspot = &record.hotspot;
            named("hotspot", &record.name, [Some(hotspot.address.into()), hotspot.address_ipv6.map(IpNet::V6)])
        });
        Ok(servers.chain(hotspots).collect())
    }

    /// Changes what is in effect, at once; what would come back and what is being edited change alike, so that neither undoes
    /// it.
    ///
    /// # Errors
    /// What `edit` refuses; the store failed.
    pub async fn edit_firewall<T: Send + 'static>(
        &self,
        edit: impl Fn(&mut Firewall) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let app = self.clone();
        self.finish(async move {
            let order = app.edit_servers().await?;
            let mut state = level(app.firewall().await?);
            let done = edit(&mut state.active)?;
            let previous = state.previous.as_mut().map(|(firewall, _)| firewall);
            // Where it does not fit, what was before and what is being edited stay as they were.
            previous.into_iter().chain(&mut state.draft).for_each(|other| drop(edit(other)));
            app.store().set_firewall(&state).await.map_err(Error::Store)?;
            drop(order);
            app.settle(&[Owner::Base]).await;
            Ok(done)
        })
        .await
    }

    /// Changes the draft, which begins as what is in effect.
    ///
    /// # Errors
    /// What `edit` refuses; the store failed.
    pub async fn stage_firewall(
        &self,
        edit: impl FnOnce(&mut Firewall) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let app = self.clone();
        self.finish(async move {
            let _order = app.edit_servers().await?;
            let mut state = level(app.firewall().await?);
            edit(state.draft.get_or_insert_with(|| state.active.clone()))?;
            let mut state = level(state);
            state.draft = state.draft.filter(|draft| *draft != state.active);
            app.store().set_firewall(&state).await.map_err(Error::Store)
        })
        .await
    }

    /// Forgets the draft.
    ///
    /// # Errors
    /// The store failed.
    pub async fn discard_firewall(&self) -> Result<(), Error> {
        let app = self.clone();
        self.finish(async move {
            let _order = app.edit_servers().await?;
            let state = FirewallState { draft: None, ..app.firewall().await? };
            app.store().set_firewall(&state).await.map_err(Error::Store)
        })
        .await
    }

    /// Puts the draft into effect, until `within` is over: then what was before comes back, unless somebody confirmed.
    ///
    /// # Errors
    /// [`Refused::Missing`]: there is no draft; the store failed.
    pub async fn apply_firewall(&self, within: Duration) -> Result<i64, Error> {
        let app = self.clone();
        self.finish(async move {
            let order = app.edit_servers().await?;
            let mut state = level(app.firewall().await?);
            let draft = state.draft.take().ok_or(Error::Firewall(Refused::Missing))?;
            let confirm_by_ms = now_ms().saturating_add(i64::try_from(within.as_millis()).unwrap_or(i64::MAX));
            // Who applies twice goes back to what was confirmed last.
            let before = state.previous.map_or(state.active, |(previous, _)| previous);
            let state = FirewallState { active: draft, previous: Some((before, confirm_by_ms)), draft: None };
            app.store().set_firewall(&state).await.map_err(Error::Store)?;
            drop(order);
            app.watch_firewall(confirm_by_ms);
            app.settle(&[Owner::Base]).await;
            Ok(confirm_by_ms)
        })
        .await
    }

    /// Keeps what was applied.
    ///
    /// # Errors
    /// [`Refused::Missing`]: nothing waits for it; the store failed.
    pub async fn confirm_firewall(&self) -> Result<(), Error> {
        let app = self.clone();
        self.finish(async move {
            let _order = app.edit_servers().await?;
            let mut state = app.firewall().await?;
            state.previous.take().ok_or(Error::Firewall(Refused::Missing))?;
            app.store().set_firewall(&state).await.map_err(Error::Store)
        })
        .await
    }

    /// Brings back what was before; what was applied becomes the draft, so that nothing that was typed is lost.
    ///
    /// # Errors
    /// [`Refused::Missing`]: nothing waits to be confirmed; the store failed.
    pub async fn roll_back_firewall(&self) -> Result<(), Error> {
        self.roll_back(|_| true).await
    }

    async fn roll_back(&self, due: impl FnOnce(i64) -> bool + Send + 'static) -> Result<(), Error> {
        let app = self.clone();
        self.finish(async move {
            let order = app.edit_servers().await?;
            let mut state = app.firewall().await?;
            let (previous, _) = match state.previous.take() {
                Some((previous, by)) if due(by) => (previous, by),
                Some(_) | None => return Err(Error::Firewall(Refused::Missing)),
            };
            let applied = std::mem::replace(&mut state.active, previous);
            state.draft.get_or_insert(applied);
            app.store().set_firewall(&state).await.map_err(Error::Store)?;
            drop(order);
            app.settle(&[Owner::Base]).await;
            Ok(())
        })
        .await
    }

    /// Goes on waiting for who has not confirmed yet; asked for at each start.
    ///
    /// # Errors
    /// The store failed.
    pub(super) async fn resume_firewall(&self) -> Result<(), store::Error> {
        if let Some((_, by)) = self.store().firewall().await?.previous {
            self.watch_firewall(by);
        }
        Ok(())
    }

    fn watch_firewall(&self, confirm_by_ms: i64) {
        // A stop does not wait for it: the next start goes on.
        let app = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let left = u64::try_from(confirm_by_ms.saturating_sub(now_ms())).unwrap_or(0);
            let mut wait = Duration::from_millis(left);
            loop {
                tokio::time::sleep(wait).await;
                let Some(app) = app.upgrade().map(App) else { return };
                match app.roll_back(move |by| by == confirm_by_ms).await {
                    Ok(()) => tracing::warn!("nobody confirmed the firewall's change: what was before is back"),
                    Err(Error::Firewall(_)) => {}
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "the firewall could not be set back");
                        wait = Duration::from_secs(1);
                        continue;
                    }
                }
                return;
            }
        });
    }
}

/// Gives all of them the same next id, so that a rule has one id wherever it is added.
fn level(mut state: FirewallState) -> FirewallState {
    let FirewallState { active, previous, draft } = &mut state;
    let previous = previous.as_mut().map(|(firewall, _)| firewall);
    let mut all: Vec<&mut Firewall> = previous.into_iter().chain(draft).chain([active]).collect();
    let next_id = all.iter().map(|firewall| firewall.next_id).max().unwrap_or(1);
    all.iter_mut().for_each(|firewall| firewall.next_id = next_id);
    state
}
