//! The cloud endpoint: a caller, a relay and a gateway, each a host of its own. Nothing new comes in at the gateway's WAN.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};

use crate::{
    gateway::Gateway,
    host::{Host, Process, cable, eventually},
    world::World,
};

const DOMAIN: &str = "cloud.example.net";
const RELAY_HOST: &str = "relay.cloud.example.net";
const RELAY: &str = "192.0.2.53";
const CALLER: &str = "192.0.2.61";
/// What the requirement says of a restart and of a cut line.
const HEALS_WITHIN: Duration = Duration::from_secs(5);
/// A revocation by command, until the line is gone.
const REVOKED_WITHIN: Duration = Duration::from_secs(2);
/// Enrolment to the first request.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

struct Cloud {
    gateway: Gateway,
    relay: Host,
    caller: Host,
    world: World,
    dir: tempfile::TempDir,
    process: Option<Process>,
    key: String,
}

impl Cloud {
    fn new() -> Self {
        let (world, relay, caller) = (World::new(), Host::new("relay"), Host::new("caller"));
        for (host, address, n) in [(&relay, RELAY, 1), (&caller, CALLER, 2)] {
            cable(host, "eth0", &world.internet, &format!("x{n}"));
            host.run(&format!("ip addr add {address}/32 dev eth0"));
            host.run("ip route add 192.0.2.254 dev eth0");
            host.run("ip route add default via 192.0.2.254");
            world.internet.run(&format!("ip addr add 192.0.2.254/32 dev x{n}"));
            world.internet.run(&format!("ip route add {address}/32 dev x{n}"));
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        certificate(dir.path());
        let toml = format!(
            "listen = [\"0.0.0.0:443\"]\ndomain = \"{DOMAIN}\"\nstate_dir = \"{0}/relay\"\n\
             tls_certificate = \"{0}/cert.pem\"\ntls_key = \"{0}/key.pem\"\n[limits]\naddress_per_second = 1000\n\
             name_per_second = 1000\naddress_connects = 1000\n[log]\nlevel = \"info,doorward=debug\"\n",
            dir.path().display()
        );
        fs::write(dir.path().join("relay.toml"), toml).expect("a file");
        // What the machine's resolver would say; each host has a mount namespace of its own.
        fs::write(dir.path().join("hosts"), format!("{RELAY} {RELAY_HOST}\n127.0.0.1 localhost\n")).expect("a file");
        world.gateway.run(&format!("mount --bind {}/hosts /etc/hosts", dir.path().display()));
        let gateway = Gateway::start(&world.gateway, "");
        for line in [
            "nft add table inet lab_wan",
            "nft add chain inet lab_wan in { type filter hook input priority -300 ; policy accept ; }",
            "nft add rule inet lab_wan in iifname wan ct state established,related accept",
            "nft add rule inet lab_wan in iifname wan meta l4proto icmpv6 accept",
            "nft add rule inet lab_wan in iifname wan counter drop",
        ] {
            world.gateway.run(line);
        }
        gateway.doorward("hotspot-api on --post --get");
        let key = gateway.doorward("hotspot-api key").trim().to_owned();
        let mut cloud = Self { gateway, relay, caller, world, dir, process: None, key };
        cloud.start();
        cloud
    }

    fn start(&mut self) {
        let mut command = self.relay.command(env!("CARGO_BIN_EXE_doorward"));
        command.arg("--config").arg(self.dir.path().join("relay.toml")).arg("relay");
        let log = fs::File::options().create(true).append(true).open(self.dir.path().join("relay.log"));
        self.process = Some(self.relay.spawn(command, log.expect("a log file")));
        let listens = || self.relay.run("ss -Hlnt").contains(":443 ");
        eventually("the relay listens", Duration::from_secs(5), listens);
    }

    fn kill(&mut self) {
        let process = self.process.take().expect("the relay was started");
        process.kill();
        eventually("a killed process is gone", Duration::from_secs(5), || !process.alive());
    }

    fn on_relay(&self, words: &str) -> String {
        let config = self.dir.path().join("relay.toml");
        let line = format!("{} --config {} relay {words}", env!("CARGO_BIN_EXE_doorward"), config.display());
        self.relay.run(&line).trim().to_owned()
    }

    fn token(&self) -> String {
        self.on_relay("token --note lab")
    }

    /// What `doorward cloud enrol` says; the token goes in by standard input.
    fn try_enrol(&self, token: &str) -> Result<String, String> {
        let ca = self.dir.path().join("ca.pem");
        let mut command = self.world.gateway.command(env!("CARGO_BIN_EXE_doorward"));
        command.arg("--config").arg(self.gateway.config()).args(["cloud", "enrol", RELAY_HOST, "--ca"]).arg(ca);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsenter starts");
        child.stdin.take().expect("stdin is piped").write_all(token.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Enrols, waits for the line, answers the name.
    fn enrol(&self) -> String {
        let endpoint = self.try_enrol(&self.token()).expect("a good token enrols");
        let name = name_of(&endpoint);
        self.reaches(&name, FIRST_WITHIN);
        name
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.gateway.doorward("cloud status --json")).expect("JSON")
    }

    fn body(&self, action: &str) -> String {
        json!({ "api-key": self.key, "action": action }).to_string()
    }

    /// A caller's request by curl: status and body. 0: no answer at all.
    fn curl(&self, name: &str, path: &str, options: &[&str]) -> (u16, String) {
        let host = format!("{name}.{DOMAIN}");
        let mut command = self.caller.command("curl");
        command.args(["-s", "--max-time", "15", "--write-out", "\n%{http_code}", "--cacert"]);
        command.arg(self.dir.path().join("ca.pem"));
        command.args(["--resolve", &format!("{host}:443:{RELAY}")]).args(options).arg(format!("https://{host}{path}"));
        let output = command.output().expect("nsenter starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a number"), body.to_owned())
    }

    fn post(&self, name: &str, path: &str, body: &str) -> (u16, String) {
        self.curl(name, path, &["-H", "Content-Type: application/json", "--data-binary", body])
    }

    /// Waits until the gateway answers by its name.
    fn reaches(&self, name: &str, within: Duration) -> Duration {
        let body = self.body("get_voucher_users");
        eventually("the cloud endpoint answers", within, || self.post(name, "/api/", &body).0 == 200)
    }

    /// A TLS connection of a caller that does as it likes.
    fn raw(&self, name: &str) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        let pem = fs::read(self.dir.path().join("ca.pem")).expect("a file");
        roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerName::try_from(format!("{name}.{DOMAIN}")).expect("a name");
        let tls = rustls::ClientConnection::new(Arc::new(config), server).expect("TLS");
        let tcp = self.caller.inside(|| TcpStream::connect((RELAY, 443)).expect("the relay listens"));
        tcp.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        rustls::StreamOwned::new(tls, tcp)
    }

    fn relay_log(&self) -> String {
        fs::read_to_string(self.dir.path().join("relay.log")).unwrap_or_default()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the relay's log\n{}", self.relay_log());
        }
    }
}

fn name_of(endpoint: &str) -> String {
    let name = endpoint.strip_prefix("https://").and_then(|rest| rest.strip_suffix(&format!(".{DOMAIN}/api/")));
    let name = name.unwrap_or_else(|| panic!("an endpoint, not {endpoint:?}"));
    assert!(name.len() == 10 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{name}");
    name.to_owned()
}

/// A certificate authority and a wildcard certificate by it.
fn certificate(folder: &std::path::Path) {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "Lab authority");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let authority = parameters.self_signed(&authority_key).expect("a certificate");
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let mut leaf = rcgen::CertificateParams::new(vec![DOMAIN.to_owned(), format!("*.{DOMAIN}")]).expect("parameters");
    // Equal names would make it its own issuer's.
    leaf.distinguished_name.push(rcgen::DnType::CommonName, DOMAIN);
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
    fs::write(folder.join("ca.pem"), authority.pem()).expect("a file");
    fs::write(folder.join("cert.pem"), leaf.pem()).expect("a file");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("a file");
}

#[test]
fn a_caller_outside_makes_a_voucher_and_the_rest_is_refused_at_the_relay() {
    let cloud = Cloud::new();
    assert_eq!(cloud.status()["state"], "not enrolled");
    let name = cloud.enrol();
    let made = json!({ "api-key": cloud.key, "action": "create_voucher", "username": "cloudy", "valid_for": "1 day" });
    let (status, body) = cloud.post(&name, "/api/", &made.to_string());
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &answer["message"], &answer["error"]), (200, &json!("User added successfully"), &json!(false)));
    assert!(cloud.gateway.doorward("voucher list --search cloudy").contains("cloudy"), "it is at the gateway");
    let list = cloud.body("get_voucher_users");
    assert!(cloud.post(&name, "/api", &list).1.contains("cloudy"), "with and without a slash");
    let status = cloud.status();
    assert_eq!(status["state"], "connected");
    assert!(status["latency_us"].as_u64().is_some_and(|us| us > 0) && status["seen_ms"].is_number(), "{status}");
    assert!(cloud.on_relay("list").contains(&name));

    // What is refused at the relay does not reach the gateway: its line carries pings alone.
    let refused = json!({ "message": "API Key not set or method not allowed", "error": true });
    let query = format!("/api/?api-key={}&action=get_voucher_users", cloud.key);
    for options in [&[][..], &["-X", "PUT"], &["-X", "DELETE"]] {
        let (status, body) = cloud.curl(&name, &query, options);
        assert_eq!(
            (status, serde_json::from_str::<Value>(&body).expect("JSON")),
            (405, refused.clone()),
            "{options:?}"
        );
    }
    let without_key = json!({ "action": "get_voucher_users" }).to_string();
    let (status, body) = cloud.post(&name, &query, &without_key);
    assert_eq!((status, serde_json::from_str::<Value>(&body).expect("JSON")), (200, refused), "a key in the query");
    for path in ["/", "/api/x", "/api//", "/login", "/api/v1/system/status", "/healthz", "/apis"] {
        assert_eq!(cloud.post(&name, path, &list), (404, String::new()), "{path}");
        assert_eq!(cloud.curl(&name, path, &[]), (404, String::new()), "{path}");
    }
    for wrong in ["0123456789", "relay", "www", "0123456789abc"] {
        assert_eq!(cloud.post(wrong, "/api/", &list), (404, String::new()), "{wrong}");
    }
    let big = format!("@{}", big_file(cloud.dir.path()).display());
    let (status, body) = cloud.post(&name, "/api/", &big);
    assert!(status == 413 && body.contains("An error occurred"), "{status} {body}");
    let (status, _) = cloud.curl(&name, "/api/", &["-H", "Transfer-Encoding: chunked", "--data-binary", &big]);
    assert_eq!(status, 413, "without a length");
    slow_ones_end(&cloud, &name);
    assert!(
        cloud.caller.try_run(&format!("curl -s --max-time 3 http://{RELAY}/")).status.code() == Some(7),
        "no port 80"
    );
    let direct = format!("curl -sk --max-time 3 https://{}:8443/api/", crate::world::GATEWAY);
    assert_eq!(cloud.caller.try_run(&direct).status.code(), Some(28), "nothing comes in at the gateway");
    cloud.reaches(&name, HEALS_WITHIN);

    let (relay, gateway) = (cloud.relay_log(), cloud.gateway.log());
    assert!(relay.contains("the relay listens") && gateway.contains("connected to the relay"), "logs were read");
    for text in [&relay, &gateway] {
        assert!(!text.contains(&cloud.key) && !text.contains("cloudy"), "{text}");
    }
    for file in fs::read_dir(cloud.dir.path().join("relay")).expect("the relay's folder") {
        let bytes = fs::read(file.expect("a file").path()).expect("a file");
        assert!(!String::from_utf8_lossy(&bytes).contains(&cloud.key));
    }

    cloud.gateway.doorward("cloud off");
    eventually("off is off", REVOKED_WITHIN, || cloud.post(&name, "/api/", &list) == (404, String::new()));
    assert_eq!(cloud.status()["state"], "off");
    cloud.gateway.doorward("cloud on");
    cloud.reaches(&name, FIRST_WITHIN);
    cloud.gateway.doorward("hotspot-api off");
    assert!(cloud.post(&name, "/api/", &list).1.contains("API is not enabled"));
    cloud.gateway.doorward("hotspot-api on --get");
    assert!(cloud.post(&name, "/api/", &list).1.contains("method not allowed"), "the switch of POST counts here too");
}

/// A head and a body that never come whole, while others are served.
fn slow_ones_end(cloud: &Cloud, name: &str) {
    let mut slow: Vec<_> = (0..20).map(|_| cloud.raw(name)).collect();
    let host = format!("{name}.{DOMAIN}");
    for (n, stream) in slow.iter_mut().enumerate() {
        let head = format!("POST /api/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n");
        let rest = if n % 2 == 0 { "X-Slow: yes" } else { "\r\n{\"api-key\":" };
        stream.write_all(format!("{head}{rest}").as_bytes()).expect("the relay reads");
        stream.flush().expect("the relay reads");
    }
    let begun = Instant::now();
    assert_eq!(cloud.post(name, "/api/", &cloud.body("get_voucher_users")).0, 200, "others are served meanwhile");
    for (n, stream) in slow.iter_mut().enumerate() {
        let mut answer = Vec::new();
        // However it ends: with or without an answer, with or without a word of TLS.
        drop(stream.read_to_end(&mut answer));
        let text = String::from_utf8_lossy(&answer);
        let good =
            if n % 2 == 0 { text.is_empty() || text.starts_with("HTTP/1.1 408") } else { text.contains(" 408 ") };
        assert!(good, "{n}: {text}");
    }
    assert!(begun.elapsed() < Duration::from_secs(19), "the relay ended them: {:?}", begun.elapsed());
}

fn big_file(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("big");
    fs::write(&path, "x".repeat(64 * 1024 + 1)).expect("a file");
    path
}

#[test]
fn a_line_heals_after_restarts_and_cuts() {
    let mut cloud = Cloud::new();
    let name = cloud.enrol();
    for round in 0..3 {
        cloud.kill();
        std::thread::sleep(Duration::from_secs(round * 2));
        cloud.start();
        eprintln!("relay restarted: {:?}", cloud.reaches(&name, HEALS_WITHIN));
    }
    for down in [1, 4, 8] {
        cloud.relay.run("ip link set eth0 down");
        std::thread::sleep(Duration::from_secs(down));
        cloud.relay.run("ip link set eth0 up");
        cloud.relay.run("ip route add 192.0.2.254 dev eth0");
        cloud.relay.run("ip route add default via 192.0.2.254");
        eprintln!("link down for {down} s: {:?}", cloud.reaches(&name, HEALS_WITHIN));
    }
    // Nobody is told: packets of both ways vanish.
    for down in [2, 5, 10] {
        cloud.world.internet.run("nft add table inet hole");
        cloud.world.internet.run("nft add chain inet hole f { type filter hook forward priority 0 ; policy drop ; }");
        std::thread::sleep(Duration::from_secs(down));
        if down > 4 {
            assert_eq!(cloud.status()["state"], "connecting", "it was noticed");
        }
        cloud.world.internet.run("nft delete table inet hole");
        eprintln!("silent for {down} s: {:?}", cloud.reaches(&name, HEALS_WITHIN));
    }
    // A gateway that is killed comes back to its name; its old line is not in the way.
    cloud.gateway.kill();
    cloud.gateway.run();
    cloud.gateway.converged(Duration::from_secs(10));
    cloud.reaches(&name, HEALS_WITHIN);
}

#[test]
fn what_is_stolen_is_revoked_and_names_are_renewed() {
    let cloud = Cloud::new();
    let token = cloud.token();
    let first = name_of(&cloud.try_enrol(&token).expect("a good token enrols"));
    cloud.reaches(&first, FIRST_WITHIN);
    let again = cloud.try_enrol(&token).expect_err("a token is good once");
    assert!(again.contains("refused"), "{again}");
    assert!(cloud.try_enrol(&"0".repeat(64)).expect_err("a guess").contains("refused"));
    assert!(cloud.try_enrol("short").expect_err("no token").contains("64 hexadecimal"));
    cloud.reaches(&first, FIRST_WITHIN);

    let list = cloud.body("get_voucher_users");
    let second = name_of(cloud.gateway.doorward("cloud rotate").trim());
    assert_ne!(second, first);
    cloud.reaches(&second, FIRST_WITHIN);
    assert_eq!(cloud.post(&first, "/api/", &list), (404, String::new()), "the old name is gone");
    let third = cloud.on_relay(&format!("rotate {second}"));
    cloud.reaches(&third, FIRST_WITHIN);
    assert_eq!(cloud.post(&second, "/api/", &list), (404, String::new()), "the old name is gone");
    assert_eq!(name_of(cloud.status()["endpoint"].as_str().expect("text")), third);

    cloud.on_relay(&format!("revoke {third}"));
    eventually("a revoked gateway is cut off", REVOKED_WITHIN, || cloud.post(&third, "/api/", &list).0 == 404);
    let refused = || cloud.status()["error"].as_str().is_some_and(|error| error.contains("refused"));
    eventually("its credential is refused", HEALS_WITHIN, refused);
    assert_eq!(cloud.post(&third, "/api/", &list).0, 404);

    let fourth = cloud.enrol();
    assert_ne!(fourth, third);
    cloud.gateway.doorward("cloud leave");
    assert_eq!(cloud.status()["state"], "not enrolled");
    eventually("who left is gone", REVOKED_WITHIN, || cloud.post(&fourth, "/api/", &list).0 == 404);
    assert_eq!(cloud.on_relay("list").matches("revoked").count(), 2);
}
