//! What stands around every page: title, colour, languages; and how a page goes out.

use std::fmt::Write as _;

use askama::Template;
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use super::visit::Visit;
use crate::{
    hotspot_settings::{Lang, colour},
    words,
};

/// The whole style; the operator's colour comes before it.
const STYLE: &str = include_str!("../../../templates/portal/style.css");

/// The colour of a hotspot whose own cannot be read.
const COLOUR: [u8; 3] = [0x0b, 0x5c, 0xad];

/// What every template finds in `f`.
pub(super) struct Frame {
    pub(super) lang: Lang,
    pub(super) title: String,
    pub(super) welcome: String,
    pub(super) colour: String,
    pub(super) style: String,
    pub(super) logo: Option<String>,
    /// Address of the terms of use; `None`: there are none.
    pub(super) terms: Option<String>,
    /// Address of the first page.
    pub(super) front: String,
    /// Seconds until the page asks again.
    pub(super) refresh: Option<u32>,
    /// Where the browser goes by itself.
    pub(super) refresh_to: Option<String>,
    /// For forms; empty where the device is unknown.
    pub(super) token: String,
    /// What of the query stays when another language is chosen, with `&`.
    pub(super) query: String,
}

impl Frame {
    pub(super) fn of(visit: &Visit) -> Self {
        let (settings, lang) = (visit.settings(), visit.lang);
        let [red, green, blue] = colour(&settings.colour).unwrap_or(COLOUR);
        let colour = format!("#{red:02x}{green:02x}{blue:02x}");
        let on = if is_light([red, green, blue]) { "#111" } else { "#fff" };
        let welcome = match words::of_operator(settings, lang, |texts| &texts.welcome) {
            "" => words::text(lang, "welcome"),
            own => own.to_owned(),
        };
        Self {
            lang,
            title: words::title(settings, lang),
            welcome,
            style: format!("html{{--c:{colour};--on:{on}}}{STYLE}"),
            colour,
            logo: settings.logo.as_ref().map(|logo| match visit.preview {
                true => format!("data:{};base64,{}", logo.mime, logo.data),
                false => "/logo".to_owned(),
            }),
            terms: visit.has_terms().then(|| match visit.preview {
                true => format!("?page=terms&lang={}", lang.as_str()),
                false => visit.path("/terms"),
            }),
            front: visit.path(if visit.preview { "" } else { "/" }),
            refresh: None,
            refresh_to: None,
            token: visit.token.clone(),
            query: String::new(),
        }
    }

    /// Our own text of that name.
    pub(super) fn t(&self, name: &str) -> String {
        words::text(self.lang, name)
    }

    #[expect(clippy::unused_self, reason = "a template calls it")]
    pub(super) fn languages(&self) -> [(&'static str, &'static str); 5] {
        words::LANGUAGES.map(|(lang, name)| (lang.as_str(), name))
    }

    /// Sends a page. Nothing on it may load anything from elsewhere, run a script, or stand in a frame.
    pub(super) fn send(&self, status: StatusCode, page: &impl Template) -> Response {
        let hash = BASE64_STANDARD.encode(Sha256::digest(self.style.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; img-src 'self' data:; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        match (page.render(), HeaderValue::try_from(policy)) {
            (Ok(html), Ok(policy)) => {
                let mut response = Response::new(Body::from(html));
                *response.status_mut() = status;
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
                headers.insert(header::CONTENT_SECURITY_POLICY, policy);
                headers.insert(header::VARY, HeaderValue::from_static("Accept-Language, Cookie"));
                response
            }
            (Err(error), _) => {
                tracing::error!(%error, "a page could not be written");
                super::failure()
            }
            (Ok(_), Err(_)) => super::failure(),
        }
    }
}

/// Whether black letters can be read better on a colour than white ones (WCAG 2, relative luminance).
fn is_light(rgb: [u8; 3]) -> bool {
    let [red, green, blue] = rgb.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    let luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    // Where the contrast to white and that to #111 (luminance 0.0056) are the same.
    (luminance + 0.05) * (luminance + 0.05) > 1.05 * 0.0556
}

/// Percent-encodes a value for a query.
pub(super) fn encode(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            result.push(char::from(byte));
        } else {
            let _infallible = write!(result, "%{byte:02X}");
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_can_be_read_on_any_colour() {
        let contrast = |rgb: [u8; 3]| {
            let luminance = |rgb: [u8; 3]| {
                let [r, g, b] = rgb.map(|part| {
                    let part = f64::from(part) / 255.0;
                    if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
                });
                0.2126 * r + 0.7152 * g + 0.0722 * b
            };
            let ink = luminance(if is_light(rgb) { [0x11; 3] } else { [0xff; 3] });
            let (a, b) = (luminance(rgb).max(ink), luminance(rgb).min(ink));
            (a + 0.05) / (b + 0.05)
        };
        for n in 0..=u8::MAX {
            for rgb in [[n, n, n], [n, 0, 0], [0, n, 0], [0, 0, n], [255, n, 0], [n, 255, 255 - n]] {
                assert!(contrast(rgb) >= 4.3, "{rgb:?}: {}", contrast(rgb));
            }
        }
        assert!(!is_light(COLOUR) && is_light([255, 220, 0]));
    }
}
