//! System users: who may sign in, and what they may do.

use askama::Template;
use axum::extract::Path;

use super::{
    form::Form,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::app::{
    desk::{Change, Module},
    operators::{Operator, Role},
};

const MODULE: Module = Module::Operators;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view("/operators", MODULE, list)
        .form("/operators/+new", MODULE, ask_new)
        .change("/operators/+new", MODULE, create)
        .form("/operators/{name}", MODULE, show)
        .change("/operators/{name}", MODULE, edit)
        .change("/operators/{name}/password", MODULE, set_password)
        .change("/operators/{name}/totp-off", MODULE, totp_off)
        .change("/operators/{name}/passkeys-off", MODULE, passkeys_off)
        .change("/operators/{name}/sessions", MODULE, end_sessions)
        .change("/operators/{name}/delete", MODULE, delete)
}

#[derive(Template)]
#[template(path = "panel/operators.html")]
struct ListPage {
    f: Frame,
    operators: Vec<Operator>,
}

async fn list(seat: Seat) -> Answer {
    let operators = seat.desk()?.view(MODULE)?.operators().await?;
    seat.page(&ListPage { f: seat.frame("menu-operators"), operators })
}

#[derive(Template)]
#[template(path = "panel/operator_new.html")]
struct NewPage {
    f: Frame,
    name: String,
    role: Role,
    error: String,
}

async fn ask_new(seat: Seat) -> Answer {
    let (name, error) = (String::new(), String::new());
    seat.page(&NewPage { f: seat.frame("operator-new"), name, role: Role::Operator, error })
}

async fn create(seat: Seat, form: Form) -> Answer {
    let (name, role) = (form.trimmed("name").to_owned(), role(&form)?);
    let (password, again) = (form.text("password").to_owned(), form.text("again"));
    let error = match password == again {
        false => seat.t("error-passwords-differ"),
        true => {
            let change = Change::new("create", &name).after(role.as_str());
            let new = name.clone();
            let done = seat
                .desk()?
                .change(MODULE, change, move |app| async move { app.create_operator(&new, role, &password).await })
                .await;
            match done {
                Ok(()) => return seat.done("/operators", "operator-made", &[("name", &name)]),
                Err(error) => seat.why(error)?,
            }
        }
    };
    seat.again(&NewPage { f: seat.frame("operator-new"), name, role, error })
}

#[derive(Template)]
#[template(path = "panel/operator.html")]
struct ShowPage {
    f: Frame,
    operator: Operator,
    sessions: usize,
    passkeys: usize,
    /// It is who reads the page.
    own: bool,
}

async fn show(seat: Seat, Path(name): Path<String>) -> Answer {
    let desk = seat.desk()?;
    let app = desk.view(MODULE)?;
    let operator = app.operator(&name).await?;
    let sessions = app.sessions_of(operator.id).await?.len();
    let passkeys = app.passkeys_of(operator.id).await?.len();
    let own = operator.id == desk.id();
    seat.page(&ShowPage { f: seat.frame("menu-operators"), operator, sessions, passkeys, own })
}

async fn edit(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    let (role, enabled) = (role(&form)?, form.has("enabled"));
    let before = desk.view(MODULE)?.operator(&name).await?;
    let words =
        |role: Role, enabled: bool| format!("{} {}", role.as_str(), if enabled { "enabled" } else { "disabled" });
    let change = Change::new("edit", &name).before(words(before.role, before.enabled)).after(words(role, enabled));
    let (by, who) = (desk.id(), name.clone());
    let done = desk.change(MODULE, change, move |app| async move { app.edit_operator(by, &who, role, enabled).await });
    match done.await {
        Ok(()) => seat.done("/operators", "operator-saved", &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

async fn set_password(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let (password, who) = (form.text("password").to_owned(), name.clone());
    let change = Change::new("password", &name);
    let done = seat
        .desk()?
        .change(MODULE, change, move |app| async move { app.reset_operator_password(&who, &password).await });
    match done.await {
        Ok(()) => seat.done(&page_of(&name), "operator-password-set", &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

async fn totp_off(seat: Seat, Path(name): Path<String>) -> Answer {
    let (change, who) = (Change::new("totp_off", &name), name.clone());
    let done = seat.desk()?.change(MODULE, change, move |app| async move { app.remove_totp(&who).await }).await;
    match done {
        Ok(()) => seat.done(&page_of(&name), "operator-totp-removed", &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

async fn passkeys_off(seat: Seat, Path(name): Path<String>) -> Answer {
    let (change, who) = (Change::new("passkey_off", &name), name.clone());
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        let operator = app.operator(&who).await?;
        app.remove_passkeys(operator.id, None).await
    });
    match done.await {
        Ok(_) => seat.done(&page_of(&name), "operator-passkeys-removed", &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

async fn end_sessions(seat: Seat, Path(name): Path<String>) -> Answer {
    let desk = seat.desk()?;
    let (change, own, who) = (Change::new("end_sessions", &name), desk.session(), name.clone());
    let done = desk.change(MODULE, change, move |app| async move {
        let operator = app.operator(&who).await?;
        app.end_panel_sessions(operator.id, None, Some(own)).await
    });
    match done.await {
        Ok(_) => seat.done(&page_of(&name), "operator-sessions-ended", &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

async fn delete(seat: Seat, Path(name): Path<String>) -> Answer {
    let desk = seat.desk()?;
    let role = desk.view(MODULE)?.operator(&name).await?.role;
    let (change, by, who) = (Change::new("delete", &name).before(role.as_str()), desk.id(), name.clone());
    let done = desk.change(MODULE, change, move |app| async move { app.delete_operator(by, &who).await }).await;
    match done {
        Ok(()) => seat.done("/operators", "operator-deleted", &[("name", &name)]),
        Err(error) => seat.refused(&page_of(&name), error),
    }
}

fn page_of(name: &str) -> String {
    format!("/operators/{}", super::guard::escaped(name))
}

fn role(form: &Form) -> Result<Role, Failure> {
    Role::parse(form.text("role")).ok_or(Failure::BadForm)
}
