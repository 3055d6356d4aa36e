//! The hotspot API: who is heard, where parameters stand, which message comes first.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, extract::ConnectInfo, http::Request};
use doorward::http::{HttpSettings, local_api_router};
use serde_json::json;
use tower::ServiceExt as _;

use crate::{
    databases::Database,
    desk::{Desk, message},
    gateway::Call,
};

const NOT_ENABLED: &str = "API is not enabled";
const NOT_SET: &str = "API Key not set or method not allowed";
const WRONG_KEY: &str = "API Key is incorrect";
const FAILED: &str = "An error occurred";

both_engines!(
    off_at_first,
    switches_decide_about_methods,
    sources_of_parameters,
    formats_of_bodies,
    the_lowest_message_wins,
    the_samples_of_the_specification,
    values_that_cannot_be,
    long_requests,
    wrong_keys_are_counted,
    a_new_key_counts_at_once,
    only_from_near,
    the_local_listener_serves_nothing_else,
    headers,
    slow_bodies_hold_up_nobody,
);

async fn off_at_first(database: Database) {
    let gateway = crate::gateway::Gateway::start(database).await;
    assert_eq!(gateway.app.api_switches(), doorward::app::guest_settings::ApiSwitches::default());
    let desk = Desk { key: gateway.app.api_key().expose().to_owned(), gateway };
    assert_eq!(desk.key.len(), 40);
    assert!(desk.key.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
        let call = desk.call(method, &format!("api-key={}", desk.key)).body("\u{0}{{{");
        assert_eq!(message(&call.send().await, 200), NOT_ENABLED, "{method}");
    }
}

async fn switches_decide_about_methods(database: Database) {
    let desk = Desk::start(database).await;
    let query = format!("api-key={}&action=get_voucher_users", desk.key);
    let body = desk.keyed(json!({ "action": "get_voucher_users" }));
    let users = r#"{"users":[]}"#;
    // (GET on, POST on): what a GET with a query, a POST with a body and a POST with a query get.
    for ((get, post), expected) in [
        ((true, false), [users, NOT_SET, NOT_SET]),
        ((false, true), [NOT_SET, users, NOT_SET]),
        ((true, true), [users, users, users]),
    ] {
        desk.switch(post, get).await;
        let calls = [desk.call("GET", &query), desk.call("POST", "").json(&body), desk.call("POST", &query)];
        for (call, expected) in calls.into_iter().zip(expected) {
            let answer = call.send().await;
            assert_eq!(answer.status, 200);
            let got = if expected == users { answer.text } else { message(&answer, 200) };
            assert_eq!(got, expected, "GET {get}, POST {post}");
        }
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"] {
            let answer = desk.call(method, &query).send().await;
            assert_eq!(answer.status, 405, "{method}");
            if method != "HEAD" {
                assert_eq!(message(&answer, 405), NOT_SET);
            }
        }
    }
}

async fn sources_of_parameters(database: Database) {
    let desk = Desk::start(database).await;
    // Mixed: the key in the body, the rest in the query string, and the other way round.
    let form = format!("api-key={}", desk.key);
    let mixed = desk.call("POST", "action=get_voucher_users").form(&form).send().await;
    assert_eq!(mixed.text, r#"{"users":[]}"#);
    let mixed = desk.call("POST", &form).json(&json!({ "action": "get_voucher_users" })).send().await;
    assert_eq!(mixed.text, r#"{"users":[]}"#);
    // The body wins, parameter by parameter, and an empty value counts as given.
    let query = "action=create_voucher&username=query&passcode=query&fullname=query";
    let body = desk.keyed(json!({ "username": "body", "passcode": "", "fullname": null }));
    let user = desk.call("POST", query).json(&body).send().await.json()["user"].take();
    assert_eq!((&user["username"], &user["fullname"]), (&json!("body"), &json!("query")));
    assert_ne!(user["passcode"], "query", "a random one");
    // The body of a GET is never read.
    let answer = desk.call("GET", "action=get_voucher_users").form(&form).send().await;
    assert_eq!(message(&answer, 200), NOT_SET);
    // With POST alone a key in the query string is none.
    desk.switch(true, false).await;
    let answer = desk.call("POST", &form).json(&json!({ "action": "get_voucher_users" })).send().await;
    assert_eq!(message(&answer, 200), NOT_SET);
}

async fn formats_of_bodies(database: Database) {
    let desk = Desk::start(database).await;
    let form = format!("api-key={}&action=remove_voucher&username=%20nobody%20", desk.key);
    let json = desk.keyed(json!({ "action": "remove_voucher", "username": "nobody" })).to_string();
    let part =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let multipart = [part("api-key", &desk.key), part("action", "remove_voucher"), part("username", "nobody")];
    let multipart = multipart.concat() + "--b--\r\n";
    let post = |kind: Option<&str>, body: &str| {
        let call = desk.call("POST", "").body(body.to_owned());
        match kind {
            Some(kind) => call.header("content-type", kind),
            None => call,
        }
    };
    for (kind, body) in [
        (Some("application/json"), &json),
        (Some("Application/JSON; charset=utf-8"), &json),
        (Some("application/x-www-form-urlencoded"), &form),
        (Some("multipart/form-data; boundary=b"), &multipart),
        (None, &json),
        (None, &form),
        (Some("text/plain"), &json),
        (Some("text/plain"), &form),
    ] {
        assert_eq!(message(&post(kind, body).send().await, 200), "Username doesn't exist", "{kind:?} {body}");
    }
    // What cannot be parsed has no parameters.
    for (kind, body) in [
        (Some("application/json"), form.as_str()),
        (Some("application/json"), &json[1..]),
        (Some("application/json"), "[1]"),
        (Some("application/x-www-form-urlencoded"), &json),
        (Some("multipart/form-data; boundary=c"), &multipart),
        (None, ""),
    ] {
        assert_eq!(message(&post(kind, body).send().await, 200), NOT_SET, "{kind:?} {body}");
    }
    // Numbers come as numbers or as texts, and truth is 1.
    let limits =
        json!({ "action": "create_voucher", "download_limit": 1024, "upload_limit": " 512 ", "details": true });
    let user = desk.ok(limits).await["user"].take();
    assert_eq!((&user["download_limit"], &user["upload_limit"]), (&json!("1024"), &json!("512")));
    // The last of a name counts; a broken escape stands for itself; unknown names mean nothing.
    let last = format!("api-key=x&api-key={}&action=create_voucher&username=a&username=b%zz&x=1", desk.key);
    let user = desk.call("GET", &last).send().await.json()["user"].take();
    assert_eq!(user["username"], "b%zz");
    // Names are case-sensitive.
    let upper = format!("API-KEY={}&action=get_voucher_users", desk.key);
    assert_eq!(message(&desk.call("GET", &upper).send().await, 200), NOT_SET);
}

async fn the_lowest_message_wins(database: Database) {
    let desk = Desk::start(database).await;
    let say = async |query: &str| message(&desk.call("GET", query).send().await, 200);
    assert_eq!(say("").await, NOT_SET);
    assert_eq!(say("api-key=").await, NOT_SET);
    assert_eq!(say("api-key=&action=make_coffee").await, NOT_SET);
    assert_eq!(say("api-key=x&action=make_coffee").await, WRONG_KEY);
    assert_eq!(say("api-key=x&action=remove_voucher").await, WRONG_KEY);
    let key = format!("api-key={}", desk.key);
    // The key counts as it is.
    assert_eq!(say(&format!("{key}%20&action=get_voucher_users")).await, WRONG_KEY);
    assert_eq!(say(&format!("api-key={}&action=get_voucher_users", desk.key.to_uppercase())).await, WRONG_KEY);
    for query in ["", "&action=", "&action=make_coffee", "&action=Create_voucher"] {
        assert_eq!(say(&format!("{key}{query}")).await, FAILED, "{query}");
    }
    let trimmed = desk.call("GET", &format!("{key}&action=+get_voucher_users%0A")).send().await;
    assert_eq!(trimmed.text, r#"{"users":[]}"#);
    assert_eq!(say(&format!("{key}&action=remove_voucher")).await, "No username set");
    assert_eq!(say(&format!("{key}&action=remove_voucher&username=%20")).await, "No username set");
    for name in ["x", "a%20b", "%01", &"x".repeat(65)] {
        let query = format!("{key}&action=remove_voucher&username={name}");
        assert_eq!(say(&query).await, "Username doesn't exist", "{name}");
    }
}

async fn the_samples_of_the_specification(database: Database) {
    let desk = Desk::start(database).await;
    let say = async |post, get, call: Call<'_>| {
        desk.switch(post, get).await;
        call.send().await.text
    };
    let error = |text: &str| json!({ "message": text, "error": true }).to_string();
    let key = desk.key.clone();
    let get = |query: &str| desk.call("GET", query);
    let post = |value| desk.call("POST", "").json(&value);
    let same = |text: String, expected: &str| {
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.to_string(), error(expected));
        assert!(text.starts_with(&format!("{{\"message\":\"{expected}\",\"error\":")), "keys in order: {text}");
    };
    same(say(false, false, get("")).await, NOT_ENABLED);
    same(say(true, false, get(&format!("api-key={key}"))).await, NOT_SET);
    same(say(true, false, post(json!({}))).await, NOT_SET);
    same(say(true, false, post(json!({ "api-key": "x" }))).await, WRONG_KEY);
    same(say(true, false, post(json!({ "api-key": key, "action": "make_coffee" }))).await, FAILED);
    let remove = |name: &str| post(json!({ "api-key": key, "action": "remove_voucher", "username": name }));
    same(say(true, false, remove("")).await, "No username set");
    same(say(true, false, remove("unknown")).await, "Username doesn't exist");
    let create = |limit: i64| {
        let all = json!({ "api-key": key, "action": "create_voucher", "username": "taken", "download_limit": limit });
        post(all)
    };
    let made = say(true, false, create(9_437_185)).await;
    assert!(made.contains(r#""download_limit":"0""#), "{made}");
    same(say(true, false, create(1)).await, "Username already exists");
    assert_eq!(say(true, false, remove("TAKEN")).await, r#"{"message":"User removed successfully","error":false}"#);
    let list = post(json!({ "api-key": key, "action": "get_voucher_users" }));
    assert_eq!(say(true, false, list).await, r#"{"users":[]}"#);
}

async fn values_that_cannot_be(database: Database) {
    let desk = Desk::start(database).await;
    let json = |body: &[u8]| desk.call("POST", "").body(body).header("content-type", "application/json");
    let list = format!(r#""api-key":"{}","action":"get_voucher_users""#, desk.key);
    for more in [r#""x":{}"#, r#""x":[1,2]"#, r#""x":[{"y":[]}]"#] {
        let answer = json(format!("{{{list},{more}}}").as_bytes()).send().await;
        assert_eq!(message(&answer, 200), FAILED, "{more}");
        // But first the key.
        let answer = json(format!(r#"{{"api-key":"x",{more}}}"#).as_bytes()).send().await;
        assert_eq!(message(&answer, 200), WRONG_KEY, "{more}");
    }
    let broken = [b"{".as_slice(), list.as_bytes(), b",\"x\":\"\xff\"}"].concat();
    assert_eq!(message(&json(&broken).send().await, 200), FAILED);
    let query = format!("api-key={}&action=get_voucher_users&x=%ff", desk.key);
    assert_eq!(message(&desk.call("GET", &query).send().await, 200), FAILED);
    let nested_key = desk.call("POST", "").json(&json!({ "api-key": [desk.key], "action": "get_voucher_users" }));
    assert_eq!(message(&nested_key.send().await, 200), NOT_SET);
}

async fn long_requests(database: Database) {
    let desk = Desk::start(database).await;
    let form = format!("api-key={}&action=get_voucher_users&x=", desk.key);
    let longest = form.clone() + &"x".repeat(64 * 1024 - form.len());
    assert_eq!(desk.call("POST", "").form(&longest).send().await.text, r#"{"users":[]}"#);
    let too_long = desk.call("POST", "").form(&(longest + "x")).send().await;
    assert_eq!(message(&too_long, 413), FAILED);
    let longest = form.clone() + &"x".repeat(8 * 1024 - form.len());
    assert_eq!(desk.call("GET", &longest).send().await.text, r#"{"users":[]}"#);
    assert_eq!(message(&desk.call("GET", &(longest.clone() + "x")).send().await, 413), FAILED);
    assert_eq!(message(&desk.call("POST", &(longest + "x")).form(&form).send().await, 413), FAILED);
}

async fn wrong_keys_are_counted(database: Database) {
    let desk = Desk::start(database).await;
    let wrong = |from: &str| desk.call("POST", "").json(&json!({ "api-key": "x" })).from(from).send();
    let right =
        |from: &str| desk.call("POST", "").json(&desk.keyed(json!({ "action": "get_logins" }))).from(from).send();
    for n in 0..10 {
        assert_eq!(message(&wrong("10.20.0.66").await, 200), WRONG_KEY, "{n}");
    }
    assert_eq!(message(&wrong("10.20.0.66").await, 429), WRONG_KEY);
    assert_eq!(message(&right("10.20.0.66").await, 429), WRONG_KEY, "whatever is sent");
    assert_eq!(message(&desk.call("POST", "").from("10.20.0.66").send().await, 200), NOT_SET, "a lower message wins");
    assert_eq!(right("10.20.0.67").await.text, r#"{"data":[]}"#, "another address");
    desk.switch(false, false).await;
    assert_eq!(message(&right("10.20.0.66").await, 200), NOT_ENABLED);
}

async fn a_new_key_counts_at_once(database: Database) {
    let desk = Desk::start(database).await;
    let renewed = desk.gateway.app.renew_api_key().await.unwrap();
    assert_eq!(desk.refusal(json!({ "action": "get_logins" })).await, WRONG_KEY);
    let desk = Desk { key: renewed.expose().to_owned(), ..desk };
    desk.ok(json!({ "action": "get_logins" })).await;
    let key = desk.key.clone();
    let gateway = desk.gateway.restarted().await;
    assert_eq!(gateway.app.api_key().expose(), key, "it is stored");
    assert!(gateway.app.api_switches().post && gateway.app.api_switches().get);
}

async fn only_from_near(database: Database) {
    let desk = Desk::with(database, |choice| {
        choice.http =
            HttpSettings { trusted_proxies: vec!["10.99.0.1/32".parse().unwrap()], ..HttpSettings::default() };
    })
    .await;
    desk.hotspot().await;
    let ask = |from: &str| desk.call("GET", &format!("api-key={}&action=get_logins", desk.key)).from(from);
    for near in ["10.20.0.5", "192.168.1.9", "172.16.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "fd00::7", "::1"] {
        assert_eq!(ask(near).send().await.status, 200, "{near}");
    }
    for far in ["198.51.100.7", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"] {
        let answer = ask(far).send().await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (404, ""), "{far}");
    }
    for guest in ["10.30.0.57", "10.30.255.1", "fd30::57", "::ffff:10.30.0.57"] {
        let answer = ask(guest).send().await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (404, ""), "{guest}");
    }
    // A proxy tells for whom it asks.
    assert_eq!(ask("10.99.0.1").header("x-forwarded-for", "8.8.8.8").send().await.status, 404);
    assert_eq!(ask("10.99.0.1").header("x-forwarded-for", "10.30.0.57").send().await.status, 404);
    assert_eq!(ask("10.99.0.1").header("x-forwarded-for", "10.20.0.5").send().await.status, 200);
}

async fn the_local_listener_serves_nothing_else(database: Database) {
    use axum::{body::Body, extract::ConnectInfo, http::Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    let desk = Desk::start(database).await;
    let settings = HttpSettings { api_networks: vec!["203.0.113.0/24".parse().unwrap()], ..HttpSettings::default() };
    let router = local_api_router(desk.gateway.app.clone(), &settings);
    let ask = async |path: &str, from: &str, method: &str| {
        let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let from: std::net::SocketAddr = format!("{from}:40000").parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(from));
        let response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (parts.status.as_u16(), text)
    };
    let query = format!("?api-key={}&action=get_logins", desk.key);
    for path in ["/api", "/api/"] {
        assert_eq!(ask(&format!("{path}{query}"), "203.0.113.9", "GET").await, (200, r#"{"data":[]}"#.to_owned()));
        // The list takes the place of what is near without one.
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            assert_eq!(ask(&format!("{path}{query}"), "10.20.0.5", method).await, (404, String::new()), "{method}");
        }
    }
    for path in ["/", "/api/v1/system/status", "/api/x", "/apix", "/index.html", "//api/", "/API/"] {
        for method in ["GET", "POST", "PUT"] {
            assert_eq!(ask(path, "203.0.113.9", method).await, (404, String::new()), "{method} {path}");
        }
    }
}

async fn headers(database: Database) {
    let desk = Desk::start(database).await;
    let key = &desk.key;
    for (path, status) in [
        (format!("/api/?api-key={key}&action=get_logins"), 200),
        (format!("/api?api-key={key}&action=get_logins"), 200),
        ("/api/?api-key=x".to_owned(), 200),
    ] {
        let answer = desk.call("GET", "").uri(&path).send().await;
        assert_eq!(answer.status, status);
        let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some("application/json; charset=utf-8"));
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        assert_eq!(header("set-cookie"), None);
    }
    // The other API is where it was.
    let answer = desk.gateway.get("/system/status").await;
    assert_eq!(answer.status, 200);
}

async fn slow_bodies_hold_up_nobody(database: Database) {
    /// More than are worked on at once.
    const SLOW: usize = 600;
    let desk = Desk::start(database).await;
    let router = local_api_router(desk.gateway.app.clone(), &HttpSettings::default());
    let post = |body: Body| {
        let mut request = Request::builder().method("POST").uri("/api/").body(body).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 20, 0, 5], 40_000))));
        router.clone().oneshot(request)
    };
    let slow: Vec<_> = (0..SLOW).map(|_| tokio::spawn(post(Body::new(Never)))).collect();
    // Until all of them wait.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let body = Body::from(desk.keyed(json!({ "action": "get_voucher_users" })).to_string());
    let quick = tokio::time::timeout(Duration::from_secs(5), post(body)).await;
    assert_eq!(quick.expect("nobody is held up").unwrap().status(), 200);
    slow.into_iter().for_each(|task| task.abort());
}

/// A body of which nothing ever comes.
struct Never;

impl http_body::Body for Never {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        Poll::Pending
    }
}
