//! What operators say of names: forwarders by TLS and HTTPS, own records, block lists, accounts of a VPN server.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use doorward::{
    app::dns::{Names, ServerNames},
    dns::lists::{self, Lists},
};
use doorward_policy::{
    dns::{Data, Dns, ListId, Record, Side},
    vpn_server::ServerId,
};
use hickory_proto::{op::ResponseCode, rr::RecordType};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    dns::{GATEWAY, Rig, SILENCE, SOON, UPSTREAM, addresses, ask, ask_of, ask_within, code},
    world::{eventually, guest, in_namespaces, in_namespaces_with, run},
};

const ACCOUNT: &str = "10.40.0.1:53";
const ACCOUNT_V6: &str = "[fd40::1]:53";
const PUBLIC: &str = "198.51.100.7:53";

/// A VPN server on another cable of the guest: `wg7` here, `eth1` there.
fn server() -> ServerNames {
    for line in [
        "ip link add wg7 type veth peer name eth1 netns guest",
        "ip addr add 10.40.0.1/24 dev wg7",
        "ip addr add fd40::1/64 dev wg7 nodad",
        "ip link set wg7 up",
        "ip -n guest addr add 10.40.0.9/24 dev eth1",
        "ip -n guest addr add fd40::9/64 dev eth1 nodad",
        "ip -n guest link set eth1 up",
        "ip -n guest route add 198.51.100.7/32 via 10.40.0.1",
        "ip addr add 198.51.100.7/32 dev lo",
    ] {
        run(line);
    }
    ServerNames {
        id: ServerId(3),
        name: "one".parse().unwrap(),
        interface: "wg7".parse().unwrap(),
        addresses: ["10.40.0.1", "fd40::1", "198.51.100.7"].map(|text| text.parse::<IpAddr>().unwrap()).to_vec(),
        nets: ["10.40.0.0/24", "fd40::/64"].map(|text| text.parse().unwrap()).to_vec(),
    }
}

impl Rig {
    fn tell(&self, dns: &Dns, servers: &[ServerNames]) {
        self.lists.put_names(dns);
        self.names.send_replace(Arc::new(Names { dns: dns.clone(), servers: servers.to_vec() }));
    }
}

fn record(name: &str, kind: &str, data: &str) -> Record {
    Record { name: name.parse().unwrap(), data: Data::parse(kind, data).unwrap() }
}

async fn ask_at(server: &'static str, name: &'static str, kind: RecordType) -> (ResponseCode, Vec<String>) {
    let answer = guest(move || ask_of(server, name, kind)).await.expect(name);
    (code(&answer), addresses(&answer))
}

#[test]
fn accounts_are_answered_at_their_servers_addresses() {
    in_namespaces("naming::accounts_are_answered_at_their_servers_addresses", async {
        let rig = Rig::new(&[UPSTREAM]).await;
        let (servers, mut dns) = ([server()], Dns::default());
        rig.tell(&dns, &servers);
        let silent = guest(|| ask_within(SILENCE, ACCOUNT, "news.example.", RecordType::A)).await;
        assert!(silent.is_none(), "switched off");

        dns.enabled = true;
        rig.tell(&dns, &servers);
        let heard = || crate::world::as_guest(|| ask_within(SILENCE, ACCOUNT, "news.example.", RecordType::A));
        eventually("accounts are answered", SOON, heard).await;
        let good = (ResponseCode::NoError, vec!["192.0.2.10".to_owned()]);
        for place in [ACCOUNT, ACCOUNT_V6, PUBLIC] {
            assert_eq!(ask_at(place, "news.example.", RecordType::A).await, good, "{place}");
        }
        // An office's own names lead inside; what accounts may reach says the firewall.
        assert_eq!(ask_at(ACCOUNT, "printer.example.", RecordType::A).await.1, ["192.168.77.10"]);
        // Who is not of that server is not heard.
        run("ip -n guest addr add 10.41.0.9/24 dev eth1");
        run("ip route add 10.41.0.0/24 dev wg7");
        let stranger = guest(|| {
            let socket = UdpSocket::bind("10.41.0.9:0").unwrap();
            socket.set_read_timeout(Some(SILENCE)).unwrap();
            let mut message = hickory_proto::op::Message::query();
            message.add_query(hickory_proto::op::Query::query("news.example.".parse().unwrap(), RecordType::A));
            socket.send_to(&message.to_vec().unwrap(), ACCOUNT).unwrap();
            socket.recv(&mut [0; 512]).is_ok()
        });
        assert!(!stranger.await);

        dns.enabled = false;
        rig.tell(&dns, &servers);
        let gone = || crate::world::as_guest(|| ask_within(SILENCE, ACCOUNT, "news.example.", RecordType::A)).is_none();
        eventually("switched off again", SOON, || gone().then_some(())).await;
    });
}

#[test]
fn own_records_are_answered_to_guests_and_accounts() {
    in_namespaces("naming::own_records_are_answered_to_guests_and_accounts", async {
        let rig = Rig::new(&[UPSTREAM]).await;
        let mut dns = Dns { enabled: true, ..Dns::default() };
        for record in [
            record("nas.lan", "A", "192.168.77.20"),
            record("nas.lan", "AAAA", "fd77::20"),
            record("files.lan", "CNAME", "nas.lan"),
            record("paper.lan", "CNAME", "news.example"),
            record("news.example", "AAAA", "2001:db8::10"),
        ] {
            dns.add_record(record).unwrap();
        }
        rig.tell(&dns, &[server()]);
        rig.seen();
        let known =
            || crate::world::as_guest(|| ask_of(ACCOUNT, "nas.lan.", RecordType::A)).filter(|m| !m.answers.is_empty());
        eventually("own records", SOON, known).await;
        for (online, place) in [(false, "10.30.0.1:53"), (true, "10.30.0.1:53"), (true, ACCOUNT), (true, ACCOUNT_V6)] {
            if online {
                rig.online();
            }
            let good = |text: &str| (ResponseCode::NoError, vec![text.to_owned()]);
            assert_eq!(ask_at(place, "nas.lan.", RecordType::A).await, good("192.168.77.20"));
            assert_eq!(ask_at(place, "NAS.lan.", RecordType::AAAA).await, good("fd77::20"));
            assert_eq!(ask_at(place, "files.lan.", RecordType::A).await, good("192.168.77.20"));
            let pointer = guest(move || ask_of(place, "20.77.168.192.in-addr.arpa.", RecordType::PTR)).await.unwrap();
            assert_eq!(pointer.answers[0].data.to_string(), "nas.lan.");
            // A name that we answer is not asked elsewhere, not even for what we do not know of it.
            assert_eq!(ask_at(place, "news.example.", RecordType::A).await, (ResponseCode::NoError, vec![]));
            assert_eq!(ask_at(place, "paper.lan.", RecordType::AAAA).await, good("2001:db8::10"));
        }
        // An alias leads to a name of others.
        dns.remove_record(&record("news.example", "AAAA", "2001:db8::10")).unwrap();
        rig.tell(&dns, &[]);
        let led = || {
            let answer = crate::world::as_guest(|| ask_of("10.30.0.1:53", "paper.lan.", RecordType::A))?;
            (addresses(&answer) == ["192.0.2.10"]).then(|| answer.answers[0].data.to_string())
        };
        assert_eq!(eventually("the alias", SOON, led).await, "news.example.");
    });
}

/// A place where lists are published: what it answers, and how often it was asked in vain and in full.
#[derive(Clone, Default)]
struct Publisher {
    body: Arc<Mutex<(StatusCode, String)>>,
    whole: Arc<AtomicUsize>,
    same: Arc<AtomicUsize>,
}

impl Publisher {
    async fn start() -> Self {
        let this = Self::default();
        let listener = TcpListener::bind("127.0.0.1:8088").await.unwrap();
        let router = Router::new().route("/list.txt", get(publish)).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        this
    }

    fn put(&self, status: StatusCode, text: &str) {
        *self.body.lock().unwrap() = (status, text.to_owned());
    }
}

async fn publish(State(publisher): State<Publisher>, headers: HeaderMap) -> axum::response::Response {
    let (status, text) = publisher.body.lock().unwrap().clone();
    let tag = format!("\"{}\"", text.len());
    if status == StatusCode::OK
        && headers.get(header::IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes())
    {
        publisher.same.fetch_add(1, Ordering::SeqCst);
        return StatusCode::NOT_MODIFIED.into_response();
    }
    publisher.whole.fetch_add(1, Ordering::SeqCst);
    (status, [(header::ETAG, tag)], text).into_response()
}

#[test]
fn block_lists_are_fetched_kept_and_used() {
    in_namespaces("naming::block_lists_are_fetched_kept_and_used", async {
        let rig = Rig::new(&[UPSTREAM]).await;
        rig.seen();
        rig.online();
        let publisher = Publisher::start().await;
        publisher
            .put(StatusCode::OK, "# ads\n0.0.0.0 news.example\n||many.example^\nedge.cdn.example\ncaptive.apple.com\n");
        let folder = tempfile::tempdir().unwrap();
        let keeper = lists::spawn(Arc::clone(&rig.lists), folder.path().join("lists"), rig.names.subscribe());
        let mut dns = Dns { enabled: true, ..Dns::default() };
        let id = dns.add_list("Ads", "http://127.0.0.1:8088/list.txt").unwrap();
        let servers = [server()];
        rig.tell(&dns, &servers);
        let names = |lists: &Lists| lists.states().get(&id).map(|state| state.names);
        eventually("the list is used", SOON, || (names(&rig.lists) == Some(4)).then_some(())).await;

        let blocked = (ResponseCode::NXDomain, vec![]);
        for place in ["10.30.0.1:53", ACCOUNT, ACCOUNT_V6] {
            for name in ["news.example.", "NEWS.example.", "many.example.", "x.many.example."] {
                assert_eq!(ask_at(place, name, RecordType::A).await, blocked, "{name} at {place}");
            }
            assert_eq!(ask_at(place, "web.pay.example.", RecordType::A).await.1, ["192.0.2.21"]);
            // What is not blocked may lead to what is.
            assert_eq!(ask_at(place, "alias.example.", RecordType::A).await, blocked, "an alias at {place}");
        }
        // The walled garden is open in any case, and so are probes.
        assert_eq!(addresses(&ask("shop.example.", RecordType::A).await), ["192.0.2.20"]);
        assert_eq!(addresses(&ask("captive.apple.com.", RecordType::A).await), ["192.0.2.12"]);
        assert!(rig.counts().blocked >= 15);
        assert_eq!(rig.lists.states()[&id].hits, rig.counts().blocked);

        // By hand, for one place, and at all.
        dns.add_name(Side::Allowed, "news.example".parse().unwrap()).unwrap();
        dns.add_name(Side::Blocked, "notes.example".parse().unwrap()).unwrap();
        dns.unfiltered.insert("hotspot/lobby".parse().unwrap());
        rig.tell(&dns, &servers);
        let allowed = || {
            let answer = crate::world::as_guest(|| ask_of(ACCOUNT, "news.example.", RecordType::A))?;
            (addresses(&answer) == ["192.0.2.10"]).then_some(())
        };
        eventually("the name is allowed", SOON, allowed).await;
        assert_eq!(ask_at(ACCOUNT, "notes.example.", RecordType::TXT).await, blocked);
        assert_eq!(rig.lists.hits_by_hand(), 1);
        assert_eq!(ask_at(ACCOUNT, "many.example.", RecordType::A).await, blocked);
        assert_eq!(ask_at("10.30.0.1:53", "many.example.", RecordType::A).await.1, ["192.0.2.11"]);

        // Nothing new costs nothing; what is no list changes nothing.
        let state = |lists: &Lists| lists.states()[&id].clone();
        let look = async |what: &str, done: &dyn Fn(&lists::ListState) -> bool| {
            rig.lists.refresh([id]);
            tokio::time::sleep(Duration::from_millis(50)).await;
            eventually(what, SOON, || Some(state(&rig.lists)).filter(|s| !s.fetching && done(s)).map(drop)).await;
        };
        let whole = publisher.whole.load(Ordering::SeqCst);
        look("looked at again", &|_| publisher.same.load(Ordering::SeqCst) == 1).await;
        assert_eq!(publisher.whole.load(Ordering::SeqCst), whole);
        for (status, text, why) in [
            (StatusCode::OK, "<html>sign in first</html>".to_owned(), "no name"),
            (StatusCode::INTERNAL_SERVER_ERROR, "ads.example".to_owned(), "500"),
            (StatusCode::OK, "a".repeat(65 << 20), "64 MiB"),
        ] {
            publisher.put(status, &text);
            look(why, &|state| state.error.as_deref().is_some_and(|error| error.contains(why))).await;
            assert_eq!(state(&rig.lists).names, 4, "{why}");
            assert_eq!(ask_at(ACCOUNT, "many.example.", RecordType::A).await, blocked, "{why}");
        }
        publisher.put(StatusCode::OK, "other.example\n");
        look("the new copy", &|state| state.names == 1 && state.error.is_none()).await;
        assert_eq!(ask_at(ACCOUNT, "many.example.", RecordType::A).await.1, ["192.0.2.11"]);

        // The next start uses the copy, whether the place is there or not.
        keeper.abort();
        drop(keeper.await);
        publisher.put(StatusCode::SERVICE_UNAVAILABLE, "");
        let lists: Arc<Lists> = Arc::default();
        lists.put_names(&dns);
        let keeper = lists::spawn(Arc::clone(&lists), folder.path().join("lists"), rig.names.subscribe());
        eventually("the copy is used", SOON, || (names(&lists) == Some(1)).then_some(())).await;
        assert!(lists.states()[&id].error.is_none(), "it is not due");
        assert_eq!(lists.judge("other.example"), Some(Some(id)));
        assert_eq!(lists.judge("notes.example"), Some(None));

        // A list that goes takes its names and its copy along.
        dns.remove_list(id).unwrap();
        rig.tell(&dns, &servers);
        eventually("its names are free", SOON, || lists.judge("other.example").is_none().then_some(())).await;
        assert!(!folder.path().join("lists").join(format!("{}.txt", ListId(1).0)).exists());
        keeper.abort();
    });
}

#[test]
fn who_refuses_does_not_speak_for_the_others() {
    in_namespaces("naming::who_refuses_does_not_speak_for_the_others", async {
        let rig = Rig::new(&[]).await;
        rig.seen();
        rig.online();
        // Refuses at once whatever it is asked.
        let refusing = tokio::net::UdpSocket::bind("127.0.0.1:5303").await.unwrap();
        let refused = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&refused);
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = refusing.recv_from(&mut buffer).await {
                (buffer[2], buffer[3]) = (0x81, 0x85);
                count.fetch_add(1, Ordering::SeqCst);
                refusing.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        let forwarders = ["127.0.0.1:5303", UPSTREAM].map(|text| text.parse().unwrap()).to_vec();
        rig.tell(&Dns { forwarders, ..Dns::default() }, &[]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        for (name, address) in [("news.example.", "192.0.2.10"), ("many.example.", "192.0.2.11")] {
            assert_eq!(addresses(&ask(name, RecordType::A).await), [address]);
        }
        assert!(refused.load(Ordering::SeqCst) > 0, "it was asked");
        assert_eq!(code(&ask("none.example.", RecordType::A).await), ResponseCode::NXDomain);
    });
}

/// Folder of the certificates that the test's environment names.
const FOLDER: &str = "NAMES_TEST_TLS";
const RESOLVER: &str = "dns.example.net";

fn certificates() -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap().keep();
    let made = rcgen::generate_simple_self_signed([RESOLVER.to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    // The system's authorities, as far as the test goes.
    vec![("SSL_CERT_FILE", path(folder.join("cert.pem"))), (FOLDER, path(folder))]
}

/// Puts a question to the plain resolver of the test.
async fn relayed(question: Vec<u8>, seen: &AtomicUsize) -> Vec<u8> {
    seen.fetch_add(1, Ordering::SeqCst);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&question, UPSTREAM).await.unwrap();
    let mut buffer = vec![0; 4_096];
    let length = socket.recv(&mut buffer).await.unwrap();
    buffer.truncate(length);
    buffer
}

/// A resolver by TLS on 853 and by HTTPS on 443.
async fn start_encrypted() -> [Arc<AtomicUsize>; 2] {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let config = axum_server::tls_rustls::RustlsConfig::from_pem_file(cert, key).await.unwrap();
    let [by_tls, by_https]: [Arc<AtomicUsize>; 2] = Default::default();
    let acceptor = tokio_rustls::TlsAcceptor::from(config.get_inner());
    let listener = TcpListener::bind("127.0.0.1:853").await.unwrap();
    let seen = Arc::clone(&by_tls);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let mut tls = acceptor.accept(stream).await?;
                loop {
                    let mut question = vec![0; tls.read_u16().await?.into()];
                    tls.read_exact(&mut question).await?;
                    let answer = relayed(question, &seen).await;
                    tls.write_u16(u16::try_from(answer.len()).unwrap()).await?;
                    tls.write_all(&answer).await?;
                    tls.flush().await?;
                }
                #[expect(unreachable_code, reason = "it says the type of the errors")]
                Ok::<(), std::io::Error>(())
            });
        }
    });
    let seen = Arc::clone(&by_https);
    let answer = post(move |body: Bytes| async move {
        let answer = relayed(body.to_vec(), &seen).await;
        ([(header::CONTENT_TYPE, "application/dns-message")], answer)
    });
    let router = Router::new().route("/ask", answer);
    let at: SocketAddr = "127.0.0.1:443".parse().unwrap();
    tokio::spawn(axum_server::bind_rustls(at, config).serve(router.into_make_service()));
    [by_tls, by_https]
}

#[test]
fn forwarders_are_asked_by_tls_and_https() {
    in_namespaces_with("naming::forwarders_are_asked_by_tls_and_https", certificates, async {
        drop(rustls::crypto::ring::default_provider().install_default());
        let rig = Rig::new(&[]).await;
        rig.seen();
        rig.online();
        let [by_tls, by_https] = start_encrypted().await;
        let use_forwarder = async |text: &str, name: &'static str| {
            let dns = Dns { forwarders: vec![text.parse().unwrap()], max_cache_ttl_s: 30, ..Dns::default() };
            rig.tell(&dns, &[]);
            tokio::time::sleep(Duration::from_millis(300)).await;
            ask(name, RecordType::A).await
        };
        let answer = use_forwarder("tls://127.0.0.1#dns.example.net", "news.example.").await;
        assert_eq!(addresses(&answer), ["192.0.2.10"]);
        assert!(answer.answers[0].ttl <= 30, "no longer than the operator says: {}", answer.answers[0].ttl);
        assert_eq!((by_tls.load(Ordering::SeqCst), by_https.load(Ordering::SeqCst)), (1, 0));
        let answer = use_forwarder("https://127.0.0.1/ask#dns.example.net", "many.example.").await;
        assert_eq!(addresses(&answer), ["192.0.2.11"]);
        assert_eq!((by_tls.load(Ordering::SeqCst), by_https.load(Ordering::SeqCst)), (1, 1));
        // Who cannot show the name's certificate is not believed.
        for text in ["tls://127.0.0.1#other.example.net", "https://127.0.0.1/ask#other.example.net"] {
            assert_eq!(code(&use_forwarder(text, "news.example.").await), ResponseCode::ServFail, "{text}");
        }
        let answer = use_forwarder("127.0.0.1:5301", "news.example.").await;
        assert_eq!(addresses(&answer), ["192.0.2.10"]);
        assert_eq!((by_tls.load(Ordering::SeqCst), by_https.load(Ordering::SeqCst)), (1, 1));
        assert_eq!(addresses(&ask("login.guest.internal.", RecordType::A).await), [GATEWAY]);
    });
}
