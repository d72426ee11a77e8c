//! A play that fails: its changes are undone, its messages are true, and its events can still be read.

use tests::{IDLE, Kube, pod, pod_with};

/// Returns a pod that mounts claims and whose container cannot be started.
fn unstartable(name: &str, claims: &[&str]) -> String {
    let mounts: Vec<String> = claims.iter().map(|c| format!("{{name: {c}, mountPath: /{c}}}")).collect();
    let sources = claims.iter().map(|c| format!("{{name: {c}, persistentVolumeClaim: {{claimName: {c}}}}}"));
    let sources: Vec<String> = sources.collect();
    let container = format!("    volumeMounts: [{}]\n", mounts.join(", "));
    let volumes = format!("  volumes: [{}]\n", sources.join(", "));
    pod_with(name, "", &container, &volumes).replace("[sh, -c, \"\"]", "[nosuchprogram]")
}

fn names(kube: &Kube, of: &str) -> Vec<String> {
    kube.ok(&[of, "ls", "-o", "name"]).stdout.lines().map(str::to_owned).collect()
}

#[test]
fn undo_takes_networks_and_claims_that_the_play_made_and_only_those() {
    let kube = Kube::new();
    kube.ok(&["network", "create", "mine"]);
    let keeps = unstartable("keeps", &["kept"]).replace("[nosuchprogram]", "[\"true\"]");
    kube.play_with(&(keeps + "  restartPolicy: Never\n"), &["--network", "before"]);
    kube.try_play(&unstartable("fails", &["new", "kept"]), &["--network", "made"])
        .expect(1)
        .complains("nosuchprogram");
    kube.try_play(&unstartable("fails", &["new"]), &["--network", "mine"]).expect(1);
    assert_eq!(names(&kube, "network"), ["network/before", "network/mine"]);
    assert_eq!(names(&kube, "volume"), ["persistentvolumeclaim/kept"]);
    // The default network is created on first use too.
    kube.try_play(&unstartable("fails", &[]), &[]).expect(1);
    assert_eq!(names(&kube, "network"), ["network/before", "network/mine"]);
}

#[test]
fn what_another_pod_has_come_to_use_is_left() {
    let kube = Kube::new();
    // The first document starts and creates both; the second fails after another play has begun to use them.
    let gate = kube.file("gate/x", "");
    let gate = std::path::Path::new(&gate).parent().unwrap().to_str().unwrap();
    let script = "touch /gate/up; while [ ! -e /gate/go ]; do sleep 0.05; done; exit 7";
    let held = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: held}}\nspec:\n  restartPolicy: Never\n  \
         terminationGracePeriodSeconds: 0\n  volumes: [{{name: g, hostPath: {{path: {gate}}}}}, \
         {{name: v, persistentVolumeClaim: {{claimName: shared}}}}]\n  initContainers: [{{name: gate, image: \
         localhost/busybox:1, command: [sh, -c, {script:?}], volumeMounts: [{{name: g, mountPath: /gate}}, \
         {{name: v, mountPath: /v}}]}}]\n  containers: [{{name: main, image: localhost/busybox:1}}]\n"
    );
    let file = kube.manifest(&held);
    let mut playing = kube.start(&["play", &file, "--network", "shared"]);
    playing.line(|line| line.contains("waiting for"));
    let uses = pod_with(
        "uses",
        IDLE,
        "    volumeMounts: [{name: v, mountPath: /v}]\n",
        "  volumes: [{name: v, persistentVolumeClaim: {claimName: shared}}]\n",
    );
    kube.play_with(&uses, &["--network", "shared"]);
    std::fs::write(format!("{gate}/go"), "").unwrap();
    assert_eq!(playing.end().0, 1);
    assert_eq!(names(&kube, "network"), ["network/shared"]);
    assert_eq!(names(&kube, "volume"), ["persistentvolumeclaim/shared"]);
    assert_eq!(kube.sh("uses", "touch /v/x && ls /v"), "x\n");
}

/// Returns an init container as a part of a pod's spec.
fn init(policy: &str, script: &str) -> String {
    format!(
        "  restartPolicy: {policy}\n  initContainers: [{{name: prepare, image: localhost/busybox:1, command: [sh, -c, \
         {script:?}]}}]\n"
    )
}

#[test]
fn what_a_failed_container_wrote_last_is_told_and_the_pod_stays_with_its_logs() {
    let kube = Kube::new();
    let script = "for i in $(seq 1 30); do echo line $i; done; echo why >&2; printf half; exit 3";
    let output = kube.try_play(&pod("web", IDLE, &init("Never", script)), &[]).expect(1);
    assert!(output.stdout.contains("pod/web created"), "{output}");
    assert_eq!(kube.pods(), ["web"], "{output}");
    assert_eq!(kube.pod("web")["status"]["phase"], "Failed");
    kube.ok(&["logs", "web", "-c", "prepare"]).says("line 1\n");
    let again = kube.try_play(&pod("web", IDLE, &init("Never", script)), &[]).expect(0);
    assert!(again.stdout.contains("pod/web unchanged (Init:Error)"), "{again}");
    let shows = |text: &str| output.stderr.contains(text);
    assert!(shows("pod/web: container prepare wrote last:\n"), "{output}");
    assert!(shows("  line 30\n") && shows("  why\n") && shows("  half\n"), "{output}");
    assert!(!shows("line 22\n"), "ten lines at most: {output}");
    assert_eq!(output.stderr.matches("exit code 3").count(), 1, "{output}");
    let events = kube.ok(&["events", "--for", "pod/web"]);
    events.says("Started container prepare");
}

/// Returns a container that `play` waits for longer than for another one that fails at once.
fn slow() -> String {
    let hook = "lifecycle: {postStart: {sleep: {seconds: 1}}}";
    format!("  - {{name: slow, image: localhost/busybox:1, command: [sh, -c, {IDLE:?}], {hook}}}\n")
}

#[test]
fn an_app_container_that_has_failed_when_play_returns_is_told_and_the_pod_stays() {
    let kube = Kube::new();
    let script = "for i in $(seq 1 30); do echo line $i; done; echo why >&2; exit 3";
    for (policy, why, status) in [
        ("Never", "container main failed with exit code 3", "Error"),
        (
            "Always",
            "container main: CrashLoopBackOff: it ended with exit code 3 and is tried again",
            "CrashLoopBackOff",
        ),
    ] {
        let yaml = pod("web", script, &format!("  restartPolicy: {policy}\n")) + &slow();
        let output = kube.try_play(&yaml, &[]).expect(1);
        let output = output.says("pod/web created").complains(&format!("pod/web: {why}"));
        let output =
            output.complains("pod/web: container main wrote last:\n  line 22\n").complains("  why\n");
        assert!(!output.stderr.contains("line 21\n") && !output.stderr.contains("undone"), "{output}");
        assert!(kube.ok(&["ps", "web", "--no-headers"]).stdout.contains(status));
        kube.ok(&["logs", "web", "-c", "main"]).says("line 1\n");
        kube.ok(&["down", "web"]);
    }
    // A pod that has recovered by then, or whose exit code asks for a restart, is none that has failed.
    let recovers =
        format!("test -e /v/again && exec sh -c '{}'; touch /v/again; exit 1", IDLE.replace('\'', "'\\''"));
    let mount = "    volumeMounts: [{name: v, mountPath: /v}]";
    let volume = "  volumes: [{name: v, emptyDir: {}}]\n";
    kube.play(&(pod_with("recovers", &recovers, mount, volume) + &slow()));
}

#[test]
fn an_init_container_that_fails_again_and_again_is_told_and_the_pod_keeps_trying() {
    let kube = Kube::new();
    let broken = pod("web", IDLE, &init("Always", "echo no database; exit 4"));
    let all = [broken, pod("other", IDLE, "")].join("---\n");
    let output = kube.try_play(&all, &[]).expect(1);
    let output =
        output.complains("pod/web: init container prepare: CrashLoopBackOff").complains("exit code 4");
    let output = output.complains("container prepare wrote last:\n  no database\n");
    assert!(!output.stderr.contains("undone"), "{output}");
    kube.wait("other", "ready");
    assert!(kube.ok(&["ps", "web", "--no-headers"]).stdout.contains("Init:"));
    // A changed manifest replaces the pod.
    kube.play(&pod("web", IDLE, &init("Always", "exit 0")));
    kube.wait("web", "ready");
}

#[test]
fn a_wait_ends_with_the_last_lines_of_a_container_that_does_not_stay_up() {
    let kube = Kube::new();
    let probe = "    readinessProbe: {exec: {command: [\"false\"]}}";
    let output = kube.try_play(&pod_with("web", "echo no config; exit 5", probe, ""), &["--wait"]).expect(1);
    output
        .complains("pod/web: container main: CrashLoopBackOff: it ended with exit code 5")
        .complains("container main wrote last:\n  no config\n");
    assert_eq!(kube.pods(), ["web"]);
}

#[test]
fn a_failed_container_is_told_though_its_end_was_waited_for() {
    let kube = Kube::new();
    let never = "  restartPolicy: Never\n";
    let output = kube.try_play(&pod("job", "echo no input; exit 6", never), &["--wait=complete"]).expect(6);
    output.complains("pod/job: container main wrote last:\n  no input\n");
    let output = kube.try_play(&pod("web", IDLE, &init("Never", "exit 7")), &["--wait=complete"]).expect(7);
    assert!(!output.stderr.contains("undone"), "{output}");
}

#[test]
fn what_could_not_even_be_tried_sends_nobody_to_events() {
    let kube = Kube::new();
    let missing = pod("web", IDLE, "").replace("localhost/busybox:1", "localhost/absent:1");
    let missing = missing.replace("    command:", "    imagePullPolicy: Never\n    command:");
    let output = kube.try_play(&missing, &[]).expect(1);
    assert!(!output.stderr.contains("kube events"), "{output}");
}
