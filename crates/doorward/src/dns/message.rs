//! Packets: what a client asks, and what it is answered. Pure, and safe with whatever a packet holds.

use hickory_proto::{
    op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, Record, RecordType},
};

/// Longest question that is read. Ours are short; what is longer is none that a stub resolver sends.
pub const MOST_QUESTION: usize = 4_096;

/// UDP answers are at most this long whatever a client says, so that none is cut into fragments (RFC 9715).
pub const MOST_UDP: usize = 1_232;

/// What every client can take (RFC 1035, section 4.2.1).
const LEAST_UDP: usize = 512;

/// Bytes of the header.
const HEADER: usize = 12;

/// A packet, looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// One question.
    Question(Question),
    /// Something else; this is the answer.
    Wrong(Vec<u8>),
    /// Not to be answered: too short, or an answer itself.
    Nothing,
}

/// One question of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    metadata: Metadata,
    /// As it was asked; some clients look whether capitals come back as they sent them.
    query: Query,
    /// In small letters.
    pub name: Name,
    /// What is asked for.
    pub kind: RecordType,
    /// Bytes that the client takes by UDP; `None`: it speaks no EDNS.
    payload: Option<u16>,
}

/// What is said to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// How it went.
    pub code: ResponseCode,
    /// The answer, with aliases before what they lead to.
    pub answers: Vec<Record>,
    /// For how long there is none (RFC 2308).
    pub authority: Option<Box<Record>>,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A resolver, which asks others: recursion is available.
    Recursive,
    /// The server of a zone: recursion is not available, and what it says of its zone is authoritative.
    Authoritative,
}

/// How much fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// What the client says, at most [`MOST_UDP`].
    Udp,
    /// 65,535 bytes.
    Tcp,
}

impl Question {
    /// Nearly always that of the internet.
    #[must_use]
    pub fn class(&self) -> DNSClass {
        self.query.query_class()
    }

    /// The same about another name; answered, it is still this one.
    #[must_use]
    pub fn about(&self, name: Name) -> Self {
        Self { name, ..self.clone() }
    }
}

impl Reply {
    /// A reply without records.
    #[must_use]
    pub fn empty(code: ResponseCode) -> Self {
        Self { code, answers: Vec::new(), authority: None }
    }

    /// These records.
    #[must_use]
    pub fn of(answers: Vec<Record>) -> Self {
        Self { code: ResponseCode::NoError, answers, authority: None }
    }
}

/// Reads a packet.
#[must_use]
pub fn read(packet: &[u8]) -> Packet {
    let (Some([high, low, flags]), HEADER..=MOST_QUESTION) = (packet.first_chunk(), packet.len()) else {
        return Packet::Nothing;
    };
    if flags & 0x80 != 0 {
        // Answering an answer could go on for ever.
        return Packet::Nothing;
    }
    let wrong = |op_code, code| {
        let reply = Message::error_msg(u16::from_be_bytes([*high, *low]), op_code, code);
        reply.to_vec().map_or(Packet::Nothing, Packet::Wrong)
    };
    let op_code = OpCode::from_u8(flags >> 3 & 0x0f);
    if op_code != OpCode::Query {
        return wrong(op_code, ResponseCode::NotImp);
    }
    let Ok(message) = Message::from_vec(packet) else { return wrong(op_code, ResponseCode::FormErr) };
    let [query] = message.queries.as_slice() else { return wrong(op_code, ResponseCode::FormErr) };
    if message.metadata.message_type != MessageType::Query {
        return Packet::Nothing;
    }
    let question = Question {
        metadata: message.metadata,
        query: query.clone(),
        name: query.name().to_lowercase(),
        kind: query.query_type(),
        payload: message.edns.as_ref().map(Edns::max_payload),
    };
    if message.edns.is_some_and(|edns| edns.version() > 0) {
        // Like the other refusals it promises nothing, whoever answers.
        let reply = Reply::empty(ResponseCode::BADVERS);
        return Packet::Wrong(write(&question, &reply, Transport::Udp, Role::Authoritative));
    }
    Packet::Question(question)
}

/// Writes a reply. One that does not fit is cut to nothing, and says so, so that the client comes back by TCP.
#[must_use]
pub fn write(question: &Question, reply: &Reply, transport: Transport, role: Role) -> Vec<u8> {
    let most = match transport {
        Transport::Udp => question.payload.map_or(LEAST_UDP, usize::from).clamp(LEAST_UDP, MOST_UDP),
        Transport::Tcp => usize::from(u16::MAX),
    };
    let mut message = Message::response(question.metadata.id, OpCode::Query);
    message.metadata = Metadata::response_from_request(&question.metadata);
    message.metadata.recursion_available = role == Role::Recursive;
    message.metadata.authoritative =
        role == Role::Authoritative && matches!(reply.code, ResponseCode::NoError | ResponseCode::NXDomain);
    message.metadata.response_code = reply.code;
    message.add_query(question.query.clone());
    if question.payload.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(u16::try_from(MOST_UDP).unwrap_or(u16::MAX));
        edns.set_rcode_high(reply.code.high());
        message.set_edns(edns);
    }
    let bare = message.clone();
    message.add_answers(reply.answers.iter().cloned());
    message.authorities.extend(reply.authority.as_deref().cloned());
    match message.to_vec() {
        Ok(bytes) if bytes.len() <= most => bytes,
        Ok(_) => bare.truncate().to_vec().unwrap_or_default(),
        // Records that cannot be written, or more than any transport holds.
        Err(_) => {
            let mut failed = bare;
            failed.metadata.response_code = ResponseCode::ServFail;
            failed.to_vec().unwrap_or_default()
        }
    }
}

/// Bytes that the records of a reply take.
#[must_use]
pub fn record_bytes(reply: &Reply) -> usize {
    let mut message = Message::response(0, OpCode::Query);
    message.add_answers(reply.answers.iter().cloned());
    message.authorities.extend(reply.authority.as_deref().cloned());
    message.to_vec().map_or(usize::MAX, |bytes| bytes.len().saturating_sub(HEADER))
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::{RData, rdata::TXT};

    use super::*;

    fn asked(edns: Option<u8>) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query("ExAmple.COM.".parse().unwrap(), RecordType::A));
        if let Some(version) = edns {
            let mut edns = Edns::new();
            edns.set_version(version).set_max_payload(4_096);
            message.set_edns(edns);
        }
        message
    }

    fn question(message: &Message) -> Question {
        match read(&message.to_vec().unwrap()) {
            Packet::Question(question) => question,
            other @ (Packet::Wrong(_) | Packet::Nothing) => panic!("{other:?}"),
        }
    }

    fn code(packet: &Packet) -> ResponseCode {
        match packet {
            Packet::Wrong(bytes) => Message::from_vec(bytes).unwrap().metadata.response_code,
            other @ (Packet::Question(_) | Packet::Nothing) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_question_comes_back_as_it_was_asked() {
        let message = asked(Some(0));
        let question = question(&message);
        assert_eq!(question.name.to_ascii(), "example.com.");
        let written = write(&question, &Reply::empty(ResponseCode::NXDomain), Transport::Udp, Role::Recursive);
        let reply = Message::from_vec(&written).unwrap();
        assert_eq!(reply.metadata.id, message.metadata.id);
        assert!(reply.metadata.recursion_available && reply.metadata.recursion_desired);
        assert!(!reply.metadata.authoritative);
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
        assert!(reply.queries[0].name().eq_case(message.queries[0].name()), "capitals are kept");
        assert_eq!(reply.edns.map(|edns| edns.max_payload()), Some(1_232));
    }

    #[test]
    fn what_is_no_question_is_refused_or_ignored() {
        assert_eq!(read(&[0; 11]), Packet::Nothing);
        assert_eq!(read(&[0; MOST_QUESTION + 1]), Packet::Nothing);
        let mut answer = asked(None);
        answer.metadata.message_type = MessageType::Response;
        assert_eq!(read(&answer.to_vec().unwrap()), Packet::Nothing);
        let mut update = asked(None);
        update.metadata.op_code = OpCode::Update;
        assert_eq!(code(&read(&update.to_vec().unwrap())), ResponseCode::NotImp);
        let mut two = asked(None);
        two.add_query(two.queries[0].clone());
        assert_eq!(code(&read(&two.to_vec().unwrap())), ResponseCode::FormErr);
        assert_eq!(code(&read(&asked(None).to_vec().unwrap()[..14])), ResponseCode::FormErr);
        // BADVERS and BADSIG are one number, 16.
        assert_eq!(u16::from(code(&read(&asked(Some(1)).to_vec().unwrap()))), 16);
    }

    #[test]
    fn what_does_not_fit_is_cut_and_says_so() {
        let record = |n: usize| {
            let text = RData::TXT(TXT::new(vec!["x".repeat(250)]));
            Record::from_rdata(format!("{n}.example.com.").parse().unwrap(), 60, text)
        };
        let reply = Reply::of((0..4).map(record).collect());
        assert!(record_bytes(&reply) > 1_000);
        for (edns, transport, cut) in
            [(None, Transport::Udp, true), (Some(0), Transport::Udp, false), (None, Transport::Tcp, false)]
        {
            let bytes = write(&question(&asked(edns)), &reply, transport, Role::Recursive);
            let message = Message::from_vec(&bytes).unwrap();
            assert_eq!((message.metadata.truncation, message.answers.is_empty()), (cut, cut));
            assert_eq!(message.queries.len(), 1);
        }
    }
}
