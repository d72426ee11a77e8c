//! What a change of Services leaves alone, what a crash or another program does to them, and who has which port.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};

use network::NODE_PORTS;
use network::service::{Protocol, Service, ServicePort};
use serde_json::Value;

use crate::instance::{free_port, inside, port, run};
use crate::neighbours::ip;
use crate::services::{PORT, Pod, TARGET, World, ask_tcp, serve_name};

/// The steps of a change at which a process may be killed.
const STEPS: [&str; 7] = [
    "service-ports-claimed",
    "services-recorded",
    "services-device-made",
    "services-routed",
    "services-in-place",
    "service-flows-forgotten",
    "services-done",
];

/// The steps of the removal of all Services.
const STEPS_OF_REMOVAL: [&str; 5] = [
    "services-recorded",
    "services-rules-removed",
    "services-device-removed",
    "service-ports-released",
    "services-record-removed",
];

fn table(world: &World) -> String {
    let name = inside(&world.lan.host, || run("nft", &["list", "tables"]));
    let line = name.lines().find(|line| line.contains("kube-s")).unwrap_or_default().to_owned();
    line.split(' ').next_back().unwrap_or_default().to_owned()
}

/// Returns the table of Services in an order that does not depend on how it came about.
fn listing(world: &World) -> Value {
    let text = inside(&world.lan.host, || run("nft", &["-j", "list", "table", "inet", &table(world)]));
    let mut listing: Value = serde_json::from_str(&text).unwrap();
    let objects = listing["nftables"].as_array_mut().unwrap();
    objects.retain(|object| object.get("metainfo").is_none());
    for object in objects.iter_mut() {
        for value in object.as_object_mut().unwrap().values_mut() {
            let value = value.as_object_mut().unwrap();
            value.remove("handle");
            if let Some(elements) = value.get_mut("elem").and_then(Value::as_array_mut) {
                elements.sort_by_key(ToString::to_string);
            }
        }
    }
    // The rules of one chain stay in their order.
    objects.sort_by_key(|object| match object.get("rule") {
        Some(rule) => format!("rule {}", rule["chain"]),
        None => object.to_string(),
    });
    listing
}

fn with_node_port(world: &World, endpoints: &[&Pod], node_port: u16) -> Service {
    let mut service = world.service(1, endpoints);
    service.ports[0].node_port = Some(node_port);
    service
}

fn is_reached(world: &World, service: &Service) -> bool {
    service.cluster_ips.iter().all(|ip| {
        inside(&world.lan.host, || ask_tcp(SocketAddr::new(*ip, PORT)))
            .is_ok_and(|seen| seen.starts_with("web "))
    })
}

/// Runs a change of Services that is killed at a step; returns false if it does not reach it.
fn crash(world: &World, services: &[Service], step: &str) -> bool {
    let dir = world.instance.dir.path();
    let reached = dir.join("reached");
    let _ = std::fs::remove_file(&reached);
    let mut change = world.instance.command("services", &serde_json::to_string(services).unwrap());
    change.env("KUBE_FAIL_POINT", format!("{step}:kill:0:{}", reached.display()));
    inside(&world.lan.host, || change.output().unwrap());
    reached.exists()
}

#[test]
fn a_change_that_is_killed_at_any_step_is_finished_by_the_next_check_or_the_next_change() {
    for step in STEPS {
        for by_repair in [true, false] {
            let world = World::new();
            let web = world.server("web", "");
            let service = with_node_port(&world, &[&web], free_port());
            assert!(crash(&world, std::slice::from_ref(&service), step), "{step} is not reached");
            if by_repair {
                world.repair();
                if step == "service-ports-claimed" {
                    // Nothing was recorded, so there is nothing to finish.
                    assert_eq!(world.left(), [""; 0], "{step}");
                    continue;
                }
            } else {
                world.set(std::slice::from_ref(&service));
            }
            assert!(is_reached(&world, &service), "{step}, by repair: {by_repair}");
            let whole = listing(&world);
            world.set(&[]);
            world.set(std::slice::from_ref(&service));
            assert_eq!(listing(&world), whole, "{step}");
        }
    }
}

#[test]
fn a_removal_that_is_killed_at_any_step_leaves_nothing_after_the_next_check_or_the_next_change() {
    for step in STEPS_OF_REMOVAL {
        for by_repair in [true, false] {
            let world = World::new();
            let web = world.server("web", "");
            let service = with_node_port(&world, &[&web], free_port());
            world.set(std::slice::from_ref(&service));
            assert!(crash(&world, &[], step), "{step} is not reached");
            if by_repair {
                drop(world.repair());
            } else {
                world.set(&[]);
            }
            assert_eq!(world.left(), [""; 0], "{step}, by repair: {by_repair}");
            let other = World::new();
            other.set(&[with_node_port(&other, &[], service.ports[0].node_port.unwrap())]);
        }
    }
}

#[test]
fn what_other_programs_remove_comes_back_with_the_next_check_and_with_the_next_change() {
    let world = World::new();
    let web = world.server("web", "");
    let service = with_node_port(&world, &[&web], free_port());
    world.set(std::slice::from_ref(&service));
    world.repair();
    let name = table(&world);
    let (whole, range) = (listing(&world), service.cluster_ips[0].to_string());
    let route = |family: &'static str| {
        let routes = run("ip", &[family, "route", "show", "dev", &name]);
        let route = routes
            .lines()
            .find(|line| !line.starts_with("fe80"))
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .to_owned();
        ip(&[family, "route", "del", &route, "dev", &name]);
    };
    let breaks: [(&str, &str, &(dyn Fn() + Sync)); 8] = [
        ("flush ruleset", "rules of Services", &|| drop(run("nft", &["flush", "ruleset"]))),
        ("delete table", "rules of Services", &|| drop(run("nft", &["delete", "table", "inet", &name]))),
        ("flush table", "rules of Services", &|| drop(run("nft", &["flush", "table", "inet", &name]))),
        ("flush chain", "rules of Services", &|| {
            drop(run("nft", &["flush", "chain", "inet", &name, "output"]));
        }),
        ("IPv4 route", "route to the addresses", &|| route("-4")),
        ("IPv6 route", "route to the addresses", &|| route("-6")),
        ("addresses", "route to the addresses", &|| ip(&["addr", "flush", "dev", &name])),
        ("device", "route to the addresses", &|| ip(&["link", "del", &name])),
    ];
    for (what, message, break_it) in breaks {
        for by_repair in [true, false] {
            inside(&world.lan.host, break_it);
            if by_repair {
                let repaired = world.repair();
                assert!(repaired.mended.iter().any(|line| line.contains(message)), "{what}: {repaired:?}");
                assert_eq!(repaired.problems, [""; 0], "{what}");
                assert_eq!(world.repair(), network::Repaired::default(), "{what}: looked at once");
            } else {
                world.set(std::slice::from_ref(&service));
                world.repair();
            }
            assert!(is_reached(&world, &service), "{what}, by repair: {by_repair}, {range}");
            assert_eq!(listing(&world), whole, "{what}");
        }
    }
}

#[test]
fn a_damaged_record_is_written_again_and_the_ranges_stay() {
    let world = World::new();
    let web = world.server("web", "");
    let service = with_node_port(&world, &[&web], free_port());
    world.set(std::slice::from_ref(&service));
    let (whole, ranges) = (listing(&world), world.service_ips(0));
    let (root, run_dir) = world.instance.dirs();
    for file in
        [root.join("service-ranges.json"), run_dir.join("services.json"), run_dir.join("services-done.json")]
    {
        for damage in ["", "{", "[]"] {
            std::fs::write(&file, damage).unwrap();
            world.repair();
            world.set(std::slice::from_ref(&service));
            assert_eq!(listing(&world), whole, "{} {damage}", file.display());
            assert_eq!(world.service_ips(0), ranges);
            assert!(is_reached(&world, &service));
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        world.set(std::slice::from_ref(&service));
        assert_eq!(listing(&world), whole, "{}", file.display());
        assert_eq!(world.repair().problems, [""; 0]);
    }
}

#[test]
fn services_without_pods_are_repaired_too() {
    let world = World::new();
    let hosts = crate::neighbours::HOST;
    for address in hosts {
        serve_name(&world.lan.host, SocketAddr::new(address, TARGET), "web");
    }
    let mut service = world.service(1, &[]);
    service.ports[0].endpoints = hosts.iter().map(|address| SocketAddr::new(*address, TARGET)).collect();
    world.set(std::slice::from_ref(&service));
    assert!(is_reached(&world, &service));
    inside(&world.lan.host, || run("nft", &["flush", "ruleset"]));
    world.repair();
    assert!(is_reached(&world, &service));
}

#[test]
fn without_services_nothing_is_left() {
    let world = World::new();
    assert_eq!(world.left(), [""; 0], "nothing without Services");
    let web = world.server("web", "");
    world.set(&[with_node_port(&world, &[&web], free_port())]);
    assert!(!world.left().is_empty());
    world.teardown(&["web"]);
    world.set(&[]);
    assert_eq!(world.left(), [""; 0]);
    let (_, run_dir) = world.instance.dirs();
    let files =
        std::fs::read_dir(run_dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.filter(|file| file.contains("service")).collect::<Vec<_>>(), [""; 0]);
    // A headless Service needs no rules either.
    let mut headless = world.service(1, &[]);
    headless.cluster_ips.clear();
    world.set(&[headless]);
    assert_eq!(world.left(), [""; 0]);
}

#[test]
fn a_network_that_is_new_after_the_services_reaches_them() {
    let world = World::new();
    let web = world.server("web", "");
    let service = world.service(1, &[&web]);
    world.set(std::slice::from_ref(&service));
    let late = world.pod("late", "late");
    for ip in &service.cluster_ips {
        assert!(
            inside(&late.netns, || ask_tcp(SocketAddr::new(*ip, PORT))).unwrap().starts_with("web "),
            "{ip}"
        );
    }
}

/// Returns the handles of the rules of each chain.
fn handles(world: &World) -> BTreeSet<(String, u64)> {
    let text = inside(&world.lan.host, || run("nft", &["-j", "list", "table", "inet", &table(world)]));
    let listing: Value = serde_json::from_str(&text).unwrap();
    let rules = listing["nftables"].as_array().unwrap().iter().filter_map(|object| object.get("rule"));
    rules.map(|rule| (rule["chain"].as_str().unwrap().to_owned(), rule["handle"].as_u64().unwrap())).collect()
}

#[test]
fn a_change_of_one_service_touches_only_its_own_rules() {
    let world = World::new();
    let services = |endpoints: usize| -> Vec<Service> {
        let endpoint = |n: usize| SocketAddr::new(format!("10.200.0.{}", n + 1).parse().unwrap(), TARGET);
        let of = |n: u16, count: usize| {
            let mut service = world.service(n, &[]);
            service.ports[0].endpoints = (0..count).map(endpoint).collect();
            service
        };
        vec![of(1, 3), of(2, endpoints), of(3, 1)]
    };
    world.set(&services(2));
    let before = handles(&world);
    world.set(&services(5));
    let after = handles(&world);
    let changed: BTreeSet<&str> =
        before.symmetric_difference(&after).map(|(chain, _)| chain.as_str()).collect();
    assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["port/default/web2/tcp/80"]);
    // The same once more changes nothing.
    world.set(&services(5));
    assert_eq!(handles(&world), after);
}

/// A generator of numbers that is the same in each run (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn is(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// Returns some Services, with ports that are this test's own.
fn any_services(world: &World, numbers: &mut Numbers, base: u16) -> Vec<Service> {
    let mut services = Vec::new();
    for n in 0..6_u16 {
        if numbers.is(3) {
            continue;
        }
        let mut ips = world.service_ips(10 + n + 10 * u16::try_from(numbers.below(2)).unwrap());
        ips.truncate(usize::try_from(numbers.below(3)).unwrap());
        let mut ports = Vec::new();
        for (k, protocol) in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().enumerate() {
            if numbers.is(2) {
                continue;
            }
            let endpoint = |numbers: &mut Numbers| -> SocketAddr {
                let last = numbers.below(6);
                let ip = if numbers.is(2) { format!("10.9.8.{last}") } else { format!("fd00:9::{last}") };
                SocketAddr::new(ip.parse().unwrap(), TARGET)
            };
            let number = base + n * 8 + u16::try_from(k).unwrap();
            ports.push(ServicePort {
                protocol,
                port: number,
                node_port: (!numbers.is(3)).then_some(number + 4),
                load_balancer: numbers.is(4),
                endpoints: (0..numbers.below(5)).map(|_| endpoint(numbers)).collect(),
            });
        }
        let external = ["198.51.100.7", "2001:db8:1::7"].map(|ip| ip.parse::<IpAddr>().unwrap());
        services.push(Service {
            name: format!("ns-{}/svc-{n}", n % 2),
            cluster_ips: ips,
            external_ips: if numbers.is(4) { external.to_vec() } else { Vec::new() },
            affinity: numbers.is(3).then(|| u32::try_from(60 * (1 + numbers.below(3))).unwrap()),
            ports,
        });
    }
    services
}

#[test]
fn changes_one_after_another_lead_to_the_same_rules_as_writing_them_whole() {
    let world = World::new();
    // The networks of endpoints, which need not exist.
    let options = network::NetworkOptions {
        subnets: vec!["10.9.8.0/24".parse().unwrap(), "fd00:9::/64".parse().unwrap()],
        ..network::NetworkOptions::default()
    };
    inside(&world.lan.host, || world.instance.networks().create("given", &options).unwrap());
    let mut numbers = Numbers(7);
    let base = 20_000 + u16::try_from(std::process::id() % 9_000).unwrap();
    for round in 0..25 {
        let services = any_services(&world, &mut numbers, base);
        world.try_set(&services).unwrap();
        if table(&world).is_empty() {
            continue;
        }
        let changed = listing(&world);
        inside(&world.lan.host, || run("nft", &["delete", "table", "inet", &table(&world)]));
        world.try_set(&services).unwrap();
        assert_eq!(listing(&world), changed, "round {round}: {services:#?}");
    }
}

#[test]
fn a_port_that_others_have_makes_a_service_wait_and_the_rest_runs() {
    let (world, other) = (World::new(), World::new());
    let web = world.server("web", "");
    let held = inside(&world.lan.host, || TcpListener::bind("0.0.0.0:0").unwrap());
    let held_port = held.local_addr().unwrap().port();
    let (published, free) = (free_port(), free_port());
    let mut pod = other.instance.endpoint("pod");
    pod.ports = vec![port(None, published, 80, "tcp")];
    other.instance.try_setup_on(&other.lan.host, &pod).unwrap();
    let mut services = vec![world.service(1, &[&web]), world.service(2, &[&web]), world.service(3, &[&web])];
    services[0].ports[0].node_port = Some(held_port);
    services[1].ports[0].node_port = Some(published);
    services[2].ports[0].node_port = Some(free);
    services[1].ports[1].node_port = Some(free);
    let pending = world.try_set(&services).unwrap();
    let whose = other.instance.dirs().0;
    let told: Vec<(&str, u16, String)> =
        pending.iter().map(|p| (p.service.as_str(), p.host_port, p.taken_by.clone())).collect();
    let me = std::fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!(told[1], ("default/web2", published, format!("pod pod, of {}", whose.display())));
    assert_eq!((told[0].0, told[0].1), ("default/web1", held_port));
    assert!(told[0].2.ends_with(&format!(", pid {}", std::process::id())), "{told:?} {me}");
    assert_eq!(told.len(), 2, "{told:?}");
    for service in &services {
        assert!(is_reached(&world, service), "{}", service.name);
    }
    let gateway = SocketAddr::new(web.gateways[0], free);
    assert!(inside(&world.lan.host, || ask_tcp(gateway)).is_ok());
    // A pod gets no port of a Service, of this instance or of another one.
    let mut late = other.instance.endpoint("late");
    late.ports = vec![port(None, free, 80, "tcp")];
    let e = other.instance.try_setup_on(&other.lan.host, &late).unwrap_err();
    let whose = world.instance.dirs().0;
    assert_eq!(
        e,
        format!("port tcp/{free} of the host is taken by Service default/web3, of {}", whose.display())
    );
    let e = world.instance.try_setup_on(&world.lan.host, &late).unwrap_err();
    assert_eq!(e, format!("port tcp/{free} of the host is taken by Service default/web3"));
    // Neither does another Service, and the one that has the port keeps it.
    services[0].ports[0].node_port = Some(free);
    let pending = world.try_set(&services).unwrap();
    assert_eq!(pending[0].taken_by, "Service default/web3");
    // A port that is given back is taken.
    other.teardown(&["pod"]);
    services[0].ports[0].node_port = None;
    assert_eq!(world.try_set(&services).unwrap(), []);
    assert!(inside(&world.lan.host, || ask_tcp(SocketAddr::new(web.gateways[0], published))).is_ok());
    services.clear();
    world.set(&services);
    other.instance.try_setup_on(&other.lan.host, &late).unwrap();
}

#[test]
fn who_has_a_port_is_told_unless_it_is_a_service_of_the_instance_itself() {
    let (world, other) = (World::new(), World::new());
    let base = 31_000 + u16::try_from(std::process::id() % 1_000).unwrap();
    assert!(NODE_PORTS.contains(&base));
    let mut pod = other.instance.endpoint("pod");
    pod.ports = vec![port(None, base, 80, "udp")];
    other.instance.try_setup_on(&other.lan.host, &pod).unwrap();
    for (world, number) in [(&other, base + 1), (&world, base + 2)] {
        let mut service = world.service(1, &[]);
        service.ports[0].node_port = Some(number);
        world.set(&[service]);
    }
    let _held = inside(&world.lan.host, || TcpListener::bind(("0.0.0.0", base + 3)).unwrap());
    let who = |protocol, n: u16| {
        inside(&world.lan.host, || world.instance.networks().who_has_port(protocol, base + n).unwrap())
    };
    let whose = other.instance.dirs().0;
    assert_eq!(who(Protocol::Udp, 0), Some(format!("pod pod, of {}", whose.display())));
    assert_eq!(who(Protocol::Tcp, 1), Some(format!("Service default/web1, of {}", whose.display())));
    assert_eq!(who(Protocol::Tcp, 2), None, "that of its own Service");
    assert!(who(Protocol::Tcp, 3).is_some_and(|who| who.ends_with(&format!(", pid {}", std::process::id()))));
    for (protocol, n) in [(Protocol::Tcp, 0), (Protocol::Udp, 1), (Protocol::Udp, 3), (Protocol::Sctp, 1)] {
        assert_eq!(who(protocol, n), None, "{protocol:?} {n}");
    }
}

#[test]
fn the_ranges_of_services_are_chosen_once_and_collide_with_nothing() {
    let (world, other) = (World::new(), World::new());
    let ranges =
        |world: &World| inside(&world.lan.host, || world.instance.networks().service_ranges().unwrap());
    let first = ranges(&world);
    assert!(first[0].addr().is_ipv4() && first[1].addr().is_ipv6() && first.len() == 2);
    assert_eq!(ranges(&world), first);
    world.pod("web", "");
    let mut nets = ranges(&other);
    nets.extend(world.instance.network("kube").subnets.iter().map(|subnet| subnet.subnet));
    for net in &nets {
        for range in &first {
            assert!(!net.contains(&range.network()) && !range.contains(&net.network()), "{net} {range}");
        }
    }
    let taken = network::NetworkOptions { subnets: vec![first[0]], ..Default::default() };
    let e = inside(&world.lan.host, || world.instance.networks().create("taken", &taken)).unwrap_err();
    assert!(matches!(e, network::Error::SubnetTaken { .. }), "{e}");
    // A VPN takes the range while nothing uses it.
    let vpn = |host: &std::path::Path| {
        inside(host, || {
            ip(&["route", "add", &first[0].to_string(), "via", "192.0.2.2"]);
        });
    };
    vpn(&world.lan.host);
    assert_eq!(ranges(&world), first, "pods may have routes to it");
    world.teardown(&["web"]);
    let moved = ranges(&world);
    assert_ne!(moved[0], first[0]);
    world.set(&[world.service(1, &[])]);
    assert_eq!(ranges(&world), moved);
}
