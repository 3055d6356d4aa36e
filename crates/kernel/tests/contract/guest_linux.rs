//! What holds for Linux alone, with guests: what others do to guest networks, and what is left when we go.

use std::time::{Duration, Instant};

use doorward_kernel::{
    Event, Kernel,
    linux::Linux,
    neighbours::{Neighbour, Neighbours},
    nft::NftOwner,
};
use doorward_policy::{
    guest::Grant,
    hotspot::Hotspot,
    item::{Item, Items, Key},
    observed::Scope,
    plan::{Change, plan},
};

use super::{
    cases::{assert_same, converge, observe},
    guest_net::PROMPTLY,
    guest_world::{g4, g6, grant, guest_world, guests, hotspot, items_of, limited, mac},
    linux::{in_namespaces, sh},
};

/// The next drift, if there is one soon.
async fn drift(kernel: &mut Linux) -> Option<String> {
    match tokio::time::timeout(Duration::from_millis(500), kernel.event()).await.ok()? {
        Event::Drifted(what) => Some(what),
        Event::Spent(quotas) => panic!("{quotas:?}"),
    }
}

async fn says(kernel: &mut Linux, what: &str) {
    let said = drift(kernel).await.unwrap_or_else(|| panic!("nothing is told of {what:?}"));
    assert!(said.contains(what), "{said:?} does not say {what:?}");
}

async fn quiet(kernel: &mut Linux) {
    assert_eq!(drift(kernel).await, None);
}

#[test]
fn the_table_with_guests_is_what_nft_understands() {
    in_namespaces("guest_linux::the_table_with_guests_is_what_nft_understands", async |host| {
        let mut kernel = host.open().await;
        let lists = Hotspot {
            allowed: vec![mac(8)],
            blocked: vec![mac(9)],
            lan_access: vec!["10.99.0.0/24".parse().unwrap()],
            ..hotspot()
        };
        converge(&mut kernel, &guest_world(&lists, [&limited(1)])).await;
        let table = sh("nft list table inet doorward");
        for part in [
            "iifname @guests goto guest_out",
            "oifname @guests goto guest_in",
            "ip saddr . ether saddr @device4 goto guest_online",
            "ip6 saddr . ether saddr @device6 goto guest_online",
            "iifname . ether saddr @blocked drop",
            "update @seen4 { ip saddr }",
            "quota name ip saddr map @quota_up4 goto guest_reject",
            "reject with tcp reset",
            "dnat ip to 10.80.0.1:80",
            "dnat ip6 to [fd80::1]:53",
            "ip daddr . tcp dport != @garden4",
            "ip saddr 10.80.0.0/16 oifname @wans masquerade",
            "\"guests\" . 02:00:00:00:00:09",
            "10.80.0.11 . 02:00:00:00:00:01 timeout",
        ] {
            assert!(table.contains(part), "no {part:?} in\n{table}");
        }
    });
}

#[test]
fn addresses_and_ports_are_put_back() {
    in_namespaces("guest_linux::addresses_and_ports_are_put_back", async |host| {
        sh("ip addr add fd80::1/64 dev guests nodad; ip addr add 10.81.0.1/24 dev guests
            bridge link set dev port1 isolated on");
        let before = sh("ip -br addr show dev guests; bridge -d link show");
        let wanted = guest_world(&hotspot(), [&grant(1)]);
        let mut kernel = host.open().await;
        converge(&mut kernel, &wanted).await;
        let held = sh("ip -br addr show dev guests; bridge -d link show");
        assert!(held.contains("10.80.0.1/16") && held.matches("isolated on").count() == 2, "{held}");
        // Another process goes on with what this one noted.
        drop(kernel);
        let mut kernel = host.open().await;
        assert_same(&observe(&mut kernel).await.items, &wanted);
        converge(&mut kernel, &Items::default()).await;
        assert_eq!(sh("ip -br addr show dev guests; bridge -d link show"), before, "no longer wanted");
        converge(&mut kernel, &wanted).await;
        kernel.down().await.unwrap();
        assert_eq!(sh("ip -br addr show dev guests; bridge -d link show"), before, "down");
        assert_eq!(sh("cat /proc/sys/net/ipv4/ip_forward").trim(), "0");
        assert_eq!(observe(&mut kernel).await.items, Items::default());
    });
}

#[test]
fn foreign_changes_of_guest_networks_are_told() {
    in_namespaces("guest_linux::foreign_changes_of_guest_networks_are_told", async |host| {
        let mut kernel = host.open_with(NftOwner::Off).await;
        let desired = guest_world(&hotspot(), [&grant(1)]);
        converge(&mut kernel, &desired).await;
        sh("ip addr add 10.81.0.1/24 dev guests; ip addr del 10.81.0.1/24 dev guests");
        quiet(&mut kernel).await;
        for (vandal, what) in [
            ("ip addr del 10.80.0.1/16 dev guests", "address"),
            ("ip addr del fd80::1/64 dev guests", "address"),
            ("ip addr flush dev guests", "address"),
            ("bridge link set dev port1 isolated off", "port1"),
            ("ip link add port3 type veth peer name guest3; ip link set port3 master guests", "port3"),
            ("tc qdisc del dev guests root", "qdisc"),
            ("nft delete element inet doorward device4 '{ 10.80.0.11 . 02:00:00:00:00:01 }'", "nftables"),
        ] {
            sh(vandal);
            says(&mut kernel, what).await;
            assert!(!plan(&desired, &observe(&mut kernel).await.items).is_empty(), "`{vandal}` went unnoticed");
            converge(&mut kernel, &desired).await;
            quiet(&mut kernel).await;
        }
        sh("ip link del guests");
        assert!(drift(&mut kernel).await.is_some());
        observe(&mut kernel).await;
        quiet(&mut kernel).await;
        sh("ip link add guests type bridge; ip link set guests up; ip link set port1 master guests");
        says(&mut kernel, "appeared").await;
        converge(&mut kernel, &desired).await;
        quiet(&mut kernel).await;
    });
}

#[test]
fn neighbours_are_heard() {
    in_namespaces("guest_linux::neighbours_are_heard", async |host| {
        let mut kernel = host.open().await;
        converge(&mut kernel, &guest_world(&hotspot(), [])).await;
        let mut neighbours = Neighbours::open().unwrap();
        assert!(neighbours.all().await.unwrap().iter().all(|n| n.interface != guests()));
        let (four, six, device) = (g4(1), g6(1), mac(1));
        sh(&format!(
            "mkdir -p /run/netns; ip netns add g1; ip link set guest1 netns g1 name eth0
             ip netns exec g1 sh -ec 'ip link set lo up; ip link set eth0 address {device} up
                ip addr add {four}/16 dev eth0; ip addr add {six}/64 dev eth0 nodad'
             for i in $(seq 20); do ip netns exec g1 ping -c1 -W1 10.80.0.1 && break; sleep 0.2; done
             ip netns exec g1 ping -c1 -W1 fd80::1"
        ));
        let next = async |neighbours: &mut Neighbours, wanted: Neighbour| {
            let heard = async { while neighbours.next().await != wanted {} };
            tokio::time::timeout(Duration::from_secs(5), heard).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
        };
        let one = |address, mac| Neighbour { interface: guests(), address, mac };
        next(&mut neighbours, one(four, Some(device))).await;
        next(&mut neighbours, one(six, Some(device))).await;
        let all = neighbours.all().await.unwrap();
        assert!(all.contains(&one(four, Some(device))) && all.contains(&one(six, Some(device))), "{all:?}");
        sh(&format!("ip neigh del {four} dev guests"));
        next(&mut neighbours, one(four, None)).await;
        // Nobody answers.
        _ = std::process::Command::new("ping").args(["-c1", "-W1", "10.80.7.7"]).output();
        next(&mut neighbours, one("10.80.7.7".parse().unwrap(), None)).await;
    });
}

#[test]
fn a_login_among_many_guests_is_quick() {
    in_namespaces("guest_linux::a_login_among_many_guests_is_quick", async |host| {
        let count = std::env::var("CONTRACT_GUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
        let mut kernel = host.open().await;
        let grants: Vec<Grant> = (1..=count).map(grant).collect();
        let desired = guest_world(&hotspot(), &grants);
        let changes = plan(&desired, &Items::default());
        let started = Instant::now();
        assert!(kernel.apply(&changes).await.iter().all(Result::is_ok));
        println!("{count} guests: {} changes in {:?}", changes.len(), started.elapsed());
        for scope in [Scope::Everything, Scope::Guests] {
            let started = Instant::now();
            kernel.observe(scope).await.unwrap();
            println!("{count} guests: observe {scope:?} in {:?}", started.elapsed());
        }
        let one: Items = items_of(&limited(count + 1), &hotspot()).into_iter().collect();
        let started = Instant::now();
        assert!(kernel.apply(&plan(&one, &Items::default())).await.iter().all(Result::is_ok));
        println!("{count} guests: one more in {:?}", started.elapsed());
        assert!(started.elapsed() < PROMPTLY);
        let started = Instant::now();
        let revoke: Vec<Change> = plan(&Items::default(), &one);
        assert!(kernel.apply(&revoke).await.iter().all(Result::is_ok));
        println!("{count} guests: one less in {:?}", started.elapsed());
        assert!(started.elapsed() < PROMPTLY);
        let found = observe(&mut kernel).await.items;
        assert!(found.0.contains_key(&Key::Device(g4(7), mac(7))) && !found.0.contains_key(&one_device(count + 1)));
    });
}

fn one_device(guest: i64) -> Key {
    Item::Device(g4(guest), mac(guest), doorward_policy::item::Expiry::Never).key()
}
