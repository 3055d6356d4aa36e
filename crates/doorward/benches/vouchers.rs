//! Vouchers by the hotspot API, as a program at the front desk makes and reads them: one at a time and by 64 clients
//! (P4), 10,000 at once (P5), a list of 100,000 (P6). Prints rows of a markdown table: target, what, measured,
//! reference, verdict.
//!
//! Needs root; runs in a network namespace of its own, sends traffic to loopback only. Programs: `ip`, `unshare`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench ends where something fails, and prints")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use sqlx::{
    ConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

const API: &str = "127.0.0.1:8081";
const PROGRAM: &str = env!("CARGO_BIN_EXE_doorward");
const CLIENTS: u32 = 64;

fn main() {
    if std::env::var_os("BENCH_INSIDE").is_none() {
        let own = std::env::current_exe().unwrap();
        let error = Command::new("unshare").arg("--net").arg(own).env("BENCH_INSIDE", "1").exec();
        eprintln!("unshare: {error}");
        std::process::exit(1);
    }
    output(Command::new("ip").args(["link", "set", "lo", "up"]));
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let config = folder.path().join("doorward.toml");
    let text = format!(
        "state_dir = {state:?}\n[management]\nlisten = [\"127.0.0.1:8443\"]\napi_listen = [\"{API}\"]\n[log]\nlevel = \"warn\"\n"
    );
    fs::write(&config, text).unwrap();
    let plain = serial_commits(&folder.path().join("plain.db"));

    let gateway = Gateway::start(&config);
    gateway.command(&["hotspot-api", "on"]);
    let key = gateway.command(&["hotspot-api", "key"]).trim().to_owned();
    one_by_one(&key, plain);
    at_once(&key);
    list(&gateway, &key);
    gateway.stop();
}

fn row(target: &str, what: &str, measured: &str, reference: &str, met: bool) {
    println!("| {target} | {what} | {measured} | {reference} | {} |", if met { "met" } else { "**missed**" });
}

// ---- P4 ------------------------------------------------------------------------------------------------------------

/// An answer comes when the voucher is on disk.
fn one_by_one(key: &str, plain: f64) {
    let body = format!(r#"{{"api-key":"{key}","action":"create_voucher","valid_for":"2 days","download_limit":2048}}"#);
    let mut times: Vec<Duration> = create(&body, 1000);
    times.sort_unstable();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    row(
        "P4",
        "create a voucher by API, one client",
        &format!("p50 {}, p99 {}", ms(median), ms(p99)),
        &format!("p50 ≤ 2 ms; a plain commit {:.2} ms", 1e3 / plain),
        median <= Duration::from_millis(2),
    );
    let each = 200;
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| create(&body, each));
        }
    });
    let per_second = f64::from(CLIENTS * each) / started.elapsed().as_secs_f64();
    row(
        "P4",
        "the same, 64 clients",
        &format!("{per_second:.0} /s, {:.2} × plain commits", per_second / plain),
        &format!("≥ 3,000 /s; {plain:.0} /s"),
        per_second >= 3000.0,
    );
}

fn create(body: &str, count: u32) -> Vec<Duration> {
    let mut client = Client::open();
    (0..count)
        .map(|_| {
            let started = Instant::now();
            let answer = client.ask(body);
            assert!(answer.starts_with(r#"{"message":"User added successfully""#), "{answer}");
            started.elapsed()
        })
        .collect()
}

/// Commits of one small row each, on a connection set as ours is: per second.
fn serial_commits(path: &Path) -> f64 {
    const COMMITS: u32 = 1000;
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await.unwrap();
        sqlx::query("CREATE TABLE plain (id INTEGER PRIMARY KEY, text TEXT)").execute(&mut connection).await.unwrap();
        let started = Instant::now();
        for n in 0..COMMITS {
            let insert = sqlx::query("INSERT INTO plain (text) VALUES ($1)").bind(format!("row {n}"));
            insert.execute(&mut connection).await.unwrap();
        }
        f64::from(COMMITS) / started.elapsed().as_secs_f64()
    })
}

// ---- P5 ------------------------------------------------------------------------------------------------------------

fn at_once(key: &str) {
    let body = format!(r#"{{"api-key":"{key}","action":"create_voucher","count":10000}}"#);
    let times: Vec<Duration> = (0..8)
        .map(|_| {
            let started = Instant::now();
            let answer = Client::open().ask(&body);
            let took = started.elapsed();
            assert_eq!(answer.matches("\"id\":").count(), 10_000);
            took
        })
        .collect();
    let slowest = times.iter().max().unwrap();
    row(
        "P5",
        "10,000 vouchers in one call, slowest of 8",
        &format!("{:.2} s", slowest.as_secs_f64()),
        "≤ 1 s",
        *slowest <= Duration::from_secs(1),
    );
}

// ---- P6 ------------------------------------------------------------------------------------------------------------

/// A row of the list, as a client would hold it.
#[derive(Serialize, Deserialize)]
#[expect(non_snake_case, reason = "the names are those of the wire")]
struct User {
    id: i64,
    username: String,
    password: String,
    fullname: String,
    created_at: String,
    last_modified: String,
    first_login: Option<String>,
    last_login: Option<String>,
    valid_for: String,
    valid_from: String,
    MAC: Option<String>,
    download_limit: u32,
    upload_limit: u32,
}

#[derive(Serialize, Deserialize)]
struct Users {
    users: Vec<User>,
}

fn list(gateway: &Gateway, key: &str) {
    let count: usize = 100_000;
    let body = format!(r#"{{"api-key":"{key}","action":"get_voucher_users","limit":{count}}}"#);
    let missing = count.saturating_sub(Client::open().ask(&body).matches("\"id\":").count());
    if missing > 0 {
        let body = format!(r#"{{"api-key":"{key}","action":"create_voucher","count":{}}}"#, missing.min(10_000));
        (0..missing.div_ceil(10_000)).for_each(|_| drop(Client::open().ask(&body)));
    }
    std::thread::sleep(Duration::from_secs(2));
    let (before, mut most) = (gateway.rss_kb(), 0);
    let mut best = Duration::MAX;
    let mut text = String::new();
    for _ in 0..3 {
        let started = Instant::now();
        text = Client::open().ask_watching(&body, || most = most.max(gateway.rss_kb()));
        best = best.min(started.elapsed());
    }
    let users: Users = serde_json::from_str(&text).unwrap();
    assert_eq!(users.users.len(), count);
    let started = Instant::now();
    assert_eq!(serde_json::to_string(&users).unwrap(), text);
    let reference = f64::from(100_000) / started.elapsed().as_secs_f64();
    let per_second = f64::from(100_000) / best.as_secs_f64();
    row(
        "P6",
        "`get_voucher_users`, 100,000 vouchers",
        &format!("{per_second:.0} rows/s, {:.2} × serde_json alone", per_second / reference),
        &format!("≥ 100,000 rows/s; {reference:.0} rows/s"),
        per_second >= 100_000.0,
    );
    let grown = most.saturating_sub(before) / 1024;
    let size = text.len() / (1 << 20);
    row("P6", "memory that it takes on the way", &format!("{grown} MB for a list of {size} MB"), "≤ 8 MB", grown <= 8);
}

// ---- tools ---------------------------------------------------------------------------------------------------------

struct Gateway {
    child: Child,
    config: PathBuf,
}

impl Gateway {
    fn start(config: &Path) -> Self {
        let started = Instant::now();
        let child = Command::new(PROGRAM).arg("-c").arg(config).arg("serve").spawn().unwrap();
        let status = || {
            let mut command = Command::new(PROGRAM);
            command.arg("-c").arg(config).arg("status").stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
        };
        while !status().success() {
            assert!(started.elapsed() < Duration::from_secs(60), "the gateway does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, config: config.to_owned() }
    }

    fn command(&self, words: &[&str]) -> String {
        output(Command::new(PROGRAM).arg("-c").arg(&self.config).args(words))
    }

    fn rss_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn stop(mut self) {
        output(Command::new("kill").arg(self.child.id().to_string()));
        self.child.wait().unwrap();
    }
}

fn output(command: &mut Command) -> String {
    let done = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", done.status);
    String::from_utf8(done.stdout).unwrap()
}

/// One HTTP/1.1 connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn open() -> Self {
        let stream = TcpStream::connect(API).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::with_capacity(1 << 16, stream))
    }

    fn ask(&mut self, body: &str) -> String {
        self.ask_watching(body, || ())
    }

    /// Asks, and looks at something else once in about 256 kB of an answer in chunks.
    fn ask_watching(&mut self, body: &str, mut watch: impl FnMut()) -> String {
        let head = "POST /api/ HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n";
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = None;
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
        }
        let mut answer = Vec::new();
        if let Some(length) = length {
            answer.resize(length, 0);
            self.0.read_exact(&mut answer).unwrap();
            return String::from_utf8(answer).unwrap();
        }
        let mut watched = 0;
        loop {
            let size = usize::from_str_radix(&self.line(), 16).unwrap();
            let begin = answer.len();
            answer.resize(begin + size, 0);
            self.0.read_exact(&mut answer[begin..]).unwrap();
            self.line();
            if size == 0 {
                return String::from_utf8(answer).unwrap();
            }
            if answer.len() - watched > 1 << 18 {
                watched = answer.len();
                watch();
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}
