//! Tunnels with real clients (Debian's wireguard-go), as root. Each test runs in network, mount and process
//! namespaces of its own, which take everything with them when the test ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "tunnel/lab.rs"]
mod lab;

use std::time::{Duration, Instant};

use doorward_kernel::tunnel::{Backend, PeerChange};
use lab::{Gateway, in_namespaces, sh, succeeds, until};

#[test]
fn a_client_gets_through_and_is_cut() {
    in_namespaces("a_client_gets_through_and_is_cut", async {
        let mut gateway = Gateway::start().await;
        let client = gateway.add_client(2).await;
        assert!(client.reaches_gateway(), "handshake and ping");

        let reading = gateway.read().await;
        let (_, spec, stats) = &reading.peers[0];
        assert_eq!(*spec, client.spec());
        assert!(stats.latest_handshake_s > 0 && stats.rx_bytes > 0 && stats.tx_bytes > 0 && stats.endpoint.is_some());

        gateway.change(PeerChange::Remove(client.public_key)).await;
        assert!(!client.reaches_gateway(), "a removed peer is cut at once");
        assert!(gateway.read().await.peers.is_empty());
    });
}

#[test]
fn changes_keep_session_and_counters() {
    in_namespaces("changes_keep_session_and_counters", async {
        let mut gateway = Gateway::start().await;
        let client = gateway.add_client(2).await;
        assert!(client.reaches_gateway());
        let before = gateway.read().await.peers.remove(0).2;
        // With the client's listener blocked there can be no new handshake: what passes, passes by the old session.
        let handshakes = client.handshakes();

        gateway.ensure().await;
        let mut wider = client.spec();
        wider.allowed_ips = ["10.9.0.2/32", "10.9.9.9/32"].iter().map(|net| net.parse().unwrap()).collect();
        gateway.change(PeerChange::Put(client.public_key, wider)).await;
        gateway.change(PeerChange::Put(client.public_key, client.spec())).await;
        let conf = std::env::temp_dir().join("dwt.conf");
        for command in ["wg showconf dwt0", "wg set dwt0 peer PEER persistent-keepalive 21", "wg set dwt0 fwmark 7"] {
            let text = sh(&command.replace("PEER", &client.public_key.to_string()));
            std::fs::write(&conf, text).unwrap();
        }
        std::fs::write(&conf, sh("wg showconf dwt0")).unwrap();
        for verb in ["syncconf", "setconf", "addconf"] {
            sh(&format!("wg {verb} dwt0 {}", conf.display()));
        }
        assert!(client.reaches_gateway());

        let after = gateway.read().await.peers.remove(0).2;
        assert_eq!(client.handshakes(), handshakes, "the client made no new session");
        assert_eq!(after.latest_handshake_s / 2, before.latest_handshake_s / 2);
        assert!(after.rx_bytes > before.rx_bytes && after.tx_bytes > before.tx_bytes, "{before:?} {after:?}");
        assert_eq!(after.keepalive_s, 21);
    });
}

#[test]
fn a_killed_process_comes_back_with_its_clients() {
    in_namespaces("a_killed_process_comes_back_with_its_clients", async {
        let mut gateway = Gateway::start().await;
        let client = gateway.add_client(2).await;
        let other = gateway.add_client(3).await;
        assert!(client.reaches_gateway() && other.reaches_gateway());
        sh("ip addr add 10.7.7.7/32 dev dwt0");
        // Nobody reads the tunnel; what it tells by itself within a second is enough.
        tokio::time::sleep(Duration::from_millis(1_200)).await;

        let killed = Instant::now();
        sh(&format!("kill -9 {}", gateway.pid()));
        let name = tokio::time::timeout(Duration::from_secs(1), gateway.tunnels.ended()).await.expect("is reported");
        assert_eq!(name.as_str(), "dwt0");
        assert!(gateway.tunnels.read(name).await.unwrap().is_none());
        gateway.ensure().await;
        for client in [&client, &other] {
            gateway.change(PeerChange::Put(client.public_key, client.spec())).await;
        }
        for client in [&client, &other] {
            assert!(until(Duration::from_secs(2), || client.answers_one_ping()), "back within two seconds");
        }
        eprintln!("both back after {:?}", killed.elapsed());
        assert!(sh("ip addr show dwt0").contains("10.7.7.7"), "addresses stay");
    });
}

#[test]
fn a_process_outlives_the_gateway_and_is_found_again() {
    in_namespaces("a_process_outlives_the_gateway_and_is_found_again", async {
        let mut gateway = Gateway::start().await;
        let client = gateway.add_client(2).await;
        assert!(client.reaches_gateway());
        let (pid, handshakes) = (gateway.pid(), client.handshakes());

        gateway.restart();
        gateway.ensure().await;
        assert_eq!(gateway.pid(), pid);
        assert!(client.reaches_gateway());
        assert_eq!(client.handshakes(), handshakes);
        sh(&format!("kill -9 {pid}"));
        assert_eq!(gateway.tunnels.ended().await.as_str(), "dwt0", "an adopted process is watched too");

        gateway.ensure().await;
        let name = gateway.name;
        gateway.tunnels.remove(name).await.unwrap();
        assert!(!succeeds("ip link show dwt0"));
        assert!(!succeeds("ls /run/wireguard/dwt0.sock"));
        assert!(!succeeds("pgrep -x tunnel"), "the process is gone");
        gateway.tunnels.remove(name).await.expect("twice is once");
        let more = tokio::time::timeout(Duration::from_millis(200), gateway.tunnels.ended()).await;
        assert!(more.is_err(), "an end that we made is no news");
    });
}

#[test]
fn what_is_not_ours_stays() {
    in_namespaces("what_is_not_ours_stays", async {
        let mut gateway = Gateway::new();
        sh("ip tuntap add dwt0 mode tun");
        let name = gateway.name;
        let error = gateway.tunnels.ensure(name, &gateway.spec).await.unwrap_err();
        assert!(error.to_string().contains("not a tunnel of Doorward's"), "{error}");
        assert!(gateway.tunnels.remove(name).await.is_err());
        assert!(succeeds("ip link show dwt0"));
        assert!(gateway.tunnels.read(name).await.unwrap().is_none());
    });
}

#[test]
fn the_process_ends_with_its_device() {
    in_namespaces("the_process_ends_with_its_device", async {
        let mut gateway = Gateway::start().await;
        let client = gateway.add_client(2).await;
        assert!(client.reaches_gateway());
        sh("ip link del dwt0");
        tokio::time::timeout(Duration::from_secs(1), gateway.tunnels.ended()).await.expect("ends promptly");
        gateway.ensure().await;
        assert!(gateway.read().await.peers.is_empty());
    });
}

#[test]
fn a_taken_port_is_said_and_the_old_one_kept() {
    in_namespaces("a_taken_port_is_said_and_the_old_one_kept", async {
        let mut gateway = Gateway::start().await;
        let client = gateway.add_client(2).await;
        assert!(client.reaches_gateway());
        let _holder = std::net::UdpSocket::bind("[::]:4444").unwrap();
        let mut spec = gateway.spec.clone();
        spec.listen_port = 4444;
        let error = gateway.tunnels.ensure(gateway.name, &spec).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("Address already in use"), "{error}: {cause}");
        assert_eq!(gateway.read().await.listen_port, gateway.spec.listen_port);
        assert!(client.reaches_gateway());
    });
}

#[test]
fn the_socket_is_roots_alone_and_speaks_with_wg() {
    in_namespaces("the_socket_is_roots_alone_and_speaks_with_wg", async {
        let mut gateway = Gateway::start().await;
        assert_eq!(sh("stat -c %a /run/wireguard/dwt0.sock").trim(), "600");
        let keys = sh("wg show dwt0 private-key");
        assert_eq!(keys.trim(), gateway.spec.private_key.expose_base64());
        let peer = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
        sh(&format!("wg set dwt0 peer {peer} endpoint 192.0.2.77:9 allowed-ips 10.9.0.7/32,fd00::7/128"));
        assert_eq!(sh("wg show dwt0 endpoints").trim(), format!("{peer}\t192.0.2.77:9"));
        let moved = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";
        sh(&format!("wg set dwt0 peer {moved} allowed-ips fd00::7/128"));
        let nets = sh("wg show dwt0 allowed-ips");
        assert!(
            nets.contains(&format!("{peer}\t10.9.0.7/32\n")) && nets.contains(&format!("{moved}\tfd00::7/128")),
            "{nets}"
        );
        sh(&format!("wg set dwt0 peer {peer} remove"));
        assert_eq!(gateway.read().await.peers.len(), 1);
    });
}

/// Numbers on stderr; the bounds are wide, for they hold on a busy machine and without optimisation.
#[test]
fn ten_thousand_peers() {
    in_namespaces("ten_thousand_peers", async {
        let mut gateway = Gateway::start().await;
        let client = gateway.add_client(2).await;
        assert!(client.reaches_gateway());
        let name = gateway.name;
        let memory = || -> u64 {
            let status = sh("grep VmRSS /proc/$(pgrep -x tunnel)/status");
            status.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let (handshakes, memory_before) = (client.handshakes(), memory());
        let puts: Vec<PeerChange> = (0..10_000_u32).map(lab::numbered_peer).collect();
        let mut took = Vec::new();
        let mut measure = |what: &'static str, since: Instant| took.push((what, since.elapsed()));

        let since = Instant::now();
        assert!(gateway.tunnels.change_peers(name, &puts).await.iter().all(Result::is_ok));
        measure("add 10,000", since);
        let per_peer = (memory() - memory_before) * 1024 / 10_000;
        let since = Instant::now();
        assert_eq!(gateway.read().await.peers.len(), 10_001);
        measure("get", since);
        let since = Instant::now();
        assert!(gateway.tunnels.change_peers(name, &puts).await.iter().all(Result::is_ok));
        measure("the same again", since);
        let since = Instant::now();
        for number in 20_000..20_100 {
            gateway.change(lab::numbered_peer(number)).await;
        }
        measure("add 100 one by one", since);
        let since = Instant::now();
        for number in 0..100 {
            let PeerChange::Put(key, mut spec) = lab::numbered_peer(number) else { unreachable!() };
            spec.allowed_ips = Box::new([format!("10.250.0.{number}/32").parse().unwrap()]);
            gateway.change(PeerChange::Put(key, spec)).await;
        }
        measure("modify 100 one by one", since);
        let removes: Vec<_> = puts[..1000].iter().map(lab::removal).collect();
        let since = Instant::now();
        assert!(gateway.tunnels.change_peers(name, &removes).await.iter().all(Result::is_ok));
        measure("remove 1,000", since);
        assert!(client.reaches_gateway());
        assert_eq!(client.handshakes(), handshakes);
        eprintln!("{per_peer} bytes a peer; {took:?}");
        assert!(per_peer < 30_000);
        assert!(took.iter().all(|(_, time)| *time < Duration::from_secs(30)));
    });
}

#[test]
fn a_process_that_hangs_is_replaced() {
    in_namespaces("a_process_that_hangs_is_replaced", async {
        let mut gateway = Gateway::start().await;
        let pid = gateway.pid();
        sh(&format!("kill -STOP {pid}"));
        assert!(gateway.tunnels.read(gateway.name).await.unwrap().is_none(), "no answer is no tunnel");
        gateway.ensure().await;
        assert_ne!(gateway.pid(), pid);
        assert!(gateway.add_client(2).await.reaches_gateway());
    });
}

#[test]
fn a_process_that_is_asked_to_end_leaves_nothing() {
    in_namespaces("a_process_that_is_asked_to_end_leaves_nothing", async {
        let mut gateway = Gateway::start().await;
        sh(&format!("kill {}", gateway.pid()));
        tokio::time::timeout(Duration::from_secs(1), gateway.tunnels.ended()).await.expect("ends promptly");
        assert!(succeeds("ip link show dwt0"), "the device is the gateway's");
        assert_eq!(sh("ls -A /run/wireguard"), "dwt0.log\n");
        assert!(!sh("cat /run/wireguard/dwt0.log").contains(&gateway.spec.private_key.expose_base64()));
    });
}

#[test]
fn a_second_process_for_a_device_gives_way() {
    in_namespaces("a_second_process_for_a_device_gives_way", async {
        let mut gateway = Gateway::start().await;
        let client = gateway.add_client(2).await;
        let second = format!("timeout 5 {} tunnel dwt0", lab::program().display());
        assert!(!succeeds(&second));
        assert!(!succeeds(&second.replace("dwt0", "dwt1")), "nor does it make a device");
        assert!(client.reaches_gateway());
        assert_eq!(gateway.read().await.peers.len(), 1);
    });
}

/// What comes over the socket ends no process.
#[test]
fn noise_on_the_socket_is_survived() {
    use std::{io::Write as _, os::unix::net::UnixStream};
    in_namespaces("noise_on_the_socket_is_survived", async {
        let mut gateway = Gateway::start().await;
        let pid = gateway.pid();
        let key = "ab".repeat(32);
        let whole = format!(
            "set=1\npublic_key={key}\nreplace_allowed_ips=true\nallowed_ip=10.9.0.5/32\nendpoint=192.0.2.9:1\n\n\
             get=1\n\ndoorward_watch=1\n\n"
        );
        let mut random = 88_172_645_463_325_252_u64;
        let mut next = move |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
        };
        for _ in 0..2_000 {
            let mut bytes = whole.clone().into_bytes();
            for _ in 0..next(4) {
                let at = next(bytes.len());
                bytes[at] = u8::try_from(next(256)).unwrap();
            }
            bytes.truncate(next(bytes.len()) + 1);
            let mut stream = UnixStream::connect("/run/wireguard/dwt0.sock").unwrap();
            // It may hang up in the middle.
            let _ = stream.write_all(&bytes);
        }
        assert_eq!(gateway.pid(), pid);
        assert!(gateway.add_client(2).await.reaches_gateway());
    });
}

/// `systemctl` is a script that does what the unit says.
#[test]
fn systemd_runs_the_processes() {
    in_namespaces("systemd_runs_the_processes", async {
        let mut gateway = Gateway::with_systemd();
        gateway.ensure().await;
        assert!(!succeeds("ls /run/wireguard/dwt0.log"), "its log is the journal's");
        assert!(gateway.add_client(2).await.reaches_gateway());
        let name = gateway.name;
        gateway.tunnels.remove(name).await.unwrap();
        assert_eq!(
            sh("cat /run/systemctl.log"),
            "--no-ask-password reset-failed doorward-tunnel@dwt0.service\n\
             --no-ask-password restart doorward-tunnel@dwt0.service\n\
             --no-ask-password stop doorward-tunnel@dwt0.service\n"
        );
        assert!(!succeeds("pgrep -x -r R,S,D,T tunnel"));
    });
}

/// `wg`'s folder is shared: another program's tunnel may have our interface's name in another network.
#[test]
fn another_programs_process_is_left_alone() {
    in_namespaces("another_programs_process_is_left_alone", async {
        let mut gateway = Gateway::new();
        sh("ip netns add dwtother && ip netns exec dwtother wireguard-go dwt0 >/dev/null 2>&1");
        let pid = sh("pgrep -x wireguard-go");
        let name = gateway.name;
        let error = gateway.tunnels.ensure(name, &gateway.spec).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("not a tunnel of this gateway"), "{error}: {cause}");
        assert!(gateway.tunnels.read(name).await.unwrap().is_none());
        gateway.tunnels.remove(name).await.unwrap();
        assert!(!succeeds("ip link show dwt0"), "our device goes");
        assert_eq!(sh("pgrep -x wireguard-go"), pid);
        sh("ip netns exec dwtother wg show dwt0");
    });
}

#[test]
fn large_packets_pass_where_the_mtu_allows() {
    in_namespaces("large_packets_pass_where_the_mtu_allows", async {
        let mut gateway = Gateway::start().await;
        let client = gateway.add_client(2).await;
        assert!(client.reaches_gateway());
        sh("ip link set dwt0 mtu 9000 && ip link set dwtv2 mtu 9100");
        sh("ip netns exec dwtc2 sh -c 'ip link set eth0 mtu 9100; ip link set dwtw2 mtu 9000'");
        // The tunnel process looks at the MTU once a second.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        sh("ping -M do -s 8900 -c 2 -W 1 10.9.0.2");
        sh("ip netns exec dwtc2 ping -M do -s 8900 -c 2 -W 1 10.9.0.1");
    });
}

/// Runs where the kernel has the module. Elsewhere what is asked for as "auto" is found to be a process.
#[test]
fn the_kernels_own_wireguard() {
    in_namespaces("the_kernels_own_wireguard", async {
        if !succeeds("ip link add dwtprobe type wireguard && ip link del dwtprobe") {
            eprintln!("SKIPPED: this kernel has no WireGuard module");
            let mut gateway = Gateway::with_backend(Backend::Auto);
            gateway.ensure().await;
            assert!(succeeds("pgrep -x tunnel"));
            let mut gateway = Gateway::with_backend(Backend::Kernel);
            assert!(gateway.tunnels.ensure(gateway.name, &gateway.spec).await.is_err());
            return;
        }
        let mut gateway = Gateway::with_backend(Backend::Auto);
        gateway.ensure().await;
        assert!(!succeeds("pgrep -x tunnel"));
        let client = gateway.add_client(2).await;
        assert!(client.reaches_gateway());
        let handshakes = client.handshakes();
        gateway.ensure().await;
        gateway.change(PeerChange::Put(client.public_key, client.spec())).await;
        assert!(client.reaches_gateway());
        assert_eq!(client.handshakes(), handshakes, "the session goes on");
        let (_, spec, stats) = gateway.read().await.peers.remove(0);
        assert_eq!(spec, client.spec());
        assert!(stats.rx_bytes > 0 && stats.latest_handshake_s > 0);
        gateway.change(PeerChange::Remove(client.public_key)).await;
        assert!(!client.reaches_gateway());
        gateway.tunnels.remove(gateway.name).await.unwrap();
        assert!(!succeeds("ip link show dwt0"));
        gateway.tunnels.remove(gateway.name).await.expect("twice is once");
        sh("ip link add dwt0 type wireguard");
        assert!(gateway.tunnels.ensure(gateway.name, &gateway.spec).await.is_err(), "not ours");
    });
}
