//! Guests in the panel: the login log, reports, persons, and who is there now.

use axum::http::StatusCode;
use doorward::app::{operators::Role, vouchers::VoucherWish};
use serde_json::Value;

use crate::{
    browser::Browser,
    databases::Database,
    gateway::Gateway,
    guests::{device, hotspot, is_online, mac, person, voucher},
};

both_engines!(
    the_log_and_reports,
    a_person_is_exported_and_erased,
    a_guest_is_seen_and_thrown_out,
    names_of_guests_are_text,
);

async fn the_log_and_reports(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    assert!(root.get("/logins").await.text.contains("Nobody has logged in yet"));
    let lobby = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish { devices: Some(2), ..VoucherWish::default() }).await;
    for n in [1, 2] {
        gateway.app.log_in_with_voucher(&device(&lobby, n), "guest107", "tulip-4402").await.unwrap();
    }
    for passcode in ["wrong", "worse"] {
        gateway.app.log_in_with_voucher(&device(&lobby, 3), "guest107", passcode).await.unwrap_err();
    }
    let log = root.get("/logins").await.text;
    assert!(log.contains("1–4 / 4") && log.contains("guest107"), "{log}");
    assert!(root.get("/logins?success=0").await.text.contains("1–2 / 2"));
    assert!(root.get("/logins?success=1&method=voucher&q=GUEST").await.text.contains("1–2 / 2"));
    assert!(root.get("/logins?method=email").await.text.contains("Nothing was found"));
    let csv = root.get("/logins.csv?success=0").await.text;
    assert_eq!(csv.lines().count(), 3, "{csv}");
    // One guest who came twice, and was refused twice.
    let report = root.get("/guests/voucher").await.text;
    let figures: Vec<&str> =
        report.split("<p class=\"h1\">").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    assert_eq!(figures, ["1", "1", "2"]);
    for (days, count) in [("7", 7), ("30", 30), ("90", 90), ("5000", 30)] {
        let json: Value = root.get(&format!("/guests/voucher/logins.json?days={days}")).await.json();
        let (x, good) = (json["x"].as_array().unwrap(), json["series"][0].as_array().unwrap());
        assert_eq!((x.len(), good.len()), (count, count), "{days}");
        assert_eq!((good.last(), json["series"][1].as_array().unwrap().last()), (Some(&2.into()), Some(&2.into())));
        assert!(x.windows(2).all(|pair| pair[0].as_i64() < pair[1].as_i64()));
    }
    assert_eq!(root.get("/guests/nothing").await.status, StatusCode::NOT_FOUND);
}

async fn a_person_is_exported_and_erased(database: Database) {
    let gateway = Gateway::start(database).await;
    let (root, viewer) =
        (Browser::new(&gateway, "root", Role::Admin).await, Browser::new(&gateway, "eve", Role::Viewer).await);
    let lobby = hotspot(&gateway).await;
    let ann = device(&lobby, 1);
    gateway.app.log_in_person(&ann, person("ann@example.com")).await.unwrap();
    let list = root.get("/guests/email?q=ANN").await.text;
    let link = list.split("href=\"/person/").nth(1).unwrap().split('"').next().unwrap();
    assert!(root.get("/guests/email/list.csv").await.text.contains("\"ann@example.com\""));
    assert!(!viewer.get("/guests/email").await.text.contains("/person/"));
    for path in [format!("/person/{link}"), format!("/person/{link}/export.json")] {
        assert_eq!(viewer.get(&path).await.status, StatusCode::FORBIDDEN);
        assert!(root.get(&path).await.text.contains("ann@example.com"));
    }
    assert_eq!(viewer.post(&format!("/person/{link}/erase"), &[]).await.status, StatusCode::FORBIDDEN);
    assert!(is_online(&gateway, &ann));
    assert!(root.done(&format!("/person/{link}/erase"), &[]).await.text.contains("was erased"));
    assert!(!is_online(&gateway, &ann));
    for path in ["/guests/email", "/logins", "/audit", "/audit.csv"] {
        assert!(!root.get(path).await.text.contains("ann@example.com"), "{path}");
    }
    assert_eq!(root.get(&format!("/person/{link}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(root.get("/person/x").await.status, StatusCode::NOT_FOUND);
}

async fn a_guest_is_seen_and_thrown_out(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Operator).await;
    assert!(root.get("/live").await.text.contains("Nobody is there now"));
    let lobby = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish::default()).await;
    let (ann, bob) = (device(&lobby, 1), device(&lobby, 2));
    for device in [&ann, &bob] {
        gateway.app.hosts().seen(device.hotspot, device.mac, device.address, doorward::clock::now_ms());
    }
    gateway.app.log_in_with_voucher(&ann, "guest107", "tulip-4402").await.unwrap();
    // A reading of the kernel serves the list for two seconds.
    let mut page = String::new();
    for _ in 0..50 {
        page = root.get("/live").await.text;
        if page.contains("guest107") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(page.contains("guest107") && page.contains("1–1 / 1"), "{page}");
    let hosts = root.get("/live?show=hosts&sort=address&desc=1").await.text;
    assert!(hosts.contains("1–2 / 2") && hosts.contains("log in"), "{hosts}");
    assert!(root.get("/live.csv?show=hosts").await.text.lines().count() == 3);
    assert!(root.get("/live?q=nobody").await.text.contains("Nothing was found"));
    let chosen = mac(1).to_string();
    let page = root.done("/live/kick", &[("mac", &chosen)]).await.text;
    assert!(page.contains("Thrown out: 1.") && page.contains("It is in effect"), "{page}");
    assert!(!is_online(&gateway, &ann));
    assert!(root.done("/live/kick", &[("mac", &chosen)]).await.text.contains("None of them is online"));
    assert!(root.done("/live/kick", &[]).await.text.contains("Choose guests first"));
    assert_eq!(root.post("/live/kick", &[("mac", "x")]).await.status, StatusCode::BAD_REQUEST);
}

async fn names_of_guests_are_text(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let lobby = hotspot(&gateway).await;
    let evil = "=cmd|<img/src=x>\"'@example.com";
    let mut who = person(evil);
    who.name = Some("<script>alert(1)</script>".to_owned());
    gateway.app.log_in_person(&device(&lobby, 1), who).await.unwrap();
    for path in ["/guests/email", "/logins", "/live", "/live?show=hosts"] {
        let page = root.get(path).await;
        assert!(page.status == StatusCode::OK && page.text.contains("=cmd|"), "{path}");
        assert!(!page.text.contains("<img/src") && !page.text.contains("<script>alert"), "{path}: {}", page.text);
    }
    for path in ["/guests/email/list.csv", "/logins.csv", "/live.csv"] {
        let csv = root.get(path).await.text;
        assert!(csv.contains("\"'=cmd|<img/src=x>\"\"'@example.com\""), "{path}: {csv}");
    }
}
