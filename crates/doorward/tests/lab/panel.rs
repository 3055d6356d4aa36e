//! The panel as people use it: Debian's Chromium on the LAN against the real binary, with real clients and guests.

use std::{collections::BTreeSet, fs, net::IpAddr, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::{
    client::Client,
    guest::{Form, Guest},
    host::{Host, eventually},
    hotspot::{HotspotLab, PAGE, PORTAL},
    lab::{CUT_WITHIN, GRANT_WITHIN, RECONNECT_WITHIN, SLACK, text},
    otl::{fetch, shown},
    world::{GATEWAY, GATEWAY_LAN, LAN_HOST, SERVER},
};

/// A browser on a host, which keeps its cookies.
struct Browser {
    host: Host,
    folder: tempfile::TempDir,
}

impl Browser {
    fn new(host: &Host) -> Self {
        Self { host: host.clone(), folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// One step of `web/test/browser.mjs`, done to its end.
    fn step(&self, name: &str, given: &Value) -> Value {
        let mut command: Command = self.host.command("node");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/test/browser.mjs"))
            .arg(format!("https://{GATEWAY_LAN}:8443"))
            .arg(self.folder.path());
        let output = command.arg(name).arg(given.to_string()).output().expect("nsenter starts");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}: {out}{err}");
        serde_json::from_str(out.lines().last().unwrap_or_default())
            .unwrap_or_else(|e| panic!("{name}: {e}: {out}{err}"))
    }
}

/// A guest types a code into the portal's form.
fn log_in(guest: &Guest, code: &str) {
    let page = guest.get(&format!("{PORTAL}/"));
    guest.submit(&Form::with_field(&page.body, "u").set("u", code));
}

/// Status code of a request to the VPN API with a hash.
fn status(host: &Host, address: &str, hash: &str) -> String {
    let url = format!("https://{address}:8443/api/v1/system/status");
    host.run(&format!("curl -sk -o /dev/null -w %{{http_code}} --max-time 10 -b access_hash={hash} {url}"))
}

#[test]
fn from_the_first_start_to_a_guest_thrown_out() {
    let mut lab = HotspotLab::new();
    let browser = Browser::new(&lab.world.lan);
    let log = lab.gateway.log();
    let token = log.split("token=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a setup token in the log");
    browser.step("setup", &json!({ "token": token }));
    assert_eq!(lab.gateway.doorward("operator list").lines().count(), 2, "one operator, and the head");

    // A server and an account; the configuration that is shown connects a client.
    let made = browser.step("account", &json!({ "external": GATEWAY }));
    let account = text(&made["name"]);
    let mut client = lab.world.client();
    client.up(text(&made["config"]));
    client.reaches(SERVER, RECONNECT_WITHIN);

    // A link works once.
    let link = browser.step("link", &json!({ "name": account }));
    let address = text(&link["address"]).replace(&format!("https://{GATEWAY_LAN}:"), &format!("https://{GATEWAY}:"));
    let mut linked: Client = lab.world.client();
    let (first, page) = fetch(&linked, &format!("--data-raw x=1 {address}"));
    assert_eq!(first, 200, "{page}");
    linked.up(&shown(&page));
    linked.reaches(SERVER, RECONNECT_WITHIN);
    assert_eq!(fetch(&lab.world.client(), &format!("--data-raw x=1 {address}")).0, 404);

    // A thousand vouchers, one of them for a guest.
    let sheet = browser.step("vouchers", &json!({ "count": 1000 }));
    assert_eq!(sheet["cards"], 1000);
    let code = text(&sheet["code"]);
    // Printed by the browser, and drawn by the gateway.
    for file in ["sheet.pdf", "drawn.pdf"] {
        let read = Command::new("pdftotext").args([&browser.folder.path().join(file), &PathBuf::from("-")]).output();
        let read = String::from_utf8(read.expect("pdftotext starts").stdout).expect("UTF-8");
        assert!(read.contains(code), "{file} holds {code}");
    }
    let guest: Guest = lab.world.guest(1);
    guest.join();
    log_in(&guest, code);
    eventually("the guest is online", GRANT_WITHIN + SLACK, || guest.reaches(PAGE));

    // Thrown out, nothing passes any more.
    let kicked = browser.step("kick", &json!({ "login": code }));
    assert!(text(&kicked["text"]).contains("It is in effect"), "{kicked}");
    eventually("the guest is out", CUT_WITHIN + SLACK, || !guest.reaches(PAGE));

    // A hash works from its address and from no other.
    let hash = browser.step("hash", &json!({ "name": "billing", "ip": LAN_HOST }));
    assert_eq!((&hash["once"], &hash["listed"]), (&json!(true), &json!(true)));
    let hash = text(&hash["hash"]);
    assert_eq!(status(&lab.world.lan, GATEWAY_LAN, hash), "200");
    let stranger = lab.world.client();
    assert_eq!(status(&stranger.host, GATEWAY, hash), "401");
    assert!(!lab.gateway.log().contains(hash) && !lab.gateway.log().contains(code), "no secret in the log");

    roles(&browser);
}

/// A rule that cuts everybody off is gone again after 45 s, because nobody could confirm it.
#[test]
fn a_firewall_change_that_nobody_confirms_is_taken_back() {
    let mut lab = HotspotLab::new();
    let browser = Browser::new(&lab.world.lan);
    let log = lab.gateway.log();
    let token = log.split("token=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a setup token in the log");
    browser.step("setup", &json!({ "token": token }));
    let made = browser.step("account", &json!({ "external": GATEWAY }));
    let mut client = lab.world.client();
    client.up(text(&made["config"]));
    client.reaches(SERVER, RECONNECT_WITHIN);

    let applied = browser.step("firewall", &json!({ "name": "nothing_passes" }));
    assert!(text(&applied["text"]).contains("Can you still reach everything?"), "{applied}");
    let cut = std::time::Instant::now();
    assert!(!client.ping(SERVER), "the rule is in effect");
    // The browser took its time after the change; the change itself lasts 45 s.
    eventually("what was before is back", TAKEN_BACK_WITHIN, || client.ping(SERVER));
    assert!(cut.elapsed() > TAKEN_BACK_WITHIN - TAKEN_BACK_SLACK * 2, "it was in effect for long enough");
    assert!(lab.gateway.log().contains("nobody confirmed the firewall's change"));
}

/// 45 s, and the pings' own waits.
const TAKEN_BACK_WITHIN: std::time::Duration = std::time::Duration::from_secs(45 + 10);
const TAKEN_BACK_SLACK: std::time::Duration = std::time::Duration::from_secs(10);

/// Each role sees its part of the menu, and gets no other by address either.
fn roles(browser: &Browser) {
    const PATHS: [&str; 15] = [
        "/",
        "/servers",
        "/accounts",
        "/hotspots",
        "/vouchers",
        "/vouchers/+new",
        "/guests/email",
        "/logins",
        "/live",
        "/links",
        "/operators",
        "/audit",
        "/api-hashes",
        "/api-access",
        "/accounts/+new",
    ];
    for (role, refused) in [
        ("operator", &["/operators"][..]),
        ("viewer", &["/operators", "/vouchers/+new", "/accounts/+new"]),
        (
            "voucher_manager",
            &[
                "/servers",
                "/accounts",
                "/hotspots",
                "/guests/email",
                "/logins",
                "/live",
                "/links",
                "/operators",
                "/audit",
                "/api-hashes",
                "/api-access",
                "/accounts/+new",
            ],
        ),
    ] {
        let seen = browser.step("role", &json!({ "name": role, "role": role, "paths": PATHS }));
        for path in PATHS {
            let expected = if refused.contains(&path) { 403 } else { 200 };
            assert_eq!(seen["answers"][path], expected, "{role} {path}");
        }
        let menu: BTreeSet<&str> = seen["menu"].as_array().expect("a menu").iter().map(text).collect();
        for path in refused.iter().filter(|path| !path.contains('+')) {
            let entry = if *path == "/guests/email" { "/guests" } else { path };
            assert!(!menu.contains(entry), "{role}: {entry} in {menu:?}");
        }
    }
}

#[test]
fn a_passkey_signs_in_alone() {
    let lab = HotspotLab::new();
    let browser = Browser::new(&lab.world.lan);
    let log = lab.gateway.log();
    let token = log.split("token=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a setup token in the log");
    browser.step("setup", &json!({ "token": token }));
    let seen = browser.step("passkey", &json!({}));
    assert_eq!(seen["resident"], json!([true]), "{seen}");
    assert!(text(&seen["made"]).contains("The passkey was made."), "{seen}");
    assert!(text(&seen["listed"]).contains("my <b>laptop</b>"), "{seen}");
    assert!(text(&seen["stranger"]).contains("no passkey"), "{seen}");
    assert!(text(&seen["deleted"]).contains("This passkey was not accepted"), "{seen}");
    let log = lab.gateway.log();
    assert!(log.contains("signed in by passkey") && log.contains("a sign-in by passkey was refused"), "{log}");
}

#[test]
fn every_page_can_be_read_by_everybody() {
    let lab = HotspotLab::new();
    let browser = Browser::new(&lab.world.lan);
    let log = lab.gateway.log();
    let token = log.split("token=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a setup token in the log");
    browser.step("setup", &json!({ "token": token }));
    let made = browser.step("account", &json!({ "external": GATEWAY }));
    let (account, server) = (text(&made["name"]).to_owned(), text(&made["server"]).to_owned());
    let sheet = browser.step("vouchers", &json!({ "count": 12 }));
    let code = text(&sheet["code"]).to_owned();
    let guest = lab.world.guest(1);
    let address: IpAddr = guest.join();
    log_in(&guest, &code);
    assert!(address.is_ipv4());
    browser.step("hash", &json!({ "name": "billing", "ip": LAN_HOST }));
    browser.step("role", &json!({ "name": "desk", "role": "voucher_manager", "paths": ["/"] }));

    lab.gateway.doorward("dns add-record nas.office A 192.168.77.20");
    lab.gateway.doorward(&format!("dns add-list Ads http://{SERVER}/ads.txt"));
    lab.gateway.doorward("dns block *.bad.example");
    lab.gateway.doorward("dns allow fine.bad.example");
    lab.gateway.doorward("firewall add no_smtp forward drop --protocol tcp --to-port 25");

    let mut paths = serde_json::Map::new();
    for path in [
        "/",
        "/servers",
        "/servers/+new",
        "/accounts",
        "/accounts/+new",
        "/online",
        "/vouchers",
        "/vouchers/+new",
        "/vouchers/+unused",
        "/hotspots",
        "/hotspots/+new",
        "/guests/voucher",
        "/logins",
        "/live",
        "/live?show=hosts",
        "/links",
        "/links/look",
        "/firewall",
        "/dns",
        "/dns?name=nas.office",
        "/dns/records",
        "/dns/lists",
        "/dns/names",
        "/operators",
        "/operators/+new",
        "/operators/desk",
        "/audit",
        "/api-hashes",
        "/api-access",
        "/api-hashes/reference",
        "/api-access/reference",
        "/settings",
        "/settings/guests",
        "/settings/mail",
        "/settings/sms",
        "/settings/social",
        "/settings/backups",
        "/settings/status",
        "/profile",
        "/profile/totp",
    ] {
        paths.insert(name_of(path), json!(path));
    }
    for (name, path) in [
        ("server", format!("/servers/{server}")),
        ("server-edit", format!("/servers/{server}/edit")),
        ("server-live", format!("/servers/{server}/live")),
        ("server-forwards", format!("/servers/{server}/forwards")),
        ("account", format!("/accounts/{account}")),
        ("account-edit", format!("/accounts/{account}/edit")),
        ("account-config", format!("/accounts/{account}/config")),
        ("hotspot", "/hotspots/lobby".to_owned()),
        ("hotspot-network", "/hotspots/lobby/network".to_owned()),
        ("hotspot-login", "/hotspots/lobby/login".to_owned()),
        ("hotspot-portal", "/hotspots/lobby/portal".to_owned()),
        ("hotspot-portal-preview", "/hotspots/lobby/portal/preview?lang=en".to_owned()),
        ("hotspot-garden", "/hotspots/lobby/garden".to_owned()),
        ("hotspot-devices", "/hotspots/lobby/devices".to_owned()),
        ("settings-provider", "/settings/social/lobby".to_owned()),
        ("voucher", format!("/voucher/{code}")),
        ("voucher-print", format!("/vouchers/+print?name={code}")),
    ] {
        paths.insert(name.to_owned(), json!(path));
    }
    // Beside the build unless somebody wants them in the documentation (`make screens`).
    let wanted = std::env::var("PANEL_SCREENS");
    let whole = wanted.is_ok();
    let pictures = wanted.map_or_else(|_| browser.folder.path().join("pictures"), PathBuf::from);
    fs::create_dir_all(&pictures).expect("a folder for pictures");
    let seen = browser.step("look", &json!({ "paths": paths, "pictures": pictures, "whole": whole }));
    assert_eq!(seen, json!({ "findings": [], "wide": [] }));
    let taken =
        fs::read_dir(&pictures).expect("pictures").filter_map(Result::ok).filter(|entry| entry.path().is_file());
    assert_eq!(taken.count(), paths.len() * 2);
}

fn name_of(path: &str) -> String {
    let name: String = path.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-').replace("--", "-");
    if name.is_empty() { "dashboard".to_owned() } else { name }
}
