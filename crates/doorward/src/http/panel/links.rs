//! One-time links: those that can be used, and how their page looks.

mod look;
pub(super) mod preview;

use askama::Template;
use axum::extract::RawQuery;

use super::{
    csv::{self, Line},
    errors,
    form::Form,
    list::{List, paging},
    numbers,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::app::{
    audit::Paging,
    desk::{Change, DeskError, Module},
    one_time_links::{LinkId, LinkLine, LinkSort},
};

const MODULE: Module = Module::Links;
/// Most links that are revoked at once: those of the longest page.
const MOST: usize = 250;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view("/links", MODULE, list)
        .view("/links.csv", MODULE, export)
        .change("/links/revoke", MODULE, revoke)
        .form("/links/look", MODULE, look::ask)
        .change("/links/look", MODULE, look::save)
        .change("/links/preview", MODULE, preview::show)
        .form("/links/preview.css", MODULE, preview::style)
}

#[derive(Template)]
#[template(path = "panel/links.html")]
struct ListPage {
    f: Frame,
    list: List<LinkSort, LinkLine>,
    /// Links give their configurations.
    enabled: bool,
}

async fn list(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let (paging, _) = paging::<LinkSort>(query.as_deref(), true)?;
    let (rows, total) = app.link_page(&paging).await?;
    let enabled = app.link_settings().await?.wireguard.enabled;
    let list = List { paging, rows, total, path: "/links".to_owned(), filters: Vec::new() };
    seat.page(&ListPage { f: seat.frame("menu-links"), list, enabled })
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?.clone();
    let (paging, _) = paging::<LinkSort>(query.as_deref(), true)?;
    let head = ["account", "created", "expires", "uses", "uses_left", "last_used", "last_used_from"];
    let head = head.into_iter().fold(Line::default(), Line::cell);
    csv::send("links", head, move |page| {
        let (app, paging) = (app.clone(), Paging { page, size: csv::ROWS, ..paging.clone() });
        async move {
            let (rows, _) = app.link_page(&paging).await?;
            Ok(rows.iter().map(line).collect())
        }
    })
    .await
}

fn line(row: &LinkLine) -> Line {
    Line::default()
        .cell(&row.account)
        .cell(&numbers::machine_moment(row.created_ms))
        .cell(&numbers::machine_moment(row.expires_ms))
        .number(row.uses)
        .number(row.uses_left)
        .cell(&row.used_ms.map(numbers::machine_moment).unwrap_or_default())
        .cell(&row.used_from.map(|from| from.to_string()).unwrap_or_default())
}

/// Revokes those that were chosen, and tells how many. One that is gone already is as good as revoked.
async fn revoke(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let ids: Option<Vec<i64>> = form.all("id").map(|id| id.parse().ok()).collect();
    let ids = ids.filter(|ids| ids.len() <= MOST).ok_or(Failure::BadForm)?;
    if ids.is_empty() {
        return seat.warn("/links", "links-none-chosen");
    }
    let mut revoked = 0_usize;
    for id in ids {
        let change = Change::new("revoke", id);
        match desk.change(MODULE, change, move |app| async move { app.revoke_link(LinkId(id)).await }).await {
            Ok(()) => revoked += 1,
            Err(DeskError::Refused(error)) if !errors::is_failure(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    seat.done("/links", "links-revoked", &[("count", &revoked.to_string())])
}
