//! Which endpoints can reach each other, and by which names.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use network::NetworkOptions;

use crate::instance::{
    Instance, PATIENCE, free_port, get, inside, on, port, resolve, run, serve, wait_until,
};

#[test]
fn two_endpoints_reach_each_other_by_both_families_and_by_name() {
    let instance = Instance::new();
    let (mut a, b) = (instance.endpoint("web"), instance.endpoint("api"));
    a.names.push("web.default.svc".to_owned());
    let got = instance.setup(&a);
    assert_eq!(got.ips.len(), 2, "an IPv4 and an IPv6 address");
    assert!(got.ips[0].is_ipv4() && got.ips[1].is_ipv6());
    let b_got = instance.setup(&b);
    serve(&a.netns, 80, "hello");
    for ip in &got.ips {
        let from_b = inside(&b.netns, || get((*ip, 80))).unwrap();
        assert_eq!((from_b.as_str(), get((*ip, 80)).unwrap().as_str()), ("hello", "hello"));
    }
    for server in &got.dns_servers {
        inside(&b.netns, || {
            assert_eq!(resolve(*server, "web", 4), [got.ips[0]]);
            assert_eq!(resolve(*server, "WEB.default.svc.cluster.local", 6), [got.ips[1]]);
            assert_eq!(resolve(*server, "api", 4), [b_got.ips[0]]);
            assert!(resolve(*server, "nobody.cluster.local", 4).is_empty());
        });
    }
    // Once an endpoint is torn down, its name is gone, and the name of its neighbour stays.
    instance.teardown("web");
    inside(&b.netns, || {
        wait_until("the end of a name", || resolve(got.dns_servers[0], "web.cluster.local", 4).is_empty());
        assert_eq!(resolve(got.dns_servers[0], "api", 4), [b_got.ips[0]]);
    });
    instance.teardown("api");
    assert_eq!(instance.leftovers(), [""; 0]);
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let instance = Instance::new();
    let (mut a, b) = (instance.endpoint("web"), instance.endpoint("client"));
    let host_port = free_port();
    a.ports = vec![port(None, host_port, 80, "tcp")];
    let got = instance.setup(&a);
    instance.setup(&b);
    serve(&a.netns, 80, "published");
    let gateway = instance.network("kube").subnets[0].gateway;
    let local: IpAddr = "127.0.0.1".parse().unwrap();
    assert_eq!(get((local, host_port)).unwrap(), "published", "by the loopback");
    assert_eq!(get((gateway, host_port)).unwrap(), "published", "by an address of the host");
    assert_eq!(inside(&b.netns, || get((gateway, host_port))).unwrap(), "published", "by another pod");
    assert_eq!(inside(&a.netns, || get((gateway, host_port))).unwrap(), "published", "by itself");
    let gateway = instance.network("kube").subnets[1].gateway;
    assert_eq!(get((gateway, host_port)).unwrap(), "published", "by IPv6");
    assert_eq!(inside(&b.netns, || get((gateway, host_port))).unwrap(), "published", "by another pod, IPv6");
    // A connection to ::1 is refused at once.
    let since = Instant::now();
    let refused = get((IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]), host_port)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(since.elapsed() < Duration::from_secs(1));
    assert_eq!(get((got.ips[0], 80)).unwrap(), "published");
    instance.teardown("web");
    assert!(get((local, host_port)).is_err());
}

#[test]
fn a_port_published_on_one_address_is_not_on_another() {
    let instance = Instance::new();
    let mut a = instance.endpoint("web");
    let host_port = free_port();
    a.ports = vec![port(Some("127.0.0.2"), host_port, 80, "tcp")];
    instance.setup(&a);
    serve(&a.netns, 80, "here");
    assert_eq!(get(([127, 0, 0, 2], host_port)).unwrap(), "here");
    assert!(get(([127, 0, 0, 1], host_port)).is_err());
}

#[test]
fn udp_is_published_too() {
    let instance = Instance::new();
    let mut a = instance.endpoint("echo");
    let host_port = free_port();
    a.ports = vec![port(None, host_port, 7, "udp")];
    instance.setup(&a);
    let server = inside(&a.netns, || UdpSocket::bind("0.0.0.0:7").unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(("127.0.0.1", host_port)).unwrap();
    client.send(b"ping").unwrap();
    let mut buffer = [0; 16];
    let (n, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(&buffer[..n], from).unwrap();
    let n = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"ping");
}

#[test]
fn networks_do_not_see_each_other() {
    let instance = Instance::new();
    let (mut a, mut b) = (instance.endpoint("a"), instance.endpoint("b"));
    a.attachments = vec![on("blue")];
    b.attachments = vec![on("red")];
    let got = instance.setup(&a);
    instance.setup(&b);
    serve(&a.netns, 80, "blue");
    assert_eq!(get((got.ips[0], 80)).unwrap(), "blue");
    for ip in got.ips {
        let address = SocketAddr::new(ip, 80);
        let tried = inside(&b.netns, || TcpStream::connect_timeout(&address, Duration::from_millis(400)));
        assert!(tried.is_err(), "{ip} was reached from another network");
    }
}

#[test]
fn an_endpoint_on_two_networks_has_two_interfaces() {
    let instance = Instance::new();
    let mut a = instance.endpoint("a");
    a.attachments = vec![on("front"), on("back")];
    let got = instance.setup(&a);
    assert_eq!((got.ips.len(), got.dns_servers.len()), (4, 4));
    let links = inside(&a.netns, || run("ip", &["-o", "-4", "addr"]));
    let line = |name: &str| links.lines().find(|l| l.contains(name)).unwrap().to_owned();
    assert!(line("eth0").contains(&got.ips[0].to_string()), "{links}");
    assert!(line("eth1").contains(&got.ips[2].to_string()), "{links}");
    a.attachments = vec![on("front"), on("front")];
    a.id += "2";
    assert_eq!(instance.try_setup(&a).unwrap_err(), "network `front` is named twice");
    instance.teardown("a");
    assert_eq!(instance.leftovers(), [""; 0]);
}

#[test]
fn an_internal_network_has_no_way_out() {
    let instance = Instance::new();
    let options = NetworkOptions { internal: true, ..NetworkOptions::default() };
    instance.networks().create("inner", &options).unwrap();
    let (mut a, mut b) = (instance.endpoint("a"), instance.endpoint("b"));
    a.attachments = vec![on("inner")];
    b.attachments = vec![on("inner")];
    let got = instance.setup(&a);
    instance.setup(&b);
    assert_eq!(got.ips.len(), 1, "IPv4 only: IPv6 was not asked for");
    serve(&a.netns, 80, "inner");
    assert_eq!(inside(&b.netns, || get((got.ips[0], 80))).unwrap(), "inner");
    assert!(!inside(&b.netns, || run("ip", &["route"])).contains("default"));
    assert_eq!(inside(&b.netns, || resolve(got.dns_servers[0], "a", 4)), [got.ips[0]]);
    instance.teardown("a");
    instance.teardown("b");
    assert_eq!(instance.leftovers(), [""; 0]);
}

#[test]
fn a_udp_client_that_never_pauses_reaches_the_next_pod() {
    let instance = Instance::new();
    // The network stays, and with it the kernel's state of its connections.
    instance.setup(&instance.endpoint("neighbour"));
    let host_port = free_port();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(("127.0.0.1", host_port)).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    for name in ["first", "second"] {
        // A packet is also sent while no pod exists.
        let _ = client.send(b"early");
        let mut pod = instance.endpoint(name);
        pod.ports = vec![port(None, host_port, 7, "udp")];
        instance.setup(&pod);
        let server = inside(&pod.netns, || UdpSocket::bind("0.0.0.0:7").unwrap());
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut buffer = [0; 16];
        wait_until("a packet", || {
            let _ = client.send(b"ping");
            server.recv_from(&mut buffer).is_ok()
        });
        instance.teardown(name);
    }
}

#[test]
fn names_are_found_where_the_host_has_a_name_server_of_its_own_on_every_address() {
    let instance = Instance::new();
    // A separate host, so that no other test's name server uses the port.
    let host = instance.endpoint("host").netns;
    let _held = inside(&host, || UdpSocket::bind("0.0.0.0:53").unwrap());
    let (a, b) = (instance.endpoint("web"), instance.endpoint("api"));
    let got = instance.try_setup_on(&host, &a).unwrap();
    instance.try_setup_on(&host, &b).unwrap();
    for server in &got.dns_servers {
        assert_eq!(inside(&b.netns, || resolve(*server, "web", 4)), [got.ips[0]], "{server}");
    }
}

#[test]
fn a_host_without_ipv6_gets_ipv4_networks() {
    let instance = Instance::new();
    let host = instance.endpoint("host").netns;
    let off = |value: &str| {
        let sysctls =
            ["all", "default"].map(|i| (format!("net.ipv6.conf.{i}.disable_ipv6"), value.to_owned()));
        network::set_sysctls(&host, &sysctls).unwrap();
    };
    let a = instance.endpoint("a");
    // A network that was created while the host had IPv6.
    assert_eq!(instance.try_setup_on(&host, &a).unwrap().ips.len(), 2);
    inside(&host, || instance.teardown("a"));
    off("1");
    let got = instance.try_setup_on(&host, &a).unwrap();
    assert_eq!((got.ips.len(), got.dns_servers.len()), (1, 1));
    let mut b = instance.endpoint("b");
    b.attachments = vec![on("new")];
    assert_eq!(instance.try_setup_on(&host, &b).unwrap().ips.len(), 1);
    inside(&host, || instance.teardown("a"));
    inside(&host, || instance.teardown("b"));
    assert_eq!(inside(&host, || instance.leftovers()), [""; 0]);
}

#[test]
fn a_firewall_that_drops_what_it_does_not_know_lets_pods_through() {
    let instance = Instance::new();
    let host = instance.endpoint("host").netns;
    let rules = |program: &str| inside(&host, || run(program, &["-S"]));
    for program in ["iptables", "ip6tables"] {
        for chain in ["INPUT", "FORWARD"] {
            inside(&host, || run(program, &["-P", chain, "DROP"]));
        }
    }
    // IPv6 does not work without neighbour discovery.
    inside(&host, || run("ip6tables", &["-A", "INPUT", "-p", "ipv6-icmp", "-j", "ACCEPT"]));
    let before = (rules("iptables"), rules("ip6tables"));
    let (mut a, b) = (instance.endpoint("web"), instance.endpoint("api"));
    let host_port = free_port();
    a.ports = vec![port(None, host_port, 80, "tcp")];
    let got = instance.try_setup_on(&host, &a).unwrap();
    instance.try_setup_on(&host, &b).unwrap();
    serve(&a.netns, 80, "through");
    for ip in &got.ips {
        assert_eq!(inside(&b.netns, || get((*ip, 80))).unwrap(), "through", "by {ip}");
    }
    for server in &got.dns_servers {
        assert_eq!(inside(&b.netns, || resolve(*server, "web", 4)), [got.ips[0]], "{server}");
        assert_eq!(
            inside(&b.netns, || get((*server, host_port))).unwrap(),
            "through",
            "by its port on {server}"
        );
    }
    inside(&host, || instance.teardown("web"));
    inside(&host, || instance.teardown("api"));
    assert_eq!((rules("iptables"), rules("ip6tables")), before);
}
