//! Devices that look for the internet, in the states captive, online and kicked; and the captive-portal API.

use doorward::app::vouchers::VoucherWish;
use doorward_policy::voucher::Passcode;
use serde_json::Value;

use crate::{
    databases::Database,
    house::{Form, Guest, HOST, House},
};

both_engines!(
    probes_hear_what_is_so,
    other_hosts_lead_to_the_portal,
    the_captive_portal_api,
    a_device_comes_back,
    with_a_certificate
);

const PROBES: [(&str, &str, u16, &str); 9] = [
    (
        "captive.apple.com",
        "/hotspot-detect.html",
        200,
        "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>",
    ),
    ("connectivitycheck.gstatic.com", "/generate_204", 204, ""),
    ("www.google.com", "/gen_204", 204, ""),
    ("connectivity-check.ubuntu.com", "/", 204, ""),
    ("www.msftconnecttest.com", "/connecttest.txt", 200, "Microsoft Connect Test"),
    ("www.msftncsi.com", "/ncsi.txt", 200, "Microsoft NCSI"),
    (
        "detectportal.firefox.com",
        "/canonical.html",
        200,
        r#"<meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>"#,
    ),
    ("detectportal.firefox.com", "/success.txt?ipv4", 200, "success\n"),
    ("nmcheck.gnome.org", "/check_network_status.txt", 200, "NetworkManager is online\n"),
];

async fn log_in(guest: &Guest<'_>) {
    let form: Form = guest.get("/").await.form("/login/voucher");
    guest.press_and_follow(&form.with("u", "alice").with("p", "secret-1")).await.shows("You are online");
    assert!(guest.online());
}

async fn captive(guest: &Guest<'_>) {
    for (host, path, ..) in PROBES {
        let page = guest.get_from(host, path).await;
        page.is(302).shows("href=\"http://login.guest.internal/\"");
        assert_eq!(page.header("location"), "http://login.guest.internal/");
        assert_eq!((page.header("connection"), page.header("cache-control")), ("close", "no-store"));
    }
}

async fn probes_hear_what_is_so(database: Database) {
    let house = House::open(database).await;
    house.alice().await;
    let guest = house.guest(7);
    captive(&guest).await;
    captive(&house.stranger(8)).await;
    log_in(&guest).await;
    for (host, path, status, text) in PROBES {
        let page = guest.get_from(host, path).await;
        assert_eq!((page.status, page.text.as_str()), (status, text), "{host}");
        assert_eq!(page.header("cache-control"), "no-store");
    }
    assert!(house.app.kick(house.hotspot.hotspot.id, guest.mac).await.unwrap());
    captive(&guest).await;
}

async fn other_hosts_lead_to_the_portal(database: Database) {
    let house = House::open(database).await;
    let guest = house.guest(7);
    for (host, path) in [
        ("example.com", "/"),
        ("example.com:8080", "/login/voucher"),
        ("198.51.100.1", "/"),
        ("[2001:db8::1]:80", "/x?y"),
        ("", "/"),
        ("login.guest.internal.evil.example", "/"),
        ("10.30.0.2", "/"),
    ] {
        for method in ["GET", "POST", "HEAD", "PUT", "OPTIONS"] {
            let page = guest.ask(method, host, path, Some(b"a=b".to_vec())).await;
            page.is(302);
            assert_eq!(page.header("location"), "http://login.guest.internal/", "{method} {host}");
        }
    }
    for own in [HOST, "LOGIN.guest.internal.", "login.guest.internal:80", "10.30.0.1", "[fd30::1]", "[fd30::1]:80"] {
        guest.get_from(own, "/").await.is(200).shows("/login/voucher");
    }
}

async fn the_captive_portal_api(database: Database) {
    let house =
        House::with(database, |settings, _| settings.venue_url = Some("https://hotel.example/".to_owned())).await;
    let day = doorward_policy::voucher::ValidFor::parse("1 day");
    let limits = doorward_policy::guest::DataLimits { down: Some(5000), up: None, total: Some(9000) };
    let wish = VoucherWish {
        username: Some("alice".parse().unwrap()),
        passcode: Passcode::new("secret-1".to_owned()).ok(),
        valid_for: day,
        limits,
        ..VoucherWish::default()
    };
    house.voucher(wish).await;
    let mut guest = house.guest(7);
    guest.get("/captive").await.is(303);
    guest.accept = "text/html, application/captive+json;q=0.9".to_owned();
    let page = guest.get("/captive").await;
    assert_eq!(page.header("content-type"), "application/captive+json");
    let answer: Value = serde_json::from_str(&page.text).unwrap();
    let expected = serde_json::json!({
        "captive": true, "user-portal-url": "http://login.guest.internal/",
        "venue-info-url": "https://hotel.example/", "can-extend-session": false
    });
    assert_eq!(answer, expected);
    log_in(&guest).await;
    let answer: Value = serde_json::from_str(&guest.get("/captive").await.text).unwrap();
    assert_eq!((&answer["captive"], &answer["bytes-remaining"]), (&false.into(), &5000.into()));
    let seconds = answer["seconds-remaining"].as_u64().unwrap();
    assert!((86_300..=86_400).contains(&seconds), "{seconds}");
}

async fn a_device_comes_back(database: Database) {
    let house = House::open(database).await;
    house.alice().await;
    let guest = house.guest(7);
    log_in(&guest).await;
    // As after a long rest: the session is over, the voucher is not.
    let session = house.app.hosts().online(house.hotspot.hotspot.id, guest.mac).unwrap().session;
    house.app.end_sessions(&[(session, doorward_policy::guest::EndReason::Idle)]).await.unwrap();
    assert!(!guest.online());
    let page = guest.get_from("connectivitycheck.gstatic.com", "/generate_204").await;
    page.is(204);
    assert!(guest.online());
    // Who logged out has to log in.
    let form = guest.get("/").await.form("/logout");
    guest.press(&form).await.is(200).shows("You are logged out");
    assert!(!guest.online());
    guest.get_from("connectivitycheck.gstatic.com", "/generate_204").await.is(302);
    guest.get("/").await.is(200).shows("/login/voucher");
}

async fn with_a_certificate(database: Database) {
    let house = House::secure(database).await;
    let mut guest = house.guest(7);
    let page = guest.get_from("captive.apple.com", "/hotspot-detect.html").await;
    assert_eq!(page.is(302).header("location"), "https://login.guest.internal/");
    let page = guest.get("/v/ABC?lang=de").await;
    assert_eq!(page.is(302).header("location"), "https://login.guest.internal/v/ABC?lang=de");
    // The certificate is for the name.
    guest.get_from("10.30.0.1", "/").await.is(200);
    guest.tls = true;
    guest.get("/").await.is(200).shows("/login/voucher");
    guest.accept = "application/captive+json".to_owned();
    let answer: Value = serde_json::from_str(&guest.get("/captive").await.text).unwrap();
    assert_eq!(answer["user-portal-url"], "https://login.guest.internal/");
}
