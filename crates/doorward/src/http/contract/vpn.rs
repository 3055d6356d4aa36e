//! The operations of the VPN API (section 3), in the order of its table.

mod account;
mod backups;
mod dns;
mod firewall;
mod otl;
mod port_forward;
mod system;
mod wireguard;

use serde_json::Value;

use super::Operation;

pub(super) fn operations() -> Vec<Operation> {
    [
        system::operations(),
        wireguard::operations(),
        port_forward::operations(),
        account::operations(),
        firewall::operations(),
        dns::operations(),
        otl::operations(),
        backups::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Objects that several answers have.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Account", account::account()),
        ("Backup", backups::backup()),
        ("BackupConfig", backups::config()),
        ("Day", account::day()),
        ("Dns", dns::dns()),
        ("FilterRule", firewall::rule()),
        ("Online", wireguard::online()),
        ("PortForward", port_forward::rule()),
        ("Server", wireguard::server()),
        ("SystemConfig", system::config()),
    ]
}
