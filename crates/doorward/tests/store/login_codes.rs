//! One-time codes.

use std::sync::Arc;

use doorward::store::{CodeAnswer, CodeFor, Error, HotspotRecord, LoginCode, NewLoginCode};
use doorward_policy::{
    guest::{Mac, Method},
    hotspot::{Hotspot, HotspotId},
};
use zeroize::Zeroizing;

use crate::databases::Database;

both_engines!(a_code_is_entered_once, tries_run_out_whoever_is_faster, codes_expire_and_are_replaced);

fn record() -> HotspotRecord {
    HotspotRecord {
        name: "lobby".parse().unwrap(),
        hotspot: Hotspot {
            id: HotspotId(0),
            interface: "guest0".parse().unwrap(),
            address: "10.30.0.1/16".parse().unwrap(),
            address_ipv6: None,
            nat_ipv6: true,
            isolated: true,
            lan_access: Vec::new(),
            portal_tls: false,
            allowed: Vec::new(),
            blocked: Vec::new(),
        },
        settings: Arc::default(),
        created_ms: 1,
    }
}

async fn code_for(store: &doorward::store::Store) -> CodeFor {
    let hotspot = store.insert_hotspot(&record()).await.unwrap();
    CodeFor { hotspot, method: Method::Email, mac: Mac([2, 0, 0, 0, 0, 1]) }
}

fn new(code_for: CodeFor, code: &str) -> NewLoginCode {
    NewLoginCode {
        code_for,
        identity: "guest@example.com".to_owned(),
        code: Zeroizing::new(code.to_owned()),
        answers: Zeroizing::new(b"answers".to_vec()),
        tries: 5,
        created_ms: 1000,
        expires_ms: 2000,
    }
}

fn stored(tries_left: i64) -> LoginCode {
    let answers = Zeroizing::new(b"answers".to_vec());
    LoginCode { identity: "guest@example.com".to_owned(), answers, tries_left, expires_ms: 2000 }
}

async fn a_code_is_entered_once(database: Database) {
    let store = database.open().await;
    let code_for = code_for(&store).await;
    assert_eq!(store.login_code(code_for, 1000).await.unwrap(), None);
    store.put_login_code(&new(code_for, "123456")).await.unwrap();
    assert_eq!(store.login_code(code_for, 1000).await.unwrap(), Some(stored(5)));
    for other in [
        CodeFor { method: Method::Mobile, ..code_for },
        CodeFor { mac: Mac([2, 0, 0, 0, 0, 2]), ..code_for },
        CodeFor { hotspot: HotspotId(99), ..code_for },
    ] {
        assert_eq!(store.login_code(other, 1000).await.unwrap(), None);
        assert_eq!(store.try_login_code(other, "123456", 1000).await.unwrap(), CodeAnswer::Void);
    }
    assert_eq!(store.try_login_code(code_for, "12345", 1000).await.unwrap(), CodeAnswer::Wrong(stored(4)));
    assert_eq!(store.try_login_code(code_for, "123456", 1999).await.unwrap(), CodeAnswer::Right(stored(3)));
    assert_eq!(store.try_login_code(code_for, "123456", 1999).await.unwrap(), CodeAnswer::Void);
    assert_eq!(store.login_code(code_for, 1000).await.unwrap(), None);
}

async fn tries_run_out_whoever_is_faster(database: Database) {
    let store = Arc::new(database.open().await);
    let code_for = code_for(&store).await;
    store.put_login_code(&new(code_for, "123456")).await.unwrap();
    let guesses: Vec<_> = (0..40)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.try_login_code(code_for, &format!("{n:06}"), 1000).await.unwrap() })
        })
        .collect();
    let mut heard = 0;
    for guess in guesses {
        heard += u32::from(matches!(guess.await.unwrap(), CodeAnswer::Wrong(_)));
    }
    assert_eq!(heard, 5);
    assert_eq!(store.try_login_code(code_for, "123456", 1000).await.unwrap(), CodeAnswer::Void);
    assert_eq!(store.login_code(code_for, 1000).await.unwrap(), None);
}

async fn codes_expire_and_are_replaced(database: Database) {
    let store = database.open().await;
    let code_for = code_for(&store).await;
    store.put_login_code(&new(code_for, "111111")).await.unwrap();
    store.put_login_code(&new(code_for, "222222")).await.unwrap();
    assert!(matches!(store.try_login_code(code_for, "111111", 1000).await.unwrap(), CodeAnswer::Wrong(_)));
    assert_eq!(store.login_code(code_for, 2000).await.unwrap(), None);
    assert_eq!(store.try_login_code(code_for, "222222", 2000).await.unwrap(), CodeAnswer::Void);
    let nowhere = CodeFor { hotspot: HotspotId(99), ..code_for };
    assert!(matches!(store.put_login_code(&new(nowhere, "1")).await, Err(Error::Missing)));
}
