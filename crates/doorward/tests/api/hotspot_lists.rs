//! The hotspot API: lists of persons and logins, paging, filters, long lists.

use std::net::SocketAddr;

use axum::{body::Body, extract::ConnectInfo, http::Request};
use doorward::{
    app::logins::Person,
    hotspot_settings::Allowance,
    http::{HttpSettings, local_api_router},
};
use doorward_policy::guest::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{
    databases::Database,
    desk::{DESK, Desk, is_time},
    gateway::{assert_shape, hide},
};

both_engines!(
    empty_lists,
    persons,
    visits_grow,
    logins,
    pages,
    a_hundred_thousand_rows,
    ten_thousand_vouchers,
    a_list_is_cut_when_reading_fails
);

fn person(method: Method, identity: &str) -> Person {
    let is = |one| (method == one).then(|| identity.to_owned());
    Person {
        method,
        identity: identity.to_owned(),
        login: identity.to_owned(),
        email: is(Method::Email),
        mobile: is(Method::Mobile),
        name: is(Method::Facebook),
        picture: None,
        comments: ["Alex".to_owned(), "Exampletown".to_owned(), "n/a".to_owned()],
        terms_version: "1".to_owned(),
        marketing: Some(method == Method::Mobile),
        verified: method == Method::Email,
        allowance: Allowance { devices: 9, ..Allowance::default() },
    }
}

async fn empty_lists(database: Database) {
    let desk = Desk::start(database).await;
    for (action, text) in [
        ("get_voucher_users", r#"{"users":[]}"#),
        ("get_email_users", r#"{"users":[]}"#),
        ("get_fb_users", r#"{"users":[]}"#),
        ("get_mobile_users", r#"{"users":[]}"#),
        ("get_free_users", r#"{"users":[]}"#),
        ("get_logins", r#"{"data":[]}"#),
        ("get_guest_hosts", r#"{"data":[]}"#),
        ("get_active_guests", r#"{"data":[]}"#),
    ] {
        let form = format!("api-key={}", desk.key);
        for answer in [
            desk.post(json!({ "action": action })).await,
            desk.get(&format!("action={action}")).await,
            desk.call("POST", "").form(&format!("{form}&action={action}")).send().await,
            desk.call("POST", &format!("action={action}")).form(&form).send().await,
        ] {
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, text), "{action}");
        }
    }
}

/// The shapes of the four lists, as the seed and the specification have them.
async fn persons(database: Database) {
    const TIMES: &[&str] = &["created_at", "last_login", "last_modified"];
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    for (n, (method, identity)) in [
        (Method::Email, "guest@example.net"),
        (Method::Mobile, "15550100005"),
        (Method::Facebook, "Sample Guest"),
        (Method::Free, "02:00:5E:10:00:04"),
    ]
    .into_iter()
    .enumerate()
    {
        let device = desk.device(hotspot, u8::try_from(n).unwrap() + 1);
        desk.gateway.app.log_in_person(&device, person(method, identity)).await.unwrap();
    }
    let all = async |action: &str| {
        let json = desk.ok(json!({ "action": action })).await;
        let row = &json["users"][0];
        assert!(TIMES.iter().all(|key| is_time(&row[key])), "{row}");
        hide(json, TIMES)
    };
    assert_shape!("hotspot_get_email_users", all("get_email_users").await);
    assert_shape!("hotspot_get_mobile_users", all("get_mobile_users").await);
    assert_shape!("hotspot_get_fb_users", all("get_fb_users").await);
    assert_shape!("hotspot_get_free_users", all("get_free_users").await);
}

async fn visits_grow(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    for n in [1, 2, 1] {
        let device = desk.device(hotspot, n);
        desk.gateway.app.log_in_person(&device, person(Method::Email, "guest@example.net")).await.unwrap();
    }
    let users = desk.ok(json!({ "action": "get_email_users" })).await["users"].take();
    assert_eq!((users.as_array().unwrap().len(), &users[0]["visits"]), (1, &json!(3)));
    assert_eq!(users[0]["MAC"], "02:00:5E:10:00:01", "device of the last login");
}

async fn logins(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "username": "guest107" })).await;
    let device = desk.device(hotspot, 57);
    let app = &desk.gateway.app;
    app.log_in_with_voucher(&device, "guest107", "wrong").await.unwrap_err();
    app.log_in_with_voucher(&device, "nobody", "wrong").await.unwrap_err();
    desk.log_in(hotspot, 57, &user).await;
    let data = desk.ok(json!({ "action": "get_logins" })).await;
    assert!(data["data"].as_array().unwrap().iter().all(|row| is_time(&row["created_at"])));
    assert_shape!("hotspot_get_logins", hide(data, &["created_at"]));
    let count = async |filter: Value| {
        let mut all = json!({ "action": "get_logins" });
        all.as_object_mut().unwrap().extend(filter.as_object().unwrap().clone());
        desk.ok(all).await["data"].as_array().unwrap().len()
    };
    assert_eq!(count(json!({ "success": 0 })).await, 2);
    assert_eq!(count(json!({ "success": "true" })).await, 1);
    assert_eq!(count(json!({ "method": "voucher" })).await, 3);
    assert_eq!((count(json!({ "method": "email" })).await, count(json!({ "method": "paid" })).await), (0, 0));
    assert_eq!(count(json!({ "search": "NOBODY" })).await, 1);
}

async fn pages(database: Database) {
    let desk = Desk::start(database).await;
    desk.ok(json!({ "action": "create_voucher", "count": 12 })).await;
    desk.create(json!({ "username": "needle", "valid_from": "2030-01-01 00:00:00" })).await;
    let ids = async |more: Value| {
        let mut all = json!({ "action": "get_voucher_users" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let users = desk.ok(all).await["users"].take();
        users.as_array().unwrap().iter().map(|user| user["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(json!({ "limit": 5 })).await, [1, 2, 3, 4, 5]);
    assert_eq!(ids(json!({ "limit": "5", "after": "10" })).await, [11, 12, 13]);
    assert_eq!(ids(json!({ "after": 13 })).await, Vec::<i64>::new());
    assert_eq!(ids(json!({ "search": "eedl" })).await, [13]);
    assert_eq!(ids(json!({ "status": "waiting" })).await, [13]);
    assert_eq!(ids(json!({ "status": "unused", "limit": 2, "after": 3 })).await, [4, 5]);
    for refused in [
        json!({ "limit": 0 }),
        json!({ "limit": 100_001 }),
        json!({ "after": -1 }),
        json!({ "status": "new" }),
        json!({ "search": "x".repeat(65) }),
        json!({ "search": "a\u{2}b" }),
    ] {
        let mut all = json!({ "action": "get_voucher_users" });
        all.as_object_mut().unwrap().extend(refused.as_object().unwrap().clone());
        assert_eq!(desk.refusal(all).await, "An error occurred", "{refused}");
    }
    assert_eq!(desk.refusal(json!({ "action": "get_logins", "success": "maybe" })).await, "An error occurred");
    assert_eq!(desk.refusal(json!({ "action": "get_logins", "method": "fax" })).await, "An error occurred");
}

/// The body of a list, piece by piece.
async fn list(desk: &Desk, action: &str) -> Body {
    let router = local_api_router(desk.gateway.app.clone(), &HttpSettings::default());
    let uri = format!("/api/?api-key={}&action={action}", desk.key);
    let mut request = Request::get(uri).body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(DESK.parse().unwrap(), 4000)));
    router.oneshot(request).await.unwrap().into_body()
}

/// Reads a list to its end. Rows, and bytes of the largest piece: two wait at most while one is made.
async fn read(mut body: Body) -> (Value, usize) {
    let (mut text, mut largest) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        largest = largest.max(piece.len());
        text.extend_from_slice(&piece);
    }
    (serde_json::from_slice(&text).unwrap(), largest)
}

async fn a_hundred_thousand_rows(database: Database) {
    let desk = Desk::start(database).await;
    let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
        INSERT INTO logins (gateway_id, created_ms, method, login, mac, address, success, reason)
        SELECT (SELECT MIN(id) FROM gateways), i, 'email', 'guest@example.net', '02:00:5E:10:00:03', '10.30.0.57',
            SUCCESS, NULL FROM n";
    let truth = if desk.gateway.database.file().is_some() { "1" } else { "TRUE" };
    desk.gateway.database.execute(&rows.replace("SUCCESS", truth)).await;
    let (json, largest) = read(list(&desk, "get_logins").await).await;
    let rows = json["data"].as_array().unwrap();
    let times = rows.iter().map(|row| row["id"].as_i64().unwrap());
    assert_eq!(rows.len(), 100_000);
    assert!(times.is_sorted_by(|newer, older| newer > older), "newest first, none twice");
    assert!(largest < 256 * 1024, "pieces of {largest} bytes");
}

async fn ten_thousand_vouchers(database: Database) {
    let desk = Desk::start(database).await;
    desk.gateway.app.create_vouchers(ten_thousand(), None).await.unwrap();
    let (json, largest) = read(list(&desk, "get_voucher_users").await).await;
    let ids: Vec<i64> = json["users"].as_array().unwrap().iter().map(|user| user["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (1..=10_000).collect::<Vec<_>>());
    assert!(largest < 512 * 1024, "pieces of {largest} bytes");
}

fn ten_thousand() -> doorward::app::vouchers::VoucherWish {
    doorward::app::vouchers::VoucherWish { count: Some(10_000), ..Default::default() }
}

async fn a_list_is_cut_when_reading_fails(database: Database) {
    let desk = Desk::start(database).await;
    desk.gateway.app.create_vouchers(ten_thousand(), None).await.unwrap();
    let mut body = list(&desk, "get_voucher_users").await;
    // The first page is there, then the database goes.
    assert!(body.frame().await.unwrap().is_ok());
    desk.gateway.store.close().await;
    let (mut failed, mut last) = (false, Vec::new());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => last = frame.into_data().unwrap().to_vec(),
            Err(_) => failed = true,
        }
    }
    assert!(failed && !last.ends_with(b"]}"), "nobody takes half a list for a whole one");
}
