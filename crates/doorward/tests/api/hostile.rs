//! What guests, their devices, browsers and colleagues call themselves is text on every page and in every file.

use std::collections::HashMap;

use axum::http::{Method, StatusCode};
use doorward::{
    app::{
        hotspots::{DevicePolicy, HotspotSpec},
        operators::Role,
        vouchers::VoucherWish,
    },
    clock::now_ms,
    hosts::Lease,
    hotspot_settings::{Lang, Texts},
    http::panel,
};

use crate::{
    browser::{Browser, PASSWORD, form, operator},
    databases::Database,
    gateway::{Answer, Gateway},
    guests::{device, hotspot, mac, person, voucher},
    secrets::{person_of, real},
};

both_engines!(names_are_text_on_every_page_and_in_every_file);

/// Would run in a page, be a formula in a table, and end a header or a cell.
const EVIL: &str = "=HYPERLINK(1)\"'><script>alert(1)</script><img src=x onerror=alert(2)>";

/// A gateway where everything that has a name by others has a bad one.
async fn visited<'a>(gateway: &'a Gateway) -> Browser<'a> {
    let evil = || EVIL.to_owned();
    gateway.server_and_account().await;
    let lobby = hotspot(gateway).await;
    let texts = Texts { title: evil(), welcome: evil(), terms: evil(), marketing: evil() };
    let edit = move |spec: HotspotSpec| {
        let mut settings = spec.settings.as_ref().clone();
        settings.texts.insert(Lang::En, texts);
        Ok(HotspotSpec { settings: settings.into(), ..spec })
    };
    gateway.app.edit_hotspot("lobby", edit).await.unwrap();
    gateway.app.set_device_policy("lobby", mac(9), Some(DevicePolicy::Blocked), evil()).await.unwrap();
    voucher(gateway, VoucherWish { note: evil(), fullname: Some(evil()), ..VoucherWish::default() }).await;
    let (ann, bob) = (device(&lobby, 1), device(&lobby, 2));
    for device in [&ann, &bob] {
        gateway.app.hosts().seen(device.hotspot, device.mac, device.address, now_ms());
    }
    let lease = |mac| Lease { mac, host_name: evil(), expires_ms: now_ms() + 60_000 };
    let leases = HashMap::from([([10, 30, 0, 2].into(), lease(ann.mac)), ([10, 30, 0, 3].into(), lease(bob.mac))]);
    gateway.app.hosts().set_leases(leases, now_ms());
    gateway.app.log_in_with_voucher(&ann, "guest107", "tulip-4402").await.unwrap();
    gateway.app.log_in_with_voucher(&device(&lobby, 3), EVIL, EVIL).await.unwrap_err();
    let mut who = person(EVIL);
    (who.name, who.comments) = (Some(evil()), [evil(), evil(), evil()]);
    gateway.app.log_in_person(&bob, who).await.unwrap();

    operator(gateway, "root", Role::Admin).await;
    let call = gateway.call("POST", "").uri("/login").cookie(None).from("192.0.2.10");
    let call = call.header("sec-fetch-site", "same-origin").header("user-agent", EVIL);
    let signed = call.form(&form(&[("name", "root"), ("password", PASSWORD)])).send().await;
    assert_eq!(signed.status, StatusCode::SEE_OTHER);
    Browser::sign_in(gateway, "root", "192.0.2.10").await
}

async fn names_are_text_on_every_page_and_in_every_file(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = visited(&gateway).await;
    operator(&gateway, "eve", Role::Viewer).await;
    let person = person_of(&root).await;
    let mut with_evil = Vec::new();
    for route in panel::routes(gateway.app.clone()).iter().filter(|route| route.method == Method::GET) {
        // Events never end, and files are the same for all.
        if ["/events", "/assets/{file}"].contains(&route.path) {
            continue;
        }
        let path = match route.path {
            "/live" | "/live.csv" => format!("{}?show=hosts", route.path),
            "/vouchers/+print" | "/vouchers/print.pdf" => format!("{}?name=guest107", route.path),
            _ => real(route, &person),
        };
        // What is looked for is shown again.
        let joint = if path.contains('?') { '&' } else { '?' };
        for path in [path.clone(), format!("{path}{joint}q=%3Cscript%3Ealert(1)%3C/script%3E%0d%0aX-Evil:1&sort=%22")] {
            let answer = root.get(&path).await;
            assert!(!answer.headers.contains_key("x-evil"), "{path}");
            check(&path, &answer);
            if answer.text.contains("HYPERLINK") {
                with_evil.push(path);
            }
        }
    }
    for path in [
        "/vouchers",
        "/vouchers.csv",
        "/voucher/guest107",
        "/vouchers/+print?name=guest107",
        "/guests/email",
        "/guests/email/list.csv",
        "/logins",
        "/logins.csv",
        "/live?show=hosts",
        "/live.csv?show=hosts",
        "/profile",
        "/hotspots/lobby/devices",
        "/hotspots/lobby/devices.csv",
        "/hotspots/lobby/portal",
        "/hotspots/lobby/portal/preview",
    ] {
        assert!(with_evil.iter().any(|found| found == path), "{path} shows it: {with_evil:?}");
    }
    for (method, what) in [("login", "next"), ("setup", "token")] {
        let call = gateway.call("POST", "").uri(&format!("/{method}")).cookie(None).from("192.0.2.66");
        let answer =
            call.header("sec-fetch-site", "same-origin").form(&form(&[("name", EVIL), (what, EVIL)])).send().await;
        check(method, &answer);
    }
}

#[track_caller]
fn check(path: &str, answer: &Answer) {
    let kind = answer.headers.get("content-type").map(|kind| kind.to_str().unwrap()).unwrap_or_default();
    assert!(!answer.status.is_server_error(), "{path}: {answer:?}");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
    match kind.split(';').next().unwrap_or_default() {
        "text/html" => {
            assert!(
                !answer.text.contains("<script>alert") && !answer.text.contains("<img src=x"),
                "{path}: {}",
                answer.text
            );
            let policy = answer.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        }
        "text/csv" => {
            let widths: Vec<usize> = rows(&answer.text).iter().map(Vec::len).collect();
            assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{path}: {widths:?}");
            for cell in rows(&answer.text).iter().flatten() {
                assert!(!cell.starts_with(['=', '+', '@', '\t']), "{path}: {cell}");
            }
            assert!(answer.headers["content-disposition"].to_str().unwrap().starts_with("attachment"), "{path}");
        }
        // Never shown as a page.
        "application/json" | "application/octet-stream" | "application/pdf" | "text/plain" | "text/css" | "" => {}
        other => panic!("{path}: {other}"),
    }
}

/// Cells of a file (RFC 4180).
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(!quoted && row.is_empty(), "the file ends where a row ends");
    rows
}
