//! Who may send: an account from the moment it is made to the moment it is suspended, deleted, expired or used up.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    flow::{Direction, Pace, TcpFlow},
    lab::{CUT_WITHIN, GRANT_WITHIN, Lab, RECONNECT_WITHIN, SLACK, text},
    world::{SERVER, SERVER_V6},
};

#[test]
fn handshake_and_traffic_come_within_a_second_of_the_answer() {
    let mut lab = Lab::new();
    let server = lab.server("");
    for round in 1..=3 {
        let mut client = lab.world.client();
        let account = lab.account(&server, &format!("name=fresh_{round}"));
        let answered = Instant::now();
        let config = lab.api.get(&format!("account/{account}/config_text"));
        client.up(text(&config));
        client.reaches(SERVER, GRANT_WITHIN);
        let took = answered.elapsed();
        assert!(took <= GRANT_WITHIN, "the first packet came back {took:?} after the account was answered");
        assert!(client.latest_handshake() > 0);
    }
}

#[test]
fn suspend_and_delete_cut_an_established_flow_and_unsuspend_restores() {
    let mut lab = Lab::new();
    let server = lab.server("");
    let (account, client) = lab.client(&server, "name=cut");
    let (_, other) = lab.client(&server, "name=other");
    let others = lab.heartbeat(&other);

    for direction in [Direction::Down, Direction::Up] {
        let flow = lab.flow(&client, direction, Pace::Steady);
        flow.assert_flowing("before the suspend");
        lab.api.put(&format!("account/{account}"), "status=disable");
        assert_cut(&flow, Instant::now(), &format!("suspend, {direction:?}"));
        assert!(!client.ping(SERVER), "a suspended account reaches nothing");

        lab.api.put(&format!("account/{account}"), "status=enable");
        let took = client.reaches(SERVER, RECONNECT_WITHIN);
        eprintln!("back after an un-suspend: {took:?}");
        lab.flow(&client, direction, Pace::Steady).assert_flowing("after the un-suspend");
    }

    let flow = lab.flow(&client, Direction::Down, Pace::Steady);
    flow.assert_flowing("before the delete");
    lab.api.delete(&format!("account/{account}"));
    assert_cut(&flow, Instant::now(), "delete");
    assert!(!client.ping(SERVER), "a deleted account reaches nothing");
    others.expect_none_lost("the other account");
}

#[test]
fn expiry_cuts_within_a_second_and_not_before() {
    let mut lab = Lab::new();
    let server = lab.server("");
    let (account, client) = lab.client(&server, "name=expiring");
    let flow = lab.flow(&client, Direction::Down, Pace::Steady);
    let now = jiff::Timestamp::now();
    let at = jiff::Timestamp::from_second(now.as_second() + 3).expect("a time soon");
    let expires = Instant::now() + Duration::try_from(at - now).expect("in the future");
    lab.api.put(&format!("account/{account}"), &format!("expires_at={at}"));
    thread::sleep((expires + Duration::from_millis(1500)).saturating_duration_since(Instant::now()));
    assert!(flow.last() <= expires + Duration::from_secs(1), "bytes {:?} after the expiry", flow.last() - expires);
    assert!(flow.last() >= expires - SLACK, "cut {:?} too early", expires - flow.last());
    assert!(!client.ping(SERVER), "an expired account reaches nothing");

    let later = jiff::Timestamp::from_second(now.as_second() + 3600).expect("a time in an hour");
    lab.api.put(&format!("account/{account}"), &format!("expires_at={later}"));
    client.reaches(SERVER, RECONNECT_WITHIN);
}

#[test]
fn a_quota_cuts_never_above_and_hardly_below() {
    /// Counted in the kernel by packet, and packets may be merged ones.
    const BELOW: u64 = 64 * 1024;
    const QUOTA: u64 = 4 << 20;
    let mut lab = Lab::new();
    let server = lab.server("");
    for direction in [Direction::Down, Direction::Up] {
        let (account, client) = lab.client(&server, &format!("name=quota_{direction:?}"));
        // Counted right behind the quota: what is lost later on its way was let through all the same. Of this client
        // alone: the last bytes of the one before may still be under way.
        let forwarded = lab.world.count_forwarded(client.address());
        let set = format!("quota_bytes={QUOTA}");
        let before = forwarded.bytes();
        lab.api.put(&format!("account/{account}"), &set);
        let flow = lab.flow(&client, direction, Pace::Bulk);
        thread::sleep(Duration::from_secs(4));
        let still = flow.received();
        thread::sleep(Duration::from_millis(500));
        assert_eq!(flow.received(), still, "a used quota lets nothing through");
        assert!(!client.ping(SERVER));
        let passed = forwarded.bytes() - before;
        assert!(passed <= QUOTA, "{direction:?}: {passed} bytes passed, {} too many", passed - QUOTA);
        assert!(passed + BELOW >= QUOTA, "{direction:?}: {} bytes of the quota were withheld", QUOTA - passed);

        lab.api.put(&format!("account/{account}"), "quota_bytes=0");
        client.reaches(SERVER, RECONNECT_WITHIN);
    }
}

#[test]
fn ipv6_flows_and_is_cut_like_ipv4() {
    let mut lab = Lab::new();
    let server = lab.server("ipv6=1");
    let (account, client) = lab.client(&server, "name=six");
    client.reaches(SERVER_V6, GRANT_WITHIN);
    let (from, at) = (client.addresses[1], SERVER_V6.parse().expect("an address"));
    for (body, what) in [("status=disable", "suspend"), ("", "delete")] {
        let flow = TcpFlow::start(&client.host, from, &lab.world.internet, at, Direction::Down, Pace::Steady);
        flow.assert_flowing("over IPv6");
        if body.is_empty() {
            lab.api.delete(&format!("account/{account}"));
        } else {
            lab.api.put(&format!("account/{account}"), body);
        }
        assert_cut(&flow, Instant::now(), what);
        assert!(!client.ping(SERVER_V6), "after a {what} IPv6 reaches nothing");
        if !body.is_empty() {
            lab.api.put(&format!("account/{account}"), "status=enable");
            client.reaches(SERVER_V6, RECONNECT_WITHIN);
        }
    }
}

/// The flow's last byte came in time, and none comes any more.
fn assert_cut(flow: &TcpFlow, answered: Instant, what: &str) {
    thread::sleep(Duration::from_millis(700));
    let late = flow.last().saturating_duration_since(answered);
    assert!(late <= CUT_WITHIN + SLACK, "{what}: the last byte came {late:?} after the answer");
    let bytes = flow.received();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(flow.received(), bytes, "{what}: bytes still arrive");
}
