//! Opening: first start, keys, gateways, settings that make a commit durable.

use std::{fs, os::unix::fs::PermissionsExt};

use doorward::{
    secrets::MasterKey,
    store::{DEFAULT_GATEWAY, Error, Store},
};
use sqlx::{Connection, SqliteConnection};

use crate::{
    databases::{Database, KEY},
    samples::{account, stored_account, stored_server},
};

both_engines!(it_opens_again_with_the_same_key_only, commits_are_durable, a_closed_store_says_so);

async fn it_opens_again_with_the_same_key_only(database: Database) {
    let store = database.open().await;
    let id = store.instance_id().to_owned();
    assert_eq!(id.len(), 34);
    let server = stored_server(&store, 1).await;
    store.close().await;

    let wrong = database.try_open(DEFAULT_GATEWAY, [1; 32]).await;
    assert!(matches!(wrong, Err(Error::WrongKey)), "{wrong:?}");

    let store = database.open().await;
    assert_eq!(store.instance_id(), id);
    assert_eq!(store.servers().await.unwrap(), [server]);
}

async fn commits_are_durable(database: Database) {
    let store = database.open().await;
    let expected = if database.file().is_some() { "wal/2" } else { "on" };
    assert_eq!(store.durability().await.unwrap(), expected);
}

async fn a_closed_store_says_so(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    store.close().await;
    store.close().await;
    assert!(matches!(store.servers().await, Err(Error::Unavailable(_))));
    assert!(matches!(store.insert_account(&account(1, server.id)).await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn gateways_share_a_postgres_without_seeing_each_other() {
    let database = Database::postgres().await;
    let north = database.try_open("north", [1; 32]).await.unwrap();
    let south = database.try_open("south", [2; 32]).await.unwrap();
    assert_ne!(north.instance_id(), south.instance_id());
    let wrong = database.try_open("north", [2; 32]).await;
    assert!(matches!(wrong, Err(Error::WrongKey)), "{wrong:?}");

    let server = stored_server(&north, 1).await;
    let peer = stored_account(&north, 1, server.id).await;
    assert_eq!(south.servers().await.unwrap(), []);
    assert_eq!(south.accounts_by_ids(&[peer.id]).await.unwrap(), []);
    assert_eq!(south.account_by_name("peer_1").await.unwrap(), None);
    assert!(matches!(south.insert_account(&account(2, server.id)).await, Err(Error::Missing)));
    assert!(matches!(south.update_account(&peer).await, Err(Error::Missing)));
    assert!(matches!(south.delete_account(peer.id).await, Err(Error::Missing)));
    assert!(matches!(south.delete_server(server.id).await, Err(Error::Missing)));

    // The same names, addresses, ports and numbers once more.
    let own = stored_server(&south, 1).await;
    stored_account(&south, 1, own.id).await;
    assert_eq!(north.accounts().await.unwrap(), [peer]);
}

#[tokio::test]
async fn a_sqlite_file_belongs_to_one_gateway_and_one_user() {
    let database = Database::sqlite();
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    for entry in fs::read_dir(database.file().unwrap().parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    store.close().await;
    let renamed = database.try_open("renamed", KEY).await.unwrap();
    assert_eq!(renamed.servers().await.unwrap(), [server]);
}

#[tokio::test]
async fn an_url_that_cannot_be_used_is_told_without_its_password() {
    for url in ["", "mysql://root:secret@host/db", "sqlite:", "sqlite::memory:", "postgres://u:secret@[bad/db"] {
        let error = Store::open(url, DEFAULT_GATEWAY, MasterKey::from_bytes(KEY)).await.unwrap_err();
        assert!(matches!(error, Error::Setup(_)), "{url}: {error:?}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let error = Store::open("sqlite:/no/such/folder/db", DEFAULT_GATEWAY, MasterKey::from_bytes(KEY)).await;
    assert!(matches!(error, Err(Error::Setup(_))), "{error:?}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let database = Database::sqlite();
    database.open().await.close().await;
    let mut connection = SqliteConnection::connect(database.url()).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', 1, x'00', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let error = database.try_open(DEFAULT_GATEWAY, KEY).await;
    assert!(matches!(error, Err(Error::Setup(_))), "{error:?}");
}
