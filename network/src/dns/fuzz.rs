//! Fuzz target for what clients and name servers send.

// A fuzz target reports by a panic.
#![allow(clippy::expect_used, clippy::missing_panics_doc)]

use std::net::IpAddr;
use std::sync::OnceLock;

use hickory_proto::op::{Message, MessageType};

use super::answer::{self, Decision, Forward};
use super::config::{Endpoints, NamedEndpoint, ServedNetwork, Services};
use super::message::{self, Query, Transport};
use super::zone::Zone;
use crate::bridge::Subnet;
use crate::names::{Names, Record};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 88, 0, 2));
const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 88, 0, 1));

/// Returns a zone with records of each kind.
fn zone() -> &'static Zone {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    ZONE.get_or_init(|| {
        let subnet = Subnet { subnet: "10.88.0.0/16".parse().expect("a subnet"), gateway: GATEWAY };
        let network = ServedNetwork { name: "kube".to_owned(), internal: false, subnets: vec![subnet] };
        let names = ["web", "web.default", "web.default.svc"].map(str::to_owned).to_vec();
        let endpoints = Endpoints {
            networks: vec![network],
            endpoints: vec![NamedEndpoint { names, ips: vec![(0, vec![CLIENT])] }],
        };
        let many =
            (0..300_u32).map(|n| Record::Address(std::net::Ipv4Addr::from_bits(0x0a58_0100 + n).into()));
        let port = Record::Port { port: 80, target: "many.default.svc.cluster.local".to_owned() };
        let names = Names::from([
            ("many.default.svc.cluster.local".to_owned(), many.collect()),
            ("_a._tcp.many.default.svc.cluster.local".to_owned(), vec![port]),
            ("out.default.svc.cluster.local".to_owned(), vec![Record::Alias("a.example".to_owned())]),
            ("in.default.svc.cluster.local".to_owned(), vec![Record::Alias("many.default.svc".to_owned())]),
        ]);
        Zone::new(endpoints, Services { ranges: Vec::new(), names })
    })
}

/// Any bytes as a query and as the answer of a name server: whatever goes to the client is a well-formed answer of the
/// length that it receives.
pub fn dns_message(data: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp] {
        let query = match Query::parse(data, transport) {
            Ok(query) => query,
            Err(fault) => {
                let Some(answer) = fault.answer() else { continue };
                check(&answer, data, usize::from(u16::MAX));
                continue;
            }
        };
        let limit = usize::from(query.limit());
        let view = zone().view(CLIENT, GATEWAY).expect("a gateway");
        match answer::decide(&query, &view, data.len()) {
            Decision::Answer(answer) => check(&answer.encode(&query), data, limit),
            Decision::Forward(forward) => {
                let (question, end) = message::ask_for(&query, &forward.name).expect("a question");
                assert!(end <= question.len());
                let asked = Message::from_vec(&question).expect("a query of ours is well-formed");
                assert_eq!(asked.queries.len(), 1);
            }
        }
    }
    // The same bytes as an answer, to a client and as the end of an alias.
    let mut message = Message::query();
    message.metadata.id = u16::from_be_bytes([0x12, 0x34]);
    let name: hickory_proto::rr::Name = "out.default.svc.cluster.local.".parse().expect("a name");
    message.add_query(hickory_proto::op::Query::query(name, hickory_proto::rr::RecordType::A));
    let bytes = message.to_vec().expect("a query");
    let query = Query::parse(&bytes, Transport::Udp).expect("a query");
    if let Some(relayed) = message::relay(&query, data) {
        assert!(relayed.len() <= usize::from(query.limit()));
        assert_eq!(relayed.get(..2), bytes.get(..2));
    }
    let forward = Forward { aliases: Vec::new(), name: "a.example.".parse().expect("a name") };
    if let Some(answer) = answer::complete(&forward, data) {
        check(&answer.encode(&query), &bytes, usize::from(query.limit()));
    }
}

/// Checks that an answer can be read, and belongs to the query.
fn check(answer: &[u8], query: &[u8], limit: usize) {
    assert!(answer.len() <= limit, "{} bytes of {limit}", answer.len());
    let read = Message::from_vec(answer).expect("an answer is well-formed");
    assert_eq!(read.metadata.message_type, MessageType::Response);
    assert_eq!(answer.get(..2), query.get(..2), "the id");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn dns_messages() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/dns_message");
        let mut inputs: Vec<_> =
            std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{} has no inputs", dir.display());
        for input in inputs {
            // The output is shown if the test fails.
            println!("{}", input.display());
            super::dns_message(&std::fs::read(input).unwrap());
        }
    }
}
