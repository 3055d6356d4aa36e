//! `/account` (VPN API, section 3.4, and docs/api-design.md for what is ours).

use serde_json::Value;

use crate::{
    app::Error as E,
    http::contract::{
        Field, Operation, optional, required,
        schema::{
            boolean, count, date, digits, exactly, integer, ipv4, ipv6_or_empty, key, key_or_empty, list_of, moment,
            moment_or_empty, name, object, object_with, one_of, pattern, reference, text, text_within,
        },
    },
};

pub(super) fn operations() -> Vec<Operation> {
    let account = || reference("Account");
    let of_one = |path, id, summary, answer| Operation::get(path, id, summary, answer).refuses([E::AccountNotFound]);
    let mut create = vec![
        required("wg_name", name(), "The server"),
        optional("name", name(), "Filled in: `peer_N`; immutable"),
        optional("username", name(), "Filled in: `user_N`; immutable"),
        optional("private_key", key(), "Filled in with a new pair"),
        optional("public_key", key(), "Must belong to `private_key`; alone only with `own_key`"),
        optional("own_key", boolean(), "The client keeps its private key"),
    ];
    create.extend(account_fields());
    vec![
        Operation::get("/account", "list_accounts", "Every account, sorted by name", list_of(account())),
        Operation::post("/account", "create_account", "Makes an account; what is not sent is filled in", account())
            .takes(create)
            .refuses([
                E::AccountLimit,
                E::ServerNotValid,
                E::Name,
                E::NameTaken,
                E::UsernameTaken,
                E::Username,
                E::Ip,
                E::AddressTaken,
                E::AddressOutside,
                E::Keys,
            ])
            .refuses(wrong())
            .refuses([E::Boolean("own_key")]),
        of_one("/account/{name}", "get_account", "An account", account()),
        Operation::put(
            "/account/{name}",
            "update_account",
            "Changes an account; cuts it only if its status or an address changes",
            account(),
        )
        .takes(account_fields())
        .refuses([E::AccountNotFound, E::ServerGone, E::AccountIp, E::AddressTaken, E::AddressOutside, E::Keys])
        .refuses(wrong())
        .refuses([E::Boolean("own_key")]),
        Operation::delete("/account/{name}", "delete_account", "Deletes an account with its forwardings and links")
            .refuses([E::AccountNotFound]),
        of_one(
            "/account/{name}/config_text",
            "get_account_config_text",
            "Configuration for a WireGuard client",
            text(),
        ),
        of_one(
            "/account/{name}/config_qr",
            "get_account_config_qr",
            "The same as a QR code: base64 of a PNG of 500 × 500 pixels",
            pattern("^[A-Za-z0-9+/]+={0,2}$"),
        ),
        of_one(
            "/account/{name}/firewall_mangle_rules",
            "get_account_mangle_rules",
            "Its marks and packets in the kernel",
            text(),
        ),
        of_one("/account/{name}/traffic_control", "get_account_traffic_control", "Its classes in the kernel", text()),
        of_one("/account/{name}/dump", "get_account_dump", "Its peer in the kernel", dump()),
        of_one(
            "/account/{name}/traffic_statistics/{year}/{month}",
            "get_account_traffic_statistics",
            "Bytes of each day of a month",
            list_of(reference("Day")),
        )
        .refuses([E::Month, E::Year]),
    ]
}

pub(super) fn account() -> Value {
    object_with(
        &[
            ("allowed_IPs", ipv4()),
            ("allowed_IPs_ipv6", ipv6_or_empty()),
            ("b_download", digits()),
            ("b_upload", digits()),
            ("mangle", digits()),
            ("name", name()),
            ("password", text_within(1, 128)),
            ("private_key", key_or_empty()),
            ("public_key", key()),
            ("status", one_of(&["enable", "disable"])),
            ("username", name()),
            ("wg_name", name()),
        ],
        &[
            ("expires_at", moment()),
            ("own_key", exactly("1")),
            ("preshared_key", key()),
            ("quota_bytes", digits()),
            ("quota_period", one_of(&["none", "day", "week", "month"])),
            ("quota_used_bytes", digits()),
        ],
    )
}

pub(super) fn day() -> Value {
    object(&[("account", name()), ("date", date()), ("traffic_download", count()), ("traffic_upload", count())])
}

fn dump() -> Value {
    object(&[
        ("allowed_ips", text()),
        ("endpoint", text()),
        ("keepalive", pattern("^(off|[0-9]+)$")),
        ("latest_handshake", digits()),
        ("transfer_rx", digits()),
        ("transfer_tx", digits()),
    ])
}

/// What POST and PUT share.
fn account_fields() -> Vec<Field> {
    vec![
        optional("status", one_of(&["enable", "disable"]), "`enable` unless said"),
        optional("password", text_within(1, 128), "Filled in at random"),
        optional("allowed_IPs", ipv4(), "Tunnel address; the first free one"),
        optional("allowed_IPs_ipv6", ipv6_or_empty(), "The first free one if the server has IPv6"),
        optional("b_download", integer(0, 10_000), "Mbit/s towards the client; 0: unlimited; the server's unless said"),
        optional("b_upload", integer(0, 10_000), "Mbit/s from the client; 0: unlimited; the server's unless said"),
        optional("expires_at", moment_or_empty(), "End, with offset; empty: never"),
        optional("quota_bytes", integer(0, i64::MAX), "Bytes of both directions; 0: none"),
        optional("quota_period", one_of(&["none", "day", "week", "month"]), "When the quota begins anew"),
        optional("preshared_key", key_or_empty(), "Empty: none"),
    ]
}

/// Ours, of both.
fn wrong() -> Vec<E> {
    vec![
        E::AccountStatus,
        E::Password,
        E::Bandwidth,
        E::ExpiresAt,
        E::QuotaBytes,
        E::QuotaPeriod,
        E::QuotaPeriodAlone,
        E::PresharedKey,
    ]
}
