//! The zone `_acme-challenge.` the domain, which the relay answers for so that a certification authority sees whose the domain is
//! (RFC 8555, section 8.4). There is no other name in it, and nothing that anybody else could write. Pure.

use hickory_proto::{
    ProtoError,
    op::ResponseCode,
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{NS, SOA, TXT},
    },
};
use tokio::sync::watch;

use super::wire::Domain;
use crate::dns::message::{self, Packet, Question, Reply, Role, Transport};

/// Seconds that the zone's own records are good for.
const TTL_S: u32 = 300;
/// Seconds that a resolver keeps a challenge, or that there is none: the next one may stand a moment later.
const CHALLENGE_TTL_S: u32 = 0;
/// For servers that copy zones; there is none.
const SERIAL: u32 = 1;
const REFRESH_S: i32 = 3_600;
const RETRY_S: i32 = 600;
const EXPIRE_S: i32 = 86_400;

/// The zone.
#[derive(Debug)]
pub struct Zone {
    apex: Name,
    /// Its one server: the relay.
    server: Name,
    start: SOA,
    texts: watch::Receiver<Vec<String>>,
}

impl Zone {
    /// The zone below a domain. What `texts` holds are its TXT records.
    ///
    /// # Errors
    /// The domain is no DNS name.
    pub fn new(domain: &Domain, texts: watch::Receiver<Vec<String>>) -> Result<Self, ProtoError> {
        let name = |text: String| Name::from_ascii(text);
        let (server, mailbox) = (name(format!("{domain}."))?, name(format!("hostmaster.{domain}."))?);
        Ok(Self {
            apex: name(format!("_acme-challenge.{domain}."))?,
            start: SOA::new(server.clone(), mailbox, SERIAL, REFRESH_S, RETRY_S, EXPIRE_S, CHALLENGE_TTL_S),
            server,
            texts,
        })
    }

    /// The answer to a packet; `None`: silence.
    #[must_use]
    pub fn answer(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        match message::read(packet) {
            Packet::Question(question) => {
                Some(message::write(&question, &self.reply(&question), transport, Role::Authoritative))
            }
            Packet::Wrong(refusal) => Some(refusal),
            Packet::Nothing => None,
        }
    }

    fn reply(&self, question: &Question) -> Reply {
        let transfer = matches!(question.kind, RecordType::AXFR | RecordType::IXFR);
        if question.class() != DNSClass::IN || transfer || !self.apex.zone_of(&question.name) {
            return Reply::empty(ResponseCode::Refused);
        }
        if question.name != self.apex {
            return self.nothing(ResponseCode::NXDomain);
        }
        let record = |ttl_s, data| Record::from_rdata(self.apex.clone(), ttl_s, data);
        let answers = if question.kind == RecordType::TXT {
            let text = |text: &String| record(CHALLENGE_TTL_S, RData::TXT(TXT::new(vec![text.clone()])));
            self.texts.borrow().iter().map(text).collect()
        } else if question.kind == RecordType::NS {
            vec![record(TTL_S, RData::NS(NS(self.server.clone())))]
        // Who asks for anything is given one of the types (RFC 8482, section 4.1).
        } else if matches!(question.kind, RecordType::SOA | RecordType::ANY) {
            vec![record(TTL_S, RData::SOA(self.start.clone()))]
        } else {
            Vec::new()
        };
        if answers.is_empty() { self.nothing(ResponseCode::NoError) } else { Reply::of(answers) }
    }

    /// No such name or type, and for how long (RFC 2308, section 3).
    fn nothing(&self, code: ResponseCode) -> Reply {
        let start = Record::from_rdata(self.apex.clone(), CHALLENGE_TTL_S, RData::SOA(self.start.clone()));
        Reply { authority: Some(Box::new(start)), ..Reply::empty(code) }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns, Message, Query};

    use super::*;

    const APEX: &str = "_acme-challenge.cloud.example.net.";

    fn zone() -> (Zone, watch::Sender<Vec<String>>) {
        let (texts, receiver) = watch::channel(Vec::new());
        (Zone::new(&"cloud.example.net".parse().unwrap(), receiver).unwrap(), texts)
    }

    fn query(name: &str, kind: RecordType, class: DNSClass) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        let mut query = Query::query(Name::from_ascii(name).unwrap(), kind);
        query.set_query_class(class);
        message.add_query(query);
        message
    }

    fn ask(zone: &Zone, message: &Message, transport: Transport) -> Message {
        let answer = zone.answer(&message.to_vec().unwrap(), transport).expect("an answer");
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.id, message.metadata.id);
        assert!(answer.queries[0].name().eq_case(message.queries[0].name()), "capitals are kept");
        assert!(!answer.metadata.recursion_available && !answer.metadata.truncation);
        answer
    }

    fn types(records: &[Record]) -> Vec<RecordType> {
        records.iter().map(Record::record_type).collect()
    }

    #[test]
    fn both_texts_stand_at_one_name_and_go() {
        let (zone, texts) = zone();
        let both = ["x".repeat(43), "y".repeat(43)];
        texts.send_replace(both.to_vec());
        for (name, edns) in [(APEX, false), ("_aCMe-ChaLLenge.cLoUD.exAMple.NET.", true)] {
            let mut message = query(name, RecordType::TXT, DNSClass::IN);
            if edns {
                message.set_edns(Edns::new());
            }
            let answer = ask(&zone, &message, Transport::Udp);
            assert!(answer.metadata.authoritative && answer.authorities.is_empty());
            assert_eq!(answer.edns.is_some(), edns);
            let found: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
            assert_eq!(found, both);
            assert!(answer.answers.iter().all(|record| record.ttl == 0 && record.name == zone.apex));
        }
        texts.send_replace(Vec::new());
        let answer = ask(&zone, &query(APEX, RecordType::TXT, DNSClass::IN), Transport::Udp);
        assert!(answer.answers.is_empty() && types(&answer.authorities) == [RecordType::SOA]);
    }

    #[test]
    fn the_zone_is_answered_for_and_nothing_else() {
        let (zone, texts) = zone();
        texts.send_replace(vec!["x".repeat(43)]);
        let (ok, none, refused) = (ResponseCode::NoError, ResponseCode::NXDomain, ResponseCode::Refused);
        let (soa, ns) = (&[RecordType::SOA][..], &[RecordType::NS][..]);
        for (name, kind, code, answers, authority) in [
            (APEX, RecordType::SOA, ok, soa, &[][..]),
            (APEX, RecordType::ANY, ok, soa, &[]),
            (APEX, RecordType::NS, ok, ns, &[]),
            (APEX, RecordType::A, ok, &[], soa),
            (APEX, RecordType::CAA, ok, &[], soa),
            (APEX, RecordType::DS, ok, &[], soa),
            (APEX, RecordType::Unknown(65_280), ok, &[], soa),
            ("www._acme-challenge.cloud.example.net.", RecordType::TXT, none, &[], soa),
            ("a.b._acme-challenge.cloud.example.net.", RecordType::NS, none, &[], soa),
            (APEX, RecordType::AXFR, refused, &[], &[]),
            (APEX, RecordType::IXFR, refused, &[], &[]),
            ("cloud.example.net.", RecordType::A, refused, &[], &[]),
            ("_acme-challenge.example.net.", RecordType::TXT, refused, &[], &[]),
            ("x_acme-challenge.cloud.example.net.", RecordType::TXT, refused, &[], &[]),
            (".", RecordType::NS, refused, &[], &[]),
        ] {
            for transport in [Transport::Udp, Transport::Tcp] {
                let answer = ask(&zone, &query(name, kind, DNSClass::IN), transport);
                assert_eq!(answer.metadata.response_code, code, "{name} {kind}");
                assert_eq!(answer.metadata.authoritative, code != refused, "{name} {kind}");
                assert_eq!(
                    (types(&answer.answers), types(&answer.authorities)),
                    (answers.to_vec(), authority.to_vec())
                );
                assert!(answer.authorities.iter().all(|record| record.ttl == 0));
            }
        }
        let chaos = ask(&zone, &query(APEX, RecordType::TXT, DNSClass::CH), Transport::Udp);
        assert_eq!(chaos.metadata.response_code, refused);
        let servers = ask(&zone, &query(APEX, RecordType::NS, DNSClass::IN), Transport::Udp);
        assert_eq!(servers.answers[0].data.to_string(), "cloud.example.net.");
    }

    #[test]
    fn what_is_no_question_is_refused_or_ignored() {
        let (zone, _texts) = zone();
        let good = query(APEX, RecordType::TXT, DNSClass::IN).to_vec().unwrap();
        assert_eq!(zone.answer(&good[..11], Transport::Udp), None);
        let cut = zone.answer(&good[..20], Transport::Udp).expect("a refusal");
        assert_eq!(Message::from_vec(&cut).unwrap().metadata.response_code, ResponseCode::FormErr);
        assert!(cut.len() <= 20, "no longer than what came");
        let mut answer = Message::from_vec(&good).unwrap();
        answer.metadata.message_type = hickory_proto::op::MessageType::Response;
        assert_eq!(zone.answer(&answer.to_vec().unwrap(), Transport::Udp), None);
    }
}
