//! The front page: the login, or, for a device that is online, how it stands.

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::Response,
};
use doorward_policy::{guest::Method, limits::Mbit};

use super::{
    Site,
    form::Form,
    frame::Frame,
    login::{self, Sent},
    plain::{self, One},
    view::MOST_CODE,
    visit::{Posted, Visit},
    voucher::{self, Listed},
};
use crate::{
    app::logins::{Device, SessionStatus},
    clock::now_ms,
    hosts::Standing,
    words,
};

/// Seconds between looks at a session.
const REFRESH: u32 = 30;

#[derive(Template)]
#[template(path = "portal/status.html")]
struct Status {
    f: Frame,
    rows: Vec<(String, String)>,
    can_log_out: bool,
    waiting: bool,
    /// Devices of the grant, if there are others; each but this one can be removed.
    devices: Vec<Listed>,
}

/// What stands at `/`.
pub(super) async fn front(State(site): State<Site>, visit: Visit, uri: Uri) -> Response {
    let device = match plain::known(&visit) {
        Ok(device) => device,
        Err(answer) => return *answer,
    };
    let query = Form::parse(uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    match visit.standing {
        Standing::Allowed => allowed(&visit),
        Standing::Online => online(&site, &visit, &device).await,
        Standing::Captive | Standing::Blocked => {
            if let Ok(name) = query.line("u", MOST_CODE) {
                return voucher::prefilled(
                    &site,
                    &visit,
                    name.to_owned(),
                    query.raw("p").chars().filter(|c| !c.is_control()).take(MOST_CODE).collect(),
                );
            }
            if site.silent.patiently(&site.app, visit.settings().silent_return, &device).await {
                return plain::see(&visit, "/");
            }
            let waiting = site.app.waiting_code(&device).await.is_some();
            if waiting && !query.ticked("other") {
                return plain::see(&visit, "/code");
            }
            login::page(&site, &visit, &Sent::default(), waiting, StatusCode::OK)
        }
    }
}

/// Ends the session.
pub(super) async fn log_out(State(site): State<Site>, visit: Visit, request: Request) -> Response {
    let Posted { device, form: _ } = match Posted::read(&site, &visit, request).await {
        Ok(posted) => posted,
        Err(answer) => return answer,
    };
    if let Err(error) = site.app.log_out(&device).await {
        tracing::error!(error = &error as &dyn std::error::Error, "a guest could not be logged out");
        return plain::failed(&visit);
    }
    let page = One::new(&visit, "logged-out", &["logged-out-text"]).link(&visit, "/", "log-in-again");
    page.send(StatusCode::OK)
}

fn allowed(visit: &Visit) -> Response {
    let rows = vec![(visit.t("status-allowed"), String::new())];
    let page = Status { f: Frame::of(visit), rows, can_log_out: false, waiting: false, devices: Vec::new() };
    page.f.send(StatusCode::OK, &page)
}

async fn online(site: &Site, visit: &Visit, device: &Device) -> Response {
    site.silent.forget(device.hotspot, device.mac);
    let Some(status) = site.app.session_status(device).await else { return plain::failed(visit) };
    // Somebody with a while to fetch a mail has a code to enter.
    let waiting = status.method == Method::Email && site.app.waiting_code(device).await.is_some();
    let others = status.devices.iter().any(|slot| slot.mac != device.mac);
    let devices = status.devices.iter().filter(|_| others).map(|slot| voucher::listed(visit, device, slot));
    let mut frame = Frame::of(visit);
    frame.refresh = Some(REFRESH);
    let page = Status { f: frame, rows: rows(visit, &status), can_log_out: true, waiting, devices: devices.collect() };
    page.f.send(StatusCode::OK, &page)
}

fn rows(visit: &Visit, status: &SessionStatus) -> Vec<(String, String)> {
    let lang = visit.lang;
    let data = |bytes| words::data(lang, bytes);
    let login = match status.method {
        Method::Mobile => format!("+{}", status.login),
        Method::Free => String::new(),
        Method::Voucher | Method::Email | Method::Facebook => status.login.clone(),
    };
    let mut rows = Vec::new();
    if !login.is_empty() {
        rows.push((visit.t("status-who"), login));
    }
    let time = status.ends_ms.map_or_else(
        || visit.t("unlimited"),
        |ends_ms| words::duration(lang, u64::try_from(ends_ms.saturating_sub(now_ms())).unwrap_or(0) / 1000),
    );
    rows.push((visit.t("status-time"), time));
    let left = status.left;
    let limits = [("status-data", left.total), ("status-data-down", left.down), ("status-data-up", left.up)];
    rows.extend(limits.into_iter().filter_map(|(name, left)| Some((visit.t(name), data(left?)))));
    rows.push((visit.t("status-used"), data(status.used.down.saturating_add(status.used.up))));
    let speed = |mbit: Mbit| match mbit.get() {
        0 => visit.t("unlimited"),
        mbit => format!("{mbit} Mbit/s"),
    };
    if status.speed.down.get() > 0 || status.speed.up.get() > 0 {
        let (down, up) = (speed(status.speed.down), speed(status.speed.up));
        let value = words::fill(lang, "status-speed-value", &[("down", &down), ("up", &up)]);
        rows.push((visit.t("status-speed"), value));
    }
    if status.devices.len() > 1 {
        rows.push((visit.t("status-devices"), status.devices.len().to_string()));
    }
    rows
}
