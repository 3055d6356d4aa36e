//! Why a device is not let in.

use doorward_policy::guest::Closed;

use super::{GRACE_EVERY_MS, SlotDevice};
use crate::store::Refusal;

/// Why a device is not let in. What of it is shown to the guest is the portal's affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Nobody has that user name, code or identity.
    WrongUsername,
    /// The passcode belongs to another.
    WrongPasscode,
    /// The time is over.
    Expired,
    /// The time has not come.
    NotYet,
    /// The data is used up.
    Spent,
    /// Staff switched it off.
    Disabled,
    /// All slots are taken, by these devices.
    Slots(Vec<SlotDevice>),
    /// The code that was sent is another.
    WrongCode,
    /// The operator blocked the device.
    Blocked,
    /// The address is another device's.
    Elsewhere,
    /// Too many tries.
    TooMany {
        /// Seconds until the next one.
        wait_s: u32,
    },
    /// The gateway failed; the log says why.
    Failed,
}

impl Denied {
    /// The word of the login log (Hotspot API, section 5.5).
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::WrongUsername => "wrong username",
            Self::WrongPasscode => "wrong password",
            Self::Expired | Self::Disabled => "expired",
            Self::NotYet => "not yet valid",
            Self::WrongCode => "wrong code",
            Self::Spent | Self::Slots(_) | Self::Blocked | Self::Elsewhere | Self::TooMany { .. } | Self::Failed => {
                "limit reached"
            }
        }
    }

    /// Whether somebody who guesses codes learns something by it.
    pub(super) fn is_guess(&self) -> bool {
        match self {
            Self::WrongUsername
            | Self::WrongPasscode
            | Self::Expired
            | Self::NotYet
            | Self::Spent
            | Self::Disabled
            | Self::WrongCode => true,
            Self::Slots(_) | Self::Blocked | Self::Elsewhere | Self::TooMany { .. } | Self::Failed => false,
        }
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Gone => Self::WrongUsername,
            Refusal::Closed(Closed::Disabled) => Self::Disabled,
            Refusal::Closed(Closed::NotYet) => Self::NotYet,
            Refusal::Closed(Closed::Expired) => Self::Expired,
            Refusal::Closed(Closed::Spent) => Self::Spent,
            Refusal::Slots(devices) => Self::Slots(devices),
            Refusal::Elsewhere => Self::Elsewhere,
            Refusal::TooSoon => Self::TooMany { wait_s: u32::try_from(GRACE_EVERY_MS / 1000).unwrap_or(u32::MAX) },
            Refusal::NoMark => {
                tracing::error!("no number is left for a grant with a speed limit");
                Self::Failed
            }
        }
    }
}
