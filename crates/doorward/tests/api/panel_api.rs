//! The pages of the two APIs: hashes that are shown once, and examples that work.

use axum::http::StatusCode;
use doorward::app::operators::Role;
use serde_json::Value;

use crate::{
    browser::Browser,
    databases::Database,
    gateway::{Call, Gateway},
};

both_engines!(
    a_hash_is_shown_once_and_works_from_its_address,
    hashes_that_are_refused,
    a_hash_that_reads_and_one_that_ends,
    the_api_is_switched_and_its_key_renewed,
    every_example_works,
);

fn made(page: &str) -> Option<String> {
    let rest = page.split("id=\"made\" value=\"").nth(1)?;
    rest.split('"').next().map(str::to_owned)
}

async fn status(gateway: &Gateway, hash: &str, from: &str, method: &str) -> u16 {
    let path = if method == "GET" { "/system/status" } else { "/system/config/default" };
    let call = gateway.call(method, path).cookie(Some(&format!("access_hash={hash}"))).from(from);
    call.send().await.status.as_u16()
}

async fn a_hash_is_shown_once_and_works_from_its_address(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let answer = root.post("/api-hashes", &[("name", "billing"), ("ip", "198.51.100.9"), ("scope", "all")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text.contains("Everything went well. Please save the hash. It has only been shown once."));
    let hash = made(&answer.text).unwrap();
    assert_eq!(hash.len(), 80);
    let page = root.get("/api-hashes").await.text;
    assert!(page.contains("billing") && page.contains("198.51.100.9") && !page.contains(&hash), "once");
    assert!(!root.get("/audit").await.text.contains(&hash) && !root.get("/audit.csv").await.text.contains(&hash));
    assert_eq!(status(&gateway, &hash, "198.51.100.9", "GET").await, 200);
    assert_eq!(status(&gateway, &hash, "198.51.100.10", "GET").await, 401);
    let page = root.done("/api-hashes/delete", &[("name", "billing")]).await.text;
    assert!(page.contains("was deleted") && !page.contains("198.51.100.9"));
    assert_eq!(status(&gateway, &hash, "198.51.100.9", "GET").await, 401, "at once");
}

async fn hashes_that_are_refused(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    for (pairs, word) in [
        (&[("name", "a b"), ("ip", "192.0.2.1")][..], "letters, digits"),
        (&[("name", "a"), ("ip", "")], "Give 1 to 64 addresses"),
        (&[("name", "a"), ("ip", "0.0.0.0")], "Give 1 to 64 addresses"),
        (&[("name", "a"), ("ip", "192.0.2.1"), ("anywhere", "1")], "Give 1 to 64 addresses"),
        (&[("name", "a"), ("ip", "192.0.2.1"), ("days", "0")], "1 to 3650"),
        (&[("name", "a"), ("ip", "192.0.2.1"), ("days", "-1")], "1 to 3650"),
        (&[("name", "test"), ("ip", "192.0.2.1")], "has that name already"),
    ] {
        let answer = root.post("/api-hashes", pairs).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{pairs:?}");
        assert!(answer.text.contains(word) && made(&answer.text).is_none(), "{pairs:?}: {}", answer.text);
        assert!(answer.text.contains(&format!("value=\"{}\"", pairs[1].1)), "what was typed stays: {pairs:?}");
    }
    assert_eq!(gateway.app.access_hashes().await.unwrap().len(), 1);
    let anywhere = root.post("/api-hashes", &[("name", "any"), ("ip", ""), ("anywhere", "1")]).await;
    assert!(made(&anywhere.text).is_some() && anywhere.text.contains("any address"));
    let viewer = Browser::new(&gateway, "eve", Role::Viewer).await;
    assert_eq!(viewer.post("/api-hashes", &[("name", "e"), ("ip", "192.0.2.1")]).await.status, StatusCode::FORBIDDEN);
    assert!(!viewer.get("/api-hashes").await.text.contains("name=\"ip\""));
}

async fn a_hash_that_reads_and_one_that_ends(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let make = async |pairs: &[(&str, &str)]| made(&root.post("/api-hashes", pairs).await.text).unwrap();
    let reads = make(&[("name", "reads"), ("ip", "198.51.100.9"), ("scope", "read")]).await;
    assert_eq!(status(&gateway, &reads, "198.51.100.9", "GET").await, 200);
    let refused = gateway.call("PUT", "/system/config/default").cookie(Some(&format!("access_hash={reads}")));
    refused.from("198.51.100.9").send().await.refused(403, "The access hash may only read");
    assert_eq!(status(&gateway, &reads, "198.51.100.10", "PUT").await, 401, "where it is not known it is unknown");
    let ends = make(&[("name", "ends"), ("ip", "198.51.100.9"), ("days", "1")]).await;
    assert_eq!(status(&gateway, &ends, "198.51.100.9", "PUT").await, 200);
    gateway.database.execute("UPDATE access_hashes SET expires_ms = 1 WHERE name = 'ends'").await;
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(status(&gateway, &ends, "198.51.100.9", "GET").await, 401);
    assert!(root.get("/api-hashes").await.text.contains("expired"));
}

async fn the_api_is_switched_and_its_key_renewed(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let switches = || (gateway.app.api_switches().post, gateway.app.api_switches().get);
    assert_eq!(switches(), (false, false));
    root.done("/api-access/methods", &[("post", "1")]).await;
    assert_eq!(switches(), (true, false));
    root.done("/api-access/methods", &[("get", "1")]).await;
    assert_eq!(switches(), (false, true));
    let key = gateway.app.api_key();
    let page = root.get("/api-access").await.text;
    assert!(page.contains(key.expose()) && page.contains("not connected"));
    root.done("/api-access/renew", &[]).await;
    let new = gateway.app.api_key();
    assert_ne!(new, key);
    let viewer = Browser::new(&gateway, "eve", Role::Viewer).await;
    assert!(!viewer.get("/api-access").await.text.contains(new.expose()), "not for everybody");
    for page in ["/audit", "/audit.csv"] {
        let text = root.get(page).await.text;
        assert!(!text.contains(key.expose()) && !text.contains(new.expose()), "{page}");
    }
}

/// What stands in the page between two words, unescaped.
fn examples(page: &str) -> Vec<String> {
    let unescape = |text: &str| text.replace("&#39;", "'").replace("&#34;", "\"").replace("&#38;", "&");
    let after = page.split("class=\"api-example\">").skip(1);
    after.map(|rest| unescape(rest.split("</pre>").next().unwrap())).collect()
}

/// A program on the LAN.
fn local(call: Call<'_>) -> Call<'_> {
    call.cookie(None).from("192.168.77.10")
}

async fn every_example_works(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    root.done("/api-access/methods", &[("post", "1"), ("get", "1")]).await;
    let key = gateway.app.api_key();
    let page = root.get("/api-access").await.text;
    let examples = examples(&page);
    assert_eq!(examples.len(), 20);
    for example in examples {
        let example = example.replace("YOUR-API-KEY", key.expose());
        let answer = if let Some((_, body)) = example.split_once(" -d '") {
            let body: Value = serde_json::from_str(body.trim_end_matches('\'')).unwrap();
            local(gateway.call("POST", "").uri("/api/").json(&body)).send().await
        } else {
            let query = example.split_once('?').unwrap().1.trim_end_matches('\'');
            // The first example of a pair has made the voucher already.
            if query.contains("create_voucher") {
                gateway.app.remove_voucher("user123", None).await.unwrap();
            }
            let again = query.contains("remove_voucher");
            if again {
                let call = gateway.call("GET", "").uri(&format!("/api/?{}", query.replace("remove", "create")));
                assert_eq!(local(call).send().await.status, StatusCode::OK);
            }
            local(gateway.call("GET", "").uri(&format!("/api/?{query}"))).send().await
        };
        assert_eq!(answer.status, StatusCode::OK, "{example}: {answer:?}");
        assert!(answer.json()["error"].as_bool() != Some(true), "{example}: {answer:?}");
    }
}
