//! Guests who log in (P3), and what 10,000 of them cost the gateway (P8, P11): a swarm of devices on one cable, the real
//! portal, and packets that pass. Prints rows of a Markdown table: target, what, measured, reference, verdict.
//!
//! Needs root; lives in namespaces of its own. The kernel's neighbour table is the machine's own: its size is raised by
//! `scripts/bench/logins.sh`, and put back.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench ends where something fails, and prints")]
#![expect(dead_code, reason = "of the lab's tools this bench needs a part")]

#[path = "../tests/lab/api.rs"]
mod api;
#[path = "../tests/lab/client.rs"]
mod client;
#[path = "../tests/lab/flow.rs"]
mod flow;
#[path = "../tests/lab/gateway.rs"]
mod gateway;
#[path = "../tests/lab/guest.rs"]
mod guest;
#[path = "../tests/lab/host.rs"]
mod host;
#[path = "../tests/lab/hotspot.rs"]
mod hotspot;
#[path = "../tests/lab/internet.rs"]
mod internet;
#[path = "../tests/lab/lab.rs"]
mod lab;
#[path = "../tests/lab/swarm.rs"]
mod swarm;
#[path = "../tests/lab/world.rs"]
mod world;

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicU16, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{guest::Form, hotspot::HotspotLab, swarm::Swarm, world::SERVER};

const CROWD: u16 = 10_000;
const MORE: u16 = 800;
const PER_SECOND: u64 = 100;
const CLIENTS: u16 = 32;

fn main() {
    let lab = HotspotLab::with(
        "",
        &json!({ "methods": [{ "method": "free", "allowance": { "valid_s": 86400, "data_down_mb": 100_000 } }] }),
    );
    let idle_kb = rss_kb(&lab);
    let swarm = Swarm::new(&lab.world, CROWD + MORE);
    let echo = lab.world.internet.inside(|| UdpSocket::bind((SERVER, 7))).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((n, from)) = echo.recv_from(&mut buffer) {
            drop(echo.send_to(&buffer[..n], from));
        }
    });

    let (next, failed) = (AtomicU16::new(0), AtomicU64::new(0));
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                swarm.host.enter();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= CROWD {
                        return;
                    }
                    if log_in(n).is_none() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let took = started.elapsed();
    let done = u64::from(CROWD) - failed.load(Ordering::Relaxed);
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let rate = done as f64 / took.as_secs_f64();
    eprintln!("{done} of {CROWD} logged in after {took:?}");
    row(
        "P3",
        &format!("logins per second from nobody to {done} online, page and form each, {CLIENTS} clients at once"),
        &format!("{rate:.0}/s"),
        "≥ 1,000/s",
        rate >= 1000.0,
    );

    let mut times = paced(&swarm);
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    row(
        "P3",
        &format!("form sent to first packet back, {PER_SECOND}/s with {done} online: median"),
        &format!("{} ms", at(50).as_millis()),
        "–",
        true,
    );
    row("P3", "the same, 99th of 100", &format!("{} ms", at(99).as_millis()), "≤ 50 ms", at(99).as_millis() <= 50);

    let listed = Instant::now();
    let active = lab.api("get_active_guests", &json!({}))["data"].as_array().unwrap().len();
    row(
        "–",
        &format!("get_active_guests, {active} guests"),
        &format!("{} ms", listed.elapsed().as_millis()),
        "openNDS: 6.3 s for 250",
        listed.elapsed() < Duration::from_secs(5),
    );
    let pass_ms = full_pass_ms(&lab);
    row("P8", "full pass over 10,000 guests, nothing to do", &format!("{pass_ms} ms"), "≤ 250 ms", pass_ms <= 250);
    let more = rss_kb(&lab).saturating_sub(idle_kb) / 1024;
    row("P11", "memory for 10,000 guests", &format!("{more} MB"), "≤ 50 MB (150 less 100)", more <= 50);
}

fn row(target: &str, what: &str, measured: &str, reference: &str, met: bool) {
    println!("| {target} | {what} | {measured} | {reference} | {} |", if met { "met" } else { "**missed**" });
}

/// Logs a device in by the button; `None`: it was refused.
fn log_in(n: u16) -> Option<()> {
    let page = Swarm::request(n, "GET", "/", "", "").ok()?;
    let form = Form::with_field(&page.body, "token");
    press(n, &form)
}

fn press(n: u16, form: &Form) -> Option<()> {
    let answer = Swarm::request(n, "POST", &form.action, "", &form.body()).ok()?;
    matches!(answer.status, 302 | 303).then_some(())
}

/// From the form to the first packet that comes back, for each of some devices, so many a second.
fn paced(swarm: &Swarm) -> Vec<Duration> {
    let begun = Instant::now();
    let one = |n: u16| {
        let due = Duration::from_millis(u64::from(n - CROWD) * 1_000 / PER_SECOND);
        swarm.host.enter();
        let page = Swarm::request(n, "GET", "/", "", "").ok()?;
        let form = Form::with_field(&page.body, "token");
        let socket = UdpSocket::bind((swarm::address(n), 0)).ok()?;
        let to: SocketAddr = format!("{SERVER}:7").parse().ok()?;
        socket.connect(to).ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(20))).ok()?;
        thread::sleep((due + Duration::from_secs(2)).saturating_sub(begun.elapsed()));
        let start = Instant::now();
        press(n, &form)?;
        let mut buffer = [0; 8];
        while start.elapsed() < Duration::from_secs(5) {
            drop(socket.send(b"now"));
            if socket.recv(&mut buffer).is_ok() {
                return Some(start.elapsed());
            }
        }
        None
    };
    thread::scope(|scope| {
        // A thread each: they sleep until their turn comes.
        let all: Vec<_> = (CROWD..CROWD + MORE)
            .map(|n| thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, move || one(n)).unwrap())
            .collect();
        let times: Vec<Duration> = all.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        eprintln!("{} of {MORE} logged in at {PER_SECOND}/s", times.len());
        times
    })
}

fn report(lab: &HotspotLab) -> Value {
    serde_json::from_str(&lab.gateway.doorward("status --json")).unwrap()
}

/// The timer makes a full pass every 30 s; the quickest of two counts.
fn full_pass_ms(lab: &HotspotLab) -> u64 {
    let passes = |report: &Value| report["full_passes"].as_u64().unwrap();
    let mut best = u64::MAX;
    for _ in 0..2 {
        let before = passes(&report(lab));
        let last = loop {
            let now = report(lab);
            if passes(&now) > before {
                break now;
            }
            thread::sleep(Duration::from_millis(200));
        };
        best = best.min(last["last_full_pass_ms"].as_u64().unwrap());
    }
    best
}

fn rss_kb(lab: &HotspotLab) -> u64 {
    let pid = report(lab)["pid"].as_u64().unwrap();
    // By its number within the host.
    let status = fs::read_to_string(lab.gateway.host.path(&format!("/proc/{pid}/status"))).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
