//! Who may call the VPN API (VPN API, sections 1.2 and 1.6).

use std::time::Instant;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{Site, error, peer, source};
use crate::{app::access_hashes::Access, secrets::AccessHash};

/// The cookie that holds the hash begins so.
const COOKIE: &[u8] = b"access_hash=";

/// Lets a request pass that bears a hash for where it comes from. Every other gets the same answer.
pub(super) async fn require_hash(State(site): State<Site>, request: Request, next: Next) -> Response {
    let Some(connection) = peer(&request) else { return error::INTERNAL.into_response() };
    let source = source::of(connection.ip(), request.headers(), &site.settings.trusted_proxies);
    let counted = source.unwrap_or(connection.ip());
    if site.refusals.too_many(counted, Instant::now()) {
        return error::TOO_MANY_REQUESTS.into_response();
    }
    let reason = match (source, hash(request.headers())) {
        (None, _) => "a proxy named an unreadable hop",
        (_, Err(reason)) => reason,
        (Some(source), Ok(hash)) => {
            match site.app.access(&hash.digest(), source, request.method() != Method::GET).await {
                Ok(Access::Granted) => return next.run(request).await,
                Ok(Access::Unknown) => "unknown hash",
                Ok(Access::WrongAddress) => "the hash is bound to other addresses",
                Ok(Access::ReadOnly) => return error::READ_ONLY.into_response(),
                Err(failed) => return error::Refusal::from(failed).into_response(),
            }
        }
    };
    site.refusals.count(counted, Instant::now());
    tracing::info!(source = %counted, reason, "a request to the VPN API was refused");
    error::NOT_AUTHORIZED.into_response()
}

/// The hash in the request's cookies. A name given twice: the first counts, as servers read it. Other cookies may hold
/// whatever bytes they like.
fn hash(headers: &HeaderMap) -> Result<AccessHash, &'static str> {
    let pairs = headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    let mut values = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(COOKIE));
    let value = values.next().ok_or("no hash")?;
    // Quotes may stand around a cookie's value (RFC 6265, section 4.1.1).
    let value = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    std::str::from_utf8(value).ok().and_then(AccessHash::parse).ok_or("malformed hash")
}
