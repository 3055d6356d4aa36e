//! `/system` and `/license` (VPN API, sections 3.1 and 3.2).

use serde_json::Value;

use crate::{
    app::Error as E,
    http::contract::{
        Operation, optional,
        schema::{boolean, count, digits, exactly, integer, moment, object, pattern, reference, text},
    },
};

pub(super) fn operations() -> Vec<Operation> {
    let most = i64::from(i32::MAX);
    vec![
        Operation::get("/system/status", "get_system_status", "State of the gateway, also while it loads", status()),
        Operation::get("/system/info", "get_system_info", "The machine now", info()),
        Operation::put(
            "/system/reload",
            "reload_system",
            "Compares the stored state with the kernel and repairs it",
            exactly("success"),
        )
        .refuses([E::Loading]),
        Operation::get("/system/config", "get_system_config", "Settings of statistics", reference("SystemConfig")),
        Operation::put(
            "/system/config",
            "update_system_config",
            "Changes settings of statistics",
            reference("SystemConfig"),
        )
        .takes(vec![
            optional("traffic_statistics_frequency", integer(1, 1440), "Minutes between collections"),
            optional("traffic_statistics_history", integer(0, most), "Months kept; 0 collects nothing"),
            optional(
                "wireguard_handshake_uptime",
                integer(1, 300),
                "Seconds after the last handshake until an account counts as offline",
            ),
        ])
        .refuses([E::StatisticsFrequency, E::StatisticsHistory, E::HandshakeUptime]),
        Operation::put(
            "/system/config/default",
            "reset_system_config",
            "Sets 5 minutes, 2 months, 180 seconds",
            reference("SystemConfig"),
        ),
        Operation::get("/license", "get_license", "The licence, which never ends", license()),
    ]
}

pub(super) fn config() -> Value {
    object(&[
        ("traffic_statistics_frequency", integer(1, 1440)),
        ("traffic_statistics_history", integer(0, i64::from(i32::MAX))),
        ("wireguard_handshake_uptime", integer(1, 300)),
    ])
}

fn status() -> Value {
    object(&[
        ("count_accounts", count()),
        ("count_accounts_available", count()),
        ("count_wireguard", count()),
        ("license", moment()),
        ("license_valid", boolean()),
        ("status", pattern(r"^(OK|Loading \(.+\))$")),
        ("version", exactly("1.8")),
    ])
}

fn info() -> Value {
    let load = || pattern(r"^[0-9]+\.[0-9]{2}$");
    object(&[
        ("cpu_model", text()),
        ("cpu_threads", digits()),
        ("cpu_used_load1", load()),
        ("cpu_used_load15", load()),
        ("cpu_used_load5", load()),
        ("hostname", text()),
        ("memory_free", digits()),
        ("memory_total", digits()),
        ("memory_used", digits()),
        ("memory_used_percent", digits()),
        ("os_architecture", text()),
        ("os_name", text()),
        ("timezone", text()),
    ])
}

fn license() -> Value {
    object(&[
        ("accounts", count()),
        ("expiration_date", moment()),
        ("key", pattern("^[A-Z0-9]{6}(-[A-Z0-9]{6}){4}$")),
        ("last_check", moment()),
        ("valid", boolean()),
    ])
}
