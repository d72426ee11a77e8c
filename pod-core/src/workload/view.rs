//! Builds the objects of Deployments and ReplicaSets with their status, as Kubernetes shows them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Condition, Counts, PodStatus, Replicas, Revision, Rule, Spec, State};
use crate::kind::ConditionType;

const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a Deployment that are not copied to its ReplicaSets. Source: `annotationsToSkip` of k8s
/// pkg/controller/deployment/util.
const NOT_COPIED: [&str; 2] = ["kubectl.kubernetes.io/last-applied-configuration", REVISION];

/// The metadata of a workload that an API server would add.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a> {
    /// metadata.name.
    pub name: &'a str,
    /// metadata.namespace.
    pub namespace: &'a str,
    /// metadata.uid.
    pub uid: &'a str,
    /// metadata.creationTimestamp.
    pub created: Timestamp,
}

/// Returns a Deployment with its status.
pub fn deployment(
    metadata: Metadata<'_>,
    spec: &Spec,
    state: &State,
    pods: &[PodStatus],
    now: Timestamp,
) -> Value {
    let mut object = spec.object.clone();
    let Rule::Replicas(rule) = &spec.rule else { return object };
    within(&mut object, "metadata", |fields| {
        fields.insert("namespace".to_owned(), json!(metadata.namespace));
        fields.insert("uid".to_owned(), json!(metadata.uid));
        fields.insert("creationTimestamp".to_owned(), json!(time(metadata.created)));
        fields.insert("generation".to_owned(), json!(spec.generation));
        if let Some(revision) = state.revisions.last() {
            let annotations = fields.entry("annotations").or_insert_with(|| json!({}));
            if let Value::Object(annotations) = annotations {
                annotations.insert(REVISION.to_owned(), json!(revision.number.to_string()));
            }
        }
    });
    within(&mut object, "spec", |fields| {
        fields.entry("replicas").or_insert(json!(rule.count));
        fields.entry("revisionHistoryLimit").or_insert(json!(rule.revision_history_limit));
        if let Some(deadline) = rule.progress_deadline_seconds {
            fields.entry("progressDeadlineSeconds").or_insert(json!(deadline));
        }
        let rolling = json!({"maxSurge": "25%", "maxUnavailable": "25%"});
        fields.entry("strategy").or_insert(json!({"type": "RollingUpdate", "rollingUpdate": rolling}));
    });

    let counts = Counts::new(spec, pods, now);
    let wanted: u32 = state.revisions.iter().map(|revision| revision.replicas).sum();
    let conditions =
        [(ConditionType::Available, &state.available), (ConditionType::Progressing, &state.progressing)];
    let conditions = conditions.into_iter().filter_map(|(type_, one)| Some(condition(type_, one.as_ref()?)));
    let status = json!({
        "observedGeneration": state.observed_generation,
        "replicas": counts.replicas,
        "updatedReplicas": counts.updated,
        "readyReplicas": counts.ready,
        "availableReplicas": counts.available,
        "unavailableReplicas": wanted.saturating_sub(counts.available),
        "terminatingReplicas": counts.terminating,
        "conditions": conditions.collect::<Vec<_>>(),
    });
    if let Value::Object(fields) = &mut object {
        fields.insert("status".to_owned(), status);
    }
    object
}

/// Returns the ReplicaSets of a Deployment, the oldest revision first. Revisions that differ only by flags of `kube
/// play` have the same Kubernetes template, and therefore share one ReplicaSet.
pub fn replica_sets(
    metadata: Metadata<'_>,
    spec: &Spec,
    state: &State,
    pods: &[PodStatus],
    now: Timestamp,
) -> Vec<Value> {
    let Rule::Replicas(rule) = &spec.rule else { return Vec::new() };
    let mut found = Vec::new();
    for (index, revision) in state.revisions.iter().enumerate() {
        let later = state.revisions.get(index + 1..).unwrap_or_default();
        if later.iter().any(|other| other.name() == revision.name()) {
            continue;
        }
        let same: Vec<&Revision> =
            state.revisions.iter().filter(|other| other.name() == revision.name()).collect();
        found.push(replica_set(metadata, spec, rule, &same, pods, now));
    }
    found
}

/// Returns the ReplicaSet of the revisions that have the same template. The last of `revisions` is the latest.
fn replica_set(
    metadata: Metadata<'_>,
    spec: &Spec,
    rule: &Replicas,
    revisions: &[&Revision],
    pods: &[PodStatus],
    now: Timestamp,
) -> Value {
    let Some(latest) = revisions.last() else { return Value::Null };
    let pod = &latest.template.pod.metadata;
    let mut annotations = Map::new();
    if let Some(Value::Object(given)) = spec.object.pointer("/metadata/annotations") {
        annotations.extend(given.clone().into_iter().filter(|(key, _)| !NOT_COPIED.contains(&key.as_str())));
    }
    annotations.insert(REVISION.to_owned(), json!(latest.number.to_string()));
    annotations.insert(DESIRED_REPLICAS.to_owned(), json!(latest.desired_replicas.to_string()));
    annotations.insert(MAX_REPLICAS.to_owned(), json!(latest.max_replicas.to_string()));
    set_or_remove(&mut annotations, super::patch::CHANGE_CAUSE, latest.change_cause.as_ref());

    let label = crate::plan::TEMPLATE_HASH_LABEL;
    let hash = pod.labels.as_ref().and_then(|labels| labels.get(label)).cloned().unwrap_or_default();
    let mut selector = spec.object.pointer("/spec/selector").cloned().unwrap_or_default();
    within(&mut selector, "matchLabels", |labels| {
        labels.insert(label.to_owned(), json!(hash));
    });
    let mut template = latest.object.clone();
    within(&mut template, "metadata", |fields| {
        fields.insert("labels".to_owned(), json!(pod.labels));
    });

    let is_of_it = |pod: &PodStatus| revisions.iter().any(|revision| revision.hash == pod.hash);
    let count = |is_counted: &dyn Fn(&PodStatus) -> bool| {
        pods.iter().filter(|pod| is_of_it(pod) && is_counted(pod)).count()
    };
    let replicas = count(&PodStatus::is_active);
    let replicas_wanted: u32 = revisions.iter().map(|revision| revision.replicas).sum();
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": latest.name(),
            "namespace": metadata.namespace,
            "uid": latest.uid,
            "creationTimestamp": time(latest.created),
            "generation": spec.generation,
            "labels": pod.labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": metadata.name,
                "uid": metadata.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "replicas": replicas_wanted,
            "minReadySeconds": rule.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
        "status": {
            "observedGeneration": spec.generation,
            "replicas": replicas,
            "fullyLabeledReplicas": replicas,
            "readyReplicas": count(&|pod| pod.is_active() && pod.ready_since.is_some()),
            "availableReplicas": count(&|pod| pod.is_available(rule.min_ready_seconds, now)),
            "terminatingReplicas": count(&|pod| pod.terminating),
        },
    })
}

fn condition(type_: ConditionType, condition: &Condition) -> Value {
    let status = match condition.status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    json!({
        "type": type_.as_str(),
        "status": status,
        "reason": condition.reason,
        "message": condition.message,
        "lastUpdateTime": time(condition.updated),
        "lastTransitionTime": time(condition.since),
    })
}

/// Formats a time in whole seconds, as Kubernetes does.
fn time(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// Changes the object in the field `field` of an object. The field is created if it is missing.
fn within(object: &mut Value, field: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    if !object.is_object() {
        *object = json!({});
    }
    let Value::Object(fields) = object else { return };
    let value = fields.entry(field).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    if let Value::Object(fields) = value {
        change(fields);
    }
}

fn set_or_remove(fields: &mut Map<String, Value>, key: &str, value: Option<&String>) {
    match value {
        Some(value) => fields.insert(key.to_owned(), json!(value)),
        None => fields.remove(key),
    };
}
