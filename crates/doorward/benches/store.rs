//! What the store costs, on SQLite: `cargo bench -p doorward --bench store [FOLDER]`.
//!
//! Durable writes depend on the disk below FOLDER (the temporary folder if none is given), so each figure stands
//! beside plain serial commits of one row on the same disk in the same run.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people at a terminal")]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use doorward::{
    secrets::{self, MasterKey},
    store::{DEFAULT_GATEWAY, Store, UsageDelta},
};
use doorward_policy::{
    account::{Account, AccountId, ClientKey, QuotaUse},
    key::PrivateKey,
    limits::{Bandwidth, Mark},
    vpn_server::{ServerId, VpnServer},
};
use sqlx::{
    ConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

const ACCOUNTS: u16 = 10_000;
const CLIENTS: u16 = 64;

#[tokio::main]
async fn main() {
    let parent = std::env::args().skip(1).find(|a| !a.starts_with('-')).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent).unwrap();
    let serial_commits = serial_commits(&folder.path().join("plain.db")).await;
    println!("plain serial commits         {serial_commits:>9.0} /s");

    let url = format!("sqlite:{}", folder.path().join("doorward.db").display());
    let store = open(&url).await;
    let server = store.insert_server(&server()).await.unwrap();

    let (per_second, _) = insert(&store, server, 1..=500, 1).await;
    println!("accounts, one client         {per_second:>9.0} /s   {:.2} x plain", per_second / serial_commits);
    let (per_second, latencies) = insert(&store, server, 501..=ACCOUNTS, CLIENTS).await;
    println!("accounts, {CLIENTS} clients        {per_second:>9.0} /s   {:.2} x plain", per_second / serial_commits);
    let (half, most) = (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
    println!("  one of them                {half:>9.1?} p50  {most:.1?} p99");

    let accounts = timed("all accounts", 10, async || store.accounts().await.unwrap()).await;
    assert_eq!(accounts.len(), usize::from(ACCOUNTS));
    let ids: Vec<AccountId> = accounts.iter().map(|a| a.id).collect();
    timed("500 accounts by id", 20, async || store.accounts_by_ids(&ids[..500]).await.unwrap()).await;
    timed("one account by id", 200, async || store.accounts_by_ids(&ids[77..78]).await.unwrap()).await;
    timed("one account by name", 200, async || store.account_by_name("peer_777").await.unwrap().unwrap()).await;
    timed("number of accounts", 200, async || store.count_accounts().await.unwrap()).await;

    let deltas: Vec<UsageDelta> = ids
        .iter()
        .map(|id| UsageDelta { account: *id, raw_up: 1 << 40, raw_down: 1 << 41, delta_up: 1000, delta_down: 2000 })
        .collect();
    timed("a tick of all accounts", 5, async || store.record_usage("2030-01-01", &deltas).await.unwrap()).await;
    let uses: Vec<_> = ids.iter().map(|id| (*id, QuotaUse { period_start_ms: 0, bytes: 1 })).collect();
    timed("quotas of all accounts", 5, async || store.record_quota_use(&uses).await.unwrap()).await;
    timed("last counts of all", 5, async || store.last_counts().await.unwrap()).await;

    store.close().await;
    timed("open and close", 5, async || open(&url).await.close().await).await;
}

async fn open(url: &str) -> Store {
    Store::open(url, DEFAULT_GATEWAY, MasterKey::from_bytes([1; 32])).await.unwrap()
}

/// Shows the fastest of some runs, the others were disturbed, and the processor time of one, which no neighbour changes
/// much (in steps of 10 ms over all runs).
async fn timed<T>(what: &str, runs: u32, mut work: impl AsyncFnMut() -> T) -> T {
    let mut best = Duration::MAX;
    let mut last = None;
    let cpu = cpu_time();
    for _ in 0..runs {
        let start = Instant::now();
        last = Some(work().await);
        best = best.min(start.elapsed());
    }
    println!("{what:<28} {best:>9.1?}   {:.1?} processor time", (cpu_time() - cpu) / runs);
    last.unwrap()
}

/// Processor time of this process, user and system, all threads.
fn cpu_time() -> Duration {
    // proc(5): after the name in brackets, utime and stime are fields 14 and 15, in ticks of 10 ms.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Inserts a range of accounts with some clients at a time: accounts per second, and sorted times of each.
async fn insert(
    store: &Store,
    server: ServerId,
    numbers: std::ops::RangeInclusive<u16>,
    clients: u16,
) -> (f64, Vec<Duration>) {
    let accounts: Vec<Account> = numbers.map(|n| account(n, server)).collect();
    let start = Instant::now();
    let share = accounts.len().div_ceil(usize::from(clients));
    let tasks: Vec<_> = accounts
        .chunks(share)
        .map(|share| {
            let (store, share) = (store.clone(), share.to_vec());
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(share.len());
                for account in &share {
                    let start = Instant::now();
                    store.insert_account(account).await.unwrap();
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let per_second = f64::from(u32::try_from(times.len()).unwrap()) / start.elapsed().as_secs_f64();
    times.sort_unstable();
    (per_second, times)
}

/// Commits of one small row each, on a connection set as ours is: per second.
async fn serial_commits(path: &Path) -> f64 {
    const COMMITS: u32 = 1000;
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await
        .unwrap();
    sqlx::query("CREATE TABLE plain (id INTEGER PRIMARY KEY, text TEXT)").execute(&mut connection).await.unwrap();
    let start = Instant::now();
    for n in 0..COMMITS {
        sqlx::query("INSERT INTO plain (text) VALUES ($1)")
            .bind(format!("row {n}"))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    f64::from(COMMITS) / start.elapsed().as_secs_f64()
}

fn server() -> VpnServer {
    VpnServer {
        id: ServerId(0),
        name: "Default_1".parse().unwrap(),
        interface: "wg1".parse().unwrap(),
        private_key: PrivateKey::from_random([1; 32]),
        listen_port: 51821,
        address: "10.1.0.1/16".parse().unwrap(),
        external_ip: [192, 0, 2, 1].into(),
        dns: [None; 2],
        dns_ipv6: [None; 2],
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

fn account(n: u16, server: ServerId) -> Account {
    let key = secrets::random_private_key().unwrap();
    let [high, low] = n.to_be_bytes();
    Account {
        id: AccountId(0),
        server,
        name: format!("peer_{n}").parse().unwrap(),
        username: format!("user_{n}").parse().unwrap(),
        password: secrets::random_password().unwrap(),
        enabled: true,
        address: [10, 1, high, low].into(),
        address_ipv6: None,
        bandwidth: Bandwidth::default(),
        mark: Mark::new(Mark::FIRST + u32::from(n)).unwrap(),
        public_key: key.public(),
        key: ClientKey::Kept(key),
        preshared_key: None,
        expires_at_ms: None,
        quota: None,
        quota_use: QuotaUse::default(),
        forwards: Vec::new(),
    }
}
