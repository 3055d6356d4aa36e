//! Backups on their way to real servers: FTP and S3.

use std::{fs, time::Duration};

use doorward::{
    app::backups::{BackupSettings, Passphrase},
    backup_settings::{Ftp, S3, Secret},
};

use crate::{databases::Database, gateway::Gateway, stores::Server};

pub async fn set(gateway: &Gateway, change: impl FnOnce(&mut BackupSettings) + Send + 'static) {
    let edit = |settings: &mut BackupSettings| {
        settings.passphrase = Passphrase::new("tulips in the rain".to_owned());
        change(settings);
        Ok(())
    };
    gateway.app.edit_backup_settings(edit).await.unwrap();
}

pub fn same(gateway: &Gateway, name: &str, there: &std::path::Path) {
    let here = fs::read(gateway.app.settings().backup_folder.join(name)).unwrap();
    assert!(fs::read(there).unwrap() == here, "{}", there.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_goes_to_an_ftp_server() {
    let server = Server::ftp();
    let gateway = Gateway::start(Database::sqlite()).await;
    gateway.server_and_account().await;
    let port = server.address.port();
    set(&gateway, |_| ()).await;
    let form = format!(
        "backup_to_ftp=1&ftp_server=127.0.0.1&ftp_server_port={port}&ftp_user=backup&ftp_password=s3cret%20%25%20%2B&ftp_path=a/b%20c"
    );
    gateway.put("/backups/config", &form).await.msg();
    // The folder is made once and used twice.
    for _ in 0..2 {
        let made = gateway.post("/backups", "").await.msg();
        let name = made["backup_name"].as_str().unwrap();
        same(&gateway, name, &server.file(&format!("a/b c/{name}")));
    }
    assert_eq!(fs::read_dir(server.file("a/b c")).unwrap().count(), 2, "nothing half is left");

    gateway.put("/backups/config", "ftp_password=wrong").await.msg();
    let (status, said) = gateway.post("/backups", "").await.error();
    assert!(status == 500 && said.starts_with("FTP upload error: ") && !said.contains("wrong"), "{said}");
    assert_eq!(gateway.app.list_backups().await.unwrap().len(), 3, "the local file remains");
    // A server that takes connections and says nothing is not waited for without end, but that takes its time: one that
    // does not exist is told at once.
    gateway.put("/backups/config", "ftp_server=nobody.invalid").await.msg();
    let (_, said) = tokio::time::timeout(Duration::from_secs(30), gateway.post("/backups", "")).await.unwrap().error();
    assert!(said.starts_with("FTP upload error: the server's name is not known"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_goes_to_an_ftp_server_by_ipv6() {
    let server = Server::ftp_at("[::1]:0");
    let gateway = Gateway::start(Database::sqlite()).await;
    set(&gateway, |_| ()).await;
    let port = server.address.port();
    let form = format!(
        "backup_to_ftp=1&ftp_server=::1&ftp_server_port={port}&ftp_user=backup&ftp_password=s3cret%20%25%20%2B"
    );
    gateway.put("/backups/config", &form).await.msg();
    let made = gateway.post("/backups", "").await.msg();
    let name = made["backup_name"].as_str().unwrap();
    same(&gateway, name, &server.file(name));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_goes_to_a_store_that_speaks_s3() {
    let server = Server::s3();
    let gateway = Gateway::start(Database::sqlite()).await;
    gateway.server_and_account().await;
    let endpoint = format!("http://{}", server.address);
    let s3 = move |secret: &str| S3 {
        enabled: true,
        endpoint: endpoint.clone(),
        region: "eu-central-1".to_owned(),
        bucket: "backups".to_owned(),
        prefix: "vpn/".to_owned(),
        access_key: "S3RVER".to_owned(),
        secret_key: Secret::new(secret.to_owned()),
    };
    let good = s3("S3RVER");
    set(&gateway, |settings| settings.s3 = good).await;
    let made = gateway.post("/backups", "").await.msg();
    let name = made["backup_name"].as_str().unwrap();
    same(&gateway, name, &server.file(&format!("backups/vpn/{name}._S3rver_object")));

    let wrong = s3("S3RVERS");
    set(&gateway, |settings| settings.s3 = wrong).await;
    let (status, said) = gateway.post("/backups", "").await.error();
    assert!(status == 500 && said.starts_with("Upload error: 403 Forbidden: SignatureDoesNotMatch"), "{said}");
    let missing = S3 { bucket: "other".to_owned(), ..s3("S3RVER") };
    // Both kinds: the first that fails is told, and the other is tried all the same.
    let ftp = Ftp {
        enabled: true,
        server: "127.0.0.1".to_owned(),
        port: 1,
        user: "u".to_owned(),
        password: Secret::new("p".to_owned()),
        ..Ftp::default()
    };
    set(&gateway, |settings| (settings.s3, settings.ftp) = (missing, ftp)).await;
    let (_, said) = gateway.post("/backups", "").await.error();
    assert!(said.starts_with("FTP upload error: no connection"), "{said}");
    let good = s3("S3RVER");
    set(&gateway, |settings| settings.s3 = good).await;
    gateway.post("/backups", "").await.error();
    assert_eq!(fs::read_dir(server.file("backups/vpn")).unwrap().count(), 6, "two archives of three files");
}
