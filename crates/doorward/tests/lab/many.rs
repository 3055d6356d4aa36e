//! Many at once: what is done to others and to the server itself costs no client its session, its counters or a packet.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    api::Api,
    client::Client,
    flow::Heartbeat,
    gateway::Gateway,
    lab::{Lab, server_address, text},
};

const CLIENTS: usize = 20;
const OTHERS: usize = 1000;
/// Callers of the API that work at the same time.
const CALLERS: usize = 4;

#[test]
fn server_edits_and_1000_other_accounts_cost_20_clients_nothing() {
    let mut lab = Lab::new();
    let server = lab.server("name=busy&address=10.60.0.1/20");
    // With source NAT off answers need a way back.
    lab.world.internet.run("ip route add 10.60.0.0/20 via 203.0.113.2");
    let clients: Vec<(String, Client)> =
        (1..=CLIENTS).map(|n| lab.client(&server, &format!("name=client_{n}"))).collect();
    let before: Vec<Session> = clients.iter().map(|(account, client)| Session::of(&lab, account, client)).collect();
    let started = Instant::now();
    let beats: Vec<Heartbeat> = clients.iter().map(|(_, client)| beat(&lab, client)).collect();

    for form in [
        "dns_1=9.9.9.9&dns_2=1.0.0.1",
        "b_download=50&b_upload=40",
        "mtu=1380",
        "endpoint=vpn.example.net",
        "disable_nat=1",
        "disable_nat=0",
        "internal_traffic=1",
        "internal_traffic=0",
        "keep_alive=25",
    ] {
        lab.api.put("wireguard/busy", form);
        thread::sleep(Duration::from_millis(100));
    }
    let adding = Instant::now();
    everyone(&lab.gateway, |api, n| drop(api.post("account", &format!("wg_name=busy&name=other_{n}&b_download=5"))));
    eprintln!("{OTHERS} accounts added in {:?}", adding.elapsed());
    assert_eq!(lab.api.get("account").as_array().map(Vec::len), Some(CLIENTS + OTHERS));
    lab.gateway.converged(Duration::from_secs(10));
    assert_eq!(gateway_peers(&lab, "wg1").len(), CLIENTS + OTHERS, "every account is a peer");
    lab.api.put("wireguard/busy", "b_download=30");
    lab.api.put("wireguard/busy/set_bandwidth", "");
    everyone(&lab.gateway, |api, n| drop(api.delete(&format!("account/other_{n}"))));
    lab.gateway.converged(Duration::from_secs(10));
    assert_eq!(gateway_peers(&lab, "wg1").len(), CLIENTS, "the others are gone");

    for ((account, _), beat) in clients.iter().zip(beats) {
        beat.expect_none_lost(account);
    }
    // A session is renewed after two minutes of its own accord.
    let renewed = started.elapsed() > Duration::from_secs(110);
    for ((account, client), before) in clients.iter().zip(before) {
        let after = Session::of(&lab, account, client);
        assert!(renewed || after.handshake == before.handshake, "{account} has another session");
        assert!(after.received > before.received, "{account}: {} bytes, then {}", before.received, after.received);
    }
}

/// What a client would lose if its peer were made anew.
struct Session {
    handshake: u64,
    /// As the gateway's tunnel counts them.
    received: u64,
}

impl Session {
    fn of(lab: &Lab, account: &str, client: &Client) -> Self {
        let key = client.host.run("wg show wg0 public-key");
        let peers = gateway_peers(lab, "wg1");
        let peer = peers.iter().find(|peer| peer[0] == key.trim()).unwrap_or_else(|| panic!("{account} is no peer"));
        Self { handshake: client.latest_handshake(), received: peer[5].parse().expect("a number") }
    }
}

/// Peers of a tunnel as `wg show IF dump` tells them: key, preshared key, endpoint, addresses, handshake, received, sent.
pub fn gateway_peers(lab: &Lab, interface: &str) -> Vec<Vec<String>> {
    let dump = lab.world.gateway.run(&format!("wg show {interface} dump"));
    dump.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn beat(lab: &Lab, client: &Client) -> Heartbeat {
    // Twenty of them on two cores: ten packets a second each.
    let every = Duration::from_millis(100);
    Heartbeat::start_every(every, &client.host, client.address(), &lab.world.internet, server_address())
}

/// Does something for each of the others, several at a time.
fn everyone(gateway: &Gateway, act: impl Fn(&mut Api, usize) + Sync) {
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (act, mut api) = (&act, gateway.api());
            scope.spawn(move || (0..OTHERS).skip(caller).step_by(CALLERS).for_each(|n| act(&mut api, n)));
        }
    });
}

/// An account list by name.
pub fn accounts(api: &mut Api) -> Vec<(String, Value)> {
    let list = api.get("account");
    list.as_array().expect("an array").iter().map(|a| (text(&a["name"]).to_owned(), a.clone())).collect()
}
