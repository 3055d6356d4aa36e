//! `/wireguard` (VPN API, section 3.3).

use serde_json::Value;

use crate::{
    app::Error as E,
    http::contract::{
        Field, Operation, optional,
        schema::{
            boolean, digits, exactly, integer, ipv4, ipv4_net, ipv4_or_empty, ipv6_net_or_empty, ipv6_or_empty, key,
            list_of, local_time, map_of, name, object, pattern, reference, text, text_within,
        },
    },
};

pub(super) fn operations() -> Vec<Operation> {
    let server = || reference("Server");
    let of_one = |path, id, summary, answer| Operation::get(path, id, summary, answer).refuses([E::ServerNotFound]);
    let mut create = server_fields();
    create.insert(0, optional("interface_name", pattern("^wg[0-9]{1,13}$"), "Filled in: `wgN`"));
    create.insert(0, optional("name", name(), "Filled in: `Default_N`; immutable"));
    vec![
        Operation::get("/wireguard", "list_servers", "Every server by its name", map_of(server())),
        Operation::post("/wireguard", "create_server", "Makes a server; what is not sent is filled in", server())
            .takes(create)
            .refuses([E::NameTaken, E::InterfaceName, E::Name, E::Keys, E::InterfaceTaken])
            .refuses(wrong()),
        Operation::get("/wireguard/info", "get_wireguard_info", "Versions of what is installed", info()),
        Operation::get(
            "/wireguard/online",
            "list_online",
            "Accounts with a recent handshake, sorted by name",
            list_of(reference("Online")),
        ),
        of_one("/wireguard/{name}", "get_server", "A server", server()),
        Operation::put("/wireguard/{name}", "update_server", "Changes a server; peers stay connected", server())
            .takes(server_fields())
            .refuses([E::ServerNotFound, E::Keys, E::InterfaceTaken])
            .refuses(wrong())
            .refuses([E::AccountsOutside]),
        Operation::delete("/wireguard/{name}", "delete_server", "Deletes a server without accounts")
            .refuses([E::ServerNotFound, E::ServerHasAccounts]),
        of_one("/wireguard/{name}/peers", "list_peers", "Its accounts by name", map_of(reference("Account"))),
        of_one(
            "/wireguard/{name}/available_ips",
            "list_available_ips",
            "Free addresses, ascending, at most 65,534",
            list_of(ipv4()),
        ),
        Operation::put(
            "/wireguard/{name}/set_bandwidth",
            "set_bandwidth",
            "Gives its bandwidth to all its accounts",
            exactly(""),
        )
        .refuses([E::ServerNotFound]),
        of_one(
            "/wireguard/{name}/set_bandwidth",
            "set_bandwidth_by_get",
            "The same, as the original's example asks",
            exactly(""),
        ),
        of_one(
            "/wireguard/{name}/firewall_nat_rules",
            "get_server_nat_rules",
            "Its NAT in the kernel, a line a rule",
            text(),
        ),
        of_one(
            "/wireguard/{name}/firewall_filter_rules",
            "get_server_filter_rules",
            "Its rule between accounts in the kernel",
            text(),
        ),
        of_one(
            "/wireguard/{name}/traffic_control",
            "get_server_traffic_control",
            "Its root queueing discipline in the kernel",
            text(),
        ),
        of_one(
            "/wireguard/{name}/dump",
            "get_server_dump",
            "Port and key in the kernel",
            object(&[("port", digits()), ("public_key", key())]),
        ),
    ]
}

pub(super) fn server() -> Value {
    object(&[
        ("address", ipv4_net()),
        ("address_ipv6", ipv6_net_or_empty()),
        ("allowed_ips", text()),
        ("b_download", digits()),
        ("b_upload", digits()),
        ("disable_nat", boolean()),
        ("dns_1", ipv4_or_empty()),
        ("dns_1_ipv6", ipv6_or_empty()),
        ("dns_2", ipv4_or_empty()),
        ("dns_2_ipv6", ipv6_or_empty()),
        ("endpoint", text()),
        ("external_ip", ipv4()),
        ("ikev2", boolean()),
        ("interface_name", pattern("^wg[0-9]+$")),
        ("internal_traffic", boolean()),
        ("ipv6", boolean()),
        ("keep_alive", integer(0, i64::from(i32::MAX))),
        ("listen_port", digits()),
        ("mtu", integer(0, 9100)),
        ("name", name()),
        ("private_key", key()),
        ("public_key", key()),
    ])
}

pub(super) fn online() -> Value {
    object(&[
        ("allowed_IPs", ipv4()),
        ("b_download", digits()),
        ("b_upload", digits()),
        ("endpoint", text()),
        ("latest_handshake", local_time()),
        ("name", name()),
        ("status", exactly("enable")),
        ("transfer_rx", digits()),
        ("transfer_tx", digits()),
        ("username", name()),
        ("wg_name", name()),
    ])
}

fn info() -> Value {
    object(&[("wireguard", text()), ("wireguard-dkms", text()), ("wireguard-tools", text())])
}

/// What POST and PUT share.
fn server_fields() -> Vec<Field> {
    vec![
        optional("listen_port", integer(1, 65_535), "UDP port, unique; filled in from 51820 on"),
        optional("address", ipv4_net(), "The interface's own address and the clients' subnet"),
        optional("private_key", key(), "Filled in with a new pair"),
        optional("public_key", key(), "Must belong to `private_key`"),
        optional("mtu", integer(0, 9100), "0: the kernel's"),
        optional("keep_alive", integer(0, i64::from(i32::MAX)), "Seconds, in client configurations; 0: off"),
        optional("allowed_ips", text_within(0, 1500), "Subnets, comma-separated; empty: everything"),
        optional("endpoint", text_within(0, 253), "Address or domain without port; empty: `external_ip`"),
        optional("external_ip", ipv4(), "Source of NAT and client endpoint"),
        optional("dns_1", ipv4_or_empty(), "Resolver handed to clients"),
        optional("dns_2", ipv4_or_empty(), "Resolver handed to clients"),
        optional("dns_1_ipv6", ipv6_or_empty(), "Resolver handed to clients"),
        optional("dns_2_ipv6", ipv6_or_empty(), "Resolver handed to clients"),
        optional("internal_traffic", boolean(), "Accounts of this server may reach each other"),
        optional("ikev2", boolean(), "Stored and without effect"),
        optional("ipv6", boolean(), "IPv6 in the tunnel"),
        optional("address_ipv6", ipv6_net_or_empty(), "Filled in with an unused unique-local /64"),
        optional("disable_nat", boolean(), "No source NAT"),
        optional("b_download", integer(0, 10_000), "Mbit/s towards clients for new accounts; 0: unlimited"),
        optional("b_upload", integer(0, 10_000), "Mbit/s from clients for new accounts; 0: unlimited"),
    ]
}

/// What both refuse of the values, in the order of the original's list; then ours.
fn wrong() -> Vec<E> {
    vec![
        E::PortTaken,
        E::ExternalIp,
        E::Port,
        E::SubnetTaken,
        E::Dns1,
        E::Dns2,
        E::Ip,
        E::Mtu,
        E::Keepalive,
        E::AllowedIps,
        E::Endpoint,
        E::Bandwidth,
        E::ForwardTaken,
        E::Boolean("internal_traffic"),
        E::Boolean("ikev2"),
        E::Boolean("ipv6"),
        E::Boolean("disable_nat"),
    ]
}
