//! How long, how much and how fast: what a voucher allows, over one device and over three.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    flow::{Direction, Pace, TcpFlow},
    guest::Guest,
    host::eventually,
    hotspot::{HotspotLab, Voucher},
    lab::{GRANT_WITHIN, SLACK, server_address, text},
    world::Count,
};

const MB: u64 = 1 << 20;
/// The kernel cuts by packet, and packets may be merged ones.
const BELOW: u64 = 64 << 10;
/// A TCP sender finds the rate, and the class's burst is spent.
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(10);
const TOLERANCE: f64 = 0.05;
/// The kernel tells of a spent quota at once; the record follows.
const RECORDED_WITHIN: Duration = Duration::from_secs(4);

#[test]
fn time_begins_and_ends_when_the_voucher_says() {
    let lab = HotspotLab::new();
    let now = jiff::Timestamp::now();
    let stamp = |offset_s: i64| {
        let zoned = (now + jiff::SignedDuration::from_secs(offset_s)).to_zoned(jiff::tz::TimeZone::system());
        zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
    };
    let passed = |seconds: i64| {
        let until = now + jiff::SignedDuration::from_secs(seconds);
        let left = until.duration_since(jiff::Timestamp::now());
        thread::sleep(Duration::try_from(left).unwrap_or_default());
    };

    let (early, late) = (lab.guest(1), lab.guest(2));
    let waits = lab.voucher(&json!({ "valid_for": "1 hour", "valid_from": stamp(12) }));
    let ends = lab.voucher(&json!({ "valid_for": "1 hour", "valid_from": stamp(16 - 3600) }));
    early.redeem(&waits);
    assert!(early.is_captive(), "a voucher of the future");
    assert_eq!(text(&last_login(&lab)["reason"]), "not yet valid");
    late.redeem(&ends);
    late.is_online(GRANT_WITHIN);
    let flow = TcpFlow::start(
        &late.host,
        late.address(),
        &lab.world.internet,
        server_address(),
        Direction::Down,
        Pace::Steady,
    );

    passed(13);
    early.redeem(&waits);
    early.is_online(GRANT_WITHIN);
    flow.assert_flowing("until the end");
    passed(16);
    let end = Instant::now();
    thread::sleep(Duration::from_millis(1500));
    let over = flow.last().saturating_duration_since(end);
    assert!(over <= Duration::from_secs(1), "bytes {over:?} after the end");
    assert!(late.is_captive(), "after the end the portal shows itself");
    late.redeem(&ends);
    assert!(late.is_captive(), "a voucher that is over");
    assert_eq!(text(&last_login(&lab)["reason"]), "expired");
    assert!(lab.active(&late).is_none(), "an expired guest is not listed");
}

#[test]
fn time_from_the_first_use_begins_with_the_first_login() {
    let lab = HotspotLab::new();
    let guest = lab.guest(1);
    let voucher = lab.voucher(&json!({ "valid_for": "1 hour", "valid_from_first_use": 1 }));
    let until = || {
        let answer = lab.api("get_voucher", &json!({ "username": voucher.username }));
        answer["user"]["valid_until"].clone()
    };
    assert_eq!(until(), Value::Null, "nobody logged in yet");
    thread::sleep(Duration::from_secs(2));
    let before = jiff::Zoned::now();
    guest.redeem(&voucher);
    guest.is_online(GRANT_WITHIN);
    let end: jiff::civil::DateTime = text(&until()).parse().expect("a time");
    let hour = end.duration_since(before.datetime());
    assert!((3598..=3605).contains(&hour.as_secs()), "{hour:?}");
}

#[test]
fn data_limits_cut_by_the_byte_and_spend_the_voucher() {
    let mut lab = HotspotLab::new();
    for (n, parameters, direction) in [
        (1, json!({ "download_limit": 2 }), Direction::Down),
        (2, json!({ "upload_limit": 2 }), Direction::Up),
        (3, json!({ "total_limit": 2 }), Direction::Down),
    ] {
        let (guest, voucher) = lab.online(n, &parameters);
        spend(&lab, &[&guest], direction);
        let both = parameters["total_limit"].is_number();
        let other = if both { counted(&lab, &voucher, Direction::Up) } else { 0 };
        let used = counted(&lab, &voucher, direction) + other;
        assert!(used <= 2 * MB, "{parameters}: {used} bytes passed");
        assert!(used >= 2 * MB - BELOW, "{parameters}: only {used} bytes passed");
        eventually("a guest whose data is used up is captive", RECORDED_WITHIN, || guest.is_captive());
        assert!(lab.active(&guest).is_none(), "{parameters}: listed though used up");
        guest.redeem(&voucher);
        assert!(guest.is_captive(), "{parameters}: a spent voucher logs in");
        assert_eq!(text(&last_login(&lab)["reason"]), "limit reached");
    }
    // Spent stays spent.
    let (guest, voucher) = lab.online(4, &json!({ "download_limit": 1 }));
    spend(&lab, &[&guest], Direction::Down);
    lab.gateway.kill();
    lab.gateway.run();
    lab.gateway.converged(Duration::from_secs(10));
    lab.opened();
    eventually("a guest whose data is used up is captive", RECORDED_WITHIN, || guest.is_captive());
    guest.redeem(&voucher);
    assert!(guest.is_captive(), "spent after a restart");
}

#[test]
fn data_and_speed_are_shared_by_three_devices() {
    let lab = HotspotLab::new();
    let voucher = lab.voucher(&json!({ "devices": 3, "total_limit": 6, "speed_down": 20 }));
    let guests: Vec<Guest> = (1..=3).map(|n| lab.guest(n)).collect();
    for guest in &guests {
        guest.redeem(&voucher);
        guest.is_online(GRANT_WITHIN);
    }
    let fourth = lab.guest(4);
    fourth.redeem(&voucher);
    assert!(fourth.is_captive(), "a fourth device of three");
    spend(&lab, &guests.iter().collect::<Vec<_>>(), Direction::Down);
    let used = counted(&lab, &voucher, Direction::Down) + counted(&lab, &voucher, Direction::Up);
    assert!((6 * MB - BELOW..=6 * MB).contains(&used), "{used} bytes passed");

    let arrivals = lab.world.count_arrivals("ip protocol tcp");
    let fast = lab.voucher(&json!({ "devices": 3, "speed_down": 10, "speed_up": 10 }));
    for guest in &guests {
        eventually("a used-up guest is captive", RECORDED_WITHIN, || guest.is_captive());
        guest.redeem(&fast);
        guest.is_online(GRANT_WITHIN);
    }
    let mut missed = Vec::new();
    for devices in [1, 3] {
        for direction in [Direction::Down, Direction::Up] {
            let rate = measure(&lab, &guests[..devices], &arrivals, direction);
            eprintln!("{devices} devices {direction:?}: {rate:.3} Mbit/s");
            if (rate / 10.0 - 1.0).abs() > TOLERANCE {
                missed.push(format!("{devices} devices {direction:?}: {rate:.3}"));
            }
        }
    }
    assert!(missed.is_empty(), "outside 10 Mbit/s ±5 %: {missed:?}");
}

/// IP megabits per second of one TCP stream for each guest, all together.
fn measure(lab: &HotspotLab, guests: &[Guest], arrivals: &Count, direction: Direction) -> f64 {
    let start = |guest: &Guest| {
        TcpFlow::start(&guest.host, guest.address(), &lab.world.internet, server_address(), direction, Pace::Bulk)
    };
    let flows: Vec<TcpFlow> = guests.iter().map(start).collect();
    thread::sleep(WARM_UP);
    let count = || match direction {
        // Of what an Ethernet interface counts, 14 bytes a packet are not IP's; packets are full ones.
        Direction::Down => guests.iter().map(|guest| guest.host.received("wlan0")).sum::<u64>() * 1500 / 1514,
        Direction::Up => arrivals.bytes(),
    };
    let (before, start) = (count(), Instant::now());
    thread::sleep(MEASURED);
    let (bytes, elapsed) = (count() - before, start.elapsed());
    drop(flows);
    thread::sleep(Duration::from_millis(500));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let bits = bytes as f64 * 8.0;
    bits / elapsed.as_secs_f64() / 1e6
}

/// Sends until nothing passes any more, all guests at once.
fn spend(lab: &HotspotLab, guests: &[&Guest], direction: Direction) {
    let start = |guest: &&Guest| {
        TcpFlow::start(&guest.host, guest.address(), &lab.world.internet, server_address(), direction, Pace::Bulk)
    };
    let flows: Vec<TcpFlow> = guests.iter().map(start).collect();
    let received = || flows.iter().map(TcpFlow::received).sum::<u64>();
    let mut last = (0, Instant::now());
    let start = Instant::now();
    while last.1.elapsed() < Duration::from_secs(1) {
        assert!(start.elapsed() < Duration::from_secs(20), "{direction:?}: nothing stops the flow");
        thread::sleep(Duration::from_millis(20));
        if received() != last.0 {
            last = (received(), Instant::now());
        }
    }
}

/// Bytes that the gateway says a voucher used, collected.
fn counted(lab: &HotspotLab, voucher: &Voucher, direction: Direction) -> u64 {
    let key = if direction == Direction::Down { "bytes_down" } else { "bytes_up" };
    thread::sleep(RECORDED_WITHIN + SLACK);
    let answer = lab.api("get_voucher", &json!({ "username": voucher.username }));
    text(&answer["user"][key]).parse().expect("a number")
}

/// The newest entry of the login log.
pub fn last_login(lab: &HotspotLab) -> Value {
    lab.api("get_logins", &json!({ "limit": 1 }))["data"][0].clone()
}
