//! The key of a one-time link never stands in a log.

use crate::{databases::Database, gateway::Gateway, hotspot_log::Log};

both_engines!(no_key_is_logged);

async fn no_key_is_logged(database: Database) {
    let log = Log::start();
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let mut keys = vec!["f".repeat(80)];
    for _ in 0..3 {
        let address = gateway.get("/account/peer_1/otl").await.msg();
        keys.push(address.as_str().unwrap().rsplit('/').next().unwrap().to_owned());
    }
    let page = async |method: &str, key: &str| {
        gateway.call(method, "").uri(&format!("/otl/{key}")).cookie(None).send().await.status.as_u16()
    };
    for key in &keys {
        let lives = key != &keys[0];
        for (method, status) in [("GET", 200), ("POST", 200), ("POST", 404)] {
            assert_eq!(page(method, key).await, if lives { status } else { 404 }, "{method}");
        }
    }
    gateway.get("/otl/list").await.msg();
    gateway.database.execute("UPDATE one_time_links SET key = digest").await;
    gateway.call("GET", "/otl/list").send().await;
    gateway.store.close().await;
    assert_eq!(page("GET", &keys[1]).await, 503);
    assert_eq!(page("POST", &keys[1]).await, 503);

    let text = log.text();
    assert!(
        text.contains("a one-time link was used") && text.contains("the page of a one-time link"),
        "the log was read"
    );
    for key in keys {
        assert!(!text.contains(&key), "{key}");
    }
}
