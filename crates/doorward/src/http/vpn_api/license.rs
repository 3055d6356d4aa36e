//! `/license` (VPN API, section 3.2). This build enforces none: Open 12.

use serde::Serialize;

use super::{Answer, Operations, system::NEVER};
use crate::http::envelope::Success;

#[derive(Serialize)]
pub(super) struct LicenseResponse {
    accounts: u32,
    expiration_date: &'static str,
    key: String,
    last_check: String,
    valid: bool,
}

pub(super) async fn get_license(Operations(app): Operations) -> Answer<LicenseResponse> {
    let licence = app.licence();
    Ok(Success(LicenseResponse {
        accounts: licence.most_accounts,
        expiration_date: NEVER,
        key: licence.key,
        last_check: licence.last_check,
        valid: true,
    }))
}
