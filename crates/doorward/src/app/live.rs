//! What is on the guest networks now (Hotspot API, section 6).

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use doorward_policy::{
    guest::{GrantId, Mac, SessionId},
    item::{Counter, QuotaId},
    observed::{Scope, Stats},
};

use super::{App, Error, now_ms};
use crate::hosts::{Host, Online, Standing};

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
    /// Ms since its last packet that passed; of a device that never was online 0.
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
        let (passing, stats) = self.passing().await?;
        let now_ms = now_ms();
        let seen = self.hosts().all().into_iter().filter_map(|host| {
            let address = *host.addresses.first()?;
            let uptime_ms = since(host.first_seen_ms, now_ms);
            let standing = self.hosts().standing_of(&host);
            Some(match (standing, &host.online) {
                (Standing::Online, Some(online)) if passing.contains(&online.session) => {
                    let live = self.live(&host, online, address, &stats, now_ms);
                    LiveHost { uptime_ms, ..live }
                }
                (Standing::Online | Standing::Captive, _) => self.idle(&host, address, Standing::Captive, uptime_ms),
                (Standing::Allowed | Standing::Blocked, _) => self.idle(&host, address, standing, uptime_ms),
            })
        });
        Ok(sorted(seen))
    }

    /// The sessions that packets pass by now, by address.
    ///
    /// # Errors
    /// The kernel or the store failed.
    pub async fn active_guests(&self) -> Result<Vec<LiveHost>, Error> {
        let (passing, stats) = self.passing().await?;
        let now_ms = now_ms();
        let online = self.hosts().all().into_iter().filter_map(|host| {
            let online = host.online.as_ref().filter(|online| passing.contains(&online.session))?;
            // Of IPv4 and IPv6 addresses those of IPv4 come first.
            let address = *online.addresses.first()?;
            let blocked = self.hosts().standing_of(&host) == Standing::Blocked;
            (!blocked).then(|| self.live(&host, online, address, &stats, now_ms))
        });
        Ok(sorted(online))
    }

    /// Sessions that are open by a grant that is neither over nor used up at this moment, and what the kernel counted.
    async fn passing(&self) -> Result<(HashSet<SessionId>, Stats), Error> {
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
        Ok((open.map(|session| session.id).collect(), stats))
    }

    fn live(&self, host: &Host, online: &Online, address: IpAddr, stats: &Stats, now_ms: i64) -> LiveHost {
        let uptime_ms = since(online.started_ms, now_ms);
        let idle_ms = online.addresses.iter().filter_map(|address| stats.seen.get(address)).min();
        let bytes = |counter| stats.counters.get(&counter).map_or(0, |count| count.bytes);
        LiveHost {
            address,
            mac: host.mac,
            host_name: self.hosts().host_name(host),
            standing: Standing::Online,
            login: online.login.clone(),
            uptime_ms,
            // What was seen before the login is not of this session.
            idle_ms: idle_ms.map_or(uptime_ms, |idle| uptime_ms.min(*idle)),
            bytes_down: bytes(Counter::SessionDown(online.session)),
            bytes_up: bytes(Counter::SessionUp(online.session)),
        }
    }

    fn idle(&self, host: &Host, address: IpAddr, standing: Standing, uptime_ms: u64) -> LiveHost {
        LiveHost {
            address,
            mac: host.mac,
            host_name: self.hosts().host_name(host),
            standing,
            login: String::new(),
            uptime_ms,
            idle_ms: 0,
            bytes_down: 0,
            bytes_up: 0,
        }
    }

    /// Ends the sessions of a device, wherever it is online, or of the one that has an address. `false`: there is none.
    pub async fn kick_guest(&self, which: Which) -> bool {
        let is = |host: &Host| match which {
            Which::Mac(mac) => host.mac == mac,
            Which::Address(address) => {
                let holds = |online: &Online| online.addresses.contains(&address);
                host.addresses.contains(&address) || host.online.as_ref().is_some_and(holds)
            }
        };
        let found = self.hosts().all().into_iter().filter(|host| host.online.is_some() && is(host));
        let mut kicked = false;
        for host in found.collect::<Vec<_>>() {
            kicked |= self.kick(host.hotspot, host.mac).await;
        }
        kicked
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

fn since(then_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or(0)
}

fn sorted(hosts: impl Iterator<Item = LiveHost>) -> Vec<LiveHost> {
    let mut hosts: Vec<_> = hosts.collect();
    hosts.sort_unstable_by_key(|host| (host.address, host.mac));
    hosts
}
