//! Hooks: what postStart holds back, and what preStop comes before.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::{Changes, IDLE, Kube, limit, pod_with, processes};

/// A container that ends on no signal but KILL.
const DEAF: &str = "trap '' TERM; while :; do sleep 3600 & wait $!; done";

/// A script that writes `term` into /mark/log when it is asked to stop.
const MARKS: &str = "trap 'echo term >>/mark/log; exit 0' TERM; while :; do sleep 3600 & wait $!; done";

/// A folder that is mounted as /mark, with the YAML of its mount and its volume.
struct Mark {
    dir: std::path::PathBuf,
    mount: String,
    volume: String,
}

impl Mark {
    fn new(kube: &Kube) -> Self {
        let dir = kube.dir().join("mark");
        std::fs::create_dir(&dir).unwrap();
        let volume = format!("  volumes: [{{name: m, hostPath: {{path: {}}}}}]\n", dir.display());
        Self { dir, mount: "\n    volumeMounts: [{name: m, mountPath: /mark}]".to_owned(), volume }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    #[track_caller]
    fn until(&self, log: &str) {
        let deadline = Instant::now() + limit(30);
        let changes = Changes::of(&self.dir.join("log"));
        while self.log() != log {
            assert!(changes.wait(deadline), "{:?}", self.log());
        }
    }
}

fn status(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

fn messages(kube: &Kube, reason: &str) -> Vec<String> {
    let events = kube.ok(&["events", "-o", "json"]).json();
    let all = events["items"].as_array().unwrap().iter().filter(|event| event["reason"] == reason);
    all.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn post_start_runs_beside_the_entrypoint_and_holds_back_running_and_ready() {
    let kube = Kube::new();
    let hook = "until test -e /tmp/go; do sleep 0.1; done; echo hooked >/tmp/hooked";
    let hook = format!("    lifecycle: {{postStart: {{exec: {{command: [sh, -c, '{hook}']}}}}}}");
    let file = kube.manifest(&pod_with("web", IDLE, &hook, ""));
    let play = kube.start(&["play", &file]);
    kube.until_all(|pods| pods.iter().any(|pod| status(pod)["containerID"].is_string()));
    let pod = kube.pod("web");
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(status(&pod)["state"]["waiting"]["reason"], "ContainerCreating", "{pod:#}");
    assert_eq!((&status(&pod)["ready"], &status(&pod)["started"]), (&false.into(), &false.into()));
    kube.sh("web", "touch /tmp/go");
    kube.wait("web", "ready");
    let pod = kube.pod("web");
    assert!(status(&pod)["state"]["running"].is_object(), "{pod:#}");
    assert_eq!(kube.sh("web", "cat /tmp/hooked"), "hooked\n");
    assert_eq!(play.end().0, 0);
    let manifest = kube.ok(&["generate", "pod/web"]).stdout;
    assert!(manifest.contains("postStart"), "{manifest}");
}

#[test]
fn a_failing_post_start_kills_the_container_and_restarts_it() {
    let kube = Kube::new();
    let hook = "    lifecycle: {postStart: {exec: {command: [sh, -c, 'echo because; exit 3']}}}";
    kube.play_failing(&pod_with("web", DEAF, hook, ""));
    let pod = kube.until("web", |pod| status(pod)["state"]["waiting"]["reason"] == "PostStartHookError");
    let message = status(&pod)["state"]["waiting"]["message"].as_str().unwrap();
    let failed =
        "failed - error: command 'sh -c echo because; exit 3' exited with 3: , message: \"because\\n\"";
    assert!(
        message.starts_with("Exec lifecycle hook ([sh -c echo because; exit 3]) for Container \"main\""),
        "{message}"
    );
    assert!(message.ends_with(failed), "{message}");
    let pod = kube.until("web", |pod| status(pod)["restartCount"].as_u64() >= Some(1));
    assert_eq!(status(&pod)["lastState"]["terminated"]["exitCode"], 137, "{pod:#}");
    assert_eq!(messages(&kube, "FailedPostStartHook")[0], "PostStartHook failed");
}

#[test]
fn a_sleep_holds_back_ready() {
    let kube = Kube::new();
    let start = Instant::now();
    let hook = "    lifecycle: {postStart: {sleep: {seconds: 1}}}";
    kube.play_with(&pod_with("web", IDLE, hook, ""), &["--wait"]);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn pre_stop_comes_before_the_stop_signal() {
    let kube = Kube::new();
    let mark = Mark::new(&kube);
    let hook = "    lifecycle: {preStop: {exec: {command: [sh, -c, 'sleep 1; echo hook >>/mark/log']}}}";
    let spec = format!("  terminationGracePeriodSeconds: 60\n{}", mark.volume);
    kube.play(&pod_with("web", MARKS, &format!("{hook}{}", mark.mount), &spec));
    let start = Instant::now();
    kube.ok(&["down", "pod/web"]);
    assert_eq!(mark.log(), "hook\nterm\n");
    assert!(start.elapsed() < limit(20), "{:?}", start.elapsed());
}

#[test]
fn pre_stop_comes_before_the_stop_signal_of_an_update() {
    let kube = Kube::new();
    let mark = Mark::new(&kube);
    let hook = "    lifecycle: {preStop: {exec: {command: [sh, -c, 'echo hook >>/mark/log']}}}";
    let yaml = pod_with("web", MARKS, &format!("{hook}{}", mark.mount), &mark.volume);
    kube.play(&yaml);
    kube.play(&yaml.replace("echo term", "echo other"));
    assert_eq!(mark.log(), "hook\nterm\n");
}

#[test]
fn a_pre_stop_that_hangs_ends_two_seconds_after_the_grace_period() {
    let kube = Kube::new();
    let hook = "    lifecycle: {preStop: {exec: {command: [sleep, '42420']}}}";
    kube.play(&pod_with("web", DEAF, hook, "  terminationGracePeriodSeconds: 1\n"));
    let start = Instant::now();
    kube.ok(&["down", "pod/web"]);
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(3) + limit(10), "{took:?}");
    assert!(!processes().iter().any(|process| process.command.contains("sleep 42420")));
}

#[test]
fn without_grace_no_hook_runs() {
    let kube = Kube::new();
    let mark = Mark::new(&kube);
    let hook = "    lifecycle: {preStop: {exec: {command: [sh, -c, 'echo hook >>/mark/log']}}}";
    kube.play(&pod_with("web", MARKS, &format!("{hook}{}", mark.mount), &mark.volume));
    kube.ok(&["down", "pod/web", "--force"]);
    assert_eq!(mark.log(), "");
}

#[test]
fn a_request_of_a_hook_reaches_the_container_that_a_failed_probe_stops() {
    let kube = Kube::new();
    let server = "exec httpd -f -vv -p 8080 -h /www 2>&1";
    let more = "    livenessProbe: {exec: {command: [sh, -c, '! test -e /tmp/bad']}, periodSeconds: 1, failureThreshold: 1}\n    \
                lifecycle: {preStop: {httpGet: {path: /bye, port: 8080}}}";
    kube.play(&pod_with("web", server, more, ""));
    kube.sh("web", "touch /tmp/bad");
    kube.until("web", |pod| status(pod)["restartCount"] == 1);
    let log = kube.ok(&["logs", "web", "--previous"]).stdout;
    assert!(log.contains("/bye"), "{log}");
    // The answer is 404, which is no failure of a hook.
    assert_eq!(messages(&kube, "FailedPreStopHook"), [""; 0]);
}

#[test]
fn a_pre_stop_that_fails_is_told_and_the_container_is_stopped() {
    let kube = Kube::new();
    let hook = "    livenessProbe: {exec: {command: [sh, -c, '! test -e /tmp/bad']}, periodSeconds: 1, failureThreshold: 1}\n    \
                lifecycle: {preStop: {tcpSocket: {port: 81}}}";
    kube.play(&pod_with("web", IDLE, hook, ""));
    kube.sh("web", "touch /tmp/bad");
    kube.until("web", |pod| status(pod)["restartCount"] == 1);
    assert_eq!(messages(&kube, "FailedPreStopHook"), ["PreStopHook failed"]);
}

#[test]
fn pre_stop_runs_again_if_the_supervisor_is_killed() {
    let kube = Kube::new();
    let mark = Mark::new(&kube);
    let hook = "echo hook >>/mark/log; until test -e /mark/go; do sleep 0.1; done";
    let hook = format!("    lifecycle: {{preStop: {{exec: {{command: [sh, -c, '{hook}']}}}}}}{}", mark.mount);
    let spec = format!("  terminationGracePeriodSeconds: 600\n{}", mark.volume);
    kube.play(&pod_with("web", MARKS, &hook, &spec));
    let down = kube.start(&["down", "pod/web"]);
    mark.until("hook\n");
    kube.supervisors()[0].kill(Signal::SIGKILL);
    // Any command replaces the supervisor.
    kube.run(&["ps"]);
    mark.until("hook\nhook\n");
    std::fs::write(mark.dir.join("go"), "").unwrap();
    mark.until("hook\nhook\nterm\n");
    down.end();
    kube.ok(&["down", "pod/web", "--ignore-not-found"]);
}
