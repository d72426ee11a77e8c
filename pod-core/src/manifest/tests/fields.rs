//! Fields: unknown, missing, of a wrong type or value, not honoured.

use super::*;

#[test]
fn all_that_is_wrong_is_told_at_once() {
    insta::assert_snapshot!(told(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  lables: {a: b}
spec:
  ports: []
  hostNetwork: yes
  containers:
  - name: a
    image: 1
    imagepullPolicy: always
    env:
    - name: A
      value: NO
    command: sh
    livenessProbe: {exec: {command: [a], foo: 1}}
  - image: x
---
a: [
---
kind: Job
---
\ta: 1
---
apiVersion: v1
kind: ConfigMap
metadata: {name: Bad_Name}
data: {a: 1}
"
    ));
}

#[test]
fn an_unknown_field_is_told_with_what_was_meant() {
    insta::assert_snapshot!(gallery(
        [
            "containres: []",
            "Containers: []",
            "image: nginx\ncontainers: [{name: a, image: b}]",
            "env: []\ncontainers: [{name: a, image: b}]",
            "replicas: 2\ncontainers: [{name: a, image: b}]",
            "containers: [{name: a, image: b, hostNetwork: true, restartpolicy: Always, runAsUser: 1}]",
            "containers: [{name: a, image: b, ports: [{port: 80, targetPort: 80}]}]",
            "containers: [{name: a, image: b, volumes: [{name: x}], labels: {a: b}}]",
            "containers: [{name: a, image: b, resources: {memory: 1Gi}, environment: [], cmd: [a], entrypoint: [a]}]",
            "containers: [{name: a, image: b, zzz: 1, \"\\e[31m\": 1}]",
            "volumes: [{name: a, emptydir: {}}, {name: b, configmap: {name: c}}]\ncontainers: [{name: a, image: b}]",
        ],
        pod
    ));
}

#[test]
fn a_wrong_value_is_told_with_the_right_one() {
    insta::assert_snapshot!(gallery(
        [
            "imagePullPolicy: always",
            "imagePullPolicy: Sometimes",
            "imagePullPolicy: null",
            "image: ",
            "ports: [{containerPort: \"80\"}, {containerPort: 0}, {containerPort: 65536}, {containerPort: 80, protocol: tcp}]",
            "ports: [{hostPort: -1, containerPort: 1.5}]",
            "ports: {containerPort: 80}",
            "command: ls -l",
            "command: [sleep, 1, true, null, [a]]",
            "env: {A: b}",
            "env: [{name: A, value: 1}, {name: B, value: yes}, {name: C, value: 0644}, {value: x}, {name: ''}]",
            "env: [a, null]",
            "tty: \"true\"",
            "tty: 1",
            "stdin: maybe",
            "resources: {limits: {cpu: lots, memory: 1GB}}",
            "resources: {limits: [cpu]}",
            "securityContext: {runAsUser: -1, runAsGroup: 2147483648, privileged: null}",
            "securityContext: true",
            "lifecycle: {stopSignal: TERM}",
        ],
        container
    ));
}

#[test]
fn modes_are_octal() {
    let with = |mode: &str| {
        pod(&format!(
            "containers: [{{name: a, image: b}}]\nvolumes: [{{name: v, configMap: {{name: c, defaultMode: {mode}}}}}]"
        ))
    };
    for good in ["0644", "0o644", "420", "0", "0777", "511"] {
        assert_eq!(told(&with(good)), "", "{good}");
    }
    insta::assert_snapshot!(gallery(["644", "0888", "-1", "01777", "\"0644\""], |mode| pod(&format!(
        "containers: [{{name: a, image: b}}]\nvolumes: [{{name: v, configMap: {{name: c, defaultMode: {mode}}}}}]"
    ))));
}

#[test]
fn what_is_not_honoured_is_warned_of_once_and_not_in_its_parts() {
    insta::assert_snapshot!(told(&pod("\
activeDeadlineSeconds: 10
affinity:
  nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}
automountServiceAccountToken: true
enableServiceLinks: false
nodeSelector: {}
priority: null
containers:
- name: a
  image: b
  livenessProbe:
    httpGet: {port: http, path: /}
    periodSeconds: 5
  lifecycle: {preStop: {sleep: {seconds: 1}}}
  resources: {limits: {cpu: 1, ephemeral-storage: 1Gi, hugepages-2Mi: 2Mi, example.com/gpu: 1}}
  terminationMessagePolicy: File
volumes:
- name: p
  projected: {sources: []}
- name: q
  emptyDir: {medium: HugePages}
")));
}

#[test]
fn a_field_that_is_not_honoured_is_checked_all_the_same() {
    let text = told(&container(
        "livenessProbe:\n  httpGet: {port: 70000000000}\n  tcpsocket: {}\n  periodSeconds: 0",
    ));
    insta::assert_snapshot!(text);
}

#[test]
fn kinds_and_versions() {
    let object = |head: &str| format!("{head}\nmetadata: {{name: a}}\n");
    let texts = [
        "apiVersion: v1\nkind: Job",
        "apiVersion: batch/v1\nkind: CronJob",
        "apiVersion: v1\nkind: Namespace",
        "apiVersion: v1\nkind: pod",
        "apiVersion: v1\nkind: Deploymnet",
        "apiVersion: v1\nkind: Widget",
        "apiVersion: v1\nkind: \"\\e[2J\"",
        "apiVersion: apps/v1beta1\nkind: ConfigMap",
        "kind: ConfigMap",
        "apiVersion: v1",
        "apiVersion: 1\nkind: ConfigMap",
        "apiVersion: v1\nkind: [Pod]",
        "apiVersion: v1\nkind: PodList\nitem: []",
        "apiVersion: v1\nkind: List\nitems: {}",
        "apiVersion: v1\nkind: List\nitems: [1, {kind: Pod}]",
    ];
    let mut out = String::new();
    for text in texts {
        writeln!(out, "{text}\n=> {}\n", told(&object(text)).trim_end().replace('\n', "\n   ")).unwrap();
    }
    insta::assert_snapshot!(out);
}

#[test]
fn what_a_cluster_is_for_is_left_out_and_told_once_a_kind() {
    let text = include_str!("foreign.yaml");
    let loaded = read(text);
    assert_eq!(loaded.documents.len(), 1, "a Namespace, a ConfigMap, and what is left out");
    assert_eq!(loaded.documents[0].object.metadata().namespace.as_deref(), Some("shop"));
    insta::assert_snapshot!(shown(&loaded.diagnostics));
    let only = read("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: a}\n");
    assert!(only.documents.is_empty() && !only.has_errors());
}

#[test]
fn a_kind_that_is_nearly_one_of_ours_is_an_error() {
    let mut out = String::new();
    for head in [
        "{apiVersion: apps/v1, kind: Deplyoment}",
        "{apiVersion: extensions/v1beta1, kind: Deployment}",
        "{apiVersion: networking.k8s.io/v1, kind: Ingres}",
        "{apiVersion: app/v1, kind: Deploy}",
        "{apiVersion: v1, kind: SecretLists}",
        "{apiVersion: apps/v1, kind: StatefulSet}",
        "{kind: Foo}",
    ] {
        writeln!(out, "{head}\n=> {}\n", told(head).trim_end().replace('\n', "\n   ")).unwrap();
    }
    insta::assert_snapshot!(out);
}

#[test]
fn thousands_of_foreign_objects_hide_nothing_after_them() {
    let mut text = "apiVersion: v1\nkind: Event\nmetadata: {name: a}\n---\n".repeat(3000);
    text.push_str("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    let loaded = read(&text);
    assert_eq!((loaded.documents.len(), loaded.diagnostics.len()), (1, 1));
    assert!(loaded.diagnostics[0].message.ends_with("it needs a cluster (the first of 3000)"));
}

#[test]
fn warnings_that_say_the_same_are_told_once_and_errors_each_time() {
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  affinity: {{nodeAffinity: {{}}}}\n  \
             oops: 1\n  containers:\n  - {{name: a, image: b, startupProbe: {{exec: {{command: [a]}}}}}}\n  \
             - {{name: c, image: b, startupProbe: {{exec: {{command: [a]}}}}}}\n"
        )
    };
    let files = [source(&(pod("a") + "---\n" + &pod("b"))), source(&pod("c"))];
    insta::assert_snapshot!(shown(&load(&files, "default").diagnostics));
}

#[test]
fn a_kustomization_is_passed_over() {
    let kustomization = Source {
        name: "app/kustomization.yaml".to_owned(),
        text: "resources: [web.yaml]\n".to_owned(),
        ..source("")
    };
    let map = source("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    let loaded = load(&[kustomization.clone(), map], "default");
    assert_eq!(loaded.documents.len(), 1);
    let alone = load(&[kustomization], "default");
    insta::assert_snapshot!(shown(&loaded.diagnostics) + &shown(&alone.diagnostics));
}

#[test]
fn what_podman_takes_and_is_harmless_is_taken_and_told() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    \
                io.podman.annotations.autoremove: \"FALSE\"\n    io.podman.annotations.userns: keep-id\n    \
                io.podman.annotations.pids-limit/c: \"100\"\n    io.containers.autoupdate: registry\n    \
                bind-mount-options: /srv:Z\n    bind-mount-options:/opt: z\n    example.com/own: x\n\
                spec:\n  containers:\n  - name: c\n    image: b\n    env:\n    - {name: A, value: 8080}\n    \
                - {name: B, value: true}\n    - {name: C, value: 1.5}\n    ports: [{hostPort: 8080}]\n    \
                volumeMounts: [{name: v, mountPath: '/v:ro,Z'}]\n  volumes: [{name: v, emptyDir: {}}]\n---\n\
                apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: p\n  annotations:\n    \
                volume.podman.io/driver: local\n    volume.podman.io/uid: \"1000\"\nspec:\n  accessModes: \
                [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n";
    let loaded = read(text);
    insta::assert_snapshot!(shown(&loaded.diagnostics));
    let Object::Pod(pod) = &loaded.documents[0].object else { panic!() };
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let values: Vec<_> = container.env.iter().flatten().filter_map(|one| one.value.as_deref()).collect();
    assert_eq!(values, ["8080", "true", "1.5"]);
    assert_eq!(container.ports.as_ref().unwrap()[0].container_port, 8080);
    let mount = &container.volume_mounts.as_ref().unwrap()[0];
    assert_eq!((mount.mount_path.as_str(), mount.read_only), ("/v", Some(true)));
}

#[test]
fn what_podman_takes_and_could_be_meant_otherwise_is_an_error() {
    let texts = [
        "env: [{name: A, value: yes}, {name: B, value: 1.10}, {name: C, value: 0755}, {name: D, value: [1]}]",
        "env: [{name: 1, value: a}]",
        "ports: [{hostPort: 0}, {hostIP: 127.0.0.1}]",
        "volumeMounts: [{name: v, mountPath: '/v:U'}]",
    ];
    insta::assert_snapshot!(gallery(texts, |text| container(text) + "  volumes: [{name: v, emptyDir: {}}]\n"));
}

#[test]
fn documents_without_a_namespace_go_to_the_one_of_the_flag() {
    let map = |own: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{own}}}\n");
    let text = [map(""), map(", namespace: own"), map(", namespace: \"\"").replace("name: m", "name: other")]
        .join("---\n");
    let loaded = load(&[source(&text)], "shop");
    let namespaces: Vec<_> =
        loaded.documents.iter().map(|d| d.object.metadata().namespace.as_deref().unwrap()).collect();
    assert_eq!(namespaces, ["shop", "own", "shop"]);
}
