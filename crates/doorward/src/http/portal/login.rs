//! The page on which guests log in, with all methods of the hotspot.

use std::collections::BTreeMap;

use askama::Template;
use axum::{http::StatusCode, response::Response};
use doorward_policy::guest::Method;

use super::{
    Site,
    form::Form,
    frame::Frame,
    view::{self, FormView, Input},
    visit::Visit,
};
use crate::{
    app::logins::Denied,
    hotspot_settings::{GuestSettings, HotspotSettings, MethodSettings},
    words,
};

#[derive(Template)]
#[template(path = "portal/login.html")]
struct Login {
    f: Frame,
    alert: Option<String>,
    waiting: bool,
    forms: Vec<FormView>,
}

/// What a guest sent and what is wrong with it, so that the page can be shown again.
#[derive(Default)]
pub(super) struct Sent {
    method: Option<Method>,
    form: Form,
    /// By the name of the field; `""`: the form as a whole.
    errors: BTreeMap<&'static str, String>,
}

impl Sent {
    pub(super) fn new(method: Method, form: Form) -> Self {
        Self { method: Some(method), form, errors: BTreeMap::new() }
    }

    /// Notes what is wrong with a field; the first counts.
    pub(super) fn wrong(&mut self, field: &'static str, text: String) {
        self.errors.entry(field).or_insert(text);
    }

    /// Whether its method sends codes.
    pub(super) fn sends_codes(&self) -> bool {
        matches!(self.method, Some(Method::Email | Method::Mobile))
    }

    pub(super) fn is_fine(&self) -> bool {
        self.errors.is_empty()
    }
}

/// The methods that a guest can use here, in order.
pub(super) fn offered(settings: &HotspotSettings, guests: &GuestSettings) -> impl Iterator<Item = MethodSettings> {
    let usable = |method: &&MethodSettings| {
        method.enabled
            && match method.method {
                Method::Voucher | Method::Free => true,
                Method::Email => !method.code || guests.mail.is_some(),
                Method::Mobile => guests.sms.is_some(),
                Method::Facebook => method.provider.is_some(),
            }
    };
    settings.methods.iter().filter(usable).cloned().collect::<Vec<_>>().into_iter()
}

/// The settings of a method, if it can be used here.
pub(super) fn method(site: &Site, visit: &Visit, method: Method) -> Option<MethodSettings> {
    offered(visit.settings(), &site.app.guest_settings()).find(|own| own.method == method)
}

/// The page, with what was sent before.
pub(super) fn page(site: &Site, visit: &Visit, sent: &Sent, waiting: bool, status: StatusCode) -> Response {
    shown(visit, &site.app.guest_settings(), sent, waiting, status)
}

/// The same, also for a preview.
pub(super) fn shown(visit: &Visit, guests: &GuestSettings, sent: &Sent, waiting: bool, status: StatusCode) -> Response {
    let methods: Vec<_> = offered(visit.settings(), guests).collect();
    let open = sent.method.or_else(|| methods.first().map(|own| own.method));
    let mut forms: Vec<FormView> = methods.iter().map(|own| form(visit, own, sent)).collect();
    for (view, own) in forms.iter_mut().zip(&methods) {
        view.open = Some(own.method) == open;
        let focus = view.open && sent.method.is_some_and(|method| method == own.method);
        let first_wrong = view.inputs.iter().position(|input| input.error.is_some()).unwrap_or(0);
        if let Some(input) = view.inputs.get_mut(first_wrong) {
            // With several methods on the page nobody knows yet which one it will be.
            input.focus = focus || methods.len() == 1;
        }
    }
    let alert = sent.method.is_none().then(|| sent.errors.get("").cloned()).flatten();
    let page = Login { f: Frame::of(visit), alert, waiting, forms };
    page.f.send(status, &page)
}

/// A page that says why a login by some method failed.
pub(super) fn alert(site: &Site, visit: &Visit, text: String, status: StatusCode) -> Response {
    let mut sent = Sent::default();
    sent.wrong("", text);
    page(site, visit, &sent, false, status)
}

fn form(visit: &Visit, own: &MethodSettings, sent: &Sent) -> FormView {
    let connect = visit.t("connect");
    let view = match own.method {
        Method::Voucher => FormView::new("voucher", "/login/voucher", visit.t("voucher"), connect)
            .input(view::username(visit))
            .input(view::passcode(visit)),
        Method::Email => {
            let button = if own.code { visit.t("continue") } else { connect };
            let view = FormView::new("email", "/login/email", visit.t("email"), button).input(view::email(visit));
            view::own(&own.fields).fold(view, FormView::input)
        }
        Method::Mobile => {
            FormView::new("mobile", "/login/mobile", visit.t("mobile"), visit.t("continue")).input(view::mobile(visit))
        }
        Method::Facebook => {
            let provider = own.provider.as_ref().map_or("", |provider| provider.label.as_str());
            let label = words::fill(visit.lang, "social", &[("provider", provider)]);
            FormView::new("facebook", "/login/facebook", label.clone(), label)
        }
        Method::Free => {
            let view = FormView::new("free", "/login/free", visit.t("free"), connect);
            let password = (!own.password.is_empty()).then(|| view::password(visit));
            password.into_iter().chain(view::own(&own.fields)).fold(view, FormView::input)
        }
    };
    fill(visit, own.method, view, sent)
}

/// Puts in what was sent, and what is asked with every method.
fn fill(visit: &Visit, method: Method, mut view: FormView, sent: &Sent) -> FormView {
    view.terms = visit.has_terms();
    let asks = match method {
        Method::Email | Method::Mobile | Method::Facebook => !visit.marketing().is_empty(),
        Method::Voucher | Method::Free => false,
    };
    view.marketing = asks.then(|| visit.marketing().to_owned());
    if sent.method != Some(method) {
        return view;
    }
    view.error = sent.errors.get("").cloned();
    view.terms_given = sent.form.ticked("terms");
    view.terms_error = sent.errors.get("terms").cloned();
    view.marketing_given = sent.form.ticked("marketing");
    for input in &mut view.inputs {
        input.error = sent.errors.get(input.name).cloned();
        // Passcodes and passwords are never sent back.
        if !matches!(input.name, "p" | "password") {
            input.value = sent.form.shown(input.name, input.most);
        }
    }
    view
}

/// A form that holds what a voucher's ticket says, to be sent by its button.
pub(super) fn ticket(visit: &Visit, username: String, passcode: String) -> FormView {
    let mut view = FormView::new("voucher", "/login/voucher", visit.t("voucher"), visit.t("connect"));
    view.hidden = vec![("u", username), ("p", passcode)];
    view.terms = visit.has_terms();
    view
}

/// Asks for a terms box to be ticked where there are terms.
pub(super) fn check_terms(visit: &Visit, sent: &mut Sent) {
    if visit.has_terms() && !sent.form.ticked("terms") {
        sent.wrong("terms", visit.t("error-terms"));
    }
}

/// What a guest is told who was not let in by a method without a voucher; with the answer's status.
pub(super) fn told(visit: &Visit, denied: &Denied) -> (String, StatusCode) {
    let (name, status) = match denied {
        Denied::Expired | Denied::NotYet | Denied::Spent | Denied::Disabled | Denied::WrongUsername => {
            ("error-over", StatusCode::FORBIDDEN)
        }
        Denied::WrongPasscode => ("error-password", StatusCode::FORBIDDEN),
        Denied::WrongCode => ("error-code", StatusCode::FORBIDDEN),
        Denied::Slots(_) => ("slots-title", StatusCode::FORBIDDEN),
        Denied::Blocked => ("blocked-text", StatusCode::FORBIDDEN),
        Denied::Elsewhere => ("error-elsewhere", StatusCode::CONFLICT),
        Denied::TooMany { wait_s } => {
            let wait = words::duration(visit.lang, u64::from(*wait_s));
            let text = words::fill(visit.lang, "error-too-many", &[("wait", &wait)]);
            return (text, StatusCode::TOO_MANY_REQUESTS);
        }
        Denied::Failed => ("error-failed", StatusCode::SERVICE_UNAVAILABLE),
    };
    (visit.t(name), status)
}

/// A line that must be there, or an error at its field.
pub(super) fn need<'a>(visit: &Visit, sent: &mut Sent, form: &'a Form, input: &Input) -> &'a str {
    match form.line(input.name, input.most) {
        Ok(text) => text,
        Err(super::form::Bad::Empty) if !input.required => "",
        Err(super::form::Bad::Empty) => {
            sent.wrong(input.name, visit.t("error-field"));
            ""
        }
        Err(super::form::Bad::Text) => {
            sent.wrong(input.name, visit.t("error-text"));
            ""
        }
    }
}
