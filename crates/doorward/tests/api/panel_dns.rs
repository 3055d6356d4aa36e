//! The pages of names: settings, own records, block lists, names by hand.

use axum::http::StatusCode;
use doorward::app::operators::Role;
use doorward_policy::dns::{Dns, Place};

use crate::{browser::Browser, databases::Database, gateway::Gateway};

both_engines!(
    settings_are_kept,
    records_lists_and_names_come_and_go,
    what_was_typed_wrong_is_shown_again,
    a_viewer_only_looks
);

const GOOD: &[(&str, &str)] = &[
    ("enabled", "1"),
    ("forwarders", "192.0.2.53\r\n\r\n tls://192.0.2.54#dns.example \r\n"),
    ("max_cache_ttl", "60"),
    ("refresh_hours", "12"),
];

async fn settings_are_kept(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let page = root.get("/dns").await.text;
    assert!(page.contains("Answer VPN accounts") && page.contains("Default_1"));
    let page = root.done("/dns", GOOD).await.text;
    assert!(page.contains("192.0.2.53\ntls://192.0.2.54#dns.example"), "{page}");
    let dns = gateway.app.dns();
    assert_eq!((dns.enabled, dns.forwarders.len(), dns.max_cache_ttl_s, dns.refresh_hours), (true, 2, 60, 12));
    // No box is ticked: nothing is blocked there.
    root.done("/dns/places", &[("place", "server/Default_1")]).await;
    assert_eq!(
        gateway.app.dns().unfiltered.into_iter().collect::<Vec<_>>(),
        ["server/Default_1".parse::<Place>().unwrap()]
    );
    // A place that the form does not show stays as it is.
    root.done("/dns/places", &[("place", "hotspot/none"), ("filtered", "hotspot/none")]).await;
    assert_eq!(gateway.app.dns().unfiltered.len(), 1);
    root.done("/dns/places", &[("place", "server/Default_1"), ("filtered", "server/Default_1")]).await;
    assert!(gateway.app.dns().unfiltered.is_empty());
    let audit = root.get("/audit").await.text;
    assert!(audit.contains("tls://192.0.2.54#dns.example") && audit.contains("dns · filter"));
}

async fn records_lists_and_names_come_and_go(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    assert!(root.get("/dns/records").await.text.contains("There are no records of your own."));
    for (name, kind, data) in
        [("nas.lan", "A", "192.168.1.5"), ("nas.lan", "AAAA", "fd00::5"), ("files.lan", "CNAME", "nas.lan")]
    {
        root.done("/dns/records", &[("name", name), ("kind", kind), ("data", data)]).await;
    }
    assert_eq!(
        root.get("/dns/records.csv").await.text,
        "\"name\",\"type\",\"data\"\r\n\"files.lan\",\"CNAME\",\"nas.lan\"\r\n\"nas.lan\",\"A\",\"192.168.1.5\"\r\n\"nas.lan\",\"AAAA\",\"fd00::5\"\r\n"
    );
    let found = root.get("/dns/records?q=fd00").await.text;
    assert!(found.contains("fd00::5") && !found.contains("192.168.1.5"));
    assert!(root.get("/dns?name=NAS.lan").await.text.contains("A 192.168.1.5"));
    root.done("/dns/records/delete", &[("name", "nas.lan"), ("kind", "A"), ("data", "192.168.1.5")]).await;
    assert_eq!(gateway.app.dns().records.len(), 2);

    assert!(root.get("/dns/lists").await.text.contains("There are no block lists."));
    root.done("/dns/lists", &[("title", "Ads"), ("url", "https://lists.example/ads.txt?key=list-Canary-1")]).await;
    let viewer = Browser::new(&gateway, "viewer", Role::Viewer).await;
    let (own, other) = (root.get("/dns/lists").await.text, viewer.get("/dns/lists").await.text);
    assert!(own.contains("list-Canary-1") && other.contains("ads.txt") && !other.contains("list-Canary-1"));
    let id = gateway.app.dns().lists[0].id.0.to_string();
    root.done(
        "/dns/lists/edit",
        &[("id", &id), ("title", "Adverts"), ("url", "https://lists.example/ads.txt?key=list-Canary-1")],
    )
    .await;
    let list = gateway.app.dns().lists[0].clone();
    assert_eq!((list.title.as_str(), list.enabled, list.id.0.to_string()), ("Adverts", false, id.clone()));
    root.done("/dns/lists/refresh", &[]).await;
    root.done("/dns/lists/delete", &[("id", &id)]).await;
    assert!(gateway.app.dns().lists.is_empty());

    assert!(root.get("/dns/names").await.text.contains("No name is blocked or allowed by hand."));
    root.done("/dns/names", &[("name", "*.Ads.example"), ("side", "blocked")]).await;
    root.done("/dns/names", &[("name", "fine.ads.example"), ("side", "allowed")]).await;
    assert_eq!(
        root.get("/dns/names.csv?sort=side").await.text,
        "\"name\",\"side\"\r\n\"fine.ads.example\",\"allowed\"\r\n\"*.ads.example\",\"blocked\"\r\n"
    );
    root.done("/dns/names/delete", &[("name", "*.ads.example"), ("side", "blocked")]).await;
    assert_eq!(gateway.app.dns().allowed.len() + gateway.app.dns().blocked.len(), 1);
    let audit = root.get("/audit").await.text;
    assert!(!audit.contains("list-Canary-1"), "keys of lists are not noted");
    for action in [
        "add_record",
        "delete_record",
        "add_list",
        "edit_list",
        "refresh_lists",
        "delete_list",
        "add_name",
        "delete_name",
    ] {
        assert!(audit.contains(action), "{action}");
    }
}

async fn what_was_typed_wrong_is_shown_again(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    for (name, value, word) in [
        ("forwarders", "dns.example", "A forwarder is an address"),
        ("forwarders", "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n192.0.2.5", "At most 4 forwarders"),
        ("max_cache_ttl", "29", "30 to 3600 seconds"),
        ("refresh_hours", "200", "1 to 168 hours"),
    ] {
        let mut form: Vec<_> = GOOD.iter().filter(|(field, _)| *field != name).copied().collect();
        form.push((name, value));
        let answer = root.post("/dns", &form).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{value}");
        assert!(
            answer.text.contains(word) && answer.text.contains(value.lines().next().unwrap()),
            "{value}: {}",
            answer.text
        );
    }
    for (path, form, word) in [
        ("/dns/records", vec![("name", "a b"), ("kind", "A"), ("data", "192.0.2.1")], "That is no name."),
        ("/dns/records", vec![("name", "a.lan"), ("kind", "A"), ("data", "fd00::1")], "Type A takes an IPv4 address"),
        ("/dns/records", vec![("name", "a.lan"), ("kind", "CNAME"), ("data", "a.lan")], "leads to another name"),
        ("/dns/lists", vec![("title", "x"), ("url", "ftp://x/")], "begins with https://"),
        ("/dns/lists", vec![("title", ""), ("url", "https://x/")], "The title has 1 to 64 characters."),
        ("/dns/names", vec![("name", "*.*.x"), ("side", "blocked")], "for all names below it"),
    ] {
        let answer = root.post(path, &form).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{word}");
        assert!(answer.text.contains(word), "{word}: {}", answer.text);
    }
    assert_eq!(gateway.app.dns(), Dns::default());
    assert!(root.get("/dns?name=a%20b").await.text.contains("That is no name."));
    assert!(root.get("/dns?name=news.example").await.text.contains("the forwarders are asked"));
}

async fn a_viewer_only_looks(database: Database) {
    let gateway = Gateway::start(database).await;
    let viewer = Browser::new(&gateway, "viewer", Role::Viewer).await;
    for path in ["/dns", "/dns/records", "/dns/lists", "/dns/names"] {
        let page = viewer.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!page.text.contains("btn-primary"), "{path}");
    }
    for path in ["/dns", "/dns/places", "/dns/records", "/dns/lists", "/dns/lists/refresh", "/dns/names"] {
        assert_eq!(viewer.post(path, GOOD).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(gateway.app.dns(), Dns::default());
}
