//! `/system` and `/license` (VPN API, sections 3.1 and 3.2).

use std::time::{Duration, Instant};

use doorward_policy::{item::Key, name::IfName};
use serde_json::{Value, json};

use crate::{
    databases::Database,
    gateway::{Gateway, assert_shape, hide},
};

both_engines!(status, status_tells_the_truth, info, settings, license, reload, reload_while_loading);

async fn status(database: Database) {
    let gateway = Gateway::start(database).await;
    assert_shape!("system_status", gateway.get("/system/status").await.json());
    gateway.server_and_account().await;
    gateway.server("").await;
    let status = gateway.get("/system/status").await.msg();
    assert_eq!((&status["count_accounts"], &status["count_wireguard"]), (&json!(1), &json!(2)));
}

async fn status_tells_the_truth(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.kernel.fail(Key::Tunnel("wg1".parse::<IfName>().unwrap()));
    let asked = Instant::now();
    gateway.server("").await;
    assert!(asked.elapsed() < Duration::from_secs(4), "an answer waits two seconds for the kernel, no longer");
    let text = || async { gateway.get("/system/status").await.msg()["status"].as_str().unwrap().to_owned() };
    while text().await == "OK" {
        assert!(asked.elapsed() < Duration::from_secs(9), "stored and running state differ for more than 5 seconds");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(text().await.starts_with("Loading ("), "{}", text().await);
    gateway.kernel.heal();
    let healed = Instant::now();
    while text().await != "OK" {
        assert!(healed.elapsed() < Duration::from_secs(20), "it tries again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn info(database: Database) {
    let gateway = Gateway::start(database).await;
    let info = gateway.get("/system/info").await.msg();
    let keys: Vec<&String> = info.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "cpu_model",
            "cpu_threads",
            "cpu_used_load1",
            "cpu_used_load15",
            "cpu_used_load5",
            "hostname",
            "memory_free",
            "memory_total",
            "memory_used",
            "memory_used_percent",
            "os_architecture",
            "os_name",
            "timezone"
        ]
    );
    assert!(info.as_object().unwrap().values().all(Value::is_string));
    let number = |key: &str| info[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(number("cpu_threads") > 0 && number("memory_total") > number("memory_free"));
    assert_eq!(number("memory_used"), number("memory_total") - number("memory_free"));
    assert!(number("memory_used_percent") <= 100);
    assert_eq!(info["timezone"], "Europe/Berlin");
    let load = info["cpu_used_load1"].as_str().unwrap();
    assert!(load.parse::<f64>().is_ok() && load.split_once('.').unwrap().1.len() == 2, "{load}");
}

async fn settings(database: Database) {
    let gateway = Gateway::start(database).await;
    assert_shape!("system_config", gateway.get("/system/config").await.json());
    let all = |f: u16, h: u32, u: u16| json!({"traffic_statistics_frequency": f, "traffic_statistics_history": h, "wireguard_handshake_uptime": u});
    for (form, expected) in [
        ("traffic_statistics_frequency=1440", all(1440, 2, 180)),
        ("traffic_statistics_history=0", all(1440, 0, 180)),
        ("wireguard_handshake_uptime=1", all(1440, 0, 1)),
        ("", all(1440, 0, 1)),
        (
            "traffic_statistics_frequency=1&traffic_statistics_history=2147483647&wireguard_handshake_uptime=300",
            all(1, 2_147_483_647, 300),
        ),
    ] {
        assert_eq!(gateway.put("/system/config", form).await.msg(), expected, "{form}");
        assert_eq!(gateway.get("/system/config").await.msg(), expected);
    }
    let frequency = "Incorrect value Traffic Statistics Frequency (should be 1 to 2147483647)";
    let history = "Incorrect value Traffic Statistics History (should be 0 to 2147483647)";
    let uptime = "Incorrect value Wireguard Handshake Uptime (should be 1 to 300)";
    for (form, text) in [
        ("traffic_statistics_frequency=0", frequency),
        ("traffic_statistics_frequency=1441", frequency),
        ("traffic_statistics_frequency=x", frequency),
        ("traffic_statistics_frequency=", frequency),
        ("traffic_statistics_history=-1", history),
        ("traffic_statistics_history=2147483648", history),
        ("wireguard_handshake_uptime=0", uptime),
        ("wireguard_handshake_uptime=301", uptime),
        ("wireguard_handshake_uptime=1.5", uptime),
        ("wireguard_handshake_uptime=0&traffic_statistics_history=x&traffic_statistics_frequency=x", frequency),
        ("wireguard_handshake_uptime=0&traffic_statistics_history=x", history),
    ] {
        gateway.put("/system/config", form).await.refused(422, text);
    }
    let json = gateway.call("PUT", "/system/config").json(&json!({"wireguard_handshake_uptime": 60}));
    assert_eq!(json.send().await.msg()["wireguard_handshake_uptime"], 60);
    assert_eq!(gateway.put("/system/config/default", "").await.msg(), all(5, 2, 180));
    assert_eq!(gateway.get("/system/config").await.msg(), all(5, 2, 180));
}

async fn license(database: Database) {
    let gateway = Gateway::start(database).await;
    let license = gateway.get("/license").await.json();
    let key = license["msg"]["key"].as_str().unwrap();
    let groups: Vec<&str> = key.split('-').collect();
    let plain = |group: &&str| group.len() == 6 && group.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    assert!(groups.len() == 5 && groups.iter().all(plain), "{key}");
    let checked: jiff::Timestamp = license["msg"]["last_check"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(checked).abs() < jiff::SignedDuration::from_secs(60));
    assert_eq!(gateway.get("/license").await.msg()["key"], key, "the same each time");
    assert_shape!("license", hide(license, &["key", "last_check"]));
}

async fn reload(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let items = gateway.kernel.items();
    gateway.kernel.take_all();
    assert_eq!(gateway.put("/system/reload", "ignored=%").await.msg(), "success");
    assert_eq!(gateway.kernel.items(), items);
}

async fn reload_while_loading(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    // A reload that the kernel does not let end.
    gateway.kernel.fail_readings(true);
    let first = gateway.put("/system/reload", "");
    let second = async {
        loop {
            if gateway.loop_handle.state().is_loading() {
                let status = gateway.get("/system/status").await.msg();
                assert!(status["status"].as_str().unwrap().starts_with("Loading ("), "{status}");
                return gateway.put("/system/reload", "").await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (first, second) = tokio::join!(first, second);
    first.msg();
    second.refused(409, "PUQVPNCP status not OK");
    // Ordinary changes are accepted meanwhile.
    gateway.put("/account/peer_1", "password=new").await.msg();
    gateway.kernel.heal();
    let healed = Instant::now();
    while gateway.get("/system/status").await.msg()["status"] != "OK" {
        assert!(healed.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gateway.put("/system/reload", "").await.msg();
}
