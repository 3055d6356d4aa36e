//! What holds for every kernel.

use std::time::{Duration, Instant};

use doorward_kernel::Kernel;
use doorward_policy::{
    account::AccountId,
    guest::Way,
    item::{ClassId, Counter, Expiry, Item, Items, Key, QuotaSpec},
    observed::{Observed, Scope},
    plan::{Change, plan},
};

use super::world::{
    account, base, forward_key, now_ms, peer_id, quota_id, server, skeleton, tunnel, v4, v6, wan, world,
};

pub async fn observe(kernel: &mut impl Kernel) -> Observed {
    kernel.observe(Scope::Everything).await.unwrap()
}

pub async fn carry_out(kernel: &mut impl Kernel, changes: &[Change]) {
    let results = kernel.apply(changes).await;
    assert_eq!(results.len(), changes.len());
    for (change, result) in changes.iter().zip(results) {
        if let Err(error) = result {
            panic!("{change:?}: {error}: {:?}", std::error::Error::source(&error));
        }
    }
}

/// Makes `desired` true and sees that it is.
pub async fn converge(kernel: &mut impl Kernel, desired: &Items) {
    let observed = observe(kernel).await.items;
    carry_out(kernel, &plan(desired, &observed)).await;
    assert_same(&observe(kernel).await.items, desired);
}

pub fn assert_same(found: &Items, wanted: &Items) {
    let differences = plan(wanted, found);
    assert!(differences.is_empty(), "left to do: {differences:#?}");
    assert_eq!(found, wanted);
}

pub async fn a_plan_is_carried_out_and_seen(mut kernel: impl Kernel) {
    assert_same(&observe(&mut kernel).await.items, &Items::default());
    converge(&mut kernel, &world(1..=3)).await;
    converge(&mut kernel, &world(2..=5)).await;
}

pub async fn carrying_out_twice_is_once(mut kernel: impl Kernel) {
    let desired = world(1..=3);
    let changes = plan(&desired, &Items::default());
    carry_out(&mut kernel, &changes).await;
    carry_out(&mut kernel, &changes).await;
    assert_same(&observe(&mut kernel).await.items, &desired);
    let changes = plan(&Items::default(), &desired);
    carry_out(&mut kernel, &changes).await;
    carry_out(&mut kernel, &changes).await;
    assert_same(&observe(&mut kernel).await.items, &Items::default());
}

pub async fn every_value_can_change(mut kernel: impl Kernel) {
    converge(&mut kernel, &world(1..=2)).await;
    let mut other = account(1);
    (other.rate, other.limit, other.to_port, other.preshared) = (1_000_000, 2_000_000, 2222, 2);
    other.expiry = Expiry::At(now_ms() + 3_600_000);
    let rest = account(2).items();
    let changed: Items = base().into_iter().chain(server(1280)).chain(other.items()).chain(rest).collect();
    converge(&mut kernel, &changed).await;
    // An element that leads elsewhere.
    let mut swapped = changed;
    swapped.put(Item::CountUp(v4(1), Counter::AccountUp(AccountId(2))));
    swapped.put(Item::QuotaOf(v6(1), Way::Total, quota_id(2)));
    swapped.put(Item::ClassOf(v4(1), account(2).minor()));
    converge(&mut kernel, &swapped).await;
}

pub async fn everything_can_go(mut kernel: impl Kernel) {
    converge(&mut kernel, &world(1..=3)).await;
    converge(&mut kernel, &world([])).await;
    converge(&mut kernel, &Items::default()).await;
}

/// The delta passes of the loop: few changes, in the order of a plan.
pub async fn single_items_come_and_go(mut kernel: impl Kernel) {
    let mut desired = world([]);
    converge(&mut kernel, &desired).await;
    for change in plan(&account(1).items().into_iter().collect(), &Items::default()) {
        carry_out(&mut kernel, std::slice::from_ref(&change)).await;
        change.apply_to(&mut desired);
        assert_same(&observe(&mut kernel).await.items, &desired);
    }
    for change in plan(&Items::default(), &account(1).items().into_iter().collect()) {
        carry_out(&mut kernel, std::slice::from_ref(&change)).await;
        change.apply_to(&mut desired);
        assert_same(&observe(&mut kernel).await.items, &desired);
    }
}

pub async fn grants_end_by_themselves(mut kernel: impl Kernel) {
    converge(&mut kernel, &world([])).await;
    let soon = Expiry::At(now_ms() + 1_000);
    let late = Expiry::At(now_ms() + 3_600_123);
    let gone = Expiry::At(now_ms() - 5);
    let grants = [Item::Granted(v4(1), soon), Item::Granted(v6(1), soon), Item::Granted(v4(2), late)];
    carry_out(&mut kernel, &grants.clone().map(Change::Add)).await;
    carry_out(&mut kernel, &[Change::Add(Item::Granted(v4(3), gone))]).await;
    let started = Instant::now();
    let granted = |observed: &Observed, address| observed.items.0.get(&Key::Granted(address)).cloned();
    let first = observe(&mut kernel).await;
    assert_eq!(granted(&first, v4(1)), Some(grants[0].clone()), "to the millisecond");
    assert_eq!(granted(&first, v4(2)), Some(grants[2].clone()));
    while granted(&observe(&mut kernel).await, v4(1)).is_some() {
        assert!(started.elapsed() < Duration::from_secs(2), "still granted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(started.elapsed() > Duration::from_millis(500), "gone early");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let last = observe(&mut kernel).await;
    assert_eq!(granted(&last, v6(1)), None);
    assert_eq!(granted(&last, v4(2)), Some(grants[2].clone()));
    assert_eq!(granted(&last, v4(3)), None);
    // What is gone may be removed, and given again.
    carry_out(&mut kernel, &[Change::Remove(grants[0].clone())]).await;
    let again = Item::Granted(v4(1), late);
    carry_out(&mut kernel, &[Change::Add(again.clone())]).await;
    // Prolonged, though nobody knew that it was there.
    let longer = Item::Granted(v4(1), Expiry::At(now_ms() + 9_999_999));
    carry_out(&mut kernel, &[Change::Add(longer.clone())]).await;
    assert_eq!(granted(&observe(&mut kernel).await, v4(1)), Some(longer));
}

pub async fn a_quota_keeps_what_it_consumed(mut kernel: impl Kernel) {
    converge(&mut kernel, &world([1])).await;
    let used = |observed: &Observed| observed.stats.quotas.get(&quota_id(1)).map(|q| (q.limit_bytes, q.used_bytes));
    assert_eq!(used(&observe(&mut kernel).await), Some((1_000_000, 1_234)));
    let quota = |limit_bytes| Item::Quota(quota_id(1), QuotaSpec { limit_bytes, used_bytes: 0 });
    let changes = [Change::Replace { from: quota(1_000_000), to: quota(5_000_000) }];
    carry_out(&mut kernel, &changes).await;
    assert_eq!(used(&observe(&mut kernel).await), Some((5_000_000, 1_234)));
    let counted = kernel.observe(Scope::Counters).await.unwrap();
    assert_eq!(used(&counted), Some((5_000_000, 1_234)));
}

pub async fn one_bad_change_fails_alone(mut kernel: impl Kernel) {
    converge(&mut kernel, &world([])).await;
    let mut changes: Vec<Change> =
        (1..=40).map(|id| Change::Add(Item::Counter(Counter::AccountUp(AccountId(id))))).collect();
    changes.extend((1..=40).map(|id| {
        // Nobody made the counters of those.
        let of = if id % 13 == 0 { 500 + id } else { id };
        Change::Add(Item::CountUp(v4(id), Counter::AccountUp(AccountId(of))))
    }));
    let nowhere = ClassId { interface: super::world::name("wg79"), minor: 0x100 };
    changes.push(Change::Add(Item::Class(nowhere, doorward_policy::item::Rate(1_000_000))));
    let results = kernel.apply(&changes).await;
    for (place, (change, result)) in changes.iter().zip(&results).enumerate() {
        let bad = [52, 65, 78, 80].contains(&place);
        assert_eq!(result.is_err(), bad, "{place}: {change:?}: {result:?}");
    }
    let observed = observe(&mut kernel).await;
    assert!(observed.items.0.contains_key(&Key::CountUp(v4(14))));
    assert!(!observed.items.0.contains_key(&Key::CountUp(v4(13))));
}

pub async fn what_is_in_use_stays(mut kernel: impl Kernel) {
    converge(&mut kernel, &world([1])).await;
    let counter = Item::Counter(Counter::AccountUp(AccountId(1)));
    let quota = Item::Quota(quota_id(1), QuotaSpec { limit_bytes: 1_000_000, used_bytes: 0 });
    let results = kernel.apply(&[Change::Remove(counter), Change::Remove(quota)]).await;
    assert!(results.iter().all(Result::is_err));
    assert_same(&observe(&mut kernel).await.items, &world([1]));
}

pub async fn members_survive_a_new_skeleton(mut kernel: impl Kernel) {
    let mut desired = world(1..=2);
    converge(&mut kernel, &desired).await;
    let before = observe(&mut kernel).await.stats;
    desired.put(skeleton(true));
    let change = Change::Replace { from: skeleton(false), to: skeleton(true) };
    carry_out(&mut kernel, &[change]).await;
    let after = observe(&mut kernel).await;
    assert_same(&after.items, &desired);
    assert_eq!(after.stats.quotas.get(&quota_id(1)).map(|q| q.used_bytes), Some(1_234));
    assert_eq!(after.stats.counters.len(), before.counters.len());
}

pub async fn scopes_read_their_part(mut kernel: impl Kernel) {
    converge(&mut kernel, &world(1..=2)).await;
    let counters = kernel.observe(Scope::Counters).await.unwrap();
    assert_eq!(counters.items, Items::default());
    assert_eq!((counters.stats.counters.len(), counters.stats.quotas.len()), (6, 2));
    assert!(counters.stats.peers.is_empty() && counters.stats.classes.is_empty());
    for scope in [Scope::Peers(None), Scope::Peers(Some(tunnel()))] {
        let peers = kernel.observe(scope).await.unwrap().stats;
        assert_eq!(
            peers.peers.keys().copied().collect::<std::collections::BTreeSet<_>>(),
            [peer_id(1), peer_id(2)].into()
        );
        assert!(peers.counters.is_empty());
    }
    let nobody = kernel.observe(Scope::Peers(Some(wan()))).await.unwrap().stats;
    assert!(nobody.peers.is_empty());
    let shaping = kernel.observe(Scope::Shaping(wan())).await.unwrap().stats;
    assert_eq!(shaping.roots.keys().copied().collect::<Vec<_>>(), [wan()]);
    let class = shaping.classes.get(&ClassId { interface: wan(), minor: account(1).minor() }).unwrap();
    assert_eq!((class.rate_bps, class.ceil_bps, shaping.classes.len()), (10_000_000, 10_000_000, 2));
    let host = kernel.host().await.unwrap();
    assert_eq!(host.wans, [wan()]);
    assert!(host.addresses.contains(&(wan(), super::world::net("192.0.2.10/24"))));
    assert!(host.addresses.iter().all(|(name, _)| *name != tunnel()));
    assert_eq!(forward_key(2).port, 20_002);
}

pub async fn many_changes_at_once(mut kernel: impl Kernel) {
    converge(&mut kernel, &world(1..=1_500)).await;
    converge(&mut kernel, &world(1_000..=1_100)).await;
}
