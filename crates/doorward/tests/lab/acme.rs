//! A certificate from a real ACME authority, Let's Encrypt's own test server Pebble, on a host of the internet.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::{
    host::{Host, Process, eventually},
    lab::Lab,
    world::{GATEWAY, SERVER, World},
};

const NAME: &str = "gw.example.net";
/// Pebble's own pauses, its look at the gateway and what it is asked meanwhile.
pub const ISSUED_WITHIN: Duration = Duration::from_secs(60);

/// Pebble.
pub struct Authority {
    pub host: Host,
    folder: tempfile::TempDir,
    pub processes: Vec<Process>,
}

impl Authority {
    /// One that is told that all names lead to the gateway, and expects their TLS at `port`.
    fn of_gateway(host: &Host, port: u16) -> Self {
        let mut this = Self::start(host, "127.0.0.1:8053", json!({ "tlsPort": port }));
        let mut names = host.command("pebble-challtestsrv");
        names.args(["-defaultIPv4", GATEWAY, "-defaultIPv6", "", "-dns01", "127.0.0.1:8053", "-http01", ""]);
        names.args(["-https01", "", "-tlsalpn01", "", "-management", "127.0.0.1:8055"]);
        let log = fs::File::create(this.folder.path().join("names.log")).expect("a log file");
        this.processes.push(host.spawn(names, log));
        this
    }

    /// `names`: the server that it asks for names. `more`: what else its configuration says.
    pub fn start(host: &Host, names: &str, more: Value) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let own = rcgen::generate_simple_self_signed([SERVER.to_owned()]).expect("a certificate");
        fs::write(path("own.pem"), own.cert.pem()).expect("a file");
        fs::write(path("own.key"), own.signing_key.serialize_pem()).expect("a file");
        let mut config = json!({ "pebble": {
            "listenAddress": "0.0.0.0:14000", "managementListenAddress": "0.0.0.0:15000",
            "certificate": path("own.pem"), "privateKey": path("own.key"),
            "httpPort": 5002, "ocspResponderURL": "", "externalAccountBindingRequired": false,
        } });
        config["pebble"].as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        fs::write(path("pebble.json"), config.to_string()).expect("a file");

        let mut pebble = host.command("pebble");
        pebble.arg("-config").arg(path("pebble.json")).args(["-dnsserver", names]);
        // It looks at once, and each time anew.
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        let log = fs::File::create(path("pebble.log")).expect("a log file");
        let processes = vec![host.spawn(pebble, log)];
        eventually("the authority answers", ISSUED_WITHIN, || {
            host.try_run("curl -sk --fail -o /dev/null https://127.0.0.1:14000/dir").status.success()
        });
        Self { host: host.clone(), folder, processes }
    }

    /// What a configuration says of it.
    pub fn section(&self) -> String {
        format!(
            "[acme]\ncontact = \"ops@example.net\"\nterms_agreed = true\n\
             directory = \"https://{SERVER}:14000/dir\"\nroots = \"{}\"\n",
            self.folder.path().join("own.pem").display()
        )
    }

    /// The root of what it issues.
    pub fn root(&self) -> String {
        let root = self.host.run("curl -sk --fail https://127.0.0.1:15000/roots/0");
        let path = self.folder.path().join("root.pem");
        fs::write(&path, root).expect("a file");
        path.display().to_string()
    }
}

/// Whether a client that trusts the authority alone is served by that name.
fn is_trusted(host: &Host, root: &str) -> bool {
    let options = "-s --fail -o /dev/null --max-time 5";
    let line = format!("curl {options} --cacert {root} --resolve {NAME}:8443:{GATEWAY} https://{NAME}:8443/healthz");
    host.try_run(&line).status.success()
}

#[test]
fn a_certificate_comes_serves_and_stays() {
    let world = World::new();
    let authority = Authority::of_gateway(&world.internet, 8443);
    let mut lab = Lab::in_world(world, &format!("{}names = [\"{NAME}\"]\n", authority.section()));
    let root = authority.root();
    eventually("the authority's certificate serves", ISSUED_WITHIN, || is_trusted(&authority.host, &root));
    assert!(lab.gateway.log().contains("a certificate came from the authority"));

    // Without the authority it is what the next start serves with.
    authority.processes.iter().for_each(Process::kill);
    lab.gateway.stop();
    lab.gateway.run();
    lab.gateway.converged(ISSUED_WITHIN);
    assert!(is_trusted(&authority.host, &root), "{}", lab.gateway.log());
}

/// An authority that cannot see that the name is ours gives nothing, and the gateway serves with its own certificate.
#[test]
fn without_a_certificate_the_gateways_own_serves_and_the_reason_is_told() {
    let world = World::new();
    let authority = Authority::of_gateway(&world.internet, 4443);
    let lab = Lab::in_world(world, &format!("{}names = [\"{NAME}\"]\n", authority.section()));
    eventually("the attempt failed", ISSUED_WITHIN, || lab.gateway.log().contains("no certificate from the authority"));
    let log = lab.gateway.log();
    assert!(log.contains(&format!("Failed to connect to {GATEWAY}:4443")), "the authority's own words: {log}");
    let root = authority.root();
    assert!(!is_trusted(&authority.host, &root));
    let own = format!("curl -sk --fail -o /dev/null https://{GATEWAY}:8443/healthz");
    assert!(authority.host.try_run(&own).status.success());
}
