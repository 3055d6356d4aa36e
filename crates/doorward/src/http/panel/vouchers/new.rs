//! Making vouchers: one or thousands.

use std::sync::Arc;

use askama::Template;
use axum::extract::RawQuery;
use doorward_policy::voucher::Passcode;
use sha2::{Digest as _, Sha256};

use super::{
    MODULE,
    terms::{Typed, validities},
};
use crate::{
    app::{
        App, Error,
        desk::Change,
        vouchers::{Done, MOST_AT_ONCE, Once, OnceTicket, VoucherRecord, VoucherWish},
    },
    clock::now_ms,
    hotspot_settings::GuestSettings,
    http::panel::{
        form::Form,
        routes::Routes,
        seat::{Answer, Failure, Seat, redirect},
        view::Frame,
    },
    secrets,
};

pub(super) fn routes(routes: Routes) -> Routes {
    routes.form("/vouchers/+new", MODULE, ask).change("/vouchers/+new", MODULE, create)
}

#[derive(Template)]
#[template(path = "panel/voucher_new.html")]
struct Page {
    f: Frame,
    typed: Typed,
    count: String,
    code_only: bool,
    username: String,
    passcode: String,
    validities: Vec<(String, String)>,
    /// Names this form, so that two presses make vouchers once.
    ticket: String,
    /// The values are those of the vouchers made last.
    from_last: bool,
    error: String,
}

/// `?defaults`: with the values of the settings, not those of the vouchers made last.
async fn ask(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let last = if query.has("defaults") { None } else { app.last_voucher().await? };
    let typed = match &last {
        Some(last) => as_last(last, &seat),
        None => defaults(&app.guest_settings()),
    };
    seat.page(&Page {
        f: seat.frame("voucher-new"),
        typed,
        count: "1".to_owned(),
        code_only: last.as_ref().is_none_or(|last| last.code_only),
        from_last: last.is_some(),
        username: String::new(),
        passcode: String::new(),
        validities: validities(seat.lang),
        ticket: secrets::random_ticket().map_err(|_| Failure::Broken)?,
        error: String::new(),
    })
}

fn defaults(settings: &GuestSettings) -> Typed {
    Typed {
        valid_for: settings.voucher_valid_for.clone(),
        from_first_use: true,
        devices: settings.voucher_devices.to_string(),
        speed_down: settings.voucher_speed_down.to_string(),
        speed_up: settings.voucher_speed_up.to_string(),
        ..Typed::default()
    }
}

/// What the vouchers made last give. Whose they are is another guest's name; a moment that has passed is none to begin at.
fn as_last(last: &VoucherRecord, seat: &Seat) -> Typed {
    let typed = Typed::of_voucher(last, seat.zone());
    let ahead = last.terms.valid_from_ms > now_ms();
    Typed { fullname: String::new(), valid_from: if ahead { typed.valid_from } else { String::new() }, ..typed }
}

async fn create(seat: Seat, form: Form) -> Answer {
    let typed = Typed::of(&form);
    let made = match wish(&seat, &form, &typed) {
        Ok(wish) => {
            let after = format!("{} × {}, {} devices", wish.count.unwrap_or(1), typed.valid_for, typed.devices);
            let change = Change::new("create", "vouchers").after(after);
            let once = once(&form, &typed);
            let made =
                seat.desk()?.change(MODULE, change, move |app| async move { make(&app, wish, once).await }).await;
            match made {
                Ok(batch_ms) => Ok(batch_ms),
                Err(error) => Err(seat.why(error)?),
            }
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(batch_ms) => Ok(redirect(&format!("/vouchers/+print?batch={batch_ms}"))),
        Err(error) => seat.again(&Page {
            f: seat.frame("voucher-new"),
            typed,
            count: form.trimmed("count").chars().take(10).collect(),
            code_only: form.text("kind") != "login",
            username: form.trimmed("username").chars().take(64).collect(),
            passcode: form.trimmed("passcode").chars().take(64).collect(),
            validities: validities(seat.lang),
            from_last: false,
            // Refused, it made nothing: the next try is another one.
            ticket: secrets::random_ticket().map_err(|_| Failure::Broken)?,
            error,
        }),
    }
}

fn wish(seat: &Seat, form: &Form, typed: &Typed) -> Result<VoucherWish, String> {
    let terms = typed.read(seat)?;
    let count = form.trimmed("count").parse().ok().filter(|count| (1..=MOST_AT_ONCE).contains(count));
    let count = count.ok_or_else(|| seat.t("error-voucher-count"))?;
    let code_only = form.text("kind") != "login";
    let named = !code_only && count == 1;
    let username = match form.trimmed("username") {
        text if named && !text.is_empty() => Some(text.parse().map_err(|_| seat.t("error-voucher-username"))?),
        _ => None,
    };
    let passcode = match form.text("passcode") {
        text if named && !text.is_empty() => {
            Some(Passcode::new(text.to_owned()).map_err(|_| seat.t("error-voucher-passcode"))?)
        }
        _ => None,
    };
    Ok(VoucherWish {
        count: (count > 1).then_some(count),
        username,
        passcode,
        fullname: terms.fullname,
        valid_for: Some(terms.valid_for),
        valid_from_ms: terms.valid_from_ms,
        from_first_use: terms.from_first_use,
        code_only,
        limits: terms.limits,
        speed_down: Some(terms.speed_down),
        speed_up: Some(terms.speed_up),
        devices: Some(terms.devices),
        note: terms.note,
    })
}

/// A form that is sent twice makes its vouchers once; the answer that is kept is the moment of their making.
fn once(form: &Form, typed: &Typed) -> Option<Once<Vec<VoucherRecord>>> {
    let ticket = form.text("ticket");
    (ticket.len() == 32).then(|| {
        let said = format!("{typed:?} {} {} {}", form.text("count"), form.text("kind"), form.text("username"));
        let said = format!("{said} {}", form.text("passcode"));
        let key = Sha256::new().chain_update(b"panel voucher form ").chain_update(ticket).finalize();
        let ticket = OnceTicket { key: key.into(), request: Sha256::digest(said).into(), now_ms: now_ms() };
        let answer = |made: &Vec<VoucherRecord>| batch(made).to_string().into_bytes();
        Once { ticket, answer: Arc::new(answer) }
    })
}

fn batch(made: &[VoucherRecord]) -> i64 {
    made.first().map_or(0, |voucher| voucher.created_ms)
}

async fn make(app: &App, wish: VoucherWish, once: Option<Once<Vec<VoucherRecord>>>) -> Result<i64, Error> {
    match app.create_vouchers(wish, once).await? {
        Done::Now(made) => Ok(batch(&made)),
        Done::Before(answer) => {
            let text = String::from_utf8(answer).unwrap_or_default();
            text.parse().map_err(|_| Error::Failed("a kept answer cannot be read"))
        }
    }
}
