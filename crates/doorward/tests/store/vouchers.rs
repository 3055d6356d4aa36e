//! Vouchers, and answers that may be asked for again.

use std::sync::Arc;

use doorward::store::{
    Error, Field, NewVoucher, NewVouchers, Once, OnceTicket, Store, UnusedFilter, VoucherFilter, VoucherRecord,
};
use doorward_policy::{
    guest::{DataLimits, EndReason},
    voucher::{Passcode, Terms, ValidFor, VoucherId, VoucherStatus},
};

use crate::{
    databases::Database,
    online::{NOW, admission, admit, by_voucher, stored_hotspot, stored_voucher, terms},
    samples::bandwidth,
};

both_engines!(
    a_voucher_reads_back,
    names_are_unique_without_case,
    ten_thousand_at_once,
    pages_and_filters,
    a_voucher_changes,
    a_refused_change_changes_nothing,
    a_voucher_goes,
    unused_ones_go,
    an_answer_is_kept_with_its_change,
    a_key_is_used_once,
);

fn new(username: &str) -> NewVoucher {
    NewVoucher {
        username: username.parse().unwrap(),
        passcode: Passcode::new(format!("pass {username}")).unwrap(),
        fullname: format!("Guest {username}"),
    }
}

fn several(names: &[&str]) -> NewVouchers {
    let vouchers = names.iter().map(|name| new(name)).collect();
    NewVouchers { vouchers, code_only: false, terms: terms(), created_ms: NOW }
}

async fn names(store: &Store, filter: &VoucherFilter) -> Vec<String> {
    let page = store.voucher_page(filter, VoucherId(0), 1000, NOW).await.unwrap();
    page.into_iter().map(|voucher| voucher.username).collect()
}

async fn a_voucher_reads_back(database: Database) {
    let store = database.open().await;
    let terms = Terms {
        valid_for: ValidFor::Days(365),
        valid_from_ms: NOW + 7000,
        from_first_use: true,
        limits: DataLimits { down: Some(1 << 53), up: None, total: Some(1) },
        speed: bandwidth(10_000, 3),
        devices: 1000,
        note: "Room 7, \"Ä\"".to_owned(),
    };
    let order = NewVouchers { vouchers: vec![new("Gäst.1")], code_only: true, terms: terms.clone(), created_ms: NOW };
    let made = store.insert_vouchers(order, None).await.unwrap();
    assert_eq!(made.len(), 1);
    let voucher = &made[0];
    assert_eq!((voucher.username.as_str(), voucher.passcode.expose()), ("Gäst.1", "pass Gäst.1"));
    assert_eq!((&voucher.terms, voucher.ends_ms, voucher.code_only), (&terms, None, true));
    assert_eq!(store.voucher("gäst.1").await.unwrap().as_ref(), Some(voucher));
    assert_eq!(store.voucher("Gäst.1").await.unwrap(), None, "by its folded name alone");
    assert_eq!(store.count_vouchers().await.unwrap(), 1);
    assert!(!format!("{voucher:?}").contains("pass G"), "the passcode is not shown");

    let fixed = Terms { from_first_use: false, valid_for: ValidFor::Hours(2), ..terms };
    let order = NewVouchers { vouchers: vec![new("b")], code_only: false, terms: fixed, created_ms: NOW };
    let made = store.insert_vouchers(order, None).await.unwrap();
    assert_eq!(made[0].ends_ms, Some(NOW + 7000 + 7_200_000));
    assert_eq!(store.voucher("b").await.unwrap().as_ref(), made.first());
}

async fn names_are_unique_without_case(database: Database) {
    let store = database.open().await;
    store.insert_vouchers(several(&["Guest107"]), None).await.unwrap();
    let again = store.insert_vouchers(several(&["one", "guEST107"]), None).await;
    assert!(matches!(again, Err(Error::Taken(Field::VoucherName))), "{again:?}");
    assert_eq!(names(&store, &VoucherFilter::default()).await, ["Guest107"], "all or none");
}

async fn ten_thousand_at_once(database: Database) {
    let store = database.open().await;
    let vouchers: Vec<NewVoucher> = (0..10_000).map(|n| new(&format!("batch{n}"))).collect();
    let order = NewVouchers { vouchers, code_only: false, terms: terms(), created_ms: NOW };
    let made = store.insert_vouchers(order, None).await.unwrap();
    assert_eq!((made.len(), store.count_vouchers().await.unwrap()), (10_000, 10_000));
    assert!(made.is_sorted_by_key(|voucher| voucher.id) && made.windows(2).all(|two| two[0].grant != two[1].grant));
    let (mut after, mut read) = (VoucherId(0), Vec::new());
    loop {
        let page = store.voucher_page(&VoucherFilter::default(), after, 999, NOW).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.id;
        read.extend(page);
    }
    assert_eq!(read, made);
}

async fn pages_and_filters(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let limited = |down| Terms { limits: DataLimits { down: Some(down), ..DataLimits::default() }, ..terms() };
    stored_voucher(&store, "unused", terms()).await;
    let active = stored_voucher(&store, "active", terms()).await;
    admit(&store, &admission(by_voucher(&store, &active).await, &hotspot, 1)).await;
    stored_voucher(&store, "waiting", Terms { valid_from_ms: NOW + 1, ..terms() }).await;
    stored_voucher(&store, "expired", Terms { valid_from_ms: NOW - 86_400_000, ..terms() }).await;
    stored_voucher(&store, "spent", limited(0)).await;
    stored_voucher(&store, "disabled", limited(7)).await;
    let off = |voucher: &mut VoucherRecord| {
        voucher.enabled = false;
        Ok::<_, ()>(())
    };
    store.change_voucher("disabled", NOW, off, None).await.unwrap().unwrap();
    stored_voucher(&store, "x", Terms { note: "100% of_it!".to_owned(), ..terms() }).await;

    for status in VoucherStatus::ALL {
        let filter = VoucherFilter { status: Some(status), ..VoucherFilter::default() };
        let found = store.voucher_page(&filter, VoucherId(0), 10, NOW).await.unwrap();
        let expected: Vec<&str> = match status {
            VoucherStatus::Unused => vec!["unused", "x"],
            VoucherStatus::Active
            | VoucherStatus::Waiting
            | VoucherStatus::Expired
            | VoucherStatus::Spent
            | VoucherStatus::Disabled => vec![status.as_str()],
        };
        let names: Vec<&str> = found.iter().map(|voucher| voucher.username.as_str()).collect();
        assert_eq!(names, expected, "{status:?}");
        assert!(found.iter().all(|voucher| voucher.status(NOW) == status), "rows and SQL agree on {status:?}");
    }
    let search = |text: &str| VoucherFilter { search: Some(text.to_owned()), ..VoucherFilter::default() };
    assert_eq!(names(&store, &search("TIV")).await, ["active"]);
    assert_eq!(names(&store, &search("100% OF_IT!")).await, ["x"]);
    assert!(names(&store, &search("1_0")).await.is_empty() && names(&store, &search("0%%")).await.is_empty());
    assert_eq!(names(&store, &search("sample g")).await.len(), 7, "by full name");
    let both = VoucherFilter { search: Some("e".to_owned()), status: Some(VoucherStatus::Unused) };
    assert_eq!(names(&store, &both).await, ["unused", "x"], "both have it: `Sample Guest`");
    let page = store.voucher_page(&VoucherFilter::default(), active.id, 2, NOW).await.unwrap();
    assert_eq!(page.iter().map(|voucher| voucher.username.as_str()).collect::<Vec<_>>(), ["waiting", "expired"]);
}

async fn a_voucher_changes(database: Database) {
    let store = database.open().await;
    stored_voucher(&store, "Guest", terms()).await;
    let change = |voucher: &mut VoucherRecord| {
        voucher.passcode = Passcode::new("rose".to_owned()).unwrap();
        voucher.fullname = "Other".to_owned();
        voucher.terms = Terms {
            valid_for: ValidFor::Always,
            valid_from_ms: NOW + 5,
            from_first_use: true,
            limits: DataLimits { down: None, up: Some(9), total: None },
            speed: bandwidth(1, 2),
            devices: 4,
            note: "n".to_owned(),
        };
        voucher.enabled = false;
        voucher.spent = true;
        voucher.ends_ms = Some(NOW + 9);
        Ok::<_, ()>(())
    };
    let changed = store.change_voucher("guest", NOW + 60_000, change, None).await.unwrap().unwrap();
    assert_eq!((changed.passcode.expose(), changed.modified_ms), ("rose", NOW + 60_000));
    assert_eq!(store.voucher("guest").await.unwrap(), Some(changed.clone()));
    let grant = &store.grants_by_ids(&[changed.grant]).await.unwrap()[0];
    assert_eq!((grant.starts_ms, grant.ends_ms, grant.enabled, grant.spent), (NOW + 5, Some(NOW + 9), false, true));
    // A login that has compared the passcode still finds it as it was.
    let before = store.voucher_key("guest").await.unwrap().unwrap().sealed_passcode;
    let note = |voucher: &mut VoucherRecord| {
        voucher.terms.note = "other".to_owned();
        Ok::<_, ()>(())
    };
    store.change_voucher("guest", NOW, note, None).await.unwrap().unwrap();
    assert_eq!(store.voucher_key("guest").await.unwrap().unwrap().sealed_passcode, before);
    let nobody = store.change_voucher("nobody", NOW, |_| Ok::<_, ()>(()), None).await;
    assert!(matches!(nobody, Err(Error::Missing)));
}

async fn a_refused_change_changes_nothing(database: Database) {
    let store = database.open().await;
    let made = stored_voucher(&store, "guest", terms()).await;
    let refuse = |voucher: &mut VoucherRecord| {
        voucher.enabled = false;
        Err("no")
    };
    assert_eq!(store.change_voucher("guest", NOW + 1, refuse, None).await.unwrap(), Err("no"));
    assert_eq!(store.voucher("guest").await.unwrap(), Some(made));
}

async fn a_voucher_goes(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let used = stored_voucher(&store, "used", terms()).await;
    let unused = stored_voucher(&store, "unused", terms()).await;
    let session = admit(&store, &admission(by_voucher(&store, &used).await, &hotspot, 1)).await;

    let removed = store.remove_voucher("unused", None).await.unwrap();
    assert_eq!((removed.grant, removed.has_sessions), (unused.grant, false));
    assert!(store.grants_by_ids(&[unused.grant]).await.unwrap().is_empty(), "the grant went too");
    let removed = store.remove_voucher("used", None).await.unwrap();
    assert_eq!((removed.grant, removed.has_sessions), (used.grant, true));
    let grant = &store.grants_by_ids(&[used.grant]).await.unwrap()[0];
    assert!(!grant.enabled && grant.sessions.len() == 1, "its session is still counted");
    let overdue = store.overdue_sessions(NOW).await.unwrap();
    assert_eq!(overdue, [(session.session, EndReason::Kicked)], "even if nobody ends it now");
    assert!(matches!(store.remove_voucher("used", None).await, Err(Error::Missing)));
    // The name is free again, the id is not.
    let again = stored_voucher(&store, "used", terms()).await;
    assert!(again.id > unused.id);
}

async fn unused_ones_go(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let used = stored_voucher(&store, "used", terms()).await;
    admit(&store, &admission(by_voucher(&store, &used).await, &hotspot, 1)).await;
    let noted = stored_voucher(&store, "noted", Terms { note: "fair".to_owned(), ..terms() }).await;
    stored_voucher(&store, "old", terms()).await;
    store.insert_vouchers(several(&["new"]), None).await.unwrap();

    let fair = UnusedFilter { note: Some("fair".to_owned()), created_before_ms: None };
    assert_eq!(store.remove_unused_vouchers(fair, None).await.unwrap(), 1);
    assert!(store.grants_by_ids(&[noted.grant]).await.unwrap().is_empty());
    let old = UnusedFilter { created_before_ms: Some(NOW), note: None };
    assert_eq!(store.remove_unused_vouchers(old, None).await.unwrap(), 1);
    assert_eq!(names(&store, &VoucherFilter::default()).await, ["used", "new"]);
    assert_eq!(store.remove_unused_vouchers(UnusedFilter::default(), None).await.unwrap(), 1);
    assert_eq!(names(&store, &VoucherFilter::default()).await, ["used"]);
    assert_eq!(store.grants_by_ids(&[used.grant]).await.unwrap().len(), 1);
}

fn once<T>(
    key: u8,
    request: u8,
    now_ms: i64,
    answer: impl Fn(&T) -> String + Send + Sync + 'static,
) -> Option<Once<T>> {
    let ticket = OnceTicket { key: [key; 32], request: [request; 32], now_ms };
    Some(Once { ticket, answer: Arc::new(move |done| answer(done).into_bytes()) })
}

async fn an_answer_is_kept_with_its_change(database: Database) {
    let store = database.open().await;
    assert_eq!(store.kept_answer(&[1; 32], NOW).await.unwrap(), None);
    let made = once(1, 9, NOW, |made: &Vec<VoucherRecord>| format!("made {}", made[0].passcode.expose()));
    store.insert_vouchers(several(&["a"]), made).await.unwrap();
    let kept = store.kept_answer(&[1; 32], NOW).await.unwrap().unwrap();
    assert_eq!((kept.request, kept.answer), ([9; 32], b"made pass a".to_vec()));

    let changed = once(2, 9, NOW, |voucher: &VoucherRecord| voucher.username.clone());
    store.change_voucher("a", NOW, |_| Ok::<_, ()>(()), changed).await.unwrap().unwrap();
    assert_eq!(store.kept_answer(&[2; 32], NOW).await.unwrap().unwrap().answer, b"a");
    let refused = once(3, 9, NOW, |_: &VoucherRecord| String::new());
    store.change_voucher("a", NOW, |_| Err(()), refused).await.unwrap().unwrap_err();
    assert_eq!(store.kept_answer(&[3; 32], NOW).await.unwrap(), None, "nothing was done");
    store.remove_voucher("a", once(4, 9, NOW, |()| "gone".to_owned())).await.unwrap();
    assert_eq!(store.kept_answer(&[4; 32], NOW).await.unwrap().unwrap().answer, b"gone");
    let unused = once(5, 9, NOW, |count: &u64| count.to_string());
    store.remove_unused_vouchers(UnusedFilter::default(), unused).await.unwrap();
    assert_eq!(store.kept_answer(&[5; 32], NOW).await.unwrap().unwrap().answer, b"0");

    // After a day it is as if the key had never been used.
    let day = 86_400_000;
    assert!(store.kept_answer(&[5; 32], NOW + day - 1).await.unwrap().is_some());
    assert_eq!(store.kept_answer(&[5; 32], NOW + day).await.unwrap(), None);
    let again = once(1, 8, NOW + day, |_: &Vec<VoucherRecord>| "new".to_owned());
    store.insert_vouchers(several(&["b"]), again).await.unwrap();
    assert_eq!(store.kept_answer(&[1; 32], NOW + day).await.unwrap().unwrap().answer, b"new");
}

async fn a_key_is_used_once(database: Database) {
    let store = database.open().await;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            let made = once(1, 9, NOW, move |_: &Vec<VoucherRecord>| n.to_string());
            tokio::spawn(async move { store.insert_vouchers(several(&[&format!("v{n}")]), made).await })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(vouchers) => made.extend(vouchers),
            Err(error) => assert!(matches!(error, Error::Taken(Field::IdempotencyKey)), "{error:?}"),
        }
    }
    assert_eq!((made.len(), store.count_vouchers().await.unwrap()), (1, 1), "nothing of the others stays");
    let kept = store.kept_answer(&[1; 32], NOW).await.unwrap().unwrap();
    assert_eq!(format!("v{}", String::from_utf8(kept.answer).unwrap()), made[0].username);
}
