//! Setup of a new gateway, sign-in and sign-out.

use askama::Template;
use axum::{
    extract::{Extension, RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Redirect, Response},
};
use serde_json::json;

use super::{
    errors,
    form::Form,
    guard::{COOKIE, Panel, Source},
    profile::script,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::{
    app::{
        desk::{Change, Module},
        passkeys::Site,
        sign_in::{Credentials, SignInError},
    },
    secrets::SessionToken,
};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .open("/login", ask)
        .open_post("/login", sign_in)
        .open_post("/login/passkey", sign_in_by_passkey)
        .open_post("/login/passkey/options", ask_passkey)
        .open("/setup", ask_setup)
        .open_post("/setup", set_up)
        .change("/logout", Module::Profile, sign_out)
}

#[derive(Template)]
#[template(path = "panel/login.html")]
struct LoginPage {
    f: Frame,
    name: String,
    next: String,
    error: String,
    /// This panel has a name, so that there can be passkeys.
    has_name: bool,
}

impl LoginPage {
    fn new(seat: &Seat, name: String, next: String, error: String) -> Self {
        Self { f: seat.frame("login-title"), name, next, error, has_name: Site::at(&seat.origin()).is_some() }
    }
}

async fn ask(seat: Seat, State(panel): State<Panel>, RawQuery(query): RawQuery) -> Answer {
    if panel.app_before_sign_in().needs_setup().await? {
        return Ok(Redirect::to("/setup").into_response());
    }
    let query = Form::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let next = query.text("next").to_owned();
    if seat.desk().is_ok() {
        return Ok(Redirect::to(inside(&next)).into_response());
    }
    seat.page(&LoginPage::new(&seat, String::new(), next, String::new()))
}

async fn sign_in(
    seat: Seat,
    State(panel): State<Panel>,
    Extension(Source(from)): Extension<Source>,
    headers: HeaderMap,
    form: Form,
) -> Answer {
    let who = Credentials {
        name: form.trimmed("name").to_owned(),
        password: form.text("password").to_owned(),
        code: form.trimmed("code").to_owned(),
        from,
        user_agent: user_agent(&headers),
    };
    match panel.app_before_sign_in().sign_in(who).await {
        Ok(token) => with_cookie(Redirect::to(inside(form.text("next"))).into_response(), Some(&token)),
        Err(error) => {
            let error = why(&seat, error)?;
            let (name, next) = (form.trimmed("name").chars().take(64).collect(), form.text("next").to_owned());
            seat.again(&LoginPage::new(&seat, name, next, error))
        }
    }
}

/// What a browser calls itself.
fn user_agent(headers: &HeaderMap) -> String {
    let value = headers.get(header::USER_AGENT);
    value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// What the browser asks for a passkey with.
async fn ask_passkey(seat: Seat, State(panel): State<Panel>, Extension(Source(from)): Extension<Source>) -> Answer {
    let site = Site::at(&seat.origin()).ok_or(Failure::NotFound)?;
    match panel.app_before_sign_in().begin_passkey_sign_in(&site, from) {
        Ok((ticket, options)) => Ok(script(&json!({ "ticket": ticket, "options": options }))),
        Err(error) => Err(Failure::Refused(why(&seat, error)?)),
    }
}

async fn sign_in_by_passkey(
    seat: Seat,
    State(panel): State<Panel>,
    Extension(Source(from)): Extension<Source>,
    headers: HeaderMap,
    form: Form,
) -> Answer {
    let site = Site::at(&seat.origin()).ok_or(Failure::NotFound)?;
    let (ticket, credential) = (form.text("ticket"), form.text("credential"));
    let app = panel.app_before_sign_in();
    match app.passkey_sign_in(&site, ticket, credential, from, &user_agent(&headers)).await {
        Ok(token) => with_cookie(Redirect::to(inside(form.text("next"))).into_response(), Some(&token)),
        Err(error) => {
            let wrong = matches!(error, SignInError::Wrong);
            let error = if wrong { seat.t("error-passkey-sign-in") } else { why(&seat, error)? };
            let next = form.text("next").to_owned();
            seat.again(&LoginPage::new(&seat, String::new(), next, error))
        }
    }
}

/// Where to go after sign-in: pages of ours alone.
fn inside(next: &str) -> &str {
    // Browsers leave tabs and line ends out of an address: what stands behind them may be a host.
    let plain = next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if plain && next.starts_with('/') && !next.starts_with("//") { next } else { "/" }
}

async fn sign_out(seat: Seat) -> Answer {
    let desk = seat.desk()?;
    let (id, session) = (desk.id(), desk.session());
    let change = Change::new("sign_out", &desk.operator().name);
    desk.change(
        Module::Profile,
        change,
        move |app| async move { app.end_panel_sessions(id, Some(session), None).await },
    )
    .await?;
    with_cookie(Redirect::to("/login").into_response(), None)
}

#[derive(Template)]
#[template(path = "panel/setup.html")]
struct SetupPage {
    f: Frame,
    token: String,
    name: String,
    error: String,
}

async fn ask_setup(seat: Seat, State(panel): State<Panel>) -> Answer {
    if !panel.app_before_sign_in().needs_setup().await? {
        return Ok(Redirect::to("/login").into_response());
    }
    let (token, name, error) = (String::new(), "admin".to_owned(), String::new());
    seat.page(&SetupPage { f: seat.frame("setup-title"), token, name, error })
}

async fn set_up(
    seat: Seat,
    State(panel): State<Panel>,
    Extension(Source(from)): Extension<Source>,
    form: Form,
) -> Answer {
    let app = panel.app_before_sign_in();
    let (token, name) = (form.trimmed("token"), form.trimmed("name"));
    let error = match form.text("password") == form.text("again") {
        false => seat.t("error-passwords-differ"),
        true => match app.set_up(token, name, form.text("password"), from).await {
            Ok(()) => return Ok(Redirect::to("/login").into_response()),
            Err(SignInError::Wrong) => seat.t("error-setup-token"),
            Err(error) => why(&seat, error)?,
        },
    };
    let (token, name) = (token.chars().take(64).collect(), name.chars().take(64).collect());
    seat.again(&SetupPage { f: seat.frame("setup-title"), token, name, error })
}

fn why(seat: &Seat, error: SignInError) -> Result<String, Failure> {
    Ok(match error {
        SignInError::Wrong => seat.t("error-sign-in"),
        SignInError::Wait(seconds) => seat.fill("error-wait", &[("time", &crate::words::duration(seat.lang, seconds))]),
        SignInError::Failed(error) if errors::is_failure(&error) => return Err(error.into()),
        SignInError::Failed(error) => errors::text(seat.lang, &error),
    })
}

/// Gives the browser a session, or takes it away.
fn with_cookie(mut response: Response, token: Option<&SessionToken>) -> Answer {
    let text = match token {
        Some(token) => format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax", token.expose()),
        None => format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| Failure::Broken)?;
    value.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_away() {
        for (next, to) in [
            ("/audit?q=a", "/audit?q=a"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nset-cookie: x", "/"),
            ("/\t/evil.example", "/"),
        ] {
            assert_eq!(inside(next), to, "{next:?}");
        }
    }
}
