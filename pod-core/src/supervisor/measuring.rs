//! When the volumes of a pod are measured.

use crate::plan::PodPlan;
use crate::volume::{ephemeral, usage};

/// When the volumes of a pod are measured.
#[derive(Debug, Default)]
pub struct Measuring {
    /// Whether the pod has a volume with a limit, or a limit of its ephemeral storage.
    pub is_limited: bool,
    /// The time of the next measurement, in milliseconds since boot.
    pub next: Option<u64>,
}

impl Measuring {
    /// Decides whether a pod is measured at all.
    pub fn new(plan: &PodPlan) -> Self {
        let is_limited = !usage::limited(&plan.pod).is_empty() || ephemeral::limits(&plan.pod).is_some();
        Self { is_limited, next: None }
    }
}
