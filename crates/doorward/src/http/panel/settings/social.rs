//! Providers of social logins, one for each hotspot.

use askama::Template;
use axum::extract::Path;

use super::{Answer, Change, Form, Frame, MODULE, Routes, Seat, TABS, secret, typed};
use crate::{
    app::{
        HotspotRecord,
        providers::{ProviderWish, social_method},
    },
    hotspot_settings::Provider,
    http::{
        panel::values::{garden_lines, read_garden},
        portal::SOCIAL_BACK_PATH,
    },
};

pub(super) const PAGE: &str = "/settings/social";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, list).form("/settings/social/{hotspot}", MODULE, show).change(
        "/settings/social/{hotspot}",
        MODULE,
        save,
    )
}

#[derive(Template)]
#[template(path = "panel/settings_social.html")]
struct ListPage {
    f: Frame,
    rows: Vec<Row>,
}

struct Row {
    hotspot: String,
    /// `None`: none is set up.
    provider: Option<(String, String)>,
    enabled: bool,
}

impl Row {
    fn of(record: &HotspotRecord) -> Self {
        let own = social_method(&record.settings);
        let place = |p: &Provider| if p.issuer.is_empty() { p.authorize_url.clone() } else { p.issuer.clone() };
        Self {
            hotspot: record.name.to_string(),
            provider: own.and_then(|own| own.provider.as_ref()).map(|p| (p.label.clone(), place(p))),
            enabled: own.is_some_and(|own| own.enabled),
        }
    }
}

async fn list(seat: Seat) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let rows = app.hotspots().borrow().iter().map(Row::of).collect();
    seat.page(&ListPage { f: seat.frame("menu-settings"), rows })
}

#[derive(Template)]
#[template(path = "panel/settings_provider.html")]
struct Page {
    f: Frame,
    hotspot: String,
    /// Where the provider has to send browsers back to.
    back: String,
    has_secret: bool,
    enabled: bool,
    /// Name, value, longest length and text of a hint, if any.
    fields: Vec<(&'static str, String, u16, &'static str)>,
    garden: String,
    error: String,
}

/// Fields of one line: name, longest length, name of the text of a hint.
const FIELDS: [(&str, u16, &str); 7] = [
    ("label", 40, "hint-provider-label"),
    ("issuer", 1024, "hint-provider-issuer"),
    ("authorize_url", 1024, ""),
    ("token_url", 1024, ""),
    ("userinfo_url", 1024, ""),
    ("client_id", 255, ""),
    ("scopes", 255, "hint-provider-scopes"),
];

impl Page {
    /// Name of the text of a field's label.
    fn label(name: &str) -> String {
        format!("field-methods-provider-{}", name.replace('_', "-"))
    }
}

fn page(seat: &Seat, record: &HotspotRecord, sent: Option<&Form>, error: String) -> Page {
    let own = social_method(&record.settings);
    let stored = own.and_then(|own| own.provider.as_ref());
    let value = |name: &str| match (sent, stored) {
        (Some(form), _) => typed(form, name),
        (None, Some(stored)) => field(stored, name).to_owned(),
        (None, None) if name == "label" => "Facebook".to_owned(),
        (None, None) => String::new(),
    };
    let scheme = if record.hotspot.portal_tls { "https" } else { "http" };
    Page {
        f: seat.frame("menu-settings"),
        hotspot: record.name.to_string(),
        back: format!("{scheme}://{}{SOCIAL_BACK_PATH}", record.settings.host_name),
        has_secret: stored.is_some_and(|stored| !stored.client_secret.is_empty()),
        enabled: sent.map_or_else(|| own.is_none_or(|own| own.enabled), |form| form.has("enabled")),
        fields: FIELDS.into_iter().map(|(name, most, hint)| (name, value(name), most, hint)).collect(),
        garden: match (sent, stored) {
            (Some(form), _) => typed(form, "garden"),
            (None, Some(stored)) => garden_lines(&stored.garden),
            (None, None) => String::new(),
        },
        error,
    }
}

fn field<'a>(provider: &'a Provider, name: &str) -> &'a str {
    let fields = [
        ("label", &provider.label),
        ("issuer", &provider.issuer),
        ("authorize_url", &provider.authorize_url),
        ("token_url", &provider.token_url),
        ("userinfo_url", &provider.userinfo_url),
        ("client_id", &provider.client_id),
        ("scopes", &provider.scopes),
    ];
    fields.into_iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value)
}

async fn show(seat: Seat, Path(name): Path<String>) -> Answer {
    let record = seat.desk()?.view(MODULE)?.hotspot(&name)?;
    seat.page(&page(&seat, &record, None, String::new()))
}

async fn save(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    let record = desk.view(MODULE)?.hotspot(&name)?;
    let text = |field: &str| typed(&form, field);
    let wish = ProviderWish {
        enabled: form.has("enabled"),
        label: text("label"),
        issuer: text("issuer"),
        authorize_url: text("authorize_url"),
        token_url: text("token_url"),
        userinfo_url: text("userinfo_url"),
        client_id: text("client_id"),
        client_secret: secret(&form, "client_secret"),
        scopes: text("scopes"),
        garden: read_garden(form.text("garden")),
    };
    let old = Row::of(&record).provider.map(|(label, place)| format!("{label} {place}"));
    let after = format!("{} {}", wish.label, if wish.issuer.is_empty() { &wish.authorize_url } else { &wish.issuer });
    let change = Change::new("provider", &name).before(old.unwrap_or_default()).after(after);
    let hotspot = name.clone();
    match desk.change(MODULE, change, move |app| async move { app.set_provider(&hotspot, wish).await }).await {
        Ok(()) => seat.applied(PAGE, "settings-provider-saved", &[("name", &name)]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, &record, Some(&form), error))
        }
    }
}
