//! What is on the guest networks now (Hotspot API, section 6). Every value is a string.

use std::net::IpAddr;

use axum::response::Response;
use doorward_policy::guest::Mac;
use serde::Serialize;

use super::{
    answer::{FAILED, GUEST_KICKED, NO_SUCH_GUEST, Refusal, json, ok},
    parameters::Parameters,
};
use crate::{
    app::{
        App,
        live::{LiveHost, Which},
    },
    hosts::Standing,
};

#[derive(Serialize)]
struct Answer<T> {
    data: Vec<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct GuestHost {
    address: String,
    mac_address: String,
    host_name: String,
    status: &'static str,
    logins: String,
    uptime: String,
    idle_time: String,
    bytes_out: String,
    bytes_in: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ActiveGuest {
    logins: String,
    address: String,
    mac_address: String,
    uptime: String,
    idle_time: String,
    bytes_out: String,
    bytes_in: String,
}

pub(super) async fn hosts(app: &App) -> Result<Response, Refusal> {
    let host = |host: LiveHost| GuestHost {
        address: host.address.to_string(),
        mac_address: host.mac.to_string(),
        host_name: host.host_name,
        status: match host.standing {
            Standing::Online => "authorized",
            Standing::Allowed => "bypassed",
            Standing::Captive | Standing::Blocked => "unauthorized",
        },
        logins: host.login,
        uptime: duration(host.uptime_ms),
        idle_time: duration(host.idle_ms),
        bytes_out: host.bytes_down.to_string(),
        bytes_in: host.bytes_up.to_string(),
    };
    let data = app.guest_hosts().await?.into_iter().map(host).collect();
    Ok(ok(json(&Answer { data })))
}

pub(super) async fn active(app: &App) -> Result<Response, Refusal> {
    let guest = |host: LiveHost| ActiveGuest {
        logins: host.login,
        address: host.address.to_string(),
        mac_address: host.mac.to_string(),
        uptime: duration(host.uptime_ms),
        idle_time: duration(host.idle_ms),
        bytes_out: host.bytes_down.to_string(),
        bytes_in: host.bytes_up.to_string(),
    };
    let data = app.active_guests().await?.into_iter().map(guest).collect();
    Ok(ok(json(&Answer { data })))
}

pub(super) async fn kick(app: &App, all: &Parameters) -> Result<Response, Refusal> {
    let mac = all.read("mac", |text| text.parse::<Mac>().ok())?;
    let address = all.read("address", |text| text.parse::<IpAddr>().ok())?;
    let which = match (mac, address) {
        (Some(mac), None) => Which::Mac(mac),
        (None, Some(address)) => Which::Address(address),
        (Some(_), Some(_)) | (None, None) => return Err(FAILED.into()),
    };
    if app.kick_guest(which).await? { Ok(ok(GUEST_KICKED.json())) } else { Err(NO_SUCH_GUEST.into()) }
}

/// `3h20m07s`: hours without bound and without leading zero.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{}h{:02}m{:02}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations() {
        for (seconds, text) in [(0, "0h00m00s"), (423, "0h07m03s"), (93_930, "26h05m30s"), (360_000, "100h00m00s")] {
            assert_eq!(duration(seconds * 1000 + 999), text);
        }
    }
}
