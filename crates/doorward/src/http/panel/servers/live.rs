//! What the kernel holds of a server now.

use askama::Template;
use axum::extract::Path;
use doorward_policy::observed::Scope;

use super::{
    super::{
        seat::{Answer, Seat},
        view::Frame,
    },
    MODULE,
};
use crate::http::vpn_api::wireguard_live::{filter_rules, nat_rules, traffic_control};

#[derive(Template)]
#[template(path = "panel/server_live.html")]
struct Page {
    f: Frame,
    name: String,
    /// Names of titles, and what stands below them.
    blocks: [(&'static str, String); 3],
    /// UDP port and public key, if the tunnel answers.
    tunnel: Option<(u16, String)>,
}

pub(super) async fn show(seat: Seat, Path(name): Path<String>) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let (server, counters) = app.server_with_stats(&name, |_| Scope::Counters).await?;
    let (_, shaping) = app.server_with_stats(&name, |server| Scope::Shaping(server.interface)).await?;
    let (_, peers) = app.server_with_stats(&name, |server| Scope::Peers(Some(server.interface))).await?;
    let tunnel = peers.tunnels.get(&server.interface);
    let tunnel = tunnel.map(|tunnel| (tunnel.listen_port, tunnel.public_key.to_string()));
    let blocks = [
        ("server-live-nat", nat_rules(&server, &counters)),
        ("server-live-filter", filter_rules(&server, &counters)),
        ("server-live-traffic", traffic_control(&server, &shaping)),
    ];
    seat.page(&Page { f: seat.frame("server-live"), name, blocks, tunnel })
}
