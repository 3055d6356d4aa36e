//! No page of the panel shows a secret to whom it is not for, and no log holds one: asked of every route.

use std::{collections::BTreeSet, time::Duration};

use axum::http::{Method, StatusCode};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use doorward::{
    app::{
        desk::Module,
        hotspots::HotspotSpec,
        operators::Role,
        providers::ProviderWish,
        senders::{MailWish, SmsWish},
        vouchers::VoucherWish,
    },
    hotspot_settings::{MailTls, MethodSettings},
    http::panel::{self, Need, Route},
    secrets::AccessHash,
};
use doorward_policy::{account::ClientKey, guest::Method as Login};

use crate::{
    browser::{Browser, Filled, PASSWORD, form, plain},
    databases::Database,
    gateway::Gateway,
    guests::{device, hotspot, person, voucher},
    hotspot_log::Log,
};

both_engines!(no_page_shows_what_it_must_not, nothing_that_is_typed_is_logged);

/// Something that must not be seen, and the part of the panel that shows it to those who may; `None`: none does.
struct Secret {
    what: &'static str,
    text: String,
    shown_by: Option<Module>,
}

/// A gateway that has a secret of every kind.
async fn full(gateway: &Gateway) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let mut add = |what, text: &str, shown_by| {
        assert!(text.len() >= 8, "{what}: {text:?} could be there by accident");
        secrets.push(Secret { what, text: text.to_owned(), shown_by });
    };
    gateway.server_and_account().await;
    let preshared = [7_u8; 32];
    gateway.put("/account/peer_1", &form(&[("preshared_key", &BASE64_STANDARD.encode(preshared))])).await;
    let server = gateway.app.server("Default_1").await.unwrap();
    add("private key of a server", &server.private_key.expose_base64(), None);
    let account = gateway.store.account_by_name("peer_1").await.unwrap().unwrap();
    add("password of an account", account.password.expose(), Some(Module::Accounts));
    let ClientKey::Kept(key) = &account.key else { panic!("the gateway keeps the key") };
    add("private key of an account", &key.expose_base64(), Some(Module::Accounts));
    add("preshared key", &account.preshared_key.unwrap().expose_base64(), Some(Module::Accounts));
    let link = gateway.app.create_link("peer_1", 1, None).await.unwrap();
    add("key of a link", link.address.rsplit('/').next().unwrap(), None);
    add("access hash", gateway.hash.expose(), None);

    let lobby = hotspot(gateway).await;
    let mut settings = lobby.settings.as_ref().clone();
    let mut free = MethodSettings::new(Login::Free);
    free.password = "free-Canary-1".to_owned();
    add("password of the free login", &free.password, Some(Module::Hotspots));
    settings.methods.push(free);
    gateway.app.edit_hotspot("lobby", move |spec| Ok(HotspotSpec { settings: settings.into(), ..spec })).await.unwrap();
    let provider = ProviderWish {
        enabled: true,
        label: "Facebook".to_owned(),
        issuer: "https://login.example.com".to_owned(),
        authorize_url: String::new(),
        token_url: String::new(),
        userinfo_url: String::new(),
        client_id: "client".to_owned(),
        client_secret: Some("provider-Canary-2".to_owned()),
        scopes: "openid".to_owned(),
        garden: Vec::new(),
    };
    gateway.app.set_provider("lobby", provider).await.unwrap();
    add("secret of a provider", "provider-Canary-2", None);
    voucher(gateway, VoucherWish::default()).await;
    add("passcode", "tulip-4402", Some(Module::Vouchers));
    gateway.app.log_in_with_voucher(&device(&lobby, 1), "guest107", "tulip-4402").await.unwrap();
    gateway.app.log_in_person(&device(&lobby, 2), person("ann@example.com")).await.unwrap();
    add("key of the hotspot API", gateway.app.api_key().expose(), Some(Module::ApiAccess));
    let mail = MailWish {
        host: "mail.example.com".to_owned(),
        port: 465,
        tls: MailTls::Tls,
        username: "wifi".to_owned(),
        password: Some("mail-Canary-3".to_owned()),
        from: "wifi@example.com".to_owned(),
    };
    gateway.app.set_mail(mail).await.unwrap();
    add("password of the mail server", "mail-Canary-3", None);
    let sms = SmsWish {
        method: "POST".to_owned(),
        url: Some("https://sms.example.com/send?key=url-Canary-4&to={number}&text={text}".to_owned()),
        headers: Some([("x-key".to_owned(), "header-Canary-5".to_owned())].into()),
        body: Some("key=body-Canary-6".to_owned()),
        country_code: String::new(),
    };
    gateway.app.set_sms(sms).await.unwrap();
    for text in ["url-Canary-4", "header-Canary-5", "body-Canary-6"] {
        add("key of the SMS gateway", text, None);
    }
    add("password of an operator", PASSWORD, None);
    secrets
}

/// A path of a route with names of what is there.
pub fn real(route: &Route, person: &str) -> String {
    let name = match route.path.split('/').nth(1).unwrap() {
        "servers" => "Default_1",
        "accounts" => "peer_1",
        "voucher" => "guest107",
        "hotspots" | "settings" => "lobby",
        "operators" => "eve",
        "guests" => "email",
        "person" => person,
        _ => "1",
    };
    let part = |part: &'static str| if part.starts_with('{') { name.to_owned() } else { part.to_owned() };
    route.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The number of a person, as the list of guests has it.
pub async fn person_of(root: &Browser<'_>) -> String {
    let list = root.get("/guests/email").await.text;
    list.split("href=\"/person/").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

async fn no_page_shows_what_it_must_not(database: Database) {
    let log = Log::start();
    let gateway = Gateway::start(database).await;
    let setup = gateway.app.begin_setup().await.unwrap().unwrap();
    let mut secrets = full(&gateway).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let viewer = Browser::new(&gateway, "eve", Role::Viewer).await;
    let cookie = root.cookie.split_once('=').unwrap().1.to_owned();
    secrets.push(Secret { what: "session", text: cookie, shown_by: None });
    secrets.push(Secret { what: "token of the setup page", text: setup.clone(), shown_by: None });
    let person = person_of(&root).await;

    let mut seen = BTreeSet::new();
    let mut walked = 0;
    for route in panel::routes(gateway.app.clone()).iter().filter(|route| route.method == Method::GET) {
        let mut paths = vec![real(route, &person)];
        match route.path {
            // Events never end; what they hold is numbers. Files are the same for all.
            "/events" | "/assets/{file}" => continue,
            "/vouchers/+print" => paths = vec!["/vouchers/+print?name=guest107".to_owned()],
            "/vouchers/print.pdf" => paths = vec!["/vouchers/print.pdf?name=guest107".to_owned()],
            "/live" => paths.push("/live?show=hosts".to_owned()),
            // Sealed: nothing of it can be read.
            "/settings/backups/file/{name}" => {
                let made = gateway.app.make_backup(true).await.unwrap();
                paths = vec![format!("/settings/backups/file/{}", made.name)];
            }
            _ => {}
        }
        let own = match route.need {
            Need::To(module, _) => Some(module),
            Need::Nothing => None,
        };
        for path in paths {
            let page = root.get(&path).await;
            let good = page.status == StatusCode::OK || page.status == StatusCode::SEE_OTHER;
            assert!(good || ["/setup"].contains(&path.as_str()), "{path}: {page:?}");
            walked += 1;
            for secret in &secrets {
                if plain(&page.text).contains(&secret.text) {
                    let allowed = secret.shown_by.is_some() && secret.shown_by == own;
                    assert!(allowed, "{path} shows an admin the {}", secret.what);
                    seen.insert(secret.what);
                }
            }
            let page = viewer.get(&path).await;
            assert_eq!(page.status == StatusCode::FORBIDDEN, !may(route.need), "{path}: {}", page.status);
            for secret in &secrets {
                assert!(!plain(&page.text).contains(&secret.text), "{path} shows a viewer the {}", secret.what);
            }
        }
    }
    assert!(walked > 60, "{walked}");
    // What may be shown was: these texts are what pages would hold.
    let shown: BTreeSet<_> = secrets.iter().filter(|secret| secret.shown_by.is_some()).map(|s| s.what).collect();
    assert_eq!(seen, shown);
    let text = log.text();
    assert!(text.contains("refused by role"), "the log was read");
    // That token is for whoever reads the log.
    for secret in secrets.iter().filter(|secret| secret.text != setup) {
        assert!(!text.contains(&secret.text), "the {} stands in the log", secret.what);
    }
}

fn may(need: Need) -> bool {
    match need {
        Need::Nothing => true,
        Need::To(module, operation) => doorward::app::desk::allows(Role::Viewer, module, operation),
    }
}

/// What is typed where secrets are typed.
const TYPED: &str = "Typed-Canary-7-battery";

async fn nothing_that_is_typed_is_logged(database: Database) {
    let log = Log::start();
    let gateway = Gateway::start(database).await;
    let secrets = full(&gateway).await;
    let hash = AccessHash::generate().unwrap();
    gateway.add_hash("other", &hash, &["192.0.2.1"]).await;
    let mut root = Browser::new(&gateway, "root", Role::Admin).await;
    Browser::new(&gateway, "eve", Role::Viewer).await;
    let person = person_of(&root).await;
    let routes = panel::routes(gateway.app.clone());

    // Forms as pages show them, with what is typed.
    let mut forms = Vec::new();
    for route in routes.iter().filter(|route| route.method == Method::GET && !route.path.starts_with("/assets")) {
        if !matches!(route.path, "/events") {
            forms.extend(Filled::all(&root.get(&real(route, &person)).await.text));
        }
    }
    let mut typed = 0;
    let mut changes: Vec<_> = routes.iter().filter(|route| route.method == Method::POST).collect();
    // What destroys comes last.
    changes.sort_by_key(|route| ["delete", "erase", "off", "logout"].iter().any(|end| route.path.ends_with(end)));
    for route in changes {
        let path = real(route, &person);
        let of_page = forms.iter().filter(|(action, _)| *action == path).map(|(_, form)| form.clone());
        let mut of_page: Vec<Filled> = of_page.collect();
        if of_page.is_empty() {
            of_page.push(Filled::default());
        }
        for form in of_page {
            let names = form.secrets().into_iter().chain(["password", "passcode", "secret", "token", "code", "body"]);
            let form = names.fold(form.clone(), |form, name| form.with(name, TYPED));
            typed += 1;
            let form = form.with("headers", &format!("x-key: {TYPED}"));
            let answer = tokio::time::timeout(Duration::from_secs(60), root.post_form(&path, &form)).await.unwrap();
            assert!(!answer.status.is_server_error(), "{path}: {answer:?}");
            for secret in &secrets {
                let own = matches!(route.need, Need::To(module, _) if secret.shown_by == Some(module));
                assert!(own || !plain(&answer.text).contains(&secret.text), "{path} shows the {}", secret.what);
            }
        }
        if root.get("/profile").await.status != StatusCode::OK {
            root = Browser::sign_in(&gateway, "root", "192.0.2.10").await;
        }
    }
    assert!(typed > 60, "{typed}");
    for path in ["/audit?size=250", "/audit.csv", "/logins", "/logins.csv"] {
        let page = root.get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.text.contains(TYPED), "{path} holds what was typed");
    }
    let text = log.text();
    assert!(text.len() > 10_000, "the log was read");
    assert!(!text.contains(TYPED), "what was typed stands in the log");
    for secret in secrets {
        assert!(!text.contains(&secret.text), "the {} stands in the log", secret.what);
    }
}
