//! Real packets of guests through the rules: two devices on a bridge, a LAN and an internet in namespaces beside the
//! gateway's own.

use std::time::{Duration, Instant};

use doorward_kernel::{Event, Kernel, linux::Linux};
use doorward_policy::{
    guest::{DataLimits, Grant, GrantId, SessionId, Way},
    hotspot::Hotspot,
    item::{Counter, Expiry, Item, Key, QuotaId},
    limits::{Bandwidth, Mark, Mbit},
    observed::Scope,
    plan::Change,
};

use super::{
    cases::observe,
    guest_net::{
        GATEWAY, GATEWAY_V6, PROMPTLY, WEB, WEB_V6, asks, assert_captive, assert_online, at, bytes, hears, lay,
        lay_with, pings, pour, put, turn_into,
    },
    guest_world::{g4, g6, grant, guest_world, guests, hotspot, items_of, mac},
    linux::{in_namespaces, sh},
    packets::{connects, greet, succeeds},
    world::{now_ms, wan},
};

#[test]
fn captive_online_and_captive_again() {
    in_namespaces("guest_packets::captive_online_and_captive_again", async |host| {
        let mut kernel = host.open().await;
        let hotspot = hotspot();
        let mut held = lay(&mut kernel, &hotspot, &[]).await;
        assert_captive(1);
        let online = grant(1);
        let took = turn_into(&mut kernel, &mut held, guest_world(&hotspot, [&online])).await;
        println!("online after {took:?}");
        assert!(took < PROMPTLY);
        assert_online(1);
        assert!(bytes(&mut kernel, Counter::SessionUp(SessionId(1))).await > 400);
        assert!(bytes(&mut kernel, Counter::SessionDown(SessionId(1))).await > 400);
        assert!(!pings(2, WEB) && hears(2, WEB, 80).0 == "portal", "the other device is captive still");

        // Somebody else's address alone, and somebody else's MAC alone.
        let (four, six) = (g4(1), g6(1));
        sh(&at(1, "ip link set eth0 down"));
        sh(&at(2, &format!("sh -ec 'ip addr add {four}/16 dev eth0; ip addr add {six}/64 dev eth0 nodad'")));
        assert!(!succeeds(&at(2, &format!("ping -c2 -i0.2 -W1 -I {four} {WEB}"))), "the address alone");
        assert!(!succeeds(&at(2, &format!("ping -c2 -i0.2 -W1 -I {six} {WEB_V6}"))), "the address alone");
        let own = mac(1);
        sh(&at(
            2,
            &format!(
                "sh -ec 'ip addr del {four}/16 dev eth0; ip addr del {six}/64 dev eth0
            ip link set eth0 address {own}; ip route replace default via {GATEWAY}
            ip -6 route replace default via {GATEWAY_V6}'"
            ),
        ));
        assert!(!pings(2, WEB) && !pings(2, WEB_V6), "the MAC alone");
        let second = mac(2);
        sh(&at(2, &format!("ip link set eth0 address {second}")));
        sh(&at(
            1,
            &format!(
                "sh -ec 'ip link set eth0 up; ip addr replace {six}/64 dev eth0 nodad
            ip route replace default via {GATEWAY}; ip -6 route replace default via {GATEWAY_V6}'"
            ),
        ));
        std::thread::sleep(Duration::from_millis(300));
        assert_online(1);

        // Kicked: established flows too.
        pour();
        sh(&at(1, "socat -u TCP4:198.51.100.1:81,connect-timeout=1,retry=5 OPEN:/dev/null >/dev/null 2>&1 &"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let down = Counter::SessionDown(SessionId(1));
        let before = bytes(&mut kernel, down).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(bytes(&mut kernel, down).await > before + 100_000, "a download runs");
        let mut ended = online.clone();
        ended.sessions[0].open = false;
        let took = turn_into(&mut kernel, &mut held, guest_world(&hotspot, [&ended])).await;
        println!("kicked after {took:?}");
        assert!(took < PROMPTLY, "{took:?}");
        let cut = bytes(&mut kernel, down).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(bytes(&mut kernel, down).await, cut, "not one more packet");
        assert_captive(1);
    });
}

#[test]
fn what_was_led_to_the_portal_ends_with_the_login() {
    in_namespaces("guest_packets::what_was_led_to_the_portal_ends_with_the_login", async |host| {
        let mut kernel = host.open().await;
        let hotspot = hotspot();
        let mut held = lay_with(&mut kernel, &hotspot, &[], "EXEC:cat").await;
        // Two connections that go on over the login: one pinned to the portal by its redirect, one meant for the portal.
        let hold = |address: &str, file: &str| {
            let line = format!(
                "sh -c '(echo one; sleep 2; echo two; sleep 1) | timeout 5 socat - TCP4:{address}:80 >/run/{file} 2>&1'"
            );
            sh(&format!("{} >/dev/null 2>&1 &", at(1, &line)));
        };
        hold(WEB, "pinned");
        hold(GATEWAY, "login");
        std::thread::sleep(Duration::from_millis(800));
        turn_into(&mut kernel, &mut held, guest_world(&hotspot, [&grant(1)])).await;
        // It is forgotten by a task beside the changes.
        tokio::time::sleep(Duration::from_millis(3_000)).await;
        let read = |file: &str| sh(&format!("cat /run/{file}"));
        assert!(read("pinned").starts_with("one") && !read("pinned").contains("two"), "{}", read("pinned"));
        assert_eq!(read("login"), "one\ntwo\n", "the answer to the login arrives");
    });
}

#[test]
fn a_session_ends_by_itself() {
    in_namespaces("guest_packets::a_session_ends_by_itself", async |host| {
        let mut kernel = host.open().await;
        let hotspot = hotspot();
        let mut held = lay(&mut kernel, &hotspot, &[]).await;
        let mut short = grant(1);
        short.sessions[0].ends_ms = Some(now_ms() + 1_500);
        turn_into(&mut kernel, &mut held, guest_world(&hotspot, [&short])).await;
        assert!(pings(1, WEB) && pings(1, WEB_V6));
        tokio::time::sleep(Duration::from_millis(1_600)).await;
        assert!(!pings(1, WEB) && !pings(1, WEB_V6));
        assert_eq!(hears(1, WEB, 80).0, "portal");
        // The elements are gone; taking them away is no error.
        turn_into(&mut kernel, &mut held, guest_world(&hotspot, [])).await;
    });
}

/// How much passed in each direction while the device wants all it can get.
async fn used(kernel: &mut Linux, seconds: u32, down: bool) -> u64 {
    let line = if down {
        format!("timeout {seconds} socat -u TCP4:{WEB}:81,connect-timeout=1 OPEN:/dev/null")
    } else {
        format!("timeout {seconds} socat -u OPEN:/dev/zero TCP4:{WEB}:82,connect-timeout=1")
    };
    _ = succeeds(&at(1, &line));
    let counter = if down { Counter::SessionDown(SessionId(1)) } else { Counter::SessionUp(SessionId(1)) };
    bytes(kernel, counter).await
}

#[test]
fn data_limits_cut_each_way() {
    in_namespaces("guest_packets::data_limits_cut_each_way", async |host| {
        let mut kernel = host.open().await;
        let hotspot = hotspot();
        let mut held = lay(&mut kernel, &hotspot, &[]).await;
        pour();
        for way in Way::ALL {
            const LIMIT: u64 = 3_000_000;
            let mut limited = grant(1);
            match way {
                Way::Down => limited.limits.down = Some(LIMIT),
                Way::Up => limited.limits.up = Some(LIMIT),
                Way::Total => limited.limits.total = Some(LIMIT),
            }
            while tokio::time::timeout(Duration::from_millis(50), kernel.event()).await.is_ok() {}
            turn_into(&mut kernel, &mut held, guest_world(&hotspot, [&limited])).await;
            let started = Instant::now();
            let mut passed = used(&mut kernel, 3, way != Way::Up).await;
            if way == Way::Total {
                passed += bytes(&mut kernel, Counter::SessionUp(SessionId(1))).await;
            }
            println!("{way:?}: {passed}");
            assert!(passed <= LIMIT, "{way:?} never above: {passed}");
            assert!(passed > LIMIT - 65_536, "{way:?} at most 64 KiB below: {passed}");
            let told = tokio::time::timeout(Duration::from_millis(500), kernel.event()).await;
            assert_eq!(told, Ok(Event::Spent(vec![QuotaId::Grant { grant: GrantId(1), way }])), "{way:?}");
            if way != Way::Down {
                assert!(hears(1, WEB, 443).1, "refused, not left waiting: {:?}", started.elapsed());
            }
            assert!(!pings(1, WEB), "{way:?}: nothing comes back");
            // A larger limit lets it go on with what was used.
            turn_into(
                &mut kernel,
                &mut held,
                guest_world(
                    &hotspot,
                    [&Grant {
                        limits: DataLimits {
                            down: limited.limits.down.map(|_| 1 << 30),
                            up: limited.limits.up.map(|_| 1 << 30),
                            total: limited.limits.total.map(|_| 1 << 30),
                        },
                        ..limited.clone()
                    }],
                ),
            )
            .await;
            assert!(pings(1, WEB), "{way:?}");
            turn_into(&mut kernel, &mut held, guest_world(&hotspot, [])).await;
        }
    });
}

#[test]
fn speed_is_shared_by_the_devices_of_a_grant() {
    in_namespaces("guest_packets::speed_is_shared_by_the_devices_of_a_grant", async |host| {
        let mut kernel = host.open().await;
        let hotspot = hotspot();
        let mbit = |n| Mbit::new(n).unwrap();
        let mut shared = grant(1);
        shared.speed = Bandwidth { down: mbit(4), up: mbit(2) };
        shared.mark = Mark::new(250);
        shared.sessions.extend(grant(2).sessions);
        lay(&mut kernel, &hotspot, &[&shared]).await;
        pour();
        for (interface, limit) in [(guests(), 4.0), (wan(), 2.0)] {
            let line = if interface == wan() {
                format!("socat -u OPEN:/dev/zero TCP4:{WEB}:82,connect-timeout=5")
            } else {
                format!("socat -u TCP4:{WEB}:81,connect-timeout=5 OPEN:/dev/null")
            };
            for n in [1, 1, 2] {
                sh(&at(n, &format!("timeout -s KILL 6 {line} >/dev/null 2>&1 &")));
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
            let sent = async |kernel: &mut Linux| {
                let stats = kernel.observe(Scope::Shaping(interface)).await.unwrap().stats;
                let queue = stats.classes.values().next().unwrap().queue;
                queue.bytes - 14 * queue.packets
            };
            let (started, before) = (Instant::now(), sent(&mut kernel).await);
            tokio::time::sleep(Duration::from_secs(3)).await;
            let rate = (sent(&mut kernel).await - before) as f64 * 8e-6 / started.elapsed().as_secs_f64();
            println!("{interface}: {rate:.3} Mbit/s of {limit}");
            assert!((rate / limit - 1.0).abs() < 0.05, "{interface}: {rate}");
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
    });
}

#[test]
fn guests_are_apart_unless_allowed() {
    in_namespaces("guest_packets::guests_are_apart_unless_allowed", async |host| {
        let mut kernel = host.open().await;
        let apart = hotspot();
        let (one, two) = (grant(1), grant(2));
        let mut held = lay(&mut kernel, &apart, &[&one, &two]).await;
        greet(&at(2, ""), 8000);
        std::thread::sleep(Duration::from_millis(300));
        let other = g4(2).to_string();
        assert!(!pings(1, &other) && !pings(1, &g6(2).to_string()), "between ports of the bridge");
        // And not round the bridge by the gateway.
        let by_gateway = format!(
            "sh -ec 'ip route replace {other}/32 via {GATEWAY}; ip -6 route replace {}/128 via {GATEWAY_V6}'",
            g6(2)
        );
        sh(&at(1, &by_gateway));
        assert!(hears(1, &other, 8000).1 && !pings(1, &other) && !pings(1, &g6(2).to_string()));
        let joined = Hotspot { isolated: false, lan_access: vec!["10.99.0.0/24".parse().unwrap()], ..apart.clone() };
        turn_into(&mut kernel, &mut held, guest_world(&joined, [&one, &two])).await;
        assert_eq!(hears(1, &other, 8000).0, "hello");
        sh(&at(1, &format!("ip route del {other}/32")));
        assert!(pings(1, &other), "directly");
        // The LAN by its list, for those who are online; nothing of the gateway.
        assert_eq!(hears(1, "10.99.0.2", 80).0, "hello");
        assert!(hears(1, "10.99.0.1", 22).1);
        greet(&at(1, ""), 8000);
        std::thread::sleep(Duration::from_millis(300));
        assert!(!connects("ip netns exec lan", &g4(1).to_string(), 8000), "the LAN to a guest");
        assert!(!connects("ip netns exec inet", &g4(1).to_string(), 8000));
        turn_into(&mut kernel, &mut held, guest_world(&joined, [&one])).await;
        assert!(hears(2, "10.99.0.2", 80).1 || hears(2, "10.99.0.2", 80).0 == "portal");
        assert!(!pings(2, "10.99.0.2"));
        // What is not ours is as if we were not there.
        assert!(connects("ip netns exec lan", "10.99.0.1", 22) && connects("ip netns exec inet", "192.0.2.10", 22));
        assert!(connects("", "10.99.0.2", 80) && connects("", WEB, 80));
        assert!(succeeds(&format!("ping -c1 -W1 {other}")), "the gateway's own pings to a guest");
    });
}

#[test]
fn the_garden_is_open_as_long_as_its_elements() {
    in_namespaces("guest_packets::the_garden_is_open_as_long_as_its_elements", async |host| {
        let mut kernel = host.open().await;
        let mut held = lay(&mut kernel, &hotspot(), &[]).await;
        let soon = Expiry::At(now_ms() + 3_000);
        let garden = |address: &str, port| Item::Garden(address.parse().unwrap(), port, soon);
        let elements = [garden(WEB, 443), garden(WEB_V6, 443), garden(WEB, 80)];
        for item in &elements {
            held.put(item.clone());
        }
        put(&mut kernel, &elements.map(Change::Add)).await;
        assert_eq!((hears(1, WEB, 443).0.as_str(), hears(1, WEB_V6, 443).0.as_str()), ("hello", "hello"));
        assert_eq!((hears(1, WEB, 80).0.as_str(), hears(1, WEB_V6, 80).0.as_str()), ("hello", "portal"));
        assert!(!pings(1, WEB) && hears(1, WEB, 22).1, "nothing else of it");
        tokio::time::sleep(Duration::from_millis(3_000)).await;
        assert!(hears(1, WEB, 443).1 && hears(1, WEB_V6, 443).1);
        assert_eq!(hears(1, WEB, 80).0, "portal");
        // The time is told often enough for a clock, too seldom for anything else; each device has its own measure.
        let often = |n| {
            let ask = format!("head -c48 /dev/zero | socat -t0.3 - UDP4:{WEB}:123; echo");
            let told = sh(&at(n, &format!("sh -c 'for i in $(seq 20); do {ask}; done 2>/dev/null' | grep -c 0000")));
            told.trim().parse::<u32>().unwrap()
        };
        for n in [1, 2] {
            let told = often(n);
            assert!((8..=13).contains(&told), "{told} of 20");
        }
    });
}

#[test]
fn passing_and_blocked_devices() {
    in_namespaces("guest_packets::passing_and_blocked_devices", async |host| {
        let mut kernel = host.open().await;
        let lists = Hotspot { allowed: vec![mac(1)], blocked: vec![mac(2)], ..hotspot() };
        let mut held = lay(&mut kernel, &hotspot(), &[&grant(2)]).await;
        assert_online(2);
        turn_into(&mut kernel, &mut held, guest_world(&lists, [&grant(2)])).await;
        assert_online(1);
        assert!(!pings(2, WEB) && !pings(2, WEB_V6) && !pings(2, GATEWAY), "blocked, though it is online");
        assert_eq!(asks(2, GATEWAY, 53, 30), "");
        // Another's address it does not get.
        sh(&at(1, "ip addr add 203.0.113.9/32 dev eth0"));
        assert!(!succeeds(&at(1, &format!("ping -c2 -i0.2 -W1 -I 203.0.113.9 {WEB}"))));
        turn_into(&mut kernel, &mut held, guest_world(&hotspot(), [&grant(2)])).await;
        assert!(pings(2, WEB));
        assert!(!pings(1, WEB) && hears(1, WEB, 80).0 == "portal");
    });
}

#[test]
fn it_is_known_when_a_guest_was_last_seen() {
    in_namespaces("guest_packets::it_is_known_when_a_guest_was_last_seen", async |host| {
        let mut kernel = host.open().await;
        lay(&mut kernel, &hotspot(), &[&grant(1)]).await;
        assert!(kernel.observe(Scope::Guests).await.unwrap().stats.seen.is_empty());
        assert!(pings(1, WEB) && pings(1, WEB_V6) && !pings(2, WEB));
        let idle = async |kernel: &mut Linux, address| {
            kernel.observe(Scope::Guests).await.unwrap().stats.seen.get(&address).copied()
        };
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let before = idle(&mut kernel, g4(1)).await.unwrap();
        assert!((2_400..4_500).contains(&before), "{before} ms");
        assert!(idle(&mut kernel, g6(1)).await.is_some());
        assert!(idle(&mut kernel, g4(2)).await.is_none(), "captive devices are not remembered");
        assert!(pings(1, WEB));
        let after = idle(&mut kernel, g4(1)).await.unwrap();
        assert!(after < 1_000, "{after} ms");
        assert!(observe(&mut kernel).await.items.0.contains_key(&Key::Device(g4(1), mac(1))));
        assert!(items_of(&grant(1), &hotspot()).iter().any(|item| item.key() == Key::Granted(g4(1))));
    });
}
