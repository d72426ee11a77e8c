//! Probes: what they do to pods, containers and rollouts, and what is told about them.

use std::time::Instant;

use nix::sys::signal::Signal;
use tests::{IDLE, Kube, pod_with, processes};

/// The web server of the image, on a port that it gets as an argument, with the files of /www.
const HTTPD: &str = "exec httpd -f -p 8080 -h /www";

fn is_ready(pod: &serde_json::Value) -> bool {
    pod["status"]["containerStatuses"][0]["ready"] == true
}

/// Waits until an event about the pod `web` has `text` in its message, and returns all messages.
#[track_caller]
fn until_told(kube: &Kube, reason: &str, text: &str) -> Vec<String> {
    let until = Instant::now() + tests::limit(30);
    loop {
        let events = kube.ok(&["events", "-o", "json"]).json();
        let all = events["items"].as_array().unwrap().iter().filter(|event| event["reason"] == reason);
        let messages: Vec<String> = all.map(|event| event["message"].as_str().unwrap().to_owned()).collect();
        if messages.iter().any(|message| message.contains(text)) {
            return messages;
        }
        assert!(Instant::now() < until, "no {reason} {text:?}: {messages:#?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_request_decides_readiness_in_the_kubelets_words() {
    let kube = Kube::new();
    let probe = "    ports: [{name: web, containerPort: 8080}]\n    \
                 readinessProbe: {httpGet: {path: /ready, port: web}, periodSeconds: 1, failureThreshold: 1}";
    let output = kube.play(&pod_with("web", HTTPD, probe, ""));
    assert!(!output.stderr.contains("readinessProbe"), "{output}");
    until_told(&kube, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404");
    let pod = kube.pod("web");
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["containerStatuses"][0]["started"], true);
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    assert_eq!(ready["reason"], "ContainersNotReady", "{ready:#}");
    assert_eq!(ready["message"], "containers with unready status: [main]");
    let line = kube.ok(&["ps", "web", "--no-headers"]).stdout;
    assert!(line.contains("0/1"), "{line}");
    kube.sh("web", "echo yes >/www/ready");
    kube.wait("web", "ready");
    let line = kube.ok(&["ps", "web", "--no-headers"]).stdout;
    assert!(line.contains("1/1"), "{line}");
    kube.sh("web", "rm /www/ready");
    kube.until("web", |pod| !is_ready(pod));
    let manifest = kube.ok(&["generate", "pod/web"]).stdout;
    assert!(manifest.contains("readinessProbe") && manifest.contains("port: web"), "{manifest}");
}

#[test]
fn play_wait_returns_once_the_probe_has_passed() {
    let kube = Kube::new();
    let probe = "    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}";
    kube.play_with(&pod_with("web", HTTPD, probe, ""), &["--wait"]);
    assert!(is_ready(&kube.pod("web")));
}

#[test]
fn a_port_that_nobody_listens_on_fails_a_tcp_socket_and_restarts_the_container() {
    let kube = Kube::new();
    let probe = "    livenessProbe: {tcpSocket: {port: 81}, periodSeconds: 1, failureThreshold: 2}";
    kube.play(&pod_with("web", IDLE, probe, ""));
    let pod = kube.until("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1);
    let ip = pod["status"]["podIP"].as_str().unwrap();
    let refused = format!("Liveness probe failed: dial tcp {ip}:81: connect: connection refused");
    until_told(&kube, "Unhealthy", &refused);
    until_told(&kube, "Killing", "Container main failed liveness probe, will be restarted");
}

#[test]
fn a_pod_without_a_network_is_probed_on_its_loopback() {
    let kube = Kube::new();
    let probe = "    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}";
    kube.play_with(&pod_with("web", HTTPD, probe, ""), &["--network", "none", "--wait"]);
}

#[test]
fn a_command_decides_by_its_exit_code() {
    let kube = Kube::new();
    let probe = "    readinessProbe: {exec: {command: [sh, -c, 'echo because; test -e /tmp/ready']}, \
                 periodSeconds: 1, failureThreshold: 1}";
    kube.play(&pod_with("web", IDLE, probe, ""));
    until_told(&kube, "Unhealthy", "Readiness probe failed: because");
    kube.sh("web", "touch /tmp/ready");
    kube.wait("web", "ready");
}

#[test]
fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let kube = Kube::new();
    let hangs = "(setsid sleep 4242 &) ; sleep 4243 & sleep 4244";
    let probe = format!(
        "    livenessProbe: {{exec: {{command: [sh, -c, '{hangs}']}}, periodSeconds: 1, failureThreshold: 1000}}"
    );
    kube.play(&pod_with("web", IDLE, &probe, ""));
    let command = format!("command \"sh -c {hangs}\" timed out");
    until_told(&kube, "Unhealthy", &command);
    // Each period starts new ones; what ended before has left nothing.
    let sleeps = || processes().into_iter().filter(|process| process.command.contains("sleep 424")).count();
    until_told(&kube, "Unhealthy", &command);
    let until = Instant::now() + tests::limit(20);
    while sleeps() != 0 {
        assert!(Instant::now() < until, "{} are left", sleeps());
        std::thread::yield_now();
    }
}

#[test]
fn a_startup_probe_holds_back_the_others() {
    let kube = Kube::new();
    let probes = "    startupProbe: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1, failureThreshold: 1000}\n    \
                  livenessProbe: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1, failureThreshold: 1}\n    \
                  readinessProbe: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1}";
    kube.play(&pod_with("web", IDLE, probes, ""));
    until_told(&kube, "Unhealthy", "Startup probe failed");
    let status = kube.container("web", "main");
    assert_eq!((&status["started"], &status["ready"]), (&false.into(), &false.into()), "{status:#}");
    kube.sh("web", "touch /tmp/up");
    kube.wait("web", "ready");
    let status = kube.container("web", "main");
    assert_eq!((&status["started"], &status["restartCount"]), (&true.into(), &0.into()), "{status:#}");
}

#[test]
fn a_supervisor_that_is_killed_between_probes_leaves_the_pod_ready() {
    let kube = Kube::new();
    // It passes once. The new supervisor probes again, and one failure does not make a container unready.
    let probe = "    readinessProbe: {exec: {command: [mkdir, /tmp/asked]}, periodSeconds: 3600, failureThreshold: 2}";
    kube.play(&pod_with("web", IDLE, probe, ""));
    kube.wait("web", "ready");
    let supervisors = kube.supervisors();
    assert_eq!(supervisors.len(), 1, "{supervisors:?}");
    supervisors[0].kill(Signal::SIGKILL);
    let pod = kube.pod("web");
    assert!(is_ready(&pod), "{pod:#}");
}

#[test]
fn a_rollout_stops_at_pods_that_never_get_ready() {
    let kube = Kube::new();
    let deployment = |probe: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 2\n  \
             progressDeadlineSeconds: 5\n  strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}\n  \
             selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
             spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      - name: main\n        \
             image: localhost/busybox:1\n        command: [sh, -c, {HTTPD:?}]\n        \
             readinessProbe: {{httpGet: {{path: {probe}, port: 8080}}, periodSeconds: 1}}\n"
        )
    };
    kube.play_with(&deployment("/"), &["--wait"]);
    let before: Vec<String> = kube.pods();
    let output = kube.try_play(&deployment("/missing"), &["--wait"]);
    assert_ne!(output.code, 0, "{output}");
    let pods = kube.pods();
    assert!(before.iter().all(|pod| pods.contains(pod)), "{before:?} {pods:?}");
}
