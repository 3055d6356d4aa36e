//! The hotspot API: who is on the guest networks now.

use std::collections::HashMap;

use doorward::{app::hotspots::DevicePolicy, clock::now_ms, hosts::Lease};
use doorward_policy::{
    guest::Way,
    item::{Counter, QuotaId},
};
use serde_json::{Value, json};

use crate::{
    databases::Database,
    desk::{Desk, address, mac, message},
    gateway::assert_shape,
};

both_engines!(
    active_guests,
    hosts_of_all_kinds,
    what_cannot_pass_is_not_active,
    a_kernel_that_cannot_be_read,
    a_restart
);

async fn active_guests(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "username": "guest107", "devices": 3 })).await;
    let seven = desk.log_in(hotspot, 57, &user).await;
    let six = desk.log_in(hotspot, 6, &user).await;
    desk.device(hotspot, 99);
    let kernel = &desk.gateway.kernel;
    kernel.set_counter(Counter::SessionDown(seven.session), 9, 734_003_200);
    kernel.set_counter(Counter::SessionUp(seven.session), 8, 52_428_800);
    kernel.set_counter(Counter::SessionDown(six.session), 1, u64::MAX);
    kernel.change_stats(|stats| {
        stats.seen.insert(address(57), 0);
    });
    let json = desk.ok(json!({ "action": "get_active_guests" })).await;
    let rows = json["data"].as_array().unwrap();
    // By address, as numbers.
    assert_eq!(
        rows.iter().map(|row| row["address"].as_str().unwrap()).collect::<Vec<_>>(),
        ["10.30.0.6", "10.30.0.57"]
    );
    assert_eq!((&rows[0]["bytes-out"], &rows[0]["bytes-in"]), (&json!(u64::MAX.to_string()), &json!("0")));
    assert_shape!("hotspot_get_active_guests", hide_times(json));
}

fn hide_times(mut json: Value) -> Value {
    for row in json["data"].as_array_mut().unwrap() {
        for key in ["uptime", "idle-time"] {
            let text = row[key].as_str().unwrap().to_owned();
            let (hours, rest) = text.split_once('h').unwrap();
            let fine = hours.bytes().all(|b| b.is_ascii_digit()) && rest.len() == 6;
            assert!(fine && rest.ends_with('s') && &rest[2..3] == "m", "{text}");
            assert!(text.starts_with("0h00m"), "a test is short: {text}");
            row[key] = "[duration]".into();
        }
    }
    json
}

async fn hosts_of_all_kinds(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "username": "guest107" })).await;
    let online = desk.log_in(hotspot, 57, &user).await;
    let app = &desk.gateway.app;
    for (n, policy) in [(60, DevicePolicy::Allowed), (61, DevicePolicy::Blocked)] {
        app.set_device_policy("guests", mac(n), Some(policy), String::new()).await.unwrap();
        desk.device(hotspot, n);
    }
    desk.device(hotspot, 58);
    app.hosts().seen(hotspot, mac(62), "fd30::62".parse().unwrap(), now_ms());
    let lease = |n, name: &str| Lease { mac: mac(n), host_name: name.to_owned(), expires_ms: now_ms() + 1000 };
    let leases = [([10, 30, 0, 57].into(), lease(57, "phone-7")), ([10, 30, 0, 58].into(), lease(99, "another's"))];
    app.hosts().set_leases(HashMap::from(leases), doorward::clock::now_ms());
    desk.gateway.kernel.set_counter(Counter::SessionDown(online.session), 9, 734_003_200);
    let json = desk.ok(json!({ "action": "get_guest_hosts" })).await;
    assert_shape!("hotspot_get_guest_hosts", hide_times(json));
    app.hosts().gone(address(58));
    let json = desk.ok(json!({ "action": "get_guest_hosts" })).await;
    assert!(!json.to_string().contains("10.30.0.58"), "it left");
}

async fn what_cannot_pass_is_not_active(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let active = async || desk.ok(json!({ "action": "get_active_guests" })).await["data"].as_array().unwrap().len();
    let user = desk.create(json!({ "username": "g", "upload_limit": 1 })).await;
    let admitted = desk.log_in(hotspot, 7, &user).await;
    assert_eq!(active().await, 1);
    // Used up in the kernel: the gateway may not know yet.
    let quota = QuotaId::Grant { grant: admitted.grant, way: Way::Up };
    desk.gateway.kernel.set_quota(quota, 1 << 20);
    assert_eq!(active().await, 0);
    let host = desk.ok(json!({ "action": "get_guest_hosts" })).await["data"][0].take();
    assert_eq!((&host["status"], &host["logins"]), (&json!("unauthorized"), &json!("")));
    desk.gateway.kernel.set_quota(quota, (1 << 20) - 1);
    assert_eq!(active().await, 1);
    // Over.
    desk.ok(json!({ "action": "edit_voucher", "username": "g", "valid_from": "2001-01-01 00:00:00" })).await;
    assert_eq!(active().await, 0);
    desk.ok(json!({ "action": "edit_voucher", "username": "g", "valid_for": "always" })).await;
    assert_eq!(active().await, 1);
    // Blocked by the operator.
    desk.gateway.app.set_device_policy("guests", mac(7), Some(DevicePolicy::Blocked), String::new()).await.unwrap();
    assert_eq!(active().await, 0);
}

async fn a_kernel_that_cannot_be_read(database: Database) {
    let desk = Desk::start(database).await;
    desk.gateway.kernel.fail_readings(true);
    for action in ["get_active_guests", "get_guest_hosts"] {
        assert_eq!(message(&desk.post(json!({ "action": action })).await, 500), "An error occurred");
    }
}

async fn a_restart(database: Database) {
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let user = desk.create(json!({ "username": "g" })).await;
    desk.log_in(hotspot, 7, &user).await;
    let Desk { gateway, key } = desk;
    let desk = Desk { gateway: gateway.restarted().await, key };
    let data = desk.ok(json!({ "action": "get_active_guests" })).await["data"].take();
    assert_eq!((&data[0]["logins"], &data[0]["address"]), (&json!("g"), &json!("10.30.0.7")), "sessions continue");
}
