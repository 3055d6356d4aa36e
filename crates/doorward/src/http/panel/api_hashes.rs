//! API Access Hashs: who may call the VPN API (VPN API, section 1.2).

use askama::Template;

use super::{
    form::Form,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::{
    app::{
        access_hashes::{AccessHashRecord, HashWish, MOST_DAYS, Scope, show_networks},
        desk::{Change, Module},
    },
    secrets::AccessHash,
};

const MODULE: Module = Module::AccessHashes;
const PAGE: &str = "/api-hashes";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, show).change(PAGE, MODULE, create).change("/api-hashes/delete", MODULE, delete)
}

#[derive(Template)]
#[template(path = "panel/api_hashes.html")]
struct Page {
    f: Frame,
    hashes: Vec<AccessHashRecord>,
    wish: HashWish,
    error: String,
    /// The hash that was just made: this answer is the only one that holds it.
    made: Option<AccessHash>,
    /// `https://gw.example:8443/api/v1/`
    root: String,
    now_ms: i64,
}

impl Page {
    fn addresses(&self, hash: &AccessHashRecord) -> String {
        show_networks(&hash.allow)
    }

    fn is_over(&self, hash: &AccessHashRecord) -> bool {
        hash.expires_ms.is_some_and(|ms| ms <= self.now_ms)
    }
}

async fn page(seat: &Seat, wish: HashWish, error: String, made: Option<AccessHash>) -> Result<Page, Failure> {
    let app = seat.desk()?.view(MODULE)?;
    let hashes = app.access_hashes().await?;
    let root = format!("{}/api/v1/", seat.origin());
    Ok(Page { f: seat.frame("menu-api-hashes"), hashes, wish, error, made, root, now_ms: crate::clock::now_ms() })
}

fn nothing() -> HashWish {
    HashWish { name: String::new(), addresses: String::new(), anywhere: false, scope: Scope::All, days: None }
}

async fn show(seat: Seat) -> Answer {
    seat.page(&page(&seat, nothing(), String::new(), None).await?)
}

/// Answers with the page itself: a redirect would have to keep the hash somewhere.
async fn create(seat: Seat, form: Form) -> Answer {
    let days = form.trimmed("days");
    let wish = HashWish {
        name: form.trimmed("name").chars().take(100).collect(),
        addresses: form.trimmed("ip").chars().take(4000).collect(),
        anywhere: form.has("anywhere"),
        scope: Scope::parse(form.text("scope")).unwrap_or(Scope::All),
        // What is no number of days is refused as one that is too large.
        days: (!days.is_empty()).then(|| days.parse().unwrap_or(u16::MAX)),
    };
    let after = format!("{} {}", if wish.anywhere { "any" } else { &wish.addresses }, wish.scope.as_str());
    let (change, new) = (Change::new("create", &wish.name).after(after), wish.clone());
    let done = seat.desk()?.change(MODULE, change, move |app| async move { app.create_access_hash(new).await }).await;
    match done {
        Ok(hash) => seat.page(&page(&seat, nothing(), String::new(), Some(hash)).await?),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, wish, error, None).await?)
        }
    }
}

async fn delete(seat: Seat, form: Form) -> Answer {
    let name = form.text("name").to_owned();
    let (change, who) = (Change::new("delete", &name), name.clone());
    let done = seat.desk()?.change(MODULE, change, move |app| async move { app.delete_access_hash(&who).await }).await;
    match done {
        Ok(()) => seat.done(PAGE, "api-hash-deleted", &[("name", &name)]),
        Err(error) => seat.refused(PAGE, error),
    }
}
