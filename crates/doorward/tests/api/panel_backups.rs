//! The page Backups: archives are made, fetched, restored and deleted; secrets only go in.

use axum::http::StatusCode;
use doorward::app::operators::Role;

use crate::{
    browser::{Browser, Filled},
    databases::Database,
    gateway::Gateway,
};

both_engines!(
    backup_page_makes_and_restores,
    backup_page_keeps_secrets,
    backup_page_is_for_admins,
    backup_page_takes_archives_from_elsewhere,
);

const PAGE: &str = "/settings/backups";

async fn name_of_newest(gateway: &Gateway) -> String {
    gateway.app.list_backups().await.unwrap()[0].name.to_string()
}

async fn backup_page_makes_and_restores(database: Database) {
    let gateway = Gateway::start(database).await;
    gateway.server_and_account().await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    assert!(root.get(PAGE).await.text.contains("There is no archive yet"));
    let page = root.done("/settings/backups/make", &[("statistics", "1")]).await.text;
    let name = name_of_newest(&gateway).await;
    assert!(page.contains(&format!("Backup {name} was made.")) && page.contains("went well"), "{page}");
    let file = root.get(&format!("/settings/backups/file/{name}")).await;
    assert_eq!((file.status, &file.headers["content-type"]), (StatusCode::OK, &"application/zip".parse().unwrap()));
    assert!(file.headers["content-disposition"].to_str().unwrap().contains(&name) && file.pdf.starts_with(b"PK"));
    assert_eq!(root.get("/settings/backups/file/x.zip").await.status, StatusCode::NOT_FOUND);

    gateway.delete("/account/peer_1").await.msg();
    let page = root.done("/settings/backups/restore", &[("name", &name)]).await.text;
    assert!(page.contains(&format!("Backup {name} was restored.")), "{page}");
    gateway.get("/account/peer_1").await.msg();
    // Who signed in stays so, and the log goes on.
    let audit = root.get("/audit").await.text;
    assert!(audit.contains("restore") && audit.contains(&name));

    let page = root.done("/settings/backups/restore", &[("name", "../x")]).await.text;
    assert!(page.contains("There is no backup with this name."), "{page}");
    let page = root.done("/settings/backups/restore", &[("name", &name), ("passphrase", "short")]).await.text;
    assert!(page.contains("A passphrase has 12 to 256 characters"), "{page}");
    std::fs::write(gateway.app.settings().backup_folder.join("bad.zip"), "no archive").unwrap();
    let page = root.done("/settings/backups/restore", &[("name", "bad.zip")]).await.text;
    assert!(page.contains("The archive is refused, and nothing was changed."), "{page}");
    let page = root.done("/settings/backups/delete", &[("name", &name)]).await.text;
    assert!(page.contains(&format!("Backup {name} was deleted.")));
    let page = root.done("/settings/backups/delete", &[("name", &name)]).await.text;
    assert!(page.contains("There is no backup with this name."));
}

async fn backup_page_takes_archives_from_elsewhere(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    root.done("/settings/backups/make", &[]).await;
    let name = name_of_newest(&gateway).await;
    let archive = std::fs::read(gateway.app.settings().backup_folder.join(&name)).unwrap();
    let send = async |file: &str, token: &str, body: &[u8]| {
        let call =
            gateway.call("POST", "").uri("/settings/backups/upload").cookie(Some(&root.cookie)).from("192.0.2.10");
        let call = call.header("sec-fetch-site", "same-origin").header("content-type", "application/zip");
        call.header("x-csrf-token", token).header("x-file-name", file).body(body).send().await
    };
    assert_eq!(send("a.zip", "", &archive).await.status, StatusCode::FORBIDDEN);
    assert_eq!(send("a.zip", "x", &archive).await.status, StatusCode::FORBIDDEN);
    for (file, kept) in
        [("other%20machine.zip", None), ("..%2F..%2Fx.zip", None), ("b.zip", Some("b.zip")), ("b.zip", None)]
    {
        // Two names of ours within one second would be the same.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        assert_eq!(send(file, &root.csrf, &archive).await.status, StatusCode::SEE_OTHER, "{file}");
        let page = root.get(PAGE).await.text;
        assert!(page.contains("was uploaded."), "{file}: {page}");
        assert!(kept.is_none_or(|kept| page.contains(&format!("Archive {kept} was uploaded."))), "{file}: {page}");
    }
    assert_eq!(gateway.app.list_backups().await.unwrap().len(), 5);
    for bad in [&b""[..], b"PK", &archive[1..]] {
        assert_eq!(send("c.zip", &root.csrf, bad).await.status, StatusCode::SEE_OTHER);
        assert!(root.get(PAGE).await.text.contains("The archive is refused"));
    }
    let left = std::fs::read_dir(&gateway.app.settings().backup_folder).unwrap().count();
    assert_eq!(left, 5, "nothing half is left");
    root.done("/settings/backups/restore", &[("name", "b.zip")]).await;
}

async fn backup_page_keeps_secrets(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let before = gateway.app.backup_settings().await.unwrap();
    let form = Filled::of(&root.get(PAGE).await.text);
    root.send(PAGE, &form).await;
    assert_eq!(
        gateway.app.backup_settings().await.unwrap(),
        before,
        "a form that is sent as it is shown changes nothing"
    );

    let ftp = [
        ("ftp", "1"),
        ("ftp_server", "ftp.example.net"),
        ("ftp_user", "u"),
        ("ftp_password", "zebra-1"),
        ("every_day", "1"),
        ("every_day_hour", "4"),
    ];
    let filled = ftp.iter().fold(form, |form, (name, value)| form.with(name, value));
    let refused = root.post_form(PAGE, &filled).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("only with a passphrase") && !refused.text.contains("zebra-1"));
    let s3 = [("s3_endpoint", "https://s3.example.net"), ("s3_secret", "zebra-2"), ("passphrase", "zebra-3 rain")];
    let filled = s3.iter().fold(filled, |form, (name, value)| form.with(name, value));
    root.send(PAGE, &filled).await;
    let set = gateway.app.backup_settings().await.unwrap();
    assert_eq!((set.ftp.password.expose(), set.s3.secret_key.expose(), set.every_day_hour), ("zebra-1", "zebra-2", 4));
    assert!(set.passphrase.is_some() && set.every_day);
    let page = root.get(PAGE).await.text;
    assert!(!page.contains("zebra") && !root.get("/audit").await.text.contains("zebra"));
    // Empty fields keep what is stored; another server asks for its password.
    let form = Filled::of(&page);
    root.send(PAGE, &form.with("every_day_hour", "5")).await;
    let kept = gateway.app.backup_settings().await.unwrap();
    assert_eq!((kept.ftp.password.expose(), kept.every_day_hour, &kept.passphrase), ("zebra-1", 5, &set.passphrase));
    for (field, value) in [("ftp_server", "evil.example.net"), ("ftp_port", "2121")] {
        let refused = root.post_form(PAGE, &form.with(field, value)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
    }
    for (field, value, text) in [
        ("every_day_hour", "24", "Hours are 0 to 23"),
        ("every_hour_minute", "x", "minutes 0 to 59"),
        ("number", "0", "1 to 10000 archives"),
        ("ftp_port", "70000", "The FTP server needs"),
        ("passphrase", "short", "A passphrase has 12 to 256 characters"),
    ] {
        let refused = root.post_form(PAGE, &form.with(field, value)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
        assert!(refused.text.contains(text), "{field}: {}", refused.text);
    }
    root.send(PAGE, &form.without("ftp").with("remove_passphrase", "1")).await;
    assert!(gateway.app.backup_settings().await.unwrap().passphrase.is_none());
}

async fn backup_page_is_for_admins(database: Database) {
    let gateway = Gateway::start(database).await;
    let name = gateway.post("/backups", "").await.msg()["backup_name"].as_str().unwrap().to_owned();
    for role in [Role::Operator, Role::VoucherManager, Role::Viewer] {
        let somebody = Browser::new(&gateway, role.as_str(), role).await;
        for path in [PAGE.to_owned(), format!("/settings/backups/file/{name}")] {
            assert_eq!(somebody.get(&path).await.status, StatusCode::FORBIDDEN, "{path}");
        }
        for path in [
            PAGE,
            "/settings/backups/make",
            "/settings/backups/restore",
            "/settings/backups/delete",
            "/settings/backups/upload",
        ] {
            assert_eq!(somebody.post(path, &[("name", &name)]).await.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    assert_eq!(gateway.app.list_backups().await.unwrap().len(), 1);
}
