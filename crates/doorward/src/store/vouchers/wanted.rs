//! What is wanted of the stored vouchers.

use doorward_policy::{
    guest::GrantId,
    voucher::{Passcode, Terms, Username, VoucherStatus},
};

/// Vouchers to be stored, all with the same terms.
#[derive(Debug, Clone)]
pub struct NewVouchers {
    /// What distinguishes them.
    pub vouchers: Vec<NewVoucher>,
    /// User names are codes.
    pub code_only: bool,
    /// What they give.
    pub terms: Terms,
    /// Unix ms.
    pub created_ms: i64,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct NewVoucher {
    /// Unique without regard to letter case.
    pub username: Username,
    /// Its secret.
    pub passcode: Passcode,
    /// Whose it is; 1 to 128 characters by the rules of the caller.
    pub fullname: String,
}

/// Which vouchers a list holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoucherFilter {
    /// Part of user name, full name or note; letter case of A to Z does not matter.
    pub search: Option<String>,
    /// What they are good for now.
    pub status: Option<VoucherStatus>,
}

/// Which unused vouchers are removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnusedFilter {
    /// Unix ms; made before that.
    pub created_before_ms: Option<i64>,
    /// With exactly this note.
    pub note: Option<String>,
}

/// What removing a voucher left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedVoucher {
    /// Its grant, switched off if it still has sessions.
    pub grant: GrantId,
    /// It has; somebody must end the open ones.
    pub has_sessions: bool,
}
