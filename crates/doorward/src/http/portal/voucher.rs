//! Login by voucher, and giving back the place of a device.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use askama::Template;
use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
    response::Response,
};
use doorward_policy::guest::{Mac, Method};
use zeroize::Zeroizing;

use super::{
    Site,
    form::Form,
    frame::Frame,
    login::{self, Sent},
    plain::{self, One},
    view::MOST_CODE,
    visit::{Posted, Visit},
};
use crate::{
    app::logins::{Denied, Device, SlotDevice},
    clock::now_ms,
    hosts::Standing,
    secrets, words,
};

/// Logs in with the form of the page or of a ticket.
pub(super) async fn log_in(State(site): State<Site>, visit: Visit, request: Request) -> Response {
    let Posted { device, form } = match Posted::read(&site, &visit, request).await {
        Ok(posted) => posted,
        Err(answer) => return answer,
    };
    if login::method(&site, &visit, Method::Voucher).is_none() {
        return plain::missing(&visit);
    }
    let mut sent = Sent::new(Method::Voucher, form.clone());
    let (username, passcode) = credentials(&form);
    if username.is_empty() && passcode.is_empty() {
        sent.wrong("u", visit.t("error-field"));
    }
    login::check_terms(&visit, &mut sent);
    if !sent.is_fine() {
        return login::page(&site, &visit, &sent, false, StatusCode::UNPROCESSABLE_ENTITY);
    }
    match site.app.log_in_with_voucher(&device, &username, &passcode).await {
        Ok(_) => plain::see(&visit, "/"),
        Err(Denied::Slots(devices)) => slots(&site, &visit, &device, &devices, Some((username, passcode))),
        Err(denied) => {
            let (text, status) = told(&visit, &denied);
            let field = if status == StatusCode::FORBIDDEN { "u" } else { "" };
            sent.wrong(field, text);
            login::page(&site, &visit, &sent, false, status)
        }
    }
}

/// The page behind the QR code of a ticket with one code: a button that logs in. A GET alone never does, since phones
/// look at links before people do.
pub(super) async fn ticket(State(site): State<Site>, visit: Visit, Path(code): Path<String>) -> Response {
    let code: String = code.chars().filter(|c| !c.is_control()).take(MOST_CODE).collect();
    prefilled(&site, &visit, code, String::new())
}

/// The same for a ticket with user name and passcode.
pub(super) fn prefilled(site: &Site, visit: &Visit, username: String, passcode: String) -> Response {
    if let Err(answer) = plain::known(visit) {
        return *answer;
    }
    if visit.standing != Standing::Captive {
        return plain::see(visit, "/");
    }
    if login::method(site, visit, Method::Voucher).is_none() {
        return plain::missing(visit);
    }
    let mut page = One::new(visit, "voucher-ready", &["voucher-ready-text"]);
    page.f.query = format!("u={}&p={}&", super::frame::encode(&username), super::frame::encode(&passcode));
    page.forms.push(login::ticket(visit, username, passcode));
    page.send(StatusCode::OK)
}

/// Gives back a device's place: one that shares the grant of whoever asks, one that was listed, or any by the voucher
/// itself.
pub(super) async fn release(State(site): State<Site>, visit: Visit, request: Request) -> Response {
    let Posted { device, form } = match Posted::read(&site, &visit, request).await {
        Ok(posted) => posted,
        Err(answer) => return answer,
    };
    if form.raw("own") == "1" {
        return release_own(&site, &visit, &device, &form).await;
    }
    let known = match form.raw("ticket") {
        "" => Some(credentials(&form)),
        ticket => site.releases.find(ticket, &device, Instant::now()),
    };
    let Some((username, passcode)) = known else { return plain::stale(&visit) };
    let Ok(mac) = form.raw("mac").parse::<Mac>() else { return plain::stale(&visit) };
    let released = site.app.release_slot(&device, &username, &passcode, mac).await;
    if let Err(denied) = released {
        let (text, status) = told(&visit, &denied);
        return login::alert(&site, &visit, text, status);
    }
    if visit.standing == Standing::Online {
        return plain::see(&visit, "/");
    }
    match site.app.log_in_with_voucher(&device, &username, &passcode).await {
        Ok(_) => plain::see(&visit, "/"),
        Err(Denied::Slots(devices)) => slots(&site, &visit, &device, &devices, Some((username, passcode))),
        Err(denied) => {
            let (text, status) = told(&visit, &denied);
            login::alert(&site, &visit, text, status)
        }
    }
}

/// The same for another device of the grant that the asking one is online by.
async fn release_own(site: &Site, visit: &Visit, device: &Device, form: &Form) -> Response {
    let Ok(mac) = form.raw("mac").parse::<Mac>() else { return plain::stale(visit) };
    match site.app.release_own_slot(device, mac).await {
        Ok(true) => plain::see(visit, "/"),
        // Released before, or not of this grant.
        Ok(false) => plain::stale(visit),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a place could not be given back");
            plain::failed(visit)
        }
    }
}

/// User name and passcode. What is too long cannot be right, and is asked for as it is cut.
fn credentials(form: &Form) -> (Zeroizing<String>, Zeroizing<String>) {
    let cut = |text: &str| Zeroizing::new(text.chars().take(MOST_CODE + 1).collect::<String>());
    (cut(form.raw("u").trim()), cut(form.raw("p")))
}

/// Says the same of a voucher that is unknown, over, used up, or not valid yet, so that nobody learns which codes exist.
fn told(visit: &Visit, denied: &Denied) -> (String, StatusCode) {
    match denied {
        Denied::WrongUsername
        | Denied::WrongPasscode
        | Denied::Expired
        | Denied::NotYet
        | Denied::Spent
        | Denied::Disabled => (visit.t("error-voucher"), StatusCode::FORBIDDEN),
        Denied::Slots(_)
        | Denied::WrongCode
        | Denied::Blocked
        | Denied::Elsewhere
        | Denied::TooMany { .. }
        | Denied::Failed => login::told(visit, denied),
    }
}

#[derive(Template)]
#[template(path = "portal/slots.html")]
struct Slots {
    f: Frame,
    heading: String,
    text: String,
    /// Lets the buttons work without the passcode on the page.
    ticket: Option<String>,
    devices: Vec<Listed>,
}

pub(super) struct Listed {
    /// Whole, for the button.
    pub(super) value: String,
    /// Shortened, for the eye.
    pub(super) mac: String,
    pub(super) this: bool,
    pub(super) used: String,
}

/// A voucher with its user name and passcode, as they were entered.
type Credentials = (Zeroizing<String>, Zeroizing<String>);

/// The page that says which devices take the places; with credentials each can be removed.
pub(super) fn slots(
    site: &Site,
    visit: &Visit,
    device: &Device,
    devices: &[SlotDevice],
    credentials: Option<Credentials>,
) -> Response {
    let ticket = credentials.and_then(|credentials| site.releases.keep(device, credentials, Instant::now()));
    let page = Slots {
        f: Frame::of(visit),
        heading: visit.t("slots-title"),
        text: visit.t(if ticket.is_some() { "slots-text" } else { "slots-ask" }),
        ticket,
        devices: devices.iter().map(|slot| listed(visit, device, slot)).collect(),
    };
    page.f.send(StatusCode::FORBIDDEN, &page)
}

pub(super) fn listed(visit: &Visit, device: &Device, slot: &SlotDevice) -> Listed {
    let ago_s = u64::try_from(now_ms().saturating_sub(slot.last_ms)).unwrap_or(0) / 1000;
    let time = words::duration(visit.lang, ago_s);
    let used =
        if slot.online { visit.t("slots-online") } else { words::fill(visit.lang, "slots-used", &[("time", &time)]) };
    Listed { value: slot.mac.to_string(), mac: short(slot.mac), this: slot.mac == device.mac, used }
}

/// Enough of a MAC address for its owner to know it by.
fn short(mac: Mac) -> String {
    let [.., a, b, c] = mac.0;
    format!("…{a:02X}:{b:02X}:{c:02X}")
}

/// How long the buttons of a list of devices work.
const KEEP: Duration = Duration::from_secs(600);
/// Lists that are kept; beyond that, the oldest is forgotten.
const MOST_KEPT: usize = 2048;

/// Credentials of guests who were shown a list of devices, so that the page need not hold a passcode.
#[derive(Default)]
pub(super) struct Releases(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_ticket: HashMap<String, (Device, Credentials, Instant)>,
    order: VecDeque<String>,
}

impl Releases {
    fn keep(&self, device: &Device, credentials: Credentials, now: Instant) -> Option<String> {
        let ticket = secrets::random_ticket().ok()?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { by_ticket, order } = &mut *kept;
        while let Some(oldest) = order.front() {
            let is_old = by_ticket.get(oldest).is_none_or(|(.., since)| now.duration_since(*since) >= KEEP);
            if !is_old && order.len() < MOST_KEPT {
                break;
            }
            by_ticket.remove(oldest);
            order.pop_front();
        }
        by_ticket.insert(ticket.clone(), (*device, credentials, now));
        order.push_back(ticket.clone());
        Some(ticket)
    }

    fn find(&self, ticket: &str, device: &Device, now: Instant) -> Option<Credentials> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (owner, credentials, since) = kept.by_ticket.get(ticket)?;
        let fits = (owner.hotspot, owner.mac) == (device.hotspot, device.mac) && now.duration_since(*since) < KEEP;
        fits.then(|| credentials.clone())
    }
}

#[cfg(test)]
mod tests {
    use doorward_policy::hotspot::HotspotId;

    use super::*;

    #[test]
    fn a_ticket_is_for_its_device_and_for_a_while() {
        let device =
            |n: u8| Device { hotspot: HotspotId(1), mac: Mac([2, 0, 0, 0, 0, n]), address: [10, 0, 0, n].into() };
        let (releases, start) = (Releases::default(), Instant::now());
        let credentials = (Zeroizing::new("u".to_owned()), Zeroizing::new("p".to_owned()));
        let ticket = releases.keep(&device(1), credentials.clone(), start).unwrap();
        assert_eq!(releases.find(&ticket, &device(1), start), Some(credentials.clone()));
        assert_eq!(releases.find(&ticket, &device(2), start), None);
        assert_eq!(releases.find(&ticket, &device(1), start + KEEP), None);
        for _ in 0..3000 {
            releases.keep(&device(1), credentials.clone(), start);
        }
        let kept = releases.0.lock().unwrap();
        assert_eq!((kept.by_ticket.len(), kept.order.len()), (MOST_KEPT, MOST_KEPT));
    }
}
