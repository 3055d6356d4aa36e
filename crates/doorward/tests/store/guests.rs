//! Persons, the login log, and forgetting.

use doorward::{
    hotspot_settings::GuestSettings,
    store::{By, Error, FailedLogin, GuestConfig, Whose},
};
use doorward_policy::guest::{DataUse, EndReason, Method};

use crate::{
    databases::Database,
    online::{NOW, admission, admit, at, by_voucher, mac, person, stored_hotspot, stored_voucher, terms},
};

both_engines!(a_person_is_exported_and_erased, old_records_go, settings_read_back);

fn failed(login: &str, at_ms: i64) -> FailedLogin {
    FailedLogin {
        hotspot: doorward_policy::hotspot::HotspotId(1),
        at_ms,
        method: Method::Email,
        login: login.to_owned(),
        mac: mac(9),
        address: at("10.1.0.9"),
        reason: "wrong code",
    }
}

async fn a_person_is_exported_and_erased(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let by = |identity| By::Person(Box::new(person(identity)));
    let session = admit(&store, &admission(by("a@example.net"), &hotspot, 1)).await;
    admit(&store, &admission(by("b@example.net"), &hotspot, 2)).await;
    store.log_failed_login(&failed("A@Example.net", NOW)).await.unwrap();
    store.log_failed_login(&failed("b@example.net", NOW)).await.unwrap();
    let used = DataUse { down: 5, up: 1 };
    let one = doorward::store::SessionUse { session: session.session, add: used, raw: used };
    store.record_session_use(&[one], &[]).await.unwrap();

    assert!(store.export_person(Method::Free, "a@example.net").await.unwrap().is_none());
    let known = store.export_person(Method::Email, "a@example.net").await.unwrap().unwrap();
    assert_eq!(known["person"]["email"], "a@example.net");
    assert_eq!(
        (&known["sessions"][0]["mac"], &known["sessions"][0]["bytes_down"]),
        (&"02:00:00:00:00:01".into(), &5.into())
    );
    let logins: Vec<_> = known["logins"].as_array().unwrap().iter().map(|one| one["success"].as_bool()).collect();
    assert_eq!(logins, [Some(true), Some(false)]);

    let nowhere = FailedLogin { hotspot: doorward_policy::hotspot::HotspotId(99), ..failed("x", NOW) };
    assert!(matches!(store.log_failed_login(&nowhere).await, Err(Error::Missing)));

    let guest = store.guest_id(Method::Email, "a@example.net").await.unwrap().unwrap();
    assert!(matches!(store.erase_person(Method::Email, "a@example.net").await, Err(Error::InUse)));
    assert_eq!(store.end_sessions_of(Whose::Guest(guest), EndReason::Kicked, NOW).await.unwrap().len(), 1);
    store.erase_person(Method::Email, "a@example.net").await.unwrap();
    assert!(matches!(store.erase_person(Method::Email, "a@example.net").await, Err(Error::Missing)));
    assert!(store.export_person(Method::Email, "a@example.net").await.unwrap().is_none());
    let grant = store.grants_by_ids(&[session.grant]).await.unwrap().remove(0);
    assert_eq!((grant.used, grant.enabled), (used, false), "what was used stays counted");
    assert!(store.slots(session.grant).await.unwrap().is_empty());
    assert_eq!(grant.sessions[0].mac.to_string(), "02:00:00:00:00:00");
    let other = store.export_person(Method::Email, "b@example.net").await.unwrap().unwrap();
    assert_eq!(other["logins"].as_array().unwrap().len(), 2, "the others keep theirs");
    let anew = admit(&store, &admission(by("a@example.net"), &hotspot, 1)).await;
    assert_ne!(anew.grant, session.grant);
}

async fn old_records_go(database: Database) {
    const DAY: i64 = 86_400_000;
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let by = |identity| By::Person(Box::new(person(identity)));
    let old = admit(&store, &admission(by("old@example.net"), &hotspot, 1)).await;
    let online = admit(&store, &admission(by("online@example.net"), &hotspot, 2)).await;
    let voucher = stored_voucher(&store, "one", terms()).await;
    let by_code = admit(&store, &admission(by_voucher(&store, &voucher).await, &hotspot, 3)).await;
    let ends = [(old.session, EndReason::Expired), (by_code.session, EndReason::Expired)];
    store.end_sessions(&ends, NOW).await.unwrap();
    store.log_failed_login(&failed("x", NOW + DAY)).await.unwrap();
    let settings = GuestSettings {
        keep_guests_days: 30,
        keep_logins_days: 20,
        keep_sessions_days: 10,
        ..GuestSettings::default()
    };
    store.prune_guest_records(&settings, NOW + 20 * DAY).await.unwrap();
    let known = async |identity| store.export_person(Method::Email, identity).await.unwrap();
    let person = known("old@example.net").await.unwrap();
    assert_eq!(person["sessions"].as_array().unwrap().len(), 1, "not collected yet");
    assert_eq!(person["logins"].as_array().unwrap().len(), 1, "of this very day");

    store.finish_sessions(&[old.session, by_code.session]).await.unwrap();
    store.prune_guest_records(&settings, NOW + 20 * DAY + 1).await.unwrap();
    let person = known("old@example.net").await.unwrap();
    assert!(person["sessions"].as_array().unwrap().is_empty() && person["logins"].as_array().unwrap().is_empty());
    assert_eq!(store.grants_by_ids(&[old.grant]).await.unwrap().len(), 1, "the person still has it");

    store.prune_guest_records(&settings, NOW + 30 * DAY + 1).await.unwrap();
    assert!(known("old@example.net").await.is_none());
    assert!(known("online@example.net").await.is_some(), "who is online stays");
    let left = store.grants_by_ids(&[old.grant, online.grant, voucher.grant]).await.unwrap();
    let mut left: Vec<_> = left.into_iter().map(|grant| grant.id).collect();
    left.sort_unstable();
    assert_eq!(left, [online.grant, voucher.grant], "vouchers stay until they are removed");
    assert_eq!(store.open_sessions().await.unwrap().len(), 1);
}

async fn settings_read_back(database: Database) {
    let store = database.open().await;
    assert_eq!(store.guest_config().await.unwrap(), None);
    let mut config = GuestConfig {
        settings: GuestSettings { keep_guests_days: 7, ..GuestSettings::default() },
        switches: doorward::store::ApiSwitches { post: true, get: false },
        key: doorward::secrets::ApiKey::generate().unwrap(),
    };
    store.set_guest_config(&config).await.unwrap();
    assert_eq!(store.guest_config().await.unwrap().as_ref(), Some(&config));
    config.settings.voucher_devices = 3;
    config.switches.get = true;
    config.key = doorward::secrets::ApiKey::generate().unwrap();
    store.set_guest_config(&config).await.unwrap();
    store.close().await;
    assert_eq!(database.open().await.guest_config().await.unwrap(), Some(config));
}
