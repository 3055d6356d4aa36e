//! A stored voucher with its grant.

use doorward_policy::{
    guest::{DataLimits, DataUse, GrantId, Mac},
    limits::{Bandwidth, Mbit},
    voucher::{Passcode, Terms, ValidFor, VoucherId, VoucherStatus},
};
use sqlx::FromRow;

use super::super::{Error, error::corrupt};
use crate::secrets::{MasterKey, Place};

/// A stored voucher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoucherRecord {
    /// Its row.
    pub id: VoucherId,
    /// What it gives to those who are let in.
    pub grant: GrantId,
    /// As it was given; unique without regard to letter case.
    pub username: String,
    /// Its secret.
    pub passcode: Passcode,
    /// Logs in by its code alone, which is both user name and passcode.
    pub code_only: bool,
    /// Whose it is.
    pub fullname: String,
    /// What staff set.
    pub terms: Terms,
    /// Not switched off.
    pub enabled: bool,
    /// Unix ms at which it ends; `None`: never, or its time has not begun.
    pub ends_ms: Option<i64>,
    /// Bytes that were used, up to the last collection.
    pub used: DataUse,
    /// A data limit was reached.
    pub spent: bool,
    /// Devices that hold a place.
    pub devices_used: u16,
    /// Unix ms.
    pub created_ms: i64,
    /// Unix ms of the last edit or login.
    pub modified_ms: i64,
    /// Unix ms.
    pub first_login_ms: Option<i64>,
    /// Unix ms.
    pub last_login_ms: Option<i64>,
    /// Device of the last login.
    pub last_mac: Option<Mac>,
}

impl VoucherRecord {
    /// What it is good for at `now_ms`.
    #[must_use]
    pub fn status(&self, now_ms: i64) -> VoucherStatus {
        if !self.enabled {
            VoucherStatus::Disabled
        } else if self.spent || self.terms.is_spent(self.used) {
            VoucherStatus::Spent
        } else if self.ends_ms.is_some_and(|end| end <= now_ms) {
            VoucherStatus::Expired
        } else if self.terms.valid_from_ms > now_ms {
            VoucherStatus::Waiting
        } else if self.first_login_ms.is_none() {
            VoucherStatus::Unused
        } else {
            VoucherStatus::Active
        }
    }
}

/// What [`VoucherRecord::status`] says, in SQL; `$3` is the present.
macro_rules! status_sql {
    () => {
        "CASE WHEN NOT g.enabled THEN 'disabled'
              WHEN g.spent OR g.used_down >= g.limit_down OR g.used_up >= g.limit_up
                   OR g.used_down + g.used_up >= g.limit_total THEN 'spent'
              WHEN g.ends_ms <= $3 THEN 'expired'
              WHEN v.valid_from_ms > $3 THEN 'waiting'
              WHEN v.first_login_ms IS NULL THEN 'unused'
              ELSE 'active' END"
    };
}

macro_rules! select {
    ($($rest:expr),+) => {
        concat!(
            "SELECT v.id, v.grant_id, v.username, v.username_folded, v.passcode, v.code_only, v.fullname, v.note,
                v.valid_for, v.valid_from_ms, v.from_first_use, v.created_ms, v.modified_ms, v.first_login_ms,
                v.last_login_ms, v.last_mac, g.enabled, g.ends_ms, g.limit_down, g.limit_up, g.limit_total, g.used_down,
                g.used_up, g.spent, g.speed_down, g.speed_up, g.devices, g.slots_used
             FROM vouchers v JOIN grants g ON g.id = v.grant_id ",
            $($rest),+
        )
    };
}

#[derive(FromRow)]
pub(super) struct VoucherRow {
    id: i64,
    grant_id: i64,
    username: String,
    username_folded: String,
    pub(super) passcode: Vec<u8>,
    code_only: bool,
    fullname: String,
    note: String,
    valid_for: String,
    valid_from_ms: i64,
    from_first_use: bool,
    created_ms: i64,
    modified_ms: i64,
    first_login_ms: Option<i64>,
    last_login_ms: Option<i64>,
    last_mac: Option<String>,
    enabled: bool,
    ends_ms: Option<i64>,
    limit_down: Option<i64>,
    limit_up: Option<i64>,
    limit_total: Option<i64>,
    used_down: i64,
    used_up: i64,
    spent: bool,
    speed_down: i64,
    speed_up: i64,
    devices: i64,
    slots_used: i64,
}

impl VoucherRow {
    pub(super) fn open(self, key: &MasterKey) -> Result<VoucherRecord, Error> {
        let bad = corrupt("vouchers", self.id);
        let bytes =
            |value: Option<i64>, column| value.map(|bytes| u64::try_from(bytes).map_err(|_| bad(column))).transpose();
        let count = |value: i64, column| u16::try_from(value).map_err(|_| bad(column));
        let speed = |value: i64, column| {
            let mbit = u16::try_from(value).ok().and_then(Mbit::new);
            mbit.ok_or_else(|| bad(column))
        };
        let used = |value: i64, column| u64::try_from(value).map_err(|_| bad(column));
        Ok(VoucherRecord {
            id: VoucherId(self.id),
            grant: GrantId(self.grant_id),
            passcode: open_passcode(key, &self.username_folded, &self.passcode).ok_or_else(|| bad("passcode"))?,
            username: self.username,
            code_only: self.code_only,
            fullname: self.fullname,
            terms: Terms {
                valid_for: ValidFor::parse(&self.valid_for).ok_or_else(|| bad("valid_for"))?,
                valid_from_ms: self.valid_from_ms,
                from_first_use: self.from_first_use,
                limits: DataLimits {
                    down: bytes(self.limit_down, "limit_down")?,
                    up: bytes(self.limit_up, "limit_up")?,
                    total: bytes(self.limit_total, "limit_total")?,
                },
                speed: Bandwidth { down: speed(self.speed_down, "speed_down")?, up: speed(self.speed_up, "speed_up")? },
                devices: count(self.devices, "devices")?,
                note: self.note,
            },
            enabled: self.enabled,
            ends_ms: self.ends_ms,
            used: DataUse { down: used(self.used_down, "used_down")?, up: used(self.used_up, "used_up")? },
            spent: self.spent,
            devices_used: count(self.slots_used, "slots_used")?,
            created_ms: self.created_ms,
            modified_ms: self.modified_ms,
            first_login_ms: self.first_login_ms,
            last_login_ms: self.last_login_ms,
            last_mac: self.last_mac.map(|mac| mac.parse().map_err(|_| bad("last_mac"))).transpose()?,
        })
    }
}

/// Seals a passcode for the voucher of that folded user name, which it keeps for life.
pub(in crate::store) fn seal_passcode(
    key: &MasterKey,
    folded: &str,
    passcode: &Passcode,
) -> Result<Vec<u8>, crate::secrets::Error> {
    key.seal(place(folded), passcode.expose().as_bytes())
}

/// Opens what [`seal_passcode`] sealed.
pub(in crate::store) fn open_passcode(key: &MasterKey, folded: &str, sealed: &[u8]) -> Option<Passcode> {
    let bytes = key.open(place(folded), sealed).ok()?;
    Passcode::new(std::str::from_utf8(&bytes).ok()?.to_owned()).ok()
}

fn place(folded: &str) -> Place<'_> {
    Place { table: "vouchers", column: "passcode", owner: folded }
}
