//! `/account`: stored accounts (VPN API, section 3.4).

use doorward_policy::{
    item::{Item, Key, PeerId},
    key::PrivateKey,
};
use serde_json::{Value, json};

use crate::{
    databases::Database,
    gateway::{Gateway, SECRETS, assert_shape, hide},
};

both_engines!(
    an_account_is_filled_in,
    an_account_as_given,
    numbers_are_the_smallest_free,
    what_a_new_account_is_refused_for,
    the_order_of_the_list,
    keys,
    addresses,
    ipv6_addresses,
    an_edit_changes_what_it_names,
    what_an_edit_is_refused_for,
    an_edit_reaches_the_kernel,
    delete,
    the_limit,
    a_new_start_knows_what_is_taken,
    shapes,
);

fn key(n: u8) -> PrivateKey {
    PrivateKey::from_random([n; 32])
}

async fn an_account_is_filled_in(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("b_download=20&b_upload=10").await;
    let account = gateway.account("wg_name=Default_1").await;
    let expected = json!({
        "allowed_IPs": "10.0.0.2", "allowed_IPs_ipv6": "", "b_download": "20", "b_upload": "10", "mangle": "100",
        "name": "peer_1", "password": "[password]", "private_key": "[private_key]", "public_key": "[public_key]",
        "status": "enable", "username": "user_1", "wg_name": "Default_1",
    });
    assert_eq!(hide(account.clone(), SECRETS), expected);
    assert!(account["password"].as_str().unwrap().len() >= 12);
    let private: PrivateKey = account["private_key"].as_str().unwrap().parse().unwrap();
    assert_eq!(account["public_key"], private.public().to_string());
    assert!(gateway.kernel.is_granted("10.0.0.2".parse().unwrap()), "the kernel followed before the answer");
    assert_eq!(gateway.get("/account/peer_1").await.msg(), account);
    assert_eq!(gateway.get("/account").await.msg(), json!([account]));
}

async fn an_account_as_given(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("ipv6=1&address_ipv6=fd01::1/64").await;
    let given = json!({
        "allowed_IPs": "10.0.0.77", "allowed_IPs_ipv6": "fd01::77", "b_download": "100", "b_upload": "0",
        "name": "Karl-Heinz_1", "password": " fäke Pass=&+%", "private_key": key(3).expose_base64(),
        "public_key": key(3).public().to_string(), "status": "disable", "username": "karl", "wg_name": "Default_1",
    });
    let mut expected = given.clone();
    expected["mangle"] = json!("100");
    assert_eq!(gateway.call("POST", "/account").json(&given).send().await.msg(), expected);
    assert_eq!(gateway.get("/account/Karl-Heinz_1").await.msg(), expected);
    assert!(!gateway.kernel.is_granted("10.0.0.77".parse().unwrap()), "disabled");
    let bare = gateway.account("wg_name=Default_1&allowed_IPs=10.0.0.78/32&allowed_IPs_ipv6=fd01::78/128").await;
    assert_eq!((&bare["allowed_IPs"], &bare["allowed_IPs_ipv6"]), (&json!("10.0.0.78"), &json!("fd01::78")));
}

async fn numbers_are_the_smallest_free(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("").await;
    let numbers = |account: &Value| {
        ["name", "username", "allowed_IPs", "mangle"].map(|key| account[key].as_str().unwrap().to_owned())
    };
    for n in 1..=4 {
        let account = gateway.account("wg_name=Default_1").await;
        assert_eq!(
            numbers(&account),
            [format!("peer_{n}"), format!("user_{n}"), format!("10.0.0.{}", n + 1), format!("{}", n + 99)]
        );
    }
    gateway.delete("/account/peer_2").await.msg();
    gateway.delete("/account/peer_3").await.msg();
    // Each number for itself: a taken name does not move the user name on.
    let odd = gateway.account("wg_name=Default_1&name=peer_2&username=user_9&allowed_IPs=10.0.0.99").await;
    assert_eq!(numbers(&odd), ["peer_2", "user_9", "10.0.0.99", "101"]);
    assert_eq!(numbers(&gateway.account("wg_name=Default_1").await), ["peer_3", "user_2", "10.0.0.3", "102"]);
    assert_eq!(numbers(&gateway.account("wg_name=Default_1").await), ["peer_5", "user_3", "10.0.0.4", "104"]);
    // Somebody's own `peer_007` is not the seventh.
    for n in [6, 7, 8] {
        gateway.account("wg_name=Default_1&name=peer_007").await;
        gateway.delete("/account/peer_007").await.msg();
        assert_eq!(gateway.account("wg_name=Default_1").await["name"], format!("peer_{n}"));
    }
    // Marks and names are the gateway's, addresses the server's.
    gateway.server("").await;
    let elsewhere = gateway.account("wg_name=Default_2").await;
    assert_eq!((&elsewhere["name"], &elsewhere["allowed_IPs"]), (&json!("peer_9"), &json!("10.0.1.2")));
}

async fn what_a_new_account_is_refused_for(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    for (form, status, text) in [
        ("", 422, "Wireguard server not valid"),
        ("wg_name=", 422, "Wireguard server not valid"),
        ("wg_name=nobody", 422, "Wireguard server not valid"),
        ("wg_name=Default_1&name=a.b", 422, "Wrong name (only letters, numbers and '_', '-')"),
        ("wg_name=Default_1&name=", 422, "Wrong name (only letters, numbers and '_', '-')"),
        ("wg_name=Default_1&name=peer_1", 409, "The name is already in use"),
        ("wg_name=Default_1&username=user_1", 409, "The username is already in use"),
        ("wg_name=Default_1&username=a@b", 422, "Wrong Username (only letters, numbers and '_', '-')"),
        ("wg_name=Default_1&allowed_IPs=10.0.0", 422, "Wrong IP format"),
        ("wg_name=Default_1&allowed_IPs=10.0.0.9/24", 422, "Wrong IP format"),
        ("wg_name=Default_1&allowed_IPs=", 422, "Wrong IP format"),
        ("wg_name=Default_1&allowed_IPs_ipv6=10.0.0.9", 422, "Wrong IP format"),
        ("wg_name=Default_1&allowed_IPs=10.0.0.2", 409, "IP address already in use"),
        ("wg_name=Default_1&allowed_IPs=10.0.0.1", 409, "IP address already in use"),
        (
            "wg_name=Default_1&allowed_IPs=10.0.0.0",
            422,
            "The IP address is not within the range of the wireguard server",
        ),
        (
            "wg_name=Default_1&allowed_IPs=10.0.0.255",
            422,
            "The IP address is not within the range of the wireguard server",
        ),
        (
            "wg_name=Default_1&allowed_IPs=10.0.1.2",
            422,
            "The IP address is not within the range of the wireguard server",
        ),
        (
            "wg_name=Default_1&allowed_IPs_ipv6=fd00::9",
            422,
            "The IP address is not within the range of the wireguard server",
        ),
        ("wg_name=Default_1&private_key=x", 422, "Keys are invalid"),
        ("wg_name=Default_1&status=on", 422, "Wrong status (enable|disable)"),
        ("wg_name=Default_1&status=", 422, "Wrong status (enable|disable)"),
        ("wg_name=Default_1&password=", 422, "Wrong password"),
        ("wg_name=Default_1&b_download=10001", 422, "Bandwidth must be within 0-10000"),
        ("wg_name=Default_1&b_upload=fast", 422, "Bandwidth must be within 0-10000"),
    ] {
        assert_eq!(gateway.post("/account", form).await.error(), (status, text.to_owned()), "{form}");
    }
    let long = format!("wg_name=Default_1&password={}", "x".repeat(129));
    gateway.post("/account", &long).await.refused(422, "Wrong password");
    gateway.post("/account", &long[..long.len() - 1]).await.msg();
    let long = format!("wg_name=Default_1&name={}", "x".repeat(65));
    gateway.post("/account", &long).await.refused(422, "Wrong name (only letters, numbers and '_', '-')");
    assert_eq!(gateway.get("/account").await.msg().as_array().unwrap().len(), 2);
}

async fn the_order_of_the_list(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let parts = [
        ("wg_name=nobody", "wg_name=Default_1", "Wireguard server not valid"),
        ("name=+", "name=n", "Wrong name (only letters, numbers and '_', '-')"),
        ("username=user_1", "username=u", "The username is already in use"),
        ("allowed_IPs=10.0.0.2", "", "IP address already in use"),
        ("allowed_IPs_ipv6=fd00::1", "", "The IP address is not within the range of the wireguard server"),
        ("public_key=x", "", "Keys are invalid"),
        ("status=x", "", "Wrong status (enable|disable)"),
        ("password=", "", "Wrong password"),
        ("b_upload=x", "", "Bandwidth must be within 0-10000"),
        ("own_key=x", "", "Wrong value of own_key (1|0|true|false)"),
        ("expires_at=x", "", "Wrong expires_at (RFC 3339 with offset)"),
        ("quota_bytes=x", "", "Wrong quota_bytes (0-9223372036854775807)"),
        ("quota_period=x", "", "Wrong quota_period (none|day|week|month)"),
        ("preshared_key=x", "", "Wrong preshared_key (44 characters of base64)"),
    ];
    for mended in 0..parts.len() {
        let all: Vec<&str> =
            parts.iter().enumerate().map(|(n, part)| if n < mended { part.1 } else { part.0 }).collect();
        assert_eq!(gateway.post("/account", &all.join("&")).await.error().1, parts[mended].2);
    }
    let first = |form: &'static str| async { gateway.post("/account", form).await.error().1 };
    assert_eq!(first("wg_name=Default_1&name=peer_1&username=+").await, "The name is already in use");
    assert_eq!(
        first("wg_name=Default_1&username=+&allowed_IPs=x").await,
        "Wrong Username (only letters, numbers and '_', '-')"
    );
    assert_eq!(first("wg_name=Default_1&allowed_IPs=10.9.9.9&allowed_IPs_ipv6=x").await, "Wrong IP format");
}

async fn keys(database: Database) {
    let gateway = Gateway::start(database).await;
    let server = gateway.server("").await;
    gateway.server("").await;
    let (private, public) = (key(1).expose_base64(), key(1).public().to_string());
    let post = |more: Value| {
        let mut wish = json!({"wg_name": "Default_1"});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let call = gateway.call("POST", "/account").json(&wish);
        async move { call.send().await }
    };
    assert_eq!(post(json!({"private_key": private})).await.msg()["public_key"], public, "derived");
    for wrong in [
        json!({"public_key": public}),
        json!({"private_key": key(2).expose_base64(), "public_key": public}),
        json!({"private_key": private}),
        json!({"private_key": private, "public_key": public}),
        json!({"private_key": server["private_key"]}),
        json!({"private_key": ""}),
        json!({"private_key": &private[..43]}),
    ] {
        post(wrong).await.refused(422, "Keys are invalid");
    }
    // Of another server's account it may be.
    post(json!({"wg_name": "Default_2", "private_key": private})).await.msg();
    // Once the account is gone its key is free.
    gateway.delete("/account/peer_1").await.msg();
    post(json!({"private_key": private})).await.msg();
}

async fn addresses(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("address=10.40.6.2/30").await;
    assert_eq!(gateway.account("wg_name=Default_1").await["allowed_IPs"], "10.40.6.1");
    gateway.post("/account", "wg_name=Default_1").await.refused(409, "IP address already in use");
    assert_eq!(gateway.get("/wireguard/Default_1/available_ips").await.msg(), json!([]));
    gateway.delete("/account/peer_1").await.msg();
    assert_eq!(gateway.account("wg_name=Default_1").await["allowed_IPs"], "10.40.6.1");
}

async fn ipv6_addresses(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("ipv6=1&address_ipv6=fd01::1/126").await;
    let six = |account: Value| account["allowed_IPs_ipv6"].clone();
    assert_eq!(six(gateway.account("wg_name=Default_1").await), "fd01::2");
    assert_eq!(six(gateway.account("wg_name=Default_1&allowed_IPs_ipv6=").await), "", "none is wished");
    gateway
        .post("/account", "wg_name=Default_1&allowed_IPs_ipv6=fd01::2")
        .await
        .refused(409, "IP address already in use");
    gateway
        .post("/account", "wg_name=Default_1&allowed_IPs_ipv6=fd01::1")
        .await
        .refused(409, "IP address already in use");
    let outside = "The IP address is not within the range of the wireguard server";
    gateway.post("/account", "wg_name=Default_1&allowed_IPs_ipv6=fd01::").await.refused(422, outside);
    gateway.post("/account", "wg_name=Default_1&allowed_IPs_ipv6=fd02::2").await.refused(422, outside);
    assert_eq!(six(gateway.account("wg_name=Default_1").await), "fd01::3");
    gateway.post("/account", "wg_name=Default_1").await.refused(409, "IP address already in use");
    gateway.put("/account/peer_1", "allowed_IPs_ipv6=").await.msg();
    assert_eq!(six(gateway.put("/account/peer_2", "allowed_IPs_ipv6=fd01::2/128").await.msg()), "fd01::2");
    assert!(gateway.kernel.is_granted("fd01::2".parse().unwrap()));
    let text = gateway.get("/account/peer_2/config_text").await.msg();
    assert!(text.as_str().unwrap().contains("Address = 10.0.0.3/24,fd01::2/126\n"), "{text}");
}

async fn an_edit_changes_what_it_names(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    for (form, key, value) in [
        ("b_download=30", "b_download", "30"),
        ("b_upload=0", "b_upload", "0"),
        ("password=new+one", "password", "new one"),
        ("status=disable", "status", "disable"),
        ("status=enable", "status", "enable"),
        ("allowed_IPs=10.0.0.200", "allowed_IPs", "10.0.0.200"),
        ("allowed_IPs=10.0.0.200", "allowed_IPs", "10.0.0.200"),
        ("allowed_IPs=10.0.0.201/32", "allowed_IPs", "10.0.0.201"),
    ] {
        let mut expected = gateway.get("/account/peer_1").await.msg();
        expected[key] = json!(value);
        assert_eq!(gateway.put("/account/peer_1", form).await.msg(), expected, "{form}");
        assert_eq!(gateway.get("/account/peer_1").await.msg(), expected, "{form}");
    }
    let before = gateway.get("/account/peer_1").await.msg();
    let ignored = format!("name=x&username=y&wg_name=z&mangle=7&private_key={}", key(9).expose_base64());
    assert_eq!(gateway.put("/account/peer_1", &ignored).await.msg(), before);
    // The address that it left can be had again.
    assert_eq!(gateway.account("wg_name=Default_1&allowed_IPs=10.0.0.200").await["allowed_IPs"], "10.0.0.200");
}

async fn what_an_edit_is_refused_for(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.account("wg_name=Default_1").await;
    gateway.put("/account/nobody", "status=x").await.refused(404, "Account not found");
    let outside = "The IP address is not within the range of the wireguard server";
    for (form, status, text) in [
        ("allowed_IPs=x", 422, "Wrong external IP format"),
        ("allowed_IPs=10.0.0.9/24", 422, "Wrong external IP format"),
        ("allowed_IPs_ipv6=x", 422, "Wrong external IP format"),
        ("allowed_IPs=10.0.0.3", 409, "IP address already in use"),
        ("allowed_IPs=10.0.0.1", 409, "IP address already in use"),
        ("allowed_IPs=10.0.0.255", 422, outside),
        ("allowed_IPs=10.0.9.9", 422, outside),
        ("allowed_IPs_ipv6=fd00::9", 422, outside),
        ("status=x", 422, "Wrong status (enable|disable)"),
        ("password=", 422, "Wrong password"),
        ("b_download=x", 422, "Bandwidth must be within 0-10000"),
        ("b_upload=-1", 422, "Bandwidth must be within 0-10000"),
    ] {
        assert_eq!(gateway.put("/account/peer_1", form).await.error(), (status, text.to_owned()), "{form}");
    }
}

async fn an_edit_reaches_the_kernel(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let stored = gateway.store.account_by_name("peer_1").await.unwrap().unwrap();
    let peer = Key::Peer(PeerId { interface: "wg1".parse().unwrap(), public_key: stored.public_key });
    let granted = |address: &str| gateway.kernel.is_granted(address.parse().unwrap());
    assert!(granted("10.0.0.2") && gateway.kernel.item(peer).is_some());
    gateway.put("/account/peer_1", "status=disable").await.msg();
    assert!(!granted("10.0.0.2") && gateway.kernel.item(peer).is_none());
    gateway.put("/account/peer_1", "status=enable&allowed_IPs=10.0.0.50").await.msg();
    assert!(!granted("10.0.0.2") && granted("10.0.0.50"));
    let Some(Item::Peer(_, spec)) = gateway.kernel.item(peer) else { panic!("no peer") };
    assert_eq!(spec.allowed_ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.50/32"]);
    drop(gateway.kernel.take_log());
    gateway.put("/account/peer_1", "password=another").await.msg();
    gateway.put("/account/peer_1", "").await.msg();
    assert!(gateway.kernel.take_log().is_empty(), "nothing to do for the kernel");
}

async fn delete(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.post("/wireguard/Default_1/port_forward", "dst_port=80&protocol=tcp&to_peer=peer_1&to_port=80").await.msg();
    assert_eq!(gateway.delete("/account/peer_1").await.msg(), "success");
    gateway.delete("/account/peer_1").await.refused(404, "Account not found");
    gateway.get("/account/peer_1").await.refused(404, "Account not found");
    assert_eq!(gateway.get("/account").await.msg(), json!([]));
    assert_eq!(gateway.get("/wireguard/Default_1/port_forward").await.msg(), json!({}));
    assert!(!gateway.kernel.is_granted("10.0.0.2".parse().unwrap()));
    gateway.account("wg_name=Default_1&name=peer_1").await;
    gateway.post("/wireguard/Default_1/port_forward", "dst_port=80&protocol=tcp&to_peer=peer_1&to_port=80").await.msg();
}

async fn the_limit(database: Database) {
    let gateway = Gateway::with(database, |choice| choice.settings.max_accounts = 2).await;
    gateway.server_and_account().await;
    gateway.account("wg_name=Default_1").await;
    gateway.post("/account", "wg_name=Default_1").await.refused(403, "VPN account limit exceeded");
    gateway.post("/account", "wg_name=nobody&name=+").await.refused(403, "VPN account limit exceeded");
    let status = gateway.get("/system/status").await.msg();
    assert_eq!((&status["count_accounts"], &status["count_accounts_available"]), (&json!(2), &json!(2)));
    gateway.delete("/account/peer_1").await.msg();
    gateway.account("wg_name=Default_1").await;
}

async fn a_new_start_knows_what_is_taken(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.account("wg_name=Default_1").await;
    gateway.delete("/account/peer_1").await.msg();
    gateway.post("/wireguard/Default_1/port_forward", "dst_port=80&protocol=tcp&to_peer=peer_2&to_port=80").await.msg();
    let again = gateway.restarted().await;
    again.post("/account", "wg_name=Default_1&name=peer_2").await.refused(409, "The name is already in use");
    let forward = again.post("/wireguard/Default_1/port_forward", "dst_port=80&protocol=tcp&to_peer=peer_2&to_port=80");
    forward.await.refused(409, "DST port and protocol are already enabled");
    let account = again.account("wg_name=Default_1").await;
    assert_eq!(
        ["name", "username", "allowed_IPs", "mangle"].map(|key| account[key].as_str().unwrap()),
        ["peer_1", "user_1", "10.0.0.2", "100"]
    );
    assert_eq!(again.server("").await["name"], "Default_2");
}

async fn shapes(database: Database) {
    let gateway = Gateway::start(database).await;
    assert_shape!("account_list_empty", gateway.get("/account").await.json());
    gateway.server_and_account().await;
    assert_shape!("account_list", hide(gateway.get("/account").await.json(), SECRETS));
    assert_shape!("account_one", hide(gateway.get("/account/peer_1").await.json(), SECRETS));
    assert_shape!("account_not_found", gateway.get("/account/nobody").await.json());
    assert_shape!("account_deleted", gateway.delete("/account/peer_1").await.json());
}
