//! What volumes take on disk, and what happens when it is too much.

use tests::{IDLE, Kube, pod_with};

#[test]
fn a_pod_whose_empty_dir_grows_beyond_its_size_limit_is_evicted() {
    let kube = Kube::new();
    let mounts = "    volumeMounts: [{name: v, mountPath: /v}, {name: w, mountPath: /w}]\n";
    let spec =
        "  volumes:\n  - {name: v, emptyDir: {sizeLimit: 1Mi}}\n  - {name: w, emptyDir: {sizeLimit: 1Gi}}\n";
    let script = format!("dd if=/dev/zero of=/w/big bs=1M count=2; {IDLE}");
    kube.play(&pod_with("web", &script, mounts, spec));
    kube.sh("web", "dd if=/dev/zero of=/v/big bs=1M count=2");
    kube.until_all(|pods| pods[0]["status"]["phase"] == "Failed");
    let status = kube.pod("web")["status"].clone();
    assert_eq!(status["reason"], "Evicted", "{status:#}");
    assert_eq!(status["message"], "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ");
    let list = kube.ok(&["ps"]).stdout;
    assert!(list.contains("Evicted"), "{list}");
    let events = kube.ok(&["events"]).stdout;
    assert!(events.contains("Usage of EmptyDir volume"), "{events}");
}

#[test]
fn a_container_over_its_limit_of_ephemeral_storage_is_evicted_with_its_pod() {
    let kube = Kube::new();
    let limit = "    resources: {limits: {ephemeral-storage: 1Mi}}";
    kube.play(&pod_with("web", IDLE, limit, ""));
    kube.sh("web", "dd if=/dev/zero of=/big bs=1M count=2");
    kube.until_all(|pods| pods[0]["status"]["phase"] == "Failed");
    let status = kube.pod("web")["status"].clone();
    assert_eq!(status["reason"], "Evicted", "{status:#}");
    let message = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ";
    assert_eq!(status["message"], message);
}
