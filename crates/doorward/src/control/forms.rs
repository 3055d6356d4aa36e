//! What goes over the socket, beside the orders themselves.

use serde::{Deserialize, Serialize};

/// Vouchers to be made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of VoucherWish")]
pub struct VoucherForm {
    pub count: Option<u16>,
    pub username: Option<String>,
    pub passcode: Option<String>,
    pub fullname: Option<String>,
    pub valid_for: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS` in the gateway's time zone.
    pub valid_from: Option<String>,
    pub from_first_use: bool,
    pub code_only: bool,
    /// MB.
    pub data_down: Option<u32>,
    /// MB.
    pub data_up: Option<u32>,
    /// MB.
    pub data_total: Option<u32>,
    /// Mbit/s.
    pub speed_down: Option<u16>,
    /// Mbit/s.
    pub speed_up: Option<u16>,
    pub devices: Option<u16>,
    pub note: String,
}

/// A voucher as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the hotspot API")]
pub struct VoucherLine {
    pub id: i64,
    pub username: String,
    pub passcode: String,
    pub code_only: bool,
    pub fullname: String,
    pub status: String,
    pub valid_for: String,
    pub valid_from: String,
    pub valid_until: Option<String>,
    pub valid_from_first_use: bool,
    /// MB; 0: unlimited.
    pub download_limit: u32,
    pub upload_limit: u32,
    pub total_limit: u32,
    /// Mbit/s; 0: unlimited.
    pub speed_down: u16,
    pub speed_up: u16,
    pub devices: u16,
    pub devices_used: u16,
    pub bytes_down: u64,
    pub bytes_up: u64,
    pub created_at: String,
    pub first_login: Option<String>,
    pub last_login: Option<String>,
    pub mac: Option<String>,
    pub note: String,
}

/// A hotspot as it is wanted; what is missing stays, or is our own.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of Hotspot")]
pub struct HotspotForm {
    pub interface: Option<String>,
    pub address: Option<String>,
    /// `off`, `auto` or the gateway's address with its /64.
    pub address_ipv6: Option<String>,
    pub nat_ipv6: Option<bool>,
    pub isolated: Option<bool>,
    /// Networks.
    pub lan_access: Option<Vec<String>>,
}

/// A hotspot as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of Hotspot")]
pub struct HotspotLine {
    pub id: i64,
    pub name: String,
    pub interface: String,
    pub address: String,
    pub address_ipv6: Option<String>,
    pub nat_ipv6: bool,
    pub isolated: bool,
    pub lan_access: Vec<String>,
    pub host_name: String,
    pub methods: Vec<String>,
    pub online: usize,
    pub seen: usize,
}

/// A one-time link as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkLine {
    /// Its number.
    pub id: i64,
    /// Name of the account.
    pub account: String,
    /// `YYYY-MM-DD HH:MM:SS` in the gateway's time zone.
    pub created_at: String,
    /// `YYYY-MM-DD`.
    pub last_day: String,
    /// How often it may be used.
    pub uses: i64,
    /// How often it may still be used.
    pub uses_left: i64,
    /// Like `created_at`.
    pub used_at: Option<String>,
    /// Where its last use came from.
    pub used_from: Option<String>,
}
