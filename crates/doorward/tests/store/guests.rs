//! Persons, the login log, and forgetting.

use doorward::{
    hotspot_settings::GuestSettings,
    store::{By, CodeFor, Error, FailedLogin, GuestConfig, NewLoginCode, Whose},
};
use doorward_policy::{
    guest::{DataUse, EndReason, Method},
    voucher::Terms,
};

use crate::{
    databases::Database,
    online::{NOW, admission, admit, at, by_voucher, mac, person, refused, stored_hotspot, stored_voucher, terms},
};

both_engines!(
    a_person_is_exported_and_erased,
    whoever_never_got_in_is_erased_too,
    a_social_guest_without_an_address_is_erased_whole,
    vouchers_that_name_a_person_forget_it,
    old_records_go,
    settings_read_back
);

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

async fn whoever_never_got_in_is_erased_too(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let identity = "late@example.net";
    let code = NewLoginCode {
        code_for: CodeFor { hotspot: hotspot.hotspot.id, method: Method::Email, mac: mac(1) },
        identity: identity.to_owned(),
        code: "123456".to_owned().into(),
        answers: b"{}".to_vec().into(),
        tries: 5,
        created_ms: NOW,
        expires_ms: NOW + 900_000,
    };
    store.put_login_code(&code).await.unwrap();
    store.log_failed_login(&failed("Late@example.net", NOW)).await.unwrap();
    let grant = doorward::store::NewGrant::of(Method::Email, &Default::default(), NOW);
    let by = By::Grace { identity: identity.to_owned(), grant, not_since_ms: 0 };
    let grace = admit(&store, &admission(by, &hotspot, 1)).await;
    let known = store.export_person(Method::Email, identity).await.unwrap().unwrap();
    assert_eq!(known["person"], serde_json::Value::Null);
    let counts = ["sessions", "logins", "login_codes"].map(|of| known[of].as_array().unwrap().len());
    assert_eq!(counts, [1, 1, 1]);
    assert!(matches!(store.erase_person(Method::Email, identity).await, Err(Error::InUse)));
    store.end_sessions(&[(grace.session, EndReason::Kicked)], NOW).await.unwrap();
    store.erase_person(Method::Email, identity).await.unwrap();
    assert!(store.export_person(Method::Email, identity).await.unwrap().is_none());
    assert!(store.login_code(code.code_for, NOW).await.unwrap().is_none());
    assert!(store.slots(grace.grant).await.unwrap().is_empty());
    assert!(matches!(store.erase_person(Method::Email, identity).await, Err(Error::Missing)));
}

async fn a_social_guest_without_an_address_is_erased_whole(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let anna = |name: &str| doorward::store::Person {
        method: Method::Facebook,
        login: name.to_owned(),
        email: None,
        name: Some(name.to_owned()),
        allowance: doorward::hotspot_settings::Allowance { renew_s: 3600, ..Default::default() },
        ..person("https://login.example 17")
    };
    let by = |name| By::Person(Box::new(anna(name)));
    let session = admit(&store, &admission(by("Anna"), &hotspot, 1)).await;
    store.end_sessions(&[(session.session, EndReason::Idle)], NOW).await.unwrap();
    // Under another name, and from a device that is not let in: the allowance is used up.
    store.record_session_use(&[], &[session.grant]).await.unwrap();
    refused(&store, &admission(by("Anna B."), &hotspot, 2)).await;
    let lines = async || store.login_page(&Default::default(), i64::MAX, 10).await.unwrap();
    assert_eq!(lines().await.len(), 2);
    let known = store.export_person(Method::Facebook, "https://login.example 17").await.unwrap().unwrap();
    assert_eq!(known["logins"].as_array().unwrap().len(), 2);
    assert_eq!(known["devices"][0]["mac"], "02:00:00:00:00:01");
    store.erase_person(Method::Facebook, "https://login.example 17").await.unwrap();
    assert!(lines().await.is_empty());
    // Nobody is known by a name alone, so no line has one.
    let nobody = By::Person(Box::new(doorward::store::Person {
        allowance: doorward::hotspot_settings::Allowance { speed_down: 5, ..Default::default() },
        ..anna("Berta")
    }));
    let unlimited = doorward::store::Admission { mark: None, ..admission(nobody, &hotspot, 3) };
    refused(&store, &unlimited).await;
    assert_eq!(lines().await.iter().map(|line| line.login.as_str()).collect::<Vec<_>>(), [""]);
}

async fn vouchers_that_name_a_person_forget_it(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let noted = |note: &str| Terms { note: note.to_owned(), ..terms() };
    stored_voucher(&store, "theirs", noted("for A_b@Example.net, room 7")).await;
    stored_voucher(&store, "others", noted("for aXb@example.net")).await;
    let person = By::Person(Box::new(person("a_b@example.net")));
    let session = admit(&store, &admission(person, &hotspot, 1)).await;
    store.end_sessions(&[(session.session, EndReason::Idle)], NOW).await.unwrap();
    let known = store.export_person(Method::Email, "a_b@example.net").await.unwrap().unwrap();
    assert_eq!(known["vouchers"].as_array().unwrap().len(), 1);
    assert_eq!(known["vouchers"][0]["username"], "theirs");
    store.erase_person(Method::Email, "a_b@example.net").await.unwrap();
    let note = async |name| store.voucher(name).await.unwrap().unwrap();
    let theirs = note("theirs").await;
    assert_eq!((theirs.terms.note.as_str(), theirs.fullname.as_str()), ("", "Sample Guest"));
    assert_eq!(note("others").await.terms.note, "for aXb@example.net");
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
