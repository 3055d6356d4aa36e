//! How the page of a one-time link looks (VPN API, section 3.7).

use serde::{Deserialize, Serialize};

use crate::hotspot_settings::{Checked, Invalid, Why, line, lines, require};

/// Longest life of a link, in days.
pub const MOST_DAYS: u16 = 3650;
/// Most characters of a title or label.
pub const MOST_LINE: usize = 200;
/// Most characters of a style or of each HTML text.
pub const MOST_TEXT: usize = 20_000;
/// Buttons that lead elsewhere.
pub const BUTTONS: usize = 6;

/// What operators may change of the page. A text that is as in [`LinkSettings::default`] is shown in the reader's
/// language; any other as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkSettings {
    /// Title of the page, up to [`MOST_LINE`] characters.
    pub title: String,
    /// Style sheet behind our own, up to [`MOST_TEXT`] characters.
    pub css: String,
    /// HTML above the configuration, up to [`MOST_TEXT`] characters; what could do harm is left out when it is shown.
    pub before_body: String,
    /// HTML below the configuration; like `before_body`.
    pub after_body: String,
    /// HTML for links that are used, expired, revoked or unknown; like `before_body`.
    pub not_relevant: String,
    /// Days that a new link lives beside the one that it is made on, 1 to [`MOST_DAYS`].
    pub lifetime_days: u16,
    /// The WireGuard part.
    pub wireguard: WireguardPage,
}

/// What the page shows of a WireGuard account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WireguardPage {
    /// Links give their configurations. While off, every link answers as one that is used.
    pub enabled: bool,
    /// Shows the QR code.
    pub qr: bool,
    /// Shows the text.
    pub text: bool,
    /// Label of the button that saves the configuration; empty: no button.
    pub download_label: String,
    /// Buttons that lead elsewhere.
    pub buttons: [LinkButton; BUTTONS],
}

/// A button that leads elsewhere; without a label it is not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkButton {
    /// Up to [`MOST_LINE`] characters.
    pub label: String,
    /// An http or https address; may be empty where there is no label.
    pub link: String,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            title: "Your VPN access".to_owned(),
            css: String::new(),
            before_body: "<h1>Your VPN access</h1>".to_owned(),
            after_body: String::new(),
            not_relevant:
                "<h1>This link is not valid any more</h1>\n<p>It was used, or its time is over. Please ask for \
                           a new one.</p>"
                    .to_owned(),
            lifetime_days: 10,
            wireguard: WireguardPage::default(),
        }
    }
}

impl Default for WireguardPage {
    fn default() -> Self {
        let button = |label: &str, link: &str| LinkButton { label: label.to_owned(), link: link.to_owned() };
        Self {
            enabled: true,
            qr: true,
            text: true,
            download_label: "Save the configuration".to_owned(),
            buttons: [
                button("Android", "https://play.google.com/store/apps/details?id=com.wireguard.android"),
                button("iPhone, iPad", "https://apps.apple.com/app/wireguard/id1441195209"),
                button("Windows", "https://download.wireguard.com/windows-client/wireguard-installer.exe"),
                button("macOS", "https://apps.apple.com/app/wireguard/id1451685025"),
                button("Linux", "https://www.wireguard.com/install/"),
                LinkButton::default(),
            ],
        }
    }
}

impl LinkSettings {
    /// Says which setting cannot be stored.
    ///
    /// # Errors
    /// The first one.
    pub fn check(&self) -> Result<(), Invalid> {
        line("title", &self.title, MOST_LINE)?;
        lines("css", &self.css, MOST_TEXT)?;
        lines("before_body", &self.before_body, MOST_TEXT)?;
        lines("after_body", &self.after_body, MOST_TEXT)?;
        lines("not_relevant", &self.not_relevant, MOST_TEXT)?;
        require((1..=MOST_DAYS).contains(&self.lifetime_days), "lifetime_days", Why::Range)?;
        line("wireguard.download_label", &self.wireguard.download_label, MOST_LINE)?;
        self.wireguard.buttons.iter().enumerate().try_for_each(|(n, button)| button.check(n))
    }
}

impl LinkButton {
    fn check(&self, n: usize) -> Checked {
        let field = |part: &str| format!("wireguard.buttons[{n}].{part}");
        line(&field("label"), &self.label, MOST_LINE)?;
        line(&field("link"), &self.link, 1024)?;
        let unused = self.label.is_empty() && self.link.is_empty();
        require(unused || is_web(&self.link), &field("link"), Why::Link)
    }
}

/// Whether a link leads to the web, and runs nothing.
fn is_web(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_settings_can_be_stored_and_read_back() {
        let settings = LinkSettings::default();
        settings.check().unwrap();
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<LinkSettings>(&text).unwrap(), settings);
        assert_eq!(serde_json::from_str::<LinkSettings>("{}").unwrap(), settings);
    }

    #[test]
    fn what_cannot_be_is_named() {
        type Change = fn(&mut LinkSettings);
        let changes: [(&str, Change); 12] = [
            ("title", |s| s.title = "x".repeat(MOST_LINE + 1)),
            ("title", |s| s.title = "a\nb".to_owned()),
            ("css", |s| s.css = "x".repeat(MOST_TEXT + 1)),
            ("css", |s| s.css = "a\0b".to_owned()),
            ("before_body", |s| s.before_body = "\u{1b}".to_owned()),
            ("after_body", |s| s.after_body = "x".repeat(MOST_TEXT + 1)),
            ("not_relevant", |s| s.not_relevant = "\u{7f}".to_owned()),
            ("lifetime_days", |s| s.lifetime_days = 0),
            ("lifetime_days", |s| s.lifetime_days = MOST_DAYS + 1),
            ("wireguard.download_label", |s| s.wireguard.download_label = "x".repeat(MOST_LINE + 1)),
            ("wireguard.buttons[5].link", |s| s.wireguard.buttons[5].label = "Where".to_owned()),
            ("wireguard.buttons[0].link", |s| s.wireguard.buttons[0].link = "javascript:alert(1)".to_owned()),
        ];
        for (field, change) in changes {
            let mut settings = LinkSettings::default();
            change(&mut settings);
            assert_eq!(settings.check().unwrap_err().field, field);
        }
        for link in ["", "data:text/html,x", "//example.net", "/x", "ftp://example.net", "https://", "JAVASCRIPT:0"] {
            assert!(!is_web(link), "{link}");
        }
    }
}
