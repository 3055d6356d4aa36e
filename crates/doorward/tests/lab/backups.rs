//! Back up under load, wipe, restore on an empty machine: clients go on with their old configurations, and vouchers and
//! quotas are as they were.

use std::{fs, io::Write as _, process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::{
    flow::{Direction, Pace, TcpFlow},
    gateway::Gateway,
    host::eventually,
    hotspot::{HotspotLab, PORTAL},
    lab::{GRANT_WITHIN, RECONNECT_WITHIN, server_address, text},
    world::{SERVER, World},
};

const PASSPHRASE: &str = "tulips in the rain";
/// Counters of guests are read now and then.
const COUNTED_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_backup_brings_an_empty_machine_back() {
    let mut lab = HotspotLab::new();
    let mut api = lab.gateway.api();
    let server = api.post("wireguard", "");
    let account =
        api.post("account", &format!("wg_name={}&quota_bytes=5000000000&quota_period=month", text(&server["name"])));
    let account = text(&account["name"]).to_owned();
    let mut client = lab.world.client();
    client.up(text(&api.get(&format!("account/{account}/config_text"))));
    client.reaches(SERVER, RECONNECT_WITHIN);
    let (guest, voucher) = lab.online(1, &json!({ "valid_for": "2 days", "download_limit": 4096 }));
    let other = lab.voucher(&json!({ "valid_for": "5 days" }));

    let flow = |host, address| {
        TcpFlow::start(host, address, &lab.world.internet, server_address(), Direction::Down, Pace::Steady)
    };
    let flows = [flow(&client.host, client.address()), flow(&guest.host, guest.address())];
    eventually("the load is counted", COUNTED_WITHIN, || used(&lab, &voucher.username) > 0);
    set(&lab.gateway, |settings| settings["passphrase"] = json!(PASSPHRASE));
    let before = used(&lab, &voucher.username);
    let name = lab.gateway.doorward("backup make");
    let after = used(&lab, &voucher.username);
    drop(flows);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (archive, passphrase) = (dir.path().join("archive.zip"), dir.path().join("passphrase"));
    fs::copy(lab.gateway.state_dir().join("backups").join(name.trim()), &archive)
        .expect("the archive is in the folder");
    fs::write(&passphrase, format!("{PASSPHRASE}\n")).expect("a file in a temporary folder");
    let with = format!("{} --passphrase-file {}", archive.display(), passphrase.display());
    // What came later is not in it.
    api.post("account", &format!("wg_name={}&name=later", text(&server["name"])));

    let key = fs::read(lab.gateway.state_dir().join("master.key")).expect("a master key");
    lab.gateway.wipe();
    assert!(!client.ping(SERVER));
    let said = lab.gateway.doorward(&format!("backup verify {with}"));
    assert!(said.contains("with the passphrase"), "{said}");
    assert!(!lab.gateway.state_dir().exists(), "a look leaves nothing behind");
    lab.gateway.doorward(&format!("backup restore {with}"));
    assert_ne!(fs::read(lab.gateway.state_dir().join("master.key")).expect("a master key"), key);
    lab.gateway.run_anew();

    // The old configuration, with nothing done at the client.
    client.reaches(SERVER, RECONNECT_WITHIN);
    let mut api = lab.gateway.api();
    api.get(&format!("account/{account}"));
    assert_eq!(api.try_call("GET", "account/later", "").expect("an answer").status, 404);
    lab.opened();
    let now = used(&lab, &voucher.username);
    assert!((before..=after).contains(&now), "{before} <= {now} <= {after}");
    guest.join();
    assert!(guest.is_captive(), "who was online is not any more");
    // The portal knows the device by its slot of the voucher, and asks nothing.
    guest.get(&format!("{PORTAL}/"));
    guest.is_online(GRANT_WITHIN);
    // The voucher was for one device, and still is.
    let second = lab.guest(2);
    second.redeem(&voucher);
    assert!(second.is_captive());
    second.redeem(&other);
    second.is_online(GRANT_WITHIN);

    // And on the running gateway: a damaged archive changes nothing, a good one all.
    api.post("account", &format!("wg_name={}&name=again", text(&server["name"])));
    let mut bytes = fs::read(&archive).expect("the archive");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = dir.path().join("bad.zip");
    fs::write(&bad, bytes).expect("a file in a temporary folder");
    let refused = lab.gateway.host.try_run(&format!(
        "{} --config {} backup restore {} --passphrase-file {}",
        env!("CARGO_BIN_EXE_doorward"),
        lab.gateway.config().display(),
        bad.display(),
        passphrase.display()
    ));
    assert!(!refused.status.success());
    api.get("account/again");
    assert!(client.ping(SERVER) && second.reaches(crate::hotspot::PAGE));
    lab.gateway.doorward(&format!("backup restore {with}"));
    assert_eq!(api.try_call("GET", "account/again", "").expect("an answer").status, 404);
    client.reaches(SERVER, RECONNECT_WITHIN);
    assert!(second.is_captive(), "its slot came after the backup");
    second.redeem(&other);
    second.is_online(GRANT_WITHIN);
}

/// Bytes that guests loaded by a voucher.
fn used(lab: &HotspotLab, username: &str) -> u64 {
    let all = lab.gateway.doorward("voucher list --json");
    let users = all.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let user = users.into_iter().find(|user| user["username"] == username).expect("the voucher");
    user["bytes_down"].as_u64().expect("bytes")
}

#[test]
fn a_backup_is_made_by_the_clock() {
    let world = World::new();
    let gateway = Gateway::start(&world.gateway, "");
    assert_eq!(gateway.doorward("backup list").lines().count(), 1, "no more than the head");
    let soon = jiff::Zoned::now().checked_add(jiff::SignedDuration::from_secs(20)).expect("a time");
    let minute = soon.checked_add(jiff::SignedDuration::from_mins(1)).expect("a time").minute();
    set(&gateway, |settings| {
        settings["every_hour"] = json!(true);
        settings["every_hour_minute"] = json!(minute);
    });
    let made = || gateway.doorward("backup list --json");
    eventually("a backup is made", Duration::from_secs(120), || made().contains(".zip"));
    assert_eq!(made().lines().count(), 1);
}

fn set(gateway: &Gateway, change: impl FnOnce(&mut Value)) {
    let mut settings: Value = serde_json::from_str(&gateway.doorward("backup settings")).expect("JSON");
    change(&mut settings);
    let mut command = gateway.host.command(env!("CARGO_BIN_EXE_doorward"));
    command.arg("--config").arg(gateway.config()).args(["backup", "settings", "--set"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("nsenter starts");
    child.stdin.take().expect("stdin is piped").write_all(settings.to_string().as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
}
