//! One-time links: the API's part, and the page that whoever has one sees.

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use doorward::{
    control::{LinkLine, Order},
    link_settings::LinkSettings,
};
use serde_json::Value;

use crate::{
    accounts_live::decode,
    control::Running,
    databases::Database,
    gateway::{Answer, Call, Gateway, assert_shape},
};

both_engines!(
    the_api_makes_and_lists_links,
    the_api_refuses_what_it_must,
    looking_uses_nothing_up_and_pressing_does,
    two_hundred_presses_show_it_once,
    every_dead_link_answers_the_same,
    every_answer_keeps_the_key_to_itself,
    hostile_settings_do_no_harm,
    settings_choose_what_is_shown,
    the_page_speaks_five_languages,
    guessing_is_slowed_down,
    guests_do_not_see_it,
    the_command_line,
);

const HOST: &str = "https://vpn.example.net";

impl Gateway {
    /// The path of a new link to `peer_1`.
    async fn link(&self) -> String {
        let address = self.get("/account/peer_1/otl").await.msg();
        address.as_str().unwrap().strip_prefix(HOST).unwrap().to_owned()
    }

    fn page(&self, method: &str, path: &str) -> Call<'_> {
        self.call(method, "").uri(path).cookie(None).from("203.0.113.9")
    }

    async fn look(&self, path: &str) -> Answer {
        self.page("GET", path).send().await
    }

    async fn press(&self, path: &str) -> Answer {
        self.page("POST", path).send().await
    }

    async fn config(&self) -> String {
        self.get("/account/peer_1/config_text").await.msg().as_str().unwrap().to_owned()
    }
}

/// A gateway with `peer_1`.
async fn start(database: Database) -> Gateway {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway
}

async fn the_api_makes_and_lists_links(database: Database) {
    let gateway = start(database).await;
    assert_eq!(gateway.get("/otl/list").await.text, r#"{"error":"","msg":{"olts":{}},"status":"success"}"#);
    let mut keys = Vec::new();
    for method in ["GET", "POST", "GET"] {
        let address = gateway.call(method, "/account/peer_1/otl").header("host", "evil.example").send().await.msg();
        let key = address.as_str().unwrap().strip_prefix("https://vpn.example.net/otl/").unwrap().to_owned();
        assert!(key.len() == 80 && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{key}");
        assert!(!keys.contains(&key));
        keys.push(key);
    }
    let list = gateway.get("/otl/list").await.msg();
    let links = list["olts"].as_object().unwrap();
    keys.sort();
    assert_eq!(links.keys().cloned().collect::<Vec<_>>(), keys);
    let today = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::get("Europe/Berlin").unwrap()).date();
    let last = today.checked_add(jiff::Span::new().days(10)).unwrap();
    for key in &keys {
        let expected = serde_json::json!({
            "account": "peer_1", "created_data": today.to_string(), "key": key, "lifetime": last.to_string()
        });
        assert_eq!(links[key], expected);
    }
    // Used and revoked ones are not listed; an account takes its links with it.
    gateway.press(&format!("/otl/{}", keys[0])).await;
    let listed = async || gateway.get("/otl/list").await.msg()["olts"].as_object().unwrap().len();
    assert_eq!(listed().await, 2);
    gateway.delete("/account/peer_1").await.msg();
    assert_eq!(listed().await, 0);
    assert_eq!(gateway.look(&format!("/otl/{}", keys[1])).await.status, 404);

    assert_shape!("otl_config", gateway.get("/otl/config").await.msg());
    assert_shape!("otl_config_wireguard", gateway.get("/otl/config_wireguard").await.msg());
    let settings = LinkSettings { title: "Zamek".to_owned(), lifetime_days: 3, ..LinkSettings::default() };
    gateway.app.set_link_settings(&settings).await.unwrap();
    let config = gateway.get("/otl/config").await.msg();
    assert_eq!((&config["title"], &config["lifetime"]), (&"Zamek".into(), &"3".into()));
}

async fn the_api_refuses_what_it_must(database: Database) {
    let gateway = start(database).await;
    for method in ["GET", "POST"] {
        for name in ["peer_2", "a%20b", "%00"] {
            gateway.call(method, &format!("/account/{name}/otl")).send().await.refused(404, "Account not found");
        }
    }
    for (method, path) in [
        ("GET", "/otl"),
        ("GET", "/otl/config_ikev2"),
        ("POST", "/otl/config"),
        ("PUT", "/otl/config"),
        ("DELETE", "/otl/list"),
        ("PUT", "/otl/config_wireguard"),
        ("PUT", "/account/peer_1/otl"),
        ("DELETE", "/account/peer_1/otl"),
        ("HEAD", "/account/peer_1/otl"),
    ] {
        let answer = gateway.call(method, path).send().await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    assert!(gateway.get("/otl/list").await.msg()["olts"].as_object().unwrap().is_empty(), "HEAD makes none");
}

async fn looking_uses_nothing_up_and_pressing_does(database: Database) {
    let gateway = start(database).await;
    let (path, config) = (gateway.link().await, gateway.config().await);
    for method in ["GET", "HEAD", "GET"] {
        let answer = gateway.page(method, &path).send().await;
        assert_eq!(answer.status, 200, "{method}");
        assert!(!answer.text.contains("PrivateKey") && !answer.text.contains("data:image"));
        assert_eq!(answer.text.contains("<button type=\"submit\">"), method == "GET");
    }
    for method in ["PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        assert_eq!(gateway.page(method, &path).send().await.status, 404, "{method}");
    }
    assert_eq!(gateway.look(&format!("{path}/")).await.status, 200);
    let shown = gateway.press(&path).await;
    assert_eq!(shown.status, 200);
    assert_eq!(text_of(&shown.text), config);
    assert_eq!(saved_of(&shown.text), config);
    assert_eq!(scanned_of(&shown.text), config);
    assert!(shown.text.contains("download=\"peer_1.conf\""));
    assert!(shown.text.contains("https://apps.apple.com/app/wireguard/id1441195209"));
    for method in ["GET", "POST"] {
        let answer = gateway.page(method, &path).send().await;
        assert_eq!(answer.status, 404);
        assert!(!answer.text.contains("PrivateKey") && answer.text.contains("not valid any more"));
    }
}

/// The text on the page, as a browser shows it.
fn text_of(page: &str) -> String {
    let text = page.split("<pre").nth(1).unwrap().split_once('>').unwrap().1.split_once("</pre>").unwrap().0;
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&#38;", "&").replace("&amp;", "&");
    text.replace("&quot;", "\"").replace("&#34;", "\"").replace("&#39;", "'").replace("&#x27;", "'")
}

/// What the button saves.
fn saved_of(page: &str) -> String {
    String::from_utf8(STANDARD.decode(data_of(page, "application/octet-stream")).unwrap()).unwrap()
}

/// What a telephone reads from the code.
fn scanned_of(page: &str) -> String {
    decode(&data_of(page, "image/png"))
}

/// The base64 of what stands in the page itself.
fn data_of(page: &str, kind: &str) -> String {
    let data = page.split(&format!("\"data:{kind};base64,")).nth(1).unwrap().split('"').next().unwrap();
    data.replace("&#61;", "=").replace("&#43;", "+").replace("&#47;", "/")
}

async fn two_hundred_presses_show_it_once(database: Database) {
    let gateway = std::sync::Arc::new(start(database).await);
    let path = gateway.link().await;
    let presses: Vec<_> = (0..200)
        .map(|n| {
            let (gateway, path) = (std::sync::Arc::clone(&gateway), path.clone());
            // One address each, so that nobody is refused for asking too often.
            tokio::spawn(async move { gateway.page("POST", &path).from(&format!("203.0.113.{n}")).send().await })
        })
        .collect();
    let mut shown = 0;
    for press in presses {
        let answer = press.await.unwrap();
        match answer.status.as_u16() {
            200 => shown += 1,
            404 => assert!(!answer.text.contains("PrivateKey")),
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert_eq!(shown, 1);
}

async fn every_dead_link_answers_the_same(database: Database) {
    let gateway = start(database).await;
    let (used, revoked, expired, off) =
        (gateway.link().await, gateway.link().await, gateway.link().await, gateway.link().await);
    let unknown = format!("/otl/{}", "0".repeat(80));
    assert_eq!(gateway.press(&used).await.status, 200);
    let links = gateway.app.links(doorward::app::one_time_links::LinkFilter { limit: 10, ..Default::default() });
    let links = links.await.unwrap();
    let id = |path: &str| links.iter().find(|link| path.ends_with(link.key.expose())).unwrap().id;
    gateway.app.revoke_link(id(&revoked)).await.unwrap();
    gateway.database.execute(&format!("UPDATE one_time_links SET expires_ms = 1 WHERE id = {}", id(&expired).0)).await;
    let mut first = gateway.look(&unknown).await;
    first.headers.remove("x-request-id");
    assert_eq!(first.status, 404);
    assert_eq!(gateway.press(&off.replace("/otl/", "/otl/0")).await.text, first.text);
    let odd = ["/otl", "/otl/", "/otl/x", "/otl/%00", "/otl/%ff", "/otl/a/b", "/otl/..%2fetc"].map(str::to_owned);
    for (n, path) in [used, revoked, expired, unknown].into_iter().chain(odd).enumerate() {
        for method in ["GET", "POST"] {
            let mut answer = gateway.page(method, &path).from(&format!("203.0.113.{n}")).send().await;
            assert_eq!((answer.status, &answer.text), (first.status, &first.text), "{method} {path}");
            // Every answer has its own.
            assert!(answer.headers.remove("x-request-id").is_some());
            assert_eq!(answer.headers, first.headers, "{method} {path}");
        }
    }
    let mut settings = LinkSettings::default();
    settings.wireguard.enabled = false;
    gateway.app.set_link_settings(&settings).await.unwrap();
    assert_eq!(gateway.press(&off).await.text, first.text);
    gateway.app.set_link_settings(&LinkSettings::default()).await.unwrap();
    assert_eq!(gateway.press(&off).await.status, 200, "nothing was used up");
}

async fn every_answer_keeps_the_key_to_itself(database: Database) {
    let gateway = start(database).await;
    let path = gateway.link().await;
    let looked = gateway.look(&path).await;
    let shown = gateway.press(&path).await;
    let gone = gateway.press(&path).await;
    let style = gateway.look("/otl/style.css").await;
    for answer in [&looked, &shown, &gone, &style] {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("x-robots-tag", "noindex, nofollow, noarchive"),
        ] {
            assert_eq!(answer.headers[name], value, "{answer:?}");
        }
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("form-action 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!answer.headers.contains_key("set-cookie"));
        assert!(!answer.text.contains(path.trim_start_matches("/otl/")), "no page repeats the key");
        assert!(
            !answer.text.contains("<script") && !answer.text.contains("<style") && !answer.text.contains(" style=")
        );
    }
    assert_eq!(style.headers["content-type"], "text/css; charset=utf-8");
    assert_eq!(shown.headers["content-type"], "text/html; charset=utf-8");
}

async fn hostile_settings_do_no_harm(database: Database) {
    let gateway = start(database).await;
    let hostile = "<h1 onclick=\"x()\">Hi</h1><script>evil()</script><img src=\"https://evil.example/x\"><form action=\"//evil.example\"><button>y</button></form><style>*{}</style>";
    let mut settings = LinkSettings {
        title: "</title><script>evil()</script>".to_owned(),
        css: "</style><script>evil()</script>".to_owned(),
        before_body: hostile.to_owned(),
        after_body: hostile.to_owned(),
        not_relevant: hostile.to_owned(),
        ..LinkSettings::default()
    };
    settings.wireguard.download_label = "\"><script>evil()</script>".to_owned();
    settings.wireguard.buttons[0].label = "<script>evil()</script>".to_owned();
    settings.wireguard.buttons[0].link = "https://example.net/\"onmouseover=\"evil()".to_owned();
    gateway.app.set_link_settings(&settings).await.unwrap();
    let path = gateway.link().await;
    for answer in [gateway.look(&path).await, gateway.press(&path).await, gateway.press(&path).await] {
        assert!(answer.text.contains("<h1>Hi</h1>"), "{}", answer.text);
        for harm in ["<script", "onclick=", "evil.example", "<style", "\"onmouseover=", "action="] {
            assert!(!answer.text.contains(harm), "{harm}: {}", answer.text);
        }
    }
    let style = gateway.look("/otl/style.css").await;
    assert!(style.text.ends_with(&settings.css), "in a file of its own it leads nowhere");
    settings.wireguard.buttons[0].link = "javascript:evil()".to_owned();
    assert!(gateway.app.set_link_settings(&settings).await.is_err());
}

async fn settings_choose_what_is_shown(database: Database) {
    let gateway = start(database).await;
    let mut settings = LinkSettings::default();
    settings.wireguard.qr = false;
    settings.wireguard.download_label = String::new();
    settings.wireguard.buttons = Default::default();
    gateway.app.set_link_settings(&settings).await.unwrap();
    let shown = gateway.press(&gateway.link().await).await.text;
    assert!(
        shown.contains("<pre") && !shown.contains("<img") && !shown.contains("download=") && !shown.contains("<nav")
    );
    (settings.wireguard.qr, settings.wireguard.text) = (true, false);
    gateway.app.set_link_settings(&settings).await.unwrap();
    let shown = gateway.press(&gateway.link().await).await.text;
    assert!(shown.contains("<img") && !shown.contains("<pre") && !shown.contains("PrivateKey"));
    gateway.app.set_link_settings(&LinkSettings { css: "h1{color:red}".to_owned(), ..settings }).await.unwrap();
    assert!(gateway.look("/otl/style.css").await.text.ends_with("h1{color:red}"));
}

async fn the_page_speaks_five_languages(database: Database) {
    let gateway = start(database).await;
    let path = gateway.link().await;
    for (lang, title, button) in [
        ("en", "Your VPN access", "Show my configuration"),
        ("de", "Ihr VPN-Zugang", "Meine Konfiguration anzeigen"),
        ("es", "Su acceso VPN", "Mostrar mi configuración"),
        ("fr", "Votre accès VPN", "Afficher ma configuration"),
        ("pl", "Twój dostęp VPN", "Pokaż moją konfigurację"),
    ] {
        let page = gateway.page("GET", &path).header("accept-language", &format!("{lang};q=0.9, xx")).send().await.text;
        assert!(page.contains(&format!("<html lang=\"{lang}\">")) && page.contains(button), "{page}");
        assert!(page.contains(&format!("<title>{title}</title>")) && page.contains(&format!("<h1>{title}</h1>")));
    }
    let settings = LinkSettings { before_body: "<h1>Castle</h1>".to_owned(), ..LinkSettings::default() };
    gateway.app.set_link_settings(&settings).await.unwrap();
    let page = gateway.page("GET", &path).header("accept-language", "pl").send().await.text;
    assert!(page.contains("<h1>Castle</h1>") && page.contains("Pokaż moją konfigurację"), "{page}");
}

async fn guessing_is_slowed_down(database: Database) {
    let gateway = start(database).await;
    let path = gateway.link().await;
    for n in 0..20 {
        assert_eq!(gateway.look(&format!("/otl/{n:080}")).await.status, 404);
    }
    for path in [path.as_str(), "/otl/x"] {
        assert_eq!(gateway.look(path).await.status, 429);
        assert_eq!(gateway.press(path).await.status, 429);
    }
    let other = gateway.page("POST", &path).from("203.0.113.10").send().await;
    assert_eq!(other.status, 200, "others are not kept away, and nothing was used up");
    assert_eq!(gateway.call("GET", "/account").from(crate::gateway::CLIENT).send().await.status, 200);
}

async fn guests_do_not_see_it(database: Database) {
    let desk = crate::desk::Desk::start(database).await;
    desk.hotspot().await;
    desk.gateway.server_and_account().await;
    let path = desk.gateway.link().await;
    desk.gateway.page("GET", &path).from("10.30.0.7").send().await.refused(404, "Not found");
    desk.gateway.page("POST", &path).from("10.30.0.7").send().await.refused(404, "Not found");
    assert_eq!(desk.gateway.press(&path).await.status, 200);
}

async fn the_command_line(database: Database) {
    let running = Running::start(database).await;
    let gateway = &running.desk.gateway;
    gateway.server_and_account().await;
    gateway.account("wg_name=Default_1").await;
    let create = |account: &str, uses, days| Order::CreateLink { account: account.to_owned(), uses, days };
    let address = running.ok::<String>(create("peer_1", 2, Some(1))).await.remove(0);
    let path = address.strip_prefix(HOST).unwrap();
    running.ok::<String>(create("peer_2", 1, None)).await;
    running.refused(create("peer_9", 1, None), "no such account").await;
    running.refused(create("peer_1", 0, None), "1 to 1000 times").await;
    running.refused(create("peer_1", 1001, None), "1 to 1000 times").await;
    running.refused(create("peer_1", 1, Some(0)), "1 to 3650 days").await;
    running.refused(create("peer_1", 1, Some(3651)), "1 to 3650 days").await;
    let list = |account: Option<&str>, all| Order::ListLinks { account: account.map(str::to_owned), all };
    assert_eq!(running.ok::<LinkLine>(list(None, false)).await.len(), 2);
    assert!(!gateway.look(path).await.text.contains("shows your configuration once"));
    let first = gateway.press(path).await;
    assert!(first.status == 200 && !first.text.contains("is used up now"), "{}", first.text);
    let line = running.ok::<LinkLine>(list(Some("peer_1"), false)).await.remove(0);
    assert_eq!((line.uses, line.uses_left, line.used_from.as_deref()), (2, 1, Some("203.0.113.9")));
    assert!(gateway.look(path).await.text.contains("shows your configuration once"));
    assert!(gateway.press(path).await.text.contains("is used up now"));
    assert_eq!(gateway.press(path).await.status, 404);
    assert!(running.ok::<LinkLine>(list(Some("peer_1"), false)).await.is_empty());
    assert_eq!(running.ok::<LinkLine>(list(Some("peer_1"), true)).await.len(), 1, "who used it can be seen");
    running.refused(list(Some("peer_9"), false), "no such account").await;
    let other = running.ok::<LinkLine>(list(Some("peer_2"), false)).await.remove(0);
    running.ok::<Value>(Order::RevokeLink { id: other.id }).await;
    running.refused(Order::RevokeLink { id: other.id }, "no such one-time link").await;
    let mut settings = running.ok::<LinkSettings>(Order::LinkSettings).await.remove(0);
    settings.title = "Castle".to_owned();
    running.ok::<Value>(Order::SetLinkSettings { settings: Box::new(settings.clone()) }).await;
    assert_eq!(running.ok::<LinkSettings>(Order::LinkSettings).await, [settings.clone()]);
    settings.lifetime_days = 0;
    running.refused(Order::SetLinkSettings { settings: Box::new(settings) }, "lifetime_days").await;
}
