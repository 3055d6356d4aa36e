//! Guests who are online: throwing them out, closing grants, keeping their records.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use doorward_policy::{
    guest::{DataUse, EndReason, Grant, GrantId, Mac, Method, SessionId},
    hotspot::HotspotId,
    item::Counter,
    limits::Bandwidth,
    observed::Scope,
};

use super::{App, Error, now_ms};
use crate::{
    reconcile::Owner,
    store::{self, EndedSession, Whose},
};

/// Tries to erase a person who logs in meanwhile.
const ERASE_ATTEMPTS: usize = 5;
/// How long a reading of the kernel's counters serves those who look at their status; many do, and each reading is of
/// all sessions.
const LIVE_FOR: Duration = Duration::from_secs(3);

/// Counters as they were last read, and when.
pub(super) type LiveCounts = Option<(Instant, HashMap<Counter, u64>)>;

impl App {
    /// Throws a device out; it has to log in again. `false`: it was not online.
    pub async fn kick(&self, hotspot: HotspotId, mac: Mac) -> bool {
        self.end_device(hotspot, mac, EndReason::Kicked).await
    }

    /// Ends all sessions by a grant, because it was switched off, changed or removed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn close_grant(&self, grant: GrantId, reason: EndReason) -> Result<(), Error> {
        let app = self.clone();
        self.finish(async move {
            let ended = app.store().end_sessions_of(Whose::Grant(grant), reason, now_ms()).await;
            app.left(&ended.map_err(Error::Store)?, &[grant]).await;
            Ok(())
        })
        .await
    }

    /// Follows a change of a grant that stays open: gives it a number if it has a speed limit only now, and waits a
    /// little for the kernel.
    ///
    /// # Errors
    /// The store failed.
    pub async fn grant_changed(&self, grant: GrantId) -> Result<(), Error> {
        let app = self.clone();
        self.finish(async move {
            app.give_mark(grant).await.map_err(Error::Store)?;
            app.settle(&[Owner::Grant(grant)]).await;
            Ok(())
        })
        .await
    }

    async fn give_mark(&self, grant: GrantId) -> Result<(), store::Error> {
        let row = self.store().grants_by_ids(&[grant]).await?.pop();
        let needs = |row: &Grant| row.mark.is_none() && row.speed != Bandwidth::default();
        if !row.is_some_and(|row| needs(&row) && row.sessions.iter().any(|session| session.open)) {
            return Ok(());
        }
        let _order = self.0.order.read().await;
        let Some(mark) = self.directory().take_grant_mark() else {
            tracing::error!("no number is left for a grant with a speed limit");
            return Ok(());
        };
        match self.store().give_mark(grant, mark).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.directory().give_back_grant_mark(mark);
                Ok(())
            }
            Err(error) => {
                self.mark_stale();
                Err(error)
            }
        }
    }

    /// All that is stored of a person, with the names of the columns; times are Unix ms. `None`: nothing.
    ///
    /// # Errors
    /// The store failed.
    pub async fn export_person(&self, method: Method, identity: &str) -> Result<Option<serde_json::Value>, Error> {
        self.store().export_person(method, identity).await.map_err(Error::Store)
    }

    /// Ends a person's sessions and erases what is stored of it; what was used stays counted. `false`: nobody is known
    /// by that.
    ///
    /// # Errors
    /// The store failed.
    pub async fn erase_person(&self, method: Method, identity: &str) -> Result<bool, Error> {
        let (app, identity) = (self.clone(), identity.to_owned());
        self.finish(async move {
            // It may log in again between the two.
            for _ in 0..ERASE_ATTEMPTS {
                let Some(guest) = app.store().guest_id(method, &identity).await.map_err(Error::Store)? else {
                    return Ok(false);
                };
                let ended = app.store().end_sessions_of(Whose::Guest(guest), EndReason::Kicked, now_ms()).await;
                app.left(&ended.map_err(Error::Store)?, &[]).await;
                match app.store().erase_person(method, &identity).await {
                    Err(store::Error::InUse) => {}
                    Err(store::Error::Missing) => return Ok(false),
                    done => return done.map(|()| true).map_err(Error::Store),
                }
            }
            Err(Error::Failed("the person logs in again and again"))
        })
        .await
    }

    /// Ends sessions whose time has come, tells everybody, and does not wait for the kernel, which cut them itself.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_sessions(&self, sessions: &[(SessionId, EndReason)]) -> Result<(), store::Error> {
        let ended = self.store().end_sessions(sessions, now_ms()).await?;
        let owners = self.gone(&ended, &[]);
        if !owners.is_empty() {
            drop(self.0.handle.nudge(&owners));
        }
        Ok(())
    }

    /// Notes that the counters of ended sessions were read for the last time; their grants' numbers can be others'.
    /// The caller tells the loop.
    ///
    /// # Errors
    /// The store failed.
    pub async fn finish_sessions(&self, sessions: &[SessionId]) -> Result<(), store::Error> {
        // While it is open which numbers are in use, nobody counts them anew.
        let _order = self.0.order.read().await;
        let freed = self.store().finish_sessions(sessions).await.inspect_err(|_| self.mark_stale())?;
        let mut directory = self.directory();
        for freed in freed {
            directory.give_back_grant_mark(freed.mark);
        }
        Ok(())
    }

    /// Lets an open session use one more address. `false`: it is another's, or the session has enough.
    ///
    /// # Errors
    /// The store failed.
    pub async fn add_session_address(
        &self,
        session: SessionId,
        hotspot: HotspotId,
        mac: Mac,
        address: IpAddr,
    ) -> Result<bool, store::Error> {
        let added = self.store().add_session_address(session, address).await?;
        if added {
            self.hosts().add_session_address(session, hotspot, mac, address);
        }
        Ok(added)
    }

    /// Tells the registry and the loop of sessions that ended, and waits a little for the kernel to follow.
    pub(super) async fn left(&self, ended: &[EndedSession], grants: &[GrantId]) {
        let owners = self.gone(ended, grants);
        if !owners.is_empty() {
            self.settle(&owners).await;
        }
    }

    pub(super) fn gone(&self, ended: &[EndedSession], grants: &[GrantId]) -> Vec<Owner> {
        for one in ended {
            self.hosts().set_offline(one.hotspot, one.mac, one.session);
        }
        let of_sessions = ended.iter().map(|one| one.grant);
        let mut owners: Vec<Owner> = of_sessions.chain(grants.iter().copied()).map(Owner::Grant).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// What the kernel counted of a session lately; `None`: it cannot be read.
    pub(super) async fn live_use(&self, session: SessionId) -> Option<DataUse> {
        let mut latest = self.0.live_counts.lock().await;
        if latest.as_ref().is_none_or(|(read_at, _)| read_at.elapsed() >= LIVE_FOR) {
            let stats = self.0.handle.read(Scope::Guests).await.ok()?;
            let counts = stats.counters.into_iter().map(|(counter, count)| (counter, count.bytes)).collect();
            *latest = Some((Instant::now(), counts));
        }
        let (_, counts) = latest.as_ref()?;
        let bytes = |counter| counts.get(&counter).copied();
        let (down, up) = (bytes(Counter::SessionDown(session)), bytes(Counter::SessionUp(session)));
        (down.is_some() || up.is_some()).then(|| DataUse { down: down.unwrap_or(0), up: up.unwrap_or(0) })
    }
}
