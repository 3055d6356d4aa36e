//! `/otl/{key}`: the page of a one-time link, for whoever has it (VPN API, section 3.7).
//!
//! GET shows a button, which a link preview does not press; POST shows the configuration and uses the link up. The key is
//! all that is needed, so nothing here logs a path, and no page tells it to another host.

mod clean;
mod view;

use std::{net::IpAddr, time::Instant};

use axum::{
    Router,
    extract::{FromRequestParts, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};

use self::view::{AskPage, GonePage, Page, ShownPage};
pub(super) use self::view::{Preview, file_name, preview};
use super::{Site, lang, peer, qr, source};
use crate::{app::Error, hotspot_settings::Lang, secrets::LinkKey};

/// The operator's style sheet comes behind it.
const STYLE: &str = include_str!("../../templates/otl/style.css");

/// No script, nothing from elsewhere, and no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The routes; nobody needs a hash.
pub(super) fn router(site: &Site) -> Router<Site> {
    let page = get(ask).post(show).fallback(gone_anyway);
    Router::new()
        .route("/otl/style.css", get(style).fallback(gone_anyway))
        .route("/otl/{key}", page.clone())
        .route("/otl/{key}/", page)
        .route("/otl", axum::routing::any(gone_anyway))
        .route("/otl/", axum::routing::any(gone_anyway))
        .route("/otl/{key}/{*rest}", axum::routing::any(gone_anyway))
        .layer(middleware::from_fn_with_state(site.clone(), guard))
        .layer(middleware::map_response(mark))
}

/// A link, and who reads its page.
struct Visit {
    /// `None`: the path holds no key.
    key: Option<LinkKey>,
    lang: Lang,
    from: IpAddr,
}

impl FromRequestParts<Site> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Response> {
        let key = Path::<String>::from_request_parts(parts, site).await.ok();
        let from = parts.extensions.get::<Source>().ok_or_else(failure)?.0;
        Ok(Self { key: key.and_then(|Path(text)| LinkKey::parse(&text)), lang: language(&parts.headers), from })
    }
}

/// Where a request comes from.
#[derive(Clone, Copy)]
struct Source(IpAddr);

/// Shows the button of a link that lives.
async fn ask(State(site): State<Site>, visit: Visit) -> Response {
    let uses_left = match &visit.key {
        Some(key) => site.app.link_uses_left(key).await,
        None => Ok(0),
    };
    match uses_left {
        Ok(left @ 1..) => match site.app.link_settings().await {
            Ok(settings) => {
                let page = AskPage { p: Page::of(&settings, visit.lang), once: left == 1 };
                view::send(StatusCode::OK, &page)
            }
            Err(error) => failed(&error),
        },
        Ok(_) => gone(&site, visit.lang, visit.from).await,
        Err(error) => failed(&error),
    }
}

/// Uses a link, and shows what it gives.
async fn show(State(site): State<Site>, visit: Visit) -> Response {
    match shown(&site, &visit).await {
        Ok(Some(response)) => response,
        Ok(None) => gone(&site, visit.lang, visit.from).await,
        Err(error) => failed(&error),
    }
}

async fn shown(site: &Site, visit: &Visit) -> Result<Option<Response>, Error> {
    let Some(key) = &visit.key else { return Ok(None) };
    // First all that may fail, then the use.
    let settings = site.app.link_settings().await?;
    let Some(config) = site.app.use_link(key, visit.from).await? else { return Ok(None) };
    let code = match settings.wireguard.qr {
        // One that is too long for a code still has its text.
        true => qr::base64(config.text.clone()).await.ok(),
        false => None,
    };
    let page = ShownPage::new(Page::of(&settings, visit.lang), settings.wireguard, config, code);
    Ok(Some(view::send(StatusCode::OK, &page)))
}

/// Our own style sheet and the operator's. A file of its own, so that no page needs to allow styles within.
async fn style(State(site): State<Site>) -> Response {
    match site.app.link_settings().await {
        Ok(settings) => {
            let text = style_sheet(&settings.css);
            ([(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"))], text).into_response()
        }
        Err(error) => failed(&error),
    }
}

/// Our own style sheet with one of an operator's behind it.
pub(super) fn style_sheet(css: &str) -> String {
    format!("{STYLE}\n{css}")
}

/// Any other path or method.
async fn gone_anyway(State(site): State<Site>, request: Request) -> Response {
    match request.extensions().get::<Source>() {
        Some(source) => gone(&site, language(request.headers()), source.0).await,
        None => failure(),
    }
}

/// The one answer to every link that cannot be used, whatever the reason.
async fn gone(site: &Site, lang: Lang, from: IpAddr) -> Response {
    site.unknown_links.count(from, Instant::now());
    match site.app.link_settings().await {
        Ok(settings) => view::send(StatusCode::NOT_FOUND, &GonePage { p: Page::of(&settings, lang) }),
        Err(error) => failed(&error),
    }
}

/// Keeps those away who try keys.
async fn guard(State(site): State<Site>, mut request: Request, next: Next) -> Response {
    let Some(connection) = peer(&request) else { return failure() };
    let source = source::of(connection.ip(), request.headers(), &site.settings.trusted_proxies);
    let source = source.unwrap_or(connection.ip()).to_canonical();
    if site.unknown_links.too_many(source, Instant::now()) {
        return (StatusCode::TOO_MANY_REQUESTS, "Too many requests. Please wait a minute.\n").into_response();
    }
    request.extensions_mut().insert(Source(source));
    next.run(request).await
}

/// What every answer says to browsers and search engines.
async fn mark(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex, nofollow, noarchive"),
        (header::VARY, "Accept-Language"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn language(headers: &HeaderMap) -> Lang {
    lang::of_browser(headers).unwrap_or(Lang::En)
}

fn failed(error: &Error) -> Response {
    tracing::error!(error = error as &dyn std::error::Error, "the page of a one-time link");
    failure()
}

/// An answer where not even a page can be made. The link was not used.
fn failure() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "Please try again in a moment.\n").into_response()
}
