//! The cloud endpoint: a caller, a relay and a gateway, each a host of its own.

use std::{
    fs,
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    cloud::{Cloud, DOMAIN, FIRST_WITHIN, RELAY, name_of},
    host::eventually,
};

/// What the requirement says of a restart and of a cut line.
const HEALS_WITHIN: Duration = Duration::from_secs(5);
/// A revocation by command, until the line is gone.
const REVOKED_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn a_caller_outside_makes_a_voucher_and_the_rest_is_refused_at_the_relay() {
    let cloud = Cloud::new();
    assert_eq!(cloud.status()["state"], "not enrolled");
    let name = cloud.enrol();
    let made = json!({ "api-key": cloud.key, "action": "create_voucher", "username": "cloudy", "valid_for": "1 day" });
    let (status, body) = cloud.post(&name, "/api/", &made.to_string());
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &answer["message"], &answer["error"]), (200, &json!("User added successfully"), &json!(false)));
    assert!(cloud.gateway.doorward("voucher list --search cloudy").contains("cloudy"), "it is at the gateway");
    let list = cloud.body("get_voucher_users");
    assert!(cloud.post(&name, "/api", &list).1.contains("cloudy"), "with and without a slash");
    let status = cloud.status();
    assert_eq!(status["state"], "connected");
    assert!(status["latency_us"].as_u64().is_some_and(|us| us > 0) && status["seen_ms"].is_number(), "{status}");
    assert!(cloud.on_relay("list").contains(&name));

    // What is refused at the relay does not reach the gateway: its line carries pings alone.
    let refused = json!({ "message": "API Key not set or method not allowed", "error": true });
    let query = format!("/api/?api-key={}&action=get_voucher_users", cloud.key);
    for options in [&[][..], &["-X", "PUT"], &["-X", "DELETE"]] {
        let (status, body) = cloud.curl(&name, &query, options);
        assert_eq!(
            (status, serde_json::from_str::<Value>(&body).expect("JSON")),
            (405, refused.clone()),
            "{options:?}"
        );
    }
    let without_key = json!({ "action": "get_voucher_users" }).to_string();
    let (status, body) = cloud.post(&name, &query, &without_key);
    assert_eq!((status, serde_json::from_str::<Value>(&body).expect("JSON")), (200, refused), "a key in the query");
    for path in ["/", "/api/x", "/api//", "/login", "/api/v1/system/status", "/healthz", "/apis"] {
        assert_eq!(cloud.post(&name, path, &list), (404, String::new()), "{path}");
        assert_eq!(cloud.curl(&name, path, &[]), (404, String::new()), "{path}");
    }
    for wrong in ["0123456789", "relay", "www", "0123456789abc"] {
        assert_eq!(cloud.post(wrong, "/api/", &list), (404, String::new()), "{wrong}");
    }
    let big = format!("@{}", big_file(cloud.dir.path()).display());
    let (status, body) = cloud.post(&name, "/api/", &big);
    assert!(status == 413 && body.contains("An error occurred"), "{status} {body}");
    let (status, _) = cloud.curl(&name, "/api/", &["-H", "Transfer-Encoding: chunked", "--data-binary", &big]);
    assert_eq!(status, 413, "without a length");
    slow_ones_end(&cloud, &name);
    assert!(
        cloud.caller.try_run(&format!("curl -s --max-time 3 http://{RELAY}/")).status.code() == Some(7),
        "no port 80"
    );
    let direct = format!("curl -sk --max-time 3 https://{}:8443/api/", crate::world::GATEWAY);
    assert_eq!(cloud.caller.try_run(&direct).status.code(), Some(28), "nothing comes in at the gateway");
    cloud.reaches(&name, HEALS_WITHIN);

    let (relay, gateway) = (cloud.relay_log(), cloud.gateway.log());
    assert!(relay.contains("the relay listens") && gateway.contains("connected to the relay"), "logs were read");
    for text in [&relay, &gateway] {
        assert!(!text.contains(&cloud.key) && !text.contains("cloudy"), "{text}");
    }
    for file in fs::read_dir(cloud.dir.path().join("relay")).expect("the relay's folder") {
        let bytes = fs::read(file.expect("a file").path()).expect("a file");
        assert!(!String::from_utf8_lossy(&bytes).contains(&cloud.key));
    }

    cloud.gateway.doorward("cloud off");
    eventually("off is off", REVOKED_WITHIN, || cloud.post(&name, "/api/", &list) == (404, String::new()));
    assert_eq!(cloud.status()["state"], "off");
    cloud.gateway.doorward("cloud on");
    cloud.reaches(&name, FIRST_WITHIN);
    cloud.gateway.doorward("hotspot-api off");
    assert!(cloud.post(&name, "/api/", &list).1.contains("API is not enabled"));
    cloud.gateway.doorward("hotspot-api on --get");
    assert!(cloud.post(&name, "/api/", &list).1.contains("method not allowed"), "the switch of POST counts here too");
}

/// A head and a body that never come whole, while others are served.
fn slow_ones_end(cloud: &Cloud, name: &str) {
    let mut slow: Vec<_> = (0..20).map(|_| cloud.raw(name)).collect();
    let host = format!("{name}.{DOMAIN}");
    for (n, stream) in slow.iter_mut().enumerate() {
        let head = format!("POST /api/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n");
        let rest = if n % 2 == 0 { "X-Slow: yes" } else { "\r\n{\"api-key\":" };
        stream.write_all(format!("{head}{rest}").as_bytes()).expect("the relay reads");
        stream.flush().expect("the relay reads");
    }
    let begun = Instant::now();
    assert_eq!(cloud.post(name, "/api/", &cloud.body("get_voucher_users")).0, 200, "others are served meanwhile");
    for (n, stream) in slow.iter_mut().enumerate() {
        let mut answer = Vec::new();
        // However it ends: with or without an answer, with or without a word of TLS.
        drop(stream.read_to_end(&mut answer));
        let text = String::from_utf8_lossy(&answer);
        let good =
            if n % 2 == 0 { text.is_empty() || text.starts_with("HTTP/1.1 408") } else { text.contains(" 408 ") };
        assert!(good, "{n}: {text}");
    }
    assert!(begun.elapsed() < Duration::from_secs(19), "the relay ended them: {:?}", begun.elapsed());
}

fn big_file(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("big");
    fs::write(&path, "x".repeat(64 * 1024 + 1)).expect("a file");
    path
}

#[test]
fn a_line_heals_after_restarts_and_cuts() {
    let mut cloud = Cloud::new();
    let name = cloud.enrol();
    for round in 0..3 {
        cloud.kill();
        std::thread::sleep(Duration::from_secs(round * 2));
        cloud.start();
        eprintln!("relay restarted: {:?}", cloud.reaches(&name, HEALS_WITHIN));
    }
    for down in [1, 4, 8] {
        cloud.relay.run("ip link set eth0 down");
        std::thread::sleep(Duration::from_secs(down));
        cloud.relay.run("ip link set eth0 up");
        cloud.relay.run("ip route add 192.0.2.254 dev eth0");
        cloud.relay.run("ip route add default via 192.0.2.254");
        eprintln!("link down for {down} s: {:?}", cloud.reaches(&name, HEALS_WITHIN));
    }
    // Nobody is told: packets of both ways vanish.
    for down in [2, 5, 10] {
        cloud.world.internet.run("nft add table inet hole");
        cloud.world.internet.run("nft add chain inet hole f { type filter hook forward priority 0 ; policy drop ; }");
        std::thread::sleep(Duration::from_secs(down));
        if down > 4 {
            assert_eq!(cloud.status()["state"], "connecting", "it was noticed");
        }
        cloud.world.internet.run("nft delete table inet hole");
        eprintln!("silent for {down} s: {:?}", cloud.reaches(&name, HEALS_WITHIN));
    }
    // A gateway that is killed comes back to its name; its old line is not in the way.
    cloud.gateway.kill();
    cloud.gateway.run();
    cloud.gateway.converged(Duration::from_secs(10));
    cloud.reaches(&name, HEALS_WITHIN);
}

#[test]
fn what_is_stolen_is_revoked_and_names_are_renewed() {
    let cloud = Cloud::new();
    let token = cloud.token();
    let first = name_of(&cloud.try_enrol(&token).expect("a good token enrols"));
    cloud.reaches(&first, FIRST_WITHIN);
    let again = cloud.try_enrol(&token).expect_err("a token is good once");
    assert!(again.contains("refused"), "{again}");
    assert!(cloud.try_enrol(&"0".repeat(64)).expect_err("a guess").contains("refused"));
    assert!(cloud.try_enrol("short").expect_err("no token").contains("64 hexadecimal"));
    cloud.reaches(&first, FIRST_WITHIN);

    let list = cloud.body("get_voucher_users");
    let second = name_of(cloud.gateway.doorward("cloud rotate").trim());
    assert_ne!(second, first);
    cloud.reaches(&second, FIRST_WITHIN);
    assert_eq!(cloud.post(&first, "/api/", &list), (404, String::new()), "the old name is gone");
    let third = cloud.on_relay(&format!("rotate {second}"));
    cloud.reaches(&third, FIRST_WITHIN);
    assert_eq!(cloud.post(&second, "/api/", &list), (404, String::new()), "the old name is gone");
    assert_eq!(name_of(cloud.status()["endpoint"].as_str().expect("text")), third);

    cloud.on_relay(&format!("revoke {third}"));
    eventually("a revoked gateway is cut off", REVOKED_WITHIN, || cloud.post(&third, "/api/", &list).0 == 404);
    let refused = || cloud.status()["error"].as_str().is_some_and(|error| error.contains("refused"));
    eventually("its credential is refused", HEALS_WITHIN, refused);
    assert_eq!(cloud.post(&third, "/api/", &list).0, 404);

    let fourth = cloud.enrol();
    assert_ne!(fourth, third);
    cloud.gateway.doorward("cloud leave");
    assert_eq!(cloud.status()["state"], "not enrolled");
    eventually("who left is gone", REVOKED_WITHIN, || cloud.post(&fourth, "/api/", &list).0 == 404);
    assert_eq!(cloud.on_relay("list").matches("revoked").count(), 2);
}
