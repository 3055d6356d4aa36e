//! A world with a running hotspot: guests by DHCP, a portal, and the hotspot API as a property-management system uses
//! it.

use std::{io::Write as _, process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::{
    gateway::Gateway,
    guest::{Answer, BRIDGE, Form, GATEWAY_GUEST, GATEWAY_GUEST_V6, Guest},
    host::eventually,
    lab::{GRANT_WITHIN, text},
    world::{SERVER, World},
};

/// The portal, as its host name leads there.
pub const PORTAL: &str = "http://login.guest.internal";
/// A page of the internet of the lab.
pub const PAGE: &str = "http://www.example.com/";
/// DHCP, resolver and portal follow a new hotspot; a loaded machine may be slower.
const OPENS_WITHIN: Duration = Duration::from_secs(10);

pub struct HotspotLab {
    // Dropped in this order: the gateway's log is shown before its host goes.
    pub gateway: Gateway,
    key: String,
    pub world: World,
}

impl HotspotLab {
    /// A hotspot `lobby` with the settings that it has at first.
    pub fn new() -> Self {
        Self::with("", &json!({}))
    }

    /// The same with more configuration below `[network]`, and settings other than those at first.
    pub fn with(network: &str, settings: &Value) -> Self {
        Self::prepared(network, settings, |_| Vec::new())
    }

    /// The same in a world that is prepared further; what that answers is put into the gateway's environment.
    pub fn prepared(network: &str, settings: &Value, prepare: impl FnOnce(&World) -> Vec<(String, String)>) -> Self {
        let world = World::new();
        world.guest_bridge();
        world.open_internet();
        let environment = prepare(&world);
        let config = format!("{network}\n[dns]\nupstreams = [\"{SERVER}:53\"]\n");
        let gateway = Gateway::start_in(&world.gateway, &config, environment);
        gateway.doorward(&format!(
            "hotspot create lobby --interface {BRIDGE} --address {GATEWAY_GUEST}/16 --ipv6 {GATEWAY_GUEST_V6}/64"
        ));
        let lab = Self { key: gateway.doorward("hotspot-api key").trim().to_owned(), gateway, world };
        lab.gateway.doorward("hotspot-api on --post");
        if settings.as_object().is_some_and(|settings| !settings.is_empty()) {
            lab.set(settings);
        }
        lab.opened();
        lab
    }

    /// Changes settings of the hotspot.
    pub fn set(&self, settings: &Value) {
        let mut all: Value = serde_json::from_str(&self.gateway.doorward("hotspot settings lobby")).expect("JSON");
        for (key, value) in settings.as_object().expect("an object") {
            all[key] = value.clone();
        }
        self.put("hotspot settings lobby", &all);
    }

    /// Hands a file with JSON to a subcommand.
    pub fn put(&self, words: &str, value: &Value) {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(value.to_string().as_bytes()).expect("a temporary file");
        self.gateway.doorward(&format!("{words} {}", file.path().display()));
    }

    /// Waits until DHCP server, resolver and portal listen.
    pub fn opened(&self) {
        let listening = || {
            let sockets = self.gateway.host.run("ss -Hlntu");
            [":67 ", &format!("{GATEWAY_GUEST}%{BRIDGE}:53 "), &format!("{GATEWAY_GUEST}%{BRIDGE}:80 ")]
                .iter()
                .all(|port| sockets.contains(*port))
        };
        eventually("DHCP, resolver and portal listen", OPENS_WITHIN, listening);
    }

    /// A request to the hotspot API, as JSON; answers its JSON.
    pub fn api(&self, action: &str, parameters: &Value) -> Value {
        let mut body = parameters.clone();
        body["api-key"] = json!(self.key);
        body["action"] = json!(action);
        let mut command = self.gateway.host.command("curl");
        command.args(["-s", "--max-time", "20", "-H", "Content-Type: application/json", "--data-binary", "@-"]);
        command.arg("http://127.0.0.1:8080/api/");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nsenter starts");
        child.stdin.take().expect("stdin is piped").write_all(body.to_string().as_bytes()).expect("curl reads");
        let output = child.wait_with_output().expect("curl ends");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{action}: {e}: {}", String::from_utf8_lossy(&output.stdout)))
    }

    /// Makes a voucher and answers user name and passcode.
    pub fn voucher(&self, parameters: &Value) -> Voucher {
        let answer = self.api("create_voucher", parameters);
        assert_eq!(answer["error"], false, "{answer}");
        let user = &answer["user"];
        Voucher { username: text(&user["username"]).to_owned(), passcode: text(&user["passcode"]).to_owned() }
    }

    /// A guest with an address.
    pub fn guest(&self, n: usize) -> Guest {
        let guest = self.world.guest(n);
        guest.join();
        guest
    }

    /// A guest who is online with a voucher of its own.
    pub fn online(&self, n: usize, voucher: &Value) -> (Guest, Voucher) {
        let (guest, voucher) = (self.guest(n), self.voucher(voucher));
        guest.redeem(&voucher);
        guest.is_online(GRANT_WITHIN);
        (guest, voucher)
    }

    /// The one session of a guest in `get_active_guests`.
    pub fn active(&self, guest: &Guest) -> Option<Value> {
        let answer = self.api("get_active_guests", &json!({}));
        let all = answer["data"].as_array().expect("a list");
        all.iter().find(|one| one["mac-address"] == guest.mac.as_str()).cloned()
    }
}

/// What a guest was given at the desk.
#[derive(Debug, Clone)]
pub struct Voucher {
    pub username: String,
    pub passcode: String,
}

impl Guest {
    /// Types a voucher into the portal's form and answers the page that comes.
    pub fn redeem(&self, voucher: &Voucher) -> Answer {
        let page = self.get(&format!("{PORTAL}/"));
        assert_eq!(page.status, 200, "the portal shows itself: {page:?}");
        let form = Form::with_field(&page.body, "p");
        let form = form.set("u", &voucher.username).set("p", &voucher.passcode);
        self.submit(&form)
    }

    /// Sends a form of the portal, following the redirect that comes.
    pub fn submit(&self, form: &Form) -> Answer {
        let answer = self.post(&format!("{PORTAL}{}", form.action), &form.body());
        match answer.header("location") {
            "" => answer,
            location if location.starts_with('/') => self.get(&format!("{PORTAL}{location}")),
            location => self.get(location),
        }
    }

    /// Waits until the internet answers.
    pub fn is_online(&self, within: Duration) -> Duration {
        eventually("the internet answers an online guest", within, || self.reaches(PAGE))
    }

    /// Whether the portal answers in the internet's place.
    pub fn is_captive(&self) -> bool {
        let answer = self.get(PAGE);
        answer.status == 302 && answer.header("location").starts_with("http")
    }
}
