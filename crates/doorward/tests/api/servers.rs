//! `/wireguard`: stored servers (VPN API, section 3.3).

use doorward_kernel::Host;
use doorward_policy::{
    item::{Item, Key},
    key::PrivateKey,
    name::IfName,
};
use serde_json::{Value, json};

use crate::{
    databases::Database,
    gateway::{Gateway, SECRETS, assert_shape, hide},
};

both_engines!(
    a_server_is_filled_in,
    a_server_as_given,
    numbers_are_the_smallest_free,
    the_257th_server_runs_over,
    what_a_new_server_is_refused_for,
    the_order_of_the_list,
    keys,
    ports_and_subnets_of_others,
    an_edit_changes_what_it_names,
    what_an_edit_is_refused_for,
    an_edit_keeps_accounts_inside,
    ipv6,
    delete,
    peers_and_available_ips,
    set_bandwidth_by_put_and_get,
    shapes,
);

fn key(n: u8) -> PrivateKey {
    PrivateKey::from_random([n; 32])
}

fn interface(name: &str) -> IfName {
    name.parse().unwrap()
}

async fn a_server_is_filled_in(database: Database) {
    let gateway = Gateway::start(database).await;
    let server = gateway.server("").await;
    let expected = json!({
        "address": "10.0.0.1/24", "address_ipv6": "", "allowed_ips": "", "b_download": "0", "b_upload": "0",
        "disable_nat": false, "dns_1": "8.8.8.8", "dns_1_ipv6": "", "dns_2": "1.1.1.1", "dns_2_ipv6": "",
        "endpoint": "", "external_ip": "192.0.2.10", "ikev2": false, "interface_name": "wg1",
        "internal_traffic": false, "ipv6": false, "keep_alive": 0, "listen_port": "51821", "mtu": 0,
        "name": "Default_1", "private_key": "[private_key]", "public_key": "[public_key]",
    });
    assert_eq!(hide(server.clone(), SECRETS), expected);
    let private: PrivateKey = server["private_key"].as_str().unwrap().parse().unwrap();
    assert_eq!(private.public().to_string(), server["public_key"].as_str().unwrap());
    // The answer comes after the kernel followed.
    let Some(Item::Tunnel(_, spec)) = gateway.kernel.item(Key::Tunnel(interface("wg1"))) else { panic!("no tunnel") };
    assert_eq!((spec.listen_port, spec.mtu, spec.private_key.public()), (51821, 1420, private.public()));
    assert!(gateway.kernel.item(Key::Address(interface("wg1"), "10.0.0.1/24".parse().unwrap())).is_some());
    assert_eq!(gateway.get("/wireguard/Default_1").await.msg(), server);
    assert_eq!(gateway.get("/wireguard").await.msg(), json!({"Default_1": server}));
}

async fn a_server_as_given(database: Database) {
    let gateway = Gateway::start(database).await;
    let given = json!({
        "address": "10.40.6.1/24", "address_ipv6": "fd40:6::1/64", "allowed_ips": "10.0.0.5/8, 2001:db8::/32",
        "b_download": "20", "b_upload": "10", "disable_nat": true, "dns_1": "10.40.6.1", "dns_1_ipv6": "fd40:6::1",
        "dns_2": "192.0.2.10", "dns_2_ipv6": "2001:db8::53", "endpoint": "vpn.example.net",
        "external_ip": "192.0.2.10", "ikev2": true, "interface_name": "wg7", "internal_traffic": true, "ipv6": true,
        "keep_alive": 2_147_483_647_u32, "listen_port": "51827", "mtu": 9100, "name": "Default_7",
        "private_key": key(7).expose_base64(), "public_key": key(7).public().to_string(),
    });
    assert_eq!(gateway.call("POST", "/wireguard").json(&given).send().await.msg(), given);
    // What was answered can be sent again.
    assert_eq!(gateway.call("PUT", "/wireguard/Default_7").json(&given).send().await.msg(), given);
    let bare = gateway
        .put("/wireguard/Default_7", "external_ip=192.0.2.10/32&dns_1=9.9.9.9/32&dns_2=&dns_1_ipv6=")
        .await
        .msg();
    assert_eq!(
        (&bare["external_ip"], &bare["dns_1"], &bare["dns_2"]),
        (&json!("192.0.2.10"), &json!("9.9.9.9"), &json!(""))
    );
}

async fn numbers_are_the_smallest_free(database: Database) {
    let gateway = Gateway::start(database).await;
    for n in 1..=4 {
        assert_eq!(gateway.server("").await["name"], format!("Default_{n}"));
    }
    gateway.delete("/wireguard/Default_2").await.msg();
    let hole = gateway.server("").await;
    assert_eq!(
        (&hole["name"], &hole["interface_name"], &hole["listen_port"], &hole["address"]),
        (&json!("Default_2"), &json!("wg2"), &json!("51822"), &json!("10.0.1.1/24"))
    );
    // One value in use moves all generated ones on: here the port of 5, then the subnet of 6.
    gateway.server("name=x&interface_name=wg100&listen_port=51825&address=10.0.5.9/25").await;
    let next = gateway.server("").await;
    assert_eq!(
        (&next["name"], &next["interface_name"], &next["listen_port"], &next["address"]),
        (&json!("Default_7"), &json!("wg7"), &json!("51827"), &json!("10.0.6.1/24"))
    );
    // What is given need not be free at that number.
    let given = gateway.server("listen_port=40000&address=172.16.0.1/24").await;
    assert_eq!((&given["name"], &given["interface_name"]), (&json!("Default_5"), &json!("wg5")));
}

async fn the_257th_server_runs_over(database: Database) {
    let gateway = Gateway::start(database).await;
    // Everything below is taken by one subnet; ports are free.
    gateway.server("name=wide&interface_name=wg1000&listen_port=60000&address=10.0.0.1/16").await;
    let server = gateway.server("").await;
    assert_eq!(
        (&server["name"], &server["interface_name"], &server["listen_port"], &server["address"]),
        (&json!("Default_257"), &json!("wg257"), &json!("52077"), &json!("10.1.0.1/24"))
    );
}

async fn what_a_new_server_is_refused_for(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("name=a&interface_name=wg5&listen_port=51900&address=10.9.0.1/24").await;
    for (form, status, text) in [
        ("name=a", 409, "The name is already in use"),
        ("interface_name=eth0", 422, "Wrong network interface name (wgXXX)"),
        ("interface_name=wg", 422, "Wrong network interface name (wgXXX)"),
        ("interface_name=wg12345678901234", 422, "Wrong network interface name (wgXXX)"),
        ("interface_name=", 422, "Wrong network interface name (wgXXX)"),
        ("name=a+b", 422, "Wrong name (only letters, numbers and '_', '-')"),
        ("name=", 422, "Wrong name (only letters, numbers and '_', '-')"),
        ("name=info", 422, "Wrong name (only letters, numbers and '_', '-')"),
        ("name=online", 422, "Wrong name (only letters, numbers and '_', '-')"),
        ("private_key=x", 422, "Keys are invalid"),
        ("public_key=x", 422, "Keys are invalid"),
        ("interface_name=wg5", 409, "Interface already in use"),
        ("listen_port=51900", 409, "Port already in use"),
        ("listen_port=53", 409, "Port already in use"),
        ("external_ip=192.0.2", 422, "Wrong external IP format"),
        ("external_ip=192.0.2.1/24", 422, "Wrong external IP format"),
        ("external_ip=", 422, "Wrong external IP format"),
        ("external_ip=0.0.0.0", 422, "Wrong external IP format"),
        ("external_ip=224.0.0.1", 422, "Wrong external IP format"),
        ("listen_port=0", 422, "Wrong Port format"),
        ("listen_port=65536", 422, "Wrong Port format"),
        ("listen_port=x", 422, "Wrong Port format"),
        ("address=10.9.0.130/25", 409, "IP address or subnet already in use"),
        ("address=10.0.0.1/8", 409, "IP address or subnet already in use"),
        ("address=192.0.2.77/28", 409, "IP address or subnet already in use"),
        ("address=127.1.0.1/24", 409, "IP address or subnet already in use"),
        ("dns_1=x", 422, "Wrong DNS1 IP format"),
        ("dns_1_ipv6=1.2.3.4", 422, "Wrong DNS1 IP format"),
        ("dns_2=1.1.1.1/24", 422, "Wrong DNS2 IP format"),
        ("dns_2_ipv6=x", 422, "Wrong DNS2 IP format"),
        ("address=10.1.0.1", 422, "Wrong IP format"),
        ("address=10.1.0.0/24", 422, "Wrong IP format"),
        ("address=10.1.0.255/24", 422, "Wrong IP format"),
        ("address=224.0.0.1/24", 422, "Wrong IP format"),
        ("address=", 422, "Wrong IP format"),
        ("address_ipv6=fd00::", 422, "Wrong IP format"),
        ("address_ipv6=fd00::/64", 422, "Wrong IP format"),
        ("address_ipv6=ff02::1/64", 422, "Wrong IP format"),
        ("mtu=9101", 422, "Wrong MTU (0-9100)"),
        ("mtu=-1", 422, "Wrong MTU (0-9100)"),
        ("keep_alive=2147483648", 422, "Wrong keepalive (0-2147483647)"),
        ("allowed_ips=10.0.0.0", 422, "Wrong allowed IPs format"),
        ("endpoint=vpn.example.net:51820", 422, "Wrong endpoint format"),
        ("b_download=10001", 422, "Bandwidth must be within 0-10000"),
        ("b_upload=1.5", 422, "Bandwidth must be within 0-10000"),
        ("internal_traffic=yes", 422, "Wrong value of internal_traffic (1|0|true|false)"),
        ("ipv6=2", 422, "Wrong value of ipv6 (1|0|true|false)"),
        ("ikev2=", 422, "Wrong value of ikev2 (1|0|true|false)"),
        ("disable_nat=no", 422, "Wrong value of disable_nat (1|0|true|false)"),
    ] {
        let answer = gateway.post("/wireguard", form).await;
        assert_eq!(answer.error(), (status, text.to_owned()), "{form}");
    }
    assert_eq!(gateway.get("/wireguard").await.msg().as_object().unwrap().len(), 1);
}

async fn the_order_of_the_list(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("name=a&interface_name=wg5&listen_port=51900&address=10.9.0.1/24").await;
    // Each part is refused; the first in the list of the API is the answer. Then it is mended, and the next comes.
    let parts = [
        ("name=a", "name=b", "The name is already in use"),
        ("interface_name=x", "interface_name=wg6", "Wrong network interface name (wgXXX)"),
        ("private_key=x", "", "Keys are invalid"),
        ("listen_port=51900", "listen_port=51901", "Port already in use"),
        ("external_ip=x", "external_ip=192.0.2.10", "Wrong external IP format"),
        ("address=10.9.0.2/24", "address=10.8.0.1/24", "IP address or subnet already in use"),
        ("dns_1=x", "", "Wrong DNS1 IP format"),
        ("dns_2=x", "", "Wrong DNS2 IP format"),
        ("address_ipv6=x", "", "Wrong IP format"),
        ("mtu=x", "", "Wrong MTU (0-9100)"),
        ("keep_alive=x", "", "Wrong keepalive (0-2147483647)"),
        ("allowed_ips=x", "", "Wrong allowed IPs format"),
        ("endpoint=a:1", "", "Wrong endpoint format"),
        ("b_download=x", "", "Bandwidth must be within 0-10000"),
        ("ipv6=x", "", "Wrong value of ipv6 (1|0|true|false)"),
    ];
    for mended in 0..parts.len() {
        let all: Vec<&str> =
            parts.iter().enumerate().map(|(n, part)| if n < mended { part.1 } else { part.0 }).collect();
        assert_eq!(gateway.post("/wireguard", &all.join("&")).await.error().1, parts[mended].2);
    }
    // A wrong name comes after a wrong interface, a used interface after wrong keys, a wrong port after a wrong address.
    let first = |form: &'static str| async { gateway.post("/wireguard", form).await.error().1 };
    assert_eq!(first("interface_name=x&name=+").await, "Wrong network interface name (wgXXX)");
    assert_eq!(first("name=+&private_key=x").await, "Wrong name (only letters, numbers and '_', '-')");
    assert_eq!(first("interface_name=wg5&private_key=x").await, "Keys are invalid");
    assert_eq!(first("interface_name=wg5&listen_port=51900").await, "Interface already in use");
    assert_eq!(first("external_ip=x&listen_port=0").await, "Wrong external IP format");
    assert_eq!(first("address=10.9.0.2/24&listen_port=0").await, "Wrong Port format");
}

async fn keys(database: Database) {
    let gateway = Gateway::start(database).await;
    let (private, public) = (key(1).expose_base64(), key(1).public().to_string());
    let json = |value: Value| gateway.call("POST", "/wireguard").json(&value).send();
    assert_eq!(json(json!({"private_key": private})).await.msg()["public_key"], public, "derived");
    json(json!({"public_key": public})).await.refused(422, "Keys are invalid");
    let other = key(2).public().to_string();
    json(json!({"private_key": private, "public_key": other})).await.refused(422, "Keys are invalid");

    gateway.account("wg_name=Default_1").await;
    let account = gateway.get("/account/peer_1").await.msg();
    let put = |value: Value| gateway.call("PUT", "/wireguard/Default_1").json(&value).send();
    put(json!({"public_key": other})).await.refused(422, "Keys are invalid");
    put(json!({"private_key": account["private_key"]})).await.refused(422, "Keys are invalid");
    let changed = put(json!({"private_key": key(2).expose_base64(), "public_key": other})).await.msg();
    assert_eq!(changed["public_key"], other);
    let dump = gateway.get("/wireguard/Default_1/dump").await.msg();
    assert_eq!(dump, json!({"port": "51821", "public_key": other}));
}

async fn ports_and_subnets_of_others(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.server("").await;
    gateway.put("/wireguard/Default_2", "listen_port=51821").await.refused(409, "Port already in use");
    gateway
        .put("/wireguard/Default_2", "address=10.0.0.200/25")
        .await
        .refused(409, "IP address or subnet already in use");
    gateway.put("/wireguard/Default_2", "listen_port=51822&address=10.0.1.1/24").await.msg();
    assert_eq!(
        gateway.put("/wireguard/Default_2", "listen_port=51333&address=10.0.1.9/23").await.error().1,
        "IP address or subnet already in use"
    );
    assert_eq!(gateway.put("/wireguard/Default_2", "listen_port=51333").await.msg()["listen_port"], "51333");
    // The old port is free again, a forwarded one is not.
    gateway
        .post("/wireguard/Default_1/port_forward", "dst_port=4444&protocol=udp&to_peer=peer_1&to_port=1")
        .await
        .msg();
    gateway.put("/wireguard/Default_2", "listen_port=4444").await.refused(409, "Port already in use");
    gateway.put("/wireguard/Default_1", "listen_port=4444").await.refused(409, "Port already in use");
    assert_eq!(gateway.server("listen_port=51822").await["listen_port"], "51822");
    // A host interface that is made by hand counts as well.
    let mut host =
        Host { wans: vec![interface("eth0")], addresses: vec![(interface("eth0"), "192.0.2.10/24".parse().unwrap())] };
    host.addresses.push((interface("wg50"), "10.50.0.1/24".parse().unwrap()));
    gateway.kernel.set_host(host);
    gateway.put("/system/reload", "").await.msg();
    gateway.post("/wireguard", "interface_name=wg50").await.refused(409, "Interface already in use");
    gateway.post("/wireguard", "address=10.50.0.9/24").await.refused(409, "IP address or subnet already in use");
}

async fn an_edit_changes_what_it_names(database: Database) {
    let gateway = Gateway::start(database).await;
    let old = gateway.server("").await;
    for (form, key, value) in [
        ("b_download=30", "b_download", json!("30")),
        ("b_upload=5", "b_upload", json!("5")),
        ("dns_1=9.9.9.9", "dns_1", json!("9.9.9.9")),
        ("dns_2=", "dns_2", json!("")),
        ("endpoint=vpn.example.net", "endpoint", json!("vpn.example.net")),
        ("endpoint=", "endpoint", json!("")),
        ("allowed_ips=10.0.0.0/8", "allowed_ips", json!("10.0.0.0/8")),
        ("mtu=1300", "mtu", json!(1300)),
        ("keep_alive=70000", "keep_alive", json!(70_000)),
        ("internal_traffic=true", "internal_traffic", json!(true)),
        ("internal_traffic=false", "internal_traffic", json!(false)),
        ("disable_nat=1", "disable_nat", json!(true)),
        ("ikev2=1", "ikev2", json!(true)),
        ("external_ip=192.0.2.11", "external_ip", json!("192.0.2.11")),
        ("listen_port=51333", "listen_port", json!("51333")),
        ("address=10.77.0.1/16", "address", json!("10.77.0.1/16")),
    ] {
        let before = gateway.get("/wireguard/Default_1").await.msg();
        let after = gateway.put("/wireguard/Default_1", form).await.msg();
        let mut expected = before;
        expected[key] = value;
        assert_eq!(after, expected, "{form}");
        assert_eq!(gateway.get("/wireguard/Default_1").await.msg(), expected, "{form}");
    }
    let same = gateway.put("/wireguard/Default_1", "name=other&interface_name=wg99").await.msg();
    assert_eq!((&same["name"], &same["interface_name"]), (&old["name"], &old["interface_name"]), "ignored");
    let Some(Item::Tunnel(_, spec)) = gateway.kernel.item(Key::Tunnel(interface("wg1"))) else { panic!("no tunnel") };
    assert_eq!((spec.listen_port, spec.mtu), (51333, 1300));
    assert!(gateway.kernel.item(Key::Address(interface("wg1"), "10.0.0.1/24".parse().unwrap())).is_none());
}

async fn what_an_edit_is_refused_for(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("").await;
    gateway.put("/wireguard/nobody", "mtu=x").await.refused(404, "Wireguard server not found");
    for (form, status, text) in [
        ("private_key=x", 422, "Keys are invalid"),
        ("listen_port=53", 409, "Port already in use"),
        ("external_ip=x", 422, "Wrong external IP format"),
        ("listen_port=x", 422, "Wrong Port format"),
        ("address=192.0.2.1/24", 409, "IP address or subnet already in use"),
        ("dns_1=x", 422, "Wrong DNS1 IP format"),
        ("dns_2=x", 422, "Wrong DNS2 IP format"),
        ("address=x", 422, "Wrong IP format"),
        ("address=10.0.0.0/24", 422, "Wrong IP format"),
        ("mtu=x", 422, "Wrong MTU (0-9100)"),
        ("keep_alive=x", 422, "Wrong keepalive (0-2147483647)"),
        ("allowed_ips=x", 422, "Wrong allowed IPs format"),
        ("endpoint=a:1", 422, "Wrong endpoint format"),
        ("b_upload=x", 422, "Bandwidth must be within 0-10000"),
        ("disable_nat=x", 422, "Wrong value of disable_nat (1|0|true|false)"),
    ] {
        assert_eq!(gateway.put("/wireguard/Default_1", form).await.error(), (status, text.to_owned()), "{form}");
    }
}

async fn an_edit_keeps_accounts_inside(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.account("wg_name=Default_1&allowed_IPs=10.0.0.200").await;
    let text = "The IP address is not within the range of the wireguard server";
    gateway.put("/wireguard/Default_1", "address=10.0.0.1/25").await.refused(409, text);
    gateway.put("/wireguard/Default_1", "address=10.0.0.200/24").await.refused(409, text);
    gateway.put("/wireguard/Default_1", "address=10.5.0.1/24").await.refused(409, text);
    gateway.put("/wireguard/Default_1", "address=10.0.0.1/23").await.msg();
    assert_eq!(gateway.account("wg_name=Default_1&allowed_IPs=10.0.1.9").await["allowed_IPs"], "10.0.1.9");
    assert_eq!(gateway.account("wg_name=Default_1").await["allowed_IPs"], "10.0.0.3");
}

async fn ipv6(database: Database) {
    let gateway = Gateway::start(database).await;
    let server = gateway.server("ipv6=1").await;
    let net: ipnet::Ipv6Net = server["address_ipv6"].as_str().unwrap().parse().unwrap();
    assert!(net.prefix_len() == 64 && net.addr().octets()[0] == 0xfd && net.addr().segments()[7] == 1, "{net}");
    let second: ipnet::Ipv6Net = gateway.server("ipv6=true").await["address_ipv6"].as_str().unwrap().parse().unwrap();
    assert!(!net.contains(&second.addr()) && second.addr().segments()[..3] == net.addr().segments()[..3]);
    let overlapping = format!("address_ipv6={net}");
    gateway.post("/wireguard", &overlapping).await.refused(409, "IP address or subnet already in use");

    let account = gateway.account("wg_name=Default_1").await;
    let expected = std::net::Ipv6Addr::from(u128::from(net.addr()) + 1).to_string();
    assert_eq!(account["allowed_IPs_ipv6"], expected);
    let text = "The IP address is not within the range of the wireguard server";
    gateway.put("/wireguard/Default_1", "address_ipv6=fd99::1/64").await.refused(409, text);
    gateway.put("/wireguard/Default_1", "ipv6=0&address_ipv6=").await.refused(409, text);
    // With IPv6 on there is always a subnet: emptied, it is found anew.
    assert_eq!(gateway.put("/wireguard/Default_1", "address_ipv6=").await.msg()["address_ipv6"], net.to_string());
    let off = gateway.put("/wireguard/Default_1", "ipv6=0").await.msg();
    assert_eq!((&off["ipv6"], off["address_ipv6"].as_str()), (&json!(false), Some(net.to_string().as_str())));
    assert_eq!(gateway.account("wg_name=Default_1").await["allowed_IPs_ipv6"], "");

    // Switched on later, a server gets a subnet of its own as well.
    gateway.server("").await;
    assert!(
        gateway.put("/wireguard/Default_3", "ipv6=1").await.msg()["address_ipv6"].as_str().unwrap().starts_with("fd")
    );
}

async fn delete(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.delete("/wireguard/Default_1").await.refused(404, "Wireguard server not found");
    gateway.server_and_account().await;
    gateway.put("/account/peer_1", "status=disable").await.msg();
    gateway.delete("/wireguard/Default_1").await.refused(409, "Cannot be deleted. There are active peers.");
    gateway.delete("/account/peer_1").await.msg();
    assert_eq!(gateway.delete("/wireguard/Default_1").await.msg(), "success");
    assert_eq!(gateway.get("/wireguard").await.msg(), json!({}));
    assert!(gateway.kernel.item(Key::Tunnel(interface("wg1"))).is_none());
    gateway.delete("/wireguard/Default_1").await.refused(404, "Wireguard server not found");
}

async fn peers_and_available_ips(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("address=10.40.6.3/29").await;
    assert_eq!(gateway.get("/wireguard/Default_1/peers").await.msg(), json!({}));
    let free = || async { gateway.get("/wireguard/Default_1/available_ips").await.msg() };
    assert_eq!(free().await, json!(["10.40.6.1", "10.40.6.2", "10.40.6.4", "10.40.6.5", "10.40.6.6"]));
    let peer = gateway.account("wg_name=Default_1&name=b&allowed_IPs=10.40.6.4").await;
    let other = gateway.account("wg_name=Default_1&name=a").await;
    assert_eq!(other["allowed_IPs"], "10.40.6.1");
    assert_eq!(free().await, json!(["10.40.6.2", "10.40.6.5", "10.40.6.6"]));
    assert_eq!(gateway.get("/wireguard/Default_1/peers").await.msg(), json!({"a": other, "b": peer}));
    gateway.delete("/account/b").await.msg();
    assert_eq!(free().await, json!(["10.40.6.2", "10.40.6.4", "10.40.6.5", "10.40.6.6"]));
    gateway.server("address=10.128.0.1/14").await;
    let many = gateway.get("/wireguard/Default_2/available_ips").await.msg();
    assert_eq!((many.as_array().unwrap().len(), &many[0]), (65_534, &json!("10.128.0.2")));
    for path in ["peers", "available_ips", "set_bandwidth", "port_forward"] {
        gateway.get(&format!("/wireguard/nobody/{path}")).await.refused(404, "Wireguard server not found");
    }
}

async fn set_bandwidth_by_put_and_get(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.server("").await;
    gateway.account("wg_name=Default_2&b_download=1&b_upload=2").await;
    gateway.account("wg_name=Default_1&b_download=7&b_upload=8").await;
    for (method, down, up) in [("PUT", "30", "0"), ("GET", "40", "9")] {
        gateway.put("/wireguard/Default_1", &format!("b_download={down}&b_upload={up}")).await.msg();
        let rates = |account: &Value| (account["b_download"].clone(), account["b_upload"].clone());
        assert_ne!(rates(&gateway.get("/account/peer_1").await.msg()), (json!(down), json!(up)), "only new ones");
        assert_eq!(gateway.call(method, "/wireguard/Default_1/set_bandwidth").send().await.msg(), "");
        for name in ["peer_1", "peer_3"] {
            assert_eq!(rates(&gateway.get(&format!("/account/{name}")).await.msg()), (json!(down), json!(up)));
        }
        assert_eq!(rates(&gateway.get("/account/peer_2").await.msg()), (json!("1"), json!("2")));
    }
    let text = gateway.get("/account/peer_1/traffic_control").await.msg();
    assert!(
        text.as_str().unwrap().contains("wg1 --> class htb 1:100 root")
            && text.as_str().unwrap().contains("rate 40Mbit")
    );
    gateway.put("/wireguard/nobody/set_bandwidth", "").await.refused(404, "Wireguard server not found");
    gateway.get("/wireguard/Default_2/set_bandwidth").await.msg();
}

async fn shapes(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("b_download=20&b_upload=10&keep_alive=25").await;
    gateway.account("wg_name=Default_1").await;
    assert_shape!("wireguard_list", hide(gateway.get("/wireguard").await.json(), SECRETS));
    assert_shape!("wireguard_one", hide(gateway.get("/wireguard/Default_1").await.json(), SECRETS));
    assert_shape!("wireguard_peers", hide(gateway.get("/wireguard/Default_1/peers").await.json(), SECRETS));
    assert_shape!("wireguard_set_bandwidth", gateway.put("/wireguard/Default_1/set_bandwidth", "").await.json());
    assert_shape!("wireguard_online_nobody", gateway.get("/wireguard/online").await.json());
    let info = gateway.get("/wireguard/info").await.msg();
    let keys: Vec<&String> = info.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["wireguard", "wireguard-dkms", "wireguard-tools"]);
    assert!(info.as_object().unwrap().values().all(Value::is_string));
}
