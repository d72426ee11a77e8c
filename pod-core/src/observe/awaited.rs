//! The pods that a wait is for.

use crate::lifecycle::PodSpec;
use crate::plan::PodPlan;
use crate::store::WorkloadId;

/// A pod that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The workload of the pod.
    pub workload: WorkloadId,
    /// metadata.uid of the pod.
    pub uid: String,
    /// The spec that the checks of readiness need. It contains the name of the pod.
    pub(super) spec: PodSpec,
}

impl Awaited {
    /// Creates it from a pod of a workload.
    pub fn new(workload: &WorkloadId, pod: &PodPlan) -> Self {
        Self { workload: workload.clone(), uid: pod.uid.clone(), spec: PodSpec::from_pod(&pod.pod) }
    }
}

impl std::fmt::Display for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pod/{}", self.spec.name)
    }
}
