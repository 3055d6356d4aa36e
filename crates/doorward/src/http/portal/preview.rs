//! The portal's pages for operators, who are no guests: the same templates, without anything to be sent.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use super::{
    login::{self, Sent},
    plain,
    visit::Visit,
};
use crate::{
    app::hotspots::HotspotRecord,
    hotspot_settings::{GuestSettings, Lang},
};

/// A page of guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Which {
    /// Where they log in.
    Login,
    /// The terms of use.
    Terms,
}

/// The page as a guest of this hotspot sees it first.
pub(in crate::http) fn show(record: HotspotRecord, guests: &GuestSettings, lang: Lang, which: Which) -> Response {
    let visit = Visit::preview(record, lang);
    let mut response = match which {
        Which::Login => login::shown(&visit, guests, &Sent::default(), false, StatusCode::OK),
        Which::Terms => plain::shown_terms(&visit),
    };
    // Nothing that is typed here goes anywhere.
    let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok());
    let policy = policy.unwrap_or("default-src 'none'").replace("form-action 'self'", "form-action 'none'");
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
