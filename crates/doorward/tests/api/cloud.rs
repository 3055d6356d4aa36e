//! The cloud endpoint: gateway and relay in one process, and what either does when the other is hostile.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use doorward::{
    app::{
        cloud::{CloudLink, CloudWish},
        operators::Role,
    },
    cloud::{self, CloudCaller, dial::Dialer},
    http::{Requests, cloud_api_router},
    relay::{
        Bound,
        config::{Limits, RelayConfig},
        mux::{self, Side},
        state::State,
        wire::{self, Hello, RelayName, Welcome},
    },
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tower::ServiceExt as _;

use crate::{browser::Browser, databases::Database, gateway::Gateway};

both_engines!(
    only_post_at_one_path_comes_by_the_cloud,
    a_gateway_enrols_renews_and_leaves_by_the_panel,
    a_hostile_gateway_does_not_hurt_the_relay,
    a_hostile_relay_does_not_hurt_the_gateway,
);

const DOMAIN: &str = "cloud.example.net";
const SOON: Duration = Duration::from_secs(10);

/// A relay with its files.
struct Relay {
    folder: tempfile::TempDir,
    ca: String,
    port: u16,
    state: State,
}

impl Relay {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = certificate(folder.path());
        let config = RelayConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            domain: DOMAIN.parse().unwrap(),
            tls_certificate: folder.path().join("cert.pem"),
            tls_key: folder.path().join("key.pem"),
            acme: None,
            state_dir: folder.path().join("state"),
            limits: Limits {
                address_per_second: 10_000,
                address_connects: 10_000,
                name_per_second: 5,
                ..Limits::default()
            },
            log: Default::default(),
        };
        let bound = Bound::open(&config).await.unwrap();
        let port = bound.addresses()[0].port();
        tokio::spawn(bound.serve());
        let state = State::open(&config.state_dir).await.unwrap();
        Self { folder, ca, port, state }
    }

    async fn token(&self) -> String {
        self.state.make_token("", Duration::from_secs(60)).await.unwrap().expose().to_owned()
    }

    async fn wish(&self) -> CloudWish {
        CloudWish { host: "127.0.0.1".to_owned(), port: self.port, ca: self.ca.clone(), token: self.token().await }
    }

    /// A caller's request, as bytes; answers what came back.
    async fn ask(&self, request: &str) -> String {
        let mut tls = tls(self.port, &self.ca, b"http/1.1").await;
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        drop(timeout(SOON, tls.read_to_end(&mut answer)).await.expect("the relay ends it"));
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn post(&self, name: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("POST /api/ HTTP/1.1\r\nHost: {name}.{DOMAIN}\r\nConnection: close\r\n");
        self.ask(&format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")).await
    }
}

fn certificate(folder: &Path) -> String {
    let names = vec![DOMAIN.to_owned(), format!("*.{DOMAIN}"), "127.0.0.1".to_owned()];
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join("cert.pem"), made.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    made.pem()
}

async fn tls(port: u16, ca: &str, alpn: &[u8]) -> TlsStream<TcpStream> {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from(DOMAIN).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

async fn eventually(what: &str, mut yes: impl AsyncFnMut() -> bool) {
    let until = tokio::time::Instant::now() + SOON;
    while !yes().await {
        assert!(tokio::time::Instant::now() < until, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn connected(gateway: &Gateway) {
    eventually("the line", async || matches!(gateway.app.cloud_status().link, CloudLink::Connected { .. })).await;
}

async fn only_post_at_one_path_comes_by_the_cloud(database: Database) {
    let gateway = Gateway::start(database).await;
    let key = gateway.app.api_key().expose().to_owned();
    let good = json!({ "api-key": key, "action": "get_voucher_users" }).to_string();
    let ask = async |method: &str, uri: &str, body: &str| {
        let mut request = Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, "application/json");
        // A public address: from the LAN listener it would be nobody's.
        request.extensions_mut().unwrap().insert(CloudCaller("203.0.113.9".parse().unwrap()));
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = cloud_api_router(gateway.app.clone(), Requests::default()).oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&bytes).unwrap_or_default())
    };
    let says = |text: &str| json!({ "message": text, "error": true });
    let (not_set, ok) = (says("API Key not set or method not allowed"), StatusCode::OK);
    assert_eq!(ask("POST", "/api/", &good).await, (ok, says("API is not enabled")));
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    root.done("/api-access/methods", &[("get", "1")]).await;
    assert_eq!(ask("POST", "/api/", &good).await, (ok, not_set.clone()), "the switch of POST counts");
    root.done("/api-access/methods", &[("get", "1"), ("post", "1")]).await;
    for path in ["/api/", "/api"] {
        assert_eq!(ask("POST", path, &good).await, (ok, json!({ "users": [] })));
        let query = format!("{path}?api-key={key}&action=get_voucher_users");
        assert_eq!(ask("GET", &query, "").await, (StatusCode::METHOD_NOT_ALLOWED, not_set.clone()));
        assert_eq!(ask("POST", &query, "{}").await, (ok, not_set.clone()), "a query string is not read");
        assert_eq!(ask("PUT", path, &good).await, (StatusCode::METHOD_NOT_ALLOWED, not_set.clone()));
    }
    for path in ["/", "/login", "/api/v1/system/status", "/assets/panel.js", "/api/x"] {
        assert_eq!(ask("POST", path, &good).await, (StatusCode::NOT_FOUND, Value::Null), "{path}");
    }
    let wrong = json!({ "api-key": "x", "action": "get_voucher_users" }).to_string();
    for _ in 0..10 {
        assert_eq!(ask("POST", "/api/", &wrong).await.1, says("API Key is incorrect"));
    }
}

async fn a_gateway_enrols_renews_and_leaves_by_the_panel(database: Database) {
    let (gateway, relay) = (Gateway::start(database).await, Relay::start().await);
    let line = cloud::spawn(gateway.app.clone(), cloud_api_router(gateway.app.clone(), Requests::default()));
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    assert!(root.get("/api-access").await.text.contains("not connected"));
    for path in ["/api-access/cloud/rotate", "/api-access/cloud/leave", "/api-access/cloud"] {
        root.done(path, &[]).await;
        assert!(gateway.app.cloud().is_none(), "{path}: nothing to do it to");
    }
    let (port, token) = (relay.port.to_string(), relay.token().await);
    let good: [(&str, &str); 4] = [("host", "127.0.0.1"), ("port", &port), ("ca", &relay.ca), ("token", &token)];
    for (name, value, word) in [
        ("host", "no host", "host name such as"),
        ("port", "0", "1 to 65535"),
        ("port", "x", "1 to 65535"),
        ("ca", "nonsense", "PEM text"),
        ("token", "abc", "64 hexadecimal"),
        ("token", "0".repeat(64).as_str(), "unknown, used or over"),
        ("ca", "", "is not trusted"),
        ("port", "1", "cannot be reached"),
    ] {
        let pairs = good.map(|(n, v)| if n == name { (n, value) } else { (n, v) });
        let answer = root.post("/api-access/cloud/enrol", &pairs).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name} {value}");
        assert!(answer.text.contains(word) && !answer.text.contains(&token), "{name} {value}: {}", answer.text);
    }
    let viewer = Browser::new(&gateway, "eve", Role::Viewer).await;
    assert_eq!(viewer.post("/api-access/cloud/enrol", &good).await.status, StatusCode::FORBIDDEN);
    assert!(!viewer.get("/api-access").await.text.contains("name=\"token\""));

    root.done("/api-access/cloud/enrol", &good).await;
    root.done("/api-access/methods", &[("post", "1")]).await;
    connected(&gateway).await;
    let page = root.get("/api-access").await.text;
    let credential = gateway.store.cloud().await.unwrap().unwrap().credential;
    for path in ["/api-access", "/audit", "/settings/status"] {
        assert!(
            !root.get(path).await.text.contains(credential.expose()),
            "{path} shows what the gateway connects with"
        );
    }
    let first = gateway.app.cloud().unwrap();
    assert!(page.contains(&format!("https://{}.{DOMAIN}/api/", first.name)) && page.contains("connected since"));
    assert!(page.contains(" ms</dd>"), "latency");
    let body = json!({ "api-key": gateway.app.api_key().expose(), "action": "get_voucher_users" }).to_string();
    assert!(relay.post(first.name.as_str(), &body).await.contains("\"users\""));
    let answer = root.post("/api-access/cloud/enrol", &good).await;
    assert!(answer.text.contains("unknown, used or over"), "a token is good once");

    root.done("/api-access/cloud/rotate", &[]).await;
    let second = gateway.app.cloud().unwrap();
    assert!(second.name != first.name && second.credential == first.credential);
    connected(&gateway).await;
    assert!(relay.post(first.name.as_str(), &body).await.starts_with("HTTP/1.1 404"));
    eventually("the new name", async || relay.post(second.name.as_str(), &body).await.contains("users")).await;
    assert_eq!(gateway.store.cloud().await.unwrap().unwrap().name, second.name, "stored");

    root.done("/api-access/cloud", &[]).await;
    eventually("off", async || relay.post(second.name.as_str(), &body).await.starts_with("HTTP/1.1 404")).await;
    assert!(root.get("/api-access").await.text.contains("switched off"));
    root.done("/api-access/cloud", &[("enabled", "1")]).await;
    connected(&gateway).await;

    // Too many in a second, by the name.
    let mut busy = false;
    for _ in 0..60 {
        busy |= relay.post(second.name.as_str(), &body).await.starts_with("HTTP/1.1 429");
    }
    assert!(busy, "a name has a rate");

    root.done("/api-access/cloud/leave", &[]).await;
    assert!(gateway.app.cloud().is_none() && gateway.store.cloud().await.unwrap().is_none());
    assert!(relay.state.all_known().await.unwrap().is_empty(), "the relay forgot it");
    let audit = root.get("/audit.csv").await.text;
    assert!(audit.contains("renew_name") && !audit.contains(&token) && !audit.contains(first.credential.expose()));
    line.abort();
}

/// Enrols a gateway that is not ours, and connects it.
async fn stranger(relay: &Relay) -> (RelayName, TlsStream<TcpStream>) {
    let dialer = Dialer::new(&"127.0.0.1".parse().unwrap(), relay.port, &relay.ca).unwrap();
    let enrolled = dialer.enrol(relay.token().await.parse().unwrap()).await.unwrap();
    let tls = dialer.connect(enrolled.credential).await.unwrap().tls;
    (enrolled.name, tls)
}

async fn a_hostile_gateway_does_not_hurt_the_relay(database: Database) {
    let gateway = Gateway::start(database).await;
    let relay = Relay::start().await;
    // Before the hello: nothing known, too long, or half of it.
    for bytes in
        [&b"\xff\xff"[..], b"\x00\x02{}", b"\x00\x00", b"\x00\x05hello", b"GET / HTTP/1.1\r\n\r\n", b"\x03\xff{"]
    {
        let mut tls = tls(relay.port, &relay.ca, wire::ALPN).await;
        tls.write_all(bytes).await.unwrap();
        drop(tls.shutdown().await);
        let mut answer = Vec::new();
        drop(timeout(SOON, tls.read_to_end(&mut answer)).await.expect("the relay ends it"));
        assert!(answer.is_empty(), "{bytes:?}: {answer:?}");
    }
    // After it: no yamux at all.
    for seed in 0..20_u8 {
        let (_, mut tls) = stranger(&relay).await;
        let bytes: Vec<u8> = (0..5000_u32).map(|n| n.to_le_bytes()[0].wrapping_mul(31).wrapping_add(seed)).collect();
        drop(tls.write_all(&bytes).await);
        let mut rest = Vec::new();
        drop(timeout(SOON, tls.read_to_end(&mut rest)).await.expect("the relay ends it"));
    }
    // Answers that are none, each on a line that is good otherwise.
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(100));
    for (answer, wanted) in [
        ("nonsense\r\n\r\n", " 502 "),
        ("", " 502 "),
        (&long, " 502 "),
        (&many, " 502 "),
        ("HTTP/1.1 301 Moved\r\nLocation: https://evil.example\r\nContent-Length: 0\r\n\r\n", " 502 "),
        ("HTTP/1.1 404 No\r\nX: y\r\nContent-Length: 5\r\n\r\npanel", " 404 "),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok", " 200 "),
    ] {
        let (name, tls) = stranger(&relay).await;
        let answer = answer.to_owned();
        let evil = answer.clone();
        let take = move |mut stream: mux::Stream| {
            let answer = evil.clone();
            drop(tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"{}") && stream.read_buf(&mut request).await.is_ok_and(|n| n > 0) {}
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }));
        };
        let (opener, drive) = mux::start(tls, Side::Gateway, take);
        let line = tokio::spawn(drive);
        let _pings = opener.open().await.unwrap();
        // Streams that nobody wants.
        for _ in 0..8 {
            drop(opener.open().await);
        }
        let said = relay.post(name.as_str(), "{}").await;
        assert!(said.split("\r\n").next().unwrap().contains(wanted), "{answer:.60}: {said:.200}");
        for word in ["evil", "Set-Cookie", "set-cookie", "panel", "text/html"] {
            assert!(!said.contains(word), "{said}");
        }
        line.abort();
    }
    // It serves others as before.
    let line = cloud::spawn(gateway.app.clone(), cloud_api_router(gateway.app.clone(), Requests::default()));
    gateway.app.enrol_cloud(relay.wish().await).await.unwrap();
    connected(&gateway).await;
    let name = gateway.app.cloud().unwrap().name.clone();
    assert!(relay.post(name.as_str(), "{}").await.contains("API is not enabled"));
    line.abort();
}

async fn a_hostile_relay_does_not_hurt_the_gateway(database: Database) {
    let (gateway, relay) = (Gateway::start(database).await, Relay::start().await);
    gateway.app.enrol_cloud(relay.wish().await).await.unwrap();
    // Another one answers in its place from now on.
    let file = |name: &str| relay.folder.path().join(name);
    let served = doorward::tls::open(&file("cert.pem"), &file("key.pem"), relay.folder.path()).unwrap();
    let mut config = Arc::unwrap_or_clone(served.config().unwrap());
    config.alpn_protocols = vec![wire::ALPN.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    gateway.app.heard_cloud(|record| record.port = port).await.unwrap();
    let line = cloud::spawn(gateway.app.clone(), cloud_api_router(gateway.app.clone(), Requests::default()));
    let accept = async || {
        let (tcp, _) = timeout(SOON, listener.accept()).await.expect("the gateway dials").unwrap();
        let mut tls = timeout(SOON, acceptor.accept(tcp)).await.unwrap().unwrap();
        let hello = wire::read::<Hello>(&mut tls).await.unwrap();
        assert!(matches!(hello, Hello::Connect { .. }));
        tls
    };
    for bytes in [&b"\xff\xff"[..], b"\x00\x02{}", b"", b"\x00\x0a\"refused\"x", b"HTTP/1.1 200 OK\r\n\r\n"] {
        let mut tls = accept().await;
        tls.write_all(bytes).await.unwrap();
        drop(tls.shutdown().await);
    }
    let bad = json!({ "connected": { "name": "<script>12", "domain": "evil.example" } }).to_string();
    let mut tls = accept().await;
    tls.write_all(&[&u16::try_from(bad.len()).unwrap().to_be_bytes()[..], bad.as_bytes()].concat()).await.unwrap();
    drop(tls);
    let welcome = Welcome::Connected { name: "0123456789".parse().unwrap(), domain: DOMAIN.parse().unwrap() };
    let mut tls = accept().await;
    wire::write(&mut tls, &welcome).await.unwrap();
    drop(tls.write_all(&[0xff; 4000]).await);
    drop(tls);
    // Yamux, but a flood of streams with nonsense on each, and no answer to a ping.
    let mut tls = accept().await;
    wire::write(&mut tls, &welcome).await.unwrap();
    let (held, _holding) = tokio::sync::mpsc::unbounded_channel();
    let (opener, drive) = mux::start(tls, Side::Relay, move |stream| drop(held.send(stream)));
    tokio::spawn(drive);
    let mut kept = Vec::new();
    for n in 0..31_u8 {
        let Ok(Some(mut stream)) = timeout(Duration::from_secs(1), opener.open()).await else { break };
        drop(stream.write_all(&[n; 200]).await);
        kept.push(stream);
    }
    assert!(kept.len() > 8, "streams were opened: {}", kept.len());
    drop((kept, opener));
    // And a good one again: the gateway comes back to it by itself.
    let mut tls = accept().await;
    wire::write(&mut tls, &welcome).await.unwrap();
    let (_opener, drive) = mux::start(tls, Side::Relay, |mut stream| {
        drop(tokio::spawn(async move {
            while let Ok(ask) = wire::read::<wire::Ask>(&mut stream).await {
                drop(wire::write(&mut stream, &ask).await);
            }
        }));
    });
    tokio::spawn(drive);
    connected(&gateway).await;
    line.abort();
}
