//! Answers from memory: how many a second the resolver gives on one core, with and without a million blocked names, beside
//! dnsmasq; and the memory that those names take. Prints rows of a Markdown table: target, what, measured, reference, verdict.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench ends where something fails, and prints")]

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use doorward::{
    app::dns::{Names, ServerNames},
    dns::{self, Served, lists::Lists},
    hosts::Hosts,
};
use doorward_kernel::Host;
use doorward_policy::{dns::Dns, vpn_server::ServerId};
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::RecordType,
};
use tokio::{net::UdpSocket, runtime, sync::watch, task::JoinSet, time::timeout};

/// Questions for which the answers are remembered.
const NAMES: usize = 1_000;
/// Who ask, each one question after the other; nobody more than an account may.
const CLIENTS: usize = 256;
const MEASURED: Duration = Duration::from_secs(10);
const LIST: &str = "http://127.0.0.1:1/list";
const BLOCKED: usize = 1_000_000;
/// The requirements.
const LEAST_ANSWERS: u64 = 20_000;
const MOST_BYTES: u64 = 100_000_000;
const RESOLVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), 5_390);
const UPSTREAM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5_391);

fn main() {
    let _upstream = Upstream::start();
    let lists: Arc<Lists> = Arc::default();
    let (names, told) = watch::channel(Arc::new(Names { dns: settings(), servers: vec![server()] }));
    let (_hotspots, hotspots) = watch::channel(Arc::default());
    let served = Served { hotspots, names: told.clone(), lists: Arc::clone(&lists) };
    // One core: one thread does all of the resolver's work.
    let one = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = dns::Options { upstreams: vec![UPSTREAM], port: RESOLVER.port() };
    let host = Arc::new(Host { wans: Vec::new(), addresses: Vec::new() });
    let entered = one.enter();
    drop(dns::spawn(options, served, Hosts::default(), move || Arc::clone(&host), |_| std::future::ready(true)));
    drop(entered);
    let asking = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    asking.block_on(warm(RESOLVER));
    asking.block_on(warm(UPSTREAM));

    let reference = asking.block_on(load(UPSTREAM, ResponseCode::NoError, "n"));
    let plain = asking.block_on(load(RESOLVER, ResponseCode::NoError, "n"));
    row("answers from memory", plain, reference);

    let folder = tempfile::tempdir().unwrap();
    let before = resident();
    publish(folder.path());
    let mut dns = settings();
    dns.add_list("Million", LIST).unwrap();
    let begun = Instant::now();
    names.send_replace(Arc::new(Names { dns, servers: vec![server()] }));
    let entered = one.enter();
    drop(dns::lists::spawn(Arc::clone(&lists), folder.path().to_owned(), told));
    drop(entered);
    while lists.filter().size().0 < BLOCKED {
        assert!(begun.elapsed() < Duration::from_secs(60), "the list is not used");
        std::thread::sleep(Duration::from_millis(10));
    }
    let built = begun.elapsed();
    let (count, bytes) = lists.filter().size();
    let grown = resident().saturating_sub(before);
    let verdict = if grown <= MOST_BYTES { "met" } else { "missed" };
    println!(
        "| ≤ 100 MB | memory for {count} blocked names | {} MB in the table, {} MB more resident | read and sorted in {:.1} s | {verdict} |",
        bytes / 1_000_000,
        grown / 1_000_000,
        built.as_secs_f64()
    );
    let plain = asking.block_on(load(RESOLVER, ResponseCode::NoError, "n"));
    row("the same with a million blocked names", plain, reference);
    let blocked = asking.block_on(load(RESOLVER, ResponseCode::NXDomain, "b"));
    row("blocked names", blocked, reference);
}

fn row(what: &str, (answers, lost): (u64, u64), (reference, _): (u64, u64)) {
    let verdict = if answers >= LEAST_ANSWERS { "met" } else { "missed" };
    let ratio = answers as f64 / reference.max(1) as f64;
    println!(
        "| ≥ 20,000/s | {what}, one thread | {answers}/s, {lost} questions lost | dnsmasq, asked in the same way: {reference}/s ({ratio:.2}) | {verdict} |"
    );
}

fn settings() -> Dns {
    Dns { enabled: true, ..Dns::default() }
}

fn server() -> ServerNames {
    ServerNames {
        id: ServerId(1),
        name: "one".parse().unwrap(),
        interface: "lo".parse().unwrap(),
        addresses: vec![RESOLVER.ip()],
        nets: vec!["127.0.0.0/8".parse().unwrap()],
    }
}

/// The copy of a list with a million names, as if it had been fetched.
fn publish(folder: &std::path::Path) {
    let mut text = String::new();
    for n in 0..BLOCKED {
        writeln!(text, "0.0.0.0 b{n}.blocked.example").unwrap();
    }
    fs::write(folder.join("1.txt"), text).unwrap();
    let meta = serde_json::json!({ "url": LIST, "etag": null, "last_modified": null,
        "fetched_ms": doorward::clock::now_ms(), "checked_ms": doorward::clock::now_ms() });
    fs::write(folder.join("1.json"), meta.to_string()).unwrap();
}

fn question(prefix: &str, n: usize) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    let domain = if prefix == "b" { "blocked.example" } else { "example" };
    message.add_query(Query::query(format!("{prefix}{n}.{domain}.").parse().unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

async fn client(n: usize, server: SocketAddr) -> UdpSocket {
    let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 1, high, low.max(1)), 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    socket
}

async fn warm(server: SocketAddr) {
    let begun = Instant::now();
    for n in 0..NAMES {
        let (socket, question) = (client(1 + n % CLIENTS, server).await, question("n", n));
        loop {
            assert!(begun.elapsed() < Duration::from_secs(60), "{server} does not answer");
            drop(socket.send(&question).await);
            let mut buffer = [0; 512];
            if timeout(Duration::from_secs(1), socket.recv(&mut buffer)).await.is_ok_and(|received| received.is_ok()) {
                break;
            }
        }
    }
}

/// Answers a second, and questions that had none within a second.
async fn load(server: SocketAddr, code: ResponseCode, prefix: &'static str) -> (u64, u64) {
    let questions: Arc<Vec<Vec<u8>>> = Arc::new((0..NAMES).map(|n| question(prefix, n)).collect());
    let (end, begun) = (Instant::now() + MEASURED, Instant::now());
    let ask = |at: usize, questions: Arc<Vec<Vec<u8>>>| async move {
        let (socket, mut answers, mut lost, mut n) = (client(1 + at, server).await, 0_u64, 0_u64, at * 7);
        let mut buffer = [0; 512];
        while Instant::now() < end {
            n += 1;
            socket.send(&questions[n % NAMES]).await.unwrap();
            match timeout(Duration::from_secs(1), socket.recv(&mut buffer)).await {
                Ok(Ok(_)) => {
                    assert_eq!(u16::from(buffer[3] & 0x0f), u16::from(code), "{prefix}{}", n % NAMES);
                    answers += 1;
                }
                Ok(Err(_)) | Err(_) => lost += 1,
            }
        }
        (answers, lost)
    };
    let mut clients = JoinSet::new();
    (0..CLIENTS).for_each(|at| drop(clients.spawn(ask(at, Arc::clone(&questions)))));
    let (mut answers, mut lost) = (0, 0);
    while let Some(client) = clients.join_next().await {
        let (some, none) = client.unwrap();
        answers += some;
        lost += none;
    }
    (answers * 1_000 / u64::try_from(begun.elapsed().as_millis()).unwrap(), lost)
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1_024
}

/// A resolver that knows all names, and is what ours is compared with.
struct Upstream(Child);

impl Upstream {
    fn start() -> Self {
        let mut command = Command::new("dnsmasq");
        command.args(["--keep-in-foreground", "--pid-file", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
        command.args(["--bind-interfaces", "--local-ttl=3600", "--address=/example/192.0.2.1", "--user=root"]);
        command.args([format!("--listen-address={}", UPSTREAM.ip()), format!("--port={}", UPSTREAM.port())]);
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
