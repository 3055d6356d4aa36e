//! VPN servers.

use doorward::store::{Error, Field};
use doorward_policy::vpn_server::{Protocol, ServerId, VpnServer};

use crate::{
    databases::Database,
    samples::{account, bandwidth, forward, server, stored_account, stored_server},
};

both_engines!(a_server_reads_back, an_update_replaces_all_but_names, unique_fields, deleting);

async fn a_server_reads_back(database: Database) {
    let store = database.open().await;
    let full = stored_server(&store, 2).await;
    let mut bare = VpnServer {
        dns: [None; 2],
        dns_ipv6: [None; 2],
        bandwidth: bandwidth(0, 0),
        internal_traffic: false,
        ikev2: true,
        keep_alive: 0,
        mtu: 0,
        allowed_ips: String::new(),
        endpoint: String::new(),
        ipv6: false,
        address_ipv6: None,
        disable_nat: false,
        ..server(1)
    };
    bare.id = store.insert_server(&bare).await.unwrap();
    assert_eq!(store.servers().await.unwrap(), [bare.clone(), full.clone()], "by name");
    assert_eq!(store.server_by_name("Default_2").await.unwrap(), Some(full));
    assert_eq!(store.server_by_name("default_2").await.unwrap(), None, "letter case counts");
    assert_eq!(store.count_servers().await.unwrap(), 2);
}

async fn an_update_replaces_all_but_names(database: Database) {
    let store = database.open().await;
    let old = stored_server(&store, 1).await;
    let other = stored_server(&store, 2).await;
    let new = VpnServer { id: old.id, name: old.name.clone(), interface: old.interface, ..server(3) };
    let flipped = VpnServer {
        dns: [None, Some("192.0.2.1".parse().unwrap())],
        dns_ipv6: [Some("2001:db8::1".parse().unwrap()), None],
        bandwidth: bandwidth(1, 2),
        internal_traffic: false,
        ikev2: true,
        keep_alive: 1,
        mtu: 2,
        allowed_ips: "192.0.2.0/24".to_owned(),
        endpoint: "192.0.2.2".to_owned(),
        ipv6: false,
        address_ipv6: None,
        disable_nat: false,
        external_ip: "192.0.2.99".parse().unwrap(),
        ..new
    };
    store.update_server(&flipped).await.unwrap();
    assert_eq!(store.servers().await.unwrap(), [flipped.clone(), other.clone()]);

    let gone = VpnServer { id: ServerId(99), ..flipped.clone() };
    assert!(matches!(store.update_server(&gone).await, Err(Error::Missing)));
    let misnamed = VpnServer { name: "other".parse().unwrap(), ..flipped.clone() };
    assert!(matches!(store.update_server(&misnamed).await, Err(Error::Missing)));
    let clash = VpnServer { listen_port: other.listen_port, ..flipped };
    assert!(matches!(store.update_server(&clash).await, Err(Error::Taken(Field::ListenPort))));
}

async fn unique_fields(database: Database) {
    let store = database.open().await;
    let one = stored_server(&store, 1).await;
    let cases = [
        (VpnServer { name: one.name.clone(), ..server(2) }, Field::ServerName),
        (VpnServer { interface: one.interface, ..server(2) }, Field::Interface),
        (VpnServer { listen_port: one.listen_port, ..server(2) }, Field::ListenPort),
    ];
    for (clash, field) in cases {
        let result = store.insert_server(&clash).await;
        assert!(matches!(&result, Err(Error::Taken(f)) if *f == field), "{field:?}: {result:?}");
    }
    assert_eq!(store.count_servers().await.unwrap(), 1);
    store.insert_server(&VpnServer { name: "dEFAULT_1".parse().unwrap(), ..server(2) }).await.unwrap();
}

async fn deleting(database: Database) {
    let store = database.open().await;
    let first = stored_server(&store, 1).await;
    let peer = stored_account(&store, 1, first.id).await;
    store.insert_forward(first.id, peer.id, forward(80, Protocol::Tcp), first.external_ip).await.unwrap();
    assert!(matches!(store.delete_server(first.id).await, Err(Error::InUse)));
    store.delete_account(peer.id).await.unwrap();
    store.delete_server(first.id).await.unwrap();
    assert!(matches!(store.delete_server(first.id).await, Err(Error::Missing)));
    assert_eq!(store.servers().await.unwrap(), []);

    let second = stored_server(&store, 1).await;
    assert!(second.id > first.id, "ids are not used twice");
    assert!(matches!(store.insert_account(&account(1, first.id)).await, Err(Error::Missing)));
}
