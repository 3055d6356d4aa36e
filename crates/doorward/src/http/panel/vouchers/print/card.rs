//! A voucher as it is handed out.

use std::net::IpAddr;

use doorward_policy::hotspot::Hotspot;

use super::{
    super::{numbers, terms::words_of},
    wish::{Part, Wish},
};
use crate::{
    app::{hotspots::HotspotRecord, vouchers::VoucherRecord},
    http::panel::seat::Seat,
    ticket::{self, Code},
    words,
};

/// What page and PDF show of a voucher.
pub(super) struct Card {
    pub(super) title: String,
    pub(super) fullname: String,
    pub(super) username: String,
    /// `None`: the user name is all that is asked for.
    pub(super) passcode: Option<String>,
    /// What it gives and where to log in, each a line.
    pub(super) facts: Vec<String>,
    pub(super) code: Option<Code>,
}

/// Where vouchers are used.
pub(super) struct Place {
    title: String,
    /// `http://login.guest.internal`; empty: there is no hotspot.
    portal: String,
}

impl Place {
    pub(super) fn of(seat: &Seat, hotspot: Option<&HotspotRecord>) -> Self {
        let Some(one) = hotspot else { return Self { title: seat.t("title"), portal: String::new() } };
        let portal = match one.settings.host_name.as_str() {
            "" => gateway_url(&one.hotspot),
            name => format!("http://{name}"),
        };
        Self { title: words::title(&one.settings, seat.lang), portal }
    }
}

/// The portal of a hotspot that has no name.
fn gateway_url(hotspot: &Hotspot) -> String {
    match hotspot.gateway_addresses().next() {
        Some(IpAddr::V6(v6)) => format!("http://[{v6}]"),
        Some(IpAddr::V4(v4)) => format!("http://{v4}"),
        None => String::new(),
    }
}

pub(super) fn card(seat: &Seat, voucher: &VoucherRecord, place: &Place, wish: &Wish) -> Card {
    let passcode = (!voucher.code_only).then(|| voucher.passcode.expose().to_owned());
    let mut facts = Vec::new();
    if !wish.ssid.is_empty() {
        facts.push(format!("{}: {}", seat.t("print-wifi"), wish.ssid));
    }
    if wish.shows(Part::Validity) {
        facts.extend(validity(seat, voucher));
    }
    if wish.shows(Part::Limits) {
        facts.extend(limits(seat, voucher));
    }
    if wish.shows(Part::Note) && !voucher.terms.note.is_empty() {
        facts.push(voucher.terms.note.clone());
    }
    let link = || ticket::link(&place.portal, &voucher.username, passcode.as_deref());
    let code = if wish.shows(Part::Qr) && !place.portal.is_empty() { Code::of(&link()) } else { None };
    if wish.shows(Part::Portal) && !place.portal.is_empty() {
        let name = if code.is_some() { "print-open" } else { "print-open-only" };
        facts.push(seat.fill(name, &[("address", &place.portal)]));
    }
    Card {
        title: place.title.clone(),
        fullname: voucher.fullname.clone(),
        username: voucher.username.clone(),
        passcode,
        facts,
        code,
    }
}

fn validity(seat: &Seat, voucher: &VoucherRecord) -> Vec<String> {
    let time = words_of(seat.lang, voucher.terms.valid_for);
    let time = match voucher.terms.from_first_use {
        true => seat.fill("voucher-from-first-use", &[("time", &time)]),
        false => time,
    };
    let until = voucher.ends_ms.map(|ms| (seat.t("voucher-until"), numbers::moment(ms, seat.zone())));
    [(seat.t("voucher-valid"), time)].into_iter().chain(until).map(labelled).collect()
}

fn limits(seat: &Seat, voucher: &VoucherRecord) -> Vec<String> {
    let terms = &voucher.terms;
    let devices = (terms.devices > 1).then(|| (seat.t("voucher-devices"), terms.devices.to_string()));
    let speeds = [("voucher-speed-down", terms.speed.down), ("voucher-speed-up", terms.speed.up)];
    let speeds = speeds.into_iter().filter(|(_, mbit)| mbit.get() > 0);
    let data =
        [("voucher-down", terms.limits.down), ("voucher-up", terms.limits.up), ("voucher-total", terms.limits.total)];
    let data = data.into_iter().filter_map(|(name, bytes)| Some((seat.t(name), words::data(seat.lang, bytes?))));
    let speeds = speeds.map(|(name, mbit)| (seat.t(name), format!("{} Mbit/s", mbit.get())));
    devices.into_iter().chain(speeds).chain(data).map(labelled).collect()
}

fn labelled((label, value): (String, String)) -> String {
    format!("{label}: {value}")
}
