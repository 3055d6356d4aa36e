//! Sessions.

use doorward::store::{SessionCounts, SessionUse, Whose};
use doorward_policy::{
    guest::{DataLimits, DataUse, EndReason, GrantId, SessionId},
    voucher::Terms,
};

use crate::{
    databases::Database,
    online::{NOW, admission, admit, at, by_voucher, mac, stored_hotspot, stored_voucher, terms},
};

both_engines!(
    use_is_added_up,
    sessions_of_a_grant_are_listed,
    ended_sessions_wait_to_be_collected,
    ends_are_told_once,
    sessions_end_by_owner,
    addresses_are_added,
    overdue_sessions_are_found,
    a_thousand_sessions,
);

fn used(down: u64, up: u64) -> DataUse {
    DataUse { down, up }
}

async fn use_is_added_up(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "two", Terms { devices: 2, ..terms() }).await;
    let by = by_voucher(&store, &voucher).await;
    let one = admit(&store, &admission(by.clone(), &hotspot, 1)).await.session;
    let two = admit(&store, &admission(by, &hotspot, 2)).await.session;
    let tick = |session, add, raw| SessionUse { session, add, raw };
    store
        .record_session_use(&[tick(one, used(5, 1), used(5, 1)), tick(two, used(7, 0), used(7, 0))], &[])
        .await
        .unwrap();
    store
        .record_session_use(&[tick(one, used(10, 2), used(15, 3)), tick(SessionId(99), used(9, 9), used(9, 9))], &[])
        .await
        .unwrap();
    store.record_session_use(&[], &[]).await.unwrap();
    let grant = store.grants_by_ids(&[voucher.grant]).await.unwrap().remove(0);
    assert_eq!((grant.used, grant.spent), (used(22, 3), false));
    assert_eq!(store.session_use(one).await.unwrap(), Some(tick(one, used(15, 3), used(15, 3))));
    assert_eq!(store.session_use(SessionId(99)).await.unwrap(), None);
    let raw = store.raw_session_counts().await.unwrap();
    assert_eq!(raw[&one], SessionCounts { raw_down: 15, raw_up: 3 });
    assert_eq!((raw[&two], raw.len()), (SessionCounts { raw_down: 7, raw_up: 0 }, 2));
    store.record_session_use(&[tick(two, used(0, 0), used(0, 0))], &[voucher.grant, GrantId(99)]).await.unwrap();
    let grant = store.grants_by_ids(&[voucher.grant]).await.unwrap().remove(0);
    assert_eq!((grant.used, grant.spent), (used(22, 3), true));
    assert_eq!(store.raw_session_counts().await.unwrap()[&two], SessionCounts::default());
}

async fn sessions_of_a_grant_are_listed(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "two", Terms { devices: 2, ..terms() }).await;
    let by = by_voucher(&store, &voucher).await;
    assert_eq!(store.grant_sessions(voucher.grant, 20).await.unwrap(), (Vec::new(), 0));
    let one = admit(&store, &admission(by.clone(), &hotspot, 1)).await.session;
    let two = admit(&store, &admission(by, &hotspot, 2)).await.session;
    let other = stored_voucher(&store, "other", terms()).await;
    admit(&store, &admission(by_voucher(&store, &other).await, &hotspot, 3)).await;
    store.record_session_use(&[SessionUse { session: one, add: used(5, 1), raw: used(5, 1) }], &[]).await.unwrap();
    store.end_sessions(&[(one, EndReason::Kicked)], NOW + 7).await.unwrap();
    let (sessions, count) = store.grant_sessions(voucher.grant, 20).await.unwrap();
    let seen: Vec<_> = sessions.iter().map(|s| (s.session, s.mac, s.ended_ms, s.used)).collect();
    assert_eq!(seen, [(two, mac(2), None, used(0, 0)), (one, mac(1), Some(NOW + 7), used(5, 1))]);
    assert_eq!(count, 2);
    let (sessions, count) = store.grant_sessions(voucher.grant, 1).await.unwrap();
    assert_eq!((sessions.len(), sessions[0].session, count), (1, two, 2), "the newest, and how many there are");
}

async fn ended_sessions_wait_to_be_collected(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "one", terms()).await;
    let session = admit(&store, &admission(by_voucher(&store, &voucher).await, &hotspot, 1)).await.session;
    store.finish_sessions(&[session]).await.unwrap();
    assert_eq!(store.raw_session_counts().await.unwrap().len(), 1, "an open one is never finished");
    store.end_sessions(&[(session, EndReason::Kicked)], NOW + 5).await.unwrap();
    assert!(store.open_sessions().await.unwrap().is_empty());
    let grant = store.live_grants().await.unwrap().remove(0);
    assert_eq!(grant.sessions.iter().map(|one| (one.id, one.open)).collect::<Vec<_>>(), [(session, false)]);
    assert_eq!(store.ended_sessions(NOW + 5).await.unwrap(), []);
    assert_eq!(store.ended_sessions(NOW + 6).await.unwrap(), [(session, voucher.grant)]);
    let last = SessionUse { session, add: used(3, 0), raw: used(3, 0) };
    store.record_session_use(&[last], &[]).await.unwrap();
    store.finish_sessions(&[session]).await.unwrap();
    assert!(store.live_grants().await.unwrap().is_empty() && store.raw_session_counts().await.unwrap().is_empty());
    assert_eq!(store.ended_sessions(NOW + 6).await.unwrap(), []);
    store.record_session_use(&[last], &[]).await.unwrap();
    let grant = store.grants_by_ids(&[voucher.grant]).await.unwrap().remove(0);
    assert_eq!((grant.used, grant.sessions), (used(3, 0), Vec::new()), "nothing is counted after that");
}

async fn ends_are_told_once(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "one", terms()).await;
    let by = by_voucher(&store, &voucher).await;
    let session = admit(&store, &admission(by.clone(), &hotspot, 1)).await.session;
    let ends = [(session, EndReason::Idle), (SessionId(99), EndReason::Idle)];
    let ended = store.end_sessions(&ends, NOW).await.unwrap();
    let told: Vec<_> = ended.iter().map(|one| (one.session, one.grant, one.hotspot, one.mac)).collect();
    assert_eq!(told, [(session, voucher.grant, hotspot.hotspot.id, mac(1))]);
    assert!(store.end_sessions(&ends, NOW).await.unwrap().is_empty());
    assert!(store.end_sessions(&[], NOW).await.unwrap().is_empty());
    let again = admit(&store, &admission(by, &hotspot, 1)).await;
    assert!(again.addresses.contains(&at("10.1.0.1")), "its address was free");
}

async fn sessions_end_by_owner(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "three", Terms { devices: 3, ..terms() }).await;
    let other = stored_voucher(&store, "other", terms()).await;
    let by = by_voucher(&store, &voucher).await;
    for n in 1..=3 {
        admit(&store, &admission(by.clone(), &hotspot, n)).await;
    }
    admit(&store, &admission(by_voucher(&store, &other).await, &hotspot, 4)).await;
    let id = hotspot.hotspot.id;
    let one = store.end_sessions_of(Whose::Device(id, mac(2)), EndReason::Logout, NOW).await.unwrap();
    assert_eq!(one.iter().map(|one| one.mac).collect::<Vec<_>>(), [mac(2)]);
    let mut rest = store.end_sessions_of(Whose::Grant(voucher.grant), EndReason::Kicked, NOW).await.unwrap();
    rest.sort_by_key(|one| one.mac);
    assert_eq!(rest.iter().map(|one| one.mac).collect::<Vec<_>>(), [mac(1), mac(3)]);
    assert_eq!(store.open_sessions().await.unwrap().len(), 1);
    assert!(store.end_sessions_of(Whose::Guest(1), EndReason::Kicked, NOW).await.unwrap().is_empty());
}

async fn addresses_are_added(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "two", Terms { devices: 2, ..terms() }).await;
    let by = by_voucher(&store, &voucher).await;
    let one = admit(&store, &admission(by.clone(), &hotspot, 1)).await.session;
    let two = admit(&store, &admission(by, &hotspot, 2)).await.session;
    assert!(store.add_session_address(one, at("fd00:1::1")).await.unwrap());
    assert!(store.add_session_address(one, at("fd00:1::1")).await.unwrap(), "it has it");
    assert!(!store.add_session_address(two, at("fd00:1::1")).await.unwrap(), "it is the other's");
    assert!(!store.add_session_address(two, at("10.1.0.1")).await.unwrap());
    assert!(store.add_session_address(two, at("10.1.0.9")).await.unwrap());
    assert!(store.add_session_address(one, at("10.1.0.2")).await.unwrap(), "the other left it");
    for n in 2..=8 {
        assert!(store.add_session_address(one, at(&format!("fd00:1::{n}"))).await.unwrap());
    }
    assert!(!store.add_session_address(one, at("fd00:1::9")).await.unwrap(), "eight are enough");
    let open = store.open_sessions().await.unwrap();
    assert_eq!(open[0].online.addresses.len(), 9);
    assert!(open[0].online.addresses.contains(&at("10.1.0.2")) && !open[0].online.addresses.contains(&at("10.1.0.1")));
    assert_eq!(open[1].online.addresses, [at("10.1.0.9")].into());
    store.end_sessions(&[(one, EndReason::Logout)], NOW).await.unwrap();
    assert!(!store.add_session_address(one, at("fd00:1::1")).await.unwrap(), "it is over");
    assert!(!store.add_session_address(SessionId(99), at("fd00:1::1")).await.unwrap());
}

async fn overdue_sessions_are_found(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let limits = DataLimits { down: None, up: None, total: Some(10) };
    let mut sessions = Vec::new();
    for (n, terms) in [terms(), terms(), terms(), Terms { limits, ..terms() }, terms()].into_iter().enumerate() {
        let voucher = stored_voucher(&store, &format!("v{n}"), terms).await;
        let n = u8::try_from(n).unwrap() + 1;
        let mut wish = admission(by_voucher(&store, &voucher).await, &hotspot, n);
        wish.session_ends_ms = (n == 2).then_some(NOW + 100);
        sessions.push(admit(&store, &wish).await);
    }
    assert_eq!(store.overdue_sessions(NOW + 99).await.unwrap(), []);
    let off = |voucher: &mut doorward::store::VoucherRecord| {
        voucher.enabled = false;
        Ok::<(), ()>(())
    };
    store.change_voucher("v2", NOW, off, None).await.unwrap().unwrap();
    let used = SessionUse { session: sessions[3].session, add: used(6, 4), raw: used(6, 4) };
    store.record_session_use(&[used], &[sessions[4].grant]).await.unwrap();
    let overdue = store.overdue_sessions(NOW + 100).await.unwrap();
    let expected = [(1, EndReason::Timeout), (2, EndReason::Disabled), (3, EndReason::Quota), (4, EndReason::Quota)];
    assert_eq!(overdue, expected.map(|(n, reason): (usize, _)| (sessions[n].session, reason)));
    // By its index, each second: those whose time has come, and nobody before.
    assert_eq!(store.due_sessions(NOW + 99).await.unwrap(), []);
    assert_eq!(store.due_sessions(NOW + 100).await.unwrap(), [(sessions[1].session, EndReason::Timeout)]);
    let day = NOW - 1000 + 86_400_000;
    assert_eq!(store.due_sessions(day).await.unwrap().len(), 5);
    let longer = |voucher: &mut doorward::store::VoucherRecord| {
        voucher.ends_ms = voucher.ends_ms.map(|end| end + 5);
        Ok::<(), ()>(())
    };
    store.change_voucher("v0", NOW, longer, None).await.unwrap().unwrap();
    assert_eq!(store.due_sessions(day).await.unwrap().len(), 4, "one was given more time");
    assert_eq!(store.due_sessions(day + 5).await.unwrap()[0], (sessions[0].session, EndReason::Expired));
    let day = day + 5;
    let all: Vec<_> = store.overdue_sessions(day).await.unwrap();
    assert_eq!(all.len(), 5);
    assert_eq!(all[0], (sessions[0].session, EndReason::Expired));
    store.end_sessions(&all, day).await.unwrap();
    assert_eq!(store.overdue_sessions(day).await.unwrap(), []);
}

async fn a_thousand_sessions(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let voucher = stored_voucher(&store, "many", Terms { devices: 1000, ..terms() }).await;
    let by = by_voucher(&store, &voucher).await;
    let mut sessions = Vec::new();
    for n in 0..250_u8 {
        let mut wish = admission(by.clone(), &hotspot, n);
        wish.address = [10, 1, 1, n].into();
        sessions.push(admit(&store, &wish).await.session);
    }
    let uses: Vec<_> =
        sessions.iter().map(|session| SessionUse { session: *session, add: used(2, 1), raw: used(2, 1) }).collect();
    store.record_session_use(&uses, &[]).await.unwrap();
    let ends: Vec<_> = sessions.iter().map(|session| (*session, EndReason::Expired)).collect();
    assert_eq!(store.end_sessions(&ends, NOW).await.unwrap().len(), 250);
    assert!(store.finish_sessions(&sessions).await.unwrap().is_empty());
    assert!(store.live_grants().await.unwrap().is_empty());
    assert_eq!(store.grants_by_ids(&[voucher.grant]).await.unwrap()[0].used, used(500, 250));
}
