//! `/firewall` (VPN API, section 3.5).

use std::net::Ipv4Addr;

use axum::extract::Request;
use doorward_policy::firewall::{Chain, Place, Rule, RuleProtocol, Verdict};
use ipnet::Ipv4Net;
use serde::Serialize;

use super::{
    Answer, Named, Operations,
    values::{boolean, chain, net, number, parsed, rule_protocol, verdict},
};
use crate::{
    app::{
        App,
        firewall::{ConfWish, RuleWish, SYSTEM_RULE},
    },
    http::{body::Parameters, envelope::Success, error::Refusal},
};

#[derive(Serialize)]
pub(super) struct InfoResponse {
    ip_forward: &'static str,
    iproute2: String,
    iptables: String,
}

pub(super) async fn get_info(Operations(app): Operations) -> Answer<InfoResponse> {
    let versions = app.firewall_versions().await?;
    Ok(Success(InfoResponse {
        ip_forward: if versions.ip_forward { "yes" } else { "no" },
        iproute2: versions.iproute2,
        iptables: format!("nftables {}", versions.nftables).trim_end().to_owned(),
    }))
}

#[derive(Serialize)]
pub(super) struct ConfResponse {
    internal_traffic: bool,
    ip_forward: bool,
    policy_forward: Verdict,
    policy_input: Verdict,
    policy_output: Verdict,
}

pub(super) async fn get_conf(Operations(app): Operations) -> Answer<ConfResponse> {
    let firewall = app.firewall().await?.active;
    Ok(Success(ConfResponse {
        internal_traffic: firewall.internal_traffic,
        ip_forward: firewall.ip_forward,
        policy_forward: firewall.forward,
        policy_input: firewall.input,
        policy_output: firewall.output,
    }))
}

pub(super) async fn put_conf(Operations(app): Operations, request: Request) -> Answer<&'static str> {
    let sent = Parameters::read(request).await?;
    let wish = ConfWish {
        input: sent.given("policy_input", verdict),
        forward: sent.given("policy_forward", verdict),
        output: sent.given("policy_output", verdict),
        internal_traffic: sent.given("internal_traffic", boolean),
        ip_forward: sent.given("ip_forward", boolean),
    };
    app.update_firewall(wish).await?;
    Ok(Success("success"))
}

#[derive(Serialize)]
pub(super) struct RuleResponse {
    action: Verdict,
    chain: Chain,
    d_ip: String,
    d_port: String,
    name: String,
    protocol: RuleProtocol,
    s_ip: String,
    s_port: String,
}

impl From<Rule> for RuleResponse {
    fn from(rule: Rule) -> Self {
        Self {
            action: rule.action,
            chain: rule.chain,
            d_ip: rule.destination.to_string(),
            d_port: rule.destination_port.to_string(),
            name: rule.name.to_string(),
            protocol: rule.protocol,
            s_ip: rule.source.to_string(),
            s_port: rule.source_port.to_string(),
        }
    }
}

/// What is shown first: no rule of ours closes the panel's port.
fn system_rule(app: &App) -> RuleResponse {
    let anywhere = Ipv4Net::default().to_string();
    RuleResponse {
        action: Verdict::Accept,
        chain: Chain::Input,
        d_ip: anywhere.clone(),
        d_port: app.settings().own_tcp_ports.first().copied().unwrap_or(0).to_string(),
        name: SYSTEM_RULE.to_owned(),
        protocol: RuleProtocol::Tcp,
        s_ip: anywhere,
        s_port: "0".to_owned(),
    }
}

pub(super) async fn list_rules(Operations(app): Operations) -> Answer<Vec<RuleResponse>> {
    let rules = app.firewall().await?.active.rules.into_iter().map(RuleResponse::from);
    Ok(Success([system_rule(&app)].into_iter().chain(rules).collect()))
}

pub(super) async fn create_top(Operations(app): Operations, request: Request) -> Answer<&'static str> {
    app.create_rule(Place::Top, read_wish(request).await?).await?;
    Ok(Success("success"))
}

pub(super) async fn create_end(Operations(app): Operations, request: Request) -> Answer<&'static str> {
    app.create_rule(Place::End, read_wish(request).await?).await?;
    Ok(Success("success"))
}

pub(super) async fn delete_rule(Operations(app): Operations, Named(name): Named<String>) -> Answer<&'static str> {
    app.delete_rule(&name).await?;
    Ok(Success("success"))
}

#[derive(Serialize)]
pub(super) struct NatResponse {
    action: &'static str,
    chain: &'static str,
    d_ip: &'static str,
    name: String,
    s_ip: Ipv4Net,
    #[serde(rename = "to-source")]
    to_source: Ipv4Addr,
}

pub(super) async fn list_nat(Operations(app): Operations) -> Answer<Vec<NatResponse>> {
    let servers = app.list_servers().await?.into_values().filter(|server| !server.disable_nat);
    let row = |server: doorward_policy::vpn_server::VpnServer| NatResponse {
        action: "SNAT",
        chain: "POSTROUTING",
        d_ip: "0.0.0.0/0",
        name: format!("{}_{}", server.name, server.interface),
        s_ip: server.address.trunc(),
        to_source: server.external_ip,
    };
    let mut rows: Vec<NatResponse> = servers.map(row).collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Success(rows))
}

#[derive(Serialize)]
pub(super) struct MangleResponse {
    action: &'static str,
    chain: &'static str,
    d_ip: String,
    name: String,
    s_ip: String,
    #[serde(rename = "set-mark")]
    set_mark: String,
}

pub(super) async fn list_mangle(Operations(app): Operations) -> Answer<Vec<MangleResponse>> {
    let mut rows = Vec::new();
    for named in app.list_accounts().await?.into_iter().filter(|named| named.account.enabled) {
        let account = named.account;
        let (address, anywhere) = (account.address.to_string(), "0.0.0.0/0".to_owned());
        for (way, s_ip, d_ip) in [("dst", &anywhere, &address), ("src", &address, &anywhere)] {
            rows.push(MangleResponse {
                action: "MARK",
                chain: "FORWARD",
                d_ip: d_ip.clone(),
                name: format!("{way}_{}_{}", account.name, account.username),
                s_ip: s_ip.clone(),
                set_mark: account.mark.get().to_string(),
            });
        }
    }
    Ok(Success(rows))
}

async fn read_wish(request: Request) -> Result<RuleWish, Refusal> {
    let sent = Parameters::read(request).await?;
    Ok(RuleWish {
        name: sent.given("name", parsed),
        chain: sent.given("chain", chain),
        action: sent.given("action", verdict),
        protocol: sent.given("protocol", rule_protocol),
        source: sent.given("s_ip", net),
        destination: sent.given("d_ip", net),
        source_port: sent.given("s_port", number),
        destination_port: sent.given("d_port", number),
    })
}
