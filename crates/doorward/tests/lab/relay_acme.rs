//! A relay's wildcard certificate from a real ACME authority, Pebble, which asks the relay itself for the proof by DNS.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, Record, RecordType},
};
use serde_json::{Value, json};

use crate::{
    acme::{Authority, ISSUED_WITHIN},
    cloud::{Cloud, DOMAIN, FIRST_WITHIN, RELAY},
    host::{Process, eventually},
};

const CAME: &str = "a certificate came from the authority";
const ZONE: &str = "_acme-challenge.cloud.example.net.";
/// Life of the certificates of the test that waits for a renewal, which comes when two thirds of it are over.
const SHORT_S: u64 = 30;
/// A failed attempt is made again after a minute.
const AGAIN_WITHIN: Duration = Duration::from_secs(60 + ISSUED_WITHIN.as_secs());
const SOON: Duration = Duration::from_secs(5);

/// A relay whose certificate is by that authority, and the authority. `before` it starts is done in the internet.
fn cloud(more: Value, before: &[&str]) -> (Cloud, Authority) {
    let mut authority = None;
    let cloud = Cloud::with(|world, folder| {
        before.iter().for_each(|line| drop(world.internet.run(line)));
        let pebble = authority.insert(Authority::start(&world.internet, &format!("{RELAY}:53"), more));
        fs::copy(pebble.root(), folder.join("ca.pem")).expect("a file");
        format!("{}dns_listen = [\"0.0.0.0:53\"]\n", pebble.section())
    });
    (cloud, authority.expect("it was started"))
}

/// Whether a caller that trusts the authority alone is served. No gateway is at that name.
fn is_trusted(cloud: &Cloud) -> bool {
    cloud.curl("0123456789", "/api/", &[]).0 == 404
}

#[test]
fn a_wildcard_comes_by_dns_serves_and_stays() {
    let (mut cloud, authority) = cloud(json!({}), &[]);
    eventually("the authority's certificate serves", ISSUED_WITHIN, || is_trusted(&cloud));
    let name = cloud.enrol();
    assert_eq!(cloud.post(&name, "/api/", &cloud.body("get_voucher_users")).0, 200);
    the_zone_answers(&cloud);

    // Without the authority it is what the next start serves with.
    authority.processes.iter().for_each(Process::kill);
    cloud.kill();
    cloud.start();
    cloud.reaches(&name, FIRST_WITHIN);
    let log = cloud.relay_log();
    assert_eq!(log.matches(CAME).count(), 1, "{log}");
    assert!(!log.contains("no certificate from the authority"), "it asked for nothing: {log}");
}

/// Once the authority has seen what it wanted, the zone is empty, and still there.
fn the_zone_answers(cloud: &Cloud) {
    let types = |records: &[Record]| records.iter().map(Record::record_type).collect::<Vec<_>>();
    for tcp in [false, true] {
        for (name, kind, code, answers, authority) in [
            (ZONE, RecordType::TXT, ResponseCode::NoError, None, Some(RecordType::SOA)),
            (ZONE, RecordType::CAA, ResponseCode::NoError, None, Some(RecordType::SOA)),
            (ZONE, RecordType::SOA, ResponseCode::NoError, Some(RecordType::SOA), None),
            (ZONE, RecordType::NS, ResponseCode::NoError, Some(RecordType::NS), None),
            (
                "x._acme-challenge.cloud.example.net.",
                RecordType::TXT,
                ResponseCode::NXDomain,
                None,
                Some(RecordType::SOA),
            ),
            ("cloud.example.net.", RecordType::A, ResponseCode::Refused, None, None),
            ("example.org.", RecordType::A, ResponseCode::Refused, None, None),
        ] {
            let answer = ask(cloud, name, kind, tcp).expect("an answer");
            assert_eq!(answer.metadata.response_code, code, "{name} {kind} {tcp}");
            assert!(!answer.metadata.recursion_available);
            assert_eq!(types(&answer.answers), Vec::from_iter(answers), "{name} {kind} {tcp}");
            assert_eq!(types(&answer.authorities), Vec::from_iter(authority), "{name} {kind} {tcp}");
        }
    }
    // Far more than a resolver asks.
    let mut asked = 0;
    eventually("an address that asks and asks is left without an answer", Duration::from_secs(30), || {
        asked += 1;
        ask(cloud, ZONE, RecordType::SOA, true).is_none()
    });
    assert!(asked > 10, "{asked}");
    eventually("and is answered again", SOON, || ask(cloud, ZONE, RecordType::SOA, true).is_some());
}

/// A question of the caller's. `None`: the relay is silent.
fn ask(cloud: &Cloud, name: &str, kind: RecordType, tcp: bool) -> Option<Message> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    let packet = message.to_vec().expect("a packet");
    let answer = cloud.caller.inside(|| match tcp {
        true => {
            let mut stream = TcpStream::connect((RELAY, 53)).expect("the relay listens");
            stream.set_read_timeout(Some(SOON)).expect("a timeout");
            let length = u16::try_from(packet.len()).expect("short").to_be_bytes();
            stream.write_all(&[&length, packet.as_slice()].concat()).expect("the relay reads");
            let mut length = [0; 2];
            stream.read_exact(&mut length).ok()?;
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer).ok().map(|()| answer)
        }
        false => {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.set_read_timeout(Some(SOON)).expect("a timeout");
            socket.connect((RELAY, 53)).expect("a way to the relay");
            socket.send(&packet).expect("a way to the relay");
            let mut answer = vec![0; 2_048];
            socket.recv(&mut answer).ok().map(|length| answer[..length].to_vec())
        }
    })?;
    let answer = Message::from_vec(&answer).expect("DNS");
    assert_eq!(answer.metadata.id, message.metadata.id);
    Some(answer)
}

#[test]
fn a_renewal_drops_no_line() {
    let (cloud, _authority) = cloud(json!({ "certificateValidityPeriod": SHORT_S }), &[]);
    eventually("the authority's certificate serves", ISSUED_WITHIN, || is_trusted(&cloud));
    let name = cloud.enrol();
    let first = certificate(&cloud, &name);
    let renewed = || cloud.relay_log().matches(CAME).count() > 1;
    eventually("it is renewed", Duration::from_secs(SHORT_S), renewed);
    assert_ne!(certificate(&cloud, &name), first, "new connections are served with the new one");
    assert_eq!(cloud.post(&name, "/api/", &cloud.body("get_voucher_users")).0, 200);
    let log = cloud.gateway.log();
    assert_eq!(log.matches("connected to the relay").count(), 1, "the line is the same: {log}");
}

/// What a caller is served with at a name.
fn certificate(cloud: &Cloud, name: &str) -> Vec<u8> {
    let mut stream = cloud.raw(name);
    stream.conn.complete_io(&mut stream.sock).expect("a handshake");
    stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
}

/// A firewall between the authority and the relay's DNS: nobody is served, the log says why, and it heals by itself.
#[test]
fn without_dns_nobody_is_served_and_the_reason_is_told() {
    let (cloud, _authority) = cloud(
        json!({}),
        &[
            "nft add table inet shut",
            "nft add chain inet shut o { type filter hook output priority 0 ; policy accept ; }",
            &format!("nft add rule inet shut o ip daddr {RELAY} meta l4proto {{ tcp, udp }} th dport 53 reject"),
        ],
    );
    let told = || cloud.relay_log().contains("no certificate from the authority");
    eventually("the attempt failed", ISSUED_WITHIN, told);
    let log = cloud.relay_log();
    for words in [
        "there is no certificate yet: TLS is refused until the authority gives one",
        // The authority's own words, and what the operator must look at.
        "TXT records",
        &format!("`_acme-challenge.{DOMAIN}. NS {DOMAIN}.`"),
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    let refused = cloud.caller.try_run(&format!("curl -sk --max-time 5 https://{RELAY}/"));
    assert_eq!(refused.status.code(), Some(35), "a handshake that fails");
    assert!(cloud.relay_log().contains("a TLS handshake was refused: there is no certificate yet"));

    cloud.world.internet.run("nft delete table inet shut");
    eventually("the next attempt succeeds", AGAIN_WITHIN, || is_trusted(&cloud));
}
