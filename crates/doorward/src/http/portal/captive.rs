//! The captive-portal API (RFC 8908): devices ask it whether they are captive, and until when not.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::{Site, plain, visit::Visit};
use crate::{clock::now_ms, hosts::Standing};

const TYPE: &str = "application/captive+json";

/// Keys of RFC 8908, section 5.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer<'a> {
    captive: bool,
    user_portal_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    venue_info_url: Option<&'a str>,
    can_extend_session: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_remaining: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_remaining: Option<u64>,
}

/// Answers a device; a person is led to the portal.
pub(super) async fn answer(State(site): State<Site>, visit: Visit, headers: HeaderMap) -> Response {
    let wanted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = wanted.flat_map(|value| value.split(',')).filter_map(|entry| entry.split(';').next());
    if !types.any(|kind| kind.trim().eq_ignore_ascii_case(TYPE)) {
        return plain::see(&visit, "/");
    }
    let captive = match visit.standing {
        Standing::Online | Standing::Allowed => false,
        Standing::Captive | Standing::Blocked => true,
    };
    let status = match visit.device() {
        Some(device) if visit.standing == Standing::Online => site.app.session_status(&device).await,
        Some(_) | None => None,
    };
    let seconds = status
        .as_ref()
        .and_then(|status| status.ends_ms)
        .map(|ends_ms| u64::try_from(ends_ms.saturating_sub(now_ms())).unwrap_or(0) / 1000);
    let bytes = status.as_ref().and_then(|status| {
        let left = status.left;
        [left.down, left.up, left.total].into_iter().flatten().min()
    });
    let answer = Answer {
        captive,
        user_portal_url: format!("{}/", visit.base),
        venue_info_url: visit.settings().venue_url.as_deref(),
        // The portal takes another voucher at any time.
        can_extend_session: status.is_some(),
        seconds_remaining: seconds,
        bytes_remaining: bytes,
    };
    match serde_json::to_vec(&answer) {
        Ok(body) => ([(header::CONTENT_TYPE, HeaderValue::from_static(TYPE))], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            super::failure()
        }
    }
}
