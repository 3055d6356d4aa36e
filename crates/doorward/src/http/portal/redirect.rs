//! What a request for another host gets: the way to the portal, or, for a device that is online, what it looks for.

use std::net::IpAddr;

use axum::{
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};

use super::{Site, listener::Arrival, probes::Probe, visit::base};
use crate::{
    app::{hotspots::HotspotRecord, logins::Device},
    hosts::Standing,
};

/// Whether a host is the portal's: its name, or an address of the gateway.
pub(super) fn is_ours(host: &str, record: &HotspotRecord) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let own = &record.settings.host_name;
    (!own.is_empty() && name.eq_ignore_ascii_case(own))
        || host.parse::<IpAddr>().is_ok_and(|address| record.hotspot.gateway_addresses().any(|own| own == address))
}

/// Answers from memory; only a device that may come back without a login costs a look at the database, and that rarely.
pub(super) async fn answer(site: &Site, record: &HotspotRecord, arrival: Arrival, host: &str, uri: &Uri) -> Response {
    let hosts = site.app.hosts();
    let found = hosts.find(arrival.peer).filter(|found| found.hotspot == arrival.hotspot);
    // By address: one that is not admitted yet is captive, whatever else its device has.
    let standing = hosts.standing(arrival.peer).filter(|_| found.is_some()).unwrap_or(Standing::Captive);
    let probe = Probe::find(host, uri.path());
    match standing {
        Standing::Online | Standing::Allowed => {
            if let Some(host) = &found {
                site.silent.forget(host.hotspot, host.mac);
            }
            // What still comes here was on its way when the device came online.
            return probe.map_or_else(|| lead(&base(site, record, arrival)), Probe::answer);
        }
        Standing::Captive => {
            // A device that is online by another address gets this one as soon as the kernel has it.
            let offline = found.filter(|host| host.online.is_none());
            let device = offline.map(|host| Device { hotspot: host.hotspot, mac: host.mac, address: arrival.peer });
            if let Some(device) = device
                && site.silent.quickly(&site.app, record, &device).await
            {
                return match probe {
                    Some(probe) => probe.answer(),
                    None => again(host, uri).unwrap_or_else(|| lead(&base(site, record, arrival))),
                };
            }
        }
        Standing::Blocked => {}
    }
    lead(&base(site, record, arrival))
}

/// Leads from plain HTTP to the same page by HTTPS, where the portal's name has a certificate.
pub(super) fn upgrade(base: &str, host: &str, record: &HotspotRecord, arrival: Arrival, uri: &Uri) -> Option<Response> {
    let named = host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case(&record.settings.host_name);
    let path = uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    let wanted = named && !arrival.tls && base.starts_with("https:");
    wanted.then(|| found(&format!("{base}{path}"), "This page is served by HTTPS.\n".to_owned()))
}

/// Leads to the portal. The body is for those who show it, and so that no probe takes the answer for an empty one.
fn lead(base: &str) -> Response {
    let to = format!("{base}/");
    let body = format!(
        "<!doctype html><html><head><title>Log in</title><meta http-equiv=\"refresh\" content=\"0;url={to}\"></head>\
         <body><a href=\"{to}\">Log in to the network</a></body></html>\n"
    );
    found(&to, body)
}

/// Sends a device that has just come online where it wanted to go; this time it gets there.
fn again(host: &str, uri: &Uri) -> Option<Response> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let wanted = !host.is_empty() && host.chars().all(fine);
    let path = uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    wanted.then(|| found(&format!("http://{host}{path}"), "Once more, please.\n".to_owned()))
}

fn found(to: &str, body: String) -> Response {
    let Ok(location) = HeaderValue::try_from(to) else { return super::failure() };
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (StatusCode::FOUND, [(header::LOCATION, location), (header::CONTENT_TYPE, html)], body).into_response()
}
