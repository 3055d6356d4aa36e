//! A foreign `nft flush ruleset` opens the portal for nobody, or for a second.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    flow::{Heartbeat, can_connect},
    hotspot::HotspotLab,
    lab::server_address,
    world::SERVER,
};

/// With events instead of an owner.
const REPAIRED_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn with_an_owner_a_foreign_flush_changes_nothing() {
    let lab = HotspotLab::new();
    let (online, _) = lab.online(1, &json!({}));
    let captive = lab.guest(2);
    let internet = &lab.world.internet;
    let silence = Heartbeat::start(&captive.host, captive.address(), internet, server_address());
    let beat = Heartbeat::start(&online.host, online.address(), internet, server_address());
    for _ in 0..3 {
        lab.gateway.host.run("nft flush ruleset");
        thread::sleep(Duration::from_millis(300));
    }
    beat.expect_none_lost("an online guest");
    assert_eq!(silence.finish().back, 0, "a captive guest got a packet through");
    assert!(captive.is_captive());
}

#[test]
fn without_an_owner_a_foreign_flush_is_repaired_within_a_second() {
    let lab = HotspotLab::with("nft_owner = \"off\"", &json!({}));
    let (online, _) = lab.online(1, &json!({}));
    let captive = lab.guest(2);
    let (from, to) = (captive.address(), format!("{SERVER}:443").parse().expect("an address"));
    assert!(!can_connect(&captive.host, from, to));
    for round in 1..=3 {
        lab.gateway.host.run("nft flush ruleset");
        let flushed = Instant::now();
        thread::sleep(REPAIRED_WITHIN);
        assert!(!can_connect(&captive.host, from, to), "round {round}: open {:?} after the flush", flushed.elapsed());
        assert!(captive.is_captive(), "round {round}: the portal is back");
        let beat = Heartbeat::start(&online.host, online.address(), &lab.world.internet, server_address());
        thread::sleep(Duration::from_millis(500));
        beat.expect_none_lost("an online guest, after the repair");
    }
}
