//! Operators.

use doorward::store::{Error, Field, NewOperator, Operator, Role, Theme};

use crate::databases::Database;

both_engines!(an_operator_reads_back, changes);

fn new(name: &str, role: Role) -> NewOperator {
    NewOperator { name: name.to_owned(), role, password_hash: format!("hash of {name}"), created_ms: 1_700_000_000_000 }
}

async fn an_operator_reads_back(database: Database) {
    let store = database.open().await;
    let mut expected = Vec::new();
    for (name, role) in ["Anna", "anna", "bert", "zoe"].into_iter().zip(Role::ALL) {
        let NewOperator { name, role, password_hash, created_ms } = new(name, role);
        let id = store.insert_operator(&new(&name, role)).await.unwrap();
        expected.push(Operator {
            id,
            name,
            role,
            password_hash,
            enabled: true,
            totp: None,
            lang: None,
            theme: Theme::Auto,
            created_ms,
            last_login_ms: None,
        });
    }
    assert_eq!(store.operators().await.unwrap(), expected, "by name");
    assert_eq!(store.operator_by_name("anna").await.unwrap().as_ref(), expected.get(1));
    assert_eq!(store.operator_by_name("ANNA").await.unwrap(), None);
    assert!(matches!(store.insert_operator(&new("zoe", Role::Admin)).await, Err(Error::Taken(Field::OperatorName))));
    assert!(!format!("{expected:?} {:?}", new("x", Role::Admin)).contains("hash of"));
}

async fn changes(database: Database) {
    let store = database.open().await;
    store.insert_operator(&new("anna", Role::Viewer)).await.unwrap();
    store.insert_operator(&new("bert", Role::Viewer)).await.unwrap();
    store.set_operator_role("anna", Role::Admin, None, false).await.unwrap();
    store.set_operator_password("anna", "new", None).await.unwrap();
    let anna = store.operator_by_name("anna").await.unwrap().unwrap();
    assert_eq!((anna.role, anna.password_hash.as_str()), (Role::Admin, "new"));
    let bert = store.operator_by_name("bert").await.unwrap().unwrap();
    assert_eq!((bert.role, bert.password_hash.as_str()), (Role::Viewer, "hash of bert"));

    store.delete_operator("anna", false).await.unwrap();
    assert_eq!(store.operators().await.unwrap(), [bert]);
    assert!(matches!(store.delete_operator("anna", false).await, Err(Error::Missing)));
    assert!(matches!(store.set_operator_role("anna", Role::Admin, None, false).await, Err(Error::Missing)));
    assert!(matches!(store.set_operator_password("anna", "x", None).await, Err(Error::Missing)));
}
