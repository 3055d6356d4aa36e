//! What settings must be like to be stored.

mod guests;

use std::{collections::BTreeSet, net::IpAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use doorward_policy::{guest::Method, limits::Mbit};

use super::{Allowance, GardenEntry, HotspotSettings, Logo, MethodSettings, Provider, Texts};
use crate::config;

/// Most characters of a logo in base64: what it is of the 30 kB of a guest's first view.
pub const MOST_LOGO: usize = 24 * 1024;
/// Most names of the walled garden, of the hotspot and of each provider.
pub const MOST_GARDEN: usize = 200;
/// Most own questions of a method; the API has three fields for the answers.
pub const MOST_FIELDS: usize = 3;
/// Longest life of an address lease, a session, and an allowance, in seconds: a year and a day.
const MOST_SECONDS: u32 = 366 * 24 * 3600;

/// A setting that cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// As in the settings: `methods[1].provider.issuer`.
    pub field: String,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the text of each variant says it")]
pub enum Why {
    #[error("is missing")]
    Missing,
    #[error("has more than {0} characters")]
    Long(usize),
    #[error("has more than {0} entries")]
    Many(usize),
    #[error("holds control characters")]
    Control,
    #[error("is not a colour such as #0b5cad")]
    Colour,
    #[error("is not a host name")]
    HostName,
    #[error("is not a name such as example.com or *.example.com")]
    Garden,
    #[error("is not an https address (http is for private IP addresses)")]
    Url,
    #[error("is not an http or https address")]
    Link,
    #[error("is not an image of the type it says, in base64")]
    Image,
    #[error("is there twice")]
    Twice,
    #[error("is not within its range")]
    Range,
    #[error("is not an e-mail address")]
    MailAddress,
    #[error("is not GET or POST")]
    HttpMethod,
    #[error("is not a header")]
    Header,
    #[error("is neither a JSON object nor a form, or the request is a GET")]
    Body,
    #[error("has no place for the number or the text")]
    Placeholder,
    #[error("is not digits of a country code")]
    CountryCode,
    #[error("is no such period")]
    ValidFor,
}

pub(crate) type Checked = Result<(), Invalid>;

fn wrong(field: impl Into<String>, why: Why) -> Checked {
    Err(Invalid { field: field.into(), why })
}

pub(crate) fn require(good: bool, field: &str, why: Why) -> Checked {
    if good { Ok(()) } else { wrong(field, why) }
}

impl HotspotSettings {
    /// Says which setting cannot be stored.
    ///
    /// # Errors
    /// The first one.
    pub fn check(&self) -> Result<(), Invalid> {
        if !self.host_name.is_empty() {
            require(is_host_name(&self.host_name), "host_name", Why::HostName)?;
        }
        require(colour(&self.colour).is_some(), "colour", Why::Colour)?;
        if let Some(logo) = &self.logo {
            logo.check()?;
        }
        for (lang, texts) in &self.texts {
            texts.check(&format!("texts.{}", lang.as_str()))?;
        }
        line("terms_version", &self.terms_version, 40)?;
        if let Some(address) = &self.venue_url {
            url("venue_url", address)?;
        }
        require(self.methods.len() <= Method::ALL.len(), "methods", Why::Many(Method::ALL.len()))?;
        let mut methods = BTreeSet::new();
        for (index, method) in self.methods.iter().enumerate() {
            let field = format!("methods[{index}]");
            require(methods.insert(method.method), &format!("{field}.method"), Why::Twice)?;
            method.check(&field)?;
        }
        garden("garden", &self.garden)?;
        require(self.idle_timeout_s <= MOST_SECONDS, "idle_timeout_s", Why::Range)?;
        require(self.session_timeout_s <= MOST_SECONDS, "session_timeout_s", Why::Range)?;
        require((120..=MOST_SECONDS).contains(&self.lease_s), "lease_s", Why::Range)
    }
}

impl Logo {
    /// The image itself, if it is one of the type that it says.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let bytes = BASE64_STANDARD.decode(&self.data).ok()?;
        let fits = match self.mime.as_str() {
            "image/png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
            "image/jpeg" => bytes.starts_with(b"\xff\xd8\xff"),
            "image/webp" => bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"),
            "image/svg+xml" => std::str::from_utf8(&bytes).is_ok_and(|text| text.contains("<svg")),
            _ => false,
        };
        fits.then_some(bytes)
    }

    fn check(&self) -> Checked {
        require(self.data.len() <= MOST_LOGO, "logo.data", Why::Long(MOST_LOGO))?;
        require(self.bytes().is_some(), "logo", Why::Image)
    }
}

impl Texts {
    fn check(&self, field: &str) -> Checked {
        line(&format!("{field}.title"), &self.title, 80)?;
        lines(&format!("{field}.welcome"), &self.welcome, 500)?;
        lines(&format!("{field}.terms"), &self.terms, 20_000)?;
        lines(&format!("{field}.marketing"), &self.marketing, 500)
    }
}

impl MethodSettings {
    fn check(&self, field: &str) -> Checked {
        self.allowance.check(&format!("{field}.allowance"))?;
        require(self.grace_s <= 3600, &format!("{field}.grace_s"), Why::Range)?;
        line(&format!("{field}.password"), &self.password, 64)?;
        require(self.fields.len() <= MOST_FIELDS, &format!("{field}.fields"), Why::Many(MOST_FIELDS))?;
        for (index, own) in self.fields.iter().enumerate() {
            let field = format!("{field}.fields[{index}].label");
            require(!own.label.trim().is_empty(), &field, Why::Missing)?;
            line(&field, &own.label, 80)?;
        }
        match &self.provider {
            Some(provider) => provider.check(&format!("{field}.provider")),
            None if self.method == Method::Facebook && self.enabled => wrong(format!("{field}.provider"), Why::Missing),
            None => Ok(()),
        }
    }
}

impl Allowance {
    fn check(&self, field: &str) -> Checked {
        let Self { valid_s, renew_s, devices, speed_down, speed_up, data_down_mb, data_up_mb, data_total_mb } = *self;
        let within = |good, name: &str| require(good, &format!("{field}.{name}"), Why::Range);
        within(valid_s <= MOST_SECONDS, "valid_s")?;
        within(renew_s <= MOST_SECONDS, "renew_s")?;
        within((1..=1000).contains(&devices), "devices")?;
        within(speed_down <= Mbit::MAX, "speed_down")?;
        within(speed_up <= Mbit::MAX, "speed_up")?;
        // As in the hotspot API, section 4.1: 9 TiB.
        let data = [("data_down_mb", data_down_mb), ("data_up_mb", data_up_mb), ("data_total_mb", data_total_mb)];
        data.into_iter().try_for_each(|(name, mb)| within(mb <= 9_437_184, name))
    }
}

impl Provider {
    fn check(&self, field: &str) -> Checked {
        let at = |name: &str| format!("{field}.{name}");
        require(!self.label.trim().is_empty(), &at("label"), Why::Missing)?;
        line(&at("label"), &self.label, 40)?;
        if self.issuer.is_empty() {
            url(&at("authorize_url"), &self.authorize_url)?;
            url(&at("token_url"), &self.token_url)?;
            url(&at("userinfo_url"), &self.userinfo_url)?;
        } else {
            url(&at("issuer"), &self.issuer)?;
        }
        require(!self.client_id.is_empty(), &at("client_id"), Why::Missing)?;
        line(&at("client_id"), &self.client_id, 255)?;
        line(&at("client_secret"), &self.client_secret, 255)?;
        line(&at("scopes"), &self.scopes, 255)?;
        garden(&at("garden"), &self.garden)
    }
}

/// Red, green and blue of `#rrggbb`.
#[must_use]
pub fn colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    Some([part(0)?, part(2)?, part(4)?])
}

fn garden(field: &str, entries: &[GardenEntry]) -> Checked {
    require(entries.len() <= MOST_GARDEN, field, Why::Many(MOST_GARDEN))?;
    for (index, entry) in entries.iter().enumerate() {
        let name = entry.name.strip_prefix("*.").unwrap_or(&entry.name);
        // A whole top-level domain is more than a garden.
        let good = is_host_name(name) && name.contains('.');
        require(good, &format!("{field}[{index}].name"), Why::Garden)?;
    }
    Ok(())
}

/// Letters, digits and hyphens, joined by dots; no IP address.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label) && text.parse::<IpAddr>().is_err()
}

/// An address that may be called or linked to.
fn url(field: &str, text: &str) -> Checked {
    line(field, text, 1024)?;
    require(is_callable(text), field, Why::Url)
}

/// Whether an address may be called: by https, or by http where an IP address of a LAN is named.
#[must_use]
pub fn is_callable(text: &str) -> bool {
    let parsed = reqwest::Url::parse(text).ok().filter(|url| url.username().is_empty() && url.password().is_none());
    let host = parsed.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    parsed.as_ref().is_some_and(|url| match url.scheme() {
        "https" => !host.is_empty(),
        "http" => ip.is_ok_and(config::is_local),
        _ => false,
    })
}

/// One line of text.
pub(crate) fn line(field: &str, text: &str, most: usize) -> Checked {
    require(text.chars().count() <= most, field, Why::Long(most))?;
    require(!text.chars().any(char::is_control), field, Why::Control)
}

/// Text with line breaks.
pub(crate) fn lines(field: &str, text: &str, most: usize) -> Checked {
    require(text.chars().count() <= most, field, Why::Long(most))?;
    require(!text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')), field, Why::Control)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::hotspot_settings::{Field, Lang};

    /// A change that makes good settings bad, and what is said of it.
    type Case<T> = (fn(&mut T), &'static str, Why);

    fn hotspot() -> HotspotSettings {
        let texts = Texts { title: "Hôtel".to_owned(), terms: "One\n\nTwo".to_owned(), ..Texts::default() };
        let mut email = MethodSettings::new(Method::Email);
        email.fields = vec![Field { label: "Room".to_owned(), required: true }];
        let mut social = MethodSettings::new(Method::Facebook);
        social.provider = Some(Provider {
            label: "Facebook".to_owned(),
            issuer: "http://10.0.0.9:3000".to_owned(),
            authorize_url: String::new(),
            token_url: String::new(),
            userinfo_url: String::new(),
            client_id: "client".to_owned(),
            client_secret: "secret".to_owned(),
            scopes: "openid email".to_owned(),
            garden: vec![GardenEntry { name: "*.facebook.com".to_owned(), http: false }],
        });
        HotspotSettings {
            logo: Some(Logo { mime: "image/png".to_owned(), data: BASE64_STANDARD.encode(b"\x89PNG\r\n\x1a\nrest") }),
            texts: BTreeMap::from([(Lang::Fr, texts)]),
            venue_url: Some("https://example.com/hotel".to_owned()),
            methods: vec![MethodSettings::new(Method::Voucher), email, social],
            ..HotspotSettings::default()
        }
    }

    #[test]
    fn good_settings_of_a_hotspot_pass_and_bad_ones_are_named() {
        assert_eq!(HotspotSettings::default().check(), Ok(()));
        assert_eq!(hotspot().check(), Ok(()));
        let cases: [Case<HotspotSettings>; 22] = [
            (|s| s.host_name = "10.0.0.1".to_owned(), "host_name", Why::HostName),
            (|s| s.host_name = "a b".to_owned(), "host_name", Why::HostName),
            (|s| s.colour = "red".to_owned(), "colour", Why::Colour),
            (|s| s.colour = "#00000é".to_owned(), "colour", Why::Colour),
            (|s| s.logo.as_mut().unwrap().data = "####".to_owned(), "logo", Why::Image),
            (|s| s.logo.as_mut().unwrap().mime = "image/svg+xml".to_owned(), "logo", Why::Image),
            (|s| s.logo.as_mut().unwrap().mime = "text/html".to_owned(), "logo", Why::Image),
            (|s| s.logo.as_mut().unwrap().data = "A".repeat(24_577), "logo.data", Why::Long(24_576)),
            (|s| s.texts.get_mut(&Lang::Fr).unwrap().title = "x".repeat(81), "texts.fr.title", Why::Long(80)),
            (|s| s.texts.get_mut(&Lang::Fr).unwrap().terms = "a\0".to_owned(), "texts.fr.terms", Why::Control),
            (|s| s.venue_url = Some("http://example.com".to_owned()), "venue_url", Why::Url),
            (|s| s.venue_url = Some("javascript:alert(1)".to_owned()), "venue_url", Why::Url),
            (|s| s.venue_url = Some("https://a:b@example.com".to_owned()), "venue_url", Why::Url),
            (|s| s.methods[1].method = Method::Voucher, "methods[1].method", Why::Twice),
            (|s| s.methods[2].provider = None, "methods[2].provider", Why::Missing),
            (|s| s.methods[0].allowance.devices = 0, "methods[0].allowance.devices", Why::Range),
            (|s| s.methods[1].fields[0].label = " ".to_owned(), "methods[1].fields[0].label", Why::Missing),
            (|s| s.methods[1].fields = vec![s.methods[1].fields[0].clone(); 4], "methods[1].fields", Why::Many(3)),
            (
                |s| s.methods[2].provider.as_mut().unwrap().issuer = "http://8.8.8.8".to_owned(),
                "methods[2].provider.issuer",
                Why::Url,
            ),
            (
                |s| s.garden = vec![GardenEntry { name: "a.example".to_owned(), http: true }; 201],
                "garden",
                Why::Many(200),
            ),
            (|s| s.garden = vec![GardenEntry { name: "*.com".to_owned(), http: true }], "garden[0].name", Why::Garden),
            (|s| s.lease_s = 0, "lease_s", Why::Range),
        ];
        for (change, field, why) in cases {
            let mut settings = hotspot();
            change(&mut settings);
            assert_eq!(settings.check(), Err(Invalid { field: field.to_owned(), why }));
        }
    }
}
