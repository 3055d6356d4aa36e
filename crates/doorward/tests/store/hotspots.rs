//! Hotspots.

use std::sync::Arc;

use doorward::{
    hotspot_settings::HotspotSettings,
    store::{DevicePolicy, Error, Field, HotspotDevice, HotspotRecord},
};
use doorward_policy::hotspot::HotspotId;

use crate::{
    databases::Database,
    online::{NOW, admission, admit, by_voucher, hotspot, mac, stored_hotspot, stored_voucher, terms},
    samples::bandwidth,
};

both_engines!(
    a_hotspot_reads_back,
    an_update_changes_what_may_change,
    names_and_interfaces_are_unique,
    devices_are_put_and_removed,
    deleting_ends_sessions_only_when_told,
);

async fn a_hotspot_reads_back(database: Database) {
    let store = database.open().await;
    let full = stored_hotspot(&store, 1).await;
    let mut bare = hotspot(2);
    bare.hotspot.address_ipv6 = None;
    bare.hotspot.lan_access = Vec::new();
    bare.hotspot.portal_tls = false;
    bare.hotspot.id = store.insert_hotspot(&bare).await.unwrap();
    assert_eq!(store.hotspots().await.unwrap(), [full, bare]);
}

async fn an_update_changes_what_may_change(database: Database) {
    let store = database.open().await;
    let old = stored_hotspot(&store, 1).await;
    let mut new = hotspot(7);
    new.hotspot.id = old.hotspot.id;
    new.settings = Arc::new(HotspotSettings { colour: "#ffffff".to_owned(), ..HotspotSettings::default() });
    assert!(matches!(store.update_hotspot(&new).await, Err(Error::Missing)), "sealed for another name");
    new.name = old.name.clone();
    store.update_hotspot(&new).await.unwrap();
    assert_eq!(store.hotspots().await.unwrap(), [HotspotRecord { created_ms: old.created_ms, ..new.clone() }]);
    new.hotspot.id = HotspotId(99);
    assert!(matches!(store.update_hotspot(&new).await, Err(Error::Missing)));
}

async fn names_and_interfaces_are_unique(database: Database) {
    let store = database.open().await;
    let one = stored_hotspot(&store, 1).await;
    let two = stored_hotspot(&store, 2).await;
    let taken = |field| move |result| assert!(matches!(result, Err(Error::Taken(found)) if found == field));
    let same_name = HotspotRecord { name: one.name.clone(), ..hotspot(3) };
    taken(Field::HotspotName)(store.insert_hotspot(&same_name).await.map(drop));
    let mut same_interface = hotspot(3);
    same_interface.hotspot.interface = one.hotspot.interface;
    taken(Field::HotspotInterface)(store.insert_hotspot(&same_interface).await.map(drop));
    let mut moved = two;
    moved.hotspot.interface = one.hotspot.interface;
    taken(Field::HotspotInterface)(store.update_hotspot(&moved).await);
}

async fn devices_are_put_and_removed(database: Database) {
    let store = database.open().await;
    let id = stored_hotspot(&store, 1).await.hotspot.id;
    let other = stored_hotspot(&store, 2).await.hotspot.id;
    let device = |n, policy| HotspotDevice { mac: mac(n), policy, note: format!("no. {n}"), created_ms: NOW };
    store.put_hotspot_device(id, &device(1, DevicePolicy::Allowed)).await.unwrap();
    store.put_hotspot_device(id, &device(2, DevicePolicy::Allowed)).await.unwrap();
    store.put_hotspot_device(id, &device(2, DevicePolicy::Blocked)).await.unwrap();
    store.put_hotspot_device(other, &device(3, DevicePolicy::Blocked)).await.unwrap();
    let gone = store.put_hotspot_device(HotspotId(99), &device(1, DevicePolicy::Allowed)).await;
    assert!(matches!(gone, Err(Error::Missing)));
    let devices = store.hotspot_devices(id).await.unwrap();
    assert_eq!(devices, [device(1, DevicePolicy::Allowed), device(2, DevicePolicy::Blocked)]);
    let listed = store.hotspots().await.unwrap().swap_remove(0).hotspot;
    assert_eq!((listed.allowed, listed.blocked), (vec![mac(1)], vec![mac(2)]));
    store.remove_hotspot_device(id, mac(1)).await.unwrap();
    assert!(matches!(store.remove_hotspot_device(id, mac(1)).await, Err(Error::Missing)));
    assert!(matches!(store.remove_hotspot_device(id, mac(3)).await, Err(Error::Missing)), "another hotspot's");
    assert_eq!(store.hotspot_devices(id).await.unwrap(), [device(2, DevicePolicy::Blocked)]);
}

async fn deleting_ends_sessions_only_when_told(database: Database) {
    let store = database.open().await;
    let (here, there) = (stored_hotspot(&store, 1).await, stored_hotspot(&store, 2).await);
    let fast = doorward_policy::voucher::Terms { speed: bandwidth(5, 5), devices: 2, ..terms() };
    let voucher = stored_voucher(&store, "one", fast.clone()).await;
    let other = stored_voucher(&store, "two", fast).await;
    let session = admit(&store, &admission(by_voucher(&store, &voucher).await, &here, 1)).await;
    let stays = admit(&store, &admission(by_voucher(&store, &other).await, &there, 2)).await;
    admit(&store, &admission(by_voucher(&store, &voucher).await, &here, 3)).await;

    assert!(matches!(store.delete_hotspot(here.hotspot.id, false, NOW).await, Err(Error::InUse)));
    assert_eq!(store.open_sessions().await.unwrap().len(), 3, "nothing happened");
    let deleted = store.delete_hotspot(here.hotspot.id, true, NOW).await.unwrap();
    assert_eq!(deleted.ended.len(), 2);
    assert!(deleted.ended.iter().any(|ended| ended.session == session.session && ended.mac == mac(1)));
    assert_eq!(deleted.freed.iter().map(|freed| freed.grant).collect::<Vec<_>>(), [voucher.grant]);
    let left: Vec<_> = store.live_grants().await.unwrap().into_iter().map(|grant| grant.id).collect();
    assert_eq!(left, [other.grant], "the others go on");
    assert_eq!(store.open_sessions().await.unwrap()[0].online.session, stays.session);
    assert!(store.slots(voucher.grant).await.unwrap().is_empty(), "its slots are free again");
    assert!(matches!(store.delete_hotspot(here.hotspot.id, true, NOW).await, Err(Error::Missing)));
    admit(&store, &admission(by_voucher(&store, &voucher).await, &there, 1)).await;
    admit(&store, &admission(by_voucher(&store, &voucher).await, &there, 3)).await;
}
