//! Who reaches a Service, and as whom its endpoints see the client.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use network::service::{Pending, Protocol, Service, ServicePort};
use network::{Addresses, NetworkOptions, Repaired};

use crate::instance::{Instance, answer, free_port, inside, listen, on, run, wait_until};
use crate::neighbours::{HOST, Lan, ip, programs_of};

/// The port of the servers, which is not that of the Services.
pub(crate) const TARGET: u16 = 8080;
/// The port of the Services.
pub(crate) const PORT: u16 = 80;

/// A host with a LAN, whose pods have Services.
pub(crate) struct World {
    pub(crate) instance: Instance,
    pub(crate) lan: Lan,
    /// The PATH of what changes the networks.
    path: Option<std::ffi::OsString>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_path(None)
    }

    fn with_path(path: Option<std::ffi::OsString>) -> Self {
        let instance = Instance::new();
        let lan = Lan::new(&instance);
        Self { instance, lan, path }
    }

    /// Sets a pod up on a network (the default one if the name is empty).
    pub(crate) fn pod(&self, name: &str, network: &str) -> Pod {
        let mut endpoint = self.instance.endpoint(name);
        endpoint.attachments.extend((!network.is_empty()).then(|| on(network)));
        let mut setup = self.instance.command("setup", &serde_json::to_string(&endpoint).unwrap());
        setup.envs(self.path.iter().map(|path| ("PATH", path)));
        let text = answer(&inside(&self.lan.host, || setup.output().unwrap())).unwrap();
        let addresses: Addresses = serde_json::from_str(&text).unwrap();
        Pod {
            name: name.to_owned(),
            netns: endpoint.netns,
            ips: addresses.ips,
            gateways: addresses.dns_servers,
        }
    }

    /// Sets a pod up whose servers tell its name.
    pub(crate) fn server(&self, name: &str, network: &str) -> Pod {
        let pod = self.pod(name, network);
        for ip in &pod.ips {
            serve_name(&pod.netns, SocketAddr::new(*ip, TARGET), name);
        }
        pod
    }

    pub(crate) fn try_set(&self, services: &[Service]) -> Result<Vec<Pending>, String> {
        let mut set = self.instance.command("services", &serde_json::to_string(services).unwrap());
        let output = inside(&self.lan.host, || set.output().unwrap());
        answer(&output).map(|text| serde_json::from_str(&text).unwrap())
    }

    /// Sets the Services, all of whose ports are free.
    pub(crate) fn set(&self, services: &[Service]) {
        assert_eq!(self.try_set(services).unwrap(), []);
    }

    pub(crate) fn repair(&self) -> Repaired {
        let mut look = self.instance.command("repair", "-");
        serde_json::from_str(&answer(&inside(&self.lan.host, || look.output().unwrap())).unwrap()).unwrap()
    }

    /// Returns the n-th addresses of the ranges of Services.
    pub(crate) fn service_ips(&self, n: u16) -> Vec<IpAddr> {
        let ranges = inside(&self.lan.host, || self.instance.networks().service_ranges().unwrap());
        ranges.iter().map(|range| nth(range.network(), n)).collect()
    }

    /// Returns a Service with addresses of both families that forwards TCP and UDP.
    pub(crate) fn service(&self, n: u16, endpoints: &[&Pod]) -> Service {
        Service {
            name: format!("default/web{n}"),
            cluster_ips: self.service_ips(n + 1),
            external_ips: Vec::new(),
            affinity: None,
            ports: vec![service_port(Protocol::Tcp, endpoints), service_port(Protocol::Udp, endpoints)],
        }
    }

    pub(crate) fn teardown(&self, names: &[&str]) {
        for name in names {
            let mut teardown = self.instance.command("teardown", &self.instance.id(name));
            teardown.envs(self.path.iter().map(|path| ("PATH", path)));
            answer(&inside(&self.lan.host, || teardown.output().unwrap())).unwrap();
        }
    }

    /// Returns what there is of Services on the host.
    pub(crate) fn left(&self) -> Vec<String> {
        let found = inside(&self.lan.host, || {
            let links = run("ip", &["-o", "link"]);
            let tables = run("nft", &["list", "tables"]);
            let routes = run("ip", &["route"]) + &run("ip", &["-6", "route"]);
            [links, tables, routes].concat()
        });
        found.lines().filter(|line| line.contains("kube-s")).map(str::to_owned).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.try_set(&[]);
        for id in self.instance.networks().leases().unwrap_or_default() {
            let mut teardown = self.instance.command("teardown", &id);
            inside(&self.lan.host, || teardown.output().unwrap());
        }
    }
}

/// A pod that is set up.
pub(crate) struct Pod {
    name: String,
    pub(crate) netns: PathBuf,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) gateways: Vec<IpAddr>,
}

pub(crate) fn service_port(protocol: Protocol, endpoints: &[&Pod]) -> ServicePort {
    let all = endpoints.iter().flat_map(|pod| &pod.ips).map(|ip| SocketAddr::new(*ip, TARGET));
    ServicePort { protocol, port: PORT, node_port: None, load_balancer: false, endpoints: all.collect() }
}

fn nth(base: IpAddr, n: u16) -> IpAddr {
    match base {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) + u32::from(n)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) + u128::from(n)).into(),
    }
}

/// Starts servers of TCP and UDP that answer with their name and the address of the client.
pub(crate) fn serve_name(netns: &Path, address: SocketAddr, name: &str) {
    let (listener, socket) = inside(netns, || {
        // The kernel treats a new IPv6 address as tentative for a moment.
        wait_until("an address", || UdpSocket::bind((address.ip(), 0)).is_ok());
        (listen(address), UdpSocket::bind(address).unwrap())
    });
    let own = name.to_owned();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut connection = connection;
            let _ = connection.read(&mut [0; 16]);
            let client = connection.peer_addr().unwrap().ip();
            let _ = write!(connection, "{own} {client}");
        }
    });
    let own = name.to_owned();
    std::thread::spawn(move || {
        let mut buffer = [0; 16];
        while let Ok((_, client)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(format!("{own} {}", client.ip()).as_bytes(), client);
        }
    });
}

pub(crate) fn ask_tcp(address: SocketAddr) -> std::io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_millis(1500))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(b"who")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

pub(crate) fn ask_udp(address: SocketAddr) -> std::io::Result<String> {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(1500)))?;
    socket.connect(address)?;
    socket.send(b"who")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

pub(crate) fn ask(protocol: Protocol, address: SocketAddr) -> std::io::Result<String> {
    if protocol == Protocol::Tcp { ask_tcp(address) } else { ask_udp(address) }
}

const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

fn same_family(all: &[IpAddr], as_ip: IpAddr) -> IpAddr {
    *all.iter().find(|ip| ip.is_ipv4() == as_ip.is_ipv4()).unwrap()
}

/// Bridged packets pass the rules for routed ones where the host says so (net.bridge.bridge-nf-call-iptables).
fn filter_bridges(host: &Path, on: bool) {
    let value = if on { "1" } else { "0" };
    for name in ["net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"] {
        // A kernel without br_netfilter never does it.
        let _ = network::set_sysctls(host, &[(name.to_owned(), value.to_owned())]);
    }
}

fn are_bridges_filtered() -> bool {
    std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
        .is_ok_and(|value| value.trim() == "1")
}

#[test]
fn pods_of_every_network_and_the_host_reach_a_service_and_the_endpoint_sees_who_they_are() {
    for bridges_are_filtered in [false, true] {
        let world = World::new();
        filter_bridges(&world.lan.host, bridges_are_filtered);
        let inner = NetworkOptions { internal: true, ipv6: true, ..NetworkOptions::default() };
        inside(&world.lan.host, || world.instance.networks().create("inner", &inner).unwrap());
        let web = world.server("web", "");
        let clients = [world.pod("near", ""), world.pod("far", "other"), world.pod("in", "inner")];
        let service = world.service(1, &[&web]);
        world.set(std::slice::from_ref(&service));
        let first = world.service_ips(1);
        for ip in &service.cluster_ips {
            let to = SocketAddr::new(*ip, PORT);
            for protocol in BOTH {
                for client in &clients {
                    let seen = inside(&client.netns, || ask(protocol, to));
                    let expected = format!("web {}", same_family(&client.ips, *ip));
                    assert_eq!(
                        seen.map_err(|e| e.to_string()),
                        Ok(expected),
                        "{protocol:?} {to} {}",
                        client.name
                    );
                }
                let seen = inside(&web.netns, || ask(protocol, to)).unwrap();
                assert_eq!(
                    seen,
                    format!("web {}", same_family(&web.gateways, *ip)),
                    "{protocol:?}: by itself"
                );
                let seen = inside(&world.lan.host, || ask(protocol, to)).unwrap();
                assert_eq!(seen, format!("web {}", same_family(&first, *ip)), "{protocol:?}: by the host");
            }
        }
    }
}

#[test]
fn an_endpoint_on_an_internal_network_is_reached_from_other_networks_and_from_the_lan() {
    let world = World::new();
    let inner = NetworkOptions { internal: true, ipv6: true, ..NetworkOptions::default() };
    inside(&world.lan.host, || world.instance.networks().create("inner", &inner).unwrap());
    let (db, other, near) = (world.server("db", "inner"), world.pod("far", ""), world.pod("near", "inner"));
    let mut service = world.service(1, &[&db]);
    let node_port = free_port();
    service.ports[0].node_port = Some(node_port);
    world.set(std::slice::from_ref(&service));
    for ip in &service.cluster_ips {
        let to = SocketAddr::new(*ip, PORT);
        for protocol in BOTH {
            let seen = inside(&near.netns, || ask(protocol, to)).unwrap();
            assert_eq!(seen, format!("db {}", same_family(&near.ips, *ip)), "{protocol:?}");
            // The endpoint has no route to others, so the bridge asks for them.
            for client in [&other.netns, &world.lan.host] {
                let seen = inside(client, || ask(protocol, to)).unwrap();
                assert_eq!(seen, format!("db {}", same_family(&db.gateways, *ip)), "{protocol:?}");
            }
        }
    }
    for ip in HOST {
        let to = SocketAddr::new(ip, node_port);
        assert!(inside(&world.lan.neighbour, || ask_tcp(to)).unwrap().starts_with("db "), "{ip}");
        assert!(
            inside(&near.netns, || ask_tcp(to)).is_err() || ip.is_ipv4(),
            "an internal pod has no other routes"
        );
    }
    let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), node_port);
    assert!(inside(&world.lan.host, || ask_tcp(to)).unwrap().starts_with("db "));
}

#[test]
fn a_node_port_is_reached_by_every_address_of_the_host_and_the_endpoint_sees_who_asks() {
    let world = World::new();
    let (web, client) = (world.server("web", ""), world.pod("client", "other"));
    let mut service = world.service(1, &[&web]);
    let (node_port, balanced) = (free_port(), free_port());
    for port in &mut service.ports {
        port.node_port = Some(node_port);
    }
    service.ports[0].port = balanced;
    service.ports[0].load_balancer = true;
    world.set(std::slice::from_ref(&service));
    for (protocol, number) in
        [(Protocol::Tcp, node_port), (Protocol::Udp, node_port), (Protocol::Tcp, balanced)]
    {
        for ip in HOST {
            let to = SocketAddr::new(ip, number);
            let seen = inside(&world.lan.neighbour, || ask(protocol, to)).unwrap();
            let neighbour = if ip.is_ipv4() { "192.0.2.2" } else { "2001:db8::2" };
            assert_eq!(seen, format!("web {neighbour}"), "{protocol:?} {to}: by a neighbour");
            let seen = inside(&client.netns, || ask(protocol, to)).unwrap();
            assert_eq!(seen, format!("web {}", same_family(&client.ips, ip)), "{protocol:?} {to}: by a pod");
            let seen = inside(&web.netns, || ask(protocol, to)).unwrap();
            assert_eq!(
                seen,
                format!("web {}", same_family(&web.gateways, ip)),
                "{protocol:?} {to}: by itself"
            );
            let seen = inside(&world.lan.host, || ask(protocol, to)).unwrap();
            assert_eq!(seen, format!("web {ip}"), "{protocol:?} {to}: by the host");
        }
        let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), number);
        assert!(
            inside(&world.lan.host, || ask(protocol, to)).unwrap().starts_with("web "),
            "{protocol:?} {to}"
        );
        let to = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), number);
        for bridges_are_filtered in [false, true] {
            filter_bridges(&world.lan.host, bridges_are_filtered);
            world.repair();
            let seen = inside(&world.lan.host, || ask(protocol, to));
            if bridges_are_filtered && inside(&world.lan.host, are_bridges_filtered) {
                // There, the kernel keeps ::1 to itself.
                assert_eq!(seen.unwrap_err().kind(), ErrorKind::ConnectionRefused, "{protocol:?} {to}");
            } else {
                let gateway = same_family(&web.gateways, to.ip());
                assert_eq!(seen.unwrap(), format!("web {gateway}"), "{protocol:?} {to}");
            }
        }
    }
}

#[test]
fn a_neighbour_that_routes_the_range_of_services_or_the_loopback_to_us_gets_no_answer() {
    let world = World::new();
    let web = world.server("web", "");
    let mut service = world.service(1, &[&web]);
    let node_port = free_port();
    service.ports[0].node_port = Some(node_port);
    world.set(std::slice::from_ref(&service));
    let mut targets: Vec<SocketAddr> =
        service.cluster_ips.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect();
    targets.extend(world.service_ips(1).iter().map(|ip| SocketAddr::new(*ip, node_port)));
    inside(&world.lan.neighbour, || {
        for to in &targets {
            let via = same_family(&HOST, to.ip()).to_string();
            ip(&["route", "add", &to.ip().to_string(), "via", &via]);
        }
        run("ip", &["link", "set", "lo", "down"]);
        run("ip", &["-4", "addr", "flush", "dev", "lo"]);
        ip(&["route", "add", "127.0.0.0/8", "via", "192.0.2.1", "dev", "lan0"]);
    });
    let sysctls =
        ["all", "lan0"].map(|name| (format!("net.ipv4.conf.{name}.route_localnet"), "1".to_owned()));
    network::set_sysctls(&world.lan.neighbour, &sysctls).unwrap();
    targets.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), node_port));
    for to in targets {
        let tried =
            inside(&world.lan.neighbour, || TcpStream::connect_timeout(&to, Duration::from_millis(500)));
        assert_eq!(tried.unwrap_err().kind(), ErrorKind::TimedOut, "{to}");
    }
}

#[test]
fn a_connection_that_no_endpoint_takes_is_refused_at_once() {
    let world = World::new();
    let client = world.pod("client", "");
    let mut empty = world.service(1, &[]);
    empty.external_ips = vec!["198.51.100.7".parse().unwrap()];
    world.set(&[empty.clone(), world.service(2, &[])]);
    inside(&world.lan.host, || ip(&["route", "add", "198.51.100.0/24", "via", "192.0.2.2"]));
    let mut refused: Vec<SocketAddr> =
        empty.cluster_ips.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect();
    refused.extend(empty.cluster_ips.iter().map(|ip| SocketAddr::new(*ip, 4711)));
    refused.extend(world.service_ips(77).iter().map(|ip| SocketAddr::new(*ip, PORT)));
    refused.extend(empty.external_ips.iter().map(|ip| SocketAddr::new(*ip, PORT)));
    for netns in [&client.netns, &world.lan.host] {
        for to in &refused {
            for protocol in BOTH {
                let since = Instant::now();
                let e = inside(netns, || ask(protocol, *to)).unwrap_err();
                // The kernel says that to a process of the host that sends a datagram.
                let is_refused = e.kind() == ErrorKind::ConnectionRefused
                    || protocol == Protocol::Udp && e.kind() == ErrorKind::PermissionDenied;
                assert!(is_refused, "{protocol:?} {to}: {e}");
                assert!(
                    since.elapsed() < Duration::from_millis(300),
                    "{protocol:?} {to}: {:?}",
                    since.elapsed()
                );
            }
        }
    }
}

#[test]
fn connections_are_spread_over_all_endpoints() {
    let world = World::new();
    let pods = ["a", "b", "c"].map(|name| world.server(name, ""));
    let service = world.service(1, &pods.each_ref());
    world.set(std::slice::from_ref(&service));
    for ip in &service.cluster_ips {
        let names = |_| {
            let seen = inside(&pods[0].netns, || ask_tcp(SocketAddr::new(*ip, PORT))).unwrap();
            seen.split(' ').next().unwrap().to_owned()
        };
        let mut seen: Vec<String> = (0..60).map(names).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, ["a", "b", "c"]);
    }
}

#[test]
fn a_client_stays_with_its_endpoint_while_others_come_and_go() {
    let world = World::new();
    let pods: Vec<Pod> = ["a", "b", "c", "d"].map(|name| world.server(name, "")).into();
    let client = world.pod("client", "");
    let with = |endpoints: &[&Pod]| {
        let mut service = world.service(1, endpoints);
        service.affinity = Some(3600);
        world.set(std::slice::from_ref(&service));
        service.cluster_ips
    };
    for family in [0, 1] {
        let ip = with(&[&pods[0], &pods[1], &pods[2]])[family];
        let name = || {
            let seen = inside(&client.netns, || ask_tcp(SocketAddr::new(ip, PORT))).unwrap();
            seen.split(' ').next().unwrap().to_owned()
        };
        let chosen = name();
        for _ in 0..10 {
            assert_eq!(name(), chosen);
        }
        let own = pods.iter().find(|pod| pod.name == chosen).unwrap();
        // One more, two fewer, and back.
        for endpoints in [vec![own, &pods[3]], vec![own], pods.iter().collect()] {
            with(&endpoints);
            for _ in 0..10 {
                assert_eq!(name(), chosen);
            }
        }
        // Its own endpoint goes: another one takes the client, and keeps it.
        with(&pods.iter().filter(|pod| pod.name != chosen).collect::<Vec<_>>());
        let next = name();
        assert_ne!(next, chosen);
        with(&pods.iter().collect::<Vec<_>>());
        for _ in 0..10 {
            assert_eq!(name(), next);
        }
    }
}

#[test]
fn a_udp_client_that_never_pauses_follows_the_endpoints() {
    let world = World::new();
    let pods = ["a", "b"].map(|name| world.server(name, ""));
    let client = world.pod("client", "");
    let node_port = free_port();
    let with = |endpoints: &[&Pod]| {
        let mut service = world.service(1, endpoints);
        service.ports[1].node_port = Some(node_port);
        world.set(std::slice::from_ref(&service));
        service.cluster_ips
    };
    let ips = with(&[]);
    let gateway = client.gateways[0];
    let mut targets: Vec<(PathBuf, SocketAddr)> =
        ips.iter().map(|ip| (client.netns.clone(), SocketAddr::new(*ip, PORT))).collect();
    targets.push((client.netns.clone(), SocketAddr::new(gateway, node_port)));
    targets.push((world.lan.neighbour.clone(), SocketAddr::new(HOST[0], node_port)));
    targets.push((world.lan.host.clone(), SocketAddr::new(Ipv4Addr::LOCALHOST.into(), node_port)));
    let sockets: Vec<(SocketAddr, UdpSocket)> = targets
        .into_iter()
        .map(|(netns, to)| {
            let any: IpAddr =
                if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = inside(&netns, || UdpSocket::bind((any, 0)).unwrap());
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            inside(&netns, || socket.connect(to).unwrap());
            (to, socket)
        })
        .collect();
    let answers = |socket: &UdpSocket| {
        let _ = socket.send(b"who");
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..length]).split(' ').next().unwrap().to_owned()
    };
    for (_, socket) in &sockets {
        assert_eq!(answers(socket), "", "nobody is there");
    }
    for (pod, name) in [(&pods[0], "a"), (&pods[1], "b"), (&pods[0], "a")] {
        with(&[pod]);
        for (to, socket) in &sockets {
            // An answer of the former endpoint may still be on its way.
            let _ = answers(socket);
            wait_until("an answer", || answers(socket) == name);
            assert_eq!(answers(socket), name, "{to}");
        }
    }
}

#[test]
fn endpoints_on_the_host_and_on_other_machines_are_reached() {
    let world = World::new();
    let client = world.pod("client", "");
    for address in HOST {
        serve_name(&world.lan.host, SocketAddr::new(address, TARGET), "host");
    }
    let elsewhere: [IpAddr; 2] = ["192.0.2.2".parse().unwrap(), "2001:db8::2".parse().unwrap()];
    for address in elsewhere {
        serve_name(&world.lan.neighbour, SocketAddr::new(address, TARGET), "neighbour");
    }
    let pod = |name: &str, ips: &[IpAddr]| Pod {
        name: name.to_owned(),
        netns: PathBuf::new(),
        ips: ips.to_vec(),
        gateways: Vec::new(),
    };
    let node_port = free_port();
    for (n, (name, ips)) in [("host", HOST), ("neighbour", elsewhere)].into_iter().enumerate() {
        let mut service = world.service(u16::try_from(n).unwrap() + 1, &[&pod(name, &ips)]);
        service.ports[0].node_port = Some(node_port);
        world.set(std::slice::from_ref(&service));
        for ip in &service.cluster_ips {
            for netns in [&client.netns, &world.lan.host] {
                for protocol in BOTH {
                    let seen = inside(netns, || ask(protocol, SocketAddr::new(*ip, PORT))).unwrap();
                    assert_eq!(seen.split(' ').next(), Some(name), "{protocol:?} {ip}");
                }
            }
        }
        for ip in HOST {
            let seen = inside(&world.lan.neighbour, || ask_tcp(SocketAddr::new(ip, node_port))).unwrap();
            assert_eq!(seen.split(' ').next(), Some(name), "{ip}");
        }
    }
}

#[test]
fn an_external_address_is_that_of_the_service() {
    let world = World::new();
    let (web, client) = (world.server("web", ""), world.pod("client", "other"));
    let mut service = world.service(1, &[&web]);
    service.external_ips = vec!["198.51.100.7".parse().unwrap(), "2001:db8:1::7".parse().unwrap()];
    world.set(std::slice::from_ref(&service));
    inside(&world.lan.neighbour, || {
        ip(&["route", "add", "198.51.100.0/24", "via", "192.0.2.1"]);
        ip(&["-6", "route", "add", "2001:db8:1::/64", "via", "2001:db8::1"]);
    });
    // The host itself needs a route, as for every address.
    inside(&world.lan.host, || {
        ip(&["route", "add", "198.51.100.0/24", "via", "192.0.2.2"]);
        ip(&["-6", "route", "add", "2001:db8:1::/64", "via", "2001:db8::2"]);
    });
    for ip in &service.external_ips {
        for netns in [&client.netns, &world.lan.host, &world.lan.neighbour] {
            let seen = inside(netns, || ask_tcp(SocketAddr::new(*ip, PORT))).unwrap();
            assert!(seen.starts_with("web "), "{ip}: {seen}");
        }
    }
}

#[test]
fn a_closed_forward_chain_does_not_keep_services_from_pods_and_neighbours() {
    for kind in ["nft", "legacy"] {
        let dir = tempfile::tempdir().unwrap();
        let path = programs_of(kind, dir.path()).unwrap_or_else(|| panic!("no iptables-{kind} here"));
        let world = World::with_path(Some(path));
        for name in ["iptables", "ip6tables"] {
            let program = format!("{}/{name}", dir.path().display());
            inside(&world.lan.host, || run(&program, &["-P", "FORWARD", "DROP"]));
        }
        let inner = NetworkOptions { internal: true, ipv6: true, ..NetworkOptions::default() };
        for name in ["inner", "inmost"] {
            inside(&world.lan.host, || world.instance.networks().create(name, &inner).unwrap());
        }
        let node_port = free_port();
        let servers = [world.server("web", ""), world.server("db", "inner")];
        let clients = [
            world.pod("near", ""),
            world.pod("far", "other"),
            world.pod("in", "inner"),
            world.pod("x", "inmost"),
        ];
        for server in &servers {
            let mut service = world.service(1, &[server]);
            service.ports[0].node_port = Some(node_port);
            world.set(std::slice::from_ref(&service));
            for ip in &service.cluster_ips {
                let to = SocketAddr::new(*ip, PORT);
                for client in clients.iter().map(|pod| &pod.netns).chain([&world.lan.host, &server.netns]) {
                    let seen =
                        inside(client, || ask_tcp(to)).map_err(|e| format!("{}: {e}", client.display()));
                    assert!(
                        seen.as_ref().is_ok_and(|seen| seen.starts_with(&server.name)),
                        "{kind} {to} {seen:?}"
                    );
                }
                let unused = SocketAddr::new(*ip, 4711);
                let e = inside(&clients[0].netns, || ask_tcp(unused)).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::ConnectionRefused, "{kind}");
            }
            for ip in HOST {
                let seen = inside(&world.lan.neighbour, || ask_tcp(SocketAddr::new(ip, node_port)));
                assert!(seen.is_ok_and(|seen| seen.starts_with(&server.name)), "{kind} {ip}");
            }
        }
    }
}

/// Returns a server of one association of SCTP after another, or `None` if the kernel has no SCTP.
fn listen_sctp(address: SocketAddr) -> Option<std::net::TcpListener> {
    use nix::sys::socket::{AddressFamily, Backlog, SockaddrStorage, bind, listen};
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = sctp(family)?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrStorage::from(address)).unwrap();
    listen(&socket, Backlog::new(8).unwrap()).unwrap();
    Some(socket.into())
}

fn sctp(family: nix::sys::socket::AddressFamily) -> Option<std::os::fd::OwnedFd> {
    // SAFETY: the call has no memory to be valid, and its result is checked.
    let fd =
        unsafe { libc::socket(family as i32, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, libc::IPPROTO_SCTP) };
    // SAFETY: the descriptor was just made and is nobody else's.
    (fd >= 0).then(|| unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) })
}

#[test]
fn sctp_is_forwarded_too() {
    let world = World::new();
    let (web, client) = (world.pod("web", ""), world.pod("client", ""));
    for ip in &web.ips {
        let address = SocketAddr::new(*ip, TARGET);
        wait_until("an address", || inside(&web.netns, || UdpSocket::bind((*ip, 0)).is_ok()));
        let Some(listener) = inside(&web.netns, || listen_sctp(address)) else {
            return eprintln!("skipped: this kernel has no SCTP");
        };
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let mut connection = connection;
                let _ = connection.read(&mut [0; 16]);
                let _ = write!(connection, "web");
            }
        });
    }
    let mut service = world.service(1, &[]);
    service.ports = vec![service_port(Protocol::Sctp, &[&web])];
    world.set(std::slice::from_ref(&service));
    for ip in &service.cluster_ips {
        for netns in [&client.netns, &world.lan.host] {
            let address = SocketAddr::new(*ip, PORT);
            let seen = inside(netns, || {
                let family = if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
                let family = nix::sys::socket::AddressFamily::from_i32(family).unwrap();
                let socket = sctp(family).unwrap();
                let storage = nix::sys::socket::SockaddrStorage::from(address);
                nix::sys::socket::connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &storage).unwrap();
                let mut connection: TcpStream = socket.into();
                connection.write_all(b"who").unwrap();
                let mut buffer = [0; 16];
                let length = connection.read(&mut buffer).unwrap();
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            });
            assert_eq!(seen, "web", "{address}");
        }
    }
}

#[test]
fn a_host_without_ipv6_has_services_of_ipv4() {
    let world = World::new();
    let off = ["all", "default"].map(|name| (format!("net.ipv6.conf.{name}.disable_ipv6"), "1".to_owned()));
    network::set_sysctls(&world.lan.host, &off).unwrap();
    let (web, client) = (world.server("web", ""), world.pod("client", "other"));
    let mut service = world.service(1, &[&web]);
    assert_eq!(service.cluster_ips.len(), 1);
    // An address that the Service got while the host had IPv6.
    service.cluster_ips.push("fd00:dead::7".parse().unwrap());
    world.set(std::slice::from_ref(&service));
    for netns in [&client.netns, &world.lan.host] {
        let seen = inside(netns, || ask_tcp(SocketAddr::new(service.cluster_ips[0], PORT)));
        assert!(seen.unwrap().starts_with("web "));
    }
    world.repair();
    assert_eq!(world.repair(), Repaired::default());
}

#[test]
fn a_pod_sends_to_its_neighbours_by_way_of_the_host_and_redirects_do_not_change_that() {
    let world = World::new();
    let (a, b) = (world.pod("a", ""), world.server("b", ""));
    for ip in &b.ips {
        for _ in 0..20 {
            let seen = inside(&a.netns, || ask_tcp(SocketAddr::new(*ip, TARGET))).unwrap();
            assert_eq!(seen, format!("b {}", same_family(&a.ips, *ip)));
        }
        let route = inside(&a.netns, || run("ip", &["route", "get", &ip.to_string()]));
        let gateway = same_family(&a.gateways, *ip);
        assert!(route.contains(&format!("via {gateway} ")), "{route}");
    }
}

/// An earlier version of this program left the kernel's routes as they are.
#[test]
fn a_pod_that_an_earlier_version_set_up_gets_its_routes_with_the_next_check() {
    let world = World::new();
    let (a, b) = (world.pod("a", ""), world.server("b", ""));
    for pod in [&a, &b] {
        let record =
            world.instance.dirs().1.join("up").join(format!("{}.json", world.instance.id(&pod.name)));
        let text = std::fs::read_to_string(&record).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(value.as_object_mut().unwrap().remove("through_gateway").is_some());
        std::fs::write(&record, value.to_string()).unwrap();
        for (family, bits) in [(0, 24), (1, 64)] {
            let own = format!("{}/{bits}", pod.ips[family]);
            inside(&pod.netns, || {
                ip(&["addr", "del", &own, "dev", "eth0"]);
                ip(&["addr", "add", &own, "dev", "eth0"]);
                ip(&["route", "replace", "default", "via", &pod.gateways[family].to_string()]);
            });
        }
    }
    let service = world.service(1, &[&b]);
    world.set(std::slice::from_ref(&service));
    let repaired = world.repair();
    assert!(repaired.mended.iter().any(|line| line.contains("past the host")), "{repaired:?}");
    for ip in &service.cluster_ips {
        let to = SocketAddr::new(*ip, PORT);
        wait_until("an answer", || {
            let seen = inside(&a.netns, || ask_tcp(to));
            seen.is_ok_and(|seen| seen == format!("b {}", same_family(&a.ips, *ip)))
        });
    }
    assert_eq!(world.repair().mended, [""; 0]);
}

#[test]
fn a_pod_of_an_internal_network_that_adds_a_default_route_gets_no_farther() {
    let world = World::new();
    let inner = NetworkOptions { internal: true, ipv6: true, ..NetworkOptions::default() };
    inside(&world.lan.host, || world.instance.networks().create("inner", &inner).unwrap());
    let (pod, other) = (world.pod("in", "inner"), world.server("web", ""));
    let elsewhere: [IpAddr; 2] = ["192.0.2.2".parse().unwrap(), "2001:db8::2".parse().unwrap()];
    for address in elsewhere {
        serve_name(&world.lan.neighbour, SocketAddr::new(address, TARGET), "neighbour");
    }
    inside(&world.lan.neighbour, || {
        // Even if the neighbour knows the way back.
        for ip in &pod.ips {
            let via = same_family(&HOST, *ip).to_string();
            self::ip(&["route", "add", &ip.to_string(), "via", &via]);
        }
    });
    inside(&pod.netns, || {
        for gateway in &pod.gateways {
            ip(&["route", "add", "default", "via", &gateway.to_string()]);
        }
    });
    // A Service is no way out either.
    let out =
        Pod { name: String::new(), netns: PathBuf::new(), ips: elsewhere.to_vec(), gateways: Vec::new() };
    let service = world.service(1, &[&out]);
    world.set(std::slice::from_ref(&service));
    let wait = Duration::from_millis(300);
    let direct = elsewhere.iter().chain(&other.ips).map(|ip| SocketAddr::new(*ip, TARGET));
    for to in direct.chain(service.cluster_ips.iter().map(|ip| SocketAddr::new(*ip, PORT))) {
        assert!(inside(&pod.netns, || TcpStream::connect_timeout(&to, wait)).is_err(), "{to} was reached");
    }
    for ip in &pod.ips {
        serve_name(&pod.netns, SocketAddr::new(*ip, TARGET), "in");
        let to = SocketAddr::new(*ip, TARGET);
        assert!(
            inside(&world.lan.neighbour, || TcpStream::connect_timeout(&to, wait)).is_err(),
            "{to} was reached"
        );
        assert!(inside(&other.netns, || TcpStream::connect_timeout(&to, wait)).is_err(), "{to} was reached");
    }
}
