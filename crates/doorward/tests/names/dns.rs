//! The resolver with a real upstream, asked by a guest on a cable.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use doorward::{
    app::{HotspotRecord, dns::Names},
    clock,
    dns::{self, Counts, GardenAddress, Served, Stats, lists::Lists},
    hosts::{Hosts, Online},
    hotspot_settings::GardenEntry,
};
use doorward_kernel::Host;
use doorward_policy::{
    guest::{GrantId, Mac, Method, SessionId},
    hotspot::HotspotId,
};
use hickory_proto::{
    op::{Edns, Message, Query, ResponseCode},
    rr::{RData, RecordType},
};
use tokio::sync::watch;

use crate::world::{as_guest, eventually, guest, in_namespaces, inside, plug_in, record, run};

const GUEST: Ipv4Addr = Ipv4Addr::new(10, 30, 0, 7);
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub const GATEWAY: &str = "10.30.0.1";
pub const UPSTREAM: &str = "127.0.0.1:5301";
const SILENT: &str = "127.0.0.1:5302";

/// What a local answer may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(5);

/// Whoever says nothing for this long says nothing.
pub const SILENCE: Duration = Duration::from_millis(700);

/// How long the kernel of these tests takes to open an address.
const OPENING: Duration = Duration::from_millis(150);

pub struct Rig {
    hosts: Hosts,
    pub names: watch::Sender<Arc<Names>>,
    pub lists: Arc<Lists>,
    hotspots: watch::Sender<Arc<Vec<HotspotRecord>>>,
    opened: Arc<Mutex<Vec<GardenAddress>>>,
    stats: Arc<Stats>,
    upstream: Option<std::process::Child>,
}

impl Rig {
    /// A resolver at the gateway's addresses, which come later, and an upstream on the gateway itself.
    pub async fn new(upstreams: &[&str]) -> Self {
        let garden = [("shop.example", false), ("*.pay.example", true), ("inner.example", false)];
        let entry = |(name, http): (&str, bool)| GardenEntry { name: name.to_owned(), http };
        let (hotspots, receiver) = watch::channel(record(|_, settings| settings.garden = garden.map(entry).to_vec()));
        let hosts = Hosts::default();
        hosts.set_hotspots(vec![receiver.borrow()[0].hotspot.clone()]);
        let machine = Arc::new(Host {
            wans: vec!["wan".parse().unwrap()],
            addresses: vec![
                ("lan".parse().unwrap(), "192.168.77.1/24".parse().unwrap()),
                ("wan".parse().unwrap(), "203.0.113.2/24".parse().unwrap()),
            ],
        });
        let opened: Arc<Mutex<Vec<GardenAddress>>> = Arc::default();
        let sink = Arc::clone(&opened);
        let open = move |addresses: Vec<GardenAddress>| {
            let sink = Arc::clone(&sink);
            async move {
                tokio::time::sleep(OPENING).await;
                sink.lock().unwrap().extend(addresses);
                true
            }
        };
        let options =
            dns::Options { upstreams: upstreams.iter().map(|text| text.parse().unwrap()).collect(), port: dns::PORT };
        let (names, told) = watch::channel(Arc::default());
        let lists: Arc<Lists> = Arc::default();
        let served = Served { hotspots: receiver, names: told, lists: Arc::clone(&lists) };
        let (stats, _) = dns::spawn(options, served, hosts.clone(), move || Arc::clone(&machine), open);
        let this = Self { hosts, names, lists, hotspots, opened, stats, upstream: Some(start_upstream()) };
        tokio::time::sleep(Duration::from_millis(100)).await;
        plug_in();
        for line in ["addr add 10.30.0.7/24 dev eth0", "addr add fd30::7/64 dev eth0 nodad"] {
            run(&format!("ip -n guest {line}"));
        }
        eventually("the upstream answers", SOON, || ask_of(UPSTREAM, "news.example.", RecordType::A)).await;
        this
    }

    pub fn seen(&self) {
        for address in [IpAddr::V4(GUEST), "fd30::7".parse().unwrap()] {
            self.hosts.seen(HotspotId(1), MAC, address, 0);
        }
    }

    pub fn online(&self) {
        let online = Online {
            session: SessionId(1),
            grant: GrantId(1),
            method: Method::Voucher,
            login: String::new(),
            started_ms: 0,
            addresses: BTreeSet::from([IpAddr::V4(GUEST)]),
        };
        self.hosts.set_online(HotspotId(1), MAC, online, 0);
    }

    pub fn counts(&self) -> Counts {
        self.stats.read()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(mut upstream) = self.upstream.take() {
            drop(upstream.kill());
            drop(upstream.wait());
        }
    }
}

/// A real resolver that knows a small internet by heart.
fn start_upstream() -> std::process::Child {
    let mut command = Command::new("/usr/sbin/dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--pid-file",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--port=5301",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--local-ttl=300",
        "--local=/example/",
        "--address=/news.example/192.0.2.10",
        "--address=/many.example/192.0.2.11",
        "--address=/captive.apple.com/192.0.2.12",
        "--address=/use-application-dns.net/192.0.2.13",
        "--host-record=web.pay.example,192.0.2.21,2001:db8:80::21",
        "--host-record=edge.cdn.example,192.0.2.20",
        "--cname=shop.example,edge.cdn.example",
        "--cname=alias.example,edge.cdn.example",
        "--address=/evil.example/10.30.0.9",
        "--address=/printer.example/192.168.77.10",
        "--address=/inner.example/10.99.0.1",
        "--txt-record=notes.example,a text",
    ]);
    for n in 1..=40 {
        command.arg(format!("--host-record=big.example,192.0.2.{n}"));
    }
    command.spawn().unwrap()
}

/// Asks a server from the thread's own network; `None`: no answer in time.
pub fn ask_of(server: &str, name: &str, kind: RecordType) -> Option<Message> {
    // The first answer of a neighbour, or of no upstream, takes its time.
    ask_within(Duration::from_secs(4), server, name, kind)
}

pub fn ask_within(within: Duration, server: &str, name: &str, kind: RecordType) -> Option<Message> {
    let server: SocketAddr = server.parse().unwrap();
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { "::".parse().unwrap() };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.set_read_timeout(Some(within)).unwrap();
    let question = question(name, kind);
    socket.send_to(&question.to_vec().unwrap(), server).unwrap();
    let mut buffer = [0; 65_535];
    let length = socket.recv(&mut buffer).ok()?;
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    Some(answer)
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.parse().unwrap(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(512);
    message.set_edns(edns);
    message
}

/// Asks the gateway as the guest.
pub async fn ask(name: &'static str, kind: RecordType) -> Message {
    guest(move || ask_of(&format!("{GATEWAY}:53"), name, kind)).await.expect(name)
}

pub fn addresses(message: &Message) -> Vec<String> {
    message.answers.iter().filter_map(|record| record.data.ip_addr()).map(|address| address.to_string()).collect()
}

pub fn code(message: &Message) -> ResponseCode {
    message.metadata.response_code
}

#[test]
fn before_login_the_portal_garden_and_probes_are_known() {
    in_namespaces("dns::before_login_the_portal_garden_and_probes_are_known", async {
        let rig = Rig::new(&[UPSTREAM]).await;
        rig.seen();
        for (kind, address) in [(RecordType::A, GATEWAY), (RecordType::AAAA, "fd30::1")] {
            assert_eq!(addresses(&ask("login.guest.internal.", kind).await), [address]);
        }
        let by_v6 = guest(|| ask_of("[fd30::1]:53", "login.guest.internal.", RecordType::A)).await.unwrap();
        assert_eq!(addresses(&by_v6), [GATEWAY], "IPv6 the same");

        // The kernel has the address before the guest has it.
        let before = Instant::now();
        let shop = ask("shop.example.", RecordType::A).await;
        assert!(before.elapsed() >= OPENING, "{:?}", before.elapsed());
        assert_eq!(addresses(&shop), ["192.0.2.20"], "by way of an alias");
        assert!(matches!(shop.answers[0].data, RData::CNAME(_)), "which is told");
        let opened = rig.opened.lock().unwrap().clone();
        let address: IpAddr = "192.0.2.20".parse().unwrap();
        assert_eq!(opened.iter().map(|one| (one.address, one.port)).collect::<Vec<_>>(), [(address, 443)]);
        let left_ms = opened[0].until_ms - clock::now_ms();
        assert!((300_000..=400_000).contains(&left_ms), "as long as the record and a while: {left_ms}");

        // From the cache: known already.
        let before = Instant::now();
        ask("shop.example.", RecordType::A).await;
        assert!(before.elapsed() < OPENING);
        assert_eq!(rig.opened.lock().unwrap().len(), 1);

        ask("web.pay.example.", RecordType::A).await;
        ask("web.pay.example.", RecordType::AAAA).await;
        let opened = rig.opened.lock().unwrap().clone();
        let opened: BTreeSet<String> = opened.iter().map(|one| format!("{} {}", one.address, one.port)).collect();
        for one in ["192.0.2.21 443", "192.0.2.21 80", "2001:db8:80::21 443", "2001:db8:80::21 80"] {
            assert!(opened.contains(one), "{one} of {opened:?}");
        }
        assert_eq!(addresses(&ask("captive.apple.com.", RecordType::A).await), ["192.0.2.12"], "probes are truthful");
        assert_eq!(addresses(&ask("news.example.", RecordType::A).await), ["192.0.2.10"], "others too");
        assert_eq!(code(&ask("use-application-dns.net.", RecordType::A).await), ResponseCode::NXDomain);
        assert_eq!(code(&ask("notes.example.", RecordType::TXT).await), ResponseCode::Refused);
        assert_eq!(code(&ask("nothing.example.", RecordType::A).await), ResponseCode::NXDomain);
        let count = rig.opened.lock().unwrap().len();
        ask("inner.example.", RecordType::A).await;
        assert_eq!(rig.opened.lock().unwrap().len(), count, "what is behind the gateway is not opened");
    });
}

#[test]
fn before_login_there_is_too_little_for_a_tunnel() {
    in_namespaces("dns::before_login_there_is_too_little_for_a_tunnel", async {
        let rig = Rig::new(&[UPSTREAM]).await;
        rig.seen();
        let started = Instant::now();
        let (told, refused) = guest(|| {
            let (mut told, mut refused) = (0_u64, 0_u64);
            for n in 0..120 {
                let name = format!("{n:x}.many.example.");
                let code = code(&ask_of(&format!("{GATEWAY}:53"), &name, RecordType::A).unwrap());
                assert!([ResponseCode::NoError, ResponseCode::Refused].contains(&code), "{code}");
                told += u64::from(code == ResponseCode::NoError);
                refused += u64::from(code == ResponseCode::Refused);
            }
            (told, refused)
        })
        .await;
        let most = 30 + started.elapsed().as_secs() / 2 + 1;
        assert!((30..=most).contains(&told) && told + refused == 120, "{told} answered, {refused} refused");
        assert_eq!(rig.counts().over_budget, refused);

        // By IPv6 it is the same device.
        let by_v6 = guest(|| ask_of("[fd30::1]:53", "fresh.many.example.", RecordType::A)).await.unwrap();
        assert_eq!(code(&by_v6), ResponseCode::Refused);
        // What it needs to log in costs nothing.
        assert_eq!(addresses(&ask("login.guest.internal.", RecordType::A).await), [GATEWAY]);
        assert_eq!(addresses(&ask("captive.apple.com.", RecordType::A).await), ["192.0.2.12"]);
        assert_eq!(addresses(&ask("shop.example.", RecordType::A).await), ["192.0.2.20"]);
        assert_eq!(code(&ask("big.example.", RecordType::A).await), ResponseCode::Refused);
        rig.online();
        assert_eq!(addresses(&ask("news.example.", RecordType::A).await), ["192.0.2.10"], "once online");
    });
}

#[test]
fn online_everything_is_truthful_but_what_leads_inside() {
    in_namespaces("dns::online_everything_is_truthful_but_what_leads_inside", async {
        let rig = Rig::new(&[UPSTREAM]).await;
        rig.seen();
        rig.online();
        assert_eq!(ask("notes.example.", RecordType::TXT).await.answers[0].data.to_string(), "a text");
        assert_eq!(addresses(&ask("use-application-dns.net.", RecordType::A).await), ["192.0.2.13"]);
        assert_eq!(addresses(&ask("login.guest.internal.", RecordType::A).await), [GATEWAY]);
        for name in ["evil.example.", "printer.example."] {
            let answer = ask(name, RecordType::A).await;
            assert_eq!((code(&answer), addresses(&answer).len()), (ResponseCode::NoError, 0), "{name}");
        }
        assert_eq!(ask("news.example.", RecordType::ANY).await.answers[0].record_type(), RecordType::HINFO);
        assert_eq!(code(&ask("news.example.", RecordType::AXFR).await), ResponseCode::Refused);

        // More than fits a packet comes by TCP.
        let cut = ask("big.example.", RecordType::A).await;
        assert!(cut.metadata.truncation && cut.answers.is_empty());
        let whole = guest(|| {
            let mut stream = TcpStream::connect((GATEWAY, 53)).unwrap();
            by_tcp(&mut stream, "big.example.")
        })
        .await;
        assert_eq!(whole.answers.len(), 40);

        // A device has eight connections.
        let served = guest(|| {
            let streams: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect((GATEWAY, 53)).unwrap()).collect();
            std::thread::sleep(Duration::from_millis(200));
            streams.iter().filter(|stream| is_open(stream)).count()
        })
        .await;
        // The place of the connection before may not be free yet.
        assert!((7..=8).contains(&served), "{served}");
        assert!(rig.counts().dropped >= 12);
    });
}

#[test]
fn others_than_guests_are_not_answered_and_sockets_follow_the_hotspots() {
    in_namespaces("dns::others_than_guests_are_not_answered_and_sockets_follow_the_hotspots", async {
        let rig = Rig::new(&[UPSTREAM]).await;
        let silent = |server| move || ask_within(SILENCE, server, "login.guest.internal.", RecordType::A);
        let own = tokio::task::spawn_blocking(silent("10.30.0.1:53"));
        assert_eq!(own.await.unwrap(), None, "the gateway itself is no guest");
        run("ip -n guest addr add 10.77.0.7/24 dev eth0");
        run("ip addr add 10.77.0.1/24 dev guest0");
        let stranger = guest(|| {
            let socket = UdpSocket::bind("10.77.0.7:0").unwrap();
            socket.set_read_timeout(Some(SILENCE)).unwrap();
            let question = question("login.guest.internal.", RecordType::A);
            run("ip route add 10.30.0.1/32 dev eth0 src 10.77.0.7");
            socket.send_to(&question.to_vec().unwrap(), "10.30.0.1:53").unwrap();
            socket.recv(&mut [0; 512]).is_ok()
        })
        .await;
        assert!(!stranger, "nor is anybody from another network");
        run("ip -n guest route del 10.30.0.1/32 dev eth0");
        assert_eq!(addresses(&ask("login.guest.internal.", RecordType::A).await), [GATEWAY], "a guest, not seen yet");

        let moved = record(|hotspot, _| hotspot.address = "10.77.0.1/24".parse().unwrap());
        rig.hosts.set_hotspots(vec![moved[0].hotspot.clone()]);
        rig.hotspots.send(moved).unwrap();
        let there = || as_guest(|| ask_of("10.77.0.1:53", "login.guest.internal.", RecordType::A));
        let answer = eventually("an answer at the new address", SOON, there).await;
        assert_eq!(addresses(&answer), ["10.77.0.1"]);
        let old = guest(silent("10.30.0.1:53")).await;
        assert_eq!(old, None, "the old socket is closed");
    });
}

#[test]
fn whoever_comes_by_another_interface_is_not_heard() {
    in_namespaces("dns::whoever_comes_by_another_interface_is_not_heard", async {
        let _rig = Rig::new(&[UPSTREAM]).await;
        for (net, from) in [("lan", "192.168.77"), ("wan", "203.0.113")] {
            for line in [
                format!("ip netns add {net}"),
                format!("ip link add {net}0 type veth peer name eth0 netns {net}"),
                format!("ip addr add {from}.1/24 dev {net}0"),
                format!("ip link set {net}0 up"),
                format!("ip -n {net} addr add {from}.20/24 dev eth0"),
                format!("ip -n {net} link set eth0 up"),
                format!("ip -n {net} route add 10.30.0.0/24 via {from}.1"),
            ] {
                run(&line);
            }
            let (udp, tcp) = tokio::task::spawn_blocking(move || {
                inside(net, || {
                    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                    socket.set_read_timeout(Some(SOON)).unwrap();
                    socket.connect("10.30.0.1:53").unwrap();
                    socket.send(&question("login.guest.internal.", RecordType::A).to_vec().unwrap()).unwrap();
                    let server = SocketAddr::from(([10, 30, 0, 1], 53));
                    let udp = socket.recv(&mut [0; 512]).map_err(|error| error.kind());
                    (udp, TcpStream::connect_timeout(&server, SOON).map(drop).map_err(|error| error.kind()))
                })
            })
            .await
            .unwrap();
            let refused = std::io::ErrorKind::ConnectionRefused;
            assert_eq!((udp, tcp), (Err(refused), Err(refused)), "{net}: nobody listens there");
        }
        assert_eq!(addresses(&ask("login.guest.internal.", RecordType::A).await), [GATEWAY]);
        // Another interface under the same name, as after a cable or a bridge was taken away.
        run("ip link del guest0");
        run("ip link add guest0 type veth peer name eth0 netns guest");
        plug_in();
        run("ip -n guest addr add 10.30.0.7/24 dev eth0");
        let again = || as_guest(|| ask_of("10.30.0.1:53", "login.guest.internal.", RecordType::A));
        let answer = eventually("an answer at the new interface", SOON, again).await;
        assert_eq!(addresses(&answer), [GATEWAY]);
    });
}

#[test]
fn a_device_has_eight_connections_whatever_its_addresses() {
    in_namespaces("dns::a_device_has_eight_connections_whatever_its_addresses", async {
        let rig = Rig::new(&[UPSTREAM]).await;
        rig.seen();
        let answered = guest(|| {
            let by = |server: &str| {
                let mut stream = TcpStream::connect(server).unwrap();
                stream.set_read_timeout(Some(SOON)).unwrap();
                let question = question("login.guest.internal.", RecordType::A).to_vec().unwrap();
                let length = u16::try_from(question.len()).unwrap().to_be_bytes();
                drop(stream.write_all(&[&length, question.as_slice()].concat()));
                let heard = stream.read_exact(&mut [0; 2]).is_ok();
                (heard, stream)
            };
            let mut open: Vec<_> = (0..8).map(|_| by("10.30.0.1:53")).collect();
            open.push(by("[fd30::1]:53"));
            open.iter().map(|(heard, _)| *heard).collect::<Vec<_>>()
        })
        .await;
        assert_eq!(answered, [true, true, true, true, true, true, true, true, false]);
    });
}

#[test]
fn a_dead_upstream_costs_little_time() {
    in_namespaces("dns::a_dead_upstream_costs_little_time", async {
        // Nobody reads here: like a resolver behind a dead line.
        let _silent = UdpSocket::bind(SILENT).unwrap();
        let mut rig = Rig::new(&[SILENT, UPSTREAM]).await;
        rig.seen();
        rig.online();
        let before = Instant::now();
        assert_eq!(addresses(&ask("news.example.", RecordType::A).await), ["192.0.2.10"], "the second one knows");
        assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());

        let mut upstream = rig.upstream.take().unwrap();
        upstream.kill().unwrap();
        upstream.wait().unwrap();
        assert_eq!(addresses(&ask("news.example.", RecordType::A).await), ["192.0.2.10"], "from the cache");
        let before = Instant::now();
        assert_eq!(code(&ask("many.example.", RecordType::A).await), ResponseCode::ServFail);
        assert!(before.elapsed() < Duration::from_millis(3_500), "{:?}", before.elapsed());
        assert_eq!(rig.counts().failed, 1);

        rig.upstream = Some(start_upstream());
        let back = || {
            let answer = as_guest(|| ask_of("10.30.0.1:53", "many.example.", RecordType::A))?;
            (code(&answer) == ResponseCode::NoError).then_some(())
        };
        eventually("answers again", SOON * 2, back).await;
    });
}

fn by_tcp(stream: &mut TcpStream, name: &str) -> Message {
    let question = question(name, RecordType::A).to_vec().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(&[&u16::try_from(question.len()).unwrap().to_be_bytes(), question.as_slice()].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    Message::from_vec(&answer).unwrap()
}

/// Whether the other side has not hung up.
fn is_open(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}
