//! Login by an account elsewhere.

use axum::{
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::Response,
};
use doorward_policy::guest::Method;

use super::{
    Site,
    form::Form,
    login::{self, Sent},
    methods,
    plain::{self, One},
    visit::{Posted, Visit},
};
use crate::{app::social_login::SocialDenied, words};

/// Where the provider sends the browser back to; operators register it there.
pub(in crate::http) const BACK_PATH: &str = "/login/facebook/back";

/// Leads to the provider: by a page, as a form must not lead to another site (`form-action`).
pub(super) async fn start(State(site): State<Site>, visit: Visit, request: Request) -> Response {
    let Posted { device, form } = match Posted::read(&site, &visit, request).await {
        Ok(posted) => posted,
        Err(answer) => return answer,
    };
    let Some(own) = login::method(&site, &visit, Method::Facebook) else { return plain::missing(&visit) };
    let mut sent = Sent::new(Method::Facebook, form.clone());
    login::check_terms(&visit, &mut sent);
    if !sent.is_fine() {
        return login::page(&site, &visit, &sent, false, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let answers = methods::consent(&visit, &form, Default::default());
    let back = format!("{}{BACK_PATH}", visit.base);
    match site.app.begin_social(&device, &back, answers).await {
        Ok(url) => {
            let provider = own.provider.map_or_else(String::new, |provider| provider.label);
            let text = words::fill(visit.lang, "social-go", &[("provider", &provider)]);
            let mut page = One::new(&visit, "social-go", &[]);
            page.heading = text;
            page.f.refresh_to = Some(url.clone());
            page.link = Some((url, visit.t("continue")));
            page.send(StatusCode::OK)
        }
        Err(denied) => refused(&site, &visit, sent, denied),
    }
}

/// The browser comes back from the provider.
pub(super) async fn back(State(site): State<Site>, visit: Visit, uri: Uri) -> Response {
    let device = match plain::known(&visit) {
        Ok(device) => device,
        Err(answer) => return *answer,
    };
    if login::method(&site, &visit, Method::Facebook).is_none() {
        return plain::missing(&visit);
    }
    let query = Form::parse(uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    match site.app.finish_social(&device, query.raw("state"), query.raw("code")).await {
        Ok(_) => plain::see(&visit, "/"),
        Err(SocialDenied::Denied(denied)) => {
            methods::refused(&site, &visit, &device, Sent::new(Method::Facebook, Form::default()), &denied)
        }
        Err(denied @ SocialDenied::Provider) => {
            refused(&site, &visit, Sent::new(Method::Facebook, Form::default()), denied)
        }
    }
}

fn refused(site: &Site, visit: &Visit, mut sent: Sent, denied: SocialDenied) -> Response {
    let (text, status) = match denied {
        SocialDenied::Denied(denied) => login::told(visit, &denied),
        SocialDenied::Provider => {
            let own = login::method(site, visit, Method::Facebook).and_then(|own| own.provider);
            let provider = own.map_or_else(String::new, |provider| provider.label);
            (words::fill(visit.lang, "error-social", &[("provider", &provider)]), StatusCode::BAD_GATEWAY)
        }
    };
    sent.wrong("", text);
    login::page(site, visit, &sent, false, status)
}
