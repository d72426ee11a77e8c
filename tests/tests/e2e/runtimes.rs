//! `--runtime`: other OCI runtimes run pods like the built-in one.

use tests::image::{BUSYBOX, busybox_tar};
use tests::{IDLE, Kube, in_vm, pod_with, skip};

fn works_with(runtime: &str) {
    let kube = Kube::new();
    let more =
        "    securityContext: {capabilities: {drop: [ALL]}}\n    volumeMounts: [{name: v, mountPath: /v}]";
    let spec = "  volumes: [{name: v, emptyDir: {}}]\n";
    let tar = busybox_tar();
    kube.ok(&["image", "import", tar.to_str().unwrap(), "localhost/volume:1", "--volume", "/www"]);
    let yaml = pod_with("web", &format!("echo started; {IDLE}"), more, spec);
    kube.play_with(&yaml.replace(BUSYBOX, "localhost/volume:1"), &["--runtime", runtime, "--wait"]);
    assert_eq!(kube.sh("web", "touch /www/kept; ls /www"), "index.html\nkept\n");
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
    assert_eq!(
        kube.sh("web", "ls /www"),
        "index.html\nkept\n",
        "a volume of the image outlives its container"
    );
    kube.ok(&["down", "pod/web"]);
}

#[test]
fn runc_runs_pods() {
    works_with("runc");
}

#[test]
fn crun_runs_pods() {
    if !in_vm() {
        return skip("crun before 1.9 refuses hybrid cgroups whose v2 side has a controller");
    }
    works_with("/usr/bin/crun");
}

#[test]
fn a_runtime_that_is_not_there_is_told() {
    let kube = Kube::new();
    let output = kube.try_play(&pod_with("web", IDLE, "", ""), &["--runtime", "/no/such/runtime"]);
    assert_ne!(output.code, 0);
    output.complains("/no/such/runtime");
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn runtime_class_name_chooses_an_installed_runtime() {
    let kube = Kube::new();
    let class = |name: &str| pod_with("web", IDLE, "", &format!("  runtimeClassName: {name}\n"));
    kube.play_with(&class("runc"), &["--wait"]);
    assert_ne!(state_left(&kube), [""; 0], "runc runs it");
    let played = kube.ok(&["generate", "web"]);
    assert!(played.stdout.contains("runtimeClassName: runc"), "{played}");
    kube.ok(&["down", "web", "--wait"]);
    // Only OCI runtimes are ever started.
    for name in ["busybox", "sh", "no-such"] {
        let output = kube.try_play(&class(name), &[]).expect(3);
        let output = output.complains(&format!("there is no RuntimeClass {name}"));
        output.complains("installed here: ").complains("runc");
    }
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn a_runtime_class_names_the_runtime_of_later_pods() {
    let kube = Kube::new();
    let class = |name: &str, handler: &str| {
        format!(
            "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {{name: {name}}}\nhandler: {handler}\n\
             overhead: {{podFixed: {{memory: 16Mi}}}}\n---\n"
        )
    };
    let pod = |name: &str| pod_with("web", IDLE, "", &format!("  runtimeClassName: {name}\n"));
    let output = kube.try_play(&(class("odd", "reboot") + &pod("odd")), &[]).expect(3);
    output.complains("the RuntimeClass odd has the handler \"reboot\"").complains("runc");
    kube.play(&class("plain", "runc")).says("runtimeclass.node.k8s.io/plain created");
    kube.play_with(&pod("plain"), &["--wait"]);
    assert_ne!(state_left(&kube), [""; 0], "runc runs it");
    let inspected = kube.ok(&["inspect", "web"]).json();
    assert_eq!(inspected["spec"]["overhead"]["memory"], "16Mi", "{inspected:#}");
    let generated = kube.ok(&["generate", "web"]);
    assert!(generated.stdout.contains("kind: RuntimeClass"), "{generated}");
    assert!(kube.ok(&["get", "runtimeclasses"]).stdout.contains("plain   runc"));
    kube.ok(&["down", "web", "runtimeclass/plain", "--wait"]);
}

/// Returns what runc, and the calls of runc, have left on disk.
fn state_left(kube: &Kube) -> Vec<String> {
    let state = kube.runroot().join("runtime");
    let folders = ["runtime", "calls", "containers", "bundles"].map(|name| state.join(name));
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    entries.map(|entry| entry.unwrap().path().display().to_string()).collect()
}

#[test]
fn no_state_of_another_runtime_stays() {
    let kube = Kube::new();
    let runc = ["--runtime", "runc"];
    let web = pod_with("web", IDLE, "", "");
    kube.play_with(&web, &runc);
    assert_ne!(state_left(&kube), [""; 0]);
    kube.ok(&["down", "web", "--wait"]);
    assert_eq!(state_left(&kube), [""; 0], "after down");
    // Containers that cannot be created: runc's init fails, or the program does not exist.
    for more in ["    workingDir: /etc/passwd", "    command: [/absent]"] {
        let yaml = if more.contains("command") {
            web.replace("    command: [sh,", "    command: [/absent,")
        } else {
            pod_with("web", IDLE, more, "")
        };
        kube.try_play(&yaml, &runc);
        kube.run(&["down", "--all", "--wait"]);
        kube.until_all(<[_]>::is_empty);
        kube.ok(&["down", "--all", "--wait"]);
        assert_eq!(state_left(&kube), [""; 0], "after {more}");
    }
    // The record of the runtime that created the pod is lost.
    kube.play_with(&web, &runc);
    for supervisor in kube.supervisors() {
        supervisor.kill(nix::sys::signal::Signal::SIGKILL);
        supervisor.ends_within(tests::limit(5));
    }
    for entry in std::fs::read_dir(kube.root().join("workloads")).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    kube.ok(&["ps"]);
    assert_eq!(state_left(&kube), [""; 0], "after a crash");
}
