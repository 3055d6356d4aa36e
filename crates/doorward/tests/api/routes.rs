//! Every path: who may call it, with what method, and what it answers to a path that is not.

use serde_json::Value;

use crate::{databases::Database, gateway::Gateway};

both_engines!(
    every_route_refuses_the_unauthorised,
    every_route_exists_with_and_without_a_slash,
    other_methods_and_paths_are_not_found,
    what_comes_later_is_not_found,
    every_answer_has_the_envelope_and_its_headers,
    status_200_for_old_clients,
);

/// Method and path of every endpoint, with names that exist in [`Gateway::server_and_account`].
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/system/status"),
    ("GET", "/system/info"),
    ("GET", "/system/config"),
    ("PUT", "/system/config"),
    ("PUT", "/system/config/default"),
    ("GET", "/license"),
    ("GET", "/wireguard/info"),
    ("GET", "/wireguard/online"),
    ("GET", "/wireguard"),
    ("POST", "/wireguard"),
    ("GET", "/wireguard/Default_1"),
    ("PUT", "/wireguard/Default_1"),
    ("GET", "/wireguard/Default_1/peers"),
    ("GET", "/wireguard/Default_1/available_ips"),
    ("PUT", "/wireguard/Default_1/set_bandwidth"),
    ("GET", "/wireguard/Default_1/set_bandwidth"),
    ("GET", "/wireguard/Default_1/port_forward"),
    ("GET", "/wireguard/Default_1/port_forwarding"),
    ("POST", "/wireguard/Default_1/port_forward"),
    ("POST", "/wireguard/Default_1/port_forwarding"),
    ("DELETE", "/wireguard/Default_1/port_forward/8443/udp"),
    ("DELETE", "/wireguard/Default_1/port_forwarding/8443/udp"),
    ("POST", "/port_forward"),
    ("POST", "/port_forwarding"),
    ("DELETE", "/port_forward/8443/udp"),
    ("DELETE", "/port_forwarding/8443/udp"),
    ("GET", "/wireguard/Default_1/firewall_nat_rules"),
    ("GET", "/wireguard/Default_1/firewall_filter_rules"),
    ("GET", "/wireguard/Default_1/traffic_control"),
    ("GET", "/wireguard/Default_1/dump"),
    ("GET", "/account"),
    ("POST", "/account"),
    ("GET", "/account/peer_1"),
    ("PUT", "/account/peer_1"),
    ("GET", "/account/peer_1/config_text"),
    ("GET", "/account/peer_1/config_qr"),
    ("GET", "/account/peer_1/otl"),
    ("POST", "/account/peer_1/otl"),
    ("GET", "/firewall/info"),
    ("GET", "/firewall/conf"),
    ("PUT", "/firewall/conf"),
    ("GET", "/firewall/rules/filter"),
    ("POST", "/firewall/rules/filter/top"),
    ("POST", "/firewall/rules/filter/end"),
    ("DELETE", "/firewall/rules/filter/some_rule"),
    ("GET", "/firewall/rules/nat"),
    ("GET", "/firewall/rules/mangle"),
    ("GET", "/otl/config"),
    ("GET", "/otl/list"),
    ("GET", "/otl/config_wireguard"),
    ("GET", "/account/peer_1/firewall_mangle_rules"),
    ("GET", "/account/peer_1/traffic_control"),
    ("GET", "/account/peer_1/dump"),
    ("GET", "/account/peer_1/traffic_statistics/2030/1"),
    ("PUT", "/system/reload"),
    ("DELETE", "/account/peer_1"),
    ("DELETE", "/wireguard/Default_1"),
];

async fn every_route_refuses_the_unauthorised(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let before = (gateway.get("/wireguard").await.text, gateway.get("/account").await.text);
    // One /64 each, so that no address is refused too often.
    for (n, (method, path)) in ROUTES.iter().enumerate() {
        for path in [(*path).to_owned(), format!("{path}/")] {
            let nobody = gateway.call(method, &path).cookie(None).from(&format!("2001:db8:0:{n:x}::1"));
            nobody.send().await.refused(401, "Not authorized");
            let elsewhere = gateway.call(method, &path).from(&format!("2001:db8:0:{n:x}::1"));
            elsewhere.send().await.refused(401, "Not authorized");
        }
    }
    assert_eq!(before, (gateway.get("/wireguard").await.text, gateway.get("/account").await.text));
}

async fn every_route_exists_with_and_without_a_slash(database: Database) {
    let gateway = Gateway::start(database).await;
    for (method, path) in ROUTES {
        gateway.post("/wireguard", "name=Default_1").await;
        gateway.post("/account", "wg_name=Default_1&name=peer_1").await;
        for path in [(*path).to_owned(), format!("{path}/")] {
            let answer = gateway.call(method, &path).send().await;
            let not_found = answer.status == 404 && answer.error().1 == "Not found";
            assert!(!not_found && answer.status.as_u16() != 500, "{method} {path}: {answer:?}");
        }
    }
}

async fn other_methods_and_paths_are_not_found(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    for (method, path) in [
        ("POST", "/system/status"),
        ("DELETE", "/account"),
        ("PATCH", "/account/peer_1"),
        ("OPTIONS", "/account"),
        ("TRACE", "/account"),
        ("GET", ""),
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/account/peer_1/nothing"),
        ("GET", "/account/peer_1/dump/x"),
        ("GET", "/account//"),
        ("GET", "/account/peer_1//"),
        ("GET", "/Account"),
        ("GET", "/account/%ff"),
        ("DELETE", "/wireguard/Default_1/port_forward/1"),
        ("POST", "/wireguard/Default_1/port_forward/1/tcp"),
        ("GET", "/port_forward"),
    ] {
        let answer = gateway.call(method, path).send().await;
        assert_eq!(answer.error(), (404, "Not found".to_owned()), "{method} {path}");
        let unauthorised = gateway.call(method, path).cookie(None).from("2001:db8::1").send().await;
        assert!(matches!(unauthorised.status.as_u16(), 401 | 429), "{method} {path}: {unauthorised:?}");
    }
    let head = gateway.call("HEAD", "/system/status").send().await;
    assert_eq!(head.status, 404);
    // "/api" itself is the hotspot API's, "/" the panel's.
    for uri in ["/api/v2/account", "/api/v11", "/nothing"] {
        gateway.call("GET", "").uri(uri).send().await.refused(404, "Not found");
    }
    // Any text may stand for a name; none that is no name is looked for.
    for name in ["peer_2", "a%20b", "a%2Fb", "%00", "%F0%9F%98%80", "..", "peer_1%27--"] {
        gateway.get(&format!("/account/{name}")).await.refused(404, "Account not found");
        gateway.get(&format!("/wireguard/{name}")).await.refused(404, "Wireguard server not found");
    }
}

async fn what_comes_later_is_not_found(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    for path in [
        "/account/peer_1/ikev2_profile",
        "/otl/config_ikev2",
        "/traffic_logging",
        "/system/traffic_logging",
        "/ikev2/info",
        "/ikev2/config",
        "/network",
        "/client",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            gateway.call(method, path).send().await.refused(404, "Not found");
        }
    }
}

async fn every_answer_has_the_envelope_and_its_headers(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    for answer in [
        gateway.get("/account").await,
        gateway.get("/nothing").await,
        gateway.get("/account/nobody").await,
        gateway.post("/account", "a=%").await,
        gateway.call("GET", "/account").cookie(None).send().await,
        gateway.call("GET", "").uri("/outside").send().await,
    ] {
        let keys: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["error", "msg", "status"]);
        assert_sorted(&answer.json(), &answer.text);
        assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["server"], concat!("doorward/", env!("CARGO_PKG_VERSION")));
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    for path in ["/system/status", "/system/info", "/wireguard", "/wireguard/info", "/license", "/system/config"] {
        let answer = gateway.get(path).await;
        assert_sorted(&answer.json(), &answer.text);
    }
}

/// `serde_json` sorts keys when it reads: what it writes again equals what came only if that was sorted.
fn assert_sorted(json: &Value, text: &str) {
    assert_eq!(json.to_string(), text);
}

async fn status_200_for_old_clients(database: Database) {
    let gateway = Gateway::with(database, |choice| choice.http.v1_status_200 = true).await;
    for (answer, text) in [
        (gateway.get("/nothing").await, "Not found"),
        (gateway.get("/account/nobody").await, "Account not found"),
        (gateway.call("GET", "/account").cookie(None).send().await, "Not authorized"),
        (gateway.post("/account", "wg_name=x").await, "Wireguard server not valid"),
        (gateway.post("/account", "a=%").await, "Bad request"),
    ] {
        answer.refused(200, text);
    }
    gateway.call("GET", "").uri("/outside").send().await.refused(404, "Not found");
}
