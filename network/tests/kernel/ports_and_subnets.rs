//! Ports, subnets and addresses are used by one endpoint or network at a time.

use std::net::{IpAddr, TcpListener};
use std::process::Child;

use network::{Addresses, Attachment, Endpoint, Error, Network, NetworkOptions};

use crate::instance::{Instance, answer, free_port, get, inside, port, resolve, run, serve};

#[test]
fn a_taken_port_is_refused_with_the_name_of_who_has_it_before_anything_is_made() {
    let (one, other) = (Instance::new(), Instance::new());
    let mut a = one.endpoint("web");
    let host_port = free_port();
    a.ports = vec![port(None, host_port, 80, "tcp")];
    one.setup(&a);
    // The port belongs to another instance on this host, which has no socket for it.
    let mut b = other.endpoint("late");
    b.ports = a.ports.clone();
    let whose = one.dirs().0;
    let said = format!("port tcp/{host_port} of the host is taken by pod web, of {}", whose.display());
    assert_eq!(other.networks().check_ports(&b.id, &[], &b.ports).unwrap_err().to_string(), said);
    assert_eq!(other.try_setup(&b).unwrap_err(), said);
    assert!(other.networks().list().unwrap().is_empty(), "nothing was made");
    assert_eq!(other.leftovers(), [""; 0]);
    // The port belongs to a process.
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    b.ports = vec![port(None, held.local_addr().unwrap().port(), 80, "tcp")];
    let e = other.try_setup(&b).unwrap_err();
    assert!(e.ends_with(&format!(", pid {}", std::process::id())), "{e}");
    // A released port can be used again.
    one.teardown("web");
    b.ports = a.ports;
    other.setup(&b);
}

#[test]
fn a_network_is_forgotten_for_the_endpoint_that_it_was_made_for_unless_another_is_on_it() {
    let one = Instance::new();
    let networks = one.networks();
    let names = || networks.list().unwrap().into_iter().map(|network| network.name).collect::<Vec<_>>();
    let on = |id: &str, network: &str| {
        let attachment = Attachment { network: network.to_owned(), ips: Vec::new(), mac: None };
        Endpoint { attachments: vec![attachment], ..one.endpoint(id) }
    };
    networks.create("given", &NetworkOptions::default()).unwrap();
    for (id, network) in [("a", "given"), ("b", "own"), ("c", "shared"), ("d", "shared")] {
        one.setup(&on(id, network));
    }
    for id in ["a", "b", "c"] {
        one.teardown(id);
    }
    let forget = |names: &[&str]| {
        let ids: Vec<String> = names.iter().map(|name| one.id(name)).collect();
        networks.remove_made_for(&ids.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    };
    forget(&["x", "d"]);
    assert_eq!(names(), ["given", "own", "shared"]);
    forget(&["a", "b", "c"]);
    assert_eq!(names(), ["given", "shared"]);
    one.teardown("d");
    forget(&["c"]);
    assert_eq!(names(), ["given"]);
}

#[test]
fn a_port_whose_pod_vanished_is_free() {
    let (one, other) = (Instance::new(), Instance::new());
    let mut a = one.endpoint("gone");
    a.ports = vec![port(None, free_port(), 80, "tcp")];
    one.setup(&a);
    network::remove_netns(&a.netns).unwrap();
    other.networks().check_ports("x", &[], &a.ports).unwrap();
}

#[test]
fn ten_endpoints_at_once_get_addresses_of_their_own() {
    let instance = Instance::new();
    let endpoints: Vec<Endpoint> = (0..10).map(|i| instance.endpoint(&format!("p{i}"))).collect();
    let children: Vec<Child> = endpoints
        .iter()
        .map(|e| instance.command("setup", &serde_json::to_string(e).unwrap()).spawn().unwrap())
        .collect();
    let mut ips: Vec<IpAddr> = Vec::new();
    for child in children {
        let text = answer(&child.wait_with_output().unwrap()).unwrap();
        ips.extend(serde_json::from_str::<Addresses>(&text).unwrap().ips);
    }
    assert_eq!(ips.len(), 20);
    let server = instance.network("kube").subnets[0].gateway;
    for i in 0..10 {
        assert_eq!(resolve(server, &format!("p{i}"), 4).len(), 1, "p{i}");
    }
    ips.sort();
    ips.dedup();
    assert_eq!(ips.len(), 20);
    // All of them leave at the same time, while one more joins.
    let late = instance.endpoint("late");
    let mut children: Vec<Child> =
        endpoints.iter().map(|e| instance.command("teardown", &e.id).spawn().unwrap()).collect();
    children.push(instance.command("setup", &serde_json::to_string(&late).unwrap()).spawn().unwrap());
    for child in children {
        answer(&child.wait_with_output().unwrap()).unwrap();
    }
    assert_eq!(instance.networks().leases().unwrap(), std::slice::from_ref(&late.id));
    serve(&late.netns, 80, "late");
    let ips = instance.setup(&late).ips;
    assert_eq!(get((ips[0], 80)).unwrap(), "late");
    instance.teardown("late");
    assert_eq!(instance.leftovers(), [""; 0]);
}

#[test]
fn instances_side_by_side_share_no_subnet_and_no_bridge() {
    let instances: Vec<Instance> = (0..4).map(|_| Instance::new()).collect();
    let children: Vec<Child> = instances
        .iter()
        .map(|i| i.command("setup", &serde_json::to_string(&i.endpoint("a")).unwrap()).spawn().unwrap())
        .collect();
    for child in children {
        answer(&child.wait_with_output().unwrap()).unwrap();
    }
    let networks: Vec<Network> = instances.iter().map(|i| i.network("kube")).collect();
    for (i, a) in networks.iter().enumerate() {
        for b in &networks[..i] {
            assert_ne!(a.bridge, b.bridge);
            for (x, y) in a.subnets.iter().flat_map(|x| b.subnets.iter().map(move |y| (x, y))) {
                assert!(!x.subnet.contains(&y.subnet) && !y.subnet.contains(&x.subnet));
            }
        }
    }
}

#[test]
fn an_address_and_a_mac_can_be_asked_for() {
    let instance = Instance::new();
    let networks = instance.networks();
    let options = NetworkOptions { ipv6: true, ..NetworkOptions::default() };
    let lab = networks.create("lab", &options).unwrap();
    let ip: IpAddr = match lab.subnets[0].subnet.network() {
        IpAddr::V4(v4) => std::net::Ipv4Addr::from(u32::from(v4) + 77).into(),
        IpAddr::V6(_) => unreachable!(),
    };
    let mut a = instance.endpoint("a");
    let mac = Some("02:42:ac:11:00:4d".to_owned());
    a.attachments = vec![Attachment { network: "lab".to_owned(), ips: vec![ip], mac }];
    assert_eq!(instance.setup(&a).ips[0], ip);
    assert!(inside(&a.netns, || run("ip", &["-o", "link"])).contains("02:42:ac:11:00:4d"));
    let mut b = instance.endpoint("b");
    b.attachments = vec![Attachment { network: "lab".to_owned(), ips: vec![ip], mac: None }];
    assert_eq!(instance.try_setup(&b).unwrap_err(), format!("{ip} of network `lab` belongs to a"));
    assert!(matches!(networks.remove("lab"), Err(Error::NetworkInUse { by, .. }) if by == ["a"]));
    instance.teardown("a");
    instance.setup(&b);
    instance.teardown("b");
    networks.remove("lab").unwrap();
    assert!(networks.list().unwrap().is_empty());
}

#[test]
fn a_chosen_subnet_moves_when_the_host_gets_a_route_there() {
    let instance = Instance::new();
    let a = instance.endpoint("a");
    let before = instance.setup(&a);
    instance.teardown("a");
    let subnet = instance.network("kube").subnets[0].subnet;
    let IpAddr::V4(base) = subnet.network() else { panic!() };
    // A VPN adds such a route.
    let link = format!("kt{:x}", std::process::id());
    run("ip", &["link", "add", &link, "type", "bridge"]);
    run("ip", &["link", "set", &link, "up"]);
    run("ip", &["route", "add", &format!("{base}/25"), "dev", &link, "table", "4242"]);
    let after = instance.try_setup(&a);
    run("ip", &["link", "del", &link]);
    assert!(!subnet.contains(&after.unwrap().ips[0]));
    assert!(subnet.contains(&before.ips[0]));
}

#[test]
fn a_thousand_ports_are_published_at_once() {
    let instance = Instance::new();
    // The host is a separate namespace, but claims belong to the machine, so the ports are ones that no other test
    // uses.
    let host = instance.endpoint("host").netns;
    let mut web = instance.endpoint("web");
    web.ports = (0..1000).map(|n| port(None, 30_000 + n, 1_000 + n, "tcp")).collect();
    instance.try_setup_on(&host, &web).unwrap();
    for n in [0, 999] {
        serve(&web.netns, 1_000 + n, "one of many");
        let page = inside(&host, || get(([127, 0, 0, 1], 30_000 + n)));
        assert_eq!(page.unwrap(), "one of many", "{n}");
    }
    inside(&host, || instance.teardown("web"));
}
