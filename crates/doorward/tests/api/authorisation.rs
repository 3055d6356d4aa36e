//! Who may call (VPN API, section 1.2).

use std::time::{Duration, Instant};

use doorward::secrets::AccessHash;

use crate::{
    databases::Database,
    gateway::{CLIENT, Gateway},
};

both_engines!(
    a_hash_is_bound_to_its_addresses,
    every_wrong_credential_gets_the_same_answer,
    a_hash_is_found_among_cookies,
    hashes_made_and_deleted_elsewhere_count_at_once,
    the_last_use_is_kept,
    only_listed_proxies_are_believed,
    too_many_refusals,
    a_database_that_fails_lets_nobody_in,
);

async fn a_hash_is_bound_to_its_addresses(database: Database) {
    let gateway = Gateway::start(database).await;
    let status = |from: &'static str| gateway.call("GET", "/system/status").from(from);
    status(CLIENT).send().await.msg();
    status("::ffff:198.51.100.7").send().await.msg();
    status("198.51.100.8").send().await.refused(401, "Not authorized");
    status("2001:db8::7").send().await.refused(401, "Not authorized");

    let list = AccessHash::generate().unwrap();
    gateway.add_hash("list", &list, &["10.0.0.0/8", "2001:db8::/32", "203.0.113.5"]).await;
    for good in ["10.1.2.3", "2001:db8:5::1", "203.0.113.5", "::ffff:10.0.0.1"] {
        status(good).hash(&list).send().await.msg();
    }
    status("203.0.113.6").hash(&list).send().await.refused(401, "Not authorized");

    let any = AccessHash::generate().unwrap();
    gateway.add_hash("any", &any, &[]).await;
    status("192.0.2.99").hash(&any).send().await.msg();
}

async fn every_wrong_credential_gets_the_same_answer(database: Database) {
    let gateway = Gateway::start(database).await;
    let unknown = AccessHash::generate().unwrap();
    let good = gateway.hash.expose();
    let cookies = [
        None,
        Some(String::new()),
        Some("access_hash=".to_owned()),
        Some(format!("access_hash={}", unknown.expose())),
        Some(format!("access_hash={}", &good[1..])),
        Some(format!("access_hash={good}0")),
        Some(format!("access_hash={}", good.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A"))),
        Some(format!("Access_Hash={good}")),
        Some(format!("other={good}")),
        Some(good.to_owned()),
    ];
    for cookie in &cookies {
        let answer = gateway.call("GET", "/account").cookie(cookie.as_deref()).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (401, r#"{"error":"Not authorized","msg":"","status":"error"}"#)
        );
    }
    let bearer = gateway.call("GET", "/account").cookie(None).header("authorization", &format!("Bearer {good}"));
    bearer.send().await.refused(401, "Not authorized");
}

async fn a_hash_is_found_among_cookies(database: Database) {
    let gateway = Gateway::start(database).await;
    let good = gateway.hash.expose();
    for cookie in [
        format!("a=b; access_hash={good}; c=d"),
        format!("access_hash={good};"),
        format!("a=b;access_hash={good}"),
        format!("access_hash=\"{good}\""),
    ] {
        gateway.call("GET", "/account").cookie(Some(&cookie)).send().await.msg();
    }
    let odd = gateway.call("GET", "/account").cookie(Some(&format!("other=\u{e4}; access_hash={good}")));
    odd.send().await.msg();
    let two = gateway.call("GET", "/account").cookie(Some("a=b")).header("cookie", &format!("access_hash={good}"));
    two.send().await.msg();
}

async fn hashes_made_and_deleted_elsewhere_count_at_once(database: Database) {
    let gateway = Gateway::start(database).await;
    let hash = AccessHash::generate().unwrap();
    let call = || gateway.call("GET", "/system/status").hash(&hash).send();
    call().await.refused(401, "Not authorized");
    gateway.add_hash("new", &hash, &[CLIENT]).await;
    call().await.msg();
    gateway.store.delete_access_hash("new").await.unwrap();
    let deleted = Instant::now();
    while call().await.status == 200 {
        assert!(deleted.elapsed() < Duration::from_secs(1), "a deleted hash is refused within a second");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn the_last_use_is_kept(database: Database) {
    let gateway = Gateway::start(database).await;
    let last = || async { gateway.store.access_hashes().await.unwrap()[0].last_login_ms };
    assert_eq!(last().await, None);
    gateway.get("/system/status").await.msg();
    let asked = Instant::now();
    while last().await.is_none() {
        assert!(asked.elapsed() < Duration::from_secs(5), "the use is noted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let first = last().await;
    for _ in 0..5 {
        gateway.get("/system/status").await.msg();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(last().await, first, "at most once a minute");
}

async fn only_listed_proxies_are_believed(database: Database) {
    let trusted = "10.0.0.0/8".parse().unwrap();
    let gateway = Gateway::with(database, |choice| choice.http.trusted_proxies = vec![trusted]).await;
    let through = |proxy: &str, hops: &str| gateway.call("GET", "/account").from(proxy).header("x-forwarded-for", hops);
    through("10.0.0.1", CLIENT).send().await.msg();
    through("::ffff:10.0.0.1", CLIENT).send().await.msg();
    through("10.0.0.1", &format!("203.0.113.1, {CLIENT}, 10.0.0.9")).send().await.msg();
    through("10.0.0.1", &format!("{CLIENT}, 203.0.113.1")).send().await.refused(401, "Not authorized");
    through("192.0.2.1", CLIENT).send().await.refused(401, "Not authorized");
    through("10.0.0.1", &format!("{CLIENT}, junk")).send().await.refused(401, "Not authorized");
    through(CLIENT, "203.0.113.1").send().await.msg();
}

async fn too_many_refusals(database: Database) {
    let gateway = Gateway::start(database).await;
    let wrong = |from: &'static str| gateway.call("GET", "/account").cookie(None).from(from).send();
    for _ in 0..20 {
        wrong("203.0.113.1").await.refused(401, "Not authorized");
    }
    wrong("203.0.113.1").await.refused(429, "Too many requests");
    wrong("203.0.113.2").await.refused(401, "Not authorized");
    // First of all checks: a valid hash, an unknown path and a broken body come after it.
    let any = AccessHash::generate().unwrap();
    gateway.add_hash("any", &any, &[]).await;
    let call = |method: &str, path: &str| gateway.call(method, path).hash(&any).from("203.0.113.1");
    call("GET", "/account").send().await.refused(429, "Too many requests");
    call("GET", "/nothing").send().await.refused(429, "Too many requests");
    call("POST", "/account").form("%").send().await.refused(429, "Too many requests");
    // Only refusals of the caller count: what a permitted caller does wrong does not.
    for _ in 0..30 {
        gateway.get("/account/nobody").await.refused(404, "Account not found");
    }
    gateway.get("/account").await.msg();
}

async fn a_database_that_fails_lets_nobody_in(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.get("/system/status").await.msg();
    gateway.store.close().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    gateway.get("/system/status").await.refused(500, "Internal error");
}
