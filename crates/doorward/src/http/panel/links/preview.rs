//! The page of a link as a form would make it, before it is saved.

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::IntoResponse as _,
};

use super::{
    super::{
        form::Form,
        guard::Panel,
        seat::{Answer, Failure, Seat},
    },
    MODULE, look,
};
use crate::http::otl::{self, Preview};

/// Where a preview finds its style sheet: a file, so that no page needs to allow styles within.
const STYLE: &str = "/links/preview.css";
pub(super) async fn show(seat: Seat, State(panel): State<Panel>, form: Form) -> Answer {
    let desk = seat.desk()?;
    desk.view(MODULE)?;
    let which = match form.text("page") {
        "ask" => Preview::Ask,
        "shown" => Preview::Shown,
        "gone" => Preview::Gone,
        _ => return Err(Failure::BadForm),
    };
    let settings = look::read(&form);
    if let Err(invalid) = settings.check() {
        return look::again(&seat, form, &invalid);
    }
    panel.link_drafts().put(desk.session(), settings.css.clone());
    Ok(otl::preview(settings, seat.lang, which, STYLE).await)
}

pub(super) async fn style(seat: Seat, State(panel): State<Panel>) -> Answer {
    let desk = seat.desk()?;
    desk.view(MODULE)?;
    let text = otl::style_sheet(&panel.link_drafts().get(desk.session()).unwrap_or_default());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, text).into_response())
}
