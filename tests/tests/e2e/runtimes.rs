//! `--runtime`: any OCI runtime runs pods as the built-in one does.

use tests::{IDLE, Kube, in_vm, pod_with};

fn works_with(runtime: &str) {
    let kube = Kube::new();
    let more =
        "    securityContext: {capabilities: {drop: [ALL]}}\n    volumeMounts: [{name: v, mountPath: /v}]";
    let spec = "  volumes: [{name: v, emptyDir: {}}]\n";
    kube.play_with(
        &pod_with("web", &format!("echo started; {IDLE}"), more, spec),
        &["--runtime", runtime, "--wait"],
    );
    assert_eq!(
        kube.sh("web", "grep -E '^(CapEff|Seccomp):' /proc/self/status"),
        "CapEff:\t0000000000000000\nSeccomp:\t2\n"
    );
    kube.run(&["exec", "web", "--", "sh", "-c", "exit 9"]).expect(9);
    assert_eq!(kube.ok(&["logs", "web"]).stdout, "started\n");
    let mut terminal = kube.terminal(&["exec", "-it", "web", "--", "sh", "-c", "test -t 0 && stty size"]);
    terminal.shows("24 80");
    assert_eq!(terminal.end().0, 0);
    kube.process("web", "trap 'exit 0'").kill(nix::sys::signal::Signal::SIGKILL);
    kube.until("web", |p| {
        let status = &p["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    });
    kube.ok(&["down", "pod/web"]);
}

#[test]
fn runc_runs_pods() {
    works_with("runc");
}

#[test]
fn crun_runs_pods() {
    // crun 1.8 refuses a hybrid cgroup tree whose v2 side has a controller.
    if in_vm() {
        works_with("/usr/bin/crun");
    }
}

#[test]
fn a_runtime_that_is_not_there_is_told() {
    let kube = Kube::new();
    let output = kube.try_play(&pod_with("web", IDLE, "", ""), &["--runtime", "/no/such/runtime"]);
    assert_ne!(output.code, 0);
    output.complains("/no/such/runtime");
    assert_eq!(kube.pods().len(), 0);
}
