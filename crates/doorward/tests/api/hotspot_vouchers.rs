//! The hotspot API: the documented actions on vouchers.

use doorward_policy::voucher::ValidFor;
use serde_json::{Value, json};

use crate::{
    databases::Database,
    desk::{Desk, is_time, mac, message},
    gateway::{Answer, assert_shape, hide},
};

const FAILED: &str = "An error occurred";

both_engines!(
    a_voucher_by_every_method_and_format,
    shapes,
    what_is_missing_is_made_up,
    limits_out_of_bounds_are_unlimited,
    refused_values_store_nothing,
    all_values_of_valid_for,
    valid_from_is_a_time_of_the_gateway,
    names_are_taken_once,
    a_removed_voucher_ends_its_sessions,
    a_login_shows_in_the_list,
    a_voucher_survives_a_restart,
    the_settings_have_presets,
    a_dead_database,
);

async fn a_voucher_by_every_method_and_format(database: Database) {
    let desk = Desk::start(database).await;
    let all = |name: &str| {
        json!({ "action": "create_voucher", "username": name, "passcode": "tulip-4402", "fullname": "Sample Guest",
                "valid_for": "2 days", "valid_from": "2030-03-01 14:00:00", "download_limit": 2048,
                "upload_limit": "256" })
    };
    let query = |name: &str| {
        format!(
            "action=create_voucher&username={name}&passcode=tulip-4402&fullname=Sample%20Guest&valid_for=2+days\
             &valid_from=2030-03-01%2014:00:00&download_limit=2048&upload_limit=256"
        )
    };
    let key = format!("api-key={}", desk.key);
    let answers: Vec<Answer> = vec![
        desk.post(all("guest1")).await,
        desk.get(&query("guest2")).await,
        desk.call("POST", "").form(&format!("{key}&{}", query("guest3"))).send().await,
        desk.call("POST", &query("guest4")).form(&key).send().await,
        desk.call("POST", &key).json(&all("guest5")).send().await,
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        let expected = format!(
            r#"{{"message":"User added successfully","user":{{"id":{id},"username":"guest{id}","passcode":"tulip-4402","fullname":"Sample Guest","valid_for":"2 days","valid_from":"2030-03-01 14:00:00","download_limit":"2048","upload_limit":"256"}},"error":false}}"#,
            id = n + 1
        );
        assert_eq!((answer.status.as_u16(), answer.text), (200, expected));
    }
    for (n, answer) in [
        desk.get("action=remove_voucher&username=guest1").await,
        desk.post(json!({ "action": "remove_voucher", "username": "guest2" })).await,
        desk.call("POST", "").form(&format!("{key}&action=remove_voucher&username=guest3")).send().await,
        desk.call("POST", "action=remove_voucher&username=guest4").form(&key).send().await,
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(answer.text, r#"{"message":"User removed successfully","error":false}"#, "{n}");
    }
    for answer in [
        desk.get("action=get_voucher_users").await,
        desk.post(json!({ "action": "get_voucher_users" })).await,
        desk.call("POST", "action=get_voucher_users").form(&key).send().await,
    ] {
        let times = hide(answer.json(), &["created_at", "last_modified"]);
        let text = r#"{"users":[{"id":5,"username":"guest5","password":"tulip-4402","fullname":"Sample Guest","created_at":"[created_at]","last_modified":"[last_modified]","first_login":null,"last_login":null,"valid_for":"2 days","valid_from":"2030-03-01 14:00:00","MAC":null,"download_limit":2048,"upload_limit":256}]}"#;
        assert_eq!(times, serde_json::from_str::<Value>(text).unwrap());
        let order =
            ["id", "username", "password", "fullname", "created_at", "last_modified", "first_login", "last_login"];
        let order = order.into_iter().chain(["valid_for", "valid_from", "MAC", "download_limit", "upload_limit"]);
        let places: Vec<_> = order.map(|key| answer.text.find(&format!("\"{key}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{}", answer.text);
    }
}

/// The same keys and types on both databases, with and without what is ours.
async fn shapes(database: Database) {
    const MADE: &[&str] = &["username", "passcode", "password", "fullname", "created_at", "last_modified"];
    const TIMES: &[&str] = &["valid_from", "valid_until"];
    let desk = Desk::start(database).await;
    let made = [MADE, TIMES].concat();
    let created = desk.ok(json!({ "action": "create_voucher" })).await;
    assert_shape!("hotspot_create_voucher", hide(created, &made));
    let all = json!({ "action": "create_voucher", "details": 1, "devices": 3, "speed_down": 20, "speed_up": 10,
        "total_limit": 7, "valid_from_first_use": 1, "code_only": 1, "note": "room 7", "count": 2 });
    assert_shape!("hotspot_create_vouchers_details", hide(desk.ok(all).await, &made));
    let list = desk.ok(json!({ "action": "get_voucher_users" })).await;
    assert_shape!("hotspot_get_voucher_users", hide(list, &made));
    let list = desk.ok(json!({ "action": "get_voucher_users", "details": "1" })).await;
    assert_shape!("hotspot_get_voucher_users_details", hide(list, &made));
}

async fn what_is_missing_is_made_up(database: Database) {
    let desk = Desk::start(database).await;
    let before = doorward::clock::now_ms() / 1000 * 1000;
    for empty in [
        json!({}),
        json!({ "username": "", "passcode": " ", "fullname": "", "valid_for": "", "valid_from": " ",
                                     "download_limit": "", "upload_limit": null }),
    ] {
        let given_passcode = empty.get("passcode").is_some();
        let user = desk.create(empty).await;
        let text = |key: &str| user[key].as_str().unwrap().to_owned();
        let fine = |text: &str, len| {
            text.len() == len && text.bytes().all(|b| b.is_ascii_alphanumeric() && !b"0O1lI".contains(&b))
        };
        assert!(fine(&text("username"), 8), "{user}");
        // A blank is a passcode: white space belongs to it.
        assert!(if given_passcode { text("passcode") == " " } else { fine(&text("passcode"), 8) }, "{user}");
        assert!(text("fullname").strip_prefix("Guest ").is_some_and(|rest| fine(rest, 4)), "{user}");
        assert_eq!(
            (text("valid_for"), text("download_limit"), text("upload_limit")),
            ("1 day".into(), "0".into(), "0".into())
        );
        assert!(is_time(&user["valid_from"]), "the moment of creation: {user}");
    }
    let listed = desk.ok(json!({ "action": "get_voucher_users" })).await["users"].take();
    let page =
        desk.gateway.app.voucher_page(&Default::default(), doorward_policy::voucher::VoucherId(0), 10).await.unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    for voucher in page {
        let from = voucher.terms.valid_from_ms;
        assert!((before..=voucher.created_ms).contains(&from) && from % 1000 == 0, "usable at once");
    }
}

async fn limits_out_of_bounds_are_unlimited(database: Database) {
    let desk = Desk::start(database).await;
    for (limit, text, number) in [
        (json!(1), "1", 1),
        (json!("9437184"), "9437184", 9_437_184),
        (json!(9_437_184), "9437184", 9_437_184),
        (json!(9_437_185), "0", 0),
        (json!(0), "0", 0),
        (json!(-1), "0", 0),
        (json!(1.5), "0", 0),
        (json!(1024.0), "0", 0),
        (json!("1.5"), "0", 0),
        (json!("many"), "0", 0),
        (json!(""), "0", 0),
        (json!("99999999999999999999"), "0", 0),
        (json!(u64::MAX), "0", 0),
        (json!(true), "1", 1),
        (json!(null), "0", 0),
    ] {
        let user = desk.create(json!({ "download_limit": limit, "upload_limit": limit })).await;
        assert_eq!((&user["download_limit"], &user["upload_limit"]), (&json!(text), &json!(text)), "{limit}");
        let one = desk.ok(json!({ "action": "get_voucher", "username": user["username"] })).await["user"].take();
        assert_eq!((&one["download_limit"], &one["upload_limit"]), (&json!(number), &json!(number)), "{limit}");
    }
}

async fn refused_values_store_nothing(database: Database) {
    let desk = Desk::start(database).await;
    desk.create(json!({ "username": "taken" })).await;
    let long = |count: usize| "ä".repeat(count);
    for refused in [
        json!({ "username": "a b" }),
        json!({ "username": "a\u{a0}b" }),
        json!({ "username": "a\tb" }),
        json!({ "username": "a\u{7}b" }),
        json!({ "username": long(65) }),
        json!({ "passcode": "a\nb" }),
        json!({ "passcode": long(65) }),
        json!({ "fullname": "a\u{0}b" }),
        json!({ "fullname": long(129) }),
        json!({ "valid_for": "24 hours" }),
        json!({ "valid_for": "Always" }),
        json!({ "valid_for": "1 week", "username": "taken" }),
        json!({ "valid_for": 2 }),
        json!({ "valid_from": "tomorrow" }),
        json!({ "valid_from": "2030-02-30 00:00:00" }),
        json!({ "valid_from": "1999-12-31 23:59:59" }),
        json!({ "valid_from": "2030-03-01" }),
        json!({ "count": 0 }),
        json!({ "count": 10_001 }),
        json!({ "count": "-1" }),
        json!({ "count": 2, "username": "x" }),
        json!({ "count": 1, "passcode": "x" }),
        json!({ "code_only": 1, "username": "x" }),
        json!({ "code_only": 1, "passcode": "x" }),
        json!({ "code_only": "yes" }),
        json!({ "devices": 0 }),
        json!({ "devices": 1001 }),
        json!({ "speed_down": 10_001 }),
        json!({ "speed_up": "fast" }),
        json!({ "total_limit": 9_437_185 }),
        json!({ "total_limit": -1 }),
        json!({ "valid_from_first_use": 2 }),
        json!({ "note": long(201) }),
        json!({ "note": "a\u{1b}b" }),
        json!({ "details": "all" }),
    ] {
        let mut all = refused.clone();
        all["action"] = "create_voucher".into();
        assert_eq!(desk.refusal(all).await, FAILED, "{refused}");
    }
    let users = desk.ok(json!({ "action": "get_voucher_users" })).await;
    assert_eq!(users["users"].as_array().unwrap().len(), 1);
    // The longest that are taken.
    let user = desk.create(json!({ "username": long(64), "passcode": long(64), "fullname": long(128) })).await;
    assert_eq!((&user["username"], &user["passcode"]), (&json!(long(64)), &json!(long(64))));
    // White space around is cut off, but not around the passcode.
    let user = desk
        .create(json!({ "username": " a ", "passcode": " b ", "fullname": "\tC D\n", "valid_for": " 2 days " }))
        .await;
    assert_eq!((&user["username"], &user["passcode"], &user["fullname"]), (&json!("a"), &json!(" b "), &json!("C D")));
}

async fn all_values_of_valid_for(database: Database) {
    let desk = Desk::start(database).await;
    for value in ValidFor::all() {
        let user = desk.create(json!({ "valid_for": value.to_string(), "valid_from": "2030-01-01 00:00:00" })).await;
        assert_eq!(user["valid_for"], value.to_string());
    }
    let always = desk.create(json!({ "valid_for": "always", "details": 1 })).await;
    assert_eq!((&always["valid_until"], &always["status"]), (&Value::Null, &json!("unused")));
}

async fn valid_from_is_a_time_of_the_gateway(database: Database) {
    let desk = Desk::start(database).await;
    for (given, stored, until) in [
        ("2030-03-01 14:00:00", "2030-03-01 14:00:00", "2030-03-02 14:00:00"),
        // The clock goes forward at 2 in the night, and a day has 86400 s all the same.
        ("2030-03-31 02:30:00", "2030-03-31 03:30:00", "2030-04-01 03:30:00"),
        ("2030-03-30 12:00:00", "2030-03-30 12:00:00", "2030-03-31 13:00:00"),
        ("2030-10-27 02:30:00", "2030-10-27 02:30:00", "2030-10-28 01:30:00"),
        ("2001-01-01 00:00:00", "2001-01-01 00:00:00", "2001-01-02 00:00:00"),
    ] {
        let user = desk.create(json!({ "valid_from": given, "valid_for": "1 day", "details": 1 })).await;
        assert_eq!((&user["valid_from"], &user["valid_until"]), (&json!(stored), &json!(until)), "{given}");
        let status = if given.starts_with("2001") { "expired" } else { "waiting" };
        assert_eq!(user["status"], status, "{given}");
    }
}

async fn names_are_taken_once(database: Database) {
    let desk = Desk::start(database).await;
    desk.create(json!({ "username": "GäSt107" })).await;
    let create = |name: &str| json!({ "action": "create_voucher", "username": name });
    assert_eq!(desk.refusal(create("gäst107")).await, "Username already exists");
    assert_eq!(desk.refusal(create(" GÄST107 ")).await, "Username already exists");
    desk.ok(json!({ "action": "remove_voucher", "username": "gÄst107" })).await;
    let user = desk.create(json!({ "username": "gäst107" })).await;
    assert!(user["id"].as_i64() > Some(1), "ids are never used again");
    // Of twenty at once one is made.
    let all: Vec<_> = (0..20).map(|_| desk.post(create("same"))).collect();
    let mut made = 0;
    for answer in futures(all).await {
        let json = answer.json();
        match json["message"].as_str().unwrap() {
            "User added successfully" => made += 1,
            "Username already exists" => assert_eq!(message(&answer, 200), "Username already exists"),
            other => panic!("{other}"),
        }
    }
    assert_eq!(made, 1);
}

/// Runs all at once.
pub async fn futures<F: Future>(all: Vec<F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.into_iter().map(|one| (Some(Box::pin(one)), None)).collect();
    std::future::poll_fn(|cx| {
        let mut waiting = false;
        for (one, output) in &mut all {
            if let Some(running) = one {
                match running.as_mut().poll(cx) {
                    std::task::Poll::Ready(done) => (*one, *output) = (None, Some(done)),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    all.into_iter().map(|(_, output)| output.unwrap()).collect()
}

async fn a_removed_voucher_ends_its_sessions(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "devices": 2 })).await;
    desk.log_in(hotspot, 7, &user).await;
    desk.log_in(hotspot, 8, &user).await;
    let app = &desk.gateway.app;
    assert!(desk.gateway.kernel.is_granted(crate::desk::address(7)));
    desk.ok(json!({ "action": "remove_voucher", "username": user["username"] })).await;
    for n in [7, 8] {
        assert!(!desk.gateway.kernel.is_granted(crate::desk::address(n)), "before the answer");
        assert_eq!(app.hosts().online(hotspot, mac(n)), None);
        let device = desk.device(hotspot, n);
        let text = |key: &str| user[key].as_str().unwrap().to_owned();
        assert!(app.log_in_with_voucher(&device, &text("username"), &text("passcode")).await.is_err());
        assert_eq!(app.return_silently(&device).await, None);
    }
    assert_eq!(desk.ok(json!({ "action": "get_active_guests" })).await, json!({ "data": [] }));
}

async fn a_login_shows_in_the_list(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "username": "Guest107", "devices": 2 })).await;
    let typed = json!({ "username": "gUEST107", "passcode": user["passcode"] });
    desk.log_in(hotspot, 7, &typed).await;
    let listed = desk.ok(json!({ "action": "get_voucher_users" })).await["users"][0].take();
    assert!(is_time(&listed["first_login"]) && listed["first_login"] == listed["last_login"], "{listed}");
    assert_eq!((&listed["MAC"], &listed["username"]), (&json!("02:00:5E:10:00:07"), &json!("Guest107")));
    assert!(listed["last_modified"].as_str() >= listed["created_at"].as_str());
    desk.log_in(hotspot, 8, &user).await;
    let listed = desk.ok(json!({ "action": "get_voucher", "username": "guest107" })).await["user"].take();
    assert_eq!((&listed["MAC"], &listed["status"]), (&json!("02:00:5E:10:00:08"), &json!("active")));
    assert_eq!((&listed["devices_used"], &listed["devices"]), (&json!(2), &json!(2)));
}

async fn a_voucher_survives_a_restart(database: Database) {
    let desk = Desk::start(database).await;
    let user = desk.create(json!({ "passcode": "tulip" })).await;
    let Desk { gateway, key } = desk;
    let desk = Desk { gateway: gateway.restarted().await, key };
    let listed = desk.ok(json!({ "action": "get_voucher_users" })).await["users"][0].take();
    assert_eq!((&listed["username"], &listed["password"]), (&user["username"], &json!("tulip")));
    let hotspot = desk.hotspot().await;
    desk.log_in(hotspot, 7, &user).await;
}

async fn the_settings_have_presets(database: Database) {
    let desk = Desk::start(database).await;
    let app = &desk.gateway.app;
    let mut settings = app.guest_settings().as_ref().clone();
    settings.voucher_valid_for = "6 hours".to_owned();
    (settings.voucher_devices, settings.voucher_speed_down, settings.voucher_speed_up) = (4, 20, 5);
    app.set_guest_settings(settings).await.unwrap();
    let user = desk.create(json!({ "details": 1 })).await;
    assert_eq!((&user["valid_for"], &user["devices"]), (&json!("6 hours"), &json!(4)));
    assert_eq!((&user["speed_down"], &user["speed_up"]), (&json!(20), &json!(5)));
    let user = desk.create(json!({ "details": 1, "valid_for": "2 days", "devices": 1, "speed_down": 0 })).await;
    assert_eq!((&user["valid_for"], &user["devices"]), (&json!("2 days"), &json!(1)));
    assert_eq!((&user["speed_down"], &user["speed_up"]), (&json!(0), &json!(5)));
}

async fn a_dead_database(database: Database) {
    let desk = Desk::start(database).await;
    desk.gateway.store.close().await;
    for action in ["create_voucher", "get_voucher_users", "get_email_users", "get_logins"] {
        assert_eq!(message(&desk.post(json!({ "action": action })).await, 500), FAILED, "{action}");
    }
    let remove = desk.post(json!({ "action": "remove_voucher", "username": "x" })).await;
    assert_eq!(message(&remove, 500), FAILED);
}
