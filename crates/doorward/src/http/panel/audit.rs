//! The audit log: who changed what.

use askama::Template;
use axum::extract::RawQuery;

use super::{
    csv::{self, Line},
    list::{List, paging},
    numbers,
    routes::Routes,
    seat::{Answer, Seat},
    view::Frame,
};
use crate::app::{
    audit::{AuditRecord, AuditSort},
    desk::Module,
};

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view("/audit", Module::Audit, list).view("/audit.csv", Module::Audit, export)
}

#[derive(Template)]
#[template(path = "panel/audit.html")]
struct Page {
    f: Frame,
    list: List<AuditSort, AuditRecord>,
}

async fn list(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(Module::Audit)?;
    let (paging, _) = paging::<AuditSort>(query.as_deref(), true)?;
    let (rows, total) = app.audit(&paging).await?;
    let list = List { paging, rows, total, path: "/audit".to_owned(), filters: Vec::new() };
    seat.page(&Page { f: seat.frame("menu-audit"), list })
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(Module::Audit)?.clone();
    let (paging, _) = paging::<AuditSort>(query.as_deref(), true)?;
    let head = ["time", "actor", "address", "module", "action", "object", "before", "after", "outcome"];
    let head = head.into_iter().fold(Line::default(), Line::cell);
    let ids = app.audit_ids(&paging).await?;
    csv::send_found("audit", head, ids, move |ids| {
        let app = app.clone();
        async move { Ok(app.audit_records(&ids).await?.iter().map(line).collect()) }
    })
    .await
}

fn line(row: &AuditRecord) -> Line {
    let AuditRecord { created_ms, actor, address, module, action, object, before, after, outcome, .. } = row;
    let outcome = match outcome.as_deref() {
        None => "unknown",
        Some("") => "done",
        Some(why) => why,
    };
    let time = numbers::machine_moment(*created_ms);
    let texts = [&time, actor, address, module, action, object, before, after, outcome];
    texts.into_iter().fold(Line::default(), Line::cell)
}
