//! The panel's VPN screens: accounts, servers, who is online, one-time links.

use axum::http::StatusCode;
use doorward::{
    app::{operators::Role, usage::DayUsage},
    clock::now_ms,
    store::UsageDelta,
};
use doorward_policy::{
    account::Account,
    item::{Counter, PeerId},
    key::PublicKey,
    observed::PeerStats,
};

use crate::{
    browser::{Browser, form},
    databases::Database,
    gateway::{Answer, Gateway},
};

both_engines!(
    an_account_is_made_of_what_is_proposed,
    a_bad_account_form_comes_back_whole,
    an_account_is_changed_suspended_and_deleted,
    secrets_stand_where_they_may,
    accounts_are_listed_and_exported,
    many_accounts_are_changed_at_once,
    who_is_online_is_listed,
    traffic_is_told_by_month,
    a_server_is_made_changed_and_deleted,
    a_bad_server_form_comes_back_whole,
    the_kernel_says_what_is_in_effect,
    ports_are_forwarded,
    links_are_made_listed_and_revoked,
    the_page_of_a_link_is_changed_and_previewed,
    roles_are_asked_for,
    hostile_texts_are_text,
);

/// The value of the field of that name on a page.
fn value(page: &str, name: &str) -> String {
    let field = page.split(&format!(" name=\"{name}\"")).nth(1).unwrap_or_else(|| panic!("no field {name}: {page}"));
    let tag = field.split('>').next().unwrap();
    let text = tag.split(" value=\"").nth(1).unwrap_or_else(|| panic!("no value in {tag}"));
    text.split('"').next().unwrap().replace("&#43;", "+").replace("&#x2b;", "+")
}

/// All that a browser would send of a form's fields of these names.
fn fields<'a>(page: &str, names: &[&'a str]) -> Vec<(&'a str, String)> {
    names.iter().map(|name| (*name, value(page, name))).collect()
}

const ACCOUNT: &[&str] =
    &["name", "username", "password", "address", "address_ipv6", "down", "up", "expires", "quota", "private_key"];
const SERVER: &[&str] = &[
    "name",
    "interface",
    "listen_port",
    "external_ip",
    "endpoint",
    "address",
    "address_ipv6",
    "dns_1",
    "dns_2",
    "dns_1_ipv6",
    "dns_2_ipv6",
    "down",
    "up",
    "mtu",
    "keep_alive",
    "allowed_ips",
    "private_key",
];

/// A new account of a server as the form proposes it.
async fn proposed(browser: &Browser<'_>, server: &str) -> Vec<(&'static str, String)> {
    let page = browser.get(&format!("/accounts/+new?server={server}")).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    let mut all = fields(&page.text, ACCOUNT);
    all.extend([("server", server.to_owned()), ("enabled", "1".to_owned()), ("quota_unit", "GiB".to_owned())]);
    all.extend([("quota_period", "none".to_owned()), ("key", "kept".to_owned()), ("psk", "none".to_owned())]);
    all
}

fn put(form: &mut Vec<(&'static str, String)>, name: &'static str, value: &str) {
    form.retain(|(found, _)| *found != name);
    form.push((name, value.to_owned()));
}

fn pairs<'a>(form: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    form.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

async fn account(gateway: &Gateway, name: &str) -> Account {
    gateway.store.account_by_name(name).await.unwrap().unwrap()
}

#[track_caller]
fn refused(answer: &Answer, text: &str) {
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
    assert!(answer.text.contains(text), "no {text:?} in {}", answer.text);
}

async fn an_account_is_made_of_what_is_proposed(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Operator).await;
    let page = anna.get("/accounts").await.text;
    assert!(page.contains("Create a server first") && page.contains("href=\"/servers/+new\""), "{page}");
    assert!(anna.get("/accounts/+new").await.text.contains("Create a server first"));
    gateway.server("b_download=20&b_upload=10").await;
    gateway.server("ipv6=1").await;
    assert!(anna.get("/accounts").await.text.contains("Create the first one"));
    let first = proposed(&anna, "Default_1").await;
    let get = |form: &[(&str, String)], name: &str| form.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    assert_eq!((get(&first, "name"), get(&first, "username")), ("peer_1".to_owned(), "user_1".to_owned()));
    assert_eq!((get(&first, "down"), get(&first, "up")), ("20".to_owned(), "10".to_owned()));
    assert_eq!((get(&first, "private_key").len(), get(&first, "address_ipv6").as_str()), (44, ""));
    let page = anna.done("/accounts/+new", &pairs(&first)).await.text;
    assert!(page.contains("peer_1 was created. It is in effect."), "{page}");
    let made = account(&gateway, "peer_1").await;
    assert_eq!(made.address.to_string(), get(&first, "address"));
    assert_eq!(made.password.expose(), get(&first, "password"));
    assert!(made.enabled && made.quota.is_none() && made.expires_at_ms.is_none() && made.preshared_key.is_none());
    // The next one gets other values, and those of its server.
    let mut second = proposed(&anna, "Default_2").await;
    assert_eq!(get(&second, "name"), "peer_2");
    assert!(!get(&second, "address_ipv6").is_empty());
    for (name, text) in
        [("expires", "2031-05-01T12:30:00"), ("quota", "1,5"), ("quota_period", "month"), ("psk", "new"), ("down", "0")]
    {
        put(&mut second, name, text);
    }
    second.retain(|(name, _)| *name != "enabled");
    anna.done("/accounts/+new", &pairs(&second)).await;
    let made = account(&gateway, "peer_2").await;
    assert!(!made.enabled && made.preshared_key.is_some());
    assert_eq!(made.quota.map(|q| (q.bytes, q.period.as_str())), Some((3 << 29, "month")));
    let expires = "2031-05-01T10:30:00Z".parse::<jiff::Timestamp>().unwrap();
    assert_eq!(made.expires_at_ms, Some(expires.as_millisecond()), "Berlin's clock");
    // Empty fields are filled in here; a client's own key is enough.
    let public = PublicKey([7; 32]).to_string();
    let least = [("server", "Default_1"), ("key", "own"), ("public_key", &public)];
    anna.done("/accounts/+new", &least).await;
    assert_eq!(account(&gateway, "peer_3").await.public_key, PublicKey([7; 32]));
    let audit = anna.get("/audit.csv").await.text;
    assert!(audit.contains("server=Default_1 username=user_1"), "{audit}");
    assert!(!audit.contains(&get(&first, "private_key")) && !audit.contains(&get(&first, "password")));
}

async fn a_bad_account_form_comes_back_whole(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Operator).await;
    gateway.server_and_account().await;
    gateway.server("").await;
    let good = proposed(&anna, "Default_1").await;
    for (name, text, why) in [
        ("name", "a b", "A name has 1 to 64 letters"),
        ("name", "peer_1", "Somebody has that name already"),
        ("username", "user_1", "Somebody has that user name already"),
        ("password", "a\u{1}b", "A password has 1 to 128"),
        ("address", "10.0.0", "That is not an address"),
        ("address", "10.250.0.9", "is not in the server’s subnet"),
        ("address_ipv6", "x", "That is not an address"),
        ("down", "10001", "A speed is a whole number"),
        ("up", "-1", "A speed is a whole number"),
        ("expires", "tomorrow", "not a date and time"),
        ("quota", "many", "A quota is a number"),
        ("quota_period", "month", "needs an amount"),
        ("private_key", "short", "A key has 44 characters"),
        ("server", "Nowhere", "Choose a server that exists"),
        ("psk", "given", "A preshared key has 44"),
    ] {
        let mut form = good.clone();
        put(&mut form, "quota", "");
        put(&mut form, name, text);
        let answer = anna.post("/accounts/+new", &pairs(&form)).await;
        refused(&answer, why);
        assert!(answer.text.contains("aria-invalid=\"true\""), "{name}");
        for (field, typed) in form.iter().filter(|(field, _)| ACCOUNT.contains(field) && *field != "private_key") {
            assert_eq!(value(&answer.text, field), *typed, "{field} is lost");
        }
    }
    assert_eq!(gateway.store.count_accounts().await.unwrap(), 1);
    // Another server: only its numbers change.
    let mut form = good.clone();
    put(&mut form, "name", "somebody");
    put(&mut form, "server", "Default_2");
    put(&mut form, "refill", "1");
    let page = anna.post("/accounts/+new", &pairs(&form)).await;
    assert_eq!((page.status, value(&page.text, "name").as_str()), (StatusCode::OK, "somebody"));
    let address = value(&page.text, "address");
    assert_ne!(address, good.iter().find(|(name, _)| *name == "address").unwrap().1);
    put(&mut form, "address", &address);
    form.retain(|(name, _)| *name != "refill");
    anna.done("/accounts/+new", &pairs(&form)).await;
    assert_eq!(account(&gateway, "somebody").await.address.to_string(), address);
}

async fn an_account_is_changed_suspended_and_deleted(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Operator).await;
    gateway.server_and_account().await;
    let before = account(&gateway, "peer_1").await;
    let page = anna.get("/accounts/peer_1/edit").await.text;
    let names = ["address", "address_ipv6", "down", "up", "expires", "quota", "public_key"];
    let mut form = fields(&page, &names);
    form.extend([("enabled", "1".to_owned()), ("quota_unit", "GiB".to_owned()), ("quota_period", "none".to_owned())]);
    form.push(("psk", "keep".to_owned()));
    anna.done("/accounts/peer_1/edit", &pairs(&form)).await;
    assert_eq!(account(&gateway, "peer_1").await, before, "nothing was changed");
    put(&mut form, "down", "7");
    put(&mut form, "quota", "2");
    put(&mut form, "psk", "new");
    put(&mut form, "password", "another one");
    put(&mut form, "expires", "2031-05-01T00:00:00");
    assert!(anna.done("/accounts/peer_1/edit", &pairs(&form)).await.text.contains("peer_1 was saved"));
    let after = account(&gateway, "peer_1").await;
    assert_eq!((after.bandwidth.down.get(), after.quota.unwrap().bytes), (7, 2 << 30));
    assert_eq!((after.password.expose(), after.key == before.key), ("another one", true));
    assert!(after.preshared_key.is_some());
    let audit = anna.get("/audit.csv").await.text;
    assert!(audit.contains("\"down=20 expires= quota=\",\"down=7 expires=2031-05-01T00:00:00 quota=2\""), "{audit}");
    assert!(!audit.contains("another one"));
    // What is empty of these is not kept but refused.
    for name in ["address", "down"] {
        let mut bad = form.clone();
        put(&mut bad, name, "");
        assert_eq!(anna.post("/accounts/peer_1/edit", &pairs(&bad)).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    put(&mut form, "public_key", &PublicKey([7; 32]).to_string());
    put(&mut form, "psk", "none");
    put(&mut form, "password", "");
    anna.done("/accounts/peer_1/edit", &pairs(&form)).await;
    let after = account(&gateway, "peer_1").await;
    assert_eq!((after.public_key, after.password.expose()), (PublicKey([7; 32]), "another one"));
    assert_eq!(after.preshared_key, None);
    let page = anna.done("/accounts/peer_1/status", &[("status", "disable")]).await.text;
    assert!(page.contains("peer_1 is suspended") && !account(&gateway, "peer_1").await.enabled, "{page}");
    anna.done("/accounts/peer_1/status", &[("status", "enable")]).await;
    assert!(account(&gateway, "peer_1").await.enabled);
    assert_eq!(anna.post("/accounts/peer_1/status", &[("status", "x")]).await.status, StatusCode::BAD_REQUEST);
    assert!(anna.get("/accounts/peer_1").await.text.contains("data-confirm-type=\"peer_1\""));
    assert!(anna.done("/accounts/peer_1/delete", &[]).await.text.contains("peer_1 was deleted"));
    assert_eq!(gateway.store.count_accounts().await.unwrap(), 0);
    for path in ["/accounts/peer_1", "/accounts/peer_1/edit", "/accounts/peer_1/config", "/accounts/a%20b"] {
        assert_eq!(anna.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

async fn secrets_stand_where_they_may(database: Database) {
    let gateway = Gateway::start(database).await;
    let (anna, vera) =
        (Browser::new(&gateway, "anna", Role::Operator).await, Browser::new(&gateway, "vera", Role::Viewer).await);
    gateway.server("").await;
    let made = gateway.account("wg_name=Default_1&password=open+sesame").await;
    let psk = doorward::secrets::random_preshared_key().unwrap().expose_base64();
    gateway.put("/account/peer_1", &form(&[("preshared_key", &psk)])).await.msg();
    let server = gateway.get("/wireguard/Default_1").await.msg();
    let secrets: Vec<String> =
        [&made["private_key"], &server["private_key"]].map(|key| key.as_str().unwrap().to_owned()).to_vec();
    let secrets = [secrets, vec!["open sesame".to_owned(), psk]].concat();
    for path in [
        "/accounts",
        "/accounts.csv",
        "/accounts/peer_1",
        "/accounts/peer_1/edit",
        "/online",
        "/online.csv",
        "/servers",
        "/servers.csv",
        "/servers/Default_1",
        "/servers/Default_1/edit",
        "/servers/Default_1/live",
        "/servers/Default_1/forwards",
        "/links",
        "/links.csv",
        "/audit",
    ] {
        let page = anna.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        let plain = page.text.replace("&#43;", "+").replace("&#47;", "/").replace("&#61;", "=");
        for secret in &secrets {
            assert!(!plain.contains(secret), "{path} holds a secret");
        }
    }
    let config = anna.get("/accounts/peer_1/config").await;
    assert_eq!(config.status, StatusCode::OK);
    assert!(config.text.contains("[Interface]") && config.text.contains("data:image/png;base64,"));
    let file = anna.get("/accounts/peer_1/client.conf").await;
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"peer_1.conf\"");
    assert_eq!(file.headers["cache-control"], "no-store");
    assert_eq!(file.text, gateway.get("/account/peer_1/config_text").await.msg().as_str().unwrap());
    for path in ["/accounts/peer_1/config", "/accounts/peer_1/client.conf", "/accounts/peer_1/edit"] {
        assert_eq!(vera.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let page = vera.get("/accounts/peer_1").await.text;
    assert!(!page.contains("/config\"") && !page.contains("/edit\"") && !page.contains("/link\""), "{page}");
}

async fn accounts_are_listed_and_exported(database: Database) {
    let gateway = Gateway::start(database).await;
    let vera = Browser::new(&gateway, "vera", Role::Viewer).await;
    gateway.server("").await;
    gateway.server("").await;
    for n in 0..30 {
        let server = if n % 10 == 0 { "Default_2" } else { "Default_1" };
        let status = if n == 5 { "disable" } else { "enable" };
        gateway.account(&format!("wg_name={server}&status={status}")).await;
    }
    gateway.put("/account/peer_3", "expires_at=2001-01-01T00:00:00Z").await.msg();
    let count = |text: &str| text.matches("<td data-label=\"State\"").count();
    let page = vera.get("/accounts?size=25").await.text;
    assert_eq!(count(&page), 25);
    assert!(page.contains("1–25 / 30"), "{page}");
    assert_eq!(count(&vera.get("/accounts?size=25&page=2").await.text), 5);
    assert_eq!(count(&vera.get("/accounts?server=Default_2").await.text), 3);
    for (state, found) in [("open", 28), ("disabled", 1), ("expired", 1), ("used_up", 0)] {
        let page = vera.get(&format!("/accounts?state={state}")).await.text;
        assert_eq!(count(&page), found, "{state}");
    }
    assert!(vera.get("/accounts?q=PEER_7").await.text.contains(">peer_7<"));
    assert!(vera.get("/accounts?q=nobody").await.text.contains("Nothing was found"));
    let csv = vera.get("/accounts.csv?server=Default_2&sort=name&desc=1").await;
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"accounts.csv\"");
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("\"name\",\"username\",\"server\",\"state\""));
    assert!(lines[1].starts_with("\"peer_21\",\"user_21\",\"Default_2\",\"open\""), "{}", lines[1]);
    assert!(!page.contains("data-check-all"), "a viewer changes nothing");
}

async fn many_accounts_are_changed_at_once(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Operator).await;
    gateway.server("").await;
    for _ in 0..5 {
        gateway.account("wg_name=Default_1").await;
    }
    let bulk = async |action: &str, names: &[&str]| {
        let back = ("back", "/accounts?q=&sort=name&desc=0&size=50");
        let all: Vec<_> = names.iter().map(|name| ("name", *name)).chain([("action", action), back]).collect();
        anna.done("/accounts/+bulk", &all).await.text
    };
    let page = bulk("disable", &["peer_1", "peer_2", "peer_9"]).await;
    assert!(page.contains("Accounts suspended: 2 of 3"), "{page}");
    assert!(page.contains("Not done: 1. peer_9: There is no such account"), "{page}");
    let enabled = async || gateway.store.accounts().await.unwrap().iter().filter(|a| a.enabled).count();
    assert_eq!(enabled().await, 3);
    assert!(bulk("enable", &["peer_1"]).await.contains("Accounts enabled: 1 of 1"));
    assert_eq!(enabled().await, 4);
    assert!(bulk("delete", &["peer_1", "peer_2", "peer_3"]).await.contains("Accounts deleted: 3 of 3"));
    assert_eq!(gateway.store.count_accounts().await.unwrap(), 2);
    assert!(bulk("delete", &[]).await.contains("No account was chosen"));
    let many: Vec<String> = (0..251).map(|n| format!("x{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(bulk("delete", &many).await.contains("At most 250"));
    assert_eq!(anna.post("/accounts/+bulk", &[("action", "x")]).await.status, StatusCode::BAD_REQUEST);
    let elsewhere = anna.post("/accounts/+bulk", &[("action", "delete"), ("back", "https://evil.example")]).await;
    assert_eq!(elsewhere.headers["location"], "/accounts");
    let audit = anna.get("/audit.csv").await.text;
    assert_eq!(audit.matches("\"accounts\",\"delete\"").count(), 3, "each by itself: {audit}");
}

async fn who_is_online_is_listed(database: Database) {
    let gateway = Gateway::start(database).await;
    let vera = Browser::new(&gateway, "vera", Role::Viewer).await;
    gateway.server("").await;
    assert!(vera.get("/online").await.text.contains("Nobody is online"));
    let now_s = now_ms() / 1000;
    for (n, ago, bytes) in [(1, 10, 5000), (2, 20, 9000), (3, 100_000, 1)] {
        gateway.account("wg_name=Default_1").await;
        let account = account(&gateway, &format!("peer_{n}")).await;
        let id = PeerId { interface: "wg1".parse().unwrap(), public_key: account.public_key };
        let stats = PeerStats {
            endpoint: Some(format!("198.51.100.{n}:4000").parse().unwrap()),
            latest_handshake_s: now_s - ago,
            rx_bytes: bytes,
            tx_bytes: 1,
            keepalive_s: 0,
        };
        gateway.kernel.set_peer(id, stats);
    }
    let page = vera.get("/online").await.text;
    assert!(page.contains(">peer_1<") && page.contains(">peer_2<") && !page.contains(">peer_3<"), "{page}");
    assert!(page.contains("198.51.100.2:4000") && page.contains("4.8 KiB"), "{page}");
    let order = |page: &str| page.find(">peer_1<") < page.find(">peer_2<");
    assert!(order(&page));
    assert!(!order(&vera.get("/online?sort=received&desc=1").await.text));
    assert!(!vera.get("/online?q=peer_2").await.text.contains(">peer_1<"));
    let csv = vera.get("/online.csv").await.text;
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.contains("\"peer_2\",\"Default_1\""), "{csv}");
    // The lists know it as well.
    assert!(vera.get("/accounts/peer_1").await.text.contains("198.51.100.1:4000"));
    // Tunnels that do not answer cost the handshakes, not the page.
    gateway.kernel.fail_readings(true);
    for path in ["/accounts", "/accounts/peer_1", "/servers/Default_1"] {
        let page = vera.get(path).await;
        assert!(page.status == StatusCode::OK && page.text.contains(">Unknown<"), "{path}: {page:?}");
    }
    gateway.kernel.fail_readings(false);
    gateway.put("/account/peer_1", "status=disable").await.msg();
    assert!(!vera.get("/online").await.text.contains(">peer_1<"));
}

async fn traffic_is_told_by_month(database: Database) {
    let gateway = Gateway::start(database).await;
    let vera = Browser::new(&gateway, "vera", Role::Viewer).await;
    gateway.server_and_account().await;
    let id = account(&gateway, "peer_1").await.id;
    let delta = UsageDelta { account: id, raw_up: 0, raw_down: 0, delta_up: 3, delta_down: 9 };
    gateway.store.record_usage("2026-03-02", &[delta]).await.unwrap();
    let answer = vera.get("/accounts/peer_1/traffic.json?month=2026-03").await;
    let json: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(json["x"].as_array().unwrap().len(), 31);
    // Midnight in Berlin.
    assert_eq!(
        (&json["x"][1], &json["series"][0][1], &json["series"][1][1]),
        (&1_772_406_000.into(), &9.into(), &3.into())
    );
    assert_eq!(json["series"][0][0], 0);
    for bad in ["2026-13", "x", "9999-01", "2026-3"] {
        let answer = vera.get(&format!("/accounts/peer_1/traffic.json?month={bad}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(vera.get("/accounts/nobody/traffic.json").await.status, StatusCode::NOT_FOUND);
    let page = vera.get("/accounts/peer_1?month=2026-03").await.text;
    for part in ["traffic.json?month=2026-03", "?month=2026-02\"", "?month=2026-04\"", "data-chart-kind=\"bars\""] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!vera.get("/accounts/peer_1").await.text.contains("rel=\"next\""), "no month to come");
    let stored: Vec<DayUsage> = gateway.store.month_usage(id, 2026, 3).await.unwrap();
    assert_eq!(stored.len(), 1);
}

async fn a_server_is_made_changed_and_deleted(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Operator).await;
    assert!(anna.get("/servers").await.text.contains("There is no VPN server yet"));
    let page = anna.get("/servers/+new").await;
    let mut form = fields(&page.text, SERVER);
    assert_eq!((value(&page.text, "name").as_str(), value(&page.text, "interface").as_str()), ("Default_1", "wg1"));
    assert!(!value(&page.text, "address_ipv6").is_empty());
    let page = anna.done("/servers/+new", &pairs(&form)).await.text;
    assert!(page.contains("Default_1 was created") && page.contains("addresses are free"), "{page}");
    let made = gateway.store.server_by_name("Default_1").await.unwrap().unwrap();
    let key = form.iter().find(|(name, _)| *name == "private_key").unwrap().1.clone();
    assert_eq!((made.private_key.expose_base64(), made.ipv6), (key.clone(), false));
    // The next one gets other values.
    let next = fields(&anna.get("/servers/+new").await.text, SERVER);
    for name in ["name", "interface", "listen_port", "address", "address_ipv6", "private_key"] {
        let of = |form: &[(&str, String)]| form.iter().find(|(n, _)| *n == name).unwrap().1.clone();
        assert_ne!(of(&form), of(&next), "{name}");
    }
    // Nothing else but a name is enough.
    anna.done("/servers/+new", &[("name", "bare"), ("ipv6", "1")]).await;
    let bare = gateway.store.server_by_name("bare").await.unwrap().unwrap();
    assert!(bare.ipv6 && bare.address_ipv6.is_some() && bare.dns == [None, None]);
    gateway.account("wg_name=Default_1").await;
    let page = anna.get("/servers/Default_1/edit").await.text;
    let edit: Vec<&str> = SERVER.iter().copied().filter(|name| !["name", "interface"].contains(name)).collect();
    form = fields(&page, &edit);
    assert_eq!(value(&page, "private_key"), "", "no secret");
    put(&mut form, "down", "77");
    put(&mut form, "endpoint", "vpn.example.net");
    put(&mut form, "internal_traffic", "1");
    assert!(anna.done("/servers/Default_1/edit", &pairs(&form)).await.text.contains("Default_1 was saved"));
    let after = gateway.store.server_by_name("Default_1").await.unwrap().unwrap();
    assert_eq!((after.bandwidth.down.get(), after.endpoint.as_str()), (77, "vpn.example.net"));
    assert!(after.internal_traffic);
    assert_eq!(after.private_key, made.private_key);
    assert_ne!(account(&gateway, "peer_1").await.bandwidth.down.get(), 77);
    let page = anna.done("/servers/Default_1/bandwidth", &[]).await.text;
    assert!(page.contains("have the server’s speed limits"), "{page}");
    assert_eq!(account(&gateway, "peer_1").await.bandwidth.down.get(), 77);
    assert!(page.contains(">peer_1<") && page.contains("1 account<"), "{page}");
    let page = anna.done("/servers/Default_1/delete", &[]).await.text;
    assert!(page.contains("A server with accounts cannot be deleted"), "{page}");
    gateway.delete("/account/peer_1").await.msg();
    assert!(anna.done("/servers/Default_1/delete", &[]).await.text.contains("Default_1 was deleted"));
    assert_eq!(anna.get("/servers/Default_1").await.status, StatusCode::NOT_FOUND);
    let audit = anna.get("/audit.csv").await.text;
    assert!(audit.contains("endpoint=vpn.example.net down=77 internal_traffic=1"), "{audit}");
    assert!(!audit.contains(key.as_str()));
    let csv = anna.get("/servers.csv").await.text;
    assert!(csv.contains("\"bare\",\"wg") && csv.lines().count() == 2, "{csv}");
}

async fn a_bad_server_form_comes_back_whole(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Operator).await;
    gateway.server("").await;
    let good = fields(&anna.get("/servers/+new").await.text, SERVER);
    let port = gateway.get("/wireguard/Default_1").await.msg()["listen_port"].as_str().unwrap().to_owned();
    let subnet = gateway.get("/wireguard/Default_1").await.msg()["address"].as_str().unwrap().to_owned();
    for (name, text, why) in [
        ("name", "Default_1", "Somebody has that name already"),
        ("name", "a/b", "A name has"),
        ("interface", "eth0", "“wg” and a number"),
        ("interface", "wg1", "exists already"),
        ("listen_port", "0", "A port is a number"),
        ("listen_port", &port, "is used already"),
        ("external_ip", "127.0.0.1", "The external address is"),
        ("address", "10.0.0.0/24x", "not an address"),
        ("address", &subnet, "The subnet overlaps"),
        ("dns_1", "x", "A resolver is an address"),
        ("dns_2_ipv6", "1.1.1.1", "A resolver is an address"),
        ("mtu", "9101", "The MTU is a number"),
        ("keep_alive", "-1", "The keepalive is"),
        ("allowed_ips", "everything", "Write subnets"),
        ("endpoint", "vpn.example.net:51820", "without a port"),
        ("down", "10001", "A speed is"),
        ("private_key", "x", "A key has 44"),
    ] {
        let mut form = good.clone();
        put(&mut form, name, text);
        let answer = anna.post("/servers/+new", &pairs(&form)).await;
        refused(&answer, why);
        for (field, typed) in form.iter().filter(|(field, _)| *field != "private_key") {
            assert_eq!(value(&answer.text, field), *typed, "{field} is lost");
        }
    }
    assert_eq!(gateway.store.count_servers().await.unwrap(), 1);
    let edit: Vec<&str> = SERVER.iter().copied().filter(|name| !["name", "interface"].contains(name)).collect();
    let mut form = fields(&anna.get("/servers/Default_1/edit").await.text, &edit);
    put(&mut form, "address", "10.77.0.1/24");
    gateway.account("wg_name=Default_1").await;
    refused(&anna.post("/servers/Default_1/edit", &pairs(&form)).await, "outside of the new subnet");
}

async fn the_kernel_says_what_is_in_effect(database: Database) {
    let gateway = Gateway::start(database).await;
    let vera = Browser::new(&gateway, "vera", Role::Viewer).await;
    gateway.server_and_account().await;
    let id = gateway.store.servers().await.unwrap()[0].id;
    gateway.kernel.set_counter(Counter::ServerNat(id), 3, 1234);
    gateway.kernel.set_counter(Counter::ServerInternal(id), 4, 5678);
    let page = vera.get("/servers/Default_1/live").await;
    assert_eq!(page.status, StatusCode::OK);
    for path in ["firewall_nat_rules", "firewall_filter_rules", "traffic_control"] {
        let text = gateway.get(&format!("/wireguard/Default_1/{path}")).await.msg();
        let text = text.as_str().unwrap().replace('>', "&#62;");
        assert!(!text.is_empty() && page.text.contains(&text), "{path}: {text} {}", page.text);
    }
    let dump = gateway.get("/wireguard/Default_1/dump").await.msg();
    assert!(page.text.contains(&format!("UDP {}", dump["port"].as_str().unwrap())), "{}", page.text);
    assert_eq!(vera.get("/servers/nowhere/live").await.status, StatusCode::NOT_FOUND);
}

async fn ports_are_forwarded(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Operator).await;
    gateway.server_and_account().await;
    let path = "/servers/Default_1/forwards";
    assert!(anna.get(path).await.text.contains("No port is forwarded"));
    let of = |dst, protocol, peer, to| [("dst_port", dst), ("protocol", protocol), ("to_peer", peer), ("to_port", to)];
    let page = anna.done(path, &of("8080", "tcp", "peer_1", "80")).await.text;
    assert!(page.contains("8080/tcp -&#62; peer_1:80 was added"), "{page}");
    anna.done(path, &of("53", "tcp", "peer_1", "53")).await;
    for (form, why) in [
        (of("8080", "tcp", "peer_1", "81"), "is forwarded already"),
        (of("8443", "tcp", "peer_1", "81"), "needs it itself"),
        (of("0", "tcp", "peer_1", "80"), "The external port is"),
        (of("1", "icmp", "peer_1", "80"), "The protocol is"),
        (of("1", "tcp", "nobody", "80"), "no account of that name"),
        (of("1", "tcp", "peer_1", "x"), "The port at the account"),
    ] {
        let answer = anna.post(path, &form).await;
        refused(&answer, why);
        assert_eq!(value(&answer.text, "to_peer"), form[2].1);
    }
    let page = anna.get(path).await.text;
    assert!(page.find(">53/tcp<") < page.find(">8080/tcp<") && page.contains("1–2 / 2"), "{page}");
    assert!(!anna.get(&format!("{path}?q=8080")).await.text.contains(">53/tcp<"));
    assert!(anna.get("/accounts/peer_1").await.text.contains("8080/tcp → 80"));
    assert!(
        anna.done(&format!("{path}/delete"), &[("forward", "8080/tcp")]).await.text.contains("not forwarded any more")
    );
    assert!(anna.done(&format!("{path}/delete"), &[("forward", "8080/tcp")]).await.text.contains("no such forwarding"));
    let bad = anna.post(&format!("{path}/delete"), &[("forward", "x")]).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert_eq!(anna.get("/servers/nowhere/forwards").await.status, StatusCode::NOT_FOUND);
}

async fn links_are_made_listed_and_revoked(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Operator).await;
    gateway.server_and_account().await;
    assert!(anna.get("/links").await.text.contains("There is no link that can be used"));
    let made = anna.post("/accounts/peer_1/link", &[("uses", "2"), ("days", "3")]).await;
    assert_eq!(made.status, StatusCode::OK);
    let address = made.text.split("value=\"https://vpn.example.net/otl/").nth(1).unwrap();
    let key = address.split('"').next().unwrap().to_owned();
    let open = gateway.call("GET", "").uri(&format!("/otl/{key}")).cookie(None).send().await;
    assert_eq!(open.status, StatusCode::OK);
    for (uses, days, why) in [("0", "3", "1 to 1000 times"), ("1", "3651", "1 to 3650 days"), ("x", "", "1 to 1000")] {
        let answer = anna.post("/accounts/peer_1/link", &[("uses", uses), ("days", days)]).await;
        refused(&answer, why);
        assert_eq!((value(&answer.text, "uses").as_str(), value(&answer.text, "days").as_str()), (uses, days));
    }
    assert_eq!(anna.post("/accounts/nobody/link", &[("uses", "1"), ("days", "1")]).await.status, StatusCode::NOT_FOUND);
    let list = anna.get("/links").await.text;
    assert!(list.contains(">peer_1<") && list.contains("2 / 2") && !list.contains(&key), "{list}");
    assert!(!anna.get("/links.csv").await.text.contains(&key) && !anna.get("/audit.csv").await.text.contains(&key));
    assert!(anna.get("/links?q=nobody").await.text.contains("Nothing was found"));
    let id = value(&list, "id");
    let page = anna.done("/links/revoke", &[("id", &id), ("id", "999999")]).await.text;
    assert!(page.contains("Links revoked: 1"), "{page}");
    let open = gateway.call("GET", "").uri(&format!("/otl/{key}")).cookie(None).send().await;
    assert_eq!(open.status, StatusCode::NOT_FOUND);
    assert!(anna.done("/links/revoke", &[]).await.text.contains("No link was chosen"));
    assert_eq!(anna.post("/links/revoke", &[("id", "x")]).await.status, StatusCode::BAD_REQUEST);
}

async fn the_page_of_a_link_is_changed_and_previewed(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Operator).await;
    let page = anna.get("/links/look").await.text;
    assert_eq!(value(&page, "title"), "Your VPN access");
    let mut form: Vec<(&str, &str)> = vec![
        ("title", "Castle"),
        ("before_body", "<h1>Castle</h1>\r\n<script>steal()</script>"),
        ("css", "h1{color:red}"),
        ("lifetime_days", "5"),
        ("enabled", "1"),
        ("text", "1"),
        ("button1_label", "Help"),
        ("button1_link", "https://example.net/"),
    ];
    // Nothing is stored by a look at it.
    let look = async |which: &'static str, form: &[(&str, &str)]| {
        let all: Vec<_> = form.iter().copied().chain([("page", which)]).collect();
        anna.post("/links/preview", &all).await
    };
    let shown = look("shown", &form).await;
    assert_eq!(shown.status, StatusCode::OK);
    for part in ["<h1>Castle</h1>", "[Interface]", "href=\"https://example.net/\"", "href=\"/links/preview.css\""] {
        assert!(shown.text.contains(part), "{part}: {}", shown.text);
    }
    assert!(!shown.text.contains("steal") && !shown.text.contains("data:image/png"), "{}", shown.text);
    assert!(look("ask", &form).await.text.contains("inert"));
    assert!(look("gone", &form).await.text.contains("class=\"card gone\""));
    assert_eq!(look("x", &form).await.status, StatusCode::BAD_REQUEST);
    let style = anna.get("/links/preview.css").await;
    assert!(style.text.ends_with("h1{color:red}") && style.headers["content-type"] == "text/css; charset=utf-8");
    let bert = Browser::new(&gateway, "bert", Role::Operator).await;
    assert!(!bert.get("/links/preview.css").await.text.contains("h1{color:red}"), "of their own session alone");
    assert_eq!(gateway.store.link_settings().await.unwrap().title, "Your VPN access");
    assert!(anna.done("/links/look", &form).await.text.contains("The page was saved"));
    let stored = gateway.store.link_settings().await.unwrap();
    assert_eq!((stored.title.as_str(), stored.lifetime_days, stored.wireguard.qr), ("Castle", 5, false));
    assert_eq!(stored.before_body, "<h1>Castle</h1>\n<script>steal()</script>", "cleaned when it is shown");
    assert_eq!(stored.wireguard.buttons[0].label, "Help");
    let long = "x".repeat(20_001);
    for (name, text, why) in [
        ("lifetime_days", "0", "Lifetime of new links in days: 1 to 3650 days"),
        ("lifetime_days", "x", "1 to 3650 days"),
        ("button1_link", "javascript:alert(1)", "Button 1: an address that begins with https"),
        ("title", "a\u{1}b", "Title: holds control characters"),
        ("css", &long, "Style sheet: at most 20000 characters"),
    ] {
        form.retain(|(found, _)| *found != name);
        form.push((name, text));
        for answer in [anna.post("/links/look", &form).await, look("shown", &form).await] {
            refused(&answer, why);
            assert!(
                answer.text.contains("aria-invalid=\"true\"") && answer.text.contains("https://example.net/")
                    || name == "button1_link"
            );
        }
        form.retain(|(found, _)| *found != name);
        form.push((name, if name == "lifetime_days" { "5" } else { "" }));
        if name == "button1_link" {
            form.push((name, "https://example.net/"));
        }
    }
    form.retain(|(name, _)| *name != "enabled");
    anna.done("/links/look", &form).await;
    assert!(anna.get("/links").await.text.contains("Links are switched off"));
}

async fn roles_are_asked_for(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let vera = Browser::new(&gateway, "vera", Role::Viewer).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    for path in ["/accounts", "/accounts/peer_1", "/servers", "/servers/Default_1", "/online", "/links"] {
        assert_eq!(vera.get(path).await.status, StatusCode::OK, "{path}");
        assert_eq!(desk.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
        let page = vera.get(path).await.text;
        let main = page.split("<main").nth(1).unwrap();
        assert!(!main.contains("btn-primary") && !main.contains("btn-danger"), "{path}: {main}");
    }
    for path in [
        "/accounts/+new",
        "/accounts/+bulk",
        "/accounts/peer_1/edit",
        "/accounts/peer_1/status",
        "/accounts/peer_1/delete",
        "/accounts/peer_1/link",
        "/servers/+new",
        "/servers/Default_1/edit",
        "/servers/Default_1/delete",
        "/servers/Default_1/bandwidth",
        "/servers/Default_1/forwards",
        "/servers/Default_1/forwards/delete",
        "/links/revoke",
        "/links/look",
        "/links/preview",
    ] {
        for browser in [&vera, &desk] {
            assert_eq!(browser.post(path, &[("status", "disable")]).await.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    assert!(account(&gateway, "peer_1").await.enabled);
}

async fn hostile_texts_are_text(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Operator).await;
    gateway.server_and_account().await;
    let evil = "<script>alert(1)</script>\"'=1+1\u{202e}";
    let mut account = proposed(&anna, "Default_1").await;
    for name in ACCOUNT.iter().filter(|name| **name != "password") {
        put(&mut account, name, evil);
    }
    put(&mut account, "server", evil);
    let server: Vec<(&str, &str)> = SERVER.iter().map(|name| (*name, evil)).collect();
    let forward = [("dst_port", evil), ("to_peer", evil), ("to_port", evil), ("protocol", evil)];
    let look: Vec<(&str, &str)> = ["title", "css", "before_body", "lifetime_days", "button1_label", "button1_link"]
        .map(|name| (name, evil))
        .to_vec();
    let answers = [
        anna.post("/accounts/+new", &pairs(&account)).await,
        anna.post("/accounts/peer_1/edit", &pairs(&account)).await,
        anna.post("/servers/+new", &server).await,
        anna.post("/servers/Default_1/edit", &server).await,
        anna.post("/servers/Default_1/forwards", &forward).await,
        anna.post("/accounts/peer_1/link", &[("uses", evil), ("days", evil)]).await,
        anna.post("/links/look", &look).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert!(!answer.text.contains("<script>alert") && answer.text.contains("&#60;script&#62;"), "{}", answer.text);
    }
    let query: String = evil.bytes().map(|b| format!("%{b:02X}")).collect();
    for path in ["/accounts", "/servers", "/online", "/links", "/servers/Default_1/forwards"] {
        for name in ["q", "server", "state", "sort"] {
            let page = anna.get(&format!("{path}?{name}={query}")).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            assert!(!page.text.contains("<script>alert"), "{path} {name}");
        }
        assert_eq!(anna.get(&format!("{path}?q=%zz")).await.status, StatusCode::BAD_REQUEST);
    }
    // A link's texts are the operator's HTML, cleaned.
    let mut settings = doorward::link_settings::LinkSettings::default();
    evil.clone_into(&mut settings.title);
    gateway.store.set_link_settings(&settings).await.unwrap();
    assert!(!anna.get("/links/look").await.text.contains("<script>alert"));
    // Names cannot be formulas, but they can begin with a sign that spreadsheets take for one.
    gateway.account("wg_name=Default_1&name=-1-1&username=-2").await;
    assert!(anna.get("/accounts.csv").await.text.contains("\"'-1-1\",\"'-2\""));
}
