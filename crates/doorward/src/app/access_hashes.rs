//! Who may call the VPN API (VPN API, section 1.2).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use doorward_policy::name::Name;
use ipnet::IpNet;

use super::{App, Error, missing, no_random, now_ms};
use crate::{
    secrets::AccessHash,
    store::{self, Field, NewAccessHash},
};

pub use crate::store::{AccessHashRecord, Scope};

/// Most addresses and networks of a hash.
const MOST_NETWORKS: usize = 64;
/// Longest life of a hash that has one.
pub const MOST_DAYS: u16 = 3650;

/// What is known of a hash is looked up anew after this time: other processes make and delete hashes too.
const FRESH: Duration = Duration::from_millis(500);
/// Last use is noted once in this many ms.
const TOUCH_EVERY_MS: i64 = 60_000;

/// Hashes that were used, by digest. Only stored ones get in, so their number is bounded by the operator.
#[derive(Default)]
pub(super) struct Cache(RwLock<HashMap<[u8; 32], Arc<Known>>>);

struct Known {
    row: AccessHashRecord,
    read_at: Instant,
    touched_ms: AtomicI64,
}

/// What became of a caller's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is known and may be used from there.
    Granted,
    /// Nobody has it.
    Unknown,
    /// It is bound to other addresses.
    WrongAddress,
    /// It may only read.
    ReadOnly,
}

/// A hash that somebody wants.
#[derive(Debug, Clone)]
pub struct HashWish {
    /// Its name in the list.
    pub name: String,
    /// Addresses and networks, separated by commas or white space.
    pub addresses: String,
    /// It may be used from anywhere, which must be said.
    pub anywhere: bool,
    /// What it may be used for.
    pub scope: Scope,
    /// Days that it lives, 1 to [`MOST_DAYS`]; `None`: without end.
    pub days: Option<u16>,
}

impl App {
    /// Makes a hash, to be shown once.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::HashAddress`], [`Error::HashDays`], [`Error::NameTaken`]; the store failed.
    pub async fn create_access_hash(&self, wish: HashWish) -> Result<AccessHash, Error> {
        let name = wish.name.trim().parse::<Name>().map_err(|_| Error::Name)?;
        let allow = parse_networks(&wish.addresses).ok_or(Error::HashAddress)?;
        if allow.is_empty() != wish.anywhere {
            return Err(Error::HashAddress);
        }
        let created_ms = now_ms();
        let expires_ms = match wish.days {
            Some(days @ 1..=MOST_DAYS) => Some(created_ms.saturating_add(i64::from(days) * 86_400_000)),
            Some(_) => return Err(Error::HashDays),
            None => None,
        };
        let hash = AccessHash::generate().map_err(no_random)?;
        let (name, digest, scope) = (name.to_string(), hash.digest(), wish.scope);
        let new = NewAccessHash { name, digest, allow, scope, expires_ms, created_ms };
        match self.store().insert_access_hash(&new).await {
            Ok(_) => Ok(hash),
            Err(store::Error::Taken(Field::HashName)) => Err(Error::NameTaken),
            Err(error) => Err(Error::Store(error)),
        }
    }

    /// All hashes, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn access_hashes(&self) -> Result<Vec<AccessHashRecord>, Error> {
        self.store().access_hashes().await.map_err(Error::Store)
    }

    /// Deletes a hash; it stops working at once in this process.
    ///
    /// # Errors
    /// [`Error::HashNotFound`]; the store failed.
    pub async fn delete_access_hash(&self, name: &str) -> Result<(), Error> {
        self.store().delete_access_hash(name).await.map_err(|error| missing(error, Error::HashNotFound))?;
        self.0.hashes.0.write().unwrap_or_else(PoisonError::into_inner).retain(|_, known| known.row.name != name);
        Ok(())
    }

    /// Judges a hash by its digest. A hash in use costs no more than two queries a second. `writes`: it is to change
    /// something.
    ///
    /// # Errors
    /// The store failed.
    pub async fn access(&self, digest: &[u8; 32], source: IpAddr, writes: bool) -> Result<Access, Error> {
        let known = self.known(digest).await?;
        let known = known.filter(|known| known.row.expires_ms.is_none_or(|expires_ms| expires_ms > now_ms()));
        let Some(known) = known else { return Ok(Access::Unknown) };
        if !allows(&known.row.allow, source) {
            return Ok(Access::WrongAddress);
        }
        if writes && known.row.scope == Scope::Read {
            return Ok(Access::ReadOnly);
        }
        self.touch(&known);
        Ok(Access::Granted)
    }

    async fn known(&self, digest: &[u8; 32]) -> Result<Option<Arc<Known>>, Error> {
        let cache = &self.0.hashes.0;
        let cached = cache.read().unwrap_or_else(PoisonError::into_inner).get(digest).map(Arc::clone);
        if cached.as_ref().is_some_and(|known| known.read_at.elapsed() < FRESH) {
            return Ok(cached);
        }
        let read_at = Instant::now();
        let row = self.store().access_hash_by_digest(digest).await.map_err(Error::Store)?;
        let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = row else {
            cache.remove(digest);
            return Ok(None);
        };
        let touched_ms = cached.map_or(0, |known| known.touched_ms.load(Ordering::Relaxed));
        let touched_ms = AtomicI64::new(touched_ms.max(row.last_login_ms.unwrap_or(0)));
        let known = Arc::new(Known { row, read_at, touched_ms });
        cache.insert(*digest, Arc::clone(&known));
        Ok(Some(known))
    }

    /// Notes the last use beside the request's way.
    fn touch(&self, known: &Known) {
        let (before, now) = (known.touched_ms.load(Ordering::Relaxed), now_ms());
        let due = now.saturating_sub(before) >= TOUCH_EVERY_MS;
        if !due || known.touched_ms.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let (store, id) = (self.store().clone(), known.row.id);
        tokio::spawn(async move {
            if let Err(error) = store.touch_access_hash(id, now).await {
                tracing::warn!(%error, "the last use of an access hash was not noted");
            }
        });
    }
}

/// Reads addresses and networks. `0.0.0.0` would match nobody; where such panels are known, it stands for "any", which must
/// be said in another way (VPN API, Open 1).
fn parse_networks(text: &str) -> Option<Vec<IpNet>> {
    let parts = text.split([',', ' ', '\t', '\r', '\n']).filter(|part| !part.is_empty());
    let read = |part: &str| {
        let net = part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from)).ok()?;
        (net.prefix_len() > 0 && !net.addr().is_unspecified()).then_some(net)
    };
    let all = parts.map(read).collect::<Option<Vec<_>>>()?;
    (all.len() <= MOST_NETWORKS).then_some(all)
}

/// A list as people read it: single addresses without `/32`.
#[must_use]
pub fn show_networks(nets: &[IpNet]) -> String {
    let bare = |net: &IpNet| {
        if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
    };
    nets.iter().map(bare).collect::<Vec<_>>().join(", ")
}

/// Whether a hash may be used from an address. No list: from anywhere.
fn allows(allow: &[IpNet], source: IpAddr) -> bool {
    allow.is_empty() || allow.iter().any(|net| canonical(*net).contains(&source.to_canonical()))
}

/// An IPv4-mapped IPv6 address equals the IPv4 address.
fn canonical(net: IpNet) -> IpNet {
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => v6
            .addr()
            .to_ipv4_mapped()
            .and_then(|v4| IpNet::new(IpAddr::V4(v4), v6.prefix_len() - 96).ok())
            .unwrap_or(net),
        IpNet::V4(_) | IpNet::V6(_) => net,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        let read = |text: &str| parse_networks(text).map(|nets| show_networks(&nets));
        assert_eq!(
            read(" 192.0.2.1,2001:db8::/32\n10.0.0.0/8 ").as_deref(),
            Some("192.0.2.1, 2001:db8::/32, 10.0.0.0/8")
        );
        assert_eq!(read("").as_deref(), Some(""));
        for wrong in ["0.0.0.0", "::", "0.0.0.0/0", "192.0.2", "example.net", "192.0.2.1/33", "1.1.1.1;2.2.2.2"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(read(&"192.0.2.1 ".repeat(MOST_NETWORKS + 1)), None);
    }

    #[test]
    fn a_hash_is_bound_to_its_addresses() {
        let nets = |texts: &[&str]| texts.iter().filter_map(|t| t.parse().ok()).collect::<Vec<IpNet>>();
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = nets(&["192.0.2.1/32"]);
        assert!(allows(&one, at("192.0.2.1")) && allows(&one, at("::ffff:192.0.2.1")));
        assert!(!allows(&one, at("192.0.2.2")) && !allows(&one, at("2001:db8::1")));
        let mapped = nets(&["::ffff:192.0.2.0/120"]);
        assert!(allows(&mapped, at("192.0.2.77")) && !allows(&mapped, at("192.0.3.1")));
        let several = nets(&["10.0.0.0/8", "2001:db8::/32"]);
        assert!(allows(&several, at("10.9.9.9")) && allows(&several, at("2001:db8:1::1")));
        assert!(!allows(&several, at("11.0.0.1")));
        assert!(allows(&[], at("203.0.113.9")));
    }
}
