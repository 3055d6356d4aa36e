//! The words of which rules are made.

use doorward_policy::guest::Way;
use nlink::netlink::nftables::{
    ChainName, CmpOp, DynsetExpr, DynsetOp, Expr, LookupExpr, MetaKey, PacketField, PayloadBase, Register, Rule,
};

use super::super::members::{Member, Version};
use crate::names::TABLE;

pub(super) const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const ARPHRD_ETHER: u16 = 1;
pub(super) const ICMP_ECHO_REQUEST: u8 = 8;
pub(super) const ICMPV6_ECHO_REQUEST: u8 = 128;

pub(super) fn rule(chain: &str) -> Rule {
    Rule::new(TABLE, chain)
}

/// The interface that a packet came in by is one of a set.
pub(super) fn from(rule: Rule, set: &str) -> Rule {
    interface_in(rule, MetaKey::IifName, LookupExpr::new(set, Register::R0))
}

pub(super) fn not_from(rule: Rule, set: &str) -> Rule {
    interface_in(rule, MetaKey::IifName, LookupExpr::new(set, Register::R0).invert())
}

/// The interface that a packet leaves by is one of a set.
pub(super) fn to(rule: Rule, set: &str) -> Rule {
    interface_in(rule, MetaKey::OifName, LookupExpr::new(set, Register::R0))
}

pub(super) fn not_to(rule: Rule, set: &str) -> Rule {
    interface_in(rule, MetaKey::OifName, LookupExpr::new(set, Register::R0).invert())
}

fn interface_in(rule: Rule, key: MetaKey, lookup: LookupExpr) -> Rule {
    rule.expr(Expr::Meta { dreg: Register::R0, key }).expr(lookup)
}

pub(super) fn goto(rule: Rule, chain: &str) -> Rule {
    // Our names are constants and valid; were one not, its packets would be dropped.
    match ChainName::new(chain) {
        Ok(name) => rule.goto(name),
        Err(_) => rule.drop(),
    }
}

pub(super) fn jump(rule: Rule, chain: &str) -> Rule {
    match ChainName::new(chain) {
        Ok(name) => rule.jump(name),
        Err(_) => rule.drop(),
    }
}

/// The device that a packet comes from is one of a set, for the interface that it came in by.
pub(super) fn from_mac(rule: Rule, set: Member) -> Rule {
    of_ethernet(rule)
        .expr(Expr::Meta { dreg: Register::Reg32_00, key: MetaKey::IifName })
        .expr(source_mac(Register::Reg32_04))
        .expr(LookupExpr::new(set.name(), Register::Reg32_00))
}

/// Notes IPv6 address and device that a packet comes from.
pub(super) fn note_stray(rule: Rule) -> Rule {
    of_version(of_ethernet(rule), Version::V6)
        .expr(Expr::Payload { dreg: Register::Reg32_00, base: PayloadBase::Network, offset: 8, len: 16 })
        .expr(source_mac(Register::Reg32_04))
        .expr(DynsetExpr::new(DynsetOp::Update, Member::Stray.name(), Register::Reg32_00))
}

/// Address and device that a packet comes from are those of an online guest: neither alone is enough.
pub(super) fn from_device(rule: Rule, version: Version) -> Rule {
    let (offset, len, mac) = match version {
        Version::V4 => (12, 4, Register::Reg32_01),
        Version::V6 => (8, 16, Register::Reg32_04),
    };
    of_version(of_ethernet(rule), version)
        .expr(Expr::Payload { dreg: Register::Reg32_00, base: PayloadBase::Network, offset, len })
        .expr(source_mac(mac))
        .expr(LookupExpr::new(Member::Device(version).name(), Register::Reg32_00))
}

/// Only packets that have a MAC address.
fn of_ethernet(rule: Rule) -> Rule {
    rule.expr(Expr::Meta { dreg: Register::R0, key: MetaKey::IifType }).expr(Expr::Cmp {
        sreg: Register::R0,
        op: CmpOp::Eq,
        data: ARPHRD_ETHER.to_ne_bytes().into(),
    })
}

/// Only packets of a version of IP.
pub(super) fn of_version(rule: Rule, version: Version) -> Rule {
    let protocol = match version {
        Version::V4 => NFPROTO_IPV4,
        Version::V6 => NFPROTO_IPV6,
    };
    rule.expr(Expr::Meta { dreg: Register::R0, key: MetaKey::NfProto }).expr(Expr::Cmp {
        sreg: Register::R0,
        op: CmpOp::Eq,
        data: vec![protocol],
    })
}

fn source_mac(dreg: Register) -> Expr {
    Expr::Payload { dreg, base: PayloadBase::LinkLayer, offset: 6, len: 6 }
}

/// Which end of a packet is the account or the guest.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Source,
    Destination,
}

impl End {
    pub(super) fn fields(self) -> [(PacketField, &'static str); 2] {
        match self {
            Self::Source => [(PacketField::Ip4Saddr, "4"), (PacketField::Ip6Saddr, "6")],
            Self::Destination => [(PacketField::Ip4Daddr, "4"), (PacketField::Ip6Daddr, "6")],
        }
    }
}

pub(super) fn only_granted(chain: &str, end: End) -> Vec<Rule> {
    let one = |(field, version)| rule(chain).match_not_in_set(field, &format!("granted{version}")).drop();
    end.fields().map(one).into()
}

/// A quota that is used up: what is left of the rule says what happens then.
pub(super) fn over_quota(chain: &str, end: End, way: Way) -> [Rule; 2] {
    let name = |version| Member::Quota(way, version).name();
    let [(four, _), (six, _)] = end.fields();
    [rule(chain).objref_from_map(four, name(Version::V4)), rule(chain).objref_from_map(six, name(Version::V6))]
}

pub(super) fn quota(chain: &str, end: End) -> Vec<Rule> {
    over_quota(chain, end, Way::Total).map(Rule::drop).into()
}

pub(super) fn count(chain: &str, end: End) -> Vec<Rule> {
    let map = match end {
        End::Source => "up",
        End::Destination => "down",
    };
    let one = |(field, version)| rule(chain).objref_from_map(field, &format!("{map}{version}"));
    end.fields().map(one).into()
}

pub(super) fn classify(chain: &str, end: End) -> Vec<Rule> {
    let one = |(field, version)| rule(chain).set_priority_from_map(field, &format!("class{version}"));
    end.fields().map(one).into()
}
