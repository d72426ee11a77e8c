//! The rule by which a workload has pods.

use serde::{Deserialize, Serialize};

/// The rule by which a workload has pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    /// One pod with a name of its own (kind Pod). A changed template replaces the pod: the old one is removed, then the
    /// new one starts, because both have the same name.
    Once,
    /// So many pods of a template (kinds Deployment and ReplicaSet).
    Replicas(Replicas),
}

/// The fields of a Deployment's spec beside its template. Source: k8s apps/v1 DeploymentSpec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// spec.replicas.
    pub count: u32,
    /// spec.strategy.
    pub strategy: Strategy,
    /// spec.minReadySeconds: how long a pod has to be Ready until it counts as available.
    #[serde(default)]
    pub min_ready_seconds: u32,
    /// spec.progressDeadlineSeconds; `None` is no deadline.
    #[serde(default)]
    pub progress_deadline_seconds: Option<u32>,
    /// spec.paused: a changed template is not rolled out; scaling goes on.
    #[serde(default)]
    pub paused: bool,
    /// spec.revisionHistoryLimit: how many former revisions are kept.
    pub revision_history_limit: u32,
}

/// spec.strategy of a Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Strategy {
    /// All old pods go, then the new ones are created.
    Recreate,
    /// Pods are replaced a few at a time.
    #[serde(rename_all = "camelCase")]
    RollingUpdate {
        /// How many pods there may be above `count`; a percentage is rounded up.
        max_surge: IntOrPercent,
        /// How many pods may be missing from `count`; a percentage is rounded down.
        max_unavailable: IntOrPercent,
    },
}

/// A number, or a percentage of the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IntOrPercent {
    /// So many.
    Int(u32),
    /// So many of a hundred.
    Percent(u32),
}
