//! Hotspots: what can be, and who is told.

use std::sync::Arc;

use doorward::{
    app::{
        Error,
        hotspots::{DevicePolicy, HotspotError, HotspotSpec, Ipv6Choice},
    },
    hotspot_settings::{GuestSettings, HotspotSettings},
    store::ApiSwitches,
};
use doorward_kernel::Host;
use doorward_policy::item::Key;
use ipnet::IpNet;

use crate::{
    databases::Database,
    gateway::Gateway,
    guests::{hotspot, mac, spec},
};

both_engines!(
    a_hotspot_is_made_and_changed,
    it_moves_to_another_interface_with_its_address,
    what_cannot_be_is_refused,
    subnets_keep_clear_of_each_other,
    ipv6_is_found,
    devices_have_their_policy,
    settings_are_kept,
    the_certificate_is_told,
);

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, expected: &HotspotError) {
    match result {
        Err(Error::Hotspot(error)) => assert_eq!(&error, expected),
        other => panic!("{other:?} instead of {expected:?}"),
    }
}

async fn a_hotspot_is_made_and_changed(database: Database) {
    let gateway = Gateway::start(database).await;
    let mut told = gateway.app.hotspots();
    assert!(told.borrow_and_update().is_empty());
    let made = hotspot(&gateway).await;
    assert!(told.has_changed().unwrap());
    assert_eq!(told.borrow_and_update().as_slice(), std::slice::from_ref(&made));
    assert_eq!(gateway.app.hotspot("lobby").unwrap(), made);
    assert_eq!(gateway.app.hosts().hotspot_of("10.30.7.7".parse().unwrap()).map(|h| h.id), Some(made.hotspot.id));
    let address = Key::GuestAddress(made.hotspot.interface, made.hotspot.address.into());
    assert!(gateway.kernel.item(address).is_some());

    let settings = Arc::new(HotspotSettings { colour: "#112233".to_owned(), ..HotspotSettings::default() });
    let wish = HotspotSpec { address: "10.31.0.1/24".parse().unwrap(), settings, ..HotspotSpec::of(&made) };
    let asked = wish.clone();
    let changed = gateway.app.edit_hotspot("lobby", move |_| Ok(asked)).await.unwrap();
    assert_eq!((changed.hotspot.id, HotspotSpec::of(&changed)), (made.hotspot.id, wish));
    assert!(gateway.kernel.item(address).is_none());
    assert_eq!(told.borrow_and_update().as_slice(), std::slice::from_ref(&changed));
    assert_eq!(gateway.store.hotspots().await.unwrap(), [changed]);
    gateway.app.delete_hotspot("lobby", false).await.unwrap();
    assert!(told.borrow_and_update().is_empty() && gateway.app.hotspot("lobby").is_err());
}

/// A host shows the addresses that we gave to guest interfaces among its own.
async fn it_moves_to_another_interface_with_its_address(database: Database) {
    let gateway = Gateway::start(database).await;
    let made = hotspot(&gateway).await;
    let (old, address) = (made.hotspot.interface, IpNet::V4(made.hotspot.address));
    let mut host = gateway.loop_handle.host().as_ref().clone();
    host.addresses.push((old, address));
    host.addresses.extend(made.hotspot.address_ipv6.map(|net| (old, IpNet::V6(net))));
    gateway.kernel.set_host(host);
    gateway.app.reload().await.unwrap();

    let new = "guest1".parse().unwrap();
    let moved = gateway.app.edit_hotspot("lobby", move |now| Ok(HotspotSpec { interface: new, ..now })).await.unwrap();
    assert_eq!((moved.hotspot.interface, moved.hotspot.address), (new, made.hotspot.address));
    assert!(gateway.kernel.item(Key::GuestAddress(new, address)).is_some());
    assert!(gateway.kernel.item(Key::GuestAddress(old, address)).is_none());
    // An address that is somebody else's is taken all the same.
    let mut host = gateway.loop_handle.host().as_ref().clone();
    host.addresses.push(("eth7".parse().unwrap(), "10.77.0.1/16".parse().unwrap()));
    gateway.kernel.set_host(host);
    gateway.app.reload().await.unwrap();
    let wish =
        gateway.app.edit_hotspot("lobby", |now| Ok(HotspotSpec { address: "10.77.0.2/16".parse().unwrap(), ..now }));
    refused(wish.await, &HotspotError::SubnetTaken);
}

async fn what_cannot_be_is_refused(database: Database) {
    let gateway = Gateway::start(database).await;
    hotspot(&gateway).await;
    let other = || HotspotSpec {
        interface: "guest1".parse().unwrap(),
        address: "10.40.0.1/16".parse().unwrap(),
        address_ipv6: Ipv6Choice::Off,
        ..spec()
    };
    let create = async |name: &str, spec| gateway.app.create_hotspot(name.parse().unwrap(), spec).await;
    refused(create("lobby", other()).await, &HotspotError::NameTaken);
    refused(create("b", HotspotSpec { interface: spec().interface, ..other() }).await, &HotspotError::InterfaceTaken);
    let wan = gateway.loop_handle.host().wans.first().copied();
    let names = ["wg0", "lo"].map(|name| name.parse().unwrap());
    for interface in names.into_iter().chain(wan) {
        refused(create("b", HotspotSpec { interface, ..other() }).await, &HotspotError::Interface);
    }
    for address in ["10.40.0.1/15", "10.40.0.1/30", "10.40.0.0/16", "10.40.255.255/16", "127.0.0.1/16", "224.0.0.1/24"]
    {
        let wish = HotspotSpec { address: address.parse().unwrap(), ..other() };
        refused(create("b", wish).await, &HotspotError::Address);
    }
    for net in ["fd40::1/63", "fd40::1/128", "fd40::/64", "fe80::1/64", "ff02::1/64", "::1/64"] {
        let wish = HotspotSpec { address_ipv6: Ipv6Choice::Net(net.parse().unwrap()), ..other() };
        refused(create("b", wish).await, &HotspotError::AddressIpv6);
    }
    let lan_access = vec!["192.168.7.0/24".parse().unwrap(); 33];
    refused(create("b", HotspotSpec { lan_access, ..other() }).await, &HotspotError::LanAccess);
    let settings = Arc::new(HotspotSettings { colour: "red".to_owned(), ..HotspotSettings::default() });
    let wrong = HotspotSpec { settings, ..other() };
    assert!(matches!(create("b", wrong.clone()).await, Err(Error::Settings(_))));
    assert!(matches!(gateway.app.edit_hotspot("lobby", move |_| Ok(wrong)).await, Err(Error::Settings(_))));
    refused(gateway.app.edit_hotspot("nowhere", move |_| Ok(other())).await, &HotspotError::NotFound);
    create("b", other()).await.unwrap();
    refused(gateway.app.edit_hotspot("b", move |_| Ok(spec())).await, &HotspotError::InterfaceTaken);
}

async fn subnets_keep_clear_of_each_other(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("address=10.30.5.1/24&ipv6=1&address_ipv6=fd30::1/64").await;
    let create = async |spec| gateway.app.create_hotspot("lobby".parse().unwrap(), spec).await;
    refused(create(spec()).await, &HotspotError::SubnetTaken);
    let elsewhere = HotspotSpec { address: "10.31.0.1/16".parse().unwrap(), ..spec() };
    refused(create(elsewhere.clone()).await, &HotspotError::SubnetTaken);
    let fine = HotspotSpec { address_ipv6: Ipv6Choice::Net("fd31::1/64".parse().unwrap()), ..elsewhere };

    let host = |interface: &str| Host {
        wans: Vec::new(),
        addresses: vec![(interface.parse().unwrap(), "10.31.77.1/24".parse().unwrap())],
    };
    gateway.kernel.set_host(host("lan0"));
    let ticket = gateway.loop_handle.reload();
    assert!(gateway.loop_handle.settled(ticket, std::time::Duration::from_secs(5)).await);
    refused(create(fine.clone()).await, &HotspotError::SubnetTaken);
    gateway.kernel.set_host(host("guest0"));
    let ticket = gateway.loop_handle.reload();
    assert!(gateway.loop_handle.settled(ticket, std::time::Duration::from_secs(5)).await);
    create(fine).await.unwrap();

    gateway.post("/wireguard", "address=10.31.9.1/24").await.refused(409, "IP address or subnet already in use");
    gateway
        .post("/wireguard", "ipv6=1&address_ipv6=fd31::7/64")
        .await
        .refused(409, "IP address or subnet already in use");
}

async fn ipv6_is_found(database: Database) {
    let gateway = Gateway::start(database).await;
    let auto = |n: u8| HotspotSpec {
        interface: format!("guest{n}").parse().unwrap(),
        address: format!("10.{n}.0.1/16").parse().unwrap(),
        address_ipv6: Ipv6Choice::Auto,
        ..spec()
    };
    let one = gateway.app.create_hotspot("a".parse().unwrap(), auto(30)).await.unwrap().hotspot.address_ipv6.unwrap();
    let two = gateway.app.create_hotspot("b".parse().unwrap(), auto(31)).await.unwrap().hotspot.address_ipv6.unwrap();
    for net in [one, two] {
        assert_eq!(
            (net.prefix_len(), net.addr().octets()[0], net.addr().segments()[4..].to_vec()),
            (64, 0xfd, vec![0, 0, 0, 1])
        );
    }
    assert_ne!(one.trunc(), two.trunc());
}

async fn devices_have_their_policy(database: Database) {
    let gateway = Gateway::start(database).await;
    hotspot(&gateway).await;
    let set =
        async |n, policy, note: &str| gateway.app.set_device_policy("lobby", mac(n), policy, note.to_owned()).await;
    set(1, Some(DevicePolicy::Allowed), "printer").await.unwrap();
    set(2, Some(DevicePolicy::Allowed), "").await.unwrap();
    set(2, Some(DevicePolicy::Blocked), "noisy").await.unwrap();
    let listed = gateway.app.hotspot("lobby").unwrap().hotspot;
    assert_eq!((listed.allowed.as_slice(), listed.blocked.as_slice()), ([mac(1)].as_slice(), [mac(2)].as_slice()));
    let devices = gateway.app.hotspot_devices("lobby").await.unwrap();
    assert_eq!(devices.iter().map(|d| d.note.as_str()).collect::<Vec<_>>(), ["printer", "noisy"]);
    gateway.app.edit_hotspot("lobby", move |_| Ok(HotspotSpec { isolated: false, ..spec() })).await.unwrap();
    assert_eq!(gateway.app.hotspot("lobby").unwrap().hotspot.allowed, [mac(1)], "edits leave them");
    set(1, None, "").await.unwrap();
    refused(set(1, None, "").await, &HotspotError::DeviceNotFound);
    refused(set(1, Some(DevicePolicy::Allowed), "a\nb").await, &HotspotError::Note);
    refused(set(1, Some(DevicePolicy::Allowed), &"x".repeat(201)).await, &HotspotError::Note);
    let nowhere = gateway.app.set_device_policy("bar", mac(1), None, String::new()).await;
    refused(nowhere, &HotspotError::NotFound);
}

async fn settings_are_kept(database: Database) {
    let gateway = Gateway::start(database).await;
    assert_eq!(*gateway.app.guest_settings(), GuestSettings::default());
    assert_eq!(gateway.app.api_switches(), ApiSwitches { post: false, get: false });
    let first = gateway.app.api_key();
    let second = gateway.app.renew_api_key().await.unwrap();
    assert!(!second.is(first.expose()) && gateway.app.api_key().is(second.expose()));
    let settings = GuestSettings { keep_logins_days: 7, ..GuestSettings::default() };
    gateway.app.set_guest_settings(settings.clone()).await.unwrap();
    gateway.app.set_api_switches(ApiSwitches { post: true, get: false }).await.unwrap();
    let wrong = GuestSettings { voucher_valid_for: "1 week".to_owned(), ..settings.clone() };
    assert!(matches!(gateway.app.set_guest_settings(wrong).await, Err(Error::Settings(_))));
    let gateway = gateway.restarted().await;
    assert_eq!(*gateway.app.guest_settings(), settings);
    assert_eq!(gateway.app.api_switches(), ApiSwitches { post: true, get: false });
    assert!(gateway.app.api_key().is(second.expose()));
}

async fn the_certificate_is_told(database: Database) {
    let gateway = Gateway::with(database, |choice| choice.settings.portal_tls = true).await;
    assert!(hotspot(&gateway).await.hotspot.portal_tls);
    let gateway = gateway.reconfigured(|choice| choice.settings.portal_tls = false).await;
    assert!(!gateway.app.hotspot("lobby").unwrap().hotspot.portal_tls);
    assert!(!gateway.store.hotspots().await.unwrap()[0].hotspot.portal_tls, "the loop reads it there");
}
