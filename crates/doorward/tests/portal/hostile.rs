//! What nobody should send.

use doorward::hotspot_settings::{Field, Lang, MethodSettings, Texts};
use doorward_policy::guest::Method;

use crate::{
    databases::Database,
    house::{House, encode},
};

both_engines!(texts_stay_texts, forms_need_a_token_of_their_device, bodies_are_bounded, nothing_makes_it_fall);

const NASTY: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}'&amp;";

async fn texts_stay_texts(database: Database) {
    let house = House::with(database, |settings, _| {
        let texts = |text: &str| Texts {
            title: text.chars().take(80).collect(),
            welcome: text.to_owned(),
            terms: text.to_owned(),
            marketing: text.to_owned(),
        };
        settings.texts.insert(Lang::En, texts(NASTY));
        let fields = vec![Field { label: NASTY.chars().take(80).collect(), required: true }];
        let voucher = MethodSettings::new(Method::Voucher);
        settings.methods = vec![voucher, MethodSettings { fields, ..MethodSettings::new(Method::Email) }];
    })
    .await;
    house.alice().await;
    let guest = house.guest(7);
    let clean = |text: &str| {
        assert!(!text.contains("<script") && !text.contains("<img src=x"), "{text}");
        assert!(!text.contains("\u{202e}"), "{text}");
    };
    clean(&guest.get("/").await.text);
    clean(&guest.get("/terms").await.text);
    clean(&guest.get(&format!("/v/{}", encode(NASTY))).await.text);
    clean(&guest.get(&format!("/?u={}&p={}", encode(NASTY), encode(NASTY))).await.text);
    clean(&guest.get(&format!("/?lang={}", encode(NASTY))).await.text);
    clean(&guest.get_from(&format!("example.com{}", encode(NASTY)), "/%3Cscript%3E?%3Cscript%3E").await.text);
    let page = guest.get("/").await;
    let voucher = page.form("/login/voucher").with("u", &format!("{NASTY}\u{202e}\u{7}")).with("p", NASTY);
    clean(&guest.press(&voucher.with("terms", "1")).await.text);
    let email = page.form("/login/email").with("email", NASTY).with("field0", "a\r\nb\u{202e}");
    let shown = guest.press(&email.with("terms", "1")).await;
    clean(&shown.text);
    shown.is(422).shows("characters that cannot be used");
    // What was typed is in the log, without what could break it.
    let logins = house.logins().await;
    assert!(logins.iter().all(|(_, login, _)| !login.chars().any(char::is_control)), "{logins:?}");
}

async fn forms_need_a_token_of_their_device(database: Database) {
    let house = House::open(database).await;
    house.alice().await;
    let (guest, other) = (house.guest(7), house.guest(8));
    let token = other.get("/").await.form("/login/voucher").value("token").unwrap().to_owned();
    for form in [
        "u=alice&p=secret-1".to_owned(),
        "u=alice&p=secret-1&token=".to_owned(),
        format!("u=alice&p=secret-1&token={token}"),
        format!("u=alice&p=secret-1&token={}", "0".repeat(32)),
    ] {
        guest.post("/login/voucher", &form).await.is(403).shows("open for too long");
        guest.post(&format!("/login/voucher?{form}"), "").await.is(403);
    }
    assert!(!guest.online());
    let own = other.get("/").await.form("/login/voucher");
    other.press(&own.with("u", "alice").with("p", "secret-1")).await.is(303);
    guest.post("/logout", &format!("token={token}")).await.is(403);
    guest.post("/release", &format!("token={token}&u=alice&p=secret-1&mac={}", other.mac)).await.is(403);
    other.post("/logout", "").await.is(403);
    assert!(other.online());
}

async fn bodies_are_bounded(database: Database) {
    let house = House::open(database).await;
    let guest = house.guest(7);
    let token = guest.get("/").await.form("/login/voucher").value("token").unwrap().to_owned();
    let form = |bytes: usize| format!("token={token}&u={}", "a".repeat(bytes - token.len() - 9));
    guest.post("/login/voucher", &form(16 * 1024)).await.is(403).shows("This code is not valid");
    guest.post("/login/voucher", &form(16 * 1024 + 1)).await.is(403).shows("open for too long");
    let long = format!("/?u={}", "a".repeat(4096));
    guest.get(&long).await.is(414);
    guest.get_from("example.com", &long).await.is(414);
}

async fn nothing_makes_it_fall(database: Database) {
    let house = House::open(database).await;
    let guest = house.guest(7);
    let token = guest.get("/").await.form("/login/voucher").value("token").unwrap().to_owned();
    let mut state = 7_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    for path in ["/login/voucher", "/login/email", "/code", "/release", "/logout", "/login/facebook", "/nothing", "/"] {
        for round in 0..40 {
            let mut body = if round % 2 == 0 { format!("token={token}&").into_bytes() } else { Vec::new() };
            body.extend((0..byte()).map(|_| byte()));
            let page = guest.ask("POST", crate::house::HOST, path, Some(body)).await;
            assert!(page.status < 500, "{page:?}");
        }
    }
    for host in ["\u{e4}", "a b", ":", "[", "[::1", "]", "@", "a@b", "login.guest.internal:x"] {
        let page = guest.ask("GET", host, "/", None).await;
        assert!(page.status < 500, "{page:?}");
    }
}
