//! The login log.

use askama::Template;
use axum::extract::RawQuery;
use doorward_policy::guest::Method;

use super::{
    csv::{self, Line},
    form::Form,
    list::{List, paging},
    numbers,
    routes::Routes,
    seat::{Answer, Seat},
    view::Frame,
};
use crate::app::{
    desk::Module,
    guest_lists::{LoginRecord, LoginRows, LoginSort},
};

const MODULE: Module = Module::Logins;
const PAGE: &str = "/logins";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, list).view("/logins.csv", MODULE, export)
}

#[derive(Template)]
#[template(path = "panel/logins.html")]
struct Page {
    f: Frame,
    list: List<LoginSort, LoginRecord>,
    method: &'static str,
    success: &'static str,
}

fn rows(query: &Form) -> LoginRows {
    let success = match query.text("success") {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    };
    LoginRows { method: Method::parse(query.text("method")), success }
}

async fn list(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let (paging, query) = paging::<LoginSort>(query.as_deref(), true)?;
    let rows = rows(&query);
    let (found, total) = app.login_rows(&paging, rows).await?;
    let method = rows.method.map_or("", Method::as_str);
    let success = match rows.success {
        None => "",
        Some(true) => "1",
        Some(false) => "0",
    };
    let filters = vec![("method", method.to_owned()), ("success", success.to_owned())];
    let list = List { paging, rows: found, total, path: PAGE.to_owned(), filters };
    seat.page(&Page { f: seat.frame("menu-logins"), list, method, success })
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?.clone();
    let (paging, query) = paging::<LoginSort>(query.as_deref(), true)?;
    let ids = app.login_ids(&paging, rows(&query)).await?;
    let head = ["time", "method", "login", "mac", "address", "success", "reason"];
    csv::send_found("logins", head.into_iter().fold(Line::default(), Line::cell), ids, move |ids| {
        let app = app.clone();
        async move { Ok(app.login_records(&ids).await?.iter().map(line).collect()) }
    })
    .await
}

fn line(row: &LoginRecord) -> Line {
    let LoginRecord { id: _, created_ms, method, login, mac, address, success, reason } = row;
    let time = numbers::machine_moment(*created_ms);
    let reason = reason.as_deref().unwrap_or_default();
    let texts: [&str; 7] = [&time, method, login, mac, address, if *success { "1" } else { "0" }, reason];
    texts.into_iter().fold(Line::default(), Line::cell)
}
