//! How the page of a link looks.

use askama::Template;

use super::{
    super::{
        form::Form,
        seat::{Answer, Seat},
        view::Frame,
    },
    MODULE,
};
use crate::{
    app::{
        Error,
        desk::{Change, DeskError},
    },
    hotspot_settings::{Invalid, Why},
    http::vpn_api::values::number,
    link_settings::{BUTTONS, LinkButton, LinkSettings, MOST_DAYS, WireguardPage},
};

#[derive(Template)]
#[template(path = "panel/links_look.html")]
pub(super) struct LookPage {
    f: Frame,
    form: Form,
    error: String,
    wrong: String,
}

pub(super) async fn ask(seat: Seat) -> Answer {
    let settings = seat.desk()?.view(MODULE)?.link_settings().await?;
    let (f, error, wrong) = (seat.frame("links-look"), String::new(), String::new());
    seat.page(&LookPage { f, form: fields(settings), error, wrong })
}

pub(super) async fn save(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let settings = read(&form);
    let before = noted(&desk.view(MODULE)?.link_settings().await?);
    let change = Change::new("edit", "page").before(before).after(noted(&settings));
    let done = desk.change(MODULE, change, move |app| async move { app.set_link_settings(&settings).await }).await;
    match done {
        Ok(()) => seat.done("/links/look", "links-look-saved", &[]),
        Err(DeskError::Refused(Error::Settings(invalid))) => again(&seat, form, &invalid),
        Err(error) => seat.refused("/links/look", error),
    }
}

/// The form once more, with what is wrong in it.
pub(super) fn again(seat: &Seat, form: Form, invalid: &Invalid) -> Answer {
    let wrong = field_of(&invalid.field);
    let why = match invalid.why {
        Why::Long(most) => seat.fill("links-why-long", &[("most", &most.to_string())]),
        Why::Control => seat.t("links-why-control"),
        Why::Link => seat.t("links-why-link"),
        Why::Range => seat.fill("links-why-days", &[("most", &MOST_DAYS.to_string())]),
        Why::Missing
        | Why::Many(_)
        | Why::Colour
        | Why::HostName
        | Why::Garden
        | Why::Url
        | Why::Image
        | Why::Twice
        | Why::MailAddress
        | Why::HttpMethod
        | Why::Header
        | Why::Body
        | Why::Placeholder
        | Why::CountryCode
        | Why::ValidFor => invalid.why.to_string(),
    };
    let label = match wrong.strip_prefix("button") {
        Some(rest) => seat.fill("links-button", &[("n", rest.split('_').next().unwrap_or_default())]),
        None => seat.t(&format!("links-{}", wrong.replace('_', "-"))),
    };
    seat.again(&LookPage { f: seat.frame("links-look"), form, error: format!("{label}: {why}"), wrong })
}

/// `wireguard.buttons[2].link` → `button3_link`: the names of the form.
fn field_of(setting: &str) -> String {
    let name = setting.strip_prefix("wireguard.").unwrap_or(setting);
    let button = name.strip_prefix("buttons[").and_then(|rest| rest.split_once("]."));
    match button.and_then(|(n, part)| Some((n.parse::<usize>().ok()? + 1, part))) {
        Some((n, part)) => format!("button{n}_{part}"),
        None => name.to_owned(),
    }
}

fn fields(settings: LinkSettings) -> Form {
    let LinkSettings { title, css, before_body, after_body, not_relevant, lifetime_days, wireguard } = settings;
    let WireguardPage { enabled, qr, text, download_label, buttons } = wireguard;
    let mut form = Form::of([
        ("title", title),
        ("css", css),
        ("before_body", before_body),
        ("after_body", after_body),
        ("not_relevant", not_relevant),
        ("lifetime_days", lifetime_days.to_string()),
        ("download_label", download_label),
    ]);
    for (name, _) in [("enabled", enabled), ("qr", qr), ("text", text)].into_iter().filter(|(_, on)| *on) {
        form.set(name, "1".to_owned());
    }
    for (LinkButton { label, link }, n) in buttons.into_iter().zip(1..) {
        form.set(&format!("button{n}_label"), label);
        form.set(&format!("button{n}_link"), link);
    }
    form
}

/// What a form says. A lifetime that is no number is 0, which is refused.
pub(super) fn read(form: &Form) -> LinkSettings {
    let line = |name: &str| form.trimmed(name).to_owned();
    // Browsers send line breaks as CR LF (HTML, section 4.10.21.7).
    let lines = |name: &str| form.text(name).replace("\r\n", "\n");
    let button =
        |n: usize| LinkButton { label: line(&format!("button{n}_label")), link: line(&format!("button{n}_link")) };
    let buttons: [LinkButton; BUTTONS] = std::array::from_fn(|at| button(at + 1));
    LinkSettings {
        title: line("title"),
        css: lines("css"),
        before_body: lines("before_body"),
        after_body: lines("after_body"),
        not_relevant: lines("not_relevant"),
        lifetime_days: number(form.trimmed("lifetime_days")).unwrap_or(0),
        wireguard: WireguardPage {
            enabled: form.has("enabled"),
            qr: form.has("qr"),
            text: form.has("text"),
            download_label: line("download_label"),
            buttons,
        },
    }
}

/// For the audit log, which holds no long texts.
fn noted(settings: &LinkSettings) -> String {
    let LinkSettings { title, lifetime_days, wireguard, .. } = settings;
    let WireguardPage { enabled, qr, text, .. } = wireguard;
    format!("title={title} lifetime_days={lifetime_days} enabled={enabled} qr={qr} text={text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_from_their_form() {
        let settings = LinkSettings::default();
        assert_eq!(read(&fields(settings.clone())), settings);
        let typed = Form::of([("before_body", "a\r\nb".to_owned()), ("lifetime_days", "x".to_owned())]);
        let read = read(&typed);
        assert_eq!((read.before_body.as_str(), read.lifetime_days), ("a\nb", 0));
        assert!(!read.wireguard.enabled && !read.wireguard.qr);
    }

    #[test]
    fn fields_of_settings() {
        assert_eq!(field_of("wireguard.buttons[5].link"), "button6_link");
        assert_eq!(field_of("wireguard.download_label"), "download_label");
        assert_eq!(field_of("title"), "title");
    }
}
