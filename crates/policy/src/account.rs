//! A VPN account: one peer of one VPN server.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use jiff::tz::TimeZone;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    key::{PresharedKey, PrivateKey, PublicKey},
    limits::{Bandwidth, Mark, Quota},
    name::Name,
    vpn_server::{PortForward, ServerId},
};

/// Names a stored account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub i64);

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "account {}", self.0)
    }
}

/// An account's password, kept for protocols that need one. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Password(String);

impl Password {
    /// Takes 1 to 128 characters without control characters.
    #[must_use]
    pub fn new(text: String) -> Option<Self> {
        let count = text.chars().count();
        ((1..=128).contains(&count) && !text.chars().any(char::is_control)).then_some(Self(text))
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Whose hands the client's private key is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientKey {
    /// Made or taken by the gateway, which writes it into the client's configuration.
    Kept(PrivateKey),
    /// The client's alone; the gateway knows the public half.
    Own(PublicKey),
}

impl ClientKey {
    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Kept(private) => private.public(),
            Self::Own(public) => *public,
        }
    }
}

/// A VPN account as the operator wants it. Field by field the account object of the VPN API, section 3.4, and our own
/// expiry, quota and preshared key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its row.
    pub id: AccountId,
    /// The server that it belongs to; immutable.
    pub server: ServerId,
    /// Unique, immutable.
    pub name: Name,
    /// Unique over all accounts.
    pub username: Name,
    /// For protocols that need one.
    pub password: Password,
    /// What the operator switched.
    pub enabled: bool,
    /// Tunnel address.
    pub address: Ipv4Addr,
    /// Tunnel address, if the server carries IPv6.
    pub address_ipv6: Option<Ipv6Addr>,
    /// Speed limits.
    pub bandwidth: Bandwidth,
    /// Its number.
    pub mark: Mark,
    /// The client's key.
    pub key: ClientKey,
    /// The public half, kept beside `key` so that no pass has to compute it.
    pub public_key: PublicKey,
    /// Shared with the client for its handshake.
    pub preshared_key: Option<PresharedKey>,
    /// Unix ms from which on nothing passes.
    pub expires_at_ms: Option<i64>,
    /// Data allowance.
    pub quota: Option<Quota>,
    /// What of it is used.
    pub quota_use: QuotaUse,
    /// Port forwardings that lead to it.
    pub forwards: Vec<PortForward>,
}

/// Bytes used in the quota period that began at `period_start_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaUse {
    /// Unix ms; 0 without a period.
    pub period_start_ms: i64,
    /// Bytes of both directions.
    pub bytes: u64,
}

/// The quota period that `now` lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentQuota {
    /// Unix ms of its beginning; 0 without a period.
    pub period_start_ms: i64,
    /// Unix ms of its end.
    pub period_end_ms: Option<i64>,
    /// Allowed bytes.
    pub limit_bytes: u64,
    /// Used bytes, at most `limit_bytes`.
    pub used_bytes: u64,
}

impl Account {
    /// Tunnel addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        [Some(IpAddr::V4(self.address)), self.address_ipv6.map(IpAddr::V6)].into_iter().flatten()
    }

    /// The quota as it stands at `now_ms`, if the account has one.
    #[must_use]
    pub fn current_quota(&self, now_ms: i64, zone: &TimeZone) -> Option<CurrentQuota> {
        let quota = self.quota?;
        let (period_start_ms, period_end_ms) = quota.period.bounds_ms(now_ms, zone);
        let same = self.quota_use.period_start_ms == period_start_ms;
        let used_bytes = if same { self.quota_use.bytes.min(quota.bytes) } else { 0 };
        Some(CurrentQuota { period_start_ms, period_end_ms, limit_bytes: quota.bytes, used_bytes })
    }

    /// Whether packets may pass at `now_ms`, and the moment at which that answer (or what the kernel should hold for
    /// it) changes by itself.
    #[must_use]
    pub fn grant(&self, now_ms: i64, zone: &TimeZone) -> Grant {
        let expiry = self.expires_at_ms.filter(|_| self.enabled);
        if !self.enabled || expiry.is_some_and(|at| at <= now_ms) {
            return Grant { open: false, changes_at_ms: None };
        }
        let quota = self.current_quota(now_ms, zone);
        let open = quota.is_none_or(|q| q.used_bytes < q.limit_bytes);
        let reset = quota.and_then(|q| q.period_end_ms);
        Grant { open, changes_at_ms: [expiry, reset].into_iter().flatten().min() }
    }
}

/// The answer of [`Account::grant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Packets may pass.
    pub open: bool,
    /// Unix ms of the next change without anybody's doing.
    pub changes_at_ms: Option<i64>,
}
