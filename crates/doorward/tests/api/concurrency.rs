//! Many at once.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{databases::Database, gateway::Gateway};

both_engines!(
    parallel_accounts_get_distinct_names_and_addresses,
    parallel_servers_get_distinct_values,
    one_name_goes_to_one,
    parallel_edits_of_one_account_are_all_kept,
    a_server_goes_or_gets_an_account,
    an_edit_is_finished_when_its_client_goes_away,
    many_accounts_are_listed,
    what_another_process_stored_is_found_out,
);

async fn parallel_accounts_get_distinct_names_and_addresses(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("ipv6=1").await;
    let posts = (0..64).map(|_| gateway.account("wg_name=Default_1"));
    let accounts = join_all(posts).await;
    for key in ["name", "username", "allowed_IPs", "allowed_IPs_ipv6", "mangle", "public_key", "password"] {
        let values: BTreeSet<&str> = accounts.iter().map(|account| account[key].as_str().unwrap()).collect();
        assert_eq!(values.len(), 64, "{key}");
    }
    let names: BTreeSet<String> = accounts.iter().map(|account| account["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, (1..=64).map(|n| format!("peer_{n}")).collect());
    for account in &accounts {
        assert!(gateway.kernel.is_granted(account["allowed_IPs"].as_str().unwrap().parse().unwrap()));
    }
}

async fn parallel_servers_get_distinct_values(database: Database) {
    let gateway = Gateway::start(database).await;
    let servers = join_all((0..16).map(|_| gateway.server(""))).await;
    for key in ["name", "interface_name", "listen_port", "address"] {
        let values: BTreeSet<&str> = servers.iter().map(|server| server[key].as_str().unwrap()).collect();
        assert_eq!(values.len(), 16, "{key}");
    }
}

async fn one_name_goes_to_one(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("").await;
    let answers = join_all((0..16).map(|_| gateway.post("/account", "wg_name=Default_1&name=only"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(409, "The name is already in use");
    }
    let addresses =
        join_all((0..16).map(|_| gateway.post("/account", "wg_name=Default_1&allowed_IPs=10.0.0.99"))).await;
    assert_eq!(addresses.iter().filter(|answer| answer.status == 200).count(), 1);
    // What the refused ones had reserved is free again.
    assert_eq!(gateway.account("wg_name=Default_1").await["name"], "peer_2");
}

async fn parallel_edits_of_one_account_are_all_kept(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    for _ in 0..10 {
        gateway.put("/account/peer_1", "status=enable&b_download=1&b_upload=1&password=old").await.msg();
        let edits = ["status=disable", "b_download=77", "b_upload=88", "password=new"];
        join_all(edits.map(|form| gateway.put("/account/peer_1", form))).await;
        let account = gateway.get("/account/peer_1").await.msg();
        let values = ["status", "b_download", "b_upload", "password"].map(|key| account[key].as_str().unwrap());
        assert_eq!(values, ["disable", "77", "88", "new"]);
    }
}

async fn a_server_goes_or_gets_an_account(database: Database) {
    let gateway = Gateway::start(database).await;
    for _ in 0..10 {
        gateway.server("name=a").await;
        let (deleted, created) =
            tokio::join!(gateway.delete("/wireguard/a"), gateway.post("/account", "wg_name=a&name=x"));
        match (deleted.status.as_u16(), created.status.as_u16()) {
            (200, 422) => created.refused(422, "Wireguard server not valid"),
            (409, 200) => {
                gateway.delete("/account/x").await.msg();
                gateway.delete("/wireguard/a").await.msg();
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn an_edit_is_finished_when_its_client_goes_away(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    for n in 0..40_u64 {
        gateway.put("/account/peer_1", "status=enable").await.msg();
        let edit = gateway.put("/account/peer_1", "status=disable");
        drop(tokio::time::timeout(Duration::from_micros(n * 50), edit).await);
        // Whether it came in time or not: soon, and long before a full pass, the kernel holds what is stored.
        let dropped = Instant::now();
        let agree = || async {
            let enabled = gateway.get("/account/peer_1").await.msg()["status"] == "enable";
            gateway.kernel.is_granted("10.0.0.2".parse().unwrap()) == enabled
        };
        while !agree().await {
            assert!(dropped.elapsed() < Duration::from_secs(3), "round {n}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn many_accounts_are_listed(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("address=10.0.0.1/16").await;
    for _ in 0..8 {
        join_all((0..50).map(|_| gateway.account("wg_name=Default_1"))).await;
    }
    let list = gateway.get("/account").await.msg();
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|account| account["name"].as_str().unwrap()).collect();
    assert!(names.len() == 400 && names.is_sorted());
}

async fn what_another_process_stored_is_found_out(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let mut other = gateway.store.account_by_name("peer_1").await.unwrap().unwrap();
    other.name = "peer_2".parse().unwrap();
    other.username = "user_2".parse().unwrap();
    other.address = "10.0.0.3".parse().unwrap();
    other.mark = doorward_policy::limits::Mark::new(101).unwrap();
    let key = doorward_policy::key::PrivateKey::from_random([9; 32]);
    other.public_key = key.public();
    other.key = doorward_policy::account::ClientKey::Kept(key);
    let other_id = gateway.store.insert_account(&other).await.unwrap();
    // The store's constraints refuse what memory thought free; then memory is read anew.
    let account = gateway.account("wg_name=Default_1").await;
    let values = ["name", "username", "allowed_IPs", "mangle"].map(|key| account[key].as_str().unwrap().to_owned());
    assert_eq!(values, ["peer_3", "user_3", "10.0.0.4", "102"]);
    gateway.store.delete_account(other_id).await.unwrap();
    gateway.store.insert_account(&other).await.unwrap();
    let named = gateway.post("/account", "wg_name=Default_1&name=peer_2").await;
    named.refused(409, "The name is already in use");
}

/// All at once, answers in order.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in futures.iter_mut().filter(|(_, output)| output.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                *output = Some(value);
            }
        }
        if futures.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}
