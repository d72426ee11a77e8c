//! Tests that the objects that a workload uses are generated with it.

use super::*;

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  imagePullSecrets: [{name: pull}]
  containers:
  - name: web
    image: r.example/web:1
    envFrom:
    - configMapRef: {name: settings}
    - secretRef: {name: gone, optional: true}
    env:
    - {name: A, valueFrom: {secretKeyRef: {name: passwords, key: a}}}
    - {name: B, valueFrom: {configMapKeyRef: {name: missing, key: b}}}
  volumes:
  - {name: made, persistentVolumeClaim: {claimName: made}}
  - {name: first-use, persistentVolumeClaim: {claimName: first-use}}
---
apiVersion: v1
kind: Secret
metadata: {name: passwords}
stringData: {a: hunter2, b: 'yes'}
---
apiVersion: v1
kind: Secret
metadata: {name: pull}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths": {}}'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {MODE: 'on', file: "one\ntwo\n"}
binaryData: {raw: AAECAw==}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: unused}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: made}
spec:
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 5Gi}}
"#;

#[test]
fn config_maps_secrets_and_claims_come_before_workloads() {
    insta::assert_snapshot!(played(MANIFESTS).text(&Options::default()));
}

#[test]
fn references_name_every_used_object() {
    let machine = played(MANIFESTS);
    let keys = references(&machine.subjects()).unwrap();
    let names: Vec<String> = keys.into_iter().map(|id| format!("{}/{}", id.kind.name(), id.name)).collect();
    assert_eq!(
        names,
        [
            "ConfigMap/settings",
            "Secret/gone",
            "Secret/passwords",
            "ConfigMap/missing",
            "PersistentVolumeClaim/made",
            "PersistentVolumeClaim/first-use",
            "Secret/pull",
        ]
    );
}

#[test]
fn values_of_secrets_are_written_when_requested() {
    let options = Options { include_secrets: true, ..Options::default() };
    let documents = played(MANIFESTS).generate(&options).unwrap().documents;
    let passwords = documents.iter().find(|d| d["metadata"]["name"] == "passwords").unwrap();
    assert_eq!(passwords["data"], json!({"a": "aHVudGVyMg==", "b": "eWVz"}));
}

#[test]
fn objects_that_were_played_into_a_namespace_name_it() {
    let source = Source { name: "x".to_owned(), dir: PathBuf::from("/"), text: MANIFESTS.to_owned() };
    let plan = plan(&manifest::load(&[source], "shop").documents, &PlanOptions::default()).unwrap().0;
    let facts = Facts::default();
    let record = recorded(&plan.workloads[0]);
    let subject = Subject { record: &record, pod: None, container: None };
    let service = Options { service: true, ..Options::default() };
    for document in generate(&[subject], &service, &facts).unwrap().documents {
        assert_eq!(document["metadata"]["namespace"], "shop", "{document:#}");
    }
}

#[test]
fn images_are_pinned_where_the_digest_is_known() {
    let mut machine = played(MANIFESTS);
    let pinned = format!("r.example/web:1@sha256:{}", "a".repeat(64));
    machine.facts.pins.insert("r.example/web:1".to_owned(), pinned.clone());
    let text = machine.text(&Options::default());
    assert!(text.contains(&format!("image: {pinned}\n")), "{text}");
    read(text.split("warning:").next().unwrap());
}

#[test]
fn the_services_that_select_the_pods_are_written_as_they_were_given() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\nspec: {containers: [{name: c, \
                image: app, ports: [{name: http, containerPort: 8080}]}]}\n";
    let mut machine = played(text);
    let mut service = |name: &str, given: Value, allocated: Value| {
        let whole = |spec: Value| json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
        let mut recorded = given.clone();
        recorded.as_object_mut().unwrap().extend(allocated.as_object().unwrap().clone());
        let id = ObjectRef::new(Kind::Service, "default", name);
        machine.facts.services.insert(id, RecordedService { recorded: whole(recorded), given: whole(given) });
    };
    service(
        "web",
        json!({"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}),
        json!({
            "clusterIP": "10.1.0.7", "ipFamilies": ["IPv4"],
            "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP", "nodePort": 30123}],
        }),
    );
    service(
        "inside",
        json!({"clusterIP": "None", "selector": {"app": "web"}}),
        json!({"clusterIPs": ["None"]}),
    );
    service("other", json!({"selector": {"app": "db"}, "ports": [{"port": 80}]}), json!({}));
    // Without a Service of that name, one would be made of the ports.
    let options = Options { service: true, ..Options::default() };
    insta::assert_snapshot!(machine.text(&options));
}

const VOLUME: &str = r"
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec:
  capacity: {storage: 5Gi}
  accessModes: [ReadWriteMany]
  hostPath: {path: /srv/disk}
---
";

/// The host of `MANIFESTS` on which the claim `made` is bound to the PersistentVolume `disk`.
fn with_volume() -> Machine {
    let mut machine = played(&format!("{VOLUME}{MANIFESTS}"));
    let claim = ObjectRef::new(Kind::PersistentVolumeClaim, "default", "made");
    machine.facts.volumes.insert(claim, "disk".to_owned());
    machine
}

fn kinds_and_names(documents: &[Value]) -> Vec<String> {
    let name = |document: &Value| {
        let [kind, _, name] = place(document);
        format!("{kind}/{name}")
    };
    documents.iter().map(name).collect()
}

#[test]
fn the_persistent_volume_of_a_claim_comes_before_the_claim() {
    let documents = with_volume().generate(&Options::default()).unwrap().documents;
    assert_eq!(
        kinds_and_names(&documents),
        [
            "ConfigMap/settings",
            "Secret/passwords",
            "Secret/pull",
            "PersistentVolume/disk",
            "PersistentVolumeClaim/first-use",
            "PersistentVolumeClaim/made",
            "Pod/web",
        ]
    );
}

#[test]
fn objects_are_generated_by_their_own_names() {
    let named = |kind: Kind, name: &str| {
        let mut machine = with_volume();
        machine.records.clear();
        let objects = vec![ObjectRef::new(kind, "default", name)];
        machine.text(&Options { objects, ..Options::default() })
    };
    insta::assert_snapshot!(
        [
            named(Kind::PersistentVolumeClaim, "made"),
            named(Kind::PersistentVolumeClaim, "first-use"),
            named(Kind::PersistentVolume, "disk"),
            named(Kind::ConfigMap, "settings"),
            named(Kind::Secret, "passwords"),
        ]
        .join("=====\n")
    );
}

#[test]
fn an_object_that_is_named_and_used_is_generated_once() {
    let machine = with_volume();
    let objects = vec![ObjectRef::new(Kind::ConfigMap, "default", "settings")];
    let documents = machine.generate(&Options { objects, ..Options::default() }).unwrap().documents;
    assert_eq!(kinds_and_names(&documents).iter().filter(|name| *name == "ConfigMap/settings").count(), 1);
}
