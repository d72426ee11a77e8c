//! Sidecars: their order, their restarts, and that they hold no pod open.

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::{IDLE, Kube, pod_with};

/// A script that marks its start and its end in /mark/log.
fn marks(name: &str) -> String {
    format!(
        "echo {name} start >>/mark/log; trap 'echo {name} stop >>/mark/log; exit 0' TERM; while :; do sleep 3600 & \
         wait $!; done"
    )
}

/// A pod with the sidecars `one` and `two`, the init container `init` between them, and the container `main`. All share
/// /mark.
fn sidecars(policy: &str, main: &str, one: &str) -> String {
    let volume = "volumeMounts: [{name: mark, mountPath: /mark}]";
    let container = |name: &str, script: &str, more: &str| {
        format!(
            "  - name: {name}\n    image: localhost/busybox:1\n    command: [sh, -c, {script:?}]\n    {volume}\n{more}"
        )
    };
    let always = "    restartPolicy: Always\n";
    let init = [
        container("one", &marks("one"), &format!("{always}{one}")),
        container("init", "echo init >>/mark/log", ""),
        container("two", &marks("two"), always),
    ]
    .concat();
    let spec = format!(
        "  restartPolicy: {policy}\n  volumes: [{{name: mark, hostPath: {{path: MARK}}}}]\n  initContainers:\n{init}"
    );
    pod_with("web", main, &format!("    {volume}"), &spec)
}

/// The folder that is mounted as /mark.
fn mark(kube: &Kube, yaml: &str) -> (std::path::PathBuf, String) {
    let dir = kube.dir().join("mark");
    std::fs::create_dir(&dir).unwrap();
    (dir.join("log"), yaml.replace("MARK", dir.to_str().unwrap()))
}

fn log(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn sidecars_start_in_order_and_are_stopped_last_in_reverse_order() {
    let kube = Kube::new();
    let (path, yaml) = mark(&kube, &sidecars("Always", &marks("main"), ""));
    kube.play_with(&yaml, &["--wait"]);
    assert!(kube.ok(&["ps", "web", "--no-headers"]).stdout.contains("3/3"));
    let pod = kube.pod("web");
    let statuses = pod["status"]["initContainerStatuses"].as_array().unwrap();
    let started: Vec<&Value> = statuses.iter().map(|status| &status["started"]).collect();
    assert_eq!(started, [&Value::from(true), &Value::from(false), &Value::from(true)]);
    assert_eq!(kube.sh("web", "grep -c start /mark/log").trim(), "3");
    assert_eq!(
        kube.ok(&["exec", "web", "-c", "one", "--", "head", "-n2", "/mark/log"]).stdout,
        "one start\ninit\n"
    );
    kube.ok(&["down", "pod/web"]);
    let text = log(&path);
    assert!(text.starts_with("one start\ninit\n"), "{text}");
    assert!(text.ends_with("main stop\ntwo stop\none stop\n"), "{text}");
}

#[test]
fn sidecars_do_not_hold_a_pod_open_that_has_done_its_work() {
    for (script, phase, code) in [("echo main >>/mark/log", "Succeeded", 0), ("exit 3", "Failed", 3)] {
        let kube = Kube::new();
        let (path, yaml) = mark(&kube, &sidecars("Never", script, ""));
        kube.try_play(&yaml, &["--wait=complete"]).expect(code);
        assert_eq!(kube.pod("web")["status"]["phase"], phase);
        let text = log(&path);
        assert!(text.ends_with("two stop\none stop\n"), "{text}");
    }
}

#[test]
fn a_sidecar_is_restarted_and_its_startup_probe_holds_back_what_comes_after_it() {
    let kube = Kube::new();
    let probe = "    startupProbe: {exec: {command: [test, -e, /mark/go]}, periodSeconds: 1, failureThreshold: 600}\n";
    let (path, yaml) = mark(&kube, &sidecars("OnFailure", IDLE, probe));
    let file = kube.manifest(&yaml);
    let play = kube.start(&["play", &file, "--wait"]);
    kube.until_all(|pods| {
        pods.iter().any(|pod| pod["status"]["initContainerStatuses"][0]["state"]["running"].is_object())
    });
    assert_eq!(kube.container("web", "one")["started"], false);
    assert_eq!(kube.container("web", "init")["state"]["waiting"]["reason"], "PodInitializing");
    std::fs::write(path.with_file_name("go"), "").unwrap();
    assert_eq!(play.end().0, 0);
    kube.process("web", "echo one start").kill(Signal::SIGKILL);
    kube.until("web", |pod| pod["status"]["initContainerStatuses"][0]["restartCount"] == 1);
    kube.wait("web", "ready");
    assert_eq!(kube.container("web", "one")["started"], true);
    assert_eq!(kube.container("web", "main")["restartCount"], 0);
    assert!(kube.ok(&["logs", "web", "-c", "one"]).stdout.is_empty());
}

#[test]
fn a_new_supervisor_goes_on_with_sidecars() {
    let kube = Kube::new();
    let (path, yaml) = mark(&kube, &sidecars("Always", &marks("main"), ""));
    kube.play_with(&yaml, &["--wait"]);
    kube.kill_supervisor();
    kube.ok(&["ps"]);
    assert_eq!(kube.container("web", "two")["restartCount"], 0);
    kube.ok(&["down", "pod/web"]);
    let text = log(&path);
    assert!(text.ends_with("main stop\ntwo stop\none stop\n"), "{text}");
}
