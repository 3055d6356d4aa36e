//! `/dns`: the resolver for accounts, what is refused, and what new servers tell their clients.

use doorward_policy::{
    dns::{Dns, Place, Side},
    item::{Item, Key},
};
use serde_json::json;

use crate::{databases::Database, gateway::Gateway};

both_engines!(
    the_resolver_is_shown_and_changed,
    what_is_wrong_is_told_and_changes_nothing,
    new_servers_name_the_gateway,
    a_place_that_goes_is_forgotten,
    names_by_hand_are_in_effect_at_once,
);

async fn the_resolver_is_shown_and_changed(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("name=wg_1&address=10.40.6.1/24&external_ip=192.0.2.1&ipv6=1&address_ipv6=fd40:6::1/64").await;
    let shown = gateway.get("/dns").await.msg();
    let version = format!("doorward {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        shown,
        json!({ "acl": ["127.0.0.1", "10.40.6.0/24", "fd40:6::/64"], "bind9": version, "enabled": false,
            "forwarders_1": "", "forwarders_2": "", "max_cache_ttl": "3600", "pid": "" })
    );
    let form = "enabled=1&forwarders_1=192.0.2.53&forwarders_2=2001:db8::53&max_cache_ttl=30";
    let changed = gateway.put("/dns", form).await.msg();
    assert_eq!(
        changed,
        json!({ "acl": ["127.0.0.1", "10.40.6.0/24", "fd40:6::/64"], "bind9": version, "enabled": true,
            "forwarders_1": "192.0.2.53", "forwarders_2": "2001:db8::53", "max_cache_ttl": "30",
            "pid": std::process::id().to_string() })
    );
    assert_eq!(gateway.get("/dns").await.msg(), changed);
    // What is not said stays; what was answered can be sent back; an empty one is none.
    let sent = json!({ "forwarders_1": "tls://192.0.2.54#dns.example" });
    let changed = gateway.call("PUT", "/dns").json(&sent).send().await.msg();
    assert_eq!(changed["forwarders_1"], "tls://192.0.2.54#dns.example");
    assert_eq!((&changed["forwarders_2"], &changed["max_cache_ttl"]), (&json!("2001:db8::53"), &json!("30")));
    let changed = gateway.put("/dns", "forwarders_1=").await.msg();
    assert_eq!((&changed["forwarders_1"], &changed["forwarders_2"]), (&json!("2001:db8::53"), &json!("")));
    let gateway = gateway.restarted().await;
    assert_eq!(gateway.get("/dns").await.msg(), changed);
    assert_eq!(gateway.put("/dns", "enabled=false").await.msg()["pid"], "");
}

async fn what_is_wrong_is_told_and_changes_nothing(database: Database) {
    let gateway = Gateway::start(database).await;
    let one = "Incorrect data in Forwarder1 parameters";
    let two = "Incorrect data in Forwarder2 parameters";
    let ttl = "Incorrect data in Max cache TTL parameters";
    for (form, text) in [
        ("enabled=2&forwarders_1=x", "Wrong value of enabled (1|0|true|false)"),
        ("enabled=1&forwarders_1=dns.example&forwarders_2=x", one),
        ("enabled=1&forwarders_1=0.0.0.0", one),
        ("forwarders_1=192.0.2.53;DROP", one),
        ("forwarders_2=192.0.2", two),
        ("forwarders_2=192.0.2.53&max_cache_ttl=29", ttl),
        ("max_cache_ttl=3601", ttl),
        ("max_cache_ttl=-1", ttl),
        ("max_cache_ttl=", ttl),
    ] {
        gateway.put("/dns", form).await.refused(422, text);
    }
    assert_eq!(gateway.app.dns(), Dns::default());
    for method in ["POST", "DELETE"] {
        gateway.call(method, "/dns").send().await.refused(404, "Not found");
    }
}

async fn new_servers_name_the_gateway(database: Database) {
    let gateway = Gateway::start(database).await;
    let before = gateway.server("name=before&address=10.41.0.1/24&external_ip=192.0.2.1").await;
    assert_eq!((&before["dns_1"], &before["dns_2"]), (&json!("8.8.8.8"), &json!("1.1.1.1")));
    let skeleton = || match gateway.kernel.item(Key::Skeleton) {
        Some(Item::Skeleton(skeleton)) => skeleton.digest().to_owned(),
        other => panic!("{other:?}"),
    };
    let closed = skeleton();
    gateway.put("/dns", "enabled=1").await.msg();
    let open = skeleton();
    assert_ne!(open, closed, "accounts reach the resolver at once");
    let after = gateway.server("name=after&address=10.42.0.1/24&external_ip=192.0.2.1").await;
    assert_eq!((&after["dns_1"], &after["dns_2"]), (&json!("10.42.0.1"), &json!("192.0.2.1")));
    let said = gateway.server("name=said&address=10.43.0.1/24&external_ip=192.0.2.1&dns_1=9.9.9.9&dns_2=").await;
    assert_eq!((&said["dns_1"], &said["dns_2"]), (&json!("9.9.9.9"), &json!("")));
    assert_eq!(
        gateway.get("/dns").await.msg()["acl"],
        json!(["127.0.0.1", "10.41.0.0/24", "10.42.0.0/24", "10.43.0.0/24"])
    );
    gateway.delete("/wireguard/said").await.msg();
    gateway.delete("/wireguard/after").await.msg();
    gateway.put("/dns", "enabled=0").await.msg();
    assert_eq!(skeleton(), closed);
}

/// Whoever deletes a server or hotspot and makes another of its name gets one where names are blocked.
async fn a_place_that_goes_is_forgotten(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("name=one").await;
    let hotspot = crate::guests::hotspot(&gateway).await.name;
    let off = async || {
        let places = gateway.app.name_places().await.unwrap();
        places.into_iter().filter(|place| place.unfiltered).map(|place| place.place.to_string()).collect::<Vec<_>>()
    };
    let places: Vec<Place> = gateway.app.name_places().await.unwrap().into_iter().map(|place| place.place).collect();
    let unfilter = |dns: &mut Dns| {
        dns.unfiltered.extend(places);
        Ok(())
    };
    gateway.app.edit_dns(unfilter).await.unwrap();
    assert_eq!(off().await, ["server/one".to_owned(), format!("hotspot/{hotspot}")]);
    gateway.delete("/wireguard/one").await.msg();
    gateway.app.delete_hotspot(hotspot.as_str(), true).await.unwrap();
    gateway.server("name=one").await;
    crate::guests::hotspot(&gateway).await;
    assert_eq!(off().await, Vec::<String>::new());
    assert_eq!(gateway.store.dns().await.unwrap(), gateway.app.dns());
}

async fn names_by_hand_are_in_effect_at_once(database: Database) {
    let gateway = Gateway::start(database).await;
    let blocked = |gateway: &Gateway| gateway.app.lists().judge("x.bad.example") == Some(None);
    let block = |dns: &mut Dns| {
        dns.add_name(Side::Blocked, "*.bad.example".parse().unwrap()).unwrap();
        Ok(())
    };
    gateway.app.edit_dns(block).await.unwrap();
    assert!(blocked(&gateway));
    let gateway = gateway.restarted().await;
    assert!(blocked(&gateway));
    let name = crate::backups::make(&gateway).await;
    let clear = |dns: &mut Dns| {
        dns.blocked.clear();
        Ok(())
    };
    gateway.app.edit_dns(clear).await.unwrap();
    assert!(!blocked(&gateway));
    gateway.put("/backups/restore", &format!("backup_name={name}")).await.msg();
    assert!(blocked(&gateway));
}
