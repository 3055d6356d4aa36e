//! Who a request comes from, and to which portal.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, request::Parts},
    response::Response,
};

use super::{Site, form::Form, lang, listener::Arrival};
use crate::{
    app::{hotspots::HotspotRecord, logins::Device},
    clock::now_ms,
    hosts::{Host, Standing},
    hotspot_settings::{HotspotSettings, Lang},
    words,
};

/// A request to the portal itself.
#[derive(Clone)]
pub(super) struct Visit {
    records: Arc<Vec<HotspotRecord>>,
    index: usize,
    pub(super) arrival: Arrival,
    /// Where pages of this portal are: `http://login.guest.internal`.
    pub(super) base: String,
    pub(super) lang: Lang,
    /// The language that the query asks for, to be remembered.
    pub(super) asked: Option<Lang>,
    /// Who; `None`: no neighbour event has named the address yet.
    pub(super) host: Option<Host>,
    pub(super) standing: Standing,
    /// For forms; empty where the device is unknown.
    pub(super) token: String,
    /// By an operator who looks how a page would be.
    pub(super) preview: bool,
}

impl Visit {
    /// `None`: the hotspot is gone.
    pub(super) fn of(site: &Site, arrival: Arrival, query: &str, headers: &HeaderMap) -> Option<Self> {
        let records = site.records();
        let index = records.iter().position(|record| record.hotspot.id == arrival.hotspot)?;
        let record = records.get(index)?;
        let base = base(site, record, arrival);
        let query = Form::parse(query.as_bytes()).unwrap_or_default();
        let asked = Lang::parse(query.raw(lang::NAME));
        let host = site.app.hosts().find(arrival.peer).filter(|host| host.hotspot == arrival.hotspot);
        let standing = host.as_ref().map_or(Standing::Captive, |host| site.app.hosts().standing_of(host));
        let mut visit = Self {
            lang: lang::choose(asked, headers),
            records,
            index,
            arrival,
            base,
            asked,
            host,
            standing,
            token: String::new(),
            preview: false,
        };
        if let Some(device) = visit.device() {
            visit.token = site.tokens.make(&device, now_ms());
        }
        Some(visit)
    }

    /// A look at the pages of a hotspot that need not be stored, by nobody.
    pub(super) fn preview(record: HotspotRecord, lang: Lang) -> Self {
        let (hotspot, gateway) = (record.hotspot.id, IpAddr::V4(record.hotspot.address.addr()));
        Self {
            records: Arc::new(vec![record]),
            index: 0,
            arrival: Arrival { peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED), gateway, hotspot, tls: false },
            base: String::new(),
            lang,
            asked: None,
            host: None,
            standing: Standing::Captive,
            token: String::new(),
            preview: true,
        }
    }

    pub(super) fn settings(&self) -> &HotspotSettings {
        // The index was looked up in these very records.
        &self.records[self.index].settings
    }

    /// The device, as operations want it.
    pub(super) fn device(&self) -> Option<Device> {
        let host = self.host.as_ref()?;
        Some(Device { hotspot: host.hotspot, mac: host.mac, address: self.arrival.peer })
    }

    pub(super) fn terms(&self) -> &str {
        words::of_operator(self.settings(), self.lang, |texts| &texts.terms)
    }

    pub(super) fn has_terms(&self) -> bool {
        !self.terms().is_empty()
    }

    pub(super) fn marketing(&self) -> &str {
        words::of_operator(self.settings(), self.lang, |texts| &texts.marketing)
    }

    /// Our own text of that name.
    pub(super) fn t(&self, name: &str) -> String {
        words::text(self.lang, name)
    }

    /// A path of this portal in the language of the page.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{path}?lang={}", self.lang.as_str())
    }
}

/// Where pages of a portal are.
pub(super) fn base(site: &Site, record: &HotspotRecord, arrival: Arrival) -> String {
    let scheme = if site.tls && record.hotspot.portal_tls { "https" } else { "http" };
    match (record.settings.host_name.as_str(), arrival.gateway) {
        ("", IpAddr::V4(address)) => format!("{scheme}://{address}"),
        ("", IpAddr::V6(address)) => format!("{scheme}://[{address}]"),
        (name, _) => format!("{scheme}://{name}"),
    }
}

/// A handler takes the visit that the gate has put into the request.
impl FromRequestParts<Site> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Response> {
        parts.extensions.get::<Self>().cloned().ok_or_else(super::failure)
    }
}

/// A form that was sent by a button of ours, and the device that sent it.
pub(super) struct Posted {
    pub(super) device: Device,
    pub(super) form: Form,
}

impl Posted {
    /// Reads it.
    ///
    /// # Errors
    /// What to answer: the device is unknown or blocked, the form is broken, too long, or not of our page.
    pub(super) async fn read(site: &Site, visit: &Visit, request: Request) -> Result<Self, Response> {
        let device = super::plain::known(visit).map_err(|answer| *answer)?;
        let Some(form) = Form::read(request).await else { return Err(super::plain::stale(visit)) };
        if site.tokens.fits(form.raw("token"), &device, now_ms()) {
            Ok(Self { device, form })
        } else {
            Err(super::plain::stale(visit))
        }
    }
}
