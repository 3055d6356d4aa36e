//! Login methods of a hotspot, and how long its sessions last.

use std::sync::Arc;

use askama::Template;
use axum::extract::Path;
use doorward_policy::guest::Method;

use super::{
    super::{
        form::Form,
        seat::{Answer, Seat},
        values::{SPANS, differing},
        view::Frame,
    },
    MODULE, Tabs, method_name, page_of, put_span, read_span,
};
use crate::{
    app::{
        Error,
        desk::{Change, DeskError, Module},
        hotspots::HotspotSpec,
    },
    hotspot_settings::{Field, HotspotSettings, Invalid, MOST_FIELDS, MethodSettings},
};

/// Numbers of an allowance: name in the form, name of the text of its unit, largest.
const NUMBERS: [(&str, &str, u32); 6] = [
    ("devices", "unit-devices", 1000),
    ("speed-down", "unit-mbit", 10_000),
    ("speed-up", "unit-mbit", 10_000),
    ("data-down-mb", "unit-mb", 9_437_184),
    ("data-up-mb", "unit-mb", 9_437_184),
    ("data-total-mb", "unit-mb", 9_437_184),
];

#[derive(Template)]
#[template(path = "panel/hotspot_login.html")]
struct Page {
    f: Frame,
    tabs: Tabs,
    methods: Vec<Card>,
    /// Longest times of sessions and leases.
    times: Vec<Span>,
    silent: bool,
    error: String,
}

/// A method as the form shows it.
struct Card {
    method: Method,
    /// Begins the names of its fields.
    word: &'static str,
    title: String,
    offered: bool,
    place: String,
    spans: Vec<Span>,
    numbers: Vec<Number>,
    questions: Vec<Question>,
    /// E-mail: a code is asked for.
    code: bool,
    grace: String,
    password: String,
    /// Name on the button of the provider; empty: none is set up.
    provider: String,
    wrong: String,
}

impl Card {
    fn is_wrong(&self, name: &str) -> bool {
        self.wrong == name
    }
}

struct Span {
    name: String,
    /// Name of the text of its label.
    label: &'static str,
    number: String,
    unit: String,
    wrong: bool,
}

struct Number {
    name: String,
    label: String,
    unit: &'static str,
    most: u32,
    value: String,
    wrong: bool,
}

struct Question {
    /// From 1.
    number: usize,
    name: String,
    label: String,
    required: bool,
    wrong: bool,
}

impl Page {
    fn spans(&self) -> [&'static str; 4] {
        SPANS.map(|(unit, _)| unit)
    }

    fn may_set_provider(&self) -> bool {
        self.f.may_change(Module::Settings)
    }
}

fn page(seat: &Seat, name: &str, settings: &HotspotSettings, form: &Form, error: String, wrong: &str) -> Page {
    let f = seat.frame("menu-hotspots");
    let span = |name: String, label| Span {
        number: form.text(&name).to_owned(),
        unit: form.text(&format!("{name}-unit")).to_owned(),
        wrong: name == wrong,
        name,
        label,
    };
    let card = |method: Method| {
        let word = method.as_str();
        let own = |part: &str| format!("{word}-{part}");
        let numbers = NUMBERS.into_iter().map(|(part, unit, most)| Number {
            label: format!("field-methods-allowance-{part}"),
            value: form.text(&own(part)).to_owned(),
            wrong: own(part) == wrong,
            name: own(part),
            unit,
            most,
        });
        let questions = (1..=MOST_FIELDS).map(|number| {
            let name = own(&format!("question{number}"));
            let required = form.has(&format!("{name}-required"));
            Question { number, label: form.text(&name).to_owned(), required, wrong: name == wrong, name }
        });
        let asks = matches!(method, Method::Email | Method::Free);
        let provider = settings.methods.iter().find(|own| own.method == method).and_then(|own| own.provider.as_ref());
        Card {
            method,
            word,
            title: method_name(&f, method),
            offered: form.has(&own("offered")),
            place: form.text(&own("place")).to_owned(),
            spans: vec![
                span(own("valid"), "field-methods-allowance-valid-s"),
                span(own("renew"), "field-methods-allowance-renew-s"),
            ],
            numbers: numbers.collect(),
            questions: if asks { questions.collect() } else { Vec::new() },
            code: form.has(&own("code")),
            grace: form.text(&own("grace")).to_owned(),
            password: form.text(&own("password")).to_owned(),
            provider: provider.map(|provider| provider.label.clone()).unwrap_or_default(),
            wrong: wrong.to_owned(),
        }
    };
    let mut methods: Vec<Card> = Method::ALL.into_iter().map(card).collect();
    methods.sort_by_key(|card| card.place.parse::<u8>().unwrap_or(u8::MAX));
    let times = [("idle", "field-idle-timeout-s"), ("session", "field-session-timeout-s"), ("lease", "field-lease-s")];
    let times = times.into_iter().map(|(name, label)| span(name.to_owned(), label)).collect();
    Page { tabs: Tabs::new(name, "login"), f, methods, times, silent: form.has("silent"), error }
}

pub(super) async fn ask(seat: Seat, Path(name): Path<String>) -> Answer {
    let settings = seat.desk()?.view(MODULE)?.hotspot(&name)?.settings;
    seat.page(&page(&seat, &name, &settings, &fields(&settings), String::new(), ""))
}

pub(super) async fn change(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    let old = desk.view(MODULE)?.hotspot(&name)?.settings;
    let (before, after) = differing(&noted(&old), &noted(&read(&form, &old)));
    let (change, who, sent) =
        (Change::new("edit_login", &name).before(before).after(after), name.clone(), form.clone());
    let edit = move |spec: HotspotSpec| {
        let settings = read(&sent, &spec.settings);
        Ok(HotspotSpec { settings: Arc::new(settings), ..spec })
    };
    match desk.change(MODULE, change, move |app| async move { app.edit_hotspot(&who, edit).await }).await {
        Ok(_) => seat.applied(&page_of(&name), "hotspot-saved", &[("name", &name)]),
        Err(error) => {
            let at = match &error {
                DeskError::Refused(Error::Settings(invalid)) => place_of(invalid, &read(&form, &old)),
                DeskError::Refused(_) | DeskError::Denied(_) => None,
            };
            let error = seat.why(error)?;
            let error = match at {
                Some((Some(method), _)) => format!("{}: {error}", seat.t(&format!("method-{}", method.as_str()))),
                Some((None, _)) | None => error,
            };
            let wrong = at.map(|(_, field)| field).unwrap_or_default();
            seat.again(&page(&seat, &name, &old, &form, error, &wrong))
        }
    }
}

/// For the audit log: what the settings say, without the password.
fn noted(settings: &HotspotSettings) -> Form {
    let mut form = fields(settings);
    form.set("free-password", String::new());
    form
}

fn fields(settings: &HotspotSettings) -> Form {
    let mut form = Form::default();
    put_span(&mut form, "idle", settings.idle_timeout_s);
    put_span(&mut form, "session", settings.session_timeout_s);
    put_span(&mut form, "lease", settings.lease_s);
    if settings.silent_return {
        form.set("silent", "1".to_owned());
    }
    let stored = settings.methods.iter().map(|own| own.method);
    let others = Method::ALL.into_iter().filter(|method| !settings.methods.iter().any(|own| own.method == *method));
    for (method, place) in stored.chain(others).zip(1_u8..) {
        put_method(&mut form, &of(settings, method), place);
    }
    form
}

/// A method's settings; of one that is not stored, our own, not offered.
fn of(settings: &HotspotSettings, method: Method) -> MethodSettings {
    let stored = settings.methods.iter().find(|own| own.method == method).cloned();
    stored.unwrap_or_else(|| MethodSettings { enabled: false, ..MethodSettings::new(method) })
}

fn put_method(form: &mut Form, own: &MethodSettings, place: u8) {
    let word = own.method.as_str();
    let limits = own.allowance;
    put_span(form, &format!("{word}-valid"), limits.valid_s);
    put_span(form, &format!("{word}-renew"), limits.renew_s);
    let mut set = |part: &str, value: String| form.set(&format!("{word}-{part}"), value);
    set("place", place.to_string());
    set("devices", limits.devices.to_string());
    set("speed-down", limits.speed_down.to_string());
    set("speed-up", limits.speed_up.to_string());
    set("data-down-mb", limits.data_down_mb.to_string());
    set("data-up-mb", limits.data_up_mb.to_string());
    set("data-total-mb", limits.data_total_mb.to_string());
    set("grace", own.grace_s.to_string());
    set("password", own.password.clone());
    for (part, _) in [("offered", own.enabled), ("code", own.code)].into_iter().filter(|(_, on)| *on) {
        set(part, "1".to_owned());
    }
    for (Field { label, required }, number) in own.fields.iter().zip(1..) {
        set(&format!("question{number}"), label.clone());
        if *required {
            set(&format!("question{number}-required"), "1".to_owned());
        }
    }
}

/// The settings as the form wants them. Numbers that are none are refused as ones that are too large.
fn read(form: &Form, old: &HotspotSettings) -> HotspotSettings {
    let place = |method: &Method| form.trimmed(&format!("{}-place", method.as_str())).parse().unwrap_or(u8::MAX);
    let mut order = Method::ALL;
    order.sort_by_key(place);
    // What was filled in of one that is not offered yet is kept as well.
    let known = |own: &MethodSettings| {
        own.enabled || old.methods.iter().any(|other| other.method == own.method) || *own != of(old, own.method)
    };
    HotspotSettings {
        methods: order.into_iter().map(|method| read_method(form, of(old, method))).filter(known).collect(),
        idle_timeout_s: read_span(form, "idle"),
        session_timeout_s: read_span(form, "session"),
        lease_s: read_span(form, "lease"),
        silent_return: form.has("silent"),
        ..old.clone()
    }
}

fn read_method(form: &Form, mut own: MethodSettings) -> MethodSettings {
    let word = own.method.as_str();
    let text = |part: &str| form.trimmed(&format!("{word}-{part}"));
    let number = |part: &str| text(part).parse::<u32>().unwrap_or(u32::MAX);
    let small = |part: &str| text(part).parse::<u16>().unwrap_or(u16::MAX);
    own.enabled = form.has(&format!("{word}-offered"));
    // Vouchers bring their own limits.
    if own.method != Method::Voucher {
        let limits = &mut own.allowance;
        limits.valid_s = read_span(form, &format!("{word}-valid"));
        limits.renew_s = read_span(form, &format!("{word}-renew"));
        (limits.devices, limits.speed_down, limits.speed_up) =
            (small("devices"), small("speed-down"), small("speed-up"));
        (limits.data_down_mb, limits.data_up_mb) = (number("data-down-mb"), number("data-up-mb"));
        limits.data_total_mb = number("data-total-mb");
    }
    match own.method {
        Method::Email => (own.code, own.grace_s) = (form.has(&format!("{word}-code")), number("grace")),
        Method::Free => text("password").clone_into(&mut own.password),
        Method::Voucher | Method::Mobile | Method::Facebook => {}
    }
    if matches!(own.method, Method::Email | Method::Free) {
        let question = |n: usize| Field {
            label: text(&format!("question{n}")).to_owned(),
            required: form.has(&format!("{word}-question{n}-required")),
        };
        own.fields = (1..=MOST_FIELDS).map(question).filter(|field| !field.label.is_empty()).collect();
    }
    own
}

/// Of which method, and which field of the form, a refusal is.
fn place_of(invalid: &Invalid, settings: &HotspotSettings) -> Option<(Option<Method>, String)> {
    let alone = match invalid.field.as_str() {
        "idle_timeout_s" => Some("idle"),
        "session_timeout_s" => Some("session"),
        "lease_s" => Some("lease"),
        _ => None,
    };
    if let Some(name) = alone {
        return Some((None, name.to_owned()));
    }
    let (index, part) = invalid.field.strip_prefix("methods[")?.split_once("].")?;
    let method = settings.methods.get(index.parse::<usize>().ok()?)?.method;
    let part = match part.strip_prefix("allowance.").unwrap_or(part) {
        "valid_s" => "valid".to_owned(),
        "renew_s" => "renew".to_owned(),
        "grace_s" => "grace".to_owned(),
        "provider" => "offered".to_owned(),
        other => match other.strip_prefix("fields[").and_then(|rest| rest.split(']').next()) {
            Some(at) => format!("question{}", at.parse::<usize>().ok()? + 1),
            None => other.replace('_', "-"),
        },
    };
    Some((Some(method), format!("{}-{part}", method.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hotspot_settings::Why;

    fn settings() -> HotspotSettings {
        let mut email = MethodSettings::new(Method::Email);
        email.code = true;
        email.fields = vec![Field { label: "Room".to_owned(), required: true }];
        let mut free = MethodSettings { enabled: false, ..MethodSettings::new(Method::Free) };
        (free.password, free.allowance.valid_s, free.allowance.renew_s) = ("wall".to_owned(), 5400, 90);
        let methods = vec![email, free, MethodSettings::new(Method::Voucher)];
        HotspotSettings { methods, session_timeout_s: 61, silent_return: false, ..HotspotSettings::default() }
    }

    #[test]
    fn settings_come_back_from_their_form() {
        for settings in [settings(), HotspotSettings::default()] {
            assert_eq!(read(&fields(&settings), &settings), settings);
        }
        let mut form = fields(&settings());
        form.set("voucher-place", "0".to_owned());
        form.set("mobile-offered", "1".to_owned());
        let order: Vec<Method> = read(&form, &settings()).methods.iter().map(|own| own.method).collect();
        assert_eq!(order, [Method::Voucher, Method::Email, Method::Free, Method::Mobile]);
        assert_eq!(noted(&settings()).text("free-password"), "");
    }

    #[test]
    fn what_is_wrong_is_found_in_the_form() {
        let old = settings();
        for (name, value, why) in [
            ("email-devices", "0", Why::Range),
            ("email-devices", "x", Why::Range),
            ("free-valid", "9999999", Why::Range),
            ("free-speed-up", "-1", Why::Range),
            ("email-grace", "3601", Why::Range),
            ("email-data-total-mb", "1.5", Why::Range),
            ("lease", "9999", Why::Range),
            ("email-question1", "\u{7}", Why::Control),
            ("facebook-offered", "1", Why::Missing),
        ] {
            let mut form = fields(&old);
            form.set(name, value.to_owned());
            let settings = read(&form, &old);
            let invalid = settings.check().unwrap_err();
            assert_eq!((place_of(&invalid, &settings).unwrap().1.as_str(), invalid.why), (name, why));
        }
    }
}
