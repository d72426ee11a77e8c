//! Plays the applications in manifests/apps and uses them as their users would.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use tests::{Kube, http, image, limit};

fn dir() -> PathBuf {
    let manifests = std::env::var_os("KUBE_MANIFESTS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests")), PathBuf::from);
    manifests.join("apps")
}

/// Makes the image of an application as `manifests/apps/image.sh` does, plays the application with node ports that are
/// free here, and waits until all of it is ready.
fn play(name: &str) -> Kube {
    let kube = Kube::new();
    let tar = kube.dir().join("rootfs.tar");
    std::fs::copy(image::busybox_tar(), &tar).unwrap();
    let added = Command::new("tar")
        .args(["--owner=0", "--group=0", "-C"])
        .arg(dir().join(name))
        .arg("-rf")
        .arg(&tar)
        .arg(".")
        .status()
        .unwrap();
    assert!(added.success());
    kube.ok(&["image", "import", tar.to_str().unwrap(), &format!("localhost/{name}:1"), "--cmd", "sh"]);
    let yaml = std::fs::read_to_string(dir().join(format!("{name}.yaml"))).unwrap();
    let is_free_to_choose = |line: &&str| !line.trim_start().starts_with("nodePort:");
    let yaml: Vec<&str> = yaml.lines().filter(is_free_to_choose).collect();
    let file = kube.file(&format!("{name}.yaml"), yaml.join("\n"));
    let output = kube.ok(&["play", &file, "--wait=ready"]);
    assert!(!output.stderr.contains("warning"), "{output}");
    kube
}

/// Returns a Service as `kube get -o json` prints it.
fn service(kube: &Kube, name: &str) -> Value {
    kube.ok(&["get", &format!("service/{name}"), "-o", "json"]).json()
}

/// Returns where this machine reaches a Service of type NodePort.
fn node_port(kube: &Kube, name: &str) -> SocketAddr {
    let port = service(kube, name)["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()))
}

/// Asks again until the answer fits, because some parts work with a delay of a second.
fn until(what: &str, mut ask: impl FnMut() -> String, fits: impl Fn(&str) -> bool) {
    let since = Instant::now();
    loop {
        let answer = ask();
        if fits(&answer) {
            return;
        }
        assert!(since.elapsed() < limit(30), "{what}: {answer}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn guestbook() {
    let kube = play("guestbook");
    let frontend = node_port(&kube, "frontend");
    let post = |text: &str| {
        let body = format!("entry={text}");
        http::request(frontend, "POST", "/cgi-bin/guestbook", &[], body.as_bytes()).unwrap().status
    };
    assert_eq!(post("Hello+you%21"), 303);
    assert_eq!(post("%3Cb%3Ebold"), 303);
    // Either follower answers; each copies once a second.
    let page = || http::get(frontend, "/cgi-bin/guestbook");
    until("both entries", page, |page| page.contains("Hello you!") && page.contains("&lt;b&gt;bold"));
    // The entries survive frontends and followers.
    kube.ok(&["rollout", "restart", "deployment/frontend"]);
    kube.ok(&["rollout", "restart", "deployment/follower"]);
    kube.ok(&["rollout", "status", "deployment/frontend", "--timeout", "120s"]);
    kube.ok(&["rollout", "status", "deployment/follower", "--timeout", "120s"]);
    until("entries of new followers", page, |page| page.contains("Hello you!"));
}

#[test]
fn vote() {
    let kube = play("vote");
    let (vote, result) = (node_port(&kube, "vote"), node_port(&kube, "result"));
    for choice in ["cats", "dogs", "cats"] {
        let body = format!("choice={choice}");
        let answer = http::request(vote, "POST", "/cgi-bin/vote", &[], body.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "Thank you.\n"));
    }
    until("the result", || http::get(result, "/cgi-bin/result"), |page| page.contains("cats 2\ndogs 1"));
    // Votes wait in the queue while nobody counts.
    kube.ok(&["scale", "deployment/worker", "--replicas", "0"]);
    http::request(vote, "POST", "/cgi-bin/vote", &[], b"choice=dogs").unwrap();
    kube.ok(&["scale", "deployment/worker", "--replicas", "2"]);
    until("the last vote", || http::get(result, "/cgi-bin/result"), |page| page.contains("dogs 2"));
}
