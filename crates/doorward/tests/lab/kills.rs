//! `kill -9`: of the gateway at random moments under load, and of a tunnel's process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    api::Api,
    lab::{Lab, server_address, text},
    many::{accounts, gateway_peers},
    world::SERVER,
};

/// Rounds where `KILL_ROUNDS` does not say otherwise.
const ROUNDS: u32 = 20;
/// From the restart until the kernel equals the database.
const EQUAL_WITHIN: Duration = Duration::from_secs(2);
/// The start of an unoptimised program on two cores that also run the clients and the callers.
const START_SLACK: Duration = Duration::from_secs(1);
/// From the death of a tunnel's process until its clients pass packets.
const TUNNEL_BACK_WITHIN: Duration = Duration::from_secs(2);
/// A tunnel tells once a second where its clients are; who came after that must wait for a timer of his own.
const SEEN_WITHIN: Duration = Duration::from_millis(1500);
const CALLERS: u64 = 3;

/// What an acknowledged call left behind; a call without an answer may or may not have counted.
#[derive(Default)]
struct Ledger {
    /// Name to the states it may be in.
    accounts: BTreeMap<String, BTreeSet<State>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Absent,
    Enabled,
    Disabled,
}

#[test]
fn kill_9_of_the_gateway_loses_no_account_and_opens_no_hole() {
    let rounds = std::env::var("KILL_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let mut lab = Lab::new();
    let server = lab.server("name=killed&address=10.60.0.1/18");
    let (_, steady) = lab.client(&server, "name=steady&b_download=50&b_upload=50");
    let (barred, outcast) = lab.client(&server, "name=barred");
    lab.api.put(&format!("account/{barred}"), "status=disable");
    let steady_beat = lab.heartbeat(&steady);
    let outcast_beat = lab.heartbeat(&outcast);

    let ledger = Mutex::new(Ledger::default());
    let serial = AtomicU64::new(0);
    let mut slowest = Duration::ZERO;
    for round in 1..=rounds {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..CALLERS {
                let api = lab.gateway.api();
                scope.spawn(|| load(api, &ledger, &serial, &stop));
            }
            thread::sleep(random_moment());
            lab.gateway.kill();
            stop.store(true, Ordering::Relaxed);
        });
        let restarted = Instant::now();
        lab.gateway.run();
        lab.gateway.converged(EQUAL_WITHIN + START_SLACK);
        lab.api = lab.gateway.api();
        let difference = difference(&mut lab);
        let took = restarted.elapsed();
        slowest = slowest.max(took);
        assert!(difference.is_empty(), "round {round}: kernel and database differ after {took:?}: {difference}");
        assert!(took <= EQUAL_WITHIN + START_SLACK, "round {round}: equal only after {took:?}");
        check(&ledger, &mut lab.api, round);
    }
    eprintln!("{rounds} rounds, {} accounts, slowest {slowest:?}", ledger.lock().expect("no panic").accounts.len());
    steady_beat.expect_none_lost("a client of an untouched tunnel");
    assert_eq!(outcast_beat.finish().back, 0, "a disabled account passed a packet");
}

#[test]
fn clients_are_back_after_kill_9_of_a_tunnel_process() {
    let mut lab = Lab::new();
    let server = lab.server("");
    let (_, one) = lab.client(&server, "name=one");
    let (_, two) = lab.client(&server, "name=two");
    let mark = lab.gateway.log_mark();
    for round in 1..=3 {
        let beats = [lab.heartbeat(&one), lab.heartbeat(&two)];
        thread::sleep(SEEN_WITHIN);
        let tunnels = lab.gateway.tunnels();
        assert_eq!(tunnels.len(), 1, "one server, one process");
        tunnels[0].kill();
        let killed = Instant::now();
        thread::sleep(Duration::from_millis(50));
        let before = beats.each_ref().map(crate::flow::Heartbeat::back);
        for (beat, before) in beats.iter().zip(before) {
            crate::host::eventually("the client passes packets again", TUNNEL_BACK_WITHIN, || beat.back() > before);
        }
        eprintln!("round {round}: back {:?} after the kill", killed.elapsed());
    }
    let log = lab.gateway.log()[mark..].to_owned();
    assert!(log.contains("the tunnel process of wg1 ended"), "the log tells of it: {log}");
}

/// Creates, suspends, resumes and deletes accounts until told to stop or the gateway is gone.
fn load(mut api: Api, ledger: &Mutex<Ledger>, serial: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let number = serial.fetch_add(1, Ordering::Relaxed);
        let name = format!("load_{number}");
        let path = format!("account/{name}");
        let steps = [
            ("POST", "account", format!("wg_name=killed&name={name}&b_download=5"), State::Enabled),
            ("PUT", &path, "status=disable".to_owned(), State::Disabled),
            ("PUT", &path, "status=enable".to_owned(), State::Enabled),
            ("DELETE", &path, String::new(), State::Absent),
        ];
        // Accounts end in every state.
        let last = usize::try_from(number % 4).expect("below four");
        for (method, path, body, state) in &steps[..=last] {
            let possible = ledger.lock().expect("no panic").accounts.get(&name).cloned();
            let mut possible = possible.unwrap_or_else(|| BTreeSet::from([State::Absent]));
            possible.insert(*state);
            ledger.lock().expect("no panic").accounts.insert(name.clone(), possible);
            match api.try_call(method, path, body) {
                Ok(answer) => {
                    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.error);
                    ledger.lock().expect("no panic").accounts.insert(name.clone(), BTreeSet::from([*state]));
                }
                Err(_) => return,
            }
        }
    }
}

/// Compares the ledger with what the gateway answers now, and settles what was open.
fn check(ledger: &Mutex<Ledger>, api: &mut Api, round: u32) {
    let stored: BTreeMap<String, State> = accounts(api)
        .into_iter()
        .map(|(name, a)| (name, if a["status"] == "enable" { State::Enabled } else { State::Disabled }))
        .collect();
    for (name, possible) in &mut ledger.lock().expect("no panic").accounts {
        let state = stored.get(name).copied().unwrap_or(State::Absent);
        assert!(possible.contains(&state), "round {round}: {name} is {state:?}, acknowledged as {possible:?}");
        *possible = BTreeSet::from([state]);
    }
}

/// What differs between the accounts that the API lists and what the kernel holds, read with other programs.
fn difference(lab: &mut Lab) -> String {
    let wanted: BTreeMap<String, String> = accounts(&mut lab.api)
        .into_iter()
        .filter(|(_, a)| a["status"] == "enable")
        .map(|(_, a)| (text(&a["public_key"]).to_owned(), text(&a["allowed_IPs"]).to_owned()))
        .collect();
    let peers: BTreeMap<String, String> = gateway_peers(lab, "wg1")
        .into_iter()
        .map(|p| (p[0].clone(), p[3].trim_end_matches("/32").to_owned()))
        .collect();
    let granted = granted(lab);
    let addresses: BTreeSet<String> = wanted.values().cloned().collect();
    let mut difference = String::new();
    if wanted != peers {
        difference += &format!("{} peers, {} accounts; ", peers.len(), wanted.len());
    }
    if granted != addresses {
        difference += &format!("granted addresses: {:?}", granted.symmetric_difference(&addresses).collect::<Vec<_>>());
    }
    difference
}

/// Addresses in the set of the granted.
fn granted(lab: &Lab) -> BTreeSet<String> {
    let json = lab.world.gateway.run("nft -j list set inet doorward granted4");
    let json: serde_json::Value = serde_json::from_str(&json).expect("nft prints JSON");
    let set = json["nftables"].as_array().into_iter().flatten().find_map(|o| o.get("set"));
    let elements = set.and_then(|s| s["elem"].as_array()).cloned().unwrap_or_default();
    elements.iter().map(|e| e["elem"]["val"].as_str().or(e.as_str()).expect("an address").to_owned()).collect()
}

/// 50 to 650 ms.
fn random_moment() -> Duration {
    let mut byte = [0; 2];
    getrandom::fill(&mut byte).expect("randomness");
    Duration::from_millis(50 + u64::from(u16::from_le_bytes(byte)) % 600)
}

#[test]
fn an_expired_account_stays_cut_while_the_gateway_is_dead() {
    let mut lab = Lab::new();
    let server = lab.server("");
    let (account, client) = lab.client(&server, "name=expiring");
    let at = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 3).expect("a time soon");
    lab.api.put(&format!("account/{account}"), &format!("expires_at={at}"));
    let flow = crate::flow::TcpFlow::start(
        &client.host,
        client.address(),
        &lab.world.internet,
        server_address(),
        crate::flow::Direction::Down,
        crate::flow::Pace::Steady,
    );
    lab.gateway.kill();
    flow.assert_flowing("before the expiry, with the gateway dead");
    thread::sleep(Duration::from_secs(4));
    let bytes = flow.received();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(flow.received(), bytes, "the kernel keeps the time by itself");
    assert!(!client.ping(SERVER));
}
