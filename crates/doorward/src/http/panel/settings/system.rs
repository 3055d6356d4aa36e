//! The system: settings of the VPN service, and what the configuration file says.

use askama::Template;

use super::{Answer, Change, Failure, Form, Frame, MODULE, Routes, Seat, TABS, typed};
use crate::app::{
    Given,
    system::{SettingsWish, State, VpnSettings},
};

pub(super) const PAGE: &str = "/settings";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, show).change("/settings/vpn", MODULE, save).change(
        "/settings/vpn/default",
        MODULE,
        set_back,
    )
}

#[derive(Template)]
#[template(path = "panel/settings_system.html")]
struct Page {
    f: Frame,
    form: VpnForm,
    error: String,
    state: State,
    origin: String,
    endpoint: String,
}

/// As it was typed.
struct VpnForm {
    frequency: String,
    history: String,
    uptime: String,
}

fn page(seat: &Seat, form: VpnForm, error: String) -> Result<Page, Failure> {
    let state = seat.desk()?.view(MODULE)?.state();
    let (origin, endpoint) = (seat.origin(), seat.api_endpoint());
    Ok(Page { f: seat.frame("menu-settings"), form, error, state, origin, endpoint })
}

async fn show(seat: Seat) -> Answer {
    let stored = seat.desk()?.view(MODULE)?.vpn_settings().await?;
    let form = VpnForm {
        frequency: stored.traffic_statistics_frequency.to_string(),
        history: stored.traffic_statistics_history.to_string(),
        uptime: stored.wireguard_handshake_uptime.to_string(),
    };
    seat.page(&page(&seat, form, String::new())?)
}

async fn save(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let typed = VpnForm {
        frequency: typed(&form, "frequency"),
        history: typed(&form, "history"),
        uptime: typed(&form, "uptime"),
    };
    let wish = SettingsWish {
        traffic_statistics_frequency: given(&typed.frequency),
        traffic_statistics_history: given(&typed.history),
        wireguard_handshake_uptime: given(&typed.uptime),
    };
    let before = words(desk.view(MODULE)?.vpn_settings().await?);
    let after = format!("{} min, {} months, {} s", typed.frequency, typed.history, typed.uptime);
    let change = Change::new("edit", "VPN").before(before).after(after);
    match desk.change(MODULE, change, move |app| async move { app.update_settings(wish).await }).await {
        Ok(_) => seat.done(PAGE, "settings-saved", &[]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, typed, error)?)
        }
    }
}

async fn set_back(seat: Seat) -> Answer {
    let desk = seat.desk()?;
    let before = words(desk.view(MODULE)?.vpn_settings().await?);
    let change = Change::new("set_back", "VPN").before(before).after(words(VpnSettings::default()));
    desk.change(MODULE, change, |app| async move { app.reset_settings().await }).await?;
    seat.done(PAGE, "settings-saved", &[])
}

/// A page's form always sends its fields: what is empty is wrong, not missing.
fn given<T: std::str::FromStr>(text: &str) -> Given<T> {
    text.parse().map_or(Given::Wrong, Given::Is)
}

fn words(settings: VpnSettings) -> String {
    let VpnSettings { traffic_statistics_frequency, traffic_statistics_history, wireguard_handshake_uptime } = settings;
    format!("{traffic_statistics_frequency} min, {traffic_statistics_history} months, {wireguard_handshake_uptime} s")
}
