//! Namespaces, a gateway and clients.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use doorward_kernel::tunnel::{Backend, PeerChange, Reading, SOCKET_DIR, TunnelConfig, Tunnels};
use doorward_policy::{
    item::{PeerSpec, TunnelSpec},
    key::{PrivateKey, PublicKey},
    name::IfName,
};

/// Programs of the test's own, before all others.
const BIN: &str = "/run/bin";

/// Set in the process that runs inside.
const INSIDE: &str = "DOORWARD_TEST_INSIDE";

/// Runs the test named `test` again in namespaces of its own, and there its `body`.
pub fn in_namespaces(test: &str, body: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        sh("mount -t tmpfs none /run && mkdir /run/wireguard /run/netns /run/bin && ip link set lo up");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(50), body).await.expect("ends in time") });
        return;
    }
    let status = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .env("PATH", format!("{BIN}:{}", std::env::var("PATH").unwrap()))
        .status()
        .expect("unshare runs");
    assert!(status.success(), "{test} failed inside");
}

/// Runs a line of shell, and shows what it printed when it fails.
pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{line}`: {}\n{out}{err}", output.status);
    out.into_owned()
}

pub fn succeeds(line: &str) -> bool {
    Command::new("sh").args(["-ec", line]).output().unwrap().status.success()
}

/// Whether `holds` comes true within `wait`.
pub fn until(wait: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + wait;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
    }
}

/// The gateway with the tunnel `dwt0` (10.9.0.1) at 192.0.2.1:51820.
pub struct Gateway {
    pub tunnels: Tunnels,
    pub name: IfName,
    pub spec: TunnelSpec,
}

impl Gateway {
    pub fn new() -> Self {
        let private_key = key_of_wg();
        let spec = TunnelSpec { private_key, listen_port: 51_820, mtu: 1_420 };
        Self { tunnels: tunnels(Backend::Userspace, false), name: "dwt0".parse().unwrap(), spec }
    }

    pub fn with_backend(backend: Backend) -> Self {
        Self { tunnels: tunnels(backend, false), ..Self::new() }
    }

    /// With a `systemctl` of our own.
    pub fn with_systemd() -> Self {
        let script = format!(
            "#!/bin/sh\necho \"$*\" >>/run/systemctl.log\n\
             case $2 in\n\
             restart) {} tunnel dwt0 >/dev/null 2>&1 & ;;\n\
             stop) pkill -x tunnel ;;\n\
             esac\n",
            program().display()
        );
        std::fs::write(format!("{BIN}/systemctl"), script).unwrap();
        sh(&format!("chmod +x {BIN}/systemctl"));
        Self { tunnels: tunnels(Backend::Userspace, true), ..Self::new() }
    }

    /// With its tunnel up.
    pub async fn start() -> Self {
        let mut gateway = Self::new();
        gateway.ensure().await;
        gateway
    }

    pub async fn ensure(&mut self) {
        self.tunnels.ensure(self.name, &self.spec).await.unwrap();
        sh("ip link set dwt0 mtu 1420 up && ip addr replace 10.9.0.1/24 dev dwt0");
        let alias = sh("ip link show dwt0");
        assert!(alias.contains("alias doorward"), "{alias}");
    }

    /// As a new gateway process would begin.
    pub fn restart(&mut self) {
        self.tunnels = tunnels(Backend::Userspace, false);
    }

    pub async fn read(&mut self) -> Reading {
        self.tunnels.read(self.name).await.unwrap().expect("a tunnel")
    }

    pub async fn change(&mut self, change: PeerChange) {
        for result in self.tunnels.change_peers(self.name, &[change]).await {
            result.unwrap();
        }
    }

    pub fn pid(&self) -> String {
        sh("pgrep -x tunnel").trim().to_owned()
    }

    /// Makes a client in a namespace of its own, 10.9.0.`number`, and lets it in.
    pub async fn add_client(&mut self, number: u8) -> Client {
        let client = Client::start(number, self.spec.private_key.public());
        self.change(PeerChange::Put(client.public_key, client.spec())).await;
        client
    }
}

fn tunnels(backend: Backend, systemd: bool) -> Tunnels {
    let socket_dir = PathBuf::from(SOCKET_DIR);
    Tunnels::new(TunnelConfig { backend, program: program(), socket_dir, systemd })
}

/// The tunnel program of this crate's examples.
pub fn program() -> PathBuf {
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/tunnel");
    assert!(program.exists(), "{} is built with the tests", program.display());
    program
}

fn key_of_wg() -> PrivateKey {
    sh("wg genkey").trim().parse().unwrap()
}

/// A client with Debian's wireguard-go.
pub struct Client {
    number: u8,
    pub public_key: PublicKey,
}

impl Client {
    fn start(number: u8, gateway: PublicKey) -> Self {
        let key = key_of_wg();
        let (n, secret) = (number, key.expose_base64());
        sh(&format!(
            "ip netns add dwtc{n}
             ip link add dwtv{n} type veth peer name eth0 netns dwtc{n}
             ip addr add 192.0.2.1/32 peer 192.0.2.{n}/32 dev dwtv{n}; ip link set dwtv{n} up
             alias ns='ip netns exec dwtc{n}'
             ns ip link set lo up; ns ip addr add 192.0.2.{n}/32 peer 192.0.2.1/32 dev eth0; ns ip link set eth0 up
             ns wireguard-go dwtw{n} >/dev/null 2>&1
             ns sh -c 'echo {secret} | wg set dwtw{n} private-key /dev/stdin \
                peer {gateway} endpoint 192.0.2.1:51820 allowed-ips 10.9.0.0/24'
             ns ip addr add 10.9.0.{n}/32 dev dwtw{n}; ns ip link set dwtw{n} mtu 1420 up
             ns ip route add 10.9.0.0/24 dev dwtw{n}"
        ));
        Self { number, public_key: key.public() }
    }

    pub fn spec(&self) -> PeerSpec {
        let address = Ipv4Addr::new(10, 9, 0, self.number);
        PeerSpec { allowed_ips: Box::new([std::net::IpAddr::V4(address).into()]), preshared_key: None }
    }

    /// Three pings, the first of which makes the handshake.
    pub fn reaches_gateway(&self) -> bool {
        succeeds(&format!("ip netns exec dwtc{} ping -c3 -i0.2 -W1 10.9.0.1", self.number))
    }

    pub fn answers_one_ping(&self) -> bool {
        succeeds(&format!("ip netns exec dwtc{} ping -c1 -W0.2 10.9.0.1", self.number))
    }

    /// When the client's last handshake was, in its own eyes.
    pub fn handshakes(&self) -> String {
        sh(&format!("ip netns exec dwtc{0} wg show dwtw{0} latest-handshakes", self.number))
    }
}

/// One of many peers that nobody is behind.
pub fn numbered_peer(number: u32) -> PeerChange {
    let mut key = [7; 32];
    key[4..8].copy_from_slice(&number.to_le_bytes());
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 100, 0, 0).to_bits() + number);
    let allowed_ips = Box::new([std::net::IpAddr::V4(address).into()]);
    PeerChange::Put(PublicKey(key), PeerSpec { allowed_ips, preshared_key: None })
}

pub fn removal(change: &PeerChange) -> PeerChange {
    match change {
        PeerChange::Put(key, _) | PeerChange::Remove(key) => PeerChange::Remove(*key),
    }
}
