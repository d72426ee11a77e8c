//! Messages of DNS (RFC 1035, section 4; RFC 6891 for EDNS): the bytes of a query and those of an answer. Pure.
//!
//! Of a query, only the header, the question and the OPT record are read. Whatever else it contains is skipped.

use hickory_proto::op::{Message, Metadata, OpCode, Query as Question, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder, DecodeError};

/// The length of a header.
pub(super) const HEADER: usize = 12;

/// The longest message over UDP for clients that do not say otherwise (RFC 1035, section 4.2.1).
const PLAIN_UDP: u16 = 512;

/// The longest message over UDP, whatever a client says: what BIND and CoreDNS send at most.
const LONGEST_UDP: u16 = 4096;

/// The longest message over UDP that we receive: one that is not fragmented on the way (DNS flag day 2020).
pub(super) const RECEIVED_UDP: u16 = 1232;

/// The length of an OPT record without options.
const OPT: u16 = 11;

/// How a query came, and how its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// What a client says about itself (RFC 6891, section 6.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edns {
    /// The longest message over UDP that it receives.
    pub payload: u16,
    pub version: u8,
    /// Whether it wants signatures (RFC 3225).
    pub dnssec_ok: bool,
}

/// A query.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub metadata: Metadata,
    pub question: Question,
    pub edns: Option<Edns>,
    pub transport: Transport,
}

/// Why a message is no query that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is too short for a header, or is itself an answer: it gets no reply.
    NoQuery,
    /// It is answered with an error.
    Refused([u8; 4], Error),
}

/// An error about a message as a whole (RFC 1035, section 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Error {
    Malformed = 1,
    NotImplemented = 4,
}

impl Fault {
    /// Returns the answer: a header alone, because the question may be what is wrong.
    pub(super) fn answer(self) -> Option<Vec<u8>> {
        let Self::Refused([id0, id1, flags, _], error) = self else { return None };
        // The response bit; the operation and recursion desired as in the query.
        let mut answer = vec![id0, id1, 0x80 | (flags & 0x79), error as u8];
        answer.resize(HEADER, 0);
        Some(answer)
    }
}

impl Query {
    /// Parses a message.
    pub(super) fn parse(bytes: &[u8], transport: Transport) -> Result<Self, Fault> {
        let begin: Option<[u8; 4]> = bytes.get(..4).and_then(|begin| begin.try_into().ok());
        let Some(begin) = begin.filter(|_| bytes.len() >= HEADER) else { return Err(Fault::NoQuery) };
        let flags = begin[2];
        if flags & 0x80 != 0 {
            return Err(Fault::NoQuery);
        }
        if OpCode::from_u8((flags >> 3) & 0xf) != OpCode::Query {
            return Err(Fault::Refused(begin, Error::NotImplemented));
        }
        let malformed = |_| Fault::Refused(begin, Error::Malformed);
        let (metadata, question, edns) = read(bytes).map_err(malformed)?;
        let question = question.ok_or(Fault::Refused(begin, Error::Malformed))?;
        Ok(Self { metadata, question, edns, transport })
    }

    /// Returns the longest answer that the client receives.
    pub(super) fn limit(&self) -> u16 {
        match (self.transport, self.edns) {
            (Transport::Tcp, _) => u16::MAX,
            (Transport::Udp, Some(edns)) => edns.payload.clamp(PLAIN_UDP, LONGEST_UDP),
            (Transport::Udp, None) => PLAIN_UDP,
        }
    }

    /// Returns the question as it is in messages.
    pub(super) fn question_bytes(&self) -> Option<Vec<u8>> {
        question_bytes(&self.question)
    }

    /// Returns the OPT record of an answer, for a client that has sent one.
    fn opt(&self, code: ResponseCode) -> Option<[u8; OPT as usize]> {
        let edns = self.edns?;
        let [size0, size1] = RECEIVED_UDP.to_be_bytes();
        Some([0, 0, 41, size0, size1, code.high(), 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0, 0, 0])
    }
}

/// Reads what is needed of a message. Without exactly one question there is none.
fn read(bytes: &[u8]) -> Result<(Metadata, Option<Question>, Option<Edns>), DecodeError> {
    let mut decoder = BinDecoder::new(bytes);
    let header = hickory_proto::op::Header::read(&mut decoder)?;
    if header.counts.queries != 1 {
        return Ok((header.metadata, None, None));
    }
    let question = Question::read(&mut decoder)?;
    let before = usize::from(header.counts.answers) + usize::from(header.counts.authorities);
    let mut edns = None;
    for index in 0..before + usize::from(header.counts.additionals) {
        Name::read(&mut decoder)?;
        let kind = RecordType::read(&mut decoder)?;
        let payload = decoder.read_u16()?.unverified();
        let [_, version, flags, _] = decoder.read_u32()?.unverified().to_be_bytes();
        let length = decoder.read_u16()?.unverified();
        decoder.read_slice(usize::from(length))?;
        if kind == RecordType::OPT && index >= before {
            // A second one is an error (RFC 6891, section 6.1.1).
            if edns.is_some() {
                return Err(DecodeError::DuplicateEdns);
            }
            edns = Some(Edns { payload, version, dnssec_ok: flags & 0x80 != 0 });
        }
    }
    Ok((header.metadata, Some(question), edns))
}

/// Returns a question as it is in messages; `None` if the name does not fit.
pub(super) fn question_bytes(question: &Question) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    question.emit(&mut BinEncoder::new(&mut bytes)).ok()?;
    Some(bytes)
}

/// Returns the message that asks a name server of the host for `name` on behalf of a client, with an id of zero, and
/// the place where its question ends. `None` if the name does not fit.
pub(super) fn ask_for(query: &Query, name: &Name) -> Option<(Vec<u8>, usize)> {
    let question = Question::query(name.clone(), query.question.query_type());
    let question = question_bytes(&question)?;
    // Recursion desired and checking disabled are the client's (RFC 4035, section 3.2.2).
    let flags = |set, bit| if set { bit } else { 0 };
    let mut message = vec![0, 0, flags(query.metadata.recursion_desired, 1)];
    message.push(flags(query.metadata.checking_disabled, 0x10));
    message.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(question);
    let end = message.len();
    if let Some(edns) = query.edns {
        let [size0, size1] = edns.payload.clamp(PLAIN_UDP, RECEIVED_UDP).to_be_bytes();
        message.extend([0, 0, 41, size0, size1, 0, 0, flags(edns.dnssec_ok, 0x80), 0, 0, 0]);
        add_to_count(&mut message, 10);
    }
    Some((message, end))
}

/// Returns whether an answer is one after which another name server is asked, as resolvers do.
pub(super) fn is_failure(answer: &[u8]) -> bool {
    // Format error, server failure, not implemented, refused (RFC 1035, section 4.1.1).
    answer.get(3).is_some_and(|flags| matches!(flags & 0xf, 1 | 2 | 4 | 5))
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub code: ResponseCode,
    /// Whether the answer is about names of ours.
    pub authoritative: bool,
    /// Whether records are missing already.
    pub truncated: bool,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    pub additionals: Vec<Record>,
}

impl Answer {
    /// Returns an answer without records.
    pub(super) fn error(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }

    /// Returns the bytes of the answer, as long as the client receives them. If records have to be left out, the
    /// answer says so, except for additional ones (RFC 2181, section 9).
    pub(super) fn encode(self, query: &Query) -> Vec<u8> {
        let opt = query.opt(self.code);
        let room = query.limit() - if opt.is_some() { OPT } else { 0 };
        let mut metadata = Metadata::response_from_request(&query.metadata);
        metadata.response_code = self.code;
        metadata.authoritative = self.authoritative;
        metadata.truncation = self.truncated;
        metadata.recursion_available = true;
        let mut message = Message::new(metadata.id, metadata.message_type, metadata.op_code);
        message.metadata = metadata;
        message.queries = vec![query.question.clone()];
        message.answers = self.answers;
        message.authorities = self.authorities;
        message.additionals = self.additionals;
        let mut bytes = emit(&message, room);
        if !message.additionals.is_empty() && bytes.as_ref().is_none_or(|bytes| is_truncated(bytes)) {
            message.additionals.clear();
            bytes = emit(&message, room);
        }
        let mut bytes = bytes.unwrap_or_else(|| {
            let begin = [metadata.id.to_be_bytes()[0], metadata.id.to_be_bytes()[1], 0x81, 0x82];
            let mut failure = begin.to_vec();
            failure.resize(HEADER, 0);
            failure
        });
        if let Some(opt) = opt {
            bytes.extend(opt);
            add_to_count(&mut bytes, 10);
        }
        bytes
    }
}

/// Encodes a message in at most `room` bytes, with as many records as fit. `None` if a record cannot be encoded.
fn emit(message: &Message, room: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(room);
    message.emit(&mut encoder).ok()?;
    // The encoder leaves the beginning of a record that did not fit.
    let end = encoder.offset();
    bytes.truncate(end);
    Some(bytes)
}

/// Returns whether a message says that records are missing.
pub(super) fn is_truncated(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & 2 != 0)
}

/// Adds one to the counter of records at `place` in a header.
fn add_to_count(message: &mut [u8], place: usize) {
    let counter = message.get_mut(place..).and_then(|rest| rest.first_chunk_mut::<2>());
    if let Some(counter) = counter {
        *counter = u16::from_be_bytes(*counter).saturating_add(1).to_be_bytes();
    }
}

/// Returns an answer of another server in the form in which it goes to the client: with the client's id and question,
/// and cut off if it is longer than the client receives. `None` if the answer is not to this question.
pub(super) fn relay(query: &Query, answer: &[u8]) -> Option<Vec<u8>> {
    let question = query.question_bytes()?;
    let (header, rest) = (answer.get(..HEADER)?, answer.get(HEADER + question.len()..)?);
    let mut bytes = query.metadata.id.to_be_bytes().to_vec();
    bytes.extend(header.get(2..)?);
    bytes.extend(question);
    if answer.len() <= usize::from(query.limit()) {
        bytes.extend(rest);
        return Some(bytes);
    }
    if let Some(flags) = bytes.get_mut(2) {
        *flags |= 2;
    }
    bytes.get_mut(6..HEADER)?.fill(0);
    if let Some(opt) = query.opt(ResponseCode::NoError) {
        bytes.extend(opt);
        add_to_count(&mut bytes, 10);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::{RData, rdata};

    fn query(payload: Option<u16>) -> Query {
        let mut message = Message::query();
        message.metadata.id = 0x1234;
        message.add_query(Question::query(Name::from_ascii("Web.example.").unwrap(), RecordType::A));
        if let Some(payload) = payload {
            let mut edns = hickory_proto::op::Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        Query::parse(&message.to_vec().unwrap(), Transport::Udp).unwrap()
    }

    fn addresses(n: u8) -> Vec<Record> {
        let record = |last| {
            Record::from_rdata(
                Name::from_ascii("Web.example.").unwrap(),
                5,
                RData::A(rdata::A::new(10, 0, 0, last)),
            )
        };
        (0..n).map(record).collect()
    }

    #[test]
    fn a_query_is_read_with_its_size() {
        for (payload, limit) in [(None, 512), (Some(512), 512), (Some(1232), 1232), (Some(65_000), 4096)] {
            let query = query(payload);
            assert_eq!(query.limit(), limit);
            assert_eq!(query.question.name().to_string(), "Web.example.");
            assert_eq!(query.metadata.id, 0x1234);
        }
    }

    #[test]
    fn what_is_no_query_gets_no_answer_or_a_header() {
        let parse = |bytes: &[u8]| Query::parse(bytes, Transport::Udp).map(|_| ()).unwrap_err();
        assert_eq!(parse(&[]), Fault::NoQuery);
        assert_eq!(parse(&[0; 11]), Fault::NoQuery);
        let mut message = Message::query();
        message.add_query(Question::query("a.".parse().unwrap(), RecordType::A));
        let good = message.to_vec().unwrap();
        let with = |place: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[place] = byte;
            bytes
        };
        assert_eq!(parse(&with(2, 0x81)).answer(), None, "an answer");
        let code = |bytes: &[u8]| parse(bytes).answer().unwrap();
        for (bytes, expected) in [
            (with(2, 0x21), 4),
            (with(5, 0), 1),
            (with(5, 2), 1),
            (good[..good.len() - 1].to_vec(), 1),
            (with(11, 1), 1),
            (with(12, 0xc0), 1),
        ] {
            let answer = code(&bytes);
            assert_eq!((answer.len(), &answer[..2], answer[3]), (12, &bytes[..2], expected), "{bytes:?}");
            assert!(Message::from_vec(&answer).is_ok());
        }
    }

    #[test]
    fn two_opt_records_are_malformed() {
        let mut message = Message::query();
        message.add_query(Question::query("a.".parse().unwrap(), RecordType::A));
        let mut bytes = message.to_vec().unwrap();
        let opt = [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0];
        bytes.extend(opt);
        bytes[11] = 1;
        let edns = Query::parse(&bytes, Transport::Udp).unwrap().edns;
        assert_eq!(edns, Some(Edns { payload: 1232, version: 0, dnssec_ok: true }));
        bytes.extend(opt);
        bytes[11] = 2;
        assert!(Query::parse(&bytes, Transport::Udp).is_err());
    }

    #[test]
    fn an_answer_has_what_fits_and_says_what_is_missing() {
        for (payload, n) in [(None, 30), (Some(600), 35), (Some(4096), 190)] {
            let query = query(payload);
            let answer = Answer { answers: addresses(255), ..Answer::default() }.encode(&query);
            assert!(answer.len() <= usize::from(query.limit()));
            let message = Message::from_vec(&answer).unwrap();
            assert!(message.truncation);
            assert!(message.answers.len() >= n, "{} records", message.answers.len());
            assert_eq!(message.edns.is_some(), payload.is_some());
            assert_eq!(message.queries.first(), Some(&query.question));
        }
    }

    #[test]
    fn additional_records_are_left_out_in_silence() {
        let query = query(None);
        let answer = Answer { answers: addresses(2), additionals: addresses(100), ..Answer::default() };
        let message = Message::from_vec(&answer.encode(&query)).unwrap();
        assert_eq!((message.answers.len(), message.additionals.len(), message.truncation), (2, 0, false));
    }

    #[test]
    fn a_code_above_fifteen_is_in_the_opt_record() {
        let answer = Answer::error(ResponseCode::BADVERS).encode(&query(Some(1232)));
        assert_eq!(u16::from(Message::from_vec(&answer).unwrap().response_code), 16);
    }

    #[test]
    fn a_relayed_answer_has_the_clients_id_and_question() {
        let theirs = |query: &Query, n| {
            let mut wide = query.clone();
            wide.transport = Transport::Tcp;
            let mut answer = Answer { answers: addresses(n), ..Answer::default() }.encode(&wide);
            answer[0] = 0xff;
            answer[13] = b'w';
            answer
        };
        let query = query(Some(1232));
        let message = Message::from_vec(&relay(&query, &theirs(&query, 3)).unwrap()).unwrap();
        assert_eq!((message.id, message.answers.len()), (0x1234, 3));
        assert_eq!(message.queries[0].name().to_string(), "Web.example.");
        let message = Message::from_vec(&relay(&query, &theirs(&query, 200)).unwrap()).unwrap();
        assert_eq!((message.id, message.answers.len(), message.truncation), (0x1234, 0, true));
        assert!(message.edns.is_some());
        assert_eq!(relay(&query, &[0; 12]), None);
    }
}
