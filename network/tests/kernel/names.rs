//! What the name server answers to real clients, with real name servers of the host behind it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use network::NetworkOptions;
use network::names::{Names, Record};

use crate::instance::{Instance, PATIENCE, inside, on, wait_until};
use crate::neighbours::{Lan, ip};
use crate::upstream::{
    FOUND, Host, Upstream, ask, ask_for, ask_over_tcp, data, query, read_message, with_edns, write_message,
};

/// A host with a name server and a pod.
fn host_with_pod(resolv_conf: &str) -> (Host, std::path::PathBuf, IpAddr) {
    let host = Host::new(resolv_conf);
    let pod = host.instance.endpoint("web");
    let server = host.setup(&pod).dns_servers[0];
    (host, pod.netns, server)
}

fn names(entries: &[(&str, &[Record])]) -> Names {
    entries
        .iter()
        .map(|(name, records)| (format!("{name}.default.svc.cluster.local"), records.to_vec()))
        .collect()
}

fn address(text: &str) -> Record {
    Record::Address(text.parse().unwrap())
}

#[test]
fn outside_names_are_those_of_the_hosts_name_server() {
    let (host, pod, server) = host_with_pod("nameserver 192.0.2.1\n");
    let upstream = Upstream::start(&host.netns, "192.0.2.1");
    inside(&pod, || {
        for n in 0..20 {
            let answer = ask(server, &format!("Www{n}.Example."), RecordType::A);
            assert_eq!(data(&answer), [FOUND.to_string()]);
            assert_eq!(answer.answers[0].ttl, 60);
        }
        // Names of one label are forwarded too.
        assert_eq!(data(&ask(server, "printer.", RecordType::A)), [FOUND.to_string()]);
        assert_eq!(ask(server, "none.example.", RecordType::A).response_code, ResponseCode::NXDomain);
        assert_eq!(upstream.count(), 22);
        // What is ours is never asked outside.
        for name in ["nobody.default.svc.cluster.local.", "nobody.cluster.local."] {
            assert_eq!(ask(server, name, RecordType::A).response_code, ResponseCode::NXDomain);
        }
    });
    let packets = upstream.packets.lock().unwrap();
    assert_eq!(packets.len(), 22);
    let ports: BTreeSet<u16> = packets.iter().map(|(port, _)| *port).collect();
    let ids: BTreeSet<&[u8]> = packets.iter().map(|(_, bytes)| &bytes[..2]).collect();
    assert!(ports.len() > 15 && ids.len() > 15, "neither can be guessed: {ports:?} {ids:?}");
}

#[test]
fn a_long_answer_is_fetched_over_tcp() {
    let (host, pod, server) = host_with_pod("nameserver 192.0.2.1\n");
    let upstream = Upstream::start(&host.netns, "192.0.2.1");
    inside(&pod, || {
        let answer = ask(server, "long.example.", RecordType::A);
        assert!(answer.truncation && answer.answers.is_empty());
        assert_eq!(upstream.count(), 1);
        let answer = ask_over_tcp(server, "long.example.", RecordType::A);
        assert_eq!((answer.truncation, answer.answers.len()), (false, 200));
        assert_eq!(upstream.count(), 1, "over TCP, as the client asked");
        // A size that a client names goes on.
        ask_for(server, &with_edns(query("web.example.", RecordType::A), 4096), PATIENCE).unwrap();
    });
    let packets = upstream.packets.lock().unwrap();
    let edns = Message::from_vec(&packets[1].1).unwrap().edns.unwrap();
    assert_eq!(edns.max_payload(), 1232);
}

#[test]
fn forged_answers_do_not_count() {
    let (host, pod, server) = host_with_pod("nameserver 192.0.2.1\n");
    let _upstream = Upstream::start(&host.netns, "192.0.2.1");
    let answer = inside(&pod, || ask(server, "forged.example.", RecordType::A));
    assert_eq!(data(&answer), [FOUND.to_string()]);
}

#[test]
fn the_next_server_is_asked_when_one_is_silent_or_refuses() {
    // Nothing listens at the first.
    let (host, pod, server) = host_with_pod("nameserver 192.0.2.1\nnameserver 192.0.2.2\n");
    let _second = Upstream::start(&host.netns, "192.0.2.2");
    let timed = |name: &str| {
        let since = Instant::now();
        let answer = inside(&pod, || ask(server, name, RecordType::A));
        (answer, since.elapsed())
    };
    let (answer, took) = timed("web.example.");
    assert_eq!(data(&answer), [FOUND.to_string()]);
    assert!(took < Duration::from_millis(900), "{took:?}");
    // From now on something listens there that never answers.
    let _silent = inside(&host.netns, || UdpSocket::bind("192.0.2.1:53").unwrap());
    let (answer, took) = timed("web.example.");
    assert_eq!(data(&answer), [FOUND.to_string()]);
    assert!(took >= Duration::from_millis(900), "{took:?}");
    let (answer, took) = timed("web.example.");
    assert_eq!(data(&answer), [FOUND.to_string()]);
    assert!(took < Duration::from_millis(900), "the silent one is not the first any more: {took:?}");
    // The error of one server is not the last word.
    let (host, pod, server) = host_with_pod("nameserver 192.0.2.1\nnameserver 192.0.2.2\n");
    let (first, second) =
        (Upstream::start(&host.netns, "192.0.2.1"), Upstream::start(&host.netns, "192.0.2.2"));
    let answer = inside(&pod, || ask(server, "failing.example.", RecordType::A));
    assert_eq!(answer.response_code, ResponseCode::ServFail);
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[test]
fn without_an_answer_the_client_is_told_so() {
    let failure = |resolv_conf: &str, name: &str, over_tcp: bool| {
        let (host, pod, server) = host_with_pod(resolv_conf);
        let _upstream = Upstream::start(&host.netns, "192.0.2.1");
        let since = Instant::now();
        let ask = if over_tcp { ask_over_tcp } else { ask };
        let answer = inside(&pod, || ask(server, name, RecordType::A));
        assert_eq!(answer.response_code, ResponseCode::ServFail);
        since.elapsed()
    };
    let at_once = Duration::from_millis(900);
    for resolv_conf in ["", "nameserver 192.0.2.2\n", "nameserver 203.0.113.1\n"] {
        for over_tcp in [false, true] {
            let took = failure(resolv_conf, "web.example.", over_tcp);
            assert!(took < at_once, "{resolv_conf:?}: {took:?}");
        }
    }
    let took = failure("nameserver 192.0.2.1\n", "silent.example.", false);
    assert!(took > Duration::from_millis(2900) && took < Duration::from_millis(4500), "{took:?}");
}

#[test]
fn changes_of_resolv_conf_are_noticed() {
    let (host, pod, server) = host_with_pod("nameserver 192.0.2.1\n");
    let _upstream = Upstream::start(&host.netns, "192.0.2.2");
    let code = || inside(&pod, || ask(server, "web.example.", RecordType::A)).response_code;
    assert_eq!(code(), ResponseCode::ServFail);
    host.set_resolv_conf("# changed\nnameserver 192.0.2.2\n");
    wait_until("a look at the file", || code() == ResponseCode::NoError);
}

#[test]
fn our_own_address_as_a_name_server_is_no_loop() {
    let (host, pod, server) = host_with_pod("");
    host.set_resolv_conf(&format!("nameserver {server}\n"));
    let since = Instant::now();
    let answer = inside(&pod, || ask(server, "web.example.", RecordType::A));
    assert_eq!(answer.response_code, ResponseCode::ServFail);
    assert!(since.elapsed() < Duration::from_millis(900));
}

#[test]
fn names_of_services_are_known_at_once_and_to_all() {
    let (host, pod, server) = host_with_pod("nameserver 192.0.2.1\n");
    let _upstream = Upstream::start(&host.netns, "192.0.2.1");
    for last in 1..20 {
        let ip = format!("10.96.0.{last}");
        host.set_names(&names(&[("api", &[address(&ip)])]));
        let answer = inside(&pod, || ask(server, "api.default.svc.cluster.local.", RecordType::A));
        assert_eq!(data(&answer), [ip]);
    }
    let port = Record::Port { port: 80, target: "api.default.svc.cluster.local".to_owned() };
    host.set_names(&names(&[
        ("api", &[address("10.96.0.1")]),
        ("_http._tcp.api", &[port]),
        ("out", &[Record::Alias("www.example".to_owned())]),
        ("silent", &[Record::Alias("silent.example".to_owned())]),
        ("empty", &[]),
    ]));
    inside(&pod, || {
        let full = |name: &str| format!("{name}.default.svc.cluster.local.");
        let answer = ask(server, &full("_http._tcp.api"), RecordType::SRV);
        assert_eq!((answer.answers.len(), answer.additionals.len()), (1, 1));
        let answer = ask(server, &full("out"), RecordType::A);
        assert_eq!(data(&answer), ["www.example.", &FOUND.to_string()]);
        assert_eq!(ask_over_tcp(server, &full("out"), RecordType::A).answers.len(), 2);
        assert_eq!(ask(server, &full("silent"), RecordType::A).response_code, ResponseCode::ServFail);
        assert_eq!(ask(server, &full("empty"), RecordType::A).response_code, ResponseCode::NoError);
        assert_eq!(ask(server, &full("gone"), RecordType::A).response_code, ResponseCode::NXDomain);
        assert_eq!(ask(server, "1.0.96.10.in-addr.arpa.", RecordType::PTR).answers.len(), 1);
    });
    // The names outlive the name server and the pods.
    let kill = nix::sys::signal::Signal::SIGKILL;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(host.server()), kill).unwrap();
    let other = host.instance.endpoint("other");
    host.setup(&other);
    let of_api = || inside(&pod, || ask(server, "api.default.svc.cluster.local.", RecordType::A));
    assert_eq!(of_api().answers.len(), 1);
    host.set_names(&Names::new());
    assert_eq!(of_api().response_code, ResponseCode::NXDomain);
    for name in ["web", "other"] {
        host.run("teardown", &host.instance.id(name)).unwrap();
    }
    assert_eq!(inside(&host.netns, || host.instance.leftovers()), [""; 0]);
}

#[test]
fn names_may_be_set_before_the_first_endpoint() {
    let host = Host::new("");
    host.set_names(&names(&[("api", &[address("10.96.0.1")])]));
    assert!(host.instance.dns_servers().is_empty(), "nobody could ask it");
    let pod = host.instance.endpoint("web");
    let server = host.setup(&pod).dns_servers[0];
    let answer = inside(&pod.netns, || ask(server, "api.default.svc.cluster.local.", RecordType::A));
    assert_eq!(answer.answers.len(), 1);
}

#[test]
fn an_internal_network_has_no_outside_names() {
    let host = Host::new("nameserver 192.0.2.1\n");
    let upstream = Upstream::start(&host.netns, "192.0.2.1");
    let internal = NetworkOptions { internal: true, ..NetworkOptions::default() };
    host.instance.networks().create("inner", &internal).unwrap();
    let (mut inner, mut both) = (host.instance.endpoint("inner"), host.instance.endpoint("both"));
    inner.attachments = vec![on("inner")];
    both.attachments = vec![on("inner"), on("kube")];
    let server = host.setup(&inner).dns_servers[0];
    host.setup(&both);
    host.set_names(&names(&[("api", &[address("10.96.0.1")])]));
    inside(&inner.netns, || {
        assert_eq!(ask(server, "web.example.", RecordType::A).response_code, ResponseCode::Refused);
        assert_eq!(ask(server, "both.", RecordType::A).answers.len(), 1);
        assert_eq!(ask(server, "api.default.svc.cluster.local.", RecordType::A).answers.len(), 1);
    });
    assert_eq!(upstream.count(), 0);
    let answer = inside(&both.netns, || ask(server, "web.example.", RecordType::A));
    assert_eq!(data(&answer), [FOUND.to_string()], "it has another network");
}

#[test]
fn other_machines_get_no_answer() {
    let instance = Instance::new();
    let lan = Lan::new(&instance);
    let pod = instance.endpoint("web");
    let got = instance.try_setup_on(&lan.host, &pod).unwrap();
    inside(&lan.neighbour, || {
        ip(&["route", "add", "default", "via", "192.0.2.1"]);
        ip(&["-6", "route", "add", "default", "via", "2001:db8::1"]);
    });
    let patience = Duration::from_millis(400);
    for server in got.dns_servers {
        let message = query("web.default.svc.cluster.local.", RecordType::A);
        let answer = inside(&lan.neighbour, || ask_for(server, &message, patience));
        assert!(answer.is_none(), "{server}: {answer:?}");
        let first = inside(&lan.neighbour, || {
            let Ok(mut stream) = TcpStream::connect_timeout(&(server, 53).into(), patience) else { return 0 };
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let _ = write_message(&mut stream, &message.to_vec().unwrap());
            stream.read(&mut [0; 100]).unwrap_or(0)
        });
        assert_eq!(first, 0, "{server}");
        // The host itself is answered, whichever of its addresses it uses.
        let answer = inside(&lan.host, || ask(server, "web.", RecordType::A));
        assert_eq!(answer.response_code, ResponseCode::NoError);
    }
    inside(&lan.host, || instance.teardown("web"));
}

#[test]
fn a_client_cannot_keep_the_others_from_being_answered() {
    let (host, pod, server) = host_with_pod("nameserver 192.0.2.1\n");
    let upstream = Upstream::start(&host.netns, "192.0.2.1");
    let other = host.instance.endpoint("other");
    host.setup(&other);
    inside(&pod, || {
        // More connections than one client may have; some of them begin a query and never end it.
        let mut streams: Vec<TcpStream> =
            (0..60).map(|_| TcpStream::connect((server, 53)).unwrap()).collect();
        for stream in streams.iter_mut().step_by(2) {
            let _ = stream.write_all(&[0, 200, 1, 2, 3]);
        }
        // More questions than one client may have, none of which is ever answered.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((server, 53)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..400 {
            socket.send(&query("silent.example.", RecordType::A).to_vec().unwrap()).unwrap();
        }
        for garbage in [&[][..], &[0; 5], &[0xff; 400], &[0; 12], &[1; 4000]] {
            socket.send(garbage).unwrap();
        }
        // Those that are too many are told so at once.
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        let answer = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(answer.response_code, ResponseCode::ServFail);
        assert!(upstream.count() <= 128, "{}", upstream.count());
        // The others are served as if nothing were.
        let since = Instant::now();
        inside(&other.netns, || {
            assert_eq!(data(&ask(server, "web.example.", RecordType::A)), [FOUND.to_string()]);
            assert_eq!(ask(server, "web.", RecordType::A).answers.len(), 1);
            assert_eq!(ask_over_tcp(server, "web.", RecordType::A).answers.len(), 1);
        });
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
        // All connections are closed in the end: those that are too many at once.
        for mut stream in streams {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let end = stream.read(&mut [0; 10]);
            assert!(
                end.as_ref().is_ok_and(|n| *n == 0)
                    || end.is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock)
            );
        }
    });
}

#[test]
fn several_queries_over_one_connection_are_answered_in_order() {
    let (host, pod, server) = host_with_pod("nameserver 192.0.2.1\n");
    let _upstream = Upstream::start(&host.netns, "192.0.2.1");
    inside(&pod, || {
        let mut stream = TcpStream::connect((server, 53)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let names = ["web.", "a.example.", "web.cluster.local.", "b.example.", "none.example."];
        let queries = names.map(|name| query(name, RecordType::A));
        for query in &queries {
            write_message(&mut stream, &query.to_vec().unwrap()).unwrap();
        }
        for query in &queries {
            let answer = Message::from_vec(&read_message(&mut stream).unwrap()).unwrap();
            assert_eq!(answer.id, query.id);
        }
    });
}

#[test]
fn it_sleeps_while_nobody_asks() {
    let (host, pod, server) = host_with_pod("nameserver 192.0.2.1\n");
    let _upstream = Upstream::start(&host.netns, "192.0.2.1");
    inside(&pod, || {
        ask(server, "web.", RecordType::A);
        ask(server, "web.example.", RecordType::A);
        ask_over_tcp(server, "web.", RecordType::A);
    });
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", host.server())).unwrap();
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse::<u64>().unwrap()
    };
    // Once it has released its memory, nothing wakes it up.
    let mut before = switches();
    wait_until("rest", || {
        std::thread::sleep(Duration::from_millis(1500));
        let now = switches();
        std::mem::replace(&mut before, now) == now
    });
}
