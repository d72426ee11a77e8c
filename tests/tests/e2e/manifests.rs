//! Plays every example in manifests/, waits until it is ready or complete, and takes it down.

use std::net::SocketAddr;
use std::path::PathBuf;

use tests::{Kube, host_port, http};

fn dir() -> PathBuf {
    std::env::var_os("KUBE_MANIFESTS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests")), PathBuf::from)
}

/// Copies an example with its host ports changed to free ones, and returns its path and the ports.
fn example(kube: &Kube, name: &str) -> (String, Vec<tests::HostPort>) {
    let mut text = std::fs::read_to_string(dir().join(name)).unwrap();
    let mut ports = Vec::new();
    for line in text.clone().lines().filter(|l| !l.trim_start().starts_with('#')) {
        if let Some((before, number)) = line.split_once("hostPort: ") {
            let port = host_port();
            text = text.replace(
                line,
                &format!(
                    "{before}hostPort: {port}{}",
                    number.trim_start_matches(|c: char| c.is_ascii_digit())
                ),
            );
            ports.push(port);
        }
    }
    for entry in std::fs::read_dir(dir()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let status = std::process::Command::new("cp").arg("-r").arg(&entry).arg(kube.dir()).status().unwrap();
        assert!(status.success());
    }
    (kube.file(name, text), ports)
}

fn play(name: &str, wait: &str) -> (Kube, Vec<tests::HostPort>) {
    let kube = Kube::new();
    let (file, ports) = example(&kube, name);
    let output = kube.ok(&["play", &file, wait, "--strict"]);
    assert_eq!(output.stderr.matches("warning: spec").count(), 0, "{output}");
    kube.ok(&["play", &file]).says("unchanged");
    (kube, ports)
}

#[test]
fn hello() {
    let (_kube, ports) = play("hello.yaml", "--wait=ready");
    let page = http::get(SocketAddr::from(([127, 0, 0, 1], ports[0].number)), "/");
    assert!(page.contains("Hello from a pod"), "{page}");
}

#[test]
fn config() {
    let (kube, _ports) = play("config.yaml", "--wait=ready");
    let pods = kube.pods();
    assert_eq!(pods.len(), 2);
    assert!(kube.ok(&["logs", &pods[0]]).stdout.contains("mode=production"));
}

#[test]
fn init() {
    let (kube, _ports) = play("init.yaml", "--wait=ready");
    assert!(kube.sh("site", "cat /www/index.html").contains("written by an init container"));
}

#[test]
fn storage() {
    let (kube, _ports) = play("storage.yaml", "--wait=ready");
    assert!(kube.sh("notes", "cat /data/notes.txt").contains("started"));
}

#[test]
fn projected() {
    let (kube, _ports) = play("projected.yaml", "--wait=ready");
    let files = kube.sh("projected", "cd /etc/app; cat app.conf secret/token labels");
    assert_eq!(files, "colour = green\nopen sesameapp=\"projected\"\ntier=\"example\"");
    assert_eq!(kube.sh("projected", "stat -c '%u %g' /data/started"), "1000 2000\n");
}

#[test]
fn persistent() {
    let (kube, _ports) = play("persistent.yaml", "--wait=ready");
    kube.sh("archive", "echo first >/data/log; touch /scratch/x");
    kube.ok(&["down", "--all", "--volumes"]);
    assert_eq!(std::fs::read_to_string(kube.dir().join("archive/log")).unwrap(), "first\n");
}

#[test]
fn probes() {
    let (kube, _ports) = play("probes.yaml", "--wait=ready");
    let container = |pod: &serde_json::Value| pod["status"]["containerStatuses"][0].clone();
    kube.sh("probes", "rm /tmp/ready");
    kube.until("probes", |pod| container(pod)["ready"] == false);
    kube.sh("probes", "rm /tmp/alive");
    kube.until("probes", |pod| container(pod)["restartCount"].as_u64() >= Some(1));
    kube.wait("probes", "ready");
}

#[test]
fn batch() {
    let (kube, _ports) = play("batch.yaml", "--wait=complete");
    assert_eq!(kube.pod("batch")["status"]["phase"], "Succeeded");
    assert_eq!(kube.ok(&["logs", "batch"]).stdout.lines().last(), Some("sum: 5050"));
}

#[test]
fn sidecar() {
    let (kube, _ports) = play("sidecar.yaml", "--wait=complete");
    let pod = kube.pod("numbers");
    assert_eq!(pod["status"]["phase"], "Succeeded", "{pod:#}");
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"], "summed up\n");
    assert!(kube.ok(&["logs", "numbers", "-c", "job"]).stdout.contains("sum: 5050"));
    assert!(kube.ok(&["logs", "numbers", "-c", "server"]).stdout.contains("stopped"));
}

#[test]
fn host_network() {
    let (kube, _ports) = play("host-network.yaml", "--wait=ready");
    let pod = kube.pod("node");
    assert_eq!(pod["status"]["podIP"], pod["status"]["hostIP"]);
}

#[test]
fn two_pods() {
    let (kube, ports) = play("two-pods.yaml", "--wait=ready");
    assert_eq!(kube.pods(), ["backend", "frontend"]);
    let page = http::get(SocketAddr::from(([127, 0, 0, 1], ports[0].number)), "/cgi-bin/page");
    assert!(page.contains("the backend says"), "{page}");
}

#[test]
fn secured() {
    let (kube, _ports) = play("secured.yaml", "--wait=ready");
    assert_eq!(kube.sh("secured", "id -u"), "1000\n");
}

#[test]
fn limits() {
    let (kube, _ports) = play("limits.yaml", "--wait=ready");
    let seen = kube.sh("limits", "hostname -f; ulimit -n");
    assert_eq!(seen, "limits.examples.default.svc.cluster.local\n256\n");
}

#[test]
fn user_namespace() {
    let kube = Kube::new();
    let (file, _ports) = example(&kube, "user-namespace.yaml");
    let output = kube.run(&["play", &file, "--wait=ready"]);
    if output.stderr.contains("hostUsers: false needs") {
        return tests::skip("this kernel or file system has no id-mapped mounts");
    }
    output.expect(0);
    assert_eq!(kube.sh("apart", "echo x >/data/x; stat -c %u /data/x"), "0\n");
}

#[test]
fn ingress() {
    let kube = Kube::new();
    let (file, _ports) = example(&kube, "ingress.yaml");
    let (port, tls) = (host_port(), host_port());
    let mut command = kube.command(&["play", &file, "--wait=ready", "--strict"]);
    kube.run_command(command.env("KUBE_PLAY_INGRESS_PORTS", format!("{port},{tls}")), None).expect(0);
    let page = |path: &str| {
        let address = SocketAddr::from(([127, 0, 0, 1], port.number));
        http::request(address, "GET", path, &[("Host", "shop.example")], b"").unwrap().text()
    };
    assert!(page("/").starts_with("the site, by site-"));
    assert_eq!(page("/api/items"), "[]\n");
}

#[test]
fn shared() {
    let (kube, _ports) = play("shared.yaml", "--wait=ready");
    kube.start(&["logs", "-f", "shared", "-c", "reader"]).line(|l| l.contains("tick"));
}

#[test]
fn every_example_has_its_test() {
    let tested = [
        "batch",
        "config",
        "hello",
        "host-network",
        "ingress",
        "init",
        "limits",
        "persistent",
        "probes",
        "projected",
        "secured",
        "service",
        "shared",
        "sidecar",
        "storage",
        "two-pods",
        "user-namespace",
    ];
    let mut found: Vec<_> = std::fs::read_dir(dir())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    assert_eq!(found, tested);
}

#[test]
fn service() {
    let (kube, _ports) = play("service.yaml", "--wait=ready");
    let service = kube.ok(&["inspect", "service/web"]).json();
    let port = u16::try_from(service["spec"]["ports"][0]["nodePort"].as_u64().unwrap()).unwrap();
    let page = http::get(SocketAddr::from(([127, 0, 0, 1], port)), "/cgi-bin/ask");
    assert!(page.contains("web asked: from api-"), "{page}");
}
