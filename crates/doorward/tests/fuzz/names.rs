//! What guests and resolvers send to port 53, and what stands in the lease file.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use doorward::{
    dhcp,
    dns::{
        blocks::Builder,
        budget::{Budget, Class, Who},
        message::{self, MOST_UDP, Packet, Reply, Role, Transport},
        own::Records,
        policy::{self, Ask, Decision, Zone, ZoneId},
    },
    hosts::Standing,
    hotspot_settings::{GardenEntry, HotspotSettings},
};
use doorward_kernel::Host;
use doorward_policy::{
    dns::{Data, Forwarder, Pattern, Record as OwnRecord},
    guest::Mac,
    hotspot::{Hotspot, HotspotId},
};
use hickory_proto::{
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{
            A, CNAME, HTTPS, MX, SOA, SRV, TXT,
            svcb::{IpHint, SVCB, SvcParamKey, SvcParamValue},
        },
    },
};

use crate::generate::{CASES, Generator, cases};

const NAMES: [&str; 10] = [
    "nas.lan.",
    "store.lan.",
    "login.guest.internal.",
    "shop.example.",
    "a.b.pay.example.",
    "captive.apple.com.",
    "use-application-dns.net.",
    "1.0.30.10.in-addr.arpa.",
    "printer.local.",
    "dGhpcyBpcyBhIHR1bm5lbCwgb3Igd291bGQgYmUgb25l.t.example.com.",
];

const KINDS: [RecordType; 10] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CNAME,
    RecordType::PTR,
    RecordType::HTTPS,
    RecordType::TXT,
    RecordType::NULL,
    RecordType::ANY,
    RecordType::AXFR,
    RecordType::MX,
];

const STANDINGS: [Standing; 4] = [Standing::Captive, Standing::Online, Standing::Allowed, Standing::Blocked];

/// Label lengths, pointers, types and names.
const WORDS: [&[u8]; 9] = [
    b"\xc0\x0c",
    b"\xc0\x00",
    b"\x3f",
    b"\x00\x00\xff\x00\x01",
    b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00",
    b"\x07example\x00",
    b"\x05local\x00",
    b"\xff\xff",
    b"\x00\x01\x00\x01",
];

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn zone() -> Zone {
    let hotspot = Hotspot {
        id: HotspotId(1),
        interface: "guest0".parse().unwrap(),
        address: "10.30.0.1/24".parse().unwrap(),
        address_ipv6: Some("fd30::1/64".parse().unwrap()),
        nat_ipv6: true,
        isolated: true,
        lan_access: Vec::new(),
        portal_tls: false,
        allowed: Vec::new(),
        blocked: Vec::new(),
    };
    let entry = |name: &str| GardenEntry { name: name.to_owned(), http: true };
    let garden = vec![entry("shop.example"), entry("*.pay.example")];
    Zone::of(&hotspot, &HotspotSettings { garden, ..HotspotSettings::default() }, true)
}

/// Names of the operator's own.
fn records() -> Records {
    let own =
        |name: &str, kind, data| OwnRecord { name: name.parse().unwrap(), data: Data::parse(kind, data).unwrap() };
    Records::of(&[own("nas.lan", "A", "192.168.77.20"), own("store.lan", "CNAME", "shop.example")])
}

fn host() -> Host {
    Host {
        wans: vec!["wan".parse().unwrap()],
        addresses: vec![("lan".parse().unwrap(), "192.168.77.1/24".parse().unwrap())],
    }
}

fn question(text: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 7;
    message.add_query(Query::query(name(text), kind));
    message
}

/// Must be readable by others, answer that question, and fit.
fn check_packet(packet: &[u8], id: &[u8], most: usize) -> Message {
    assert!(packet.len() <= most, "{} bytes", packet.len());
    assert_eq!(&packet[..2], id);
    Message::from_vec(packet).expect("what we write can be read")
}

#[test]
fn questions() {
    let mut samples = Vec::new();
    for text in NAMES {
        for kind in KINDS {
            let mut message = question(text, kind);
            samples.push(message.to_vec().unwrap());
            let mut edns = Edns::new();
            edns.set_max_payload(4_096).set_dnssec_ok(true);
            message.set_edns(edns);
            samples.push(message.to_vec().unwrap());
        }
    }
    let (zone, records) = (zone(), records());
    cases(&samples, &WORDS, |input, generator| match message::read(input) {
        Packet::Nothing => assert!(input.len() < 12 || input.len() > 4_096 || input[2] & 0x80 != 0),
        Packet::Wrong(reply) => drop(check_packet(&reply, &input[..2], MOST_UDP)),
        Packet::Question(question) => {
            let standing = *generator.pick(&STANDINGS);
            let reply = match zone.decide(&question, standing, &records) {
                Decision::Say(reply) => reply,
                Decision::Ask(ask) => {
                    check_ask(ask, standing, &question.name, question.kind);
                    Reply::empty(ResponseCode::ServFail)
                }
                Decision::Alias(aliases, rest) => {
                    assert_eq!((aliases.len(), rest.to_ascii().as_str()), (1, "shop.example."));
                    assert_ne!(standing, Standing::Blocked);
                    Reply::of(aliases)
                }
            };
            let transport = *generator.pick(&[Transport::Udp, Transport::Tcp]);
            let written = message::write(&question, &reply, transport, Role::Recursive);
            let answer = check_packet(&written, &input[..2], MOST_UDP);
            assert_eq!((answer.queries.len(), answer.queries[0].query_type()), (1, question.kind));
        }
    });
}

fn check_ask(ask: Ask, standing: Standing, name: &Name, kind: RecordType) {
    let listed = ["shop.example.", "captive.apple.com."].contains(&name.to_ascii().as_str())
        || name.to_ascii().ends_with(".pay.example.");
    match standing {
        Standing::Captive => {
            assert!(matches!(kind, RecordType::A | RecordType::AAAA | RecordType::CNAME | RecordType::PTR));
            // Other probes can come out of the mill as well; garden names cannot.
            assert!(ask.class == Class::Named || (ask.class == Class::Other && ask.small && !listed));
            assert!(ask.class == Class::Named || name.len() <= 128 && name.iter().all(|label| label.len() <= 40));
        }
        Standing::Online | Standing::Allowed => assert_eq!(ask.class, Class::Online),
        Standing::Blocked => panic!("a blocked device is answered"),
    }
}

#[test]
fn answers() {
    let owner = || name("shop.example.");
    let record = |data| Record::from_rdata(owner(), 60, data);
    let address = |text: &str| RData::from(text.parse::<IpAddr>().unwrap());
    let hint = SvcParamValue::Ipv4Hint(IpHint(vec![A("192.168.77.1".parse().unwrap())]));
    let soa = SOA::new(name("ns.example."), name("post.example."), 1, 2, 3, 4, 5);
    let data = [
        vec![address("192.0.2.1"), address("10.30.0.9"), address("2001:db8::1")],
        vec![RData::CNAME(CNAME(name("edge.cdn.example."))), address("192.168.77.10"), address("::1")],
        vec![RData::HTTPS(HTTPS(SVCB::new(1, owner(), vec![(SvcParamKey::Ipv4Hint, hint)])))],
        vec![RData::TXT(TXT::new(vec!["x".repeat(250); 3])), RData::MX(MX::new(1, owner()))],
        vec![RData::SRV(SRV::new(1, 2, 3, owner())), RData::SOA(soa)],
        (0..60).map(|n| address(&format!("192.0.2.{n}"))).collect(),
    ];
    let mut samples = Vec::new();
    for some in data {
        let mut message = Message::response(7, OpCode::Query);
        message.add_query(Query::query(owner(), RecordType::A));
        message.add_answers(some.into_iter().map(record));
        samples.push(message.to_vec().unwrap());
    }
    let asked = match message::read(&question("shop.example.", RecordType::A).to_vec().unwrap()) {
        Packet::Question(question) => question,
        other @ (Packet::Wrong(_) | Packet::Nothing) => panic!("{other:?}"),
    };
    let (zones, host) = ([zone()], Arc::new(host()));
    cases(&samples, &WORDS, |input, generator| {
        // As the upstream's client reads it.
        let Ok(upstream) = Message::from_vec(input) else { return };
        let small = generator.next() & 1 == 0;
        let authority =
            upstream.authorities.into_iter().find(|record| matches!(record.data, RData::SOA(_))).map(Box::new);
        let reply = Reply { code: ResponseCode::NoError, answers: upstream.answers, authority };
        let ask = Ask { class: Class::Other, garden: None, small, exempt: false };
        let reply = policy::bounded(zones[0].shield(reply, &zones, &host), ask);
        if small {
            assert!(reply.answers.is_empty() || message::record_bytes(&reply) <= 512);
        }
        for (address, _) in policy::addresses(&reply) {
            let text = address.to_string();
            let inside = ["10.30.0.", "192.168.77.", "127.", "fd30::", "fe80:"].iter().any(|net| text.starts_with(net));
            assert!(!inside && text != "::1" && text != "::", "{text}");
        }
        let written = message::write(&asked, &reply, Transport::Udp, Role::Recursive);
        drop(check_packet(&written, &[0, 7], 512));
    });
}

#[test]
fn block_lists() {
    let samples = [
        "# hosts\n0.0.0.0 ads.example b.example # why\n127.0.0.1 localhost\n::1 ip6-localhost\r\n",
        "[Adblock Plus]\n! filters\n||ads.example^\n@@||fine.ads.example^$important\n||*.c.example^|\n",
        "*.wild.example\nplain.example.\n_dns.example\nxn--bcher-kva.example\n",
    ];
    let samples: Vec<Vec<u8>> = samples.iter().map(|text| text.as_bytes().to_vec()).collect();
    let words: [&[u8]; 9] = [b"||", b"^", b"*.", b"@@", b".", b"\n", b"0.0.0.0 ", b"\xef\xbb\xbf", b"\xff\x00"];
    let asked: Vec<Name> = ["ads.example.", "x.wild.example.", "."].map(name).to_vec();
    cases(&samples, &words, |input, generator| {
        let mut builder = Builder::default();
        let read = builder.add_list(input).expect("memory can be read");
        let lines = input.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        // A name and what stands before it take four bytes at least.
        assert!(read.skipped <= lines && read.names <= input.len() as u64 / 3 + 1, "{read:?}");
        // A table has an index of its own, which takes longer than all the rest.
        if generator.below(256) > 0 {
            return;
        }
        let table = builder.build();
        assert!(table.len() as u64 <= read.names * 2);
        for name in &asked {
            assert!(table.judge(name).is_none() || read.names > 0);
        }
    });
}

#[test]
fn forwarders_and_patterns() {
    let samples = [
        "192.0.2.53",
        "[2001:db8::53]:5353",
        "tls://192.0.2.53#dns.example",
        "https://[::1]:8443/dns-query#a.b",
        "*.a.example",
    ];
    let samples: Vec<Vec<u8>> = samples.iter().map(|text| text.as_bytes().to_vec()).collect();
    let words: [&[u8]; 8] = [b"tls://", b"https://", b"#", b"]", b"%1", b":0", b"..", b"\x00"];
    cases(&samples, &words, |input, _| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        // What is taken reads back as the same, whatever it looked like.
        if let Ok(forwarder) = text.parse::<Forwarder>() {
            assert_eq!(forwarder.to_string().parse(), Ok(forwarder));
        }
        if let Ok(pattern) = text.parse::<Pattern>() {
            assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
    });
}

#[test]
fn lease_files() {
    let samples = [
        "1795420000 02:00:00:00:00:01 10.30.0.7 Annas-Phone 01:02:00:00:00:00:01\n\
         0 02:00:00:00:00:02 10.30.0.8 * *\n1795420001 3c:22:fb:00:00:03 10.30.255.254 tv ff:aa:bb\n",
        "duid 00:01:00:01:32:96:af:1a:ca:fe:46:5d:95:f1\n1795420000 7 fd30::5 phone 00:03\n",
        "1795420000 06-02:00:00:00:00:01 10.30.0.7 x *\n9223372036854775807 02:00:00:00:00:09 10.30.0.9 y *\n",
    ];
    let samples: Vec<Vec<u8>> = samples.iter().map(|text| text.as_bytes().to_vec()).collect();
    let words: [&[u8]; 8] = [b"\n", b" ", b"duid ", b"*", b"-1", b"99999999999999999999", b"\x1b[2J", b"<script>"];
    cases(&samples, &words, |input, _| {
        let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
        let leases = dhcp::parse(input);
        assert!(leases.len() <= lines);
        for lease in leases.values() {
            assert!(lease.host_name.len() <= 63 && lease.host_name.bytes().all(|b| b.is_ascii_graphic()));
            assert!(lease.mac.is_device() && lease.expires_ms >= 0);
        }
    });
}

#[test]
fn no_order_of_questions_gets_more_than_the_budget() {
    let (budget, start) = (Budget::default(), Instant::now());
    let mut generator = Generator::new(1);
    let (mut taken, mut passed) = (HashMap::<Mac, u64>::new(), Duration::ZERO);
    for _ in 0..CASES {
        // Up to ten minutes in all, sometimes backwards.
        passed += Duration::from_micros(generator.next() % 1_200);
        let now = start + passed.saturating_sub(Duration::from_millis(generator.next() % 3));
        let mac = Mac([2, 0, 0, 0, 0, u8::try_from(generator.below(4)).unwrap()]);
        if budget.take(Who::Device(ZoneId::Hotspot(HotspotId(1)), mac), Class::Other, now) {
            *taken.entry(mac).or_default() += 1;
        }
    }
    let most = 30 + passed.as_secs() / 2 + 1;
    let least = passed.as_secs() / 2;
    assert_eq!(taken.len(), 4);
    assert!(taken.values().all(|count| (least..=most).contains(count)), "{taken:?}, not {least} to {most}");
}
