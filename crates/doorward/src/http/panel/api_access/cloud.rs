//! The cloud endpoint's card: its address, how its line is, enrolment, new name, farewell (Hotspot API, section 1.4).

use super::{Answer, Change, Failure, Form, MODULE, PAGE, Seat, page};
use crate::app::{
    App,
    cloud::{CloudLink, CloudWish},
};

/// What the page shows of it.
pub(super) struct Card {
    /// `None`: there is no enrolment.
    pub(super) endpoint: Option<String>,
    pub(super) relay: String,
    pub(super) enabled: bool,
    /// Unix ms since when it is connected.
    pub(super) since_ms: Option<i64>,
    /// `1.234`
    pub(super) latency_ms: Option<String>,
    pub(super) seen_ms: Option<i64>,
    /// What the last attempt ended with; the relay's operator may need it as it is.
    pub(super) last_error: Option<String>,
    pub(super) form: EnrolForm,
    /// Why the form was refused.
    pub(super) error: String,
}

/// As it was typed, without the token.
#[derive(Clone)]
pub(super) struct EnrolForm {
    pub(super) host: String,
    pub(super) port: String,
    pub(super) ca: String,
}

impl EnrolForm {
    pub(super) fn new() -> Self {
        Self { host: String::new(), port: "443".to_owned(), ca: String::new() }
    }

    fn read(form: &Form) -> Self {
        let typed = |name: &str, most| form.trimmed(name).chars().take(most).collect();
        Self { host: typed("host", 256), port: typed("port", 16), ca: typed("ca", 64 * 1024) }
    }
}

impl Card {
    pub(super) fn of(app: &App, form: EnrolForm, error: String) -> Self {
        let (record, status) = (app.cloud(), app.cloud_status());
        let since_ms = match status.link {
            CloudLink::Connected { since_ms } => Some(since_ms),
            CloudLink::Connecting | CloudLink::Off => None,
        };
        let enabled = record.as_ref().is_some_and(|record| record.enabled);
        Self {
            endpoint: app.cloud_endpoint(),
            relay: record.map(|record| format!("{}:{}", record.host, record.port)).unwrap_or_default(),
            enabled,
            since_ms: since_ms.filter(|_| enabled),
            latency_ms: status.latency_us.map(|us| format!("{}.{:03}", us / 1000, us % 1000)),
            seen_ms: status.seen_ms,
            last_error: status.error.filter(|_| enabled),
            form,
            error,
        }
    }
}

pub(super) async fn enrol(seat: Seat, form: Form) -> Answer {
    let typed = EnrolForm::read(&form);
    let wish = CloudWish {
        host: typed.host.clone(),
        // What is no port is refused as 0 is.
        port: typed.port.parse().unwrap_or(0),
        ca: typed.ca.clone(),
        token: form.trimmed("token").to_owned(),
    };
    let change = Change::new("enrol", "cloud endpoint").after(format!("{}:{}", typed.host, typed.port));
    match seat.desk()?.change(MODULE, change, move |app| async move { app.enrol_cloud(wish).await }).await {
        Ok(()) => seat.done(PAGE, "cloud-enrolled", &[]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, typed, error)?)
        }
    }
}

pub(super) async fn switch(seat: Seat, form: Form) -> Answer {
    let on = form.has("enabled");
    let change = Change::new(if on { "switch_on" } else { "switch_off" }, "cloud endpoint");
    match seat.desk()?.change(MODULE, change, move |app| async move { app.switch_cloud(on).await }).await {
        Ok(()) => seat.done(PAGE, if on { "cloud-is-on" } else { "cloud-is-off" }, &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}

pub(super) async fn rotate(seat: Seat) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let change = Change::new("renew_name", "cloud endpoint").before(app.cloud_endpoint().unwrap_or_default());
    match seat.desk()?.change(MODULE, change, move |app| async move { app.rotate_cloud().await }).await {
        Ok(()) => seat.done(PAGE, "cloud-renewed", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}

pub(super) async fn leave(seat: Seat) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let change = Change::new("leave", "cloud endpoint").before(app.cloud_endpoint().unwrap_or_default());
    match seat.desk()?.change(MODULE, change, move |app| async move { app.leave_cloud().await }).await {
        Ok(()) => seat.done(PAGE, "cloud-left", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}

/// The page as it is without anything typed.
pub(super) fn plain(seat: &Seat) -> Result<super::Page, Failure> {
    page(seat, EnrolForm::new(), String::new())
}
