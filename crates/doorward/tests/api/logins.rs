//! Guests log in, come back, leave and are thrown out: what is stored, told and in the kernel is the same.

use doorward::{
    app::{
        hotspots::{DevicePolicy, HotspotSpec},
        logins::{Denied, Device, SlotDevice},
        vouchers::{VoucherEdit, VoucherWish},
    },
    clock::now_ms,
    hosts::Lease,
    hotspot_settings::{HotspotSettings, MethodSettings},
    store::Whose,
};
use doorward_policy::{
    guest::{DataLimits, DataUse, EndReason, Method},
    item::{Counter, Key},
    limits::{Mark, Mbit},
    voucher::ValidFor,
};

use crate::{
    databases::Database,
    gateway::Gateway,
    guests::{device, hotspot, is_online, log, mac, person, spec, voucher},
};

both_engines!(
    two_hundred_redeem_a_voucher_for_one,
    a_voucher_lets_in,
    a_code_is_enough,
    refusals_say_why,
    the_first_use_counts,
    devices_leave_and_are_thrown_out,
    a_slot_changes_hands,
    an_address_is_the_lessees,
    who_was_online_is_after_a_restart,
    numbers_are_shared_with_accounts,
    an_edited_voucher_gets_a_number,
    persons_and_grace,
    a_device_comes_back_in_silence,
    blocked_devices_stay_out,
    the_status_is_live,
    a_deleted_hotspot_lets_nobody_in,
    a_person_is_forgotten,
);

async fn two_hundred_redeem_a_voucher_for_one(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish { speed_down: Mbit::new(5), ..VoucherWish::default() }).await;
    let mut logins = tokio::task::JoinSet::new();
    for n in 1..=200 {
        let (app, device) = (gateway.app.clone(), device(&hotspot, n));
        logins.spawn(async move { (device, app.log_in_with_voucher(&device, "guest107", "tulip-4402").await) });
    }
    let results = logins.join_all().await;
    let admitted: Vec<&Device> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(device, _)| device).collect();
    assert_eq!(admitted.len(), 1);
    assert!(is_online(&gateway, admitted[0]));
    for (device, result) in results.iter().filter(|(_, result)| result.is_err()) {
        assert!(matches!(result, Err(Denied::Slots(slots)) if slots.len() == 1), "{result:?}");
        assert!(!is_online(&gateway, device));
    }
    let marks = gateway.store.grant_marks().await.unwrap();
    assert_eq!(marks.len(), 1);
    let next =
        VoucherWish { username: Some("next".parse().unwrap()), speed_up: Mbit::new(5), ..VoucherWish::default() };
    let next = voucher(&gateway, next).await;
    gateway.app.log_in_with_voucher(&device(&hotspot, 300), "next", "tulip-4402").await.unwrap();
    let mark = gateway.store.grants_by_ids(&[next.grant]).await.unwrap()[0].mark.map(Mark::get);
    let largest = if marks[0].get() == Mark::LAST { Mark::LAST - 1 } else { Mark::LAST };
    assert_eq!(mark, Some(largest), "the others gave theirs back");
    let log = log(&gateway).await;
    assert_eq!((log.len(), log.iter().filter(|(_, success, _)| *success).count()), (201, 2));
}

async fn a_voucher_lets_in(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    let voucher = voucher(&gateway, VoucherWish::default()).await;
    let device = device(&hotspot, 7);
    assert!(!is_online(&gateway, &device));
    let admitted = gateway.app.log_in_with_voucher(&device, " Guest107 ", "tulip-4402").await.unwrap();
    assert!(is_online(&gateway, &device));
    assert_eq!((admitted.grant, admitted.ends_ms), (voucher.grant, voucher.ends_ms));
    let online = gateway.app.hosts().online(device.hotspot, device.mac).unwrap();
    assert_eq!((online.session, online.login.as_str(), online.method), (admitted.session, "guest107", Method::Voucher));
    assert_eq!(log(&gateway).await, [("guest107".to_owned(), true, String::new())]);
    let again = gateway.app.log_in_with_voucher(&device, "guest107", "tulip-4402").await.unwrap();
    assert_ne!(again.session, admitted.session);
    assert!(is_online(&gateway, &device));
}

async fn a_code_is_enough(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    let wish = VoucherWish { code_only: true, devices: Some(9), ..VoucherWish::default() };
    let code = voucher(&gateway, wish).await.username;
    let plain = code.replace('-', "").to_lowercase();
    let spaced = format!(" {} {} ", &plain[..4], &plain[4..]);
    let typed = [(code.as_str(), ""), ("", code.as_str()), (&plain, "whatever"), ("", &spaced), (&code, &code)];
    for (n, (username, passcode)) in (1..).zip(typed) {
        let device = device(&hotspot, n);
        gateway.app.log_in_with_voucher(&device, username, passcode).await.unwrap();
        assert!(is_online(&gateway, &device), "{username:?} {passcode:?}");
    }
    voucher(&gateway, VoucherWish::default()).await;
    let alone = gateway.app.log_in_with_voucher(&device(&hotspot, 20), "guest107", "").await;
    assert_eq!(alone, Err(Denied::WrongPasscode), "a user name is no code");
}

async fn refusals_say_why(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    let named = |name: &str| VoucherWish { username: Some(name.parse().unwrap()), ..VoucherWish::default() };
    let day = 86_400_000;
    voucher(&gateway, named("fine")).await;
    voucher(&gateway, VoucherWish { valid_from_ms: Some(now_ms() + day), ..named("soon") }).await;
    voucher(&gateway, VoucherWish { valid_from_ms: Some(now_ms() - 2 * day), ..named("past") }).await;
    voucher(&gateway, named("off")).await;
    gateway.app.switch_voucher("off", false, None).await.unwrap();
    let spent = voucher(&gateway, named("spent")).await;
    gateway.store.record_session_use(&[], &[spent.grant]).await.unwrap();
    let long = "x".repeat(1000);
    let cases = [
        ("nobody", "tulip-4402", Denied::WrongUsername, "wrong username"),
        ("", "", Denied::WrongUsername, "wrong username"),
        (long.as_str(), "tulip-4402", Denied::WrongUsername, "wrong username"),
        ("fine", "Tulip-4402", Denied::WrongPasscode, "wrong password"),
        ("fine", "", Denied::WrongPasscode, "wrong password"),
        ("soon", "tulip-4402", Denied::NotYet, "not yet valid"),
        ("past", "tulip-4402", Denied::Expired, "expired"),
        ("off", "tulip-4402", Denied::Disabled, "expired"),
        ("spent", "tulip-4402", Denied::Spent, "limit reached"),
    ];
    for (n, (username, passcode, denied, reason)) in (1..).zip(cases) {
        let device = device(&hotspot, n);
        let result = gateway.app.log_in_with_voucher(&device, username, passcode).await;
        assert_eq!(result, Err(denied.clone()), "{username:.9}");
        assert_eq!(denied.reason(), reason);
        assert!(!is_online(&gateway, &device));
        let (login, success, why) = log(&gateway).await.swap_remove(0);
        assert_eq!((login.as_str(), success, why.as_str()), (&username[..username.len().min(128)], false, reason));
    }
    let device = device(&hotspot, 50);
    gateway.app.note_failed_login(&device, Method::Email, "a\u{0}b\n@example.net", "wrong code").await;
    assert_eq!(log(&gateway).await[0], ("ab@example.net".to_owned(), false, "wrong code".to_owned()));
}

async fn the_first_use_counts(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    let valid_for = ValidFor::parse("2 hours");
    let wish = VoucherWish { valid_for, from_first_use: true, devices: Some(2), ..VoucherWish::default() };
    assert_eq!(voucher(&gateway, wish).await.ends_ms, None);
    let before = now_ms();
    let first = gateway.app.log_in_with_voucher(&device(&hotspot, 1), "guest107", "tulip-4402").await.unwrap();
    let end = first.ends_ms.unwrap();
    assert!((before + 7_200_000..=now_ms() + 7_200_000).contains(&end));
    let second = gateway.app.log_in_with_voucher(&device(&hotspot, 2), "guest107", "tulip-4402").await.unwrap();
    assert_eq!(second.ends_ms, Some(end));
}

async fn devices_leave_and_are_thrown_out(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    let voucher = voucher(&gateway, VoucherWish { devices: Some(3), ..VoucherWish::default() }).await;
    let devices = [1, 2, 3].map(|n| device(&hotspot, n));
    for device in &devices {
        gateway.app.log_in_with_voucher(device, "guest107", "tulip-4402").await.unwrap();
    }
    assert!(gateway.app.log_out(&devices[0]).await.unwrap() && !gateway.app.log_out(&devices[0]).await.unwrap());
    assert_eq!(devices.map(|device| is_online(&gateway, &device)), [false, true, true]);
    let kick = async || gateway.app.kick(hotspot.hotspot.id, mac(2)).await.unwrap();
    assert!(kick().await && !kick().await);
    assert_eq!(devices.map(|device| is_online(&gateway, &device)), [false, false, true]);
    for device in &devices[..2] {
        assert_eq!(gateway.app.return_silently(device).await, None);
        gateway.app.log_in_with_voucher(device, "guest107", "tulip-4402").await.unwrap();
    }
    gateway.app.close_grant(voucher.grant, EndReason::Kicked).await.unwrap();
    assert_eq!(devices.map(|device| is_online(&gateway, &device)), [false; 3]);
    gateway.app.log_in_with_voucher(&devices[0], "guest107", "tulip-4402").await.unwrap();
    gateway.app.remove_voucher("guest107", None).await.unwrap();
    assert_eq!(devices.map(|device| is_online(&gateway, &device)), [false; 3]);
    let gone = gateway.app.log_in_with_voucher(&devices[0], "guest107", "tulip-4402").await;
    assert_eq!(gone, Err(Denied::WrongUsername));
}

async fn a_slot_changes_hands(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish::default()).await;
    let (phone, laptop) = (device(&hotspot, 1), device(&hotspot, 2));
    gateway.app.log_in_with_voucher(&phone, "guest107", "tulip-4402").await.unwrap();
    let full = gateway.app.log_in_with_voucher(&laptop, "guest107", "tulip-4402").await;
    let Err(Denied::Slots(slots)) = full else { panic!("{full:?}") };
    assert!(matches!(slots.as_slice(), [SlotDevice { online: true, mac, .. }] if *mac == phone.mac));
    let wrong = gateway.app.release_slot(&laptop, "guest107", "x", phone.mac).await;
    assert_eq!(wrong, Err(Denied::WrongPasscode));
    assert!(is_online(&gateway, &phone));
    gateway.app.release_slot(&laptop, "guest107", "tulip-4402", phone.mac).await.unwrap();
    assert!(!is_online(&gateway, &phone));
    gateway.app.log_in_with_voucher(&laptop, "guest107", "tulip-4402").await.unwrap();
    assert!(is_online(&gateway, &laptop));
    assert_eq!(gateway.app.return_silently(&phone).await, None, "its slot is gone");
}

async fn an_address_is_the_lessees(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish { devices: Some(9), ..VoucherWish::default() }).await;
    let owner = device(&hotspot, 1);
    let other = Device { address: owner.address, ..device(&hotspot, 2) };
    let std::net::IpAddr::V4(address) = owner.address else { panic!("IPv4") };
    let lease = |mac| [(address, Lease { mac, host_name: String::new(), expires_ms: i64::MAX })].into();
    gateway.app.log_in_with_voucher(&owner, "guest107", "tulip-4402").await.unwrap();
    gateway.app.hosts().set_leases(lease(owner.mac), doorward::clock::now_ms());
    let refused = gateway.app.log_in_with_voucher(&other, "guest107", "tulip-4402").await;
    assert_eq!(refused, Err(Denied::Elsewhere));
    assert!(is_online(&gateway, &owner));
    gateway.app.hosts().set_leases(lease(other.mac), doorward::clock::now_ms());
    gateway.app.log_in_with_voucher(&other, "guest107", "tulip-4402").await.unwrap();
    assert!(gateway.kernel.item(Key::Device(other.address, other.mac)).is_some());
    assert!(gateway.kernel.item(Key::Device(owner.address, owner.mac)).is_none(), "one device an address");
    let left = gateway.app.hosts().online(owner.hotspot, owner.mac).unwrap();
    assert!(left.addresses.is_empty(), "its session waits for its new address");
}

async fn who_was_online_is_after_a_restart(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish { speed_down: Mbit::new(5), ..VoucherWish::default() }).await;
    let device = device(&hotspot, 1);
    let session = gateway.app.log_in_with_voucher(&device, "guest107", "tulip-4402").await.unwrap().session;
    let key = gateway.app.api_key();
    let gateway = gateway.restarted().await;
    assert!(is_online(&gateway, &device));
    let standing = gateway.app.hosts().standing(device.address);
    assert_eq!(standing, Some(doorward::hosts::Standing::Online), "to the resolver, before anybody has seen it");
    let online = gateway.app.hosts().online(device.hotspot, device.mac).unwrap();
    assert_eq!((online.session, online.login.as_str()), (session, "guest107"));
    assert_eq!(gateway.app.hotspots().borrow().as_slice(), [hotspot]);
    assert!(gateway.app.api_key().is(key.expose()), "the key stays");
}

async fn numbers_are_shared_with_accounts(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let hotspot = hotspot(&gateway).await;
    let wish = |name: &str| VoucherWish {
        username: Some(name.parse().unwrap()),
        speed_up: Mbit::new(5),
        ..VoucherWish::default()
    };
    for name in ["a", "b"] {
        voucher(&gateway, wish(name)).await;
    }
    let one = gateway.app.log_in_with_voucher(&device(&hotspot, 1), "a", "tulip-4402").await.unwrap();
    gateway.app.log_in_with_voucher(&device(&hotspot, 2), "b", "tulip-4402").await.unwrap();
    let marks = async |gateway: &Gateway| {
        let mut marks: Vec<u32> = gateway.store.grant_marks().await.unwrap().into_iter().map(Mark::get).collect();
        marks.sort_unstable();
        marks
    };
    assert_eq!(marks(&gateway).await, [Mark::LAST - 1, Mark::LAST], "from the upper end");
    gateway.account("wg_name=Default_1").await;
    let gateway = gateway.restarted().await;
    gateway.app.log_out(&device(&hotspot, 1)).await.unwrap();
    gateway.app.finish_sessions(&[one.session]).await.unwrap();
    assert_eq!(marks(&gateway).await, [Mark::LAST - 1]);
    gateway.app.log_in_with_voucher(&device(&hotspot, 1), "a", "tulip-4402").await.unwrap();
    assert_eq!(marks(&gateway).await, [Mark::LAST - 1, Mark::LAST], "what was freed is given again");
}

async fn an_edited_voucher_gets_a_number(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish::default()).await;
    gateway.app.log_in_with_voucher(&device(&hotspot, 1), "guest107", "tulip-4402").await.unwrap();
    assert!(gateway.store.grant_marks().await.unwrap().is_empty());
    for _ in 0..2 {
        let edit = VoucherEdit { speed_down: Mbit::new(3), ..VoucherEdit::default() };
        gateway.app.edit_voucher("guest107", edit, None).await.unwrap();
        assert_eq!(gateway.store.grant_marks().await.unwrap().len(), 1);
    }
    assert!(gateway.kernel.item(Key::ClassOf(device(&hotspot, 1).address)).is_some());
}

async fn persons_and_grace(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    let device = device(&hotspot, 1);
    let before = now_ms();
    let grace = gateway.app.admit_for_grace(&device, "a@example.net", 300).await.unwrap();
    assert!((before + 300_000..=now_ms() + 300_000).contains(&grace.ends_ms.unwrap()));
    assert!(is_online(&gateway, &device));
    assert!(gateway.app.log_out(&device).await.unwrap());
    let again = gateway.app.admit_for_grace(&device, "a@example.net", 300).await;
    assert!(matches!(again, Err(Denied::TooMany { .. })));
    let admitted = gateway.app.log_in_person(&device, person("a@example.net")).await.unwrap();
    assert!(is_online(&gateway, &device) && admitted.grant != grace.grant);
    let known = gateway.app.export_person(Method::Email, "a@example.net").await.unwrap().unwrap();
    assert_eq!(known["person"]["visits"].as_i64(), Some(1), "grace is no visit");
}

async fn a_device_comes_back_in_silence(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish::default()).await;
    let here = device(&hotspot, 1);
    assert_eq!(gateway.app.return_silently(&here).await, None, "it was never here");
    let session = gateway.app.log_in_with_voucher(&here, "guest107", "tulip-4402").await.unwrap().session;
    gateway.app.end_sessions(&[(session, EndReason::Idle)]).await.unwrap();
    assert!(crate::guests::soon(|| gateway.kernel.item(Key::Device(here.address, here.mac)).is_none()).await);
    assert!(!is_online(&gateway, &here));
    let moved = Device { address: device(&hotspot, 9).address, ..here };
    let back = gateway.app.return_silently(&moved).await.unwrap();
    assert!(is_online(&gateway, &moved) && back.session != session);
    assert_eq!(log(&gateway).await.len(), 1, "it is no login");

    gateway.app.end_sessions(&[(back.session, EndReason::Idle)]).await.unwrap();
    let settings = HotspotSettings { silent_return: false, ..HotspotSettings::default() };
    gateway.app.edit_hotspot("lobby", move |_| Ok(HotspotSpec { settings: settings.into(), ..spec() })).await.unwrap();
    assert_eq!(gateway.app.return_silently(&moved).await, None);
}

async fn blocked_devices_stay_out(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish::default()).await;
    let device = device(&hotspot, 1);
    gateway.app.set_device_policy("lobby", device.mac, Some(DevicePolicy::Blocked), String::new()).await.unwrap();
    let result = gateway.app.log_in_with_voucher(&device, "guest107", "tulip-4402").await;
    assert_eq!(result, Err(Denied::Blocked));
    assert_eq!(gateway.app.log_in_person(&device, person("a@example.net")).await, Err(Denied::Blocked));
    assert_eq!(gateway.app.admit_for_grace(&device, "a@example.net", 300).await, Err(Denied::Blocked));
    assert_eq!(gateway.app.return_silently(&device).await, None);
    assert!(log(&gateway).await.is_empty());
    gateway.app.set_device_policy("lobby", device.mac, None, String::new()).await.unwrap();
    gateway.app.log_in_with_voucher(&device, "guest107", "tulip-4402").await.unwrap();
}

async fn the_status_is_live(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    let limits = DataLimits { down: Some(1000), up: None, total: Some(1500) };
    let wish = VoucherWish { limits, speed_down: Mbit::new(7), devices: Some(2), ..VoucherWish::default() };
    let voucher = voucher(&gateway, wish).await;
    let device = device(&hotspot, 1);
    assert_eq!(gateway.app.session_status(&device).await, None);
    let admitted = gateway.app.log_in_with_voucher(&device, "guest107", "tulip-4402").await.unwrap();
    gateway.kernel.set_counter(Counter::SessionDown(admitted.session), 4, 300);
    gateway.kernel.set_counter(Counter::SessionUp(admitted.session), 2, 100);
    let status = gateway.app.session_status(&device).await.unwrap();
    assert_eq!(
        (status.session, status.login.as_str(), status.ends_ms),
        (admitted.session, "guest107", voucher.ends_ms)
    );
    assert_eq!(status.used, DataUse { down: 300, up: 100 });
    assert_eq!(status.left, DataLimits { down: Some(700), up: None, total: Some(1100) });
    assert_eq!((status.speed.down.get(), status.devices.len()), (7, 1));
    // What was collected is not counted twice.
    let raw = DataUse { down: 200, up: 50 };
    let one = doorward::store::SessionUse { session: admitted.session, add: raw, raw };
    gateway.store.record_session_use(&[one], &[]).await.unwrap();
    let status = gateway.app.session_status(&device).await.unwrap();
    assert_eq!((status.used, status.left.total), (DataUse { down: 300, up: 100 }, Some(1100)));
    gateway.store.record_session_use(&[], &[voucher.grant]).await.unwrap();
    let spent = gateway.app.session_status(&device).await.unwrap();
    assert_eq!(spent.left, DataLimits { down: Some(0), up: None, total: Some(0) });
}

async fn a_deleted_hotspot_lets_nobody_in(database: Database) {
    use doorward::app::{Error, hotspots::HotspotError};
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish { speed_down: Mbit::new(5), ..VoucherWish::default() }).await;
    let device = device(&hotspot, 1);
    gateway.app.log_in_with_voucher(&device, "guest107", "tulip-4402").await.unwrap();
    let result = gateway.app.delete_hotspot("lobby", false).await;
    assert!(matches!(result, Err(Error::Hotspot(HotspotError::InUse))));
    assert!(is_online(&gateway, &device));
    gateway.app.delete_hotspot("lobby", true).await.unwrap();
    assert!(!is_online(&gateway, &device));
    assert!(gateway.app.hotspots().borrow().is_empty() && gateway.store.grant_marks().await.unwrap().is_empty());
    let result = gateway.app.log_in_with_voucher(&device, "guest107", "tulip-4402").await;
    assert_eq!(result, Err(Denied::Failed));
    let result = gateway.app.delete_hotspot("lobby", true).await;
    assert!(matches!(result, Err(Error::Hotspot(HotspotError::NotFound))));
}

async fn a_person_is_forgotten(database: Database) {
    let gateway = Gateway::start(database).await;
    let mut settings = HotspotSettings::default();
    settings.methods.push(MethodSettings::new(Method::Email));
    let spec = HotspotSpec { settings: settings.into(), ..spec() };
    let hotspot = gateway.app.create_hotspot("lobby".parse().unwrap(), spec).await.unwrap();
    let device = device(&hotspot, 1);
    assert!(!gateway.app.erase_person(Method::Email, "a@example.net").await.unwrap());
    gateway.app.log_in_person(&device, person("a@example.net")).await.unwrap();
    assert!(gateway.app.erase_person(Method::Email, "a@example.net").await.unwrap());
    assert!(!is_online(&gateway, &device));
    assert!(gateway.app.export_person(Method::Email, "a@example.net").await.unwrap().is_none());
    assert!(log(&gateway).await.is_empty());
    assert_eq!(gateway.app.return_silently(&device).await, None);
    assert!(
        gateway
            .store
            .end_sessions_of(Whose::Device(device.hotspot, device.mac), EndReason::Idle, 0)
            .await
            .unwrap()
            .is_empty()
    );
}
