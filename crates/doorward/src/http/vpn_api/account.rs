//! `/account`: the stored accounts (VPN API, section 3.4, and docs/api-design.md for what is ours).

use axum::extract::Request;
use doorward_policy::{
    account::{Account, ClientKey, Password},
    limits::QuotaPeriod,
};
use serde::Serialize;

use super::{
    Answer, Named, Operations,
    values::{boolean, ipv4, ipv6, mbit, moment, number, number_within, optional, parsed},
};
use crate::{
    app::{
        App, Given,
        accounts::{AccountWish, NamedAccount},
    },
    clock::now_ms,
    http::{body::Parameters, envelope::Success, error::Refusal, qr},
};

/// The account object. What old clients do not know is there only on accounts that have it.
#[derive(Serialize)]
#[expect(non_snake_case, reason = "the names are those of the wire")]
pub(super) struct AccountResponse {
    allowed_IPs: String,
    allowed_IPs_ipv6: String,
    b_download: String,
    b_upload: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    mangle: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    own_key: Option<&'static str>,
    password: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    preshared_key: Option<String>,
    private_key: String,
    public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_period: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_used_bytes: Option<String>,
    status: &'static str,
    username: String,
    wg_name: String,
}

impl AccountResponse {
    pub(super) fn of(app: &App, NamedAccount { account, server_name }: NamedAccount) -> Self {
        let (private_key, own_key) = match &account.key {
            ClientKey::Kept(private) => (private.expose_base64(), None),
            ClientKey::Own(_) => (String::new(), Some("1")),
        };
        let quota = account.current_quota(now_ms(), &app.settings().zone);
        let Account { address, address_ipv6, bandwidth, mark, name, username, password, .. } = &account;
        Self {
            allowed_IPs: address.to_string(),
            allowed_IPs_ipv6: address_ipv6.map(|address| address.to_string()).unwrap_or_default(),
            b_download: bandwidth.down.get().to_string(),
            b_upload: bandwidth.up.get().to_string(),
            expires_at: account.expires_at_ms.map(|at| app.rfc3339(at)),
            mangle: mark.get().to_string(),
            name: name.to_string(),
            own_key,
            password: password.expose().to_owned(),
            preshared_key: account.preshared_key.as_ref().map(|key| key.expose_base64()),
            private_key,
            public_key: account.public_key.to_string(),
            quota_bytes: account.quota.map(|quota| quota.bytes.to_string()),
            quota_period: account.quota.map(|quota| quota.period.as_str()),
            quota_used_bytes: quota.map(|quota| quota.used_bytes.to_string()),
            status: if account.enabled { "enable" } else { "disable" },
            username: username.to_string(),
            wg_name: server_name.to_string(),
        }
    }
}

pub(super) async fn list(Operations(app): Operations) -> Answer<Vec<AccountResponse>> {
    let accounts = app.list_accounts().await?;
    Ok(Success(accounts.into_iter().map(|named| AccountResponse::of(&app, named)).collect()))
}

pub(super) async fn create(Operations(app): Operations, request: Request) -> Answer<AccountResponse> {
    let wish = read_wish(request).await?;
    let named = app.create_account(wish).await?;
    Ok(Success(AccountResponse::of(&app, named)))
}

pub(super) async fn get(Operations(app): Operations, Named(name): Named<String>) -> Answer<AccountResponse> {
    let named = app.account(&name).await?;
    Ok(Success(AccountResponse::of(&app, named)))
}

pub(super) async fn put(
    Operations(app): Operations,
    Named(name): Named<String>,
    request: Request,
) -> Answer<AccountResponse> {
    app.require_account(&name)?;
    let wish = read_wish(request).await?;
    let named = app.update_account(&name, wish).await?;
    Ok(Success(AccountResponse::of(&app, named)))
}

pub(super) async fn delete(Operations(app): Operations, Named(name): Named<String>) -> Answer<&'static str> {
    app.delete_account(&name).await?;
    Ok(Success("success"))
}

pub(super) async fn get_config_text(Operations(app): Operations, Named(name): Named<String>) -> Answer<String> {
    Ok(Success(app.client_config(&name).await?))
}

pub(super) async fn get_config_qr(Operations(app): Operations, Named(name): Named<String>) -> Answer<String> {
    Ok(Success(qr::base64(app.client_config(&name).await?).await?))
}

#[derive(Serialize)]
pub(super) struct DayResponse {
    account: String,
    date: String,
    traffic_download: u64,
    traffic_upload: u64,
}

pub(super) async fn get_traffic_statistics(
    Operations(app): Operations,
    Named((name, year, month)): Named<(String, String, String)>,
) -> Answer<Vec<DayResponse>> {
    let digits = |text: &str, lengths: std::ops::RangeInclusive<usize>| lengths.contains(&text.len());
    let year = if digits(&year, 4..=4) { number(&year) } else { None };
    let month = if digits(&month, 1..=2) { number_within(1, 12)(&month) } else { None };
    let given = |read: Option<u16>| read.map_or(Given::Wrong, Given::Is);
    let days = app.month_usage(&name, given(year), month.map_or(Given::Wrong, Given::Is)).await?;
    let row = |day: crate::app::usage::DayUsage| DayResponse {
        account: name.clone(),
        date: day.day,
        traffic_download: day.down,
        traffic_upload: day.up,
    };
    Ok(Success(days.into_iter().map(row).collect()))
}

async fn read_wish(request: Request) -> Result<AccountWish, Refusal> {
    let sent = Parameters::read(request).await?;
    Ok(AccountWish {
        server: sent.given("wg_name", |text| Some(text.to_owned())),
        name: sent.given("name", parsed),
        username: sent.given("username", parsed),
        password: sent.given_verbatim("password", |text| Password::new(text.to_owned())),
        enabled: sent.given("status", status),
        address: sent.given("allowed_IPs", ipv4),
        address_ipv6: sent.given("allowed_IPs_ipv6", optional(ipv6)),
        private_key: sent.given_key("private_key", parsed),
        public_key: sent.given_key("public_key", parsed),
        own_key: sent.given("own_key", boolean),
        down: sent.given("b_download", mbit),
        up: sent.given("b_upload", mbit),
        expires_at_ms: sent.given("expires_at", optional(moment)),
        quota_bytes: sent.given("quota_bytes", number_within(0, i64::MAX.unsigned_abs())),
        quota_period: sent.given("quota_period", QuotaPeriod::parse),
        preshared_key: sent.given_key("preshared_key", optional(parsed)),
    })
}

fn status(text: &str) -> Option<bool> {
    match text {
        "enable" => Some(true),
        "disable" => Some(false),
        _ => None,
    }
}
