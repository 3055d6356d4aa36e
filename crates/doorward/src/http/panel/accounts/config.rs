//! What an account's client needs: the configuration, its keys, and links to it.

use askama::Template;
use axum::{
    extract::Path,
    http::{HeaderValue, header},
    response::IntoResponse as _,
};
use doorward_policy::account::{Account, ClientKey};

use super::{
    super::{
        form::Form,
        seat::{Answer, Failure, Seat},
        values::wrong_field,
        view::Frame,
    },
    LINKS, MODULE, page,
};
use crate::{
    app::{
        Error,
        desk::{Change, DeskError},
        one_time_links::MOST_USES,
    },
    http::{otl::file_name, qr, vpn_api::values::number_within},
    link_settings::MOST_DAYS,
};

#[derive(Template)]
#[template(path = "panel/account_config.html")]
struct ConfigPage {
    f: Frame,
    account: Account,
    text: String,
    /// A PNG in base64; `None`: the text is too long for a code.
    qr: Option<String>,
}

impl ConfigPage {
    fn private_key(&self) -> Option<String> {
        match &self.account.key {
            ClientKey::Kept(private) => Some(private.expose_base64()),
            ClientKey::Own(_) => None,
        }
    }

    fn preshared_key(&self) -> Option<String> {
        self.account.preshared_key.as_ref().map(|key| key.expose_base64())
    }
}

pub(super) async fn show(seat: Seat, Path(name): Path<String>) -> Answer {
    let app = seat.desk()?.reveal(MODULE)?;
    let text = app.client_config(&name).await?;
    let account = app.account(&name).await?.account;
    let qr = qr::base64(text.clone()).await.ok();
    seat.page(&ConfigPage { f: seat.frame("account-config"), account, text, qr })
}

pub(super) async fn download(seat: Seat, Path(name): Path<String>) -> Answer {
    let app = seat.desk()?.reveal(MODULE)?;
    let text = app.client_config(&name).await?;
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", file_name(&name)));
    let kind = HeaderValue::from_static("application/octet-stream");
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_DISPOSITION, disposition.map_err(|_| Failure::Broken)?),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, text).into_response())
}

#[derive(Template)]
#[template(path = "panel/account_link.html")]
struct LinkPage {
    f: Frame,
    name: String,
    /// This answer is the only one that holds it.
    address: String,
    uses: u16,
}

pub(super) async fn link(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let uses = number_within(1, MOST_USES)(form.trimmed("uses"));
    let days = number_within(1, MOST_DAYS)(form.trimmed("days"));
    let done = match (uses, days) {
        (Some(uses), Some(days)) => {
            let (who, after) = (name.clone(), format!("uses={uses} days={days}"));
            let change = Change::new("create", &name).after(after);
            let made = seat
                .desk()?
                .change(LINKS, change, move |app| async move { app.create_link(&who, uses, Some(days)).await });
            made.await.map(|link| (link, uses))
        }
        (None, _) => Err(DeskError::Refused(Error::LinkUses)),
        (Some(_), None) => Err(DeskError::Refused(Error::LinkDays)),
    };
    match done {
        Ok((link, uses)) => {
            let f = seat.frame("account-link-made");
            seat.page(&LinkPage { f, name, address: link.address, uses })
        }
        Err(error) => {
            let wrong = wrong_field(&error);
            let error = seat.why(error)?;
            let page = page(&seat, &name, "").await?;
            seat.again(&super::ShowPage { link: form, error, wrong, ..page })
        }
    }
}
