//! The three pages of a link.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::clean::clean;
use crate::{
    app::one_time_links::Config,
    hotspot_settings::Lang,
    http::qr,
    link_settings::{LinkButton, LinkSettings, WireguardPage},
    words,
};

/// Longest name of a tunnel: WireGuard's programs take it from the file's, and name an interface so.
const MOST_TUNNEL: usize = 15;

/// What stands on every page.
pub(super) struct Page {
    lang: Lang,
    title: String,
    /// HTML.
    before: String,
    /// HTML.
    after: String,
    /// HTML.
    gone: String,
    /// Address of the style sheet.
    style: &'static str,
    /// Nothing on it does anything.
    preview: bool,
}

impl Page {
    pub(super) fn of(settings: &LinkSettings, lang: Lang) -> Self {
        let own = LinkSettings::default();
        let text = |name: &str| words::text(lang, name);
        let html = |set: &str, own: &str, ours: &dyn Fn() -> String| if set == own { ours() } else { clean(set) };
        let heading = || format!("<h1>{}</h1>", text("otl-title"));
        let gone = || format!("<h1>{}</h1>\n<p>{}</p>", text("otl-gone"), text("otl-gone-text"));
        Self {
            lang,
            title: if settings.title == own.title { text("otl-title") } else { settings.title.clone() },
            before: html(&settings.before_body, &own.before_body, &heading),
            after: clean(&settings.after_body),
            gone: html(&settings.not_relevant, &own.not_relevant, &gone),
            style: "/otl/style.css",
            preview: false,
        }
    }

    /// Our own text of that name.
    fn t(&self, name: &str) -> String {
        words::text(self.lang, name)
    }
}

/// A link that lives: one button.
#[derive(Template)]
#[template(path = "otl/ask.html")]
pub(super) struct AskPage {
    pub(super) p: Page,
    /// It is the last use.
    pub(super) once: bool,
}

/// A link that cannot be used.
#[derive(Template)]
#[template(path = "otl/gone.html")]
pub(super) struct GonePage {
    pub(super) p: Page,
}

/// What a link gives. All of it stands in the page itself: one use is enough to read, to scan and to save it.
#[derive(Template)]
#[template(path = "otl/shown.html")]
pub(super) struct ShownPage {
    p: Page,
    /// It was the last use.
    used_up: bool,
    /// A PNG in base64.
    qr: Option<String>,
    text: Option<String>,
    download: Option<Download>,
    buttons: Vec<LinkButton>,
}

struct Download {
    label: String,
    file: String,
    base64: String,
}

impl ShownPage {
    pub(super) fn new(p: Page, shows: WireguardPage, config: Config, qr: Option<String>) -> Self {
        let label = match shows.download_label {
            label if label == WireguardPage::default().download_label => p.t("otl-download"),
            label => label,
        };
        let base64 = BASE64_STANDARD.encode(&config.text);
        let download = Download { label, file: file_name(&config.account), base64 };
        Self {
            p,
            used_up: config.uses_left == 0,
            qr,
            text: shows.text.then_some(config.text),
            download: (!download.label.is_empty()).then_some(download),
            buttons: shows.buttons.into_iter().filter(|button| !button.label.is_empty()).collect(),
        }
    }
}

/// Which page of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Preview {
    /// That of one that lives.
    Ask,
    /// What one gives.
    Shown,
    /// That of one that cannot be used.
    Gone,
}

/// A configuration that leads nowhere, for previews.
const SAMPLE: &str = "[Interface]\nPrivateKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nAddress = 192.0.2.2/32\n\n\
                      [Peer]\nPublicKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nAllowedIPs = 0.0.0.0/0\n\
                      Endpoint = vpn.example.net:51820\n";

/// A page as these settings make it, with a sample for a configuration. `style`: address of its style sheet.
pub(in crate::http) async fn preview(
    settings: LinkSettings,
    lang: Lang,
    which: Preview,
    style: &'static str,
) -> Response {
    let p = Page { style, preview: true, ..Page::of(&settings, lang) };
    match which {
        Preview::Ask => send(StatusCode::OK, &AskPage { p, once: true }),
        Preview::Gone => send(StatusCode::OK, &GonePage { p }),
        Preview::Shown => {
            let config = Config { account: "peer_1".to_owned(), text: SAMPLE.to_owned(), uses_left: 0 };
            let code = match settings.wireguard.qr {
                true => qr::base64(config.text.clone()).await.ok(),
                false => None,
            };
            send(StatusCode::OK, &ShownPage::new(p, settings.wireguard, config, code))
        }
    }
}

/// What the file of an account's configuration is called. Names of accounts are letters, digits, `_` and `-`.
pub(in crate::http) fn file_name(account: &str) -> String {
    let tunnel: String = account.chars().take(MOST_TUNNEL).collect();
    format!("{tunnel}.conf")
}

/// Sends a page.
pub(super) fn send(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => {
            let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))];
            (status, kind, html).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            super::failure()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_a_tunnel() {
        assert_eq!(file_name("peer_3"), "peer_3.conf");
        assert_eq!(file_name("a-very-long-name-of-an-account"), "a-very-long-nam.conf");
    }
}
