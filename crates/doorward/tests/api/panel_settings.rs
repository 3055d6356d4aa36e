//! The settings in the panel: what is good is stored, what is bad is said, and secrets only go in.

use std::{path::PathBuf, sync::Arc, time::Instant};

use axum::http::StatusCode;
use doorward::{
    app::{
        hotspots::{HotspotSpec, Ipv6Choice},
        operators::Role,
        system::{Process, VpnSettings},
    },
    hotspot_settings::{HotspotSettings, MailTls},
    tls::Described,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

use crate::{browser::Browser, databases::Database, gateway::Gateway};

both_engines!(
    the_vpn_service_is_set_and_set_back,
    retention_is_set_and_old_notes_go,
    mail_keeps_its_password_to_itself,
    a_test_mail_is_sent_and_its_failure_told,
    sms_keep_their_keys_to_themselves,
    a_provider_is_set_for_a_hotspot,
    the_state_is_shown,
    settings_are_for_admins,
);

/// The pages; none of them may ever show a secret.
const PAGES: [&str; 9] = [
    "/settings",
    "/settings/guests",
    "/settings/mail",
    "/settings/sms",
    "/settings/social",
    "/settings/backups",
    "/settings/status",
    "/audit",
    "/audit.csv",
];

async fn nowhere(root: &Browser<'_>, secret: &str) {
    for path in PAGES {
        let page = root.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {page:?}");
        assert!(!page.text.contains(secret), "{path} shows {secret}");
    }
}

async fn the_vpn_service_is_set_and_set_back(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let page = root.get("/settings").await.text;
    assert!(page.contains("Europe/Berlin") && page.contains("1,000") && page.contains("https://vpn.example.net"));
    let page = root.done("/settings/vpn", &[("frequency", "15"), ("history", "0"), ("uptime", "300")]).await.text;
    assert!(page.contains("Saved.") && page.contains("value=\"15\""));
    let set = VpnSettings {
        traffic_statistics_frequency: 15,
        traffic_statistics_history: 0,
        wireguard_handshake_uptime: 300,
    };
    assert_eq!(gateway.app.vpn_settings().await.unwrap(), set);
    for (pairs, word) in [
        ([("frequency", "0"), ("history", "2"), ("uptime", "180")], "1 to 1440 minutes"),
        ([("frequency", "1441"), ("history", "2"), ("uptime", "180")], "1 to 1440 minutes"),
        ([("frequency", "<script>"), ("history", "2"), ("uptime", "180")], "1 to 1440 minutes"),
        ([("frequency", "5"), ("history", "-1"), ("uptime", "180")], "0 to 2147483647 months"),
        ([("frequency", "5"), ("history", "2"), ("uptime", "301")], "1 to 300 seconds"),
        ([("frequency", "5"), ("history", "2"), ("uptime", "")], "1 to 300 seconds"),
    ] {
        let answer = root.post("/settings/vpn", &pairs).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{pairs:?}");
        assert!(answer.text.contains(word) && !answer.text.contains("<script>\""), "{pairs:?}: {}", answer.text);
        let typed = pairs[0].1.replace('<', "&#60;").replace('>', "&#62;");
        assert!(answer.text.contains(&format!("value=\"{typed}\"")), "what was typed stays: {pairs:?}");
    }
    assert_eq!(gateway.app.vpn_settings().await.unwrap(), set, "a refused form changes nothing");
    root.done("/settings/vpn/default", &[]).await;
    assert_eq!(gateway.app.vpn_settings().await.unwrap(), VpnSettings::default());
    let notes = root.get("/audit.csv").await.text;
    assert!(notes.contains("15 min, 0 months, 300 s") && notes.contains("5 min, 2 months, 180 s"), "{notes}");
}

const GUESTS: [(&str, &str); 8] = [
    ("voucher_valid_for", "2 days"),
    ("voucher_devices", "3"),
    ("voucher_speed_down", "20"),
    ("voucher_speed_up", "0"),
    ("keep_guests_days", "60"),
    ("keep_logins_days", "40"),
    ("keep_sessions_days", "50"),
    ("keep_audit_days", "90"),
];

async fn retention_is_set_and_old_notes_go(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let page = root.done("/settings/guests", &GUESTS).await.text;
    assert!(page.contains("<option value=\"2 days\" selected>"), "{page}");
    let set = gateway.app.guest_settings();
    let days = (set.keep_guests_days, set.keep_logins_days, set.keep_sessions_days, set.keep_audit_days);
    assert_eq!(days, (60, 40, 50, 90));
    assert_eq!((set.voucher_valid_for.as_str(), set.voucher_devices), ("2 days", 3));
    assert_eq!((set.voucher_speed_down, set.voucher_speed_up), (20, 0));
    for (name, value, word) in [
        ("voucher_valid_for", "36 hours", "Validity: there is no such period."),
        ("voucher_devices", "0", "Devices at once: this is not within its range."),
        ("voucher_devices", "many", "Devices at once: this is not within its range."),
        ("voucher_speed_up", "10001", "Upload speed: this is not within its range."),
        ("keep_guests_days", "0", "Guests, after their last login: this is not within its range."),
        ("keep_audit_days", "3661", "Audit log: this is not within its range."),
    ] {
        let pairs = GUESTS.map(|(field, good)| (field, if field == name { value } else { good }));
        let answer = root.post("/settings/guests", &pairs).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(answer.text.contains(word), "{name}: {}", answer.text);
    }
    assert_eq!(gateway.app.guest_settings(), set);
    // A note is as old as the settings allow, and older.
    let now = doorward::clock::now_ms();
    let notes = async || root.get("/audit.csv").await.text.lines().count() - 1;
    let before = notes().await;
    let age = format!("UPDATE audit SET created_ms = {} WHERE id = (SELECT MIN(id) FROM audit)", now - 91 * 86_400_000);
    gateway.database.execute(&age).await;
    assert_eq!(gateway.app.prune_audit().await.unwrap(), 1);
    assert_eq!((gateway.app.prune_audit().await.unwrap(), notes().await), (0, before - 1));
}

fn mail<'a>(host: &'a str, port: &'a str, password: &'a str) -> [(&'static str, &'a str); 6] {
    let user = if password == "-" { "" } else { "user" };
    [
        ("host", host),
        ("port", port),
        ("tls", "none"),
        ("username", user),
        ("password", if password == "-" { "" } else { password }),
        ("from", "Hotel <wifi@example.com>"),
    ]
}

async fn mail_keeps_its_password_to_itself(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    assert!(root.get("/settings/mail").await.text.contains("No mail server is set up yet"));
    let page = root.done("/settings/mail", &mail("smtp.example.com", "25", "hunter2secret")).await.text;
    assert!(page.contains("smtp.example.com") && page.contains("never shown"), "{page}");
    let stored = || gateway.app.guest_settings().mail.clone().unwrap();
    assert_eq!((stored().password.as_str(), stored().tls, stored().port), ("hunter2secret", MailTls::None, 25));
    nowhere(&root, "hunter2secret").await;
    // Empty: it stays, but not for somebody else.
    root.done("/settings/mail", &mail("smtp.example.com", "25", "")).await;
    assert_eq!(stored().password, "hunter2secret");
    let elsewhere = root.post("/settings/mail", &mail("evil.example.com", "25", "")).await;
    assert_eq!(elsewhere.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(elsewhere.text.contains("Enter it again") && elsewhere.text.contains("value=\"evil.example.com\""));
    for (host, port, word) in [
        ("a b", "25", "Server: this is not a host name."),
        ("", "25", "Server: this is not a host name."),
        ("smtp.example.com", "x", "Port: this is not within its range."),
        ("smtp.example.com", "0", "Port: this is not within its range."),
    ] {
        let answer = root.post("/settings/mail", &mail(host, port, "another-secret")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{host}");
        assert!(answer.text.contains(word) && !answer.text.contains("another-secret"), "{host}: {}", answer.text);
    }
    let hostile = [("tls", "rot13"), ("host", "a"), ("port", "1")];
    assert_eq!(root.post("/settings/mail", &hostile).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(stored().host, "smtp.example.com");
    root.done("/settings/mail/off", &[]).await;
    assert_eq!(gateway.app.guest_settings().mail, None);
}

/// A mail server for one mail: answers its text, or refuses the recipient.
async fn mail_server(refuse: bool) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let (mut text, mut in_text) = (String::new(), false);
        write.write_all(b"220 test\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            let answer: &[u8] = match (in_text, line.split([' ', ':']).next().unwrap_or_default()) {
                (true, ".") => {
                    in_text = false;
                    b"250 taken\r\n"
                }
                (true, _) => {
                    text += &line;
                    text.push('\n');
                    continue;
                }
                (false, "RCPT") if refuse => b"550 no such user\r\n",
                (false, "DATA") => {
                    in_text = true;
                    b"354 go on\r\n"
                }
                (false, "QUIT") => break,
                (false, _) => b"250 ok\r\n",
            };
            write.write_all(answer).await.unwrap();
        }
        text
    });
    (port, task)
}

async fn a_test_mail_is_sent_and_its_failure_told(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let none = root.post("/settings/mail/test", &[("to", "me@example.com")]).await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY, "mail is not set up");
    let (port, server) = mail_server(false).await;
    root.done("/settings/mail", &mail("127.0.0.1", &port, "-")).await;
    let page = root.done("/settings/mail/test", &[("to", "me@example.com")]).await.text;
    assert!(page.contains("The test to me@example.com was taken."), "{page}");
    let text = server.await.unwrap();
    assert!(text.contains("To: me@example.com") && text.contains("This gateway can send mail."), "{text}");
    let (port, server) = mail_server(true).await;
    root.done("/settings/mail", &mail("127.0.0.1", &port, "-")).await;
    let refused = root.post("/settings/mail/test", &[("to", "you@example.com")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("The test was not sent: the mail server: refused for good, code 550."));
    assert!(refused.text.contains("value=\"you@example.com\""), "what was typed stays");
    drop(server.await);
    for to in ["", "nobody", "a@b.c\r\nBcc: x@y.z"] {
        let answer = root.post("/settings/mail/test", &[("to", to)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{to}");
        assert!(answer.text.contains("no address or number to send to"), "{to}");
    }
}

/// An SMS gateway for one message: answers the head of the request.
async fn sms_gateway() -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 8192];
        let read = stream.read(&mut bytes).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    });
    (address, task)
}

async fn sms_keep_their_keys_to_themselves(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let (address, server) = sms_gateway().await;
    let url = format!("http://{address}/send?key=urlsecret&to={{number}}&m={{text}}");
    let first = [("method", "GET"), ("url", &url), ("headers", "X-Key: headsecret"), ("country_code", "49")];
    let page = root.done("/settings/sms", &first).await.text;
    assert!(page.contains(&format!("GET http://{address}/send")) && page.contains("X-Key"), "{page}");
    for secret in ["urlsecret", "headsecret"] {
        nowhere(&root, secret).await;
    }
    let page = root.done("/settings/sms/test", &[("to", "0151 234567")]).await.text;
    assert!(page.contains("The test to 0151 234567 was taken."), "{page}");
    let request = server.await.unwrap();
    assert!(request.contains("to=49151234567") && request.contains("x-key: headsecret"), "{request}");
    let down = root.post("/settings/sms/test", &[("to", "0151 234567")]).await;
    assert_eq!(down.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(down.text.contains("The test was not sent: the SMS gateway cannot be reached"), "{}", down.text);
    // Empty: all of it stays.
    root.done("/settings/sms", &[("method", "GET"), ("country_code", "48")]).await;
    let stored = || gateway.app.guest_settings().sms.clone().unwrap();
    assert_eq!((stored().url.as_str(), stored().country_code.as_str()), (url.as_str(), "48"));
    assert_eq!(stored().headers["X-Key"], "headsecret");
    for (pairs, word) in [
        (&[("method", "GET"), ("url", "https://evil.example.com/?{number}{text}")][..], "Enter it again"),
        (&[("method", "PUT")], "Method: this is neither GET nor POST."),
        (&[("method", "POST"), ("headers", "nonsense")], "Headers: this is not a header."),
        (&[("method", "POST"), ("headers", "a b: x")], "Headers: this is not a header."),
        (&[("method", "POST"), ("body", "{\"a\":")], "Body: this is neither a JSON object"),
        (&[("method", "GET"), ("url", "ftp://a/{text}{number}"), ("no_headers", "1")], "Address: this is not an https"),
        (&[("method", "GET"), ("country_code", "+49")], "Country code: these are not the digits"),
    ] {
        let answer = root.post("/settings/sms", pairs).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{pairs:?}");
        assert!(answer.text.contains(word), "{pairs:?}: {}", answer.text);
    }
    root.done("/settings/sms", &[("method", "GET"), ("country_code", "48"), ("no_headers", "1")]).await;
    assert!(stored().headers.is_empty());
    root.done("/settings/sms/off", &[]).await;
    assert_eq!(gateway.app.guest_settings().sms, None);
}

async fn a_provider_is_set_for_a_hotspot(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    assert!(root.get("/settings/social").await.text.contains("There is no hotspot yet"));
    assert_eq!(root.get("/settings/social/lobby").await.status, StatusCode::NOT_FOUND);
    let spec = HotspotSpec {
        interface: "guest0".parse().unwrap(),
        address: "192.168.88.1/24".parse().unwrap(),
        address_ipv6: Ipv6Choice::Off,
        nat_ipv6: false,
        isolated: true,
        lan_access: Vec::new(),
        settings: Arc::new(HotspotSettings::default()),
    };
    gateway.app.create_hotspot("lobby".parse().unwrap(), spec).await.unwrap();
    let page = root.get("/settings/social/lobby").await.text;
    assert!(page.contains("http://login.guest.internal/login/facebook/back") && page.contains("value=\"Facebook\""));
    let good = [
        ("enabled", "1"),
        ("label", "<b>Google</b>"),
        ("issuer", "https://accounts.example.com"),
        ("client_id", "client"),
        ("client_secret", "oauthsecret"),
        ("scopes", "openid email"),
        ("garden", "*.example.com\r\n\r\nhttp pki.example.org"),
    ];
    let page = root.done("/settings/social/lobby", &good).await.text;
    assert!(page.contains("&#60;b&#62;Google") && page.contains("https://accounts.example.com"), "{page}");
    let provider = || {
        let record = gateway.app.hotspot("lobby").unwrap();
        let own = doorward::app::providers::social_method(&record.settings).unwrap().clone();
        (own.enabled, own.provider.unwrap())
    };
    let (enabled, stored) = provider();
    assert!(enabled);
    let garden: Vec<_> = stored.garden.iter().map(|entry| (entry.name.as_str(), entry.http)).collect();
    assert_eq!(garden, [("*.example.com", false), ("pki.example.org", true)]);
    nowhere(&root, "oauthsecret").await;
    let page = root.get("/settings/social/lobby").await.text;
    assert!(!page.contains("oauthsecret") && page.contains("http pki.example.org"));
    // Empty: the secret stays, but not for another provider.
    let with = |name: &'static str, value: &'static str| {
        let pairs = good.map(|(field, good)| (field, if field == name { value } else { good }));
        pairs.map(|(field, value)| (field, if field == "client_secret" { "" } else { value }))
    };
    root.done("/settings/social/lobby", &with("scopes", "openid")).await;
    assert_eq!((provider().1.client_secret.as_str(), provider().1.scopes.as_str()), ("oauthsecret", "openid"));
    for (name, value, word) in [
        ("issuer", "https://evil.example.com", "Enter it again"),
        ("client_id", "other", "Enter it again"),
        ("label", "", "Name on the button: this is missing."),
        ("garden", "*.com", "Names to be reached before login: this is not a name"),
    ] {
        let answer = root.post("/settings/social/lobby", &with(name, value)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(answer.text.contains(word), "{name}: {}", answer.text);
    }
    assert_eq!(root.post("/settings/social/cellar", &good).await.status, StatusCode::NOT_FOUND);
}

async fn the_state_is_shown(database: Database) {
    let ends_ms = doorward::clock::now_ms() + 400 * 86_400_000;
    let certificate = |name: &str, ends_ms| Described {
        path: PathBuf::from("/etc/doorward/tls.pem"),
        self_made: false,
        subject: format!("CN={name}"),
        issuer: "CN=Some CA".to_owned(),
        names: vec![name.to_owned()],
        begins_ms: 0,
        ends_ms,
    };
    let gateway = Gateway::with(database, |choice| {
        choice.http.certificates = vec![("management", certificate("gw.example.net", ends_ms))];
        choice.http.process = Some(Process {
            started: Instant::now(),
            kernel: vec!["WireGuard: <kernel>".to_owned()],
            names: Arc::default(),
        });
    })
    .await;
    gateway.server_and_account().await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let page = root.get("/settings/status").await.text;
    for word in ["CN=gw.example.net", "CN=Some CA", "WireGuard: &#60;kernel&#62;", "Apache-2.0", "Last full pass"] {
        assert!(page.contains(word), "{word}: {page}");
    }
    assert!(page.contains(&gateway.app.licence().key) && !page.contains("It ends soon"));
    let gateway = gateway
        .reconfigured(|choice| choice.http.certificates = vec![("portal", certificate("gw.example.net", 1))])
        .await;
    let root = Browser::sign_in(&gateway, "root", "192.0.2.10").await;
    let page = root.get("/settings/status").await.text;
    assert!(page.contains("Portal for guests") && page.contains("It ends soon"), "{page}");
}

async fn settings_are_for_admins(database: Database) {
    let gateway = Gateway::start(database).await;
    for (n, role) in Role::ALL.into_iter().enumerate() {
        let browser = Browser::new(&gateway, &format!("who-{n}"), role).await;
        let allowed = role == Role::Admin;
        for path in &PAGES[..6] {
            let page = browser.get(path).await;
            assert_eq!(page.status == StatusCode::OK, allowed, "{role:?} {path}");
            assert!(allowed || page.status == StatusCode::FORBIDDEN, "{role:?} {path}");
        }
        assert_eq!(browser.get("/").await.text.contains("href=\"/settings\""), allowed, "{role:?}");
        let done = browser.post("/settings/vpn/default", &[]).await;
        assert_eq!(done.status != StatusCode::FORBIDDEN, allowed, "{role:?}");
    }
}
