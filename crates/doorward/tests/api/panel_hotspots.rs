//! Hotspots in the panel: a network, its logins, its portal page, its walled garden and its devices.

use axum::http::StatusCode;
use doorward::{
    app::{
        hotspots::{DevicePolicy, HotspotSpec, Ipv6Choice},
        logins::Device,
        operators::Role,
        vouchers::VoucherWish,
    },
    hotspot_settings::{Field, Lang, MethodSettings},
};
use doorward_policy::guest::Method;

use crate::{
    browser::{Browser, Filled},
    databases::Database,
    gateway::{Answer, Gateway},
    guests::{device, hotspot, is_online, mac, spec, voucher},
};

both_engines!(
    a_hotspot_is_made_changed_and_deleted,
    a_bad_network_form_comes_back_whole,
    logins_are_set,
    a_bad_login_form_comes_back_whole,
    the_page_of_guests_is_edited_and_looked_at,
    two_who_edit_different_parts_both_have_their_way,
    a_garden_is_set,
    devices_pass_or_are_blocked,
    devices_that_are_seen_are_let_pass_or_blocked,
    hotspots_are_for_those_who_may,
);

/// A form that was refused: it says why, marks the field, and keeps what was typed.
#[track_caller]
fn refused(answer: &Answer, field: &str, value: &str, why: &str) {
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
    assert!(answer.text.contains(why), "{why}: {}", answer.text);
    let form = Filled::of(&answer.text);
    assert_eq!(form.value(field), Some(value), "{field}");
    assert!(form.is_marked(field), "{field} is marked: {}", answer.text);
}

async fn a_hotspot_is_made_changed_and_deleted(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Operator).await;
    assert!(root.get("/hotspots").await.text.contains("There is no hotspot yet"));
    let form = Filled::of(&root.get("/hotspots/+new").await.text);
    assert_eq!(form.value("name"), Some("guests"));
    let form = form.with("interface", "guest0");
    let page = root.send("/hotspots/+new", &form).await;
    assert!(page.text.contains("The hotspot guests was made. It is in effect"), "{}", page.text);
    let made = gateway.app.hotspot("guests").unwrap();
    assert!(made.hotspot.isolated && made.hotspot.nat_ipv6 && made.hotspot.address_ipv6.is_some());
    // What is proposed next keeps clear of it.
    let next = Filled::of(&root.get("/hotspots/+new").await.text);
    assert_eq!(next.value("name"), Some("guests-2"));
    assert_ne!(next.value("address"), form.value("address"));
    root.send("/hotspots/+new", &next.with("interface", "guest1")).await;
    let list = root.get("/hotspots?sort=interface&desc=1").await.text;
    assert!(list.contains("1–2 / 2") && list.find("guest1") < list.find("guest0"), "{list}");
    assert!(root.get("/hotspots?q=guests-2").await.text.contains("1–1 / 1"));
    assert_eq!(root.get("/hotspots.csv").await.text.lines().count(), 3);

    // A form that is sent as it is shown changes nothing.
    let before = HotspotSpec::of(&made);
    let form = Filled::of(&root.get("/hotspots/guests/network").await.text);
    root.send("/hotspots/guests/network", &form).await;
    assert_eq!(HotspotSpec::of(&gateway.app.hotspot("guests").unwrap()), before);
    let changed =
        form.with("address", "10.77.0.1/24").with("ipv6", "off").with("lan_access", "10.1.2.0/24, 10.1.3.0/24");
    let page = root.send("/hotspots/guests/network", &changed.without("isolated")).await.text;
    assert!(page.contains("guests was saved.") && page.contains("10.77.0.1/24") && page.contains("10.1.3.0/24"));
    let now = HotspotSpec::of(&gateway.app.hotspot("guests").unwrap());
    assert_eq!((now.address_ipv6, now.isolated, now.lan_access.len()), (Ipv6Choice::Off, false, 2));
    let audit = root.get("/audit").await.text;
    assert!(audit.contains("address=10.77.0.1/24"), "{audit}");

    // Nobody is put out who was not told of.
    let guests = gateway.app.hotspot("guests-2").unwrap();
    voucher(&gateway, VoucherWish::default()).await;
    let address = guests.hotspot.address.hosts().nth(1).unwrap();
    let ann = Device { address: address.into(), ..device(&guests, 1) };
    gateway.app.log_in_with_voucher(&ann, "guest107", "tulip-4402").await.unwrap();
    let page = root.get("/hotspots/guests-2").await.text;
    assert!(page.contains("1 device is online and loses its access"), "{page}");
    let page = root.done("/hotspots/guests-2/delete", &[]).await.text;
    assert!(page.contains("Devices have come online at the hotspot meanwhile"), "{page}");
    assert!(is_online(&gateway, &ann));
    let page = root.done("/hotspots/guests-2/delete", &[("end_sessions", "1")]).await.text;
    assert!(page.contains("The hotspot guests-2 was deleted."), "{page}");
    assert!(!root.get("/hotspots/guests").await.text.contains("end_sessions"));
    root.done("/hotspots/guests/delete", &[]).await;
    assert!(gateway.app.hotspots().borrow().is_empty());
    for path in ["/hotspots/guests", "/hotspots/guests/network", "/hotspots/guests/portal", "/hotspots/guests/devices"]
    {
        assert_eq!(root.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

async fn a_bad_network_form_comes_back_whole(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    hotspot(&gateway).await;
    let good = Filled::of(&root.get("/hotspots/+new").await.text).with("interface", "guest9");
    for (field, value, why) in [
        ("name", "a b", "A name"),
        ("name", "lobby", "A hotspot of that name exists"),
        ("interface", "guest0", "Another hotspot is on that interface"),
        ("interface", "lo", "Guests cannot be on this interface"),
        ("interface", "far too long a name", "Guests cannot be on this interface"),
        ("address", "10.30.0.1", "/16 to /29"),
        ("address", "10.30.9.1/24", "The subnet overlaps"),
        ("address", "<b>", "/16 to /29"),
        ("lan_access", "10.1.0.0/24 nonsense", "at most 32 networks"),
    ] {
        let answer = root.post_form("/hotspots/+new", &good.with(field, value)).await;
        refused(&answer, field, value, why);
    }
    let answer = root.post_form("/hotspots/+new", &good.with("ipv6", "given").with("address_ipv6", "fd00::/48")).await;
    refused(&answer, "address_ipv6", "fd00::/48", "a /64");
    assert_eq!(gateway.app.hotspots().borrow().len(), 1);
    let good = Filled::of(&root.get("/hotspots/lobby/network").await.text);
    let answer = root.post_form("/hotspots/lobby/network", &good.with("interface", "lo")).await;
    refused(&answer, "interface", "lo", "Guests cannot be on this interface");
}

async fn logins_are_set(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Operator).await;
    hotspot(&gateway).await;
    let settings = || gateway.app.hotspot("lobby").unwrap().settings;
    let before = settings();
    let form = Filled::of(&root.get("/hotspots/lobby/login").await.text);
    root.send("/hotspots/lobby/login", &form).await;
    assert_eq!(settings(), before, "a form that is sent as it is shown changes nothing");
    let form = form
        .with("email-offered", "1")
        .with("email-place", "1")
        .with("email-valid", "90")
        .with("email-valid-unit", "minutes")
        .with("email-code", "1")
        .with("email-question1", "Room <b>")
        .with("email-question1-required", "1")
        .with("free-password", "on-the-wall")
        .with("free-offered", "1")
        .with("free-data-total-mb", "500")
        .with("voucher-place", "2")
        .with("session", "2")
        .with("session-unit", "days")
        .without("silent");
    let page = root.send("/hotspots/lobby/login", &form).await.text;
    assert!(page.contains("lobby was saved.") && page.contains("1 h 30") && page.contains("↓↑ 500 MB"), "{page}");
    let now = settings();
    let of = |method| now.methods.iter().find(|own| own.method == method).cloned();
    let email = of(Method::Email).unwrap();
    assert_eq!(now.methods.first().map(|own| own.method), Some(Method::Email));
    assert_eq!((email.allowance.valid_s, email.code), (5400, true));
    assert_eq!(email.fields, [Field { label: "Room <b>".to_owned(), required: true }]);
    assert_eq!(of(Method::Free).unwrap().password, "on-the-wall");
    assert_eq!((of(Method::Facebook), of(Method::Mobile)), (None, None), "what nobody asked for is not stored");
    assert_eq!((now.session_timeout_s, now.silent_return), (2 * 86_400, false));
    // Shown to those who may change it, and nowhere else.
    let form = Filled::of(&root.get("/hotspots/lobby/login").await.text);
    assert_eq!((form.value("free-password"), form.value("email-question1")), (Some("on-the-wall"), Some("Room <b>")));
    for path in ["/hotspots/lobby", "/audit", "/audit.csv", "/hotspots"] {
        assert!(!root.get(path).await.text.contains("on-the-wall"), "{path}");
    }
    assert!(root.get("/audit").await.text.contains("email-valid=90"));
    root.send("/hotspots/lobby/login", &form).await;
    assert_eq!(settings(), now);
}

async fn a_bad_login_form_comes_back_whole(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    hotspot(&gateway).await;
    let before = gateway.app.hotspot("lobby").unwrap();
    let good = Filled::of(&root.get("/hotspots/lobby/login").await.text).with("email-question1", "Your room");
    for (field, value, why) in [
        ("email-devices", "0", "E-mail: Devices at once: this is not within its range"),
        ("free-valid", "99999999", "Free: Time online: this is not within its range"),
        ("mobile-speed-up", "-1", "Mobile: Upload speed"),
        ("email-data-down-mb", "much", "E-mail: Download"),
        ("email-grace", "3601", "E-mail: Online to fetch the mail"),
        ("lease", "1", "Address is lent for"),
        ("facebook-offered", "1", "Facebook: Provider: this is missing"),
    ] {
        let bad =
            good.with(field, value).with("email-offered", "1").with("mobile-offered", "1").with("free-offered", "1");
        let bad = if field == "lease" { bad.with("lease-unit", "seconds") } else { bad };
        let answer = root.post_form("/hotspots/lobby/login", &bad).await;
        refused(&answer, field, value, why);
        assert_eq!(Filled::of(&answer.text).value("email-question1"), Some("Your room"));
    }
    assert_eq!(gateway.app.hotspot("lobby").unwrap(), before);
}

async fn the_page_of_guests_is_edited_and_looked_at(database: Database) {
    const EVIL: &str = "</title><script>alert(1)</script>";
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Operator).await;
    hotspot(&gateway).await;
    let before = gateway.app.hotspot("lobby").unwrap();
    let form = Filled::of(&root.get("/hotspots/lobby/portal").await.text);
    root.send("/hotspots/lobby/portal", &form).await;
    assert_eq!(gateway.app.hotspot("lobby").unwrap(), before);
    let svg = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4=";
    let form = form
        .with("colour", "#00aa55")
        .with("title-en", EVIL)
        .with("terms-en", "Be kind.\r\n\r\nBe quiet.")
        .with("title-de", "Gasthof Ähre")
        .with("logo", svg);

    // A look at it stores nothing, sends nothing, and runs nothing.
    let look = root.post_form("/hotspots/lobby/portal/preview", &form.with("lang", "en")).await;
    assert_eq!(look.status, StatusCode::SEE_OTHER, "{look:?}");
    let look = root.get(look.headers["location"].to_str().unwrap()).await;
    assert!(look.text.contains("&lt;script&gt;") || look.text.contains("&#60;script&#62;"), "{}", look.text);
    assert!(!look.text.contains("<script") && look.text.contains("#00aa55") && look.text.contains(svg));
    let policy = look.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'none'") && policy.contains("default-src 'none'"), "{policy}");
    assert!(look.text.contains("href=\"?page=terms&#38;lang=en\"") || look.text.contains("?page=terms&amp;lang=en"));
    assert!(root.get("/hotspots/lobby/portal/preview?lang=de").await.text.contains("Gasthof Ähre"));
    let terms = root.get("/hotspots/lobby/portal/preview?page=terms&lang=pl").await.text;
    assert!(terms.contains("Be kind.") && terms.contains("lang=\"pl\""), "{terms}");
    assert_eq!(gateway.app.hotspot("lobby").unwrap(), before);
    // Nobody else sees this draft, and no other page has another policy.
    let other = Browser::new(&gateway, "ann", Role::Operator).await;
    assert!(!other.get("/hotspots/lobby/portal/preview?lang=de").await.text.contains("Gasthof"));
    let policy = root.get("/hotspots/lobby/portal").await.headers["content-security-policy"].clone();
    assert!(policy.to_str().unwrap().contains("script-src 'self'"));

    let page = root.send("/hotspots/lobby/portal", &form).await.text;
    assert!(page.contains("lobby was saved.") && page.contains(svg), "{page}");
    let settings = gateway.app.hotspot("lobby").unwrap().settings;
    assert_eq!(
        (settings.texts[&Lang::En].terms.as_str(), settings.colour.as_str()),
        ("Be kind.\n\nBe quiet.", "#00aa55")
    );
    assert_eq!(settings.texts.len(), 2);
    for (field, value, why) in [
        ("host_name", "a b", "Name of the portal: this is not a host name"),
        ("venue_url", "http://example.com", "More about the place: this is not an https address"),
        ("title-de", "\u{7}", "Deutsch: Title: this holds control characters"),
        ("logo", "data:text/html;base64,PGI+", "Logo: this is not an image"),
        ("logo", "x", "Logo: this is not an image"),
    ] {
        for to in ["/hotspots/lobby/portal", "/hotspots/lobby/portal/preview"] {
            let answer = root.post_form(to, &form.with(field, value)).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(answer.text.contains(why), "{why}: {}", answer.text);
            assert_eq!(Filled::of(&answer.text).value("colour"), Some("#00aa55"));
        }
    }
    let long = "x".repeat(81);
    refused(
        &root.post_form("/hotspots/lobby/portal", &form.with("title-fr", &long)).await,
        "title-fr",
        &long,
        "Français: Title",
    );
    // The logo stays until it is taken away.
    let form = Filled::of(&root.get("/hotspots/lobby/portal").await.text);
    root.send("/hotspots/lobby/portal", &form).await;
    assert_eq!(gateway.app.hotspot("lobby").unwrap().settings, settings);
    root.send("/hotspots/lobby/portal", &form.with("logo_remove", "1")).await;
    assert_eq!(gateway.app.hotspot("lobby").unwrap().settings.logo, None);
}

async fn two_who_edit_different_parts_both_have_their_way(database: Database) {
    let gateway = Gateway::start(database).await;
    let (ann, bob) =
        (Browser::new(&gateway, "ann", Role::Admin).await, Browser::new(&gateway, "bob", Role::Operator).await);
    hotspot(&gateway).await;
    let login = Filled::of(&ann.get("/hotspots/lobby/login").await.text).with("idle", "5").with("idle-unit", "minutes");
    let portal = Filled::of(&bob.get("/hotspots/lobby/portal").await.text).with("colour", "#123456");
    let network = Filled::of(&bob.get("/hotspots/lobby/network").await.text).with("address", "10.90.0.1/16");
    let (one, two, three) = tokio::join!(
        ann.post_form("/hotspots/lobby/login", &login),
        bob.post_form("/hotspots/lobby/portal", &portal),
        bob.post_form("/hotspots/lobby/network", &network),
    );
    assert!([one, two, three].iter().all(|answer| answer.status == StatusCode::SEE_OTHER));
    let now = gateway.app.hotspot("lobby").unwrap();
    assert_eq!((now.settings.idle_timeout_s, now.settings.colour.as_str()), (300, "#123456"));
    assert_eq!(now.hotspot.address.to_string(), "10.90.0.1/16");
}

async fn a_garden_is_set(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Operator).await;
    hotspot(&gateway).await;
    let page = root
        .done("/hotspots/lobby/garden", &[("garden", "example.com\r\n\r\n  *.example.org \r\nhttp pay.example.net")])
        .await;
    assert!(page.text.contains("lobby was saved."));
    let garden = gateway.app.hotspot("lobby").unwrap().settings.garden.clone();
    let names: Vec<_> = garden.iter().map(|entry| (entry.name.as_str(), entry.http)).collect();
    assert_eq!(names, [("example.com", false), ("*.example.org", false), ("pay.example.net", true)]);
    let form = Filled::of(&page.text);
    assert_eq!(form.value("garden"), Some("example.com\n*.example.org\nhttp pay.example.net"));
    let answer = root.post("/hotspots/lobby/garden", &[("garden", "example.com\n*.com")]).await;
    refused(&answer, "garden", "example.com\n*.com", "Names: this is not a name such as");
    assert_eq!(gateway.app.hotspot("lobby").unwrap().settings.garden, garden);
}

async fn devices_pass_or_are_blocked(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Operator).await;
    hotspot(&gateway).await;
    assert!(root.get("/hotspots/lobby/devices").await.text.contains("No device passes without a login"));
    let printer = [("mac", "02-00-00-00-00-07"), ("policy", "allowed"), ("note", "=Printer <i>")];
    let page = root.done("/hotspots/lobby/devices", &printer).await.text;
    assert!(page.contains("02:00:00:00:00:07 was saved. It is in effect") && page.contains("1–1 / 1"), "{page}");
    assert!(!page.contains("<i>"), "{page}");
    root.done("/hotspots/lobby/devices", &[("mac", &mac(8).to_string()), ("policy", "blocked"), ("note", "")]).await;
    let hotspot = gateway.app.hotspot("lobby").unwrap().hotspot;
    assert_eq!((hotspot.allowed, hotspot.blocked), (vec![mac(7)], vec![mac(8)]));
    let csv = root.get("/hotspots/lobby/devices.csv?sort=mac&desc=1").await.text;
    assert!(csv.lines().nth(1).unwrap().starts_with("\"02:00:00:00:00:08\",\"blocked\""), "{csv}");
    assert!(csv.contains("\"'=Printer <i>\""), "{csv}");
    assert!(root.get("/hotspots/lobby/devices?q=printer").await.text.contains("1–1 / 1"));
    assert!(root.get("/hotspots/lobby/devices?q=nothing").await.text.contains("Nothing was found"));
    for bad in ["", "x", "01:00:5e:00:00:01", "02:00:00:00:00:07:08"] {
        let answer =
            root.post("/hotspots/lobby/devices", &[("mac", bad), ("policy", "allowed"), ("note", "why")]).await;
        refused(&answer, "mac", bad, "This is no MAC address");
        assert_eq!(Filled::of(&answer.text).value("note"), Some("why"));
    }
    let long = "x".repeat(201);
    let form = [("mac", "02:00:00:00:00:09"), ("note", long.as_str())];
    assert!(root.post("/hotspots/lobby/devices", &form).await.status.is_client_error(), "nobody passes by mistake");
    let answer = root.post("/hotspots/lobby/devices", &[form[0], form[1], ("policy", "blocked")]).await;
    assert!(answer.status == StatusCode::UNPROCESSABLE_ENTITY && answer.text.contains("at most 200 characters"));
    assert!(root.done("/hotspots/lobby/devices/remove", &[]).await.text.contains("Choose devices first"));
    let chosen = [("mac", mac(7).to_string()), ("mac", mac(8).to_string())];
    let chosen: Vec<_> = chosen.iter().map(|(name, mac)| (*name, mac.as_str())).collect();
    assert!(root.done("/hotspots/lobby/devices/remove", &chosen).await.text.contains("Removed: 2."));
    let page = root.done("/hotspots/lobby/devices/remove", &chosen).await.text;
    assert!(page.contains("not on the list any more"), "{page}");
    assert_eq!(root.post("/hotspots/lobby/devices/remove", &[("mac", "x")]).await.status, StatusCode::BAD_REQUEST);
}

async fn devices_that_are_seen_are_let_pass_or_blocked(database: Database) {
    let gateway = Gateway::start(database).await;
    let (root, viewer) =
        (Browser::new(&gateway, "root", Role::Operator).await, Browser::new(&gateway, "eve", Role::Viewer).await);
    let lobby = hotspot(&gateway).await;
    for n in [1, 2] {
        let device = device(&lobby, n);
        gateway.app.hosts().seen(device.hotspot, device.mac, device.address, doorward::clock::now_ms());
    }
    let one = mac(1).to_string();
    let page = root.done("/live/device", &[("mac", &one), ("policy", "allowed")]).await.text;
    assert!(page.contains("Pass without login: 1."), "{page}");
    let page =
        root.done("/live/device", &[("mac", &one), ("mac", &mac(9).to_string()), ("policy", "blocked")]).await.text;
    assert!(page.contains("Blocked: 1."), "{page}");
    let devices = gateway.app.hotspot_devices("lobby").await.unwrap();
    assert_eq!(devices.iter().map(|d| (d.mac, d.policy)).collect::<Vec<_>>(), [(mac(1), DevicePolicy::Blocked)]);
    assert!(root.done("/live/device", &[("policy", "blocked")]).await.text.contains("Choose guests first"));
    assert_eq!(root.post("/live/device", &[("mac", &one), ("policy", "x")]).await.status, StatusCode::BAD_REQUEST);
    let refused = viewer.post("/live/device", &[("mac", &one), ("policy", "allowed")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

async fn hotspots_are_for_those_who_may(database: Database) {
    let gateway = Gateway::start(database).await;
    let viewer = Browser::new(&gateway, "eve", Role::Viewer).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    let mut free = MethodSettings::new(Method::Free);
    free.password = "on-the-wall".to_owned();
    let mut settings = spec().settings.as_ref().clone();
    settings.methods.push(free);
    let wanted = HotspotSpec { settings: settings.into(), ..spec() };
    gateway.app.create_hotspot("lobby".parse().unwrap(), wanted).await.unwrap();
    let open =
        ["/hotspots", "/hotspots.csv", "/hotspots/lobby", "/hotspots/lobby/devices", "/hotspots/lobby/devices.csv"];
    for path in open {
        let seen = viewer.get(path).await;
        assert_eq!(seen.status, StatusCode::OK, "{path}");
        assert!(
            !seen.text.contains("on-the-wall") && !seen.text.contains("method=\"post\" action=\"/hotspots"),
            "{path}"
        );
        assert_eq!(desk.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let forms = ["+new", "lobby/network", "lobby/login", "lobby/portal", "lobby/portal/preview", "lobby/garden"];
    for path in forms.map(|path| format!("/hotspots/{path}")) {
        for browser in [&viewer, &desk] {
            assert_eq!(browser.get(&path).await.status, StatusCode::FORBIDDEN, "{path}");
            assert_eq!(browser.post(&path, &[]).await.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
}
