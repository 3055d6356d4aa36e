//! A cloud endpoint's hosts: a caller, a relay and a gateway. Nothing new comes in at the gateway's WAN.

use std::{fs, io::Write as _, net::TcpStream, path::Path, process::Stdio, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};

use crate::{
    gateway::Gateway,
    host::{Host, Process, cable, eventually},
    world::World,
};

pub const DOMAIN: &str = "cloud.example.net";
const RELAY_HOST: &str = "relay.cloud.example.net";
pub const RELAY: &str = "192.0.2.53";
const CALLER: &str = "192.0.2.61";
/// Enrolment to the first request.
pub const FIRST_WITHIN: Duration = Duration::from_secs(5);

pub struct Cloud {
    pub gateway: Gateway,
    pub relay: Host,
    pub caller: Host,
    pub world: World,
    pub dir: tempfile::TempDir,
    process: Option<Process>,
    pub key: String,
}

impl Cloud {
    /// The relay's certificate is from files.
    pub fn new() -> Self {
        Self::with(|_, folder| {
            certificate(folder);
            format!("tls_certificate = \"{0}/cert.pem\"\ntls_key = \"{0}/key.pem\"\n", folder.display())
        })
    }

    /// `tls` answers what the relay's configuration says of its certificate, and leaves the root as `ca.pem` in the folder.
    pub fn with(tls: impl FnOnce(&World, &Path) -> String) -> Self {
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
        let tls = tls(&world, dir.path());
        let toml = format!(
            "listen = [\"0.0.0.0:443\"]\ndomain = \"{DOMAIN}\"\nstate_dir = \"{}/relay\"\n{tls}\
             [limits]\naddress_per_second = 1000\nname_per_second = 1000\naddress_connects = 1000\n\
             [log]\nlevel = \"info,doorward=debug\"\n",
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

    pub fn start(&mut self) {
        let mut command = self.relay.command(env!("CARGO_BIN_EXE_doorward"));
        command.arg("--config").arg(self.dir.path().join("relay.toml")).arg("relay");
        let log = fs::File::options().create(true).append(true).open(self.dir.path().join("relay.log"));
        self.process = Some(self.relay.spawn(command, log.expect("a log file")));
        let listens = || self.relay.run("ss -Hlnt").contains(":443 ");
        eventually("the relay listens", Duration::from_secs(5), listens);
    }

    pub fn kill(&mut self) {
        let process = self.process.take().expect("the relay was started");
        process.kill();
        eventually("a killed process is gone", Duration::from_secs(5), || !process.alive());
    }

    pub fn on_relay(&self, words: &str) -> String {
        let config = self.dir.path().join("relay.toml");
        let line = format!("{} --config {} relay {words}", env!("CARGO_BIN_EXE_doorward"), config.display());
        self.relay.run(&line).trim().to_owned()
    }

    pub fn token(&self) -> String {
        self.on_relay("token --note lab")
    }

    /// What `doorward cloud enrol` says; the token goes in by standard input.
    pub fn try_enrol(&self, token: &str) -> Result<String, String> {
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
    pub fn enrol(&self) -> String {
        let endpoint = self.try_enrol(&self.token()).expect("a good token enrols");
        let name = name_of(&endpoint);
        self.reaches(&name, FIRST_WITHIN);
        name
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.gateway.doorward("cloud status --json")).expect("JSON")
    }

    pub fn body(&self, action: &str) -> String {
        json!({ "api-key": self.key, "action": action }).to_string()
    }

    /// A caller's request by curl: status and body. 0: no answer at all.
    pub fn curl(&self, name: &str, path: &str, options: &[&str]) -> (u16, String) {
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

    pub fn post(&self, name: &str, path: &str, body: &str) -> (u16, String) {
        self.curl(name, path, &["-H", "Content-Type: application/json", "--data-binary", body])
    }

    /// Waits until the gateway answers by its name.
    pub fn reaches(&self, name: &str, within: Duration) -> Duration {
        let body = self.body("get_voucher_users");
        eventually("the cloud endpoint answers", within, || self.post(name, "/api/", &body).0 == 200)
    }

    /// A TLS connection of a caller that does as it likes.
    pub fn raw(&self, name: &str) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
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

    pub fn relay_log(&self) -> String {
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

pub fn name_of(endpoint: &str) -> String {
    let name = endpoint.strip_prefix("https://").and_then(|rest| rest.strip_suffix(&format!(".{DOMAIN}/api/")));
    let name = name.unwrap_or_else(|| panic!("an endpoint, not {endpoint:?}"));
    assert!(name.len() == 10 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{name}");
    name.to_owned()
}

/// A certificate authority and a wildcard certificate by it.
fn certificate(folder: &Path) {
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
