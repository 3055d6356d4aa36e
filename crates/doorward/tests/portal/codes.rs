//! Login by e-mail, by mobile phone, and by the button: codes, real mail and SMS, consent and records.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use doorward::{
    hotspot_settings::{Field, GuestSettings, HotspotSettings, Lang, Mail, MailTls, MethodSettings, Sms, Texts},
    outbox,
};
use doorward_policy::guest::Method;
use tempfile::TempDir;

use crate::{
    databases::Database,
    house::{Guest, House, eventually},
    servers::Server,
    sms, smtp,
};

both_engines!(
    a_code_by_mail_with_a_while_to_fetch_it,
    an_address_without_a_code,
    codes_are_guarded,
    a_code_by_sms,
    the_button,
    what_cannot_be_sent_is_tried_again,
);

fn mail(server: SocketAddr) -> Mail {
    Mail {
        host: server.ip().to_string(),
        port: server.port(),
        tls: MailTls::None,
        username: String::new(),
        password: String::new(),
        from: "Hôtel <wifi@hotel.example>".to_owned(),
    }
}

fn by_mail(settings: &mut HotspotSettings, code: bool) {
    let fields = [("Name", false), ("Room", true)];
    let fields = fields.map(|(label, required)| Field { label: label.to_owned(), required }).to_vec();
    settings.methods = vec![MethodSettings { code, fields, ..MethodSettings::new(Method::Email) }];
    let marketing = "Send me news.".to_owned();
    settings.texts.insert(Lang::En, Texts { terms: "Behave.".to_owned(), marketing, ..Texts::default() });
    settings.terms_version = "2030-01".to_owned();
}

/// A house that can send mail, and the folder where it arrives.
async fn house_with_mail(database: Database) -> (House, Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|listen| smtp::command(listen, &folder.path().join("mails")));
    let house = House::with(database, |settings, guests| {
        by_mail(settings, true);
        guests.mail = Some(mail(server.address));
    })
    .await;
    outbox::spawn(house.app.clone());
    (house, server, folder)
}

async fn nth_mail(folder: &Path, n: usize) -> String {
    let folder = folder.join("mails");
    eventually("a mail", async || smtp::mails(&folder).get(n).cloned()).await
}

/// Fills in the form of a mail login.
async fn ask_for_code(guest: &Guest<'_>, address: &str) -> crate::house::Page {
    let form = guest.get("/?other=1").await.form("/login/email");
    guest.press(&form.with("email", address).with("field1", "12").with("terms", "1").with("marketing", "1")).await
}

async fn a_code_by_mail_with_a_while_to_fetch_it(database: Database) {
    let (house, _server, folder) = house_with_mail(database).await;
    let guest = house.guest(7);
    let page = ask_for_code(&guest, "Guest@Example.com").await;
    assert_eq!(page.is(303).header("location"), "/code?lang=en");
    assert!(guest.online(), "for a while");
    let page = guest.get("/code").await;
    page.is(200).shows("We sent a code to guest@example.com").shows("online for a few minutes").shows("one-time-code");
    guest.get("/").await.shows("A code is waiting to be entered.");
    let sent = nth_mail(folder.path(), 0).await;
    assert!(sent.contains("guest@example.com") && sent.contains("Auto-Submitted: auto-generated"), "{sent}");
    let code = smtp::code(&sent).unwrap();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    guest.press(&page.form("/code").with("code", wrong)).await.is(403).shows("This code is not right.").hides(&code);
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let status = guest.press_and_follow(&page.form("/code").with("code", &spaced)).await;
    status.shows("You are online").shows("guest@example.com").hides("A code is waiting");
    // Once.
    guest.press(&page.form("/code").with("code", &code)).await.is(403).shows("not valid any more");
    let people = house.store.guest_page(Method::Email, None, 0, 10).await.unwrap();
    let [person] = people.as_slice() else { panic!("{people:?}") };
    assert_eq!(
        (person.email.as_deref(), person.verified, person.marketing, person.visits, person.last_mac.as_str()),
        (Some("guest@example.com"), true, true, 1, "02:00:00:00:30:07")
    );
    assert_eq!((person.comments.as_str(), person.comments1.as_str()), ("", "12"));
    let logins: Vec<_> = house.logins().await.into_iter().map(|(_, login, reason)| (login, reason)).collect();
    assert!(logins.contains(&("guest@example.com".to_owned(), Some("wrong code".to_owned()))), "{logins:?}");
    let state = house.app.outbox_state().await.unwrap();
    assert_eq!((state.waiting, state.failed), (0, 0), "sent messages are forgotten");
}

async fn an_address_without_a_code(database: Database) {
    let house = House::with(database, |settings, _| by_mail(settings, false)).await;
    let guest = house.guest(7);
    let page = guest.get("/").await;
    page.shows("Room").shows("Send me news.").hides(" checked");
    let form = page.form("/login/email");
    let page = guest.press(&form.clone().with("email", "nobody").with("field0", "<b>")).await;
    page.is(422).shows("valid e-mail address").shows("Please fill this in.").shows("accept the terms");
    page.shows("value=\"nobody\"").shows("value=\"&#60;b&#62;\"");
    assert!(!guest.online());
    let form = form.with("email", "a@example.com").with("field0", "Ann").with("field1", "9").with("terms", "1");
    guest.press_and_follow(&form).await.shows("You are online");
    let people = house.store.guest_page(Method::Email, None, 0, 10).await.unwrap();
    assert_eq!((people[0].verified, people[0].marketing, people[0].comments.as_str()), (false, false, "Ann"));
}

async fn codes_are_guarded(database: Database) {
    let (house, _server, folder) = house_with_mail(database).await;
    let guest = house.guest(7);
    ask_for_code(&guest, "guest@example.com").await.is(303);
    let code = smtp::code(&nth_mail(folder.path(), 0).await).unwrap();
    // Another device cannot use it.
    let other = house.guest(8);
    let form = other.get("/").await.form("/login/email");
    let stolen = format!("token={}&code={code}", form.value("token").unwrap());
    other.post("/code", &stolen).await.is(403).shows("not valid any more");
    assert!(!other.online());
    // Five tries, whoever is faster.
    let form = guest.get("/code").await.form("/code");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        guest.press(&form.clone().with("code", wrong)).await.is(403);
    }
    let page = guest.press(&form.clone().with("code", &code)).await;
    assert!(matches!(page.status, 403 | 429), "{page:?}");
    assert!(house.store.guest_page(Method::Email, None, 0, 10).await.unwrap().is_empty());
    // Three mails an hour to an address, whoever asks.
    ask_for_code(&house.guest(9), "GUEST@example.com").await.is(303);
    ask_for_code(&house.guest(10), "guest@example.com").await.is(303);
    let page = ask_for_code(&house.guest(11), "guest@example.com").await;
    page.is(429).shows("Please wait");
    assert!(!house.guest(11).online(), "no while online without a mail");
    ask_for_code(&house.guest(11), "another@example.com").await.is(303);
}

async fn a_code_by_sms(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let orders = folder.path().join("orders");
    let server = Server::start(|listen| sms::command(listen, &orders, 202));
    let set = |settings: &mut HotspotSettings, guests: &mut GuestSettings| {
        settings.methods = vec![MethodSettings::new(Method::Mobile)];
        guests.sms = Some(Sms {
            method: "POST".to_owned(),
            url: format!("http://{}/send?to={{number}}", server.address),
            headers: BTreeMap::from([("X-Key".to_owned(), "k & k".to_owned())]),
            body: r#"{"to": "+{number}", "text": "{text}"}"#.to_owned(),
            country_code: "49".to_owned(),
        });
    };
    let house = House::with(database, set).await;
    outbox::spawn(house.app.clone());
    let guest = house.guest(7);
    let form = guest.get("/").await.form("/login/mobile");
    guest.press(&form.clone().with("mobile", "12")).await.is(422).shows("with its country code");
    let page = guest.press(&form.with("mobile", "0151 234 567 89")).await;
    page.is(303);
    assert!(!guest.online(), "SMS need no internet");
    let order = eventually("an SMS", async || sms::orders(&orders).pop()).await;
    assert_eq!((order["method"].as_str(), order["path"].as_str()), (Some("POST"), Some("/send?to=4915123456789")));
    assert_eq!(order["headers"]["x-key"].as_str().or(order["headers"]["X-Key"].as_str()), Some("k & k"));
    let body: serde_json::Value = serde_json::from_str(order["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["to"], "+4915123456789");
    let code = smtp::code(body["text"].as_str().unwrap()).unwrap();
    let page = guest.get("/").await;
    assert_eq!(page.is(303).header("location"), "/code?lang=en", "a code is waited for");
    let form = guest.get("/code").await.shows("+4915123456789").form("/code");
    guest.press_and_follow(&form.with("code", &code)).await.shows("You are online").shows("+4915123456789");
    let people = house.store.guest_page(Method::Mobile, None, 0, 10).await.unwrap();
    assert_eq!((people[0].mobile.as_deref(), people[0].verified), (Some("4915123456789"), true));
}

async fn the_button(database: Database) {
    let house = House::with(database, |settings, _| {
        let fields = vec![Field { label: "How do you like it?".to_owned(), required: false }];
        let password = "Sommer 2030".to_owned();
        settings.methods = vec![MethodSettings { password, fields, ..MethodSettings::new(Method::Free) }];
    })
    .await;
    let guest = house.guest(7);
    let page = guest.get("/").await;
    page.shows("type=\"password\"").shows("How do you like it?").hides("Sommer");
    let form = page.form("/login/free").with("field0", "Very much");
    guest.press(&form).await.is(422).shows("Please fill this in.");
    let page = guest.press(&form.clone().with("password", "Winter")).await;
    page.is(403).shows("This password is not right.").shows("Very much").hides("Winter");
    guest.press_and_follow(&form.with("password", "Sommer 2030")).await.shows("You are online").hides("02:00");
    let people = house.store.guest_page(Method::Free, None, 0, 10).await.unwrap();
    assert_eq!((people[0].comments.as_str(), people[0].last_mac.as_str()), ("Very much", "02:00:00:00:30:07"));
    let reasons: Vec<_> = house.logins().await.into_iter().map(|(_, login, reason)| (login, reason)).collect();
    let mac = || "02:00:00:00:30:07".to_owned();
    assert_eq!(reasons, [(mac(), None), (mac(), Some("wrong password".to_owned()))]);
}

async fn what_cannot_be_sent_is_tried_again(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let orders = folder.path().join("orders");
    let set = |address: SocketAddr| Sms {
        method: "GET".to_owned(),
        url: format!("http://{address}/?n={{number}}&t={{text}}"),
        headers: BTreeMap::new(),
        body: String::new(),
        country_code: String::new(),
    };
    let broken = Server::start(|listen| sms::command(listen, &folder.path().join("broken"), 500));
    let house = House::with(database, |settings, guests| {
        settings.methods = vec![MethodSettings::new(Method::Mobile)];
        guests.sms = Some(set(broken.address));
    })
    .await;
    outbox::spawn(house.app.clone());
    let guest = house.guest(7);
    let form = guest.get("/").await.form("/login/mobile");
    guest.press(&form.with("mobile", "+49 151 23456789")).await.is(303);
    let error = eventually("an error", async || house.app.outbox_state().await.unwrap().errors.pop()).await;
    assert_eq!(error, "the SMS gateway answered with status 500");
    let good = Server::start(|listen| sms::command(listen, &orders, 200));
    let settings = GuestSettings { sms: Some(set(good.address)), ..GuestSettings::default() };
    house.app.set_guest_settings(settings).await.unwrap();
    let order = eventually("an SMS", async || sms::orders(&orders).pop()).await;
    assert!(order["path"].as_str().unwrap().starts_with("/?n=4915123456789&t="), "{order}");
    eventually("an empty outbox", async || (house.app.outbox_state().await.unwrap().waiting == 0).then_some(())).await;
}
