//! `/account`: configurations, what the kernel says, and statistics (VPN API, section 3.4).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward::store::UsageDelta;
use doorward_policy::{
    item::{ClassId, Counter, PeerId},
    observed::{ClassStats, PeerStats, QueueStats},
};
use serde_json::{Value, json};

use crate::{
    databases::Database,
    gateway::{Gateway, assert_shape},
};

both_engines!(config_text, config_qr_decodes_to_the_text, rules_classes_and_peers, statistics, statistics_until_now);

async fn config_text(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("name=Default_7&listen_port=51827&address=10.40.6.1/24&dns_1=10.40.6.1&dns_2=192.0.2.10").await;
    let account = gateway.account("wg_name=Default_7&name=peer_3&allowed_IPs=10.40.6.3").await;
    let server = gateway.get("/wireguard/Default_7").await.msg();
    let (private, public) = (account["private_key"].as_str().unwrap(), server["public_key"].as_str().unwrap());
    let text = || async { gateway.get("/account/peer_3/config_text").await.msg().as_str().unwrap().to_owned() };
    assert_eq!(
        text().await,
        format!(
            "[Interface]\n\tAddress = 10.40.6.3/24\n\tDNS = 10.40.6.1,192.0.2.10\n\tPrivateKey = {private}\n\t\n\
             [Peer]\n\tAllowedIPs = 0.0.0.0/0\n\tEndpoint = 192.0.2.10:51827\n\tPublicKey = {public}"
        )
    );
    gateway
        .put("/wireguard/Default_7", "mtu=1300&keep_alive=70000&endpoint=vpn.example.net&allowed_ips=10.0.0.0/8")
        .await
        .msg();
    assert_eq!(
        text().await,
        format!(
            "[Interface]\n\tAddress = 10.40.6.3/24\n\tDNS = 10.40.6.1,192.0.2.10\n\tMTU = 1300\n\tPrivateKey = {private}\n\t\n\
             [Peer]\n\tAllowedIPs = 10.0.0.0/8\n\tEndpoint = vpn.example.net:51827\n\tPersistentKeepalive = 65535\n\
             \tPublicKey = {public}"
        )
    );
    for path in ["config_text", "config_qr"] {
        gateway.get(&format!("/account/nobody/{path}")).await.refused(404, "Account not found");
    }
}

async fn config_qr_decodes_to_the_text(database: Database) {
    let gateway = Gateway::with(database, |choice| choice.settings.config_tabs = false).await;
    gateway.server("ipv6=1&mtu=1300&keep_alive=25").await;
    gateway.account("wg_name=Default_1").await;
    let text = || async { gateway.get("/account/peer_1/config_text").await.msg().as_str().unwrap().to_owned() };
    assert!(!text().await.contains('\t'));
    let qr = || async { gateway.get("/account/peer_1/config_qr").await.msg().as_str().unwrap().to_owned() };
    assert_eq!(decode(&qr().await), text().await);
    // The longest that a configuration can get.
    let list = vec!["255.255.255.255/32"; 78].join(",");
    let name = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    gateway.put("/wireguard/Default_1", &format!("allowed_ips={list}&endpoint={name}")).await.msg();
    assert!(text().await.len() > 1900);
    assert_eq!(decode(&qr().await), text().await);
}

/// What a camera reads in a base64 PNG of 500 × 500.
pub fn decode(base64: &str) -> String {
    assert!(base64.starts_with("iVBORw0KGgoAAAANSUhEUgAAAfQAAAH0"), "{base64}");
    let image = STANDARD.decode(base64).unwrap();
    let mut decoder = png::Decoder::new(std::io::Cursor::new(image));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.height, frame.color_type), (500, 500, png::ColorType::Grayscale));
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(500, 500, |x, y| pixels[y * 500 + x]);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1);
    grids[0].decode().unwrap().1
}

async fn rules_classes_and_peers(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("name=Default_7&interface_name=wg7&address=10.40.6.1/24&ipv6=1&address_ipv6=fd01::1/64").await;
    gateway.account("wg_name=Default_7&name=peer_3&allowed_IPs=10.40.6.3&b_download=20&b_upload=10").await;
    let account = gateway.store.account_by_name("peer_3").await.unwrap().unwrap();
    let text = |path: &str| {
        let path = format!("/account/peer_3/{path}");
        let gateway = &gateway;
        async move { gateway.get(&path).await.msg() }
    };
    gateway.kernel.set_counter(Counter::AccountDown(account.id), 7, 900);
    gateway.kernel.set_counter(Counter::AccountUp(account.id), 5, 400);
    let rules = "0.0.0.0/0 -> 10.40.6.3 MARK 0x64 Pkt:7 Bytes:900\n10.40.6.3 -> 0.0.0.0/0 MARK 0x64 Pkt:5 Bytes:400\n";
    assert_eq!(text("firewall_mangle_rules").await, rules);

    let class = |rate_bps, leaf| ClassStats {
        rate_bps,
        ceil_bps: rate_bps,
        burst_bytes: 1600,
        cburst_bytes: 1600,
        leaf,
        queue: QueueStats::default(),
    };
    for (interface, rate, leaf) in [("eth0", 10_000_000, 0xaaaa), ("wg7", 20_000_000, 0xbbbb)] {
        gateway.kernel.set_class(ClassId { interface: interface.parse().unwrap(), minor: 0x100 }, class(rate, leaf));
    }
    assert_shape!("account_traffic_control", gateway.get("/account/peer_3/traffic_control").await.json());

    let dump = |allowed: &str| json!({"allowed_ips": allowed, "endpoint": "(none)", "keepalive": "off", "latest_handshake": "0", "transfer_rx": "0", "transfer_tx": "0"});
    assert_eq!(text("dump").await, dump("10.40.6.3/32,fd01::2/128"));
    let id = PeerId { interface: "wg7".parse().unwrap(), public_key: account.public_key };
    let stats = PeerStats {
        endpoint: Some("198.51.100.7:40001".parse().unwrap()),
        latest_handshake_s: 1_893_553_445,
        rx_bytes: 3000,
        tx_bytes: 9000,
        keepalive_s: 25,
    };
    gateway.kernel.set_peer(id, stats);
    assert_eq!(
        text("dump").await,
        json!({"allowed_ips": "10.40.6.3/32,fd01::2/128", "endpoint": "198.51.100.7:40001", "keepalive": "25", "latest_handshake": "1893553445", "transfer_rx": "3000", "transfer_tx": "9000"})
    );

    // A direction without limit has no class and no block; nothing of an account that may not pass is left.
    gateway.put("/account/peer_3", "b_upload=0").await.msg();
    let one = text("traffic_control").await;
    assert!(
        one.as_str().unwrap().starts_with("wg7 --> class htb 1:100 ")
            && one.as_str().unwrap().matches("-->").count() == 1
    );
    gateway.put("/account/peer_3", "status=disable").await.msg();
    assert_eq!(text("traffic_control").await, "");
    assert_eq!(text("firewall_mangle_rules").await, "");
    assert_eq!(text("dump").await, dump("10.40.6.3/32,fd01::2/128"));
    gateway.put("/account/peer_3", "status=enable").await.msg();
    assert_eq!(text("firewall_mangle_rules").await, rules, "they only grow");
    for path in ["firewall_mangle_rules", "traffic_control", "dump", "traffic_statistics/2030/1"] {
        gateway.get(&format!("/account/nobody/{path}")).await.refused(404, "Account not found");
    }
}

async fn statistics(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let account = gateway.store.account_by_name("peer_1").await.unwrap().unwrap().id;
    let delta = |delta_up, delta_down| [UsageDelta { account, raw_up: 0, raw_down: 0, delta_up, delta_down }];
    gateway.store.record_usage("2028-02-01", &delta(7890, 123_456)).await.unwrap();
    gateway.store.record_usage("2028-02-29", &delta(1, 5_000_000_000)).await.unwrap();
    let february = gateway.get("/account/peer_1/traffic_statistics/2028/02").await.msg();
    let days = february.as_array().unwrap();
    assert_eq!(days.len(), 29);
    assert_eq!(
        days[0],
        json!({"account": "peer_1", "date": "2028-02-01", "traffic_download": 123_456, "traffic_upload": 7890})
    );
    assert_eq!(days[1], json!({"account": "peer_1", "date": "2028-02-02", "traffic_download": 0, "traffic_upload": 0}));
    assert_eq!(days[28]["traffic_download"], json!(5_000_000_000_u64));
    for (path, text) in [
        ("2028/0", "Wrong month setting"),
        ("2028/13", "Wrong month setting"),
        ("2028/x", "Wrong month setting"),
        ("2028/001", "Wrong month setting"),
        ("28/13", "Wrong month setting"),
        ("28/1", "Wrong year setting"),
        ("x/1", "Wrong year setting"),
        ("20280/1", "Wrong year setting"),
        ("-028/1", "Wrong year setting"),
    ] {
        gateway.get(&format!("/account/peer_1/traffic_statistics/{path}")).await.refused(422, text);
    }
    for (path, days) in [("2030/4", 30), ("2030/12", 31), ("2030/2", 28), ("0000/01", 31), ("9999/12", 31)] {
        let month = gateway.get(&format!("/account/peer_1/traffic_statistics/{path}")).await.msg();
        assert_eq!(month.as_array().unwrap().len(), days, "{path}");
    }
    // A new account of the same name starts empty.
    gateway.delete("/account/peer_1").await.msg();
    gateway.account("wg_name=Default_1&name=peer_1").await;
    let february = gateway.get("/account/peer_1/traffic_statistics/2028/2").await.msg();
    assert!(february.as_array().unwrap().iter().all(|day| day["traffic_download"] == 0));
}

async fn statistics_until_now(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let id = gateway.store.account_by_name("peer_1").await.unwrap().unwrap().id;
    gateway.kernel.set_counter(Counter::AccountDown(id), 7, 900);
    gateway.kernel.set_counter(Counter::AccountUp(id), 5, 400);
    let now = jiff::Timestamp::now().in_tz("Europe/Berlin").unwrap();
    let path = format!("/account/peer_1/traffic_statistics/{}/{}", now.year(), now.month());
    let month = gateway.get(&path).await.msg();
    let sum = |key: &str| month.as_array().unwrap().iter().map(|day: &Value| day[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("traffic_download"), sum("traffic_upload")), (900, 400));
}
