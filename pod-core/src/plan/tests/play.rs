//! Tests of plans of documents: defaults, names, hashes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::hash::SAFE_ALPHABET;
use super::super::{PlanOptions, PullPolicy, RuntimeClasses, WorkloadPlan, undeclared_claims};
use super::{deployment, document, options, planned, pod, refused};
use crate::manifest::{Document, Source};

fn spec() -> Value {
    json!({
        "containers": [{"name": "c", "image": "web:1", "env": [{"name": "A", "value": "1"}]}],
        "volumes": [{"name": "site", "hostPath": {"path": "./site"}}],
    })
}

fn one(document: Document, options: &PlanOptions) -> WorkloadPlan {
    planned(&[document], options).workloads.remove(0)
}

#[test]
fn kubernetes_defaults_are_filled_in() {
    let whole = json!({
        "initContainers": [{"name": "i", "image": "init", "resources": {"limits": {"cpu": "1"}}}],
        "containers": [{
            "name": "c", "image": "web:1",
            "ports": [{"containerPort": 80}],
            "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        }],
        "volumes": [
            {"name": "nothing"},
            {"name": "conf", "configMap": {"name": "x"}},
            {"name": "sec", "secret": {"secretName": "x"}},
            {"name": "host", "hostPath": {"path": "./site/../data"}},
        ],
    });
    let template = one(pod("web", whole), &options()).template;
    insta::assert_snapshot!(serde_yaml::to_string(&template.pod).unwrap(), @r"
    apiVersion: v1
    kind: Pod
    metadata:
      name: web
      namespace: default
    spec:
      containers:
      - env:
        - name: N
          valueFrom:
            fieldRef:
              apiVersion: v1
              fieldPath: metadata.name
        image: web:1
        imagePullPolicy: IfNotPresent
        name: c
        ports:
        - containerPort: 80
          protocol: TCP
        resources: {}
        terminationMessagePath: /dev/termination-log
        terminationMessagePolicy: File
      dnsPolicy: ClusterFirst
      enableServiceLinks: true
      initContainers:
      - image: init
        imagePullPolicy: Always
        name: i
        resources:
          limits:
            cpu: '1'
          requests:
            cpu: '1'
        terminationMessagePath: /dev/termination-log
        terminationMessagePolicy: File
      restartPolicy: Always
      schedulerName: default-scheduler
      securityContext: {}
      serviceAccountName: default
      terminationGracePeriodSeconds: 30
      volumes:
      - emptyDir: {}
        name: nothing
      - configMap:
          defaultMode: 420
          name: x
        name: conf
      - name: sec
        secret:
          defaultMode: 420
          secretName: x
      - hostPath:
          path: /srv/web/site/../data
          type: ''
        name: host
    ");
}

#[test]
fn given_values_are_kept() {
    let given = json!({
        "restartPolicy": "Never", "dnsPolicy": "Default", "terminationGracePeriodSeconds": 0,
        "enableServiceLinks": false,
        "containers": [{"name": "c", "image": "web", "imagePullPolicy": "Never"}],
    });
    let template = one(pod("web", given), &options()).template;
    let spec = template.pod.spec.unwrap();
    assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
    assert_eq!(spec.dns_policy.as_deref(), Some("Default"));
    assert_eq!(spec.termination_grace_period_seconds, Some(0));
    assert_eq!(spec.enable_service_links, Some(false));
    assert_eq!(spec.containers[0].image_pull_policy.as_deref(), Some("Never"));
}

#[test]
fn a_deployments_pods_are_named_name_hash_and_5_characters() {
    let workload = one(deployment("api", 3, spec()), &options());
    assert_eq!(workload.id.to_string(), "deployment.apps/api");
    assert_eq!(workload.replicas, 3);
    let plan = workload.template.instantiate("uid-1", "x7k2p", "2026-11-23T12:00:00.123Z".parse().unwrap());
    let name = plan.name().to_owned();
    let hash = name.strip_prefix("api-").unwrap().strip_suffix("-x7k2p").unwrap();
    assert_eq!(hash.len(), 10);
    assert!(hash.bytes().all(|b| SAFE_ALPHABET.contains(&b)), "{hash}");
    let metadata = &plan.pod.metadata;
    assert_eq!(metadata.labels.as_ref().unwrap()["pod-template-hash"], hash);
    assert_eq!(metadata.labels.as_ref().unwrap()["app"], "api");
    assert_eq!(metadata.generate_name.as_deref(), Some(format!("api-{hash}-").as_str()));
    assert_eq!(metadata.uid.as_deref(), Some("uid-1"));
    let created = serde_json::to_value(metadata.creation_timestamp.as_ref().unwrap()).unwrap();
    assert_eq!(created, json!("2026-11-23T12:00:00Z"));
    let owner = &metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("ReplicaSet", format!("api-{hash}").as_str()));
}

#[test]
fn a_long_name_is_cut_before_the_suffix_as_in_kubernetes() {
    let workload = one(deployment(&"d".repeat(60), 1, spec()), &options());
    let plan = workload.template.instantiate("u", "abcde", jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(plan.name(), format!("{}abcde", "d".repeat(58)));
}

#[test]
fn a_bare_pod_keeps_its_name() {
    let workload = one(pod("web", spec()), &options());
    let plan = workload.template.instantiate("u", "abcde", jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(plan.name(), "web");
    assert_eq!(plan.pod.metadata.generate_name, None);
}

#[test]
fn replicas_are_1_unless_given() {
    let mut document = deployment("api", 1, spec());
    let crate::manifest::Object::Deployment(object) = &mut document.object else { panic!() };
    object.spec.replicas = None;
    assert_eq!(one(document, &options()).replicas, 1);
    assert_eq!(one(deployment("api", 0, spec()), &options()).replicas, 0);
}

#[test]
fn a_secrets_string_data_is_merged_into_data_and_wins() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new"},
    });
    let found = planned(&[document(secret)], &options()).objects.remove(0);
    assert_eq!(found.object["data"], json!({"a": "bmV3", "b": "Yg=="}));
    assert_eq!(found.object["stringData"], Value::Null);
    assert_eq!(found.object["type"], "Opaque");
    assert_eq!(found.id.kind, crate::kind::Kind::Secret);
}

#[test]
fn a_relative_host_path_is_relative_to_its_manifest_and_part_of_the_hash() {
    let here = one(pod("web", spec()), &options());
    let volumes = here.template.pod.spec.as_ref().unwrap().volumes.as_ref().unwrap();
    assert_eq!(volumes[0].host_path.as_ref().unwrap().path, "/srv/web/site");
    let mut moved = pod("web", spec());
    moved.dir = "/srv/other".into();
    assert_ne!(one(moved, &options()).template.hash, here.template.hash);
    let mut absolute = spec();
    absolute["volumes"][0]["hostPath"]["path"] = json!("/srv/web/site");
    assert_eq!(one(pod("web", absolute), &options()).template.hash, here.template.hash);
}

#[test]
fn fields_that_a_cluster_wrote_into_an_exported_pod_are_left_out() {
    let exported = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web", "uid": "old", "resourceVersion": "7", "creationTimestamp": "2020-01-01T00:00:00Z",
            "deletionTimestamp": "2020-01-02T00:00:00Z", "generateName": "web-", "finalizers": ["x/y"],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1"}],
        },
        "spec": spec(), "status": {"phase": "Running"},
    });
    let workload = one(document(exported), &options());
    assert_eq!(workload.template.pod, one(pod("web", spec()), &options()).template.pod);
}

#[test]
fn only_changes_that_require_a_new_pod_change_the_hash() {
    let base = one(pod("web", spec()), &options());
    let same = |document: Document, options: &PlanOptions| {
        one(document, options).template.hash == base.template.hash
    };

    assert!(same(pod("web", spec()), &options()));
    let pull = PlanOptions { pull: Some(PullPolicy::Always), ..options() };
    assert!(same(pod("web", spec()), &pull), "how an image is fetched changes no pod");
    let mut explicit = spec();
    explicit["restartPolicy"] = json!("Always");
    assert!(same(pod("web", explicit), &options()), "a default that is written down changes no pod");

    let network = PlanOptions { networks: vec!["lab".to_owned()], ..options() };
    assert!(!same(pod("web", spec()), &network));
    let runtime = PlanOptions { runtime: Some("crun".to_owned()), ..options() };
    assert!(!same(pod("web", spec()), &runtime));
    let publish = PlanOptions { publish: super::super::ports::parse_publish("80").unwrap(), ..options() };
    assert!(!same(pod("web", spec()), &publish));
    for change in [
        json!({"hostname": "x"}),
        json!({"terminationGracePeriodSeconds": 31}),
        json!({"containers": [{"name": "c", "image": "web:2"}]}),
    ] {
        let mut changed = spec();
        changed.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert!(!same(pod("web", changed), &options()), "{change}");
    }
    let labelled = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"a": "b"}}, "spec": spec(),
    });
    assert!(!same(document(labelled), &options()));
}

#[test]
fn pull_overrides_every_policy() {
    let never = PlanOptions { pull: Some(PullPolicy::Never), ..options() };
    let template = one(pod("web", spec()), &never).template;
    let policy = template.pod.spec.unwrap().containers[0].image_pull_policy.clone();
    assert_eq!(policy.as_deref(), Some("Never"));
}

#[test]
fn replicas_change_the_workload_but_not_its_pods() {
    let three = one(deployment("api", 3, spec()), &options());
    let four = one(deployment("api", 4, spec()), &options());
    assert_ne!(three.hash, four.hash);
    assert_eq!(three.template.hash, four.template.hash);
    assert_eq!(three.template.pod, four.template.pod);
}

#[test]
fn claims_without_a_manifest_are_found() {
    let with = |claims: &[&str]| {
        let volumes: Vec<_> =
            claims.iter().map(|c| json!({"name": c, "persistentVolumeClaim": {"claimName": c}})).collect();
        pod("web", json!({"containers": [], "volumes": volumes}))
    };
    let claim = document(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "made"}, "spec": {},
    }));
    let found = planned(&[claim, with(&["made", "absent"]), with(&["absent"])], &options());
    assert_eq!(undeclared_claims(&found), [("default".to_owned(), "absent".to_owned())]);
}

/// Reverses the order of every mapping.
fn turned(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().rev().map(|(k, v)| (k.clone(), turned(v))).collect()),
        Value::Array(list) => Value::Array(list.iter().map(turned).collect()),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn the_order_of_keys_changes_no_hash(
        labels in prop::collection::btree_map("[a-z]{1,4}", "[a-z]{0,4}", 0..5),
        image in "[a-z]{1,8}(:[a-z0-9]{1,4})?",
        args in prop::collection::vec(".{0,6}", 0..4),
    ) {
        let value = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": labels},
            "spec": {"hostname": "h", "containers": [{"name": "c", "image": image, "args": args}]},
        });
        let (a, b) = (one(document(value.clone()), &options()), one(document(turned(&value)), &options()));
        prop_assert_eq!(&a.template.hash, &b.template.hash);
        prop_assert_eq!(&a.hash, &b.hash);
    }

    #[test]
    fn other_images_and_arguments_give_other_pods(
        a in ("[a-z]{1,3}", prop::collection::vec("[a-c]{0,2}", 0..3)),
        b in ("[a-z]{1,3}", prop::collection::vec("[a-c]{0,2}", 0..3)),
    ) {
        let make = |(image, args): &(String, Vec<String>)| {
            one(deployment("api", 1, json!({"containers": [{"name": "c", "image": image, "args": args}]})), &options())
        };
        let (x, y) = (make(&a), make(&b));
        prop_assert_eq!(x.template.hash == y.template.hash, a == b);
        prop_assert_eq!(x.template.pod.metadata.name == y.template.pod.metadata.name, a == b);
    }
}

#[test]
fn runtime_class_name_is_the_handler_of_a_runtime_and_an_unknown_one_is_refused_with_its_line() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  runtimeClassName: NAME\n  containers: [{name: a, image: b}]\n";
    let documents = |name: &str| {
        let source = Source { name: "f.yaml".to_owned(), dir: "/".into(), text: text.replace("NAME", name) };
        crate::manifest::load(&[source], "default").documents
    };
    let runtime_classes = RuntimeClasses {
        installed: ["crun", "runsc"].map(str::to_owned).into(),
        ..RuntimeClasses::default()
    };
    let installed = PlanOptions { runtime_classes, ..options() };
    let of = |options: &PlanOptions, name: &str| {
        planned(&documents(name), options).workloads[0].template.runtime.clone()
    };
    assert_eq!(of(&installed, "gvisor").as_deref(), Some("runsc"));
    let chosen = PlanOptions { runtime: Some("runc".to_owned()), ..installed.clone() };
    assert_eq!(of(&chosen, "gvisor").as_deref(), Some("runc"), "--runtime wins");
    insta::assert_snapshot!(refused(&documents("kata"), &installed), @"f.yaml:5:21: spec.runtimeClassName: there is no RuntimeClass kata, and no OCI runtime of this name is installed here (installed here: crun, runsc)");
    // A RuntimeClass of the same play gives the handler and the overhead, wherever it stands.
    let class = "---\napiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: NAME}\nhandler: crun\noverhead: {podFixed: {cpu: 250m}}\n";
    let source = Source {
        name: "f.yaml".to_owned(),
        dir: "/".into(),
        text: format!("{text}{class}").replace("NAME", "kata"),
    };
    let plan = planned(&crate::manifest::load(&[source], "default").documents, &installed);
    let template = &plan.workloads[0].template;
    assert_eq!(template.runtime.as_deref(), Some("crun"));
    assert_eq!(template.pod.spec.as_ref().unwrap().overhead.as_ref().unwrap()["cpu"].0, "250m");
}
