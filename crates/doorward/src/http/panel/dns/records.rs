//! Names of our own.

use askama::Template;
use axum::extract::RawQuery;
use doorward_policy::dns::{Data, Dns, Record, Refused};

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

pub(super) const PAGE: &str = "/dns/records";
const KINDS: [&str; 3] = ["A", "AAAA", "CNAME"];

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, show).view("/dns/records.csv", MODULE, export).change(PAGE, MODULE, add).change(
        "/dns/records/delete",
        MODULE,
        delete,
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Name,
    Kind,
    Data,
}

impl SortColumn for Sort {
    const ALL: &'static [(&'static str, Self)] = &[("name", Self::Name), ("kind", Self::Kind), ("data", Self::Data)];

    /// The list is in memory.
    fn sql(self) -> &'static str {
        ""
    }
}

#[derive(Template)]
#[template(path = "panel/dns_records.html")]
struct Page {
    f: Frame,
    list: List<Sort, Record>,
    typed: Typed,
    error: String,
}

/// A record as it was typed.
#[derive(Default)]
struct Typed {
    name: String,
    kind: String,
    data: String,
}

impl Typed {
    fn read(form: &Form) -> Self {
        let text = |name: &str| form.trimmed(name).chars().take(255).collect();
        Self { name: text("name"), kind: text("kind"), data: text("data") }
    }

    fn record(&self) -> Result<Record, Refused> {
        let name = self.name.parse()?;
        Ok(Record { name, data: Data::parse(&self.kind, &self.data).ok_or(Refused::Data)? })
    }

    /// For the audit log.
    fn words(&self) -> String {
        format!("{} {}", self.kind, self.data)
    }
}

/// Those that hold what is looked for, in the order that is wanted.
fn rows(dns: Dns, paging: &Paging<Sort>) -> Vec<Record> {
    let search = paging.search.to_ascii_lowercase();
    let found = |record: &Record| record.name.as_str().contains(&search) || record.data.to_string().contains(&search);
    let mut rows: Vec<Record> = dns.records.into_iter().filter(found).collect();
    match paging.sort {
        Sort::Name => rows.sort(),
        Sort::Kind => rows.sort_by(|a, b| a.data.kind().cmp(b.data.kind())),
        Sort::Data => rows.sort_by(|a, b| a.data.cmp(&b.data)),
    }
    if paging.descending {
        rows.reverse();
    }
    rows
}

fn page(seat: &Seat, query: Option<&str>, typed: Typed, error: String) -> Result<Page, Failure> {
    let dns = seat.desk()?.view(MODULE)?.dns();
    let (paging, _) = paging::<Sort>(query, false)?;
    let list = part_of(rows(dns, &paging), paging, PAGE.to_owned());
    Ok(Page { f: seat.frame("menu-dns"), list, typed, error })
}

async fn show(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    seat.page(&page(&seat, query.as_deref(), Typed::default(), String::new())?)
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let dns = seat.desk()?.view(MODULE)?.dns();
    let (paging, _) = paging::<Sort>(query.as_deref(), false)?;
    let head = ["name", "type", "data"].into_iter().fold(Line::default(), Line::cell);
    let line = |record: Record| {
        Line::default().cell(record.name.as_str()).cell(record.data.kind()).cell(&record.data.to_string())
    };
    csv::send_rows("records", head, rows(dns, &paging).into_iter().map(line).collect())
}

async fn add(seat: Seat, form: Form) -> Answer {
    let typed = Typed::read(&form);
    let (record, change) = (typed.record(), Change::new("add_record", &typed.name).after(typed.words()));
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        let record = record?;
        app.edit_dns(move |dns| Ok(dns.add_record(record)?)).await
    });
    match done.await {
        Ok(()) => seat.done(PAGE, "dns-record-added", &[("name", &typed.name)]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, None, typed, error)?)
        }
    }
}

async fn delete(seat: Seat, form: Form) -> Answer {
    let typed = Typed::read(&form);
    let (record, change) = (typed.record(), Change::new("delete_record", &typed.name).before(typed.words()));
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        let record = record?;
        app.edit_dns(move |dns| Ok(dns.remove_record(&record)?)).await
    });
    match done.await {
        Ok(()) => seat.done(PAGE, "dns-record-deleted", &[("name", &typed.name)]),
        Err(error) => seat.refused(PAGE, error),
    }
}
