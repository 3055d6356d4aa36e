//! Messages that are to be sent.

use doorward::store::{Channel, OutboxState, Store};

use crate::databases::Database;

both_engines!(messages_wait_their_turn, what_failed_is_tried_again_until_it_is_of_no_use);

async fn due(store: &Store, now_ms: i64) -> (Vec<(Channel, String, i64)>, Option<i64>) {
    let (messages, next) = store.due_messages(now_ms, 10).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (messages.iter().map(|one| (one.channel, text(&one.message), one.tries)).collect(), next)
}

async fn messages_wait_their_turn(database: Database) {
    let store = database.open().await;
    assert!(store.post_message(Channel::Mail, b"one", 1000, 9000).await.unwrap());
    assert!(store.post_message(Channel::Sms, b"two", 1001, 9000).await.unwrap());
    let (one, two) = ((Channel::Mail, "one".to_owned(), 0), (Channel::Sms, "two".to_owned(), 0));
    assert_eq!(due(&store, 999).await, (vec![], Some(1000)));
    assert_eq!(due(&store, 1000).await, (vec![one.clone()], Some(1001)));
    assert_eq!(due(&store, 1001).await, (vec![one.clone(), two.clone()], None));
    let (messages, _) = store.due_messages(2000, 1).await.unwrap();
    store.message_sent(messages[0].id).await.unwrap();
    assert_eq!(due(&store, 2000).await, (vec![two], None));
    assert!(!format!("{messages:?}").contains("one"));
}

async fn what_failed_is_tried_again_until_it_is_of_no_use(database: Database) {
    let store = database.open().await;
    store.post_message(Channel::Mail, b"secret", 1000, 9000).await.unwrap();
    let (messages, _) = store.due_messages(1000, 10).await.unwrap();
    store.message_failed(messages[0].id, "no answer", 5000).await.unwrap();
    assert_eq!(due(&store, 4999).await, (vec![], Some(5000)));
    assert_eq!(due(&store, 5000).await.0, [(Channel::Mail, "secret".to_owned(), 1)]);
    let errors = || vec!["no answer".to_owned()];
    let waiting = OutboxState { waiting: 1, failed: 0, errors: errors() };
    assert_eq!(store.outbox_state(5000, 10).await.unwrap(), waiting);
    store.expire_messages(8999).await.unwrap();
    assert_eq!(due(&store, 8999).await.0.len(), 1);
    store.expire_messages(9000).await.unwrap();
    assert_eq!(due(&store, 9000).await, (vec![], None));
    let failed = OutboxState { waiting: 0, failed: 1, errors: errors() };
    assert_eq!(store.outbox_state(9000, 10).await.unwrap(), failed);
    // The text is gone, whenever one looks.
    assert_eq!(due(&store, 5000).await.0, []);
    store.expire_messages(9000 + 24 * 3_600_000).await.unwrap();
    assert_eq!(store.outbox_state(9000, 10).await.unwrap(), OutboxState::default());
}
