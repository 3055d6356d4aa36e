//! `/dns` (VPN API, section 3.6).

use axum::extract::Request;
use serde::Serialize;

use super::{
    Answer, Operations,
    values::{boolean, number, optional, parsed},
};
use crate::{
    app::{App, dns::DnsWish},
    http::{body::Parameters, envelope::Success},
};

#[derive(Serialize)]
pub(super) struct DnsResponse {
    acl: Vec<String>,
    bind9: String,
    enabled: bool,
    forwarders_1: String,
    forwarders_2: String,
    max_cache_ttl: String,
    pid: String,
}

impl DnsResponse {
    fn of(app: &App) -> Self {
        let dns = app.dns();
        let mut forwarders = dns.forwarders.iter().map(ToString::to_string);
        Self {
            acl: app.dns_clients(),
            bind9: format!("doorward {}", env!("CARGO_PKG_VERSION")),
            enabled: dns.enabled,
            forwarders_1: forwarders.next().unwrap_or_default(),
            forwarders_2: forwarders.next().unwrap_or_default(),
            max_cache_ttl: dns.max_cache_ttl_s.to_string(),
            pid: if dns.enabled { std::process::id().to_string() } else { String::new() },
        }
    }
}

pub(super) async fn get(Operations(app): Operations) -> Answer<DnsResponse> {
    Ok(Success(DnsResponse::of(&app)))
}

pub(super) async fn put(Operations(app): Operations, request: Request) -> Answer<DnsResponse> {
    let sent = Parameters::read(request).await?;
    let forwarder = |name| sent.given(name, optional(parsed));
    let wish = DnsWish {
        enabled: sent.given("enabled", boolean),
        forwarders: [forwarder("forwarders_1"), forwarder("forwarders_2")],
        max_cache_ttl_s: sent.given("max_cache_ttl", number),
    };
    app.update_dns(wish).await?;
    Ok(Success(DnsResponse::of(&app)))
}
