//! Decides what a query gets: an answer from the zone, or a question to the host's name servers. Pure.
//!
//! The meaning is that of a cluster's name server (Kubernetes' DNS-Based Service Discovery, CoreDNS): everything below
//! the domain of the cluster and in the reverse zones of its addresses is ours, and all other names, also those of one
//! label, are the host's.

use std::net::IpAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::CLUSTER_DOMAIN;
use super::message::{Answer, Query};
use super::zone::{Found, View};
use crate::names::Record as Named;

/// How long a record of a Service may be kept, in seconds: as long as in a cluster. The same for what does not exist.
const SERVICE_TTL: u32 = 5;

/// How long an address of an endpoint may be kept: not at all, because a pod that is replaced has another address under
/// the same name, and no Service stands between.
const ENDPOINT_TTL: u32 = 0;

/// The longest chain of aliases (CNAME) that is followed.
const LONGEST_CHAIN: usize = 8;

/// What a query gets.
#[derive(Debug, Clone)]
pub(super) enum Decision {
    /// This answer.
    Answer(Answer),
    /// The answer of a name server of the host.
    Forward(Forward),
}

/// A question for the host's name servers.
#[derive(Debug, Clone)]
pub(super) struct Forward {
    /// The aliases of ours that lead to the name. Without any, the question is the client's.
    pub aliases: Vec<Record>,
    /// The name to ask for.
    pub name: Name,
}

/// Decides about a query. `turn` is a number that changes with each query; the addresses of a Service begin with
/// another one each time, as in a cluster.
pub(super) fn decide(query: &Query, view: &View<'_>, turn: usize) -> Decision {
    let error = |code| Decision::Answer(Answer::error(code));
    let (kind, class) = (query.question.query_type(), query.question.query_class());
    if query.edns.is_some_and(|edns| edns.version != 0) {
        return error(ResponseCode::BADVERS);
    }
    if kind == RecordType::OPT {
        return error(ResponseCode::FormErr);
    }
    // Zones are not transferred: their answers have several messages.
    if class != DNSClass::IN || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
        return error(ResponseCode::Refused);
    }
    let mut aliases: Vec<Record> = Vec::new();
    let mut name = query.question.name().clone();
    while aliases.len() < LONGEST_CHAIN {
        let lookup = view.look_up(&key(&name));
        if lookup.found == Found::Elsewhere {
            return if view.reaches_outside() {
                Decision::Forward(Forward { aliases, name })
            } else if aliases.is_empty() {
                error(ResponseCode::Refused)
            } else {
                Decision::Answer(Answer { answers: aliases, authoritative: true, ..Answer::default() })
            };
        }
        if let Some(target) = alias_of(&lookup.found)
            && !matches!(kind, RecordType::CNAME | RecordType::ANY)
        {
            let Some(target) = absolute(target) else { return error(ResponseCode::ServFail) };
            aliases.push(Record::from_rdata(name, SERVICE_TTL, RData::CNAME(CNAME(target.clone()))));
            name = target;
            continue;
        }
        let code = match lookup.found {
            Found::NoSuchName => ResponseCode::NXDomain,
            _ => ResponseCode::NoError,
        };
        let zone = lookup.zone_labels.map_or_else(|| name.clone(), |labels| name.trim_to(labels));
        let records = records(&name, &lookup.found, &zone, turn).into_iter();
        let own: Vec<Record> = records.filter(|record| matches(record, kind)).collect();
        let authorities = if own.is_empty() { vec![soa(&zone)] } else { Vec::new() };
        let additionals = hosts(&own, view);
        let answers = aliases.into_iter().chain(own).collect();
        return Decision::Answer(Answer {
            code,
            authoritative: true,
            truncated: false,
            answers,
            authorities,
            additionals,
        });
    }
    // The aliases lead to each other.
    error(ResponseCode::ServFail)
}

/// Combines aliases of ours with a name server's answer about the name that they lead to. `None` if that answer is
/// damaged.
pub(super) fn complete(forward: &Forward, answer: &[u8]) -> Option<Answer> {
    // Memory for the questions is reserved by their announced number, so that number is looked at first. Answers to other
    // operations may contain records that no answer to a query has.
    if answer.get(4..6) != Some(&[0, 1]) || answer.get(2).is_none_or(|flags| flags & 0xf8 != 0x80) {
        return None;
    }
    let message = Message::from_vec(answer).ok()?;
    Some(Answer {
        code: message.response_code,
        authoritative: false,
        truncated: message.truncation,
        answers: forward.aliases.iter().cloned().chain(message.answers).collect(),
        authorities: message.authorities,
        additionals: Vec::new(),
    })
}

/// Returns a name as the zone knows it: in lower case, without a dot at its end. Dots within labels are escaped, so that
/// such a name is none of ours.
fn key(name: &Name) -> String {
    let mut key = String::with_capacity(name.len());
    for label in name {
        if !key.is_empty() {
            key.push('.');
        }
        for byte in label {
            if *byte == b'.' {
                key.push('\\');
            }
            key.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    key
}

/// Converts an absolute name without a dot at its end. `None` if it does not fit into DNS.
fn absolute(name: &str) -> Option<Name> {
    let labels: Vec<&[u8]> = name.trim_end_matches('.').split('.').map(str::as_bytes).collect();
    Name::from_labels(labels).ok()
}

fn alias_of<'a>(found: &Found<'a>) -> Option<&'a str> {
    let Found::Service(records) = found else { return None };
    records.iter().find_map(|record| match record {
        Named::Alias(target) => Some(target.as_str()),
        Named::Address(_) | Named::Port { .. } => None,
    })
}

fn matches(record: &Record, kind: RecordType) -> bool {
    kind == RecordType::ANY || record.record_type() == kind
}

/// Returns all records of what was found under a name.
fn records(name: &Name, found: &Found<'_>, zone: &Name, turn: usize) -> Vec<Record> {
    let record = |ttl, data| Record::from_rdata(name.clone(), ttl, data);
    match found {
        Found::Service(records) => {
            let ports = records.iter().filter(|record| matches!(record, Named::Port { .. })).count();
            // As CoreDNS does: all ports share a hundred.
            let weight = u16::try_from(100 / ports.max(1)).unwrap_or(1).max(1);
            let data = |named: &Named| match named {
                Named::Address(ip) => Some(address(*ip)),
                Named::Alias(target) => absolute(target).map(|target| RData::CNAME(CNAME(target))),
                Named::Port { port, target } => {
                    absolute(target).map(|target| RData::SRV(SRV::new(0, weight, *port, target)))
                }
            };
            let mut all: Vec<Record> =
                records.iter().filter_map(data).map(|data| record(SERVICE_TTL, data)).collect();
            let first = turn.checked_rem(all.len()).unwrap_or_default();
            all.rotate_left(first);
            all
        }
        Found::Endpoint(ips) => ips.iter().map(|ip| record(ENDPOINT_TTL, address(*ip))).collect(),
        Found::NameServer(ips) => ips.iter().map(|ip| record(SERVICE_TTL, address(*ip))).collect(),
        Found::Pointers(names) => {
            let names = names.iter().filter_map(|name| absolute(name));
            names.map(|name| record(SERVICE_TTL, RData::PTR(PTR(name)))).collect()
        }
        Found::Version(version) => {
            vec![record(SERVICE_TTL, RData::TXT(TXT::new(vec![(*version).to_owned()])))]
        }
        Found::Apex => {
            let server = absolute(&format!("ns.dns.{CLUSTER_DOMAIN}"));
            let server = server.map(|server| record(SERVICE_TTL, RData::NS(NS(server))));
            server.into_iter().chain([soa(zone)]).collect()
        }
        Found::NoData | Found::NoSuchName | Found::Elsewhere => Vec::new(),
    }
}

fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

/// Returns the record by which an answer without data says how long that may be kept (RFC 2308).
fn soa(zone: &Name) -> Record {
    let of_domain = |host: &str| absolute(&format!("{host}.{CLUSTER_DOMAIN}")).unwrap_or_default();
    let soa = SOA::new(of_domain("ns.dns"), of_domain("hostmaster"), 1, 7200, 1800, 86400, SERVICE_TTL);
    Record::from_rdata(zone.clone(), SERVICE_TTL, RData::SOA(soa))
}

/// Returns the addresses of the hosts that ports (SRV) name, so that the client need not ask for them.
fn hosts(records: &[Record], view: &View<'_>) -> Vec<Record> {
    let mut targets: Vec<&Name> = Vec::new();
    for record in records {
        if let RData::SRV(srv) = &record.data
            && !targets.contains(&&srv.target)
        {
            targets.push(&srv.target);
        }
    }
    let mut hosts = Vec::new();
    for target in targets {
        let found = view.look_up(&key(target)).found;
        let of_host = records_of_host(target, &found);
        hosts.extend(
            of_host.into_iter().filter(|r| matches!(r.record_type(), RecordType::A | RecordType::AAAA)),
        );
    }
    hosts
}

fn records_of_host(target: &Name, found: &Found<'_>) -> Vec<Record> {
    match found {
        Found::Service(_) | Found::Endpoint(_) => records(target, found, target, 0),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
