//! Services as their users see them: names, addresses, ports of this machine, readiness, and what loses no request.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::{IDLE, Kube, host_port, http, limit, pod, pod_with};

/// Serves the name of the pod on port 8080 until it is asked to end; requests that run are finished.
const SERVE: &str = "mkdir -p /tmp/www; hostname > /tmp/www/index.html; touch /tmp/ready; httpd -f -p 8080 -h /tmp/www & \
                     trap 'kill $!; sleep 0.5; exit 0' TERM; while :; do sleep 3600 & wait $!; done";

/// Returns a Deployment whose pods serve their names. `container` is additional YAML for the container.
fn deployment(name: &str, replicas: u32, version: &str, container: &str) -> String {
    // The pid of httpd is that of the first job, not of the last `sleep`.
    let script = SERVE.replace("kill $!", "kill %1");
    let script = serde_json::to_string(&script).unwrap();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  \
         strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec:\n      terminationGracePeriodSeconds: 5\n      containers:\n      - name: main\n        \
         image: localhost/busybox:1\n        command: [sh, -c, {script}]\n        \
         env: [{{name: VERSION, value: {version:?}}}]\n        \
         ports: [{{name: http, containerPort: 8080}}]\n        \
         readinessProbe: {{exec: {{command: [test, -e, /tmp/ready]}}, periodSeconds: 1, failureThreshold: 1}}\n{container}"
    )
}

fn service(name: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

fn all(documents: &[&str]) -> String {
    documents.join("---\n")
}

fn inspected(kube: &Kube, name: &str) -> Value {
    kube.ok(&["inspect", &format!("service/{name}")]).json()
}

/// Returns the address of a Service at one of its ports.
fn address(kube: &Kube, name: &str, port: u16) -> SocketAddr {
    let service = inspected(kube, name);
    let ip = service["spec"]["clusterIP"].as_str().unwrap_or_else(|| panic!("no clusterIP: {service:#}"));
    SocketAddr::new(ip.parse().unwrap(), port)
}

fn node_port(kube: &Kube, name: &str) -> u16 {
    let port = inspected(kube, name)["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    u16::try_from(port).unwrap()
}

/// Returns the different answers to some requests from the host, among them the errors.
fn answers(address: SocketAddr) -> BTreeSet<String> {
    let answer = |_| match http::request(address, "GET", "/", &[], &[]) {
        Ok(answer) => answer.text().trim().to_owned(),
        Err(error) => error.to_string(),
    };
    (0..24).map(answer).collect()
}

/// Returns whether a connection from the host is refused, and at once.
fn is_refused(address: SocketAddr) -> bool {
    let begun = Instant::now();
    let error = TcpStream::connect_timeout(&address, limit(5)).map(drop);
    let is_refused = error.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    is_refused && begun.elapsed() < limit(2)
}

/// Waits until something is true that follows a change within a moment.
#[track_caller]
fn soon(what: &str, fits: impl Fn() -> bool) {
    let deadline = Instant::now() + limit(10);
    while !fits() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a pod is not Ready any more.
#[track_caller]
fn unready(kube: &Kube, pod: &str) {
    kube.until(pod, |pod| {
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "False")
    });
}

#[test]
fn two_deployments_find_each_other_by_name() {
    let kube = Kube::new();
    let web = service("web", "selector: {app: web}, ports: [{port: 80, targetPort: 8080}]");
    let api = service("api", "selector: {app: api}, ports: [{port: 80, targetPort: http}]");
    let text = all(&[&deployment("web", 2, "1", ""), &web, &deployment("api", 1, "1", ""), &api]);
    let file = kube.manifest(&text);
    let played = kube.ok(&["play", &file, "--wait"]);
    played.says("service/web created").says("service/api created");
    let pods = kube.pods();
    let of = |app: &str| pods.iter().filter(|pod| pod.starts_with(app)).cloned().collect::<Vec<_>>();
    // The Services have their endpoints when `play` returns.
    assert_eq!(answers(address(&kube, "web", 80)), of("web-").into_iter().collect());
    for (from, name) in
        [("web-", "api"), ("api-", "web"), ("web-", "api.default"), ("web-", "api.default.svc.cluster.local")]
    {
        let answer = kube.sh(&of(from)[0], &format!("wget -qO- http://{name}/"));
        let expected = of(&format!("{}-", &name[..3]));
        assert!(expected.contains(&answer.trim().to_owned()), "{name}: {answer}");
    }
    // A pod reaches itself through its Service.
    let own = of("api-").remove(0);
    assert_eq!(kube.sh(&own, "wget -qO- http://api/").trim(), own);

    kube.ok(&["play", &file]).says("service/web unchanged");
    let before = address(&kube, "web", 80);
    std::fs::write(&file, text.replace("{port: 80, targetPort: 8080}", "{port: 81, targetPort: 8080}"))
        .unwrap();
    kube.ok(&["play", &file]).says("service/web configured");
    assert_eq!(address(&kube, "web", 80), before, "the address stays");
    assert_eq!(answers(SocketAddr::new(before.ip(), 81)).len(), 2);
    assert!(is_refused(before), "the former port");
    kube.ok(&["down", &file]).says("service/web deleted");
    kube.run(&["inspect", "service/web"]).expect(4);
}

#[test]
fn ports_lead_to_the_named_ports_of_each_pod() {
    let kube = Kube::new();
    let script = |port: u16| SERVE.replace("8080", &port.to_string());
    let web = |name: &str, port: u16| {
        let ports = format!("    ports: [{{name: http, containerPort: {port}}}]\n");
        pod_with(name, &script(port), &ports, "").replace(&format!("app: {name}"), "app: web")
    };
    let text = all(&[
        &web("one", 8001),
        &web("two", 8002),
        &service(
            "web",
            "selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}, {name: one, port: 81, targetPort: 8001}]",
        ),
    ]);
    kube.play_with(&text, &["--wait"]);
    let address = address(&kube, "web", 80);
    soon("both pods answer", || answers(address).len() == 2);
    let other = SocketAddr::new(address.ip(), 81);
    let reached = (0..20).filter(|_| http::request(other, "GET", "/", &[], &[]).is_ok()).count();
    assert!((1..20).contains(&reached), "the port of one of two pods: {reached}");
}

#[test]
fn readiness_takes_an_endpoint_away_and_back() {
    let kube = Kube::new();
    let text = all(&[
        &deployment("web", 2, "1", ""),
        &service("web", "selector: {app: web}, ports: [{port: 80, targetPort: 8080}]"),
        &service(
            "every",
            "selector: {app: web}, publishNotReadyAddresses: true, ports: [{port: 80, targetPort: 8080}]",
        ),
    ]);
    kube.play_with(&text, &["--wait"]);
    let (web, every) = (address(&kube, "web", 80), address(&kube, "every", 80));
    let pods = kube.pods();
    kube.sh(&pods[0], "rm /tmp/ready");
    unready(&kube, &pods[0]);
    soon("one pod is left", || answers(web) == BTreeSet::from([pods[1].clone()]));
    kube.sh(&pods[1], "rm /tmp/ready");
    unready(&kube, &pods[1]);
    soon("no pod is left", || is_refused(web));
    soon("unready pods are published", || answers(every).len() == 2);
    kube.sh(&pods[0], "touch /tmp/ready");
    kube.wait(&pods[0], "ready");
    soon("the first is back", || answers(web) == BTreeSet::from([pods[0].clone()]));
    kube.ok(&["scale", "deployment/web", "--replicas", "0"]);
    kube.until_all(<[Value]>::is_empty);
    soon("there are no pods", || is_refused(web) && is_refused(every));
}

#[test]
fn a_headless_service_has_the_addresses_of_its_ready_pods() {
    let kube = Kube::new();
    let db = |name: &str| {
        let spec = format!("  hostname: {name}\n  subdomain: db\n");
        pod(name, "touch /tmp/ready; trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done", &spec)
            .replace(&format!("app: {name}"), "app: db")
            .replace("    image:", "    readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}\n    image:")
    };
    let headless = service("db", "clusterIP: None, selector: {app: db}");
    kube.play_with(&all(&[&db("db-0"), &db("db-1"), &headless, &pod("client", IDLE, "")]), &["--wait"]);
    let lookup = |name: &str| kube.run(&["exec", "client", "--", "nslookup", name]).stdout;
    let ips = [kube.ip("db-0").to_string(), kube.ip("db-1").to_string()];
    let full = "db.default.svc.cluster.local";
    soon("both pods are found", || ips.iter().all(|ip| lookup(full).contains(ip)));
    let one = lookup("db-0.db.default.svc.cluster.local");
    assert!(one.contains(&ips[0]) && !one.contains(&ips[1]), "{one}");
    kube.sh("db-1", "rm /tmp/ready");
    unready(&kube, "db-1");
    soon("the unready pod is not found", || {
        !lookup(full).contains(&ips[1]) && lookup(full).contains(&ips[0])
    });
    assert_eq!(inspected(&kube, "db")["spec"]["clusterIP"], "None");
}

#[test]
fn a_service_without_a_selector_leads_where_its_endpoints_say() {
    let kube = Kube::new();
    kube.play_with(&all(&[&pod("one", SERVE, ""), &pod("two", SERVE, "")]), &["--wait"]);
    let endpoints = |name: &str, ip: std::net::IpAddr| {
        format!(
            "apiVersion: v1\nkind: Endpoints\nmetadata: {{name: {name}}}\nsubsets: [{{addresses: [{{ip: {ip}}}], ports: [{{port: 8080}}]}}]\n"
        )
    };
    let slice = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: b-1, labels: {{kubernetes.io/service-name: b}}}}\n\
         addressType: IPv4\nendpoints: [{{addresses: [{}]}}]\nports: [{{port: 8080}}]\n",
        kube.ip("two")
    );
    let text = all(&[
        &service("a", "ports: [{port: 80}]"),
        &endpoints("a", kube.ip("one")),
        &service("b", "ports: [{port: 80}]"),
        &slice,
    ]);
    let file = kube.manifest(&text);
    kube.ok(&["play", &file]).says("endpoints/a created").says("endpointslice.discovery.k8s.io/b-1 created");
    let (a, b) = (address(&kube, "a", 80), address(&kube, "b", 80));
    assert_eq!((answers(a), answers(b)), (["one".to_owned()].into(), ["two".to_owned()].into()));
    kube.play(&endpoints("a", kube.ip("two")));
    assert_eq!(answers(a), ["two".to_owned()].into());
    kube.ok(&["down", "endpoints/a"]);
    assert!(is_refused(a));
    kube.ok(&["down", &file]);
    let selecting =
        all(&[&service("c", "selector: {app: one}, ports: [{port: 80}]"), &endpoints("c", kube.ip("two"))]);
    kube.play(&selecting).complains("endpoints/c has no effect: service/c has a selector");
}

#[test]
fn an_external_name_is_another_name() {
    let kube = Kube::new();
    let text = all(&[
        &pod("web", SERVE, ""),
        &service("far", "type: ExternalName, externalName: web.default.svc.cluster.local"),
        &service("web", "selector: {app: web}, ports: [{port: 8080}]"),
    ]);
    kube.play_with(&text, &["--wait"]);
    let far = kube.sh("web", "wget -qO- http://far:8080/");
    assert_eq!(far.trim(), "web");
    assert_eq!(inspected(&kube, "far")["spec"].get("clusterIP"), None);
}

#[test]
fn node_ports_are_reached_from_the_host_and_kept() {
    let kube = Kube::new();
    let text = all(&[
        &deployment("web", 2, "1", ""),
        &service("web", "type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]"),
    ]);
    let file = kube.manifest(&text);
    kube.ok(&["play", &file, "--wait"]);
    let port = node_port(&kube, "web");
    assert_eq!(answers(SocketAddr::from(([127, 0, 0, 1], port))).len(), 2);
    let loopback = SocketAddr::new("::1".parse().unwrap(), port);
    // With this setting, which comes with Docker, the kernel sends no packet of ::1 to a bridge.
    let filters = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
    if std::fs::read_to_string(filters).is_ok_and(|value| value.trim() == "1") {
        assert!(is_refused(loopback), "{loopback}");
    } else {
        assert_eq!(answers(loopback).len(), 2, "{loopback}");
    }
    kube.ok(&["play", &file]).says("service/web unchanged");
    assert_eq!(node_port(&kube, "web"), port);
    // Another Service cannot have it, in this instance or another.
    let other = service("other", &format!("type: NodePort, ports: [{{port: 80, nodePort: {port}}}]"));
    kube.try_play(&other, &[]).expect(3).complains("is already the NodePort of Service default/web");
    let neighbour = Kube::new();
    neighbour.try_play(&other, &[]).expect(3).complains(&format!("{port}/TCP is taken on this machine by"));
}

#[test]
fn a_load_balancer_takes_a_port_of_the_host_or_says_who_has_it() {
    let kube = Kube::new();
    let port = host_port();
    let text = all(&[
        &pod("web", SERVE, ""),
        &service(
            "web",
            &format!(
                "type: LoadBalancer, selector: {{app: web}}, ports: [{{port: {port}, targetPort: 8080}}]"
            ),
        ),
    ]);
    let file = kube.manifest(&text);
    let listener = std::net::TcpListener::bind(("0.0.0.0", port.number)).unwrap();
    let played = kube.ok(&["play", &file]);
    played.complains(&format!("service/web: it waits, because port {port}/TCP of this machine is taken by"));
    let waits = inspected(&kube, "web");
    assert_eq!(waits["status"]["loadBalancer"], serde_json::json!({}));
    assert_eq!(waits["status"]["conditions"][0]["type"], "LoadBalancerPortsError");
    kube.ok(&["events"]).says("SyncLoadBalancerFailed");
    // Everything else is there.
    assert_eq!(answers(SocketAddr::from(([127, 0, 0, 1], node_port(&kube, "web")))).len(), 1);
    drop(listener);
    kube.ok(&["play", &file]);
    let ip = inspected(&kube, "web")["status"]["loadBalancer"]["ingress"][0]["ip"].clone();
    assert!(ip.is_string(), "{ip}");
    assert_eq!(answers(SocketAddr::from(([127, 0, 0, 1], port.number))), ["web".to_owned()].into());
}

#[test]
fn udp_goes_to_an_endpoint() {
    let kube = Kube::new();
    let text = all(&[
        &pod("dns", IDLE, ""),
        &service("dns", "selector: {app: dns}, ports: [{port: 53, protocol: UDP, targetPort: 5353}]"),
    ]);
    kube.play_with(&text, &["--wait"]);
    let server = crate::network::udp_socket_of(&kube, "dns", 5353);
    let client = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    client.set_read_timeout(Some(limit(5))).unwrap();
    server.set_read_timeout(Some(limit(5))).unwrap();
    client.connect(address(&kube, "dns", 53)).unwrap();
    client.send(b"ask").unwrap();
    let mut buffer = [0; 16];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"ask");
    server.send_to(b"answer", from).unwrap();
    let length = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"answer");
}

#[test]
fn a_client_stays_with_one_endpoint_if_the_service_says_so() {
    let kube = Kube::new();
    let text = all(&[
        &deployment("web", 3, "1", ""),
        &service(
            "web",
            "sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]",
        ),
        &pod("client", IDLE, ""),
    ]);
    kube.play_with(&text, &["--wait"]);
    let web = address(&kube, "web", 80);
    let first = answers(web);
    assert_eq!(first.len(), 1);
    let inside = kube.sh("client", "for i in 1 2 3 4 5 6 7 8; do wget -qO- http://web/; done");
    assert_eq!(inside.lines().collect::<BTreeSet<_>>().len(), 1, "{inside}");
    // A change of the other endpoints does not move the client.
    let pods = kube.pods();
    let other = pods.iter().find(|pod| pod.starts_with("web-") && !first.contains(*pod)).unwrap();
    kube.sh(other, "rm /tmp/ready");
    unready(&kube, other);
    soon("it stays", || answers(web) == first);
}

#[test]
fn containers_have_the_variables_of_services() {
    let kube = Kube::new();
    let env = "    env: [{name: URL, value: \"http://$(MY_DB_SERVICE_HOST):$(MY_DB_SERVICE_PORT)/\"}, {name: MY_DB_PORT, value: own}]\n";
    let text = all(&[
        &pod_with("web", IDLE, env, ""),
        &pod("without", IDLE, "  enableServiceLinks: false\n"),
        &service("my-db", "ports: [{name: sql, port: 5432}]"),
        &service("headless", "clusterIP: None"),
    ]);
    kube.play(&text);
    let ip = address(&kube, "my-db", 5432).ip();
    let shown = kube.sh("web", "env");
    for line in [
        format!("MY_DB_SERVICE_HOST={ip}"),
        "MY_DB_SERVICE_PORT_SQL=5432".to_owned(),
        format!("MY_DB_PORT_5432_TCP=tcp://{ip}:5432"),
        "MY_DB_PORT=own".to_owned(),
        format!("URL=http://{ip}:5432/"),
    ] {
        assert!(shown.lines().any(|known| known == line), "{line} in {shown}");
    }
    assert!(!shown.contains("HEADLESS"), "{shown}");
    assert!(!kube.sh("without", "env").contains("MY_DB"));
    // A container that restarts has the Services of that moment.
    kube.play(&service("late", "ports: [{port: 1}]"));
    assert!(!kube.sh("web", "env").contains("LATE_"));
    kube.sh_to_end("web", "kill 1");
    kube.until("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1);
    kube.wait("web", "ready");
    assert!(kube.sh("web", "env").contains("LATE_SERVICE_PORT=1"));
}

#[test]
fn a_service_that_asks_for_what_is_taken_or_cannot_change_is_refused() {
    let kube = Kube::new();
    kube.play(&service("web", "ports: [{port: 80}]"));
    let ip = address(&kube, "web", 80).ip();
    for (text, message) in [
        (
            service("a", "clusterIP: 192.0.2.1, ports: [{port: 80}]"),
            "spec.clusterIP: 192.0.2.1 is not in the range",
        ),
        (
            service("a", &format!("clusterIP: {ip}, ports: [{{port: 80}}]")),
            "is already the address of Service default/web",
        ),
        (service("web", "clusterIP: None"), "spec.clusterIP: may not change once set"),
    ] {
        let refused = kube.try_play(&text, &[]).expect(3);
        refused.complains(message).complains(".yaml:4:");
    }
    assert_eq!(address(&kube, "web", 80).ip(), ip);
    // A play that fails later leaves the Services as they were.
    let failing = all(&[
        &service("new", "ports: [{port: 80}]"),
        &service("web", "ports: [{port: 81}]"),
        &pod("bad", "true", "").replace("[sh,", "[/nowhere,"),
    ]);
    kube.try_play(&failing, &[]).expect(1);
    kube.run(&["inspect", "service/new"]).expect(4);
    assert_eq!(inspected(&kube, "web")["spec"]["ports"][0]["port"], 80);
    let other = address(&kube, "web", 81);
    assert!(is_refused(other));
}

#[test]
fn services_are_there_again_after_a_reboot_and_after_others_removed_their_rules() {
    let kube = Kube::new();
    let text = all(&[
        &deployment("web", 2, "1", ""),
        &service("web", "type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]"),
    ]);
    kube.play_with(&text, &["--wait"]);
    let (web, port) = (address(&kube, "web", 80), node_port(&kube, "web"));
    kube.wipe_kernel();
    std::fs::remove_dir_all(kube.runroot()).unwrap();
    kube.ok(&["ps"]);
    assert_eq!((address(&kube, "web", 80), node_port(&kube, "web")), (web, port));
    assert!(is_refused(web), "the pods have not been started again");
    kube.ok(&["play", "--all", "--wait"]);
    soon("both pods answer", || answers(web).len() == 2);
    assert_eq!(answers(SocketAddr::from(([127, 0, 0, 1], port))).len(), 2);
    // Only the tables of this instance go, because other tests run at the same time.
    kube.flush_tables();
    kube.ok(&["ps"]);
    soon("both pods answer", || answers(web).len() == 2);
}

#[test]
fn killed_supervisors_keep_the_endpoints() {
    let kube = Kube::new();
    let text = all(&[
        &deployment("web", 2, "1", ""),
        &service("web", "selector: {app: web}, ports: [{port: 80, targetPort: 8080}]"),
    ]);
    kube.play_with(&text, &["--wait"]);
    let web = address(&kube, "web", 80);
    kube.kill_supervisor();
    assert_eq!(answers(web).len(), 2, "nobody notices");
    kube.ok(&["ps"]);
    let pods = kube.pods();
    kube.sh(&pods[0], "rm /tmp/ready");
    unready(&kube, &pods[0]);
    soon("the next supervisor follows readiness", || answers(web) == BTreeSet::from([pods[1].clone()]));
}

/// Sends 20 requests a second from the host until it is stopped; returns how many were sent, and the errors.
struct Load {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(usize, Vec<String>)>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut sent, mut errors) = (0, Vec::new());
            while !seen.load(Ordering::Relaxed) {
                sent += 1;
                if let Err(error) = ask(address) {
                    errors.push(format!("request {sent}: {error}"));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            (sent, errors)
        });
        Self { stop, thread }
    }

    fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Sends one request, and expects a whole answer.
fn ask(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, limit(5))?;
    stream.set_read_timeout(Some(limit(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let is_whole = answer.starts_with("HTTP/1") && answer.contains(" 200 ") && answer.contains("web-");
    if is_whole { Ok(()) } else { Err(std::io::Error::other(format!("not an answer: {answer:?}"))) }
}

#[test]
fn a_rolling_update_behind_a_service_loses_no_request() {
    let kube = Kube::new();
    let web = service("web", "selector: {app: web}, ports: [{port: 80, targetPort: 8080}]");
    let file = kube.manifest(&all(&[&deployment("web", 3, "1", ""), &web]));
    // The client counts what fails; `wget` reports a refused or broken request by its exit code.
    let client = "n=0; bad=0; while [ ! -e /tmp/stop ]; do n=$((n+1)); wget -q -O /dev/null http://web/ || { bad=$((bad+1)); \
                  echo \"request $n\" >> /tmp/failed; }; echo \"$n $bad\" > /tmp/count; usleep 50000; done; sleep 3600";
    kube.ok(&["play", &file, "--wait"]);
    kube.play_with(&pod("client", client, ""), &["--wait"]);
    let load = Load::start(address(&kube, "web", 80));
    for version in ["2", "3"] {
        std::fs::write(&file, all(&[&deployment("web", 3, version, ""), &web])).unwrap();
        kube.ok(&["play", &file]);
        kube.ok(&["rollout", "status", "deployment/web"]);
    }
    // Supervisors are killed in the middle of an update; the next command starts others, which go on with it.
    kube.ok(&["rollout", "restart", "deployment/web"]);
    for supervisor in kube.supervisors() {
        supervisor.kill(Signal::SIGKILL);
        assert!(supervisor.ends_within(limit(10)));
    }
    kube.ok(&["rollout", "status", "deployment/web"]);
    kube.ok(&["scale", "deployment/web", "--replicas", "1"]);
    kube.ok(&["rollout", "status", "deployment/web"]);
    kube.ok(&["scale", "deployment/web", "--replicas", "3"]);
    kube.ok(&["rollout", "status", "deployment/web"]);
    let (sent, errors) = load.end();
    let inside = kube.sh("client", "touch /tmp/stop; cat /tmp/count; cat /tmp/failed 2>/dev/null || true");
    assert_eq!(errors, [""; 0], "of {sent} requests from the host; inside: {inside}");
    assert!(inside.trim().ends_with(" 0"), "{inside}");
    assert!(sent > 20, "{sent}");
}

#[test]
fn generate_writes_the_services_of_a_workload() {
    let kube = Kube::new();
    let text = all(&[
        &deployment("web", 1, "1", ""),
        &service("web", "type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http}]"),
        &service("other", "selector: {app: other}, ports: [{port: 80}]"),
    ]);
    kube.play(&text);
    let port = node_port(&kube, "web");
    let generated = kube.ok(&["generate", "deployment/web", "-o", "json"]).json();
    let services: Vec<&Value> =
        generated["items"].as_array().unwrap().iter().filter(|item| item["kind"] == "Service").collect();
    assert_eq!(services.len(), 1, "{generated:#}");
    assert_eq!(
        services[0]["spec"],
        serde_json::json!({
            "type": "NodePort", "selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": "http"}],
        })
    );
    // What this machine chose is not written, and played back here it stays.
    let yaml = kube.ok(&["generate", "deployment/web"]).stdout;
    kube.play(&yaml).says("service/web unchanged").says("deployment.apps/web unchanged");
    assert_eq!(node_port(&kube, "web"), port);
}
