//! What guests see: the editor of the portal's pages, with their preview.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};

use super::{
    super::{
        form::Form,
        guard::Panel,
        seat::{Answer, Failure, Seat, redirect},
        values::differing,
        view::Frame,
    },
    MODULE, Tabs,
};
use crate::{
    app::{
        Error,
        desk::{Change, DeskError},
        hotspots::HotspotSpec,
    },
    hotspot_settings::{HotspotSettings, Invalid, Lang, Logo, MOST_LOGO, Texts, Why},
    http::portal::preview::{self, Which},
    words,
};

/// A page that is not saved yet, of the hotspot of that name.
#[derive(Clone)]
pub(in crate::http::panel) struct Draft {
    hotspot: String,
    settings: Arc<HotspotSettings>,
}

/// The texts of a language: last part of their names, label, hint, longest length, lines.
const TEXTS: [(&str, &str, u16, u8); 4] = [
    ("title", "hint-texts-title", 80, 1),
    ("welcome", "hint-texts-welcome", 500, 3),
    ("terms", "hint-texts-terms", 20_000, 8),
    ("marketing", "hint-texts-marketing", 500, 3),
];

#[derive(Template)]
#[template(path = "panel/hotspot_portal.html")]
struct Page {
    f: Frame,
    tabs: Tabs,
    form: Form,
    /// As an `<img>` takes it; empty: none.
    logo: String,
    languages: Vec<Language>,
    error: String,
    wrong: String,
}

impl Page {
    /// Bytes of an image that fit into the settings in base64.
    fn most_logo(&self) -> usize {
        MOST_LOGO / 4 * 3
    }
}

struct Language {
    lang: Lang,
    name: &'static str,
    open: bool,
    texts: Vec<Text>,
}

struct Text {
    name: String,
    label: String,
    hint: &'static str,
    most: u16,
    rows: u8,
    value: String,
    wrong: bool,
}

fn page(seat: &Seat, name: &str, old: &HotspotSettings, form: Form, error: String, wrong: String) -> Page {
    let languages = words::LANGUAGES.into_iter().map(|(lang, own_name)| {
        let texts = TEXTS.into_iter().map(|(part, hint, most, rows)| {
            let name = format!("{part}-{}", lang.as_str());
            let value = form.text(&name).to_owned();
            Text { label: format!("field-texts-{part}"), wrong: name == wrong, name, hint, most, rows, value }
        });
        let texts: Vec<Text> = texts.collect();
        let open = lang == seat.lang || texts.iter().any(|text| text.wrong || !text.value.is_empty());
        Language { lang, name: own_name, open, texts }
    });
    let languages = languages.collect();
    let logo = old.logo.as_ref().map(|logo| format!("data:{};base64,{}", logo.mime, logo.data)).unwrap_or_default();
    Page { f: seat.frame("menu-hotspots"), tabs: Tabs::new(name, "portal"), form, logo, languages, error, wrong }
}

pub(super) async fn ask(seat: Seat, Path(name): Path<String>) -> Answer {
    let settings = seat.desk()?.view(MODULE)?.hotspot(&name)?.settings;
    seat.page(&page(&seat, &name, &settings, fields(&settings), String::new(), String::new()))
}

pub(super) async fn change(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    let old = desk.view(MODULE)?.hotspot(&name)?.settings;
    let wanted = match read(&form, &old) {
        Ok(settings) => settings,
        Err(invalid) => return again(&seat, &name, &old, form, DeskError::Refused(invalid.into())),
    };
    let (before, after) = differing(&noted(&old), &noted(&wanted));
    let (change, who) = (Change::new("edit_portal", &name).before(before).after(after), name.clone());
    let sent = form.clone();
    let edit = move |spec: HotspotSpec| {
        let settings = Arc::new(read(&sent, &spec.settings)?);
        Ok(HotspotSpec { settings, ..spec })
    };
    match desk.change(MODULE, change, move |app| async move { app.edit_hotspot(&who, edit).await }).await {
        Ok(_) => seat.applied(&Tabs::new(&name, "").address("portal"), "hotspot-saved", &[("name", &name)]),
        Err(error) => again(&seat, &name, &old, form, error),
    }
}

fn again(seat: &Seat, name: &str, old: &HotspotSettings, form: Form, error: DeskError) -> Answer {
    let wrong = match &error {
        DeskError::Refused(Error::Settings(invalid)) => field_of(&invalid.field),
        DeskError::Refused(_) | DeskError::Denied(_) => String::new(),
    };
    let lang = wrong.rsplit_once('-').and_then(|(_, tag)| Lang::ALL.into_iter().find(|lang| lang.as_str() == tag));
    let error = seat.why(error)?;
    let of = words::LANGUAGES.into_iter().find(|(one, _)| Some(*one) == lang);
    let error = of.map_or_else(|| error.clone(), |(_, name)| format!("{name}: {error}"));
    seat.again(&page(seat, name, old, form, error, wrong))
}

/// `texts.de.title` → `title-de`: the names of the form.
fn field_of(setting: &str) -> String {
    match setting.split('.').collect::<Vec<_>>().as_slice() {
        ["texts", lang, part] => format!("{part}-{lang}"),
        ["logo", ..] => "logo".to_owned(),
        _ => setting.to_owned(),
    }
}

fn fields(settings: &HotspotSettings) -> Form {
    let mut form = Form::of([
        ("host_name", settings.host_name.clone()),
        ("colour", settings.colour.clone()),
        ("venue_url", settings.venue_url.clone().unwrap_or_default()),
        ("terms_version", settings.terms_version.clone()),
    ]);
    for (lang, Texts { title, welcome, terms, marketing }) in &settings.texts {
        for (part, text) in [("title", title), ("welcome", welcome), ("terms", terms), ("marketing", marketing)] {
            form.set(&format!("{part}-{}", lang.as_str()), text.clone());
        }
    }
    form
}

/// For the audit log, which holds no long texts.
fn noted(settings: &HotspotSettings) -> Form {
    let mut form = fields(settings);
    for lang in settings.texts.keys() {
        let name = format!("terms-{}", lang.as_str());
        let count = form.text(&name).chars().count();
        form.set(&name, format!("({count} characters)"));
    }
    form.set("logo", settings.logo.as_ref().map(|logo| logo.mime.clone()).unwrap_or_default());
    form
}

/// The settings as the form wants them.
fn read(form: &Form, old: &HotspotSettings) -> Result<HotspotSettings, Invalid> {
    // Browsers send line breaks as CR LF (HTML, section 4.10.21.7).
    let lines = |name: &str| form.trimmed(name).replace("\r\n", "\n");
    let line = |name: &str| form.trimmed(name).to_owned();
    let texts = Lang::ALL.into_iter().map(|lang| {
        let part = |part: &str| format!("{part}-{}", lang.as_str());
        let (welcome, terms, marketing) = (lines(&part("welcome")), lines(&part("terms")), lines(&part("marketing")));
        (lang, Texts { title: line(&part("title")), welcome, terms, marketing })
    });
    let logo = match form.trimmed("logo") {
        _ if form.has("logo_remove") => None,
        "" => old.logo.clone(),
        // As browsers hand over a file: `data:image/png;base64,…`.
        given => match given.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            Some((mime, data)) => Some(Logo { mime: mime.to_owned(), data: data.to_owned() }),
            None => return Err(Invalid { field: "logo".to_owned(), why: Why::Image }),
        },
    };
    Ok(HotspotSettings {
        host_name: line("host_name"),
        colour: line("colour"),
        venue_url: Some(line("venue_url")).filter(|address| !address.is_empty()),
        terms_version: line("terms_version"),
        texts: texts.filter(|(_, texts)| *texts != Texts::default()).collect(),
        logo,
        ..old.clone()
    })
}

/// Keeps what is in the form, and shows the page that it would make.
pub(super) async fn draft(seat: Seat, State(panel): State<Panel>, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    let old = desk.view(MODULE)?.hotspot(&name)?.settings;
    let settings = match read(&form, &old).and_then(|settings| settings.check().map(|()| settings)) {
        Ok(settings) => settings,
        Err(invalid) => return again(&seat, &name, &old, form, DeskError::Refused(invalid.into())),
    };
    panel.portal_drafts().put(desk.session(), Draft { hotspot: name.clone(), settings: Arc::new(settings) });
    let lang = Lang::parse(form.text("lang")).unwrap_or(seat.lang);
    let page = if form.text("page") == "terms" { "page=terms&" } else { "" };
    Ok(redirect(&format!("{}/preview?{page}lang={}", Tabs::new(&name, "").address("portal"), lang.as_str())))
}

/// The page of guests as the last form of this session would make it; without one, as it is.
pub(super) async fn preview(
    seat: Seat,
    State(panel): State<Panel>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let desk = seat.desk()?;
    let app = desk.view(MODULE)?;
    let mut record = app.hotspot(&name)?;
    if let Some(draft) = panel.portal_drafts().get(desk.session()).filter(|draft| draft.hotspot == name) {
        record.settings = draft.settings;
    }
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let which = if query.text("page") == "terms" { Which::Terms } else { Which::Login };
    let lang = Lang::parse(query.text("lang")).unwrap_or(seat.lang);
    Ok(preview::show(record, &app.guest_settings(), lang, which))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    use super::*;

    #[test]
    fn a_page_comes_back_from_its_form() {
        let texts = Texts { title: "Hôtel".to_owned(), terms: "One\n\nTwo".to_owned(), ..Texts::default() };
        let png = Logo { mime: "image/png".to_owned(), data: BASE64_STANDARD.encode(b"\x89PNG\r\n\x1a\nrest") };
        let settings = HotspotSettings {
            texts: [(Lang::Fr, texts)].into(),
            venue_url: Some("https://example.com".to_owned()),
            logo: Some(png.clone()),
            ..HotspotSettings::default()
        };
        assert_eq!(read(&fields(&settings), &settings).unwrap(), settings);
        let mut form = fields(&settings);
        form.set("logo", format!("data:image/png;base64,{}", png.data));
        assert_eq!(read(&form, &HotspotSettings::default()).unwrap().logo, Some(png));
        form.set("logo_remove", "1".to_owned());
        assert_eq!(read(&form, &settings).unwrap().logo, None);
        let mut form = fields(&settings);
        form.set("logo", "data:image/png,x".to_owned());
        assert_eq!(read(&form, &settings).unwrap_err().why, Why::Image);
        form.set("logo", String::new());
        form.set("terms-fr", "a\r\nb\u{1b}".to_owned());
        let invalid = read(&form, &settings).unwrap().check().unwrap_err();
        assert_eq!((field_of(&invalid.field).as_str(), invalid.why), ("terms-fr", Why::Control));
    }
}
