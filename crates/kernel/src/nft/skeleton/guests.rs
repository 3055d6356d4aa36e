//! Hotspots and their guests. Everything here sees packets of guest interfaces only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use doorward_policy::{
    guest::Way,
    item::{FirewallRules, HotspotRules},
};
use ipnet::IpNet;
use nlink::netlink::nftables::{
    CmpOp, CtDirection, CtState, DynsetExpr, DynsetOp, Expr, IcmpxCode, LimitExpr, LimitUnit, NatStatement,
    PacketField, PayloadBase, Register, Rule, Verdict,
};

use super::{
    super::members::{Member, Version},
    GUESTS, POSTROUTING, TUNNELS, WANS, firewall,
    words::{
        End, ICMP_ECHO_REQUEST, ICMPV6_ECHO_REQUEST, classify, count, from_device, from_mac, goto, jump, not_from,
        not_to, note_stray, of_version, over_quota, quota, rule, to,
    },
};

/// To the gateway itself.
pub(super) const HOST: &str = "guest_host";
/// Outwards.
pub(super) const OUT: &str = "guest_out";
/// From outside.
pub(super) const IN: &str = "guest_in";
/// Who is not logged in is led to the portal.
pub(super) const REDIRECT: &str = "guest_redirect";

const ALLOWED: &str = "guest_allowed";
const ONLINE: &str = "guest_online";
const CAPTIVE: &str = "guest_captive";
const REACH: &str = "guest_reach";
const ANSWERS: &str = "guest_answers";
const LAN_ANSWERS: &str = "guest_lan_answers";
const DOWN: &str = "guest_down";
const REJECT: &str = "guest_reject";
/// The operator's own rules.
const RULES: &str = "guest_rules";

pub(super) const CHAINS: [&str; 13] =
    [HOST, OUT, IN, REDIRECT, ALLOWED, ONLINE, CAPTIVE, REACH, ANSWERS, LAN_ANSWERS, DOWN, REJECT, RULES];

const VERSIONS: [Version; 2] = [Version::V4, Version::V6];

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

const DNS: u16 = 53;
const DHCP_SERVER: u16 = 67;
const HTTP: u16 = 80;
const NTP: u16 = 123;
const DHCPV6_SERVER: u16 = 547;

/// All relay agents and servers of DHCPv6 on the link (RFC 8415, section 7.1).
const DHCPV6_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// Addresses of one link.
const LINK_LOCAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));

/// What hosts of one link say to each other by ICMPv6: reports and leavings of multicast groups (131, 132, 143), router
/// solicitations, neighbour solicitations and advertisements (RFC 4861, RFC 3810).
const LINK_MESSAGES: [u8; 6] = [131, 132, 133, 135, 136, 143];

/// The plain request of NTP has 48 bytes (RFC 5905, section 7.3), 56 with the header of UDP, 76 with that of IPv4. What
/// has more could carry something else.
const NTP_UDP_BYTES: u16 = 56;
const NTP_IPV4_BYTES: u16 = 76;

/// Packets of time from and to each captive device: 30 questions a minute with their answers.
const NTP_EACH_PER_MINUTE: u64 = 60;
const NTP_EACH_BURST: u32 = 16;
/// And all of them together.
const NTP_ALL_PER_SECOND: u64 = 200;
const NTP_ALL_BURST: u32 = 400;

/// ICMP about flows of guests who are not logged in, for all together.
const RELATED_PER_SECOND: u64 = 20;
const RELATED_BURST: u32 = 40;

pub(super) fn rules(hotspots: &[HotspotRules], firewall: &FirewallRules) -> Vec<Rule> {
    let mut all = redirect_rules(hotspots);
    all.extend(host_rules(hotspots));
    all.extend(firewall::through_or_return(RULES, firewall));
    all.extend(out_rules());
    all.extend(online_rules());
    all.extend(allowed_rules(hotspots));
    all.extend(captive_rules(hotspots));
    all.extend(reach_rules(hotspots));
    all.extend(reject_rules());
    all.extend(in_rules());
    all.extend(answer_rules(hotspots));
    all.extend(nat_rules(hotspots));
    all
}

/// What is at one hotspot.
fn at(chain: &str, hotspot: &HotspotRules) -> Rule {
    rule(chain).match_iif(hotspot.interface.as_str())
}

/// The gateway's addresses at a hotspot, IPv4 first.
fn gateways(hotspot: &HotspotRules) -> impl Iterator<Item = IpAddr> + use<> {
    let v6 = hotspot.address_ipv6.map(|net| IpAddr::V6(net.addr()));
    [IpAddr::V4(hotspot.address.addr())].into_iter().chain(v6)
}

/// To one address.
fn to_address(rule: Rule, address: IpAddr) -> Rule {
    rule.match_daddr(address, if address.is_ipv4() { 32 } else { 128 })
}

/// Before a packet's way is chosen: DNS of captive devices goes to our resolver, HTTP to the portal. HTTPS is left
/// alone: nobody may answer it in another's name.
fn redirect_rules(hotspots: &[HotspotRules]) -> Vec<Rule> {
    let mut rules = vec![
        from_mac(rule(REDIRECT), Member::Blocked).accept(),
        from_device(rule(REDIRECT), Version::V4).accept(),
        from_device(rule(REDIRECT), Version::V6).accept(),
        from_mac(rule(REDIRECT), Member::Allowed).accept(),
    ];
    for hotspot in hotspots {
        for gateway in gateways(hotspot) {
            let (version, field) = match gateway {
                IpAddr::V4(_) => (Version::V4, PacketField::Ip4Daddr),
                IpAddr::V6(_) => (Version::V6, PacketField::Ip6Daddr),
            };
            let elsewhere = || at(REDIRECT, hotspot).match_daddr_not(gateway, if gateway.is_ipv4() { 32 } else { 128 });
            let portal = || NatStatement::dnat(gateway);
            rules.extend([
                elsewhere().match_udp_dport(DNS).nat(portal().port(DNS)),
                elsewhere().match_tcp_dport(DNS).nat(portal().port(DNS)),
                elsewhere()
                    .match_tcp_dport(HTTP)
                    .match_concat_not_in_set(&[field, PacketField::TcpDport], Member::Garden(version).name())
                    .nat(portal().port(HTTP)),
            ]);
        }
    }
    rules
}

/// To the gateway itself: what a network needs, the resolver and the portal, on its addresses at that hotspot alone.
fn host_rules(hotspots: &[HotspotRules]) -> Vec<Rule> {
    let mut rules = vec![
        from_mac(rule(HOST), Member::Blocked).drop(),
        rule(HOST)
            .match_ct_direction(CtDirection::Reply)
            .match_ct_state(CtState::ESTABLISHED | CtState::RELATED)
            .accept(),
        to_address(rule(HOST), Ipv4Addr::BROADCAST.into()).match_udp_dport(DHCP_SERVER).accept(),
        to_address(rule(HOST), DHCPV6_SERVERS.into()).match_udp_dport(DHCPV6_SERVER).accept(),
        rule(HOST).match_daddr(LINK_LOCAL, 10).match_udp_dport(DHCPV6_SERVER).accept(),
        rule(HOST).match_daddr(LINK_LOCAL, 10).match_icmpv6_type(ICMPV6_ECHO_REQUEST).accept(),
    ];
    rules.extend(LINK_MESSAGES.map(|kind| rule(HOST).match_icmpv6_type(kind).accept()));
    for hotspot in hotspots {
        for gateway in gateways(hotspot) {
            let here = || to_address(at(HOST, hotspot), gateway);
            rules.extend([
                here().match_udp_dport(DNS).accept(),
                here().match_tcp_dport(DNS).accept(),
                match gateway {
                    IpAddr::V4(_) => here().match_icmp_type(ICMP_ECHO_REQUEST).accept(),
                    IpAddr::V6(_) => here().match_icmpv6_type(ICMPV6_ECHO_REQUEST).accept(),
                },
                match gateway {
                    IpAddr::V4(_) => here().match_udp_dport(DHCP_SERVER).accept(),
                    IpAddr::V6(_) => here().match_udp_dport(DHCPV6_SERVER).accept(),
                },
            ]);
            rules.extend(hotspot.portal_ports.iter().map(|port| here().match_tcp_dport(*port).accept()));
        }
    }
    rules.push(goto(rule(HOST), REJECT));
    rules
}

/// From guests outwards: who they are.
fn out_rules() -> Vec<Rule> {
    vec![
        from_mac(rule(OUT), Member::Blocked).drop(),
        jump(rule(OUT), RULES),
        goto(from_mac(rule(OUT), Member::Allowed), ALLOWED),
        goto(from_device(rule(OUT), Version::V4), ONLINE),
        goto(from_device(rule(OUT), Version::V6), ONLINE),
        goto(rule(OUT), CAPTIVE),
    ]
}

/// A guest who is logged in.
fn online_rules() -> Vec<Rule> {
    let source = [PacketField::Ip4Saddr, PacketField::Ip6Saddr];
    let seen = |(field, version): (PacketField, Version)| {
        rule(ONLINE).update_in_set(field, Member::Seen(version).name(), None)
    };
    let mut rules: Vec<Rule> = source.into_iter().zip(VERSIONS).map(seen).collect();
    rules.push(jump(rule(ONLINE), REACH));
    for way in [Way::Total, Way::Up] {
        rules.extend(over_quota(ONLINE, End::Source, way).map(|rule| goto(rule, REJECT)));
    }
    rules.extend(count(ONLINE, End::Source));
    rules.extend(classify(ONLINE, End::Source));
    rules.push(rule(ONLINE).accept());
    rules
}

/// A device that needs no login: no limits, but its own addresses only.
fn allowed_rules(hotspots: &[HotspotRules]) -> Vec<Rule> {
    let mut rules = own_addresses(ALLOWED, hotspots);
    let source = [PacketField::Ip4Saddr, PacketField::Ip6Saddr];
    let passing = |(field, version): (PacketField, Version)| {
        rule(ALLOWED).update_in_set(field, Member::Passing(version).name(), None)
    };
    rules.extend(source.into_iter().zip(VERSIONS).map(passing));
    rules.push(jump(rule(ALLOWED), REACH));
    rules.push(rule(ALLOWED).accept());
    rules
}

/// Whoever sends from an address that is not of its hotspot is refused.
fn own_addresses(chain: &str, hotspots: &[HotspotRules]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for hotspot in hotspots {
        let subnets = [Some(IpNet::V4(hotspot.address)), hotspot.address_ipv6.map(IpNet::V6)];
        for (version, subnet) in VERSIONS.into_iter().zip(subnets) {
            let here = of_version(at(chain, hotspot), version);
            let foreign = subnet.into_iter().fold(here, |r, net| r.match_saddr_not(net.network(), net.prefix_len()));
            rules.push(goto(foreign, REJECT));
        }
    }
    rules
}

/// Who is not logged in: the walled garden and the time, by a WAN. All else is refused, so that nobody waits.
fn captive_rules(hotspots: &[HotspotRules]) -> Vec<Rule> {
    let garden = |(field, version): (PacketField, Version)| {
        rule(CAPTIVE).match_concat_in_set(&[field, PacketField::TcpDport], Member::Garden(version).name()).accept()
    };
    let clock = |(field, version): (PacketField, Version)| {
        clock_rate(plain_time(rule(CAPTIVE), version).match_udp_dport(NTP), field, version).accept()
    };
    let destination = [PacketField::Ip4Daddr, PacketField::Ip6Daddr];
    let source = [PacketField::Ip4Saddr, PacketField::Ip6Saddr];
    let mut rules = own_addresses(CAPTIVE, hotspots);
    rules.push(goto(not_to(rule(CAPTIVE), WANS), REJECT));
    rules.extend(destination.into_iter().zip(VERSIONS).map(garden));
    rules.extend(source.into_iter().zip(VERSIONS).map(clock));
    for hotspot in hotspots {
        let subnet = hotspot.address_ipv6.map(|net| (net.network(), net.prefix_len()));
        rules.extend(subnet.map(|(net, len)| note_stray(at(CAPTIVE, hotspot).match_saddr_v6(net, len))));
    }
    rules.push(goto(rule(CAPTIVE), REJECT));
    rules
}

/// At most so many packets from or to the guest that `field` names, and for all together.
fn clock_rate(rule: Rule, field: PacketField, version: Version) -> Rule {
    let each = LimitExpr::packets(NTP_EACH_PER_MINUTE, LimitUnit::Minute).burst(NTP_EACH_BURST);
    let all = LimitExpr::packets(NTP_ALL_PER_SECOND, LimitUnit::Second).burst(NTP_ALL_BURST);
    let counted = DynsetExpr::new(DynsetOp::Update, Member::Clock(version).name(), Register::R0).statement(each);
    rule.dynset(field, counted).expr(Expr::Limit(all))
}

/// A packet of UDP as long as a plain request or answer of NTP.
fn plain_time(chain: Rule, version: Version) -> Rule {
    let (offset, bytes) = match version {
        Version::V4 => (2, NTP_IPV4_BYTES),
        Version::V6 => (4, NTP_UDP_BYTES),
    };
    let length = Expr::Payload { dreg: Register::R0, base: PayloadBase::Network, offset, len: 2 };
    of_version(chain, version).expr(length).expr(Expr::Cmp {
        sreg: Register::R0,
        op: CmpOp::Eq,
        data: bytes.to_be_bytes().into(),
    })
}

/// Where guests may go at all: a WAN, never another hotspot or a tunnel, and of the rest what the hotspot lists. What
/// leads to no WAN has neither quota nor class.
fn reach_rules(hotspots: &[HotspotRules]) -> Vec<Rule> {
    let mut rules = vec![to(rule(REACH), WANS).expr(Expr::Verdict(Verdict::Return))];
    for hotspot in hotspots.iter().filter(|hotspot| !hotspot.isolated) {
        rules.push(at(REACH, hotspot).match_oif(hotspot.interface.as_str()).accept());
    }
    rules.push(goto(to(rule(REACH), GUESTS), REJECT));
    rules.push(goto(to(rule(REACH), TUNNELS), REJECT));
    for hotspot in hotspots {
        let lans = hotspot.lan_access.iter();
        rules.extend(lans.map(|net| at(REACH, hotspot).match_daddr(net.network(), net.prefix_len()).accept()));
    }
    rules.push(goto(rule(REACH), REJECT));
    rules
}

fn reject_rules() -> [Rule; 2] {
    [rule(REJECT).reject_tcp_reset(), rule(REJECT).reject_icmpx(IcmpxCode::AdminProhibited)]
}

/// From outside to guests: answers only.
fn in_rules() -> Vec<Rule> {
    let answer =
        rule(IN).match_ct_direction(CtDirection::Reply).match_ct_state(CtState::ESTABLISHED | CtState::RELATED);
    vec![goto(answer, ANSWERS), rule(IN).drop()]
}

fn answer_rules(hotspots: &[HotspotRules]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for hotspot in hotspots {
        let from_lan = |net: &IpNet| {
            let rule = not_from(rule(ANSWERS), WANS).match_oif(hotspot.interface.as_str());
            goto(rule.match_saddr(net.network(), net.prefix_len()), LAN_ANSWERS)
        };
        rules.extend(hotspot.lan_access.iter().map(from_lan));
    }
    rules.push(not_from(rule(ANSWERS), WANS).drop());
    let destination: Vec<(PacketField, Version)> =
        [PacketField::Ip4Daddr, PacketField::Ip6Daddr].into_iter().zip(VERSIONS).collect();
    let source = [PacketField::Ip4Saddr, PacketField::Ip6Saddr];
    let known = |chain, member: fn(Version) -> Member| {
        destination.iter().map(move |(field, version)| rule(chain).match_in_set(*field, member(*version).name()))
    };
    rules.extend(known(ANSWERS, Member::Granted).map(|rule| goto(rule, DOWN)));
    rules.extend(known(ANSWERS, Member::Passing).map(Rule::accept));
    for ((field, version), (to, _)) in source.into_iter().zip(VERSIONS).zip(destination.iter().copied()) {
        let garden = Member::Garden(version).name();
        rules.push(rule(ANSWERS).match_concat_in_set(&[field, PacketField::TcpSport], garden).accept());
        // At the rate at which they may be asked for: no more comes back than was asked.
        let answer = plain_time(rule(ANSWERS), version).match_udp_sport(NTP);
        rules.push(clock_rate(answer, to, version).accept());
    }
    // How large a packet may be on the way to the garden; few, as anybody can make them say more.
    let few = LimitExpr::packets(RELATED_PER_SECOND, LimitUnit::Second).burst(RELATED_BURST);
    let related = |protocol| {
        let rule = rule(ANSWERS).match_ct_state(CtState::RELATED).match_l4proto(protocol);
        rule.expr(Expr::Limit(few.clone())).accept()
    };
    rules.extend([related(ICMP), related(ICMPV6), rule(ANSWERS).drop()]);

    rules.extend(known(LAN_ANSWERS, Member::Granted).map(Rule::accept));
    rules.extend(known(LAN_ANSWERS, Member::Passing).map(Rule::accept));
    rules.push(rule(LAN_ANSWERS).drop());

    rules.extend(quota(DOWN, End::Destination));
    rules.extend(over_quota(DOWN, End::Destination, Way::Down).map(Rule::drop));
    rules.extend(count(DOWN, End::Destination));
    rules.extend(classify(DOWN, End::Destination));
    rules.push(rule(DOWN).accept());
    rules
}

fn nat_rules(hotspots: &[HotspotRules]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for hotspot in hotspots {
        let v6 = hotspot.address_ipv6.filter(|_| hotspot.nat_ipv6).map(IpNet::V6);
        for net in [IpNet::V4(hotspot.address)].into_iter().chain(v6) {
            rules.push(to(rule(POSTROUTING).match_saddr(net.network(), net.prefix_len()), WANS).masquerade());
        }
    }
    rules
}
