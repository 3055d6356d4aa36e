//! Guests: hosts on the guest network, with a real DHCP client, a real HTTP client and names by the gateway's resolver.

use std::{
    fs,
    io::Write as _,
    net::{IpAddr, Ipv6Addr},
    os::unix::fs::OpenOptionsExt as _,
    process::Stdio,
    time::Duration,
};

use crate::{
    host::{Host, cable, eventually},
    world::World,
};

/// The guest network's bridge on the gateway.
pub const BRIDGE: &str = "guest0";
/// The gateway's address there.
pub const GATEWAY_GUEST: &str = "10.30.0.1";
pub const GATEWAY_GUEST_V6: &str = "fd30::1";

/// From plugging in to an address, on a loaded machine.
const LEASE_WITHIN: Duration = Duration::from_secs(10);

/// What a DHCP client does with a lease (udhcpc's script): address, route, resolver, and all it was told in a file.
const ON_LEASE: &str = "#!/bin/sh
case $1 in bound|renew) ;; *) exit 0 ;; esac
ip -4 addr flush dev $interface
ip addr add $ip/$mask dev $interface
ip route replace default via $router
for server in $dns; do echo nameserver $server; done >/run/resolv.conf
env >/run/lease
";

/// A device on the guest network.
pub struct Guest {
    pub host: Host,
    pub mac: String,
    dir: tempfile::TempDir,
}

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 0: there was none.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// A header by its name in lower case; empty: it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

impl World {
    /// Makes the guest network's bridge on the gateway; it has no address yet.
    pub fn guest_bridge(&self) {
        self.gateway.run(&format!("ip link add {BRIDGE} address 02:00:00:00:30:01 type bridge"));
        self.gateway.run(&format!("ip link set {BRIDGE} up"));
    }

    /// A device plugged into the guest network; it has no address yet.
    pub fn guest(&self, n: usize) -> Guest {
        let host = Host::new(&format!("guest {n}"));
        cable(&host, "wlan0", &self.gateway, &format!("g{n}"));
        self.gateway.run(&format!("ip link set g{n} master {BRIDGE}"));
        let mac = format!("02:00:00:00:aa:{n:02x}");
        host.run(&format!("ip link set wlan0 address {mac}"));
        fs::write(host.path("/run/resolv.conf"), "").expect("a file in the guest's /run");
        host.run("mount --bind /run/resolv.conf /etc/resolv.conf");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut script = fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(dir.path().join("on-lease"))
            .expect("a script");
        script.write_all(ON_LEASE.as_bytes()).expect("a script");
        Guest { host, mac: mac.to_uppercase(), dir }
    }
}

impl Guest {
    /// Gets a lease with a real DHCP client, which ends then.
    pub fn join(&self) -> IpAddr {
        self.try_join();
        self.address()
    }

    fn try_join(&self) {
        let script = self.dir.path().join("on-lease");
        let line = "udhcpc -f -q -n -t 10 -T 1 -O 114 -i wlan0 -x hostname:guest -s";
        self.host.run(&format!("{line} {}", script.display()));
    }

    /// What the DHCP client was told, as its script saw it.
    pub fn lease(&self) -> String {
        fs::read_to_string(self.host.path("/run/lease")).expect("a lease")
    }

    /// The IPv4 address.
    pub fn address(&self) -> IpAddr {
        let text = self.host.run("ip -4 -o addr show dev wlan0 scope global");
        let address = text.split_whitespace().skip_while(|word| *word != "inet").nth(1);
        address.and_then(|net| net.split('/').next()?.parse().ok()).expect("an IPv4 address")
    }

    /// The address by router advertisement.
    pub fn address_v6(&self) -> IpAddr {
        let mut found = None;
        eventually("a router advertisement gives an address", LEASE_WITHIN, || {
            let text = self.host.run("ip -6 -o addr show dev wlan0 scope global");
            let ready = text.lines().filter(|line| !line.contains("tentative"));
            let mut nets = ready.filter_map(|line| line.split_whitespace().skip_while(|w| *w != "inet6").nth(1));
            found = nets.find_map(|net| net.split('/').next()?.parse::<Ipv6Addr>().ok());
            found.is_some()
        });
        IpAddr::V6(found.expect("found just now"))
    }

    /// GET by curl, redirects not followed.
    pub fn get(&self, url: &str) -> Answer {
        self.curl(&[url], "")
    }

    /// POST of a form by curl.
    pub fn post(&self, url: &str, form: &str) -> Answer {
        self.curl(&["--data-binary", "@-", url], form)
    }

    /// curl with arguments of the caller's, in the guest's network.
    pub fn curl(&self, args: &[&str], stdin: &str) -> Answer {
        let mut command = self.host.command("curl");
        command.args(["-s", "-i", "--max-time", "8", "-b", "/run/cookies", "-c", "/run/cookies"]).args(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("nsenter starts");
        child.stdin.take().expect("stdin is piped").write_all(stdin.as_bytes()).expect("curl reads");
        let output = child.wait_with_output().expect("curl ends");
        parse_answer(&String::from_utf8_lossy(&output.stdout))
    }

    /// Whether a TCP connection to a server comes about: an answer by the portal is none.
    pub fn reaches(&self, url: &str) -> bool {
        self.get(url).header("server") == crate::internet::SERVER_NAME
    }

    /// The same by IPv4 alone.
    pub fn reaches_v4(&self, url: &str) -> bool {
        self.curl(&["-4", url], "").header("server") == crate::internet::SERVER_NAME
    }
}

pub fn parse_answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let header = |line: &str| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
    Answer { status, headers: lines.filter_map(header).collect(), body: body.to_owned() }
}

/// A form of a page, found by one of its fields.
pub struct Form {
    pub action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    /// The form that has a field of that name, with its hidden and filled-in values.
    pub fn with_field(html: &str, field: &str) -> Self {
        let forms = html.split("<form").skip(1).map(|rest| rest.split("</form>").next().unwrap_or(rest));
        let has = |form: &&str| form.contains(&format!("name=\"{field}\""));
        let mut found = forms.filter(has);
        let form = found.next().unwrap_or_else(|| panic!("no form with {field}: {html}"));
        let inputs = form.split('<').filter(|tag| tag.starts_with("input") || tag.starts_with("button"));
        let fields = inputs
            .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default(), tag)))
            .filter(|(_, _, tag)| !tag.contains("type=\"checkbox\"") && !tag.contains("type=\"radio\""))
            .map(|(name, value, _)| (name, value))
            .collect();
        Self { action: attribute(form, "action").unwrap_or_default(), fields }
    }

    /// Puts a value in.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(n, _)| n != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The form as it is sent.
    pub fn body(&self) -> String {
        let pairs = self.fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// An attribute's value, its entities decoded.
pub fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!(" {name}=\""))?.1.split('"').next()?;
    Some(decode(value))
}

fn decode(text: &str) -> String {
    let mut text = text.to_owned();
    for (entity, character) in [("&#38;", "&"), ("&amp;", "&"), ("&#34;", "\""), ("&#39;", "'"), ("&#x2f;", "/")] {
        text = text.replace(entity, character);
    }
    text.replace("&#60;", "<").replace("&#62;", ">").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"")
}

/// Percent-encodes for a form.
pub fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
