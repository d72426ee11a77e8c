//! A pod that somebody waits for.

use crate::lifecycle::PodSpec;
use crate::plan::PodPlan;
use crate::store::WorkloadId;

/// A pod that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// Its workload.
    pub workload: WorkloadId,
    /// Its uid.
    pub uid: String,
    /// What readiness is decided by, and its name.
    pub(super) spec: PodSpec,
}

impl Awaited {
    /// A pod of a workload.
    pub fn new(workload: &WorkloadId, pod: &PodPlan) -> Self {
        Self { workload: workload.clone(), uid: pod.uid.clone(), spec: PodSpec::from_pod(&pod.pod) }
    }
}

impl std::fmt::Display for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pod/{}", self.spec.name)
    }
}
