//! What a request meets before its handler: where it comes from, whose it is, whether it was forged, whether it may.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Redirect, Response},
};
use subtle::ConstantTimeEq as _;

use super::{
    drafts::Drafts,
    events::Publisher,
    form::Form,
    hotspots::Draft,
    routes::Need,
    seat::{Failure, Flashes, Seat, host},
};
use crate::{
    app::{App, desk::Desk},
    http::{HttpSettings, peer, source},
    secrets::SessionToken,
};

/// The cookie of a session. The prefix makes browsers keep it to this host and to HTTPS.
pub(super) const COOKIE: &str = "__Host-doorward";
/// The field of a form, and what scripts send instead of it.
const FORM_TOKEN: &str = "csrf";
const FORM_TOKEN_HEADER: &str = "x-csrf-token";
/// Most bytes of a form.
const MOST_BYTES: usize = 1024 * 1024;
/// Longest wait for a form.
const FORM_WAIT: std::time::Duration = std::time::Duration::from_secs(20);

/// What the panel's pages share.
#[derive(Clone)]
pub(super) struct Panel(Arc<Shared>);

struct Shared {
    app: App,
    settings: HttpSettings,
    flashes: Flashes,
    link_drafts: Drafts<String>,
    portal_drafts: Drafts<Draft>,
    publisher: Publisher,
}

impl Panel {
    pub(super) fn new(app: App, settings: &HttpSettings) -> Self {
        let publisher = Publisher::new(app.clone());
        Self(Arc::new(Shared {
            app,
            settings: settings.clone(),
            flashes: Flashes::default(),
            link_drafts: Drafts::default(),
            portal_drafts: Drafts::default(),
            publisher,
        }))
    }

    /// The operations, for the pages that let people in. All others have a desk (`tests/walls.rs`).
    pub(super) fn app_before_sign_in(&self) -> &App {
        &self.0.app
    }

    /// What the configuration file says of the listeners.
    pub(super) fn settings(&self) -> &HttpSettings {
        &self.0.settings
    }

    pub(super) fn flashes(&self) -> &Flashes {
        &self.0.flashes
    }

    /// Style sheets of previewed links.
    pub(super) fn link_drafts(&self) -> &Drafts<String> {
        &self.0.link_drafts
    }

    /// Previewed pages of portals.
    pub(super) fn portal_drafts(&self) -> &Drafts<Draft> {
        &self.0.portal_drafts
    }

    pub(super) fn publisher(&self) -> &Publisher {
        &self.0.publisher
    }
}

/// A route's need.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) panel: Panel,
    pub(super) need: Need,
    /// The body may be an archive instead of a form.
    pub(super) archive: bool,
}

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(super) struct Source(pub(super) IpAddr);

/// Lets a request in, or answers it.
pub(super) async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let Some(source) = source_of(&gate.panel, &request) else { return StatusCode::BAD_REQUEST.into_response() };
    request.extensions_mut().insert(Source(source));
    let token = cookie(request.headers(), COOKIE).and_then(SessionToken::parse);
    let desk = match &token {
        Some(token) => match gate.panel.0.app.session(token, source).await {
            Ok(desk) => desk,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a session could not be read");
                return (StatusCode::SERVICE_UNAVAILABLE, "Please try again in a moment.\n").into_response();
            }
        },
        None => None,
    };
    let seat = Seat::new(&gate.panel, &request, desk.clone().zip(token.as_ref().map(SessionToken::form_token)));
    if let Need::To(..) = gate.need
        && desk.is_none()
    {
        return sign_in_first(&request);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        if !same_origin(request.headers(), &host(&request)) {
            return seat.failed(&Failure::Forged);
        }
        let read = match gate.archive && is_archive(request.headers()) {
            true => check_token(request, &seat),
            false => read_form(request, &seat, desk.is_some()).await,
        };
        request = match read {
            Ok(request) => request,
            Err(failure) => return seat.failed(&failure),
        };
    }
    if let (Need::To(module, operation), Some(desk)) = (gate.need, &desk)
        && !desk.may(module, operation)
    {
        tracing::warn!(operator = desk.operator().name, from = %source, ?module, ?operation, "refused by role");
        return seat.failed(&Failure::Denied);
    }
    request.extensions_mut().insert(seat.clone());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Failure>() {
        Some(failure) => seat.failed(&failure),
        None => response,
    }
}

fn source_of(panel: &Panel, request: &Request) -> Option<IpAddr> {
    let connection = peer(request)?.ip();
    let source = source::of(connection, request.headers(), &panel.0.settings.trusted_proxies);
    Some(source.unwrap_or(connection).to_canonical())
}

/// Browsers go to the sign-in page and come back; programs are told.
fn sign_in_first(request: &Request) -> Response {
    let by_script = request.headers().contains_key("hx-request");
    let wants_page = request.headers().get(header::ACCEPT).is_none_or(|accept| {
        accept.to_str().is_ok_and(|accept| accept.contains("text/html") || accept.contains("*/*"))
    });
    if request.method() != Method::GET || by_script || !wants_page {
        return (StatusCode::UNAUTHORIZED, "Please sign in.\n").into_response();
    }
    let back = request.uri().path_and_query().map_or("/", |text| text.as_str());
    match back {
        "/" => Redirect::to("/login").into_response(),
        back => Redirect::to(&format!("/login?next={}", escaped(back))).into_response(),
    }
}

/// A path as a value in a query.
pub(super) fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'/');
    text.bytes().fold(String::with_capacity(text.len()), |mut all, b| {
        match plain(b) {
            true => all.push(char::from(b)),
            false => all += &format!("%{b:02X}"),
        }
        all
    })
}

/// Whether the browser says that a form came from a page of ours. Browsers too old to say anything are refused.
fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let origin = origin.and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, origin)| !host.is_empty() && origin.eq_ignore_ascii_case(host))
}

fn is_archive(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/zip")
}

/// Asks for the token of the session in the header; the body is for the handler to read.
fn check_token(request: Request, seat: &Seat) -> Result<Request, Failure> {
    let sent = request.headers().get(FORM_TOKEN_HEADER).map_or(&[][..], |value| value.as_bytes());
    if bool::from(sent.ct_eq(seat.form_token().as_bytes())) { Ok(request) } else { Err(Failure::Forged) }
}

/// Reads a form, and asks for the token of the session in it.
async fn read_form(request: Request, seat: &Seat, signed_in: bool) -> Result<Request, Failure> {
    let (mut parts, body) = request.into_parts();
    let bytes = tokio::time::timeout(FORM_WAIT, to_bytes(body, MOST_BYTES)).await;
    let bytes = bytes.map_err(|_| Failure::BadForm)?.map_err(|_| Failure::BadForm)?;
    let form = Form::read(&parts.headers, &bytes).ok_or(Failure::BadForm)?;
    if signed_in {
        let sent = parts.headers.get(FORM_TOKEN_HEADER).and_then(|value| value.to_str().ok());
        let sent = sent.unwrap_or_else(|| form.text(FORM_TOKEN));
        if !bool::from(sent.as_bytes().ct_eq(seat.form_token().as_bytes())) {
            return Err(Failure::Forged);
        }
    }
    parts.extensions.insert(form);
    Ok(Request::from_parts(parts, Body::empty()))
}

/// The value of a cookie; the first of a name counts.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = pairs.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Whose desk it is; `None` before sign-in.
pub(super) type Signed = Option<(Desk, String)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_ours_send_forms() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let uri = pairs.iter().find(|(name, _)| *name == "uri").map_or("/login", |(_, uri)| uri);
            let headers = pairs.iter().filter(|(name, _)| *name != "uri");
            let request = headers.fold(Request::post(uri), |request, (name, value)| request.header(*name, *value));
            let request = request.body(Body::empty()).unwrap();
            same_origin(request.headers(), &host(&request))
        };
        assert!(of(&[("sec-fetch-site", "same-origin")]));
        assert!(of(&[("sec-fetch-site", "none")]));
        for site in ["cross-site", "same-site", ""] {
            assert!(!of(&[("sec-fetch-site", site), ("origin", "https://a"), ("host", "a")]), "{site}");
        }
        assert!(of(&[("origin", "https://gw.example:8443"), ("host", "gw.example:8443")]));
        for origin in ["https://evil.example", "null", "https://gw.example"] {
            assert!(!of(&[("origin", origin), ("host", "gw.example:8443")]), "{origin}");
        }
        assert!(!of(&[("host", "gw.example")]));
        // HTTP/2 names the host elsewhere (RFC 9113, section 8.3.1).
        assert!(of(&[("origin", "https://gw.example:8443"), ("uri", "https://gw.example:8443/login")]));
        assert!(!of(&[("origin", "https://evil.example"), ("uri", "https://gw.example:8443/login")]));
        assert!(!of(&[("origin", "https://")]), "no host at all");
    }

    #[test]
    fn a_path_survives_a_query() {
        assert_eq!(escaped("/a b?q=ä&x=\r\n"), "/a%20b%3Fq%3D%C3%A4%26x%3D%0D%0A");
    }
}
