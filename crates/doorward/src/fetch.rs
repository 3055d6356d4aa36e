//! Calls to other sites: an SMS gateway, a login provider. Bounded in time and size, no redirects, no proxies of the
//! environment.

use std::time::Duration;

use reqwest::{Client, redirect::Policy};

use crate::tls;

/// Most bytes of an answer that is read.
const MOST_BYTES: usize = 256 * 1024;

/// A client whose calls end within `wait`.
///
/// # Errors
/// The system's certificates cannot be used.
pub fn client(wait: Duration) -> Result<Client, reqwest::Error> {
    tls::install_provider();
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(wait / 2)
        .timeout(wait)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The body of an answer. `None`: it broke off, or is too long.
pub async fn body(mut response: reqwest::Response) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if bytes.len() + chunk.len() > MOST_BYTES {
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes)
}

/// Why a call failed, without the address that was called.
#[must_use]
pub fn describe(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else if error.is_builder() {
        "the request cannot be made"
    } else {
        "the exchange broke off"
    };
    let mut text = what.to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // The innermost cause is the operating system's or that of TLS, and names nobody.
        if cause.source().is_none() {
            text = format!("{what}: {cause}");
        }
        source = cause.source();
    }
    text
}
