//! The applied specification of a workload.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PodStatus, Rule};
use crate::plan::{PodTemplate, WorkloadPlan};

/// A workload as it was applied: what `kube play` sends to the workload's supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// metadata.generation. The command that applies the spec raises it with each change of any other field. The
    /// controller copies it to [`super::State::observed_generation`].
    pub generation: u64,
    /// The object as it was applied, without defaults. `kube generate` prints this object. `kube scale` and `kube
    /// rollout` change it together with the other fields.
    pub object: Value,
    /// The hash of all fields whose change `kube play` reports as `configured`.
    pub hash: String,
    /// The file that the object was read from, for messages and `--prune`.
    pub source: String,
    /// The rule that says how many pods there should be and how they are replaced.
    pub rule: Rule,
    /// The template from which new pods are created.
    pub template: PodTemplate,
    /// Whether pods are started. `false` for `play --start=false`.
    pub running: bool,
    /// The number of replacements, which `play --replace` raises. Pods that were created under a lower number count as
    /// outdated even if their template is the same.
    #[serde(default)]
    pub replaced: u64,
}

impl Spec {
    /// Returns whether the pod was created from the template of this spec, after the last `play --replace`.
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
