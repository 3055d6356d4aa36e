//! `/account`: what the kernel says of an account (VPN API, section 3.4).

use std::net::IpAddr;

use doorward_policy::{
    item::{ClassId, Counter, PeerId},
    observed::{PeerStats, Scope},
};
use ipnet::IpNet;
use serde::Serialize;

use super::{Answer, Named, Operations, tc};
use crate::http::envelope::Success;

/// Two lines while packets may pass, none else: then no element bears the account's number.
pub(super) async fn get_mangle_rules(Operations(app): Operations, Named(name): Named<String>) -> Answer<String> {
    let (account, _, stats) = app.account_with_stats(&name, |_| vec![Scope::Counters]).await?;
    let count = |counter| stats.counters.get(&counter).copied();
    let counts = count(Counter::AccountDown(account.id)).zip(count(Counter::AccountUp(account.id)));
    let Some((down, up)) = counts.filter(|_| app.is_open(&account)) else { return Ok(Success(String::new())) };
    let (address, mark) = (account.address, account.mark.get());
    Ok(Success(format!(
        "0.0.0.0/0 -> {address} MARK 0x{mark:x} Pkt:{} Bytes:{}\n\
         {address} -> 0.0.0.0/0 MARK 0x{mark:x} Pkt:{} Bytes:{}\n",
        down.packets, down.bytes, up.packets, up.bytes
    )))
}

/// The upload classes, one for each WAN, then the download class.
pub(super) async fn get_traffic_control(Operations(app): Operations, Named(name): Named<String>) -> Answer<String> {
    let wans = app.wans();
    let (account, server, stats) = app
        .account_with_stats(&name, |server| {
            wans.iter().copied().chain([server.interface]).map(Scope::Shaping).collect()
        })
        .await?;
    let minor = account.mark.minor();
    let interfaces = wans.into_iter().chain([server.interface]);
    let ids = interfaces.map(|interface| ClassId { interface, minor });
    Ok(Success(ids.filter_map(|id| stats.classes.get(&id).map(|class| tc::class(&id, class))).collect()))
}

#[derive(Serialize)]
pub(super) struct DumpResponse {
    allowed_ips: String,
    endpoint: String,
    keepalive: String,
    latest_handshake: String,
    transfer_rx: String,
    transfer_tx: String,
}

pub(super) async fn get_dump(Operations(app): Operations, Named(name): Named<String>) -> Answer<DumpResponse> {
    let (account, server, stats) =
        app.account_with_stats(&name, |server| vec![Scope::Peers(Some(server.interface))]).await?;
    let id = PeerId { interface: server.interface, public_key: account.public_key };
    let peer = stats.peers.get(&id).copied().unwrap_or(PeerStats::default());
    let carried = |address: &IpAddr| address.is_ipv4() || server.active_ipv6().is_some();
    let allowed: Vec<String> = account.addresses().filter(carried).map(|a| IpNet::from(a).to_string()).collect();
    Ok(Success(DumpResponse {
        allowed_ips: allowed.join(","),
        endpoint: peer.endpoint.map_or_else(|| "(none)".to_owned(), |endpoint| endpoint.to_string()),
        keepalive: if peer.keepalive_s == 0 { "off".to_owned() } else { peer.keepalive_s.to_string() },
        latest_handshake: peer.latest_handshake_s.to_string(),
        transfer_rx: peer.rx_bytes.to_string(),
        transfer_tx: peer.tx_bytes.to_string(),
    }))
}
