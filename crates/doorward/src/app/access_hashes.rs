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

use ipnet::IpNet;

use super::{App, Error, now_ms};
use crate::store::AccessHashRecord;

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
}

impl App {
    /// Judges a hash by its digest. A hash in use costs no more than two queries a second.
    ///
    /// # Errors
    /// The store failed.
    pub async fn access(&self, digest: &[u8; 32], source: IpAddr) -> Result<Access, Error> {
        let Some(known) = self.known(digest).await? else { return Ok(Access::Unknown) };
        if !allows(&known.row.allow, source) {
            return Ok(Access::WrongAddress);
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
