//! `/wireguard`: what the kernel says (VPN API, section 3.3).

use doorward::clock::now_ms;
use doorward_policy::{
    item::{Counter, PeerId},
    observed::{PeerStats, QueueStats},
    vpn_server::ServerId,
};
use serde_json::json;

use crate::{
    databases::Database,
    gateway::{Gateway, SECRETS, assert_shape, hide},
};

both_engines!(rules_and_queues_are_read_from_the_kernel, who_is_online, a_kernel_that_fails);

async fn id_of(gateway: &Gateway, name: &str) -> ServerId {
    gateway.store.server_by_name(name).await.unwrap().unwrap().id
}

async fn rules_and_queues_are_read_from_the_kernel(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("name=Default_7&interface_name=wg7&listen_port=51827&address=10.40.6.1/24").await;
    let id = id_of(&gateway, "Default_7").await;
    gateway.kernel.set_counter(Counter::ServerNat(id), 41, 5120);
    let text = |path: &str| {
        let path = format!("/wireguard/Default_7/{path}");
        let gateway = &gateway;
        async move { gateway.get(&path).await.msg() }
    };
    assert_eq!(text("firewall_nat_rules").await, "10.40.6.0/24 -> 0.0.0.0/0 SNAT to:192.0.2.10 Pkt:41 Bytes:5120\n");
    assert_eq!(text("firewall_filter_rules").await, "10.40.6.0/24 -> 10.40.6.0/24 DROP  Pkt:0 Bytes:0\n");
    gateway.put("/wireguard/Default_7", "internal_traffic=1&disable_nat=1").await.msg();
    gateway.kernel.set_counter(Counter::ServerInternal(id), 3, 200);
    assert_eq!(text("firewall_nat_rules").await, "");
    assert_eq!(text("firewall_filter_rules").await, "10.40.6.0/24 -> 10.40.6.0/24 ACCEPT  Pkt:3 Bytes:200\n");
    assert_eq!(
        text("traffic_control").await,
        "qdisc htb 1: root refcnt 2 r2q 10 default 0 direct_packets_stat 0 direct_qlen 1000\n \
         Sent 0 bytes 0 pkt (dropped 0, overlimits 0 requeues 0) \n backlog 0b 0p requeues 0\n"
    );
    let queue =
        QueueStats { bytes: 10, packets: 2, drops: 1, direct_packets: 7, direct_qlen: 500, ..QueueStats::default() };
    gateway.kernel.set_root("wg7".parse().unwrap(), queue);
    assert_shape!("wireguard_traffic_control", gateway.get("/wireguard/Default_7/traffic_control").await.json());
    assert_shape!("wireguard_dump", hide(gateway.get("/wireguard/Default_7/dump").await.json(), SECRETS));
    for path in ["firewall_nat_rules", "firewall_filter_rules", "traffic_control", "dump"] {
        gateway.get(&format!("/wireguard/nobody/{path}")).await.refused(404, "Wireguard server not found");
    }
}

async fn who_is_online(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("b_download=20&b_upload=10").await;
    gateway.server("").await;
    let now_s = now_ms() / 1000;
    let handshake = 1_893_553_445;
    for (name, server) in
        [("b", "Default_1"), ("a", "Default_2"), ("old", "Default_1"), ("never", "Default_1"), ("off", "Default_1")]
    {
        gateway.account(&format!("wg_name={server}&name={name}&username=u_{name}")).await;
    }
    let online = |name: &'static str, latest_handshake_s: i64| {
        let gateway = &gateway;
        async move {
            let account = gateway.store.account_by_name(name).await.unwrap().unwrap();
            let interface = if name == "a" { "wg2" } else { "wg1" }.parse().unwrap();
            let endpoint = if name == "a" { "[2001:db8::7]:40001" } else { "198.51.100.7:40001" };
            let stats = PeerStats {
                endpoint: Some(endpoint.parse().unwrap()),
                latest_handshake_s,
                rx_bytes: 3000,
                tx_bytes: 9000,
                keepalive_s: 0,
            };
            gateway.kernel.set_peer(PeerId { interface, public_key: account.public_key }, stats);
        }
    };
    online("b", now_s - 5).await;
    online("a", now_s - 170).await;
    online("old", now_s - 190).await;
    online("off", now_s - 1).await;
    let names = || async {
        let msg = gateway.get("/wireguard/online").await.msg();
        msg.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["a", "b", "off"]);
    // A peer that is left over in the kernel does not make a closed account online.
    gateway.put("/account/off", "status=disable").await.msg();
    online("off", now_s - 1).await;
    assert_eq!(names().await, ["a", "b"]);
    gateway.put("/account/a", "expires_at=2020-01-01T00:00:00Z").await.msg();
    online("a", now_s - 1).await;
    assert_eq!(names().await, ["b"]);
    gateway.put("/system/config", "wireguard_handshake_uptime=300").await.msg();
    assert_eq!(names().await, ["b", "old"]);

    let mut row = gateway.get("/wireguard/online").await.json();
    let at = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", row["msg"][0]["latest_handshake"].as_str().unwrap());
    let at = at.unwrap().in_tz("Europe/Berlin").unwrap().timestamp().as_second();
    assert!((now_s - 5 - at).abs() <= 1, "local time");
    row["msg"].as_array_mut().unwrap().truncate(1);
    assert_shape!("wireguard_online", hide(row, &["latest_handshake"]));
    assert_eq!(gateway.put("/account/a", "expires_at=").await.msg()["name"], "a");
    online("a", handshake).await;
    let endpoint = gateway.get("/wireguard/online").await.msg()[0]["endpoint"].clone();
    assert_eq!(endpoint, json!("[2001:db8::7]:40001"));
}

async fn a_kernel_that_fails(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.kernel.fail_readings(true);
    for path in
        ["/wireguard/online", "/wireguard/Default_1/dump", "/account/peer_1/dump", "/account/peer_1/traffic_control"]
    {
        gateway.get(path).await.refused(500, "Internal error");
    }
    gateway.kernel.heal();
    gateway.get("/wireguard/Default_1/dump").await.msg();
}
