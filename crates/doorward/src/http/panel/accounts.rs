//! VPN accounts: the list, one account, and what can be done to it.

mod bulk;
mod config;
mod edit;
mod traffic;

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, RawQuery};
use doorward_policy::{
    account::{Account, ClientKey},
    observed::PeerStats,
};

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
    App,
    accounts::{AccountLine, AccountSort, AccountState, AccountWish},
    audit::Paging,
    desk::{Change, Module},
};

pub(super) const MODULE: Module = Module::Accounts;
/// Who may make one-time links.
const LINKS: Module = Module::Links;
/// Longest wait of a page for what the kernel knows of the accounts on it; without it, the page says so.
const KERNEL_WAIT: Duration = Duration::from_secs(1);

/// Names of accounts have no `+`.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view("/accounts", MODULE, list)
        .view("/accounts.csv", MODULE, export)
        .form("/accounts/+new", MODULE, edit::ask_new)
        .change("/accounts/+new", MODULE, edit::create)
        .change("/accounts/+bulk", MODULE, bulk::change)
        .view("/accounts/{name}", MODULE, show)
        .form("/accounts/{name}/edit", MODULE, edit::ask)
        .change("/accounts/{name}/edit", MODULE, edit::change)
        .change("/accounts/{name}/status", MODULE, switch)
        .change("/accounts/{name}/delete", MODULE, delete)
        .reveal("/accounts/{name}/config", MODULE, config::show)
        .reveal("/accounts/{name}/client.conf", MODULE, config::download)
        .view("/accounts/{name}/traffic.json", MODULE, traffic::json)
        .change("/accounts/{name}/link", LINKS, config::link)
}

/// An account on a page, with what its tunnel says of it.
pub(super) struct Row {
    pub(super) account: AccountLine,
    pub(super) peer: Option<PeerStats>,
}

impl Row {
    /// Unix ms of its last handshake.
    pub(super) fn handshake_ms(&self) -> Option<i64> {
        self.peer.map(|peer| peer.latest_handshake_s).filter(|at| *at > 0).map(|at| at.saturating_mul(1000))
    }
}

/// Asks the tunnels; `false`: they did not answer in time.
pub(super) async fn with_peers(app: &App, accounts: Vec<AccountLine>) -> (Vec<Row>, bool) {
    let read = tokio::time::timeout(KERNEL_WAIT, app.peers_of(&accounts)).await;
    let (mut peers, known) = match read {
        Ok(Ok(peers)) => (peers, true),
        Ok(Err(error)) => {
            super::errors::log(&error);
            (std::collections::HashMap::new(), false)
        }
        Err(_) => (std::collections::HashMap::new(), false),
    };
    let rows = accounts.into_iter().map(|account| Row { peer: peers.remove(&account.id), account });
    (rows.collect(), known)
}

#[derive(Template)]
#[template(path = "panel/accounts.html")]
struct ListPage {
    f: Frame,
    list: List<AccountSort, Row>,
    servers: Vec<String>,
    server: String,
    /// The tunnels answered.
    known: bool,
}

/// Which accounts an address asks for.
struct Asked {
    paging: Paging<AccountSort>,
    server: String,
    state: Option<AccountState>,
}

fn asked(query: Option<&str>) -> Result<Asked, Failure> {
    let (paging, form) = paging::<AccountSort>(query, false)?;
    let server = form.trimmed("server").chars().filter(|c| !c.is_control()).take(64).collect();
    Ok(Asked { paging, server, state: AccountState::parse(form.trimmed("state")) })
}

async fn list(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let Asked { paging, server, state } = asked(query.as_deref())?;
    let (accounts, total) = app.account_page(&paging, &server, state).await?;
    let (rows, known) = with_peers(app, accounts).await;
    let filters = vec![("server", server.clone()), ("state", state.map_or("", AccountState::as_str).to_owned())];
    let list = List { paging, rows, total, path: "/accounts".to_owned(), filters };
    let servers = app.server_names();
    seat.page(&ListPage { f: seat.frame("menu-accounts"), list, servers, server, known })
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?.clone();
    let Asked { paging, server, state } = asked(query.as_deref())?;
    let head = [
        "name",
        "username",
        "server",
        "state",
        "address",
        "address_ipv6",
        "download_mbit",
        "upload_mbit",
        "quota_bytes",
        "quota_period",
        "quota_used_bytes",
        "expires",
    ];
    let head = head.into_iter().fold(Line::default(), Line::cell);
    let ids = app.account_ids(&paging, &server, state).await?;
    csv::send_found("accounts", head, ids, move |ids| {
        let app = app.clone();
        async move { Ok(app.account_lines(&ids).await?.iter().map(line).collect()) }
    })
    .await
}

fn line(row: &AccountLine) -> Line {
    let address_ipv6 = row.address_ipv6.map(|address| address.to_string()).unwrap_or_default();
    let quota = row.quota.map(|quota| quota.bytes.to_string()).unwrap_or_default();
    let period = row.quota.map_or("", |quota| quota.period.as_str());
    let expires = row.expires_at_ms.map(numbers::machine_moment).unwrap_or_default();
    Line::default()
        .cell(&row.name)
        .cell(&row.username)
        .cell(&row.server_name)
        .cell(row.state.as_str())
        .cell(&row.address.to_string())
        .cell(&address_ipv6)
        .number(row.bandwidth.down.get())
        .number(row.bandwidth.up.get())
        .cell(&quota)
        .cell(period)
        .number(row.quota_used)
        .cell(&expires)
}

#[derive(Template)]
#[template(path = "panel/account.html")]
struct ShowPage {
    f: Frame,
    row: Row,
    account: Account,
    /// The tunnel answered.
    known: bool,
    /// Unix ms at which the quota begins anew.
    anew_ms: Option<i64>,
    month: traffic::Month,
    /// Of the form that makes a link.
    link: Form,
    error: String,
    wrong: &'static str,
}

impl ShowPage {
    /// The client alone has the private key.
    fn own_key(&self) -> bool {
        matches!(self.account.key, ClientKey::Own(_))
    }
}

async fn show(seat: Seat, Path(name): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let page = page(&seat, &name, query.trimmed("month")).await?;
    seat.page(&page)
}

async fn page(seat: &Seat, name: &str, month: &str) -> Result<ShowPage, Failure> {
    let app = seat.desk()?.view(MODULE)?;
    let line = app.account_line(name).await?;
    let account = app.account(name).await?.account;
    let (mut rows, known) = with_peers(app, vec![line]).await;
    let row = rows.pop().ok_or(Failure::NotFound)?;
    let quota = account.current_quota(crate::clock::now_ms(), seat.zone());
    let anew_ms = quota.and_then(|quota| quota.period_end_ms);
    let month = traffic::Month::parse(month).unwrap_or_else(|| traffic::Month::now(seat.zone()));
    let lifetime_days = app.link_settings().await?.lifetime_days;
    let link = Form::of([("uses", "1".to_owned()), ("days", lifetime_days.to_string())]);
    let (f, error, wrong) = (seat.frame("menu-accounts"), String::new(), "");
    Ok(ShowPage { f, row, account, known, anew_ms, month, link, error, wrong })
}

async fn switch(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let enabled = match form.text("status") {
        "enable" => true,
        "disable" => false,
        _ => return Err(Failure::BadForm),
    };
    let done = set_enabled(&seat, name.clone(), enabled).await;
    let text = if enabled { "account-enabled" } else { "account-suspended" };
    match done {
        Ok(()) => seat.applied(&page_of(&name), text, &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

async fn set_enabled(seat: &Seat, name: String, enabled: bool) -> Result<(), crate::app::desk::DeskError> {
    let desk = seat.desk().map_err(|_| crate::app::desk::Denied)?;
    let change = Change::new(if enabled { "enable" } else { "disable" }, &name);
    let wish = AccountWish { enabled: crate::app::Given::Is(enabled), ..AccountWish::default() };
    desk.change(MODULE, change, move |app| async move { app.update_account(&name, wish).await.map(drop) }).await
}

async fn delete(seat: Seat, Path(name): Path<String>) -> Answer {
    match remove(&seat, name.clone()).await {
        Ok(()) => seat.applied("/accounts", "account-deleted", &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

async fn remove(seat: &Seat, name: String) -> Result<(), crate::app::desk::DeskError> {
    let desk = seat.desk().map_err(|_| crate::app::desk::Denied)?;
    let line = desk.view(MODULE)?.account_line(&name).await.map_err(crate::app::desk::DeskError::from)?;
    let change = Change::new("delete", &name).before(format!("server={} address={}", line.server_name, line.address));
    desk.change(MODULE, change, move |app| async move { app.delete_account(&name).await }).await
}

/// Address of an account's page.
pub(super) fn page_of(name: &str) -> String {
    format!("/accounts/{}", super::guard::escaped(name))
}
