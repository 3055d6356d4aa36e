//! Devices that pass without a login, and blocked ones.

use askama::Template;
use axum::extract::{Path, RawQuery};
use doorward_policy::guest::Mac;

use super::{
    super::{
        csv::{self, Line},
        form::Form,
        list::{List, Paging, paging, part_of},
        seat::{Answer, Failure, Seat},
        view::Frame,
    },
    MODULE, Tabs,
};
use crate::app::{
    Error,
    audit::SortColumn,
    desk::Change,
    hotspots::{DevicePolicy, HotspotDevice, HotspotError},
};

/// Most devices that are removed by one form.
const MOST_CHOSEN: usize = 250;

/// What the list can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Mac,
    Policy,
    Since,
    Note,
}

impl SortColumn for Sort {
    const ALL: &'static [(&'static str, Self)] =
        &[("mac", Self::Mac), ("policy", Self::Policy), ("since", Self::Since), ("note", Self::Note)];

    /// It is sorted in memory: there are at most 4,096.
    fn sql(self) -> &'static str {
        ""
    }
}

#[derive(Template)]
#[template(path = "panel/hotspot_devices.html")]
struct Page {
    f: Frame,
    tabs: Tabs,
    list: List<Sort, HotspotDevice>,
    form: Form,
    error: String,
    wrong: &'static str,
}

impl Page {
    fn policy(&self, device: &HotspotDevice) -> &'static str {
        device.policy.as_str()
    }
}

async fn sorted(seat: &Seat, name: &str, query: Option<&str>) -> Result<(Paging<Sort>, Vec<HotspotDevice>), Failure> {
    let (paging, _) = paging::<Sort>(query, false)?;
    let mut rows = seat.desk()?.view(MODULE)?.hotspot_devices(name).await?;
    let search = paging.search.to_lowercase();
    rows.retain(|row| row.mac.to_string().contains(&search) || row.note.to_lowercase().contains(&search));
    match paging.sort {
        Sort::Mac => rows.sort_by_key(|row| row.mac),
        Sort::Policy => rows.sort_by_key(|row| row.policy.as_str()),
        Sort::Since => rows.sort_by_key(|row| row.created_ms),
        Sort::Note => rows.sort_by(|a, b| a.note.cmp(&b.note)),
    }
    if paging.descending {
        rows.reverse();
    }
    Ok((paging, rows))
}

async fn page(seat: &Seat, name: &str, query: Option<&str>, form: Form, error: String) -> Result<Page, Failure> {
    let (paging, rows) = sorted(seat, name, query).await?;
    let tabs = Tabs::new(name, "devices");
    let list = part_of(rows, paging, tabs.address("devices"));
    let wrong = if error.is_empty() { "" } else { "mac" };
    Ok(Page { f: seat.frame("menu-hotspots"), tabs, list, form, error, wrong })
}

pub(super) async fn list(seat: Seat, Path(name): Path<String>, RawQuery(query): RawQuery) -> Answer {
    seat.page(&page(&seat, &name, query.as_deref(), Form::default(), String::new()).await?)
}

pub(super) async fn export(seat: Seat, Path(name): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let (_, rows) = sorted(&seat, &name, query.as_deref()).await?;
    let head = ["mac", "policy", "since", "note"].into_iter().fold(Line::default(), Line::cell);
    let line = |row: &HotspotDevice| {
        let line = Line::default().cell(&row.mac.to_string()).cell(row.policy.as_str());
        line.cell(&super::super::numbers::machine_moment(row.created_ms)).cell(&row.note)
    };
    csv::send_rows("devices", head, rows.iter().map(line).collect())
}

pub(super) async fn set(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    desk.view(MODULE)?.hotspot(&name)?;
    let policy = DevicePolicy::parse(form.text("policy")).ok_or(Failure::BadForm)?;
    let note = form.trimmed("note").to_owned();
    let Ok(mac) = form.trimmed("mac").parse::<Mac>() else {
        return seat.again(&page(&seat, &name, None, form, seat.t("error-mac")).await?);
    };
    let (change, who) = (Change::new("device", &name).after(format!("{mac} {}", policy.as_str())), name.clone());
    let done = desk
        .change(MODULE, change, move |app| async move { app.set_device_policy(&who, mac, Some(policy), note).await });
    match done.await {
        Ok(()) => {
            let to = Tabs::new(&name, "").address("devices");
            seat.applied(&to, "hotspot-device-set", &[("mac", &mac.to_string())])
        }
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, &name, None, form, error).await?)
        }
    }
}

pub(super) async fn remove(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let to = Tabs::new(&name, "").address("devices");
    let macs = form.all("mac").take(MOST_CHOSEN).map(str::parse::<Mac>).collect::<Result<Vec<_>, _>>();
    let macs = macs.map_err(|_| Failure::BadForm)?;
    if macs.is_empty() {
        return seat.warn(&to, "hotspot-none-chosen");
    }
    let names = macs.iter().map(Mac::to_string).collect::<Vec<_>>().join(" ");
    let (change, who) = (Change::new("device_removed", &name).before(names), name.clone());
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        let mut removed = 0_usize;
        for mac in macs {
            match app.set_device_policy(&who, mac, None, String::new()).await {
                Ok(()) => removed += 1,
                // Somebody else was quicker: the others go all the same.
                Err(Error::Hotspot(HotspotError::DeviceNotFound)) => {}
                Err(error) => return Err(error),
            }
        }
        if removed == 0 { Err(HotspotError::DeviceNotFound.into()) } else { Ok(removed) }
    });
    match done.await {
        Ok(count) => seat.applied(&to, "hotspot-devices-removed", &[("count", &count.to_string())]),
        Err(error) => seat.refused(&to, error),
    }
}
