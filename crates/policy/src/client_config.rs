//! The configuration that a client loads into its WireGuard program (VPN API, section 3.4).

use std::net::IpAddr;

use crate::{
    account::{Account, ClientKey},
    vpn_server::VpnServer,
};

/// Renders the configuration of an account. Every value is typed or was checked at the door, so no line can be
/// smuggled in. `tabs` indents lines as the original does (Open 24).
#[must_use]
pub fn render(account: &Account, server: &VpnServer, tabs: bool) -> String {
    let indent = if tabs { "\t" } else { "" };
    let ipv6 = server.active_ipv6().zip(account.address_ipv6);

    let mut address = format!("{}/{}", account.address, server.address.prefix_len());
    if let Some((net, own)) = ipv6 {
        address += &format!(",{own}/{}", net.prefix_len());
    }
    let dns = server.dns.iter().flatten().copied().map(IpAddr::V4);
    let dns_ipv6 = server.dns_ipv6.iter().flatten().copied().map(IpAddr::V6).filter(|_| ipv6.is_some());
    let dns = dns.chain(dns_ipv6).map(|a| a.to_string()).collect::<Vec<_>>().join(",");
    let allowed = match (server.allowed_ips.as_str(), ipv6) {
        ("", None) => "0.0.0.0/0",
        ("", Some(_)) => "0.0.0.0/0,::/0",
        (given, _) => given,
    };

    let mut lines = vec!["[Interface]".to_owned(), format!("{indent}Address = {address}")];
    if !dns.is_empty() {
        lines.push(format!("{indent}DNS = {dns}"));
    }
    if server.mtu != 0 {
        lines.push(format!("{indent}MTU = {}", server.mtu));
    }
    lines.push(match &account.key {
        ClientKey::Kept(private) => format!("{indent}PrivateKey = {}", private.expose_base64()),
        ClientKey::Own(public) => {
            format!("{indent}# PrivateKey = the one you made yourself; its public key is {public}")
        }
    });
    lines.push(indent.to_owned());
    lines.push("[Peer]".to_owned());
    lines.push(format!("{indent}AllowedIPs = {allowed}"));
    lines.push(format!("{indent}Endpoint = {}:{}", endpoint_host(server), server.listen_port));
    if server.keep_alive != 0 {
        lines.push(format!("{indent}PersistentKeepalive = {}", server.keep_alive.min(u32::from(u16::MAX))));
    }
    if let Some(preshared) = &account.preshared_key {
        lines.push(format!("{indent}PresharedKey = {}", preshared.expose_base64()));
    }
    lines.push(format!("{indent}PublicKey = {}", server.private_key.public()));
    lines.join("\n")
}

fn endpoint_host(server: &VpnServer) -> String {
    match server.endpoint.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
        Ok(IpAddr::V4(v4)) => v4.to_string(),
        Err(_) if server.endpoint.is_empty() => server.external_ip.to_string(),
        Err(_) => server.endpoint.clone(),
    }
}
