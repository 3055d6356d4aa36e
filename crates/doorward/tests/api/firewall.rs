//! `/firewall`: rules, policies, their refusals, and changes that somebody must confirm.

use std::time::Duration;

use doorward::app::Given;
use doorward::app::firewall::RuleWish;
use doorward_policy::{
    firewall::{Chain, Place, Refused, Verdict},
    item::{Counter, Key},
};
use serde_json::{Value, json};

use crate::{databases::Database, gateway::Gateway};

both_engines!(
    rules_are_kept_in_their_order,
    what_is_wrong_is_told_and_changes_nothing,
    policies_and_switches_are_kept,
    what_the_kernel_has_is_listed,
    a_change_that_nobody_confirms_is_taken_back,
    a_restart_does_not_forget_to_take_back,
);

const RULES: &str = "/firewall/rules/filter";

fn names(rules: &Value) -> Vec<&str> {
    rules.as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap()).collect()
}

async fn rules_are_kept_in_their_order(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let first = json!([{ "action": "ACCEPT", "chain": "INPUT", "d_ip": "0.0.0.0/0", "d_port": "8443",
        "name": "system_PUQVPNCP", "protocol": "TCP", "s_ip": "0.0.0.0/0", "s_port": "0" }]);
    assert_eq!(gateway.get(RULES).await.msg(), first);
    let add = async |place: &str, form: &str| {
        assert_eq!(gateway.post(&format!("{RULES}/{place}"), form).await.msg(), "success", "{form}");
    };
    add("end", "name=No_Telnet&chain=INPUT&action=DROP&protocol=TCP&d_port=23").await;
    add("end", "name=LAN&chain=FORWARD&action=ACCEPT&s_ip=10.0.0.5/24&d_ip=192.168.77.0/24").await;
    add("top", "name=v6&chain=OUTPUT&action=DROP&d_ip=2001:db8::/32").await;
    let call = gateway.call("POST", "/firewall/rules/filter/end");
    let sent = json!({ "name": "json1", "chain": "FORWARD", "action": "DROP", "protocol": "ANY", "s_port": 53 });
    assert_eq!(call.json(&sent).send().await.msg(), "success");

    let rules = gateway.get(RULES).await.msg();
    assert_eq!(names(&rules), ["system_PUQVPNCP", "v6", "No_Telnet", "LAN", "json1"]);
    assert_eq!(
        rules[1],
        json!({ "action": "DROP", "chain": "OUTPUT", "d_ip": "2001:db8::/32", "d_port": "0", "name": "v6",
            "protocol": "ANY", "s_ip": "::/0", "s_port": "0" })
    );
    assert_eq!((&rules[3]["s_ip"], &rules[4]["s_port"]), (&json!("10.0.0.5/24"), &json!("53")));
    // Each has a counter, which goes with it.
    let ids: Vec<_> = gateway.app.firewall().await.unwrap().active.rules.iter().map(|rule| rule.id).collect();
    for id in &ids {
        assert!(gateway.kernel.item(Key::Counter(Counter::Rule(*id))).is_some(), "{id:?}");
    }
    gateway.kernel.set_counter(Counter::Rule(ids[0]), 3, 300);
    let counts = gateway.app.rule_counts().await.unwrap();
    assert_eq!((counts[&ids[0]].packets, counts[&ids[0]].bytes), (3, 300));
    assert_eq!(gateway.delete(&format!("{RULES}/v6")).await.msg(), "success");
    assert!(gateway.kernel.item(Key::Counter(Counter::Rule(ids[0]))).is_none());
    assert_eq!(names(&gateway.get(RULES).await.msg()), ["system_PUQVPNCP", "No_Telnet", "LAN", "json1"]);
    let gateway = gateway.restarted().await;
    assert_eq!(names(&gateway.get(RULES).await.msg()), ["system_PUQVPNCP", "No_Telnet", "LAN", "json1"]);
}

async fn what_is_wrong_is_told_and_changes_nothing(database: Database) {
    let gateway = Gateway::start(database).await;
    let good = "name=a&chain=INPUT&action=DROP";
    gateway.post(&format!("{RULES}/top"), good).await.msg();
    for place in ["top", "end"] {
        let path = format!("{RULES}/{place}");
        for (form, status, text) in [
            ("chain=INPUT&action=DROP", 422, "Wrong rule name. Must be letters and numbers only"),
            ("name=a-b&chain=x", 422, "Wrong rule name. Must be letters and numbers only"),
            ("name=system_x&chain=INPUT&action=DROP", 422, "Wrong rule name. Must be letters and numbers only"),
            ("name=a&chain=x", 409, "A rule with the same name already exists"),
            ("name=b&chain=PREROUTING&d_ip=x", 422, "Not correct Chain"),
            ("name=b&action=DROP", 422, "Not correct Chain"),
            ("name=b&chain=INPUT&d_ip=10.0.0.1&s_ip=x", 422, "Destination IP must be in CIDR format"),
            ("name=b&chain=INPUT&s_ip=10.0.0.1&action=x", 422, "Source IP must be in CIDR format"),
            ("name=b&chain=INPUT&action=REJECT&protocol=x", 422, "Not correct Action"),
            ("name=b&chain=INPUT&protocol=TCP", 422, "Not correct Action"),
            ("name=b&chain=INPUT&action=DROP&protocol=tcp", 422, "Not correct Protocol"),
            ("name=b&chain=INPUT&action=DROP&s_port=65536", 422, "Source port must be within 0-65535"),
            ("name=b&chain=INPUT&action=DROP&d_port=-1", 422, "Destination port must be within 0-65535"),
            ("name=b&chain=INPUT&action=DROP&protocol=ICMP&d_port=1", 422, "Ports need protocol TCP, UDP or ANY"),
            (
                "name=b&chain=INPUT&action=DROP&s_ip=10.0.0.0/8&d_ip=2001:db8::/32",
                422,
                "Source and destination must be of the same IP version",
            ),
        ] {
            gateway.post(&path, form).await.refused(status, text);
        }
    }
    gateway.delete(&format!("{RULES}/b")).await.refused(404, "No rule found with given name");
    let kept = "You cannot delete this rule. ONLY name=system_PUQVPNCP";
    gateway.delete(&format!("{RULES}/system_PUQVPNCP")).await.refused(403, kept);
    for (form, text) in [
        ("policy_input=accept&policy_forward=x", "Wrong parameter: INPUT policy, should be: ACCEPT or DROP"),
        ("policy_forward=&policy_output=x", "Wrong parameter: FORWARD policy, should be: ACCEPT or DROP"),
        ("policy_output=REJECT&ip_forward=x", "Wrong parameter: OUTPUT policy, should be: ACCEPT or DROP"),
        ("internal_traffic=yes&policy_input=DROP", "Wrong value of internal_traffic (1|0|true|false)"),
        ("ip_forward=2", "Wrong value of ip_forward (1|0|true|false)"),
    ] {
        gateway.put("/firewall/conf", form).await.refused(422, text);
    }
    let state = gateway.app.firewall().await.unwrap();
    assert_eq!((state.active.rules.len(), state.active.input), (1, Verdict::Accept));
    for n in 0..199 {
        gateway.post(&format!("{RULES}/end"), &format!("name=r{n}&chain=INPUT&action=DROP")).await.msg();
    }
    gateway
        .post(&format!("{RULES}/end"), "name=more&chain=INPUT&action=DROP")
        .await
        .refused(409, "Too many rules (200)");
}

async fn policies_and_switches_are_kept(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let conf = |internal: bool, forward: bool, policies: [&str; 3]| {
        json!({ "internal_traffic": internal, "ip_forward": forward, "policy_input": policies[0],
            "policy_forward": policies[1], "policy_output": policies[2] })
    };
    assert_eq!(gateway.get("/firewall/conf").await.msg(), conf(false, true, ["ACCEPT"; 3]));
    assert_eq!(gateway.put("/firewall/conf", "").await.msg(), "success");
    let form = "internal_traffic=TRUE&policy_input=DROP&policy_output=DROP";
    assert_eq!(gateway.put("/firewall/conf", form).await.msg(), "success");
    assert_eq!(gateway.get("/firewall/conf").await.msg(), conf(true, true, ["DROP", "ACCEPT", "DROP"]));
    gateway.put("/firewall/conf", "ip_forward=0&policy_forward=DROP&policy_input=ACCEPT").await.msg();
    let gateway = gateway.restarted().await;
    assert_eq!(gateway.get("/firewall/conf").await.msg(), conf(true, false, ["ACCEPT", "DROP", "DROP"]));
}

async fn what_the_kernel_has_is_listed(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.server("name=bare&disable_nat=1").await;
    gateway.account("wg_name=Default_1&name=off&status=disable").await;
    let external = gateway.get("/wireguard/Default_1").await.msg()["external_ip"].clone();
    assert_eq!(
        gateway.get("/firewall/rules/nat").await.msg(),
        json!([{ "action": "SNAT", "chain": "POSTROUTING", "d_ip": "0.0.0.0/0", "name": "Default_1_wg1",
            "s_ip": "10.0.0.0/24", "to-source": external }])
    );
    let mangle = gateway.get("/firewall/rules/mangle").await.msg();
    let mark = gateway.get("/account/peer_1").await.msg()["mangle"].clone();
    assert_eq!(
        mangle,
        json!([
            { "action": "MARK", "chain": "FORWARD", "d_ip": "10.0.0.2", "name": "dst_peer_1_user_1", "s_ip": "0.0.0.0/0",
                "set-mark": mark },
            { "action": "MARK", "chain": "FORWARD", "d_ip": "0.0.0.0/0", "name": "src_peer_1_user_1", "s_ip": "10.0.0.2",
                "set-mark": mark },
        ])
    );
    let info = gateway.get("/firewall/info").await.msg();
    assert!(info["iptables"].as_str().unwrap().starts_with("nftables"), "{info}");
    assert!(["yes", "no"].contains(&info["ip_forward"].as_str().unwrap()), "{info}");
}

fn dropping(name: &str) -> RuleWish {
    RuleWish {
        name: Given::Is(name.parse().unwrap()),
        chain: Given::Is(Chain::Forward),
        action: Given::Is(Verdict::Drop),
        ..RuleWish::default()
    }
}

async fn stage(gateway: &Gateway, name: &str) {
    let wish = dropping(name);
    gateway.app.stage_firewall(move |firewall| wish.add(firewall, Place::End).map(drop)).await.unwrap();
}

async fn a_change_that_nobody_confirms_is_taken_back(database: Database) {
    let gateway = Gateway::start(database).await;
    let app = &gateway.app;
    assert!(matches!(app.apply_firewall(Duration::ZERO).await, Err(doorward::app::Error::Firewall(Refused::Missing))));
    stage(&gateway, "staged").await;
    assert_eq!(names(&gateway.get(RULES).await.msg()), ["system_PUQVPNCP"], "a draft has no effect");

    // Nobody confirms: it is back, and what was typed is the draft again.
    app.apply_firewall(Duration::from_millis(300)).await.unwrap();
    assert_eq!(names(&gateway.get(RULES).await.msg()), ["system_PUQVPNCP", "staged"]);
    // A program's change meanwhile is not lost with it.
    gateway.post(&format!("{RULES}/top"), "name=program&chain=INPUT&action=DROP").await.msg();
    eventually(&gateway, &["system_PUQVPNCP", "program"]).await;
    let state = app.firewall().await.unwrap();
    assert!(state.previous.is_none() && state.draft.is_some_and(|draft| draft.rules.len() == 2));

    // Nor by a draft that was begun before it: each rule is what it was, under its own id.
    gateway.post(&format!("{RULES}/end"), "name=later&chain=INPUT&action=DROP").await.msg();
    let state = app.firewall().await.unwrap();
    let ids = |rules: &[doorward_policy::firewall::Rule]| {
        rules.iter().map(|rule| (rule.name.to_string(), rule.id)).collect::<std::collections::BTreeMap<_, _>>()
    };
    let (active, draft) = (ids(&state.active.rules), ids(&state.draft.unwrap().rules));
    assert!(active.iter().all(|(name, id)| draft.get(name) == Some(id)), "{active:?} {draft:?}");
    assert_eq!(draft.values().collect::<std::collections::BTreeSet<_>>().len(), draft.len(), "{draft:?}");

    // Confirmed, it stays.
    app.apply_firewall(Duration::from_millis(300)).await.unwrap();
    app.confirm_firewall().await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(names(&gateway.get(RULES).await.msg()), ["system_PUQVPNCP", "program", "staged", "later"]);
    assert!(matches!(app.confirm_firewall().await, Err(doorward::app::Error::Firewall(Refused::Missing))));

    // Taken back by hand.
    stage(&gateway, "third").await;
    app.apply_firewall(Duration::from_secs(45)).await.unwrap();
    app.roll_back_firewall().await.unwrap();
    assert_eq!(names(&gateway.get(RULES).await.msg()), ["system_PUQVPNCP", "program", "staged", "later"]);
    app.discard_firewall().await.unwrap();
    assert!(app.firewall().await.unwrap().draft.is_none());
}

async fn a_restart_does_not_forget_to_take_back(database: Database) {
    let gateway = Gateway::start(database).await;
    stage(&gateway, "staged").await;
    gateway.app.apply_firewall(Duration::from_secs(2)).await.unwrap();
    let gateway = gateway.restarted().await;
    assert_eq!(names(&gateway.get(RULES).await.msg()), ["system_PUQVPNCP", "staged"]);
    eventually(&gateway, &["system_PUQVPNCP"]).await;
}

async fn eventually(gateway: &Gateway, expected: &[&str]) {
    for _ in 0..100 {
        if names(&gateway.get(RULES).await.msg()) == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not {expected:?}: {}", gateway.get(RULES).await.text);
}
