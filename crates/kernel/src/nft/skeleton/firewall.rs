//! The operator's own rules (VPN API, section 3.5). Each is rendered where its packets pass, with one counter.

use doorward_policy::{
    firewall::{Chain, Rule as Wanted, RuleProtocol, Verdict},
    item::{Counter, FirewallRules},
};
use ipnet::IpNet;
use nlink::netlink::nftables::{Expr, Rule, Verdict as Outcome};

use super::{
    super::members::Version,
    words::{of_version, rule},
};
use crate::names;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// The rules of a chain, in their order; `accept` says where what they let through goes on.
pub(super) fn rules(chain: &str, of: Chain, firewall: &FirewallRules, accept: impl Fn(Rule) -> Rule) -> Vec<Rule> {
    let wanted = firewall.rules.iter().filter(|wanted| wanted.chain == of);
    let judged = wanted.flat_map(|wanted| matched(chain, wanted).into_iter().map(|rule| (wanted.action, rule)));
    judged
        .map(|(action, rule)| match action {
            Verdict::Accept => accept(rule),
            Verdict::Drop => rule.drop(),
        })
        .collect()
}

/// Those of packets that are forwarded, where what they let through is still to be judged.
pub(super) fn through_or_return(chain: &str, firewall: &FirewallRules) -> Vec<Rule> {
    rules(chain, Chain::Forward, firewall, |rule| rule.expr(Expr::Verdict(Outcome::Return)))
}

/// Whether something is let through that would not pass by itself.
pub(super) fn accepts(firewall: &FirewallRules) -> bool {
    firewall.rules.iter().any(|rule| rule.chain == Chain::Forward && rule.action == Verdict::Accept)
}

/// What a rule matches, counted: a rule of nftables for each protocol that it means.
fn matched(chain: &str, wanted: &Wanted) -> Vec<Rule> {
    let has_port = wanted.source_port != 0 || wanted.destination_port != 0;
    let protocols: &[u8] = match (wanted.protocol, wanted.source) {
        (RuleProtocol::Tcp, _) => &[TCP],
        (RuleProtocol::Udp, _) => &[UDP],
        (RuleProtocol::Icmp, _) if wanted.any_family() => &[ICMP, ICMPV6],
        (RuleProtocol::Icmp, IpNet::V4(_)) => &[ICMP],
        (RuleProtocol::Icmp, IpNet::V6(_)) => &[ICMPV6],
        (RuleProtocol::Any, _) if has_port => &[TCP, UDP],
        (RuleProtocol::Any, _) => &[],
    };
    let addressed = || addresses(rule(chain), wanted);
    let counted = |rule: Rule| rule.counter_named(&names::counter(Counter::Rule(wanted.id)));
    if protocols.is_empty() {
        return vec![counted(addressed())];
    }
    protocols.iter().map(|protocol| counted(ports(addressed(), *protocol, wanted))).collect()
}

fn addresses(rule: Rule, wanted: &Wanted) -> Rule {
    if wanted.any_family() {
        return rule;
    }
    let version = if wanted.source.addr().is_ipv4() { Version::V4 } else { Version::V6 };
    let mut rule = of_version(rule, version);
    if wanted.source.prefix_len() > 0 {
        rule = rule.match_saddr(wanted.source.network(), wanted.source.prefix_len());
    }
    if wanted.destination.prefix_len() > 0 {
        rule = rule.match_daddr(wanted.destination.network(), wanted.destination.prefix_len());
    }
    rule
}

fn ports(rule: Rule, protocol: u8, wanted: &Wanted) -> Rule {
    let mut rule = rule.match_l4proto(protocol);
    if wanted.source_port != 0 {
        rule = match protocol {
            TCP => rule.match_tcp_sport(wanted.source_port),
            _ => rule.match_udp_sport(wanted.source_port),
        };
    }
    if wanted.destination_port != 0 {
        rule = match protocol {
            TCP => rule.match_tcp_dport(wanted.destination_port),
            _ => rule.match_udp_dport(wanted.destination_port),
        };
    }
    rule
}
