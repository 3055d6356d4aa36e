//! Devices come online.

use std::collections::BTreeSet;

use doorward::{
    hotspot_settings::Allowance,
    store::{
        Admission, By, EndedSession, Error, HotspotRecord, NewGrant, Outcome, Person, Refusal, VoucherFilter, Whose,
    },
};
use doorward_policy::{
    guest::{Closed, DataLimits, DataUse, EndReason, GrantId, Method},
    limits::Mark,
    voucher::{Terms, ValidFor, VoucherId},
};

use crate::{
    databases::Database,
    online::{NOW, admission, admit, at, by_voucher, mac, person, refused, stored_hotspot, stored_voucher, terms},
    samples::bandwidth,
};

both_engines!(
    a_voucher_logs_in,
    the_first_use_starts_the_time,
    closed_vouchers_are_refused,
    slots_are_kept_and_given_back,
    two_hundred_want_the_last_slot,
    a_device_has_one_session,
    addresses_have_one_owner,
    a_speed_limit_needs_a_number,
    a_number_comes_later,
    persons_visit,
    an_allowance_is_renewed_when_it_may,
    a_person_moves_to_another_device,
    a_new_person_is_one_person,
    grace_is_once_an_hour,
    a_device_returns,
    a_device_that_left_does_not,
);

async fn a_voucher_logs_in(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "Guest107", terms()).await;
    assert!(store.voucher_key("nobody").await.unwrap().is_none());
    let key = store.voucher_key("guest107").await.unwrap().unwrap();
    assert_eq!((key.voucher, key.grant, key.passcode.expose()), (voucher.id, voucher.grant, "tulip"));
    assert!(!format!("{key:?}").contains("tulip"));

    let mut wish = admission(by_voucher(&store, &voucher).await, &hotspot, 7);
    wish.more = vec![at("fd00:1::7"), at("10.1.0.99"), at("fd00:1::8"), at("fd00:1::7")];
    wish.session_ends_ms = Some(NOW + 60_000);
    let session = admit(&store, &wish).await;
    let held: BTreeSet<_> = [at("10.1.0.7"), at("fd00:1::7"), at("fd00:1::8")].into();
    assert_eq!((session.grant, session.method, session.login.as_str()), (voucher.grant, Method::Voucher, "Guest107"));
    assert_eq!((&session.addresses, session.ends_ms), (&held, Some(NOW + 60_000)));
    assert!(!session.took_mark && session.ended.is_empty() && session.robbed.is_empty());

    let open = store.open_sessions().await.unwrap();
    assert_eq!((open[0].hotspot, open[0].mac, &open[0].online.addresses), (hotspot.hotspot.id, mac(7), &held));
    assert_eq!((open[0].online.login.as_str(), open[0].online.started_ms), ("Guest107", NOW));
    let live = store.live_grants().await.unwrap();
    assert_eq!(live, store.grants_by_ids(&[voucher.grant, GrantId(99)]).await.unwrap());
    assert_eq!(live[0].sessions[0].addresses, held.into_iter().collect::<Vec<_>>());
    assert!(live[0].sessions[0].open && live[0].check(NOW).is_ok());

    let seen = store.voucher("guest107").await.unwrap().unwrap();
    assert_eq!((seen.first_login_ms, seen.last_login_ms, seen.last_mac), (Some(NOW), Some(NOW), Some(mac(7))));
    assert_eq!((seen.modified_ms, seen.devices_used), (NOW, 1));
    let later = Admission { now_ms: NOW + 5000, ..wish };
    let again = admit(&store, &later).await;
    assert_ne!(again.session, session.session);
    let seen = store.voucher("guest107").await.unwrap().unwrap();
    assert_eq!((seen.first_login_ms, seen.last_login_ms, seen.devices_used), (Some(NOW), Some(NOW + 5000), 1));
}

async fn the_first_use_starts_the_time(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let hours = Terms { valid_for: ValidFor::parse("2 hours").unwrap(), from_first_use: true, devices: 2, ..terms() };
    let voucher = stored_voucher(&store, "late", hours.clone()).await;
    let first = admit(&store, &admission(by_voucher(&store, &voucher).await, &hotspot, 1)).await;
    assert_eq!(first.ends_ms, Some(NOW + 7_200_000));
    let by = By::Voucher {
        voucher: voucher.id,
        grant: voucher.grant,
        login: "late".to_owned(),
        passcode: store.voucher_key("late").await.unwrap().unwrap().sealed_passcode,
    };
    let second = admit(&store, &Admission { now_ms: NOW + 7_199_999, ..admission(by.clone(), &hotspot, 2) }).await;
    assert_eq!(second.ends_ms, Some(NOW + 7_200_000), "the second use changes nothing");
    let over = refused(&store, &Admission { now_ms: NOW + 7_200_000, ..admission(by, &hotspot, 2) }).await;
    assert_eq!(over, Refusal::Closed(Closed::Expired));
    let always = stored_voucher(&store, "ever", Terms { valid_for: ValidFor::Always, ..hours }).await;
    assert_eq!(admit(&store, &admission(by_voucher(&store, &always).await, &hotspot, 3)).await.ends_ms, None);
}

async fn closed_vouchers_are_refused(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let future = stored_voucher(&store, "soon", Terms { valid_from_ms: NOW + 1, ..terms() }).await;
    let small = Terms { limits: DataLimits { down: Some(10), up: None, total: None }, ..terms() };
    let spent = stored_voucher(&store, "spent", small).await;
    let off = stored_voucher(&store, "off", terms()).await;
    let by = async |voucher| by_voucher(&store, voucher).await;

    assert_eq!(refused(&store, &admission(by(&future).await, &hotspot, 1)).await, Refusal::Closed(Closed::NotYet));
    admit(&store, &Admission { now_ms: NOW + 1, ..admission(by(&future).await, &hotspot, 1) }).await;

    let session = admit(&store, &admission(by(&spent).await, &hotspot, 2)).await;
    let used = DataUse { down: 10, up: 0 };
    let one = doorward::store::SessionUse { session: session.session, add: used, raw: used };
    store.record_session_use(&[one], &[]).await.unwrap();
    assert_eq!(refused(&store, &admission(by(&spent).await, &hotspot, 2)).await, Refusal::Closed(Closed::Spent));
    assert_eq!(store.open_sessions().await.unwrap().len(), 2, "what is refused ends nothing");

    let removed = by(&off).await;
    store.remove_voucher("off", None).await.unwrap();
    assert_eq!(refused(&store, &admission(removed, &hotspot, 3)).await, Refusal::Gone);
    let page = store.voucher_page(&VoucherFilter::default(), VoucherId(0), 10, NOW).await.unwrap();
    assert_eq!(page.len(), 2);
    let other =
        By::Voucher { voucher: future.id, grant: future.grant, login: "soon".to_owned(), passcode: vec![1; 40] };
    assert_eq!(refused(&store, &admission(other, &hotspot, 3)).await, Refusal::Gone, "the passcode was changed");
}

async fn slots_are_kept_and_given_back(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "two", Terms { devices: 2, ..terms() }).await;
    let wish = async |n: u8, ms: i64| Admission {
        now_ms: NOW + ms,
        ..admission(by_voucher(&store, &voucher).await, &hotspot, n)
    };
    admit(&store, &wish(1, 0).await).await;
    let second = admit(&store, &wish(2, 1).await).await;
    store.end_sessions(&[(second.session, EndReason::Idle)], NOW + 2).await.unwrap();
    let Refusal::Slots(slots) = refused(&store, &wish(3, 3).await).await else { panic!("not about slots") };
    let seen: Vec<_> = slots.iter().map(|slot| (slot.mac, slot.last_ms, slot.online)).collect();
    assert_eq!(seen, [(mac(2), NOW + 1, false), (mac(1), NOW, true)]);
    assert_eq!(store.slots(voucher.grant).await.unwrap(), slots);
    admit(&store, &wish(2, 4).await).await;

    let ended = store.release_slot(voucher.grant, mac(1), NOW + 5).await.unwrap();
    assert_eq!(ended.iter().map(|one| one.mac).collect::<Vec<_>>(), [mac(1)]);
    assert!(store.release_slot(voucher.grant, mac(1), NOW + 5).await.unwrap().is_empty(), "twice is once");
    assert!(store.release_slot(GrantId(99), mac(2), NOW + 5).await.unwrap().is_empty());
    admit(&store, &wish(3, 6).await).await;
    assert!(matches!(refused(&store, &wish(1, 7).await).await, Refusal::Slots(_)));
}

async fn two_hundred_want_the_last_slot(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "one", Terms { speed: bandwidth(5, 0), ..terms() }).await;
    let by = by_voucher(&store, &voucher).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=200 {
        let (store, wish) = (store.clone(), admission(by.clone(), &hotspot, n));
        tasks.spawn(async move { store.admit(&wish).await.unwrap() });
    }
    let outcomes = tasks.join_all().await;
    let admitted = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Admitted(_))).count();
    let full = outcomes.iter().filter(|o| matches!(o, Outcome::Refused(Refusal::Slots(_)))).count();
    assert_eq!((admitted, full), (1, 199));
    assert_eq!(store.open_sessions().await.unwrap().len(), 1);
    assert_eq!(store.slots(voucher.grant).await.unwrap().len(), 1);
}

async fn a_device_has_one_session(database: Database) {
    let store = database.open().await;
    let (hotspot, other) = (stored_hotspot(&store, 1).await, stored_hotspot(&store, 2).await);
    let one = stored_voucher(&store, "one", terms()).await;
    let two = stored_voucher(&store, "two", terms()).await;
    let first = admit(&store, &admission(by_voucher(&store, &one).await, &hotspot, 1)).await;
    let second = admit(&store, &admission(by_voucher(&store, &two).await, &hotspot, 1)).await;
    let ended = EndedSession { session: first.session, grant: one.grant, hotspot: hotspot.hotspot.id, mac: mac(1) };
    assert_eq!(second.ended, [ended]);
    assert!(second.robbed.is_empty(), "its own address");
    let open = store.open_sessions().await.unwrap();
    assert_eq!(open.iter().map(|one| one.online.session).collect::<Vec<_>>(), [second.session]);
    let elsewhere = admit(&store, &admission(by_voucher(&store, &two).await, &other, 1)).await;
    assert!(elsewhere.ended.is_empty(), "each hotspot by itself");
    let live = store.live_grants().await.unwrap();
    let of_one = live.iter().find(|grant| grant.id == one.grant).unwrap();
    assert_eq!(of_one.sessions.iter().map(|one| (one.open, one.addresses.len())).collect::<Vec<_>>(), [(false, 0)]);
}

async fn addresses_have_one_owner(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "many", Terms { devices: 9, ..terms() }).await;
    let by = by_voucher(&store, &voucher).await;
    let first = Admission { more: vec![at("fd00:1::1")], ..admission(by.clone(), &hotspot, 1) };
    let holder = admit(&store, &first).await;
    let same = Admission { address: first.address, ..admission(by.clone(), &hotspot, 2) };
    let lent = Admission { lessee: Some(mac(1)), ..same.clone() };
    assert_eq!(refused(&store, &lent).await, Refusal::Elsewhere);
    assert_eq!(store.slots(voucher.grant).await.unwrap().len(), 1, "and no slot is taken");
    let own = Admission { lessee: Some(mac(2)), more: vec![at("fd00:1::1"), at("fd00:1::2")], ..same };
    let robber = admit(&store, &own).await;
    let of = EndedSession { session: holder.session, grant: voucher.grant, hotspot: hotspot.hotspot.id, mac: mac(1) };
    assert_eq!(robber.robbed, [(of, first.address)]);
    assert_eq!(robber.addresses, [first.address, at("fd00:1::2")].into(), "only the first is worth a robbery");
    let open = store.open_sessions().await.unwrap();
    assert_eq!(open[0].online.addresses, [at("fd00:1::1")].into());
}

async fn a_speed_limit_needs_a_number(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "fast", Terms { speed: bandwidth(0, 5), devices: 2, ..terms() }).await;
    let slow = stored_voucher(&store, "other", Terms { speed: bandwidth(5, 0), ..terms() }).await;
    let by = by_voucher(&store, &voucher).await;
    let none = Admission { mark: None, ..admission(by.clone(), &hotspot, 1) };
    assert_eq!(refused(&store, &none).await, Refusal::NoMark);
    let first = admit(&store, &admission(by.clone(), &hotspot, 1)).await;
    let second = admit(&store, &admission(by, &hotspot, 2)).await;
    assert!(first.took_mark && !second.took_mark);
    let mark = Mark::new(Mark::LAST - 1).unwrap();
    assert_eq!(store.grant_marks().await.unwrap(), [mark]);
    let taken = Admission { mark: Some(mark), ..admission(by_voucher(&store, &slow).await, &hotspot, 3) };
    assert!(matches!(store.admit(&taken).await, Err(Error::Taken(doorward::store::Field::Mark))));
    assert_eq!(store.open_sessions().await.unwrap().len(), 2, "nothing of it was stored");

    store.end_sessions(&[(first.session, EndReason::Logout)], NOW).await.unwrap();
    assert_eq!(store.finish_sessions(&[first.session]).await.unwrap(), [], "the other one needs it");
    store.end_sessions(&[(second.session, EndReason::Logout)], NOW).await.unwrap();
    let freed = store.finish_sessions(&[second.session]).await.unwrap();
    assert_eq!(freed.iter().map(|one| (one.grant, one.mark)).collect::<Vec<_>>(), [(voucher.grant, mark)]);
    admit(&store, &taken).await;
}

async fn a_number_comes_later(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "slow", terms()).await;
    let marks = [Mark::new(500).unwrap(), Mark::new(501).unwrap()];
    let faster = |voucher: &mut doorward::store::VoucherRecord| {
        voucher.terms.speed = bandwidth(5, 0);
        Ok::<(), ()>(())
    };
    store.change_voucher("slow", NOW, faster, None).await.unwrap().unwrap();
    assert!(!store.give_mark(voucher.grant, marks[0]).await.unwrap(), "nobody is online");
    let other = stored_voucher(&store, "other", terms()).await;
    admit(&store, &admission(by_voucher(&store, &other).await, &hotspot, 1)).await;
    assert!(!store.give_mark(other.grant, marks[0]).await.unwrap(), "it has no limit");
    store.change_voucher("other", NOW, faster, None).await.unwrap().unwrap();
    assert!(store.give_mark(other.grant, marks[0]).await.unwrap());
    assert!(!store.give_mark(other.grant, marks[1]).await.unwrap(), "it has one");
    assert_eq!(store.grant_marks().await.unwrap(), marks[..1]);
    assert!(!store.give_mark(GrantId(99), marks[1]).await.unwrap());
}

async fn persons_visit(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let visit =
        |person: Person, ms| Admission { now_ms: NOW + ms, ..admission(By::Person(Box::new(person)), &hotspot, 1) };
    let first = admit(&store, &visit(person("a@example.net"), 0)).await;
    assert_eq!(
        (first.method, first.login.as_str(), first.ends_ms),
        (Method::Email, "a@example.net", Some(NOW + 3_600_000))
    );
    let mut again = person("a@example.net");
    (again.marketing, again.verified, again.comments) = (Some(true), true, Default::default());
    let second = admit(&store, &visit(again, 10)).await;
    assert_eq!(second.grant, first.grant, "the same hour");
    assert_eq!(second.ends_ms, first.ends_ms);
    let known = store.export_person(Method::Email, "a@example.net").await.unwrap().unwrap();
    let guest = &known["person"];
    assert_eq!((guest["visits"].as_i64(), guest["created_ms"].as_i64()), (Some(2), Some(NOW)));
    assert_eq!((guest["last_login_ms"].as_i64(), guest["comments"].as_str()), (Some(NOW + 10), Some("Alex")));
    assert_eq!((guest["marketing"].as_bool(), guest["verified"].as_bool()), (Some(true), Some(true)));
    let kinds: Vec<_> = known["consents"].as_array().unwrap().iter().map(|c| c["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["terms", "terms", "marketing"]);
    assert_eq!(known["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(known["logins"].as_array().unwrap().len(), 2);
    let third = admit(&store, &visit(person("a@example.net"), 20)).await;
    assert_eq!(third.grant, first.grant);
    let guest = store.export_person(Method::Email, "a@example.net").await.unwrap().unwrap()["person"].take();
    assert_eq!((guest["marketing"].as_bool(), guest["verified"].as_bool()), (Some(true), Some(true)), "not asked");
}

async fn an_allowance_is_renewed_when_it_may(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let visit = |renew_s, ms| {
        let allowance = Allowance { valid_s: 60, renew_s, data_down_mb: 1, ..Allowance::default() };
        let person = Person { allowance, ..person("a@example.net") };
        Admission { now_ms: NOW + ms, ..admission(By::Person(Box::new(person)), &hotspot, 1) }
    };
    let first = admit(&store, &visit(3600, 0)).await;
    assert_eq!(refused(&store, &visit(3600, 60_000)).await, Refusal::Closed(Closed::Expired));
    assert_eq!(refused(&store, &visit(3600, 3_599_999)).await, Refusal::Closed(Closed::Expired));
    let second = admit(&store, &visit(3600, 3_600_000)).await;
    assert_ne!(second.grant, first.grant);
    let third = admit(&store, &visit(0, 3_660_000)).await;
    assert_ne!(third.grant, second.grant, "0: as soon as the old one is over");
    store.record_session_use(&[], &[third.grant]).await.unwrap();
    assert_eq!(refused(&store, &visit(3600, 3_660_001)).await, Refusal::Closed(Closed::Spent));
    assert_ne!(admit(&store, &visit(0, 3_660_002)).await.grant, third.grant);
}

async fn a_person_moves_to_another_device(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let visit = |n| admission(By::Person(Box::new(person("a@example.net"))), &hotspot, n);
    let phone = admit(&store, &visit(1)).await;
    assert!(matches!(refused(&store, &visit(2)).await, Refusal::Slots(slots) if slots[0].mac == mac(1)));
    store.end_sessions(&[(phone.session, EndReason::Idle)], NOW).await.unwrap();
    let laptop = admit(&store, &visit(2)).await;
    assert_eq!(laptop.grant, phone.grant, "devices at once, and the phone is offline");
    assert_eq!(store.slots(laptop.grant).await.unwrap().iter().map(|s| s.mac).collect::<Vec<_>>(), [mac(2)]);
}

async fn a_new_person_is_one_person(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=20 {
        let person = Person { allowance: Allowance { devices: 20, ..Allowance::default() }, ..person("a@example.net") };
        let (store, wish) = (store.clone(), admission(By::Person(Box::new(person)), &hotspot, n));
        tasks.spawn(async move {
            loop {
                match store.admit(&wish).await {
                    Ok(Outcome::Admitted(session)) => return session.grant,
                    Err(Error::Taken(doorward::store::Field::GuestIdentity)) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    let grants: BTreeSet<GrantId> = tasks.join_all().await.into_iter().collect();
    assert_eq!(grants.len(), 1, "one allowance");
    let known = store.export_person(Method::Email, "a@example.net").await.unwrap().unwrap();
    assert_eq!(known["person"]["visits"].as_i64(), Some(20));
}

async fn grace_is_once_an_hour(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let wish = |n, ms: i64| {
        let allowance = Allowance { valid_s: 300, ..Allowance::default() };
        let by = By::Grace {
            identity: "a@example.net".to_owned(),
            grant: NewGrant::of(Method::Email, &allowance, NOW + ms),
            not_since_ms: NOW + ms - 3_600_000,
        };
        Admission { now_ms: NOW + ms, ..admission(by, &hotspot, n) }
    };
    assert_eq!(admit(&store, &wish(1, 0)).await.ends_ms, Some(NOW + 300_000));
    assert_eq!(refused(&store, &wish(1, 1000)).await, Refusal::TooSoon);
    admit(&store, &wish(2, 1000)).await;
    let silent = Admission { now_ms: NOW + 2000, ..admission(By::Silent, &hotspot, 1) };
    assert_eq!(refused(&store, &silent).await, Refusal::Gone, "nobody comes back by grace");
    let logged_in = admission(By::Person(Box::new(person("a@example.net"))), &hotspot, 1);
    assert_eq!(admit(&store, &logged_in).await.ended.len(), 1);
    admit(&store, &wish(1, 3_600_001)).await;
    assert!(store.guest_id(Method::Email, "a@example.net").await.unwrap().is_some());
}

async fn a_device_returns(database: Database) {
    let store = database.open().await;
    let (hotspot, other) = (stored_hotspot(&store, 1).await, stored_hotspot(&store, 2).await);
    let voucher = stored_voucher(&store, "Guest1", terms()).await;
    let session = admit(&store, &admission(by_voucher(&store, &voucher).await, &hotspot, 1)).await;
    store.end_sessions(&[(session.session, EndReason::Idle)], NOW).await.unwrap();
    let may =
        async |hotspot: &HotspotRecord, n, ms| store.may_return(hotspot.hotspot.id, mac(n), NOW + ms).await.unwrap();
    assert!(may(&hotspot, 1, 0).await && !may(&hotspot, 2, 0).await && !may(&other, 1, 0).await);
    assert!(may(&hotspot, 1, 86_398_999).await && !may(&hotspot, 1, 86_399_000).await, "until it ends");
    assert_eq!(refused(&store, &admission(By::Silent, &hotspot, 2)).await, Refusal::Gone, "another device");
    assert_eq!(refused(&store, &admission(By::Silent, &other, 1)).await, Refusal::Gone, "another hotspot");
    let back = admit(&store, &Admission { now_ms: NOW + 10, ..admission(By::Silent, &hotspot, 1) }).await;
    assert_eq!((back.grant, back.method, back.login.as_str()), (voucher.grant, Method::Voucher, "Guest1"));
    assert_eq!(store.voucher("guest1").await.unwrap().unwrap().last_login_ms, Some(NOW), "no login");
    store.end_sessions(&[(back.session, EndReason::Idle)], NOW).await.unwrap();

    let by = By::Person(Box::new(person("a@example.net")));
    let by_mail = admit(&store, &Admission { now_ms: NOW + 20, ..admission(by, &hotspot, 1) }).await;
    store.end_sessions(&[(by_mail.session, EndReason::Idle)], NOW).await.unwrap();
    let back = admit(&store, &Admission { now_ms: NOW + 30, ..admission(By::Silent, &hotspot, 1) }).await;
    assert_eq!((back.grant, back.login.as_str()), (by_mail.grant, "a@example.net"), "by what it used last");
    store.end_sessions(&[(back.session, EndReason::Expired)], NOW).await.unwrap();
    let late = Admission { now_ms: NOW + 3_700_000, ..admission(By::Silent, &hotspot, 1) };
    assert_eq!(admit(&store, &late).await.grant, voucher.grant, "by what is left");
}

async fn a_device_that_left_does_not(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "one", terms()).await;
    let id = hotspot.hotspot.id;
    for reason in [EndReason::Logout, EndReason::Kicked, EndReason::Timeout] {
        admit(&store, &admission(By::Person(Box::new(person("a@example.net"))), &hotspot, 1)).await;
        admit(&store, &admission(by_voucher(&store, &voucher).await, &hotspot, 1)).await;
        let ended = store.end_sessions_of(Whose::Device(id, mac(1)), reason, NOW).await.unwrap();
        assert_eq!(ended.len(), 1);
        assert!(store.end_sessions_of(Whose::Device(id, mac(1)), reason, NOW).await.unwrap().is_empty());
        assert!(!store.may_return(id, mac(1), NOW).await.unwrap());
        assert_eq!(refused(&store, &admission(By::Silent, &hotspot, 1)).await, Refusal::Gone, "{reason:?}");
    }
}
