//! Who a page is for: an operator at their desk, and what they see around the page.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use askama::Template;
use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use jiff::tz::TimeZone;

use super::{
    errors,
    guard::{Panel, Signed},
    view::Frame,
};
use crate::{
    app::{
        Error,
        desk::{Denied, Desk, DeskError},
        hotspots::HotspotError,
        operators::{PanelSessionId, Theme},
    },
    config::PublicUrl,
    hotspot_settings::Lang,
    http::{HttpSettings, lang},
    words,
};

/// What handlers answer.
pub(super) type Answer = Result<Response, Failure>;

/// Why a page cannot be shown.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The role does not allow it.
    Denied,
    /// There is no such thing.
    NotFound,
    /// A form that cannot be read.
    BadForm,
    /// A form that did not come from a page of this session.
    Forged,
    /// Refused, with the reason.
    Refused(String),
    /// Something failed; the cause is in the log.
    Broken,
}

impl From<Denied> for Failure {
    fn from(_: Denied) -> Self {
        Self::Denied
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let missing = matches!(
            error,
            Error::AccountNotFound
                | Error::ServerNotFound
                | Error::OperatorNotFound
                | Error::LinkNotFound
                | Error::VoucherNotFound
                | Error::GuestNotFound
                | Error::Hotspot(HotspotError::NotFound)
                | Error::HashNotFound
        );
        if missing {
            Self::NotFound
        } else if errors::is_failure(&error) {
            errors::log(&error);
            Self::Broken
        } else {
            Self::Refused(error.to_string())
        }
    }
}

impl From<DeskError> for Failure {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Denied(denied) => denied.into(),
            DeskError::Refused(error) => error.into(),
        }
    }
}

/// The guard makes the page of it.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A word on the next page.
#[derive(Debug, Clone)]
pub(super) struct Flash {
    /// `success`, `warning` or `danger`.
    pub(super) kind: &'static str,
    pub(super) text: String,
}

/// Sessions whose words wait; more than that, and all are dropped: they are only words.
const MOST_WAITING: usize = 4096;

/// Words that wait for the next page of a session.
#[derive(Default)]
pub(super) struct Flashes(Mutex<HashMap<PanelSessionId, Vec<Flash>>>);

impl Flashes {
    fn put(&self, session: PanelSessionId, flash: Flash) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_WAITING {
            all.clear();
        }
        let waiting = all.entry(session).or_default();
        waiting.truncate(4);
        waiting.push(flash);
    }

    fn take(&self, session: PanelSessionId) -> Vec<Flash> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&session).unwrap_or_default()
    }
}

/// A request of somebody, signed in or not.
#[derive(Clone)]
pub(super) struct Seat {
    panel: Panel,
    desk: Option<Desk>,
    form_token: String,
    pub(super) lang: Lang,
    theme: Theme,
    path: String,
    /// Host and port that the browser asked for.
    host: String,
    by_script: bool,
}

impl Seat {
    pub(super) fn new(panel: &Panel, request: &Request, signed: Signed) -> Self {
        let (desk, form_token) = signed.unzip();
        let operator = desk.as_ref().map(Desk::operator);
        let lang = operator.and_then(|operator| operator.lang);
        Self {
            panel: panel.clone(),
            lang: lang.or_else(|| lang::of_browser(request.headers())).unwrap_or(Lang::En),
            theme: operator.map_or(Theme::Auto, |operator| operator.theme),
            form_token: form_token.unwrap_or_default(),
            path: request.uri().path().to_owned(),
            host: host(request),
            by_script: request.headers().contains_key("hx-request"),
            desk,
        }
    }

    /// The desk of who is signed in.
    ///
    /// # Errors
    /// Nobody is: the route was declared without a need.
    pub(super) fn desk(&self) -> Result<&Desk, Failure> {
        self.desk.as_ref().ok_or(Failure::Denied)
    }

    /// What forms of this session hold against forged requests.
    pub(super) fn form_token(&self) -> &str {
        &self.form_token
    }

    /// The gateway's time zone.
    pub(super) fn zone(&self) -> &TimeZone {
        &self.panel.app_before_sign_in().settings().zone
    }

    /// Where this gateway is reached, for examples on pages: as configured, else as the browser reaches it.
    pub(super) fn origin(&self) -> String {
        match &self.panel.app_before_sign_in().settings().public_url {
            PublicUrl::Configured(url) => url.clone(),
            PublicUrl::Listener(_) | PublicUrl::Anywhere { .. } => format!("https://{}", self.host),
        }
    }

    /// Where programs on the LAN call the hotspot API.
    pub(super) fn api_endpoint(&self) -> String {
        match self.panel.settings().api_listen {
            None => format!("{}/api/", self.origin()),
            Some(address) if !address.ip().is_unspecified() && address.port() == 80 => match address.ip() {
                IpAddr::V4(v4) => format!("http://{v4}/api/"),
                IpAddr::V6(v6) => format!("http://[{v6}]/api/"),
            },
            Some(address) if !address.ip().is_unspecified() => format!("http://{address}/api/"),
            Some(address) => {
                let name = self.host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
                format!("http://{}:{}/api/", name.map_or(self.host.as_str(), |(name, _)| name), address.port())
            }
        }
    }

    /// What the configuration file says of the listeners.
    pub(super) fn http_settings(&self) -> &HttpSettings {
        self.panel.settings()
    }

    /// A text in the operator's language.
    pub(super) fn t(&self, name: &str) -> String {
        words::text(self.lang, name)
    }

    /// The same with values.
    pub(super) fn fill(&self, name: &str, values: &[(&'static str, &str)]) -> String {
        words::fill(self.lang, name, values)
    }

    /// What stands around a page; takes the words that wait. `title`: name of the text of its title.
    pub(super) fn frame(&self, title: &str) -> Frame {
        let flashes = self.desk.as_ref().map(|desk| self.panel.flashes().take(desk.session())).unwrap_or_default();
        let app = self.panel.app_before_sign_in();
        Frame::new(
            self.desk.as_ref(),
            self.lang,
            self.theme,
            &self.path,
            app,
            flashes,
            self.form_token.clone(),
            self.t(title),
        )
    }

    /// Sends a page.
    pub(super) fn page(&self, page: &impl Template) -> Answer {
        self.page_with(StatusCode::OK, page)
    }

    /// Sends a form again, with what is wrong in it.
    pub(super) fn again(&self, page: &impl Template) -> Answer {
        self.page_with(StatusCode::UNPROCESSABLE_ENTITY, page)
    }

    fn page_with(&self, status: StatusCode, page: &impl Template) -> Answer {
        match page.render() {
            Ok(html) => {
                let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))];
                Ok((status, kind, html).into_response())
            }
            Err(error) => {
                tracing::error!(%error, "a page could not be written");
                Err(Failure::Broken)
            }
        }
    }

    /// Says that something was done, on another page.
    pub(super) fn done(&self, to: &str, name: &str, values: &[(&'static str, &str)]) -> Answer {
        self.say("success", self.fill(name, values));
        Ok(redirect(to))
    }

    /// The same of something that the kernel has to follow: says whether it has.
    pub(super) fn applied(&self, to: &str, name: &str, values: &[(&'static str, &str)]) -> Answer {
        let state = self.panel.app_before_sign_in().state().text;
        let text = self.fill(name, values);
        match state.as_str() {
            "OK" => self.say("success", format!("{text} {}", self.t("kernel-has-it"))),
            _ => self.say("warning", format!("{text} {}", self.fill("kernel-follows", &[("state", &state)]))),
        }
        Ok(redirect(to))
    }

    /// Says why something was not done, on another page.
    pub(super) fn refused(&self, to: &str, error: DeskError) -> Answer {
        let text = self.why(error)?;
        self.say("danger", text);
        Ok(redirect(to))
    }

    /// Says what is wrong with a form, on another page.
    pub(super) fn warn(&self, to: &str, name: &str) -> Answer {
        self.say("danger", self.t(name));
        Ok(redirect(to))
    }

    /// Why something was refused, in the operator's language.
    ///
    /// # Errors
    /// It was not refused: they may not, or it failed.
    pub(super) fn why(&self, error: DeskError) -> Result<String, Failure> {
        match error {
            DeskError::Refused(error) if !errors::is_failure(&error) => Ok(errors::text(self.lang, &error)),
            DeskError::Refused(error) => Err(error.into()),
            DeskError::Denied(denied) => Err(denied.into()),
        }
    }

    /// A word on the next page. `kind`: `success`, `warning` or `danger`.
    pub(super) fn say(&self, kind: &'static str, text: String) {
        if let Some(desk) = &self.desk {
            self.panel.flashes().put(desk.session(), Flash { kind, text });
        }
    }

    /// The page of a failure.
    pub(super) fn failed(&self, failure: &Failure) -> Response {
        let (status, name) = match failure {
            Failure::Denied => (StatusCode::FORBIDDEN, "failure-denied"),
            Failure::NotFound => (StatusCode::NOT_FOUND, "failure-not-found"),
            Failure::BadForm => (StatusCode::BAD_REQUEST, "failure-bad-form"),
            Failure::Forged => (StatusCode::FORBIDDEN, "failure-forged"),
            Failure::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "failure-refused"),
            Failure::Broken => (StatusCode::SERVICE_UNAVAILABLE, "failure-broken"),
        };
        let detail = if let Failure::Refused(reason) = failure { reason.clone() } else { String::new() };
        let text = self.t(name);
        if self.by_script {
            return (status, format!("{text} {detail}")).into_response();
        }
        let page = FailurePage { f: self.frame("failure-title"), text, detail };
        self.page_with(status, &page).unwrap_or_else(|_| status.into_response())
    }
}

/// Host and port of a request (RFC 9110, section 7.2); what cannot be one is nothing.
pub(super) fn host(request: &Request) -> String {
    let text = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let text = text.or_else(|| request.uri().authority().map(|authority| authority.as_str())).unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    if text.len() <= 255 && text.bytes().all(plain) { text.to_owned() } else { String::new() }
}

pub(super) fn redirect(to: &str) -> Response {
    axum::response::Redirect::to(to).into_response()
}

#[derive(Template)]
#[template(path = "panel/failure.html")]
struct FailurePage {
    f: Frame,
    text: String,
    detail: String,
}

/// The guard has made it.
impl<S: Sync> FromRequestParts<S> for Seat {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or(Failure::Broken)
    }
}
