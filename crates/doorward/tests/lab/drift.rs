//! Somebody else's hands on what is ours: repaired without a person, and told in the log.

use std::{thread, time::Duration};

use crate::{
    host::eventually,
    lab::{Lab, RECONNECT_WITHIN},
    world::SERVER,
};

/// Kernel events tell of a change at once.
const REPAIRED_WITHIN: Duration = Duration::from_secs(1);
/// A pass of an unoptimised program on two busy cores.
const SLACK: Duration = Duration::from_secs(1);

#[test]
fn with_the_owner_flag_off_a_foreign_flush_is_repaired() {
    let mut lab = Lab::with("nft_owner = \"off\"");
    let server = lab.server("");
    let (_, client) = lab.client(&server, "name=flushed&b_download=20&b_upload=20");
    let before = table(&lab);
    assert!(before.contains("chain"), "a table: {before}");
    let mark = lab.gateway.log_mark();
    lab.world.gateway.run("nft flush ruleset");
    let took = eventually("the table is back", REPAIRED_WITHIN + SLACK, || table(&lab) == before);
    eprintln!("table back after {took:?}");
    assert!(client.ping(SERVER), "the client is served as before");
    assert_told(&lab, mark, "table");
}

#[test]
fn with_the_owner_flag_on_a_foreign_flush_changes_nothing() {
    let mut lab = Lab::new();
    let server = lab.server("");
    let (_, client) = lab.client(&server, "name=owned&b_download=20&b_upload=20");
    let before = table(&lab);
    let beat = lab.heartbeat(&client);
    for _ in 0..5 {
        // Flushes what it may; a table with an owner is skipped.
        lab.world.gateway.run("nft flush ruleset");
        assert_eq!(table(&lab), before, "the table is as it was");
        thread::sleep(Duration::from_millis(100));
    }
    beat.expect_none_lost("a client through five flushes");
}

#[test]
fn a_deleted_tunnel_and_deleted_qdiscs_are_repaired_whoever_owns_the_table() {
    for network in ["nft_owner = \"auto\"", "nft_owner = \"off\""] {
        let mut lab = Lab::with(network);
        let server = lab.server("");
        let (_, client) = lab.client(&server, "name=shaken&b_download=20&b_upload=20");

        for interface in ["wg1", "wan"] {
            let before = classes(&lab, interface);
            assert!(before.contains("20Mbit"), "{interface}: {before}");
            let mark = lab.gateway.log_mark();
            lab.world.gateway.run(&format!("tc qdisc del dev {interface} root"));
            let took =
                eventually("the classes are back", REPAIRED_WITHIN + SLACK, || classes(&lab, interface) == before);
            eprintln!("{network}: qdisc of {interface} back after {took:?}");
            assert!(client.ping(SERVER), "the client is served as before");
            assert_told(&lab, mark, interface);
        }

        let mark = lab.gateway.log_mark();
        lab.world.gateway.run("ip link del wg1");
        eventually("the tunnel is back", REPAIRED_WITHIN + SLACK, || classes(&lab, "wg1").contains("20Mbit"));
        let took = client.reaches(SERVER, RECONNECT_WITHIN);
        eprintln!("{network}: client back {took:?} after its tunnel was");
        assert_told(&lab, mark, "tunnel");
    }
}

/// Our table without what counts or runs down by itself.
fn table(lab: &Lab) -> String {
    let output = lab.world.gateway.try_run("nft -s list table inet doorward");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| !line.contains("packets")).collect::<Vec<_>>().join("\n")
}

fn classes(lab: &Lab, interface: &str) -> String {
    let output = lab.world.gateway.try_run(&format!("tc class show dev {interface}"));
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n")
}

/// The log says that somebody else changed something, and what.
fn assert_told(lab: &Lab, mark: usize, what: &str) {
    let log = lab.gateway.log();
    let told = log[mark..].lines().any(|line| line.contains("changed by somebody else") && line.contains(what));
    assert!(told, "the log does not tell of {what}: {}", &log[mark..]);
}
