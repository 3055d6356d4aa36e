//! The gateway with 10,000 accounts: what a new account costs (P7), a full pass and a start (P8), a status request
//! (P10), memory (P11). Prints rows of a markdown table: target, what, measured, reference, verdict.
//!
//! Needs root; runs in network and mount namespaces of its own, sends traffic to loopback only. Programs: `ip`,
//! `unshare`, `wg`, `wrk`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench ends where something fails, and prints")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use doorward::{
    config::{Config, Management},
    listen::{self, Routers},
    secrets, store, tls,
};
use doorward_policy::{
    account::{Account, AccountId, ClientKey, Password, QuotaUse},
    key::PrivateKey,
    limits::{Bandwidth, Mark, Mbit},
    vpn_server::{ServerId, VpnServer},
};

const ACCOUNTS: u32 = 10_000;
const PLAIN: &str = "127.0.0.1:8080";
const TLS: &str = "127.0.0.1:8443";
const HELLO: &str = "127.0.0.1:8444";
const PROGRAM: &str = env!("CARGO_BIN_EXE_doorward");

/// However the bench ends, the kernel ends everything that it started: tunnels outlive their gateway.
const ALL_ENDS: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

fn main() {
    if std::env::var_os("BENCH_INSIDE").is_none() {
        let own = std::env::current_exe().unwrap();
        let error = Command::new("unshare").args(ALL_ENDS).arg(own).env("BENCH_INSIDE", "1").exec();
        eprintln!("unshare: {error}");
        std::process::exit(1);
    }
    for line in [
        "ip link set lo up",
        "ip link add wan0 type veth peer name wan1",
        "ip addr add 192.0.2.10/24 dev wan0",
        "ip link set wan0 up",
        "ip link set wan1 up",
        "ip route add default via 192.0.2.1",
        "mount -t tmpfs tmpfs /run",
    ] {
        run(line);
    }
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let config = folder.path().join("doorward.toml");
    let text = format!(
        "state_dir = {state:?}\n[management]\nlisten = [\"{TLS}\"]\nplain_listen = [\"{PLAIN}\"]\n[log]\nlevel = \"warn\"\n"
    );
    fs::write(&config, text).unwrap();

    let idle = Gateway::start(&config);
    let idle_kb = idle.settled_rss_kb();
    idle.stop();

    let hash = output(Command::new(PROGRAM).arg("-c").arg(&config).args(["access-hash", "add", "bench", "127.0.0.1"]));
    let hash = hash.trim().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let seeded = Instant::now();
    runtime.block_on(seed(&state));
    eprintln!("{ACCOUNTS} accounts stored in {:.1} s", seeded.elapsed().as_secs_f64());

    let first = Gateway::start(&config);
    let cold = first.converged;
    first.stop();
    let gateway = Gateway::start(&config);
    let full_kb = gateway.settled_rss_kb();
    let pass_ms = (0..5).map(|_| full_pass_ms(&gateway.config, &hash)).min().unwrap();
    row(
        "P8",
        "start-up to converged, 10,000 accounts, empty kernel",
        &secs(cold),
        "≤ 2 s",
        cold <= Duration::from_secs(2),
    );
    let warm = gateway.converged;
    row("P8", "the same, kernel already right", &secs(warm), "≤ 2 s", warm <= Duration::from_secs(2));
    row("P8", "full pass over 10,000 accounts, nothing to do", &format!("{pass_ms} ms"), "≤ 250 ms", pass_ms <= 250);

    create_accounts(&hash);

    let tunnel_kb = rss_kb(tunnel_pid("wg1"));
    let per_peer = tunnel_kb.saturating_sub(empty_tunnel_kb(&hash)) / u64::from(ACCOUNTS);
    row("P11", "memory, idle", &format!("{} MB", idle_kb / 1024), "≤ 40 MB", idle_kb / 1024 <= 40);
    row("P11", "memory, 10,000 accounts", &format!("{} MB", full_kb / 1024), "≤ 100 MB", full_kb / 1024 <= 100);
    row("P11", "tunnel process, a peer", &format!("{per_peer} kB"), "≤ 20 kB", per_peer <= 20);

    status_requests(&runtime, &state, &hash);
    gateway.stop();
    drop(output(Command::new(PROGRAM).arg("-c").arg(&config).arg("down")));
}

fn row(target: &str, what: &str, measured: &str, reference: &str, met: bool) {
    println!("| {target} | {what} | {measured} | {reference} | {} |", if met { "met" } else { "**missed**" });
}

fn secs(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

// ---- P7 ------------------------------------------------------------------------------------------------------------

/// Creates accounts one after another. An answer comes when the kernel has the peer; each fiftieth is looked for.
fn create_accounts(hash: &str) {
    let mut client = Client::open(PLAIN, hash);
    let mut times = Vec::new();
    for n in 0..300 {
        let started = Instant::now();
        let answer = client.ask("POST", "/api/v1/account", "wg_name=Default_1&b_download=20&b_upload=10");
        times.push(started.elapsed());
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        if n % 50 == 0 {
            let peers = output(Command::new("wg").args(["show", "wg1", "peers"]));
            assert!(peers.contains(answer["msg"]["public_key"].as_str().unwrap()), "answered without a peer");
        }
    }
    times.sort_unstable();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let conf = output(Command::new("wg").args(["showconf", "wg1"]));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), conf).unwrap();
    let started = Instant::now();
    drop(output(Command::new("wg").args(["syncconf", "wg1"]).arg(file.path())));
    let syncconf = started.elapsed();
    let ms = |t: Duration| format!("{:.1} ms", t.as_secs_f64() * 1e3);
    let measured = format!("median {}, p99 {}", ms(median), ms(p99));
    let reference = format!(
        "p99 ≤ 20 ms; `wg syncconf` {} = {:.0} × median",
        ms(syncconf),
        syncconf.as_secs_f64() / median.as_secs_f64()
    );
    row(
        "P7",
        "create an account by API, peer ready, 10,000 present",
        &measured,
        &reference,
        p99 <= Duration::from_millis(20),
    );
}

// ---- P8, P11 -------------------------------------------------------------------------------------------------------

async fn seed(state: &Path) {
    let key = secrets::MasterKey::load(&state.join("master.key"), None).unwrap();
    let url = format!("sqlite://{}", state.join("doorward.db").display());
    let store = store::Store::open(&url, store::DEFAULT_GATEWAY, key).await.unwrap();
    let id = store.insert_server(&server()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..ACCOUNTS {
        while tasks.len() >= 64 {
            tasks.join_next().await.unwrap().unwrap();
        }
        let store = store.clone();
        tasks.spawn(async move {
            store.insert_account(&account(n, id)).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    store.close().await;
}

fn server() -> VpnServer {
    VpnServer {
        id: ServerId(0),
        name: "Default_1".parse().unwrap(),
        interface: "wg1".parse().unwrap(),
        private_key: secrets::random_private_key().unwrap(),
        listen_port: 51821,
        address: "10.64.0.1/16".parse().unwrap(),
        external_ip: Ipv4Addr::new(192, 0, 2, 10),
        dns: [None, None],
        dns_ipv6: [None, None],
        bandwidth: Bandwidth::default(),
        internal_traffic: false,
        ikev2: false,
        keep_alive: 0,
        mtu: 0,
        allowed_ips: String::new(),
        endpoint: String::new(),
        ipv6: false,
        address_ipv6: None,
        disable_nat: false,
    }
}

fn account(n: u32, server: ServerId) -> Account {
    let mut seed = [9; 32];
    seed[4..8].copy_from_slice(&n.to_le_bytes());
    let key = PrivateKey::from_random(seed);
    Account {
        id: AccountId(0),
        server,
        name: format!("seed_{n}").parse().unwrap(),
        username: format!("seed_{n}").parse().unwrap(),
        password: Password::new("fake-Pass-123".to_owned()).unwrap(),
        enabled: true,
        address: Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 64, 0, 2)) + n),
        address_ipv6: None,
        bandwidth: Bandwidth { down: Mbit::new(20).unwrap(), up: Mbit::new(10).unwrap() },
        mark: Mark::new(Mark::FIRST + n).unwrap(),
        public_key: key.public(),
        key: ClientKey::Kept(key),
        preshared_key: None,
        expires_at_ms: None,
        quota: None,
        quota_use: QuotaUse::default(),
        forwards: Vec::new(),
    }
}

struct Gateway {
    child: Child,
    config: PathBuf,
    /// From the start of the program until its status is `OK`.
    converged: Duration,
}

impl Gateway {
    fn start(config: &Path) -> Self {
        let started = Instant::now();
        let child = Command::new(PROGRAM).arg("-c").arg(config).arg("serve").spawn().unwrap();
        while report(config).is_none_or(|report| report["state"] != "OK") {
            assert!(started.elapsed() < Duration::from_secs(60), "the gateway does not converge");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, config: config.to_owned(), converged: started.elapsed() }
    }

    /// Resident memory after things have calmed down.
    fn settled_rss_kb(&self) -> u64 {
        std::thread::sleep(Duration::from_secs(2));
        rss_kb(self.child.id())
    }

    fn stop(mut self) {
        run(&format!("kill {}", self.child.id()));
        self.child.wait().unwrap();
    }
}

fn report(config: &Path) -> Option<serde_json::Value> {
    let asked = Command::new(PROGRAM).arg("-c").arg(config).args(["status", "--json"]).stderr(Stdio::null()).output();
    serde_json::from_slice(&asked.unwrap().stdout).ok()
}

/// Asks for a reload and tells how long the pass took.
fn full_pass_ms(config: &Path, hash: &str) -> u64 {
    let passes = |report: &serde_json::Value| report["full_passes"].as_u64().unwrap();
    let before = passes(&report(config).unwrap());
    let answer = Client::open(PLAIN, hash).ask("PUT", "/api/v1/system/reload", "");
    assert!(answer.contains("success"), "{answer}");
    loop {
        let report = report(config).unwrap();
        if passes(&report) > before {
            return report["last_full_pass_ms"].as_u64().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn rss_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The process that runs `doorward tunnel IF`.
fn tunnel_pid(interface: &str) -> u32 {
    let is_it = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.first().is_some_and(|program| *program == PROGRAM.as_bytes())
            && words.windows(2).any(|pair| pair == [b"tunnel".as_slice(), interface.as_bytes()])
    };
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    entries.filter(is_it).max().unwrap()
}

fn empty_tunnel_kb(hash: &str) -> u64 {
    let answer = Client::open(PLAIN, hash).ask("POST", "/api/v1/wireguard", "interface_name=wg900&name=empty");
    assert!(answer.contains("success"), "{answer}");
    rss_kb(tunnel_pid("wg900"))
}

// ---- P10 -----------------------------------------------------------------------------------------------------------

/// `system/status` beside a bare axum "hello" on the same TLS set-up, one after the other, three times each.
fn status_requests(runtime: &tokio::runtime::Runtime, state: &Path, hash: &str) {
    let hello = axum::Router::new().route("/", axum::routing::get(|| std::future::ready("hello")));
    let management =
        Management { listen: vec![HELLO.parse().unwrap()], plain_listen: Vec::new(), ..Management::default() };
    let config = Config { management, state_dir: state.to_owned(), ..Config::default() };
    let (server, nothing) = (axum_server::Handle::<SocketAddr>::new(), axum::Router::new());
    let routers = Routers { management: hello, local_api: nothing.clone(), monitoring: nothing };
    let _enter = runtime.enter();
    let tls = tls::open("".as_ref(), "".as_ref(), state).unwrap().config().unwrap();
    let _listeners = listen::open(&config, routers, Some(&tls), &server).unwrap();
    let cookie = format!("Cookie: access_hash={hash}");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ours.push(wrk(&format!("https://{TLS}/api/v1/system/status"), &cookie));
        theirs.push(wrk(&format!("https://{HELLO}/"), &cookie));
    }
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    let ratio = ours[1] / theirs[1];
    let measured = format!("{:.0} /s, {ratio:.2} × bare axum", ours[1]);
    row(
        "P10",
        "`GET /api/v1/system/status` over TLS, 64 connections",
        &measured,
        &format!("≥ 0.5 × {:.0} /s", theirs[1]),
        ratio >= 0.5,
    );
}

fn wrk(url: &str, header: &str) -> f64 {
    let text = output(Command::new("wrk").args(["-t1", "-c64", "-d5s", "-H", header, url]));
    assert!(!text.contains("Non-2xx"), "{text}");
    let line = text.lines().find(|line| line.starts_with("Requests/sec:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

// ---- tools ---------------------------------------------------------------------------------------------------------

/// Runs a fixed line of words.
fn run(line: &str) {
    let mut words = line.split(' ');
    drop(output(Command::new(words.next().unwrap()).args(words)));
}

fn output(command: &mut Command) -> String {
    let done = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", done.status);
    String::from_utf8(done.stdout).unwrap()
}

/// One HTTP/1.1 connection.
struct Client {
    stream: BufReader<TcpStream>,
    hash: String,
}

impl Client {
    fn open(address: &str, hash: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), hash: hash.to_owned() }
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> String {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nCookie: access_hash={}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.hash,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }
}
