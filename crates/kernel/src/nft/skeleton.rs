//! Chains and rules: who may send what (docs/traffic-policy.md), rendered from settings. No rule is ever made for an
//! account or a guest.

mod firewall;
mod guests;
mod standing;
mod vpn;
mod words;

use std::collections::BTreeSet;

use doorward_policy::{
    item::{Counter, SkeletonRules},
    name::IfName,
};
use nlink::netlink::nftables::{
    BaseChain, Chain, ChainInfo, ChainKind, Family, FilterHook, NatHook, Policy, Priority, RawMessage, Rule, Set,
    SetElement, SetFlags, SetInfo,
};

pub(super) use self::standing::Standing;
use self::{
    standing::Mark,
    words::{from, goto, rule, to},
};
use super::members::{IFNAME, interface_key, make_set};
use crate::names::TABLE;

/// Names of our chains with a hook; the others are where they lead.
const INPUT: &str = "input";
const FORWARD: &str = "forward";
const PREROUTING: &str = "prerouting";
const POSTROUTING: &str = "postrouting";
const OUTPUT: &str = "output";

/// Sets of interface names. They belong to the skeleton: they change with its rules, in the same transaction.
const TUNNELS: &str = "tunnels";
const WANS: &str = "wans";
const GUESTS: &str = "guests";

/// All of these sets.
pub(super) const INTERFACES: [&str; 3] = [TUNNELS, WANS, GUESTS];

/// All our chains. Those with a hook accept: what is not ours passes as if we were not there.
pub(super) fn chains() -> Vec<(&'static str, Option<BaseChain>)> {
    let filter = |hook| Some(BaseChain::filter(hook, Priority::Filter).policy(Policy::Accept));
    let nat = |hook, priority| Some(BaseChain::nat(hook, priority).policy(Policy::Accept));
    let regular = vpn::CHAINS.into_iter().chain(guests::CHAINS).map(|name| (name, None));
    let hooked = [
        (INPUT, filter(FilterHook::Input)),
        (FORWARD, filter(FilterHook::Forward)),
        (OUTPUT, filter(FilterHook::Output)),
        (PREROUTING, nat(NatHook::Prerouting, Priority::DstNat)),
        (POSTROUTING, nat(NatHook::Postrouting, Priority::SrcNat)),
    ];
    regular.chain(hooked).collect()
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
    /// What is in each of the sets [`INTERFACES`].
    pub(super) interfaces: [Vec<SetElement>; 3],
    /// Counters that the rules name.
    pub(super) counters: Vec<Counter>,
}

/// Renders the rules; each carries the digest, its place and the sizes of the sets in its comment.
pub(super) fn render(digest: &str, rules: &SkeletonRules) -> Result<Rendered, nlink::Error> {
    let tunnels: BTreeSet<IfName> = rules.servers.iter().map(|server| server.interface).collect();
    let wans: BTreeSet<IfName> = rules.wans.iter().copied().collect();
    let guests: BTreeSet<IfName> = rules.hotspots.iter().map(|hotspot| hotspot.interface).collect();
    let sets = [tunnels, wans, guests];
    let mut all = hooks();
    all.extend(vpn::rules(&rules.servers, &rules.firewall));
    if !rules.hotspots.is_empty() {
        all.extend(guests::rules(&rules.hotspots, &rules.firewall));
    }
    let (total, sizes) = (all.len(), sets.each_ref().map(BTreeSet::len));
    let mark = |(place, rule): (usize, Rule)| {
        let mark = Mark { digest: digest.to_owned(), place, total, sizes };
        rule.family(Family::Inet).comment(&mark.to_string())
    };
    let of_server = rules.servers.iter().flat_map(|s| [Counter::ServerNat(s.id), Counter::ServerInternal(s.id)]);
    let counters = of_server.chain(rules.firewall.rules.iter().map(|rule| Counter::Rule(rule.id))).collect();
    Ok(Rendered {
        rules: all.into_iter().enumerate().map(mark).collect(),
        interfaces: sets.map(|names| names.into_iter().map(|name| interface(name, digest)).collect()),
        counters,
    })
}

fn interface(name: IfName, digest: &str) -> SetElement {
    SetElement::new(interface_key(name)).with_comment(digest)
}

/// Where what is ours leaves the chains that accept. What comes from our clients and guests is judged by where it comes
/// from, the rest by where it goes.
fn hooks() -> Vec<Rule> {
    vec![
        goto(from(rule(INPUT), TUNNELS), vpn::HOST),
        goto(from(rule(INPUT), GUESTS), guests::HOST),
        goto(from(rule(FORWARD), TUNNELS), vpn::OUT),
        goto(from(rule(FORWARD), GUESTS), guests::OUT),
        goto(to(rule(FORWARD), TUNNELS), vpn::IN),
        goto(to(rule(FORWARD), GUESTS), guests::IN),
        goto(from(rule(PREROUTING), GUESTS), guests::REDIRECT),
        goto(to(rule(OUTPUT), TUNNELS), vpn::SELF),
    ]
}
