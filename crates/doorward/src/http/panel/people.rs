//! Guests by how they log in: reports, lists, and what a person may ask for (access and erasure, GDPR articles 15 and 17).

use askama::Template;
use axum::{
    Json,
    extract::{Path, RawQuery},
    http::{HeaderValue, header},
    response::IntoResponse as _,
};
use doorward_policy::guest::Method;
use serde_json::json;

use super::{
    csv::{self, Line},
    form::Form,
    list::{List, paging},
    numbers,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::app::{
    desk::{Change, Module},
    guest_lists::{DailyLogins, GuestRecord, GuestSort},
};

const MODULE: Module = Module::Guests;
/// Days that a report may cover.
const PERIODS: [u8; 3] = [7, 30, 90];

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view("/guests", MODULE, first)
        .view("/guests/{method}", MODULE, show)
        .view("/guests/{method}/logins.json", MODULE, chart)
        .view("/guests/{method}/list.csv", MODULE, export)
        .reveal("/person/{id}", MODULE, person)
        .reveal("/person/{id}/export.json", MODULE, export_person)
        .change("/person/{id}/erase", MODULE, erase)
}

#[derive(Template)]
#[template(path = "panel/people.html")]
struct Page {
    f: Frame,
    method: Method,
    days: u8,
    report: DailyLogins,
    list: List<GuestSort, GuestRecord>,
}

impl Page {
    fn is(&self, method: Method) -> bool {
        self.method == method
    }

    fn is_period(&self, days: &u8) -> bool {
        self.days == *days
    }
}

/// Who a person is, as lists show it.
fn who(person: &GuestRecord) -> &str {
    let known = [&person.email, &person.mobile, &person.name].into_iter().find_map(|text| text.as_deref());
    known.unwrap_or(&person.last_mac)
}

async fn first() -> Answer {
    Ok(super::seat::redirect("/guests/voucher"))
}

fn method(text: &str) -> Result<Method, Failure> {
    Method::parse(text).ok_or(Failure::NotFound)
}

fn days(query: &Form) -> u8 {
    query.text("days").parse().ok().filter(|days| PERIODS.contains(days)).unwrap_or(30)
}

async fn show(seat: Seat, Path(name): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let (app, method) = (seat.desk()?.view(MODULE)?, method(&name)?);
    let (paging, query) = paging::<GuestSort>(query.as_deref(), true)?;
    let days = days(&query);
    let report = app.daily_logins(method, days).await?;
    let (rows, total) = app.guest_rows(method, &paging).await?;
    let filters = vec![("days", days.to_string())];
    let list = List { paging, rows, total, path: format!("/guests/{}", method.as_str()), filters };
    seat.page(&Page { f: seat.frame("menu-guests"), method, days, report, list })
}

/// Logins day by day, for the chart.
async fn chart(seat: Seat, Path(name): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let (app, method) = (seat.desk()?.view(MODULE)?, method(&name)?);
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let report = app.daily_logins(method, days(&query)).await?;
    // Noon, so that no change of the clock makes it another day.
    let noon = |date: jiff::civil::Date| {
        let at = date.at(12, 0, 0, 0).to_zoned(seat.zone().clone());
        at.map_or(0, |at| at.timestamp().as_second())
    };
    let x: Vec<i64> = report.days.iter().map(|(date, ..)| noon(*date)).collect();
    let good: Vec<u64> = report.days.iter().map(|(_, good, _)| *good).collect();
    let bad: Vec<u64> = report.days.iter().map(|(_, _, bad)| *bad).collect();
    Ok(Json(json!({ "x": x, "series": [good, bad] })).into_response())
}

async fn export(seat: Seat, Path(name): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let (app, method) = (seat.desk()?.view(MODULE)?.clone(), method(&name)?);
    let (paging, _) = paging::<GuestSort>(query.as_deref(), true)?;
    let head = ["email", "mobile", "name", "comments", "comments1", "comments2", "marketing", "verified", "visits"];
    let head = head.into_iter().chain(["mac", "first_login", "last_login"]).fold(Line::default(), Line::cell);
    let ids = app.guest_ids(method, &paging).await?;
    csv::send_found(&format!("guests-{}", method.as_str()), head, ids, move |ids| {
        let app = app.clone();
        async move { Ok(app.guest_records(&ids).await?.iter().map(line).collect()) }
    })
    .await
}

fn line(row: &GuestRecord) -> Line {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Line::default()
        .cell(&text(&row.email))
        .cell(&text(&row.mobile))
        .cell(&text(&row.name))
        .cell(&row.comments)
        .cell(&row.comments1)
        .cell(&row.comments2)
        .number(u8::from(row.marketing))
        .number(u8::from(row.verified))
        .number(row.visits)
        .cell(&row.last_mac)
        .cell(&numbers::machine_moment(row.created_ms))
        .cell(&numbers::machine_moment(row.last_login_ms))
}

#[derive(Template)]
#[template(path = "panel/person.html")]
struct PersonPage {
    f: Frame,
    id: i64,
    method: Method,
    identity: String,
    /// All that is stored, as JSON.
    stored: String,
}

fn number(text: &str) -> Result<i64, Failure> {
    text.parse().map_err(|_| Failure::NotFound)
}

async fn person(seat: Seat, Path(id): Path<String>) -> Answer {
    let (app, id) = (seat.desk()?.reveal(MODULE)?, number(&id)?);
    let (method, identity) = app.guest_identity(id).await?;
    let stored = app.export_person(method, &identity).await?.ok_or(Failure::NotFound)?;
    let stored = serde_json::to_string_pretty(&stored).map_err(|_| Failure::Broken)?;
    seat.page(&PersonPage { f: seat.frame("person-title"), id, method, identity, stored })
}

async fn export_person(seat: Seat, Path(id): Path<String>) -> Answer {
    let (app, id) = (seat.desk()?.reveal(MODULE)?, number(&id)?);
    let (method, identity) = app.guest_identity(id).await?;
    let stored = app.export_person(method, &identity).await?.ok_or(Failure::NotFound)?;
    let name =
        HeaderValue::from_str(&format!("attachment; filename=\"person-{id}.json\"")).map_err(|_| Failure::Broken)?;
    Ok(([(header::CONTENT_DISPOSITION, name)], Json(stored)).into_response())
}

async fn erase(seat: Seat, Path(id): Path<String>) -> Answer {
    let (desk, id) = (seat.desk()?, number(&id)?);
    let (method, identity) = desk.view(MODULE)?.guest_identity(id).await?;
    // The log must not keep who was erased.
    let change = Change::new("erase", format!("guest {id}"));
    let erased = desk.change(MODULE, change, move |app| async move { app.erase_person(method, &identity).await }).await;
    let list = format!("/guests/{}", method.as_str());
    match erased {
        Ok(_) => seat.applied(&list, "person-erased", &[]),
        Err(error) => seat.refused(&list, error),
    }
}
