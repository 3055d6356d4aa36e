//! Linux in a network namespace of its own, and what holds for it alone.

use std::path::PathBuf;

use doorward_kernel::{
    linux::{Linux, LinuxConfig},
    nft::NftOwner,
    tunnel::{Backend, TunnelConfig},
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use nlink::netlink::{Connection, Route, addr::Ipv4Address, link::VethLink, route::Ipv4Route};

/// A host of a test: one WAN `eth0` with 192.0.2.10/24 and a default route.
pub struct HostUnderTest {
    pub state: tempfile::TempDir,
    pub route: Connection<Route>,
}

/// Runs a test in namespaces of its own: of network, so that nothing of this machine is touched, and of mounts, so that
/// its control sockets are nobody else's.
pub fn in_namespace(test: impl AsyncFnOnce(&HostUnderTest)) {
    _ = tracing_subscriber::fmt().with_env_filter("doorward_kernel=warn").with_test_writer().try_init();
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("root, to make namespaces");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let route = Connection::<Route>::new().unwrap();
        route.set_link_up("lo").await.unwrap();
        route.add_link(VethLink::new("eth0", "internet")).await.unwrap();
        route.set_link_up("internet").await.unwrap();
        route.set_link_up("eth0").await.unwrap();
        route.add_address(Ipv4Address::new("eth0", [192, 0, 2, 10].into(), 24)).await.unwrap();
        route
            .add_route(Ipv4Route::new(std::net::Ipv4Addr::UNSPECIFIED, 0).gateway([192, 0, 2, 1].into()))
            .await
            .unwrap();
        test(&HostUnderTest { state: tempfile::tempdir_in("/run").unwrap(), route }).await;
    });
}

impl HostUnderTest {
    pub async fn open(&self) -> Linux {
        self.open_with(NftOwner::Auto).await
    }

    pub async fn open_with(&self, nft_owner: NftOwner) -> Linux {
        let tunnels = TunnelConfig {
            backend: Backend::Userspace,
            program: PathBuf::from("/proc/self/exe"),
            socket_dir: PathBuf::from("/run/wireguard"),
            systemd: false,
        };
        let config = LinuxConfig { tunnels, nft_owner, state_dir: self.state.path().to_owned(), wans: None };
        Linux::open(config).await.unwrap()
    }
}
