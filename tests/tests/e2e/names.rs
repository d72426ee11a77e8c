//! Names of the greatest length that Kubernetes allows.

use nix::sys::signal::Signal;
use tests::{IDLE, Kube, pod_with};

/// Returns names of 253 characters: one with dots, as in DNS, and one without, which Kubernetes also allows.
fn longest() -> [String; 2] {
    let dotted = ["a", "b", "c", "d"].map(|part| part.repeat(62)).join(".") + "e";
    [dotted + "f", "l".repeat(253)]
}

#[test]
fn everything_may_have_a_name_of_253_characters() {
    let kube = Kube::new();
    for long in longest() {
        assert_eq!(long.len(), 253);
        let namespace = "n".repeat(63);
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {long}}}\ndata: {{k: from the map}}\n---\n\
             apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {long}}}\nspec: {{accessModes: \
             [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {long}}}\nspec:\n  selector: {{matchLabels: {{a: b}}}}\n  \
             template:\n    metadata: {{labels: {{a: b}}}}\n    spec: {{terminationGracePeriodSeconds: 0, containers: \
             [{{name: c, image: \"{image}\", command: [sleep, '3600']}}]}}\n---\n{pod}",
            image = tests::image::BUSYBOX,
            pod = pod_with(
                &long,
                IDLE,
                &format!(
                    "    env: [{{name: K, valueFrom: {{configMapKeyRef: {{name: {long}, key: k}}}}}}]\n    \
                     volumeMounts: [{{name: v, mountPath: /v}}]"
                ),
                &format!("  volumes: [{{name: v, persistentVolumeClaim: {{claimName: {long}}}}}]\n"),
            )
            .replace(&format!("app: {long}"), "app: web"),
        );
        let file = kube.manifest(&text);
        kube.ok(&["-n", &namespace, "play", &file]);
        let exec =
            |script: &str| kube.ok(&["-n", &namespace, "exec", &long, "--", "sh", "-c", script]).stdout;
        assert_eq!(exec("hostname").trim(), long[..63].trim_end_matches(['.', '-']));
        assert_eq!(exec("echo $K").trim(), "from the map");
        kube.ok(&["-n", &namespace, "play", &file]).says("unchanged");
        // The name of the folder is enough to start a killed supervisor again.
        for supervisor in kube.supervisors() {
            supervisor.kill(Signal::SIGKILL);
        }
        assert_eq!(exec("echo $K").trim(), "from the map");
        kube.ok(&["-n", &namespace, "down", &file, "--volumes", "--wait"]);
        let workloads = std::fs::read_dir(kube.root().join("workloads")).into_iter().flatten().count();
        assert_eq!(workloads, 0);
        assert_eq!(kube.ok(&["ps", "-A", "--no-headers"]).lines().len(), 0);
    }
}
