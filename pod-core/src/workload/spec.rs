//! What was applied.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PodStatus, Rule};
use crate::plan::{PodTemplate, WorkloadPlan};

/// A workload as it was applied: what `kube play` sends to the workload's supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// metadata.generation: raised by whoever applies, with each change of any other field. The controller answers
    /// with [`super::State::observed_generation`].
    pub generation: u64,
    /// The object as it was applied, defaults not filled in: what `generate` returns. `kube scale` and
    /// `kube rollout` change it as they change the rest.
    pub object: Value,
    /// Hash of all that makes `play` say `configured` when it changes.
    pub hash: String,
    /// The file that the object was read from, for messages and `--prune`.
    pub source: String,
    /// The rule.
    pub rule: Rule,
    /// What new pods are created from.
    pub template: PodTemplate,
    /// Pods are started. `false` is `play --start=false`.
    pub running: bool,
    /// Raised by `play --replace`: pods that were created under a lower number count as outdated, even if their
    /// template is the same.
    #[serde(default)]
    pub replaced: u64,
}

impl Spec {
    /// The pod was created from the template that this spec has, since the pods were last to be replaced.
    pub fn is_current(&self, pod: &PodStatus) -> bool {
        pod.hash == self.template.hash && pod.replaced >= self.replaced
    }

    /// Returns the spec of a planned workload.
    pub fn from_plan(plan: &WorkloadPlan, generation: u64, running: bool, replaced: u64) -> Self {
        Self {
            generation,
            object: plan.object.clone(),
            hash: plan.hash.clone(),
            source: plan.source.clone(),
            rule: plan.rule.clone(),
            template: plan.template.clone(),
            running,
            replaced,
        }
    }
}
