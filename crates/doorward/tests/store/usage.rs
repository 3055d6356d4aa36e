//! Traffic statistics and quotas in use.

use doorward::store::{DayUsage, RawCounts, UsageDelta};
use doorward_policy::account::{AccountId, QuotaUse};

use crate::{
    databases::Database,
    samples::{stored_account, stored_server},
};

both_engines!(ticks_add_up, a_month_is_a_month, pruning, quota_use);

fn delta(account: AccountId, raw: u64, up: u64, down: u64) -> UsageDelta {
    UsageDelta { account, raw_up: raw, raw_down: raw + 1, delta_up: up, delta_down: down }
}

fn day(day: &str, up: u64, down: u64) -> DayUsage {
    DayUsage { day: day.to_owned(), up, down }
}

async fn ticks_add_up(database: Database) {
    const BIG: u64 = 1 << 60;
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let one = stored_account(&store, 1, server.id).await.id;
    let two = stored_account(&store, 2, server.id).await.id;
    let gone = AccountId(1_000_000);
    assert!(store.last_counts().await.unwrap().is_empty());

    store.record_usage("2030-01-01", &[]).await.unwrap();
    store.record_usage("2030-01-01", &[delta(one, 10, BIG, 2), delta(gone, 9, 9, 9)]).await.unwrap();
    store.record_usage("2030-01-01", &[delta(one, 20, BIG, 3), delta(two, 5, 0, 0)]).await.unwrap();
    store.record_usage("2030-01-02", &[delta(one, 7, 5, 0)]).await.unwrap();

    let counts = store.last_counts().await.unwrap();
    assert_eq!(counts.len(), 2);
    assert_eq!(counts[&one], RawCounts { up: 7, down: 8 });
    assert_eq!(counts[&two], RawCounts { up: 5, down: 6 });
    let days = store.month_usage(one, 2030, 1).await.unwrap();
    assert_eq!(days, [day("2030-01-01", 2 * BIG, 5), day("2030-01-02", 5, 0)]);
    assert_eq!(store.month_usage(two, 2030, 1).await.unwrap(), [], "nothing used, nothing noted");
}

async fn a_month_is_a_month(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let one = stored_account(&store, 1, server.id).await.id;
    for date in ["2029-12-31", "2030-01-01", "2030-01-31", "2030-02-01", "2031-01-15", "0999-01-15"] {
        store.record_usage(date, &[delta(one, 0, 1, 1)]).await.unwrap();
    }
    let days = |days: Vec<DayUsage>| days.into_iter().map(|d| d.day).collect::<Vec<_>>();
    assert_eq!(days(store.month_usage(one, 2030, 1).await.unwrap()), ["2030-01-01", "2030-01-31"]);
    assert_eq!(days(store.month_usage(one, 2029, 12).await.unwrap()), ["2029-12-31"]);
    assert_eq!(days(store.month_usage(one, 999, 1).await.unwrap()), ["0999-01-15"]);
    assert!(store.month_usage(one, 2030, 3).await.unwrap().is_empty());
    assert!(store.month_usage(AccountId(99), 2030, 1).await.unwrap().is_empty());
}

async fn pruning(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let one = stored_account(&store, 1, server.id).await.id;
    let two = stored_account(&store, 2, server.id).await.id;
    for date in ["2029-12-30", "2029-12-31", "2030-01-01"] {
        store.record_usage(date, &[delta(one, 0, 1, 1), delta(two, 0, 1, 1)]).await.unwrap();
    }
    assert_eq!(store.prune_usage("2030-01-01").await.unwrap(), 4);
    assert_eq!(store.prune_usage("2030-01-01").await.unwrap(), 0);
    assert_eq!(store.month_usage(one, 2029, 12).await.unwrap(), []);
    assert_eq!(store.month_usage(two, 2030, 1).await.unwrap(), [day("2030-01-01", 1, 1)]);
    assert_eq!(store.last_counts().await.unwrap().len(), 2, "the counters stay");
}

async fn quota_use(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let one = stored_account(&store, 1, server.id).await;
    let two = stored_account(&store, 2, server.id).await;
    let used = QuotaUse { period_start_ms: 1_700_000_000_000, bytes: u64::MAX };
    store.record_quota_use(&[]).await.unwrap();
    store.record_quota_use(&[(two.id, used), (AccountId(99), used)]).await.unwrap();
    let found = store.accounts().await.unwrap();
    assert_eq!(found[0], one);
    assert_eq!(found[1].quota_use.period_start_ms, used.period_start_ms);
    assert_eq!(found[1].quota_use.bytes, u64::try_from(i64::MAX).unwrap(), "as much as the column holds");
}
