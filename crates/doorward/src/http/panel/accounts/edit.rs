//! The forms of an account: a new one, and its changes.

use askama::Template;
use axum::extract::Path;
use doorward_policy::{
    account::{Account, ClientKey, Password},
    limits::QuotaPeriod,
    name::Name,
};
use jiff::tz::TimeZone;

use super::{
    super::{
        form::Form,
        seat::{Answer, Failure, Seat},
        values::{
            UNITS, amount, difference, given, local_moment, optional, read_amount, read_local_moment, ticked,
            wrong_field,
        },
        view::Frame,
    },
    MODULE, page_of,
};
use crate::{
    app::{
        App, Given,
        accounts::AccountWish,
        desk::{Change, DeskError},
    },
    http::vpn_api::values::{ipv4, ipv6, mbit, parsed},
    secrets,
};

/// What the audit log may hold of a form.
const NOTED: &[&str] = &[
    "username",
    "enabled",
    "address",
    "address_ipv6",
    "down",
    "up",
    "expires",
    "quota",
    "quota_unit",
    "quota_period",
    "public_key",
];

#[derive(Template)]
#[template(path = "panel/account_form.html")]
struct FormPage {
    f: Frame,
    /// Name of the account that is changed; `None`: a new one.
    of: Option<String>,
    form: Form,
    servers: Vec<String>,
    /// Its client alone has the private key.
    own_key: bool,
    error: String,
    wrong: &'static str,
}

impl FormPage {
    fn is(&self, field: &str, value: &str) -> bool {
        self.form.text(field) == value
    }

    fn action(&self) -> String {
        self.of.as_deref().map_or_else(|| "/accounts/+new".to_owned(), |name| format!("{}/edit", page_of(name)))
    }

    fn back(&self) -> String {
        self.of.as_deref().map_or_else(|| "/accounts".to_owned(), page_of)
    }
}

/// A form of a new account; `server`: the one whose numbers are proposed, else the first. Where nothing can be proposed, the form says why.
pub(super) async fn ask_new(seat: Seat, axum::extract::RawQuery(query): axum::extract::RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let servers = app.server_names();
    let asked = query.trimmed("server").to_owned();
    let server = if servers.contains(&asked) { Some(asked) } else { servers.first().cloned() };
    let (form, error, wrong) = match server {
        Some(server) => proposed(&seat, app, server).await?,
        None => (Form::default(), String::new(), ""),
    };
    let (f, of, own_key) = (seat.frame("account-new"), None, false);
    seat.page(&FormPage { f, of, form, servers, own_key, error, wrong })
}

/// A form with what an account of a server would be made with now.
async fn proposed(seat: &Seat, app: &App, server: String) -> Result<(Form, String, &'static str), Failure> {
    let wish = AccountWish { server: Given::Is(server.clone()), ..AccountWish::default() };
    match app.propose_account(&wish).await {
        Ok((account, _)) => {
            let mut form = fields(&account, seat.zone());
            form.set("server", server);
            form.set("password", account.password.expose().to_owned());
            if let ClientKey::Kept(private) = &account.key {
                form.set("private_key", private.expose_base64());
            }
            form.set("key", "kept".to_owned());
            form.set("psk", "none".to_owned());
            Ok((form, String::new(), ""))
        }
        Err(error) => {
            let error = DeskError::Refused(error);
            let wrong = wrong_field(&error);
            Ok((Form::of([("server", server), ("enabled", "1".to_owned())]), seat.why(error)?, wrong))
        }
    }
}

/// What a form shows of an account; no secrets.
fn fields(account: &Account, zone: &TimeZone) -> Form {
    let (quota, unit) = account.quota.map_or((String::new(), "GiB"), |quota| amount(quota.bytes));
    let mut form = Form::of([
        ("name", account.name.to_string()),
        ("username", account.username.to_string()),
        ("address", account.address.to_string()),
        ("address_ipv6", account.address_ipv6.map(|address| address.to_string()).unwrap_or_default()),
        ("down", account.bandwidth.down.get().to_string()),
        ("up", account.bandwidth.up.get().to_string()),
        ("expires", account.expires_at_ms.map(|at| local_moment(at, zone)).unwrap_or_default()),
        ("quota", quota),
        ("quota_unit", unit.to_owned()),
        ("quota_period", account.quota.map_or("none", |quota| quota.period.as_str()).to_owned()),
    ]);
    if account.enabled {
        form.set("enabled", "1".to_owned());
    }
    form
}

pub(super) async fn create(seat: Seat, mut form: Form) -> Answer {
    let desk = seat.desk()?;
    let app = desk.view(MODULE)?;
    let servers = app.server_names();
    let (of, own_key) = (None, false);
    if form.has("refill") {
        // Another server: its addresses and speeds; all else stays.
        let (fresh, error, wrong) = proposed(&seat, app, form.trimmed("server").to_owned()).await?;
        let refilled: &[&str] = if error.is_empty() { &["address", "address_ipv6", "down", "up"] } else { &[] };
        for name in refilled {
            form.set(name, fresh.text(name).to_owned());
        }
        let f = seat.frame("account-new");
        return seat.page(&FormPage { f, of, form, servers, own_key, error, wrong });
    }
    let mut wish = read(&form, None, seat.zone())?;
    wish.server = given(&form, "server", Given::Missing, |text| Some(text.to_owned()));
    let name = form.trimmed("name").to_owned();
    let (_, after) = difference(&Form::default(), &form, NOTED);
    let change = Change::new("create", &name).after(format!("server={} {after}", form.trimmed("server")));
    let done = desk.change(MODULE, change, move |app| async move { app.create_account(wish).await }).await;
    match done {
        Ok(made) => {
            let name = made.account.name.to_string();
            seat.applied(&page_of(&name), "account-made", &[("name", &name)])
        }
        Err(error) => {
            let wrong = wrong_field(&error);
            let error = seat.why(error)?;
            seat.again(&FormPage { f: seat.frame("account-new"), of, form, servers, own_key, error, wrong })
        }
    }
}

pub(super) async fn ask(seat: Seat, Path(name): Path<String>) -> Answer {
    let account = seat.desk()?.view(MODULE)?.account(&name).await?.account;
    let form = edit_fields(&account, seat.zone());
    let page = edit_page(&seat, name, form, &account, (String::new(), ""));
    seat.page(&page)
}

fn edit_fields(account: &Account, zone: &TimeZone) -> Form {
    let mut form = fields(account, zone);
    form.set("psk", "keep".to_owned());
    if let ClientKey::Own(public) = &account.key {
        form.set("public_key", public.to_string());
    }
    form
}

fn edit_page(
    seat: &Seat,
    name: String,
    form: Form,
    account: &Account,
    (error, wrong): (String, &'static str),
) -> FormPage {
    let own_key = matches!(account.key, ClientKey::Own(_));
    FormPage { f: seat.frame("account-edit"), of: Some(name), form, servers: Vec::new(), own_key, error, wrong }
}

pub(super) async fn change(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    let old = desk.view(MODULE)?.account(&name).await?.account;
    let wish = read(&form, Some(&old), seat.zone())?;
    let (before, after) = difference(&edit_fields(&old, seat.zone()), &form, &NOTED[1..]);
    let change = Change::new("edit", &name).before(before).after(after);
    let who = name.clone();
    let done = desk.change(MODULE, change, move |app| async move { app.update_account(&who, wish).await }).await;
    match done {
        Ok(_) => seat.applied(&page_of(&name), "account-saved", &[("name", &name)]),
        Err(error) => {
            let wrong = wrong_field(&error);
            let error = seat.why(error)?;
            seat.again(&edit_page(&seat, name, form, &old, (error, wrong)))
        }
    }
}

/// What a form wishes. Of a new account, what is empty is made here; of an old one, what must not be empty is refused, and
/// an empty secret stays as it is.
fn read(form: &Form, old: Option<&Account>, zone: &TimeZone) -> Result<AccountWish, Failure> {
    let new = old.is_none();
    fn empty<T>(new: bool) -> Given<T> {
        if new { Given::Missing } else { Given::Wrong }
    }
    let name = |field: &str| if new { given(form, field, Given::Missing, parsed::<Name>) } else { Given::Missing };
    let mut wish = AccountWish {
        name: name("name"),
        username: name("username"),
        password: match form.text("password") {
            "" => Given::Missing,
            text => Password::new(text.to_owned()).map_or(Given::Wrong, Given::Is),
        },
        enabled: ticked(form, "enabled"),
        address: given(form, "address", empty(new), ipv4),
        address_ipv6: optional(form, "address_ipv6", ipv6),
        down: given(form, "down", empty(new), mbit),
        up: given(form, "up", empty(new), mbit),
        expires_at_ms: optional(form, "expires", |text| read_local_moment(text, zone)),
        quota_bytes: given(form, "quota", Given::Is(0), |text| read_amount(text, form.text("quota_unit"))),
        quota_period: given(form, "quota_period", Given::Is(QuotaPeriod::None), QuotaPeriod::parse),
        ..AccountWish::default()
    };
    if let Some(old) = old
        && old.expires_at_ms.is_some_and(|at| local_moment(at, zone) == form.trimmed("expires"))
    {
        // The field knows no milliseconds, nor which of an hour that comes twice.
        wish.expires_at_ms = Given::Missing;
    }
    let public = || given(form, "public_key", Given::Wrong, parsed);
    match old {
        None if form.text("key") == "own" => (wish.own_key, wish.public_key) = (Given::Is(true), public()),
        None => wish.private_key = given(form, "private_key", Given::Missing, parsed),
        Some(old)
            if form.trimmed("public_key").is_empty() || form.trimmed("public_key") == old.public_key.to_string() => {}
        Some(_) => (wish.own_key, wish.public_key) = (Given::Is(true), public()),
    }
    wish.preshared_key = match form.text("psk") {
        "none" => Given::Is(None),
        "new" => Given::Is(Some(secrets::random_preshared_key().map_err(|_| Failure::Broken)?)),
        "given" => given(form, "preshared_key", Given::Wrong, |text| parsed(text).map(Some)),
        _ => Given::Missing,
    };
    Ok(wish)
}
