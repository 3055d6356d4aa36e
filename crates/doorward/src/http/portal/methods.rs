//! Login by e-mail, by mobile phone, and by the button.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use doorward_policy::guest::Method;

use super::{
    Site,
    form::Form,
    login::{self, Sent},
    plain,
    view::{self, OWN},
    visit::{Posted, Visit},
    voucher,
};
use crate::{
    app::{
        codes::{Answers, Writing},
        email_login::{EmailAddress, EmailBegun},
        logins::{Denied, Device},
        mobile_login::MobileNumber,
    },
    hotspot_settings::{Field, MethodSettings},
    words,
};

/// Takes an e-mail address.
pub(super) async fn email(State(site): State<Site>, visit: Visit, request: Request) -> Response {
    let (device, form, own) = match begin(&site, &visit, Method::Email, request).await {
        Ok(begun) => begun,
        Err(answer) => return answer,
    };
    let mut sent = Sent::new(Method::Email, form.clone());
    let typed = login::need(&visit, &mut sent, &form, &view::email(&visit));
    let address = EmailAddress::parse(typed);
    if address.is_none() {
        sent.wrong("email", visit.t("error-email"));
    }
    let answers = answers(&visit, &mut sent, &form, &own.fields);
    let Some(address) = address.filter(|_| sent.is_fine()) else {
        return login::page(&site, &visit, &sent, false, StatusCode::UNPROCESSABLE_ENTITY);
    };
    match site.app.begin_email(&device, &address, answers, writing(&visit)).await {
        Ok(EmailBegun::Online(_)) => plain::see(&visit, "/"),
        Ok(EmailBegun::CodeSent { .. }) => plain::see(&visit, "/code"),
        Err(denied) => refused(&site, &visit, &device, sent, &denied),
    }
}

/// Takes a telephone number.
pub(super) async fn mobile(State(site): State<Site>, visit: Visit, request: Request) -> Response {
    let (device, form, own) = match begin(&site, &visit, Method::Mobile, request).await {
        Ok(begun) => begun,
        Err(answer) => return answer,
    };
    let mut sent = Sent::new(Method::Mobile, form.clone());
    let typed = login::need(&visit, &mut sent, &form, &view::mobile(&visit));
    let guests = site.app.guest_settings();
    let country_code = guests.sms.as_ref().map_or("", |sms| sms.country_code.as_str());
    let number = MobileNumber::parse(typed, country_code);
    if number.is_none() {
        sent.wrong("mobile", visit.t("error-number"));
    }
    // This form has no questions of the operator.
    let answers = answers(&visit, &mut sent, &form, &own.fields[..0]);
    let Some(number) = number.filter(|_| sent.is_fine()) else {
        return login::page(&site, &visit, &sent, false, StatusCode::UNPROCESSABLE_ENTITY);
    };
    match site.app.begin_mobile(&device, &number, &answers, writing(&visit)).await {
        Ok(()) => plain::see(&visit, "/code"),
        Err(denied) => refused(&site, &visit, &device, sent, &denied),
    }
}

/// Takes the button.
pub(super) async fn free(State(site): State<Site>, visit: Visit, request: Request) -> Response {
    let (device, form, own) = match begin(&site, &visit, Method::Free, request).await {
        Ok(begun) => begun,
        Err(answer) => return answer,
    };
    let mut sent = Sent::new(Method::Free, form.clone());
    if !own.password.is_empty() && form.raw("password").is_empty() {
        sent.wrong("password", visit.t("error-field"));
    }
    let answers = answers(&visit, &mut sent, &form, &own.fields);
    if !sent.is_fine() {
        return login::page(&site, &visit, &sent, false, StatusCode::UNPROCESSABLE_ENTITY);
    }
    match site.app.log_in_free(&device, form.raw("password"), answers).await {
        Ok(_) => plain::see(&visit, "/"),
        Err(denied) => refused(&site, &visit, &device, sent, &denied),
    }
}

async fn begin(
    site: &Site,
    visit: &Visit,
    method: Method,
    request: Request,
) -> Result<(Device, Form, MethodSettings), Response> {
    let Posted { device, form } = Posted::read(site, visit, request).await?;
    let own = login::method(site, visit, method).ok_or_else(|| plain::missing(visit))?;
    Ok((device, form, own))
}

/// What is asked beside who it is; errors go to their fields.
fn answers(visit: &Visit, sent: &mut Sent, form: &Form, fields: &[Field]) -> Answers {
    let mut comments: [String; 3] = Default::default();
    for (comment, input) in comments.iter_mut().zip(view::own(fields)) {
        login::need(visit, sent, form, &input).clone_into(comment);
    }
    debug_assert_eq!(comments.len(), OWN.len(), "one answer for each question");
    login::check_terms(visit, sent);
    consent(visit, form, comments)
}

/// What was agreed to.
pub(super) fn consent(visit: &Visit, form: &Form, comments: [String; 3]) -> Answers {
    let terms_version = if visit.has_terms() { visit.settings().terms_version.clone() } else { String::new() };
    let marketing = (!visit.marketing().is_empty()).then(|| form.ticked("marketing"));
    Answers { comments, terms_version, marketing }
}

pub(super) fn writing(visit: &Visit) -> Writing<'_> {
    Writing { lang: visit.lang, base: &visit.base }
}

/// Says why, beside the field that it is about.
pub(super) fn refused(site: &Site, visit: &Visit, device: &Device, mut sent: Sent, denied: &Denied) -> Response {
    if let Denied::Slots(devices) = denied {
        return voucher::slots(site, visit, device, devices, None);
    }
    let (mut text, status) = login::told(visit, denied);
    if let (Denied::TooMany { wait_s }, true) = (denied, sent.sends_codes()) {
        let wait = words::duration(visit.lang, u64::from(*wait_s));
        text = words::fill(visit.lang, "error-sending", &[("wait", &wait)]);
    }
    let field = if *denied == Denied::WrongPasscode { "password" } else { "" };
    sent.wrong(field, text);
    login::page(site, visit, &sent, false, status)
}
