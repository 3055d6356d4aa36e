//! The firewall's page: a draft, its application, and what is confirmed or taken back.

use axum::http::StatusCode;
use doorward::app::operators::Role;

use crate::{browser::Browser, databases::Database, gateway::Gateway};

both_engines!(
    a_draft_is_applied_and_confirmed,
    rules_of_one_server_are_shown,
    what_was_typed_wrong_is_shown_again,
    a_viewer_only_looks,
);

async fn active(gateway: &Gateway) -> Vec<String> {
    let rules = gateway.app.firewall().await.unwrap().active.rules;
    rules.into_iter().map(|rule| rule.name.to_string()).collect()
}

const SMTP: &[(&str, &str)] =
    &[("name", "no_smtp"), ("chain", "FORWARD"), ("action", "DROP"), ("protocol", "TCP"), ("d_port", "25")];

async fn a_draft_is_applied_and_confirmed(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    assert!(root.get("/firewall").await.text.contains("There are no rules."));
    let page = root.done("/firewall/rules", SMTP).await.text;
    assert!(page.contains("no_smtp") && page.contains("new in the draft") && page.contains("A draft waits."));
    assert!(active(&gateway).await.is_empty());
    let more = [("name", "first"), ("chain", "INPUT"), ("action", "ACCEPT"), ("top", "1"), ("s_ip", "10.0.0.0/24")];
    root.done("/firewall/rules", &more).await;
    root.done("/firewall/rules/move", &[("name", "first"), ("to", "end")]).await;
    root.done("/firewall/conf", &[("policy_forward", "DROP"), ("ip_forward", "1")]).await;

    let page = root.done("/firewall/apply", &[]).await.text;
    assert!(page.contains("Can you still reach everything?") && page.contains("come back in"));
    assert_eq!(active(&gateway).await, ["no_smtp", "first"]);
    root.done("/firewall/back", &[]).await;
    assert!(active(&gateway).await.is_empty());
    root.done("/firewall/apply", &[]).await;
    let page = root.done("/firewall/confirm", &[]).await.text;
    assert!(!page.contains("Can you still reach everything?"));
    assert!(gateway.app.firewall().await.unwrap().previous.is_none());

    let page = root.done("/firewall/rules/delete", &[("name", "first")]).await.text;
    assert!(page.contains("deleted in the draft"));
    let page = root.done("/firewall/discard", &[]).await.text;
    assert!(!page.contains("deleted in the draft") && page.contains("first"));
    let audit = root.get("/audit").await.text;
    for action in ["stage_rule", "apply", "confirm", "take_back", "discard"] {
        assert!(audit.contains(action), "{action}");
    }
}

async fn rules_of_one_server_are_shown(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    gateway.server("name=one&address=10.1.0.1/24&external_ip=192.0.2.1&ipv6=1&address_ipv6=fd01::1/64").await;
    gateway.server("name=two&address=10.2.0.1/24&external_ip=192.0.2.1").await;
    for rule in [
        "name=host_of_one&chain=FORWARD&action=DROP&s_ip=10.1.0.9/32",
        "name=around_one&chain=FORWARD&action=ACCEPT&d_ip=10.0.0.0/15",
        "name=six_of_one&chain=FORWARD&action=DROP&d_ip=fd01::/64",
        "name=of_two&chain=FORWARD&action=DROP&s_ip=10.2.0.0/24&d_ip=10.2.0.0/24",
        "name=everywhere&chain=INPUT&action=DROP&protocol=TCP&d_port=25",
    ] {
        gateway.post("/firewall/rules/filter/end", rule).await.msg();
    }
    let shown = async |of: &str| {
        let page = root.get(&format!("/firewall?of={of}")).await.text;
        let names = ["host_of_one", "around_one", "six_of_one", "of_two", "everywhere"];
        names.into_iter().filter(|name| page.contains(&format!(">{name}<"))).collect::<Vec<_>>()
    };
    assert_eq!(shown("server/one").await, ["host_of_one", "around_one", "six_of_one", "everywhere"]);
    assert_eq!(shown("server/two").await, ["of_two", "everywhere"]);
    assert_eq!(shown("").await.len(), 5);
    assert_eq!(shown("server/gone").await.len(), 5);
    let page = root.get("/firewall").await.text;
    assert!(page.contains("<option value=\"10.1.0.0/24\">server/one</option>"), "networks to choose from");
}

async fn what_was_typed_wrong_is_shown_again(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    for (name, value, word) in [
        ("name", "a b", "Names of rules have"),
        ("s_ip", "10.0.0.1", "The source is a network"),
        ("d_ip", "nowhere", "The destination is a network"),
        ("d_ip", "2001:db8::/32", "same IP version"),
        ("s_port", "70000", "Ports are numbers"),
        ("protocol", "ICMP", "Ports go with"),
    ] {
        let mut form =
            vec![("name", "good"), ("chain", "FORWARD"), ("action", "DROP"), ("s_ip", "10.0.0.0/8"), ("d_port", "25")];
        form.retain(|(known, _)| *known != name);
        form.push((name, value));
        let answer = root.post("/firewall/rules", &form).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(answer.text.contains(word), "{name}={value}: {word}");
        let shown = [format!("value=\"{value}\""), format!("selected>{value}")];
        assert!(shown.iter().any(|shown| answer.text.contains(shown)), "{name}={value} is shown again");
    }
    assert!(gateway.app.firewall().await.unwrap().draft.is_none());
    // Gone meanwhile.
    let page = root.done("/firewall/rules/delete", &[("name", "good")]).await.text;
    assert!(page.contains("There is no such rule any more"));
}

async fn a_viewer_only_looks(database: Database) {
    let gateway = Gateway::start(database).await;
    let viewer = Browser::new(&gateway, "eve", Role::Viewer).await;
    let page = viewer.get("/firewall").await.text;
    assert!(!page.contains("action=\"/firewall/rules\""));
    for path in ["/firewall/rules", "/firewall/apply", "/firewall/confirm", "/firewall/back", "/firewall/conf"] {
        assert_eq!(viewer.post(path, SMTP).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    assert_eq!(desk.get("/firewall").await.status, StatusCode::FORBIDDEN);
}
