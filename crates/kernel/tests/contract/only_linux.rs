//! What holds for Linux alone: what others do to what is ours, and what is left when we go.

use std::time::Duration;

use doorward_kernel::{Event, Kernel, linux::Linux, nft::NftOwner};
use doorward_policy::{
    account::AccountId,
    item::{Counter, Expiry, Item, Items, Key, ServerRules, Skeleton, SkeletonRules},
    observed::Scope,
    plan::{Change, plan},
    vpn_server::ServerId,
};

use nlink::netlink::{
    Connection, Netfilter,
    netfilter::{ConntrackBuilder, ConntrackStatus, ConntrackTuple, IpProtocol, TcpConntrackState},
};

use super::{
    cases::{assert_same, converge, observe},
    linux::{in_namespaces, sh},
    world::{account, net, tunnel, v4, v6, wan, world},
};

macro_rules! on_linux {
    ($($case:ident($host:ident) $body:block)+) => {
        $(#[test]
        fn $case() {
            in_namespaces(concat!("only_linux::", stringify!($case)), async |$host| $body);
        })+
    };
}

/// The next drift, if there is one soon.
async fn drift(kernel: &mut Linux) -> Option<String> {
    match tokio::time::timeout(Duration::from_millis(500), kernel.event()).await.ok()? {
        Event::Drifted(what) => Some(what),
        Event::Spent(quotas) => panic!("{quotas:?}"),
    }
}

async fn says(kernel: &mut Linux, what: &str) {
    let said = drift(kernel).await.expect("drift is told");
    assert!(said.contains(what), "{said:?} does not say {what:?}");
}

async fn quiet(kernel: &mut Linux) {
    assert_eq!(drift(kernel).await, None);
}

on_linux! {
    the_table_is_what_nft_understands(host) {
        let mut kernel = host.open().await;
        converge(&mut kernel, &world([1])).await;
        let table = sh("nft list table inet doorward");
        for part in [
            "iifname @tunnels goto vpn_host",
            "ip saddr != @granted4 drop",
            "dnat ip to ip daddr . meta l4proto . th dport map @forward",
            "192.0.2.10 . udp . 20001 : 10.70.0.1 . 22",
            "oifname @wans counter name \"n1\" snat ip to 192.0.2.10",
            "elements = { \"wg70\"",
            "flags owner",
            "10.70.0.1 : 1:101",
        ] {
            assert!(table.contains(part), "no {part:?} in\n{table}");
        }
    }

    foreign_rules_are_noticed_and_go(host) {
        let mut kernel = host.open_with(NftOwner::Off).await;
        let desired = world([1]);
        converge(&mut kernel, &desired).await;
        quiet(&mut kernel).await;
        let vandals = [
            "nft insert rule inet doorward vpn_out accept",
            "nft flush chain inet doorward vpn_in",
            "nft add chain inet doorward other",
            "nft add element inet doorward tunnels '{ \"tap0\" }'",
            "nft flush set inet doorward wans",
            "nft chain inet doorward forward '{ policy drop; }'",
            "nft flush table inet doorward",
            "nft delete table inet doorward",
            "nft flush ruleset",
        ];
        for vandal in vandals {
            sh(vandal);
            says(&mut kernel, "nftables").await;
            let left = plan(&desired, &observe(&mut kernel).await.items);
            assert!(!left.is_empty(), "`{vandal}` went unnoticed");
            converge(&mut kernel, &desired).await;
            quiet(&mut kernel).await;
        }
    }

    a_rule_with_another_body_and_our_comment_is_noticed(host) {
        let mut kernel = host.open_with(NftOwner::Off).await;
        let desired = world([1]);
        converge(&mut kernel, &desired).await;
        let line = sh("nft -a list chain inet doorward vpn_out | grep granted4");
        let handle = line.trim().rsplit(' ').next().unwrap().to_owned();
        let comment = line.split('"').nth(1).unwrap().to_owned();
        sh(&format!("nft replace rule inet doorward vpn_out handle {handle} accept comment '\"{comment}\"'"));
        assert!(!plan(&desired, &observe(&mut kernel).await.items).is_empty(), "went unnoticed");
        converge(&mut kernel, &desired).await;
    }

    foreign_members_are_noticed_and_go(host) {
        let mut kernel = host.open_with(NftOwner::Off).await;
        let desired = world([1]);
        converge(&mut kernel, &desired).await;
        sh("nft add element inet doorward granted4 '{ 10.70.0.66, 10.70.0.67 timeout 1h }'");
        sh("nft add counter inet doorward mine");
        sh("nft add element inet doorward up4 '{ 10.70.0.66 : \"mine\" }'");
        sh("nft delete element inet doorward granted6 '{ fd70::1 }'");
        sh("nft add element inet doorward class4 '{ 10.70.0.66 : 7:7 }'");
        says(&mut kernel, "nftables").await;
        let found = observe(&mut kernel).await.items;
        assert_eq!(found.0.get(&Key::Granted(v4(66))), Some(&Item::Granted(v4(66), Expiry::Never)));
        converge(&mut kernel, &desired).await;
    }

    sets_of_other_types_are_made_anew(host) {
        sh("nft add table inet doorward");
        sh("nft add set inet doorward granted4 '{ type ipv6_addr; flags timeout; }'");
        sh("nft add map inet doorward up4 '{ type ipv4_addr : mark; }'");
        sh("nft add chain inet doorward forward '{ type filter hook input priority 7; }'");
        sh("nft add rule inet doorward forward meta mark set ip saddr map @up4");
        let mut kernel = host.open_with(NftOwner::Off).await;
        converge(&mut kernel, &world([1])).await;
    }

    an_owned_table_outlives_us_and_withstands_others(host) {
        let desired = world([1, 2]);
        let mut kernel = host.open_with(NftOwner::Auto).await;
        assert_eq!(kernel.probe().nft_owner, doorward_kernel::probe::Offer::Yes, "Linux 6.9");
        converge(&mut kernel, &desired).await;
        sh("nft flush ruleset");
        quiet(&mut kernel).await;
        assert_same(&observe(&mut kernel).await.items, &desired);
        drop(kernel);
        let mut next = host.open_with(NftOwner::Auto).await;
        assert_same(&observe(&mut next).await.items, &desired);
        let fewer = world([2]);
        converge(&mut next, &fewer).await;
        sh("nft flush ruleset");
        assert_same(&observe(&mut next).await.items, &fewer);
    }

    the_owner_setting_can_change(host) {
        let desired = world([1, 2]);
        for owner in [NftOwner::Off, NftOwner::Auto, NftOwner::Off] {
            let mut kernel = host.open_with(owner).await;
            converge(&mut kernel, &desired).await;
            let flags = sh("nft list table inet doorward").contains("flags owner");
            assert_eq!(flags, owner == NftOwner::Auto);
        }
    }

    foreign_changes_of_interfaces_are_told(host) {
        let mut kernel = host.open().await;
        let desired = world([1]);
        converge(&mut kernel, &desired).await;
        kernel.host().await.unwrap();
        quiet(&mut kernel).await;
        let vandals = [
            ("ip link set wg70 down", "switched off"),
            ("ip link set wg70 mtu 1300", "MTU"),
            ("ip addr del 10.70.255.254/16 dev wg70", "address of wg70"),
            ("tc class del dev wg70 classid 1:101", "qdisc or a class of wg70"),
            ("tc qdisc del dev eth0 root", "qdisc or a class of eth0"),
            ("tc qdisc replace dev wg70 root pfifo", "qdisc or a class of wg70"),
            ("tc qdisc del dev eth0 parent 1:101 || tc qdisc replace dev eth0 parent 1:101 pfifo", "eth0"),
            ("ip link del wg70", "wg70"),
        ];
        for (vandal, said) in vandals {
            sh(vandal);
            let text = drift(&mut kernel).await.unwrap_or_else(|| panic!("`{vandal}` went untold"));
            // A deleted interface is known by its number only, or by its process.
            assert!(text.contains(said) || text.contains("deleted") || text.contains("ended"), "`{vandal}`: {text}");
            let left = plan(&desired, &observe(&mut kernel).await.items);
            assert!(!left.is_empty(), "`{vandal}` went unnoticed");
            converge(&mut kernel, &desired).await;
            while drift(&mut kernel).await.is_some() {}
            assert_same(&observe(&mut kernel).await.items, &desired);
        }
    }

    a_moved_default_route_is_told_and_others_are_not(host) {
        let mut kernel = host.open().await;
        converge(&mut kernel, &world([1])).await;
        assert_eq!(kernel.host().await.unwrap().wans, [wan()]);
        sh("ip route add 198.51.100.0/24 via 192.0.2.1; ip route change default via 192.0.2.7");
        sh("nft add table inet other; ip link add other type veth peer name rehto; ip link set other up");
        quiet(&mut kernel).await;
        sh("ip addr add 203.0.113.2/24 dev other; ip route replace default via 203.0.113.1");
        says(&mut kernel, "default route").await;
        assert_eq!(kernel.host().await.unwrap().wans, ["other".parse().unwrap()]);
        sh("ip link del wg70");
        assert!(drift(&mut kernel).await.is_some());
        host.open().await;
    }

    many_servers_fit(host) {
        let mut kernel = host.open().await;
        let server = |n: u16| ServerRules {
            id: ServerId(n.into()),
            interface: format!("wg{n}").parse().unwrap(),
            subnet: format!("10.{}.{}.0/24", 100 + n / 250, n % 250).parse().unwrap(),
            subnet_ipv6: Some(format!("fd70:{n:x}::/64").parse().unwrap()),
            nat_to: Some([192, 0, 2, 10].into()),
            internal_traffic: n.is_multiple_of(2),
            resolver: Vec::new(),
        };
        let rules = SkeletonRules { wans: vec![wan()], servers: (256..256 + 1_000).map(server).collect(), ..SkeletonRules::default() };
        let desired = Items::from_iter([Item::Skeleton(Skeleton::of(rules))]);
        let results = kernel.apply(&plan(&desired, &Items::default())).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let left = plan(&desired, &observe(&mut kernel).await.items);
        assert!(!left.iter().any(|change| change.key() == Key::Skeleton), "{left:?}");
    }

    our_own_changes_are_not_told(host) {
        let mut kernel = host.open().await;
        kernel.host().await.unwrap();
        converge(&mut kernel, &world(1..=1_000)).await;
        quiet(&mut kernel).await;
        converge(&mut kernel, &world([1])).await;
        quiet(&mut kernel).await;
        converge(&mut kernel, &Items::default()).await;
        quiet(&mut kernel).await;
    }

    foreign_interfaces_are_left_alone(host) {
        sh("ip link add wg70 type veth peer name wg07; ip addr add 203.0.113.9/24 dev wg70");
        let before = sh("ip addr show wg70; tc qdisc show dev wg70");
        let mut kernel = host.open().await;
        let results = kernel.apply(&plan(&world([1]), &Items::default())).await;
        assert!(results.iter().any(Result::is_err));
        let found = observe(&mut kernel).await.items;
        assert!(!found.0.keys().any(|key| matches!(key, Key::Tunnel(_) | Key::Address(..) | Key::Peer(_))));
        assert_eq!(sh("ip addr show wg70; tc qdisc show dev wg70"), before);
        kernel.apply(&plan(&Items::default(), &world([1]))).await;
        assert_eq!(sh("ip addr show wg70; tc qdisc show dev wg70"), before);
    }

    down_leaves_the_host_as_it_was(host) {
        sh("sysctl -qw net.ipv6.conf.eth0.accept_ra=0; tc qdisc add dev eth0 root handle 7: bfifo limit 54321");
        let look = "sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.eth0.accept_ra; \
                    tc qdisc show dev eth0 | sed 's/ [0-9a-f]*: / /'; ip -br link | cut -d' ' -f1; nft list ruleset";
        let before = sh(look);
        let mut kernel = host.open().await;
        converge(&mut kernel, &world([1, 2])).await;
        assert_ne!(sh(look), before);
        drop(kernel);
        // Another process than the one that changed it.
        let mut next = host.open().await;
        next.down().await.unwrap();
        assert_eq!(sh(look), before);
        assert_same(&observe(&mut next).await.items, &Items::default());
        next.down().await.unwrap();
    }

    the_flows_of_a_revoked_grant_are_forgotten(host) {
        let mut kernel = host.open().await;
        converge(&mut kernel, &world([1, 2])).await;
        let conntrack = Connection::<Netfilter>::new().unwrap();
        let tuple = |from: &str, to: &str| ConntrackTuple {
            src_ip: Some(from.parse().unwrap()),
            dst_ip: Some(to.parse().unwrap()),
            ..ConntrackTuple::default()
        };
        let flow = async |builder: ConntrackBuilder, from: ConntrackTuple, reply: ConntrackTuple| {
            let status = ConntrackStatus::CONFIRMED | ConntrackStatus::SEEN_REPLY | ConntrackStatus::ASSURED;
            let entry = builder.orig(from).reply(reply).status(status).timeout(Duration::from_secs(300));
            conntrack.add_conntrack(entry).await.unwrap();
        };
        let tcp = || ConntrackBuilder::new_v4(IpProtocol::Tcp).tcp_state(TcpConntrackState::Established);
        let udp = || ConntrackBuilder::new_v4(IpProtocol::Udp);
        let (from, reply) = (tuple("10.70.0.1", "198.51.100.1"), tuple("198.51.100.1", "192.0.2.10"));
        flow(tcp(), from.ports(40_000, 443), reply.ports(443, 40_000)).await;
        let (from, reply) = (tuple("10.70.0.2", "198.51.100.1"), tuple("198.51.100.1", "192.0.2.10"));
        flow(udp(), from.ports(40_000, 53), reply.ports(53, 40_000)).await;
        let (from, reply) = (tuple("fd70::1", "2001:db8::1"), tuple("2001:db8::1", "2001:db8::2"));
        flow(ConntrackBuilder::new_v6(IpProtocol::Udp), from.ports(4, 53), reply.ports(53, 4)).await;
        // From outside to the forwarded port of account 1, and to that of account 2.
        let (from, reply) = (tuple("198.51.100.7", "192.0.2.10"), tuple("10.70.0.1", "198.51.100.7"));
        flow(udp(), from.ports(5, 20_001), reply.ports(22, 5)).await;
        let (from, reply) = (tuple("198.51.100.7", "192.0.2.10"), tuple("10.70.0.2", "198.51.100.7"));
        flow(tcp(), from.ports(5, 20_002), reply.ports(22, 5)).await;
        let list = || sh("{ conntrack -L -f ipv4; conntrack -L -f ipv6; } 2>/dev/null | grep -E '198.51.100|2001:db8'");
        assert_eq!(list().lines().count(), 5);
        let gone = [Change::Remove(Item::Granted(v4(1), Expiry::Never)), Change::Remove(Item::Granted(v6(1), Expiry::Never))];
        assert!(kernel.apply(&gone).await.iter().all(Result::is_ok));
        let left = list();
        assert!(left.contains("10.70.0.2") && left.lines().count() == 2, "{left}");
        let forward = account(2).items().into_iter().find(|item| matches!(item, Item::Forward(..))).unwrap();
        assert!(kernel.apply(&[Change::Remove(forward)]).await.iter().all(Result::is_ok));
        let left = list();
        assert!(left.contains("dport=53") && left.lines().count() == 1, "{left}");
    }

    a_killed_tunnel_process_is_told_and_comes_back(host) {
        let mut kernel = host.open().await;
        let desired = world([1]);
        converge(&mut kernel, &desired).await;
        quiet(&mut kernel).await;
        sh("kill -9 $(pgrep -x tunnel)");
        says(&mut kernel, "wg70 ended").await;
        let found = observe(&mut kernel).await.items;
        assert!(found.0.contains_key(&Key::Address(tunnel(), net("10.70.255.254/16"))), "the interface stands");
        assert!(!found.0.keys().any(|key| matches!(key, Key::Peer(_))));
        converge(&mut kernel, &desired).await;
        // And one that nobody wants any more.
        sh("kill -9 $(pgrep -x tunnel)");
        converge(&mut kernel, &Items::default()).await;
        assert!(!sh("ip link").contains("wg70"));
    }

    a_new_rate_keeps_class_and_queue(host) {
        let mut kernel = host.open().await;
        let mut desired = world([1, 2]);
        converge(&mut kernel, &desired).await;
        let look = "tc qdisc show dev eth0 | cut -d' ' -f2,3,5; tc class show dev eth0 | cut -d' ' -f3,5,6,7";
        let before = sh(look);
        for rate in [1, 10, 100, 1_000, 10_000, 1] {
            let mut faster = account(1);
            faster.rate = rate * 1_000_000;
            faster.items().into_iter().for_each(|item| desired.put(item));
            converge(&mut kernel, &desired).await;
            assert_eq!(sh(look), before);
        }
    }

    a_reading_of_ten_thousand_accounts_is_quick(host) {
        let count = std::env::var("DOORWARD_CONTRACT_ACCOUNTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
        let mut kernel = host.open().await;
        let desired = world(1..=count);
        let took = async |what: &str, started: std::time::Instant| {
            println!("{count} accounts: {what}: {:?}", started.elapsed());
        };
        let started = std::time::Instant::now();
        let changes = plan(&desired, &Items::default());
        took("plan", started).await;
        let started = std::time::Instant::now();
        let results = kernel.apply(&changes).await;
        took(&format!("apply {} changes", changes.len()), started).await;
        assert!(results.iter().all(Result::is_ok));
        for scope in [Scope::Everything, Scope::Counters, Scope::Peers(None), Scope::Shaping(wan())] {
            let started = std::time::Instant::now();
            kernel.observe(scope).await.unwrap();
            took(&format!("observe {scope:?}"), started).await;
        }
        let one = [Change::Remove(Item::Granted(v4(7), Expiry::Never))];
        let started = std::time::Instant::now();
        kernel.apply(&one).await;
        took("revoke one", started).await;
        let started = std::time::Instant::now();
        kernel.apply(&[Change::Add(Item::Granted(v4(7), Expiry::Never))]).await;
        took("grant one", started).await;
        let found = observe(&mut kernel).await.items;
        assert!(found.0.contains_key(&Key::Counter(Counter::AccountUp(AccountId(7)))));
        quiet(&mut kernel).await;
        let started = std::time::Instant::now();
        let results = kernel.apply(&plan(&world([]), &found)).await;
        took("remove all", started).await;
        assert!(results.iter().all(Result::is_ok));
        quiet(&mut kernel).await;
    }
}
