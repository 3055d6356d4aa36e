//! `/wireguard`: what the kernel says of servers and who is online (VPN API, section 3.3).

use doorward_policy::{
    item::Counter,
    observed::{Count, Scope, Stats},
    vpn_server::VpnServer,
};
use jiff::Timestamp;
use serde::Serialize;

use super::{Answer, Named, Operations, tc};
use crate::{
    app::{Error, accounts::Online},
    http::envelope::Success,
};

/// The rule that translates the addresses of a server's clients, as the kernel counted it; empty: there is none.
pub(in crate::http) fn nat_rules(server: &VpnServer, stats: &Stats) -> String {
    let count = stats.counters.get(&Counter::ServerNat(server.id)).filter(|_| !server.disable_nat);
    count.map_or_else(String::new, |Count { packets, bytes }| {
        let (subnet, to) = (server.address.trunc(), server.external_ip);
        format!("{subnet} -> 0.0.0.0/0 SNAT to:{to} Pkt:{packets} Bytes:{bytes}\n")
    })
}

/// The rule between a server's clients, as the kernel counted it; empty: there is none.
pub(in crate::http) fn filter_rules(server: &VpnServer, stats: &Stats) -> String {
    let count = stats.counters.get(&Counter::ServerInternal(server.id));
    count.map_or_else(String::new, |Count { packets, bytes }| {
        let subnet = server.address.trunc();
        // Open 20.
        let verdict = if server.internal_traffic { "ACCEPT" } else { "DROP" };
        format!("{subnet} -> {subnet} {verdict}  Pkt:{packets} Bytes:{bytes}\n")
    })
}

/// The root qdisc of a server's interface as `tc` writes it; empty: there is none.
pub(in crate::http) fn traffic_control(server: &VpnServer, stats: &Stats) -> String {
    stats.roots.get(&server.interface).map(tc::root).unwrap_or_default()
}

pub(super) async fn get_nat_rules(Operations(app): Operations, Named(name): Named<String>) -> Answer<String> {
    let (server, stats) = app.server_with_stats(&name, |_| Scope::Counters).await?;
    Ok(Success(nat_rules(&server, &stats)))
}

pub(super) async fn get_filter_rules(Operations(app): Operations, Named(name): Named<String>) -> Answer<String> {
    let (server, stats) = app.server_with_stats(&name, |_| Scope::Counters).await?;
    Ok(Success(filter_rules(&server, &stats)))
}

pub(super) async fn get_traffic_control(Operations(app): Operations, Named(name): Named<String>) -> Answer<String> {
    let (server, stats) = app.server_with_stats(&name, |server| Scope::Shaping(server.interface)).await?;
    Ok(Success(traffic_control(&server, &stats)))
}

#[derive(Serialize)]
pub(super) struct DumpResponse {
    port: String,
    public_key: String,
}

pub(super) async fn get_dump(Operations(app): Operations, Named(name): Named<String>) -> Answer<DumpResponse> {
    let (server, stats) = app.server_with_stats(&name, |server| Scope::Peers(Some(server.interface))).await?;
    let tunnel = stats.tunnels.get(&server.interface).ok_or(Error::Failed("the tunnel does not answer"))?;
    Ok(Success(DumpResponse { port: tunnel.listen_port.to_string(), public_key: tunnel.public_key.to_string() }))
}

#[derive(Serialize)]
#[expect(non_snake_case, reason = "the names are those of the wire")]
pub(super) struct OnlineResponse {
    allowed_IPs: String,
    b_download: String,
    b_upload: String,
    endpoint: String,
    latest_handshake: String,
    name: String,
    status: &'static str,
    transfer_rx: String,
    transfer_tx: String,
    username: String,
    wg_name: String,
}

pub(super) async fn list_online(Operations(app): Operations) -> Answer<Vec<OnlineResponse>> {
    let zone = app.settings().zone.clone();
    let local_time = |at_s: i64| {
        let at = Timestamp::from_second(at_s).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
        at.strftime("%Y-%m-%d %H:%M:%S").to_string()
    };
    let row = |Online { named, peer }: Online| OnlineResponse {
        allowed_IPs: named.account.address.to_string(),
        b_download: named.account.bandwidth.down.get().to_string(),
        b_upload: named.account.bandwidth.up.get().to_string(),
        endpoint: peer.endpoint.map(|endpoint| endpoint.to_string()).unwrap_or_default(),
        latest_handshake: local_time(peer.latest_handshake_s),
        name: named.account.name.to_string(),
        status: "enable",
        transfer_rx: peer.rx_bytes.to_string(),
        transfer_tx: peer.tx_bytes.to_string(),
        username: named.account.username.to_string(),
        wg_name: named.server_name.to_string(),
    };
    Ok(Success(app.online().await?.into_iter().map(row).collect()))
}
