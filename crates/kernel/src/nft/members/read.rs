//! What stands in the kernel, back as items.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use doorward_policy::{
    account::AccountId,
    guest::Mac,
    item::{Counter, Expiry, ForwardKey, ForwardTo, Item, QuotaId, QuotaSpec},
    name::IfName,
    observed::{Count, Stats},
    vpn_server::Protocol,
};
use nlink::{
    TcHandle,
    netlink::nftables::{ObjectInfo, ObjectState, SetElement, SetElementData},
};

use super::{CLASS_MAJOR, Member, SEEN_TIMEOUT, TCP, UDP};
use crate::names;

/// What an element in the kernel says. An element that we did not write so gets a value that nobody wants, so that it
/// is planned away. `None`: not even its key is readable, or it was made by a rule.
pub(in crate::nft) fn read_element(member: Member, element: &SetElement, now_ms: i64) -> Option<Item> {
    let address = || read_address(element.key());
    match member {
        Member::Granted(_) => Some(Item::Granted(address()?, read_expiry(element, now_ms))),
        Member::Up(_) => Some(Item::CountUp(address()?, read_counter(element))),
        Member::Down(_) => Some(Item::CountDown(address()?, read_counter(element))),
        Member::Quota(way, _) => {
            let nobodys = QuotaId::Account { account: AccountId(-1), period_start_ms: 0 };
            Some(Item::QuotaOf(address()?, way, object(element).and_then(names::parse_quota).unwrap_or(nobodys)))
        }
        Member::Class(_) => {
            let raw = value(element).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes).unwrap_or(0);
            let class = TcHandle::from_raw(raw);
            Some(Item::ClassOf(address()?, if class.major() == CLASS_MAJOR { class.minor() } else { 0 }))
        }
        Member::Forward => read_forward(element),
        Member::Device(version) => {
            let (address, mac) = element.key().split_at_checked(version.bytes())?;
            Some(Item::Device(read_address(address)?, read_mac(mac)?, read_expiry(element, now_ms)))
        }
        Member::Garden(version) => {
            let (address, port) = element.key().split_at_checked(version.bytes())?;
            let port = u16::from_be_bytes(port.get(..2)?.try_into().ok()?);
            Some(Item::Garden(read_address(address)?, port, read_expiry(element, now_ms)))
        }
        Member::Allowed => read_interface_and_mac(element.key()).map(|(name, mac)| Item::AllowedMac(name, mac)),
        Member::Blocked => read_interface_and_mac(element.key()).map(|(name, mac)| Item::BlockedMac(name, mac)),
        Member::Seen(_) | Member::Passing(_) | Member::Clock(_) | Member::Stray => None,
    }
}

/// Puts what an element of [`Member::Seen`] says.
pub(in crate::nft) fn read_seen(element: &SetElement, stats: &mut Stats) {
    let left = element.expiration().unwrap_or(SEEN_TIMEOUT);
    let idle_ms = SEEN_TIMEOUT.saturating_sub(left).as_millis();
    if let Some(address) = read_address(element.key()) {
        stats.seen.insert(address, u64::try_from(idle_ms).unwrap_or(u64::MAX));
    }
}

/// Address and device of an element of [`Member::Stray`].
pub(in crate::nft) fn read_stray(element: &SetElement) -> Option<(IpAddr, Mac)> {
    let (address, mac) = element.key().split_at_checked(16)?;
    Some((read_address(address)?, read_mac(mac)?))
}

fn read_expiry(element: &SetElement, now_ms: i64) -> Expiry {
    let told = element.comment().and_then(|text| text.parse::<i64>().ok());
    let left = element.expiration().or(element.timeout());
    match (told, left) {
        (_, None) => Expiry::Never,
        (Some(at_ms), Some(_)) => Expiry::At(at_ms),
        (None, Some(left)) => Expiry::At(now_ms.saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX))),
    }
}

fn read_forward(element: &SetElement) -> Option<Item> {
    let [a, b, c, d, protocol, _, _, _, high, low, ..] = *element.key() else { return None };
    let protocol = match protocol {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        _ => return None,
    };
    let key = ForwardKey { address: Ipv4Addr::new(a, b, c, d), protocol, port: u16::from_be_bytes([high, low]) };
    let to = match value(element) {
        Some([a, b, c, d, high, low, ..]) => {
            ForwardTo { address: Ipv4Addr::new(*a, *b, *c, *d), port: u16::from_be_bytes([*high, *low]) }
        }
        Some(_) | None => ForwardTo { address: Ipv4Addr::UNSPECIFIED, port: 0 },
    };
    Some(Item::Forward(key, to))
}

fn read_mac(bytes: &[u8]) -> Option<Mac> {
    bytes.get(..6)?.try_into().ok().map(Mac)
}

fn read_interface_and_mac(key: &[u8]) -> Option<(IfName, Mac)> {
    let (name, mac) = key.split_at_checked(16)?;
    let name = std::str::from_utf8(name).ok()?.trim_end_matches('\0').parse().ok()?;
    Some((name, read_mac(mac)?))
}

fn read_address(key: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(key) {
        return Some(IpAddr::V4(Ipv4Addr::from(v4)));
    }
    <[u8; 16]>::try_from(key).ok().map(|v6| IpAddr::V6(Ipv6Addr::from(v6)))
}

fn read_counter(element: &SetElement) -> Counter {
    object(element).and_then(names::parse_counter).unwrap_or(Counter::AccountUp(AccountId(-1)))
}

fn object(element: &SetElement) -> Option<&str> {
    match element.data() {
        Some(SetElementData::Object(name)) => Some(name),
        _ => None,
    }
}

fn value(element: &SetElement) -> Option<&[u8]> {
    match element.data() {
        Some(SetElementData::Value(bytes)) => Some(bytes),
        _ => None,
    }
}

/// What an object in the kernel says, with its count put into `stats`. `None`: not ours.
pub(in crate::nft) fn read_object(object: &ObjectInfo, stats: &mut Stats) -> Option<Item> {
    match &object.state {
        ObjectState::Counter { packets, bytes, .. } => {
            let counter = names::parse_counter(&object.name)?;
            let count = Count { packets: *packets, bytes: *bytes };
            stats.counters.insert(counter, count);
            Some(Item::Counter(counter))
        }
        ObjectState::Quota { bytes, consumed, over, .. } => {
            let id = names::parse_quota(&object.name)?;
            // One that passes only what is beyond its limit is none of ours: no limit compares to it.
            let limit_bytes = if *over { *bytes } else { 0 };
            let spec = QuotaSpec { limit_bytes, used_bytes: *consumed };
            stats.quotas.insert(id, spec);
            Some(Item::Quota(id, spec))
        }
        ObjectState::Limit(_) | ObjectState::CtHelper(_) | ObjectState::Secmark(_) | ObjectState::Other { .. } | _ => {
            None
        }
    }
}
