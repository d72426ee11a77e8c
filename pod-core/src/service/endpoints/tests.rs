//! Which endpoints a Service has.

use serde_json::{Value, json};

use super::*;
use crate::service::{NamedPort, Reach};

/// Returns a pod with one address.
pub fn pod(namespace: &str, name: &str, labels: &[(&str, &str)], ip: &str, serving: bool) -> PodEndpoint {
    PodEndpoint {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        reach: Reach { ips: vec![ip.parse().unwrap()], serving, terminating: false },
        ports: Vec::new(),
        hostname: None,
        subdomain: None,
    }
}

/// Returns Services with their endpoints.
pub fn resolved(
    services: &[Value],
    endpoints: &[Value],
    slices: &[Value],
    pods: Vec<PodEndpoint>,
) -> Vec<Resolved> {
    fn read<T: serde::de::DeserializeOwned>(all: &[Value]) -> Vec<T> {
        all.iter().map(|one| serde_json::from_value(one.clone()).unwrap()).collect()
    }
    resolve(Recorded { services: read(services), endpoints: read(endpoints), slices: read(slices) }, pods)
}

fn service(spec: Value) -> Value {
    let mut spec = spec;
    spec.as_object_mut().unwrap().entry("clusterIP").or_insert(json!("10.1.0.1"));
    json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
}

/// Returns the endpoints of the Service `web` as lines: `PORT -> ADDRESS`, with `-` before one that gets nothing.
fn lines(spec: Value, endpoints: &[Value], slices: &[Value], pods: Vec<PodEndpoint>) -> Vec<String> {
    let view = resolved(&[service(spec)], endpoints, slices, pods).remove(0).view();
    let of_port = |port: &PortView| {
        let number = port.port;
        let shown = |endpoint: &EndpointView| {
            format!("{}{number} -> {}", if endpoint.ready { "" } else { "-" }, endpoint.address)
        };
        port.endpoints.iter().map(shown).collect::<Vec<_>>()
    };
    view.ports.iter().flat_map(of_port).collect()
}

fn selecting(ports: Value) -> Value {
    json!({"selector": {"app": "web"}, "ports": ports})
}

#[test]
fn a_service_selects_the_pods_of_its_namespace_that_have_all_its_labels() {
    let pods = || {
        vec![
            pod("shop", "b", &[("app", "web"), ("tier", "front")], "10.0.0.3", true),
            pod("shop", "a", &[("app", "web")], "10.0.0.2", true),
            pod("shop", "c", &[("app", "db")], "10.0.0.4", true),
            pod("other", "a", &[("app", "web"), ("tier", "front")], "10.0.0.5", true),
        ]
    };
    let ports = json!([{"port": 80}]);
    assert_eq!(lines(selecting(ports.clone()), &[], &[], pods()), ["80 -> 10.0.0.2:80", "80 -> 10.0.0.3:80"]);
    let both = json!({"selector": {"app": "web", "tier": "front"}, "ports": ports});
    assert_eq!(lines(both, &[], &[], pods()), ["80 -> 10.0.0.3:80"]);
    let none = json!({"selector": {"app": "web", "tier": "back"}, "ports": [{"port": 80}]});
    assert_eq!(lines(none, &[], &[], pods()), [""; 0]);
    assert_eq!(lines(json!({"ports": [{"port": 80}]}), &[], &[], pods()), [""; 0]);
}

#[test]
fn a_target_port_is_a_number_or_the_name_of_a_port_of_each_pod() {
    let named = |name: &str, ip: &str, protocol: &str, port: u16| {
        let ports = vec![NamedPort { name: "http".to_owned(), protocol: protocol.to_owned(), port }];
        PodEndpoint { ports, ..pod("shop", name, &[("app", "web")], ip, true) }
    };
    let pods = vec![
        named("a", "10.0.0.2", "TCP", 8080),
        named("b", "10.0.0.3", "TCP", 9090),
        named("c", "10.0.0.4", "UDP", 7070),
        pod("shop", "d", &[("app", "web")], "10.0.0.5", true),
    ];
    let ports = json!([
        {"name": "a", "port": 80, "targetPort": "http"}, {"name": "b", "port": 81, "targetPort": 8081},
        {"name": "c", "port": 82, "protocol": "UDP", "targetPort": "http"}, {"name": "d", "port": 83, "targetPort": ""},
    ]);
    let found = lines(selecting(ports), &[], &[], pods);
    assert_eq!(found.iter().filter(|line| line.starts_with("80 ")).count(), 2, "{found:?}");
    assert!(found.contains(&"80 -> 10.0.0.3:9090".to_owned()), "{found:?}");
    assert_eq!(found.iter().filter(|line| line.ends_with(":8081")).count(), 4, "{found:?}");
    assert_eq!(
        found.iter().filter(|line| line.starts_with("82 ")).collect::<Vec<_>>(),
        ["82 -> 10.0.0.4:7070"]
    );
    assert_eq!(found.iter().filter(|line| line.ends_with(":83")).count(), 4, "{found:?}");
}

#[test]
fn only_ready_pods_get_connections_unless_unready_ones_are_published() {
    let pods = || {
        vec![
            pod("shop", "a", &[("app", "web")], "10.0.0.2", true),
            pod("shop", "b", &[("app", "web")], "10.0.0.3", false),
        ]
    };
    let ports = json!([{"port": 80}]);
    assert_eq!(
        lines(selecting(ports.clone()), &[], &[], pods()),
        ["80 -> 10.0.0.2:80", "-80 -> 10.0.0.3:80"]
    );
    let published = json!({"selector": {"app": "web"}, "publishNotReadyAddresses": true, "ports": ports});
    assert_eq!(lines(published, &[], &[], pods()), ["80 -> 10.0.0.2:80", "80 -> 10.0.0.3:80"]);
}

#[test]
fn a_pod_that_ends_gets_connections_only_if_no_other_pod_is_ready() {
    let ending = |serving| {
        let mut ending = pod("shop", "a", &[("app", "web")], "10.0.0.2", serving);
        ending.reach.terminating = true;
        ending
    };
    let other = |serving| pod("shop", "b", &[("app", "web")], "10.0.0.3", serving);
    let of = |pods| lines(selecting(json!([{"port": 80}])), &[], &[], pods);
    assert_eq!(of(vec![ending(true), other(true)]), ["-80 -> 10.0.0.2:80", "80 -> 10.0.0.3:80"]);
    assert_eq!(of(vec![ending(true), other(false)]), ["80 -> 10.0.0.2:80", "-80 -> 10.0.0.3:80"]);
    assert_eq!(of(vec![ending(false)]), ["-80 -> 10.0.0.2:80"]);
}

#[test]
fn a_service_has_the_addresses_of_its_families() {
    let mut both = pod("shop", "a", &[("app", "web")], "10.0.0.2", true);
    both.reach.ips.extend(["fd00::2".parse::<IpAddr>().unwrap(), "10.9.0.2".parse().unwrap()]);
    let of = |families: &[&str]| {
        let spec = json!({"selector": {"app": "web"}, "ipFamilies": families, "ports": [{"port": 80}]});
        lines(spec, &[], &[], vec![both.clone()])
    };
    assert_eq!(of(&["IPv4"]), ["80 -> 10.0.0.2:80"]);
    assert_eq!(of(&["IPv6"]), ["80 -> [fd00::2]:80"]);
    assert_eq!(of(&["IPv6", "IPv4"]), ["80 -> 10.0.0.2:80", "80 -> [fd00::2]:80"]);
}

#[test]
fn a_service_without_a_selector_leads_where_documents_say() {
    let endpoints = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "subsets": [
            {"addresses": [{"ip": "192.0.2.1"}], "notReadyAddresses": [{"ip": "192.0.2.2"}], "ports": [{"port": 5432, "name": "sql"}]},
            {"addresses": [{"ip": "192.0.2.3", "targetRef": {"kind": "Pod", "name": "x", "namespace": "shop"}}], "ports": [{"port": 9, "name": "other"}]},
        ],
    });
    let slice = json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"name": "sql", "port": 6000}, {"name": "sql2", "port": 1, "protocol": "UDP"}],
        "endpoints": [
            {"addresses": ["192.0.2.4", "192.0.2.5"]}, {"addresses": ["192.0.2.6"], "conditions": {"ready": false}},
        ],
    });
    let foreign = json!({
        "metadata": {"name": "web", "namespace": "other"}, "subsets": [{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"port": 1, "name": "sql"}]}],
    });
    let spec =
        json!({"ports": [{"name": "sql", "port": 80, "targetPort": 1234}, {"name": "none", "port": 81}]});
    let found = lines(spec.clone(), &[endpoints.clone(), foreign], std::slice::from_ref(&slice), Vec::new());
    assert_eq!(
        found,
        ["80 -> 192.0.2.1:5432", "-80 -> 192.0.2.2:5432", "80 -> 192.0.2.4:6000", "-80 -> 192.0.2.6:6000"]
    );
    // A Service with a selector has the endpoints that its selector finds.
    let mut selecting = spec;
    selecting["selector"] = json!({"app": "web"});
    assert_eq!(lines(selecting, &[endpoints], &[slice], Vec::new()), [""; 0]);
}

#[test]
fn a_port_without_a_name_matches_a_port_without_a_name() {
    let endpoints = json!({
        "metadata": {"name": "web", "namespace": "shop"}, "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 8080}]}],
    });
    let of = |port| lines(json!({"ports": [port]}), std::slice::from_ref(&endpoints), &[], Vec::new());
    assert_eq!(of(json!({"port": 80})), ["80 -> 192.0.2.1:8080"]);
    assert_eq!(of(json!({"port": 80, "name": ""})), ["80 -> 192.0.2.1:8080"]);
    assert_eq!(of(json!({"port": 80, "name": "a"})), [""; 0]);
    assert_eq!(of(json!({"port": 80, "protocol": "UDP"})), [""; 0]);
}

#[test]
fn an_external_name_has_no_endpoints() {
    let spec = json!({"type": "ExternalName", "externalName": "a.example", "selector": {"app": "web"}, "ports": [{"port": 80}]});
    let pods = vec![pod("shop", "a", &[("app", "web")], "10.0.0.2", true)];
    assert_eq!(lines(spec, &[], &[], pods), [""; 0]);
}
