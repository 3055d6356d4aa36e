//! The page on which a guest enters the code from a mail or an SMS.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use doorward_policy::guest::Method;

use super::{
    Site, login,
    plain::{self, One},
    view::{self, FormView},
    visit::{Posted, Visit},
    voucher,
};
use crate::{
    app::{
        codes::{CodeDenied, WaitingCode},
        logins::Denied,
    },
    hosts::Standing,
    words,
};

/// Asks for the code that was sent to this device; without one, there is only the portal.
pub(super) async fn show(State(site): State<Site>, visit: Visit) -> Response {
    let device = match plain::known(&visit) {
        Ok(device) => device,
        Err(answer) => return *answer,
    };
    match site.app.waiting_code(&device).await {
        Some(waiting) => page(&visit, &waiting, None, StatusCode::OK),
        None => plain::see(&visit, "/"),
    }
}

/// Takes the code.
pub(super) async fn enter(State(site): State<Site>, visit: Visit, request: Request) -> Response {
    let Posted { device, form } = match Posted::read(&site, &visit, request).await {
        Ok(posted) => posted,
        Err(answer) => return answer,
    };
    let Some(waiting) = site.app.waiting_code(&device).await else {
        return login::alert(&site, &visit, visit.t("error-code-void"), StatusCode::FORBIDDEN);
    };
    let Ok(code) = form.line("code", view::MOST_CODE) else {
        return page(&visit, &waiting, Some(visit.t("error-field")), StatusCode::UNPROCESSABLE_ENTITY);
    };
    match site.app.enter_code(&device, waiting.method, code).await {
        Ok(_) => plain::see(&visit, "/"),
        Err(CodeDenied::Wrong) => page(&visit, &waiting, Some(visit.t("error-code")), StatusCode::FORBIDDEN),
        Err(CodeDenied::Void) => login::alert(&site, &visit, visit.t("error-code-void"), StatusCode::FORBIDDEN),
        Err(CodeDenied::Denied(Denied::Slots(devices))) => voucher::slots(&site, &visit, &device, &devices, None),
        Err(CodeDenied::Denied(denied)) => {
            let (text, status) = login::told(&visit, &denied);
            page(&visit, &waiting, Some(text), status)
        }
    }
}

fn page(visit: &Visit, waiting: &WaitingCode, error: Option<String>, status: StatusCode) -> Response {
    let mut page = One::new(visit, "code-title", &[]);
    page.texts.push(words::fill(visit.lang, "code-sent", &[("to", &shown(waiting))]));
    if waiting.method == Method::Email && visit.standing == Standing::Online {
        page.texts.push(visit.t("code-grace"));
    }
    let mut form = FormView::new("code", "/code", visit.t("code-title"), visit.t("code-button"));
    form.inputs.push(view::Input { error, ..view::code(visit) });
    page.forms.push(form);
    let mut page = page.link(visit, "/", "code-other");
    if let Some((url, _)) = &mut page.link {
        // Or the way back would lead here again.
        url.push_str("&other=1");
    }
    page.send(status)
}

fn shown(waiting: &WaitingCode) -> String {
    match waiting.method {
        Method::Mobile => format!("+{}", waiting.to),
        Method::Voucher | Method::Email | Method::Facebook | Method::Free => waiting.to.clone(),
    }
}
