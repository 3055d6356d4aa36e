//! What a connected gateway costs the relay, and what the way through it costs a request. Simulated gateways are this
//! program's, on the gateway's own code; the relay is the binary. Prints rows of a Markdown table: target, what,
//! measured, reference, verdict.
//!
//! `BENCH_GATEWAYS` is how many (10,000); as many files must be allowed twice over: see `scripts/bench/relay.sh`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench ends where something fails, and prints")]

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::header, routing::post};
use doorward::{
    cloud::{self, dial::Dialer},
    relay::{
        mux::{self, Side, Stream},
        state::State,
        wire::{self, Ask, RelayName, RelaySecret},
    },
    tls,
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Semaphore, time::sleep};

const DOMAIN: &str = "cloud.example.net";
const HOST: &str = "127.0.0.1";
/// Gateways that connect at once.
const AT_ONCE: usize = 64;
/// Callers, each with a connection that stays.
const CALLERS: usize = 32;
const MEASURED: Duration = Duration::from_secs(10);
/// The requirement.
const MOST_BYTES_EACH: u64 = 50_000;
const SETTLES: Duration = Duration::from_secs(20);
const ANSWER: &str = "{\"users\": []}";

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run());
}

async fn run() {
    let gateways: usize = std::env::var("BENCH_GATEWAYS").map_or(10_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let relay = Relay::start(folder.path(), port).await;
    let ca = fs::read_to_string(folder.path().join("cert.pem")).unwrap();

    let state = State::open(&folder.path().join("state")).await.unwrap();
    let mut known = Vec::with_capacity(gateways);
    for _ in 0..gateways {
        let token = state.make_token("", Duration::from_secs(3600)).await.unwrap();
        known.push(state.enrol(&token).await.unwrap().unwrap());
    }
    // The first ones make what the process needs in any case: caches, threads' arenas.
    let dialer = Arc::new(Dialer::new(&HOST.parse().unwrap(), port, &ca).unwrap());
    let first = gateways.min(CALLERS);
    connect(&dialer, &known[..first]).await;
    sleep(Duration::from_secs(2)).await;
    let before = relay.rss_bytes();
    let begun = Instant::now();
    connect(&dialer, &known[first..]).await;
    let took = begun.elapsed();
    sleep(SETTLES).await;
    let more = u64::try_from(gateways - first).unwrap().max(1);
    let idle = relay.rss_bytes().saturating_sub(before) / more;

    let names: Vec<RelayName> = known[..first].iter().map(|(name, _)| name.clone()).collect();
    let through = requests(port, &ca, |n| format!("{}.{DOMAIN}", names[n % names.len()])).await;
    let direct_port = direct(folder.path());
    let direct = requests(direct_port, &ca, |_| DOMAIN.to_owned()).await;
    // Each line has carried requests by now, one after another.
    for (n, (name, _)) in known.iter().enumerate() {
        if n % 4 == 0 {
            one(port, &ca, &format!("{name}.{DOMAIN}")).await;
        }
    }
    let used = relay.rss_bytes().saturating_sub(before) / more;

    let verdict = |good| if good { "met" } else { "missed" };
    let kb = |bytes: u64| format!("{}.{} kB", bytes / 1000, bytes % 1000 / 100);
    println!(
        "| {gateways} gateways at ≤ 50 kB | resident memory of the relay for each idle line | {} | – | {} |",
        kb(idle),
        verdict(idle <= MOST_BYTES_EACH)
    );
    println!(
        "| the same | after a quarter of them carried a request | {} | – | {} |",
        kb(used),
        verdict(used <= MOST_BYTES_EACH)
    );
    println!("| – | lines made in a second, both ends on this machine | {} | – | – |", rate(more, took));
    println!(
        "| – | requests in a second through the relay, {CALLERS} callers | {through} | {direct} straight to the same answer by HTTPS | – |"
    );
}

fn rate(count: u64, took: Duration) -> u64 {
    count * 1000 / u64::try_from(took.as_millis()).unwrap().max(1)
}

struct Relay(Child);

impl Relay {
    async fn start(folder: &Path, port: u16) -> Self {
        let path = folder.join("relay.toml");
        let toml = format!(
            "listen = [\"127.0.0.1:{port}\"]\ndomain = \"{DOMAIN}\"\nstate_dir = \"{0}/state\"\n\
             tls_certificate = \"{0}/cert.pem\"\ntls_key = \"{0}/key.pem\"\n[limits]\ngateways = 100000\n\
             name_per_second = 100000\naddress_per_second = 100000\naddress_connects = 1000000\n\
             address_callers = 1000\n[log]\nlevel = \"warn\"\n",
            folder.display()
        );
        fs::write(&path, toml).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        let child = command.arg("--config").arg(path).arg("relay").stdin(Stdio::null()).spawn().unwrap();
        let relay = Self(child);
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return relay;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("the relay does not listen");
    }

    fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Connects them all, and keeps them connected, pinging, until the program ends.
async fn connect(dialer: &Arc<Dialer>, known: &[(RelayName, RelaySecret)]) {
    let (slots, done) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(AtomicUsize::new(0)));
    for (_, credential) in known {
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let (dialer, credential, done) = (Arc::clone(dialer), credential.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let tls = dialer.connect(credential).await.unwrap().tls;
            let take = move |stream: Stream| drop(tokio::spawn(cloud::serve(stream, router())));
            let (opener, drive) = mux::start(tls, Side::Gateway, take);
            tokio::spawn(drive);
            let mut pings = opener.open().await.unwrap();
            let mut slot = Some(slot);
            loop {
                wire::write(&mut pings, &Ask::Ping).await.unwrap();
                wire::read::<Ask>(&mut pings).await.unwrap();
                if slot.take().is_some() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
                sleep(wire::PING_EVERY).await;
            }
        });
    }
    while done.load(Ordering::Relaxed) < known.len() {
        sleep(Duration::from_millis(10)).await;
    }
}

fn router() -> Router {
    let answer = || async { ([(header::CONTENT_TYPE, "application/json")], ANSWER) };
    Router::new().route("/api/", post(answer))
}

/// The same answer without a relay.
fn direct(folder: &Path) -> u16 {
    let config = tls::open(&folder.join("cert.pem"), &folder.join("key.pem"), folder).unwrap().config().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = axum_server::tls_rustls::RustlsConfig::from_config(config);
    let server = axum_server::from_tcp_rustls(listener, config).unwrap();
    tokio::spawn(server.serve(router().into_make_service_with_connect_info::<SocketAddr>()));
    port
}

/// Requests in a second by callers whose connections stay.
async fn requests(port: u16, ca: &str, host: impl Fn(usize) -> String) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let mut callers = tokio::task::JoinSet::new();
    let end = Instant::now() + MEASURED;
    for n in 0..CALLERS {
        let (host, ca, count) = (host(n), ca.to_owned(), Arc::clone(&count));
        callers.spawn(async move {
            let mut sender = caller(port, &ca, &host).await;
            while Instant::now() < end {
                ask(&mut sender, &host).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    rate(count.load(Ordering::Relaxed), MEASURED)
}

async fn one(port: u16, ca: &str, host: &str) {
    ask(&mut caller(port, ca, host).await, host).await;
}

async fn ask(sender: &mut http1::SendRequest<Full<Bytes>>, host: &str) {
    let body = "{\"api-key\":\"0123456789abcdef0123456789abcdef01234567\",\"action\":\"get_voucher_users\"}";
    let request = Request::post("/api/").header(header::HOST, host).header(header::CONTENT_TYPE, "application/json");
    let response = sender.send_request(request.body(Full::from(body)).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(Body::new(response.into_body()).collect().await.unwrap().to_bytes(), ANSWER);
}

async fn caller(port: u16, ca: &str, host: &str) -> http1::SendRequest<Full<Bytes>> {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn certificate(folder: &Path) {
    let names = vec![DOMAIN.to_owned(), format!("*.{DOMAIN}"), HOST.to_owned()];
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    fs::write(folder.join("cert.pem"), made.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}
