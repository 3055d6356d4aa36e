//! The HTTP gateway that sends SMS, with a test. Its address, headers and body may hold keys: none of them is shown.

use std::collections::BTreeMap;

use askama::Template;

use super::{Answer, Change, Failure, Form, Frame, MODULE, Routes, Seat, TABS, secret, typed};
use crate::{
    app::{Error, senders::SmsWish},
    hotspot_settings::{Invalid, Sms, Why},
};

pub(super) const PAGE: &str = "/settings/sms";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, show).change(PAGE, MODULE, save).change("/settings/sms/off", MODULE, switch_off).change(
        "/settings/sms/test",
        MODULE,
        test,
    )
}

#[derive(Template)]
#[template(path = "panel/settings_sms.html")]
struct Page {
    f: Frame,
    stored: Option<Stored>,
    form: SmsForm,
    error: String,
    test_to: String,
    test_error: String,
}

/// What may be shown of the gateway that is stored.
struct Stored {
    method: String,
    /// Without its query.
    address: String,
    /// Names alone.
    headers: String,
    has_body: bool,
}

/// As it was typed; empty where the stored value is to stay.
#[derive(Clone)]
struct SmsForm {
    method: String,
    url: String,
    headers: String,
    body: String,
    country_code: String,
    no_headers: bool,
    no_body: bool,
}

impl SmsForm {
    fn of(sms: Option<&Sms>) -> Self {
        Self {
            method: sms.map_or("POST", |sms| sms.method.as_str()).to_owned(),
            country_code: sms.map(|sms| sms.country_code.clone()).unwrap_or_default(),
            url: String::new(),
            headers: String::new(),
            body: String::new(),
            no_headers: false,
            no_body: false,
        }
    }

    fn read(form: &Form) -> Self {
        Self {
            method: typed(form, "method"),
            url: typed(form, "url"),
            headers: typed(form, "headers"),
            body: typed(form, "body"),
            country_code: typed(form, "country_code"),
            no_headers: form.has("no_headers"),
            no_body: form.has("no_body"),
        }
    }

    fn wish(&self, form: &Form) -> Result<SmsWish, Error> {
        Ok(SmsWish {
            method: self.method.clone(),
            url: secret(form, "url").map(|url| url.trim().to_owned()),
            headers: match self.no_headers {
                true => Some(BTreeMap::new()),
                false => secret(form, "headers").map(|text| headers(&text)).transpose()?,
            },
            body: match self.no_body {
                true => Some(String::new()),
                false => secret(form, "body"),
            },
            country_code: self.country_code.clone(),
        })
    }
}

/// Reads `Name: value` lines.
fn headers(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pairs = lines.map(|line| {
        let pair = line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        pair.ok_or_else(|| Invalid { field: "sms.headers".to_owned(), why: Why::Header }.into())
    });
    pairs.collect()
}

fn show_stored(sms: &Sms) -> Stored {
    Stored {
        method: sms.method.clone(),
        address: sms.url.split(['?', '#']).next().unwrap_or_default().to_owned(),
        headers: sms.headers.keys().cloned().collect::<Vec<_>>().join(", "),
        has_body: !sms.body.is_empty(),
    }
}

fn page(seat: &Seat, form: Option<SmsForm>, error: String, test: (String, String)) -> Result<Page, Failure> {
    let settings = seat.desk()?.view(MODULE)?.guest_settings();
    let sms = settings.sms.as_ref();
    let form = form.unwrap_or_else(|| SmsForm::of(sms));
    let (test_to, test_error) = test;
    Ok(Page { f: seat.frame("menu-settings"), stored: sms.map(show_stored), form, error, test_to, test_error })
}

async fn show(seat: Seat) -> Answer {
    seat.page(&page(&seat, None, String::new(), Default::default())?)
}

async fn save(seat: Seat, form: Form) -> Answer {
    let typed = SmsForm::read(&form);
    let after = match typed.url.split(['?', '#']).next() {
        Some("") | None => format!("{}, the same address", typed.method),
        Some(address) => format!("{} {address}", typed.method),
    };
    let before = seat.desk()?.view(MODULE)?.guest_settings().sms.as_ref().map(show_stored);
    let before = before.map(|old| format!("{} {}", old.method, old.address)).unwrap_or_default();
    let change = Change::new("edit", "sms").before(before).after(after);
    let wish = typed.wish(&form);
    match seat.desk()?.change(MODULE, change, move |app| async move { app.set_sms(wish?).await }).await {
        Ok(()) => seat.done(PAGE, "settings-saved", &[]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, Some(typed), error, Default::default())?)
        }
    }
}

async fn switch_off(seat: Seat) -> Answer {
    let change = Change::new("switch_off", "sms");
    let done = seat.desk()?.change(MODULE, change, |app| async move {
        app.edit_guest_settings(|settings| {
            settings.sms = None;
            Ok(())
        })
        .await
    });
    done.await?;
    seat.done(PAGE, "settings-sms-is-off", &[])
}

/// Waits for what the gateway says, so that it can be read here and not in a log.
async fn test(seat: Seat, form: Form) -> Answer {
    let (to, lang) = (typed(&form, "to"), seat.lang);
    let (change, recipient) = (Change::new("test", "sms").after(&to), to.clone());
    let work = move |app: crate::app::App| async move { app.send_test_sms(&recipient, lang).await };
    match seat.desk()?.change(MODULE, change, work).await {
        Ok(()) => seat.done(PAGE, "settings-test-sent", &[("to", &to)]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, None, String::new(), (to, error))?)
        }
    }
}
