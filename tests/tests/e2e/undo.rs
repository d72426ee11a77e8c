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

#[test]
fn what_a_failed_container_wrote_last_is_told_and_its_events_stay() {
    let kube = Kube::new();
    let script = "for i in $(seq 1 30); do echo line $i; done; echo why >&2; printf half; exit 3";
    let init = format!(
        "  restartPolicy: Never\n  initContainers: [{{name: prepare, image: localhost/busybox:1, command: [sh, -c, \
         {script:?}]}}]\n"
    );
    let output = kube.try_play(&pod("web", IDLE, &init), &[]).expect(1);
    assert_eq!(kube.pods().len(), 0, "{output}");
    let shows = |text: &str| output.stderr.contains(text);
    assert!(shows("pod/web: container prepare wrote last:\n"), "{output}");
    assert!(shows("  line 30\n") && shows("  why\n") && shows("  half\n"), "{output}");
    assert!(!shows("line 22\n"), "ten lines at most: {output}");
    assert_eq!(output.stderr.matches("exit code 3").count(), 1, "{output}");
    let events = kube.ok(&["events", "--for", "pod/web"]);
    events.says("Started container prepare");
}

#[test]
fn what_could_not_even_be_tried_sends_nobody_to_events() {
    let kube = Kube::new();
    let missing = pod("web", IDLE, "").replace("localhost/busybox:1", "localhost/absent:1");
    let missing = missing.replace("    command:", "    imagePullPolicy: Never\n    command:");
    let output = kube.try_play(&missing, &[]).expect(1);
    assert!(!output.stderr.contains("kube events"), "{output}");
}
