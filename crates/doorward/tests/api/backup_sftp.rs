//! Backups on their way to real servers by SFTP, and by FTP over TLS.

use std::{fs, io::Write as _, net::TcpListener, time::Duration};

use doorward::{
    app::{
        backups::{BackupServer, Passphrase},
        operators::Role,
    },
    backup::{BackupName, remote},
    backup_settings::{Ftp, Secret, Sftp, SignIn},
};
use serde_json::json;

use crate::{
    backup_stores::{same, set},
    browser::{Browser, Filled, form, plain},
    databases::Database,
    gateway::Gateway,
    stores::{self, Server},
};

/// Each step of an upload has 20 s: one that is not answered, and the attempt to take back what was begun.
const STALLS_WITHIN: Duration = Duration::from_secs(75);
const OTHER: &str = "SHA256:SvjeSHkeslr4IIKXI83IkcIcKbmsGDDB6XxFr41S8NM";

fn me() -> String {
    let said = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// Settings of an SFTP server, as parameters.
fn sftp(server: &Server, user: &str, more: &[(&str, &str)]) -> String {
    let port = server.address.port().to_string();
    let all = [("backup_to_sftp", "1"), ("sftp_server", "127.0.0.1"), ("sftp_server_port", &port), ("sftp_user", user)];
    form(&[&all[..], more].concat())
}

async fn fails(gateway: &Gateway) -> String {
    let (status, said) = gateway.post("/backups", "").await.error();
    assert_eq!(status, 500, "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_goes_to_openssh_by_a_key_and_comes_back() {
    let server = Server::openssh();
    let gateway = Gateway::start(Database::sqlite()).await;
    gateway.server_and_account().await;
    set(&gateway, |_| ()).await;
    let (key, host_key) = (server.key(), server.host_key());
    let answer =
        gateway.put("/backups/config", &sftp(&server, &me(), &[("sftp_key", &key), ("sftp_path", "a/b c")])).await;
    assert!(!answer.text.contains(key.lines().nth(2).unwrap()));
    let set = answer.msg();
    assert_eq!((&set["sftp_sign_in"], &set["sftp_host_key"]), (&json!("key"), &json!("")));

    // No pin: the fingerprint is told, and nobody signs in.
    let said = fails(&gateway).await;
    assert!(said.starts_with("Upload error: SFTP: no host key is pinned") && said.contains(&host_key), "{said}");
    gateway.put("/backups/config", &form(&[("sftp_host_key", OTHER)])).await.msg();
    let said = fails(&gateway).await;
    assert!(said.contains(&host_key) && said.contains(OTHER), "{said}");
    assert!(!server.file("a").exists(), "nothing is made before the server is known");

    // What was given for a server with that key is for no other one.
    let refused = "SFTP password or SFTP key must be filled, not both";
    for moved in
        [form(&[("sftp_host_key", &host_key)]), "sftp_host_key=".to_owned(), "sftp_server_port=2222".to_owned()]
    {
        gateway.put("/backups/config", &moved).await.refused(422, refused);
    }
    gateway.put("/backups/config", &form(&[("sftp_host_key", &host_key), ("sftp_key", &key)])).await.msg();
    let gateway = gateway.restarted().await;
    let mut name = String::new();
    // The folder is made once and used twice.
    for _ in 0..2 {
        let made = gateway.post("/backups", "").await.msg();
        name = made["backup_name"].as_str().unwrap().to_owned();
        same(&gateway, &name, &server.file(&format!("a/b c/{name}")));
    }
    assert_eq!(fs::read_dir(server.file("a/b c")).unwrap().count(), 2, "nothing half is left");
    gateway.delete("/account/peer_1").await.msg();
    gateway.app.delete_backup(&name).await.unwrap();
    fs::copy(server.file(&format!("a/b c/{name}")), gateway.app.settings().backup_folder.join(&name)).unwrap();
    gateway.put("/backups/restore", &form(&[("backup_name", &name)])).await.msg();
    gateway.get("/account/peer_1").await.msg();

    // By an absolute path too.
    let path = server.file("c").display().to_string();
    gateway.put("/backups/config", &form(&[("sftp_path", &path)])).await.msg();
    let made = gateway.post("/backups", "").await.msg();
    assert!(server.file("c").join(made["backup_name"].as_str().unwrap()).exists());

    // By the other kind of key.
    let ecdsa = fs::read_to_string(server.own_file("ecdsa")).unwrap();
    gateway.put("/backups/config", &form(&[("sftp_key", &ecdsa)])).await.msg();
    gateway.post("/backups", "").await.msg();

    // A key that the server does not know, and a folder that is a file.
    let other = tempfile::tempdir().unwrap();
    stores::keygen(&other.path().join("key"), &["-t", "ecdsa", "-N", ""]);
    let other = fs::read_to_string(other.path().join("key")).unwrap();
    gateway.put("/backups/config", &form(&[("sftp_key", &other)])).await.msg();
    let said = fails(&gateway).await;
    assert!(said.contains("the server refuses user or key; it takes publickey"), "{said}");
    fs::write(server.file("file"), "").unwrap();
    gateway.put("/backups/config", &form(&[("sftp_key", &key), ("sftp_path", "file/x")])).await.msg();
    let said = fails(&gateway).await;
    assert!(said.contains("the folder cannot be made"), "{said}");
    // Another server is not asked with what was given for this one.
    gateway.put("/backups/config", "sftp_server=localhost").await.refused(422, refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_goes_to_an_sftp_server_by_a_password() {
    let server = Server::sftp("files");
    let gateway = Gateway::start(Database::sqlite()).await;
    set(&gateway, |_| ()).await;
    let host_key = fs::read_to_string(server.file("host_key")).unwrap();
    let more = [("sftp_host_key", host_key.as_str()), ("sftp_password", "s3cret % +"), ("sftp_path", "/vpn")];
    let answer = gateway.put("/backups/config", &sftp(&server, "backup", &more)).await;
    assert!(!answer.text.contains("s3cret"));
    assert_eq!(answer.msg()["sftp_sign_in"], "password");
    let made = gateway.post("/backups", "").await.msg();
    let name = made["backup_name"].as_str().unwrap();
    same(&gateway, name, &server.file(&format!("vpn/{name}")));
    gateway.put("/backups/config", "sftp_password=wrong-zebra").await.msg();
    let said = fails(&gateway).await;
    assert!(said.contains("the server refuses user or password; it takes") && !said.contains("zebra"), "{said}");

    let server = Server::sftp("none");
    let host_key = fs::read_to_string(server.file("host_key")).unwrap();
    let more = [("sftp_host_key", host_key.as_str()), ("sftp_password", "s3cret % +")];
    gateway.put("/backups/config", &sftp(&server, "backup", &more)).await.msg();
    let said = fails(&gateway).await;
    assert!(said.contains("the server has no SFTP"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_sftp_settings_are_judged() {
    let gateway = Gateway::start(Database::sqlite()).await;
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, arguments: &[&str]| {
        stores::keygen(&folder.path().join(name), arguments);
        fs::read_to_string(folder.path().join(name)).unwrap()
    };
    let locked = made("locked", &["-t", "ed25519", "-N", "tulips"]);
    let rsa = made("rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let key = made("key", &["-t", "ed25519", "-N", ""]);
    let before = gateway.get("/backups/config").await.msg();
    for (parameters, text) in [
        (&[("backup_to_sftp", "1")][..], "SFTP server must be filled"),
        (&[("sftp_server", "a\r\nb")], "SFTP server must be filled"),
        (&[("sftp_server", "a/b")], "SFTP server must be filled"),
        (&[("sftp_server_port", "0")], "SFTP port must be within 1-65535"),
        (&[("sftp_user", "a\0b")], "SFTP user must be filled"),
        (&[("sftp_path", "a\nb")], "Wrong SFTP path"),
        (&[("sftp_host_key", "SHA256:x")], "SFTP host key must be a fingerprint, SHA256: and 43 characters"),
        (&[("sftp_password", "a\nb")], "SFTP password or SFTP key must be filled, not both"),
        (&[("sftp_password", "p"), ("sftp_key", &key)], "SFTP password or SFTP key must be filled, not both"),
        (&[("sftp_key", &locked)], "SFTP key must have no passphrase"),
        (&[("sftp_key", &rsa)], "SFTP key must be a private key of OpenSSH, Ed25519 or ECDSA"),
        (&[("ftp_ca", "tulips")], "FTP CA must be certificates in PEM"),
    ] {
        gateway.put("/backups/config", &form(parameters)).await.refused(422, text);
        assert_eq!(gateway.get("/backups/config").await.msg(), before, "{parameters:?}");
    }
    // A `+` that came as a space.
    let pinned = OTHER.replace('j', "+");
    let set = gateway.put("/backups/config", &format!("sftp_host_key={pinned}")).await.msg();
    assert_eq!(set["sftp_host_key"], pinned);
}

/// Settings for [`Server::sftp`].
fn by_password(server: &Server) -> Sftp {
    Sftp {
        enabled: true,
        server: "127.0.0.1".to_owned(),
        port: server.address.port(),
        host_key: Some(fs::read_to_string(server.file("host_key")).unwrap().parse().unwrap()),
        user: "backup".to_owned(),
        sign_in: SignIn::of("s3cret % +", "").unwrap(),
        path: String::new(),
    }
}

/// More than is under way at once.
fn file() -> fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 3_000_000]).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_that_breaks_off_is_taken_back_and_nothing_else() {
    let server = Server::sftp("full");
    let (sftp, name) = (by_password(&server), "x.zip".parse().unwrap());
    let said = remote::to_sftp(&sftp, file(), &name).await.unwrap_err().to_string();
    assert!(said.starts_with("the file cannot be written: ") && said.contains("the disk is full"), "{said}");
    assert!(!server.file("x.zip").exists() && !server.file("x.zip.part").exists());
    // What has the name already is somebody else's.
    fs::write(server.file("x.zip.part"), "theirs").unwrap();
    let said = remote::to_sftp(&sftp, file(), &name).await.unwrap_err().to_string();
    assert!(said.starts_with("the file cannot be made: "), "{said}");
    assert_eq!(fs::read_to_string(server.file("x.zip.part")).unwrap(), "theirs");
    let server = Server::sftp("files");
    fs::write(server.file("x.zip"), "theirs").unwrap();
    let said = remote::to_sftp(&by_password(&server), file(), &name).await.unwrap_err().to_string();
    assert!(said.starts_with("the file cannot get its name: "), "{said}");
    assert_eq!(fs::read_to_string(server.file("x.zip")).unwrap(), "theirs");
    assert!(!server.file("x.zip.part").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_server_that_says_nothing_is_given_up() {
    // One that takes connections and says nothing at all, one that says nothing after AUTH TLS, one that never answers to a
    // write.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let half = TcpListener::bind("127.0.0.1:0").unwrap();
    let stalls = Server::sftp("stall");
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let (port_silent, port_half) = (port(&silent), port(&half));
    std::thread::spawn(move || {
        let (mut line, _) = half.accept().unwrap();
        line.write_all(b"220 hello\r\n234 go on\r\n").unwrap();
        std::thread::sleep(STALLS_WITHIN * 2);
    });
    let ftp = Ftp {
        enabled: true,
        server: "127.0.0.1".to_owned(),
        port: port_half,
        tls: true,
        user: "backup".to_owned(),
        password: Secret::new("p".to_owned()),
        ..Ftp::default()
    };
    let second = by_password(&stalls);
    let first = Sftp { port: port_silent, ..second.clone() };
    let name: BackupName = "x.zip".parse().unwrap();
    let all = async {
        tokio::join!(
            remote::to_sftp(&first, file(), &name),
            remote::to_sftp(&second, file(), &name),
            remote::to_ftp(ftp, file(), name.clone()),
        )
    };
    let (first, second, third) = tokio::time::timeout(STALLS_WITHIN, all).await.unwrap();
    assert_eq!(first.unwrap_err().to_string(), "no SSH: no answer in time");
    let said = second.unwrap_err().to_string();
    assert!(said.starts_with("the file cannot be written: ") && said.contains("ime"), "{said}");
    assert!(!stalls.file("x.zip").exists());
    let said = third.unwrap_err();
    assert!(said.starts_with("no TLS: "), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_goes_to_an_ftp_server_by_tls() {
    let server = Server::ftps();
    let gateway = Gateway::start(Database::sqlite()).await;
    set(&gateway, |_| ()).await;
    let (port, ca) = (server.address.port().to_string(), server.ca());
    let all = [
        ("backup_to_ftp", "1"),
        ("ftp_server", "127.0.0.1"),
        ("ftp_server_port", port.as_str()),
        ("ftp_user", "backup"),
        ("ftp_password", "s3cret % +"),
        ("ftp_path", "a/b"),
    ];
    gateway.put("/backups/config", &form(&all)).await.msg();
    // The server wants TLS, so that what comes next is not by luck.
    let said = fails(&gateway).await;
    assert!(said.starts_with("FTP upload error: ") && said.contains("TLS"), "{said}");
    // Nobody whom the system trusts vouches for it.
    gateway.put("/backups/config", "ftp_tls=1").await.msg();
    let said = fails(&gateway).await;
    assert!(said.starts_with("FTP upload error: no TLS: ") && said.contains("UnknownIssuer"), "{said}");
    gateway.put("/backups/config", &form(&[("ftp_ca", &ca)])).await.msg();
    let made = gateway.post("/backups", "").await.msg();
    let name = made["backup_name"].as_str().unwrap();
    same(&gateway, name, &server.file(&format!("a/b/{name}")));
    assert_eq!(fs::read_dir(server.file("a/b")).unwrap().count(), 1, "nothing half is left");
    gateway.app.try_backup_server(BackupServer::Ftp).await.unwrap();
    // The certificate is for the address.
    gateway.put("/backups/config", "ftp_server=localhost").await.msg();
    let said = fails(&gateway).await;
    assert!(said.starts_with("FTP upload error: no TLS: ") && said.contains("not valid for name"), "{said}");
    // A server without TLS gets no password.
    let plain = Server::ftp();
    let port = plain.address.port();
    gateway.put("/backups/config", &format!("ftp_server=127.0.0.1&ftp_server_port={port}")).await.msg();
    let said = fails(&gateway).await;
    assert!(said.starts_with("FTP upload error: no TLS: "), "{said}");
}

/// On the page: a trial shows the host key, which is then compared and saved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_page_tries_an_sftp_server() {
    let server = Server::openssh();
    let gateway = Gateway::start(Database::sqlite()).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    const PAGE: &str = "/settings/backups";
    const TRY: &str = "/settings/backups/try";
    let (key, host_key, port, me) = (server.key(), server.host_key(), server.address.port().to_string(), me());
    let key = key.replace('\n', "\r\n");
    let values = [
        ("sftp_server", "127.0.0.1"),
        ("sftp_port", &port),
        ("sftp_user", &me),
        ("sftp_key", &key),
        ("sftp_path", "t"),
    ];
    let empty = root.get(PAGE).await.text;
    assert!(!empty.contains(TRY), "there is nothing to try");
    let filled = values.iter().fold(Filled::of(&empty), |form, (name, value)| form.with(name, value));
    root.send(PAGE, &filled).await;
    let page = root.get(PAGE).await.text;
    assert!(page.contains(TRY) && !page.contains(key.lines().nth(2).unwrap()));

    let refused = root.post(TRY, &[("server", "sftp")]).await;
    assert_eq!(refused.status, 422);
    let shown = plain(&refused.text);
    assert!(shown.contains("no host key is pinned") && shown.contains(&host_key), "{shown}");
    assert!(!server.file("t").exists());
    // The form has the fingerprint now; saved, the trial goes on.
    root.send(PAGE, &Filled::of(&refused.text)).await;
    let set = gateway.app.backup_settings().await.unwrap().sftp;
    assert_eq!(set.host_key.unwrap().to_string(), host_key);
    let page = root.done(TRY, &[("server", "sftp")]).await.text;
    assert!(page.contains("Signed in at 127.0.0.1, and the folder is there."), "{page}");
    assert_eq!(fs::read_dir(server.file("t")).unwrap().count(), 0, "nothing is uploaded");
    // Another key is refused, and does not get into the form.
    let edit = |settings: &mut doorward::app::backups::BackupSettings| {
        settings.sftp.host_key = Some(OTHER.parse().unwrap());
        settings.passphrase = Passphrase::new("tulips in the rain".to_owned());
        Ok(())
    };
    gateway.app.edit_backup_settings(edit).await.unwrap();
    let refused = root.post(TRY, &[("server", "sftp")]).await.text;
    assert!(plain(&refused).contains(&host_key) && refused.contains(&format!("value=\"{OTHER}\"")), "{refused}");

    let form = Filled::of(&root.get(PAGE).await.text);
    for (field, value, text) in [
        ("sftp_port", "0", "The SFTP server needs"),
        ("sftp_host_key", "SHA256:x", "A host key is written as SHA256:"),
        ("sftp_key", "tulips", "is not a private key of OpenSSH"),
        ("ftp_ca", "tulips", "needs certificates in PEM"),
    ] {
        let refused = root.post_form(PAGE, &form.with(field, value)).await;
        assert_eq!(refused.status, 422, "{field}");
        assert!(plain(&refused.text).contains(text), "{field}: {}", refused.text);
    }
    let both = form.with("sftp_password", "zebra-1").with("sftp_key", &key);
    let refused = root.post_form(PAGE, &both).await.text;
    assert!(refused.contains("a password or a private key, not both") && !refused.contains("zebra-1"));
    // A secret is for where it was given; a password takes the place of the key.
    assert_eq!(root.post_form(PAGE, &form.with("sftp_server", "evil.example.net")).await.status, 422);
    root.send(PAGE, &form.with("sftp_password", "zebra-1").with("sftp", "1")).await;
    let set = gateway.app.backup_settings().await.unwrap().sftp;
    assert_eq!((set.sign_in, set.enabled), (SignIn::of("zebra-1", "").unwrap(), true));
    let page = root.get(PAGE).await.text;
    assert!(!page.contains("zebra") && !root.get("/audit").await.text.contains("zebra"));
    let viewer = Browser::new(&gateway, "viewer", Role::Viewer).await;
    assert_eq!(viewer.post(TRY, &[("server", "sftp")]).await.status, 403);
}
