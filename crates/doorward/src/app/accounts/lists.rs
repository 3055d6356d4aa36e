//! Accounts as lists show them, and who is online, a page at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use doorward_policy::{
    account::AccountId,
    item::PeerId,
    limits::QuotaPeriod,
    name::IfName,
    observed::{PeerStats, Stats},
    vpn_server::ServerId,
};

use super::super::{App, Error, now_ms};
use crate::store::Periods;
pub use crate::store::{AccountFilter, AccountLine, AccountSort, AccountState, Paging, SortColumn};

/// A list waits so long for a tunnel that has answered lately.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long an answer is good for that.
const LATELY: Duration = Duration::from_secs(600);

/// What tunnels said last: lists do not wait for a loop that is busy with something long.
#[derive(Default)]
pub(in crate::app) struct Said(Mutex<HashMap<IfName, Last>>);

#[derive(Default)]
struct Last {
    said: Option<(Instant, Arc<Stats>)>,
    /// Somebody asks already.
    asked: bool,
}

impl Said {
    /// What it said lately, and whether it is for the caller to ask it anew.
    fn begin(&self, interface: IfName) -> (Option<Arc<Stats>>, bool) {
        let mut all = self.lock();
        all.retain(|_, last| last.asked || last.said.as_ref().is_some_and(|(at, _)| at.elapsed() < LATELY));
        let last = all.entry(interface).or_default();
        let said = last.said.as_ref().filter(|(at, _)| at.elapsed() < LATELY).map(|(_, stats)| Arc::clone(stats));
        let ask = said.is_none() || !last.asked;
        last.asked = true;
        (said, ask)
    }

    fn end(&self, interface: IfName, stats: Option<&Arc<Stats>>) {
        let mut all = self.lock();
        let last = all.entry(interface).or_default();
        last.asked = false;
        if let Some(stats) = stats {
            last.said = Some((Instant::now(), Arc::clone(stats)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IfName, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a list of those online is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OnlineSort {
    Name,
    Server,
    Handshake,
    Received,
    Sent,
}

impl SortColumn for OnlineSort {
    const ALL: &'static [(&'static str, Self)] = &[
        ("name", Self::Name),
        ("server", Self::Server),
        ("handshake", Self::Handshake),
        ("received", Self::Received),
        ("sent", Self::Sent),
    ];

    /// They are sorted in memory: the kernel knows who is online, not the database.
    fn sql(self) -> &'static str {
        self.name()
    }
}

/// An account that is online, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineLine {
    /// The account.
    pub account: AccountLine,
    /// What its tunnel says of it.
    pub peer: PeerStats,
}

impl App {
    /// A page of the accounts, and how many the search finds. `server`: name, empty for any; `state`: `None` for any.
    ///
    /// # Errors
    /// The store failed.
    pub async fn account_page(
        &self,
        paging: &Paging<AccountSort>,
        server: &str,
        state: Option<AccountState>,
    ) -> Result<(Vec<AccountLine>, u64), Error> {
        let filter = AccountFilter { server: server.to_owned(), state, periods: self.periods() };
        let rows = self.store().account_page(paging, &filter).await.map_err(Error::Store)?;
        let total = match paging.total(rows.len()) {
            Some(total) => total,
            None => self.store().count_account_page(&paging.search, &filter).await.map_err(Error::Store)?,
        };
        Ok((rows, total))
    }

    /// Which accounts a list has, sorted; `server` and `state` as for [`Self::account_page`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn account_ids(
        &self,
        paging: &Paging<AccountSort>,
        server: &str,
        state: Option<AccountState>,
    ) -> Result<Vec<AccountId>, Error> {
        let filter = AccountFilter { server: server.to_owned(), state, periods: self.periods() };
        self.store().account_ids(paging, &filter).await.map_err(Error::Store)
    }

    /// The accounts with these ids, in their order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn account_lines(&self, ids: &[AccountId]) -> Result<Vec<AccountLine>, Error> {
        self.store().account_lines(ids, self.periods()).await.map_err(Error::Store)
    }

    /// One account without its secrets. Any text is taken for its name.
    ///
    /// # Errors
    /// [`Error::AccountNotFound`]; the store failed.
    pub async fn account_line(&self, name: &str) -> Result<AccountLine, Error> {
        let id = self.account(name).await?.account.id;
        let line = self.store().account_lines(&[id], self.periods()).await.map_err(Error::Store)?.pop();
        line.ok_or(Error::AccountNotFound)
    }

    /// What their tunnels say of these accounts now, or said within the last ten minutes where the loop has something long in
    /// hand; those that no tunnel has are left out.
    ///
    /// # Errors
    /// The kernel could not be read.
    pub async fn peers_of(&self, accounts: &[AccountLine]) -> Result<HashMap<AccountId, PeerStats>, Error> {
        let mut interfaces: Vec<(ServerId, IfName)> = {
            let directory = self.directory();
            let place = |id| directory.place(id).map(|place| (id, place.interface));
            accounts.iter().filter_map(|account| place(account.server)).collect()
        };
        interfaces.sort_unstable();
        interfaces.dedup();
        let mut all = HashMap::new();
        for (server, interface) in interfaces {
            let stats = self.said_by(interface).await?;
            for account in accounts.iter().filter(|account| account.server == server) {
                let id = PeerId { interface, public_key: account.public_key };
                all.extend(stats.peers.get(&id).map(|peer| (account.id, *peer)));
            }
        }
        Ok(all)
    }

    async fn said_by(&self, interface: IfName) -> Result<Arc<Stats>, Error> {
        let (lately, ask) = self.0.said.begin(interface);
        if let (Some(lately), false) = (&lately, ask) {
            return Ok(Arc::clone(lately));
        }
        let app = self.clone();
        let asked = tokio::spawn(async move {
            let stats = app.read_peers(Some(interface)).await.map(Arc::new);
            app.0.said.end(interface, stats.as_ref().ok());
            stats
        });
        let cut = |_| Error::Failed("reading a tunnel was cut off");
        match lately {
            None => asked.await.map_err(cut)?,
            Some(lately) => match tokio::time::timeout(PATIENCE, asked).await {
                Ok(answered) => answered.map_err(cut)?,
                Err(_) => Ok(lately),
            },
        }
    }

    /// A page of those online (see [`App::online`]), and how many the search finds.
    ///
    /// # Errors
    /// The store or the kernel failed.
    pub async fn online_page(&self, paging: &Paging<OnlineSort>) -> Result<(Vec<OnlineLine>, u64), Error> {
        let mut recent = self.recent_peers().await?;
        let ids: Vec<AccountId> = recent.keys().copied().collect();
        let mut lines = self.store().account_lines(&ids, self.periods()).await.map_err(Error::Store)?;
        let search = paging.search.to_lowercase();
        let holds = |text: &str| text.to_lowercase().contains(&search);
        lines.retain(|line| {
            let texts = [&line.name, &line.username, &line.server_name];
            line.state == AccountState::Open
                && (search.is_empty()
                    || texts.into_iter().any(|text| holds(text))
                    || line.address.to_string().contains(&search))
        });
        lines.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let peers = lines.into_iter().filter_map(|account| {
            let peer = recent.remove(&account.id)?;
            Some(OnlineLine { account, peer })
        });
        let mut online: Vec<OnlineLine> = peers.collect();
        match paging.sort {
            OnlineSort::Name => {}
            OnlineSort::Server => online.sort_by(|a, b| a.account.server_name.cmp(&b.account.server_name)),
            OnlineSort::Handshake => online.sort_by_key(|line| line.peer.latest_handshake_s),
            OnlineSort::Received => online.sort_by_key(|line| line.peer.rx_bytes),
            OnlineSort::Sent => online.sort_by_key(|line| line.peer.tx_bytes),
        }
        if paging.descending {
            online.reverse();
        }
        let total = online.len() as u64;
        let (before, size) = (usize::try_from(paging.offset()), usize::try_from(paging.limit()));
        let rows = online.into_iter().skip(before.unwrap_or(usize::MAX)).take(size.unwrap_or_default());
        Ok((rows.collect(), total))
    }

    /// This moment, and where the quota periods that it lies in began.
    pub(in crate::app) fn periods(&self) -> Periods {
        let (now_ms, zone) = (now_ms(), &self.settings().zone);
        let start = |period: QuotaPeriod| period.bounds_ms(now_ms, zone).0;
        Periods {
            now_ms,
            day_ms: start(QuotaPeriod::Day),
            week_ms: start(QuotaPeriod::Week),
            month_ms: start(QuotaPeriod::Month),
        }
    }
}
