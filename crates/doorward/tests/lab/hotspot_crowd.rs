//! Crowds: `kill -9` while hundreds are online and log in, and a thousand devices that guess vouchers.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, UdpSocket},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    guest::{Answer, Form},
    hotspot::{HotspotLab, Voucher},
    internet::SERVER_NAME,
    lab::{GRANT_WITHIN, text},
    swarm::{self, Swarm},
    world::SERVER,
};

/// Rounds where `KILL_ROUNDS` does not say otherwise.
const ROUNDS: u32 = 5;
/// Devices that are online all the time, and that never log in.
const STEADY: u16 = 200;
const CAPTIVE: u16 = 50;
/// Logins per second while the gateway is killed.
const LOGINS_PER_SECOND: u64 = 50;
/// Time between two packets of a device.
const BEAT: Duration = Duration::from_millis(100);
const CONVERGES_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn kill_9_cuts_nobody_who_is_online_and_lets_nobody_through_who_is_not() {
    let rounds = std::env::var("KILL_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let mut lab = HotspotLab::new();
    let count = usize::from(STEADY) + 4_000;
    let vouchers = many_vouchers(&lab, count);
    let swarm = Swarm::new(&lab.world, u16::try_from(count).expect("few") + CAPTIVE);
    let log_in = |n: u16| swarm.host.inside(|| log_in(n, &vouchers[usize::from(n)]));
    for n in 0..STEADY {
        assert!(log_in(n).expect("an answer"), "device {n} logs in");
    }
    let outcast = u16::try_from(count).expect("few");
    let beats = Beats::start(&lab, &swarm, 0..STEADY);
    let silence = Beats::start(&lab, &swarm, outcast..outcast + CAPTIVE);
    thread::sleep(Duration::from_secs(2));
    let mut bytes = listed_bytes(&lab);
    assert_eq!(bytes.len(), usize::from(STEADY), "all are listed");

    let next = AtomicU16::new(STEADY);
    let acknowledged = Mutex::new(BTreeSet::new());
    for round in 1..=rounds {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    swarm.host.enter();
                    while !stop.load(Ordering::Relaxed) {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if usize::from(n) >= vouchers.len() {
                            return;
                        }
                        if log_in_here(n, &vouchers[usize::from(n)]).is_ok_and(|online| online) {
                            acknowledged.lock().expect("no panic under this lock").insert(n);
                        }
                        thread::sleep(Duration::from_millis(4_000 / LOGINS_PER_SECOND));
                    }
                });
            }
            thread::sleep(Duration::from_millis(1_000 + u64::from(round) * 173));
            lab.gateway.kill();
            stop.store(true, Ordering::Relaxed);
        });
        lab.gateway.run();
        lab.gateway.converged(CONVERGES_WITHIN);
        lab.opened();
        let after = listed_bytes(&lab);
        for (mac, before) in &bytes {
            let now = after.iter().find(|(m, _)| m == mac).map(|(_, bytes)| *bytes);
            assert!(now.is_some_and(|now| now >= *before), "round {round}: {mac} had {before} bytes, has {now:?}");
        }
        let listed: BTreeSet<String> = after.iter().map(|(mac, _)| mac.to_lowercase()).collect();
        for n in acknowledged.lock().expect("no panic under this lock").iter() {
            assert!(listed.contains(&swarm::mac(*n)), "round {round}: device {n} was told that it is online");
            assert!(swarm.host.inside(|| reaches(*n)), "round {round}: device {n} is listed, and captive");
        }
        bytes = after;
    }
    let logged_in = acknowledged.into_inner().expect("no panic under this lock").len();
    eprintln!("{rounds} rounds, {logged_in} logins acknowledged");
    assert!(logged_in > 20, "logins went on between the kills: {logged_in}");
    assert_eq!(silence.finish().0, 0, "a captive device got a packet through");
    let (back, sent) = beats.finish();
    // What was under way when the test ended is none of the gateway's business.
    assert!(back + u64::from(STEADY) >= sent, "online devices lost {} of {sent} packets", sent - back);
}

#[test]
fn a_thousand_guessing_devices_keep_no_guest_from_logging_in() {
    const GUESSERS: u16 = 1_000;
    let lab = HotspotLab::new();
    let voucher = lab.voucher(&json!({ "devices": 5 }));
    let swarm = Swarm::new(&lab.world, GUESSERS);
    let (next, stop) = (AtomicU16::new(0), AtomicBool::new(false));
    let (refused, answered) = (Mutex::new(0_u64), Mutex::new(0_u64));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                swarm.host.enter();
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed) % GUESSERS;
                    let guess = Voucher { username: format!("guest{n}"), passcode: "abcdefgh".to_owned() };
                    let Ok(answer) = submit(n, &guess) else { continue };
                    *answered.lock().expect("no panic") += 1;
                    if answer.status == 429 {
                        *refused.lock().expect("no panic") += 1;
                    }
                }
            });
        }
        thread::sleep(Duration::from_secs(12));
        for n in 1..=3 {
            let guest = lab.guest(n);
            let start = Instant::now();
            guest.redeem(&voucher);
            guest.is_online(GRANT_WITHIN * 3);
            eprintln!("a real guest was online after {:?}", start.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (refused, answered) = (refused.into_inner().expect("no panic"), answered.into_inner().expect("no panic"));
    eprintln!("{answered} guesses answered, {refused} of them unheard");
    assert!(answered > 2_000, "guessing went on: {answered}");
    // Each device has a few tries of its own; beyond them next to nothing is heard.
    let heard = answered - refused;
    assert!(heard <= u64::from(GUESSERS) * 8, "{heard} guesses were heard");
}

/// Vouchers by number.
fn many_vouchers(lab: &HotspotLab, count: usize) -> Vec<Voucher> {
    let answer = lab.api("create_voucher", &json!({ "count": count, "valid_for": "1 day" }));
    let users = answer["users"].as_array().unwrap_or_else(|| panic!("vouchers, not {answer}"));
    let one = |user: &Value| Voucher {
        username: text(&user["username"]).to_owned(),
        passcode: text(&user["passcode"]).to_owned(),
    };
    users.iter().map(one).collect()
}

/// Whether the portal says that a device is online now.
fn log_in(n: u16, voucher: &Voucher) -> std::io::Result<bool> {
    log_in_here(n, voucher)
}

fn log_in_here(n: u16, voucher: &Voucher) -> std::io::Result<bool> {
    let answer = submit(n, voucher)?;
    Ok(matches!(answer.status, 302 | 303) && reaches(n))
}

fn submit(n: u16, voucher: &Voucher) -> std::io::Result<Answer> {
    let page = Swarm::request(n, "GET", "/", "", "")?;
    if page.status != 200 {
        return Ok(page);
    }
    let form = Form::with_field(&page.body, "p");
    let form = form.set("u", &voucher.username).set("p", &voucher.passcode);
    Swarm::request(n, "POST", &form.action, "", &form.body())
}

/// Whether the internet answers a device.
fn reaches(n: u16) -> bool {
    let to: SocketAddr = format!("{SERVER}:80").parse().expect("an address");
    let answer = Swarm::request_to(n, to, "www.example.com", "GET", "/", "", "");
    answer.is_ok_and(|answer| answer.header("server") == SERVER_NAME)
}

/// MAC and bytes to the guest of everybody who is online.
fn listed_bytes(lab: &HotspotLab) -> Vec<(String, u64)> {
    let answer = lab.api("get_active_guests", &json!({}));
    let one =
        |guest: &Value| (text(&guest["mac-address"]).to_owned(), text(&guest["bytes-out"]).parse().expect("a number"));
    answer["data"].as_array().expect("a list").iter().map(one).collect()
}

/// Packets of many devices to an echo on the internet and back, counted all together.
struct Beats {
    stop: std::sync::Arc<AtomicBool>,
    sender: thread::JoinHandle<(u64, u64)>,
}

impl Beats {
    fn start(lab: &HotspotLab, swarm: &Swarm, devices: std::ops::Range<u16>) -> Self {
        let echo = lab.world.internet.inside(|| UdpSocket::bind((SERVER, 0))).expect("a free port");
        let to = echo.local_addr().expect("a bound socket");
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let over = std::sync::Arc::clone(&stop);
        echo.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
        thread::spawn(move || {
            let mut buffer = [0; 64];
            let mut quiet = 0;
            // Goes on for a while after the last, for what is still under way.
            while quiet < 10 {
                match echo.recv_from(&mut buffer) {
                    Ok((n, from)) => drop(echo.send_to(&buffer[..n], from)),
                    Err(_) if over.load(Ordering::Relaxed) => quiet += 1,
                    Err(_) => {}
                }
            }
        });
        let sockets: Vec<UdpSocket> = swarm.host.inside(|| {
            devices
                .map(|n| {
                    let socket = UdpSocket::bind((swarm::address(n), 0)).expect("AnyIP");
                    socket.connect(to).expect("a UDP socket connects");
                    socket.set_nonblocking(true).expect("a socket");
                    socket
                })
                .collect()
        });
        let done = std::sync::Arc::clone(&stop);
        let sender = thread::spawn(move || {
            let (mut back, mut sent) = (0, 0);
            let mut buffer = [0; 64];
            let mut take = |sockets: &[UdpSocket]| {
                sockets.iter().map(|s| std::iter::from_fn(|| s.recv(&mut buffer).ok()).count() as u64).sum::<u64>()
            };
            while !done.load(Ordering::Relaxed) {
                for socket in &sockets {
                    // A refusal by ICMP shows as an error of the next call.
                    if socket.send(b"beat").is_ok() {
                        sent += 1;
                    }
                }
                thread::sleep(BEAT);
                back += take(&sockets);
            }
            thread::sleep(Duration::from_millis(500));
            (back + take(&sockets), sent)
        });
        Self { stop, sender }
    }

    /// How many came back, and how many were sent.
    fn finish(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().expect("the sender ends")
    }
}
