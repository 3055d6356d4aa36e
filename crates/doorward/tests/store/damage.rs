//! Rows that were damaged or changed by hand: an error that names the column, never a panic.

use doorward::store::{Error, NewOperator, Role, Store, VpnSettings};
use doorward_policy::vpn_server::Protocol;

use crate::{
    databases::Database,
    samples::{forward, stored_account, stored_server},
};

both_engines!(damaged_columns_are_named, secrets_stay_in_their_rows);

/// Table, column, and values that no policy type takes.
const DAMAGE: &[(&str, &str, &[&str])] = &[
    ("settings", "traffic_statistics_frequency", &["0", "1441", "-1"]),
    ("settings", "traffic_statistics_history", &["-1", "4294967296"]),
    ("settings", "wireguard_handshake_uptime", &["0", "301"]),
    ("vpn_servers", "name", &["'a b'", "''"]),
    ("vpn_servers", "interface", &["''", "'a/b'", "'wg45678901234567'"]),
    ("vpn_servers", "address", &["'10.0.0.1'", "''", "'fd00::1/64'"]),
    ("vpn_servers", "external_ip", &["'192.0.2.1/32'", "''"]),
    ("vpn_servers", "dns_1", &["''", "'::1'"]),
    ("vpn_servers", "dns_2", &["'x'"]),
    ("vpn_servers", "dns_1_ipv6", &["'192.0.2.1'"]),
    ("vpn_servers", "dns_2_ipv6", &["''"]),
    ("vpn_servers", "bandwidth_down", &["10001", "-1"]),
    ("vpn_servers", "bandwidth_up", &["10001", "65536"]),
    ("vpn_servers", "keep_alive", &["-1", "4294967296"]),
    ("vpn_servers", "mtu", &["-1", "65536"]),
    ("vpn_servers", "address_ipv6", &["'10.0.0.1/8'"]),
    ("vpn_servers", "private_key", &[]),
    ("accounts", "name", &["'a b'"]),
    ("accounts", "username", &["''", "'a.b'"]),
    ("accounts", "address", &["'10.0.0.1/32'"]),
    ("accounts", "address_ipv6", &["'10.0.0.1'"]),
    ("accounts", "bandwidth_down", &["10001"]),
    ("accounts", "bandwidth_up", &["-1"]),
    ("accounts", "mark", &["99", "65534", "-1", "4294967396"]),
    ("accounts", "quota_bytes", &["0", "-1"]),
    ("accounts", "quota_period", &["'year'", "''"]),
    ("accounts", "quota_use_bytes", &["-1"]),
    ("accounts", "secrets", &[]),
    ("accounts", "public_key", &[]),
    ("port_forwards", "protocol", &["'sctp'", "'TCP'"]),
    ("access_hashes", "allow", &["'192.0.2.1'", "'x,y'"]),
    ("access_hashes", "digest", &[]),
    ("operators", "role", &["'root'"]),
    ("usage_counts", "raw_up", &["-1"]),
    ("usage_counts", "raw_down", &["-1"]),
    ("usage_days", "up", &["-1"]),
    ("usage_days", "down", &["-1"]),
];

/// Reads everything; the first error.
async fn read_all(store: &Store) -> Result<(), Error> {
    store.vpn_settings().await?;
    store.servers().await?;
    let accounts = store.accounts().await?;
    store.access_hashes().await?;
    store.operators().await?;
    store.last_counts().await?;
    for account in accounts {
        store.month_usage(account.id, 2030, 1).await?;
    }
    Ok(())
}

async fn damaged_columns_are_named(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let peer = stored_account(&store, 1, server.id).await;
    store.set_vpn_settings(VpnSettings::default()).await.unwrap();
    store.insert_forward(server.id, peer.id, forward(80, Protocol::Tcp), server.external_ip).await.unwrap();
    store
        .insert_access_hash(&doorward::store::NewAccessHash {
            name: "x".to_owned(),
            digest: [1; 32],
            allow: Vec::new(),
            scope: doorward::store::Scope::All,
            expires_ms: None,
            created_ms: 0,
        })
        .await
        .unwrap();
    store
        .insert_operator(&NewOperator {
            name: "x".to_owned(),
            role: Role::Admin,
            password_hash: String::new(),
            created_ms: 0,
        })
        .await
        .unwrap();
    let delta = doorward::store::UsageDelta { account: peer.id, raw_up: 1, raw_down: 1, delta_up: 1, delta_down: 1 };
    store.record_usage("2030-01-01", &[delta]).await.unwrap();
    read_all(&store).await.unwrap();

    let bytes = if database.file().is_some() { ["x''", "x'01'"] } else { [r"'\x'", r"'\x01'"] };
    for (table, column, values) in DAMAGE {
        let values = if values.is_empty() { &bytes[..] } else { values };
        database.execute(&format!("CREATE TABLE saved AS SELECT {column} AS value FROM {table}")).await;
        for value in values {
            database.execute(&format!("UPDATE {table} SET {column} = {value}")).await;
            let error = read_all(&store).await.expect_err(value);
            // A changed name no longer opens the secrets that were sealed for it.
            let expected = match (*table, *column) {
                ("vpn_servers", "name") => "private_key",
                ("accounts", "name") => "secrets",
                (_, column) => column,
            };
            assert!(
                matches!(error, Error::Corrupt { table: t, column: c, id } if t == *table && c == expected && id == 1),
                "{table}.{column} = {value}: {error:?}"
            );
        }
        database.execute(&format!("UPDATE {table} SET {column} = (SELECT value FROM saved)")).await;
        database.execute("DROP TABLE saved").await;
        read_all(&store).await.unwrap();
    }
}

async fn secrets_stay_in_their_rows(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let one = stored_account(&store, 1, server.id).await;
    stored_account(&store, 2, server.id).await;
    database
        .execute(
            "UPDATE accounts SET secrets = (SELECT secrets FROM accounts WHERE name = 'peer_2') WHERE name = 'peer_1'",
        )
        .await;
    let error = store.account_by_name("peer_1").await.unwrap_err();
    assert!(
        matches!(error, Error::Corrupt { table: "accounts", column: "secrets", id } if id == one.id.0),
        "{error:?}"
    );
    store.account_by_name("peer_2").await.unwrap();
}
