//! Chains and rules: who may send what (docs/traffic-policy.md), rendered from settings. No rule is ever made for an
//! account.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use doorward_policy::{
    item::{Counter, ServerRules, Skeleton, SkeletonRules},
    name::IfName,
};
use nlink::netlink::nftables::{
    BaseChain, Chain, ChainInfo, ChainKind, ChainName, CmpOp, CtDirection, CtState, CtStatus, Expr, Family, FilterHook,
    LookupExpr, MetaKey, NatHook, PacketField, PayloadBase, Policy, Priority, RawExpr, RawMessage, Register, Rule,
    RuleInfo, Set, SetElement, SetFlags, SetInfo,
};

use super::members::{IFNAME, Member, attribute, interface_key, make_set};
use crate::{names, names::TABLE};

/// Names of our chains. Those with a hook come first; the others are where they lead.
const INPUT: &str = "input";
const FORWARD: &str = "forward";
const PREROUTING: &str = "prerouting";
const POSTROUTING: &str = "postrouting";
const VPN_HOST: &str = "vpn_host";
const VPN_OUT: &str = "vpn_out";
const VPN_INTERNAL: &str = "vpn_internal";
const VPN_IN: &str = "vpn_in";
const VPN_IN_OPEN: &str = "vpn_in_open";

/// Sets of interface names. They belong to the skeleton: they change with its rules, in the same transaction.
pub(super) const TUNNELS: &str = "tunnels";
pub(super) const WANS: &str = "wans";

const NFPROTO_IPV4: u8 = 2;
const ICMP_ECHO_REQUEST: u8 = 8;
const ICMPV6_ECHO_REQUEST: u8 = 128;

/// All our chains. Those with a hook accept: what is not ours passes as if we were not there.
pub(super) fn chains() -> Vec<(&'static str, Option<BaseChain>)> {
    let filter = |hook| Some(BaseChain::filter(hook, Priority::Filter).policy(Policy::Accept));
    let nat = |hook, priority| Some(BaseChain::nat(hook, priority).policy(Policy::Accept));
    vec![
        (VPN_HOST, None),
        (VPN_OUT, None),
        (VPN_INTERNAL, None),
        (VPN_IN, None),
        (VPN_IN_OPEN, None),
        (INPUT, filter(FilterHook::Input)),
        (FORWARD, filter(FilterHook::Forward)),
        (PREROUTING, nat(NatHook::Prerouting, Priority::DstNat)),
        (POSTROUTING, nat(NatHook::Postrouting, Priority::SrcNat)),
    ]
}

/// A chain to be made.
pub(super) fn chain(name: &str, base: Option<BaseChain>) -> Result<Chain, nlink::Error> {
    let chain = Chain::new(TABLE, name)?.family(Family::Inet);
    Ok(base.into_iter().fold(chain, Chain::base))
}

/// Whether a chain in the kernel is as we make it.
pub(super) fn is_as_made(info: &ChainInfo, base: Option<&BaseChain>) -> bool {
    match (info.kind(), base) {
        (Some(ChainKind::Base(found)), Some(wanted)) => found == *wanted,
        (Some(ChainKind::Regular), None) => true,
        (Some(_) | None, _) => false,
    }
}

/// A set of interface names.
pub(super) fn interfaces(name: &str) -> Set {
    Set::new(TABLE, name).family(Family::Inet).key_type(IFNAME)
}

/// Makes a set of interface names.
pub(super) fn make_interfaces(name: &str) -> RawMessage {
    make_set(name, SetFlags::empty(), &IFNAME, None)
}

/// Whether a set in the kernel is one of interface names.
pub(super) fn is_interfaces(info: &SetInfo) -> bool {
    info.key_type == IFNAME.type_id() && info.key_len == IFNAME.len() && info.flags.bits() == 0
}

/// A skeleton as it goes to the kernel.
pub(super) struct Rendered {
    /// Rules in order, each with its chain.
    pub(super) rules: Vec<Rule>,
    pub(super) tunnels: Vec<SetElement>,
    pub(super) wans: Vec<SetElement>,
    /// Counters that the rules name.
    pub(super) counters: Vec<Counter>,
}

/// Renders the rules; each carries the digest, its place and the sizes of the sets in its comment.
pub(super) fn render(digest: &str, rules: &SkeletonRules) -> Result<Rendered, nlink::Error> {
    let tunnels: BTreeSet<IfName> = rules.servers.iter().map(|server| server.interface).collect();
    let wans: BTreeSet<IfName> = rules.wans.iter().copied().collect();
    let mut all = host_rules();
    all.extend(out_rules(&rules.servers));
    all.extend(internal_rules());
    all.extend(in_rules());
    all.extend(nat_rules(&rules.servers));
    let total = all.len();
    let mark = |(place, rule): (usize, Rule)| {
        let mark = Mark { digest: digest.to_owned(), place, total, tunnels: tunnels.len(), wans: wans.len() };
        rule.family(Family::Inet).comment(&mark.to_string())
    };
    let counters =
        rules.servers.iter().flat_map(|s| [Counter::ServerNat(s.id), Counter::ServerInternal(s.id)]).collect();
    Ok(Rendered {
        rules: all.into_iter().enumerate().map(mark).collect(),
        tunnels: tunnels.iter().map(|name| interface(*name, digest)).collect(),
        wans: wans.iter().map(|name| interface(*name, digest)).collect(),
        counters,
    })
}

fn interface(name: IfName, digest: &str) -> SetElement {
    SetElement::new(interface_key(name)).with_comment(digest)
}

fn rule(chain: &str) -> Rule {
    Rule::new(TABLE, chain)
}

/// The interface that a packet came in by is one of a set.
fn from(rule: Rule, set: &str) -> Rule {
    interface_in(rule, MetaKey::IifName, LookupExpr::new(set, Register::R0))
}

fn not_from(rule: Rule, set: &str) -> Rule {
    interface_in(rule, MetaKey::IifName, LookupExpr::new(set, Register::R0).invert())
}

/// The interface that a packet leaves by is one of a set.
fn to(rule: Rule, set: &str) -> Rule {
    interface_in(rule, MetaKey::OifName, LookupExpr::new(set, Register::R0))
}

fn not_to(rule: Rule, set: &str) -> Rule {
    interface_in(rule, MetaKey::OifName, LookupExpr::new(set, Register::R0).invert())
}

fn interface_in(rule: Rule, key: MetaKey, lookup: LookupExpr) -> Rule {
    rule.expr(Expr::Meta { dreg: Register::R0, key }).expr(lookup)
}

fn goto(rule: Rule, chain: &str) -> Rule {
    // Our names are constants and valid; were one not, its packets would be dropped.
    match ChainName::new(chain) {
        Ok(name) => rule.goto(name),
        Err(_) => rule.drop(),
    }
}

/// VPN to the gateway itself: pings, and answers to what the gateway asked.
fn host_rules() -> Vec<Rule> {
    let echo6 = rule(VPN_HOST).match_icmpv6_type(ICMPV6_ECHO_REQUEST);
    let mut rules = vec![goto(from(rule(INPUT), TUNNELS), VPN_HOST)];
    rules.extend(only_granted(VPN_HOST, End::Source));
    rules.extend([
        rule(VPN_HOST)
            .match_ct_direction(CtDirection::Reply)
            .match_ct_state(CtState::ESTABLISHED | CtState::RELATED)
            .accept(),
        rule(VPN_HOST).match_icmp_type(ICMP_ECHO_REQUEST).accept(),
        echo6.accept(),
        rule(VPN_HOST).drop(),
    ]);
    rules
}

/// From the VPN outwards.
fn out_rules(servers: &[ServerRules]) -> Vec<Rule> {
    let mut rules = vec![goto(from(rule(FORWARD), TUNNELS), VPN_OUT), goto(to(rule(FORWARD), TUNNELS), VPN_IN)];
    rules.extend(only_granted(VPN_OUT, End::Source));
    for server in servers {
        let name = server.interface.as_str();
        let inside = rule(VPN_OUT)
            .match_iif(name)
            .match_oif(name)
            .counter_named(&names::counter(Counter::ServerInternal(server.id)));
        rules.push(if server.internal_traffic { goto(inside, VPN_INTERNAL) } else { inside.drop() });
    }
    rules.push(to(rule(VPN_OUT), TUNNELS).drop());
    rules.push(not_to(rule(VPN_OUT), WANS).drop());
    rules.extend(quota(VPN_OUT, End::Source));
    rules.extend(count(VPN_OUT, End::Source));
    rules.extend(classify(VPN_OUT, End::Source));
    rules.push(rule(VPN_OUT).accept());
    rules
}

/// Between accounts of one server: sent by one, received by the other.
fn internal_rules() -> Vec<Rule> {
    let mut rules = only_granted(VPN_INTERNAL, End::Destination);
    rules.extend(quota(VPN_INTERNAL, End::Source));
    rules.extend(quota(VPN_INTERNAL, End::Destination));
    rules.extend(count(VPN_INTERNAL, End::Source));
    rules.extend(count(VPN_INTERNAL, End::Destination));
    rules.extend(classify(VPN_INTERNAL, End::Destination));
    rules.push(rule(VPN_INTERNAL).accept());
    rules
}

/// From outside into the VPN: answers, and port forwardings.
fn in_rules() -> Vec<Rule> {
    let mut rules = vec![not_from(rule(VPN_IN), WANS).drop()];
    rules.extend(only_granted(VPN_IN, End::Destination));
    rules.push(goto(rule(VPN_IN).match_ct_state(CtState::ESTABLISHED | CtState::RELATED), VPN_IN_OPEN));
    rules.push(goto(rule(VPN_IN).match_ct_status(CtStatus::DST_NAT), VPN_IN_OPEN));
    rules.push(rule(VPN_IN).drop());
    rules.extend(quota(VPN_IN_OPEN, End::Destination));
    rules.extend(count(VPN_IN_OPEN, End::Destination));
    rules.extend(classify(VPN_IN_OPEN, End::Destination));
    rules.push(rule(VPN_IN_OPEN).accept());
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

/// Which end of a packet is the account.
#[derive(Debug, Clone, Copy)]
enum End {
    Source,
    Destination,
}

impl End {
    fn fields(self) -> [(PacketField, &'static str); 2] {
        match self {
            Self::Source => [(PacketField::Ip4Saddr, "4"), (PacketField::Ip6Saddr, "6")],
            Self::Destination => [(PacketField::Ip4Daddr, "4"), (PacketField::Ip6Daddr, "6")],
        }
    }
}

fn only_granted(chain: &str, end: End) -> Vec<Rule> {
    let one = |(field, version)| rule(chain).match_not_in_set(field, &format!("granted{version}")).drop();
    end.fields().map(one).into()
}

fn quota(chain: &str, end: End) -> Vec<Rule> {
    let one = |(field, version)| rule(chain).objref_from_map(field, &format!("quota{version}")).drop();
    end.fields().map(one).into()
}

fn count(chain: &str, end: End) -> Vec<Rule> {
    let map = match end {
        End::Source => "up",
        End::Destination => "down",
    };
    let one = |(field, version)| rule(chain).objref_from_map(field, &format!("{map}{version}"));
    end.fields().map(one).into()
}

fn classify(chain: &str, end: End) -> Vec<Rule> {
    let one = |(field, version)| rule(chain).set_priority_from_map(field, &format!("class{version}"));
    end.fields().map(one).into()
}

/// What a rule's comment says.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    digest: String,
    place: usize,
    total: usize,
    tunnels: usize,
    wans: usize,
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{} {}+{}", self.digest, self.place, self.total, self.tunnels, self.wans)
    }
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let digest = words.next()?.to_owned();
        let (place, total) = words.next()?.split_once('/')?;
        let (tunnels, wans) = words.next()?.split_once('+')?;
        let number = |text: &str| text.parse().ok();
        Some(Self {
            digest,
            place: number(place)?,
            total: number(total)?,
            tunnels: number(tunnels)?,
            wans: number(wans)?,
        })
    }
}

/// What stands in the kernel.
pub(super) struct Standing<'a> {
    pub(super) chains: &'a [ChainInfo],
    pub(super) rules: &'a [RuleInfo],
    pub(super) tunnels: &'a [SetElement],
    pub(super) wans: &'a [SetElement],
}

/// Why a skeleton that stands is not one that we made.
const CHANGED: &str = "changed by somebody else";

impl Standing<'_> {
    /// The skeleton that stands; one that was changed in any way compares to none. `None`: there is none.
    pub(super) fn skeleton(&self) -> Option<Skeleton> {
        if self.chains.is_empty() {
            return None;
        }
        Some(Skeleton::observed(self.digest().unwrap_or_else(|| CHANGED.to_owned())))
    }

    fn digest(&self) -> Option<String> {
        let wanted = chains();
        let made = |(name, base): &(&str, Option<BaseChain>)| {
            self.chains.iter().any(|info| info.name == *name && is_as_made(info, base.as_ref()))
        };
        if self.chains.len() != wanted.len() || !wanted.iter().all(made) {
            return None;
        }
        let marks = self.rules.iter().map(|rule| Mark::parse(rule.comment_text.as_deref()?));
        let marks = marks.collect::<Option<Vec<Mark>>>()?;
        let first = marks.first()?;
        let digest = &first.digest;
        let alike = |m: &Mark| m.digest == *digest && m.total == first.total;
        let places: BTreeSet<usize> = marks.iter().map(|m| m.place).collect();
        let whole = marks.len() == first.total && places.len() == first.total && marks.iter().all(alike);
        let ours = |elements: &[SetElement], count: usize| {
            elements.len() == count && elements.iter().all(|e| e.comment() == Some(digest))
        };
        (whole && self.in_order(&marks) && ours(self.tunnels, first.tunnels) && ours(self.wans, first.wans))
            .then(|| digest.clone())
    }

    /// Within each chain rules stand in the order in which they were made.
    fn in_order(&self, marks: &[Mark]) -> bool {
        let mut last = std::collections::BTreeMap::<&str, usize>::new();
        self.rules.iter().zip(marks).all(|(rule, mark)| {
            let before = last.insert(&rule.chain, mark.place);
            before.is_none_or(|before| before < mark.place)
        })
    }

    /// Changes when the body of any rule does, which comments alone would not tell.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for rule in self.rules {
            (&rule.chain, &rule.expression_bytes).hash(&mut hasher);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark =
            Mark { digest: "0123456789abcdef0123456789abcdef".to_owned(), place: 3, total: 40, tunnels: 2, wans: 1 };
        assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        for foreign in ["", "hello", "a b c", "a 1/2", "a 1/2 3"] {
            assert_eq!(Mark::parse(foreign), None, "{foreign}");
        }
    }
}
