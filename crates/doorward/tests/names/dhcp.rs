//! Leases by real clients, and what becomes of dnsmasq when one of the two is gone.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV6},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use doorward::{dhcp, hosts::Hosts};
use doorward_policy::guest::Mac;
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{sync::watch, task::JoinHandle};

use crate::world::{eventually, guest, in_namespaces, plug_in, record, run};

/// A dead server is back, and a lease is seen, within this.
const SOON: Duration = Duration::from_secs(2);

/// Starting a process on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

const URI: &str = "https://login.guest.internal/captive";

struct Rig {
    dir: tempfile::TempDir,
    hosts: Hosts,
    hotspots: watch::Sender<std::sync::Arc<Vec<doorward::app::HotspotRecord>>>,
    task: Option<JoinHandle<()>>,
}

impl Rig {
    fn new() -> Self {
        let (hotspots, _) = watch::channel(record(|_, _| {}));
        Self { dir: tempfile::tempdir().unwrap(), hosts: Hosts::default(), hotspots, task: None }
    }

    fn start(&mut self) {
        let options = dhcp::Options { state_dir: self.dir.path().to_owned(), api_path: "/captive" };
        self.task = Some(dhcp::spawn(options, self.hotspots.subscribe(), self.hosts.clone()));
    }

    /// As the gateway's end does, however it comes.
    async fn stop(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        drop(task.await);
    }

    async fn server(&self) -> i32 {
        self.another(0).await
    }

    async fn another(&self, before: i32) -> i32 {
        eventually("one dnsmasq", STARTS_WITHIN, || match servers(self.dir.path()).as_slice() {
            [one] if *one != before => Some(*one),
            _ => None,
        })
        .await
    }
}

/// Processes of the DHCP server.
fn servers(dir: &Path) -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&format!("--conf-file={}/dhcp/", dir.display()))
    })
    .collect()
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// What a real client was given, by the names that it has for it.
async fn lease(dir: &Path, name: &'static str) -> BTreeMap<String, String> {
    let (script, out) = (dir.join("script"), dir.join("lease"));
    fs::write(&script, format!("#!/bin/sh\n[ \"$1\" = bound ] && env > {}\nexit 0\n", out.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    drop(fs::remove_file(&out));
    let line = format!(
        "ip netns exec guest udhcpc -i eth0 -f -q -n -t 10 -T 1 -s {} -O 114 -x hostname:{name}",
        script.display()
    );
    tokio::task::spawn_blocking(move || run(&line)).await.unwrap();
    let text = fs::read_to_string(out).unwrap();
    text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn a_guest_gets_its_lease_and_its_name_is_known() {
    in_namespaces("dhcp::a_guest_gets_its_lease_and_its_name_is_known", async {
        let mut rig = Rig::new();
        // The server is there before the interface has its address.
        rig.start();
        rig.server().await;
        plug_in();

        let given = lease(rig.dir.path(), "phone").await;
        let address: Ipv4Addr = given["ip"].parse().unwrap();
        assert!((2..=254).contains(&address.octets()[3]) && address.octets()[..3] == [10, 30, 0], "{address}");
        let hex: String = URI.bytes().map(|b| format!("{b:02x}")).collect();
        for (key, value) in [
            ("subnet", "255.255.255.0"),
            ("router", "10.30.0.1"),
            ("dns", "10.30.0.1"),
            ("lease", "3600"),
            ("opt114", hex.as_str()),
        ] {
            assert_eq!(given.get(key).map(String::as_str), Some(value), "{key}");
        }
        let seen = eventually("the lease is read", SOON, || rig.hosts.lease(address)).await;
        assert_eq!((seen.mac, seen.host_name.as_str()), (Mac([2, 0, 0, 0, 0, 1]), "phone"));

        // Another of the same make.
        for line in ["link set eth0 down", "link set eth0 address 02:00:00:00:00:02", "link set eth0 up"] {
            run(&format!("ip -n guest {line}"));
        }
        let other: Ipv4Addr = lease(rig.dir.path(), "phone").await["ip"].parse().unwrap();
        assert_ne!(other, address);
        let seen = eventually("the other lease is read", SOON, || rig.hosts.lease(other)).await;
        assert_eq!((seen.mac, seen.host_name.as_str()), (Mac([2, 0, 0, 0, 0, 2]), "phone"));
        assert_eq!(rig.hosts.lease(address).unwrap().host_name, "phone", "it keeps its name");
    });
}

#[test]
fn ipv6_is_advertised_with_resolver_and_portal() {
    in_namespaces("dhcp::ipv6_is_advertised_with_resolver_and_portal", async {
        let mut rig = Rig::new();
        rig.start();
        plug_in();
        rig.server().await;
        let options = guest(advertised).await;
        assert_eq!(options.prefix, Some(("fd30::".parse().unwrap(), 64)));
        assert_eq!(options.resolvers, ["fd30::1".parse::<Ipv6Addr>().unwrap()]);
        eventually("an address of the guest's own", STARTS_WITHIN, || {
            run("ip -n guest -6 addr show dev eth0 scope global").contains("inet6 fd30:").then_some(())
        })
        .await;

        let (config, script, out) = ["dhclient.conf", "script6", "given6"].map(|name| rig.dir.path().join(name)).into();
        let option = "option dhcp6.captive-portal code 103 = text;\nalso request dhcp6.captive-portal;\n";
        fs::write(&config, option).unwrap();
        fs::write(&script, format!("#!/bin/sh\nenv >> {}\nexit 0\n", out.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        let line = format!(
            "ip netns exec guest timeout 20 dhclient -6 -S -1 -cf {} -sf {} -pf /run/dhclient.pid -lf /run/dhclient.leases \
             eth0",
            config.display(),
            script.display()
        );
        tokio::task::spawn_blocking(move || run(&line)).await.unwrap();
        let given = fs::read_to_string(&out).unwrap();
        assert!(given.lines().any(|line| line == "new_dhcp6_name_servers=fd30::1"), "{given}");
        assert!(given.lines().any(|line| line == format!("new_dhcp6_captive_portal={URI}")), "{given}");
    });
}

#[test]
fn it_outlives_the_gateway_and_comes_back_when_it_dies() {
    in_namespaces("dhcp::it_outlives_the_gateway_and_comes_back_when_it_dies", async {
        let mut rig = Rig::new();
        plug_in();
        rig.start();
        let first = rig.server().await;
        let address = lease(rig.dir.path(), "phone").await["ip"].clone();

        // The gateway ends and comes back.
        rig.stop().await;
        assert_eq!(servers(rig.dir.path()), [first], "it goes on alone");
        assert_eq!(lease(rig.dir.path(), "phone").await["ip"], address, "and lends");
        rig.start();
        let lent: Ipv4Addr = address.parse().unwrap();
        eventually("leases are read again", SOON, || rig.hosts.lease(lent)).await;
        assert_eq!(servers(rig.dir.path()), [first], "it was adopted");

        // It dies, as a child of ours and as an adopted one.
        let mut dead = first;
        for _ in 0..2 {
            let start = Instant::now();
            kill(dead);
            let alive = rig.another(dead).await;
            assert!(start.elapsed() < SOON);
            assert_eq!(lease(rig.dir.path(), "phone").await["ip"], address, "leases are kept");
            dead = alive;
        }

        // Other settings, another process; the same settings again change nothing.
        let before = rig.server().await;
        rig.hotspots.send(record(|_, settings| settings.lease_s = 600)).unwrap();
        let now = rig.another(before).await;
        rig.hotspots.send(record(|_, settings| settings.lease_s = 600)).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(servers(rig.dir.path()), [now]);
        assert_eq!(lease(rig.dir.path(), "phone").await["lease"], "600");

        // Settings change while the gateway is away.
        rig.stop().await;
        rig.hotspots.send_replace(record(|_, settings| settings.lease_s = 900));
        rig.start();
        rig.another(now).await;

        // No hotspot, no server; another program's dnsmasq is not ours.
        let mut foreign = std::process::Command::new("/usr/sbin/dnsmasq")
            .args(["-k", "--port=0", "--conf-file=/dev/null", "--pid-file"])
            .spawn()
            .unwrap();
        rig.hotspots.send_replace(std::sync::Arc::default());
        eventually("none", STARTS_WITHIN, || servers(rig.dir.path()).is_empty().then_some(())).await;
        rig.hotspots.send_replace(record(|_, _| {}));
        rig.server().await;
        rig.stop().await;
        dhcp::end(rig.dir.path()).await.unwrap();
        assert!(servers(rig.dir.path()).is_empty());
        assert!(foreign.try_wait().unwrap().is_none(), "the other goes on");
        dhcp::end(rig.dir.path()).await.unwrap();
    });
}

#[derive(Debug, Default)]
struct Advertised {
    prefix: Option<(Ipv6Addr, u8)>,
    resolvers: Vec<Ipv6Addr>,
}

/// Asks for a router advertisement and reads it (RFC 4861, section 4.2; RFC 8106).
fn advertised() -> Advertised {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).unwrap();
    socket.set_multicast_hops_v6(255).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let index: u32 = run("ip -o link show eth0").split(':').next().unwrap().trim().parse().unwrap();
    let routers = SocketAddrV6::new("ff02::2".parse().unwrap(), 0, 0, index);
    for _ in 0..10 {
        drop(socket.send_to(&[133, 0, 0, 0, 0, 0, 0, 0], &routers.into()));
        let mut buffer = [0; 1_500];
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            let Ok(length) = (&socket).read(&mut buffer) else { break };
            if buffer[0] == 134 {
                return parse(&buffer[16..length]);
            }
        }
    }
    panic!("no router advertisement");
}

fn parse(mut options: &[u8]) -> Advertised {
    let mut found = Advertised::default();
    while let [kind, units, ..] = options {
        let (option, rest) = options.split_at(usize::from(*units) * 8);
        let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&option[at..at + 16]).unwrap());
        match kind {
            3 => found.prefix = Some((address(16), option[2])),
            25 => found.resolvers = (8..option.len()).step_by(16).map(address).collect(),
            _ => {}
        }
        options = rest;
    }
    found
}
