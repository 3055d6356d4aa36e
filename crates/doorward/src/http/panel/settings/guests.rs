//! What vouchers get that say nothing else, and how long records are kept.

use askama::Template;
use doorward_policy::voucher::ValidFor;

use super::{Answer, Change, Form, Frame, MODULE, Routes, Seat, TABS, number, typed};
use crate::hotspot_settings::GuestSettings;

pub(super) const PAGE: &str = "/settings/guests";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, show).change(PAGE, MODULE, save)
}

#[derive(Template)]
#[template(path = "panel/settings_guests.html")]
struct Page {
    f: Frame,
    periods: Vec<String>,
    valid_for: String,
    /// Name of each field with a number, its text in the form, and least and most.
    numbers: Vec<Number>,
    error: String,
}

struct Number {
    name: &'static str,
    value: String,
    least: u16,
    most: u16,
    /// Name of the text of its unit.
    unit: &'static str,
}

impl Number {
    /// Name of the text of its label.
    fn label(&self) -> String {
        format!("field-{}", self.name.replace('_', "-"))
    }

    fn is_days(&self) -> bool {
        self.name.starts_with("keep_")
    }
}

/// The fields with numbers, with what stands in them.
fn numbers(value: impl Fn(&'static str) -> String) -> Vec<Number> {
    let number = |name, least, most, unit| Number { name, value: value(name), least, most, unit };
    vec![
        number("voucher_devices", 1, 1000, "unit-devices"),
        number("voucher_speed_down", 0, 10_000, "unit-mbit"),
        number("voucher_speed_up", 0, 10_000, "unit-mbit"),
        number("keep_guests_days", 1, 3660, "unit-days"),
        number("keep_logins_days", 1, 3660, "unit-days"),
        number("keep_sessions_days", 1, 3660, "unit-days"),
        number("keep_audit_days", 1, 3660, "unit-days"),
    ]
}

fn page(seat: &Seat, valid_for: String, numbers: Vec<Number>, error: String) -> Page {
    let periods = ValidFor::all().map(|period| period.to_string()).collect();
    Page { f: seat.frame("menu-settings"), periods, valid_for, numbers, error }
}

async fn show(seat: Seat) -> Answer {
    let stored = seat.desk()?.view(MODULE)?.guest_settings();
    let numbers = numbers(|name| field(&stored, name).to_string());
    seat.page(&page(&seat, stored.voucher_valid_for.clone(), numbers, String::new()))
}

fn field(settings: &GuestSettings, name: &str) -> u16 {
    let fields = [
        ("voucher_devices", settings.voucher_devices),
        ("voucher_speed_down", settings.voucher_speed_down),
        ("voucher_speed_up", settings.voucher_speed_up),
        ("keep_guests_days", settings.keep_guests_days),
        ("keep_logins_days", settings.keep_logins_days),
        ("keep_sessions_days", settings.keep_sessions_days),
        ("keep_audit_days", settings.keep_audit_days),
    ];
    fields.into_iter().find(|(found, _)| *found == name).map_or(0, |(_, value)| value)
}

async fn save(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let mut new = desk.view(MODULE)?.guest_settings().as_ref().clone();
    let before = words(&new);
    set(&mut new, &form);
    let change = Change::new("edit", "guests").before(before).after(words(&new));
    let sent = form.clone();
    let done = desk.change(MODULE, change, move |app| async move {
        app.edit_guest_settings(move |settings| {
            set(settings, &sent);
            Ok(())
        })
        .await
    });
    match done.await {
        Ok(()) => seat.done(PAGE, "settings-saved", &[]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, typed(&form, "voucher_valid_for"), numbers(|name| typed(&form, name)), error))
        }
    }
}

fn set(settings: &mut GuestSettings, form: &Form) {
    settings.voucher_valid_for = typed(form, "voucher_valid_for");
    settings.voucher_devices = number(form, "voucher_devices");
    settings.voucher_speed_down = number(form, "voucher_speed_down");
    settings.voucher_speed_up = number(form, "voucher_speed_up");
    settings.keep_guests_days = number(form, "keep_guests_days");
    settings.keep_logins_days = number(form, "keep_logins_days");
    settings.keep_sessions_days = number(form, "keep_sessions_days");
    settings.keep_audit_days = number(form, "keep_audit_days");
}

fn words(settings: &GuestSettings) -> String {
    let numbers = numbers(|name| field(settings, name).to_string());
    let numbers = numbers.iter().map(|number| format!("{}={}", number.name, number.value));
    let all = std::iter::once(format!("voucher_valid_for={}", settings.voucher_valid_for)).chain(numbers);
    all.collect::<Vec<_>>().join(" ")
}
