//! What accounts have beyond the original: expiry, quota, preshared key, the client's own key (docs/api-design.md).

use std::time::{Duration, Instant};

use doorward::clock::now_ms;
use doorward_policy::{
    item::{Item, Key, PeerId, QuotaId},
    key::{PresharedKey, PrivateKey},
};
use serde_json::{Value, json};

use crate::{
    databases::Database,
    gateway::{Gateway, SECRETS, assert_shape, hide},
};

both_engines!(they_show_only_where_they_are_set, expiry, quota, preshared_key, own_key, what_is_refused,);

const OWN: [&str; 6] = ["expires_at", "own_key", "preshared_key", "quota_bytes", "quota_period", "quota_used_bytes"];

fn own_keys(account: &Value) -> Vec<&str> {
    OWN.into_iter().filter(|key| account.get(*key).is_some()).collect()
}

async fn they_show_only_where_they_are_set(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    assert!(own_keys(&gateway.get("/account/peer_1").await.msg()).is_empty());
    let preshared = PresharedKey::from_bytes([7; 32]).expose_base64();
    let all = json!({"wg_name": "Default_1", "expires_at": "2031-05-01T12:00:00+02:00", "quota_bytes": 1000, "quota_period": "month", "preshared_key": preshared, "own_key": 1, "public_key": PrivateKey::from_random([8; 32]).public().to_string()});
    let account = gateway.call("POST", "/account").json(&all).send().await.msg();
    assert_eq!(own_keys(&account), OWN);
    assert_eq!((account["private_key"].as_str(), &account["own_key"]), (Some(""), &json!("1")));
    assert_shape!("account_own_parts", hide(account, &[SECRETS, &["preshared_key"]].concat()));
    let cleared = gateway.put("/account/peer_2", "expires_at=&quota_bytes=0&preshared_key=").await.msg();
    assert_eq!(own_keys(&cleared), ["own_key"]);
    // An edit that does not name them leaves them.
    gateway
        .call("PUT", "/account/peer_1")
        .json(&json!({"expires_at": "2031-05-01T12:00:00Z", "quota_bytes": "5"}))
        .send()
        .await
        .msg();
    let kept = gateway.put("/account/peer_1", "b_upload=3").await.msg();
    assert_eq!(
        (&kept["expires_at"], &kept["quota_bytes"], &kept["quota_period"]),
        (&json!("2031-05-01T14:00:00+02:00"), &json!("5"), &json!("none"))
    );
}

async fn expiry(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("").await;
    gateway.account("wg_name=Default_1&expires_at=2020-01-01T00:00:00Z").await;
    assert!(!gateway.kernel.is_granted("10.0.0.2".parse().unwrap()));
    // In a form the offset's plus comes as a space.
    let later = gateway.put("/account/peer_1", "expires_at=2099-01-01T00:00:00+01:00").await.msg();
    assert_eq!((&later["expires_at"], &later["status"]), (&json!("2099-01-01T00:00:00+01:00"), &json!("enable")));
    assert!(gateway.kernel.is_granted("10.0.0.2".parse().unwrap()));
    let at = jiff::Timestamp::from_millisecond(now_ms() + 1500).unwrap();
    gateway.put("/account/peer_1", &format!("expires_at={at}")).await.msg();
    assert!(gateway.kernel.is_granted("10.0.0.2".parse().unwrap()));
    let asked = Instant::now();
    let stored = gateway.store.account_by_name("peer_1").await.unwrap().unwrap();
    let peer = Key::Peer(PeerId { interface: "wg1".parse().unwrap(), public_key: stored.public_key });
    while gateway.kernel.item(peer).is_some() {
        assert!(asked.elapsed() < Duration::from_secs(4), "it ends by itself");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(gateway.get("/account/peer_1").await.msg()["status"], "enable", "what the operator switched");
}

async fn quota(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("").await;
    let account = gateway.account("wg_name=Default_1&quota_bytes=1000").await;
    assert_eq!(
        ["quota_bytes", "quota_period", "quota_used_bytes"].map(|key| account[key].as_str().unwrap()),
        ["1000", "none", "0"]
    );
    let id = gateway.store.account_by_name("peer_1").await.unwrap().unwrap().id;
    let Some(Item::Quota(_, spec)) =
        gateway.kernel.item(Key::Quota(QuotaId::Account { account: id, period_start_ms: 0 }))
    else {
        panic!("no quota")
    };
    assert_eq!(spec.limit_bytes, 1000);
    let monthly = gateway.put("/account/peer_1", "quota_period=month").await.msg();
    assert_eq!((&monthly["quota_bytes"], &monthly["quota_period"]), (&json!("1000"), &json!("month")));
    let most = gateway.put("/account/peer_1", "quota_bytes=9223372036854775807&quota_period=week").await.msg();
    assert_eq!((&most["quota_bytes"], &most["quota_period"]), (&json!("9223372036854775807"), &json!("week")));
    let none = gateway.put("/account/peer_1", "quota_bytes=0&quota_period=none").await.msg();
    assert!(own_keys(&none).is_empty());
}

async fn preshared_key(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let key = PresharedKey::from_bytes(std::array::from_fn(|n| [0xfb, 0xef, 0xbe][n % 3])).expose_base64();
    assert!(key.starts_with("++"));
    assert_eq!(gateway.put("/account/peer_1", &format!("preshared_key={key}")).await.msg()["preshared_key"], key);
    let text = gateway.get("/account/peer_1/config_text").await.msg();
    assert!(text.as_str().unwrap().contains(&format!("\tPresharedKey = {key}\n")));
    let stored = gateway.store.account_by_name("peer_1").await.unwrap().unwrap();
    let peer = Key::Peer(PeerId { interface: "wg1".parse().unwrap(), public_key: stored.public_key });
    let Some(Item::Peer(_, spec)) = gateway.kernel.item(peer) else { panic!("no peer") };
    assert_eq!(spec.preshared_key.map(|key| key.expose_base64()), Some(key));
    assert!(own_keys(&gateway.put("/account/peer_1", "preshared_key=").await.msg()).is_empty());
}

async fn own_key(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let public = |n: u8| PrivateKey::from_random([n; 32]).public().to_string();
    let old = gateway.get("/account/peer_1").await.msg();
    let changed = gateway.put("/account/peer_1", &format!("own_key=1&public_key={}", public(1))).await.msg();
    assert_eq!((&changed["public_key"], &changed["private_key"]), (&json!(public(1)), &json!("")));
    let text = gateway.get("/account/peer_1/config_text").await.msg();
    let says = format!("# PrivateKey = the one you made yourself; its public key is {}", public(1));
    assert!(text.as_str().unwrap().contains(&says) && !text.as_str().unwrap().contains("\tPrivateKey"), "{text}");
    let peer = |key: &Value| {
        Key::Peer(PeerId { interface: "wg1".parse().unwrap(), public_key: key.as_str().unwrap().parse().unwrap() })
    };
    assert!(gateway.kernel.item(peer(&old["public_key"])).is_none());
    assert!(gateway.kernel.item(peer(&changed["public_key"])).is_some());
    // The same again is no change; another account cannot have it; the old one is free.
    gateway.put("/account/peer_1", &format!("own_key=true&public_key={}", public(1))).await.msg();
    gateway
        .post("/account", &format!("wg_name=Default_1&own_key=1&public_key={}", public(1)))
        .await
        .refused(422, "Keys are invalid");
    gateway
        .call("POST", "/account")
        .json(&json!({"wg_name": "Default_1", "private_key": old["private_key"]}))
        .send()
        .await
        .msg();
    gateway
        .put("/account/peer_1", &format!("own_key=1&public_key={}", old["public_key"].as_str().unwrap()))
        .await
        .refused(422, "Keys are invalid");
    // Without own_key, keys of an account cannot be edited; own_key=0 changes nothing.
    let kept = gateway.put("/account/peer_1", &format!("own_key=0&public_key={}", public(5))).await.msg();
    assert_eq!(kept["public_key"], public(1));
}

async fn what_is_refused(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let private = PrivateKey::from_random([1; 32]);
    let public = private.public().to_string();
    let both = format!("own_key=1&public_key={public}&private_key={}", private.expose_base64());
    let zero = format!("own_key=1&public_key={}=", "A".repeat(43));
    for (form, text) in [
        ("own_key=x", "Wrong value of own_key (1|0|true|false)"),
        ("own_key=1", "Keys are invalid"),
        ("own_key=1&public_key=x", "Keys are invalid"),
        (both.as_str(), "Keys are invalid"),
        (zero.as_str(), "Keys are invalid"),
        ("expires_at=tomorrow", "Wrong expires_at (RFC 3339 with offset)"),
        ("expires_at=2031-05-01", "Wrong expires_at (RFC 3339 with offset)"),
        ("expires_at=2031-05-01T00:00:00", "Wrong expires_at (RFC 3339 with offset)"),
        ("quota_bytes=-1", "Wrong quota_bytes (0-9223372036854775807)"),
        ("quota_bytes=9223372036854775808", "Wrong quota_bytes (0-9223372036854775807)"),
        ("quota_bytes=", "Wrong quota_bytes (0-9223372036854775807)"),
        ("quota_bytes=5&quota_period=year", "Wrong quota_period (none|day|week|month)"),
        ("quota_period=", "Wrong quota_period (none|day|week|month)"),
        ("quota_period=day", "Wrong quota_period (needs quota_bytes)"),
        ("quota_bytes=0&quota_period=day", "Wrong quota_period (needs quota_bytes)"),
        ("preshared_key=1", "Wrong preshared_key (44 characters of base64)"),
        ("preshared_key=true", "Wrong preshared_key (44 characters of base64)"),
    ] {
        gateway.put("/account/peer_1", form).await.refused(422, text);
        gateway.post("/account", &format!("wg_name=Default_1&{form}")).await.refused(422, text);
    }
    assert!(own_keys(&gateway.get("/account/peer_1").await.msg()).is_empty());
}
