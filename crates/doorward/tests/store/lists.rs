//! Pages of vouchers, guests, the login log and the audit log, and the whole of them as exports read it.

use doorward::store::{
    AuditSort, By, FailedLogin, GuestSort, LoginRows, LoginSort, NewAudit, Paging, Person, SortColumn, Store,
    UnusedFilter, VoucherRecord, VoucherRows, VoucherSort,
};
use doorward_policy::{
    guest::Method,
    voucher::{Terms, ValidFor, VoucherStatus},
};

use crate::{
    databases::Database,
    online::{NOW, admission, admit, at, by_voucher, mac, person, stored_hotspot, stored_voucher, terms},
};

both_engines!(
    vouchers_are_searched_sorted_and_paged,
    vouchers_of_a_status_a_batch_a_note,
    unused_vouchers_are_counted_as_they_would_go,
    guests_are_searched_sorted_and_paged,
    logins_are_searched_sorted_and_paged,
    the_audit_log_is_searched_sorted_and_paged,
    long_lists_are_read_from_either_end,
    an_export_has_each_row_of_its_beginning_once,
);

fn page<S: SortColumn>(sort: S, search: &str) -> Paging<S> {
    Paging { search: search.to_owned(), sort, descending: false, page: 0, size: 100 }
}

/// Reads a list by each column both ways, whole and by pages of two, and asks whether all agree: a page beyond the end is
/// empty, the other way around is the same list backwards, and an export has it in the same order.
async fn every_order<S: SortColumn + std::fmt::Debug>(
    count: usize,
    rows: impl AsyncFn(&Paging<S>) -> Vec<i64>,
    all: impl AsyncFn(&Paging<S>) -> Vec<i64>,
) {
    for (_, sort) in S::ALL {
        let mut ways = Vec::new();
        for descending in [false, true] {
            let mut paging = Paging { descending, ..page(*sort, "") };
            let whole = rows(&paging).await;
            assert_eq!(whole.len(), count, "{sort:?}");
            assert_eq!(all(&paging).await, whole, "{sort:?}");
            paging.size = 2;
            let mut parts = Vec::new();
            for number in 0..count.div_ceil(2) {
                paging.page = u32::try_from(number).unwrap();
                let part = rows(&paging).await;
                assert_eq!(part.len(), 2.min(count - parts.len()), "{sort:?} {number}");
                parts.extend(part);
            }
            assert_eq!(parts, whole, "{sort:?}");
            for beyond in [count.div_ceil(2), 999, 999_999] {
                paging.page = u32::try_from(beyond).unwrap();
                assert_eq!(rows(&paging).await, [0; 0], "{sort:?} {beyond}");
            }
            ways.push(whole);
        }
        ways[1].reverse();
        assert_eq!(ways[0], ways[1], "{sort:?}: ties too");
    }
}

async fn voucher_names(store: &Store, paging: &Paging<VoucherSort>, rows: &VoucherRows) -> Vec<String> {
    let found = store.voucher_rows(paging, rows, NOW).await.unwrap();
    let count = store.count_voucher_rows(&paging.search, rows, NOW).await.unwrap();
    assert_eq!(count, found.len() as u64, "{paging:?} {rows:?}");
    found.into_iter().map(|voucher| voucher.username).collect()
}

async fn vouchers_are_searched_sorted_and_paged(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let always = Terms { valid_for: ValidFor::Always, ..terms() };
    stored_voucher(&store, "Beta", terms()).await;
    stored_voucher(&store, "alpha", always).await;
    stored_voucher(&store, "delta", Terms { valid_from_ms: NOW - 9000, note: "100% of_it!".to_owned(), ..terms() })
        .await;
    let gamma = stored_voucher(&store, "gamma", terms()).await;
    stored_voucher(&store, "epsilon", terms()).await;
    admit(&store, &admission(by_voucher(&store, &gamma).await, &hotspot, 1)).await;
    let change = |voucher: &mut VoucherRecord| {
        voucher.fullname = "Ärmel_1%".to_owned();
        Ok::<_, ()>(())
    };
    store.change_voucher("epsilon", NOW, change, None).await.unwrap().unwrap();

    let any = VoucherRows::default();
    for (sort, order) in [
        (VoucherSort::Created, ["Beta", "alpha", "delta", "gamma", "epsilon"]),
        (VoucherSort::Username, ["alpha", "Beta", "delta", "epsilon", "gamma"]),
        (VoucherSort::Ends, ["delta", "Beta", "gamma", "epsilon", "alpha"]),
        (VoucherSort::LastLogin, ["Beta", "alpha", "delta", "epsilon", "gamma"]),
    ] {
        assert_eq!(voucher_names(&store, &page(sort, ""), &any).await, order, "{sort:?}");
        let found = order.into_iter().filter(|name| name.contains('t')).collect::<Vec<_>>();
        let some = voucher_names(&store, &page(sort, "T"), &any).await;
        assert_eq!(some.iter().filter(|name| name.contains('t')).collect::<Vec<_>>(), found, "{sort:?}");
    }
    for sort in VoucherSort::ALL.iter().map(|(_, sort)| *sort) {
        for (search, found) in [
            ("GAM", &["gamma"][..]),
            ("100% OF_IT!", &["delta"]),
            ("_1%", &["epsilon"]),
            ("Ärmel", &["epsilon"]),
            ("%", &["delta", "epsilon"]),
            ("_", &["delta", "epsilon"]),
            ("a%a", &[]),
            ("alph_", &[]),
        ] {
            let mut names = voucher_names(&store, &page(sort, search), &any).await;
            names.sort_unstable();
            assert_eq!(names, found, "{sort:?} {search}");
        }
    }
    let ids = |vouchers: Vec<VoucherRecord>| vouchers.into_iter().map(|voucher| voucher.id.0).collect();
    every_order(
        5,
        async |paging| ids(store.voucher_rows(paging, &any, NOW).await.unwrap()),
        async |paging| store.voucher_ids(paging, &any, NOW).await.unwrap(),
    )
    .await;
    // A file of SQLite belongs to one gateway.
    if database.file().is_none() {
        let other = database.try_open("other", crate::databases::KEY).await.unwrap();
        assert_eq!(other.voucher_rows(&page(VoucherSort::Ends, ""), &any, NOW).await.unwrap(), []);
        assert_eq!(other.voucher_records(&[gamma.id.0]).await.unwrap(), []);
    }
}

async fn vouchers_of_a_status_a_batch_a_note(database: Database) {
    let store = database.open().await;
    stored_voucher(&store, "unused", terms()).await;
    stored_voucher(&store, "expired", Terms { valid_from_ms: NOW - 86_400_000, ..terms() }).await;
    stored_voucher(&store, "noted", Terms { note: "room 7".to_owned(), ..terms() }).await;
    for sort in [VoucherSort::Created, VoucherSort::Username, VoucherSort::Ends, VoucherSort::Used] {
        let find = async |search: &str, rows: VoucherRows| {
            let mut names = voucher_names(&store, &page(sort, search), &rows).await;
            names.sort_unstable();
            names
        };
        let any = VoucherRows::default;
        let status = |status| VoucherRows { status: Some(status), ..any() };
        let noted = |note: &str| VoucherRows { note: note.to_owned(), ..any() };
        assert_eq!(find("", status(VoucherStatus::Unused)).await, ["noted", "unused"], "{sort:?}");
        assert_eq!(find("US", status(VoucherStatus::Unused)).await, ["unused"], "{sort:?}");
        assert_eq!(find("", status(VoucherStatus::Expired)).await, ["expired"], "{sort:?}");
        assert_eq!(find("", noted("room 7")).await, ["noted"], "{sort:?}");
        assert_eq!(find("", noted("room")).await, [""; 0], "exactly");
        assert_eq!(find("room", noted("room 7")).await, ["noted"], "{sort:?}");
        assert_eq!(find("", VoucherRows { batch_ms: Some(NOW - 5000), ..any() }).await.len(), 3, "{sort:?}");
        assert_eq!(find("", VoucherRows { batch_ms: Some(NOW), ..any() }).await, [""; 0], "{sort:?}");
    }
}

async fn unused_vouchers_are_counted_as_they_would_go(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let used = stored_voucher(&store, "used", terms()).await;
    admit(&store, &admission(by_voucher(&store, &used).await, &hotspot, 1)).await;
    stored_voucher(&store, "one", terms()).await;
    stored_voucher(&store, "two", Terms { note: "a%".to_owned(), ..terms() }).await;
    let filter =
        |created_before_ms, note: Option<&str>| UnusedFilter { created_before_ms, note: note.map(str::to_owned) };
    for (filter, count) in [
        (filter(None, None), 2),
        (filter(None, Some("a%")), 1),
        (filter(None, Some("a")), 0),
        (filter(Some(NOW - 5000), None), 0),
        (filter(Some(NOW - 4999), None), 2),
        (filter(Some(NOW - 4999), Some("a%")), 1),
    ] {
        assert_eq!(store.count_unused_vouchers(&filter).await.unwrap(), count, "{filter:?}");
    }
    let all = filter(None, None);
    assert_eq!(store.remove_unused_vouchers(all.clone(), None).await.unwrap(), 2);
    assert_eq!(store.count_unused_vouchers(&all).await.unwrap(), 0);
}

async fn guests_are_searched_sorted_and_paged(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let named = |name: &str, person: Person| Person { name: Some(name.to_owned()), ..person };
    let persons = [person("c_1@example.net"), named("Änne 50%", person("a@example.net")), person("b@example.net")];
    for (n, person) in persons.into_iter().enumerate() {
        let n = u8::try_from(n).unwrap() + 1;
        let admission = admission(By::Person(Box::new(person)), &hotspot, n);
        admit(&store, &doorward::store::Admission { now_ms: NOW + i64::from(n), ..admission }).await;
    }
    let other =
        Person { method: Method::Mobile, mobile: Some("15550100005".to_owned()), email: None, ..person("15550100005") };
    admit(&store, &admission(By::Person(Box::new(other)), &hotspot, 9)).await;

    let find = async |paging: &Paging<GuestSort>| {
        let found = store.guest_rows(Method::Email, paging).await.unwrap();
        let count = store.count_guest_rows(Method::Email, &paging.search).await.unwrap();
        assert_eq!(count, found.len() as u64, "{paging:?}");
        found.into_iter().map(|guest| guest.email.unwrap()).collect::<Vec<_>>()
    };
    let by_login = ["c_1@example.net", "a@example.net", "b@example.net"];
    assert_eq!(find(&page(GuestSort::Last, "")).await, by_login);
    assert_eq!(find(&page(GuestSort::First, "")).await, by_login);
    assert_eq!(find(&page(GuestSort::Visits, "")).await, by_login, "ties by age");
    assert_eq!(find(&page(GuestSort::Who, "")).await, [by_login[1], by_login[2], by_login[0]]);
    for sort in GuestSort::ALL.iter().map(|(_, sort)| *sort) {
        for (search, found) in [
            ("B@EXAMPLE", &by_login[2..]),
            ("00:00:02", &by_login[1..2]),
            ("nne 50%", &by_login[1..2]),
            ("c_", &by_login[..1]),
            ("%", &by_login[1..2]),
            ("a_example", &[]),
            ("1555", &[]),
        ] {
            assert_eq!(find(&page(sort, search)).await, found, "{sort:?} {search}");
        }
    }
    every_order(
        3,
        async |paging| store.guest_rows(Method::Email, paging).await.unwrap().iter().map(|guest| guest.id).collect(),
        async |paging| store.guest_ids(Method::Email, paging).await.unwrap(),
    )
    .await;
}

async fn logins_are_searched_sorted_and_paged(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let failed = |login: &str, n| FailedLogin {
        hotspot: hotspot.hotspot.id,
        at_ms: NOW,
        method: Method::Voucher,
        login: login.to_owned(),
        mac: mac(n),
        address: at(&format!("10.1.0.{n}")),
        reason: "wrong password",
    };
    for (login, n) in [("Guest_2", 0x1a), ("guest%1", 3), ("guest%1", 2)] {
        store.log_failed_login(&failed(login, n)).await.unwrap();
    }
    admit(&store, &admission(By::Person(Box::new(person("a@example.net"))), &hotspot, 1)).await;
    let find = async |paging: &Paging<LoginSort>, rows| {
        let found = store.login_rows(paging, rows).await.unwrap();
        assert_eq!(store.count_login_rows(&paging.search, rows).await.unwrap(), found.len() as u64, "{paging:?}");
        found.into_iter().map(|row| row.mac[15..].to_owned()).collect::<Vec<_>>()
    };
    let any = LoginRows::default();
    assert_eq!(find(&page(LoginSort::Time, ""), any).await, ["1A", "03", "02", "01"]);
    assert_eq!(find(&page(LoginSort::Login, ""), any).await, ["01", "03", "02", "1A"].map(str::to_owned).to_vec());
    assert_eq!(find(&page(LoginSort::Mac, ""), any).await, ["01", "02", "03", "1A"]);
    assert_eq!(find(&page(LoginSort::Method, ""), any).await, ["01", "1A", "03", "02"], "ties by age");
    let (voucher, good) = (Some(Method::Voucher), Some(true));
    for sort in LoginSort::ALL.iter().map(|(_, sort)| *sort) {
        for (search, method, success, found) in [
            ("GUEST", None, None, &["02", "03", "1A"][..]),
            ("guest_", None, None, &["1A"]),
            ("%", None, None, &["02", "03"]),
            ("00:1a", None, None, &["1A"]),
            ("10.1.0.3", None, None, &["03"]),
            ("", voucher, None, &["02", "03", "1A"]),
            ("", None, good, &["01"]),
            ("", voucher, good, &[]),
            ("%1", voucher, Some(false), &["02", "03"]),
        ] {
            let mut macs = find(&page(sort, search), LoginRows { method, success }).await;
            macs.sort_unstable();
            assert_eq!(macs, found, "{sort:?} {search}");
        }
    }
    every_order(
        4,
        async |paging| store.login_rows(paging, any).await.unwrap().iter().map(|row| row.id).collect(),
        async |paging| store.login_ids(paging, any).await.unwrap(),
    )
    .await;
}

async fn note(store: &Store, actor: &str, object: &str) {
    let new = NewAudit {
        created_ms: NOW,
        actor: actor.to_owned(),
        address: "192.0.2.7".to_owned(),
        module: "vouchers",
        action: "edit",
        object: object.to_owned(),
        ..NewAudit::default()
    };
    store.begin_audit(new).await.unwrap();
}

async fn the_audit_log_is_searched_sorted_and_paged(database: Database) {
    let store = database.open().await;
    for (actor, object) in [("anna", "room_1"), ("Berta", "100%"), ("anna", "room 1")] {
        note(&store, actor, object).await;
    }
    let find = async |paging: &Paging<AuditSort>| {
        let found = store.audit_page(paging).await.unwrap();
        assert_eq!(store.count_audit(&paging.search).await.unwrap(), found.len() as u64, "{paging:?}");
        found.into_iter().map(|row| row.object).collect::<Vec<_>>()
    };
    assert_eq!(find(&page(AuditSort::Time, "")).await, ["room_1", "100%", "room 1"]);
    assert_eq!(find(&page(AuditSort::Actor, "")).await, ["room_1", "room 1", "100%"], "ties by age");
    assert_eq!(find(&page(AuditSort::Module, "")).await, ["room_1", "100%", "room 1"]);
    for sort in AuditSort::ALL.iter().map(|(_, sort)| *sort) {
        for (search, found) in [
            ("ROOM", &["room 1", "room_1"][..]),
            ("room_", &["room_1"]),
            ("%", &["100%"]),
            ("berta", &["100%"]),
            ("2.0.2.7", &["100%", "room 1", "room_1"]),
            ("VOUCHERS", &["100%", "room 1", "room_1"]),
            ("n_a", &[]),
        ] {
            let mut objects = find(&page(sort, search)).await;
            objects.sort_unstable();
            assert_eq!(objects, found, "{sort:?} {search}");
        }
    }
    every_order(
        3,
        async |paging| store.audit_page(paging).await.unwrap().iter().map(|row| row.id).collect(),
        async |paging| store.audit_ids(paging).await.unwrap(),
    )
    .await;
}

/// Long enough for pages that are read backwards.
async fn long_lists_are_read_from_either_end(database: Database) {
    let store = database.open().await;
    for n in 0..1303 {
        note(&store, &format!("anna{}", n % 5), &n.to_string()).await;
    }
    for sort in [AuditSort::Time, AuditSort::Actor] {
        for (descending, search) in [(false, ""), (true, ""), (true, "ANNA")] {
            let mut paging = Paging { descending, size: 100, ..page(sort, search) };
            let whole = store.audit_ids(&paging).await.unwrap();
            assert_eq!(whole.len(), 1303);
            for (number, part) in whole.chunks(100).enumerate() {
                paging.page = u32::try_from(number).unwrap();
                let rows = store.audit_page(&paging).await.unwrap();
                assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), part, "{sort:?} {number}");
                assert_eq!(paging.total(rows.len()), (number == 13).then_some(1303));
            }
            paging.page = 14;
            assert_eq!(store.audit_page(&paging).await.unwrap(), []);
        }
    }
}

/// Rows are added, change their place and go while an export is on its way.
async fn an_export_has_each_row_of_its_beginning_once(database: Database) {
    let store = database.open().await;
    for n in 0..5 {
        stored_voucher(&store, &format!("v{n}"), terms()).await;
    }
    for (_, sort) in VoucherSort::ALL {
        let paging = Paging { descending: true, ..page(*sort, "") };
        let ids = store.voucher_ids(&paging, &VoucherRows::default(), NOW).await.unwrap();
        let (first, rest) = ids.split_at(2);
        let mut read = store.voucher_records(first).await.unwrap();
        let (added, moved) = (format!("x{}", ids.len()), rest.last().unwrap());
        stored_voucher(&store, &added, Terms { valid_from_ms: NOW - 7, ..terms() }).await;
        let moved = store.voucher_records(&[*moved]).await.unwrap().remove(0).username;
        let change = |voucher: &mut VoucherRecord| {
            voucher.fullname = format!("z{}", voucher.username);
            voucher.ends_ms = Some(NOW + 999_999_999);
            Ok::<_, ()>(())
        };
        store.change_voucher(&moved, NOW, change, None).await.unwrap().unwrap();
        read.extend(store.voucher_records(rest).await.unwrap());
        assert_eq!(read.iter().map(|voucher| voucher.id.0).collect::<Vec<_>>(), ids, "{sort:?}");
    }
    let ids = store.voucher_ids(&page(VoucherSort::Created, ""), &VoucherRows::default(), NOW).await.unwrap();
    store.remove_voucher("v1", None).await.unwrap();
    let left: Vec<i64> = ids.iter().copied().filter(|id| *id != ids[1]).collect();
    let read = store.voucher_records(&ids).await.unwrap();
    assert_eq!(read.iter().map(|voucher| voucher.id.0).collect::<Vec<_>>(), left);
}
