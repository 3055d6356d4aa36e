//! Guests who are online: throwing them out, closing grants, keeping their records.

use std::net::IpAddr;

use doorward_policy::{
    guest::{DataUse, EndReason, GrantId, Mac, SessionId},
    hotspot::HotspotId,
};

use super::{App, Error, now_ms};
use crate::{
    reconcile::Owner,
    store::{self, EndedSession, Whose},
};

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
        let freed = self.store().finish_sessions(sessions).await?;
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

    fn gone(&self, ended: &[EndedSession], grants: &[GrantId]) -> Vec<Owner> {
        for one in ended {
            self.hosts().set_offline(one.hotspot, one.mac, one.session);
        }
        let of_sessions = ended.iter().map(|one| one.grant);
        let mut owners: Vec<Owner> = of_sessions.chain(grants.iter().copied()).map(Owner::Grant).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// What the kernel counted of a session by now; `None`: it cannot be read.
    pub(super) async fn live_use(&self, _session: SessionId) -> Option<DataUse> {
        None
    }
}
