//! `kube port-forward`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use nix::sys::signal::Signal;
use tests::{Kube, Running, pod_with};

/// Serves files on port 8080 of the pod's loopback address only.
const SERVER: &str = "mkdir -p /tmp/www; printf text >/tmp/www/small; seq 1 500000 >/tmp/www/large; \
                      exec httpd -f -p 127.0.0.1:8080 -h /tmp/www";

/// Returns the local port that the command says it forwards from an address of the form `127.0.0.1:`.
fn local_port(running: &mut Running, address: &str) -> u16 {
    let line = running.line(|line| line.starts_with(&format!("Forwarding from {address}")));
    let (_, rest) = line.split_once(address).unwrap();
    rest.split_once(" -> ").unwrap().0.parse().unwrap()
}

/// Gets a file over HTTP/1.0; an empty text if the connection is closed, because nothing listens (yet).
fn get(port: u16, file: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(tests::limit(20))).unwrap();
    let _ = write!(stream, "GET /{file} HTTP/1.0\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// Gets a file as soon as the server in the pod listens.
fn get_when_served(port: u16, file: &str) -> String {
    let deadline = std::time::Instant::now() + tests::limit(20);
    loop {
        let body = get(port, file);
        if !body.is_empty() {
            return body;
        }
        assert!(std::time::Instant::now() < deadline, "no answer");
    }
}

#[test]
fn a_program_on_the_pods_loopback_is_reached_until_ctrl_c() {
    let kube = Kube::new();
    let port = "    ports: [{containerPort: 8080, name: web}]";
    kube.play(&pod_with("web", SERVER, port, ""));
    let mut forward = kube.start(&["port-forward", "web", ":web"]);
    let port = local_port(&mut forward, "127.0.0.1:");
    assert_eq!(get_when_served(port, "small"), "text");
    forward.line(|line| line == format!("Handling connection for {port}"));
    // More than the buffers of the sockets, in several connections at once.
    let large: String = (1..=500_000).map(|n| format!("{n}\n")).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(get(port, "large") == large));
        }
    });
    forward.signal(Signal::SIGINT);
    assert_eq!(forward.end().0, 130);
}

#[test]
fn it_ends_with_the_pod() {
    let kube = Kube::new();
    kube.play(&pod_with("web", SERVER, "", ""));
    let mut forward = kube.start(&["port-forward", "pod/web", ":8080", "--address", "127.0.0.1"]);
    local_port(&mut forward, "127.0.0.1:");
    kube.ok(&["down", "pod/web"]);
    let (code, lines) = forward.end();
    assert_eq!(code, 1, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("lost connection to pod/web")), "{lines:#?}");
}

#[test]
fn a_port_that_nothing_listens_on_or_that_is_taken_is_an_error() {
    let kube = Kube::new();
    kube.play(&pod_with("web", SERVER, "", ""));
    let mut forward = kube.start(&["port-forward", "web", ":81"]);
    let port = local_port(&mut forward, "127.0.0.1:");
    assert_eq!(get(port, "small"), "");
    forward.line(|line| line.starts_with("error: connect to port 81 of the pod"));
    let taken = format!("{port}:8080");
    kube.run(&["port-forward", "web", &taken, "--address", "127.0.0.1"]).expect(1).complains("in use");
    kube.run(&["port-forward", "web", "80:absent"]).expect(2).complains("no TCP port of the pod");
    kube.run(&["port-forward", "absent", "80"]).expect(4);
}

#[test]
fn the_port_of_a_service_leads_to_the_target_port_of_a_ready_pod() {
    let kube = Kube::new();
    let ready = "    ports: [{containerPort: 8080, name: web}]\n    readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, \
                 periodSeconds: 1}";
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec:\n  selector: {app: web}\n  ports: \
                   [{name: http, port: 80, targetPort: web}, {name: dns, port: 53, protocol: UDP}]\n";
    kube.play(&(pod_with("web", SERVER, ready, "") + service));
    kube.run(&["port-forward", "svc/shop", ":80"])
        .expect(1)
        .complains("service/shop has no Ready pod")
        .complains("kube describe service/shop");
    kube.sh("web", "touch /tmp/ready");
    kube.wait("web", "ready");
    let mut forward = kube.start(&["port-forward", "service/shop", ":http"]);
    let port = local_port(&mut forward, "127.0.0.1:");
    assert_eq!(get_when_served(port, "small"), "text");
    kube.run(&["port-forward", "svc/shop", "8080"]).expect(2).complains("its ports: 80 (http)");
    kube.run(&["port-forward", "svc/absent", "80"]).expect(4).complains("service/absent not found");
    // Other commands choose a pod of the Service too.
    assert_eq!(kube.ok(&["exec", "svc/shop", "--", "cat", "/tmp/www/small"]).stdout, "text");
    kube.ok(&["logs", "service/shop"]);
}
