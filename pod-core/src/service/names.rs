//! The names of Services in DNS. It is pure. Source: the specification of DNS-based service discovery of Kubernetes
//! (version 1.1).

use std::net::IpAddr;

use network::CLUSTER_DOMAIN;
use network::names::{Names, Record};

use super::endpoints::{Member, Resolved};

/// Returns the records of all Services.
pub(super) fn names(services: &[Resolved]) -> Names {
    let mut names = Names::new();
    for service in services {
        add(service, &mut names);
    }
    names
}

fn add(service: &Resolved, names: &mut Names) {
    let metadata = &service.service.metadata;
    let (Some(name), Some(namespace)) = (metadata.name.as_deref(), metadata.namespace.as_deref()) else {
        return;
    };
    let Some(spec) = service.spec() else { return };
    let own = format!("{name}.{namespace}.svc.{CLUSTER_DOMAIN}");
    if spec.type_.as_deref() == Some("ExternalName") {
        let given = spec.external_name.as_deref().unwrap_or_default();
        let host = given.strip_suffix('.').unwrap_or(given).to_ascii_lowercase();
        // An address is no name that another name could stand for.
        let is_name = !host.is_empty() && host.parse::<IpAddr>().is_err();
        names.insert(own, is_name.then_some(Record::Alias(host)).into_iter().collect());
        return;
    }
    if spec.cluster_ip.as_deref() == Some("None") {
        return headless(service, &own, names);
    }
    let given = spec.cluster_ips.iter().flatten().chain(spec.cluster_ip.iter());
    let mut ips: Vec<IpAddr> = given.filter_map(|ip| ip.parse().ok()).collect();
    ips.sort_unstable();
    ips.dedup();
    for port in service.ports.iter().filter(|port| port.name.is_some()) {
        let record = Record::Port { port: port.port, target: own.clone() };
        names.insert(port_name(port.name.as_deref(), &port.protocol, &own), vec![record]);
    }
    names.insert(own, ips.into_iter().map(Record::Address).collect());
}

/// Adds the records of a headless Service: its ready endpoints, each with a name of its own.
fn headless(service: &Resolved, own: &str, names: &mut Names) {
    let mut all = Vec::new();
    for member in &service.members {
        if !member.ready {
            // The name exists, and the name server would answer with the address of the pod otherwise.
            if let Some(host) = &member.hostname {
                names.entry(format!("{host}.{own}")).or_default();
            }
            continue;
        }
        for ip in service.ips(member) {
            all.push(Record::Address(ip));
            let of_member = names.entry(format!("{}.{own}", label(member, ip))).or_default();
            if !of_member.contains(&Record::Address(ip)) {
                of_member.push(Record::Address(ip));
            }
        }
    }
    for port in service.ports.iter().filter(|port| port.name.is_some()) {
        let mut records = Vec::new();
        for target in &port.targets {
            let member = service.members.get(target.member).filter(|member| member.ready);
            for (member, ip) in
                member.into_iter().flat_map(|member| service.ips(member).map(move |ip| (member, ip)))
            {
                let record =
                    Record::Port { port: target.port, target: format!("{}.{own}", label(member, ip)) };
                if !records.contains(&record) {
                    records.push(record);
                }
            }
        }
        names.insert(port_name(port.name.as_deref(), &port.protocol, own), records);
    }
    all.sort_unstable();
    all.dedup();
    names.insert(own.to_owned(), all);
}

/// Returns the label of an endpoint below the name of its Service: its host name, or its address with dashes.
fn label(member: &Member, ip: IpAddr) -> String {
    match &member.hostname {
        Some(host) if !host.is_empty() => host.clone(),
        _ => match ip {
            IpAddr::V4(ip) => ip.to_string().replace('.', "-"),
            // Without an abbreviation, because a label neither begins nor ends with a dash (RFC 1123).
            IpAddr::V6(ip) => ip.segments().map(|segment| format!("{segment:x}")).join("-"),
        },
    }
}

fn port_name(port: Option<&str>, protocol: &str, own: &str) -> String {
    format!("_{}._{}.{own}", port.unwrap_or_default(), protocol.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::service::endpoints::tests::{pod, resolved};

    fn shown(service: &serde_json::Value, pods: Vec<crate::service::PodEndpoint>) -> String {
        let names = names(&resolved(std::slice::from_ref(service), &[], &[], pods));
        let line = |(name, records): (String, Vec<Record>)| {
            let records = records.into_iter().map(|record| match record {
                Record::Address(ip) => ip.to_string(),
                Record::Alias(name) => format!("-> {name}"),
                Record::Port { port, target } => format!("{port} {target}"),
            });
            format!("{name}: {}\n", records.collect::<Vec<_>>().join(", "))
        };
        names.into_iter().map(line).collect()
    }

    #[test]
    fn a_service_has_its_addresses_and_the_ports_that_have_a_name() {
        let service = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "clusterIP": "10.1.0.5", "clusterIPs": ["10.1.0.5", "fd00::5"], "ipFamilies": ["IPv4", "IPv6"],
                "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}],
            },
        });
        insta::assert_snapshot!(shown(&service, Vec::new()));
    }

    #[test]
    fn a_headless_service_has_the_addresses_and_names_of_its_ready_pods() {
        let service = json!({
            "metadata": {"name": "db", "namespace": "shop"},
            "spec": {
                "clusterIP": "None", "ipFamilies": ["IPv4", "IPv6"], "selector": {"app": "db"},
                "ports": [{"name": "sql", "port": 5432, "targetPort": "pg"}],
            },
        });
        let pods = [("db-0", true), ("db-1", false), ("db-2", true)].into_iter().enumerate();
        let mut pods: Vec<_> = pods
            .map(|(n, (name, ready))| {
                let mut pod = pod("shop", name, &[("app", "db")], &format!("10.0.0.{n}"), ready);
                pod.ports = vec![crate::service::NamedPort {
                    name: "pg".to_owned(),
                    protocol: "TCP".to_owned(),
                    port: 5000,
                }];
                (pod.hostname, pod.subdomain) = (Some(name.to_owned()), Some("db".to_owned()));
                pod
            })
            .collect();
        // A pod of another subdomain is named by its addresses.
        pods[2].subdomain = Some("other".to_owned());
        pods[2].reach.ips.push("fd00::2".parse().unwrap());
        insta::assert_snapshot!(shown(&service, pods));
    }

    #[test]
    fn a_headless_service_without_pods_has_a_name_without_data() {
        let service = json!({"metadata": {"name": "db", "namespace": "a"}, "spec": {"clusterIP": "None", "selector": {"a": "b"}}});
        assert_eq!(shown(&service, Vec::new()), "db.a.svc.cluster.local: \n");
    }

    #[test]
    fn an_external_name_is_an_alias() {
        let of = |name: &str| {
            let service = json!({"metadata": {"name": "x", "namespace": "a"}, "spec": {"type": "ExternalName", "externalName": name}});
            shown(&service, Vec::new())
        };
        assert_eq!(of("DB.Example.com."), "x.a.svc.cluster.local: -> db.example.com\n");
        assert_eq!(of("192.0.2.1"), "x.a.svc.cluster.local: \n");
    }
}
