//! Bringing a device online and offline: the store decides, then the registry of devices and the loop are told.

use std::net::IpAddr;

use doorward_policy::{
    guest::{EndReason, GrantId, Mac},
    hotspot::HotspotId,
};

use super::{ATTEMPTS, Admitted, App, Denied, Device, Error, failed, now_ms};
use crate::{
    hosts::{MOST_IPV6, Online},
    reconcile::Owner,
    store::{self, Admission, AdmittedSession, By, Field, Outcome, Whose},
};

impl App {
    /// Brings a device online, and tells everybody.
    pub(super) async fn admit(&self, device: &Device, by: By) -> Result<Admitted, Denied> {
        let Device { hotspot, mac, address } = *device;
        let one_at_a_time = self.edit_device(hotspot, mac).await;
        let session = self.try_admit(device, by).await?;
        let now = now_ms();
        let hosts = self.hosts();
        for (holder, address) in &session.robbed {
            hosts.take_session_address(holder.session, holder.hotspot, holder.mac, *address);
        }
        hosts.seen(hotspot, mac, address, now);
        let online = Online {
            session: session.session,
            grant: session.grant,
            method: session.method,
            login: session.login.clone(),
            started_ms: now,
            addresses: session.addresses.clone(),
        };
        hosts.set_online(hotspot, mac, online, now);
        drop(one_at_a_time);
        let others = session.ended.iter().chain(session.robbed.iter().map(|(holder, _)| holder));
        let mut owners: Vec<Owner> = others.map(|other| Owner::Grant(other.grant)).collect();
        owners.push(Owner::Grant(session.grant));
        owners.sort_unstable();
        owners.dedup();
        self.settle(&owners).await;
        Ok(Admitted { session: session.session, grant: session.grant, ends_ms: session.ends_ms })
    }

    async fn try_admit(&self, device: &Device, by: By) -> Result<AdmittedSession, Denied> {
        let Device { hotspot, mac, address } = *device;
        let timeout_s = self.hotspot_by_id(hotspot).ok_or(Denied::Failed)?.settings.session_timeout_s;
        let lessee = match address {
            IpAddr::V4(v4) => self.hosts().lease(v4).map(|lease| lease.mac),
            IpAddr::V6(_) => None,
        };
        let seen = self.hosts().find(address).filter(|host| host.mac == mac && host.hotspot == hotspot);
        let more: Vec<IpAddr> = seen.map(|host| host.addresses).unwrap_or_default();
        let more: Vec<IpAddr> = more.into_iter().filter(|one| *one != address).take(1 + MOST_IPV6).collect();
        for _ in 0..ATTEMPTS {
            // Accounts and grants share numbers; while one is chosen, nobody else counts them anew.
            let order = self.edit_accounts().await.map_err(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "a login failed");
                Denied::Failed
            })?;
            let mark = self.directory().take_grant_mark();
            let now = now_ms();
            let admission = Admission {
                by: by.clone(),
                hotspot,
                mac,
                address,
                more: more.clone(),
                lessee,
                session_ends_ms: (timeout_s > 0).then(|| now.saturating_add(i64::from(timeout_s) * 1000)),
                mark,
                now_ms: now,
            };
            let outcome = self.store().admit(&admission).await;
            let keeps_mark = match &outcome {
                Ok(Outcome::Admitted(session)) => session.took_mark,
                Ok(Outcome::Refused(_)) => false,
                // It is somebody's already, or nobody knows.
                Err(store::Error::Taken(Field::Mark) | store::Error::Unavailable(_)) => true,
                Err(_) => false,
            };
            if let Some(mark) = mark.filter(|_| !keeps_mark) {
                self.directory().give_back_grant_mark(mark);
            }
            drop(order);
            match outcome {
                Ok(Outcome::Admitted(session)) => return Ok(session),
                Ok(Outcome::Refused(refusal)) => return Err(refusal.into()),
                Err(store::Error::Taken(_)) => {}
                Err(error) => {
                    if matches!(error, store::Error::Unavailable(_)) {
                        self.mark_stale();
                    }
                    return Err(failed(error));
                }
            }
        }
        tracing::error!("a login lost against others {ATTEMPTS} times");
        Err(Denied::Failed)
    }

    /// Gives back a device's slot and ends its sessions by that grant.
    pub(in crate::app) async fn release(&self, grant: GrantId, mac: Mac) -> Result<(), store::Error> {
        let ended = self.store().release_slot(grant, mac, now_ms()).await?;
        self.left(&ended, &[grant]).await;
        Ok(())
    }

    /// Ends the session of a device. `false`: it had none.
    ///
    /// # Errors
    /// The store failed, and the session goes on; [`Error::Failed`]: it is over, but packets may pass until the loop
    /// has got through.
    pub(in crate::app) async fn end_device(
        &self,
        hotspot: HotspotId,
        mac: Mac,
        reason: EndReason,
    ) -> Result<bool, Error> {
        let app = self.clone();
        self.finish(async move {
            let one_at_a_time = app.edit_device(hotspot, mac).await;
            let ended = app.store().end_sessions_of(Whose::Device(hotspot, mac), reason, now_ms()).await;
            let ended = ended.map_err(Error::Store)?;
            let owners = app.gone(&ended, &[]);
            drop(one_at_a_time);
            if !owners.is_empty() {
                app.follow(&owners).await?;
            }
            Ok(!ended.is_empty())
        })
        .await
    }
}
