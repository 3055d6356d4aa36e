//! VPN accounts.

use std::collections::BTreeSet;

use doorward::store::{Error, Field, UsageDelta};
use doorward_policy::{
    account::{Account, AccountId, ClientKey, Password, QuotaUse},
    key::PresharedKey,
    limits::{Quota, QuotaPeriod},
    vpn_server::Protocol,
};

use crate::{
    databases::Database,
    samples::{account, bandwidth, forward, stored_account, stored_server},
};

both_engines!(
    an_account_reads_back,
    forwards_come_with_accounts,
    an_update_changes_what_may_change,
    unique_fields,
    deleting_takes_all_with_it,
    bandwidth_of_a_server,
    many_ids,
    sixty_four_at_once,
);

async fn an_account_reads_back(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let full = stored_account(&store, 2, server.id).await;
    let mut bare = Account {
        password: Password::new("x".repeat(128)).unwrap(),
        enabled: false,
        address_ipv6: None,
        bandwidth: bandwidth(0, 10_000),
        preshared_key: None,
        expires_at_ms: None,
        quota: None,
        quota_use: QuotaUse::default(),
        ..account(1, server.id)
    };
    bare.key = ClientKey::Own(bare.public_key);
    bare.id = store.insert_account(&bare).await.unwrap();
    assert_eq!(store.accounts().await.unwrap(), [bare.clone(), full.clone()], "by name");
    assert_eq!(store.accounts_of(server.id).await.unwrap(), [bare.clone(), full.clone()]);
    assert_eq!(store.account_by_name("peer_1").await.unwrap(), Some(bare.clone()));
    assert_eq!(store.account_by_name("Peer_1").await.unwrap(), None, "letter case counts");
    assert_eq!(store.account_by_username("user_2").await.unwrap(), Some(full.clone()));
    assert_eq!(store.account_by_username("user_3").await.unwrap(), None);
    assert_eq!(store.account_ids_of(server.id).await.unwrap(), [full.id, bare.id], "by id");
    assert_eq!(store.count_accounts().await.unwrap(), 2);
    assert_eq!(store.accounts_by_ids(&[bare.id]).await.unwrap(), [bare]);

    // Capitals first, as bytes go.
    let capital = Account { name: "Q".parse().unwrap(), ..account(3, server.id) };
    store.insert_account(&capital).await.unwrap();
    let names: Vec<String> = store.accounts().await.unwrap().iter().map(|a| a.name.to_string()).collect();
    assert_eq!(names, ["Q", "peer_1", "peer_2"]);
}

async fn forwards_come_with_accounts(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let other_server = stored_server(&store, 2).await;
    let mut one = stored_account(&store, 1, server.id).await;
    let mut two = stored_account(&store, 2, server.id).await;
    let elsewhere = stored_account(&store, 3, other_server.id).await;
    one.forwards = vec![forward(443, Protocol::Tcp), forward(80, Protocol::Tcp)];
    two.forwards = vec![forward(443, Protocol::Udp)];
    for (account, forward) in [(&one, 0), (&two, 0), (&one, 1)].map(|(a, i)| (a.id, a.forwards[i])) {
        store.insert_forward(server.id, account, forward, server.external_ip).await.unwrap();
    }
    assert_eq!(store.accounts().await.unwrap(), [one.clone(), two.clone(), elsewhere.clone()]);
    assert_eq!(store.accounts_of(server.id).await.unwrap(), [one.clone(), two.clone()]);
    assert_eq!(store.accounts_of(other_server.id).await.unwrap(), std::slice::from_ref(&elsewhere));
    assert_eq!(store.account_by_name("peer_1").await.unwrap(), Some(one.clone()));
    assert_eq!(store.account_by_username("user_2").await.unwrap(), Some(two));
    assert_eq!(store.account_ids_of(other_server.id).await.unwrap(), [elsewhere.id]);
    assert_eq!(store.accounts_by_ids(&[one.id]).await.unwrap(), [one]);
}

async fn an_update_changes_what_may_change(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let old = stored_account(&store, 1, server.id).await;
    let other = stored_account(&store, 2, server.id).await;
    let sample = account(300, server.id);
    let new = Account {
        password: Password::new("new".to_owned()).unwrap(),
        enabled: false,
        address: sample.address,
        address_ipv6: sample.address_ipv6,
        bandwidth: bandwidth(3, 4),
        key: sample.key.clone(),
        public_key: sample.public_key,
        preshared_key: Some(PresharedKey::from_bytes([77; 32])),
        expires_at_ms: Some(5),
        quota: Some(Quota { bytes: 6, period: QuotaPeriod::Month }),
        ..old.clone()
    };
    // What never changes, or not by this function.
    let asked = Account {
        name: sample.name.clone(),
        username: sample.username.clone(),
        mark: sample.mark,
        quota_use: QuotaUse { period_start_ms: 70, bytes: 80 },
        ..new.clone()
    };
    assert!(
        matches!(store.update_account(&asked).await, Err(Error::Missing)),
        "a name that is not the row's would seal its secrets for another row"
    );
    let asked = Account { name: old.name.clone(), ..asked };
    store.update_account(&asked).await.unwrap();
    assert_eq!(store.accounts().await.unwrap(), [new.clone(), other.clone()]);

    let bare = Account { preshared_key: None, expires_at_ms: None, quota: None, address_ipv6: None, ..new };
    store.update_account(&bare).await.unwrap();
    assert_eq!(store.accounts().await.unwrap(), [bare.clone(), other.clone()]);

    let gone = Account { id: AccountId(99), ..bare.clone() };
    assert!(matches!(store.update_account(&gone).await, Err(Error::Missing)));
    for (clash, field) in [
        (Account { address: other.address, ..bare.clone() }, Field::AccountAddress),
        (Account { address_ipv6: other.address_ipv6, ..bare.clone() }, Field::AccountAddressIpv6),
        (Account { public_key: other.public_key, ..bare.clone() }, Field::AccountKey),
    ] {
        let result = store.update_account(&clash).await;
        assert!(matches!(&result, Err(Error::Taken(f)) if *f == field), "{field:?}: {result:?}");
    }
    assert_eq!(store.accounts().await.unwrap(), [bare, other]);
}

async fn unique_fields(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let other_server = stored_server(&store, 2).await;
    let one = stored_account(&store, 1, server.id).await;
    let two = || account(2, server.id);
    for (clash, field) in [
        (Account { name: one.name.clone(), ..two() }, Field::AccountName),
        (Account { username: one.username.clone(), ..two() }, Field::Username),
        (Account { address: one.address, ..two() }, Field::AccountAddress),
        (Account { address_ipv6: one.address_ipv6, ..two() }, Field::AccountAddressIpv6),
        (Account { public_key: one.public_key, key: one.key.clone(), ..two() }, Field::AccountKey),
        (Account { mark: one.mark, ..two() }, Field::Mark),
        // Unique over all servers.
        (Account { name: one.name.clone(), server: other_server.id, ..two() }, Field::AccountName),
    ] {
        let result = store.insert_account(&clash).await;
        assert!(matches!(&result, Err(Error::Taken(f)) if *f == field), "{field:?}: {result:?}");
    }
    // A key may be used once on each server; names differ by letter case.
    let elsewhere = Account {
        name: "Peer_1".parse().unwrap(),
        username: "User_1".parse().unwrap(),
        server: other_server.id,
        public_key: one.public_key,
        key: one.key.clone(),
        ..two()
    };
    store.insert_account(&elsewhere).await.unwrap();
    // None has no IPv6 address twice.
    for n in [3, 4] {
        store.insert_account(&Account { address_ipv6: None, ..account(n, server.id) }).await.unwrap();
    }
    assert_eq!(store.count_accounts().await.unwrap(), 4);
}

async fn deleting_takes_all_with_it(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let one = stored_account(&store, 1, server.id).await;
    let two = stored_account(&store, 2, server.id).await;
    store.insert_forward(server.id, one.id, forward(80, Protocol::Tcp), server.external_ip).await.unwrap();
    let delta = UsageDelta { account: one.id, raw_up: 1, raw_down: 2, delta_up: 3, delta_down: 4 };
    store.record_usage("2030-01-01", &[delta]).await.unwrap();
    store.delete_account(one.id).await.unwrap();
    assert!(matches!(store.delete_account(one.id).await, Err(Error::Missing)));
    assert_eq!(store.accounts().await.unwrap(), std::slice::from_ref(&two));
    assert!(!store.forward_exists(server.external_ip, 80, Protocol::Tcp).await.unwrap());
    assert!(store.last_counts().await.unwrap().is_empty());
    assert_eq!(store.month_usage(one.id, 2030, 1).await.unwrap(), []);

    store.delete_account(two.id).await.unwrap();
    let again = stored_account(&store, 1, server.id).await;
    assert!(again.id > two.id, "ids are not used twice, though the last one is free");
    assert_eq!(store.month_usage(again.id, 2030, 1).await.unwrap(), []);
}

async fn bandwidth_of_a_server(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let other_server = stored_server(&store, 2).await;
    let one = stored_account(&store, 1, server.id).await;
    let two = stored_account(&store, 2, server.id).await;
    let elsewhere = stored_account(&store, 3, other_server.id).await;
    let ids = store.set_bandwidth_of(server.id, bandwidth(5, 6)).await.unwrap();
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), [one.id, two.id].into());
    let new = |old: Account| Account { bandwidth: bandwidth(5, 6), ..old };
    assert_eq!(store.accounts().await.unwrap(), [new(one), new(two), elsewhere]);
}

async fn many_ids(database: Database) {
    const COUNT: u16 = 1100;
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let inserts: Vec<_> = (1..=COUNT)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { stored_account(&store, n, server.id).await.id })
        })
        .collect();
    let mut ids = Vec::new();
    for insert in inserts {
        ids.push(insert.await.unwrap());
    }
    assert_eq!(store.accounts_by_ids(&[]).await.unwrap(), []);
    let wanted: Vec<_> = ids.iter().copied().chain([AccountId(1_000_000)]).collect();
    let found: BTreeSet<AccountId> = store.accounts_by_ids(&wanted).await.unwrap().into_iter().map(|a| a.id).collect();
    assert_eq!(found, ids.iter().copied().collect());

    let uses: Vec<_> = wanted.iter().map(|id| (*id, QuotaUse { period_start_ms: 1, bytes: 2 })).collect();
    store.record_quota_use(&uses).await.unwrap();
    let deltas: Vec<_> = wanted
        .iter()
        .map(|id| UsageDelta { account: *id, raw_up: 1, raw_down: 2, delta_up: 3, delta_down: 4 })
        .collect();
    store.record_usage("2030-01-01", &deltas).await.unwrap();
    assert_eq!(store.last_counts().await.unwrap().len(), usize::from(COUNT));
    let last = store.accounts_by_ids(&ids[usize::from(COUNT) - 1..]).await.unwrap();
    assert_eq!(last[0].quota_use, QuotaUse { period_start_ms: 1, bytes: 2 });
}

/// Every second one has a name that another one has too: of each pair exactly one is stored, and no failure undoes what
/// stands beside it in the group.
async fn sixty_four_at_once(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let inserts: Vec<_> = (1..=64)
        .map(|n| {
            let store = store.clone();
            let name = format!("peer_{}", n - n % 2);
            let account = Account { name: name.parse().unwrap(), ..account(n, server.id) };
            tokio::spawn(async move { store.insert_account(&account).await })
        })
        .collect();
    let (mut stored, mut taken) = (BTreeSet::new(), 0);
    for insert in inserts {
        match insert.await.unwrap() {
            Ok(id) => assert!(stored.insert(id)),
            Err(Error::Taken(Field::AccountName)) => taken += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((stored.len(), taken), (33, 31), "1 alone, 64 alone, 31 pairs");
    let found: BTreeSet<_> = store.accounts().await.unwrap().into_iter().map(|a| a.id).collect();
    assert_eq!(found, stored);
}
