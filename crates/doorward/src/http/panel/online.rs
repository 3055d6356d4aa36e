//! Who is online: accounts that shook hands lately.

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
    accounts::{OnlineLine, OnlineSort},
    audit::Paging,
    desk::Module,
};

const MODULE: Module = Module::Accounts;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view("/online", MODULE, list).view("/online.csv", MODULE, export)
}

#[derive(Template)]
#[template(path = "panel/online.html")]
struct Page {
    f: Frame,
    list: List<OnlineSort, OnlineLine>,
}

async fn list(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let (paging, _) = paging::<OnlineSort>(query.as_deref(), false)?;
    let (rows, total) = app.online_page(&paging).await?;
    let list = List { paging, rows, total, path: "/online".to_owned(), filters: Vec::new() };
    seat.page(&Page { f: seat.frame("accounts-online"), list })
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?.clone();
    let (paging, _) = paging::<OnlineSort>(query.as_deref(), false)?;
    let head = ["name", "server", "address", "endpoint", "last_handshake", "received_bytes", "sent_bytes"];
    let head = head.into_iter().fold(Line::default(), Line::cell);
    csv::send("online", head, move |page| {
        let (app, paging) = (app.clone(), Paging { page, size: csv::ROWS, ..paging.clone() });
        async move {
            let (rows, _) = app.online_page(&paging).await?;
            Ok(rows.iter().map(line).collect())
        }
    })
    .await
}

fn line(OnlineLine { account, peer }: &OnlineLine) -> Line {
    Line::default()
        .cell(&account.name)
        .cell(&account.server_name)
        .cell(&account.address.to_string())
        .cell(&peer.endpoint.map(|endpoint| endpoint.to_string()).unwrap_or_default())
        .cell(&numbers::machine_moment(peer.latest_handshake_s.saturating_mul(1000)))
        .number(peer.rx_bytes)
        .number(peer.tx_bytes)
}
