//! Restarts, init containers, phases: the kubelet's rules as a user sees them.

use tests::{IDLE, Kube, pod, pod_with};

#[test]
fn a_crashed_container_is_restarted_at_once_and_then_backs_off() {
    let kube = Kube::new();
    kube.try_play(&pod("crash", "exit 3", ""), &[]);
    let pod = kube.until("crash", |p| {
        p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    let status = &pod["status"]["containerStatuses"][0];
    assert!(status["restartCount"].as_u64().unwrap() >= 1, "{status:#}");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["lastState"]["terminated"]["reason"], "Error");
    assert_eq!(status["ready"], false);
    assert_eq!(pod["status"]["phase"], "Running");
    let line = kube.ok(&["ps", "crash", "--no-headers"]).stdout;
    assert!(line.contains("CrashLoopBackOff"), "{line}");
}

#[test]
fn never_means_never() {
    let kube = Kube::new();
    kube.play_failing(&pod("once", "exit 4", "  restartPolicy: Never\n"));
    kube.wait("once", "complete");
    let pod = kube.pod("once");
    assert_eq!(pod["status"]["phase"], "Failed");
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 0);
    assert_eq!(status["state"]["terminated"]["exitCode"], 4);
    assert_eq!(status["state"]["terminated"]["reason"], "Error");
}

#[test]
fn on_failure_restarts_until_it_exits_with_0() {
    let kube = Kube::new();
    let script = "test -e /data/again && exit 0; touch /data/again; exit 1";
    let mount = "    volumeMounts: [{name: data, mountPath: /data}]";
    let spec = "  restartPolicy: OnFailure\n  volumes: [{name: data, emptyDir: {}}]\n";
    kube.play_failing(&pod_with("job", script, mount, spec));
    kube.wait("job", "complete");
    let pod = kube.pod("job");
    assert_eq!(pod["status"]["phase"], "Succeeded");
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 1);
    assert_eq!(status["state"]["terminated"]["reason"], "Completed");
}

#[test]
fn a_restart_has_a_fresh_root_and_the_same_volumes_and_address() {
    let kube = Kube::new();
    let script = "test -e /fresh && touch /data/stale; touch /fresh; hostname -i >>/data/ips; \
                  test -e /data/second && exec sh -c \"$IDLE\"; touch /data/second; exit 1";
    let more = format!(
        "    env: [{{name: IDLE, value: {IDLE:?}}}]\n    volumeMounts: [{{name: data, mountPath: /data}}]"
    );
    kube.play_failing(&pod_with("web", script, &more, "  volumes: [{name: data, emptyDir: {}}]\n"));
    kube.until("web", |p| {
        let status = &p["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    });
    assert_eq!(kube.sh("web", "ls /data"), "ips\nsecond\n");
    assert_eq!(kube.sh("web", "sort -u /data/ips | wc -l").trim(), "1");
}

#[test]
fn init_containers_run_one_after_another_before_the_app() {
    let kube = Kube::new();
    let init = |name: &str| {
        format!(
            "  - name: {name}\n    image: localhost/busybox:1\n    \
             command: [sh, -c, 'echo {name} start >>/data/log; echo {name} end >>/data/log']\n    \
             volumeMounts: [{{name: data, mountPath: /data}}]\n"
        )
    };
    let spec = format!(
        "  volumes: [{{name: data, emptyDir: {{}}}}]\n  initContainers:\n{}{}",
        init("one"),
        init("two")
    );
    let mount = "    volumeMounts: [{name: data, mountPath: /data}]";
    kube.play(&pod_with("web", &format!("echo app >>/data/log; {IDLE}"), mount, &spec));
    kube.wait("web", "ready");
    assert_eq!(kube.sh("web", "cat /data/log"), "one start\none end\ntwo start\ntwo end\napp\n");
    let statuses = kube.pod("web")["status"]["initContainerStatuses"].clone();
    for status in statuses.as_array().unwrap() {
        assert_eq!(status["state"]["terminated"]["reason"], "Completed", "{status:#}");
        assert_eq!(status["ready"], true);
    }
}

#[test]
fn a_failed_init_container_fails_the_pod_when_policy_is_never() {
    let kube = Kube::new();
    let spec = "  restartPolicy: Never\n  initContainers:\n  - name: setup\n    image: localhost/busybox:1\n    \
                command: [sh, -c, 'exit 9']\n";
    let output = kube.try_play(&pod("web", IDLE, spec), &["--wait=complete"]);
    assert_ne!(output.code, 0, "{output}");
}

#[test]
fn a_failed_init_container_is_retried() {
    let kube = Kube::new();
    let mount = "    volumeMounts: [{name: data, mountPath: /data}]";
    let spec = "  volumes: [{name: data, emptyDir: {}}]\n  initContainers:\n  - name: setup\n    \
                image: localhost/busybox:1\n    command: [sh, -c, 'test -e /data/x && exit 0; touch /data/x; exit 1']\n    \
                volumeMounts: [{name: data, mountPath: /data}]\n";
    kube.play(&pod_with("web", IDLE, mount, spec));
    kube.wait("web", "ready");
    let status = kube.container("web", "setup");
    assert_eq!(status["restartCount"], 1, "{status:#}");
}

#[test]
fn a_container_killed_by_a_signal_exits_with_128_and_its_number() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, "  restartPolicy: Never\n"));
    kube.process("web", "sleep 3600 &").kill(nix::sys::signal::Signal::SIGKILL);
    kube.wait("web", "complete");
    let status = kube.container("web", "main");
    assert_eq!(status["state"]["terminated"]["exitCode"], 137, "{status:#}");
}

#[test]
fn a_dead_infra_container_is_made_anew_with_all_containers() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let before = kube.container("web", "main")["containerID"].clone();
    kube.process("web", "pause").kill(nix::sys::signal::Signal::SIGKILL);
    let pod = kube.until("web", |p| {
        let status = &p["status"]["containerStatuses"][0];
        status["state"]["running"].is_object() && status["containerID"] != before
    });
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 1);
    assert_eq!(kube.sh("web", "echo back"), "back\n");
}

#[test]
fn conditions_tell_how_far_a_pod_is() {
    let kube = Kube::new();
    kube.play_with(&pod("web", IDLE, ""), &["--wait"]);
    let pod = kube.pod("web");
    for kind in ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled"] {
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        let condition = conditions.iter().find(|c| c["type"] == kind);
        let condition = condition.unwrap_or_else(|| panic!("no {kind}: {conditions:#?}"));
        assert_eq!(condition["status"], "True", "{condition:#}");
        assert!(condition["lastTransitionTime"].is_string());
    }
}
