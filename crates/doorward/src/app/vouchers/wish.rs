//! What callers say of vouchers, and what they are told.

use doorward_policy::{
    guest::DataLimits,
    limits::Mbit,
    voucher::{Passcode, Username, ValidFor},
};

use crate::app::Error;

/// What a caller says of new vouchers.
#[derive(Debug, Clone, Default)]
pub struct VoucherWish {
    /// Several at once; `None`: one.
    pub count: Option<u16>,
    /// `None`: a random one.
    pub username: Option<Username>,
    /// `None`: a random one.
    pub passcode: Option<Passcode>,
    /// `None`: a random one. 1 to 128 characters.
    pub fullname: Option<String>,
    /// `None`: the settings' preset.
    pub valid_for: Option<ValidFor>,
    /// Unix ms; `None`: at once.
    pub valid_from_ms: Option<i64>,
    /// The time begins with the first login.
    pub from_first_use: bool,
    /// One code instead of user name and passcode.
    pub code_only: bool,
    /// Data.
    pub limits: DataLimits,
    /// `None`: the settings' preset.
    pub speed_down: Option<Mbit>,
    /// `None`: the settings' preset.
    pub speed_up: Option<Mbit>,
    /// `None`: the settings' preset.
    pub devices: Option<u16>,
    /// Up to 200 characters.
    pub note: String,
}

/// What is to change of a voucher. `None`: stays.
#[derive(Debug, Clone, Default)]
pub struct VoucherEdit {
    /// Not of a code.
    pub passcode: Option<Passcode>,
    /// 1 to 128 characters.
    pub fullname: Option<String>,
    /// Sets the end anew.
    pub valid_for: Option<ValidFor>,
    /// Unix ms; sets the end anew.
    pub valid_from_ms: Option<i64>,
    /// Sets the end anew.
    pub from_first_use: Option<bool>,
    /// Bytes; `Some(None)`: unlimited.
    pub limit_down: Option<Option<u64>>,
    /// Bytes; `Some(None)`: unlimited.
    pub limit_up: Option<Option<u64>>,
    /// Bytes; `Some(None)`: unlimited.
    pub limit_total: Option<Option<u64>>,
    /// Speed to the guest.
    pub speed_down: Option<Mbit>,
    /// Speed from the guest.
    pub speed_up: Option<Mbit>,
    /// Not below what is taken.
    pub devices: Option<u16>,
    /// Up to 200 characters.
    pub note: Option<String>,
}

/// Why an order about vouchers was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Nobody has that user name or code.
    #[error("no voucher has that user name")]
    NoSuchVoucher,
    /// Somebody has.
    #[error("the user name is taken")]
    NameTaken,
    /// A value does not fit.
    #[error("{0}")]
    Unusable(&'static str),
    /// It ends never, or its time has not begun.
    #[error("the voucher has no end that could be moved")]
    NoEnd,
    /// The key belongs to another request.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// As other operations say it.
impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoSuchVoucher => Self::VoucherNotFound,
            Refused::NameTaken => Self::UsernameTaken,
            Refused::Unusable(why) => Self::VoucherUnusable(why),
            Refused::NoEnd => Self::VoucherNoEnd,
            Refused::KeyReused => Self::FormReused,
            Refused::Failed(error) => error,
        }
    }
}

/// An order that was carried out.
#[derive(Debug)]
pub enum Done<T> {
    /// Now.
    Now(T),
    /// Before, under the same key; this was the answer.
    Before(Vec<u8>),
}

impl<T> Done<T> {
    /// What was done now; of an order without a key always something.
    pub fn now(self) -> Option<T> {
        match self {
            Self::Now(done) => Some(done),
            Self::Before(_) => None,
        }
    }
}
