//! Port forwardings.

use doorward::store::{Error, Field};
use doorward_policy::vpn_server::{PortForward, Protocol, ServerId, VpnServer};

use crate::{
    databases::Database,
    samples::{forward, server, stored_account, stored_server},
};

both_engines!(forwards_read_back, a_port_leads_to_one_account, forwards_follow_the_external_address);

async fn forwards_read_back(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let one = stored_account(&store, 1, server.id).await;
    let two = stored_account(&store, 2, server.id).await;
    let udp = PortForward { dst_port: 65535, protocol: Protocol::Udp, to_port: 1 };
    let tcp = PortForward { dst_port: 65535, protocol: Protocol::Tcp, to_port: 65535 };
    let low = forward(1, Protocol::Udp);
    for (account, forward) in [(&one, udp), (&two, tcp), (&one, low)] {
        store.insert_forward(server.id, account.id, forward, server.external_ip).await.unwrap();
    }
    let (first, second) = (one.name.clone(), two.name.clone());
    let all = store.forwards_of(server.id).await.unwrap();
    assert_eq!(all, [(first.clone(), low), (second, tcp), (first.clone(), udp)], "by port and protocol");
    assert!(store.forward_exists(server.external_ip, 65535, Protocol::Udp).await.unwrap());
    assert!(!store.forward_exists(server.external_ip, 65534, Protocol::Udp).await.unwrap());
    assert!(!store.forward_exists([192, 0, 2, 11].into(), 65535, Protocol::Udp).await.unwrap());

    assert_eq!(store.delete_forward(server.id, 65535, Protocol::Tcp).await.unwrap(), Some(two.id));
    assert_eq!(store.delete_forward(server.id, 65535, Protocol::Tcp).await.unwrap(), None);
    assert_eq!(store.delete_forward(ServerId(99), 65535, Protocol::Udp).await.unwrap(), None);
    assert_eq!(store.forwards_of(server.id).await.unwrap(), [(first.clone(), low), (first, udp)]);
}

async fn a_port_leads_to_one_account(database: Database) {
    let store = database.open().await;
    let one = stored_server(&store, 1).await;
    let two = stored_server(&store, 2).await;
    let peer = stored_account(&store, 1, one.id).await;
    let elsewhere = stored_account(&store, 2, two.id).await;
    let web = forward(443, Protocol::Tcp);
    store.insert_forward(one.id, peer.id, web, one.external_ip).await.unwrap();
    for (server, account) in [(&one, &peer), (&two, &elsewhere)] {
        let result = store.insert_forward(server.id, account.id, web, one.external_ip).await;
        assert!(matches!(result, Err(Error::Taken(Field::Forward))), "{result:?}");
    }
    store.insert_forward(two.id, elsewhere.id, forward(443, Protocol::Udp), two.external_ip).await.unwrap();
    // An account of another server.
    let result = store.insert_forward(one.id, elsewhere.id, forward(80, Protocol::Tcp), one.external_ip).await;
    assert!(matches!(result, Err(Error::Missing)), "{result:?}");

    // The same port on another address.
    store.insert_forward(two.id, elsewhere.id, web, [192, 0, 2, 99].into()).await.unwrap();
    assert_eq!(store.servers_forwarding(443, Protocol::Tcp).await.unwrap(), [one.id, two.id]);
    assert_eq!(store.servers_forwarding(443, Protocol::Udp).await.unwrap(), [two.id]);
    assert_eq!(store.servers_forwarding(444, Protocol::Tcp).await.unwrap(), []);
}

async fn forwards_follow_the_external_address(database: Database) {
    let store = database.open().await;
    let one = stored_server(&store, 1).await;
    let new_address = [192, 0, 2, 99].into();
    let two = VpnServer { external_ip: new_address, ..server(2) };
    let two_id = store.insert_server(&two).await.unwrap();
    let peer = stored_account(&store, 1, one.id).await;
    let elsewhere = stored_account(&store, 2, two_id).await;
    store.insert_forward(one.id, peer.id, forward(443, Protocol::Tcp), one.external_ip).await.unwrap();
    store.insert_forward(two_id, elsewhere.id, forward(80, Protocol::Tcp), new_address).await.unwrap();
    let moved = VpnServer { external_ip: new_address, ..one.clone() };
    store.update_server(&moved).await.unwrap();
    assert!(store.forward_exists(new_address, 443, Protocol::Tcp).await.unwrap());
    assert!(!store.forward_exists(one.external_ip, 443, Protocol::Tcp).await.unwrap());

    // Back, a port that the other one has, and there again: refused as a whole.
    store.update_server(&one).await.unwrap();
    store.insert_forward(one.id, peer.id, forward(80, Protocol::Tcp), one.external_ip).await.unwrap();
    let result = store.update_server(&moved).await;
    assert!(matches!(result, Err(Error::Taken(Field::Forward))), "{result:?}");
    assert_eq!(store.server_by_name("Default_1").await.unwrap(), Some(one.clone()));
    assert!(store.forward_exists(one.external_ip, 443, Protocol::Tcp).await.unwrap());
}
