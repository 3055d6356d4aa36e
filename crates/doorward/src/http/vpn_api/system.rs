//! `/system` (VPN API, section 3.1).

use axum::extract::Request;
use serde::Serialize;

use super::{Answer, Operations, values::number};
use crate::{
    app::system::{SettingsWish, VpnSettings},
    http::{body::Parameters, envelope::Success},
};

/// When a licence ends that does not.
pub(super) const NEVER: &str = "2099-12-31T23:59:59+00:00";

/// Version of the original that this API is compatible with (Open 9).
const COMPATIBLE_WITH: &str = "1.8";

#[derive(Serialize)]
pub(super) struct StatusResponse {
    count_accounts: u32,
    count_accounts_available: u32,
    count_wireguard: u32,
    license: &'static str,
    license_valid: bool,
    status: String,
    version: &'static str,
}

pub(super) async fn get_status(Operations(app): Operations) -> Answer<StatusResponse> {
    let state = app.state();
    Ok(Success(StatusResponse {
        count_accounts: state.accounts,
        count_accounts_available: state.most_accounts,
        count_wireguard: state.servers,
        license: NEVER,
        license_valid: true,
        status: state.text,
        version: COMPATIBLE_WITH,
    }))
}

#[derive(Serialize)]
pub(super) struct InfoResponse {
    cpu_model: String,
    cpu_threads: String,
    cpu_used_load1: String,
    cpu_used_load15: String,
    cpu_used_load5: String,
    hostname: String,
    memory_free: String,
    memory_total: String,
    memory_used: String,
    memory_used_percent: String,
    os_architecture: &'static str,
    os_name: String,
    timezone: String,
}

pub(super) async fn get_info(Operations(app): Operations) -> Answer<InfoResponse> {
    let machine = app.machine().await?;
    let (used, percent) = (machine.memory_used(), machine.memory_used_percent());
    let [load1, load5, load15] = machine.load;
    Ok(Success(InfoResponse {
        cpu_model: machine.cpu_model,
        cpu_threads: machine.cpu_threads.to_string(),
        cpu_used_load1: load1,
        cpu_used_load15: load15,
        cpu_used_load5: load5,
        hostname: machine.hostname,
        memory_free: machine.memory_free.to_string(),
        memory_total: machine.memory_total.to_string(),
        memory_used: used.to_string(),
        memory_used_percent: percent.to_string(),
        os_architecture: machine.os_architecture,
        os_name: machine.os_name,
        timezone: machine.timezone,
    }))
}

pub(super) async fn put_reload(Operations(app): Operations) -> Answer<&'static str> {
    app.reload().await?;
    Ok(Success("success"))
}

#[derive(Serialize)]
pub(super) struct ConfigResponse {
    traffic_statistics_frequency: u16,
    traffic_statistics_history: u32,
    wireguard_handshake_uptime: u16,
}

impl From<VpnSettings> for ConfigResponse {
    fn from(settings: VpnSettings) -> Self {
        let VpnSettings { traffic_statistics_frequency, traffic_statistics_history, wireguard_handshake_uptime } =
            settings;
        Self { traffic_statistics_frequency, traffic_statistics_history, wireguard_handshake_uptime }
    }
}

pub(super) async fn get_config(Operations(app): Operations) -> Answer<ConfigResponse> {
    Ok(Success(app.vpn_settings().await?.into()))
}

pub(super) async fn put_config(Operations(app): Operations, request: Request) -> Answer<ConfigResponse> {
    let sent = Parameters::read(request).await?;
    let wish = SettingsWish {
        traffic_statistics_frequency: sent.given("traffic_statistics_frequency", number),
        traffic_statistics_history: sent.given("traffic_statistics_history", number),
        wireguard_handshake_uptime: sent.given("wireguard_handshake_uptime", number),
    };
    Ok(Success(app.update_settings(wish).await?.into()))
}

pub(super) async fn put_config_default(Operations(app): Operations) -> Answer<ConfigResponse> {
    Ok(Success(app.reset_settings().await?.into()))
}
