//! Persons, and the grants that their logins make.

use std::fmt;

use doorward_policy::{
    guest::{DataLimits, Method},
    limits::{Bandwidth, Mbit},
};

use crate::hotspot_settings::Allowance;

/// Bytes of a MB (Hotspot API, section 4.1).
const MB: u64 = 1_048_576;

/// A person who logs in by a method other than a voucher.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// How.
    pub method: Method,
    /// What makes it one person among those of the method: the folded e-mail address, the digits of the number, issuer
    /// and subject, or the MAC address.
    pub identity: String,
    /// Who, as `logins` of the Hotspot API, section 6.2.
    pub login: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Digits with country code.
    pub mobile: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Address of a picture.
    pub picture: Option<String>,
    /// Answers to the operator's questions; empty: not asked, and what was answered before stays.
    pub comments: [String; 3],
    /// Version of the terms that were agreed to; empty: there were none.
    pub terms_version: String,
    /// What was answered about marketing; `None`: not asked.
    pub marketing: Option<bool>,
    /// The address or number is proved by a code, or the person by its provider.
    pub verified: bool,
    /// What it gets.
    pub allowance: Allowance,
}

impl fmt::Debug for Person {
    /// Names nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Person {
    /// Whether a grant that is over may be followed by a new one.
    pub(super) fn may_renew(&self, grant_starts_ms: i64, now_ms: i64) -> bool {
        now_ms >= grant_starts_ms.saturating_add(i64::from(self.allowance.renew_s) * 1000)
    }

    pub(super) fn new_grant(&self, now_ms: i64) -> NewGrant {
        NewGrant::of(self.method, &self.allowance, now_ms)
    }

    /// What was agreed to or not: kind, answer, version of the text.
    pub(super) fn consents(&self) -> impl Iterator<Item = (&'static str, bool, &str)> {
        let terms = (!self.terms_version.is_empty()).then_some(("terms", true, self.terms_version.as_str()));
        let marketing = self.marketing.map(|given| ("marketing", given, self.terms_version.as_str()));
        terms.into_iter().chain(marketing)
    }
}

/// A grant to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// Who gets it.
    pub method: Method,
    /// Unix ms.
    pub starts_ms: i64,
    /// Unix ms; `None`: no end.
    pub ends_ms: Option<i64>,
    /// Speed of all devices together.
    pub speed: Bandwidth,
    /// Data of all devices together.
    pub limits: DataLimits,
    /// Devices at once, at least 1.
    pub devices: u16,
}

impl NewGrant {
    /// What a method gives from `now_ms` on.
    #[must_use]
    pub fn of(method: Method, allowance: &Allowance, now_ms: i64) -> Self {
        let Allowance { valid_s, renew_s: _, devices, speed_down, speed_up, data_down_mb, data_up_mb, data_total_mb } =
            *allowance;
        let mbit = |mbit: u16| Mbit::new(mbit.min(Mbit::MAX)).unwrap_or_default();
        let bytes = |mb: u32| (mb > 0).then(|| u64::from(mb) * MB);
        Self {
            method,
            starts_ms: now_ms,
            ends_ms: (valid_s > 0).then(|| now_ms.saturating_add(i64::from(valid_s) * 1000)),
            speed: Bandwidth { down: mbit(speed_down), up: mbit(speed_up) },
            limits: DataLimits { down: bytes(data_down_mb), up: bytes(data_up_mb), total: bytes(data_total_mb) },
            devices: devices.max(1),
        }
    }

    /// Whether it needs a number.
    pub(super) fn has_speed(&self) -> bool {
        self.speed != Bandwidth::default()
    }
}

/// Stores a person's first visit: `gateway, method, identity, grant, email, mobile, name, picture, three answers,
/// marketing, verified, mac, now, false`.
pub(super) const INSERT_GUEST: &str = "
    INSERT INTO guests (gateway_id, method, identity, grant_id, email, mobile, name, picture, comments, comments1,
        comments2, marketing, verified, visits, last_mac, created_ms, modified_ms, last_login_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, COALESCE($12, $16), $13, 1, $14, $15, $15, $15)
    RETURNING id";

/// Stores a further visit: the same. What was not asked this time stays as it was answered before.
pub(super) const UPDATE_GUEST: &str = "
    UPDATE guests SET grant_id = $4, email = COALESCE($5, email), mobile = COALESCE($6, mobile),
        name = COALESCE($7, name), picture = COALESCE($8, picture),
        comments = CASE WHEN $9 = '' THEN comments ELSE $9 END,
        comments1 = CASE WHEN $10 = '' THEN comments1 ELSE $10 END,
        comments2 = CASE WHEN $11 = '' THEN comments2 ELSE $11 END,
        marketing = COALESCE($12, marketing), verified = (verified OR $13 OR $16), visits = visits + 1, last_mac = $14,
        modified_ms = $15, last_login_ms = $15
    WHERE gateway_id = $1 AND method = $2 AND identity = $3
    RETURNING id";
