//! Linux in a network namespace of its own, and what holds for it alone.

use std::{net::Ipv4Addr, path::PathBuf, process::Command, time::Duration};

use doorward_kernel::{
    linux::{Linux, LinuxConfig},
    nft::NftOwner,
    tunnel::{Backend, TunnelConfig},
};
use nlink::netlink::{Connection, Route, addr::Ipv4Address, link::VethLink, route::Ipv4Route};
use tracing_subscriber::EnvFilter;

/// A host of a test: one WAN `eth0` with 192.0.2.10/24 and a default route, and a bridge `guests` with two ports.
pub struct HostUnderTest {
    pub state: tempfile::TempDir,
}

/// Set in the process that runs inside.
const INSIDE: &str = "DOORWARD_CONTRACT_INSIDE";

/// Runs the test named `test` again in network, mount and process namespaces of its own, which take everything with
/// them when it ends, and there its `body`.
pub fn in_namespaces(test: &str, body: impl AsyncFnOnce(&HostUnderTest)) {
    if std::env::var_os(INSIDE).is_some() {
        _ = tracing_subscriber::fmt()
            .with_env_filter(
                EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("doorward_kernel=warn")),
            )
            .with_test_writer()
            .try_init();
        sh("mount -t tmpfs none /run && mkdir /run/wireguard && ip link set lo up");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let body = async { body(&HostUnderTest::new().await).await };
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(110), body).await.expect("ends in time") });
        return;
    }
    let status = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare runs");
    assert!(status.success(), "{test} failed inside");
}

/// Runs a line of shell: what somebody else does on the host. Shows what it printed when it fails.
pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{line}`: {}\n{out}{err}", output.status);
    out.into_owned()
}

impl HostUnderTest {
    async fn new() -> Self {
        let route = Connection::<Route>::new().unwrap();
        route.add_link(VethLink::new("eth0", "internet")).await.unwrap();
        route.set_link_up("internet").await.unwrap();
        route.set_link_up("eth0").await.unwrap();
        route.add_address(Ipv4Address::new("eth0", [192, 0, 2, 10].into(), 24)).await.unwrap();
        let any = Ipv4Route::new(Ipv4Addr::UNSPECIFIED, 0);
        route.add_route(any.gateway([192, 0, 2, 1].into())).await.unwrap();
        sh("ip link add guests type bridge; ip link set guests up
            ip link add port1 type veth peer name guest1; ip link add port2 type veth peer name guest2
            ip link set port1 master guests up; ip link set port2 master guests up");
        Self { state: tempfile::tempdir_in("/run").unwrap() }
    }

    pub async fn open(&self) -> Linux {
        self.open_with(NftOwner::Auto).await
    }

    pub async fn open_with(&self, nft_owner: NftOwner) -> Linux {
        let tunnels = TunnelConfig {
            backend: Backend::Userspace,
            program: std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/tunnel"),
            socket_dir: PathBuf::from("/run/wireguard"),
            systemd: false,
        };
        let config = LinuxConfig { tunnels, nft_owner, state_dir: self.state.path().to_owned(), wans: None };
        Linux::open(config).await.unwrap()
    }
}
