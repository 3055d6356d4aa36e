//! Hotspots: the list, one hotspot, and its tabs.

mod devices;
mod garden;
mod login;
mod network;
mod portal;

use askama::Template;
use axum::extract::{Path, RawQuery};
use doorward_policy::guest::Method;

pub(super) use self::portal::Draft;
use super::{
    csv::{self, Line},
    form::Form,
    list::{List, paging, part_of},
    routes::Routes,
    seat::{Answer, Failure, Seat},
    values::span,
    view::Frame,
};
use crate::{
    app::{
        audit::SortColumn,
        desk::{Change, Module},
        hotspots::{HotspotRecord, HotspotStanding},
    },
    hotspot_settings::MethodSettings,
    words,
};

const MODULE: Module = Module::Hotspots;
const PAGE: &str = "/hotspots";

/// Names of hotspots have no `+`.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view(PAGE, MODULE, list)
        .view("/hotspots.csv", MODULE, export)
        .form("/hotspots/+new", MODULE, network::ask_new)
        .change("/hotspots/+new", MODULE, network::create)
        .view("/hotspots/{name}", MODULE, show)
        .form("/hotspots/{name}/network", MODULE, network::ask)
        .change("/hotspots/{name}/network", MODULE, network::change)
        .form("/hotspots/{name}/login", MODULE, login::ask)
        .change("/hotspots/{name}/login", MODULE, login::change)
        .form("/hotspots/{name}/portal", MODULE, portal::ask)
        .change("/hotspots/{name}/portal", MODULE, portal::change)
        .form("/hotspots/{name}/portal/preview", MODULE, portal::preview)
        .change("/hotspots/{name}/portal/preview", MODULE, portal::draft)
        .form("/hotspots/{name}/garden", MODULE, garden::ask)
        .change("/hotspots/{name}/garden", MODULE, garden::change)
        .view("/hotspots/{name}/devices", MODULE, devices::list)
        .view("/hotspots/{name}/devices.csv", MODULE, devices::export)
        .change("/hotspots/{name}/devices", MODULE, devices::set)
        .change("/hotspots/{name}/devices/remove", MODULE, devices::remove)
        .change("/hotspots/{name}/delete", MODULE, delete)
}

/// What the list can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Name,
    Interface,
    Address,
    Seen,
    Online,
}

impl SortColumn for Sort {
    const ALL: &'static [(&'static str, Self)] = &[
        ("name", Self::Name),
        ("interface", Self::Interface),
        ("address", Self::Address),
        ("seen", Self::Seen),
        ("online", Self::Online),
    ];

    /// It is in memory, not in the database.
    fn sql(self) -> &'static str {
        ""
    }
}

#[derive(Template)]
#[template(path = "panel/hotspots.html")]
struct ListPage {
    f: Frame,
    list: List<Sort, HotspotStanding>,
}

impl ListPage {
    fn methods(&self, record: &HotspotRecord) -> String {
        let offered = record.settings.methods.iter().filter(|own| own.enabled);
        offered.map(|own| method_name(&self.f, own.method)).collect::<Vec<_>>().join(", ")
    }
}

fn method_name(f: &Frame, method: Method) -> String {
    f.t(&format!("method-{}", method.as_str()))
}

fn sorted(seat: &Seat, query: Option<&str>) -> Result<(super::list::Paging<Sort>, Vec<HotspotStanding>), Failure> {
    let (paging, _) = paging::<Sort>(query, false)?;
    let mut rows = seat.desk()?.view(MODULE)?.hotspot_standings();
    let search = paging.search.to_lowercase();
    rows.retain(|HotspotStanding { record, .. }| {
        let texts = [record.name.to_string(), record.hotspot.interface.to_string(), record.hotspot.address.to_string()];
        texts.iter().any(|text| text.to_lowercase().contains(&search))
    });
    rows.sort_by(|a, b| a.record.name.cmp(&b.record.name));
    match paging.sort {
        Sort::Name => {}
        Sort::Interface => rows.sort_by_key(|row| row.record.hotspot.interface),
        Sort::Address => rows.sort_by_key(|row| row.record.hotspot.address),
        Sort::Seen => rows.sort_by_key(|row| row.seen),
        Sort::Online => rows.sort_by_key(|row| row.online),
    }
    if paging.descending {
        rows.reverse();
    }
    Ok((paging, rows))
}

async fn list(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let (paging, rows) = sorted(&seat, query.as_deref())?;
    let list = part_of(rows, paging, PAGE.to_owned());
    seat.page(&ListPage { f: seat.frame("menu-hotspots"), list })
}

async fn export(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let (_, rows) = sorted(&seat, query.as_deref())?;
    let head = ["name", "interface", "address", "address_ipv6", "portal", "methods", "seen", "online"];
    csv::send_rows("hotspots", head.into_iter().fold(Line::default(), Line::cell), rows.iter().map(line).collect())
}

fn line(HotspotStanding { record, seen, online }: &HotspotStanding) -> Line {
    let methods: Vec<&str> =
        record.settings.methods.iter().filter(|own| own.enabled).map(|own| own.method.as_str()).collect();
    Line::default()
        .cell(record.name.as_str())
        .cell(record.hotspot.interface.as_str())
        .cell(&record.hotspot.address.to_string())
        .cell(&record.hotspot.address_ipv6.map(|net| net.to_string()).unwrap_or_default())
        .cell(&record.settings.host_name)
        .cell(&methods.join(" "))
        .number(seen)
        .number(online)
}

#[derive(Template)]
#[template(path = "panel/hotspot.html")]
struct ShowPage {
    f: Frame,
    tabs: Tabs,
    record: HotspotRecord,
    seen: usize,
    online: usize,
    /// What the portal is called by; empty: by its address.
    portal: String,
}

impl ShowPage {
    fn method_name(&self, own: &MethodSettings) -> String {
        method_name(&self.f, own.method)
    }

    /// What a login gives, in words.
    fn gives(&self, own: &MethodSettings) -> Vec<String> {
        if own.method == Method::Voucher {
            return vec![self.f.t("hotspot-voucher-gives")];
        }
        let limits = own.allowance;
        let time = |name: &str, seconds| self.f.t1(name, "time", &words::duration(self.f.lang, u64::from(seconds)));
        let mut texts = vec![match limits.valid_s {
            0 => self.f.t("hotspot-gives-no-end"),
            seconds => time("hotspot-gives-time", seconds),
        }];
        if limits.renew_s > 0 {
            texts.push(time("hotspot-gives-again", limits.renew_s));
        }
        texts.push(self.f.count("hotspot-gives-devices", i64::from(limits.devices)));
        if (limits.speed_down, limits.speed_up) != (0, 0) {
            texts.push(format!("↓ {} ↑ {} Mbit/s", self.speed(limits.speed_down), self.speed(limits.speed_up)));
        }
        let data = [("↓", limits.data_down_mb), ("↑", limits.data_up_mb), ("↓↑", limits.data_total_mb)];
        texts.extend(data.iter().filter(|(_, mb)| *mb > 0).map(|(way, mb)| format!("{way} {} MB", self.f.number(mb))));
        texts
    }

    fn speed(&self, mbit: u16) -> String {
        if mbit == 0 { self.f.t("vpn-unlimited") } else { mbit.to_string() }
    }

    fn time(&self, seconds: &u32) -> String {
        if *seconds == 0 { self.f.t("never") } else { words::duration(self.f.lang, u64::from(*seconds)) }
    }

    /// Asked before it is deleted.
    fn question(&self) -> String {
        let question = self.f.t1("hotspot-delete-confirm", "name", self.record.name.as_str());
        if self.online == 0 {
            return question;
        }
        format!("{question} {}", self.f.count("hotspot-delete-online", self.online))
    }
}

async fn show(seat: Seat, Path(name): Path<String>) -> Answer {
    let HotspotStanding { record, seen, online } = seat.desk()?.view(MODULE)?.hotspot_standing(&name)?;
    let scheme = if record.hotspot.portal_tls { "https" } else { "http" };
    let portal = match record.settings.host_name.as_str() {
        "" => format!("{scheme}://{}", record.hotspot.address.addr()),
        name => format!("{scheme}://{name}"),
    };
    let (f, tabs) = (seat.frame("menu-hotspots"), Tabs::new(&name, ""));
    seat.page(&ShowPage { f, tabs, record, seen, online, portal })
}

async fn delete(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    let record = desk.view(MODULE)?.hotspot(&name)?;
    let before = format!("interface={} address={}", record.hotspot.interface, record.hotspot.address);
    // Ticked by the page where it has told how many lose their access.
    let end_sessions = form.has("end_sessions");
    let (change, who) = (Change::new("delete", &name).before(before), name.clone());
    match desk.change(MODULE, change, move |app| async move { app.delete_hotspot(&who, end_sessions).await }).await {
        Ok(()) => seat.applied(PAGE, "hotspot-deleted", &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

/// Address of a hotspot's page.
fn page_of(name: &str) -> String {
    format!("{PAGE}/{}", super::guard::escaped(name))
}

/// The pages of one hotspot.
struct Tabs {
    name: String,
    page: String,
    here: &'static str,
}

impl Tabs {
    /// `here`: the last part of the page's address.
    fn new(name: &str, here: &'static str) -> Self {
        Self { name: name.to_owned(), page: page_of(name), here }
    }

    /// Last part of the address, name of its text, and whether it is a form.
    const ALL: [(&'static str, &'static str, bool); 6] = [
        ("", "hotspot-tab-overview", false),
        ("network", "hotspot-tab-network", true),
        ("login", "hotspot-tab-login", true),
        ("portal", "hotspot-tab-portal", true),
        ("garden", "hotspot-tab-garden", true),
        ("devices", "hotspot-tab-devices", false),
    ];

    fn is_here(&self, part: &str) -> bool {
        part == self.here
    }

    fn address(&self, part: &str) -> String {
        if part.is_empty() { self.page.clone() } else { format!("{}/{part}", self.page) }
    }
}

/// Puts a span of time into a form, as number and unit.
fn put_span(form: &mut Form, name: &str, seconds: u32) {
    let (number, unit) = span(seconds);
    form.set(name, number);
    form.set(&format!("{name}-unit"), unit.to_owned());
}

/// Reads one. What is none is refused as one that is too long.
fn read_span(form: &Form, name: &str) -> u32 {
    super::values::read_span(form.trimmed(name), form.text(&format!("{name}-unit"))).unwrap_or(u32::MAX)
}
