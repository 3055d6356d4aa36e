//! `/backups`: what is made brings everything back, and what is damaged or foreign is refused and changes nothing.

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Read as _, Write as _},
    path::PathBuf,
};

use doorward::{
    app::{
        Error,
        backups::{self, BackupError, Passphrase},
        vouchers::VoucherWish,
    },
    store::DEFAULT_GATEWAY,
};
use doorward_policy::{account::AccountId, item::Counter, limits::Mbit};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::{
    databases::Database,
    gateway::Gateway,
    guests::{device, hotspot, is_online, voucher},
};

both_engines!(
    backup_brings_everything_back,
    backup_goes_to_another_machine_and_engine,
    backup_is_made_while_others_write,
    backup_errors_are_as_documented,
    backup_with_a_flipped_bit_is_refused,
    backup_with_other_lists_is_refused,
    backup_settings_are_kept_and_judged,
    backup_is_kept_by_number,
    backup_without_statistics_has_none,
    backup_stays_behind_without_a_passphrase,
    backup_that_cannot_be_stored_changes_nothing,
);

const PASSPHRASE: &str = "tulips in the rain";

fn passphrase(text: &str) -> Option<Passphrase> {
    Some(Passphrase::new(text.to_owned()).unwrap())
}

async fn set_passphrase(gateway: &Gateway, text: &str) {
    let text = passphrase(text);
    let set = move |settings: &mut backups::BackupSettings| {
        settings.passphrase = text;
        Ok(())
    };
    gateway.app.edit_backup_settings(set).await.unwrap();
}

fn path_of(gateway: &Gateway, name: &str) -> PathBuf {
    gateway.app.settings().backup_folder.join(name)
}

async fn make(gateway: &Gateway) -> String {
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
async fn state(gateway: &Gateway) -> Value {
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
async fn furnished(database: Database) -> Gateway {
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
    let manifest = backups::restore_to_store(&store, file.clone(), passphrase(PASSPHRASE)).await.unwrap();
    assert!(manifest.statistics);
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
    let refused =
        backups::restore_to_store(&store, path_of(&machine, &name), passphrase(PASSPHRASE)).await.unwrap_err();
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
        backups::restore_to_store(&store, path_of(&gateway, &name), None).await.unwrap();
        let mut there: Vec<u32> =
            store.accounts().await.unwrap().iter().map(|a| a.name.as_str()[1..].parse().unwrap()).collect();
        there.sort_unstable();
        let beginning: Vec<u32> = (0..).take(there.len()).collect();
        assert_eq!(there, beginning);
    }
}

async fn backup_errors_are_as_documented(database: Database) {
    let gateway = furnished(database).await;
    const MISSING: &str = "There is no backup with this name";
    for form in ["", "backup_name=", "backup_name=x.zip", "backup_name=../x.zip", "backup_name=config", "other=1"] {
        gateway.put("/backups/restore", form).await.refused(404, MISSING);
    }
    for name in ["x.zip", "x", "..%2Fmaster.key", "%00.zip"] {
        gateway.get(&format!("/backups/{name}")).await.refused(404, MISSING);
    }
    gateway.get("/backups/restore").await.refused(404, "Not found");
    gateway.delete("/backups/x.zip").await.refused(404, "Not found");
    gateway.post("/backups", "statistics=maybe").await.refused(422, "Wrong value of statistics (1|0|true|false)");
    assert_eq!(gateway.get("/backups").await.msg(), json!({ "backups": [] }));

    let name = make(&gateway).await;
    let before = state(&gateway).await;
    let refused = async |content: &[u8], status: u16, text: &str| {
        fs::write(path_of(&gateway, "bad.zip"), content).unwrap();
        let (got, said) = gateway.put("/backups/restore", "backup_name=bad.zip").await.error();
        assert!(got == status && said.starts_with(text), "{got} {said}, not {text}");
    };
    refused(b"", 422, "Empty archive").await;
    let empty = ZipWriter::new(Cursor::new(Vec::new())).finish().unwrap().into_inner();
    refused(&empty, 422, "Empty archive").await;
    refused(b"PK", 422, "Error backup reader: ").await;
    let mut foreign = ZipWriter::new(Cursor::new(Vec::new()));
    foreign
        .start_file("etc/passwd", SimpleFileOptions::default().compression_method(CompressionMethod::Stored))
        .unwrap();
    refused(&foreign.finish().unwrap().into_inner(), 422, "Error backup reader: ").await;
    let good = fs::read(path_of(&gateway, &name)).unwrap();
    refused(&good[..good.len() - 1], 422, "Error backup reader: ").await;
    refused(&good[1..], 422, "Error backup reader: ").await;
    refused(&[&good[..], b"x"].concat(), 422, "Error backup reader: ").await;
    assert_eq!(state(&gateway).await, before);
    fs::remove_file(path_of(&gateway, "bad.zip")).unwrap();

    // A folder that cannot be made.
    fs::remove_dir_all(&gateway.app.settings().backup_folder).unwrap();
    fs::write(&gateway.app.settings().backup_folder, "a file").unwrap();
    let (status, said) = gateway.post("/backups", "").await.error();
    assert!(status == 500 && said.starts_with("Error backup creation: "), "{said}");
}

async fn backup_with_a_flipped_bit_is_refused(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let name = make(&gateway).await;
    let good = fs::read(path_of(&gateway, &name)).unwrap();
    let before = state(&gateway).await;
    let copy = path_of(&gateway, "flipped.zip");
    // Every byte of the ends and of all headers, and each 7th of what lies between; each bit has its turn.
    let headers: Vec<usize> = good.windows(2).enumerate().filter(|(_, two)| *two == b"PK").map(|(at, _)| at).collect();
    let near = |at: usize| headers.iter().any(|header| (*header..header + 100).contains(&at));
    let positions: Vec<usize> =
        (0..good.len()).filter(|at| *at < 200 || good.len() - at < 400 || near(*at) || at % 7 == 0).collect();
    assert!(positions.len() > 1000);
    for at in positions {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&copy, &bad).unwrap();
        let refused = gateway.app.verify_backup("flipped.zip", None).await;
        assert!(matches!(refused, Err(Error::Backup(BackupError::Refused(_)))), "byte {at}: {refused:?}");
        if at % 101 == 0 {
            assert!(gateway.app.restore_backup("flipped.zip", None).await.is_err());
        }
    }
    assert_eq!(state(&gateway).await, before);
    fs::write(&copy, &good).unwrap();
    gateway.app.verify_backup("flipped.zip", None).await.unwrap();
}

/// Takes an archive apart and puts it together with other files, with a digest that is right.
fn rebuilt(archive: &[u8], change: impl Fn(&mut Vec<(String, Vec<u8>)>)) -> Vec<u8> {
    let mut zip = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut files = Vec::new();
    for at in 0..zip.len() {
        let mut entry = zip.by_index(at).unwrap();
        let (name, mut content) = (entry.name().unwrap().into_owned(), Vec::new());
        entry.read_to_end(&mut content).unwrap();
        files.push((name, content));
    }
    change(&mut files);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(name.as_str(), options).unwrap();
        zip.write_all(&content).unwrap();
    }
    let comment = [&b"doorward-backup sha256:"[..], &[b'0'; 64]].concat();
    zip.set_raw_comment(comment.into_boxed_slice()).unwrap();
    let mut bytes = zip.finish().unwrap().into_inner();
    let end = bytes.len() - 64;
    let digest: String = Sha256::digest(&bytes[..end]).iter().map(|b| format!("{b:02x}")).collect();
    bytes[end..].copy_from_slice(digest.as_bytes());
    bytes
}

fn manifest(files: &mut [(String, Vec<u8>)], change: impl Fn(&mut Value)) {
    let (_, text) = files.iter_mut().find(|(name, _)| name == "manifest.json").unwrap();
    let mut value: Value = serde_json::from_slice(text).unwrap();
    change(&mut value);
    *text = value.to_string().into_bytes();
}

async fn backup_with_other_lists_is_refused(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let name = make(&gateway).await;
    let good = fs::read(path_of(&gateway, &name)).unwrap();
    let before = state(&gateway).await;
    type Files = Vec<(String, Vec<u8>)>;
    let cases: Vec<(&str, Box<dyn Fn(&mut Files) + Send + Sync>)> = vec![
        ("Empty archive", Box::new(Vec::clear)),
        (
            "Error backup reader: manifest.json is missing",
            Box::new(|files| files.retain(|(name, _)| name != "manifest.json")),
        ),
        (
            "Error backup reader: manifest.mac is missing",
            Box::new(|files| files.retain(|(name, _)| name != "manifest.mac")),
        ),
        (
            "Empty list of files in file with file list",
            Box::new(|files| manifest(files, |list| list["files"] = json!([]))),
        ),
        (
            "The number of files in the archive does not match the list of files in the file",
            Box::new(|files| files.retain(|(name, _)| name != "data/accounts.jsonl")),
        ),
        (
            "The number of files in the archive does not match the list of files in the file",
            Box::new(|files| files.push(("data/more.jsonl".to_owned(), Vec::new()))),
        ),
        (
            "Mismatch between files in archive and list of files",
            Box::new(|files| {
                for (name, _) in files.iter_mut().filter(|(name, _)| name == "data/accounts.jsonl") {
                    *name = "data/others.jsonl".to_owned();
                }
            }),
        ),
        ("Error backup reader: it has format 2", Box::new(|files| manifest(files, |list| list["format"] = json!(2)))),
        (
            "Error backup reader: the list of files cannot be read",
            Box::new(|files| manifest(files, |list| list["more"] = json!(2))),
        ),
        (
            "Error backup reader: another machine made it, or it was changed",
            Box::new(|files| manifest(files, |list| list["statistics"] = json!(false))),
        ),
        (
            "Error backup reader: data/accounts.jsonl is damaged",
            Box::new(|files| {
                for (_, content) in files.iter_mut().filter(|(name, _)| name == "data/accounts.jsonl") {
                    content[3] ^= 1;
                }
            }),
        ),
    ];
    for (text, change) in cases {
        fs::write(path_of(&gateway, "other.zip"), rebuilt(&good, |files| change(files))).unwrap();
        gateway.put("/backups/restore", "backup_name=other.zip").await.error();
        let (status, said) = gateway.put("/backups/restore", "backup_name=other.zip").await.error();
        assert!(status == 422 && said.starts_with(text), "{status} {said}, not {text}");
    }
    assert_eq!(state(&gateway).await, before);
    // Put together anew without a change it is good.
    fs::write(path_of(&gateway, "other.zip"), rebuilt(&good, |_| ())).unwrap();
    assert_eq!(gateway.put("/backups/restore", "backup_name=other.zip").await.msg(), "success");
}

async fn backup_settings_are_kept_and_judged(database: Database) {
    let gateway = Gateway::start(database).await;
    let first = json!({ "backup_to_ftp": false, "every_day": false, "every_day_hour": 3, "every_day_minute": 0,
        "every_day_statistics": true, "every_hour": false, "every_hour_minute": 30, "every_hour_statistics": false,
        "ftp_password": "", "ftp_path": "", "ftp_server": "", "ftp_server_port": 21, "ftp_user": "", "number_backups": 10 });
    assert_eq!(gateway.get("/backups/config").await.msg(), first);
    const HOUR_MINUTE: &str = "In every hour schedule, the minute parameter must be between 0 and 59";
    const DAY_HOUR: &str = "In the daily schedule, the hour parameter must be between 0 and 23";
    const DAY_MINUTE: &str = "In a daily schedule, the minute parameter must be between 0 and 59";
    const NUMBER: &str = "Number backups parameter must be greater than 0";
    for (form, text) in [
        ("every_hour_minute=60&every_day_hour=24", HOUR_MINUTE),
        ("every_hour_minute=x", HOUR_MINUTE),
        ("every_day_hour=24&every_day_minute=60", DAY_HOUR),
        ("every_day_minute=60&number_backups=0", DAY_MINUTE),
        ("number_backups=0", NUMBER),
        ("number_backups=-1", NUMBER),
        ("every_day=maybe", "Wrong value of every_day (1|0|true|false)"),
        ("backup_to_ftp=1", "FTP server must be filled"),
        ("backup_to_ftp=1&ftp_server=f.example.net", "FTP user must be filled"),
        ("backup_to_ftp=1&ftp_server=f.example.net&ftp_user=u", "FTP password must be filled"),
        ("ftp_server=a%0D%0Ab", "FTP server must be filled"),
        ("ftp_path=a%0D%0ADELE%20b", "Wrong FTP path"),
        ("ftp_server_port=0", "FTP port must be within 1-65535"),
        ("every_hour=1&ftp_server_port=65536", "FTP port must be within 1-65535"),
    ] {
        gateway.put("/backups/config", form).await.refused(422, text);
        assert_eq!(gateway.get("/backups/config").await.msg(), first, "{form}");
    }
    let form = "every_hour=1&every_hour_minute=5&every_day=true&number_backups=3&ftp_server=f.example.net&ftp_password=%20p%20";
    let set = gateway.put("/system/backups/config", form).await.msg();
    assert_eq!((&set["ftp_password"], &set["every_hour_minute"]), (&json!(" p "), &json!(5)));
    let gateway = gateway.restarted().await;
    assert_eq!(gateway.get("/backups/config").await.msg(), set);
    let standing = gateway.app.backup_standing().await.unwrap();
    let minutes = (standing.next_ms.unwrap() - doorward::clock::now_ms()) / 60_000;
    assert!((0..60).contains(&minutes), "{minutes}");
    // They are no part of a backup.
    let name = make(&gateway).await;
    gateway.put("/backups/config", "number_backups=7").await.msg();
    gateway.put("/backups/restore", &format!("backup_name={name}")).await.msg();
    assert_eq!(gateway.get("/backups/config").await.msg()["number_backups"], 7);
}

async fn backup_is_kept_by_number(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.put("/backups/config", "number_backups=2").await.msg();
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(make(&gateway).await);
    }
    let listed = gateway.get("/backups").await.msg();
    let listed: Vec<&str> =
        listed["backups"].as_array().unwrap().iter().map(|backup| backup["backup_name"].as_str().unwrap()).collect();
    assert_eq!(listed, [names[3].as_str(), names[2].as_str()]);
    let standing = gateway.app.backup_standing().await.unwrap();
    assert!(standing.record.last_ms.is_some() && standing.record.last_error.is_empty() && !standing.making);
    gateway.app.delete_backup(&names[3]).await.unwrap();
    assert!(matches!(gateway.app.delete_backup(&names[3]).await, Err(Error::Backup(BackupError::NotFound))));
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

async fn backup_stays_behind_without_a_passphrase(database: Database) {
    let gateway = Gateway::start(database).await;
    let ftp = "backup_to_ftp=1&ftp_server=127.0.0.1&ftp_server_port=1&ftp_user=u&ftp_password=p";
    gateway.put("/backups/config", ftp).await.msg();
    let (status, said) = gateway.post("/backups", "").await.error();
    assert!(status == 500 && said.starts_with("FTP upload error: no passphrase is set"), "{said}");
    set_passphrase(&gateway, PASSPHRASE).await;
    let (status, said) = gateway.post("/backups", "").await.error();
    assert!(status == 500 && said.starts_with("FTP upload error: no connection"), "{said}");
    // After an upload error the local file remains.
    let listed = gateway.get("/backups").await.msg();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2);
    let standing = gateway.app.backup_standing().await.unwrap();
    assert!(standing.record.last_error.starts_with("FTP upload error: "));
}

/// Rows that the database takes and the program cannot read: what was there comes back.
async fn backup_that_cannot_be_stored_changes_nothing(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    gateway.database.execute("UPDATE accounts SET quota_period = 'never'").await;
    let name = make(&gateway).await;
    gateway.database.execute("UPDATE accounts SET quota_period = 'none'").await;
    let before = state(&gateway).await;
    let (status, said) = gateway.put("/backups/restore", &format!("backup_name={name}")).await.error();
    assert!(status == 500 && said.starts_with("Failed to unzip file: what is in it cannot be read"), "{said}");
    assert_eq!(state(&gateway).await, before);
}
