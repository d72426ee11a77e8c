use super::*;
use crate::dns::config::{NamedEndpoint, ServedNetwork};
use crate::names::Names;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(name: &str, subnets: &[&str]) -> ServedNetwork {
    let subnets = subnets.iter().map(|subnet| {
        let subnet: IpNet = subnet.parse().unwrap();
        Subnet { subnet, gateway: crate::subnet::gateway(&subnet) }
    });
    ServedNetwork { name: name.to_owned(), internal: name == "inner", subnets: subnets.collect() }
}

fn endpoint(name: &str, ips: &[(usize, &[&str])]) -> NamedEndpoint {
    let all = [name.to_owned(), format!("{name}.default"), format!("{name}.default.svc")];
    let full = format!("{name}.default.svc.{CLUSTER_DOMAIN}");
    let on = |(network, ips): &(usize, &[&str])| (*network, ips.iter().map(|text| ip(text)).collect());
    NamedEndpoint { names: all.into_iter().chain([full]).collect(), ips: ips.iter().map(on).collect() }
}

fn service(name: &str, records: Vec<Record>) -> (String, Vec<Record>) {
    (format!("{name}.default.svc.{CLUSTER_DOMAIN}"), records)
}

fn address(text: &str) -> Record {
    Record::Address(ip(text))
}

/// Two networks, of which `inner` is internal; `both` is on both.
fn zone() -> Zone {
    let endpoints = Endpoints {
        networks: vec![
            network("kube", &["10.88.0.0/16", "fd00:88::/64"]),
            network("inner", &["10.89.0.0/24"]),
        ],
        endpoints: vec![
            endpoint("web", &[(0, &["10.88.0.2", "fd00:88::2"])]),
            endpoint("db", &[(1, &["10.89.0.2"])]),
            endpoint("both", &[(0, &["10.88.0.3"]), (1, &["10.89.0.3"])]),
        ],
    };
    let names = Names::from([
        service("api", vec![address("10.96.0.10")]),
        service("sites", vec![address("10.88.0.2"), address("10.88.0.3")]),
        service("a.sites", vec![address("10.88.0.2")]),
        service("empty", vec![]),
        service("both", vec![address("10.96.0.11")]),
        service("_http._tcp.api", vec![Record::Port { port: 80, target: "api.default.svc".to_owned() }]),
    ]);
    Zone::new(endpoints, Services { ranges: vec!["10.96.0.0/16".parse().unwrap()], names })
}

/// Looks up a name as a client that asks at the gateway of the network `kube`.
fn found<'a>(zone: &'a Zone, client: &str, name: &str) -> Found<'a> {
    zone.view(ip(client), ip("10.88.0.1")).unwrap().look_up(name).found
}

const WEB: &str = "10.88.0.2";
const DB: &str = "10.89.0.2";
const BOTH: &str = "10.88.0.3";
const HOST: &str = "10.88.0.1";

#[test]
fn an_endpoint_has_all_of_its_names_with_and_without_the_domain() {
    let zone = zone();
    let expected = Found::Endpoint(vec![ip("10.88.0.2"), ip("fd00:88::2")]);
    for name in [
        "web",
        "web.default",
        "web.default.svc",
        "web.default.svc.cluster.local",
        "web.cluster.local",
        "web.default.cluster.local",
    ] {
        for client in [WEB, BOTH, HOST, "fd00:88::2"] {
            assert_eq!(found(&zone, client, name), expected, "{name} for {client}");
        }
    }
}

#[test]
fn endpoints_are_seen_on_their_networks_only() {
    let zone = zone();
    assert_eq!(found(&zone, WEB, "db.default.svc.cluster.local"), Found::NoSuchName);
    assert_eq!(found(&zone, WEB, "db"), Found::Elsewhere);
    // Whoever is on both sees both, whichever gateway is asked.
    assert_eq!(found(&zone, BOTH, "db"), Found::Endpoint(vec![ip(DB)]));
    assert_eq!(found(&zone, BOTH, "web.default"), found(&zone, WEB, "web"));
    // The host sees the network of the gateway.
    let at = |gateway: &str| zone.view(ip(gateway), ip(gateway)).unwrap().look_up("db").found;
    assert_eq!((at("10.88.0.1"), at("10.89.0.1")), (Found::Elsewhere, Found::Endpoint(vec![ip(DB)])));
}

#[test]
fn an_address_that_is_no_gateway_serves_nobody() {
    assert!(zone().view(ip(WEB), ip("10.88.0.9")).is_none());
}

#[test]
fn services_are_seen_from_every_network() {
    let zone = zone();
    for client in [WEB, DB, BOTH, HOST, "192.0.2.1"] {
        for name in ["api.default.svc.cluster.local", "api.default.svc"] {
            assert_eq!(found(&zone, client, name), Found::Service(&[address("10.96.0.10")]), "{name}");
        }
    }
}

#[test]
fn a_service_comes_before_an_endpoint_of_the_same_name() {
    let zone = zone();
    let service = Found::Service(&[address("10.96.0.11")]);
    assert_eq!(found(&zone, WEB, "both.default.svc.cluster.local"), service);
    assert_eq!(found(&zone, WEB, "both.default.svc"), service);
    // Names that no Service has stay those of the endpoint.
    assert_eq!(found(&zone, WEB, "both"), Found::Endpoint(vec![ip(BOTH)]));
    let mut records = Names::new();
    records.insert("web.default.svc.cluster.local".to_owned(), Vec::new());
    let endpoints = Endpoints {
        networks: vec![network("kube", &["10.88.0.0/16"])],
        endpoints: vec![endpoint("web", &[(0, &[WEB])])],
    };
    let zone = Zone::new(endpoints, Services { ranges: Vec::new(), names: records });
    assert_eq!(
        found(&zone, WEB, "web.default.svc.cluster.local"),
        Found::NoData,
        "one without endpoints too"
    );
}

#[test]
fn a_name_that_ends_others_exists_and_has_no_data() {
    let zone = zone();
    for name in [
        "empty.default.svc.cluster.local",
        "default.svc.cluster.local",
        "svc.cluster.local",
        "_tcp.api.default.svc.cluster.local",
        "dns.cluster.local",
    ] {
        assert_eq!(found(&zone, WEB, name), Found::NoData, "{name}");
    }
    for name in ["kube-system.svc.cluster.local", "x.web.default.svc.cluster.local", "pod.cluster.local"] {
        assert_eq!(found(&zone, WEB, name), Found::NoSuchName, "{name}");
    }
}

#[test]
fn everything_below_the_domain_is_ours_and_the_rest_is_not() {
    let zone = zone();
    for name in ["a.cluster.local", "x.y.svc.cluster.local", "web.svc.cluster.local", "a-b.cluster.local"] {
        assert_eq!(found(&zone, WEB, name), Found::NoSuchName, "{name}");
    }
    for name in [
        "",
        "nobody",
        "svc",
        "default.svc",
        "local",
        "xcluster.local",
        "cluster.local.example",
        "www.example.com",
    ] {
        assert_eq!(found(&zone, WEB, name), Found::Elsewhere, "{name}");
    }
}

#[test]
fn the_domain_has_names_of_its_own() {
    let zone = zone();
    assert_eq!(found(&zone, WEB, "cluster.local"), Found::Apex);
    assert_eq!(found(&zone, WEB, "dns-version.cluster.local"), Found::Version("1.1.0"));
    let gateways = Found::NameServer(vec![ip("10.88.0.1"), ip("fd00:88::1")]);
    assert_eq!(found(&zone, WEB, "ns.dns.cluster.local"), gateways);
}

#[test]
fn outside_names_are_for_those_who_have_a_way_out() {
    let zone = zone();
    let leads_out =
        |client: &str, gateway: &str| zone.view(ip(client), ip(gateway)).unwrap().reaches_outside();
    assert!(leads_out(WEB, "10.88.0.1"));
    assert!(leads_out(BOTH, "10.89.0.1"), "it has another network");
    assert!(leads_out("10.89.0.1", "10.89.0.1"), "the host");
    assert!(leads_out("192.0.2.1", "10.89.0.1"), "the host by another address");
    assert!(!leads_out(DB, "10.89.0.1"));
    assert!(!leads_out("10.89.0.77", "10.89.0.1"), "an endpoint that is not known yet");
}

fn pointers(zone: &Zone, client: &str, address: &str) -> Lookup<'static> {
    let name = hickory_proto::rr::Name::from(ip(address)).to_string();
    let view = zone.view(ip(client), ip("10.88.0.1")).unwrap();
    let lookup = view.look_up(name.trim_end_matches('.'));
    let found = match lookup.found {
        // The names outlive the zone for the comparison.
        Found::Pointers(names) => {
            Found::Pointers(names.into_iter().map(|name| &*name.to_owned().leak()).collect())
        }
        Found::NoSuchName => Found::NoSuchName,
        Found::Elsewhere => Found::Elsewhere,
        other => panic!("{other:?}"),
    };
    Lookup { found, zone_labels: lookup.zone_labels }
}

#[test]
fn an_address_has_the_names_of_services_else_that_of_its_endpoint() {
    let zone = zone();
    let names = |client, address| pointers(&zone, client, address).found;
    assert_eq!(names(WEB, "10.96.0.10"), Found::Pointers(vec!["api.default.svc.cluster.local"]));
    // `sites` is the headless Service of the pod, and not the name of this address.
    assert_eq!(names(WEB, WEB), Found::Pointers(vec!["a.sites.default.svc.cluster.local"]));
    assert_eq!(names(WEB, BOTH), Found::Pointers(vec!["sites.default.svc.cluster.local"]));
    assert_eq!(names(WEB, "fd00:88::2"), Found::Pointers(vec!["web.default.svc.cluster.local"]));
    assert_eq!(names(BOTH, DB), Found::Pointers(vec!["db.default.svc.cluster.local"]));
    assert_eq!(names(WEB, DB), Found::NoSuchName, "it is on another network");
}

#[test]
fn reverse_zones_of_our_own_ranges_are_ours() {
    let zone = zone();
    let lookup = |address| pointers(&zone, WEB, address);
    assert_eq!(lookup("10.88.0.99"), Lookup { found: Found::NoSuchName, zone_labels: Some(4) });
    assert_eq!(lookup("10.96.7.7"), Lookup { found: Found::NoSuchName, zone_labels: Some(4) });
    assert_eq!(lookup("fd00:88::99"), Lookup { found: Found::NoSuchName, zone_labels: Some(18) });
    assert_eq!(lookup("10.90.0.1"), Lookup { found: Found::Elsewhere, zone_labels: None });
    assert_eq!(lookup("2001:db8::1"), Lookup { found: Found::Elsewhere, zone_labels: None });
    assert_eq!(found(&zone, WEB, "88.10.in-addr.arpa"), Found::NoData);
    assert_eq!(found(&zone, WEB, "0.88.10.in-addr.arpa"), Found::NoData);
    assert_eq!(found(&zone, WEB, "x.0.88.10.in-addr.arpa"), Found::NoSuchName);
    assert_eq!(found(&zone, WEB, "10.in-addr.arpa"), Found::Elsewhere);
    assert_eq!(found(&zone, WEB, "in-addr.arpa"), Found::Elsewhere);
}

#[test]
fn names_are_kept_in_lower_case() {
    let endpoints = Endpoints {
        networks: vec![network("kube", &["10.88.0.0/16"])],
        endpoints: vec![NamedEndpoint { names: vec!["Web".to_owned()], ips: vec![(0, vec![ip(WEB)])] }],
    };
    let zone = Zone::new(endpoints, Services::default());
    assert_eq!(found(&zone, WEB, "web"), Found::Endpoint(vec![ip(WEB)]));
}

#[test]
fn an_endpoint_without_names_is_a_client_all_the_same() {
    let endpoints = Endpoints {
        networks: vec![network("kube", &["10.88.0.0/16"]), network("inner", &["10.89.0.0/24"])],
        endpoints: vec![
            NamedEndpoint { names: Vec::new(), ips: vec![(0, vec![ip(WEB)]), (1, vec![ip(DB)])] },
            endpoint("db", &[(1, &["10.89.0.3"])]),
        ],
    };
    let zone = Zone::new(endpoints, Services::default());
    assert_eq!(found(&zone, WEB, "db"), Found::Endpoint(vec![ip("10.89.0.3")]));
}

#[test]
fn several_endpoints_may_have_one_name() {
    let endpoints = Endpoints {
        networks: vec![network("kube", &["10.88.0.0/16"])],
        endpoints: vec![endpoint("web", &[(0, &[WEB])]), endpoint("web", &[(0, &[BOTH])])],
    };
    let zone = Zone::new(endpoints, Services::default());
    assert_eq!(found(&zone, WEB, "web"), Found::Endpoint(vec![ip(WEB), ip(BOTH)]));
}

#[test]
fn damaged_files_are_no_danger() {
    let endpoints = Endpoints {
        networks: vec![network("kube", &["10.88.0.0/16"])],
        endpoints: vec![endpoint("web", &[(7, &[WEB]), (0, &[BOTH])])],
    };
    let zone = Zone::new(endpoints, Services::default());
    assert_eq!(found(&zone, BOTH, "web"), Found::Endpoint(vec![ip(BOTH)]));
}
