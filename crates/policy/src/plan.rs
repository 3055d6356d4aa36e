//! What leads from what a kernel holds to what it should hold, in an order in which access never grows before it
//! shrinks, and nothing is let through without its limits.

use std::collections::BTreeMap;

use crate::item::{Item, Items, Key};

/// One change of the kernel. Carrying one out twice is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Makes something that is not there.
    Add(Item),
    /// Gives something another value.
    Replace {
        /// What is there.
        from: Item,
        /// What should be.
        to: Item,
    },
    /// Takes something away.
    Remove(Item),
}

impl Change {
    /// The key of the item that changes.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Add(item) | Self::Remove(item) | Self::Replace { to: item, .. } => item.key(),
        }
    }

    /// Whether it lets packets through that did not pass before. In a plan, all that limits them comes earlier.
    #[must_use]
    pub fn opens(&self) -> bool {
        match self {
            Self::Add(_) | Self::Replace { .. } => self.key().opens(),
            Self::Remove(item) => matches!(item, Item::BlockedMac(..)),
        }
    }

    /// Carries the change out on a model.
    pub fn apply_to(&self, items: &mut Items) {
        match self {
            Self::Add(item) | Self::Replace { to: item, .. } => items.put(item.clone()),
            Self::Remove(item) => {
                items.0.remove(&item.key());
            }
        }
    }

    fn phase(&self) -> Phase {
        match self {
            Self::Remove(item) => match item {
                // Before the skeleton forgets the interface: without it nothing of it can pass, and without our address
                // no answer finds back.
                Item::Tunnel(..) | Item::GuestAddress(..) => Phase::CloseNetworks,
                Item::Granted(..)
                | Item::Peer(..)
                | Item::Forward(..)
                | Item::Device(..)
                | Item::Garden(..)
                | Item::AllowedMac(..) => Phase::Revoke,
                Item::BlockedMac(..) => Phase::Grant,
                Item::CountUp(..) | Item::CountDown(..) | Item::QuotaOf(..) | Item::ClassOf(..) => Phase::Unlink,
                // Its rules name the servers' counters.
                Item::Address(..) | Item::Skeleton(_) => Phase::SweepAddresses,
                Item::Class(..) | Item::Counter(_) | Item::Quota(..) => Phase::SweepObjects,
                Item::Sysctl(_) | Item::Root(_) | Item::Isolated(_) => Phase::SweepRest,
            },
            Self::Add(item) | Self::Replace { to: item, .. } => match item {
                // The skeleton's rules name the servers' counters.
                Item::Skeleton(_) => Phase::Skeleton,
                // Takes something away, and may be from one who is granted something in the same plan.
                Item::BlockedMac(..) => Phase::Revoke,
                Item::Sysctl(_) => Phase::Sysctls,
                Item::Tunnel(..) => Phase::Tunnels,
                Item::Address(..) | Item::GuestAddress(..) | Item::Root(_) | Item::Isolated(_) => Phase::Addresses,
                Item::Class(..) | Item::Counter(_) | Item::Quota(..) => Phase::Objects,
                Item::CountUp(..) | Item::CountDown(..) | Item::QuotaOf(..) | Item::ClassOf(..) => Phase::Link,
                Item::Granted(..) | Item::Forward(..) | Item::Device(..) | Item::Garden(..) | Item::AllowedMac(..) => {
                    Phase::Grant
                }
                Item::Peer(..) => Phase::Peers,
            },
        }
    }
}

/// The order of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    CloseNetworks,
    Skeleton,
    Revoke,
    Unlink,
    Sysctls,
    Tunnels,
    Addresses,
    SweepAddresses,
    Objects,
    Link,
    Grant,
    Peers,
    SweepObjects,
    SweepRest,
}

/// Lists the changes that turn `observed` into `desired`, in order.
#[must_use]
pub fn plan(desired: &Items, observed: &Items) -> Vec<Change> {
    let wanted = desired.0.iter().filter_map(|(key, item)| change(Some(item), observed.0.get(key)));
    let unwanted =
        observed.0.iter().filter(|(key, _)| !desired.0.contains_key(key)).map(|(_, i)| Change::Remove(i.clone()));
    in_order(wanted.chain(unwanted).collect())
}

/// The same for some keys only: each with the item that should be there (`None`: nothing).
#[must_use]
pub fn plan_part(desired: &BTreeMap<Key, Option<Item>>, observed: &Items) -> Vec<Change> {
    let changes = desired.iter().filter_map(|(key, item)| change(item.as_ref(), observed.0.get(key)));
    in_order(changes.collect())
}

fn change(desired: Option<&Item>, observed: Option<&Item>) -> Option<Change> {
    match (desired, observed) {
        (Some(to), None) => Some(Change::Add(to.clone())),
        (Some(to), Some(from)) if to != from => Some(Change::Replace { from: from.clone(), to: to.clone() }),
        (None, Some(from)) => Some(Change::Remove(from.clone())),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn in_order(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by_key(Change::phase);
    changes
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        account::AccountId,
        guest::{GrantId, Mac, Way},
        item::{ClassId, Counter, Expiry, PeerId, PeerSpec, QuotaId, QuotaSpec, Rate, Skeleton, SkeletonRules},
        key::PublicKey,
        name::IfName,
    };

    fn any_item() -> impl Strategy<Value = Item> {
        let address = any::<u8>().prop_map(|n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n % 8)));
        let account = any::<u8>().prop_map(|n| AccountId(i64::from(n % 8)));
        let wg = "wg1".parse::<IfName>().ok();
        prop_oneof![
            (address.clone(), 0..3_i64).prop_map(|(a, t)| Item::Granted(a, Expiry::At(t))),
            (address.clone(), account.clone()).prop_map(|(a, n)| Item::CountUp(a, Counter::AccountUp(n))),
            (address.clone(), 1..4_u16).prop_map(|(a, minor)| Item::ClassOf(a, minor)),
            account.clone().prop_map(|n| Item::Counter(Counter::AccountUp(n))),
            (account, 1..4_u64).prop_map(|(account, n)| Item::Quota(
                QuotaId::Account { account, period_start_ms: 0 },
                QuotaSpec { limit_bytes: n, used_bytes: 0 }
            )),
            any_guest_item(),
            (1..4_u16, 1..4_u64).prop_filter_map("a name", move |(minor, rate)| {
                Some(Item::Class(ClassId { interface: wg?, minor }, Rate(rate)))
            }),
            (any::<u8>(), proptest::option::of(0..2_u8)).prop_filter_map("a name", move |(n, psk)| {
                let spec = PeerSpec {
                    allowed_ips: Box::default(),
                    preshared_key: psk.map(|b| crate::key::PresharedKey::from_bytes([b; 32])),
                };
                Some(Item::Peer(PeerId { interface: wg?, public_key: PublicKey([n % 8; 32]) }, spec))
            }),
        ]
    }

    fn any_guest_item() -> impl Strategy<Value = Item> {
        let address = any::<u8>().prop_map(|n| IpAddr::V4(Ipv4Addr::new(10, 1, 0, n % 8)));
        let mac = any::<u8>().prop_map(|n| Mac([2, 0, 0, 0, 0, n % 4]));
        let way = (0..3_usize).prop_map(|n| Way::ALL[n]);
        let guests = "guests".parse::<IfName>().ok();
        let quota = |grant: i64, way| QuotaId::Grant { grant: GrantId(grant), way };
        prop_oneof![
            (address.clone(), mac.clone(), 0..3_i64).prop_map(|(a, m, t)| Item::Device(a, m, Expiry::At(t))),
            (address.clone(), 0..3_i64).prop_map(|(a, t)| Item::Granted(a, Expiry::At(t))),
            (address.clone(), 0..3_i64).prop_map(|(a, t)| Item::Garden(a, 443, Expiry::At(t))),
            (address, way.clone(), 0..4_i64).prop_map(move |(a, w, n)| Item::QuotaOf(a, w, quota(n, w))),
            (way, 0..4_i64, 1..4_u64).prop_map(move |(w, n, limit_bytes)| Item::Quota(
                quota(n, w),
                QuotaSpec { limit_bytes, used_bytes: 0 }
            )),
            mac.clone().prop_filter_map("a name", move |m| Some(Item::AllowedMac(guests?, m))),
            mac.prop_filter_map("a name", move |m| Some(Item::BlockedMac(guests?, m))),
            any::<u8>().prop_filter_map("a name", move |n| {
                Some(Item::GuestAddress(guests?, format!("10.1.{}.1/24", n % 4).parse().ok()?))
            }),
        ]
    }

    fn any_items() -> impl Strategy<Value = Items> {
        proptest::collection::vec(any_item(), 0..40).prop_map(|items| items.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_plan_converges_and_the_next_one_is_empty(desired in any_items(), mut observed in any_items()) {
            for change in plan(&desired, &observed) {
                change.apply_to(&mut observed);
            }
            prop_assert_eq!(&observed, &desired);
            prop_assert!(plan(&desired, &observed).is_empty());
        }

        #[test]
        fn carrying_a_plan_out_twice_is_harmless(desired in any_items(), mut observed in any_items()) {
            let changes = plan(&desired, &observed);
            for change in changes.iter().chain(&changes) {
                change.apply_to(&mut observed);
            }
            prop_assert_eq!(&observed, &desired);
        }

        #[test]
        fn access_never_grows_before_it_shrinks(desired in any_items(), observed in any_items()) {
            let lets_through = |item: &Item| item.key().opens();
            let blocks = |item: &Item| matches!(item, Item::BlockedMac(..));
            let changes = plan(&desired, &observed);
            let grows = |c: &Change| match c {
                Change::Add(item) => lets_through(item),
                Change::Remove(item) => blocks(item),
                Change::Replace { .. } => false,
            };
            let shrinks = |c: &Change| match c {
                Change::Add(item) => blocks(item),
                Change::Remove(item) => lets_through(item),
                Change::Replace { .. } => false,
            };
            prop_assert!(changes.iter().filter(|c| grows(c)).all(Change::opens));
            let last_shrink = changes.iter().rposition(shrinks);
            let first_grow = changes.iter().position(grows);
            prop_assert!(last_shrink.zip(first_grow).is_none_or(|(shrink, grow)| shrink < grow));
        }

        #[test]
        fn a_grant_never_stands_without_its_limits(desired in any_items(), observed in any_items()) {
            let changes = plan(&desired, &observed);
            let grant = changes.iter().position(Change::opens);
            let limit = changes.iter().rposition(|c| matches!(
                c,
                Change::Add(Item::Class(..) | Item::ClassOf(..) | Item::Quota(..) | Item::QuotaOf(..) | Item::Counter(_))
            ));
            prop_assert!(grant.zip(limit).is_none_or(|(grant, limit)| limit < grant));
        }

        #[test]
        fn a_guest_network_is_known_to_the_skeleton_as_long_as_it_has_our_address(
            desired in any_items(),
            observed in any_items(),
        ) {
            let rules = |wans: Vec<IfName>| Skeleton::of(SkeletonRules { wans, ..SkeletonRules::default() });
            let (mut desired, mut observed) = (desired, observed);
            desired.put(Item::Skeleton(rules("eth0".parse().into_iter().collect())));
            observed.put(Item::Skeleton(rules(Vec::new())));
            let changes = plan(&desired, &observed);
            let skeleton = changes.iter().position(|c| c.key() == Key::Skeleton);
            let comes = |c: &Change| matches!(c, Change::Add(Item::GuestAddress(..)));
            let goes = |c: &Change| matches!(c, Change::Remove(Item::GuestAddress(..)));
            prop_assert!(changes.iter().rposition(goes).is_none_or(|at| Some(at) < skeleton));
            prop_assert!(changes.iter().position(comes).is_none_or(|at| Some(at) > skeleton));
        }

        #[test]
        fn a_plan_of_parts_is_the_plan_of_the_whole(desired in any_items(), mut observed in any_items()) {
            let keys = desired.0.keys().chain(observed.0.keys());
            let parts = keys.map(|key| (*key, desired.0.get(key).cloned())).collect();
            for change in plan_part(&parts, &observed) {
                change.apply_to(&mut observed);
            }
            prop_assert_eq!(observed, desired);
        }
    }
}
