//! A real WireGuard client: wireguard-go and wg in a host of their own, set up from the text that the API handed out.

use std::{fs, net::IpAddr, thread, time::Duration};

use crate::host::{Host, Process, eventually};

/// wireguard-go opens its socket in a few milliseconds; a loaded machine may be slower.
const STARTS_WITHIN: Duration = Duration::from_secs(5);

/// A client and its tunnel `wg0`.
pub struct Client {
    pub host: Host,
    _process: Process,
    /// Tunnel addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
    dir: tempfile::TempDir,
}

/// A client configuration, read the way wg-quick does.
struct Config {
    /// What `wg setconf` understands.
    wg: String,
    addresses: Vec<String>,
    mtu: Option<String>,
    allowed: Vec<String>,
}

impl Client {
    /// Starts the client's program in a host that is connected already; the tunnel has no configuration yet.
    pub fn new(host: Host) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = fs::File::create(dir.path().join("wireguard-go.log")).expect("a log file");
        let mut command = host.command("wireguard-go");
        command.args(["-f", "wg0"]);
        let process = host.spawn(command, log);
        let socket = host.path("/run/wireguard/wg0.sock");
        eventually("wireguard-go opens its socket", STARTS_WITHIN, || socket.exists());
        Self { host, _process: process, addresses: Vec::new(), dir }
    }

    /// Brings the tunnel up as wg-quick would: key, peer, addresses, MTU, routes.
    pub fn up(&mut self, config_text: &str) {
        let config = Config::parse(config_text);
        let file = self.dir.path().join("wg0.conf");
        fs::write(&file, &config.wg).expect("a file in a temporary folder");
        self.host.run(&format!("wg setconf wg0 {}", file.display()));
        self.host.run("ip addr flush dev wg0");
        for address in &config.addresses {
            // No duplicate address detection: the first packet shall not wait for it.
            let nodad = if address.contains(':') { " nodad" } else { "" };
            self.host.run(&format!("ip addr add {address} dev wg0{nodad}"));
        }
        self.host.run(&format!("ip link set wg0 mtu {} up", config.mtu.as_deref().unwrap_or("1420")));
        for allowed in &config.allowed {
            self.host.run(&format!("ip route replace {allowed} dev wg0"));
        }
        self.addresses = config.addresses.iter().filter_map(|a| a.split('/').next()?.parse().ok()).collect();
    }

    /// One ping through the tunnel; whether it came back within a second.
    pub fn ping(&self, to: &str) -> bool {
        self.host.try_run(&format!("ping -n -c 1 -W 1 {to}")).status.success()
    }

    /// The IPv4 tunnel address.
    pub fn address(&self) -> IpAddr {
        *self.addresses.first().expect("the tunnel is up")
    }

    /// Unix time of the last handshake, 0 before the first.
    pub fn latest_handshake(&self) -> u64 {
        let text = self.host.run("wg show wg0 latest-handshakes");
        text.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("one peer with a time")
    }

    /// Pings until one comes back.
    pub fn reaches(&self, to: &str, within: Duration) -> Duration {
        let start = std::time::Instant::now();
        while !self.host.try_run(&format!("ping -n -c 1 -W 0.2 {to}")).status.success() {
            assert!(start.elapsed() < within, "{} does not reach {to} within {within:?}", self.host.name());
            thread::sleep(Duration::from_millis(5));
        }
        start.elapsed()
    }
}

impl Config {
    fn parse(text: &str) -> Self {
        let mut config = Self { wg: String::new(), addresses: Vec::new(), mtu: None, allowed: Vec::new() };
        for line in text.lines().map(str::trim) {
            let (key, value) = line.split_once(" = ").unwrap_or((line, ""));
            let list = || value.split(',').map(|v| v.trim().to_owned()).collect();
            match key {
                "Address" => config.addresses = list(),
                "MTU" => config.mtu = Some(value.to_owned()),
                "DNS" => {}
                _ => {
                    if key == "AllowedIPs" {
                        config.allowed = list();
                    }
                    config.wg.push_str(line);
                    config.wg.push('\n');
                }
            }
        }
        assert!(!config.addresses.is_empty() && !config.allowed.is_empty(), "a whole configuration: {text}");
        config
    }
}
