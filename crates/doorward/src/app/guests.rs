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

use tokio::sync::watch;

use super::{
    App, Error,
    logins::{Admitted, Device},
    now_ms,
};
use crate::{
    hosts::Online,
    outbox::Message,
    reconcile::Owner,
    store::{self, EndedSession, OutboxMessage, Whose},
};

/// Tries to erase a person who logs in meanwhile.
const ERASE_ATTEMPTS: usize = 5;
/// How long a reading of the kernel's counters serves those who look at their status; many do, and each reading is of
/// all sessions.
const LIVE_FOR: Duration = Duration::from_secs(3);

/// Longest wait for the keeper's count.
const COUNT_WAIT: Duration = Duration::from_secs(3);

/// Counts that were asked for and done, by number.
#[derive(Debug)]
pub(super) struct Counts {
    asked: watch::Sender<u64>,
    done: watch::Sender<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { asked: watch::Sender::new(0), done: watch::Sender::new(0) }
    }
}

/// Counters as they were last read, and when.
pub(super) type LiveCounts = Option<(Instant, HashMap<Counter, u64>)>;

impl App {
    /// Throws a device out; it has to log in again. `false`: it was not online.
    ///
    /// # Errors
    /// The store failed, and the device is online still; [`Error::Failed`] where the kernel has not followed.
    pub async fn kick(&self, hotspot: HotspotId, mac: Mac) -> Result<bool, Error> {
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

    /// Follows a change of a grant that stays open: gives it a number if it has a speed limit only now, waits a little
    /// for the kernel, and lets those back in who were online until it was switched off.
    ///
    /// # Errors
    /// The store failed.
    pub async fn grant_changed(&self, grant: GrantId) -> Result<(), Error> {
        let app = self.clone();
        self.finish(async move {
            app.give_mark(grant).await.map_err(Error::Store)?;
            app.settle(&[Owner::Grant(grant)]).await;
            app.welcome_back(grant).await;
            Ok(())
        })
        .await
    }

    /// Lets those come back without a login, beside the caller, whose sessions ended because the grant was switched off,
    /// if they are still there.
    async fn welcome_back(&self, grant: GrantId) {
        let waiting = match self.store().switched_off(grant).await {
            Ok(waiting) => waiting,
            Err(error) => {
                // They come back by themselves when they look for the internet.
                return tracing::warn!(error = &error as &dyn std::error::Error, "nobody is let back in now");
            }
        };
        let seen = waiting.into_iter().filter_map(|(hotspot, mac)| {
            let host = self.hosts().device(hotspot, mac).filter(|host| host.online.is_none())?;
            Some(Device { hotspot, mac, address: *host.addresses.first()? })
        });
        let seen: Vec<Device> = seen.collect();
        if !seen.is_empty() {
            let app = self.clone();
            drop(tokio::spawn(async move {
                for device in seen {
                    // Who cannot yet looks for the internet, and is asked again.
                    let _: Option<Admitted> = app.return_silently(&device).await;
                }
            }));
        }
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

    /// All that is stored of a person, with the names of the columns, and messages that wait to be sent to it; times are
    /// Unix ms. `None`: nothing.
    ///
    /// # Errors
    /// The store failed.
    pub async fn export_person(&self, method: Method, identity: &str) -> Result<Option<serde_json::Value>, Error> {
        let export = self.store().export_person(method, identity).await.map_err(Error::Store)?;
        let messages = self.messages_to(method, identity).await.map_err(Error::Store)?;
        if export.is_none() && messages.is_empty() {
            return Ok(None);
        }
        let texts = messages.into_iter().map(|message| {
            let text = match Message::parse(&message.message) {
                Some(Message::Mail { subject, text, .. }) => format!("{subject}\n\n{text}"),
                Some(Message::Sms { text, .. }) => text,
                None => String::new(),
            };
            serde_json::json!({ "channel": message.channel.as_str(), "text": text, "expires_ms": message.expires_ms })
        });
        let texts: Vec<_> = texts.collect();
        let mut export = export.unwrap_or_else(|| serde_json::json!({}));
        export["messages"] = texts.into();
        Ok(Some(export))
    }

    /// Messages that wait to be sent to a person.
    async fn messages_to(&self, method: Method, identity: &str) -> Result<Vec<OutboxMessage>, store::Error> {
        let theirs = |message: &OutboxMessage| {
            Message::parse(&message.message).is_some_and(|message| message.is_to(method, identity))
        };
        Ok(self.store().messages().await?.into_iter().filter(theirs).collect())
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
                app.end_sessions_of_person(method, &identity).await?;
                let erased = match app.store().erase_person(method, &identity).await {
                    Err(store::Error::InUse) => continue,
                    Err(store::Error::Missing) => false,
                    Err(error) => return Err(Error::Store(error)),
                    Ok(()) => true,
                };
                let messages = app.messages_to(method, &identity).await.map_err(Error::Store)?;
                let written = !messages.is_empty();
                for message in messages {
                    app.store().message_sent(message.id).await.map_err(Error::Store)?;
                }
                return Ok(erased || written);
            }
            Err(Error::Failed("the person logs in again and again"))
        })
        .await
    }

    async fn end_sessions_of_person(&self, method: Method, identity: &str) -> Result<(), Error> {
        if let Some(guest) = self.store().guest_id(method, identity).await.map_err(Error::Store)? {
            let ended = self.store().end_sessions_of(Whose::Guest(guest), EndReason::Kicked, now_ms()).await;
            self.left(&ended.map_err(Error::Store)?, &[]).await;
        }
        // Time to fetch a mail with is nobody's yet.
        let theirs = |online: &Online| online.method == method && online.login.eq_ignore_ascii_case(identity);
        for host in self.hosts().all().into_iter().filter(|host| host.online.as_ref().is_some_and(theirs)) {
            self.end_device(host.hotspot, host.mac, EndReason::Kicked).await?;
        }
        Ok(())
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

    /// Lets an open session use an address in the place of one that it does not use. `false`: it is another's, or the
    /// session is over or does not hold `leaves`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn swap_session_address(
        &self,
        session: SessionId,
        device: &Device,
        leaves: IpAddr,
    ) -> Result<bool, store::Error> {
        let Device { hotspot, mac, address } = *device;
        let swapped = self.store().swap_session_address(session, leaves, address).await?;
        if swapped {
            self.hosts().take_session_address(session, hotspot, mac, leaves);
            self.hosts().gone(leaves);
            self.hosts().add_session_address(session, hotspot, mac, address);
        }
        Ok(swapped)
    }

    /// Has the keeper read all counters now, and waits a little until what they show is stored.
    pub(super) async fn count_now(&self) {
        let mut counted = self.0.counts.done.subscribe();
        let mut number = 0;
        self.0.counts.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        if self.0.counts.asked.receiver_count() == 0 {
            return;
        }
        let done = tokio::time::timeout(COUNT_WAIT, counted.wait_for(|done| *done >= number)).await;
        if !matches!(done, Ok(Ok(_))) {
            tracing::warn!("the counters of guests could not be read in time");
        }
    }

    /// For the keeper: changes when the counters are to be read, to a number that [`App::counted`] takes back.
    #[must_use]
    pub fn counts_asked(&self) -> watch::Receiver<u64> {
        self.0.counts.asked.subscribe()
    }

    /// What the counters showed when `number` was asked for is stored.
    pub fn counted(&self, number: u64) {
        self.0.counts.done.send_replace(number);
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
