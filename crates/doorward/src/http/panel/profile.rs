//! What operators change of themselves: password, second factor, sessions, look.

mod passkeys;

use askama::Template;

pub(super) use self::passkeys::script;
use super::{
    form::Form,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::{
    app::{
        desk::{Change, Module},
        operators::{PanelSession, PanelSessionId, Theme, TotpOffer},
        passkeys::{Site, StoredPasskey},
    },
    hotspot_settings::Lang,
    http::qr,
};

const MODULE: Module = Module::Profile;
const PAGE: &str = "/profile";

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view(PAGE, MODULE, show)
        .change("/profile/look", MODULE, set_look)
        .change("/profile/password", MODULE, set_password)
        .reveal("/profile/totp", MODULE, offer_totp)
        .change("/profile/totp", MODULE, accept_totp)
        .change("/profile/totp-off", MODULE, remove_totp)
        .change("/profile/passkeys", MODULE, passkeys::accept)
        .change("/profile/passkeys/options", MODULE, passkeys::offer)
        .change("/profile/passkeys/remove", MODULE, passkeys::remove)
        .change("/profile/sessions", MODULE, end_session)
}

#[derive(Template)]
#[template(path = "panel/profile.html")]
struct Page {
    f: Frame,
    has_totp: bool,
    passkeys: Vec<StoredPasskey>,
    /// This panel has a name, so that there can be passkeys.
    has_name: bool,
    lang: Option<Lang>,
    theme: Theme,
    sessions: Vec<PanelSession>,
    own: PanelSessionId,
}

async fn show(seat: Seat) -> Answer {
    let desk = seat.desk()?;
    let app = desk.view(MODULE)?;
    let (sessions, passkeys) = (app.sessions_of(desk.id()).await?, app.passkeys_of(desk.id()).await?);
    let operator = desk.operator();
    seat.page(&Page {
        f: seat.frame("menu-profile"),
        has_totp: operator.totp.is_some(),
        passkeys,
        has_name: Site::at(&seat.origin()).is_some(),
        lang: operator.lang,
        theme: operator.theme,
        sessions,
        own: desk.session(),
    })
}

async fn set_look(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let lang = match form.text("lang") {
        "" => None,
        text => Some(Lang::parse(text).ok_or(Failure::BadForm)?),
    };
    let theme = Theme::parse(form.text("theme")).ok_or(Failure::BadForm)?;
    let (id, change) = (desk.id(), Change::new("look", &desk.operator().name).after(theme.as_str()));
    desk.change(MODULE, change, move |app| async move { app.set_look(id, lang, theme).await }).await?;
    seat.done(PAGE, "profile-saved", &[])
}

async fn set_password(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    if form.text("password") != form.text("again") {
        return seat.warn(PAGE, "error-passwords-differ");
    }
    let (operator, session) = (desk.operator().clone(), desk.session());
    let (old, new) = (form.text("old").to_owned(), form.text("password").to_owned());
    let change = Change::new("password", &operator.name);
    let done =
        desk.change(
            MODULE,
            change,
            move |app| async move { app.change_own_password(&operator, session, &old, &new).await },
        );
    match done.await {
        Ok(()) => seat.done(PAGE, "profile-password-set", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}

#[derive(Template)]
#[template(path = "panel/totp.html")]
struct TotpPage {
    f: Frame,
    offer: TotpOffer,
    /// A PNG in base64.
    code: String,
    error: String,
}

async fn offer_totp(seat: Seat) -> Answer {
    let desk = seat.desk()?;
    let offer = desk.reveal(MODULE)?.offer_totp(&desk.operator().name)?;
    let code = qr::base64(offer.address.clone()).await?;
    seat.page(&TotpPage { f: seat.frame("totp-title"), offer, code, error: String::new() })
}

async fn accept_totp(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let (name, who) = (desk.operator().name.clone(), desk.operator().clone());
    let (secret, code) = (form.trimmed("secret").to_owned(), form.trimmed("code").to_owned());
    let offer = desk.reveal(MODULE)?.offered_totp(&name, &secret).ok_or(Failure::BadForm)?;
    let change = Change::new("totp_on", &name);
    let done = desk.change(MODULE, change, move |app| async move { app.accept_totp(&who, &secret, &code).await }).await;
    match done {
        Ok(()) => seat.done(PAGE, "totp-accepted", &[]),
        Err(error) => {
            let error = seat.why(error)?;
            let code = qr::base64(offer.address.clone()).await?;
            seat.again(&TotpPage { f: seat.frame("totp-title"), offer, code, error })
        }
    }
}

async fn remove_totp(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let (operator, password) = (desk.operator().clone(), form.text("password").to_owned());
    let change = Change::new("totp_off", &operator.name);
    let done = desk.change(MODULE, change, move |app| async move { app.remove_own_totp(&operator, &password).await });
    match done.await {
        Ok(()) => seat.done(PAGE, "totp-removed", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}

async fn end_session(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let only = match form.text("session") {
        "others" => None,
        text => Some(PanelSessionId(text.parse().map_err(|_| Failure::BadForm)?)),
    };
    let (id, own) = (desk.id(), desk.session());
    let change = Change::new("end_sessions", &desk.operator().name);
    desk.change(MODULE, change, move |app| async move { app.end_panel_sessions(id, only, Some(own)).await }).await?;
    seat.done(PAGE, "sessions-ended", &[])
}
