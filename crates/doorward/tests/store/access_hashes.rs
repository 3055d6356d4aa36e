//! Access hashes.

use doorward::{
    secrets::AccessHash,
    store::{AccessHashRecord, Error, Field, NewAccessHash, Scope},
};

use crate::databases::Database;

both_engines!(a_hash_reads_back, unique_fields, last_login);

fn new(name: &str, allow: &[&str]) -> (AccessHash, NewAccessHash) {
    let hash = AccessHash::generate().unwrap();
    let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    let new = NewAccessHash {
        name: name.to_owned(),
        digest: hash.digest(),
        allow,
        scope: Scope::Read,
        expires_ms: Some(1_800_000_000_000),
        created_ms: 1_700_000_000_000,
    };
    (hash, new)
}

async fn a_hash_reads_back(database: Database) {
    let store = database.open().await;
    let (hash, bound) = new("billing", &["192.0.2.1/32", "2001:db8::/32", "10.1.2.3/8"]);
    let (_, open) = new("Any", &[]);
    let record = |id, new: &NewAccessHash| AccessHashRecord {
        id,
        name: new.name.clone(),
        allow: new.allow.clone(),
        scope: new.scope,
        expires_ms: new.expires_ms,
        created_ms: new.created_ms,
        last_login_ms: None,
    };
    let bound = record(store.insert_access_hash(&bound).await.unwrap(), &bound);
    let open = record(store.insert_access_hash(&open).await.unwrap(), &open);
    assert_eq!(store.access_hashes().await.unwrap(), [open.clone(), bound.clone()], "by name");
    assert_eq!(store.access_hash_by_digest(&hash.digest()).await.unwrap(), Some(bound));
    assert_eq!(store.access_hash_by_digest(&AccessHash::generate().unwrap().digest()).await.unwrap(), None);

    store.delete_access_hash("billing").await.unwrap();
    assert!(matches!(store.delete_access_hash("billing").await, Err(Error::Missing)));
    assert_eq!(store.access_hash_by_digest(&hash.digest()).await.unwrap(), None);
    assert_eq!(store.access_hashes().await.unwrap(), [open]);
}

async fn unique_fields(database: Database) {
    let store = database.open().await;
    let (_, one) = new("one", &[]);
    store.insert_access_hash(&one).await.unwrap();
    let (_, two) = new("one", &[]);
    assert!(matches!(store.insert_access_hash(&two).await, Err(Error::Taken(Field::HashName))));
    let two = NewAccessHash { name: "two".to_owned(), ..one };
    assert!(matches!(store.insert_access_hash(&two).await, Err(Error::Taken(Field::HashDigest))));
}

async fn last_login(database: Database) {
    let store = database.open().await;
    let id = store.insert_access_hash(&new("one", &[]).1).await.unwrap();
    let other = store.insert_access_hash(&new("other", &[]).1).await.unwrap();
    for (now_ms, noted_ms) in [(1_000_000, 1_000_000), (1_059_999, 1_000_000), (1_060_000, 1_060_000)] {
        store.touch_access_hash(id, now_ms).await.unwrap();
        assert_eq!(store.access_hashes().await.unwrap()[0].last_login_ms, Some(noted_ms));
    }
    assert_eq!(store.access_hashes().await.unwrap()[1].last_login_ms, None);
    store.delete_access_hash("other").await.unwrap();
    store.touch_access_hash(other, 1).await.unwrap();
}
