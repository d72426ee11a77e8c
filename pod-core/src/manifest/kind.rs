//! Which kinds are played, and what to say of the others.

use super::schema::{self, Type};

/// A kind that is played.
#[derive(Debug)]
pub(super) struct Played {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub schema: &'static Type,
}

/// Every kind that is played, List aside.
pub(super) const PLAYED: [Played; 5] = [
    Played { kind: "Pod", api_version: "v1", schema: &schema::POD },
    Played { kind: "Deployment", api_version: "apps/v1", schema: &schema::DEPLOYMENT },
    Played { kind: "ConfigMap", api_version: "v1", schema: &schema::CONFIG_MAP },
    Played { kind: "Secret", api_version: "v1", schema: &schema::SECRET },
    Played { kind: "PersistentVolumeClaim", api_version: "v1", schema: &schema::PERSISTENT_VOLUME_CLAIM },
];

/// Kinds that Kubernetes has, that run something, and that are not played so far.
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
    /// A list of objects.
    List,
    /// One that is left out: hint.
    LeftOut(String),
    /// None of those: message and hint.
    Refused(String, String),
}

/// Looks a kind up. `shown` is the kind as it may be shown.
pub(super) fn find(kind: &str, shown: &str) -> Found {
    if let Some(played) = PLAYED.iter().find(|played| played.kind == kind) {
        return Found::Played(played);
    }
    let of_list = kind.strip_suffix("List");
    if of_list.is_some_and(|item| item.is_empty() || PLAYED.iter().any(|played| played.kind == item)) {
        return Found::List;
    }
    let list = PLAYED.map(|played| played.kind).join(", ");
    let played = format!("kinds that are played: {list} and List");
    if LEFT_OUT.contains(&kind) {
        let hint = "pods find each other by their own names, and hostPort publishes a port".to_owned();
        return Found::LeftOut(hint);
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
    Found::Refused(format!("unknown kind {shown}"), hint)
}
