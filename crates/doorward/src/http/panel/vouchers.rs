//! The voucher desk.

mod new;
mod one;
mod print;
mod terms;

use askama::Template;
use axum::extract::RawQuery;
use doorward_policy::voucher::{ValidFor, VoucherStatus, check_note};

use super::{
    csv::{self, Line},
    form::Form,
    list::{List, paging},
    numbers,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::{
    app::{
        App, Error,
        desk::{Change, Module, Operation},
        vouchers::{UnusedFilter, VoucherRecord, VoucherRows, VoucherSort},
    },
    clock::now_ms,
};

const MODULE: Module = Module::Vouchers;
const PAGE: &str = "/vouchers";
/// Most vouchers that are chosen on one page.
const MOST_CHOSEN: usize = 1000;

pub(super) fn routes(routes: Routes) -> Routes {
    let routes = routes
        .view(PAGE, MODULE, list)
        .view("/vouchers.csv", MODULE, export)
        .change("/vouchers/+bulk", MODULE, bulk)
        .form("/vouchers/+unused", MODULE, ask_unused)
        .change("/vouchers/+unused", MODULE, delete_unused);
    one::routes(print::routes(new::routes(routes)))
}

#[derive(Template)]
#[template(path = "panel/vouchers.html")]
struct ListPage {
    f: Frame,
    list: List<VoucherSort, VoucherRecord>,
    rows: VoucherRows,
    now_ms: i64,
}

impl ListPage {
    fn status(&self, voucher: &VoucherRecord) -> &'static str {
        voucher.status(self.now_ms).as_str()
    }

    fn badge(&self, voucher: &VoucherRecord) -> &'static str {
        badge(voucher.status(self.now_ms))
    }

    fn is_chosen(&self, status: VoucherStatus) -> bool {
        self.rows.status == Some(status)
    }
}

/// Class of a status.
fn badge(status: VoucherStatus) -> &'static str {
    match status {
        VoucherStatus::Unused => "badge bg-blue-lt",
        VoucherStatus::Active => "badge bg-green-lt",
        VoucherStatus::Waiting => "badge",
        VoucherStatus::Expired | VoucherStatus::Spent => "badge bg-orange-lt",
        VoucherStatus::Disabled => "badge bg-red-lt",
    }
}

/// Which vouchers an address asks for: `?status=unused&note=…&batch=<Unix ms>`.
fn rows(query: &Form) -> VoucherRows {
    let note = query.trimmed("note").chars().filter(|c| !c.is_control()).take(200).collect();
    VoucherRows {
        status: VoucherStatus::parse(query.text("status")),
        batch_ms: query.text("batch").parse().ok().filter(|ms| *ms >= 0),
        note,
    }
}

async fn list(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let (paging, query) = paging::<VoucherSort>(query.as_deref(), true)?;
    let rows = rows(&query);
    let (found, total) = app.voucher_rows(&paging, &rows).await?;
    let filters = vec![
        ("status", rows.status.map_or("", VoucherStatus::as_str).to_owned()),
        ("note", rows.note.clone()),
        ("batch", rows.batch_ms.map_or_else(String::new, |ms| ms.to_string())),
    ];
    let list = List { paging, rows: found, total, path: PAGE.to_owned(), filters };
    seat.page(&ListPage { f: seat.frame("menu-vouchers"), list, rows, now_ms: now_ms() })
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let desk = seat.desk()?;
    let (app, reveals) = (desk.view(MODULE)?.clone(), desk.may(MODULE, Operation::Reveal));
    let (paging, query) = paging::<VoucherSort>(query.as_deref(), true)?;
    let (ids, now_ms) = (app.voucher_ids(&paging, &rows(&query)).await?, now_ms());
    let head = ["username", "passcode", "fullname", "status", "valid_for", "valid_from", "ends", "bytes_down"];
    let head =
        head.into_iter().chain(["bytes_up", "devices_used", "devices", "created", "first_login", "last_login", "note"]);
    csv::send_found("vouchers", head.fold(Line::default(), Line::cell), ids, move |ids| {
        let app = app.clone();
        async move {
            let found = app.voucher_records(&ids).await?;
            Ok(found.iter().map(|voucher| line(voucher, reveals, now_ms)).collect())
        }
    })
    .await
}

fn line(voucher: &VoucherRecord, reveals: bool, now_ms: i64) -> Line {
    let moment = |ms: Option<i64>| ms.map_or_else(String::new, numbers::machine_moment);
    Line::default()
        .cell(&voucher.username)
        .cell(if reveals { voucher.passcode.expose() } else { "" })
        .cell(&voucher.fullname)
        .cell(voucher.status(now_ms).as_str())
        .cell(&voucher.terms.valid_for.to_string())
        .cell(&moment(Some(voucher.terms.valid_from_ms)))
        .cell(&moment(voucher.ends_ms))
        .number(voucher.used.down)
        .number(voucher.used.up)
        .number(voucher.devices_used)
        .number(voucher.terms.devices)
        .cell(&moment(Some(voucher.created_ms)))
        .cell(&moment(voucher.first_login_ms))
        .cell(&moment(voucher.last_login_ms))
        .cell(&voucher.terms.note)
}

/// What may be done to chosen vouchers.
#[derive(Clone, Copy)]
enum Bulk {
    Enable,
    Disable,
    Delete,
    Extend(ValidFor),
}

impl Bulk {
    fn read(form: &Form) -> Option<Self> {
        match form.text("action") {
            "enable" => Some(Self::Enable),
            "disable" => Some(Self::Disable),
            "delete" => Some(Self::Delete),
            "extend" => ValidFor::parse(form.text("by")).map(Self::Extend),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Delete => "delete",
            Self::Extend(_) => "extend",
        }
    }

    async fn apply(self, app: &App, name: &str) -> Result<(), Error> {
        match self {
            Self::Enable => app.switch_voucher(name, true, None).await.map(drop)?,
            Self::Disable => app.switch_voucher(name, false, None).await.map(drop)?,
            Self::Delete => app.remove_voucher(name, None).await.map(drop)?,
            Self::Extend(by) => app.extend_voucher(name, by, None).await.map(drop)?,
        }
        Ok(())
    }
}

async fn bulk(seat: Seat, form: Form) -> Answer {
    let names: Vec<String> = form.all("name").take(MOST_CHOSEN).map(str::to_owned).collect();
    if form.text("action") == "print" {
        let chosen: Vec<_> = names.iter().map(|name| format!("name={}", super::guard::escaped(name))).collect();
        return Ok(super::seat::redirect(&format!("/vouchers/+print?{}", chosen.join("&"))));
    }
    let action = Bulk::read(&form).ok_or(Failure::BadForm)?;
    if names.is_empty() {
        return seat.warn(PAGE, "vouchers-none-chosen");
    }
    let change = Change::new(action.as_str(), format!("{} vouchers", names.len())).before(names.join(" "));
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        let (mut done, mut refused) = (0_u64, 0_u64);
        for name in &names {
            match action.apply(&app, name).await {
                Ok(()) => done += 1,
                Err(error) if super::errors::is_failure(&error) => return Err(error),
                // Somebody was faster, or it has no end to be moved: the others still want it.
                Err(_) => refused += 1,
            }
        }
        Ok((done, refused))
    });
    match done.await {
        Ok((done, 0)) => seat.applied(PAGE, "vouchers-bulk-done", &[("count", &done.to_string())]),
        Ok((done, refused)) => {
            let counts = [("count", &*done.to_string()), ("refused", &*refused.to_string())];
            seat.applied(PAGE, "vouchers-bulk-part", &counts)
        }
        Err(error) => seat.refused(PAGE, error),
    }
}

#[derive(Template)]
#[template(path = "panel/vouchers_unused.html")]
struct UnusedPage {
    f: Frame,
    note: String,
    days: String,
    /// How many there are; `None`: not asked yet.
    count: Option<u64>,
    error: String,
}

/// Which unused vouchers: with a note, or older than some days. `None`: days that are no number, or no note.
fn unused(form: &Form) -> Option<UnusedFilter> {
    let note = form.trimmed("note");
    check_note(note).ok()?;
    let created_before_ms = match form.trimmed("days") {
        "" => None,
        days => Some(now_ms() - i64::from(days.parse::<u16>().ok()?) * 86_400_000),
    };
    Some(UnusedFilter { created_before_ms, note: (!note.is_empty()).then(|| note.to_owned()) })
}

async fn ask_unused(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let filter = unused(&query);
    let (count, error) = match (&filter, query.has("note") || query.has("days")) {
        (Some(filter), true) => (Some(app.count_unused_vouchers(filter).await?), String::new()),
        (None, _) => (None, seat.t("error-days")),
        (Some(_), false) => (None, String::new()),
    };
    let (note, days) = (query.trimmed("note").to_owned(), query.trimmed("days").to_owned());
    seat.page(&UnusedPage { f: seat.frame("vouchers-unused"), note, days, count, error })
}

async fn delete_unused(seat: Seat, form: Form) -> Answer {
    let filter = unused(&form).ok_or(Failure::BadForm)?;
    // Only what was counted before the eyes of who agreed: an empty form is no order to delete everything.
    let shown: u64 = form.text("count").parse().map_err(|_| Failure::BadForm)?;
    if seat.desk()?.view(MODULE)?.count_unused_vouchers(&filter).await? != shown {
        return seat.warn("/vouchers/+unused", "vouchers-unused-changed");
    }
    let what = format!("note {:?}, older than {:?} days", form.trimmed("note"), form.trimmed("days"));
    let change = Change::new("delete_unused", "vouchers").before(what);
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        Ok(app.remove_unused_vouchers(filter, None).await?.now().unwrap_or_default())
    });
    match done.await {
        Ok(count) => seat.done(PAGE, "vouchers-deleted", &[("count", &count.to_string())]),
        Err(error) => seat.refused(PAGE, error),
    }
}
