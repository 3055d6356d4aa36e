//! The page of a link as a form would make it, before it is saved.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

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
use crate::{
    app::operators::PanelSessionId,
    http::otl::{self, Preview},
};

/// Where a preview finds its style sheet: a file, so that no page needs to allow styles within.
const STYLE: &str = "/links/preview.css";
/// Sessions whose style sheets are kept; more than that, and all are dropped: they are only drafts.
const MOST: usize = 64;

/// Style sheets of previews, until the next one of their session.
#[derive(Default)]
pub(in crate::http::panel) struct Drafts(Mutex<HashMap<PanelSessionId, String>>);

impl Drafts {
    fn put(&self, session: PanelSessionId, css: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&session) {
            all.clear();
        }
        all.insert(session, css);
    }

    fn get(&self, session: PanelSessionId) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&session).cloned().unwrap_or_default()
    }
}

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
    panel.drafts().put(desk.session(), settings.css.clone());
    Ok(otl::preview(settings, seat.lang, which, STYLE).await)
}

pub(super) async fn style(seat: Seat, State(panel): State<Panel>) -> Answer {
    let desk = seat.desk()?;
    desk.view(MODULE)?;
    let text = otl::style_sheet(&panel.drafts().get(desk.session()));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, text).into_response())
}
