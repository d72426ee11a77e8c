//! ConfigMaps and Secrets that appear, change or disappear while pods mount them.

use tests::{IDLE, Kube, pod_with};

fn map(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: late}}\ndata: {{{data}}}\n---\n")
}

fn secret(data: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: late}}\nstringData: {{{data}}}\n---\n")
}

#[test]
fn optional_objects_that_appear_later_reach_running_pods() {
    let kube = Kube::new();
    let mounts = "    volumeMounts:\n    - {name: m, mountPath: /m}\n    - {name: s, mountPath: /s}\n    \
                  - {name: i, mountPath: /i}\n";
    let spec = "  volumes:\n  - {name: m, configMap: {name: late, optional: true}}\n  \
                - {name: s, secret: {secretName: late, optional: true}}\n  \
                - {name: i, configMap: {name: late, optional: true, items: [{key: b, path: sub/b}]}}\n";
    let pod = pod_with("web", IDLE, mounts, spec);
    kube.play(&pod);
    assert_eq!(kube.sh("web", "ls /m /s /i"), "/i:\n\n/m:\n\n/s:\n");
    // By themselves, as by `kubectl create`.
    kube.play(&map("a: one"));
    kube.play(&secret("p: two"));
    assert_eq!(kube.sh("web", "cat /m/a /s/p; ls /i"), "onetwo");
    // A key that appears later, and one that disappears.
    kube.play(&(map("b: three") + &pod)).says("pod/web unchanged");
    assert_eq!(kube.sh("web", "cat /i/sub/b; ls /m"), "threeb\n");
    kube.play(&map("a: four"));
    assert_eq!(kube.sh("web", "cat /m/a; ls /i"), "four");
}

#[test]
fn a_pod_in_another_namespace_does_not_see_them() {
    let kube = Kube::new();
    let mounts = "    volumeMounts: [{name: m, mountPath: /m}]\n";
    let spec = "  volumes: [{name: m, configMap: {name: late, optional: true}}]\n";
    kube.play(&pod_with("web", IDLE, mounts, spec));
    kube.play(&map("a: one").replace("name: late", "name: late, namespace: other"));
    assert_eq!(kube.sh("web", "ls /m"), "");
}
