//! `/backups`: what is made brings everything back, on the same machine and on others.

use std::{collections::BTreeMap, fs, path::PathBuf};

use doorward::{
    app::{
        Error,
        backups::{self, BackupError, BackupFile, Manifest, Passphrase},
        vouchers::VoucherWish,
    },
    store::{DEFAULT_GATEWAY, Store},
};
use doorward_policy::{account::AccountId, item::Counter, limits::Mbit};
use serde_json::{Value, json};

use crate::{
    databases::Database,
    gateway::Gateway,
    guests::{device, hotspot, is_online, voucher},
};

both_engines!(
    backup_brings_everything_back,
    backup_goes_to_another_machine_and_engine,
    backup_is_made_while_others_write,
    backup_without_statistics_has_none,
    backup_is_restored_by_one_at_a_time,
    backup_holds_many_rows,
);

/// Several gateways may share a database: what one of them restores is its own affair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_of_one_gateway_leaves_its_neighbours_alone() {
    let gateway = furnished(Database::postgres().await).await;
    let before = state(&gateway).await;
    let name = make(&gateway).await;
    let neighbour = gateway.database.try_open("neighbour", crate::databases::KEY).await.unwrap();
    for _ in 0..2 {
        restore(&neighbour, path_of(&gateway, &name), None).await.unwrap();
    }
    assert_eq!(state(&gateway).await, before);
    let ids = |accounts: Vec<doorward_policy::account::Account>| accounts.into_iter().map(|a| a.id).collect::<Vec<_>>();
    let (ours, theirs) = (ids(gateway.store.accounts().await.unwrap()), ids(neighbour.accounts().await.unwrap()));
    assert!(ours.len() == theirs.len() && ours.iter().all(|id| !theirs.contains(id)), "{ours:?} {theirs:?}");
    // And the other way round, with new rows on both sides since.
    gateway.account("wg_name=Default_1&name=later").await;
    gateway.put("/backups/restore", &format!("backup_name={name}")).await.msg();
    assert_eq!(state(&gateway).await, before);
    assert_eq!(ids(neighbour.accounts().await.unwrap()), theirs);
    gateway.account("wg_name=Default_1&name=later").await;
}

async fn backup_is_restored_by_one_at_a_time(database: Database) {
    let gateway = furnished(database).await;
    let before = state(&gateway).await;
    let name = make(&gateway).await;
    let form = format!("backup_name={name}");
    let mut restores = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (app, name) = (gateway.app.clone(), name.clone());
        restores.spawn(async move { app.restore_backup(&name, None).await });
    }
    let (mut done, mut refused) = (0, 0);
    for result in restores.join_all().await {
        match result {
            Ok(()) => done += 1,
            Err(Error::Loading) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(done >= 1 && refused >= 1 && done + refused == 6, "{done} {refused}");
    assert_eq!(state(&gateway).await, before);
    gateway.put("/backups/restore", &form).await.msg();
}

pub const PASSPHRASE: &str = "tulips in the rain";

fn passphrase(text: &str) -> Option<Passphrase> {
    Some(Passphrase::new(text.to_owned()).unwrap())
}

pub async fn set_passphrase(gateway: &Gateway, text: &str) {
    let text = passphrase(text);
    let set = move |settings: &mut backups::BackupSettings| {
        settings.passphrase = text;
        Ok(())
    };
    gateway.app.edit_backup_settings(set).await.unwrap();
}

/// As `doorward backup restore` does where no gateway runs.
async fn restore(
    store: &Store,
    path: PathBuf,
    passphrase: Option<Passphrase>,
) -> Result<(Manifest, Option<BackupFile>), BackupError> {
    let folder = tempfile::tempdir().unwrap();
    backups::restore_to_store(store, folder.path().to_owned(), &jiff::tz::TimeZone::UTC, path, passphrase).await
}

pub fn path_of(gateway: &Gateway, name: &str) -> PathBuf {
    gateway.app.settings().backup_folder.join(name)
}

pub async fn make(gateway: &Gateway) -> String {
    let made = gateway.post("/backups", "").await.msg();
    made["backup_name"].as_str().unwrap().to_owned()
}

/// Bytes from a client, by all days.
async fn used(gateway: &Gateway, account: AccountId) -> u64 {
    let today = jiff::Zoned::now().date();
    let (year, month) = (today.year().try_into().unwrap(), today.month().try_into().unwrap());
    gateway.store.month_usage(account, year, month).await.unwrap().iter().map(|day| day.up).sum()
}

/// Everything that the APIs tell of what is stored.
pub async fn state(gateway: &Gateway) -> Value {
    let mut all = BTreeMap::new();
    for path in [
        "/wireguard",
        "/account",
        "/wireguard/Default_1/port_forward",
        "/firewall/rules/filter",
        "/system/config",
        "/otl/list",
    ] {
        all.insert(path.to_owned(), gateway.get(path).await.json());
    }
    let vouchers = gateway.store.voucher("guest107").await.unwrap();
    let grants: Vec<_> = vouchers.iter().map(|voucher| voucher.grant).collect();
    let mut grants = gateway.store.grants_by_ids(&grants).await.unwrap();
    // Who is online is no part of a backup.
    for grant in &mut grants {
        grant.sessions.clear();
        grant.mark = None;
    }
    all.insert("vouchers".to_owned(), format!("{vouchers:?} {grants:?}").into());
    all.insert("hotspots".to_owned(), format!("{:?}", gateway.store.hotspots().await.unwrap()).into());
    all.insert("guests".to_owned(), format!("{:?}", gateway.app.guest_settings()).into());
    all.insert("key".to_owned(), gateway.app.api_key().expose().into());
    json!(all)
}

/// A gateway with something of everything, and somebody online.
pub async fn furnished(database: Database) -> Gateway {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.account("wg_name=Default_1&quota_bytes=5000&quota_period=month").await;
    let forward = "dst_port=8080&to_port=80&protocol=tcp&to_peer=peer_1";
    gateway.post("/wireguard/Default_1/port_forward", forward).await.msg();
    gateway.get("/account/peer_1/otl").await.msg();
    gateway
        .post("/firewall/rules/filter/end", "name=no_smtp&chain=FORWARD&action=DROP&protocol=TCP&d_port=25")
        .await
        .msg();
    gateway.put("/system/config", "traffic_statistics_history=7").await.msg();
    let lobby = hotspot(&gateway).await;
    voucher(&gateway, VoucherWish { speed_down: Mbit::new(5), ..VoucherWish::default() }).await;
    gateway.app.log_in_with_voucher(&device(&lobby, 7), "guest107", "tulip-4402").await.unwrap();
    gateway.database.execute("UPDATE grants SET used_down = 1234, limit_total = 99999").await;
    gateway.database.execute("UPDATE accounts SET quota_use_bytes = 321 WHERE name = 'peer_2'").await;
    gateway
}

async fn backup_brings_everything_back(database: Database) {
    let gateway = furnished(database).await;
    let account = gateway.store.accounts().await.unwrap().into_iter().find(|a| a.name.as_str() == "peer_1").unwrap();
    gateway.kernel.set_counter(Counter::AccountUp(account.id), 3, 700);
    let before = state(&gateway).await;
    let name = make(&gateway).await;
    assert_eq!(used(&gateway, account.id).await, 700, "what the kernel counted is stored before");
    let listed = gateway.get("/backups").await.msg();
    assert_eq!(listed["backups"][0]["backup_name"], name.as_str());
    assert_eq!(gateway.get("/system/backups/").await.msg(), listed, "both roots");
    let date = listed["backups"][0]["creation_date"].as_str().unwrap();
    assert!(date.contains('T') && (date.ends_with("+01:00") || date.ends_with("+02:00")), "{date}");
    let downloaded = gateway.get(&format!("/backups/{name}")).await;
    assert_eq!(
        (downloaded.status.as_u16(), &downloaded.headers["content-type"]),
        (200, &"application/zip".parse().unwrap())
    );
    assert_eq!(downloaded.pdf, fs::read(path_of(&gateway, &name)).unwrap());
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let size = downloaded.pdf.len() as f64 / 1e6;
    assert_eq!(listed["backups"][0]["size"], json!(size));

    gateway.delete("/account/peer_2").await.msg();
    gateway.put("/account/peer_1", "b_download=1").await.msg();
    gateway.account("wg_name=Default_1&name=later").await;
    gateway.server("name=Later&listen_port=52000").await;
    gateway.delete("/firewall/rules/filter/no_smtp").await.msg();
    gateway.app.renew_api_key().await.unwrap();
    let lobby = gateway.app.hotspots().borrow()[0].clone();
    let online = device(&lobby, 7);
    assert!(is_online(&gateway, &online));
    assert_ne!(state(&gateway).await, before);

    assert_eq!(gateway.put("/backups/restore", &format!("backup_name={name}")).await.msg(), "success");
    assert_eq!(state(&gateway).await, before);
    assert!(!is_online(&gateway, &online), "who was online logs in again");
    gateway.kernel.set_counter(Counter::AccountUp(account.id), 4, 800);
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let today = jiff::Zoned::now().date();
    gateway.get(&format!("/account/peer_1/traffic_statistics/{}/{}", today.year(), today.month())).await.msg();
    assert_eq!(used(&gateway, account.id).await, 800, "the kernel's counters go on; nothing counts twice");
    assert_eq!(gateway.get("/system/status").await.msg()["status"], "OK");
    gateway.get("/account/later").await.refused(404, "Account not found");
    // What was there before is a backup of its own.
    assert_eq!(gateway.get("/backups").await.msg()["backups"].as_array().unwrap().len(), 2);
    // Numbers go on behind the old ones, and the guest comes back with the same voucher.
    gateway.account("wg_name=Default_1&name=peer_3").await;
    gateway.app.log_in_with_voucher(&online, "guest107", "tulip-4402").await.unwrap();
    assert!(is_online(&gateway, &online));
    // A restart finds the same, and so does a second restore.
    let gateway = gateway.restarted().await;
    assert_eq!(gateway.put("/system/backups/restore", &format!("backup_name={name}")).await.msg(), "success");
    assert_eq!(state(&gateway).await, before);
    gateway
        .database
        .execute("INSERT INTO usage_days (account_id, day, up, down) SELECT id, '2030-01-01', 1, 2 FROM accounts")
        .await;
}

async fn backup_goes_to_another_machine_and_engine(database: Database) {
    let from = furnished(Database::sqlite()).await;
    set_passphrase(&from, PASSPHRASE).await;
    let before = state(&from).await;
    let name = make(&from).await;
    let file = path_of(&from, &name);

    // A gateway that has rows of its own, on another database.
    let to = Gateway::start(database).await;
    to.server("name=Other").await;
    to.account("wg_name=Other&name=somebody").await;
    to.get("/account/somebody").await.msg();
    let open = || fs::File::open(&file).unwrap();
    let refused = |error| matches!(error, Error::Backup(BackupError::Refused(_)));
    assert!(refused(to.app.restore_backup_file(open(), None).await.unwrap_err()), "no passphrase");
    let wrong = to.app.restore_backup_file(open(), passphrase("tulips in the sun")).await;
    assert!(refused(wrong.unwrap_err()));
    to.get("/account/somebody").await.msg();
    let own = to.app.restore_backup_file(open(), passphrase(PASSPHRASE)).await.unwrap();
    to.get("/account/somebody").await.refused(404, "Account not found");
    let mut after = state(&to).await;
    // Numbers are others.
    let mut before = before;
    for all in [&mut before, &mut after] {
        for key in ["vouchers", "hotspots"] {
            all[key] = without_ids(all[key].as_str().unwrap()).into();
        }
    }
    assert_eq!(after, before);
    to.account("wg_name=Default_1&name=new").await;
    let lobby = to.app.hotspots().borrow()[0].clone();
    to.app.log_in_with_voucher(&device(&lobby, 7), "guest107", "tulip-4402").await.unwrap();
    // And back to what was there.
    to.app.restore_backup(own.name.as_str(), None).await.unwrap();
    to.get("/account/somebody").await.msg();
    to.get("/account/peer_1").await.refused(404, "Account not found");

    // An empty machine with another master key, without a service.
    let empty = Database::sqlite();
    let store = empty.try_open(DEFAULT_GATEWAY, [9; 32]).await.unwrap();
    let (manifest, before) = restore(&store, file.clone(), passphrase(PASSPHRASE)).await.unwrap();
    assert!(manifest.statistics && before.is_none(), "there was nothing");
    let (_, before) = restore(&store, file.clone(), passphrase(PASSPHRASE)).await.unwrap();
    assert!(before.is_some(), "what was there is kept");
    assert_eq!(store.accounts().await.unwrap().len(), 2);
    assert!(store.voucher("guest107").await.unwrap().is_some());
    assert_eq!(
        store.servers().await.unwrap()[0].private_key.expose(),
        from.store.servers().await.unwrap()[0].private_key.expose()
    );
    assert!(store.open_sessions().await.unwrap().is_empty());
    // One that is sealed with the machine's key opens there alone.
    let machine = Gateway::start(Database::sqlite()).await;
    machine.server_and_account().await;
    let name = make(&machine).await;
    let refused = restore(&store, path_of(&machine, &name), passphrase(PASSPHRASE)).await.unwrap_err();
    assert!(refused.to_string().contains("another machine made it"), "{refused}");
    assert_eq!(store.accounts().await.unwrap().len(), 2);
}

/// `id: HotspotId(7)` → `id: HotspotId(…)`
fn without_ids(text: &str) -> String {
    let mut parts = text.split("Id(");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out += "Id(…";
        out += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out
}

async fn backup_is_made_while_others_write(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server("").await;
    let app = gateway.app.clone();
    let writer = tokio::spawn(async move {
        for n in 0..60 {
            let wish = doorward::app::accounts::AccountWish {
                server: doorward::app::Given::Is("Default_1".to_owned()),
                name: doorward::app::Given::Is(format!("w{n}").parse().unwrap()),
                ..Default::default()
            };
            app.create_account(wish).await.unwrap();
        }
    });
    let mut names = Vec::new();
    while !writer.is_finished() && names.len() < 8 {
        names.push(make(&gateway).await);
    }
    writer.await.unwrap();
    // Each holds a beginning of what was written, and nothing half.
    for name in names {
        gateway.app.verify_backup(&name, None).await.unwrap();
        let fresh = Database::sqlite();
        let store = fresh.open().await;
        restore(&store, path_of(&gateway, &name), None).await.unwrap();
        let mut there: Vec<u32> =
            store.accounts().await.unwrap().iter().map(|a| a.name.as_str()[1..].parse().unwrap()).collect();
        there.sort_unstable();
        let beginning: Vec<u32> = (0..).take(there.len()).collect();
        assert_eq!(there, beginning);
    }
}

async fn backup_without_statistics_has_none(database: Database) {
    let gateway = furnished(database).await;
    let made = gateway.post("/backups", "statistics=0").await.msg();
    let name = made["backup_name"].as_str().unwrap();
    assert!(!gateway.app.verify_backup(name, None).await.unwrap().statistics);
    gateway.put("/backups/restore", &format!("backup_name={name}")).await.msg();
    assert!(crate::guests::log(&gateway).await.is_empty());
    let with = make(&gateway).await;
    let manifest = gateway.app.verify_backup(&with, None).await.unwrap();
    assert!(manifest.statistics && manifest.files.iter().any(|file| file.name == "data/logins.jsonl"));
}

/// More than are read, handed on and stored at once.
async fn backup_holds_many_rows(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let numbers =
        |most: u32| format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most})");
    let logins = "INSERT INTO logins (gateway_id, created_ms, method, login, mac, address, success)
        SELECT g.id, i, 'voucher', 'guest' || CAST(i AS TEXT), '02:00:00:00:00:01', '10.30.0.2', i < 7 FROM n, gateways g";
    let days = "INSERT INTO usage_days (account_id, day, up, down)
        SELECT a.id, CAST(1000 + i AS TEXT) || '-01-01', i, 2 FROM n, accounts a";
    gateway.database.execute(&format!("{} {logins}", numbers(20_000))).await;
    gateway.database.execute(&format!("{} {days}", numbers(1_500))).await;
    let rows = async |name: &str| {
        let manifest = gateway.app.verify_backup(name, None).await.unwrap();
        let rows = |table: &str| manifest.files.iter().find(|file| file.name == table).unwrap().rows;
        // Each file begins with the names of its columns.
        (rows("data/logins.jsonl") - 1, rows("data/usage_days.jsonl") - 1)
    };
    let first = make(&gateway).await;
    assert_eq!(rows(&first).await, (20_000, 1_500));
    gateway.database.execute("DELETE FROM logins").await;
    gateway.put("/backups/restore", &format!("backup_name={first}")).await.msg();
    assert_eq!(rows(&make(&gateway).await).await, (20_000, 1_500));
    assert_eq!(crate::guests::log(&gateway).await[0], ("guest20000".to_owned(), false, String::new()));
}
