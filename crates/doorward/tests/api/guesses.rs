//! Whoever guesses codes is slowed down before the database is asked, and nobody else is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use doorward::app::{logins::Denied, vouchers::VoucherWish};

use crate::{
    databases::Database,
    gateway::Gateway,
    guests::{device, hotspot, is_online, log, voucher},
};

both_engines!(a_million_guesses_are_limited, one_device_has_five_tries, a_right_code_forgives);

/// Guesses of the first test.
const GUESSES: u64 = 1_000_000;
/// Devices that make them.
const GUESSING: u64 = 1_000;
/// Longest that they may take, in debug builds on two busy processors.
const WITHIN: Duration = Duration::from_secs(120);

async fn a_million_guesses_are_limited(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = Arc::new(hotspot(&gateway).await);
    voucher(&gateway, VoucherWish { devices: Some(100), ..VoucherWish::default() }).await;
    let (heard, made) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let mut guessers = tokio::task::JoinSet::new();
    for task in 0..4 {
        let (app, hotspot) = (gateway.app.clone(), Arc::clone(&hotspot));
        let (heard, made) = (Arc::clone(&heard), Arc::clone(&made));
        guessers.spawn(async move {
            for n in (task..GUESSES).step_by(4) {
                let from = device(&hotspot, u16::try_from(n % GUESSING).unwrap() + 1000);
                match app.log_in_with_voucher(&from, "guest107", &format!("tulip-{n}")).await {
                    Err(Denied::TooMany { wait_s }) => assert!((1..=31).contains(&wait_s), "{wait_s}"),
                    Err(Denied::WrongPasscode) => _ = heard.fetch_add(1, Ordering::Relaxed),
                    other => panic!("{other:?}"),
                }
                made.fetch_add(1, Ordering::Relaxed);
                if n % 256 == task {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    // Meanwhile real guests come, and one of them mistypes twice.
    for n in 1..=20 {
        let guest = device(&hotspot, n);
        if n == 7 {
            for _ in 0..2 {
                let mistyped = gateway.app.log_in_with_voucher(&guest, "guest107", "tulip").await;
                assert_eq!(mistyped, Err(Denied::WrongPasscode));
            }
        }
        gateway.app.log_in_with_voucher(&guest, "guest107", "tulip-4402").await.unwrap();
        assert!(is_online(&gateway, &guest));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    guessers.join_all().await;
    let took = started.elapsed();
    let heard = heard.load(Ordering::Relaxed);
    assert_eq!(made.load(Ordering::Relaxed), GUESSES);
    assert!(took < WITHIN, "{GUESSES} guesses in {took:?}, {heard} of them heard");
    // Five of each device, and one more in 30 s: 40 bits are far away.
    let most = GUESSING * (5 + took.as_secs() / 30 + 1);
    assert!((GUESSING..=most).contains(&heard), "{heard}");
    let late = device(&hotspot, 500);
    gateway.app.log_in_with_voucher(&late, "guest107", "tulip-4402").await.unwrap();
    let filter = doorward::app::guest_lists::LoginFilter { success: Some(false), ..Default::default() };
    let mut logged = 0;
    let mut before = i64::MAX;
    loop {
        let page = gateway.app.login_page(&filter, before, 1000).await.unwrap();
        let Some(last) = page.last() else { break };
        before = last.id;
        logged += u64::try_from(page.len()).unwrap();
    }
    assert_eq!(logged, heard + 2, "one line for each that was heard");
}

async fn one_device_has_five_tries(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish::default()).await;
    let guesser = device(&hotspot, 1);
    for n in 0..5 {
        let result = gateway.app.log_in_with_voucher(&guesser, &format!("nobody{n}"), "x").await;
        assert_eq!(result, Err(Denied::WrongUsername), "{n}");
    }
    for _ in 0..10 {
        let result = gateway.app.log_in_with_voucher(&guesser, "guest107", "tulip-4402").await;
        assert!(matches!(result, Err(Denied::TooMany { wait_s: 1..=31 })), "even the right one: {result:?}");
        let result = gateway.app.release_slot(&guesser, "guest107", "tulip-4402", guesser.mac).await;
        assert!(matches!(result, Err(Denied::TooMany { .. })));
        assert!(matches!(gateway.app.try_code(&guesser), Err(Denied::TooMany { .. })), "codes by mail too");
    }
    assert_eq!(log(&gateway).await.len(), 5);
    let same_address = doorward::app::logins::Device { address: guesser.address, ..device(&hotspot, 2) };
    let result = gateway.app.log_in_with_voucher(&same_address, "guest107", "tulip-4402").await;
    assert!(matches!(result, Err(Denied::TooMany { .. })), "nor under another MAC");
    gateway.app.log_in_with_voucher(&device(&hotspot, 3), "guest107", "tulip-4402").await.unwrap();
    let parallel: Vec<_> = (0..50)
        .map(|n| {
            let (app, guesser) = (gateway.app.clone(), device(&hotspot, 4));
            tokio::spawn(async move { app.log_in_with_voucher(&guesser, &format!("nobody{n}"), "x").await })
        })
        .collect();
    let mut heard = 0;
    for guess in parallel {
        heard += usize::from(guess.await.unwrap() == Err(Denied::WrongUsername));
    }
    assert_eq!(heard, 5, "tries at the same time count as well");
}

async fn a_right_code_forgives(database: Database) {
    let gateway = Gateway::start(database).await;
    let hotspot = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish::default()).await;
    let guest = device(&hotspot, 1);
    for _ in 0..20 {
        gateway.app.log_in_with_voucher(&guest, "guest107", "tulip-4402").await.unwrap();
        let code = gateway.app.try_code(&guest).unwrap();
        gateway.app.code_was_right(&code);
    }
    let other = device(&hotspot, 2);
    for _ in 0..20 {
        let full = gateway.app.log_in_with_voucher(&other, "guest107", "tulip-4402").await;
        assert!(matches!(full, Err(Denied::Slots(_))), "who knows the code does not guess");
    }
}
