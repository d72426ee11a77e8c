//! Ingresses as their users see them: hosts and paths, TLS, redirects, taken ports, and what loses no request.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ingress::KeyPair;
use ingress::certificate::make;
use nix::sys::signal::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tests::http::Response;
use tests::{HostPort, IDLE, Kube, Output, Process, host_port, http, limit, pod, processes};

/// An instance that serves Ingresses on ports of its own.
struct Instance {
    kube: Kube,
    http: HostPort,
    https: HostPort,
}

impl Instance {
    fn new() -> Self {
        Self { kube: Kube::new(), http: host_port(), https: host_port() }
    }

    fn try_play(&self, yaml: &str, variables: &[(&str, &str)]) -> Output {
        let file = self.kube.manifest(yaml);
        let mut command = self.kube.command(&["play", &file, "--wait", "--timeout", "60s"]);
        command.env("KUBE_PLAY_INGRESS_PORTS", format!("{},{}", self.http, self.https));
        self.kube.run_command(command.envs(variables.iter().copied()), None)
    }

    #[track_caller]
    fn play(&self, yaml: &str) -> Output {
        self.try_play(yaml, &[]).expect(0)
    }

    fn http(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.http.number))
    }

    fn try_get(&self, host: &str, path: &str) -> std::io::Result<Response> {
        http::request(self.http(), "GET", path, &[("Host", host)], b"")
    }

    /// Returns the status and the text of a page.
    #[track_caller]
    fn get(&self, host: &str, path: &str) -> (u16, String) {
        let response = self.try_get(host, path).unwrap();
        (response.status, response.text().trim().to_owned())
    }

    /// Requests a page with TLS from a host that presents a certificate that `trusted` vouches for.
    fn get_tls(&self, host: &str, trusted: &str) -> Result<String, String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.https.number));
        let mut socket = TcpStream::connect_timeout(&address, limit(5)).map_err(|e| e.to_string())?;
        socket.set_read_timeout(Some(limit(20))).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
        Ok(answer)
    }

    /// Returns the proxies of this instance.
    fn proxies(&self) -> Vec<Process> {
        let routes = self.kube.runroot().join("ingress/routes.json");
        let routes = routes.to_str().unwrap();
        let is_proxy =
            |process: &Process| process.command.contains("ingress-proxy") && process.command.contains(routes);
        processes().into_iter().filter(is_proxy).collect()
    }

    #[track_caller]
    fn proxy(&self) -> Process {
        let mut all = self.proxies();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// Waits until a page is as expected, which follows a change within a moment.
    #[track_caller]
    fn soon(&self, host: &str, path: &str, expected: (u16, &str)) {
        let deadline = Instant::now() + limit(20);
        loop {
            let answer = self.get(host, path);
            if (answer.0, answer.1.as_str()) == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{host}{path}: {answer:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Serves a text on port 8080 until it is asked to end; requests that run are finished.
fn serve(text: &str) -> String {
    format!(
        "mkdir -p /tmp/www; echo {text} > /tmp/www/index.html; echo {text}-sub > /tmp/www/sub; httpd -p 8080 -h /tmp/www; \
         touch /tmp/ready; trap 'sleep 0.5; exit 0' TERM; while :; do sleep 3600 & wait $!; done"
    )
}

/// A Deployment with its Service, which has the port 80.
fn application(name: &str, replicas: u32, text: &str) -> String {
    let script = serde_json::to_string(&serve(text)).unwrap();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  \
         strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec:\n      terminationGracePeriodSeconds: 5\n      containers:\n      - name: main\n        \
         image: localhost/busybox:1\n        command: [sh, -c, {script}]\n        \
         ports: [{{name: http, containerPort: 8080}}]\n        \
         readinessProbe: {{exec: {{command: [test, -e, /tmp/ready]}}, periodSeconds: 1, failureThreshold: 1}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
         spec: {{selector: {{app: {name}}}, ports: [{{name: web, port: 80, targetPort: http}}]}}\n"
    )
}

/// An Ingress of rules `(host, path, Service)`, with additional YAML for its metadata and its spec.
fn ingress(rules: &[(&str, &str, &str)], annotations: &str, spec: &str) -> String {
    let mut text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, annotations: {{{annotations}}}}}\nspec:\n"
    );
    text += spec;
    text += "  rules:\n";
    for (host, path, service) in rules {
        text += &format!(
            "  - host: {host}\n    http: {{paths: [{{path: \"{path}\", pathType: ImplementationSpecific, \
             backend: {{service: {{name: {service}, port: {{name: web}}}}}}}}]}}\n"
        );
    }
    text
}

fn all(documents: &[&str]) -> String {
    documents.join("---\n")
}

fn secret(name: &str, pair: &KeyPair) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap();
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\nstringData:\n  \
         tls.crt: {}\n  tls.key: {}\n",
        text(&pair.certificate),
        text(&pair.key)
    )
}

fn pair(host: &str) -> KeyPair {
    make(&[host.to_owned()], (2020, 1, 1), (2099, 1, 1)).unwrap()
}

#[test]
fn hosts_and_paths_lead_to_services_and_the_proxy_ends_with_the_last_ingress() {
    let instance = Instance::new();
    let rules =
        [("shop.example", "/", "web"), ("shop.example", "/sub", "api"), ("'*.api.example'", "/", "api")];
    let text = all(&[&application("web", 1, "web"), &application("api", 2, "api"), &ingress(&rules, "", "")]);
    instance.play(&text).says("ingress.networking.k8s.io/web created");
    assert_eq!(instance.get("shop.example", "/"), (200, "web".into()));
    assert_eq!(instance.get("SHOP.example:80", "/sub"), (200, "api-sub".into()));
    assert_eq!(instance.get("v1.api.example", "/"), (200, "api".into()));
    assert_eq!(instance.get("other.example", "/").0, 404);
    let first = instance.proxy();
    let status = instance.kube.ok(&["get", "ingress", "web", "-o", "json"]).json();
    let ports = &status["status"]["loadBalancer"]["ingress"][0]["ports"];
    assert_eq!(ports[0]["port"], instance.http.number, "{status:#}");
    instance.play(&text).says("ingress.networking.k8s.io/web unchanged");
    assert_eq!(instance.proxy(), first, "nothing has changed");

    instance.kube.ok(&["down", "ingress/web"]);
    assert!(instance.proxies().is_empty());
    assert!(TcpStream::connect(instance.http()).is_err());
}

#[test]
fn the_proxy_has_no_more_rights_than_it_needs_and_none_of_its_starters_surroundings() {
    let instance = Instance::new();
    let text = all(&[&application("web", 1, "web"), &ingress(&[("a.example", "/", "web")], "", "")]);
    instance.play(&text);
    let proxy = instance.proxy();
    // capabilities(7): CAP_NET_BIND_SERVICE is bit 10.
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(proxy.status(set), "0000000000000400", "{set}");
    }
    assert_eq!(proxy.status("NoNewPrivs"), "1");
    assert_eq!(proxy.status("Threads"), "1");
    assert_eq!(proxy.status("PPid"), "1");
    let environment = proxy.file("environ");
    assert!(!environment.contains("HOME="), "{environment:?}");
    let routes = instance.kube.runroot().join("ingress/routes.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&routes.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn tls_presents_the_certificate_of_a_secret_and_redirects_to_it() {
    let instance = Instance::new();
    let (first, second) = (pair("a.example"), pair("a.example"));
    let tls = "  tls: [{hosts: [a.example], secretName: cert}]\n";
    let routes = ingress(&[("a.example", "/", "web"), ("b.example", "/", "web")], "", tls);
    let text = all(&[&application("web", 1, "web"), &secret("cert", &first), &routes]);
    assert_eq!(instance.play(&text).stderr, "");
    assert!(instance.get_tls("a.example", &first.certificate).unwrap().ends_with("web\n"));
    assert!(instance.get_tls("a.example", &second.certificate).is_err());
    let redirect = instance.try_get("a.example", "/x?y").unwrap();
    assert_eq!(redirect.status, 308);
    let location = format!("https://a.example:{}/x?y", instance.https);
    assert_eq!(redirect.header("location"), Some(location.as_str()));
    assert_eq!(instance.get("b.example", "/").0, 200, "this host has no TLS");

    instance.play(&secret("cert", &second));
    assert!(instance.get_tls("a.example", &second.certificate).is_ok(), "a changed Secret counts at once");
    let off = "nginx.ingress.kubernetes.io/ssl-redirect: 'false'";
    instance.play(&ingress(&[("a.example", "/", "web")], off, tls));
    assert_eq!(instance.get("a.example", "/").0, 200);
}

#[test]
fn without_a_secret_a_certificate_is_made_and_a_warning_says_so() {
    let instance = Instance::new();
    let tls = "  tls: [{hosts: [a.example], secretName: cert}]\n";
    let text = all(&[&application("web", 1, "web"), &ingress(&[("a.example", "/", "web")], "", tls)]);
    instance.play(&text).complains("there is no Secret cert: a.example gets a self-made certificate");
    let kept = std::fs::read_to_string(instance.kube.root().join("ingress/certificate.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    let made = kept["certificate"].as_str().unwrap();
    assert!(instance.get_tls("a.example", made).unwrap().ends_with("web\n"));
    let real = pair("a.example");
    instance.play(&secret("cert", &real));
    assert!(instance.get_tls("a.example", &real.certificate).is_ok(), "a Secret that comes later is used");
}

#[test]
fn endpoints_follow_services_and_pods_that_come_and_go() {
    let instance = Instance::new();
    let text = ingress(&[("a.example", "/", "web")], "", "");
    instance.play(&text).complains("there is no Service web for a.example/: requests get 503");
    assert_eq!(instance.get("a.example", "/").0, 503);
    instance.play(&application("web", 1, "web"));
    assert_eq!(
        instance.get("a.example", "/"),
        (200, "web".into()),
        "it has its endpoints when `play` returns"
    );
    let pod = instance.kube.pods().remove(0);
    instance.kube.sh(&pod, "rm /tmp/ready");
    instance.soon("a.example", "/", (503, "503 Service Unavailable"));
    instance.kube.sh(&pod, "touch /tmp/ready");
    instance.soon("a.example", "/", (200, "web"));
    instance.kube.ok(&["down", "service/web"]);
    assert_eq!(instance.get("a.example", "/").0, 503);
}

#[test]
fn annotations_of_nginx_are_honoured_and_others_are_warned_of() {
    let instance = Instance::new();
    let annotations = "nginx.ingress.kubernetes.io/rewrite-target: /$2, nginx.ingress.kubernetes.io/proxy-body-size: 1k, \
                       nginx.ingress.kubernetes.io/auth-url: x";
    let routes =
        ingress(&[("a.example", "/api(/|$)(.*)", "web")], annotations, "  ingressClassName: nginx\n");
    let text = all(&[&application("web", 1, "web"), &routes]);
    instance
        .play(&text)
        .complains("metadata.annotations[nginx.ingress.kubernetes.io/auth-url]: is not honoured");
    assert_eq!(instance.get("a.example", "/api/sub"), (200, "web-sub".into()));
    assert_eq!(instance.get("a.example", "/api"), (200, "web".into()));
    let large =
        http::request(instance.http(), "POST", "/api", &[("Host", "a.example")], &[b'x'; 1025]).unwrap();
    assert_eq!(large.status, 413);
}

#[test]
fn an_ingress_of_another_controller_is_left_out_with_a_warning() {
    let instance = Instance::new();
    let class = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: other}\n\
                 spec: {controller: example.com/other}\n";
    let routes = ingress(&[("a.example", "/", "web")], "", "  ingressClassName: other\n");
    let text = all(&[class, &routes]);
    let expected = "left out: its class other is served by example.com/other, which is not here";
    instance.play(&text).complains(expected);
    assert!(instance.proxies().is_empty());
    instance.kube.ok(&["down", "ingressclass/other"]);
    assert_eq!(instance.get("a.example", "/").0, 503, "without the IngressClass it is served");
}

#[test]
fn a_rolling_update_and_crashes_behind_an_ingress_lose_no_request() {
    let instance = Instance::new();
    let routes = ingress(&[("a.example", "/", "web")], "", "");
    instance.play(&all(&[&application("web", 2, "old"), &routes]));
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicUsize::new(0));
    let asked = {
        let (address, stop, count) = (instance.http(), Arc::clone(&stop), Arc::clone(&count));
        std::thread::spawn(move || {
            let mut failed = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match http::request(address, "GET", "/", &[("Host", "a.example")], b"") {
                    Ok(answer) if answer.status == 200 => {}
                    other => failed.push(format!("{other:?}")),
                }
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            failed
        })
    };
    instance.play(&application("web", 2, "new"));
    instance.soon("a.example", "/", (200, "new"));
    for supervisor in instance.kube.supervisors() {
        supervisor.kill(Signal::SIGKILL);
        assert!(supervisor.ends_within(limit(10)));
    }
    instance.kube.ok(&["ps"]);
    instance.play(&application("web", 1, "new"));
    // A quick machine does all that between a few requests; some more follow.
    let since = std::time::Instant::now();
    while count.load(Ordering::Relaxed) <= 20 && since.elapsed() < limit(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Ordering::Relaxed);
    let (failed, count) = (asked.join().unwrap(), count.load(Ordering::Relaxed));
    assert!(count > 20, "{count}");
    assert!(failed.is_empty(), "{} of {count}: {failed:#?}", failed.len());
}

#[test]
fn a_taken_port_waits_and_says_by_whom_and_the_rest_runs() {
    let instance = Instance::new();
    let listener = TcpListener::bind(("0.0.0.0", instance.http.number)).unwrap();
    let tls = "  tls: [{hosts: [a.example], secretName: cert}]\n";
    let cert = pair("a.example");
    let routes = ingress(&[("a.example", "/", "web")], "", tls);
    let text = all(&[&application("web", 1, "web"), &secret("cert", &cert), &routes]);
    let owner = format!("pid {}", std::process::id());
    let expected = format!("it waits, because port {}/TCP of this machine is taken by ", instance.http);
    let played = instance.play(&text).complains(&expected).complains(&owner);
    assert_eq!(played.stderr.lines().count(), 1, "{played}");
    assert!(instance.get_tls("a.example", &cert.certificate).is_ok(), "the other port is served");
    let info = instance.kube.ok(&["info"]);
    assert!(info.stdout.contains(&owner), "{info}");
    let events = instance.kube.ok(&["events"]);
    assert!(events.stdout.contains("PortTaken") && events.stdout.contains(&owner), "{events}");
    let status = instance.kube.ok(&["get", "ingress", "web", "-o", "json"]).json();
    let ports = &status["status"]["loadBalancer"]["ingress"][0]["ports"];
    assert!(ports.as_array().unwrap().iter().any(|port| port["error"] == "PortTaken"), "{status:#}");

    drop(listener);
    instance.kube.ok(&["ps"]);
    assert_eq!(instance.get("a.example", "/").0, 308, "the next command has taken the port");
    assert!(!instance.kube.ok(&["info"]).stdout.contains(&owner));
}

#[test]
fn a_port_that_a_pod_publishes_is_not_taken_from_it() {
    let instance = Instance::new();
    let port = instance.http.number;
    let publishing = pod("holder", IDLE, "")
        .replace("command:", &format!("ports: [{{containerPort: 80, hostPort: {port}}}]\n    command:"));
    instance.play(&publishing);
    let rest = all(&[&application("web", 1, "web"), &ingress(&[("a.example", "/", "web")], "", "")]);
    instance.play(&rest).complains("is taken by pod holder");
    instance.kube.ok(&["down", "pod/holder", "--wait"]);
    instance.kube.ok(&["ps"]);
    assert_eq!(instance.get("a.example", "/"), (200, "web".into()));
    let refused = instance.kube.try_play(&publishing, &[]).expect(1);
    assert!(refused.stderr.contains("is taken by kube-ingress, pid "), "{refused}");
}

#[test]
fn a_killed_proxy_is_started_again_by_any_command() {
    let instance = Instance::new();
    let text = all(&[&application("web", 1, "web"), &ingress(&[("a.example", "/", "web")], "", "")]);
    instance.play(&text);
    let first = instance.proxy();
    first.kill(Signal::SIGKILL);
    assert!(first.ends_within(limit(10)));
    assert!(instance.try_get("a.example", "/").is_err());
    instance.kube.ok(&["ps"]);
    assert_ne!(instance.proxy().pid, first.pid);
    assert_eq!(instance.get("a.example", "/"), (200, "web".into()));
}

#[test]
fn settings_are_those_of_the_play_and_stay() {
    let instance = Instance::new();
    let log = instance.kube.dir().join("access.log");
    let text = all(&[&application("web", 1, "web"), &ingress(&[("a.example", "/", "web")], "", "")]);
    let variables = [
        ("KUBE_PLAY_INGRESS_ACCESS_LOG", log.to_str().unwrap()),
        ("KUBE_PLAY_INGRESS_TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    instance.try_play(&text, &variables).expect(0);
    assert_eq!(instance.get("a.example", "/?q").0, 200);
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.contains(" 127.0.0.1 GET a.example /?q HTTP/1.1 200 "), "{lines}");
    instance.kube.ok(&["ps"]);
    let file = instance.kube.manifest(&text);
    instance.kube.ok(&["play", &file]);
    assert_eq!(instance.get("a.example", "/").0, 200, "a play without the variables leaves the ports");
    let bad = instance.try_play(&text, &[("KUBE_PLAY_INGRESS_THREADS", "many")]).expect(0);
    assert!(
        bad.stderr.contains("KUBE_PLAY_INGRESS_THREADS: \"many\" must be a number from 1 to 64"),
        "{bad}"
    );
}
