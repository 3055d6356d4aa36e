//! Actions on vouchers (Hotspot API, section 4).

use std::sync::Arc;

use axum::response::Response;
use doorward_policy::{
    guest::DataLimits,
    limits::Mbit,
    voucher::{
        MB, MOST_DEVICES, MOST_MB, Passcode, Username, ValidFor, check_fullname, check_note, limit_bytes, limit_mb,
        limit_mb_or_unlimited, local_time, parse_local_time,
    },
};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{
    answer::{FAILED, NO_USERNAME, Refusal, USER_ADDED, USER_CHANGED, USER_REMOVED, USERS_REMOVED, json, ok},
    once,
    parameters::{Parameters, Unusable},
};
use crate::{
    app::{
        App,
        vouchers::{Done, MOST_AT_ONCE, OnceTicket, UnusedFilter, VoucherEdit, VoucherRecord, VoucherWish},
    },
    clock::now_ms,
};

/// A voucher in the answer of its creation.
#[derive(Serialize)]
struct CreatedVoucher<'a> {
    id: i64,
    username: &'a str,
    passcode: &'a str,
    fullname: &'a str,
    valid_for: String,
    valid_from: String,
    download_limit: String,
    upload_limit: String,
    #[serde(flatten)]
    details: Option<Details<'a>>,
}

impl<'a> CreatedVoucher<'a> {
    fn of(voucher: &'a VoucherRecord, zone: &TimeZone, details: bool) -> Self {
        let terms = &voucher.terms;
        Self {
            id: voucher.id.0,
            username: &voucher.username,
            passcode: voucher.passcode.expose(),
            fullname: &voucher.fullname,
            valid_for: terms.valid_for.to_string(),
            valid_from: local_time(terms.valid_from_ms, zone),
            download_limit: limit_mb(terms.limits.down).to_string(),
            upload_limit: limit_mb(terms.limits.up).to_string(),
            details: details.then(|| Details::of(voucher, zone)),
        }
    }
}

/// A voucher in lists: the secret has another name, and the limits another type.
#[derive(Serialize)]
#[expect(non_snake_case, reason = "the names are those of the wire")]
pub(super) struct ListedVoucher<'a> {
    id: i64,
    username: &'a str,
    password: &'a str,
    fullname: &'a str,
    created_at: String,
    last_modified: String,
    first_login: Option<String>,
    last_login: Option<String>,
    valid_for: String,
    valid_from: String,
    MAC: Option<String>,
    download_limit: u32,
    upload_limit: u32,
    #[serde(flatten)]
    details: Option<Details<'a>>,
}

impl<'a> ListedVoucher<'a> {
    pub(super) fn of(voucher: &'a VoucherRecord, zone: &TimeZone, details: bool) -> Self {
        let terms = &voucher.terms;
        Self {
            id: voucher.id.0,
            username: &voucher.username,
            password: voucher.passcode.expose(),
            fullname: &voucher.fullname,
            created_at: local_time(voucher.created_ms, zone),
            last_modified: local_time(voucher.modified_ms, zone),
            first_login: voucher.first_login_ms.map(|at| local_time(at, zone)),
            last_login: voucher.last_login_ms.map(|at| local_time(at, zone)),
            valid_for: terms.valid_for.to_string(),
            valid_from: local_time(terms.valid_from_ms, zone),
            MAC: voucher.last_mac.map(|mac| mac.to_string()),
            download_limit: limit_mb(terms.limits.down),
            upload_limit: limit_mb(terms.limits.up),
            details: details.then(|| Details::of(voucher, zone)),
        }
    }
}

/// What only those see who ask for it (docs/api-design.md).
#[derive(Serialize)]
struct Details<'a> {
    status: &'static str,
    valid_until: Option<String>,
    valid_from_first_use: u8,
    code_only: u8,
    total_limit: u32,
    speed_down: u16,
    speed_up: u16,
    devices: u16,
    devices_used: u16,
    bytes_down: String,
    bytes_up: String,
    note: &'a str,
}

impl<'a> Details<'a> {
    fn of(voucher: &'a VoucherRecord, zone: &TimeZone) -> Self {
        let terms = &voucher.terms;
        Self {
            status: voucher.status(now_ms()).as_str(),
            valid_until: voucher.ends_ms.map(|at| local_time(at, zone)),
            valid_from_first_use: u8::from(terms.from_first_use),
            code_only: u8::from(voucher.code_only),
            total_limit: limit_mb(terms.limits.total),
            speed_down: terms.speed.down.get(),
            speed_up: terms.speed.up.get(),
            devices: terms.devices,
            devices_used: voucher.devices_used,
            bytes_down: voucher.used.down.to_string(),
            bytes_up: voucher.used.up.to_string(),
            note: &terms.note,
        }
    }
}

pub(super) async fn create(app: &App, all: &Parameters, ticket: Option<OnceTicket>) -> Result<Response, Refusal> {
    let wish = wish(all, &app.settings().zone)?;
    let details = all.flag("details")?.unwrap_or(false);
    let (zone, several) = (app.settings().zone.clone(), wish.count.is_some());
    let answer = move |vouchers: &Vec<VoucherRecord>| {
        let shown: Vec<_> = vouchers.iter().map(|voucher| CreatedVoucher::of(voucher, &zone, details)).collect();
        match shown.first() {
            Some(user) if !several => USER_ADDED.around("user", user),
            Some(_) | None => USER_ADDED.around("users", &shown),
        }
    };
    let answer = Arc::new(answer);
    let keep = Arc::clone(&answer);
    let done = app.create_vouchers(wish, once(ticket, move |vouchers| keep(vouchers))).await?;
    Ok(ok(match done {
        Done::Now(vouchers) => answer(&vouchers),
        Done::Before(before) => before,
    }))
}

pub(super) async fn get(app: &App, all: &Parameters) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Answer<'a> {
        user: ListedVoucher<'a>,
    }
    let voucher = app.voucher(username(all)?).await?;
    Ok(ok(json(&Answer { user: ListedVoucher::of(&voucher, &app.settings().zone, true) })))
}

pub(super) async fn edit(app: &App, all: &Parameters, ticket: Option<OnceTicket>) -> Result<Response, Refusal> {
    let (username, edit) = (username(all)?, edit_of(all, &app.settings().zone)?);
    let done = app.edit_voucher(username, edit, once(ticket, changed(app))).await?;
    Ok(ok(finished(app, done)))
}

pub(super) async fn extend(app: &App, all: &Parameters, ticket: Option<OnceTicket>) -> Result<Response, Refusal> {
    let username = username(all)?;
    let by = all.read("extend_by", ValidFor::parse)?.filter(|by| by.duration_ms().is_some()).ok_or(FAILED)?;
    let done = app.extend_voucher(username, by, once(ticket, changed(app))).await?;
    Ok(ok(finished(app, done)))
}

pub(super) async fn switch(
    app: &App,
    all: &Parameters,
    on: bool,
    ticket: Option<OnceTicket>,
) -> Result<Response, Refusal> {
    let done = app.switch_voucher(username(all)?, on, once(ticket, changed(app))).await?;
    Ok(ok(finished(app, done)))
}

pub(super) async fn remove(app: &App, all: &Parameters, ticket: Option<OnceTicket>) -> Result<Response, Refusal> {
    match app.remove_voucher(username(all)?, once(ticket, |()| USER_REMOVED.json())).await? {
        Done::Now(()) => Ok(ok(USER_REMOVED.json())),
        Done::Before(before) => Ok(ok(before)),
    }
}

pub(super) async fn remove_unused(
    app: &App,
    all: &Parameters,
    ticket: Option<OnceTicket>,
) -> Result<Response, Refusal> {
    let filter = UnusedFilter {
        created_before_ms: all.read("created_before", |text| parse_local_time(text, &app.settings().zone))?,
        note: all.read("note", note)?,
    };
    let answer = |count: &u64| USERS_REMOVED.around("removed", count);
    match app.remove_unused_vouchers(filter, once(ticket, answer)).await? {
        Done::Now(count) => Ok(ok(answer(&count))),
        Done::Before(before) => Ok(ok(before)),
    }
}

fn changed(app: &App) -> impl Fn(&VoucherRecord) -> Vec<u8> + Send + Sync + 'static {
    let zone = app.settings().zone.clone();
    move |voucher| USER_CHANGED.around("user", &ListedVoucher::of(voucher, &zone, true))
}

fn finished(app: &App, done: Done<VoucherRecord>) -> Vec<u8> {
    match done {
        Done::Now(voucher) => changed(app)(&voucher),
        Done::Before(before) => before,
    }
}

/// Whom an action is about.
fn username(all: &Parameters) -> Result<&str, Refusal> {
    all.text("username").ok_or_else(|| NO_USERNAME.into())
}

fn wish(all: &Parameters, zone: &TimeZone) -> Result<VoucherWish, Unusable> {
    let limit = |name| all.text(name).and_then(limit_mb_or_unlimited).map(|mb| u64::from(mb) * MB);
    Ok(VoucherWish {
        count: all.number("count", 1..=MOST_AT_ONCE)?,
        username: all.read("username", |text| text.parse::<Username>().ok())?,
        passcode: passcode(all)?,
        fullname: all.read("fullname", fullname)?,
        valid_for: all.read("valid_for", ValidFor::parse)?,
        valid_from_ms: all.read("valid_from", |text| parse_local_time(text, zone))?,
        from_first_use: all.flag("valid_from_first_use")?.unwrap_or(false),
        code_only: all.flag("code_only")?.unwrap_or(false),
        limits: DataLimits {
            down: limit("download_limit"),
            up: limit("upload_limit"),
            total: all.number("total_limit", 0..=MOST_MB)?.and_then(limit_bytes),
        },
        speed_down: mbit(all, "speed_down")?,
        speed_up: mbit(all, "speed_up")?,
        devices: all.number("devices", 1..=MOST_DEVICES)?,
        note: all.read("note", note)?.unwrap_or_default(),
    })
}

fn edit_of(all: &Parameters, zone: &TimeZone) -> Result<VoucherEdit, Unusable> {
    let limit = |name| Ok(all.number(name, 0..=MOST_MB)?.map(limit_bytes));
    Ok(VoucherEdit {
        passcode: passcode(all)?,
        fullname: all.read("fullname", fullname)?,
        valid_for: all.read("valid_for", ValidFor::parse)?,
        valid_from_ms: all.read("valid_from", |text| parse_local_time(text, zone))?,
        from_first_use: all.flag("valid_from_first_use")?,
        limit_down: limit("download_limit")?,
        limit_up: limit("upload_limit")?,
        limit_total: limit("total_limit")?,
        speed_down: mbit(all, "speed_down")?,
        speed_up: mbit(all, "speed_up")?,
        devices: all.number("devices", 1..=MOST_DEVICES)?,
        note: match all.read("note", note)? {
            None if all.is_sent("note") => Some(String::new()),
            given => given,
        },
    })
}

/// White space around it belongs to it.
fn passcode(all: &Parameters) -> Result<Option<Passcode>, Unusable> {
    all.verbatim("passcode").map(|text| Passcode::new(text.to_owned()).map_err(|_| Unusable)).transpose()
}

fn fullname(text: &str) -> Option<String> {
    check_fullname(text).ok().map(|()| text.to_owned())
}

fn note(text: &str) -> Option<String> {
    check_note(text).ok().map(|()| text.to_owned())
}

fn mbit(all: &Parameters, name: &str) -> Result<Option<Mbit>, Unusable> {
    Ok(all.number(name, 0..=Mbit::MAX)?.and_then(Mbit::new))
}
