//! Who is on the guest networks now, and throwing them out.

use std::cmp::Ordering;

use askama::Template;
use axum::extract::RawQuery;
use doorward_policy::guest::Mac;

use super::{
    csv::{self, Line},
    form::Form,
    list::{List, paging},
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::{
    app::{
        Error,
        audit::{Paging, SortColumn},
        desk::{Change, Module},
        live::{LiveHost, Which},
    },
    hosts::Standing,
};

const MODULE: Module = Module::Live;
const PAGE: &str = "/live";
/// Most devices that are thrown out by one form.
const MOST_CHOSEN: usize = 1000;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, list).view("/live.csv", MODULE, export).change("/live/kick", MODULE, kick)
}

/// What the list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LiveSort {
    Address,
    Login,
    Since,
    Idle,
    Down,
    Up,
}

impl SortColumn for LiveSort {
    const ALL: &'static [(&'static str, Self)] = &[
        ("address", Self::Address),
        ("login", Self::Login),
        ("since", Self::Since),
        ("idle", Self::Idle),
        ("down", Self::Down),
        ("up", Self::Up),
    ];

    /// It is in memory, not in the database.
    fn sql(self) -> &'static str {
        ""
    }
}

impl LiveSort {
    fn compare(self, a: &LiveHost, b: &LiveHost) -> Ordering {
        match self {
            Self::Address => a.address.cmp(&b.address),
            Self::Login => a.login.cmp(&b.login),
            Self::Since => a.uptime_ms.cmp(&b.uptime_ms),
            Self::Idle => a.idle_ms.cmp(&b.idle_ms),
            Self::Down => a.bytes_down.cmp(&b.bytes_down),
            Self::Up => a.bytes_up.cmp(&b.bytes_up),
        }
    }
}

/// Which devices the list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Those that are online by a login.
    Guests,
    /// Every one that is seen.
    Hosts,
}

#[derive(Template)]
#[template(path = "panel/live.html")]
struct Page {
    f: Frame,
    list: List<LiveSort, LiveHost>,
    hosts: bool,
}

impl Page {
    fn standing(&self, host: &LiveHost) -> &'static str {
        standing(host.standing)
    }

    fn online(&self, host: &LiveHost) -> bool {
        host.standing == Standing::Online
    }

    fn for_how_long(&self, ms: &u64) -> String {
        crate::words::duration(self.f.lang, ms / 1000)
    }
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Captive => "captive",
        Standing::Online => "online",
        Standing::Allowed => "allowed",
        Standing::Blocked => "blocked",
    }
}

/// All that is asked for, sorted.
async fn found(seat: &Seat, paging: &Paging<LiveSort>, shown: Shown) -> Result<Vec<LiveHost>, Failure> {
    let app = seat.desk()?.view(MODULE)?;
    let mut hosts = match shown {
        Shown::Guests => app.active_guests().await?,
        Shown::Hosts => app.guest_hosts().await?,
    };
    let search = paging.search.to_lowercase();
    if !search.is_empty() {
        let has = |text: &str| text.to_lowercase().contains(&search);
        hosts.retain(|host| {
            has(&host.login) || has(&host.host_name) || has(&host.mac.to_string()) || has(&host.address.to_string())
        });
    }
    hosts.sort_by(|a, b| {
        let order = paging.sort.compare(a, b).then(a.mac.cmp(&b.mac));
        if paging.descending { order.reverse() } else { order }
    });
    Ok(hosts)
}

fn shown(query: &Form) -> Shown {
    if query.text("show") == "hosts" { Shown::Hosts } else { Shown::Guests }
}

async fn list(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let (paging, query) = paging::<LiveSort>(query.as_deref(), false)?;
    let shown = shown(&query);
    let hosts = found(&seat, &paging, shown).await?;
    let total = hosts.len() as u64;
    let (skip, take) = (paging.page as usize * paging.size as usize, paging.size as usize);
    let rows = hosts.into_iter().skip(skip).take(take).collect();
    let filters = vec![("show", if shown == Shown::Hosts { "hosts" } else { "" }.to_owned())];
    let list = List { paging, rows, total, path: PAGE.to_owned(), filters };
    seat.page(&Page { f: seat.frame("menu-live"), list, hosts: shown == Shown::Hosts })
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let (paging, query) = paging::<LiveSort>(query.as_deref(), false)?;
    let hosts = found(&seat, &paging, shown(&query)).await?;
    let head = ["address", "mac", "host_name", "standing", "login", "uptime_s", "idle_s", "bytes_down", "bytes_up"];
    let head = head.into_iter().fold(Line::default(), Line::cell);
    // Taken at one moment, so it is not read again page by page.
    let mut pages: Vec<Vec<Line>> =
        hosts.chunks(csv::ROWS as usize).map(|hosts| hosts.iter().map(line).collect()).collect();
    pages.reverse();
    csv::send("live", head, move |_| {
        let lines = pages.pop().unwrap_or_default();
        async move { Ok(lines) }
    })
    .await
}

fn line(host: &LiveHost) -> Line {
    let LiveHost { address, mac, host_name, standing: is, login, uptime_ms, idle_ms, bytes_down, bytes_up } = host;
    Line::default()
        .cell(&address.to_string())
        .cell(&mac.to_string())
        .cell(host_name)
        .cell(standing(*is))
        .cell(login)
        .number(uptime_ms / 1000)
        .number(idle_ms / 1000)
        .number(bytes_down)
        .number(bytes_up)
}

async fn kick(seat: Seat, form: Form) -> Answer {
    let macs = form.all("mac").take(MOST_CHOSEN).map(str::parse::<Mac>).collect::<Result<Vec<_>, _>>();
    let macs = macs.map_err(|_| Failure::BadForm)?;
    if macs.is_empty() {
        return seat.warn(PAGE, "live-none-chosen");
    }
    let names: Vec<String> = macs.iter().map(Mac::to_string).collect();
    let done = seat.desk()?.change(MODULE, Change::new("kick", names.join(" ")), move |app| async move {
        let mut kicked = 0_u64;
        for mac in macs {
            kicked += u64::from(app.kick_guest(Which::Mac(mac)).await);
        }
        if kicked == 0 { Err(Error::NotOnline) } else { Ok(kicked) }
    });
    match done.await {
        Ok(kicked) => seat.applied(PAGE, "live-kicked", &[("count", &kicked.to_string())]),
        Err(error) => seat.refused(PAGE, error),
    }
}
