//! VPN accounts.

use doorward_policy::account::{Account, ClientKey, Password};

use crate::{
    databases::Database,
    samples::{account, bandwidth, stored_account, stored_server},
};

both_engines!(an_account_reads_back);

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
        quota_use: Default::default(),
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
}
