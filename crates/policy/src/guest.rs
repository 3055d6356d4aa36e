//! Guests: devices, grants and sessions of the hotspot.
//!
//! A **device** is a MAC address. A **grant** says from when to when, how fast and how much; every voucher has one, and
//! every login by another method makes or renews one. A **session** is one device online by one grant.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::{
    hotspot::HotspotId,
    limits::{Bandwidth, Mark},
};

/// A device's address on the guest network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// Why a text is no MAC address: six pairs of hexadecimal digits, joined by `:` or `-`, no group address, not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the MAC address of a device")]
pub struct InvalidMac;

impl Mac {
    /// Whether a device can have it: no group address, not all zeros.
    #[must_use]
    pub fn is_device(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl FromStr for Mac {
    type Err = InvalidMac;
    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut pairs = text.split(separator);
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or(InvalidMac)?;
        }
        let mac = Self(bytes);
        if pairs.next().is_none() && mac.is_device() { Ok(mac) } else { Err(InvalidMac) }
    }
}

impl fmt::Display for Mac {
    /// Capitals and colons (Hotspot API, section 2.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{g:02X}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names a stored grant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(pub i64);

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grant {}", self.0)
    }
}

/// Names a stored session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.0)
    }
}

/// Bytes that a grant allows, over all its devices and sessions, IP headers included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataLimits {
    /// To the guest; `None`: unlimited.
    pub down: Option<u64>,
    /// From the guest.
    pub up: Option<u64>,
    /// Both directions together.
    pub total: Option<u64>,
}

/// Bytes that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataUse {
    /// To the guest.
    pub down: u64,
    /// From the guest.
    pub up: u64,
}

/// Which way a data limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// To the guest.
    Down,
    /// From the guest.
    Up,
    /// Both directions together.
    Total,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Down, Self::Up, Self::Total];
}

/// How a guest logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// User name and passcode, or one code.
    Voucher,
    /// An e-mail address, with or without a code sent to it.
    Email,
    /// A telephone number with a code sent by SMS.
    Mobile,
    /// An account elsewhere: Facebook, or any OAuth 2 or OpenID Connect provider.
    Facebook,
    /// A button.
    Free,
}

impl Method {
    /// All of them, in the order in which a portal offers them at first.
    pub const ALL: [Self; 5] = [Self::Voucher, Self::Email, Self::Mobile, Self::Facebook, Self::Free];

    /// The word in the API and the database (Hotspot API, section 5.5).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voucher => "voucher",
            Self::Email => "email",
            Self::Mobile => "mobile",
            Self::Facebook => "facebook",
            Self::Free => "free",
        }
    }

    /// Reads the word of the API and the database.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// The guest logged out.
    Logout,
    /// Staff ended it, or removed the voucher.
    Kicked,
    /// Staff switched the voucher off. The device comes back without a login once it is switched on again.
    Disabled,
    /// The grant's time is over.
    Expired,
    /// The grant's data is used up.
    Quota,
    /// No packet for the hotspot's idle time.
    Idle,
    /// The longest time of one session is over.
    Timeout,
    /// The device logged in anew, or its slot was given to another.
    Replaced,
}

impl EndReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Logout,
        Self::Kicked,
        Self::Disabled,
        Self::Expired,
        Self::Quota,
        Self::Idle,
        Self::Timeout,
        Self::Replaced,
    ];

    /// The word in the database and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Kicked => "kicked",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Quota => "quota",
            Self::Idle => "idle",
            Self::Timeout => "timeout",
            Self::Replaced => "replaced",
        }
    }

    /// Reads the word of the database.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A grant with those of its sessions that the kernel still holds something for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its row.
    pub id: GrantId,
    /// What staff switched.
    pub enabled: bool,
    /// Unix ms from which on it counts.
    pub starts_ms: i64,
    /// Unix ms from which on nothing passes; `None`: no end (yet).
    pub ends_ms: Option<i64>,
    /// Speed, shared by all its devices.
    pub speed: Bandwidth,
    /// Data, shared by all its devices.
    pub limits: DataLimits,
    /// What of it is used.
    pub used: DataUse,
    /// A data limit was reached: no login and no packet any more, whatever `used` says.
    pub spent: bool,
    /// Chooses its class; `None` where speed is unlimited, or no session is open.
    pub mark: Option<Mark>,
    /// Open sessions, and ended ones whose counters were not collected for the last time.
    pub sessions: Vec<Session>,
}

/// One device online by a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its row.
    pub id: SessionId,
    /// Where.
    pub hotspot: HotspotId,
    /// The device.
    pub mac: Mac,
    /// Addresses that the device may use; one IPv4 and at most eight IPv6 ones.
    pub addresses: Vec<IpAddr>,
    /// Unix ms at which it ends by the hotspot's longest session.
    pub ends_ms: Option<i64>,
    /// Not ended.
    pub open: bool,
}

impl Grant {
    /// Whether a device may be online by it at `now_ms`, and if not, why.
    ///
    /// # Errors
    /// The reason by which a login is refused, or a session ends.
    pub fn check(&self, now_ms: i64) -> Result<(), Closed> {
        if !self.enabled {
            Err(Closed::Disabled)
        } else if now_ms < self.starts_ms {
            Err(Closed::NotYet)
        } else if self.ends_ms.is_some_and(|end| end <= now_ms) {
            Err(Closed::Expired)
        } else if self.is_spent() {
            Err(Closed::Spent)
        } else {
            Ok(())
        }
    }

    /// Whether a data limit is reached.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let over = |way| self.limit(way).is_some_and(|limit| self.used_bytes(way) >= limit);
        self.spent || Way::ALL.into_iter().any(over)
    }

    /// Allowed bytes of a way.
    #[must_use]
    pub fn limit(&self, way: Way) -> Option<u64> {
        match way {
            Way::Down => self.limits.down,
            Way::Up => self.limits.up,
            Way::Total => self.limits.total,
        }
    }

    /// Used bytes of a way.
    #[must_use]
    pub fn used_bytes(&self, way: Way) -> u64 {
        match way {
            Way::Down => self.used.down,
            Way::Up => self.used.up,
            Way::Total => self.used.down.saturating_add(self.used.up),
        }
    }
}

/// Why a grant lets nobody through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Switched off by staff.
    Disabled,
    /// Its time has not come.
    NotYet,
    /// Its time is over.
    Expired,
    /// Its data is used up.
    Spent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_read_and_written() {
        for text in ["02:00:5e:10:00:07", "02-00-5E-10-00-07"] {
            assert_eq!(text.parse::<Mac>().map(|mac| mac.to_string()).as_deref(), Ok("02:00:5E:10:00:07"));
        }
        let bad = ["", "02:00:5e:10:00", "02:00:5e:10:00:07:08", "2:0:5e:10:0:7", "ff:ff:ff:ff:ff:ff"];
        for text in bad.into_iter().chain(["00:00:00:00:00:00", "01:00:5e:00:00:01", "02:00-5e:10:00:07", "é2:00"]) {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_lead_back() {
        assert!(Method::ALL.into_iter().all(|m| Method::parse(m.as_str()) == Some(m)));
        assert!(EndReason::ALL.into_iter().all(|r| EndReason::parse(r.as_str()) == Some(r)));
    }

    #[test]
    fn a_grant_says_why_it_is_closed() {
        let grant = Grant {
            id: GrantId(1),
            enabled: true,
            starts_ms: 100,
            ends_ms: Some(200),
            speed: Bandwidth::default(),
            limits: DataLimits { down: Some(10), up: None, total: Some(12) },
            used: DataUse::default(),
            spent: false,
            mark: None,
            sessions: Vec::new(),
        };
        assert_eq!(grant.check(99), Err(Closed::NotYet));
        assert_eq!(grant.check(100), Ok(()));
        assert_eq!(grant.check(200), Err(Closed::Expired));
        assert_eq!(Grant { enabled: false, ..grant.clone() }.check(100), Err(Closed::Disabled));
        assert_eq!(Grant { spent: true, ..grant.clone() }.check(100), Err(Closed::Spent));
        let used = |down, up| Grant { used: DataUse { down, up }, ..grant.clone() }.check(100);
        assert_eq!((used(9, 2), used(10, 0), used(9, 3)), (Ok(()), Err(Closed::Spent), Err(Closed::Spent)));
    }
}
