//! Who is on the guest networks now, and throwing them out.

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
        hotspots::DevicePolicy,
        live::{Live, LiveHost, LivePaging, LiveSort, Which},
    },
    hosts::Standing,
};

const MODULE: Module = Module::Live;
const PAGE: &str = "/live";
/// The same with devices that are not online.
const HOSTS: &str = "/live?show=hosts";
/// Most devices that one form is about.
const MOST_CHOSEN: usize = 1000;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, list).view("/live.csv", MODULE, export).change("/live/kick", MODULE, kick).change(
        "/live/device",
        Module::Hotspots,
        set_policy,
    )
}

impl SortColumn for LiveSort {
    const ALL: &'static [(&'static str, Self)] = &[
        ("address", Self::Address),
        ("login", Self::Login),
        ("since", Self::Uptime),
        ("idle", Self::Idle),
        ("down", Self::Down),
        ("up", Self::Up),
        ("mac", Self::Mac),
        ("name", Self::HostName),
    ];

    /// It is in memory, not in the database.
    fn sql(self) -> &'static str {
        ""
    }
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

    /// Whether something can be done about it.
    fn can_choose(&self, host: &LiveHost) -> bool {
        host.standing == Standing::Online || (self.hosts && self.f.may_change(Module::Hotspots))
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

fn shown(query: &Form) -> Live {
    if query.text("show") == "hosts" { Live::Hosts } else { Live::Active }
}

/// As the list in memory is asked.
fn part(paging: &Paging<LiveSort>) -> LivePaging {
    let Paging { search, sort, descending, page, size } = paging.clone();
    LivePaging { search, sort, descending, offset: u64::from(page) * u64::from(size), limit: size }
}

async fn list(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let (paging, query) = paging::<LiveSort>(query.as_deref(), false)?;
    let hosts = shown(&query) == Live::Hosts;
    let (rows, total) = app.live_page(shown(&query), &part(&paging)).await?;
    let filters = vec![("show", if hosts { "hosts" } else { "" }.to_owned())];
    let list = List { paging, rows, total, path: PAGE.to_owned(), filters };
    seat.page(&Page { f: seat.frame("menu-live"), list, hosts })
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?.clone();
    let (paging, query) = paging::<LiveSort>(query.as_deref(), false)?;
    let which = shown(&query);
    let head = ["address", "mac", "host_name", "standing", "login", "uptime_s", "idle_s", "bytes_down", "bytes_up"];
    csv::send("live", head.into_iter().fold(Line::default(), Line::cell), move |page| {
        let (app, paging) = (app.clone(), Paging { page, size: csv::ROWS, ..paging.clone() });
        async move {
            let (rows, _) = app.live_page(which, &part(&paging)).await?;
            Ok(rows.iter().map(line).collect())
        }
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

/// Lets the chosen devices pass without a login, or blocks them, at the hotspots where they are.
async fn set_policy(seat: Seat, form: Form) -> Answer {
    let macs = chosen(&form)?;
    if macs.is_empty() {
        return seat.warn(HOSTS, "live-none-chosen");
    }
    let (policy, text) = match form.text("policy") {
        "allowed" => (DevicePolicy::Allowed, "live-allowed"),
        "blocked" => (DevicePolicy::Blocked, "live-blocked"),
        _ => return Err(Failure::BadForm),
    };
    let names: Vec<String> = macs.iter().map(Mac::to_string).collect();
    let change = Change::new("device", names.join(" ")).after(policy.as_str());
    let done = seat.desk()?.change(Module::Hotspots, change, move |app| async move {
        let mut set = 0;
        for mac in macs {
            set += usize::from(app.set_seen_device_policy(mac, policy).await? > 0);
        }
        // They have left meanwhile: nobody shall believe that they are blocked.
        if set == 0 { Err(Error::NotOnline) } else { Ok(set) }
    });
    match done.await {
        Ok(set) => seat.applied(HOSTS, text, &[("count", &set.to_string())]),
        Err(error) => seat.refused(HOSTS, error),
    }
}

/// Devices that boxes were ticked for.
fn chosen(form: &Form) -> Result<Vec<Mac>, Failure> {
    let macs = form.all("mac").take(MOST_CHOSEN).map(str::parse::<Mac>).collect::<Result<Vec<_>, _>>();
    macs.map_err(|_| Failure::BadForm)
}

async fn kick(seat: Seat, form: Form) -> Answer {
    let macs = chosen(&form)?;
    if macs.is_empty() {
        return seat.warn(PAGE, "live-none-chosen");
    }
    let names: Vec<String> = macs.iter().map(Mac::to_string).collect();
    let done = seat.desk()?.change(MODULE, Change::new("kick", names.join(" ")), move |app| async move {
        let mut kicked = 0_u64;
        for mac in macs {
            kicked += u64::from(app.kick_guest(Which::Mac(mac)).await?);
        }
        if kicked == 0 { Err(Error::NotOnline) } else { Ok(kicked) }
    });
    match done.await {
        Ok(kicked) => seat.applied(PAGE, "live-kicked", &[("count", &kicked.to_string())]),
        Err(error) => seat.refused(PAGE, error),
    }
}
