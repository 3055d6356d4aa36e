//! Scripts, styles and icons, built by `web/build.mjs` and part of the program.

use std::borrow::Cow;

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use rust_embed::Embed;

use super::routes::Routes;

#[derive(Embed)]
#[folder = "../../web/dist"]
struct Dist;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.open("/assets/{file}", asset)
}

/// Address of a file; it changes when the file does, so browsers keep it for ever.
pub(super) fn address(file: &str) -> String {
    let digest = Dist::get(file).map(|file| file.metadata.sha256_hash()).unwrap_or_default();
    let version: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("/assets/{file}?v={version}")
}

/// A font that the program itself draws with; browsers do not get it. Empty: it is not part of this build.
pub(super) fn font(file: &str) -> Cow<'static, [u8]> {
    Dist::get(file).map(|found| found.data).unwrap_or_default()
}

async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let packed = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let packed = packed.is_some_and(|text| text.split(',').any(|way| way.trim().starts_with("gzip")));
    let packed = packed.then(|| Dist::get(&format!("{file}.gz"))).flatten();
    let is_packed = packed.is_some();
    let (Some(kind), Some(found)) = (kind(&file), packed.or_else(|| Dist::get(&file))) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = found.data.into_owned().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn kind(file: &str) -> Option<&'static str> {
    Some(match file.rsplit_once('.')?.1 {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_pages_name_is_there() {
        for file in ["panel.js", "theme.js", "panel.css", "icons.svg", "favicon.svg"] {
            assert!(Dist::get(file).is_some(), "{file}: run scripts/setup");
            assert!(kind(file).is_some(), "{file}");
        }
        for file in ["text.ttf", "code.ttf"] {
            assert!(!font(file).is_empty() && kind(file).is_none(), "{file}");
        }
    }
}
