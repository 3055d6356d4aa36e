//! Names that are blocked, or answered in any case, by hand.

use askama::Template;
use axum::extract::RawQuery;
use doorward_policy::dns::{Dns, Pattern, Side};

use super::{
    super::{
        csv::{self, Line},
        form::Form,
        list::{List, Paging, paging, part_of},
        routes::Routes,
        seat::{Answer, Failure, Seat},
        view::Frame,
    },
    MODULE, TABS,
};
use crate::app::{audit::SortColumn, desk::Change};

pub(super) const PAGE: &str = "/dns/names";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, show).view("/dns/names.csv", MODULE, export).change(PAGE, MODULE, add).change(
        "/dns/names/delete",
        MODULE,
        delete,
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Name,
    Side,
}

impl SortColumn for Sort {
    const ALL: &'static [(&'static str, Self)] = &[("name", Self::Name), ("side", Self::Side)];

    /// The list is in memory.
    fn sql(self) -> &'static str {
        ""
    }
}

struct Row {
    name: Pattern,
    side: Side,
}

impl Row {
    fn is_blocked(&self) -> bool {
        self.side == Side::Blocked
    }

    fn side(&self) -> &'static str {
        word(self.side)
    }
}

#[derive(Template)]
#[template(path = "panel/dns_names.html")]
struct Page {
    f: Frame,
    list: List<Sort, Row>,
    typed: String,
    allow: bool,
    error: String,
}

fn word(side: Side) -> &'static str {
    match side {
        Side::Blocked => "blocked",
        Side::Allowed => "allowed",
    }
}

fn side(form: &Form) -> Side {
    if form.text("side") == word(Side::Allowed) { Side::Allowed } else { Side::Blocked }
}

fn rows(dns: Dns, paging: &Paging<Sort>) -> Vec<Row> {
    let of = |names: std::collections::BTreeSet<Pattern>, side| names.into_iter().map(move |name| Row { name, side });
    let search = paging.search.to_ascii_lowercase();
    let all = of(dns.blocked, Side::Blocked).chain(of(dns.allowed, Side::Allowed));
    let mut rows: Vec<Row> = all.filter(|row| row.name.to_string().contains(&search)).collect();
    match paging.sort {
        Sort::Name => rows.sort_by(|a, b| a.name.cmp(&b.name)),
        Sort::Side => rows.sort_by_key(|row| row.is_blocked()),
    }
    if paging.descending {
        rows.reverse();
    }
    rows
}

fn page(seat: &Seat, query: Option<&str>, typed: String, allow: bool, error: String) -> Result<Page, Failure> {
    let dns = seat.desk()?.view(MODULE)?.dns();
    let (paging, _) = paging::<Sort>(query, false)?;
    let list = part_of(rows(dns, &paging), paging, PAGE.to_owned());
    Ok(Page { f: seat.frame("menu-dns"), list, typed, allow, error })
}

async fn show(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    seat.page(&page(&seat, query.as_deref(), String::new(), false, String::new())?)
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let dns = seat.desk()?.view(MODULE)?.dns();
    let (paging, _) = paging::<Sort>(query.as_deref(), false)?;
    let head = ["name", "side"].into_iter().fold(Line::default(), Line::cell);
    let line = |row: Row| Line::default().cell(&row.name.to_string()).cell(row.side());
    csv::send_rows("names", head, rows(dns, &paging).into_iter().map(line).collect())
}

async fn add(seat: Seat, form: Form) -> Answer {
    let (typed, side) = (form.trimmed("name").chars().take(255).collect::<String>(), side(&form));
    let name = typed.parse::<Pattern>();
    let change = Change::new("add_name", &typed).after(word(side));
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        let name = name?;
        app.edit_dns(move |dns| Ok(dns.add_name(side, name)?)).await
    });
    match done.await {
        Ok(()) => seat.done(PAGE, "dns-name-added", &[("name", &typed)]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, None, typed, side == Side::Allowed, error)?)
        }
    }
}

async fn delete(seat: Seat, form: Form) -> Answer {
    let (typed, side) = (form.trimmed("name").chars().take(255).collect::<String>(), side(&form));
    let name = typed.parse::<Pattern>();
    let change = Change::new("delete_name", &typed).before(word(side));
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        let name = name?;
        app.edit_dns(move |dns| Ok(dns.remove_name(side, &name)?)).await
    });
    match done.await {
        Ok(()) => seat.done(PAGE, "dns-name-deleted", &[("name", &typed)]),
        Err(error) => seat.refused(PAGE, error),
    }
}
