//! Orders of the command line, over the socket of a running gateway.

use doorward::{
    control::{self, Error, HotspotForm, HotspotLine, Order, Report, VoucherForm, VoucherLine},
    hotspot_settings::{GuestSettings, HotspotSettings},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    databases::Database,
    desk::{Desk, address},
};

both_engines!(vouchers, hotspots, guests, the_api, orders_that_cannot_be, backup_orders);

/// A gateway with its socket.
pub struct Running {
    pub desk: Desk,
    folder: TempDir,
}

impl Running {
    pub async fn start(database: Database) -> Self {
        let desk = Desk::start(database).await;
        let folder = tempfile::tempdir().unwrap();
        let (state, app) = (folder.path().to_owned(), desk.gateway.app.clone());
        let report = || std::future::ready(report());
        tokio::spawn(async move { control::serve(&state, app, report).await });
        while !folder.path().join(control::SOCKET).exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Self { desk, folder }
    }

    async fn order<T: DeserializeOwned>(&self, order: Order) -> Result<Vec<T>, Error> {
        let mut rows = Vec::new();
        let take = |row| {
            rows.push(row);
            Ok(())
        };
        control::order(self.folder.path(), &order, take).await.map(|()| rows)
    }

    pub async fn ok<T: DeserializeOwned>(&self, order: Order) -> Vec<T> {
        self.order(order).await.unwrap()
    }

    pub async fn refused(&self, order: Order, words: &str) {
        let text = format!("{order:?}");
        match self.order::<Value>(order).await {
            Err(Error::Refused(says)) => assert!(says.contains(words), "{text}: {says}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

fn report() -> Report {
    Report {
        version: "1".to_owned(),
        state: "OK".to_owned(),
        pid: 1,
        uptime_s: 2,
        kernel: Vec::new(),
        wans: Vec::new(),
        servers: 0,
        accounts: 0,
        last_full_pass: None,
        last_full_pass_ms: None,
        full_passes: 3,
        failures: Vec::new(),
        names: String::new(),
    }
}

fn list(search: Option<&str>, limit: Option<u32>) -> Order {
    Order::ListVouchers { search: search.map(str::to_owned), status: None, username: None, limit }
}

async fn vouchers(database: Database) {
    let running = Running::start(database).await;
    let form = VoucherForm { count: Some(1200), note: "fair".to_owned(), ..VoucherForm::default() };
    assert_eq!(running.ok::<VoucherLine>(Order::CreateVouchers(form)).await.len(), 1200);
    let form = VoucherForm {
        username: Some("guest107".to_owned()),
        passcode: Some("tulip".to_owned()),
        valid_for: Some("2 days".to_owned()),
        valid_from: Some("2030-03-01 14:00:00".to_owned()),
        data_down: Some(2048),
        speed_down: Some(20),
        devices: Some(3),
        ..VoucherForm::default()
    };
    let made = running.ok::<VoucherLine>(Order::CreateVouchers(form.clone())).await.remove(0);
    assert_eq!((made.passcode.as_str(), made.status.as_str()), ("tulip", "waiting"));
    assert_eq!((made.download_limit, made.speed_down, made.devices), (2048, 20, 3));
    assert_eq!(made.valid_until.as_deref(), Some("2030-03-03 14:00:00"));
    running.refused(Order::CreateVouchers(form.clone()), "taken").await;
    for (form, words) in [
        (VoucherForm { valid_for: Some("1 week".to_owned()), ..VoucherForm::default() }, "a time is"),
        (VoucherForm { valid_from: Some("soon".to_owned()), ..VoucherForm::default() }, "YYYY"),
        (VoucherForm { speed_up: Some(10_001), ..VoucherForm::default() }, "Mbit/s"),
        (VoucherForm { data_up: Some(9_437_185), ..VoucherForm::default() }, "MB"),
        (VoucherForm { username: Some("a b".to_owned()), ..VoucherForm::default() }, "white space"),
        (VoucherForm { note: "a\n".to_owned(), ..VoucherForm::default() }, "note"),
        (VoucherForm { count: Some(2), username: Some("x".to_owned()), ..VoucherForm::default() }, "several"),
        (VoucherForm { devices: Some(1001), ..VoucherForm::default() }, "1000 devices"),
    ] {
        running.refused(Order::CreateVouchers(form), words).await;
    }
    // Longer than a page.
    assert_eq!(running.ok::<VoucherLine>(list(None, None)).await.len(), 1201);
    assert_eq!(running.ok::<VoucherLine>(list(None, Some(700))).await.len(), 700);
    assert_eq!(running.ok::<VoucherLine>(list(Some("T107"), None)).await.len(), 1);
    let one = Order::ListVouchers { search: None, status: None, username: Some("GUEST107".to_owned()), limit: None };
    assert_eq!(running.ok::<VoucherLine>(one).await[0].username, "guest107");
    let status = |status: &str| Order::ListVouchers {
        search: None,
        status: Some(status.to_owned()),
        username: None,
        limit: None,
    };
    assert_eq!(running.ok::<VoucherLine>(status("waiting")).await.len(), 1);
    running.refused(status("new"), "a status is").await;

    let name = || "guest107".to_owned();
    let extended = running.ok::<VoucherLine>(Order::ExtendVoucher { username: name(), by: "1 day".to_owned() }).await;
    assert_eq!(extended[0].valid_until.as_deref(), Some("2030-03-04 14:00:00"));
    running.refused(Order::ExtendVoucher { username: name(), by: "always".to_owned() }, "always").await;
    let off = running.ok::<VoucherLine>(Order::SwitchVoucher { username: name(), enabled: false }).await;
    assert_eq!(off[0].status, "disabled");
    running.ok::<Value>(Order::RemoveVoucher { username: name() }).await;
    running.refused(Order::RemoveVoucher { username: name() }, "no voucher").await;
    let unused = Order::RemoveUnusedVouchers { created_before: None, note: Some("fair".to_owned()) };
    assert_eq!(running.ok::<u64>(unused).await, [1200]);
}

async fn hotspots(database: Database) {
    let running = Running::start(database).await;
    let create = |name: &str, interface: &str, address: &str| Order::CreateHotspot {
        name: name.to_owned(),
        form: HotspotForm {
            interface: Some(interface.to_owned()),
            address: Some(address.to_owned()),
            ..HotspotForm::default()
        },
        settings: None,
    };
    let made = running.ok::<HotspotLine>(create("lobby", "br-guest", "10.30.0.1/16")).await.remove(0);
    assert_eq!((made.interface.as_str(), made.address.as_str(), made.isolated), ("br-guest", "10.30.0.1/16", true));
    assert_eq!((made.host_name.as_str(), made.methods), ("login.guest.internal", vec!["voucher".to_owned()]));
    running.refused(create("lobby", "br2", "10.31.0.1/16"), "exists").await;
    running.refused(create("x y", "br2", "10.31.0.1/16"), "not a name").await;
    running.refused(create("b", "br2", "10.31.0.1"), "address").await;
    running.refused(create("b", "br2", "10.30.9.1/24"), "overlaps").await;
    let form = HotspotForm {
        isolated: Some(false),
        address_ipv6: Some("auto".to_owned()),
        lan_access: Some(vec!["192.168.7.0/24".to_owned()]),
        ..HotspotForm::default()
    };
    let set = running.ok::<HotspotLine>(Order::SetHotspot { name: "lobby".to_owned(), form }).await.remove(0);
    assert!(!set.isolated && set.address_ipv6.is_some() && set.address == "10.30.0.1/16");
    assert_eq!(set.lan_access, ["192.168.7.0/24"]);
    running.refused(Order::SetHotspot { name: "x".to_owned(), form: HotspotForm::default() }, "no such hotspot").await;

    let name = || "lobby".to_owned();
    let mut settings = running.ok::<HotspotSettings>(Order::HotspotSettings { name: name() }).await.remove(0);
    settings.colour = "#112233".to_owned();
    running.ok::<Value>(Order::SetHotspotSettings { name: name(), settings: Box::new(settings.clone()) }).await;
    assert_eq!(running.ok::<HotspotSettings>(Order::HotspotSettings { name: name() }).await, [settings.clone()]);
    settings.colour = "red".to_owned();
    running.refused(Order::SetHotspotSettings { name: name(), settings: Box::new(settings) }, "colour").await;

    let device = |policy: Option<&str>| Order::SetDevice {
        hotspot: name(),
        mac: "02:00:5e:10:00:07".to_owned(),
        policy: policy.map(str::to_owned),
        note: "printer".to_owned(),
    };
    running.ok::<Value>(device(Some("allowed"))).await;
    let devices = running.ok::<Value>(Order::ListDevices { hotspot: name() }).await;
    assert_eq!((&devices[0]["mac"], &devices[0]["policy"]), (&"02:00:5E:10:00:07".into(), &"allowed".into()));
    running.refused(device(Some("loved")), "allowed").await;
    running.ok::<Value>(device(None)).await;
    assert!(running.ok::<Value>(Order::ListDevices { hotspot: name() }).await.is_empty());

    assert_eq!(running.ok::<HotspotLine>(Order::ListHotspots).await.len(), 1);
    running.ok::<Value>(Order::RemoveHotspot { name: name(), end_sessions: false }).await;
    assert!(running.ok::<HotspotLine>(Order::ListHotspots).await.is_empty());
    running.ok::<GuestSettings>(Order::GuestSettings).await;
    let settings = GuestSettings { voucher_devices: 7, ..GuestSettings::default() };
    running.ok::<Value>(Order::SetGuestSettings { settings: Box::new(settings.clone()) }).await;
    assert_eq!(running.ok::<GuestSettings>(Order::GuestSettings).await, [settings]);
}

async fn guests(database: Database) {
    let running = Running::start(database).await;
    let hotspot = running.desk.hotspot().await;
    let user = running.desk.create(serde_json::json!({ "devices": 2 })).await;
    running.desk.log_in(hotspot, 7, &user).await;
    running.desk.log_in(hotspot, 8, &user).await;
    running.desk.device(hotspot, 9);
    assert_eq!(running.ok::<Value>(Order::ListGuests { online: true }).await.len(), 2);
    let all = running.ok::<Value>(Order::ListGuests { online: false }).await;
    assert_eq!((all.len(), &all[2]["status"]), (3, &"captive".into()));
    running.refused(Order::RemoveHotspot { name: "guests".to_owned(), end_sessions: false }, "online").await;
    let kick = |who: &str| Order::Kick { who: who.to_owned() };
    running.ok::<Value>(kick("02:00:5e:10:00:07")).await;
    running.ok::<Value>(kick("10.30.0.8")).await;
    assert!(!running.desk.gateway.kernel.is_granted(address(7)) && !running.desk.gateway.kernel.is_granted(address(8)));
    running.refused(kick("10.30.0.8"), "not online").await;
    running.refused(kick("somebody"), "neither").await;
    let person = |identity: &str| Order::ExportPerson { method: "email".to_owned(), identity: identity.to_owned() };
    running.refused(person("a@example.net"), "nobody").await;
    let erase = Order::ErasePerson { method: "fax".to_owned(), identity: "1".to_owned() };
    running.refused(erase, "a method is").await;
}

async fn the_api(database: Database) {
    let running = Running::start(database).await;
    let key = running.ok::<Value>(Order::Api).await.remove(0);
    assert_eq!(
        (&key["key"], &key["post"], &key["get"]),
        (&running.desk.key.as_str().into(), &true.into(), &true.into())
    );
    running.ok::<Value>(Order::SetApi { post: false, get: true }).await;
    assert!(!running.desk.gateway.app.api_switches().post && running.desk.gateway.app.api_switches().get);
    let renewed = running.ok::<Value>(Order::RenewApiKey).await.remove(0);
    assert_ne!(renewed["key"], key["key"]);
    assert_eq!(renewed["key"], running.desk.gateway.app.api_key().expose());
    assert_eq!(control::ask(running.folder.path()).await.unwrap().full_passes, 3);
}

async fn orders_that_cannot_be(database: Database) {
    let running = Running::start(database).await;
    let socket = running.folder.path().join(control::SOCKET);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let long = [b"\"".to_vec(), b"x".repeat(2 << 20)].concat();
    for sent in [&b"\n"[..], b"{}\n", b"\"make_coffee\"\n", b"\"status\"", b"\xff\n", &long] {
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        // It may stop reading early.
        drop(stream.write_all(sent).await);
        drop(stream.shutdown().await);
        let mut answer = String::new();
        drop(stream.read_to_string(&mut answer).await);
        let good = sent.starts_with(b"\"status");
        assert!(answer.contains(if good { "\"done\"" } else { "cannot be read" }) || sent.len() > 1 << 20, "{answer}");
    }
    assert_eq!(control::ask(running.folder.path()).await.unwrap().state, "OK", "it goes on");
    let nobody = tempfile::tempdir().unwrap();
    assert!(matches!(control::ask(nobody.path()).await, Err(Error::Nobody(..))));
}

async fn backup_orders(database: Database) {
    use doorward::control::BackupNews;
    let running = Running::start(database).await;
    let file = |rows: Vec<BackupNews>| {
        let line = rows.into_iter().find_map(|news| if let BackupNews::File(line) = news { Some(line) } else { None });
        line.unwrap()
    };
    let made = file(running.ok(Order::MakeBackup { statistics: true }).await);
    assert_eq!(file(running.ok(Order::ListBackups).await).name, made.name);
    let folder = running.desk.gateway.app.settings().backup_folder.clone();
    let path = folder.join(&made.name);
    let verify = || Order::VerifyBackup { path: path.clone(), passphrase: None };
    let seen: Vec<BackupNews> = running.ok(verify()).await;
    assert!(matches!(&seen[..], [BackupNews::Archive(manifest)] if manifest.statistics), "{seen:?}");
    let before = file(running.ok(Order::RestoreBackup { path: path.clone(), passphrase: None }).await);
    assert_ne!(before.name, made.name);
    let settings = running.ok::<doorward::app::backups::BackupSettings>(Order::BackupSettings).await.remove(0);
    let wrong = doorward::app::backups::BackupSettings { number_backups: 0, ..settings.clone() };
    running.refused(Order::SetBackupSettings { settings: Box::new(wrong) }, "greater than 0").await;
    let set = doorward::app::backups::BackupSettings { number_backups: 4, ..settings };
    running.ok::<Value>(Order::SetBackupSettings { settings: Box::new(set) }).await;
    assert_eq!(running.desk.gateway.app.backup_settings().await.unwrap().number_backups, 4);
    running.ok::<Value>(Order::DeleteBackup { name: made.name.clone() }).await;
    running.refused(Order::DeleteBackup { name: made.name }, "There is no backup with this name").await;
    running.refused(verify(), "Failed to open archive").await;
}
