//! The firewall's page: a draft, its application, and what is confirmed or taken back.

use axum::http::StatusCode;
use doorward::app::operators::Role;

use crate::{browser::Browser, databases::Database, gateway::Gateway};

both_engines!(a_draft_is_applied_and_confirmed, what_was_typed_wrong_is_shown_again, a_viewer_only_looks);

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
