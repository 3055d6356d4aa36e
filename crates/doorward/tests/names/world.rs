//! A gateway with one hotspot, and one guest on a cable: `guest0` here, `eth0` in the namespace `guest`.

use std::{
    fs::File,
    os::fd::AsFd as _,
    process::{Command, Output, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use doorward::{app::HotspotRecord, hotspot_settings::HotspotSettings};
use doorward_policy::hotspot::{Hotspot, HotspotId};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Set in the process that runs inside.
const INSIDE: &str = "NAMES_TEST_INSIDE";

/// A test that takes longer hangs.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Runs the test named `test` again in namespaces of its own, and there its `body`. When it ends, however it ends, the
/// kernel ends everything in them.
pub fn in_namespaces(test: &str, body: impl Future<Output = ()>) {
    in_namespaces_with(test, Vec::new, body);
}

/// The same with an environment, which is made outside.
pub fn in_namespaces_with(
    test: &str,
    environment: impl FnOnce() -> Vec<(&'static str, String)>,
    body: impl Future<Output = ()>,
) {
    if std::env::var_os(INSIDE).is_some() {
        for line in [
            "mount -t tmpfs none /run",
            "mkdir /run/netns",
            "ip link set lo up",
            "ip netns add guest",
            "ip link add guest0 type veth peer name eth0 netns guest",
            "ip -n guest link set eth0 address 02:00:00:00:00:01",
            "ip -n guest link set lo up",
        ] {
            run(line);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(ENDS_WITHIN, body).await.expect("ends in time") });
        return;
    }
    assert!(rustix::process::geteuid().is_root(), "namespaces are made here: run it as root");
    let status = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .envs(environment())
        .status()
        .expect("unshare runs");
    assert!(status.success(), "{test} failed inside");
}

/// Gives the hotspot its addresses and plugs the guest in.
pub fn plug_in() {
    for line in [
        "ip addr add 10.30.0.1/24 dev guest0",
        "ip addr add fd30::1/64 dev guest0 nodad",
        "ip link set guest0 up",
        "ip -n guest link set eth0 up",
    ] {
        run(line);
    }
}

/// The hotspot.
pub fn record(change: impl FnOnce(&mut Hotspot, &mut HotspotSettings)) -> Arc<Vec<HotspotRecord>> {
    let mut hotspot = Hotspot {
        id: HotspotId(1),
        interface: "guest0".parse().unwrap(),
        address: "10.30.0.1/24".parse().unwrap(),
        address_ipv6: Some("fd30::1/64".parse().unwrap()),
        nat_ipv6: true,
        isolated: true,
        lan_access: Vec::new(),
        portal_tls: true,
        allowed: Vec::new(),
        blocked: Vec::new(),
    };
    let mut settings = HotspotSettings::default();
    change(&mut hotspot, &mut settings);
    Arc::new(vec![HotspotRecord {
        name: "lobby".parse().unwrap(),
        hotspot,
        settings: Arc::new(settings),
        created_ms: 0,
    }])
}

/// Runs a command line that must succeed, and answers what it printed.
pub fn run(line: &str) -> String {
    let output = try_run(line);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{line}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command line.
pub fn try_run(line: &str) -> Output {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).stdin(Stdio::null()).output().expect(line)
}

/// Runs `work` on a thread in the guest's network.
pub fn as_guest<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    inside("guest", work)
}

/// The same in another network.
pub fn inside<T: Send + 'static>(name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let inside = thread::spawn(move || {
        let net = File::open(format!("/run/netns/{name}")).unwrap();
        move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        work()
    });
    inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The same without blocking the runtime.
pub async fn guest<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(|| as_guest(work)).await.unwrap()
}

/// Asks until there is an answer; panics with `what` when the time is over.
pub async fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
