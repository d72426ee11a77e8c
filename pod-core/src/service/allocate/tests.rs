//! What Services get and keep, and what is refused.

use serde_json::{Value, json};

use super::*;

fn nobody(_: u16, _: &str) -> Option<String> {
    None
}

fn pool<'a>(ranges: &[&str]) -> Pool<'a> {
    Pool {
        instance: "/root".to_owned(),
        ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        ips: BTreeMap::new(),
        node_ports: BTreeMap::new(),
        taken_by: &nobody,
    }
}

const DUAL: [&str; 2] = ["10.96.0.0/16", "fd00:96::/112"];

fn service(spec: &Value) -> Service {
    let mut spec = spec.clone();
    spec.as_object_mut().unwrap().entry("ports").or_insert(json!([{"port": 80}]));
    serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})).unwrap()
}

fn completed(spec: &Value, before: Option<&Service>, pool: &mut Pool<'_>) -> Result<Service, String> {
    complete(service(spec), before, pool).map_err(|refused| format!("{}: {}", refused.path, refused.message))
}

/// Returns fields of a completed Service.
fn fields(spec: &Value, ranges: &[&str]) -> Value {
    let service = completed(spec, None, &mut pool(ranges)).unwrap();
    let spec = service.spec.unwrap();
    let are_in_range = spec.cluster_ips.iter().flatten().all(|ip| {
        ip == "None"
            || ranges
                .iter()
                .any(|range| range.parse::<IpNet>().unwrap().contains(&ip.parse::<IpAddr>().unwrap()))
    });
    assert!(are_in_range, "{:?}", spec.cluster_ips);
    let count = spec.cluster_ips.as_ref().map_or(0, Vec::len);
    assert_eq!(spec.cluster_ip, spec.cluster_ips.iter().flatten().next().cloned());
    json!([spec.ip_family_policy, spec.ip_families, count])
}

#[test]
fn families_follow_the_policy_and_what_there_is() {
    for (spec, ranges, expected) in [
        (json!({}), &DUAL[..], json!(["SingleStack", ["IPv4"], 1])),
        (json!({}), &DUAL[..1], json!(["SingleStack", ["IPv4"], 1])),
        (json!({"ipFamilies": ["IPv6"]}), &DUAL[..], json!(["SingleStack", ["IPv6"], 1])),
        (json!({"clusterIP": "fd00:96::5"}), &DUAL[..], json!(["SingleStack", ["IPv6"], 1])),
        (
            json!({"ipFamilyPolicy": "PreferDualStack"}),
            &DUAL[..],
            json!(["PreferDualStack", ["IPv4", "IPv6"], 2]),
        ),
        (json!({"ipFamilyPolicy": "PreferDualStack"}), &DUAL[..1], json!(["PreferDualStack", ["IPv4"], 1])),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}),
            &DUAL[..],
            json!(["RequireDualStack", ["IPv6", "IPv4"], 2]),
        ),
        (
            json!({"clusterIP": "None", "selector": {"a": "b"}}),
            &DUAL[..],
            json!(["SingleStack", ["IPv4"], 1]),
        ),
        (json!({"clusterIP": "None"}), &DUAL[..1], json!(["RequireDualStack", ["IPv4", "IPv6"], 1])),
    ] {
        assert_eq!(fields(&spec, ranges), expected, "{spec} {ranges:?}");
    }
    let refused = |spec: &Value, ranges: &[&str]| completed(spec, None, &mut pool(ranges)).unwrap_err();
    assert_eq!(
        refused(&json!({"ipFamilyPolicy": "RequireDualStack"}), &DUAL[..1]),
        "spec.ipFamilyPolicy: this machine has one family of addresses for pods"
    );
    assert_eq!(
        refused(&json!({"ipFamilies": ["IPv6"]}), &DUAL[..1]),
        "spec.ipFamilies[0]: this machine has no IPv6 for pods"
    );
}

#[test]
fn a_service_gets_the_defaults_of_an_api_server() {
    let spec = json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP", "clusterIP": "10.96.0.7",
        "ports": [{"port": 80, "nodePort": 30080}]});
    let service = completed(&spec, None, &mut pool(&DUAL)).unwrap();
    assert_eq!(
        serde_json::to_value(service.spec).unwrap(),
        json!({
            "type": "LoadBalancer", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "allocateLoadBalancerNodePorts": true, "internalTrafficPolicy": "Cluster",
            "externalTrafficPolicy": "Cluster", "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
            "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP", "nodePort": 30080}],
        })
    );
}

#[test]
fn what_was_allocated_is_kept_by_a_later_play() {
    let spec = json!({"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]});
    let before = completed(&spec, None, &mut pool(&DUAL)).unwrap();
    let mut full = pool(&DUAL);
    for port in before.spec.iter().flat_map(|spec| spec.ports.iter().flatten()) {
        let number = u16::try_from(port.node_port.unwrap()).unwrap();
        assert!((30086..=32767).contains(&number));
        full.node_ports.insert((number, "TCP".to_owned()), "shop/web".to_owned());
    }
    let mut again = Pool { taken_by: &|_, _| Some("itself".to_owned()), ..full };
    assert_eq!(completed(&spec, Some(&before), &mut again).unwrap(), before);
    // A port that has another number and the same name keeps its NodePort; a NodePort that is given moves.
    let ports = |service: &Service| -> Vec<i32> {
        service
            .spec
            .iter()
            .flat_map(|spec| spec.ports.iter().flatten())
            .filter_map(|port| port.node_port)
            .collect()
    };
    let changed = json!({"type": "NodePort", "ports": [{"name": "b", "port": 8181}, {"name": "c", "port": 80, "nodePort": 30000}]});
    let changed = completed(&changed, Some(&before), &mut pool(&DUAL)).unwrap();
    assert_eq!(ports(&changed), [ports(&before)[1], 30000]);
    assert_eq!(changed.spec.unwrap().cluster_ip, before.spec.as_ref().unwrap().cluster_ip);
    // Without the type there are no NodePorts.
    let plain = completed(&json!({}), Some(&before), &mut pool(&DUAL)).unwrap();
    assert_eq!(ports(&plain), [0; 0]);
}

#[test]
fn a_second_family_is_added_and_removed_later() {
    let before = completed(&json!({}), None, &mut pool(&DUAL)).unwrap();
    let dual =
        completed(&json!({"ipFamilyPolicy": "PreferDualStack"}), Some(&before), &mut pool(&DUAL)).unwrap();
    let ips = |service: &Service| service.spec.as_ref().unwrap().cluster_ips.clone().unwrap();
    assert_eq!((ips(&dual).len(), &ips(&dual)[0]), (2, &ips(&before)[0]));
    // Without the field, the policy stays.
    assert_eq!(completed(&json!({}), Some(&dual), &mut pool(&DUAL)).unwrap(), dual);
    let single = completed(&json!({"ipFamilyPolicy": "SingleStack"}), Some(&dual), &mut pool(&DUAL)).unwrap();
    assert_eq!(ips(&single), ips(&before));
}

#[test]
fn an_address_cannot_be_changed() {
    let before = completed(&json!({"clusterIP": "10.96.0.7"}), None, &mut pool(&DUAL)).unwrap();
    let changed = |spec: &Value| completed(spec, Some(&before), &mut pool(&DUAL));
    assert!(changed(&json!({"clusterIP": "10.96.0.7"})).is_ok());
    for (spec, message) in [
        (
            json!({"clusterIP": "10.96.0.8"}),
            "spec.clusterIP: may not change once set: is 10.96.0.7, and would become 10.96.0.8",
        ),
        (
            json!({"clusterIP": "None"}),
            "spec.clusterIP: may not change once set: is 10.96.0.7, and would become None",
        ),
        (json!({"ipFamilies": ["IPv6"]}), "spec.ipFamilies[0]: may not change once set: is IPv4"),
    ] {
        assert_eq!(changed(&spec).unwrap_err(), message);
    }
    // The range has changed: the Service gets another address.
    let elsewhere = completed(&json!({}), Some(&before), &mut pool(&["10.97.0.0/16"])).unwrap();
    assert!(elsewhere.spec.unwrap().cluster_ip.unwrap().starts_with("10.97."));
    // A Service that had no address gets one.
    let external =
        completed(&json!({"type": "ExternalName", "externalName": "a", "ports": []}), None, &mut pool(&DUAL))
            .unwrap();
    assert!(
        completed(&json!({}), Some(&external), &mut pool(&DUAL)).unwrap().spec.unwrap().cluster_ip.is_some()
    );
    let none = changed(&json!({"type": "ExternalName", "externalName": "a"})).unwrap();
    assert_eq!(none.spec.unwrap().cluster_ip, None);
}

#[test]
fn what_is_taken_or_elsewhere_is_refused() {
    let mut full = pool(&DUAL);
    full.ips.insert("10.96.0.7".parse().unwrap(), "shop/db".to_owned());
    full.node_ports.insert((30080, "TCP".to_owned()), "shop/db".to_owned());
    full.taken_by = &|port, _| (port == 30081).then(|| "nginx (pid 7)".to_owned());
    for (spec, message) in [
        (
            json!({"clusterIP": "10.96.0.7"}),
            "spec.clusterIP: 10.96.0.7 is already the address of Service shop/db",
        ),
        (
            json!({"clusterIP": "10.0.0.7"}),
            "spec.clusterIP: 10.0.0.7 is not in the range of this instance, 10.96.0.0/16",
        ),
        (
            json!({"clusterIP": "10.96.0.1"}),
            "spec.clusterIP: 10.96.0.1 is not in the range of this instance, 10.96.0.0/16",
        ),
        (
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}),
            "spec.ports[0].nodePort: 30080/TCP is already the NodePort of Service shop/db",
        ),
        (
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30081}]}),
            "spec.ports[0].nodePort: 30081/TCP is taken on this machine by nginx (pid 7)",
        ),
    ] {
        assert_eq!(completed(&spec, None, &mut full).unwrap_err(), message);
    }
    let udp = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080, "protocol": "UDP"}]});
    assert!(completed(&udp, None, &mut full).is_ok());
}

#[test]
fn addresses_and_ports_are_never_given_twice() {
    let mut pool = pool(&["10.96.0.0/28"]);
    let one = |name: usize, pool: &mut Pool<'_>| {
        let mut service = service(&json!({"type": "NodePort"}));
        service.metadata.name = Some(format!("s{name}"));
        complete(service, None, pool)
    };
    let mut ips = Vec::new();
    let mut ports = Vec::new();
    for name in 0..13 {
        let spec = one(name, &mut pool).unwrap().spec.unwrap();
        ips.push(spec.cluster_ip.unwrap());
        ports.push(spec.ports.unwrap()[0].node_port.unwrap());
    }
    ips.sort();
    ips.dedup();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((ips.len(), ports.len()), (13, 13));
    assert_eq!(one(99, &mut pool).unwrap_err().message, "all addresses of the range 10.96.0.0/28 are taken");
}

#[test]
fn one_port_of_two_protocols_has_one_node_port() {
    let spec = json!({"type": "NodePort", "ports": [
        {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53},
    ]});
    let service = completed(&spec, None, &mut pool(&DUAL)).unwrap();
    let ports = service.spec.unwrap().ports.unwrap();
    assert_eq!(ports[0].node_port, ports[1].node_port);
    assert!(ports[0].node_port.is_some());
}

#[test]
fn a_load_balancer_may_do_without_node_ports() {
    let spec = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false});
    let service = completed(&spec, None, &mut pool(&DUAL)).unwrap();
    assert_eq!(service.spec.unwrap().ports.unwrap()[0].node_port, None);
}
