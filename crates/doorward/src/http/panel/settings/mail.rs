//! The mail server that takes our mail, with a test.

use askama::Template;

use super::{Answer, Change, Failure, Form, Frame, MODULE, Routes, Seat, TABS, secret, typed};
use crate::{
    app::senders::MailWish,
    hotspot_settings::{Mail, MailTls},
};

pub(super) const PAGE: &str = "/settings/mail";

/// How a connection is protected, and its word in the form.
const PROTECTIONS: [(MailTls, &str); 3] =
    [(MailTls::Starttls, "starttls"), (MailTls::Tls, "tls"), (MailTls::None, "none")];

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, show).change(PAGE, MODULE, save).change("/settings/mail/off", MODULE, switch_off).change(
        "/settings/mail/test",
        MODULE,
        test,
    )
}

#[derive(Template)]
#[template(path = "panel/settings_mail.html")]
struct Page {
    f: Frame,
    form: MailForm,
    /// Mail is set up.
    stored: bool,
    has_password: bool,
    error: String,
    test_to: String,
    test_error: String,
}

/// As it was typed, without the password.
struct MailForm {
    host: String,
    port: String,
    tls: MailTls,
    username: String,
    from: String,
}

impl MailForm {
    fn of(mail: Option<&Mail>) -> Self {
        let text = |field: fn(&Mail) -> &String| mail.map(field).cloned().unwrap_or_default();
        Self {
            host: text(|mail| &mail.host),
            port: mail.map_or(587, |mail| mail.port).to_string(),
            tls: mail.map_or(MailTls::Starttls, |mail| mail.tls),
            username: text(|mail| &mail.username),
            from: text(|mail| &mail.from),
        }
    }

    fn read(form: &Form) -> Result<Self, Failure> {
        let tls = PROTECTIONS.into_iter().find(|(_, word)| *word == form.text("tls")).map(|(tls, _)| tls);
        Ok(Self {
            host: typed(form, "host"),
            port: typed(form, "port"),
            tls: tls.ok_or(Failure::BadForm)?,
            username: typed(form, "username"),
            from: typed(form, "from"),
        })
    }
}

fn page(seat: &Seat, form: Option<MailForm>, error: String, test: (String, String)) -> Result<Page, Failure> {
    let settings = seat.desk()?.view(MODULE)?.guest_settings();
    let mail = settings.mail.as_ref();
    let form = form.unwrap_or_else(|| MailForm::of(mail));
    let has_password = mail.is_some_and(|mail| !mail.password.is_empty());
    let (test_to, test_error) = test;
    Ok(Page { f: seat.frame("menu-settings"), form, stored: mail.is_some(), has_password, error, test_to, test_error })
}

async fn show(seat: Seat) -> Answer {
    seat.page(&page(&seat, None, String::new(), Default::default())?)
}

async fn save(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let typed = MailForm::read(&form)?;
    let wish = MailWish {
        host: typed.host.clone(),
        // What is no port is refused as 0 is.
        port: typed.port.parse().unwrap_or(0),
        tls: typed.tls,
        username: typed.username.clone(),
        password: secret(&form, "password"),
        from: typed.from.clone(),
    };
    let before = desk.view(MODULE)?.guest_settings().mail.as_ref().map(|mail| words(&MailForm::of(Some(mail))));
    let change = Change::new("edit", "mail").before(before.unwrap_or_default()).after(words(&typed));
    match desk.change(MODULE, change, move |app| async move { app.set_mail(wish).await }).await {
        Ok(()) => seat.done(PAGE, "settings-saved", &[]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, Some(typed), error, Default::default())?)
        }
    }
}

async fn switch_off(seat: Seat) -> Answer {
    let change = Change::new("switch_off", "mail");
    let done = seat.desk()?.change(MODULE, change, |app| async move {
        app.edit_guest_settings(|settings| {
            settings.mail = None;
            Ok(())
        })
        .await
    });
    done.await?;
    seat.done(PAGE, "settings-mail-is-off", &[])
}

/// Waits for what the mail server says, so that it can be read here and not in a log.
async fn test(seat: Seat, form: Form) -> Answer {
    let (to, lang) = (typed(&form, "to"), seat.lang);
    let (change, recipient) = (Change::new("test", "mail").after(&to), to.clone());
    let work = move |app: crate::app::App| async move { app.send_test_mail(&recipient, lang).await };
    match seat.desk()?.change(MODULE, change, work).await {
        Ok(()) => seat.done(PAGE, "settings-test-sent", &[("to", &to)]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, None, String::new(), (to, error))?)
        }
    }
}

fn words(form: &MailForm) -> String {
    let tls = PROTECTIONS.into_iter().find(|(tls, _)| *tls == form.tls).map_or("", |(_, word)| word);
    format!("{}:{} {tls}, user {:?}, from {}", form.host, form.port, form.username, form.from)
}
