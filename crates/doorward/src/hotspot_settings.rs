//! What operators set for a hotspot and for guests as a whole: login methods, texts, walled garden, mail, SMS,
//! retention. Stored sealed, as JSON; what packets depend on is in [`doorward_policy::hotspot`].

use std::collections::BTreeMap;

use doorward_policy::guest::Method;
use serde::{Deserialize, Serialize};

mod check;

pub(crate) use check::{Checked, line, lines, require};
pub use check::{Invalid, MOST_FIELDS, MOST_LOGO, Why, colour, is_callable};

/// Settings of one hotspot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HotspotSettings {
    /// Host name of the portal, answered by the gateway's resolver to guests; with TLS, a name of the certificate.
    pub host_name: String,
    /// Colour of buttons and links, `#rrggbb`.
    pub colour: String,
    /// Shown above the title: PNG, JPEG, WebP or SVG of at most 24 kB, as `data:` holds it (base64).
    pub logo: Option<Logo>,
    /// Words of the operator, by language; English where one is missing, our own where that is missing too.
    pub texts: BTreeMap<Lang, Texts>,
    /// Names the version of the terms that a guest agrees to.
    pub terms_version: String,
    /// More about the place (RFC 8908 `venue-info-url`).
    pub venue_url: Option<String>,
    /// In the order in which they are offered.
    pub methods: Vec<MethodSettings>,
    /// Names that may be reached before login.
    pub garden: Vec<GardenEntry>,
    /// Seconds without a packet after which a session ends; 0: never.
    pub idle_timeout_s: u32,
    /// Longest session in seconds; 0: unlimited.
    pub session_timeout_s: u32,
    /// A device whose grant lives comes online again without a login.
    pub silent_return: bool,
    /// Seconds that an address is lent for.
    pub lease_s: u32,
}

impl Default for HotspotSettings {
    fn default() -> Self {
        Self {
            host_name: "login.guest.internal".to_owned(),
            colour: "#0b5cad".to_owned(),
            logo: None,
            texts: BTreeMap::new(),
            terms_version: "1".to_owned(),
            venue_url: None,
            methods: vec![MethodSettings::new(Method::Voucher)],
            garden: Vec::new(),
            idle_timeout_s: 8 * 3600,
            session_timeout_s: 0,
            silent_return: true,
            lease_s: 3600,
        }
    }
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logo {
    /// `image/png`, `image/jpeg`, `image/webp` or `image/svg+xml`.
    pub mime: String,
    /// Base64.
    pub data: String,
}

/// A language of the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of the languages")]
pub enum Lang {
    En,
    De,
    Es,
    Fr,
    Pl,
}

impl Lang {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::En, Self::De, Self::Es, Self::Fr, Self::Pl];

    /// ISO 639-1.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Es => "es",
            Self::Fr => "fr",
            Self::Pl => "pl",
        }
    }

    /// Reads a language tag, whatever its region: `de-AT`.
    #[must_use]
    pub fn parse(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|lang| lang.as_str().eq_ignore_ascii_case(primary))
    }
}

/// Words of the operator. Empty: our own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Texts {
    /// At most 80 characters.
    pub title: String,
    /// At most 500 characters, plain text.
    pub welcome: String,
    /// Terms of use, at most 20,000 characters, plain text with empty lines between paragraphs.
    pub terms: String,
    /// What the guest is asked to agree to for marketing; empty: not asked. At most 500 characters.
    pub marketing: String,
}

/// One way to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodSettings {
    /// Which one; each at most once.
    #[serde(with = "method_word")]
    pub method: Method,
    /// Offered.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What its guests get. Vouchers bring their own.
    #[serde(default)]
    pub allowance: Allowance,
    /// E-mail: a code must be entered that is sent to the address. Mobile always has one.
    #[serde(default)]
    pub code: bool,
    /// E-mail with a code: seconds online to fetch the mail with, at most once an hour and device. 0: none.
    #[serde(default = "grace")]
    pub grace_s: u32,
    /// Free: a password that is written on the wall; empty: none.
    #[serde(default)]
    pub password: String,
    /// Free and e-mail: up to three questions.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Facebook and other providers.
    #[serde(default)]
    pub provider: Option<Provider>,
}

fn yes() -> bool {
    true
}

fn grace() -> u32 {
    300
}

impl MethodSettings {
    /// A method with our own limits.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self {
            method,
            enabled: true,
            allowance: Allowance::default(),
            code: false,
            grace_s: grace(),
            password: String::new(),
            fields: Vec::new(),
            provider: None,
        }
    }
}

/// What a login by a method other than a voucher gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowance {
    /// Seconds from the login on; 0: no end.
    pub valid_s: u32,
    /// Seconds from that login on until a new one gives another allowance; 0: as soon as the old one is over.
    pub renew_s: u32,
    /// Devices at once.
    pub devices: u16,
    /// Mbit/s to the guest; 0: unlimited.
    pub speed_down: u16,
    /// Mbit/s from the guest.
    pub speed_up: u16,
    /// MB (1,048,576 bytes) to the guest; 0: unlimited.
    pub data_down_mb: u32,
    /// MB from the guest.
    pub data_up_mb: u32,
    /// MB in both directions together.
    pub data_total_mb: u32,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            valid_s: 24 * 3600,
            renew_s: 0,
            devices: 1,
            speed_down: 0,
            speed_up: 0,
            data_down_mb: 0,
            data_up_mb: 0,
            data_total_mb: 0,
        }
    }
}

/// A question of the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// At most 80 characters.
    pub label: String,
    /// Cannot be left empty.
    #[serde(default)]
    pub required: bool,
}

/// An OAuth 2 or OpenID Connect provider: authorization code with PKCE; who it is comes from the user-info endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// On the button: `Facebook`.
    pub label: String,
    /// OpenID Connect issuer, whose discovery document names the endpoints; empty: they are given here.
    #[serde(default)]
    pub issuer: String,
    /// Authorization endpoint.
    #[serde(default)]
    pub authorize_url: String,
    /// Token endpoint.
    #[serde(default)]
    pub token_url: String,
    /// User-info endpoint; `sub` or `id`, `name`, `email` and `picture` are read from its JSON.
    #[serde(default)]
    pub userinfo_url: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
    /// Scopes, joined by spaces.
    #[serde(default)]
    pub scopes: String,
    /// Names that the guest's browser must reach for its login pages.
    #[serde(default)]
    pub garden: Vec<GardenEntry>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("label", &self.label).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// A name that may be reached before login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GardenEntry {
    /// `example.com`: that name; `*.example.com`: all names below it.
    pub name: String,
    /// TCP port 80 too, beside 443.
    #[serde(default)]
    pub http: bool,
}

/// Settings for guests as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuestSettings {
    /// `valid_for` of a voucher for which none is given (Hotspot API, section 4.2).
    pub voucher_valid_for: String,
    /// What a voucher gets that says nothing else.
    pub voucher_devices: u16,
    /// Mbit/s to the guest; 0: unlimited.
    pub voucher_speed_down: u16,
    /// Mbit/s from the guest.
    pub voucher_speed_up: u16,
    /// Days that persons are kept after their last login.
    pub keep_guests_days: u16,
    /// Days that the login log is kept.
    pub keep_logins_days: u16,
    /// Days that ended sessions are kept.
    pub keep_sessions_days: u16,
    /// Days that the audit log of operators' changes is kept.
    pub keep_audit_days: u16,
    /// How mail is sent; `None`: e-mail codes cannot be sent.
    pub mail: Option<Mail>,
    /// How SMS are sent; `None`: login by mobile is not offered.
    pub sms: Option<Sms>,
}

impl Default for GuestSettings {
    fn default() -> Self {
        Self {
            voucher_valid_for: "1 day".to_owned(),
            voucher_devices: 1,
            voucher_speed_down: 0,
            voucher_speed_up: 0,
            keep_guests_days: 30,
            keep_logins_days: 30,
            keep_sessions_days: 30,
            keep_audit_days: 365,
            mail: None,
            sms: None,
        }
    }
}

/// A mail server that takes our mail.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: MailTls,
    /// User name; empty: none.
    #[serde(default)]
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: String,
    /// Sender: `Hotel <wifi@example.com>`.
    pub from: String,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// See [`Mail::tls`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// From the first byte (port 465).
    Tls,
    /// STARTTLS, required (port 587).
    Starttls,
    /// Not at all; for a server on the same machine or LAN.
    None,
}

/// An HTTP gateway that sends SMS. `{number}` and `{text}` stand for the digits with country code and the message; they
/// are escaped as their place requires.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sms {
    /// `GET` or `POST`.
    pub method: String,
    /// Address; in its query placeholders are percent-encoded.
    pub url: String,
    /// Headers, such as an authorization.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body of a POST: JSON if it begins with `{`, else a form.
    #[serde(default)]
    pub body: String,
    /// Country code without plus that a number with a leading zero gets; empty: such numbers are refused.
    #[serde(default)]
    pub country_code: String,
}

impl std::fmt::Debug for Sms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sms").field("method", &self.method).finish_non_exhaustive()
    }
}

mod method_word {
    use doorward_policy::guest::Method;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(method.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Method, D::Error> {
        let word = String::deserialize(deserializer)?;
        Method::parse(&word).ok_or_else(|| D::Error::custom(format!("{word:?} is no login method")))
    }
}
