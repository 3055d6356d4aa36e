//! An operator's passkeys.

use axum::{
    http::{HeaderValue, header},
    response::IntoResponse as _,
};
use serde_json::{Value, json};

use super::{
    super::{
        form::Form,
        seat::{Answer, Failure, Seat},
    },
    MODULE, PAGE,
};
use crate::app::{
    desk::Change,
    passkeys::{PasskeyId, Site},
};

/// What the browser makes a passkey with.
pub(super) async fn offer(seat: Seat) -> Answer {
    let desk = seat.desk()?;
    let site = Site::at(&seat.origin()).ok_or(Failure::NotFound)?;
    let options = desk.view(MODULE)?.offer_passkey(&site, desk.operator(), desk.session()).await?;
    Ok(script(&json!({ "options": options })))
}

pub(super) async fn accept(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let site = Site::at(&seat.origin()).ok_or(Failure::NotFound)?;
    let (who, session) = (desk.operator().clone(), desk.session());
    let text = |name: &str| form.text(name).to_owned();
    let (password, label, credential) = (text("password"), text("label"), text("credential"));
    let noted: String = label.trim().chars().take(crate::app::passkeys::MOST_LABEL).collect();
    let change = Change::new("passkey_on", &who.name).after(noted);
    let done = desk.change(MODULE, change, move |app| async move {
        app.accept_passkey(&site, &who, session, &password, &label, &credential).await
    });
    match done.await {
        Ok(()) => seat.done(PAGE, "passkey-made", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}

pub(super) async fn remove(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let id = PasskeyId(form.text("passkey").parse().map_err(|_| Failure::BadForm)?);
    let (operator, change) = (desk.id(), Change::new("passkey_off", &desk.operator().name));
    desk.change(MODULE, change, move |app| async move { app.remove_passkeys(operator, Some(id)).await }).await?;
    seat.done(PAGE, "passkey-removed", &[])
}

/// An answer for a script of ours.
pub(in crate::http::panel) fn script(value: &Value) -> axum::response::Response {
    let kind = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (kind, value.to_string()).into_response()
}
