//! Who is seen with which address, as the kernel's neighbour table tells: a device that is online may use the
//! addresses it is seen with, at most one of IPv4 and eight of IPv6, within a second.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use doorward_kernel::neighbours::{Neighbour, Neighbours};
use doorward_policy::{
    guest::{Mac, SessionId},
    observed::Scope,
};
use tokio::sync::watch;

use crate::{
    app::{App, logins::Device},
    clock::now_ms,
    hosts::{MOST_IPV6, Unadmitted},
    reconcile::{self, Owner},
    store,
};

/// How often addresses are looked for that a device had before it came online, or made itself since.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Wait after the neighbour table could not be read.
const RETRY: Duration = Duration::from_secs(1);
/// An address by which no packet came for so long can be followed by another.
const UNUSED: Duration = Duration::from_secs(30);
/// How often the kernel is asked for that.
const READ_EVERY: Duration = Duration::from_secs(5);
/// An address that the store refused is not offered again for so long.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Follows the neighbour table until told to stop.
pub(super) async fn follow(app: App, reconcile: reconcile::Handle, mut stop: watch::Receiver<bool>) {
    let mut follower = Follower {
        app,
        reconcile,
        refused: HashSet::new(),
        admitted: HashMap::new(),
        used: None,
        forgiven: Instant::now(),
        looked: Instant::now(),
    };
    let work = async {
        loop {
            let error = follower.follow().await;
            tracing::warn!(error = &error as &dyn std::error::Error, "the neighbour table cannot be followed now");
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        _ = stop.changed() => {}
        () = work => {}
    }
}

struct Follower {
    app: App,
    reconcile: reconcile::Handle,
    refused: HashSet<(SessionId, IpAddr)>,
    /// Addresses that sessions got lately.
    admitted: HashMap<(SessionId, IpAddr), Instant>,
    /// When the kernel was asked who sends with which address, and how many ms ago each did.
    used: Option<(Instant, BTreeMap<IpAddr, u64>)>,
    forgiven: Instant,
    /// When all devices were last looked at.
    looked: Instant,
}

impl Follower {
    async fn follow(&mut self) -> doorward_kernel::Error {
        let mut neighbours = match Neighbours::open() {
            Ok(neighbours) => neighbours,
            Err(error) => return error,
        };
        let mut hotspots = self.app.hotspots();
        loop {
            // Those of interfaces that became guest networks just now were passed over before.
            match neighbours.all().await {
                Ok(all) => all.iter().for_each(|neighbour| self.note(neighbour)),
                Err(error) => return error,
            }
            hotspots.mark_unchanged();
            loop {
                // Whatever happens in between: a look goes through all devices.
                if self.looked.elapsed() >= LOOK_EVERY {
                    if let Err(error) = self.look(&mut neighbours).await {
                        return error;
                    }
                    self.looked = Instant::now();
                }
                tokio::select! {
                    neighbour = neighbours.next() => self.note(&neighbour),
                    changed = hotspots.changed() => {
                        if changed.is_err() {
                            return doorward_kernel::Error::new("the gateway ends");
                        }
                        break;
                    }
                    () = tokio::time::sleep(LOOK_EVERY.saturating_sub(self.looked.elapsed())) => {}
                }
            }
        }
    }

    async fn look(&mut self, neighbours: &mut Neighbours) -> Result<(), doorward_kernel::Error> {
        if self.app.hotspots().borrow().iter().any(|record| record.hotspot.address_ipv6.is_some()) {
            for (address, mac) in neighbours.strays().await? {
                self.note_stray(address, mac);
            }
        }
        self.admit().await;
        Ok(())
    }

    fn note(&self, neighbour: &Neighbour) {
        let hosts = self.app.hosts();
        let Some(hotspot) = hosts.hotspot_on(neighbour.interface) else { return };
        let Some(mac) = neighbour.mac else { return hosts.gone(neighbour.address) };
        // Who claims what another borrowed does not get it.
        let borrowed = match neighbour.address {
            IpAddr::V4(v4) => hosts.lease(v4),
            IpAddr::V6(_) => None,
        };
        if borrowed.is_none_or(|lease| lease.mac == mac || lease.expires_ms <= now_ms()) {
            hosts.seen(hotspot, mac, neighbour.address, now_ms());
        }
    }

    /// An online device was refused with an IPv6 address that nobody knows.
    fn note_stray(&self, address: IpAddr, mac: Mac) {
        let hosts = self.app.hosts();
        let Some(hotspot) = hosts.hotspot_of(address) else { return };
        if hosts.online(hotspot.id, mac).is_some() && hosts.find(address).is_none() {
            hosts.seen(hotspot.id, mac, address, now_ms());
        }
    }

    /// Lets a session use an address; where it has enough, in the place of the one that it has not used for longest.
    async fn add(&mut self, new: &Unadmitted) -> Result<bool, store::Error> {
        let Unadmitted { hotspot, mac, session, grant: _, address } = *new;
        let online = self.app.hosts().online(hotspot, mac).filter(|online| online.session == session);
        let held = online.map(|online| online.addresses).unwrap_or_default();
        let of_ipv6: Vec<IpAddr> = held.into_iter().filter(IpAddr::is_ipv6).collect();
        let added = if address.is_ipv6() && of_ipv6.len() >= MOST_IPV6 {
            let Some(leaves) = self.unused(session, &of_ipv6).await else { return Ok(false) };
            self.app.swap_session_address(session, &Device { hotspot, mac, address }, leaves).await?
        } else {
            self.app.add_session_address(session, hotspot, mac, address).await?
        };
        if added {
            self.admitted.retain(|_, at| at.elapsed() < UNUSED);
            self.admitted.insert((session, address), Instant::now());
        }
        Ok(added)
    }

    /// Of a session's addresses, the one by which no packet came for longest, and at least for [`UNUSED`].
    async fn unused(&mut self, session: SessionId, held: &[IpAddr]) -> Option<IpAddr> {
        if self.used.as_ref().is_none_or(|(read_at, _)| read_at.elapsed() >= READ_EVERY) {
            let stats = self.reconcile.read(Scope::Guests).await.ok()?;
            self.used = Some((Instant::now(), stats.seen));
        }
        let (read_at, seen) = self.used.as_ref()?;
        // One that was admitted just now may not have had the time to send.
        let old = held.iter().filter(|address| !self.admitted.contains_key(&(session, **address)));
        let idle = old.map(|address| {
            let ms = seen.get(address).map(|ms| Duration::from_millis(*ms).saturating_add(read_at.elapsed()));
            (ms.unwrap_or(Duration::MAX), *address)
        });
        idle.max().filter(|(idle, _)| *idle >= UNUSED).map(|(_, address)| address)
    }

    /// Gives online devices the addresses that they are seen with.
    async fn admit(&mut self) {
        if self.forgiven.elapsed() > REFUSED_FOR {
            self.refused.clear();
            self.forgiven = Instant::now();
        }
        let mut grants = BTreeSet::new();
        for new in self.app.hosts().unadmitted() {
            let key = (new.session, new.address);
            // Whoever has the MAC of an online device gets no IPv4 address admitted that was not lent to it.
            let lent = match new.address {
                IpAddr::V4(v4) => self.app.hosts().lease(v4).is_some_and(|lease| lease.mac == new.mac),
                IpAddr::V6(_) => true,
            };
            if !lent || self.refused.contains(&key) {
                continue;
            }
            match self.add(&new).await {
                Ok(true) => drop(grants.insert(Owner::Grant(new.grant))),
                // Another session holds it, or this one has enough that it uses.
                Ok(false) | Err(store::Error::Missing) => drop(self.refused.insert(key)),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a new address of a device waits");
                    break;
                }
            }
        }
        if !grants.is_empty() {
            let owners: Vec<Owner> = grants.into_iter().collect();
            drop(self.reconcile.nudge(&owners));
        }
    }
}
