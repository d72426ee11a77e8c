//! Which kinds are played, and what to say of the others.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema::{self, Type};
use super::{Object, shown};

/// A kind that is played.
#[derive(Debug)]
pub(super) struct Played {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub schema: &'static Type,
    /// Reads what fits the schema.
    pub read: fn(&Value) -> Result<Object, serde_json::Error>,
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<Box<T>, serde_json::Error> {
    T::deserialize(value).map(Box::new)
}

/// Every kind that is played, List aside.
pub(super) const PLAYED: [Played; 5] = [
    Played { kind: "Pod", api_version: "v1", schema: &schema::POD, read: |v| read(v).map(Object::Pod) },
    Played {
        kind: "Deployment",
        api_version: "apps/v1",
        schema: &schema::DEPLOYMENT,
        read: |v| read(v).map(Object::Deployment),
    },
    Played {
        kind: "ConfigMap",
        api_version: "v1",
        schema: &schema::CONFIG_MAP,
        read: |v| read(v).map(Object::ConfigMap),
    },
    Played {
        kind: "Secret",
        api_version: "v1",
        schema: &schema::SECRET,
        read: |v| read(v).map(Object::Secret),
    },
    Played {
        kind: "PersistentVolumeClaim",
        api_version: "v1",
        schema: &schema::PERSISTENT_VOLUME_CLAIM,
        read: |v| read(v).map(Object::PersistentVolumeClaim),
    },
];

/// Kinds that are generated and not played so far: kind, fields.
const GENERATED: [(&str, &Type); 4] = [
    ("DaemonSet", &schema::DAEMON_SET),
    ("Job", &schema::JOB),
    ("Service", &schema::SERVICE),
    ("StatefulSet", &schema::STATEFUL_SET),
];

/// The fields of a kind that is played or generated.
pub fn schema_of(kind: &str) -> Option<&'static Type> {
    let played = PLAYED.iter().map(|played| (played.kind, played.schema));
    played.chain(GENERATED).find(|(known, _)| *known == kind).map(|(_, schema)| schema)
}

/// Kinds of workloads, and what belongs to them, that are not played so far.
pub(super) const LATER: [&str; 9] = [
    "CronJob",
    "DaemonSet",
    "EndpointSlice",
    "Endpoints",
    "Job",
    "PodTemplate",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
];

/// Kinds that manifests for a cluster carry beside their pods, and that pods run without: they are left out, with a
/// warning.
pub(super) const LEFT_OUT: [&str; 1] = ["Service"];

/// Kinds that need a cluster.
pub(super) const CLUSTER: [&str; 30] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "ControllerRevision",
    "CSIDriver",
    "CSINode",
    "CSIStorageCapacity",
    "CustomResourceDefinition",
    "Event",
    "HorizontalPodAutoscaler",
    "Ingress",
    "IngressClass",
    "Lease",
    "LimitRange",
    "MutatingWebhookConfiguration",
    "Namespace",
    "NetworkPolicy",
    "Node",
    "PersistentVolume",
    "PodDisruptionBudget",
    "PriorityClass",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "RuntimeClass",
    "ServiceAccount",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

/// What `kind` is.
#[derive(Debug)]
pub(super) enum Found {
    /// One that is played.
    Played(&'static Played),
    /// A list of objects: its apiVersion.
    List(&'static str),
    /// One that is left out: hint.
    LeftOut(&'static str),
    /// None of those: message and hint.
    Refused(String, String),
}

/// Looks a kind up.
pub(super) fn find(kind: &str) -> Found {
    if let Some(played) = PLAYED.iter().find(|played| played.kind == kind) {
        return Found::Played(played);
    }
    match kind.strip_suffix("List") {
        Some("") => return Found::List("v1"),
        item => {
            if let Some(played) = PLAYED.iter().find(|played| Some(played.kind) == item) {
                return Found::List(played.api_version);
            }
        }
    }
    let list = PLAYED.map(|played| played.kind).join(", ");
    let played = format!("kinds that are played: {list} and List");
    if LEFT_OUT.contains(&kind) {
        return Found::LeftOut("pods find each other by their own names, and hostPort publishes a port");
    }
    if LATER.contains(&kind) {
        return Found::Refused(format!("the kind {kind} is not played yet"), played);
    }
    if CLUSTER.contains(&kind) {
        return Found::Refused(
            format!("the kind {kind} needs a cluster: it means nothing on one machine"),
            played,
        );
    }
    let near =
        PLAYED.iter().map(|played| played.kind).chain(LEFT_OUT).chain(LATER).chain(CLUSTER).find(|known| {
            known.eq_ignore_ascii_case(kind) || kind.len() < 60 && strsim::osa_distance(known, kind) <= 2
        });
    let hint = match near {
        Some(near) => format!("did you mean {near}?"),
        None => played,
    };
    Found::Refused(format!("unknown kind {}", shown(kind)), hint)
}
