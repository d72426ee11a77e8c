//! Complete manifests that are valid.

use super::*;
use crate::kind::Kind;

const EVERYTHING: &str = include_str!("everything.yaml");

#[test]
fn a_pod_is_read_as_written() {
    let loaded = read(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  hostNetwork: yes\n  containers:\n  - name: a\n    image: b\n",
    );
    assert_eq!(loaded.diagnostics, []);
    let document = &loaded.documents[0];
    let Object::Pod(pod) = &document.object else { panic!("{document:?}") };
    assert_eq!(pod.metadata.namespace.as_deref(), Some("default"));
    assert_eq!(pod.spec.as_ref().unwrap().host_network, Some(true));
    assert_eq!(document.value["metadata"], serde_json::json!({"name": "web"}));
    assert_eq!(document.positions["spec.containers[0].image"], Position { line: 9, column: 12 });
    assert_eq!(document.positions["spec.containers"], Position { line: 7, column: 3 });
    assert_eq!(document.position, Position { line: 1, column: 1 });
    assert_eq!(document.dir, PathBuf::from("/dir"));
}

#[test]
fn every_honoured_field_is_taken_without_a_word() {
    assert_eq!(told(EVERYTHING), "");
    let kinds: Vec<_> = read(EVERYTHING).documents.iter().map(|document| document.object.kind()).collect();
    assert_eq!(kinds, Kind::played().collect::<Vec<_>>());
}

/// That manifest has every field that the support table calls honoured: so none of them causes a warning, and all of
/// them get into the typed object.
#[test]
fn every_honoured_field_stands_in_the_example() {
    let mut missing = Vec::new();
    for document in read(EVERYTHING).documents {
        let reader = kind::reader(document.object.kind()).unwrap();
        let written: std::collections::HashSet<String> = document
            .positions
            .keys()
            .map(|path| {
                path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
            })
            .flat_map(|path: String| {
                // The three probes have the same fields, of which no single one can have all; so have the hooks.
                let probes = &["livenessProbe.", "readinessProbe.", "startupProbe."][..];
                let hooks = &["postStart.", "preStop."][..];
                let own = [probes, hooks].into_iter().find_map(|kinds| {
                    kinds.iter().find(|kind| path.contains(**kind)).map(|own| (*own, kinds))
                });
                match own {
                    Some((own, kinds)) => kinds.iter().map(|kind| path.replace(own, kind)).collect(),
                    None => vec![path],
                }
            })
            .collect();
        let mut todo = vec![(reader.schema, String::new())];
        while let Some((ty, prefix)) = todo.pop() {
            for (field, (name, support)) in ty.fields.iter().zip(support::of(ty.name)) {
                if support.status != support::Status::Honoured {
                    continue;
                }
                let path = format!("{prefix}{name}");
                let nested =
                    path.to_lowercase().contains("template.spec") || path.contains("initContainers.");
                if !written.contains(&path) && !nested && *name != "matchExpressions" {
                    missing.push(path.clone());
                }
                if let Some(inner) = field.kind.object()
                    && !nested
                {
                    todo.push((inner, format!("{path}.")));
                }
            }
        }
    }
    missing.retain(|path| !path.starts_with("spec.selector.") && !path.ends_with("metadata.namespace"));
    missing.retain(|path| !path.to_lowercase().ends_with("template.metadata.name"));
    // A volume has one source.
    missing.retain(|path| !path.starts_with("spec.hostPath") && !path.starts_with("spec.local"));
    // Its meaning is that something does not work, which is a warning.
    missing.retain(|path| path != "spec.loadBalancerClass");
    missing.sort();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn numbers_and_quantities_reach_the_types() {
    let loaded = read(&pod(
        "terminationGracePeriodSeconds: 1e1\ncontainers:\n- name: a\n  image: b\n  resources: {limits: {cpu: 1, memory: 1.5e9}}\nvolumes:\n- name: c\n  configMap: {name: c, defaultMode: 0644}\n- name: d\n  secret: {secretName: c, defaultMode: 0o400}\n",
    ));
    assert_eq!(loaded.diagnostics, []);
    let Object::Pod(pod) = &loaded.documents[0].object else { panic!() };
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!(spec.termination_grace_period_seconds, Some(10));
    let limits = spec.containers[0].resources.as_ref().unwrap().limits.as_ref().unwrap();
    assert_eq!((limits["cpu"].0.as_str(), limits["memory"].0.as_str()), ("1", "1.5e9"));
    let volumes = spec.volumes.as_ref().unwrap();
    assert_eq!(volumes[0].config_map.as_ref().unwrap().default_mode, Some(420));
    assert_eq!(volumes[1].secret.as_ref().unwrap().default_mode, Some(256));
}

#[test]
fn a_list_gives_its_items() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n- apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: b, namespace: other}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: C}\n";
    let loaded = read(text);
    assert_eq!(
        shown(&loaded.diagnostics).lines().next().unwrap(),
        "error: f.yaml:15:20: items[2].metadata.name: \"C\" is not valid: at most 253 of a-z, 0-9, - and ., every part \
         beginning and ending with a letter or digit"
    );
    let names: Vec<_> = loaded
        .documents
        .iter()
        .map(|d| {
            (d.object.metadata().name.as_deref().unwrap(), d.object.metadata().namespace.as_deref().unwrap())
        })
        .collect();
    assert_eq!(names, [("a", "default"), ("b", "other")]);
    assert_eq!(loaded.documents[1].positions["metadata.name"], Position { line: 12, column: 22 });
}

#[test]
fn secrets_and_config_maps_keep_their_text() {
    let loaded = read(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\ndata:\n  c: |\n    aGVs\n    bG8=\n  e:\n",
    );
    assert_eq!(loaded.diagnostics, []);
    let Object::Secret(secret) = &loaded.documents[0].object else { panic!() };
    let data = secret.data.as_ref().unwrap();
    assert_eq!((data["c"].0.as_slice(), data["e"].0.as_slice()), (&b"hello"[..], &b""[..]));
    assert_eq!(secret.string_data.as_ref().unwrap()["a"], "b");
    assert_eq!(loaded.documents[0].value["stringData"]["a"], "b");
    let loaded = read(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  folded: >-\n    a\n    b\n  kept: |+\n    x\n\n  \"quoted\": \"tab\\there\"\n  1: \"one\"\n",
    );
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(
        loaded.documents[0].value["data"],
        serde_json::json!({"folded": "a b", "kept": "x\n\n", "quoted": "tab\there", "1": "one"})
    );
}

#[test]
fn what_kubectl_writes_for_nothing_is_no_use_of_a_field() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  creationTimestamp: null\n  labels: {app: web}\n  name: web\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: web}}\n  strategy: {}\n  template:\n    metadata:\n      creationTimestamp: null\n      labels: {app: web}\n    spec:\n      containers:\n      - {image: nginx, name: nginx, resources: {}}\n      schedulerName: default-scheduler\nstatus: {}\n";
    assert_eq!(told(text), "");
}
