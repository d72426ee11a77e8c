//! Which kinds are played, and what to say of the others.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema::{self, Type};
use super::{Object, escape, shown};

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

/// Kinds of workloads that are not played so far: an error, because leaving one out would leave out what the file is
/// for.
pub(super) const LATER: [&str; 6] =
    ["CronJob", "DaemonSet", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"];

/// Kinds that are not played so far and that pods run without: left out with a warning.
pub(super) const LEFT_OUT: [&str; 4] = ["EndpointSlice", "Endpoints", "Ingress", "Service"];

/// Kinds that are taken and need nothing done: a namespace exists as soon as an object names it.
pub(super) const TAKEN: [&str; 1] = ["Namespace"];

/// Kinds of Kubernetes that need a cluster, those that it had once among them: left out with a warning.
/// Source: the Kubernetes API reference; `Config` is a kubeconfig.
pub(super) const CLUSTER: [&str; 53] = [
    "APIService",
    "Binding",
    "CSIDriver",
    "CSINode",
    "CSIStorageCapacity",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "ComponentStatus",
    "Config",
    "ControllerRevision",
    "CustomResourceDefinition",
    "DeviceClass",
    "Event",
    "Eviction",
    "FlowSchema",
    "HorizontalPodAutoscaler",
    "IPAddress",
    "IngressClass",
    "Lease",
    "LimitRange",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "NetworkPolicy",
    "Node",
    "PersistentVolume",
    "PodDisruptionBudget",
    "PodPreset",
    "PodSecurityPolicy",
    "PodTemplate",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "ResourceClaim",
    "ResourceClaimTemplate",
    "ResourceQuota",
    "ResourceSlice",
    "Role",
    "RoleBinding",
    "RuntimeClass",
    "Scale",
    "ServiceAccount",
    "ServiceCIDR",
    "StorageClass",
    "StorageVersion",
    "StorageVersionMigration",
    "ThirdPartyResource",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

/// API groups of Kubernetes whose names have no dot: what is not in this file is in none of them. Every other group of
/// Kubernetes ends in `.k8s.io`, which custom resources of the project itself do as well.
const GROUPS: [&str; 6] = ["", "apps", "autoscaling", "batch", "extensions", "policy"];

/// What `kind` is.
#[derive(Debug)]
pub(super) enum Found {
    /// One that is played.
    Played(&'static Played),
    /// A list of objects, with its apiVersion where that is checked.
    List(Option<&'static str>),
    /// One that is taken without anything to do.
    Taken,
    /// One that is left out: why, and what to do instead.
    LeftOut(String, Option<&'static str>),
    /// None of those: message and hint.
    Refused(String, String),
}

/// Looks up `kind` of `api_version`, which is empty where a document gives none.
pub(super) fn find(kind: &str, api_version: &str) -> Found {
    if kind == "List" {
        return Found::List(Some("v1"));
    }
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if group.contains('.') && !group.ends_with(".k8s.io") {
        return custom_resource(api_version);
    }
    if let Some(played) = PLAYED.iter().find(|played| played.kind == kind) {
        return Found::Played(played);
    }
    if let Some(item) = kind.strip_suffix("List") {
        if let Some(played) = PLAYED.iter().find(|played| played.kind == item) {
            return Found::List(Some(played.api_version));
        }
        if not_played().any(|known| known == item) {
            return Found::List(None);
        }
    }
    if TAKEN.contains(&kind) {
        return Found::Taken;
    }
    if LEFT_OUT.contains(&kind) {
        return Found::LeftOut("this kind is not played yet".to_owned(), instead(kind));
    }
    if CLUSTER.contains(&kind) {
        return Found::LeftOut("it needs a cluster".to_owned(), None);
    }
    let list = PLAYED.map(|played| played.kind).join(", ");
    let played = format!("kinds that are played: {list} and List");
    if LATER.contains(&kind) {
        return Found::Refused(format!("the kind {kind} is not played yet"), played);
    }
    let unknown = format!("unknown kind {}", shown(kind));
    if let Some(near) = near(kind) {
        return Found::Refused(unknown, format!("did you mean {near}?"));
    }
    if group.ends_with(".k8s.io") {
        return match kind {
            "Kustomization" | "Component" => {
                Found::LeftOut("it is for kustomize".to_owned(), Some(KUSTOMIZE))
            }
            _ => custom_resource(api_version),
        };
    }
    // A group that is spelled nearly like one of Kubernetes is a slip, and the kind may be what the file is for.
    if GROUPS.iter().any(|known| strsim::osa_distance(known, group) <= 1) {
        return Found::Refused(unknown, played);
    }
    Found::LeftOut(format!("{} is not of Kubernetes", shown(api_version)), None)
}

/// What to do with a kustomization.
pub(super) const KUSTOMIZE: &str = "`kubectl kustomize FOLDER | kube play -` plays what it makes";

fn custom_resource(api_version: &str) -> Found {
    Found::LeftOut(format!("a custom resource ({}) needs a cluster", escape(api_version)), None)
}

/// What works without a kind that is not played yet.
fn instead(kind: &str) -> Option<&'static str> {
    match kind {
        "Service" => Some(
            "its name leads nowhere so far: a Pod that is not a Deployment's is found by its own name; hostPort \
             publishes a port on this machine",
        ),
        "Ingress" => Some("hostPort publishes a port on this machine"),
        _ => None,
    }
}

fn not_played() -> impl Iterator<Item = &'static str> {
    LEFT_OUT.into_iter().chain(TAKEN).chain(LATER).chain(CLUSTER)
}

/// The kind that was meant. Among words of three or four letters two differences are two words.
fn near(kind: &str) -> Option<&'static str> {
    let limit = |known: &str| if known.len() <= 4 { 1 } else { 2 };
    PLAYED.iter().map(|played| played.kind).chain(not_played()).find(|known| {
        known.eq_ignore_ascii_case(kind)
            || kind.len() < 60 && strsim::osa_distance(known, kind) <= limit(known)
    })
}
