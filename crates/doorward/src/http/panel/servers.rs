//! VPN servers: the list, one server, and what can be done to it.

mod edit;
mod forwards;
mod live;

use std::net::Ipv4Addr;

use askama::Template;
use axum::extract::{Path, RawQuery};
use doorward_policy::vpn_server::VpnServer;

use super::{
    accounts::{Row, with_peers},
    csv::{self, Line},
    list::{List, paging},
    routes::Routes,
    seat::{Answer, Seat},
    view::Frame,
};
use crate::app::{
    accounts::AccountSort,
    audit::Paging,
    desk::{Change, Module},
    vpn_servers::{ServerLine, ServerSort},
};

const MODULE: Module = Module::Servers;
/// Free addresses that a page tells.
const FREE_SHOWN: usize = 10;
/// Peers that a server's page tells; the list of accounts has all.
const PEERS_SHOWN: u32 = 10;

/// Names of servers have no `+`.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view("/servers", MODULE, list)
        .view("/servers.csv", MODULE, export)
        .form("/servers/+new", MODULE, edit::ask_new)
        .change("/servers/+new", MODULE, edit::create)
        .view("/servers/{name}", MODULE, show)
        .view("/servers/{name}/live", MODULE, live::show)
        .view("/servers/{name}/forwards", MODULE, forwards::list)
        .change("/servers/{name}/forwards", MODULE, forwards::create)
        .change("/servers/{name}/forwards/delete", MODULE, forwards::delete)
        .form("/servers/{name}/edit", MODULE, edit::ask)
        .change("/servers/{name}/edit", MODULE, edit::change)
        .change("/servers/{name}/bandwidth", MODULE, set_bandwidth)
        .change("/servers/{name}/delete", MODULE, delete)
}

#[derive(Template)]
#[template(path = "panel/servers.html")]
struct ListPage {
    f: Frame,
    list: List<ServerSort, ServerLine>,
}

async fn list(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let (paging, _) = paging::<ServerSort>(query.as_deref(), false)?;
    let (rows, total) = app.server_page(&paging).await?;
    let list = List { paging, rows, total, path: "/servers".to_owned(), filters: Vec::new() };
    seat.page(&ListPage { f: seat.frame("menu-servers"), list })
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?.clone();
    let (paging, _) = paging::<ServerSort>(query.as_deref(), false)?;
    let head = ["name", "interface", "port", "address", "address_ipv6", "external_ip", "download_mbit", "upload_mbit"];
    let head = head.into_iter().chain(["accounts"]).fold(Line::default(), Line::cell);
    csv::send("servers", head, move |page| {
        let (app, paging) = (app.clone(), Paging { page, size: csv::ROWS, ..paging.clone() });
        async move {
            let (rows, _) = app.server_page(&paging).await?;
            Ok(rows.iter().map(line).collect())
        }
    })
    .await
}

fn line(row: &ServerLine) -> Line {
    Line::default()
        .cell(&row.name)
        .cell(&row.interface)
        .number(row.listen_port)
        .cell(&row.address.to_string())
        .cell(&row.address_ipv6.map(|net| net.to_string()).unwrap_or_default())
        .cell(&row.external_ip.to_string())
        .number(row.bandwidth.down.get())
        .number(row.bandwidth.up.get())
        .number(row.accounts)
}

#[derive(Template)]
#[template(path = "panel/server.html")]
struct ShowPage {
    f: Frame,
    server: VpnServer,
    peers: Vec<Row>,
    /// Number of all accounts.
    accounts: u64,
    /// The tunnel answered.
    known: bool,
    /// The first free addresses.
    free: Vec<Ipv4Addr>,
    /// Number of all free addresses.
    free_count: usize,
    forwards: usize,
}

impl ShowPage {
    fn all_accounts(&self) -> String {
        self.f.count("server-all-accounts", self.accounts)
    }

    fn all_free(&self) -> String {
        self.f.count("server-free-count", self.free_count as u64)
    }
}

async fn show(seat: Seat, Path(name): Path<String>) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let server = app.server(&name).await?;
    let first =
        Paging { search: String::new(), sort: AccountSort::Name, descending: false, page: 0, size: PEERS_SHOWN };
    let (peers, accounts) = app.account_page(&first, &name, None).await?;
    let (peers, known) = with_peers(app, peers).await;
    let mut free = app.available_ips(&name).await?;
    let free_count = free.len();
    free.truncate(FREE_SHOWN);
    let forwards = app.list_forwards(&name).await?.len();
    let f = seat.frame("menu-servers");
    seat.page(&ShowPage { f, server, peers, accounts, known, free, free_count, forwards })
}

async fn set_bandwidth(seat: Seat, Path(name): Path<String>) -> Answer {
    let desk = seat.desk()?;
    let bandwidth = desk.view(MODULE)?.server(&name).await?.bandwidth;
    let after = format!("down={} up={}", bandwidth.down.get(), bandwidth.up.get());
    let (change, who) = (Change::new("set_bandwidth", &name).after(after), name.clone());
    match desk.change(MODULE, change, move |app| async move { app.set_bandwidth(&who).await }).await {
        Ok(()) => seat.applied(&page_of(&name), "server-bandwidth-set", &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

async fn delete(seat: Seat, Path(name): Path<String>) -> Answer {
    let desk = seat.desk()?;
    let server = desk.view(MODULE)?.server(&name).await?;
    let before = format!("interface={} address={} port={}", server.interface, server.address, server.listen_port);
    let (change, who) = (Change::new("delete", &name).before(before), name.clone());
    match desk.change(MODULE, change, move |app| async move { app.delete_server(&who).await }).await {
        Ok(()) => seat.applied("/servers", "server-deleted", &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

/// Address of a server's page.
pub(super) fn page_of(name: &str) -> String {
    format!("/servers/{}", super::guard::escaped(name))
}
