//! Every page: languages, size, policy, what operators set.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use doorward::hotspot_settings::{
    Field, HotspotSettings, Lang, Logo, Mail, MailTls, MethodSettings, Provider, Sms, Texts,
};
use doorward_policy::guest::{Mac, Method};

use crate::{
    databases::Database,
    house::{Guest, House, Page, encode},
};

both_engines!(
    the_first_view_is_small_and_whole,
    languages,
    policies_and_headers,
    strangers_and_blocked_devices,
    what_does_not_exist,
);

/// A hotspot with everything that a page can hold.
fn everything(settings: &mut HotspotSettings) {
    let mut noise = vec![0x89];
    noise.extend(b"PNG\r\n\x1a\n");
    noise.extend((0..18_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]));
    settings.logo = Some(Logo { mime: "image/png".to_owned(), data: BASE64_STANDARD.encode(&noise) });
    settings.colour = "#ffcc00".to_owned();
    for lang in Lang::ALL {
        let texts = Texts {
            title: "T".repeat(80),
            welcome: "W".repeat(500),
            terms: "Terms.".to_owned(),
            marketing: "M".repeat(500),
        };
        settings.texts.insert(lang, texts);
    }
    let fields = vec![Field { label: "F".repeat(80), required: true }; 3];
    let provider = Provider {
        label: "P".repeat(40),
        issuer: "https://id.example".to_owned(),
        authorize_url: String::new(),
        token_url: String::new(),
        userinfo_url: String::new(),
        client_id: "c".to_owned(),
        client_secret: String::new(),
        scopes: String::new(),
        garden: Vec::new(),
    };
    settings.methods = Method::ALL
        .into_iter()
        .map(|method| MethodSettings {
            fields: fields.clone(),
            password: "p".to_owned(),
            provider: Some(provider.clone()),
            ..MethodSettings::new(method)
        })
        .collect();
}

async fn full_house(database: Database) -> House {
    House::with(database, |settings, guests| {
        everything(settings);
        let host = "127.0.0.1".to_owned();
        let from = "wifi@hotel.example".to_owned();
        let (username, password) = (String::new(), String::new());
        guests.mail = Some(Mail { host, port: 25, tls: MailTls::None, username, password, from });
        guests.sms = Some(Sms {
            method: "GET".to_owned(),
            url: "https://sms.example/?n={number}&t={text}".to_owned(),
            headers: Default::default(),
            body: String::new(),
            country_code: String::new(),
        });
    })
    .await
}

async fn the_first_view_is_small_and_whole(database: Database) {
    let house = full_house(database).await;
    let guest = house.guest(7);
    let page = guest.get("/").await;
    let logo = guest.get("/logo").await;
    assert_eq!((page.status, logo.status, logo.header("content-type")), (200, 200, "image/png"));
    let logo_bytes = house.hotspot.settings.logo.as_ref().unwrap().bytes().unwrap().len();
    let all = page.text.len() + logo_bytes;
    assert!(all <= 30_000 + 6_000, "{} + {logo_bytes}", page.text.len());
    // The longest texts and questions that can be set, five times over, are not what a hotspot has.
    let small = page.text.len() - 500 * 4 - 80 * 6 - 40 * 2;
    assert!(small + logo_bytes <= 31_000, "{small} + {logo_bytes}");
    let order = ["/login/voucher?", "/login/email?", "/login/mobile?", "/login/facebook?", "/login/free?"];
    let places: Vec<_> = order.iter().map(|action| page.text.find(action).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(page.text.matches("<details").count(), 5);
    assert_eq!(page.text.matches(" open>").count(), 1);
    page.hides("<script").hides("http:").hides("https:").hides("onclick").hides("checked");
    // Marketing is asked with an address, a number or an account, and never ticked.
    assert_eq!((page.text.matches("name=\"marketing\"").count(), page.text.matches("name=\"terms\"").count()), (3, 5));
    page.shows("html{--c:#ffcc00;--on:#111}");
}

async fn languages(database: Database) {
    let house = House::open(database).await;
    let mut guest = house.guest(7);
    for (accept, lang, title) in [
        ("de-CH", "de", "Gäste-WLAN"),
        ("es;q=0.9, ja", "es", "Wi-Fi para invitados"),
        ("fr", "fr", "Wi-Fi invités"),
        ("pl", "pl", "Wi-Fi dla gości"),
        ("ja", "en", "Guest Wi-Fi"),
    ] {
        accept.clone_into(&mut guest.language);
        let page = guest.get("/").await;
        page.shows(&format!("<html lang=\"{lang}\"")).shows(title).shows(&format!("/login/voucher?lang={lang}"));
        assert_eq!(page.header("set-cookie"), "");
        let page = guest.get("/?lang=pl").await;
        page.shows("Wi-Fi dla gości").shows("lang=\"pl\" hreflang=\"pl\" aria-current=\"true\"");
        assert!(page.header("set-cookie").starts_with("lang=pl; Path=/; Max-Age="));
    }
    guest.get("/?lang=xx").await.shows("Guest Wi-Fi");
    // A page that was sent by a button is left by a link that works.
    let form = guest.get("/?lang=de").await.form("/login/voucher");
    guest.press(&form).await.is(422).shows("Bitte füllen Sie dieses Feld aus.");
    let page = guest.get("/login/voucher?lang=fr").await;
    assert_eq!(page.is(303).header("location"), "/?lang=fr");
}

async fn policies_and_headers(database: Database) {
    let house = full_house(database).await;
    house.alice().await;
    let guest = house.guest(7);
    let check = |page: &Page| {
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.ends_with("form-action 'self'; base-uri 'none'; frame-ancestors 'none'"), "{policy}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("connection", "close"),
            ("content-type", "text/html; charset=utf-8"),
        ] {
            assert_eq!(page.header(name), value, "{name}");
        }
        // The style on the page is the one that the policy allows.
        let style = page.text.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let hash = BASE64_STANDARD.encode(<sha2::Sha256 as sha2::Digest>::digest(style.as_bytes()));
        assert!(policy.contains(&hash));
        page.hides(" style=").hides("<script").hides("javascript:");
    };
    let front = guest.get("/").await;
    check(&front);
    check(&guest.get("/terms").await);
    check(&guest.get("/nothing").await);
    check(&guest.get("/v/ABCD").await);
    let form = front.form("/login/voucher").with("u", "alice").with("p", "secret-1").with("terms", "1");
    check(&guest.press(&form.clone().with("p", "x")).await);
    guest.press(&form).await.is(303);
    let status = guest.get("/").await;
    check(&status);
    check(&guest.press(&status.form("/logout")).await);
    let logo = guest.get("/logo").await;
    assert!(logo.header("content-security-policy").ends_with("sandbox"));
}

async fn strangers_and_blocked_devices(database: Database) {
    let house = House::open(database).await;
    let stranger = house.stranger(8);
    let page = stranger.get("/").await;
    page.is(200).shows("One moment").shows("http-equiv=\"refresh\" content=\"3\"").hides("<form");
    stranger.post("/login/voucher", "u=a&p=b").await.is(200).shows("One moment");
    let guest: Guest<'_> = house.guest(9);
    let form = guest.get("/").await.form("/login/voucher");
    block(&house, guest.mac).await;
    guest.get("/").await.is(403).shows("This device is blocked here.");
    guest.press(&form).await.is(403).shows("This device is blocked here.");
    let page = guest.get_from("captive.apple.com", "/hotspot-detect.html").await;
    assert_eq!(page.is(302).header("location"), "http://login.guest.internal/");
}

async fn block(house: &House, mac: Mac) {
    use doorward::app::hotspots::DevicePolicy;
    house.app.set_device_policy("lobby", mac, Some(DevicePolicy::Blocked), String::new()).await.unwrap();
}

async fn what_does_not_exist(database: Database) {
    let house = House::open(database).await;
    let guest = house.guest(7);
    for path in ["/x", "/v/", "/v/a/b", "/terms", "/logo", "/login", "/..%2f", "/%ff", "/favicon.ico"] {
        guest.get(path).await.is(404).shows("Nothing here");
    }
    let token = guest.get("/").await.form("/login/voucher").value("token").unwrap().to_owned();
    // Methods that are not offered.
    for method in ["email", "mobile", "free", "facebook"] {
        guest.post(&format!("/login/{method}"), &format!("token={}", encode(&token))).await.is(404);
    }
    guest.get("/login/facebook/back?state=a&code=b").await.is(404);
    assert!(!guest.online());
}
