//! Networks: addresses, names, published ports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use tests::{IDLE, Kube, host_port, http, limit, pod, pod_with};

const HTTPD: &str = "httpd -p 80 -h /www; ";

fn web(name: &str, ports: &str) -> String {
    let ports = if ports.is_empty() { String::new() } else { format!("    ports: [{ports}]") };
    pod_with(name, &format!("{HTTPD}{IDLE}"), &ports, "")
}

/// Waits inside the pod until its httpd listens.
fn listening(kube: &Kube, pod: &str) {
    kube.sh(pod, "until wget -q -O /dev/null http://127.0.0.1/; do :; done");
}

#[test]
fn a_pod_has_an_ipv4_and_an_ipv6_address_of_a_free_subnet() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let pod = kube.pod("web");
    let ips: Vec<IpAddr> = pod["status"]["podIPs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["ip"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(ips.len(), 2, "{ips:?}");
    assert!(ips[0].is_ipv4() && ips[1].is_ipv6(), "{ips:?}");
    let shown = kube.sh("web", "ip -o addr show dev eth0");
    for ip in ips {
        assert!(shown.contains(&format!(" {ip}/")), "{ip} is missing: {shown}");
    }
    assert!(kube.sh("web", "ip route").contains("default via"));
    assert!(kube.sh("web", "ip -o addr show dev lo").contains("127.0.0.1"));
}

#[test]
fn a_published_port_leads_to_the_pod() {
    let kube = Kube::new();
    let port = host_port();
    kube.play_with(&web("web", &format!("{{containerPort: 80, hostPort: {port}}}")), &["--wait"]);
    listening(&kube, "web");
    let page = http::get(SocketAddr::from(([127, 0, 0, 1], port.number)), "/");
    assert!(page.contains("Hello from a pod"), "{page}");
}

#[test]
fn host_ip_limits_where_a_port_is_published() {
    let kube = Kube::new();
    let port = host_port();
    kube.play(&web("web", &format!("{{containerPort: 80, hostPort: {port}, hostIP: 127.0.0.1}}")));
    listening(&kube, "web");
    http::get(SocketAddr::from(([127, 0, 0, 1], port.number)), "/");
    let gateway = kube.sh("web", "ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'");
    let gateway: IpAddr = gateway.trim().parse().unwrap();
    assert!(std::net::TcpStream::connect_timeout(&SocketAddr::new(gateway, port.number), limit(1)).is_err());
}

#[test]
fn publish_flags_publish() {
    let kube = Kube::new();
    let (one, two) = (host_port(), host_port());
    kube.play_with(
        &web("web", ""),
        &["--publish", &format!("{one}:80"), "-p", &format!("127.0.0.1:{two}:80/tcp")],
    );
    listening(&kube, "web");
    http::get(SocketAddr::from(([127, 0, 0, 1], one.number)), "/");
    http::get(SocketAddr::from(([127, 0, 0, 1], two.number)), "/");
}

#[test]
fn publish_takes_empty_parts_and_ranges() {
    let kube = Kube::new();
    let (one, two) = (host_port(), host_port());
    let range = |first: u16| format!("{first}-{first}:80-80");
    kube.play_with(&web("web", ""), &["-p", &format!(":{one}:80"), "-p", &range(two.number)]);
    listening(&kube, "web");
    for port in [&one, &two] {
        http::get(SocketAddr::from(([127, 0, 0, 1], port.number)), "/");
    }
    let refused = kube.try_play(&web("other", ""), &["-p", "8000-8002:80-81"]).expect(2);
    assert!(refused.stderr.contains("both numbers must be equal"), "{refused}");
}

#[test]
fn publish_all_publishes_every_container_port() {
    let kube = Kube::new();
    let port = host_port();
    let script = format!("httpd -p {port} -h /www; {IDLE}");
    kube.play_with(
        &pod_with("web", &script, &format!("    ports: [{{containerPort: {port}}}]"), ""),
        &["--publish-all"],
    );
    kube.sh("web", &format!("until wget -q -O /dev/null http://127.0.0.1:{port}/; do :; done"));
    http::get(SocketAddr::from(([127, 0, 0, 1], port.number)), "/");
}

/// Opens a UDP socket inside a pod, because Debian's static busybox has no UDP server.
pub fn udp_socket_of(kube: &Kube, pod: &str, port: u16) -> UdpSocket {
    let uid = kube.pod(pod)["metadata"]["uid"].as_str().unwrap().to_owned();
    let namespace = std::fs::File::open(kube.runroot().join("netns").join(uid)).unwrap();
    // A namespace belongs to a thread, and a socket stays in the namespace in which it was created.
    let inside = move || {
        nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap()
    };
    std::thread::spawn(inside).join().unwrap()
}

#[test]
fn udp_is_published() {
    let kube = Kube::new();
    let port = host_port();
    let ports = format!("    ports: [{{containerPort: 5353, hostPort: {port}, protocol: UDP}}]");
    kube.play(&pod_with("web", IDLE, &ports, ""));
    let server = udp_socket_of(&kube, "web", 5353);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(limit(20))).unwrap();
    }
    client.send_to(b"ping", (Ipv4Addr::LOCALHOST, port.number)).unwrap();
    let mut buffer = [0; 16];
    let (n, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"ping");
    server.send_to(b"pong", from).unwrap();
    let n = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"pong");
}

#[test]
fn a_taken_port_is_an_error_that_says_by_whom_before_anything_is_made() {
    let kube = Kube::new();
    let port = host_port();
    let listener = std::net::TcpListener::bind(("0.0.0.0", port.number)).unwrap();
    let yaml = web("web", &format!("{{containerPort: 80, hostPort: {port}}}"));
    let output = kube.try_play(&yaml, &[]).expect(1);
    assert!(output.stderr.contains(&port.to_string()), "{output}");
    assert!(
        output.stderr.contains(&std::process::id().to_string()) || output.stderr.contains("e2e"),
        "{output}"
    );
    assert_eq!(kube.pods().len(), 0);
    drop(listener);
    kube.play(&yaml);
    let again =
        kube.try_play(&web("other", &format!("{{containerPort: 80, hostPort: {port}}}")), &[]).expect(1);
    assert!(again.stderr.contains("web"), "{again}");
    assert_eq!(kube.pods(), ["web"]);
}

#[test]
fn two_pods_of_one_file_cannot_have_one_port() {
    let kube = Kube::new();
    let port = host_port();
    let ports = format!("{{containerPort: 80, hostPort: {port}}}");
    let output = kube.try_play(&(web("a", &ports) + "---\n" + &web("b", &ports)), &[]);
    assert_ne!(output.code, 0, "{output}");
    assert!(output.stderr.contains(&port.to_string()), "{output}");
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn a_port_is_free_again_when_its_pod_is_gone() {
    let kube = Kube::new();
    let port = host_port();
    let yaml = web("web", &format!("{{containerPort: 80, hostPort: {port}}}"));
    for _ in 0..2 {
        kube.play(&yaml);
        kube.ok(&["down", "pod/web"]);
    }
    std::net::TcpListener::bind(("0.0.0.0", port.number)).unwrap();
}

#[test]
fn pods_find_each_other_by_name() {
    let kube = Kube::new();
    kube.play(&(web("server", "") + "---\n" + &pod("client", IDLE, "")));
    listening(&kube, "server");
    let page = kube.sh("client", "wget -q -O - http://server/");
    assert!(page.contains("Hello from a pod"), "{page}");
    let found = kube.sh("client", "nslookup server 2>/dev/null; true");
    assert!(found.contains(&kube.ip("server").to_string()), "{found}");
    kube.ok(&["down", "pod/server", "--wait"]);
    assert_ne!(kube.run(&["exec", "client", "--", "nslookup", "server"]).code, 0);
}

#[test]
fn addresses_are_never_given_twice() {
    let kube = Kube::new();
    let files: Vec<_> = (0..6).map(|n| kube.manifest(&pod(&format!("p{n}"), IDLE, ""))).collect();
    std::thread::scope(|scope| {
        for file in &files {
            let kube = &kube;
            scope.spawn(move || kube.ok(&["play", file]));
        }
    });
    let list = kube.ok(&["ps", "-o", "json"]).json();
    let ips: std::collections::BTreeSet<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["status"]["podIP"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ips.len(), 6, "{ips:?}");
}

#[test]
fn instances_side_by_side_do_not_meet() {
    let (one, two) = (Kube::new(), Kube::new());
    one.play(&web("web", ""));
    two.play(&web("web", ""));
    assert_ne!(one.ip("web"), two.ip("web"));
    listening(&one, "web");
    listening(&two, "web");
    one.ok(&["down", "--all"]);
    listening(&two, "web");
    assert!(http::get(SocketAddr::new(two.ip("web"), 80), "/").contains("Hello"));
}

#[test]
fn a_named_network_gives_the_address_that_is_asked_for() {
    let kube = Kube::new();
    kube.play_with(&pod("probe", IDLE, ""), &["--network", "backend"]);
    let IpAddr::V4(ip) = kube.ip("probe") else { panic!("no IPv4") };
    let mut octets = ip.octets();
    octets[3] = 77;
    let wanted = Ipv4Addr::from(octets);
    kube.play_with(
        &pod("web", IDLE, ""),
        &["--network", &format!("backend:ip={wanted},mac=02:00:00:12:34:56")],
    );
    assert_eq!(kube.ip("web"), IpAddr::V4(wanted));
    assert!(kube.sh("web", "ip link show eth0").contains("02:00:00:12:34:56"));
    let list = kube.ok(&["network", "ls"]);
    assert!(list.stdout.contains("backend"), "{list}");
    kube.run(&["network", "rm", "backend"]).expect(1);
    kube.ok(&["down", "--all"]);
    kube.ok(&["network", "rm", "backend"]);
    assert!(!kube.ok(&["network", "ls", "-o", "name"]).stdout.contains("backend"));
}

#[test]
fn network_none_is_loopback_alone() {
    let kube = Kube::new();
    kube.play_with(&pod("web", IDLE, ""), &["--network", "none"]);
    assert_eq!(kube.sh("web", "ls /sys/class/net"), "lo\n");
    kube.sh("web", "ping -c 1 127.0.0.1");
}

#[test]
fn a_killed_setup_leaves_nothing_that_stands_in_the_way() {
    let kube = Kube::new();
    let file = kube.manifest(&web("web", ""));
    let play = kube.start(&["play", &file]);
    play.signal(nix::sys::signal::Signal::SIGKILL);
    drop(play);
    kube.ok(&["play", &file]);
    assert_eq!(kube.pod("web")["status"]["phase"], "Running");
}
