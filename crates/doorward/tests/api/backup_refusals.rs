//! Archives that are damaged, foreign or made up: refused with the reason, and nothing is changed.

use std::{
    fs,
    io::{Cursor, Read as _, Write as _},
    process::Command,
};

use doorward::app::{Error, backups::BackupError};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::{
    backups::{furnished, make, path_of, state},
    databases::Database,
    gateway::Gateway,
};

both_engines!(
    backup_errors_are_as_documented,
    backup_with_a_flipped_bit_is_refused,
    backup_with_other_lists_is_refused,
    backup_that_cannot_be_stored_changes_nothing,
    backup_that_finds_no_room_changes_nothing,
    backup_that_cannot_replace_what_is_there_changes_nothing,
);

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
    type Change = Box<dyn Fn(&mut Files) + Send + Sync>;
    let cases: Vec<(&str, Change)> = vec![
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

/// A disk that is full, and a folder that cannot be made: without a backup of what is there nothing is replaced.
async fn backup_that_finds_no_room_changes_nothing(database: Database) {
    let gateway = furnished(database).await;
    let folder = gateway.app.settings().backup_folder.clone();
    fs::create_dir_all(&folder).unwrap();
    let disk = SmallDisk::at(&folder);
    let name = make(&gateway).await;
    gateway.account("wg_name=Default_1&name=later").await;
    let before = state(&gateway).await;
    let restore = async || gateway.put("/backups/restore", &format!("backup_name={name}")).await;

    let ballast = folder.join("ballast");
    let full = fs::write(&ballast, vec![1; 1 << 21]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let (status, said) = restore().await.error();
    assert!(
        status == 500 && said.starts_with("Failed to create file: ") && said.contains("No space left"),
        "{status} {said}"
    );
    assert_eq!(state(&gateway).await, before);
    let archives = |listed: Value| listed["backups"].as_array().map(Vec::len);
    assert_eq!(archives(gateway.get("/backups").await.msg()), Some(1), "no half archive is left");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);

    fs::remove_file(&ballast).unwrap();
    let kept = tempfile::tempdir().unwrap();
    let elsewhere = kept.path().join("kept.zip");
    fs::copy(folder.join(&name), &elsewhere).unwrap();
    assert_eq!(restore().await.msg(), "success");
    assert_ne!(state(&gateway).await, before);

    drop(disk);
    let before = state(&gateway).await;
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "a file").unwrap();
    let refused = gateway.app.restore_backup_file(fs::File::open(&elsewhere).unwrap(), None).await.unwrap_err();
    assert!(matches!(&refused, Error::Backup(BackupError::Folder(_))), "{refused:?}");
    assert!(refused.to_string().starts_with("Failed to create folder: "), "{refused}");
    let (status, said) = gateway.get("/backups").await.error();
    assert!(status == 500 && said.starts_with("Failed to create folder: "), "{status} {said}");
    assert_eq!(state(&gateway).await, before);
}

/// The database takes no deletions, as on a disk that fails.
async fn backup_that_cannot_replace_what_is_there_changes_nothing(database: Database) {
    let gateway = furnished(database).await;
    let name = make(&gateway).await;
    gateway.account("wg_name=Default_1&name=later").await;
    let before = state(&gateway).await;
    let restore = async || gateway.put("/backups/restore", &format!("backup_name={name}")).await;
    let refuse = if gateway.database.file().is_some() {
        "CREATE TRIGGER fails BEFORE DELETE ON vpn_servers BEGIN SELECT RAISE(ABORT, 'the disk fails'); END"
    } else {
        "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN RAISE EXCEPTION USING MESSAGE = ''the disk fails''; END';
         CREATE TRIGGER fails BEFORE DELETE ON vpn_servers FOR EACH ROW EXECUTE FUNCTION fails()"
    };
    gateway.database.execute(refuse).await;
    let (status, said) = restore().await.error();
    assert!(status == 500 && said.starts_with("Unable to delete old configuration: "), "{status} {said}");
    assert!(said.contains("the disk fails"), "{said}");
    assert_eq!(state(&gateway).await, before);
    let on = if gateway.database.file().is_some() { "" } else { " ON vpn_servers" };
    gateway.database.execute(&format!("DROP TRIGGER fails{on}")).await;
    assert_eq!(restore().await.msg(), "success");
    assert_ne!(state(&gateway).await, before);
}

/// A file system of 1 MiB, mounted at a folder until dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn at(folder: &std::path::Path) -> Self {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "doorward-test"]).arg(folder).status().unwrap();
        assert!(mounted.success());
        Self(folder.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
