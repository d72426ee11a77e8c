//! The rules of host names, security, and annotations with limits.

use super::*;

#[test]
fn rules_of_host_names() {
    let long = format!("containers: [{{name: a, image: b}}]\nhostnameOverride: {}", "a".repeat(65));
    insta::assert_snapshot!(gallery(
        [
            "containers: [{name: a, image: b}]\nhostnameOverride: a.example.com",
            "containers: [{name: a, image: b}]\nhostnameOverride: A_b",
            long.as_str(),
            "containers: [{name: a, image: b}]\nhostnameOverride: a\nhostNetwork: true\nsetHostnameAsFQDN: true",
        ],
        pod
    ));
}

#[test]
fn rules_of_proc_mount_and_user_namespaces() {
    insta::assert_snapshot!(gallery(
        [
            "containers: [{name: a, image: b, securityContext: {procMount: Unmasked}}]",
            "containers: [{name: a, image: b, securityContext: {procMount: unmasked}}]",
            "containers: [{name: a, image: b, securityContext: {procMount: Unmasked}}]\nhostUsers: false",
            "containers: [{name: a, image: b}]\nhostUsers: false\nhostNetwork: true\nhostPID: true\nhostIPC: true",
            "containers: [{name: a, image: b, volumeDevices: [{name: disk, devicePath: /dev/x}]}]\nhostUsers: false\nvolumes: [{name: disk, persistentVolumeClaim: {claimName: c}}, {name: net, nfs: {server: a, path: /b}}]",
        ],
        pod
    ));
}

#[test]
fn rules_of_apparmor_profiles() {
    insta::assert_snapshot!(gallery(
        [
            "containers: [{name: a, image: b, securityContext: {appArmorProfile: {type: Localhost}}}]",
            "containers: [{name: a, image: b, securityContext: {appArmorProfile: {type: Localhost, localhostProfile: ' x'}}}]",
            "containers: [{name: a, image: b}]\nsecurityContext: {appArmorProfile: {type: Unconfined, localhostProfile: x}}",
            "containers: [{name: a, image: b}]\nsecurityContext: {appArmorProfile: {type: RuntimeDefault}}",
        ],
        pod
    ));
    let annotated = |text: &str| {
        let key = "container.apparmor.security.beta.kubernetes.io";
        let profile = "securityContext: {appArmorProfile: {type: Unconfined}}";
        let annotations = text.replace("KEY", key);
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: web, annotations: {{{annotations}}}}}\n\
             spec: {{containers: [{{name: app, image: a, {profile}}}, {{name: b, image: b}}]}}\n"
        )
    };
    insta::assert_snapshot!(gallery(
        [
            "KEY/b: localhost/x, KEY/app: unconfined",
            "KEY/app: runtime/default",
            "KEY/c: unconfined",
            "KEY/b: web",
        ],
        annotated
    ));
}

#[test]
fn rules_of_annotations_with_limits() {
    let annotated = |text: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: web, annotations: {{{text}}}}}\n\
             spec: {{containers: [{{name: app, image: a:1}}]}}\n"
        )
    };
    insta::assert_snapshot!(gallery(
        [
            "kube-play/ulimit.nofile: '65536', kube-play/pids-limit: '100'",
            "kube-play/ulimit.files: '1'",
            "kube-play/ulimit.nofile: '2:1'",
            "kube-play/pids-limit: many",
            "io.podman.annotations.ulimit: 'nofile=1024:2048,nproc=100', io.podman.annotations.pids-limit/app: '50'",
            "io.podman.annotations.ulimit: nofile",
        ],
        annotated
    ));
}

#[test]
fn rules_of_resources() {
    let pod_with = |text: &str| pod(&format!("containers: [{{name: a, image: b, {text}}}]"));
    insta::assert_snapshot!(gallery(
        [
            "resources: {limits: {hugepages-2Mi: 4Mi}}",
            "resources: {limits: {cpu: 1, hugepages-2Mi: 4Mi}, requests: {hugepages-2Mi: 2Mi}}",
            "resources: {requests: {cpu: 1, hugepages-2Mi: 2Mi}}",
            "resources: {limits: {cpu: 1, hugepages-big: 2Mi}}",
            "resources: {limits: {vendor.com/gpu: 1500m}}",
            "resources: {limits: {vendor.com/gpu: 2}, requests: {vendor.com/gpu: 1}}",
            "resources: {limits: {ephemeral-storage: 1Gi, vendor.com/gpu: 1}}",
        ],
        pod_with
    ));
    insta::assert_snapshot!(gallery(
        [
            "resources: {limits: {cpu: 1, memory: 1Gi}}\ncontainers: [{name: a, image: b}]",
            "resources: {limits: {ephemeral-storage: 1Gi}, requests: {vendor.com/gpu: 1}, claims: [{name: x}]}\ncontainers: [{name: a, image: b}]",
            "resources: {requests: {cpu: 100m}}\ncontainers: [{name: a, image: b, resources: {requests: {cpu: 80m}}}, {name: c, image: b, resources: {limits: {cpu: 30m}}}]",
            "resources: {limits: {cpu: 1}, requests: {cpu: 2}}\ncontainers: [{name: a, image: b}]",
            "resources: {limits: {memory: 1Gi}}\ncontainers: [{name: a, image: b, resources: {limits: {memory: 2Gi}, requests: {memory: 1Mi}}}]",
        ],
        pod
    ));
}

#[test]
fn rules_of_resize_policies() {
    let pod_with =
        |text: &str| pod(&format!("restartPolicy: Never\ncontainers: [{{name: a, image: b, {text}}}]"));
    insta::assert_snapshot!(gallery(
        [
            "resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]",
            "resizePolicy: [{resourceName: disk, restartPolicy: NotRequired}, {resourceName: cpu, restartPolicy: Never}]",
            "resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}, {resourceName: memory, restartPolicy: NotRequired}]",
        ],
        pod_with
    ));
}
