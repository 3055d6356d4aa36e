//! What strangers send to a relay's port 53.

use doorward::{
    dns::message::{MOST_UDP, Transport},
    relay::zone::Zone,
};
use hickory_proto::{
    op::{Edns, Message, MessageType, Query},
    rr::{Name, RecordType},
};
use tokio::sync::watch;

use crate::generate::cases;

const NAMES: [&str; 5] = [
    "_acme-challenge.cloud.example.net.",
    "_AcMe-ChAlLeNgE.cLoUd.ExAmPlE.nEt.",
    "x._acme-challenge.cloud.example.net.",
    "cloud.example.net.",
    ".",
];

const KINDS: [RecordType; 6] =
    [RecordType::TXT, RecordType::SOA, RecordType::NS, RecordType::CAA, RecordType::ANY, RecordType::AXFR];

/// Label lengths, pointers, types, EDNS and names.
const WORDS: [&[u8]; 8] = [
    b"\xc0\x0c",
    b"\xc0\x00",
    b"\x3f",
    b"\x00\x00\x10\x00\x01",
    b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00",
    b"\x0f_acme-challenge",
    b"\x07example\x03net\x00",
    b"\xff\xff",
];

#[test]
fn questions_to_the_zone() {
    let (_texts, receiver) = watch::channel(vec!["x".repeat(43), "y".repeat(43)]);
    let zone = Zone::new(&"cloud.example.net".parse().unwrap(), receiver).unwrap();
    let apex: Name = NAMES[0].parse().unwrap();
    let mut samples = Vec::new();
    for name in NAMES {
        for kind in KINDS {
            let mut message = Message::query();
            message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
            samples.push(message.to_vec().unwrap());
            message.set_edns(Edns::new());
            samples.push(message.to_vec().unwrap());
        }
    }
    cases(&samples, &WORDS, |input, generator| {
        let (transport, most) = *generator.pick(&[(Transport::Udp, MOST_UDP), (Transport::Tcp, usize::from(u16::MAX))]);
        let Some(answer) = zone.answer(input, transport) else { return };
        assert!(answer.len() <= most && answer[..2] == input[..2]);
        let answer = Message::from_vec(&answer).expect("what we write can be read");
        assert!(answer.metadata.message_type == MessageType::Response && !answer.metadata.recursion_available);
        let records = answer.answers.iter().chain(&answer.authorities);
        assert!(records.clone().count() <= 2 && answer.additionals.is_empty());
        assert!(records.into_iter().all(|record| record.name == apex), "nothing but the zone's own");
    });
}
