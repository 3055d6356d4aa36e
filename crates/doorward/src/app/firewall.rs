//! The operator's own firewall rules (VPN API, section 3.5; docs/traffic-policy.md).
//!
//! Programs change them at once. People edit a draft, look at what it would change, and apply it: unless somebody confirms within
//! [`CONFIRM_WITHIN`] that the gateway can still be reached, what was before comes back.

mod edit;

use std::{collections::BTreeMap, time::Duration};

use doorward_policy::{
    firewall::{Firewall, Refused, RuleId},
    item::Counter,
    observed::{Count, Scope},
};

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

    /// Changes what is in effect, at once; what would come back changes alike.
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
            let mut state = app.firewall().await?;
            let done = edit(&mut state.active)?;
            if let Some((previous, _)) = &mut state.previous {
                previous.next_id = previous.next_id.max(state.active.next_id);
                // Where it does not fit, what was before stays as it was.
                drop(edit(previous));
            }
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
            let mut state = app.firewall().await?;
            let mut draft = state.draft.take().unwrap_or_else(|| state.active.clone());
            edit(&mut draft)?;
            state.draft = Some(draft).filter(|draft| *draft != state.active);
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
            let mut state = app.firewall().await?;
            let draft = state.draft.take().ok_or(Error::Firewall(Refused::Missing))?;
            let confirm_by_ms = now_ms().saturating_add(i64::try_from(within.as_millis()).unwrap_or(i64::MAX));
            // Who applies twice goes back to what was confirmed last.
            let before = state.previous.map_or(state.active, |(previous, _)| previous);
            let next_id = before.next_id.max(draft.next_id);
            let state = FirewallState {
                active: draft,
                previous: Some((Firewall { next_id, ..before }, confirm_by_ms)),
                draft: None,
            };
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
        let app = self.clone();
        tokio::spawn(async move {
            let left = u64::try_from(confirm_by_ms.saturating_sub(now_ms())).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(left)).await;
            loop {
                match app.roll_back(move |by| by == confirm_by_ms).await {
                    Ok(()) => tracing::warn!("nobody confirmed the firewall's change: what was before is back"),
                    Err(Error::Firewall(_)) => {}
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "the firewall could not be set back");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        continue;
                    }
                }
                return;
            }
        });
    }
}
