//! How parameters come (VPN API, section 1.3).

use doorward_policy::key::PrivateKey;
use serde_json::json;

use crate::{databases::Database, gateway::Gateway};

both_engines!(
    forms_and_flat_objects_say_the_same,
    white_space_and_plus,
    unreadable_bodies,
    the_order_of_checks,
    control_characters_are_refused,
    the_last_of_a_name_counts_and_unknown_names_do_not,
    a_refused_request_changes_nothing,
);

async fn forms_and_flat_objects_say_the_same(database: Database) {
    let gateway = Gateway::start(database).await;
    let form = gateway.post("/wireguard", "name=a&keep_alive=25&internal_traffic=TRUE&mtu=1300&").await.msg();
    assert_eq!(
        (&form["keep_alive"], &form["internal_traffic"], &form["mtu"]),
        (&json!(25), &json!(true), &json!(1300))
    );
    let object = json!({"name": "b", "keep_alive": 25, "internal_traffic": true, "mtu": "1300", "dns_1": null});
    let object = gateway.call("POST", "/wireguard").json(&object).send().await.msg();
    for key in ["keep_alive", "internal_traffic", "mtu", "dns_1"] {
        assert_eq!(form[key], object[key], "{key}");
    }
    // No content type is a form; a PUT has a body as well; the query string is never read.
    let plain = gateway.call("PUT", "/wireguard/a?keep_alive=7").body("mtu=1400").send().await.msg();
    assert_eq!((&plain["mtu"], &plain["keep_alive"]), (&json!(1400), &json!(25)));
    let odd = gateway
        .call("PUT", "/wireguard/a")
        .body("mtu=1401")
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8");
    assert_eq!(odd.send().await.msg()["mtu"], 1401);
    assert_eq!(gateway.call("PUT", "/wireguard/a").send().await.msg()["mtu"], 1401, "no body: no change");
}

async fn white_space_and_plus(database: Database) {
    let gateway = Gateway::start(database).await;
    // A key whose first character and many others are a `+`, which form decoding makes a space.
    let key = PrivateKey::from_random(std::array::from_fn(|n| [0xfb, 0xef, 0xbe][n % 3])).expose_base64();
    assert!(key.starts_with('+') && key.matches('+').count() > 10);
    let server =
        gateway.post("/wireguard", &format!("name=%20a%09&private_key={key}%0D%0A&listen_port=+51900+")).await.msg();
    assert_eq!(
        (&server["name"], &server["listen_port"], &server["private_key"]),
        (&json!("a"), &json!("51900"), &json!(key))
    );
    let account = gateway.post("/account", "wg_name=a&password=+two+words+").await.msg();
    assert_eq!(account["password"], " two words ");
}

async fn unreadable_bodies(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    for (kind, body) in [
        ("application/x-www-form-urlencoded", &b"name=%ff"[..]),
        ("application/x-www-form-urlencoded", b"name=\xff"),
        ("application/x-www-form-urlencoded", b"name=%4"),
        ("application/json", b"{"),
        ("application/json", b"[1]"),
        ("application/json", br#"{"name":{"a":1}}"#),
        ("application/json", br#"{"name":["a"]}"#),
        ("application/json", b"{\"name\":\"\xff\"}"),
        ("application/json", br#"{"name":"a"} x"#),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("text/xml", b"<a/>"),
    ] {
        for (method, path) in [
            ("POST", "/wireguard"),
            ("PUT", "/wireguard/Default_1"),
            ("POST", "/account"),
            ("PUT", "/account/peer_1"),
            ("PUT", "/system/config"),
            ("POST", "/wireguard/Default_1/port_forward"),
            ("POST", "/port_forward"),
        ] {
            let answer = gateway.call(method, path).body(body).header("content-type", kind).send().await;
            assert_eq!(answer.error(), (400, "Bad request".to_owned()), "{method} {path} {kind}");
        }
    }
    let long = format!("x={}", "a".repeat(1024 * 1024));
    gateway.post("/wireguard", &long).await.refused(400, "Bad request");
    let longest = format!("name=long&x={}", "a".repeat(1024 * 1024 - 12));
    assert_eq!(longest.len(), 1024 * 1024);
    assert_eq!(gateway.post("/wireguard", &longest).await.msg()["name"], "long");
    let heads = gateway.call("GET", "/account").header("x-long", &"a".repeat(40_000));
    heads.send().await.refused(400, "Bad request");
    let uri = gateway.call("GET", &format!("/account?{}", "a".repeat(9000)));
    uri.send().await.refused(400, "Bad request");
}

async fn the_order_of_checks(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    // Hash, then path and method, then the named object, then the body, then values.
    gateway.call("PATCH", "/nothing").cookie(None).body("%").send().await.refused(401, "Not authorized");
    gateway.call("PATCH", "/account/nobody").body("%").send().await.refused(404, "Not found");
    gateway.call("PUT", "/account/nobody").body("%").send().await.refused(404, "Account not found");
    gateway.call("PUT", "/wireguard/nobody").body("%").send().await.refused(404, "Wireguard server not found");
    let forward = gateway.call("POST", "/wireguard/nobody/port_forward").body("%");
    forward.send().await.refused(404, "Wireguard server not found");
    gateway.call("PUT", "/account/peer_1").body("b_download=x&%").send().await.refused(400, "Bad request");
    gateway
        .call("PUT", "/account/peer_1")
        .body("b_download=x")
        .send()
        .await
        .refused(422, "Bandwidth must be within 0-10000");
}

async fn control_characters_are_refused(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let before = gateway.get("/wireguard/Default_1").await.text;
    for (parameter, value, text) in [
        ("endpoint", "a%0APostUp+%3D+x", "Wrong endpoint format"),
        ("allowed_ips", "10.0.0.0/8%0A,10.0.0.0/8", "Wrong allowed IPs format"),
        ("dns_1", "1.1.1.1%0Ax", "Wrong DNS1 IP format"),
        ("dns_2", "1.1.1.1%001", "Wrong DNS2 IP format"),
        ("external_ip", "1.1%0A.1.1", "Wrong external IP format"),
        ("listen_port", "518%0020", "Wrong Port format"),
        ("address", "10.9.0.1%0A/24", "Wrong IP format"),
        ("private_key", "a%0Ab", "Keys are invalid"),
        ("b_download", "1%0A0", "Bandwidth must be within 0-10000"),
        ("internal_traffic", "tr%0Aue", "Wrong value of internal_traffic (1|0|true|false)"),
    ] {
        gateway.put("/wireguard/Default_1", &format!("{parameter}={value}")).await.refused(422, text);
    }
    assert_eq!(gateway.get("/wireguard/Default_1").await.text, before);
    for (parameter, value, text) in [
        ("name", "a%0Ab", "Wrong name (only letters, numbers and '_', '-')"),
        ("username", "a%00b", "Wrong Username (only letters, numbers and '_', '-')"),
        ("password", "a%0Ab", "Wrong password"),
        ("password", "a%C2%85b", "Wrong password"),
        ("allowed_IPs", "10.0%0A.0.9", "Wrong IP format"),
        ("status", "ena%0Able", "Wrong status (enable|disable)"),
        ("wg_name", "Default%0A_1", "Wireguard server not valid"),
    ] {
        // The last of a name counts, so a good wg_name may stand before.
        let form = format!("wg_name=Default_1&{parameter}={value}");
        gateway.post("/account", &form).await.refused(422, text);
    }
}

async fn the_last_of_a_name_counts_and_unknown_names_do_not(database: Database) {
    let gateway = Gateway::start(database).await;
    let server = gateway.server("name=first&name=last&nonsense=1&%00=2").await;
    assert_eq!(server["name"], "last");
    let twice = br#"{"mtu": 1, "mtu": 1400, "nonsense": true}"#;
    let twice = gateway.call("PUT", "/wireguard/last").body(&twice[..]).header("content-type", "application/json");
    assert_eq!(twice.send().await.msg()["mtu"], 1400);
}

async fn a_refused_request_changes_nothing(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let all = || async {
        (
            gateway.get("/wireguard").await.text,
            gateway.get("/account").await.text,
            gateway.get("/system/config").await.text,
        )
    };
    let (before, items) = (all().await, gateway.kernel.items());
    gateway
        .put("/wireguard/Default_1", "mtu=1300&dns_1=9.9.9.9&b_upload=10001")
        .await
        .refused(422, "Bandwidth must be within 0-10000");
    gateway
        .put("/account/peer_1", "status=disable&password=new&b_upload=-1")
        .await
        .refused(422, "Bandwidth must be within 0-10000");
    gateway.post("/account", "wg_name=Default_1&b_upload=x").await.refused(422, "Bandwidth must be within 0-10000");
    gateway
        .put("/system/config", "traffic_statistics_frequency=10&wireguard_handshake_uptime=301")
        .await
        .refused(422, "Incorrect value Wireguard Handshake Uptime (should be 1 to 300)");
    assert_eq!(all().await, before);
    assert_eq!(gateway.kernel.items(), items);
    // Nor does it use up names and numbers.
    assert_eq!(gateway.account("wg_name=Default_1").await["name"], "peer_2");
}
