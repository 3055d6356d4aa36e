//! What was acknowledged stays; what cannot be stored is not acknowledged; afterwards all goes on by itself.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use doorward::{
    secrets::MasterKey,
    store::{DEFAULT_GATEWAY, Error, NewOperator, Role, Store},
};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::{
    databases::{Database, KEY},
    samples::{account, stored_account, stored_server},
};

/// Says which file a child process works on.
const CHILD: &str = "DOORWARD_TEST_CHILD";

/// This program again, with one of its ignored tests.
fn child(program: &str, arguments: &[&str], test: &str, value: &Path) -> Command {
    let exe = std::env::current_exe().unwrap();
    let exe = exe.to_str().unwrap();
    let arguments = arguments.iter().copied().chain((program != exe).then_some(exe));
    let mut command = Command::new(program);
    command.args(arguments).args(["--exact", test, "--ignored", "--nocapture", "--quiet"]).env(CHILD, value);
    command
}

fn operator(name: String) -> NewOperator {
    NewOperator { name, role: Role::Viewer, password_hash: "x".repeat(200), created_ms: 0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let exe = std::env::current_exe().unwrap();
    let database = Database::sqlite();
    database.open().await.close().await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..8_u64 {
        let mut writer =
            child(exe.to_str().unwrap(), &[], "durability::child_writes_until_killed", &database.file().unwrap())
                .env("DOORWARD_TEST_ROUND", round.to_string())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let stored = lines.lines().map_while(Result::ok);
            stored.filter_map(|line| line.strip_prefix("stored ").map(str::to_owned)).collect::<Vec<_>>()
        });
        tokio::time::sleep(Duration::from_millis(300 + 37 * round)).await;
        writer.kill().unwrap();
        writer.wait().unwrap();
        let names = reader.join().unwrap();
        // The last line may have been cut: it says too little, never too much.
        assert!(names.len() > 10, "round {round} stored {}", names.len());
        acknowledged.extend(names.into_iter().filter(|name| name.len() == 10));

        let store = database.open().await;
        let found: BTreeSet<_> = store.operators().await.unwrap().into_iter().map(|o| o.name).collect();
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        assert_eq!(lost, Vec::<&String>::new(), "of {}", acknowledged.len());
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a child of nothing_acknowledged_is_lost_by_kill_9"]
async fn child_writes_until_killed() {
    let Ok(file) = std::env::var(CHILD) else { return };
    let round: u64 = std::env::var("DOORWARD_TEST_ROUND").unwrap().parse().unwrap();
    let store = Store::open(&format!("sqlite:{file}"), DEFAULT_GATEWAY, MasterKey::from_bytes(KEY)).await.unwrap();
    let writers: Vec<_> = (0..16)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let name = format!("{round:02}-{task:02}-{n:04}");
                    store.insert_operator(&operator(name.clone())).await.unwrap();
                    // Out before the next write begins.
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "stored {name}").unwrap();
                    out.flush().unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    // A small file system in a mount namespace that ends with the child.
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let arguments: &[&str] = if is_root { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let output = child("unshare", arguments, "durability::child_fills_its_disk", folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("refused and recovered"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a child of a_full_disk_refuses_and_recovers"]
async fn child_fills_its_disk() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "doorward-test", &folder]).status().unwrap();
    assert!(mounted.success());
    let url = format!("sqlite:{folder}/doorward.db");
    let store = Store::open(&url, DEFAULT_GATEWAY, MasterKey::from_bytes(KEY)).await.unwrap();
    let ballast = Path::new(&folder).join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();

    let mut stored = BTreeSet::new();
    let refused = loop {
        // Eight at a time, so that groups form.
        let names: Vec<_> = (0..8).map(|n| format!("{:05}", stored.len() + n)).collect();
        let writes = names.iter().cloned().map(|name| {
            let store = store.clone();
            tokio::spawn(async move { (name.clone(), store.insert_operator(&operator(name)).await) })
        });
        let mut refused = Vec::new();
        for write in writes.collect::<Vec<_>>() {
            match write.await.unwrap() {
                (name, Ok(_)) => assert!(stored.insert(name)),
                (name, Err(error)) => {
                    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
                    refused.push(name);
                }
            }
        }
        if !refused.is_empty() {
            break refused;
        }
        assert!(stored.len() < 20_000, "the disk never filled");
    };
    let names =
        |operators: Vec<doorward::store::Operator>| operators.into_iter().map(|o| o.name).collect::<BTreeSet<_>>();
    assert_eq!(names(store.operators().await.unwrap()), stored, "reading goes on");
    assert!(stored.len() > 100, "{}", stored.len());
    // Still full: refused at once, not after a long wait.
    let before = Instant::now();
    assert!(matches!(store.insert_operator(&operator("x".repeat(60))).await, Err(Error::Unavailable(_)) | Ok(_)));
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    let present = names(store.operators().await.unwrap());

    std::fs::remove_file(&ballast).unwrap();
    for name in &refused {
        store.insert_operator(&operator(name.clone())).await.unwrap();
    }
    let expected: BTreeSet<_> = present.into_iter().chain(refused).collect();
    assert_eq!(names(store.operators().await.unwrap()), expected);
    assert_eq!(store.durability().await.unwrap(), "wal/2", "the new connection too");
    store.close().await;
    let store = Store::open(&url, DEFAULT_GATEWAY, MasterKey::from_bytes(KEY)).await.unwrap();
    assert_eq!(names(store.operators().await.unwrap()), expected);
    println!("refused and recovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_may_hold_the_file_for_a_while() {
    let database = Database::sqlite();
    let store = database.open().await;
    let mut other = SqliteConnection::connect(database.url()).await.unwrap();
    let hold = async |for_ms: u64, other: &mut SqliteConnection| {
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *other).await.unwrap();
        let write = tokio::spawn({
            let store = store.clone();
            async move { store.insert_operator(&operator(format!("after {for_ms}"))).await }
        });
        tokio::time::sleep(Duration::from_millis(for_ms)).await;
        assert_eq!(store.servers().await.unwrap(), [], "readers do not wait");
        sqlx::raw_sql("ROLLBACK").execute(&mut *other).await.unwrap();
        write.await.unwrap()
    };
    hold(300, &mut other).await.unwrap();
    let refused = hold(6500, &mut other).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    hold(0, &mut other).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_went_away_comes_back() {
    let database = Database::postgres().await;
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let name = database.url().trim_start_matches("postgres:///").split('?').next().unwrap().to_owned();
    let admin_url = database.url().replacen(&name, "postgres", 1);
    let mut admin = PgConnection::connect(&admin_url).await.unwrap();
    let admin_sql = async |connection: &mut PgConnection, sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.unwrap();
    };

    // Connections lost, but the server is there: the pool makes new ones.
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    admin_sql(&mut admin, end.clone()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    stored_account(&store, 1, server.id).await;

    admin_sql(&mut admin, format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    admin_sql(&mut admin, end).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = Instant::now();
    assert!(matches!(store.servers().await, Err(Error::Unavailable(_))));
    let refused = store.insert_account(&account(2, server.id)).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert!(before.elapsed() < Duration::from_secs(15), "{:?}", before.elapsed());

    admin_sql(&mut admin, format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    stored_account(&store, 2, server.id).await;
    assert_eq!(store.count_accounts().await.unwrap(), 2);
    assert_eq!(store.durability().await.unwrap(), "on");
}

both_engines!(an_answer_comes_after_the_commit, a_caller_that_goes_away_leaves_all_or_nothing);

/// Another connection sees what was acknowledged.
async fn an_answer_comes_after_the_commit(database: Database) {
    let store = database.open().await;
    let other = database.open().await;
    let writers: Vec<_> = (0..8)
        .map(|task| {
            let (store, other) = (store.clone(), other.clone());
            tokio::spawn(async move {
                for n in 0..20 {
                    let name = format!("{task}-{n}");
                    store.insert_operator(&operator(name.clone())).await.unwrap();
                    assert!(other.operator_by_name(&name).await.unwrap().is_some(), "{name}");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn a_caller_that_goes_away_leaves_all_or_nothing(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    for n in 1..=40_u16 {
        let account = account(n, server.id);
        let patience = Duration::from_micros(u64::from(n) * 50);
        let _cut_short = tokio::time::timeout(patience, store.insert_account(&account)).await;
    }
    // The store still works, and what is there is whole.
    stored_account(&store, 41, server.id).await;
    let accounts = store.accounts().await.unwrap();
    assert_eq!(accounts.len() as u64, store.count_accounts().await.unwrap());
}
