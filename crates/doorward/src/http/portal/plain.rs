//! Pages that say one thing.

use askama::Template;
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{frame::Frame, view::FormView, visit::Visit};
use crate::{app::logins::Device, hosts::Standing};

/// Seconds until a device that nobody knows yet asks again.
const UNKNOWN_REFRESH: u32 = 3;

/// A page of a heading, some text, forms and a link.
#[derive(Template)]
#[template(path = "portal/one.html")]
pub(super) struct One {
    pub(super) f: Frame,
    pub(super) heading: String,
    pub(super) texts: Vec<String>,
    pub(super) forms: Vec<FormView>,
    pub(super) link: Option<(String, String)>,
}

impl One {
    pub(super) fn new(visit: &Visit, heading: &str, texts: &[&str]) -> Self {
        Self {
            f: Frame::of(visit),
            heading: visit.t(heading),
            texts: texts.iter().map(|name| visit.t(name)).collect(),
            forms: Vec::new(),
            link: None,
        }
    }

    pub(super) fn link(mut self, visit: &Visit, path: &str, label: &str) -> Self {
        self.link = Some((visit.path(path), visit.t(label)));
        self
    }

    pub(super) fn send(self, status: StatusCode) -> Response {
        self.f.send(status, &self)
    }
}

/// The device of a visit.
///
/// # Errors
/// The page for one that is unknown or blocked.
pub(super) fn known(visit: &Visit) -> Result<Device, Box<Response>> {
    if visit.standing == Standing::Blocked {
        let page = One::new(visit, "blocked-title", &["blocked-text"]);
        return Err(Box::new(page.send(StatusCode::FORBIDDEN)));
    }
    visit.device().ok_or_else(|| {
        let mut page = One::new(visit, "unknown-title", &["unknown-text"]).link(visit, "/", "retry");
        page.f.refresh = Some(UNKNOWN_REFRESH);
        Box::new(page.send(StatusCode::OK))
    })
}

/// A form that is not of a page that we gave to this device lately.
pub(super) fn stale(visit: &Visit) -> Response {
    One::new(visit, "retry", &["error-form"]).link(visit, "/", "retry").send(StatusCode::FORBIDDEN)
}

/// A page that does not exist.
pub(super) fn missing(visit: &Visit) -> Response {
    One::new(visit, "missing-title", &["missing-text"]).link(visit, "/", "back").send(StatusCode::NOT_FOUND)
}

/// Something of ours failed.
pub(super) fn failed(visit: &Visit) -> Response {
    let page = One::new(visit, "retry", &["error-failed"]).link(visit, "/", "retry");
    page.send(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Sends the browser to another page of the portal, to be fetched by GET.
pub(super) fn see(visit: &Visit, path: &str) -> Response {
    let Ok(to) = HeaderValue::try_from(visit.path(path)) else { return super::failure() };
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

#[derive(Template)]
#[template(path = "portal/terms.html")]
struct Terms<'a> {
    f: Frame,
    paragraphs: Vec<&'a str>,
}

/// The operator's terms of use.
pub(super) async fn terms(visit: Visit) -> Response {
    shown_terms(&visit)
}

/// The page of the terms, also for a preview.
pub(super) fn shown_terms(visit: &Visit) -> Response {
    if !visit.has_terms() {
        return missing(visit);
    }
    let text = visit.terms().replace("\r\n", "\n");
    let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()).collect();
    let mut page = Terms { f: Frame::of(visit), paragraphs };
    if visit.preview {
        "page=terms&".clone_into(&mut page.f.query);
    }
    page.f.send(StatusCode::OK, &page)
}

/// The operator's logo. A browser that opens it by itself must not run what an SVG may hold.
pub(super) async fn logo(visit: Visit) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
    let logo = visit.settings().logo.as_ref();
    let found = logo.and_then(|logo| Some((HeaderValue::from_str(&logo.mime).ok()?, logo.bytes()?)));
    let Some((mime, bytes)) = found else { return missing(&visit) };
    let headers: [(HeaderName, HeaderValue); 2] =
        [(header::CONTENT_TYPE, mime), (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    (headers, bytes).into_response()
}
