//! The hotspot API: what is ours (docs/api-design.md).

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::{
    databases::Database,
    desk::{Desk, address, mac, message},
    gateway::Answer,
    hotspot_vouchers::futures,
};

const FAILED: &str = "An error occurred";
const NOBODY: &str = "Username doesn't exist";

both_engines!(
    a_batch,
    ten_thousand_in_one_answer,
    codes,
    an_edit,
    refused_edits,
    an_edit_reaches_who_is_online,
    an_extension,
    off_and_on,
    first_use,
    unused_vouchers_go,
    a_guest_is_kicked,
    an_answer_comes_again,
    a_key_under_parallel_requests,
    keys_that_cannot_be,
);

async fn a_batch(database: Database) {
    let desk = Desk::start(database).await;
    let all = json!({ "action": "create_voucher", "count": 3, "valid_for": "2 days", "note": "fair", "devices": 2 });
    let made = desk.ok(all).await;
    assert_eq!(made["message"], "User added successfully");
    assert!(made.get("user").is_none());
    let users = made["users"].as_array().unwrap();
    assert_eq!(users.iter().map(|user| user["id"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(users.iter().all(|user| user.as_object().unwrap().len() == 8 && user["valid_for"] == "2 days"));
    let one = desk.ok(json!({ "action": "create_voucher", "count": 1 })).await;
    assert_eq!(one["users"].as_array().unwrap().len(), 1, "also for one");
    let fair = desk.ok(json!({ "action": "get_voucher_users", "search": "FAIR" })).await;
    assert_eq!(fair["users"].as_array().unwrap().len(), 3);
}

async fn ten_thousand_in_one_answer(database: Database) {
    let desk = Desk::start(database).await;
    let made = desk.ok(json!({ "action": "create_voucher", "count": 10_000, "code_only": 1 })).await;
    let codes: HashSet<&str> =
        made["users"].as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect();
    assert_eq!(codes.len(), 10_000);
    let listed = desk.ok(json!({ "action": "get_voucher_users" })).await;
    let listed: HashSet<&str> =
        listed["users"].as_array().unwrap().iter().map(|user| user["password"].as_str().unwrap()).collect();
    assert_eq!(listed, codes);
}

async fn codes(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "code_only": "1", "devices": 4 })).await;
    let code = user["username"].as_str().unwrap();
    assert_eq!((code.len(), &code[4..5], user["passcode"].as_str()), (9, "-", Some(code)));
    assert!(code.replace('-', "").bytes().all(|b| doorward_policy::voucher::CODE_ALPHABET.contains(&b)), "{code}");
    let app = &desk.gateway.app;
    for (n, (username, passcode)) in [
        (code.to_owned(), String::new()),
        (String::new(), code.to_lowercase()),
        (code.replace('-', " "), String::new()),
    ]
    .into_iter()
    .enumerate()
    {
        let device = desk.device(hotspot, u8::try_from(n).unwrap() + 1);
        app.log_in_with_voucher(&device, &username, &passcode).await.unwrap();
    }
    let edit = json!({ "action": "edit_voucher", "username": code, "passcode": "mine" });
    assert_eq!(desk.refusal(edit).await, FAILED);
    desk.ok(json!({ "action": "remove_voucher", "username": code.to_lowercase() })).await;
}

async fn edit(desk: &Desk, mut all: Value) -> Value {
    all["action"] = "edit_voucher".into();
    let mut json = desk.ok(all).await;
    assert_eq!((&json["message"], &json["error"]), (&json!("User changed successfully"), &json!(false)));
    json["user"].take()
}

async fn an_edit(database: Database) {
    let desk = Desk::start(database).await;
    desk.create(
        json!({ "username": "g", "valid_for": "1 day", "valid_from": "2030-01-01 00:00:00", "download_limit": 5 }),
    )
    .await;
    let user = edit(&desk, json!({ "username": "G", "valid_for": "2 days", "note": " late " })).await;
    assert_eq!((&user["valid_until"], &user["note"]), (&json!("2030-01-03 00:00:00"), &json!("late")));
    let user = edit(
        &desk,
        json!({ "username": "g", "valid_from": "2031-01-01 00:00:00", "passcode": " x ", "fullname": "N" }),
    )
    .await;
    assert_eq!(
        (&user["valid_until"], &user["password"], &user["fullname"]),
        (&json!("2031-01-03 00:00:00"), &json!(" x "), &json!("N"))
    );
    let all = json!({ "username": "g", "download_limit": 0, "upload_limit": 7, "total_limit": 9, "devices": 5,
                      "speed_down": 3, "speed_up": 4, "valid_from_first_use": 1, "note": "" });
    let user = edit(&desk, all).await;
    for (key, value) in [
        ("download_limit", json!(0)),
        ("upload_limit", json!(7)),
        ("total_limit", json!(9)),
        ("devices", json!(5)),
        ("speed_down", json!(3)),
        ("speed_up", json!(4)),
        ("valid_from_first_use", json!(1)),
        ("valid_until", Value::Null),
        ("note", json!("")),
        ("password", json!(" x ")),
        ("fullname", json!("N")),
    ] {
        assert_eq!(user[key], value, "{key}");
    }
    let same = edit(&desk, json!({ "username": "g", "passcode": "", "fullname": "", "devices": "" })).await;
    assert_eq!((&same["password"], &same["fullname"], &same["devices"]), (&json!(" x "), &json!("N"), &json!(5)));
    let got = desk.ok(json!({ "action": "get_voucher", "username": "g" })).await["user"].take();
    assert_eq!(got, same);
}

async fn refused_edits(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "username": "g", "devices": 2 })).await;
    desk.log_in(hotspot, 1, &user).await;
    desk.log_in(hotspot, 2, &user).await;
    let before = desk.ok(json!({ "action": "get_voucher", "username": "g" })).await;
    for action in ["get_voucher", "edit_voucher", "disable_voucher", "enable_voucher"] {
        assert_eq!(desk.refusal(json!({ "action": action })).await, "No username set", "{action}");
        assert_eq!(desk.refusal(json!({ "action": action, "username": "x" })).await, NOBODY, "{action}");
    }
    for refused in [
        json!({ "devices": 1 }),
        json!({ "devices": 0 }),
        json!({ "download_limit": 9_437_185 }),
        json!({ "upload_limit": "x" }),
        json!({ "valid_for": "3 weeks" }),
        json!({ "valid_from": "soon" }),
        json!({ "speed_up": -1 }),
        json!({ "passcode": "\u{1}" }),
        json!({ "note": ".\n." }),
    ] {
        let mut all = json!({ "action": "edit_voucher", "username": "g" });
        all.as_object_mut().unwrap().extend(refused.as_object().unwrap().clone());
        assert_eq!(desk.refusal(all).await, FAILED, "{refused}");
    }
    assert_eq!(desk.ok(json!({ "action": "get_voucher", "username": "g" })).await, before);
}

async fn an_edit_reaches_who_is_online(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "username": "g" })).await;
    desk.log_in(hotspot, 7, &user).await;
    // Over: nothing passes any more, and in time again: it passes.
    edit(&desk, json!({ "username": "g", "valid_from": "2001-01-01 00:00:00" })).await;
    assert!(!desk.gateway.kernel.is_granted(address(7)));
    edit(&desk, json!({ "username": "g", "valid_for": "always" })).await;
    assert!(desk.gateway.kernel.is_granted(address(7)));
    // A speed limit needs a number, which the grant did not have.
    let classes = || {
        let items = desk.gateway.kernel.items();
        items.0.keys().filter(|key| matches!(key, doorward_policy::item::Key::Class(_))).count()
    };
    assert_eq!(classes(), 0);
    edit(&desk, json!({ "username": "g", "speed_down": 5 })).await;
    assert!(classes() > 0, "its class is there");
}

async fn an_extension(database: Database) {
    let desk = Desk::start(database).await;
    let extend = |name: &str, by: &str| json!({ "action": "extend_voucher", "username": name, "extend_by": by });
    desk.create(json!({ "username": "g", "valid_for": "1 day", "valid_from": "2030-01-01 00:00:00" })).await;
    let json = desk.ok(extend("g", "6 hours")).await;
    assert_eq!(json["message"], "User changed successfully");
    let user = &json["user"];
    assert_eq!((&user["valid_until"], &user["valid_for"]), (&json!("2030-01-02 06:00:00"), &json!("1 day")));
    // Of an expired one from now on.
    desk.create(json!({ "username": "old", "valid_for": "1 hour", "valid_from": "2001-01-01 00:00:00" })).await;
    let user = desk.ok(extend("old", "1 day")).await["user"].take();
    assert_eq!(user["status"], "unused");
    desk.create(json!({ "username": "always", "valid_for": "always" })).await;
    desk.create(json!({ "username": "later", "valid_from_first_use": 1 })).await;
    for name in ["always", "later"] {
        assert_eq!(desk.refusal(extend(name, "1 day")).await, "User has no end to extend");
    }
    for by in ["always", "", "1 week", "0 days"] {
        assert_eq!(desk.refusal(extend("g", by)).await, FAILED, "{by}");
    }
    assert_eq!(desk.refusal(extend("x", "1 day")).await, NOBODY);
}

async fn off_and_on(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "username": "g" })).await;
    desk.log_in(hotspot, 7, &user).await;
    let off = desk.ok(json!({ "action": "disable_voucher", "username": "g" })).await;
    assert_eq!((&off["message"], &off["user"]["status"]), (&json!("User changed successfully"), &json!("disabled")));
    assert!(!desk.gateway.kernel.is_granted(address(7)));
    let app = &desk.gateway.app;
    assert_eq!(app.hosts().online(hotspot, mac(7)), None);
    let passcode = user["passcode"].as_str().unwrap();
    assert!(app.log_in_with_voucher(&desk.device(hotspot, 7), "g", passcode).await.is_err());
    let on = desk.ok(json!({ "action": "enable_voucher", "username": "g" })).await;
    assert_eq!(on["user"]["status"], "active");
    assert!(!desk.gateway.kernel.is_granted(address(7)), "nobody gets a session back");
    desk.log_in(hotspot, 7, &user).await;
}

async fn first_use(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user =
        desk.create(json!({ "username": "g", "valid_from_first_use": 1, "valid_for": "2 hours", "details": 1 })).await;
    assert_eq!(user["valid_until"], Value::Null);
    desk.log_in(hotspot, 7, &user).await;
    let got = desk.ok(json!({ "action": "get_voucher", "username": "g" })).await["user"].take();
    let ms = |text: &Value| {
        doorward_policy::voucher::parse_local_time(text.as_str().unwrap(), &desk.gateway.app.settings().zone).unwrap()
    };
    assert_eq!(ms(&got["valid_until"]) - ms(&got["first_login"]), 7_200_000);
    // Edited, it counts from the first login.
    let user = edit(&desk, json!({ "username": "g", "valid_for": "3 hours" })).await;
    assert_eq!(ms(&user["valid_until"]) - ms(&got["first_login"]), 10_800_000);
}

async fn unused_vouchers_go(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let used = desk.create(json!({ "note": "a" })).await;
    desk.log_in(hotspot, 7, &used).await;
    desk.ok(json!({ "action": "create_voucher", "count": 5, "note": "a" })).await;
    desk.ok(json!({ "action": "create_voucher", "count": 3, "note": "b" })).await;
    let remove = |more: Value| {
        let mut all = json!({ "action": "remove_unused_vouchers" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    assert_eq!(desk.refusal(remove(json!({ "created_before": "yesterday" }))).await, FAILED);
    let none = desk.ok(remove(json!({ "created_before": "2020-01-01 00:00:00" }))).await;
    assert_eq!(none, json!({ "message": "Users removed successfully", "removed": 0, "error": false }));
    assert_eq!(desk.ok(remove(json!({ "note": "b" }))).await["removed"], 3);
    assert_eq!(desk.ok(remove(json!({}))).await["removed"], 5);
    let left = desk.ok(json!({ "action": "get_voucher_users" })).await["users"].take();
    assert_eq!((left.as_array().unwrap().len(), &left[0]["username"]), (1, &used["username"]));
}

async fn a_guest_is_kicked(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "devices": 2 })).await;
    desk.log_in(hotspot, 7, &user).await;
    desk.log_in(hotspot, 8, &user).await;
    let kick = |who: Value| {
        let mut all = json!({ "action": "kick_guest" });
        all.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
        all
    };
    for refused in [
        json!({}),
        json!({ "mac": "x" }),
        json!({ "address": "x" }),
        json!({ "mac": "02:00:5e:10:00:07", "address": "10.30.0.7" }),
    ] {
        assert_eq!(desk.refusal(kick(refused.clone())).await, FAILED, "{refused}");
    }
    let done = desk.ok(kick(json!({ "mac": "02-00-5e-10-00-07" }))).await;
    assert_eq!(done, json!({ "message": "Guest disconnected successfully", "error": false }));
    assert!(!desk.gateway.kernel.is_granted(address(7)) && desk.gateway.kernel.is_granted(address(8)));
    assert_eq!(desk.refusal(kick(json!({ "mac": "02:00:5e:10:00:07" }))).await, "Guest not found");
    assert_eq!(desk.gateway.app.return_silently(&desk.device(hotspot, 7)).await, None, "it has to log in");
    desk.ok(kick(json!({ "address": "10.30.0.8" }))).await;
    assert!(!desk.gateway.kernel.is_granted(address(8)));
    assert_eq!(desk.refusal(kick(json!({ "address": "10.30.0.99" }))).await, "Guest not found");
}

async fn once(desk: &Desk, key: &str, parameters: Value) -> Answer {
    desk.call("POST", "").json(&desk.keyed(parameters)).header("idempotency-key", key).send().await
}

async fn an_answer_comes_again(database: Database) {
    let desk = Desk::start(database).await;
    let create = json!({ "action": "create_voucher", "valid_for": "2 days" });
    let first = once(&desk, "k1", create.clone()).await;
    let again = once(&desk, "k1", create.clone()).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    // Wherever the parameters stand, and whatever the body's format is.
    let form = format!("valid_for=2+days&api-key={}", desk.key);
    let mixed = desk.call("POST", "action=create_voucher").form(&form).header("idempotency-key", "k1").send().await;
    assert_eq!(mixed.text, first.text);
    let get = desk.call("GET", &format!("{form}&action=create_voucher")).header("idempotency-key", "k1").send().await;
    assert_eq!(get.text, first.text);
    let users = || async { desk.ok(json!({ "action": "get_voucher_users" })).await["users"].as_array().unwrap().len() };
    assert_eq!(users().await, 1);

    let other = once(&desk, "k1", json!({ "action": "create_voucher", "valid_for": "3 days" })).await;
    assert_eq!(message(&other, 200), "Idempotency-Key was used for another request");
    let other = once(&desk, "k1", json!({ "action": "remove_voucher", "username": "x" })).await;
    assert_eq!(message(&other, 200), "Idempotency-Key was used for another request");
    once(&desk, "k2", create).await;
    assert_eq!(users().await, 2, "another key, another voucher");

    // An extension is one, a removal has succeeded.
    let user = desk.create(json!({ "username": "g", "valid_for": "1 day", "valid_from": "2030-01-01 00:00:00" })).await;
    let extend = json!({ "action": "extend_voucher", "username": "g", "extend_by": "1 day" });
    for _ in 0..3 {
        assert_eq!(once(&desk, "k3", extend.clone()).await.json()["user"]["valid_until"], "2030-01-03 00:00:00");
    }
    let remove = json!({ "action": "remove_voucher", "username": user["username"] });
    for _ in 0..2 {
        assert_eq!(
            once(&desk, "k4", remove.clone()).await.text,
            r#"{"message":"User removed successfully","error":false}"#
        );
    }
    // What was refused may be tried again.
    let create = json!({ "action": "create_voucher", "username": "h" });
    desk.create(json!({ "username": "h" })).await;
    assert_eq!(message(&once(&desk, "k5", create.clone()).await, 200), "Username already exists");
    desk.ok(json!({ "action": "remove_voucher", "username": "h" })).await;
    assert_eq!(once(&desk, "k5", create).await.json()["message"], "User added successfully");
    // Over a restart as well.
    let Desk { gateway, key } = desk;
    let desk = Desk { gateway: gateway.restarted().await, key };
    assert_eq!(once(&desk, "k4", remove).await.json()["message"], "User removed successfully");
}

async fn a_key_under_parallel_requests(database: Database) {
    let desk = Desk::start(database).await;
    for parameters in [
        json!({ "action": "create_voucher", "username": "same" }),
        json!({ "action": "create_voucher", "count": 50 }),
        json!({ "action": "extend_voucher", "username": "same", "extend_by": "1 day" }),
        json!({ "action": "remove_voucher", "username": "same" }),
        json!({ "action": "remove_unused_vouchers" }),
    ] {
        let key = format!("key-{parameters}").replace([' ', '"'], "");
        let all = (0..20).map(|_| once(&desk, &key, parameters.clone())).collect();
        let answers = futures(all).await;
        let first = &answers[0].text;
        assert!(answers.iter().all(|answer| answer.text == *first), "{parameters}: {answers:?}");
        assert!(first.contains("successfully"), "{first}");
    }
}

async fn keys_that_cannot_be(database: Database) {
    let desk = Desk::start(database).await;
    let create = json!({ "action": "create_voucher" });
    for key in ["", "a b", &"x".repeat(256), "tab\tkey"] {
        assert_eq!(message(&once(&desk, key, create.clone()).await, 200), FAILED, "{key:?}");
    }
    let twice = desk.call("POST", "").json(&desk.keyed(create.clone()));
    let twice = twice.header("idempotency-key", "a").header("idempotency-key", "b").send().await;
    assert_eq!(message(&twice, 200), FAILED);
    assert_eq!(once(&desk, &"x".repeat(255), create).await.json()["message"], "User added successfully");
    // Actions that change nothing do not look at it.
    assert_eq!(once(&desk, "a b", json!({ "action": "get_logins" })).await.text, r#"{"data":[]}"#);
}
