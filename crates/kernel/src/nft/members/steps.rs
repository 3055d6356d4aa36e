//! Changes as steps of a transaction.

use std::{net::IpAddr, time::Duration};

use doorward_policy::{
    guest::Mac,
    item::{Expiry, Item, QuotaSpec},
    name::IfName,
    vpn_server::Protocol,
};
use nlink::{
    TcHandle,
    netlink::nftables::{Family, NFT_MSG_NEWOBJ, ObjectType, RawMessage, SetElement, Transaction},
};

use super::{CLASS_MAJOR, Member, TCP, UDP, Version, attribute, interface_key, text};
use crate::{names, names::TABLE};

/// Elements in one message: the list that holds them has at most 64 KiB.
pub(in crate::nft) const ELEMENTS_PER_MESSAGE: usize = 400;

/// One step of a transaction.
#[derive(Debug, Clone)]
pub(in crate::nft) enum Step {
    /// Let there be an element.
    Put(Member, SetElement),
    /// Let there be none with this key.
    Take(Member, SetElement),
    /// Let there be a counter.
    PutCounter(String),
    /// Let there be a quota with this limit. What an existing one consumed stays.
    PutQuota(String, QuotaSpec),
    /// Let there be no such object.
    TakeObject(ObjectType, String),
}

/// The steps that make an item true where nothing of its key is (`replace`: or something else is).
/// `None`: not an item of nftables members.
pub(in crate::nft) fn put(item: &Item, now_ms: i64, replace: bool) -> Option<Vec<Step>> {
    let steps = match item {
        Item::Counter(counter) => vec![Step::PutCounter(names::counter(*counter))],
        Item::Quota(id, spec) => vec![Step::PutQuota(names::quota(*id), *spec)],
        Item::Granted(..)
        | Item::CountUp(..)
        | Item::CountDown(..)
        | Item::QuotaOf(..)
        | Item::ClassOf(..)
        | Item::Forward(..)
        | Item::Device(..)
        | Item::Garden(..)
        | Item::AllowedMac(..)
        | Item::BlockedMac(..) => {
            let (member, element) = element(item, now_ms)?;
            // Adding a grant that is there would leave its old timeout.
            let replace = replace || member.has_timeouts();
            let take = replace.then(|| Step::Take(member, SetElement::new(element.key().to_vec())));
            take.into_iter().chain([Step::Put(member, element)]).collect()
        }
        Item::Skeleton(_)
        | Item::Sysctl(_)
        | Item::Tunnel(..)
        | Item::Address(..)
        | Item::Root(_)
        | Item::Class(..)
        | Item::GuestAddress(..)
        | Item::Isolated(_)
        | Item::Peer(..) => return None,
    };
    Some(steps)
}

/// The step that takes an item away. `None`: not an item of nftables members.
pub(in crate::nft) fn take(item: &Item) -> Option<Step> {
    match item {
        Item::Counter(counter) => Some(Step::TakeObject(ObjectType::Counter, names::counter(*counter))),
        Item::Quota(id, _) => Some(Step::TakeObject(ObjectType::Quota, names::quota(*id))),
        Item::Granted(..)
        | Item::CountUp(..)
        | Item::CountDown(..)
        | Item::QuotaOf(..)
        | Item::ClassOf(..)
        | Item::Forward(..)
        | Item::Device(..)
        | Item::Garden(..)
        | Item::AllowedMac(..)
        | Item::BlockedMac(..) => {
            let (member, element) = element(item, 0)?;
            Some(Step::Take(member, SetElement::new(element.key().to_vec())))
        }
        Item::Skeleton(_)
        | Item::Sysctl(_)
        | Item::Tunnel(..)
        | Item::Address(..)
        | Item::Root(_)
        | Item::Class(..)
        | Item::GuestAddress(..)
        | Item::Isolated(_)
        | Item::Peer(..) => None,
    }
}

fn element(item: &Item, now_ms: i64) -> Option<(Member, SetElement)> {
    match item {
        Item::Granted(address, expiry) => {
            Some((Member::Granted(Version::of(*address)), ends(address_key(*address), *expiry, now_ms)))
        }
        Item::CountUp(address, counter) => {
            Some((Member::Up(Version::of(*address)), address_key(*address).object(&names::counter(*counter))))
        }
        Item::CountDown(address, counter) => {
            Some((Member::Down(Version::of(*address)), address_key(*address).object(&names::counter(*counter))))
        }
        Item::QuotaOf(address, way, quota) => {
            Some((Member::Quota(*way, Version::of(*address)), address_key(*address).object(&names::quota(*quota))))
        }
        Item::Device(address, mac, expiry) => {
            let key = SetElement::concat([address_key(*address), SetElement::new(mac.0.to_vec())]);
            Some((Member::Device(Version::of(*address)), ends(key, *expiry, now_ms)))
        }
        Item::Garden(address, port, expiry) => {
            let key = SetElement::concat([address_key(*address), SetElement::port(*port)]);
            Some((Member::Garden(Version::of(*address)), ends(key, *expiry, now_ms)))
        }
        Item::AllowedMac(name, mac) => Some((Member::Allowed, interface_and_mac(*name, *mac))),
        Item::BlockedMac(name, mac) => Some((Member::Blocked, interface_and_mac(*name, *mac))),
        Item::ClassOf(address, minor) => {
            let class = SetElement::classid(TcHandle::new(CLASS_MAJOR, *minor));
            Some((Member::Class(Version::of(*address)), address_key(*address).value(class)))
        }
        Item::Forward(key, to) => {
            let protocol = match key.protocol {
                Protocol::Tcp => TCP,
                Protocol::Udp => UDP,
            };
            let from = [SetElement::ipv4(key.address), SetElement::inet_proto(protocol), SetElement::port(key.port)];
            let to = SetElement::concat([SetElement::ipv4(to.address), SetElement::port(to.port)]);
            Some((Member::Forward, SetElement::concat(from).value(to)))
        }
        Item::Skeleton(_)
        | Item::Sysctl(_)
        | Item::Tunnel(..)
        | Item::Address(..)
        | Item::Root(_)
        | Item::Class(..)
        | Item::Counter(_)
        | Item::Quota(..)
        | Item::GuestAddress(..)
        | Item::Isolated(_)
        | Item::Peer(..) => None,
    }
}

/// Gives an element its timeout, and the moment to the millisecond as its comment.
fn ends(element: SetElement, expiry: Expiry, now_ms: i64) -> SetElement {
    match expiry {
        Expiry::Never => element,
        Expiry::At(at_ms) => {
            let left_ms = u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0).max(1);
            element.with_timeout(Duration::from_millis(left_ms)).with_comment(at_ms.to_string())
        }
    }
}

fn interface_and_mac(name: IfName, mac: Mac) -> SetElement {
    SetElement::concat([SetElement::new(interface_key(name)), SetElement::new(mac.0.to_vec())])
}

fn address_key(address: IpAddr) -> SetElement {
    match address {
        IpAddr::V4(v4) => SetElement::ipv4(v4),
        IpAddr::V6(v6) => SetElement::ipv6(v6),
    }
}

/// Appends steps to a transaction, in order; neighbours of the same kind share a message. `destroy`: the kernel can
/// take away what is not there (Linux 6.3).
pub(in crate::nft) fn append(mut transaction: Transaction, steps: &[Step], destroy: bool) -> Transaction {
    let mut rest = steps;
    while let Some(first) = rest.first() {
        let alike = rest.iter().take(ELEMENTS_PER_MESSAGE).take_while(|step| same_message(first, step)).count();
        let (run, others) = rest.split_at(alike.max(1));
        rest = others;
        transaction = match first {
            Step::Put(member, _) => transaction.add_set_elements(&member.set(), &elements(run)),
            Step::Take(member, _) if destroy => transaction.destroy_set_elements(&member.set(), &elements(run)),
            Step::Take(member, _) => transaction.del_set_elements(&member.set(), &elements(run)),
            Step::PutCounter(name) => transaction.raw(put_object(ObjectType::Counter, name, &[])),
            Step::PutQuota(name, spec) => transaction.raw(put_object(ObjectType::Quota, name, &quota_data(*spec))),
            Step::TakeObject(kind, name) if destroy => transaction.destroy_object(TABLE, name, *kind, Family::Inet),
            Step::TakeObject(kind, name) => transaction.del_object(TABLE, name, *kind, Family::Inet),
        };
    }
    transaction
}

fn same_message(a: &Step, b: &Step) -> bool {
    match (a, b) {
        (Step::Put(a, _), Step::Put(b, _)) | (Step::Take(a, _), Step::Take(b, _)) => a == b,
        (Step::Put(..) | Step::Take(..) | Step::PutCounter(_) | Step::PutQuota(..) | Step::TakeObject(..), _) => false,
    }
}

fn elements(run: &[Step]) -> Vec<SetElement> {
    let element = |step: &Step| match step {
        Step::Put(_, element) | Step::Take(_, element) => Some(element.clone()),
        Step::PutCounter(_) | Step::PutQuota(..) | Step::TakeObject(..) => None,
    };
    run.iter().filter_map(element).collect()
}

// `enum nft_object_attributes` and `enum nft_quota_attributes` of linux/netfilter/nf_tables.h.
const NFTA_OBJ_TABLE: u16 = 1;
const NFTA_OBJ_NAME: u16 = 2;
const NFTA_OBJ_TYPE: u16 = 3;
const NFTA_OBJ_DATA: u16 = 4;
const NFTA_QUOTA_BYTES: u16 = 1;
const NFTA_QUOTA_FLAGS: u16 = 2;
const NFTA_QUOTA_CONSUMED: u16 = 4;
const NFT_QUOTA_F_INV: u32 = 1;
const NLM_F_CREATE: u16 = 0x400;
const NLA_F_NESTED: u16 = 0x8000;

/// Makes an object or, if it is a quota that is there, gives it a new limit: without `NLM_F_EXCL`, which nlink always
/// sets, and with the bytes consumed before, for which it has no field.
fn put_object(kind: ObjectType, name: &str, data: &[u8]) -> RawMessage {
    let mut attrs = Vec::with_capacity(64 + data.len());
    attribute(&mut attrs, NFTA_OBJ_TABLE, &text(TABLE));
    attribute(&mut attrs, NFTA_OBJ_NAME, &text(name));
    attribute(&mut attrs, NFTA_OBJ_TYPE, &(kind as u32).to_be_bytes());
    attribute(&mut attrs, NFTA_OBJ_DATA | NLA_F_NESTED, data);
    RawMessage::new(NFT_MSG_NEWOBJ, Family::Inet).flags(NLM_F_CREATE).attrs(attrs)
}

fn quota_data(spec: QuotaSpec) -> Vec<u8> {
    let mut data = Vec::with_capacity(36);
    attribute(&mut data, NFTA_QUOTA_BYTES, &spec.limit_bytes.to_be_bytes());
    attribute(&mut data, NFTA_QUOTA_FLAGS, &NFT_QUOTA_F_INV.to_be_bytes());
    attribute(&mut data, NFTA_QUOTA_CONSUMED, &spec.used_bytes.min(spec.limit_bytes).to_be_bytes());
    data
}
