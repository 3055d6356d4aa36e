//! Port forwardings, in every spelling of their path (VPN API, section 3.3, Open 19).

use doorward_policy::{
    item::{ForwardKey, ForwardTo, Item, Key},
    vpn_server::Protocol,
};
use serde_json::json;

use crate::{
    databases::Database,
    gateway::{Gateway, assert_shape},
};

both_engines!(
    every_spelling,
    what_is_refused,
    the_order_of_the_list,
    bare_paths,
    unique_for_an_external_address,
    they_follow_account_and_server,
);

fn key(address: &str, port: u16, protocol: Protocol) -> Key {
    Key::Forward(ForwardKey { address: address.parse().unwrap(), protocol, port })
}

async fn every_spelling(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let rule = json!({"dst_port": 8080, "protocol": "tcp", "to_peer": "peer_1", "to_port": 443});
    assert_eq!(gateway.get("/wireguard/Default_1/port_forward").await.msg(), json!({}));
    for spelling in [
        "/wireguard/Default_1/port_forward",
        "/wireguard/Default_1/port_forwarding",
        "/port_forward",
        "/port_forwarding",
    ] {
        let added = gateway.post(spelling, "dst_port=8080&protocol=tcp&to_peer=peer_1&to_port=443").await;
        assert_eq!(added.msg(), rule, "{spelling}");
        let to = Item::Forward(
            ForwardKey { address: "192.0.2.10".parse().unwrap(), protocol: Protocol::Tcp, port: 8080 },
            ForwardTo { address: "10.0.0.2".parse().unwrap(), port: 443 },
        );
        assert_eq!(gateway.kernel.item(key("192.0.2.10", 8080, Protocol::Tcp)), Some(to));
        for list in ["port_forward", "port_forwarding"] {
            assert_eq!(gateway.get(&format!("/wireguard/Default_1/{list}")).await.msg(), json!({"8080_tcp": rule}));
        }
        assert_eq!(gateway.delete(&format!("{spelling}/8080/tcp")).await.msg(), "success");
        assert!(gateway.kernel.item(key("192.0.2.10", 8080, Protocol::Tcp)).is_none());
        gateway.delete(&format!("{spelling}/8080/tcp")).await.refused(404, "There is no such port forwarding");
    }
    gateway.post("/port_forward", "dst_port=65535&protocol=udp&to_peer=peer_1&to_port=1").await.msg();
    gateway.post("/port_forward", "dst_port=65535&protocol=tcp&to_peer=peer_1&to_port=65535").await.msg();
    assert_shape!("port_forward_list", gateway.get("/wireguard/Default_1/port_forward").await.json());
}

async fn what_is_refused(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.server("").await;
    gateway.server("external_ip=192.0.2.99").await;
    gateway.account("wg_name=Default_2").await;
    gateway.post("/wireguard/nobody/port_forward", "").await.refused(404, "Wireguard server not found");
    gateway.post("/wireguard/Default_1/port_forward", "dst_port=80&protocol=tcp&to_peer=peer_1&to_port=80").await.msg();
    for (form, status, text) in [
        ("", 422, "Protocol must be tcp or udp"),
        ("protocol=icmp", 422, "Protocol must be tcp or udp"),
        ("protocol=TCP", 422, "Protocol must be tcp or udp"),
        ("protocol=tcp", 422, "DST port must be within 1-65535"),
        ("protocol=tcp&dst_port=0", 422, "DST port must be within 1-65535"),
        ("protocol=tcp&dst_port=65536", 422, "DST port must be within 1-65535"),
        ("protocol=tcp&dst_port=x", 422, "DST port must be within 1-65535"),
        ("protocol=tcp&dst_port=80", 409, "DST port and protocol are already enabled"),
        ("protocol=tcp&dst_port=8443", 409, "DST port and protocol are already enabled"),
        ("protocol=tcp&dst_port=51821", 422, "DstPort cannot be ListenPort"),
        ("protocol=udp&dst_port=51821", 422, "DstPort cannot be ListenPort"),
        ("protocol=udp&dst_port=51822", 422, "DstPort cannot be ListenPort"),
        ("protocol=tcp&dst_port=51822", 422, "To port must be within 1-65535"),
        ("protocol=udp&dst_port=51823", 422, "To port must be within 1-65535"),
        ("protocol=udp&dst_port=80", 422, "To port must be within 1-65535"),
        ("protocol=udp&dst_port=80&to_port=0", 422, "To port must be within 1-65535"),
        ("protocol=udp&dst_port=80&to_port=80", 422, "Entered incorrect peer"),
        ("protocol=udp&dst_port=80&to_port=80&to_peer=nobody", 422, "Entered incorrect peer"),
        ("protocol=udp&dst_port=80&to_port=80&to_peer=+", 422, "Entered incorrect peer"),
        ("protocol=udp&dst_port=80&to_port=80&to_peer=peer_2", 422, "Entered incorrect peer"),
    ] {
        let answer = gateway.post("/wireguard/Default_1/port_forwarding", form).await;
        assert_eq!(answer.error(), (status, text.to_owned()), "{form}");
    }
    for (path, status, text) in [
        ("/wireguard/nobody/port_forward/80/tcp", 404, "Wireguard server not found"),
        ("/wireguard/nobody/port_forward/x/y", 404, "Wireguard server not found"),
        ("/wireguard/Default_1/port_forward/81/tcp", 404, "There is no such port forwarding"),
        ("/wireguard/Default_1/port_forward/80/udp", 404, "There is no such port forwarding"),
        ("/wireguard/Default_2/port_forward/80/tcp", 404, "There is no such port forwarding"),
        ("/wireguard/Default_1/port_forward/80/icmp", 422, "Incorrect protocol parameter (tcp|udp)"),
        ("/wireguard/Default_1/port_forward/x/icmp", 422, "Incorrect protocol parameter (tcp|udp)"),
        ("/wireguard/Default_1/port_forward/x/tcp", 422, "Incorrect dst_port parameter"),
        ("/wireguard/Default_1/port_forward/0/tcp", 422, "Incorrect dst_port parameter"),
        ("/wireguard/Default_1/port_forward/65536/tcp", 422, "Incorrect dst_port parameter"),
    ] {
        gateway.delete(path).await.refused(status, text);
    }
    gateway.get("/wireguard/nobody/port_forward").await.refused(404, "Wireguard server not found");
    assert_eq!(gateway.get("/wireguard/Default_1/port_forward").await.msg().as_object().unwrap().len(), 1);
}

async fn the_order_of_the_list(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let parts = [
        ("protocol=x", "protocol=tcp", "Protocol must be tcp or udp"),
        ("dst_port=x", "dst_port=51821", "DST port must be within 1-65535"),
        ("", "dst_port=80", "DstPort cannot be ListenPort"),
        ("to_port=x", "to_port=1", "To port must be within 1-65535"),
        ("to_peer=x", "to_peer=peer_1", "Entered incorrect peer"),
    ];
    for mended in 0..parts.len() {
        let all: Vec<&str> =
            parts.iter().enumerate().map(|(n, part)| if n < mended { part.1 } else { part.0 }).collect();
        assert_eq!(gateway.post("/wireguard/Default_1/port_forward", &all.join("&")).await.error().1, parts[mended].2);
    }
}

async fn bare_paths(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.server("external_ip=192.0.2.99").await;
    gateway.account("wg_name=Default_2").await;
    for peer in ["peer_1", "peer_2"] {
        gateway.post("/port_forward", &format!("dst_port=80&protocol=tcp&to_peer={peer}&to_port=80")).await.msg();
    }
    gateway.delete("/port_forward/80/tcp").await.refused(409, "Wireguard server not found");
    gateway.delete("/wireguard/Default_2/port_forward/80/tcp").await.msg();
    assert_eq!(gateway.delete("/port_forward/80/tcp").await.msg(), "success");
    gateway.delete("/port_forward/80/tcp").await.refused(404, "There is no such port forwarding");
    gateway.delete("/port_forward/80/x").await.refused(422, "Incorrect protocol parameter (tcp|udp)");
    gateway.delete("/port_forward/x/tcp").await.refused(422, "Incorrect dst_port parameter");
    for (form, text) in [
        ("protocol=x", "Protocol must be tcp or udp"),
        ("protocol=tcp&dst_port=x", "DST port must be within 1-65535"),
        ("protocol=tcp&dst_port=80", "To port must be within 1-65535"),
        ("protocol=tcp&dst_port=80&to_port=80", "Entered incorrect peer"),
        ("protocol=tcp&dst_port=80&to_port=80&to_peer=nobody", "Entered incorrect peer"),
        ("protocol=tcp&dst_port=51821&to_port=80&to_peer=peer_1", "DstPort cannot be ListenPort"),
    ] {
        gateway.post("/port_forward", form).await.refused(422, text);
    }
}

async fn unique_for_an_external_address(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.server("").await;
    gateway.account("wg_name=Default_2").await;
    gateway.server("external_ip=192.0.2.99").await;
    gateway.account("wg_name=Default_3").await;
    let add = |server: &str, peer: &str| {
        let (path, form) = (
            format!("/wireguard/{server}/port_forward"),
            format!("dst_port=80&protocol=tcp&to_peer={peer}&to_port=80"),
        );
        let gateway = &gateway;
        async move { gateway.post(&path, &form).await }
    };
    add("Default_1", "peer_1").await.msg();
    add("Default_2", "peer_2").await.refused(409, "DST port and protocol are already enabled");
    add("Default_3", "peer_3").await.msg();
    // Moving a server onto the address of another must not steal its ports.
    gateway
        .put("/wireguard/Default_3", "external_ip=192.0.2.10")
        .await
        .refused(409, "DST port and protocol are already enabled");
    gateway.delete("/wireguard/Default_1/port_forward/80/tcp").await.msg();
    gateway.put("/wireguard/Default_3", "external_ip=192.0.2.10").await.msg();
    assert!(gateway.kernel.item(key("192.0.2.10", 80, Protocol::Tcp)).is_some());
    assert!(gateway.kernel.item(key("192.0.2.99", 80, Protocol::Tcp)).is_none());
    add("Default_1", "peer_1").await.refused(409, "DST port and protocol are already enabled");
}

async fn they_follow_account_and_server(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.post("/port_forward", "dst_port=80&protocol=tcp&to_peer=peer_1&to_port=8080").await.msg();
    let to = || match gateway.kernel.item(key("192.0.2.10", 80, Protocol::Tcp)) {
        Some(Item::Forward(_, to)) => Some(to.address.to_string()),
        _ => None,
    };
    assert_eq!(to().as_deref(), Some("10.0.0.2"));
    gateway.put("/account/peer_1", "allowed_IPs=10.0.0.9").await.msg();
    assert_eq!(to().as_deref(), Some("10.0.0.9"));
    gateway.put("/account/peer_1", "status=disable").await.msg();
    assert_eq!(to(), None);
    assert_eq!(
        gateway.get("/wireguard/Default_1/port_forward").await.msg().as_object().unwrap().len(),
        1,
        "stored still"
    );
    gateway.put("/account/peer_1", "status=enable").await.msg();
    assert_eq!(to().as_deref(), Some("10.0.0.9"));
    gateway.delete("/account/peer_1").await.msg();
    assert_eq!(to(), None);
}
