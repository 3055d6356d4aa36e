//! `/wireguard`: the stored servers (VPN API, section 3.3).

use std::{collections::BTreeMap, net::Ipv4Addr};

use axum::extract::Request;
use doorward_policy::vpn_server::VpnServer;
use serde::Serialize;

use super::{
    Answer, Named, Operations,
    account::AccountResponse,
    values::{
        boolean, endpoint, ipv4, ipv4_net, ipv4_unicast, ipv6, ipv6_net, mbit, net_list, number_within, optional,
        parsed, wireguard_interface,
    },
};
use crate::{
    app::{accounts::NamedAccount, vpn_servers::ServerWish},
    http::{body::Parameters, envelope::Success, error::Refusal},
};

/// The server object.
#[derive(Serialize)]
pub(super) struct ServerResponse {
    address: String,
    address_ipv6: String,
    allowed_ips: String,
    b_download: String,
    b_upload: String,
    disable_nat: bool,
    dns_1: String,
    dns_1_ipv6: String,
    dns_2: String,
    dns_2_ipv6: String,
    endpoint: String,
    external_ip: String,
    ikev2: bool,
    interface_name: String,
    internal_traffic: bool,
    ipv6: bool,
    keep_alive: u32,
    listen_port: String,
    mtu: u16,
    name: String,
    private_key: String,
    public_key: String,
}

impl From<VpnServer> for ServerResponse {
    fn from(server: VpnServer) -> Self {
        let [dns_1, dns_2] = server.dns.map(text);
        let [dns_1_ipv6, dns_2_ipv6] = server.dns_ipv6.map(text);
        Self {
            address: server.address.to_string(),
            address_ipv6: text(server.address_ipv6),
            allowed_ips: server.allowed_ips,
            b_download: server.bandwidth.down.get().to_string(),
            b_upload: server.bandwidth.up.get().to_string(),
            disable_nat: server.disable_nat,
            dns_1,
            dns_1_ipv6,
            dns_2,
            dns_2_ipv6,
            endpoint: server.endpoint,
            external_ip: server.external_ip.to_string(),
            ikev2: server.ikev2,
            interface_name: server.interface.to_string(),
            internal_traffic: server.internal_traffic,
            ipv6: server.ipv6,
            keep_alive: server.keep_alive,
            listen_port: server.listen_port.to_string(),
            mtu: server.mtu,
            name: server.name.to_string(),
            private_key: server.private_key.expose_base64(),
            public_key: server.private_key.public().to_string(),
        }
    }
}

/// An unset value is an empty text (Open 13).
fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[derive(Serialize)]
pub(super) struct InfoResponse {
    wireguard: String,
    #[serde(rename = "wireguard-dkms")]
    wireguard_dkms: String,
    #[serde(rename = "wireguard-tools")]
    wireguard_tools: String,
}

pub(super) async fn get_info(Operations(app): Operations) -> Answer<InfoResponse> {
    let versions = app.wireguard_versions().await?;
    Ok(Success(InfoResponse {
        wireguard: versions.wireguard,
        wireguard_dkms: versions.wireguard_dkms,
        wireguard_tools: versions.wireguard_tools,
    }))
}

pub(super) async fn list(Operations(app): Operations) -> Answer<BTreeMap<String, ServerResponse>> {
    let servers = app.list_servers().await?;
    Ok(Success(servers.into_iter().map(|(name, server)| (name, server.into())).collect()))
}

pub(super) async fn create(Operations(app): Operations, request: Request) -> Answer<ServerResponse> {
    let wish = read_wish(request).await?;
    Ok(Success(app.create_server(wish).await?.into()))
}

pub(super) async fn get(Operations(app): Operations, Named(name): Named<String>) -> Answer<ServerResponse> {
    Ok(Success(app.server(&name).await?.into()))
}

pub(super) async fn put(
    Operations(app): Operations,
    Named(name): Named<String>,
    request: Request,
) -> Answer<ServerResponse> {
    app.require_server(&name)?;
    let wish = read_wish(request).await?;
    Ok(Success(app.update_server(&name, wish).await?.into()))
}

pub(super) async fn delete(Operations(app): Operations, Named(name): Named<String>) -> Answer<&'static str> {
    app.delete_server(&name).await?;
    Ok(Success("success"))
}

pub(super) async fn list_peers(
    Operations(app): Operations,
    Named(name): Named<String>,
) -> Answer<BTreeMap<String, AccountResponse>> {
    let (server, accounts) = app.accounts_of(&name).await?;
    let object = |account| AccountResponse::of(&app, NamedAccount { account, server_name: server.name.clone() });
    Ok(Success(accounts.into_iter().map(|account| (account.name.to_string(), object(account))).collect()))
}

pub(super) async fn list_available_ips(
    Operations(app): Operations,
    Named(name): Named<String>,
) -> Answer<Vec<Ipv4Addr>> {
    Ok(Success(app.available_ips(&name).await?))
}

pub(super) async fn set_bandwidth(Operations(app): Operations, Named(name): Named<String>) -> Answer<&'static str> {
    app.set_bandwidth(&name).await?;
    Ok(Success(""))
}

async fn read_wish(request: Request) -> Result<ServerWish, Refusal> {
    let sent = Parameters::read(request).await?;
    Ok(ServerWish {
        name: sent.given("name", parsed),
        interface: sent.given("interface_name", wireguard_interface),
        listen_port: sent.given("listen_port", number_within(1, u16::MAX)),
        address: sent.given("address", ipv4_net),
        private_key: sent.given_key("private_key", parsed),
        public_key: sent.given_key("public_key", parsed),
        mtu: sent.given("mtu", number_within(0, 9100)),
        keep_alive: sent.given("keep_alive", number_within(0, 2_147_483_647)),
        allowed_ips: sent.given("allowed_ips", net_list),
        endpoint: sent.given("endpoint", endpoint),
        external_ip: sent.given("external_ip", ipv4_unicast),
        dns: [sent.given("dns_1", optional(ipv4)), sent.given("dns_2", optional(ipv4))],
        dns_ipv6: [sent.given("dns_1_ipv6", optional(ipv6)), sent.given("dns_2_ipv6", optional(ipv6))],
        internal_traffic: sent.given("internal_traffic", boolean),
        ikev2: sent.given("ikev2", boolean),
        ipv6: sent.given("ipv6", boolean),
        address_ipv6: sent.given("address_ipv6", optional(ipv6_net)),
        disable_nat: sent.given("disable_nat", boolean),
        down: sent.given("b_download", mbit),
        up: sent.given("b_upload", mbit),
    })
}
