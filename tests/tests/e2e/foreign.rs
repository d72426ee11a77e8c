//! Manifests for a cluster: objects that only a cluster can use are left out with a warning, and the rest runs.

use tests::{IDLE, Kube, host_port, pod, pod_with};

const CLUSTER_ONLY: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: db, namespace: shop}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: web, namespace: shop}
";

#[test]
fn what_needs_a_cluster_does_not_keep_the_pod_beside_it_from_running() {
    let kube = Kube::new();
    let web = pod("web", IDLE, "").replace("  name: web\n", "  name: web\n  namespace: shop\n");
    let file = kube.manifest(&format!("{CLUSTER_ONLY}---\n{web}"));
    let played = kube.ok(&["play", &file]);
    assert_eq!(played.stderr.matches("warning: ").count(), 2, "{played}");
    assert!(
        played.stderr.contains("ServiceAccount \"web\" is left out: it needs a cluster (the first of 2)"),
        "{played}"
    );
    kube.ok(&["ps", "-n", "shop"]).says("web");
    kube.run(&["check", "--strict", &file]).expect(3).complains("2 errors");
    kube.ok(&["down", &file]);
    assert_eq!(kube.pods(), Vec::<String>::new());
}

#[test]
fn a_file_of_nothing_but_foreign_kinds_is_played_and_taken_down() {
    let kube = Kube::empty();
    let file = kube.manifest(CLUSTER_ONLY);
    for command in [["play", &file], ["check", &file], ["down", &file]] {
        let output = kube.ok(&command);
        assert_eq!(output.stdout, "", "{output}");
    }
    let file = kube
        .manifest("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: s}, spec: {}}");
    kube.ok(&["play", &file]).complains("the NetworkPolicy \"s\" is left out");
    kube.run(&["play", "--strict", &file]).expect(3);
    let file = kube.manifest("{apiVersion: batch/v1, kind: Job, metadata: {name: j}}");
    kube.run(&["play", &file]).expect(3).complains("the kind Job is not played yet");
}

#[test]
fn check_does_not_say_that_nothing_was_done_and_play_does() {
    let kube = Kube::empty();
    let file = kube.manifest("{apiVersion: apps/v1, kind: Deplyoment, metadata: {name: a}}");
    let checked = kube.run(&["check", &file]).expect(3).complains("did you mean Deployment?");
    assert!(!checked.stderr.contains("nothing was done"), "{checked}");
    kube.run(&["play", &file]).expect(3).complains("nothing was done");
}

#[test]
fn a_kustomization_in_a_folder_is_passed_over() {
    let kube = Kube::empty();
    std::fs::create_dir(kube.dir().join("app")).unwrap();
    kube.file("app/kustomization.yaml", "resources: [map.yaml]\n");
    kube.file("app/map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}}");
    let folder = kube.dir().join("app").display().to_string();
    kube.ok(&["check", &folder]).says("configmap/m valid").complains("kubectl kustomize");
}

#[test]
fn what_podman_takes_runs_and_is_told() {
    let kube = Kube::new();
    let container = "    env: [{name: PORT, value: 8080}, {name: DEBUG, value: true}]\n    ports: [{hostPort: 8080}]\n    \
                     volumeMounts: [{name: v, mountPath: '/v:ro,Z'}]\n";
    let spec = "  hostNetwork: false\n  volumes: [{name: v, emptyDir: {}}]\n";
    let port = host_port();
    let yaml = pod_with("web", IDLE, container, spec)
        .replace("8080}]\n    vol", &format!("{}}}]\n    vol", port.number))
        .replace("  name: web\n", "  name: web\n  annotations: {io.podman.annotations.userns: keep-id}\n");
    let played = kube.play(&yaml);
    for warning in
        ["io.podman.annotations.userns", "the first of 2", "containerPort is the same", "mount options"]
    {
        assert!(played.stderr.contains(warning), "{warning}: {played}");
    }
    assert_eq!(
        kube.sh("web", "echo $PORT $DEBUG; touch /v/x 2>/dev/null || echo read-only").trim(),
        "8080 true\nread-only"
    );
    let pod = kube.pod("web");
    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["containerPort"], port.number);
}

#[test]
fn a_pod_for_another_system_is_an_error_and_one_for_this_is_no_warning() {
    let kube = Kube::empty();
    let selecting = |os: &str| pod("web", IDLE, &format!("  nodeSelector: {{kubernetes.io/os: {os}}}\n"));
    let file = kube.manifest(&selecting("windows"));
    kube.run(&["check", &file]).expect(3).complains("this machine is linux, not windows");
    let file = kube.manifest(&selecting("linux"));
    kube.ok(&["check", "--strict", &file]);
}

#[test]
fn a_device_that_is_asked_for_as_a_resource_is_there() {
    let kube = Kube::new();
    let with = |device: &str| {
        pod_with("web", IDLE, &format!("    resources: {{limits: {{'podman.io/device={device}': 1}}}}\n"), "")
    };
    // Everybody may open the kernel's log for writing, so whether that works depends only on the device rules.
    let open =
        "(exec 3>/dev/messages) 2>/dev/null && echo opened || echo refused; test -c /dev/messages && ls /dev";
    for (access, result) in [("w", "opened"), ("r", "refused")] {
        kube.play(&with(&format!("/dev/kmsg:/dev/messages:{access}")));
        let shown = kube.sh("web", open);
        let mut lines = shown.lines();
        assert_eq!(lines.next(), Some(result), "{shown}");
        assert!(lines.all(|name| name != "kmsg"), "{shown}");
    }
    kube.ok(&["down", "web"]);
    let failed = kube.try_play(&with("/dev/no-such-device"), &[]);
    assert_ne!(failed.code, 0);
    failed.complains("this machine has no device /dev/no-such-device");
}
