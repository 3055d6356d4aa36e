//! One-time links.

use std::sync::Arc;

use doorward::{
    link_settings::LinkSettings,
    secrets::LinkKey,
    store::{Error, LinkFilter, LinkId, LiveLink, NewLink, Store},
};

use crate::{
    databases::Database,
    samples::{stored_account, stored_server},
};

both_engines!(
    a_link_is_found_used_and_forgotten,
    two_hundred_presses_give_as_many_successes_as_there_are_uses,
    lists_are_paged_and_filtered,
    an_account_takes_its_links_with_it,
    the_key_is_sealed,
    settings_are_kept,
);

const ALL: LinkFilter<'_> = LinkFilter { account: None, after: None, live_at_ms: None, limit: 1000 };

fn new(account: &str, uses: u16) -> NewLink {
    let key = LinkKey::generate().unwrap();
    NewLink { account: account.to_owned(), key, uses, created_ms: 1000, expires_ms: 2000 }
}

fn from() -> std::net::IpAddr {
    "2001:db8::7".parse().unwrap()
}

/// A store with accounts `peer_1` and `peer_2`.
async fn store(database: &Database) -> Store {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    for n in 1..=2 {
        stored_account(&store, n, server.id).await;
    }
    store
}

async fn a_link_is_found_used_and_forgotten(database: Database) {
    let store = store(&database).await;
    let new = new("peer_2", 2);
    let digest = new.key.digest();
    let id = store.insert_link(&new).await.unwrap();
    let live = |uses_left| LiveLink { account: "peer_2".to_owned(), uses_left };
    let unknown = LinkKey::generate().unwrap().digest();
    assert_eq!(store.live_link(&unknown, 1500).await.unwrap(), None);
    assert!(matches!(store.use_link(&unknown, from(), 1500).await, Err(Error::Missing)));
    for _ in 0..3 {
        assert_eq!(store.live_link(&digest, 1999).await.unwrap(), Some(live(2)));
    }
    assert_eq!(store.live_link(&digest, 2000).await.unwrap(), None, "its time is over");
    assert!(matches!(store.use_link(&digest, from(), 2000).await, Err(Error::Missing)));

    let fresh = store.links(ALL).await.unwrap().remove(0);
    assert_eq!((fresh.id, fresh.account.as_str(), &fresh.key), (id, "peer_2", &new.key));
    assert_eq!((fresh.uses, fresh.uses_left, fresh.created_ms, fresh.expires_ms), (2, 2, 1000, 2000));
    assert_eq!((fresh.used_ms, fresh.used_from), (None, None));
    assert_eq!(store.use_link(&digest, "192.0.2.7".parse().unwrap(), 1400).await.unwrap(), 1);
    assert_eq!(store.live_link(&digest, 1400).await.unwrap(), Some(live(1)));
    assert_eq!(store.use_link(&digest, from(), 1500).await.unwrap(), 0);
    assert!(matches!(store.use_link(&digest, from(), 1600).await, Err(Error::Missing)));
    assert_eq!(store.live_link(&digest, 1600).await.unwrap(), None);
    let used = store.links(ALL).await.unwrap().remove(0);
    assert_eq!((used.uses_left, used.used_ms, used.used_from), (0, Some(1500), Some(from())));

    assert_eq!(store.prune_links(1999).await.unwrap(), 0, "who used it can be seen until its time is over");
    assert_eq!(store.prune_links(2000).await.unwrap(), 1);
    assert!(store.links(ALL).await.unwrap().is_empty());
    assert!(matches!(store.delete_link(id).await, Err(Error::Missing)));
    let other = new_stored(&store, "peer_1").await;
    store.delete_link(other).await.unwrap();
    assert!(store.links(ALL).await.unwrap().is_empty());
}

async fn new_stored(store: &Store, account: &str) -> LinkId {
    store.insert_link(&new(account, 1)).await.unwrap()
}

async fn two_hundred_presses_give_as_many_successes_as_there_are_uses(database: Database) {
    let store = Arc::new(store(&database).await);
    for uses in [1, 3] {
        let new = new("peer_1", uses);
        let digest = new.key.digest();
        store.insert_link(&new).await.unwrap();
        let presses: Vec<_> = (0..200)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.use_link(&digest, from(), 1500).await })
            })
            .collect();
        let mut successes = 0;
        for press in presses {
            match press.await.unwrap() {
                Ok(_) => successes += 1,
                Err(error) => assert!(matches!(error, Error::Missing), "{error:?}"),
            }
        }
        assert_eq!(successes, uses);
    }
}

async fn lists_are_paged_and_filtered(database: Database) {
    let store = store(&database).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(new_stored(&store, if n % 2 == 0 { "peer_1" } else { "peer_2" }).await);
    }
    let used = new("peer_1", 1);
    store.insert_link(&used).await.unwrap();
    store.use_link(&used.key.digest(), from(), 1500).await.unwrap();
    let list = async |filter: LinkFilter<'_>| -> Vec<LinkId> {
        store.links(filter).await.unwrap().into_iter().map(|link| link.id).collect()
    };
    let live = LinkFilter { live_at_ms: Some(1999), ..ALL };
    assert_eq!(list(live).await, ids);
    assert_eq!(list(LinkFilter { live_at_ms: Some(2000), ..ALL }).await, []);
    assert_eq!(list(ALL).await.len(), 6);
    assert_eq!(list(LinkFilter { limit: 2, ..live }).await, ids[..2]);
    assert_eq!(list(LinkFilter { limit: 2, after: Some(ids[1]), ..live }).await, ids[2..4]);
    assert_eq!(list(LinkFilter { account: Some("peer_2"), ..live }).await, [ids[1], ids[3]]);
    assert_eq!(list(LinkFilter { account: Some(""), ..live }).await, []);
}

async fn an_account_takes_its_links_with_it(database: Database) {
    let store = store(&database).await;
    let gone = new("peer_1", 1);
    store.insert_link(&gone).await.unwrap();
    let stays = new_stored(&store, "peer_2").await;
    let account = store.account_by_name("peer_1").await.unwrap().unwrap();
    store.delete_account(account.id).await.unwrap();
    let left: Vec<LinkId> = store.links(ALL).await.unwrap().into_iter().map(|link| link.id).collect();
    assert_eq!(left, [stays]);
    assert!(matches!(store.use_link(&gone.key.digest(), from(), 1500).await, Err(Error::Missing)));
    assert!(matches!(store.insert_link(&new("peer_1", 1)).await, Err(Error::Missing)));
}

async fn the_key_is_sealed(database: Database) {
    let store = store(&database).await;
    new_stored(&store, "peer_1").await;
    new_stored(&store, "peer_1").await;
    // A key that was moved to another row does not open.
    database
        .execute("UPDATE one_time_links SET key = (SELECT o.key FROM one_time_links o WHERE o.id <> one_time_links.id)")
        .await;
    let result = store.links(ALL).await;
    assert!(matches!(result, Err(Error::Corrupt { table: "one_time_links", column: "key", .. })), "{result:?}");
}

async fn settings_are_kept(database: Database) {
    let store = store(&database).await;
    assert_eq!(store.link_settings().await.unwrap(), LinkSettings::default());
    let mut settings = LinkSettings { title: "Zamek łącze".to_owned(), lifetime_days: 3, ..LinkSettings::default() };
    settings.wireguard.qr = false;
    settings.wireguard.buttons[5].label = "Help".to_owned();
    for title in ["Zamek", "Castle"] {
        settings.title = title.to_owned();
        store.set_link_settings(&settings).await.unwrap();
        assert_eq!(store.link_settings().await.unwrap(), settings);
    }
    database.execute("UPDATE link_settings SET settings = '{\"title\": 1}'").await;
    assert!(matches!(store.link_settings().await, Err(Error::Corrupt { table: "link_settings", .. })));
}
