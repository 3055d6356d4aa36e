//! Lists of persons and of the login log.

use doorward::store::{FailedLogin, LoginFilter};
use doorward_policy::guest::Method;

use doorward::store::{By, Person};

use crate::{
    databases::Database,
    online::{NOW, admission, admit, at, mac, person, stored_hotspot},
};

both_engines!(persons_by_method, logins_newest_first);

async fn persons_by_method(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let alex = Person { marketing: Some(true), verified: true, ..person("Alex@example.net") };
    let mobile = Person {
        method: Method::Mobile,
        identity: "15550100005".to_owned(),
        login: "15550100005".to_owned(),
        email: None,
        mobile: Some("15550100005".to_owned()),
        ..person("x")
    };
    for (n, person) in [alex, person("b@example.net"), mobile].into_iter().enumerate() {
        let n = u8::try_from(n).unwrap();
        admit(&store, &admission(By::Person(Box::new(person)), &hotspot, n + 1)).await;
    }
    let all = store.guest_page(Method::Email, None, 0, 10).await.unwrap();
    assert_eq!(all.len(), 2);
    let alex = &all[0];
    assert_eq!((alex.email.as_deref(), alex.mobile.as_deref()), (Some("Alex@example.net"), None));
    assert_eq!((alex.visits, alex.marketing, alex.verified), (1, true, true));
    assert_eq!((alex.last_mac.as_str(), alex.comments.as_str()), ("02:00:00:00:00:01", "Alex"));
    assert_eq!((alex.created_ms, alex.last_login_ms, alex.modified_ms), (NOW, NOW, NOW));
    assert_eq!(store.guest_page(Method::Email, None, alex.id, 10).await.unwrap(), all[1..]);
    assert_eq!(store.guest_page(Method::Email, None, 0, 1).await.unwrap(), all[..1]);
    assert_eq!(store.guest_page(Method::Email, Some("ALEX@"), 0, 10).await.unwrap(), all[..1]);
    assert_eq!(store.guest_page(Method::Email, Some("00:00:02"), 0, 10).await.unwrap(), all[1..]);
    assert!(store.guest_page(Method::Email, Some("%"), 0, 10).await.unwrap().is_empty());
    let mobiles = store.guest_page(Method::Mobile, Some("5550100"), 0, 10).await.unwrap();
    assert_eq!(mobiles[0].mobile.as_deref(), Some("15550100005"));
    assert!(store.guest_page(Method::Free, None, 0, 10).await.unwrap().is_empty());
}

async fn logins_newest_first(database: Database) {
    let store = database.open().await;
    let hotspot = stored_hotspot(&store, 1).await;
    let failed = FailedLogin {
        hotspot: hotspot.hotspot.id,
        at_ms: NOW,
        method: Method::Voucher,
        login: "Guest107".to_owned(),
        mac: mac(7),
        address: at("10.1.0.57"),
        reason: "wrong password",
    };
    store.log_failed_login(&failed).await.unwrap();
    admit(&store, &admission(By::Person(Box::new(person("a@example.net"))), &hotspot, 1)).await;

    let all = store.login_page(&LoginFilter::default(), i64::MAX, 10).await.unwrap();
    assert_eq!(all.len(), 2);
    assert!(all[0].success && all[0].reason.is_none() && all[0].login == "a@example.net" && all[0].method == "email");
    let old = &all[1];
    assert_eq!(
        (old.login.as_str(), old.mac.as_str(), old.address.as_str()),
        ("Guest107", "02:00:00:00:00:07", "10.1.0.57")
    );
    assert_eq!((old.created_ms, old.success, old.reason.as_deref()), (NOW, false, Some("wrong password")));
    assert_eq!(store.login_page(&LoginFilter::default(), all[0].id, 10).await.unwrap(), all[1..]);
    assert_eq!(store.login_page(&LoginFilter::default(), i64::MAX, 1).await.unwrap(), all[..1]);
    let filter =
        |search: Option<&str>, method, success| LoginFilter { search: search.map(str::to_owned), method, success };
    for (filter, expected) in [
        (filter(Some("guest1"), None, None), &all[1..]),
        (filter(Some("00:07"), None, None), &all[1..]),
        (filter(None, Some(Method::Email), None), &all[..1]),
        (filter(None, None, Some(false)), &all[1..]),
        (filter(None, Some(Method::Email), Some(false)), &[]),
    ] {
        assert_eq!(store.login_page(&filter, i64::MAX, 10).await.unwrap(), expected, "{filter:?}");
    }
}
