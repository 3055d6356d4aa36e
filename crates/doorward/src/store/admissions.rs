//! How a device comes online: one transaction judges and does everything.
//!
//! The grant's row is taken first, so that of all who want its last slot exactly one gets it. What refuses is looked
//! at before anything is written.

mod admit;
mod find;
mod row;
mod voucher;

use std::{collections::BTreeSet, net::IpAddr};

use doorward_policy::{
    guest::{Closed, GrantId, Mac, Method, SessionId},
    hotspot::HotspotId,
    limits::Mark,
    voucher::VoucherId,
};

use super::{grants::SlotDevice, sessions::EndedSession};
pub use row::{NewGrant, Person};
pub use voucher::VoucherKey;

/// A device that wants to come online.
#[derive(Debug, Clone)]
pub struct Admission {
    /// By what.
    pub by: By,
    /// Where.
    pub hotspot: HotspotId,
    /// The device.
    pub mac: Mac,
    /// Its address.
    pub address: IpAddr,
    /// More addresses that it is seen with.
    pub more: Vec<IpAddr>,
    /// Who borrowed `address`, if it is known.
    pub lessee: Option<Mac>,
    /// Unix ms at which the session ends; `None`: with the grant.
    pub session_ends_ms: Option<i64>,
    /// A free number, for a grant that needs one.
    pub mark: Option<Mark>,
    /// Unix ms.
    pub now_ms: i64,
}

/// By what a device wants to come online.
#[derive(Debug, Clone)]
pub enum By {
    /// A voucher whose passcode was given.
    Voucher {
        /// Its row.
        voucher: VoucherId,
        /// Its grant.
        grant: GrantId,
        /// Its user name.
        login: String,
        /// The passcode as it was sealed when it was compared; another one since then refuses.
        passcode: Vec<u8>,
    },
    /// A person, by any other method.
    Person(Box<Person>),
    /// Time to fetch a mail with.
    Grace {
        /// The address that the mail goes to.
        identity: String,
        /// What it gets.
        grant: NewGrant,
        /// Not again for a device that had such a grant since then, Unix ms.
        not_since_ms: i64,
    },
    /// A grant that the device used before.
    Silent,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is online.
    Admitted(AdmittedSession),
    /// It is not, and why.
    Refused(Refusal),
}

/// A session that was just opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmittedSession {
    /// Its row.
    pub session: SessionId,
    /// What it is online by.
    pub grant: GrantId,
    /// How.
    pub method: Method,
    /// Who.
    pub login: String,
    /// Unix ms at which grant or session ends.
    pub ends_ms: Option<i64>,
    /// What it holds.
    pub addresses: BTreeSet<IpAddr>,
    /// The number that was offered is the grant's now.
    pub took_mark: bool,
    /// The device's session before, and those of devices that lost their slot.
    pub ended: Vec<EndedSession>,
    /// Sessions that lost an address to this one.
    pub robbed: Vec<(EndedSession, IpAddr)>,
}

/// Why a device does not come online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What it wanted to use is not there (any more).
    Gone,
    /// The grant lets nobody through.
    Closed(Closed),
    /// All slots are taken, by these devices.
    Slots(Vec<SlotDevice>),
    /// The address is another device's.
    Elsewhere,
    /// It had its time to fetch a mail already.
    TooSoon,
    /// There is no number for its class left.
    NoMark,
}

impl Refusal {
    /// The word in the login log (Hotspot API, section 5.5); `None`: it says nothing about the login.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Closed(Closed::Disabled | Closed::Expired) => Some("expired"),
            Self::Closed(Closed::NotYet) => Some("not yet valid"),
            Self::Closed(Closed::Spent) | Self::Slots(_) | Self::TooSoon => Some("limit reached"),
            Self::Elsewhere | Self::NoMark => Some("limit reached"),
            // Who wanted in looks again, and then knows why not.
            Self::Gone => None,
        }
    }
}
