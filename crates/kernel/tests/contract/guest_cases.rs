//! What holds for every kernel with guests.

use std::time::{Duration, Instant};

use doorward_kernel::Kernel;
use doorward_policy::{
    guest::{Grant, GrantId, SessionId, Way},
    hotspot::Hotspot,
    item::{Counter, Expiry, Item, Items, Key, QuotaId},
    observed::Scope,
    plan::{Change, plan},
};

use super::{
    cases::{assert_same, carry_out, converge, observe},
    guest_world::{g4, g6, grant, guest_world, guests, hotspot, items_of, limited, mac},
    world::{now_ms, v4, world},
};

pub async fn guests_come_and_go(mut kernel: impl Kernel) {
    let (one, two) = (limited(1), grant(2));
    let busy = Hotspot { allowed: vec![mac(8)], blocked: vec![mac(9)], ..hotspot() };
    converge(&mut kernel, &guest_world(&hotspot(), [])).await;
    converge(&mut kernel, &guest_world(&busy, [&one, &two])).await;
    // Carried out twice.
    let all = guest_world(&busy, [&one, &two]);
    carry_out(&mut kernel, &plan(&all, &Items::default())).await;
    assert_same(&observe(&mut kernel).await.items, &all);
    // The session ended; its counters and quotas stay until they are read.
    let mut ended = one.clone();
    ended.sessions[0].open = false;
    let items = items_of(&ended, &busy);
    assert_eq!(items.iter().filter(|item| matches!(item, Item::Counter(_) | Item::Quota(..))).count(), items.len());
    converge(&mut kernel, &guest_world(&hotspot(), [&ended, &two])).await;
    converge(&mut kernel, &Items::default()).await;
}

pub async fn guests_and_accounts_share_a_gateway(mut kernel: impl Kernel) {
    let (one, both) = (limited(1), |accounts: std::ops::RangeInclusive<i64>| {
        let mut items = guest_world(&hotspot(), [&limited(1), &grant(2)]);
        let mut all = world(accounts);
        items.0.remove(&Key::Skeleton);
        all.0.append(&mut items.0);
        all
    });
    converge(&mut kernel, &both(1..=3)).await;
    converge(&mut kernel, &both(2..=4)).await;
    let observed = observe(&mut kernel).await;
    assert!(observed.items.0.contains_key(&Key::Granted(v4(4))) && observed.items.0.contains_key(&Key::Granted(g4(1))));
    let quota = |way| observed.stats.quotas.get(&QuotaId::Grant { grant: one.id, way }).map(|q| q.used_bytes);
    assert_eq!(Way::ALL.map(quota), [Some(1_000), Some(200), Some(1_200)]);
}

pub async fn devices_and_gardens_end_by_themselves(mut kernel: impl Kernel) {
    converge(&mut kernel, &guest_world(&hotspot(), [])).await;
    let soon = Expiry::At(now_ms() + 1_000);
    let late = Expiry::At(now_ms() + 3_600_123);
    let items = [
        Item::Device(g4(1), mac(1), soon),
        Item::Device(g6(1), mac(1), soon),
        Item::Device(g4(1), mac(2), late),
        Item::Device(g6(2), mac(2), Expiry::Never),
        Item::Garden(v4(1), 443, soon),
        Item::Garden(v4(1), 80, late),
        Item::Garden(g6(7), 443, late),
    ];
    carry_out(&mut kernel, &items.clone().map(Change::Add)).await;
    let started = Instant::now();
    let found = async |kernel: &mut _, at: usize| observe(kernel).await.items.0.get(&items[at].key()).cloned();
    for (at, item) in items.iter().enumerate() {
        assert_eq!(found(&mut kernel, at).await.as_ref(), Some(item), "to the millisecond");
    }
    while found(&mut kernel, 4).await.is_some() {
        assert!(started.elapsed() < Duration::from_secs(2), "still open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    for (at, item) in items.iter().enumerate() {
        let stays = ![0, 1, 4].contains(&at);
        assert_eq!(found(&mut kernel, at).await.is_some(), stays, "{item:?}");
    }
    // What is gone may be removed, and given again for longer; what is there is prolonged.
    carry_out(&mut kernel, &[Change::Remove(items[4].clone()), Change::Remove(items[0].clone())]).await;
    let longer = Expiry::At(now_ms() + 7_200_000);
    let prolonged = [Item::Garden(v4(1), 443, longer), Item::Garden(v4(1), 80, longer)];
    carry_out(&mut kernel, &prolonged.clone().map(Change::Add)).await;
    assert_eq!(found(&mut kernel, 4).await.as_ref(), Some(&prolonged[0]));
    assert_eq!(found(&mut kernel, 5).await.as_ref(), Some(&prolonged[1]));
}

/// What is observed may be kept by wanting it: the loop does so with the garden.
pub async fn a_garden_that_is_kept_stays(mut kernel: impl Kernel) {
    let mut desired = guest_world(&hotspot(), []);
    converge(&mut kernel, &desired).await;
    let garden = Item::Garden(v4(1), 443, Expiry::At(now_ms() + 3_600_000));
    carry_out(&mut kernel, &[Change::Add(garden.clone())]).await;
    let observed = observe(&mut kernel).await.items;
    observed.0.values().filter(|item| matches!(item, Item::Garden(..))).for_each(|item| desired.put(item.clone()));
    assert!(plan(&desired, &observed).is_empty() && desired.0.contains_key(&garden.key()));
}

pub async fn the_scope_of_guests_is_theirs(mut kernel: impl Kernel) {
    let mut desired = world(1..=2);
    desired.0.extend(guest_world(&hotspot(), [&limited(1), &grant(2)]).0);
    converge(&mut kernel, &desired).await;
    let stats = kernel.observe(Scope::Guests).await.unwrap().stats;
    let counters: Vec<Counter> = stats.counters.keys().copied().collect();
    let of = |id| [Counter::SessionUp(SessionId(id)), Counter::SessionDown(SessionId(id))];
    let mut wanted = [of(1), of(2)].concat();
    wanted.sort_unstable();
    assert_eq!(counters, wanted);
    let quotas: Vec<QuotaId> = stats.quotas.keys().copied().collect();
    assert_eq!(quotas, Way::ALL.map(|way| QuotaId::Grant { grant: GrantId(1), way }));
    assert!(stats.peers.is_empty() && stats.classes.is_empty());
}

pub async fn a_grant_without_a_number_for_its_class_stays_closed(mut kernel: impl Kernel) {
    let numberless = Grant { mark: None, ..limited(1) };
    converge(&mut kernel, &guest_world(&hotspot(), [&numberless])).await;
    let items = observe(&mut kernel).await.items;
    assert!(!items.0.contains_key(&Key::Device(g4(1), mac(1))) && !items.0.contains_key(&Key::Granted(g4(1))));
    assert!(items.0.contains_key(&Key::Root(guests())));
}

pub async fn many_guests_at_once(mut kernel: impl Kernel) {
    let grants: Vec<Grant> = (1..=2_000).map(grant).collect();
    converge(&mut kernel, &guest_world(&hotspot(), &grants)).await;
    converge(&mut kernel, &guest_world(&hotspot(), &grants[..50])).await;
}
