//! What is on the guest networks now (Hotspot API, section 6).

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use doorward_policy::{
    guest::{GrantId, Mac, SessionId},
    hotspot::HotspotId,
    item::{Counter, QuotaId},
    observed::{Scope, Stats},
};

use super::{App, Error, now_ms};
use crate::hosts::{Host, Online, Standing};

/// A device that is captive and gave no sign for so long is not listed any more.
const FORGOTTEN_AFTER_MS: u64 = 3_600_000;
/// How long a reading of the kernel and the store serves pages of the live lists.
const PAGE_FOR: Duration = Duration::from_secs(2);
/// Most rows on a page of a live list.
pub const MOST_ROWS: u32 = 1000;

/// A live list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// Every device that is seen.
    Hosts,
    /// The sessions that packets pass by.
    Active,
}

/// What a live list can be sorted by; rows that are equal in it are by address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of a row")]
pub enum LiveSort {
    Address,
    Mac,
    HostName,
    Login,
    Uptime,
    Idle,
    Down,
    Up,
}

/// Which part of a live list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePaging {
    /// Part of an address, MAC, host name or login; letter case does not matter. Empty: all.
    pub search: String,
    /// What rows are sorted by.
    pub sort: LiveSort,
    /// The largest first.
    pub descending: bool,
    /// Rows before the first one.
    pub offset: u64,
    /// Rows at most, 1 to [`MOST_ROWS`].
    pub limit: u32,
}

/// A device with an address, or a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveHost {
    /// IPv4 if it has one.
    pub address: IpAddr,
    /// The device.
    pub mac: Mac,
    /// What it calls itself; empty: unknown.
    pub host_name: String,
    /// What it may.
    pub standing: Standing,
    /// Who logged in; empty: nobody.
    pub login: String,
    /// Ms since it appeared, or since the login.
    pub uptime_ms: u64,
    /// Ms since its last packet that passed; of a device that is not online, since the last sign of it.
    pub idle_ms: u64,
    /// Bytes to the guest in its session.
    pub bytes_down: u64,
    /// Bytes from the guest in its session.
    pub bytes_up: u64,
}

impl App {
    /// Every device that is seen now, by address.
    ///
    /// # Errors
    /// The kernel or the store failed.
    pub async fn guest_hosts(&self) -> Result<Vec<LiveHost>, Error> {
        self.all_of(Live::Hosts).await
    }

    /// The sessions that packets pass by now, by address.
    ///
    /// # Errors
    /// The kernel or the store failed.
    pub async fn active_guests(&self) -> Result<Vec<LiveHost>, Error> {
        self.all_of(Live::Active).await
    }

    /// A page of a live list, and how many rows it has on all pages. Only the rows of the page are made; what the kernel
    /// counted may be two seconds old.
    ///
    /// # Errors
    /// The kernel or the store failed.
    pub async fn live_page(&self, which: Live, page: &LivePaging) -> Result<(Vec<LiveHost>, u64), Error> {
        let mut latest = self.0.passing.lock().await;
        if latest.as_ref().is_none_or(|(read_at, _)| read_at.elapsed() >= PAGE_FOR) {
            *latest = Some((Instant::now(), Arc::new(self.passing().await?)));
        }
        let Some(passing) = latest.as_ref().map(|(_, passing)| Arc::clone(passing)) else {
            return Ok((Vec::new(), 0));
        };
        drop(latest);
        let search = page.search.trim().to_lowercase();
        let now_ms = now_ms();
        let mut rows: Vec<(SortKey, IpAddr, HotspotId, Mac)> = Vec::new();
        self.hosts().each(|host, standing, name| {
            if let Some(row) = Row::of(which, host, standing, name, &passing, now_ms)
                && row.holds(&search)
            {
                rows.push((row.key(page.sort), row.address, host.hotspot, host.mac));
            }
        });
        let total = rows.len() as u64;
        rows.sort_unstable_by(|one, other| if page.descending { other.cmp(one) } else { one.cmp(other) });
        let first = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let limit = page.limit.clamp(1, MOST_ROWS) as usize;
        let shown = rows.into_iter().skip(first).take(limit).filter_map(|(_, _, hotspot, mac)| {
            // Whoever left since is left out.
            let host = self.hosts().device(hotspot, mac)?;
            let (standing, name) = (self.hosts().standing_of(&host), self.hosts().host_name(&host));
            Row::of(which, &host, standing, &name, &passing, now_ms).map(|row| row.whole())
        });
        Ok((shown.collect(), total))
    }

    /// What devices call themselves, of those that are seen now and gave a name.
    #[must_use]
    pub fn device_names(&self, devices: &HashSet<Mac>) -> HashMap<Mac, String> {
        let mut names = HashMap::new();
        self.hosts().each(|host, _, name| {
            if devices.contains(&host.mac) && !name.is_empty() {
                names.insert(host.mac, name.to_owned());
            }
        });
        names
    }

    async fn all_of(&self, which: Live) -> Result<Vec<LiveHost>, Error> {
        let passing = self.passing().await?;
        let now_ms = now_ms();
        let mut hosts = Vec::new();
        self.hosts().each(|host, standing, name| {
            let row = Row::of(which, host, standing, name, &passing, now_ms);
            hosts.extend(row.map(|row| row.whole()));
        });
        hosts.sort_unstable_by_key(|host| (host.address, host.mac));
        Ok(hosts)
    }

    /// Sessions that are open by a grant that is neither over nor used up at this moment, and what the kernel counted.
    async fn passing(&self) -> Result<Passing, Error> {
        let stats = self.0.handle.read(Scope::Guests).await?;
        let grants = self.store().live_grants().await.map_err(Error::Store)?;
        let now_ms = now_ms();
        let mut spent: HashMap<GrantId, bool> = HashMap::new();
        for (id, quota) in &stats.quotas {
            match id {
                QuotaId::Grant { grant, way: _ } => {
                    *spent.entry(*grant).or_default() |= quota.used_bytes >= quota.limit_bytes;
                }
                QuotaId::Account { .. } => {}
            }
        }
        let usable = |grant: GrantId| !spent.get(&grant).copied().unwrap_or_default();
        let grants = grants.into_iter().filter(|grant| grant.check(now_ms).is_ok() && usable(grant.id));
        let sessions = grants.flat_map(|grant| grant.sessions);
        let open = sessions.filter(|session| session.open && session.ends_ms.is_none_or(|end| end > now_ms));
        Ok(Passing { sessions: open.map(|session| session.id).collect(), stats })
    }

    /// Ends the sessions of a device, wherever it is online, or of the one that has an address. `false`: there is none.
    ///
    /// # Errors
    /// As [`App::kick`], of the first session that could not be ended; the others were tried too.
    pub async fn kick_guest(&self, which: Which) -> Result<bool, Error> {
        let is = |host: &Host| match which {
            Which::Mac(mac) => host.mac == mac,
            Which::Address(address) => {
                let holds = |online: &Online| online.addresses.contains(&address);
                host.addresses.contains(&address) || host.online.as_ref().is_some_and(holds)
            }
        };
        let found = self.hosts().all().into_iter().filter(|host| host.online.is_some() && is(host));
        let (mut kicked, mut refused) = (false, None);
        for host in found.collect::<Vec<_>>() {
            match self.kick(host.hotspot, host.mac).await {
                Ok(done) => kicked |= done,
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        refused.map_or(Ok(kicked), Err)
    }
}

/// Names a guest to be kicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The device.
    Mac(Mac),
    /// Whoever has it.
    Address(IpAddr),
}

/// Sessions by which packets pass, and what the kernel counted.
#[derive(Debug)]
pub(super) struct Passing {
    sessions: HashSet<SessionId>,
    stats: Stats,
}

/// The same as it was last read for a page, and when.
pub(super) type Latest = Option<(Instant, Arc<Passing>)>;

/// A device before it is copied.
struct Row<'a> {
    host: &'a Host,
    name: &'a str,
    /// What is shown: IPv4 if there is one.
    address: IpAddr,
    standing: Standing,
    /// The session, where packets pass by it.
    online: Option<&'a Online>,
    uptime_ms: u64,
    passing: &'a Passing,
    now_ms: i64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Address(IpAddr),
    Device(Mac),
    Text(String),
    Number(u64),
}

impl<'a> Row<'a> {
    /// `None`: it is not in that list.
    fn of(
        which: Live,
        host: &'a Host,
        standing: Standing,
        name: &'a str,
        passing: &'a Passing,
        now_ms: i64,
    ) -> Option<Self> {
        let online = host.online.as_ref().filter(|online| passing.sessions.contains(&online.session));
        let row = |address, standing, online, since_ms| Self {
            host,
            name,
            address,
            standing,
            online,
            uptime_ms: since(since_ms, now_ms),
            passing,
            now_ms,
        };
        match which {
            Live::Active => {
                let online = online.filter(|_| standing != Standing::Blocked)?;
                // Of IPv4 and IPv6 addresses those of IPv4 come first.
                let address = *online.addresses.first()?;
                Some(row(address, Standing::Online, Some(online), online.started_ms))
            }
            Live::Hosts => {
                let address = *host.addresses.first()?;
                let (standing, online) = match (standing, online) {
                    (Standing::Online, Some(online)) => (Standing::Online, Some(online)),
                    (Standing::Online | Standing::Captive, _) => (Standing::Captive, None),
                    (Standing::Allowed | Standing::Blocked, _) => (standing, None),
                };
                let row = row(address, standing, online, host.first_seen_ms);
                // Who was captive and gave no sign for long has left, whatever the neighbour table holds.
                let captive = matches!(standing, Standing::Captive | Standing::Blocked) && host.online.is_none();
                Some(row).filter(|row| !captive || row.idle_ms() < FORGOTTEN_AFTER_MS)
            }
        }
    }

    fn holds(&self, search: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(search);
        search.is_empty()
            || has(&self.host.mac.to_string())
            || has(self.name)
            || has(self.login())
            || self.host.addresses.iter().chain([&self.address]).any(|address| has(&address.to_string()))
    }

    fn key(&self, sort: LiveSort) -> SortKey {
        match sort {
            LiveSort::Address => SortKey::Address(self.address),
            LiveSort::Mac => SortKey::Device(self.host.mac),
            LiveSort::HostName => SortKey::Text(self.name.to_lowercase()),
            LiveSort::Login => SortKey::Text(self.login().to_lowercase()),
            LiveSort::Uptime => SortKey::Number(self.uptime_ms),
            LiveSort::Idle => SortKey::Number(self.idle_ms()),
            LiveSort::Down => SortKey::Number(self.bytes(Counter::SessionDown)),
            LiveSort::Up => SortKey::Number(self.bytes(Counter::SessionUp)),
        }
    }

    fn login(&self) -> &str {
        self.online.map_or("", |online| online.login.as_str())
    }

    fn idle_ms(&self) -> u64 {
        let Some(online) = self.online else { return since(self.host.last_seen_ms, self.now_ms) };
        let online_ms = since(online.started_ms, self.now_ms);
        let idle = online.addresses.iter().filter_map(|address| self.passing.stats.seen.get(address)).min();
        // What was seen before the login is not of this session.
        idle.map_or(online_ms, |idle| online_ms.min(*idle))
    }

    fn bytes(&self, counter: fn(SessionId) -> Counter) -> u64 {
        let count = self.online.and_then(|online| self.passing.stats.counters.get(&counter(online.session)));
        count.map_or(0, |count| count.bytes)
    }

    fn whole(&self) -> LiveHost {
        LiveHost {
            address: self.address,
            mac: self.host.mac,
            host_name: self.name.to_owned(),
            standing: self.standing,
            login: self.login().to_owned(),
            uptime_ms: self.uptime_ms,
            idle_ms: self.idle_ms(),
            bytes_down: self.bytes(Counter::SessionDown),
            bytes_up: self.bytes(Counter::SessionUp),
        }
    }
}

fn since(then_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or(0)
}
