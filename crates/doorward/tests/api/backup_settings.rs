//! When backups are made, how many are kept, and whether they leave the machine.

use doorward::app::{Error, backups::BackupError};
use serde_json::json;

use crate::{
    backups::{PASSPHRASE, make, set_passphrase},
    databases::Database,
    gateway::Gateway,
};

both_engines!(backup_settings_are_kept_and_judged, backup_is_kept_by_number, backup_stays_behind_without_a_passphrase,);

async fn backup_settings_are_kept_and_judged(database: Database) {
    let gateway = Gateway::start(database).await;
    let first = json!({ "backup_to_ftp": false, "every_day": false, "every_day_hour": 3, "every_day_minute": 0,
        "every_day_statistics": true, "every_hour": false, "every_hour_minute": 30, "every_hour_statistics": false,
        "ftp_password": "", "ftp_path": "", "ftp_server": "", "ftp_server_port": 21, "ftp_user": "", "number_backups": 10,
        "ftp_tls": false, "ftp_ca": "", "backup_to_sftp": false, "sftp_server": "", "sftp_server_port": 22,
        "sftp_host_key": "", "sftp_user": "", "sftp_sign_in": "", "sftp_path": "" });
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
