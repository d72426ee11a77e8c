use std::net::IpAddr;

use hickory_proto::op::Query as Question;
use proptest::prelude::*;

use super::*;
use crate::bridge::Subnet;
use crate::dns::config::{Endpoints, NamedEndpoint, ServedNetwork, Services};
use crate::dns::message::Transport;
use crate::dns::zone::Zone;

const CLIENT: &str = "10.88.0.2";
const INSIDE: &str = "10.89.0.2";

fn full(name: &str) -> String {
    format!("{name}.default.svc.{CLUSTER_DOMAIN}")
}

fn network(internal: bool, subnet: &str) -> ServedNetwork {
    let subnet: ipnet::IpNet = subnet.parse().unwrap();
    let subnets = vec![Subnet { subnet, gateway: crate::subnet::gateway(&subnet) }];
    ServedNetwork { name: internal.to_string(), internal, subnets }
}

fn zone() -> Zone {
    let ip = |text: &str| Named::Address(text.parse().unwrap());
    let port = |port, target: &str| Named::Port { port, target: full(target) };
    let alias = |target: &str| vec![Named::Alias(target.to_owned())];
    let names = [
        ("api", vec![ip("10.96.0.10"), ip("fd00:96::10")]),
        ("four", vec![ip("10.96.0.11")]),
        ("sites", vec![ip("10.88.0.5"), ip("10.88.0.6"), ip("10.88.0.7")]),
        ("a.sites", vec![ip("10.88.0.5")]),
        ("b.sites", vec![ip("10.88.0.6")]),
        ("empty", Vec::new()),
        ("_http._tcp.api", vec![port(80, "api")]),
        ("_db._tcp.sites", vec![port(5432, "a.sites"), port(5432, "b.sites"), port(5433, "a.sites")]),
        ("out", alias("www.example.com")),
        ("in", alias(&full("api"))),
        ("chain", alias(&full("in"))),
        ("lost", alias(&full("nobody"))),
        ("round", alias(&full("about"))),
        ("about", alias(&full("round"))),
        ("bad", alias(&"x".repeat(64))),
        ("many", (1..=150).map(|n| Named::Address(IpAddr::from([10, 88, 1, n]))).collect()),
    ];
    let endpoints = Endpoints {
        networks: vec![network(false, "10.88.0.0/16"), network(true, "10.89.0.0/24")],
        endpoints: vec![
            NamedEndpoint {
                names: ["web".to_owned(), full("web")].to_vec(),
                ips: vec![(0, vec![CLIENT.parse().unwrap()])],
            },
            NamedEndpoint { names: Vec::new(), ips: vec![(1, vec![INSIDE.parse().unwrap()])] },
        ],
    };
    let names = names.into_iter().map(|(name, records)| (full(name), records)).collect();
    Zone::new(endpoints, Services { ranges: vec!["10.96.0.0/16".parse().unwrap()], names })
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Question::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn gateway(client: &str) -> IpAddr {
    if client == INSIDE { [10, 89, 0, 1].into() } else { [10, 88, 0, 1].into() }
}

fn decide_for(client: &str, message: &Message, turn: usize) -> (Query, Decision) {
    let query = Query::parse(&message.to_vec().unwrap(), Transport::Udp).unwrap();
    let zone = zone();
    let view = zone.view(client.parse().unwrap(), gateway(client)).unwrap();
    let decision = decide(&query, &view, turn);
    (query, decision)
}

/// Returns the answer to a query, as the client reads it.
fn answer_to(message: &Message) -> Message {
    match decide_for(CLIENT, message, 0) {
        (query, Decision::Answer(answer)) => Message::from_vec(&answer.encode(&query)).unwrap(),
        (_, Decision::Forward(forward)) => panic!("{forward:?}"),
    }
}

fn ask(name: &str, kind: RecordType) -> Message {
    answer_to(&query(name, kind))
}

/// Returns the records of a section, one line each.
fn lines(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| format!("{} {} {}", record.name, record.ttl, record.data)).collect()
}

const NO_DATA: &str = "cluster.local. 5 ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5";

#[test]
fn a_service_has_its_addresses_for_five_seconds() {
    let name = full("api") + ".";
    let answer = ask(&name, RecordType::A);
    assert_eq!(lines(&answer.answers), [format!("{name} 5 10.96.0.10")]);
    assert_eq!(lines(&ask(&name, RecordType::AAAA).answers), [format!("{name} 5 fd00:96::10")]);
    assert!(answer.authoritative && answer.recursion_available && answer.recursion_desired);
    assert_eq!((answer.authorities.len(), answer.response_code), (0, ResponseCode::NoError));
}

#[test]
fn an_address_of_an_endpoint_is_not_to_be_kept() {
    assert_eq!(lines(&ask("web.", RecordType::A).answers), ["web. 0 10.88.0.2"]);
    let name = full("web") + ".";
    assert_eq!(lines(&ask(&name, RecordType::A).answers), [format!("{name} 0 10.88.0.2")]);
}

#[test]
fn letters_of_either_case_are_the_same_and_stay_as_they_were_asked() {
    let answer = ask("API.Default.svc.CLUSTER.local.", RecordType::A);
    assert_eq!(lines(&answer.answers), ["API.Default.svc.CLUSTER.local. 5 10.96.0.10"]);
    assert_eq!(answer.queries[0].name().to_string(), "API.Default.svc.CLUSTER.local.");
}

#[test]
fn another_type_of_a_name_is_no_data() {
    for (name, kind) in [
        (full("api"), RecordType::MX),
        (full("api"), RecordType::TXT),
        (full("four"), RecordType::AAAA),
        (full("web"), RecordType::AAAA),
        (full("web"), RecordType::MX),
        (full("empty"), RecordType::A),
        ("default.svc.cluster.local".to_owned(), RecordType::A),
        ("svc.cluster.local".to_owned(), RecordType::NS),
        ("cluster.local".to_owned(), RecordType::A),
        (full("api"), RecordType::CNAME),
        (full("api"), RecordType::Unknown(65280)),
    ] {
        let answer = ask(&name, kind);
        assert_eq!((answer.response_code, answer.answers.len()), (ResponseCode::NoError, 0), "{name} {kind}");
        assert_eq!(lines(&answer.authorities), [NO_DATA], "{name} {kind}");
        assert!(answer.authoritative);
    }
}

#[test]
fn a_name_that_does_not_exist_is_no_such_name() {
    for name in ["nobody", "x.api", "api.other.svc"] {
        for kind in [RecordType::A, RecordType::MX, RecordType::ANY] {
            let answer = ask(&format!("{name}.cluster.local."), kind);
            assert_eq!(answer.response_code, ResponseCode::NXDomain, "{name}");
            assert_eq!(lines(&answer.authorities), [NO_DATA]);
        }
    }
}

#[test]
fn the_zone_of_a_name_without_the_domain_is_the_name() {
    let answer = ask("web.", RecordType::MX);
    assert_eq!(answer.response_code, ResponseCode::NoError);
    assert_eq!(answer.authorities[0].name.to_string(), "web.");
}

#[test]
fn the_addresses_of_a_headless_service_take_turns() {
    let message = query(&full("sites"), RecordType::A);
    let first = |turn| {
        let (query, Decision::Answer(answer)) = decide_for(CLIENT, &message, turn) else { panic!() };
        let answer = Message::from_vec(&answer.encode(&query)).unwrap();
        assert_eq!(answer.answers.len(), 3);
        answer.answers[0].data.to_string()
    };
    assert_eq!(
        [first(0), first(1), first(2), first(3)],
        ["10.88.0.5", "10.88.0.6", "10.88.0.7", "10.88.0.5"]
    );
    first(usize::MAX);
}

#[test]
fn a_port_comes_with_the_addresses_of_its_host() {
    let name = full("_http._tcp.api") + ".";
    let answer = ask(&name, RecordType::SRV);
    assert_eq!(lines(&answer.answers), [format!("{name} 5 0 100 80 {}.", full("api"))]);
    let host = full("api");
    assert_eq!(
        lines(&answer.additionals),
        [format!("{host}. 5 10.96.0.10"), format!("{host}. 5 fd00:96::10")]
    );
    let answer = ask(&full("_db._tcp.sites"), RecordType::SRV);
    let ports: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    let port = |port: u16, host: &str| format!("0 33 {port} {}.", full(host));
    assert_eq!(ports, [port(5432, "a.sites"), port(5432, "b.sites"), port(5433, "a.sites")]);
    assert_eq!(answer.additionals.len(), 2, "each host once");
    assert_eq!(ask(&full("_http._tcp.api"), RecordType::A).response_code, ResponseCode::NoError);
    assert_eq!(ask(&full("_https._tcp.api"), RecordType::SRV).response_code, ResponseCode::NXDomain);
}

#[test]
fn an_alias_of_ours_comes_with_its_target() {
    let (name, target) = (full("in") + ".", full("api") + ".");
    let alias = format!("{name} 5 {target}");
    let answer = ask(&name, RecordType::A);
    assert_eq!(lines(&answer.answers), [alias.clone(), format!("{target} 5 10.96.0.10")]);
    for kind in [RecordType::CNAME, RecordType::ANY] {
        assert_eq!(lines(&ask(&name, kind).answers).join(""), alias);
    }
    let answer = ask(&name, RecordType::MX);
    assert_eq!((lines(&answer.answers), lines(&answer.authorities)), (vec![alias], vec![NO_DATA.to_owned()]));
    assert_eq!(ask(&full("chain"), RecordType::A).answers.len(), 3);
}

#[test]
fn an_alias_to_nothing_is_no_such_name_and_a_ring_fails() {
    let answer = ask(&full("lost"), RecordType::A);
    assert_eq!((answer.response_code, answer.answers.len()), (ResponseCode::NXDomain, 1));
    assert_eq!(ask(&full("round"), RecordType::A).response_code, ResponseCode::ServFail);
    assert_eq!(ask(&full("bad"), RecordType::A).response_code, ResponseCode::ServFail);
}

fn forwarded(name: &str, kind: RecordType) -> Forward {
    match decide_for(CLIENT, &query(name, kind), 0) {
        (_, Decision::Forward(forward)) => forward,
        (_, Decision::Answer(answer)) => panic!("{name}: {answer:?}"),
    }
}

#[test]
fn all_other_names_are_the_hosts_also_short_ones() {
    for name in ["www.example.com.", "nobody.", ".", "svc.", "8.8.8.8.in-addr.arpa.", "arpa."] {
        for kind in [RecordType::A, RecordType::MX, RecordType::PTR, RecordType::HTTPS] {
            let forward = forwarded(name, kind);
            assert_eq!((forward.aliases.len(), forward.name.to_string().as_str()), (0, name));
        }
    }
}

#[test]
fn an_alias_to_an_outside_name_is_completed_by_the_hosts_name_server() {
    let forward = forwarded(&full("out"), RecordType::A);
    assert_eq!(forward.name.to_string(), "www.example.com.");
    let mut theirs = query("www.example.com.", RecordType::A).into_response();
    let address = RData::A(A::new(192, 0, 2, 7));
    theirs.add_answer(Record::from_rdata(forward.name.clone(), 60, address));
    let answer = complete(&forward, &theirs.to_vec().unwrap()).unwrap();
    assert_eq!(
        lines(&answer.answers),
        [format!("{}. 5 www.example.com.", full("out")), "www.example.com. 60 192.0.2.7".to_owned()]
    );
    theirs.answers.clear();
    theirs.metadata.response_code = ResponseCode::NXDomain;
    let answer = complete(&forward, &theirs.to_vec().unwrap()).unwrap();
    assert_eq!((answer.code, answer.answers.len()), (ResponseCode::NXDomain, 1));
    assert!(complete(&forward, &[0; 12]).is_none());
}

#[test]
fn an_internal_network_has_no_outside_names() {
    let answer = |name: &str| match decide_for(INSIDE, &query(name, RecordType::A), 0) {
        (query, Decision::Answer(answer)) => Message::from_vec(&answer.encode(&query)).unwrap(),
        (_, Decision::Forward(forward)) => panic!("{forward:?}"),
    };
    assert_eq!(answer("www.example.com.").response_code, ResponseCode::Refused);
    assert_eq!(answer("nobody.").response_code, ResponseCode::Refused);
    assert_eq!(answer(&full("api")).answers.len(), 1);
    let outside = answer(&full("out"));
    assert_eq!((outside.response_code, outside.answers.len()), (ResponseCode::NoError, 1), "the alias alone");
}

#[test]
fn addresses_have_names() {
    let ptr = |ip: &str| ask(&Name::from(ip.parse::<IpAddr>().unwrap()).to_string(), RecordType::PTR);
    assert_eq!(ptr("10.96.0.10").answers[0].data.to_string(), full("api") + ".");
    assert_eq!(ptr("10.88.0.5").answers[0].data.to_string(), full("a.sites") + ".");
    assert_eq!(ptr(CLIENT).answers[0].data.to_string(), full("web") + ".");
    let nobody = ptr("10.88.9.9");
    assert_eq!(nobody.response_code, ResponseCode::NXDomain);
    assert_eq!(nobody.authorities[0].name.to_string(), "88.10.in-addr.arpa.");
    assert_eq!(ask("2.0.88.10.in-addr.arpa.", RecordType::A).response_code, ResponseCode::NoError);
}

#[test]
fn the_domain_has_records_of_its_own() {
    assert_eq!(lines(&ask("cluster.local.", RecordType::SOA).answers), [NO_DATA]);
    assert_eq!(
        lines(&ask("cluster.local.", RecordType::NS).answers),
        ["cluster.local. 5 ns.dns.cluster.local."]
    );
    assert_eq!(ask("ns.dns.cluster.local.", RecordType::A).answers.len(), 1);
    let version = ask("dns-version.cluster.local.", RecordType::TXT);
    assert_eq!(version.answers[0].data.to_string(), "1.1.0");
}

#[test]
fn what_is_not_served_is_refused() {
    let code = |change: fn(&mut Message)| {
        let mut message = query(&full("api"), RecordType::A);
        change(&mut message);
        answer_to(&message).response_code
    };
    assert_eq!(code(|m| m.queries[0].query_class = DNSClass::CH), ResponseCode::Refused);
    assert_eq!(code(|m| m.queries[0].query_type = RecordType::AXFR), ResponseCode::Refused);
    assert_eq!(code(|m| m.queries[0].query_type = RecordType::OPT), ResponseCode::FormErr);
    let version = |m: &mut Message| {
        let mut edns = hickory_proto::op::Edns::new();
        edns.set_version(1);
        m.set_edns(edns);
    };
    assert_eq!(u16::from(code(version)), 16, "BADVERS");
}

#[test]
fn a_long_answer_is_cut_off_to_what_the_client_receives() {
    let mut message = query(&full("many"), RecordType::A);
    let answer = answer_to(&message);
    assert!(answer.truncation && (20..40).contains(&answer.answers.len()), "{}", answer.answers.len());
    let mut edns = hickory_proto::op::Edns::new();
    edns.set_max_payload(4096);
    message.set_edns(edns);
    let answer = answer_to(&message);
    assert_eq!((answer.truncation, answer.answers.len()), (false, 150));
    assert!(answer.edns.is_some());
}

#[test]
fn a_dot_within_a_label_is_no_dot_between_labels() {
    let labels: [&[u8]; 5] = [b"api.default", b"svc", b"cluster", b"local", b""];
    let name = Name::from_labels(labels[..4].iter().copied()).unwrap();
    let mut message = query(".", RecordType::A);
    message.queries[0].name = name;
    assert_eq!(answer_to(&message).response_code, ResponseCode::NXDomain);
}

#[test]
fn the_longest_name_is_answered() {
    let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(47)].join(".") + ".cluster.local.";
    assert_eq!(name.len(), 254);
    assert_eq!(ask(&name, RecordType::A).response_code, ResponseCode::NXDomain);
}

proptest! {
    #[test]
    fn any_bytes_get_a_well_formed_answer_or_none(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        crate::dns::fuzz::dns_message(&bytes);
    }

    #[test]
    fn a_query_with_errors_gets_a_well_formed_answer_or_none(
        name in prop::sample::select(vec!["many", "out", "in", "_db._tcp.sites", "nobody"]),
        kind in any::<u16>(),
        edns in any::<Option<u16>>(),
        errors in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut message = query(&full(name), RecordType::from(kind));
        if let Some(payload) = edns {
            let mut edns = hickory_proto::op::Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        let mut bytes = message.to_vec().unwrap();
        for (place, byte) in errors {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        crate::dns::fuzz::dns_message(&bytes);
    }
}
