//! The voucher desk.

use std::collections::HashMap;

use axum::http::StatusCode;
use doorward::{
    app::{
        operators::Role,
        vouchers::{VoucherFilter, VoucherWish},
    },
    clock::now_ms,
    hosts::Lease,
};
use doorward_policy::{
    guest::{DataLimits, DataUse},
    limits::Mbit,
    voucher::VoucherId,
};

use crate::{
    browser::Browser,
    databases::Database,
    gateway::Gateway,
    guests::{device, hotspot, mac, voucher},
};

both_engines!(
    one_is_made_and_printed_in_two_steps,
    a_thousand_are_made_once,
    forms_that_are_refused_keep_what_was_typed,
    a_voucher_is_edited_extended_switched_and_deleted,
    several_at_once,
    unused_ones_are_counted_then_deleted,
    texts_of_people_are_texts,
    who_used_a_voucher_is_shown,
    the_form_begins_with_the_last_values,
);

const TERMS: &[(&str, &str)] = &[("valid_for", "1 day"), ("starts", "first_use"), ("devices", "2")];

fn with<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    TERMS.iter().chain(pairs).copied().collect()
}

async fn all(gateway: &Gateway) -> Vec<doorward::app::vouchers::VoucherRecord> {
    gateway.app.voucher_page(&VoucherFilter::default(), VoucherId(0), 100_000).await.unwrap()
}

async fn one_is_made_and_printed_in_two_steps(database: Database) {
    let gateway = Gateway::start(database).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    assert!(desk.get("/vouchers").await.text.contains("There are no vouchers yet"));
    let form = desk.get("/vouchers/+new").await.text;
    assert!(form.contains("value=\"1 day\" selected"), "the preset: {form}");
    let wish = with(&[
        ("count", "1"),
        ("kind", "login"),
        ("username", "room-12"),
        ("passcode", "sesame"),
        ("fullname", "Ann"),
        ("down", "100"),
        ("note", "VIP"),
    ]);
    let page = desk.done("/vouchers/+new", &wish).await;
    for text in ["room-12", "sesame", "Ann", "1 day from the first login", "100 MB", "1 voucher"] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    let made = all(&gateway).await;
    assert_eq!((made.len(), made[0].terms.devices, made[0].terms.note.as_str()), (1, 2, "VIP"));
    assert_eq!(made[0].terms.limits.down, Some(100 << 20));
    let list = desk.get("/vouchers").await.text;
    assert!(list.contains("room-12") && !list.contains("sesame"), "no secret in a list");
    assert!(desk.get("/vouchers.csv").await.text.contains("\"room-12\",\"sesame\""));
    let viewer = Browser::new(&gateway, "eve", Role::Viewer).await;
    assert!(viewer.get("/vouchers.csv").await.text.contains("\"room-12\",\"\""));
    assert!(!viewer.get("/voucher/room-12").await.text.contains("sesame"));
    assert_eq!(viewer.get("/vouchers/+print?name=room-12").await.status, StatusCode::FORBIDDEN);
}

async fn a_thousand_are_made_once(database: Database) {
    let gateway = Gateway::start(database).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    let ticket = "a".repeat(32);
    let wish = with(&[("count", "1000"), ("kind", "code"), ("note", "batch 7"), ("ticket", &ticket)]);
    let (one, two) = (desk.post("/vouchers/+new", &wish).await, desk.post("/vouchers/+new", &wish).await);
    assert_eq!(one.status, StatusCode::SEE_OTHER, "{one:?}");
    assert_eq!(one.headers["location"], two.headers["location"], "pressed twice");
    assert_eq!(all(&gateway).await.len(), 1000);
    let other = with(&[("count", "2"), ("kind", "code"), ("ticket", &ticket)]);
    assert_eq!(desk.post("/vouchers/+new", &other).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let sheet = desk.get(one.headers["location"].to_str().unwrap()).await.text;
    assert_eq!(sheet.matches("class=\"voucher-card\"").count(), 1000);
    assert!(sheet.contains("1,000 vouchers"));
    let page = desk.get("/vouchers?note=batch+7&status=unused&size=25&page=40").await.text;
    assert!(page.contains("976–1,000 / 1,000"), "{page}");
    assert!(desk.get("/vouchers?status=active").await.text.contains("Nothing was found"));
    let csv = desk.get("/vouchers.csv?sort=username&desc=0").await.text;
    let names: Vec<&str> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert!(names.len() == 1000 && names.is_sorted(), "{}", names.len());
}

async fn forms_that_are_refused_keep_what_was_typed(database: Database) {
    let gateway = Gateway::start(database).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    for (pairs, word) in [
        (&[("count", "0")][..], "Between 1 and 10,000"),
        (&[("count", "10001")], "Between 1 and 10,000"),
        (&[("count", "x")], "Between 1 and 10,000"),
        (&[("count", "1"), ("devices", "0")], "between 1 and 1000 devices"),
        (&[("count", "1"), ("devices", "1001")], "between 1 and 1000 devices"),
        (&[("count", "1"), ("down", "-1")], "number of MB"),
        (&[("count", "1"), ("total", "9437185")], "number of MB"),
        (&[("count", "1"), ("speed_up", "10001")], "Mbit/s from 0 to 10000"),
        (&[("count", "1"), ("valid_for", "3 weeks")], "how long"),
        (&[("count", "1"), ("valid_from", "tomorrow")], "date and time"),
        (&[("count", "1"), ("note", "a\nb")], "A note has"),
        (&[("count", "1"), ("kind", "login"), ("username", "a b")], "without spaces"),
    ] {
        let typed = with(pairs);
        let answer = desk.post("/vouchers/+new", &typed).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{pairs:?}");
        assert!(answer.text.contains(word), "{pairs:?}: {}", answer.text);
        let last = typed.last().unwrap().1;
        assert!(answer.text.contains(last) || last == "3 weeks", "{pairs:?}");
    }
    assert!(all(&gateway).await.is_empty());
    assert_eq!(desk.get("/voucher/nobody").await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.post("/voucher/nobody", TERMS).await.status, StatusCode::NOT_FOUND);
}

async fn a_voucher_is_edited_extended_switched_and_deleted(database: Database) {
    let gateway = Gateway::start(database).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    let wish = [
        ("count", "1"),
        ("kind", "login"),
        ("username", "r/1"),
        ("valid_for", "1 day"),
        ("starts", "moment"),
        ("devices", "1"),
    ];
    desk.done("/vouchers/+new", &wish).await;
    let before = all(&gateway).await.remove(0);
    let page = desk.get("/voucher/r%2F1").await;
    assert_eq!(page.status, StatusCode::OK);
    // Sent back as it is, nothing of the time changes.
    let from = page.text.split("name=\"valid_from\" type=\"datetime-local\" step=\"1\" value=\"").nth(1).unwrap();
    let from = from.split('"').next().unwrap();
    let same = [
        ("valid_for", "1 day"),
        ("starts", "moment"),
        ("valid_from", from),
        ("devices", "3"),
        ("note", "x"),
        ("fullname", "Bo"),
    ];
    let page = desk.done("/voucher/r%2F1", &same).await;
    assert!(page.text.contains("was saved") && page.text.contains("It is in effect"), "{}", page.text);
    let after = all(&gateway).await.remove(0);
    assert_eq!((after.ends_ms, after.terms.devices, after.fullname.as_str()), (before.ends_ms, 3, "Bo"));
    assert_eq!(after.passcode, before.passcode, "empty: unchanged");
    desk.done("/voucher/r%2F1/extend", &[("by", "2 days")]).await;
    assert_eq!(all(&gateway).await[0].ends_ms, before.ends_ms.map(|ms| ms + 2 * 86_400_000));
    desk.done("/voucher/r%2F1/switch", &[("enabled", "0")]).await;
    assert!(!all(&gateway).await[0].enabled && desk.get("/vouchers?status=disabled").await.text.contains("r/1"));
    assert_eq!(desk.post("/voucher/r%2F1/switch", &[]).await.status, StatusCode::BAD_REQUEST);
    desk.done("/voucher/r%2F1/switch", &[("enabled", "1")]).await;
    assert!(all(&gateway).await[0].enabled);
    let refused = desk.post("/voucher/r%2F1/extend", &[("by", "always")]).await;
    assert_eq!(refused.headers["location"], "/voucher/r%2F1");
    assert!(desk.get("/voucher/r%2F1").await.text.contains("These values do not go together"));
    desk.done("/voucher/r%2F1/delete", &[]).await;
    assert!(all(&gateway).await.is_empty());
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let log = root.get("/audit").await.text;
    for word in ["vouchers · create", "vouchers · edit", "vouchers · extend", "vouchers · disable", "vouchers · delete"]
    {
        assert!(log.contains(word), "{word}");
    }
}

async fn several_at_once(database: Database) {
    let gateway = Gateway::start(database).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    desk.done("/vouchers/+new", &with(&[("count", "5"), ("kind", "code")])).await;
    let names: Vec<String> = all(&gateway).await.into_iter().map(|voucher| voucher.username).collect();
    let chosen = |action| -> Vec<(&str, &str)> {
        names[..2].iter().map(|n| ("name", n.as_str())).chain([("action", action)]).collect()
    };
    assert!(desk.done("/vouchers/+bulk", &chosen("disable")).await.text.contains("Done: 2."));
    assert_eq!(all(&gateway).await.iter().filter(|voucher| !voucher.enabled).count(), 2);
    let mut extend = chosen("extend");
    extend.push(("by", "1 day"));
    // Their time begins with the first login, so there is no end to move.
    assert!(desk.done("/vouchers/+bulk", &extend).await.text.contains("Not possible: 2"));
    let print = desk.post("/vouchers/+bulk", &chosen("print")).await;
    let sheet = desk.get(print.headers["location"].to_str().unwrap()).await.text;
    assert_eq!(sheet.matches("class=\"voucher-card\"").count(), 2);
    assert!(desk.done("/vouchers/+bulk", &chosen("delete")).await.text.contains("Done: 2."));
    assert_eq!(all(&gateway).await.len(), 3);
    assert!(desk.done("/vouchers/+bulk", &[("action", "delete")]).await.text.contains("Choose vouchers first"));
    assert_eq!(desk.post("/vouchers/+bulk", &[("action", "burn")]).await.status, StatusCode::BAD_REQUEST);
}

async fn unused_ones_are_counted_then_deleted(database: Database) {
    let gateway = Gateway::start(database).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    desk.done("/vouchers/+new", &with(&[("count", "3"), ("kind", "code"), ("note", "old")])).await;
    desk.done("/vouchers/+new", &with(&[("count", "2"), ("kind", "code")])).await;
    assert!(desk.get("/vouchers/+unused?note=old").await.text.contains("3 unused vouchers would be deleted"));
    assert!(desk.get("/vouchers/+unused?days=1").await.text.contains("0 unused vouchers"));
    assert!(desk.get("/vouchers/+unused?days=x").await.text.contains("Days are a number"));
    for form in [&[][..], &[("note", "old"), ("days", "")], &[("note", "a\u{1}b"), ("days", ""), ("count", "0")]] {
        assert_eq!(desk.post("/vouchers/+unused", form).await.status, StatusCode::BAD_REQUEST, "{form:?}");
    }
    let other = [("note", "old"), ("days", ""), ("count", "5")];
    assert!(desk.done("/vouchers/+unused", &other).await.text.contains("Count again"));
    assert_eq!(all(&gateway).await.len(), 5);
    let counted = [("note", "old"), ("days", ""), ("count", "3")];
    assert!(desk.done("/vouchers/+unused", &counted).await.text.contains("Deleted: 3"));
    assert_eq!(all(&gateway).await.len(), 2);
}

async fn texts_of_people_are_texts(database: Database) {
    let gateway = Gateway::start(database).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    let evil = "<script>alert(1)</script>\"'&\u{202e}";
    for note in [evil, "=1+1", "@cmd", "-2"] {
        let wish =
            with(&[("count", "1"), ("kind", "login"), ("username", "<b>\"x'"), ("note", note), ("fullname", note)]);
        let page = desk.done("/vouchers/+new", &wish).await.text;
        assert!(!page.contains("<script>alert") && !page.contains("<b>"), "{page}");
        for path in ["/vouchers", "/voucher/%3Cb%3E%22x%27", "/audit"] {
            let page = desk.get(path).await.text;
            assert!(!page.contains("<script>alert") && !page.contains("<b>\""), "{path}: {page}");
        }
        let csv = desk.get("/vouchers.csv").await.text;
        let guarded = format!("\"{}{}\"", if note == evil { "" } else { "'" }, note.replace('"', "\"\""));
        assert!(csv.contains(&guarded), "{guarded}: {csv}");
        desk.done("/voucher/%3Cb%3E%22x%27/delete", &[]).await;
    }
}

async fn who_used_a_voucher_is_shown(database: Database) {
    let gateway = Gateway::start(database).await;
    let viewer = Browser::new(&gateway, "eve", Role::Viewer).await;
    let lobby = hotspot(&gateway).await;
    let limits = DataLimits { down: Some(100 << 20), up: None, total: Some(3 << 30) };
    let wish = VoucherWish { devices: Some(2), limits, speed_down: Mbit::new(10), ..VoucherWish::default() };
    voucher(&gateway, wish).await;
    let page = viewer.get("/voucher/guest107").await.text;
    for text in ["0 B / 100 MiB", "0 B / unlimited", "0 B / 3 GiB", "↓ 10 Mbit/s ↑ unlimited", "(0 / 2)"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains(">Sessions ("), "nobody yet: {page}");
    let ann = device(&lobby, 1);
    gateway.app.hosts().seen(ann.hotspot, ann.mac, ann.address, now_ms());
    let lease = Lease { mac: ann.mac, host_name: "<b>Ann's".to_owned(), expires_ms: now_ms() + 60_000 };
    let std::net::IpAddr::V4(address) = ann.address else { panic!("IPv4") };
    gateway.app.hosts().set_leases(HashMap::from([(address, lease)]), now_ms());
    gateway.app.log_in_with_voucher(&ann, "guest107", "tulip-4402").await.unwrap();
    let bob = device(&lobby, 2);
    for round in 0..21 {
        gateway.app.log_in_with_voucher(&bob, "guest107", "tulip-4402").await.unwrap();
        assert!(gateway.app.kick(bob.hotspot, bob.mac).await.unwrap(), "{round}");
    }
    let page = viewer.get("/voucher/guest107").await.text;
    let sessions = page.split("Sessions (22)").nth(1).unwrap_or_else(|| panic!("{page}"));
    assert!(sessions.contains("The newest 20 are listed."), "{sessions}");
    let count = |mac: &str| sessions.matches(&format!("class=\"font-monospace\">{mac}<")).count();
    assert_eq!((count(&mac(1).to_string()), count(&mac(2).to_string())), (0, 20));
    assert!(page.contains("(2 / 2)") && page.contains("&#60;b&#62;Ann") && !page.contains("<b>Ann"), "{page}");
    // What was counted is shown once it is collected.
    let open = gateway.store.open_sessions().await.unwrap().remove(0);
    let used = DataUse { down: 5 << 20, up: 1 << 20 };
    let taken = doorward::store::SessionUse { session: open.online.session, add: used, raw: used };
    gateway.store.record_session_use(&[taken], &[]).await.unwrap();
    let page = viewer.get("/voucher/guest107").await.text;
    for text in ["5 MiB / 100 MiB", "1 MiB / unlimited", "6 MiB / 3 GiB"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    gateway.app.remove_voucher("guest107", None).await.unwrap();
    assert_eq!(viewer.get("/voucher/guest107").await.status, StatusCode::NOT_FOUND);
    // Another voucher has none of them.
    voucher(&gateway, VoucherWish::default()).await;
    let carl = device(&lobby, 3);
    gateway.app.log_in_with_voucher(&carl, "guest107", "tulip-4402").await.unwrap();
    let page = viewer.get("/voucher/guest107").await.text;
    let sessions = page.split("Sessions (1)").nth(1).unwrap_or_else(|| panic!("{page}"));
    assert!(sessions.contains(&mac(3).to_string()) && !sessions.contains("The newest"), "{sessions}");
    assert!(sessions.contains(">Online<"), "{sessions}");
}

async fn the_form_begins_with_the_last_values(database: Database) {
    let gateway = Gateway::start(database).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    let form = desk.get("/vouchers/+new").await.text;
    assert!(!form.contains("Start from defaults") && form.contains("value=\"code\" checked"), "{form}");
    let wish = [
        ("count", "3"),
        ("kind", "login"),
        ("valid_for", "7 days"),
        ("starts", "moment"),
        ("devices", "4"),
        ("down", "120"),
        ("total", "2048"),
        ("speed_down", "25"),
        ("speed_up", "5"),
        ("fullname", "Ann Example"),
        ("note", "<i>fair</i>"),
    ];
    desk.done("/vouchers/+new", &wish).await;
    let form = desk.get("/vouchers/+new").await.text;
    let field = |form: &str, name: &str| {
        let field = form.split(&format!(" name=\"{name}\"")).nth(1).unwrap().split('>').next().unwrap().to_owned();
        field.split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    for (name, value) in [
        ("count", "1"),
        ("devices", "4"),
        ("down", "120"),
        ("up", ""),
        ("total", "2048"),
        ("speed_down", "25"),
        ("speed_up", "5"),
        ("note", "&#60;i&#62;fair&#60;/i&#62;"),
        // Somebody else's name, and a moment that has passed.
        ("fullname", ""),
        ("valid_from", ""),
    ] {
        assert_eq!(field(&form, name), value, "{name}");
    }
    for text in ["value=\"7 days\" selected", "value=\"moment\" selected", "value=\"login\" checked"] {
        assert!(form.contains(text), "{text}: {form}");
    }
    assert!(form.contains("href=\"/vouchers/+new?defaults=1\">Start from defaults"), "{form}");
    let form = desk.get("/vouchers/+new?defaults=1").await.text;
    assert!(form.contains("value=\"1 day\" selected") && form.contains("value=\"code\" checked"), "{form}");
    assert!(field(&form, "note").is_empty() && !form.contains("Start from defaults"), "{form}");
    // A moment to come is one to begin at.
    let later = [&wish[..3], &[("starts", "moment"), ("valid_from", "2099-01-02T03:04:05"), ("devices", "1")]].concat();
    desk.done("/vouchers/+new", &later).await;
    assert_eq!(field(&desk.get("/vouchers/+new").await.text, "valid_from"), "2099-01-02T03:04:05");
}
