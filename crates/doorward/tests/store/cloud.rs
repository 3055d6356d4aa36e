//! The enrolment with a relay.

use doorward::{relay::wire::RelaySecret, store::CloudRecord};

use crate::databases::Database;

both_engines!(an_enrolment_reads_back_and_is_forgotten);

async fn an_enrolment_reads_back_and_is_forgotten(database: Database) {
    let store = database.open().await;
    assert_eq!(store.cloud().await.unwrap(), None);
    let mut record = CloudRecord {
        enabled: true,
        host: "relay.example.net".parse().unwrap(),
        port: 443,
        ca: String::new(),
        domain: "cloud.example.net".parse().unwrap(),
        name: "0123456789".parse().unwrap(),
        credential: RelaySecret::generate().unwrap(),
        seen_ms: None,
    };
    store.set_cloud(&record).await.unwrap();
    assert_eq!(store.cloud().await.unwrap().as_ref(), Some(&record));
    record.enabled = false;
    (record.name, record.seen_ms, record.port) = ("abcdef0123".parse().unwrap(), Some(1_900_000_000_000), 65_535);
    store.set_cloud(&record).await.unwrap();
    assert_eq!(store.cloud().await.unwrap().as_ref(), Some(&record));
    store.delete_cloud().await.unwrap();
    store.delete_cloud().await.unwrap();
    assert_eq!(store.cloud().await.unwrap(), None);
}
