//! Each way to log in, to the first passing packet: with a real mail server, a real HTTP gateway for SMS and a real
//! OpenID Connect provider.

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use doorward::hotspot_settings::GardenEntry;
use serde_json::{Value, json};

use crate::{
    guest::{Answer, Form, Guest, attribute},
    host::{Host, eventually},
    hotspot::{HotspotLab, PORTAL},
    lab::{GRANT_WITHIN, text},
    oidc, sms, smtp,
    world::{LAN_HOST, SERVER, World},
};

/// A name, so that the walled garden can hold it; it leads to an address of its own on the internet.
const PROVIDER: &str = "id.example";
const PROVIDER_ADDRESS: &str = "192.0.2.82";
/// Programs in Python and JavaScript start slowly on a loaded machine.
const STARTS_WITHIN: Duration = Duration::from_secs(15);
/// A message leaves at once; the server files it.
const SENT_WITHIN: Duration = Duration::from_secs(5);

struct Outside {
    folder: tempfile::TempDir,
}

impl Outside {
    /// Mail server and provider on the internet, SMS gateway on the LAN; the gateway machine resolves names there and
    /// trusts the provider's certificate.
    fn open(world: &World) -> Self {
        let outside = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let made = rcgen::generate_simple_self_signed([PROVIDER.to_owned()]).expect("a certificate");
        fs::write(outside.path("id.pem"), made.cert.pem()).expect("a file");
        fs::write(outside.path("id.key"), made.signing_key.serialize_pem()).expect("a file");
        world.internet.run(&format!("ip addr add {PROVIDER_ADDRESS}/32 dev lo"));
        // Nothing listens there: whoever tries IPv6 first is refused, and goes on with IPv4.
        world.internet.run("ip addr add 2001:db8:80::82/128 dev lo");
        let at = |address: &str, port: u16| SocketAddr::new(address.parse().expect("an address"), port);

        outside.start(&world.internet, at(SERVER, 25), &smtp::command(at(SERVER, 25), &outside.path("mail")), &[]);
        let orders = outside.path("orders");
        outside.start(&world.lan, at(LAN_HOST, 8081), &sms::command(at(LAN_HOST, 8081), &orders, 200), &[]);
        let mut words = oidc::command(at(PROVIDER_ADDRESS, 443), &[&format!("{PORTAL}/login/facebook/back")]);
        let issuer = words.iter_mut().find(|word| word.starts_with("http://")).expect("an issuer");
        *issuer = format!("https://{PROVIDER}");
        let tls = [("TLS_CERTIFICATE", outside.path("id.pem")), ("TLS_KEY", outside.path("id.key"))];
        outside.start(&world.internet, at(PROVIDER_ADDRESS, 443), &words, &tls);

        fs::write(world.gateway.path("/run/resolv.conf"), format!("nameserver {SERVER}\n")).expect("a file");
        world.gateway.run("mount --bind /run/resolv.conf /etc/resolv.conf");
        outside
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, host: &Host, at: SocketAddr, words: &[String], environment: &[(&str, std::path::PathBuf)]) {
        let (program, arguments) = words.split_first().expect("a program");
        let mut command: Command = host.command(program);
        command.args(arguments).envs(environment.iter().map(|(name, path)| (*name, path.as_path())));
        let log = fs::File::create(self.path(&format!("{}.log", at.port()))).expect("a log file");
        host.spawn(command, log);
        let listens = || host.run("ss -Hlnt").contains(&format!("{at} "));
        eventually(&format!("{program} listens at {at}"), STARTS_WITHIN, listens);
    }
}

fn lab() -> (HotspotLab, Outside) {
    let mut outside = None;
    let mut provider = oidc::provider(SocketAddr::new(PROVIDER_ADDRESS.parse().expect("an address"), 443));
    provider.issuer = format!("https://{PROVIDER}");
    provider.garden = vec![GardenEntry { name: PROVIDER.to_owned(), http: false }];
    let settings = json!({
        "texts": { "en": { "terms": "Be nice.", "marketing": "May we write to you?" } },
        "terms_version": "2026-07",
        "methods": [
            { "method": "voucher" },
            { "method": "email", "code": true, "grace_s": 120,
              "fields": [{ "label": "Name", "required": true }] },
            { "method": "mobile" },
            { "method": "facebook", "provider": provider },
            { "method": "free", "password": "on the wall",
              "fields": [{ "label": "Room" }, { "label": "Town" }, { "label": "Why" }],
              "allowance": { "valid_s": 3600, "speed_down": 20 } },
        ],
    });
    let lab = HotspotLab::prepared("", &settings, |world| {
        let opened = Outside::open(world);
        let trust = vec![("SSL_CERT_FILE".to_owned(), opened.path("id.pem").display().to_string())];
        outside = Some(opened);
        trust
    });
    lab.put(
        "guest settings",
        &json!({
            "mail": { "host": SERVER, "port": 25, "tls": "none", "from": "Hotel <wifi@example.com>" },
            "sms": { "method": "POST", "url": format!("http://{LAN_HOST}:8081/send"),
                     "body": "{\"to\": \"{number}\", \"text\": \"{text}\"}", "country_code": "49" },
        }),
    );
    (lab, outside.expect("opened"))
}

/// The portal's form of a method, with the terms accepted.
fn form(guest: &Guest, field: &str) -> Form {
    let page = guest.get(&format!("{PORTAL}/"));
    assert!(!page.body.contains(" checked"), "nothing is ticked before the guest does: {}", page.body);
    Form::with_field(&page.body, field).set("terms", "1")
}

fn users(lab: &HotspotLab, action: &str) -> Vec<Value> {
    lab.api(action, &json!({}))["users"].as_array().expect("a list").clone()
}

#[test]
fn free_with_a_password_and_own_fields() {
    let (lab, _outside) = lab();
    let guest = lab.guest(1);
    let answers = |form: Form| form.set("field0", "12").set("field1", "Paris").set("field2", "Ju\u{e9}");
    let refused = guest.submit(&answers(form(&guest, "password")).set("password", "wrong"));
    assert!(matches!(refused.status, 400..=499), "{refused:?}");
    assert!(guest.is_captive());
    let page = guest.get(&format!("{PORTAL}/"));
    let without_terms = Form::with_field(&page.body, "password").set("password", "on the wall");
    assert!(matches!(guest.submit(&without_terms).status, 400..=499));
    assert!(guest.is_captive(), "without terms");
    guest.submit(&answers(form(&guest, "password")).set("password", "on the wall"));
    guest.is_online(GRANT_WITHIN);
    let [user] = users(&lab, "get_free_users").try_into().expect("one guest");
    assert_eq!(
        (&user["MAC"], &user["comments"], &user["comments1"], &user["comments2"], &user["visits"]),
        (&json!(guest.mac), &json!("12"), &json!("Paris"), &json!("Ju\u{e9}"), &json!(1))
    );
}

#[test]
fn email_with_a_code_and_grace_to_fetch_the_mail() {
    let (lab, outside) = lab();
    let guest = lab.guest(1);
    let form = form(&guest, "email").set("email", "Guest@Example.net").set("field0", "Alex").set("marketing", "1");
    let page = guest.submit(&form);
    assert!(page.body.contains("name=\"code\""), "{page:?}");
    guest.is_online(GRANT_WITHIN);
    assert!(users(&lab, "get_email_users").is_empty(), "grace is no login");
    let mails = || smtp::mails(&outside.path("mail"));
    eventually("a mail arrives", SENT_WITHIN, || !mails().is_empty());
    let mail = mails().remove(0);
    let head = mail.to_lowercase();
    assert!(head.contains("wifi@example.com") && head.contains("guest@example.net"), "{mail}");
    let code = smtp::code(&mail).unwrap_or_else(|| panic!("no code in {mail}"));

    let page = guest.get(&format!("{PORTAL}/code"));
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert!(matches!(guest.submit(&Form::with_field(&page.body, "code").set("code", wrong)).status, 400..=499));
    guest.submit(&Form::with_field(&page.body, "code").set("code", &code));
    guest.is_online(GRANT_WITHIN);
    let [user] = users(&lab, "get_email_users").try_into().expect("one guest");
    assert_eq!(
        (&user["email"], &user["verified"], &user["marketing"], &user["comments"], &user["MAC"]),
        (&json!("guest@example.net"), &json!(1), &json!(1), &json!("Alex"), &json!(guest.mac))
    );
    let record = lab.gateway.doorward("guest export email guest@example.net");
    let record: Value = serde_json::from_str(&record).unwrap_or_else(|e| panic!("{e}: {record}"));
    let consents = record["consents"].as_array().unwrap_or_else(|| panic!("consents in {record}"));
    assert!(consents.iter().any(|c| c["kind"] == "marketing" && c["given"] == true), "{record}");
    assert!(consents.iter().any(|c| c["kind"] == "terms" && c["version"] == "2026-07"), "{record}");
    // Nothing that lets somebody in is in the log.
    assert!(!lab.gateway.log().contains(&code), "the code is in the log");
}

#[test]
fn mobile_with_a_code_by_sms() {
    let (lab, outside) = lab();
    let guest = lab.guest(1);
    let page = guest.submit(&form(&guest, "mobile").set("mobile", "0171 555-0100"));
    assert!(page.body.contains("name=\"code\""), "{page:?}");
    assert!(guest.is_captive(), "no packet before the code");
    let orders = || sms::orders(&outside.path("orders"));
    eventually("an SMS is ordered", SENT_WITHIN, || !orders().is_empty());
    let order = orders().remove(0);
    let body: Value = serde_json::from_str(text(&order["body"])).unwrap_or_else(|e| panic!("{e}: {order}"));
    assert_eq!((text(&order["method"]), text(&body["to"])), ("POST", "491715550100"), "{order}");
    let code = text(&body["text"]).split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 6);
    let code = code.unwrap_or_else(|| panic!("no code in {order}")).to_owned();
    guest.submit(&Form::with_field(&page.body, "code").set("code", &code));
    guest.is_online(GRANT_WITHIN);
    let [user] = users(&lab, "get_mobile_users").try_into().expect("one guest");
    assert_eq!(
        (&user["mobile"], &user["verified"], &user["marketing"]),
        (&json!("491715550100"), &json!(1), &json!(0)),
        "not asked for, not given"
    );
}

#[test]
fn an_account_elsewhere_through_the_walled_garden() {
    let (lab, _outside) = lab();
    let guest = lab.guest(1);
    let page = guest.get(&format!("{PORTAL}/"));
    let button = page.body.split("<form").find(|form| form.contains("/login/facebook")).expect("a button").to_owned();
    let form = Form::with_field(&format!("<form{button}</form>"), "token").set("terms", "1");
    let page = guest.submit(&form);
    let link = page.body.split("class=\"button").nth(1).unwrap_or_else(|| panic!("a link: {page:?}"));
    let mut url = attribute(link, "href").expect("a link leads somewhere");
    assert!(url.starts_with(&format!("https://{PROVIDER}/")), "{url}");
    // As a browser does, which is captive all the while; only the provider is in the garden.
    for _ in 0..12 {
        if url.starts_with(PORTAL) {
            break;
        }
        assert!(guest.is_captive());
        let answer: Answer = guest.curl(&["-k", &url], "");
        let to = answer.header("location");
        assert!(!to.is_empty(), "{url}: {answer:?}");
        url = if to.starts_with('/') { format!("https://{PROVIDER}{to}") } else { to.to_owned() };
    }
    assert!(url.starts_with(&format!("{PORTAL}/login/facebook/back")), "{url}");
    let back = guest.get(&url);
    assert_eq!(back.status, 303, "{back:?}");
    guest.is_online(GRANT_WITHIN);
    let [user] = users(&lab, "get_fb_users").try_into().expect("one guest");
    assert_eq!((&user["name"], &user["email"]), (&json!("Guest One"), &json!("guest.one@example.com")));
    let active = lab.active(&guest).expect("listed");
    assert_eq!(text(&active["logins"]), "guest.one@example.com");
}

#[test]
fn a_voucher_by_its_ticket_and_as_one_code() {
    let (lab, _outside) = lab();
    for n in [1, 2] {
        let guest = lab.guest(n);
        let voucher = lab.voucher(&json!({ "code_only": 1 }));
        if n == 1 {
            // The QR on the ticket leads to a page with one button.
            let page = guest.get(&format!("{PORTAL}/v/{}", voucher.passcode));
            assert!(guest.is_captive(), "a link preview logs nobody in");
            guest.submit(&Form::with_field(&page.body, "token").set("terms", "1"));
        } else {
            let typed = voucher.passcode.replace('-', " ").to_lowercase();
            guest.submit(&form(&guest, "u").set("u", &typed));
        }
        guest.is_online(GRANT_WITHIN);
        let status = guest.get(&format!("{PORTAL}/"));
        assert!(status.body.contains("/logout"), "{status:?}");
        guest.submit(&Form::with_field(&status.body, "token"));
        eventually("a guest who logged out is captive", GRANT_WITHIN, || guest.is_captive());
    }
    let logins = lab.api("get_logins", &json!({}));
    let logins = logins["data"].as_array().expect("a list");
    assert!(logins.iter().all(|one| one["success"] == 1 && one["method"] == "voucher"), "{logins:?}");
    assert_eq!(logins.len(), 2);
}
