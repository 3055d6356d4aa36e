//! VPN servers and their accounts.

use doorward_policy::{
    firewall::{Chain, Verdict},
    item::{Counter, FirewallRules, ServerRules},
};
use nlink::netlink::nftables::{
    CmpOp, CtDirection, CtState, CtStatus, Expr, LookupExpr, MetaKey, PayloadBase, RawExpr, Register, Rule,
};

use super::{
    super::members::{Member, attribute},
    POSTROUTING, PREROUTING, TUNNELS, WANS, firewall,
    words::{
        End, ICMP_ECHO_REQUEST, ICMPV6_ECHO_REQUEST, NFPROTO_IPV4, classify, count, goto, not_from, not_to,
        only_granted, quota, rule, to,
    },
};
use crate::names;

/// From accounts to the gateway itself.
pub(super) const HOST: &str = "vpn_host";
/// From accounts outwards.
pub(super) const OUT: &str = "vpn_out";
/// From outside to accounts.
pub(super) const IN: &str = "vpn_in";
/// From the gateway itself to accounts.
pub(super) const SELF: &str = "vpn_self";
const DNS: u16 = 53;
const INTERNAL: &str = "vpn_internal";
const OUT_OPEN: &str = "vpn_out_open";
const IN_OPEN: &str = "vpn_in_open";
/// Questions to the gateway's resolver, and its answers.
const NAMES: &str = "vpn_names";
const NAMES_BACK: &str = "vpn_names_back";

pub(super) const CHAINS: [&str; 9] = [HOST, OUT, OUT_OPEN, INTERNAL, IN, IN_OPEN, SELF, NAMES, NAMES_BACK];

pub(super) fn rules(servers: &[ServerRules], own: &FirewallRules) -> Vec<Rule> {
    let mut all = host_rules(servers, own);
    all.extend(out_rules(servers, own));
    all.extend(internal_rules());
    all.extend(in_rules(own));
    all.extend(self_rules(servers, own));
    all.extend(names_rules());
    all.extend(nat_rules(servers));
    all
}

/// VPN to the gateway itself: what the operator's rules say, names, pings, and answers to what the gateway asked.
fn host_rules(servers: &[ServerRules], own: &FirewallRules) -> Vec<Rule> {
    let echo6 = rule(HOST).match_icmpv6_type(ICMPV6_ECHO_REQUEST);
    let mut rules = only_granted(HOST, End::Source);
    rules.extend(firewall::rules(HOST, Chain::Input, own, Rule::accept));
    rules.push(answers(HOST).accept());
    rules.extend(servers.iter().flat_map(resolver_rules));
    if own.input == Verdict::Drop {
        rules.push(rule(HOST).drop());
    }
    rules.extend([rule(HOST).match_icmp_type(ICMP_ECHO_REQUEST).accept(), echo6.accept(), rule(HOST).drop()]);
    rules
}

/// Names are the gateway's own service, switched on as such: open whatever happens to what no rule decides.
fn resolver_rules(server: &ServerRules) -> impl Iterator<Item = Rule> {
    server.resolver.iter().flat_map(|address| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let here = || rule(HOST).match_iif(server.interface.as_str()).match_daddr(*address, bits);
        [goto(here().match_udp_dport(DNS), NAMES), goto(here().match_tcp_dport(DNS), NAMES)]
    })
}

/// The same with its answers.
fn answer_rules(server: &ServerRules) -> impl Iterator<Item = Rule> {
    server.resolver.iter().flat_map(|address| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let from = || rule(SELF).match_oif(server.interface.as_str()).match_saddr(*address, bits);
        [goto(from().match_udp_sport(DNS), NAMES_BACK), goto(from().match_tcp_sport(DNS), NAMES_BACK)]
    })
}

/// Names count like all else that an account sends and gets, or they would be a way round its limits.
fn names_rules() -> Vec<Rule> {
    let mut rules = quota(NAMES, End::Source);
    rules.extend(count(NAMES, End::Source));
    rules.push(rule(NAMES).accept());
    rules.extend(quota(NAMES_BACK, End::Destination));
    rules.extend(count(NAMES_BACK, End::Destination));
    rules.extend(classify(NAMES_BACK, End::Destination));
    rules.push(rule(NAMES_BACK).accept());
    rules
}

/// Answers within connections that began the other way.
fn answers(chain: &str) -> Rule {
    rule(chain).match_ct_direction(CtDirection::Reply).match_ct_state(CtState::ESTABLISHED | CtState::RELATED)
}

/// From the gateway itself to accounts.
fn self_rules(servers: &[ServerRules], own: &FirewallRules) -> Vec<Rule> {
    let mut rules = firewall::rules(SELF, Chain::Output, own, Rule::accept);
    if own.output == Verdict::Drop {
        rules.push(rule(SELF).match_ct_direction(CtDirection::Original).drop());
    }
    rules.extend(servers.iter().flat_map(answer_rules));
    rules
}

/// From the VPN outwards.
fn out_rules(servers: &[ServerRules], own: &FirewallRules) -> Vec<Rule> {
    let mut rules = only_granted(OUT, End::Source);
    rules.extend(firewall::rules(OUT, Chain::Forward, own, |rule| goto(rule, OUT_OPEN)));
    if firewall::accepts(own) {
        // Answers to what a rule let in from where accounts do not reach by themselves.
        rules.push(goto(answers(OUT), OUT_OPEN));
    }
    if own.forward == Verdict::Drop {
        rules.push(rule(OUT).match_ct_direction(CtDirection::Original).drop());
    }
    for server in servers {
        let name = server.interface.as_str();
        let inside = rule(OUT)
            .match_iif(name)
            .match_oif(name)
            .counter_named(&names::counter(Counter::ServerInternal(server.id)));
        rules.push(if server.internal_traffic { goto(inside, INTERNAL) } else { inside.drop() });
    }
    let across = to(rule(OUT), TUNNELS);
    rules.push(if own.across { goto(across, INTERNAL) } else { across.drop() });
    rules.push(not_to(rule(OUT), WANS).drop());
    rules.push(goto(rule(OUT), OUT_OPEN));
    rules.push(goto(to(rule(OUT_OPEN), TUNNELS), INTERNAL));
    rules.extend(quota(OUT_OPEN, End::Source));
    rules.extend(count(OUT_OPEN, End::Source));
    rules.extend(classify(OUT_OPEN, End::Source));
    rules.push(rule(OUT_OPEN).accept());
    rules
}

/// Between accounts of one server: sent by one, received by the other.
fn internal_rules() -> Vec<Rule> {
    let mut rules = only_granted(INTERNAL, End::Destination);
    rules.extend(quota(INTERNAL, End::Source));
    rules.extend(quota(INTERNAL, End::Destination));
    rules.extend(count(INTERNAL, End::Source));
    rules.extend(count(INTERNAL, End::Destination));
    rules.extend(classify(INTERNAL, End::Destination));
    rules.push(rule(INTERNAL).accept());
    rules
}

/// From outside into the VPN: what the operator's rules say, answers, and port forwardings.
fn in_rules(own: &FirewallRules) -> Vec<Rule> {
    let mut rules = only_granted(IN, End::Destination);
    rules.extend(firewall::rules(IN, Chain::Forward, own, |rule| goto(rule, IN_OPEN)));
    if firewall::accepts(own) {
        rules.push(goto(answers(IN), IN_OPEN));
    }
    rules.push(not_from(rule(IN), WANS).drop());
    rules.push(goto(rule(IN).match_ct_state(CtState::ESTABLISHED | CtState::RELATED), IN_OPEN));
    rules.push(goto(rule(IN).match_ct_status(CtStatus::DST_NAT), IN_OPEN));
    rules.push(rule(IN).drop());
    rules.extend(quota(IN_OPEN, End::Destination));
    rules.extend(count(IN_OPEN, End::Destination));
    rules.extend(classify(IN_OPEN, End::Destination));
    rules.push(rule(IN_OPEN).accept());
    rules
}

fn nat_rules(servers: &[ServerRules]) -> Vec<Rule> {
    let mut rules = vec![forward_lookup().into_iter().fold(not_from(rule(PREROUTING), TUNNELS), Rule::expr)];
    for server in servers {
        let Some(nat_to) = server.nat_to else { continue };
        let counter = names::counter(Counter::ServerNat(server.id));
        let subnet = server.subnet;
        rules.push(
            to(rule(POSTROUTING).match_saddr_v4(subnet.network(), subnet.prefix_len()), WANS)
                .counter_named(&counter)
                .snat(nat_to, None),
        );
        if let Some(subnet) = server.subnet_ipv6 {
            rules.push(
                to(rule(POSTROUTING).match_saddr_v6(subnet.network(), subnet.prefix_len()), WANS)
                    .counter_named(&counter)
                    .masquerade(),
            );
        }
    }
    rules
}

/// `dnat ip to ip daddr . meta l4proto . th dport map @forward`, as nft compiles it.
fn forward_lookup() -> Vec<Expr> {
    let (address, protocol, port) = (Register::Reg32_00, Register::Reg32_01, Register::Reg32_02);
    vec![
        Expr::Meta { dreg: Register::R0, key: MetaKey::NfProto },
        Expr::Cmp { sreg: Register::R0, op: CmpOp::Eq, data: vec![NFPROTO_IPV4] },
        Expr::Payload { dreg: address, base: PayloadBase::Network, offset: 16, len: 4 },
        Expr::Meta { dreg: protocol, key: MetaKey::L4Proto },
        Expr::Payload { dreg: port, base: PayloadBase::Transport, offset: 2, len: 2 },
        LookupExpr::new(Member::Forward.name(), address).dreg(address).into(),
        RawExpr::new("nat", dnat_to(address, protocol)).into(),
    ]
}

// `enum nft_nat_attributes` of linux/netfilter/nf_tables.h.
const NFTA_NAT_TYPE: u16 = 1;
const NFTA_NAT_FAMILY: u16 = 2;
const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
const NFT_NAT_DNAT: u32 = 1;

/// The expression `dnat ip` to an address and a port in registers; nlink builds it from constants only.
fn dnat_to(address: Register, port: Register) -> Vec<u8> {
    let mut data = Vec::with_capacity(32);
    attribute(&mut data, NFTA_NAT_TYPE, &NFT_NAT_DNAT.to_be_bytes());
    attribute(&mut data, NFTA_NAT_FAMILY, &u32::from(NFPROTO_IPV4).to_be_bytes());
    attribute(&mut data, NFTA_NAT_REG_ADDR_MIN, &address.wire().to_be_bytes());
    attribute(&mut data, NFTA_NAT_REG_PROTO_MIN, &port.wire().to_be_bytes());
    data
}
