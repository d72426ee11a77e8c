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

/// How far a rollout may be from `count`, in pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many pods there may be above `count`.
    pub max_surge: u32,
    /// How many pods may be missing from `count`.
    pub max_unavailable: u32,
}

impl Replicas {
    /// The bounds of a rollout, rounded. With `Recreate` both are 0, as Kubernetes counts availability then.
    /// Source: `ResolveFenceposts` of k8s pkg/controller/deployment/util.
    pub fn bounds(&self) -> Bounds {
        match self.strategy {
            Strategy::Recreate => Bounds { max_surge: 0, max_unavailable: 0 },
            Strategy::RollingUpdate { max_surge, max_unavailable } => {
                let max_surge = max_surge.rounded_up(self.count);
                let max_unavailable = match max_unavailable.rounded_down(self.count) {
                    // Validation refuses two zeros, but a percentage may be rounded to 0. Without any freedom no pod
                    // could be replaced.
                    0 if max_surge == 0 => 1,
                    rounded => rounded,
                };
                Bounds { max_surge, max_unavailable: max_unavailable.min(self.count) }
            }
        }
    }

    /// How many pods may exist during a rollout, terminating ones not counted.
    pub fn max_total(&self) -> u32 {
        self.count.saturating_add(self.bounds().max_surge)
    }

    /// How many pods must be available for condition Available.
    pub fn min_available(&self) -> u32 {
        self.count.saturating_sub(self.bounds().max_unavailable)
    }
}

impl IntOrPercent {
    /// The number for so many replicas; a part of a pod counts as a pod.
    pub fn rounded_up(self, replicas: u32) -> u32 {
        match self {
            Self::Int(number) => number,
            Self::Percent(percent) => narrow((u64::from(replicas) * u64::from(percent)).div_ceil(100)),
        }
    }

    /// The number for so many replicas; a part of a pod counts as none.
    pub fn rounded_down(self, replicas: u32) -> u32 {
        match self {
            Self::Int(number) => number,
            Self::Percent(percent) => narrow(u64::from(replicas) * u64::from(percent) / 100),
        }
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
