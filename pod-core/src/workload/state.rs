//! The stored state of the controller.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Spec;
use crate::plan::PodTemplate;

/// The state of the controller of a workload between steps. It is part of the workload's record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// status.observedGeneration: the [`Spec::generation`] of the last step.
    pub observed_generation: u64,
    /// The [`Spec::replaced`] of the last step.
    pub observed_replaced: u64,
    /// The revisions that have pods or can be rolled back to, in the order of their numbers. The last one is the
    /// current one, except that a paused Deployment may have no current revision ([`State::current`]). Kind Pod has
    /// none.
    pub revisions: Vec<Revision>,
    /// The condition Available of a Deployment.
    pub available: Option<Condition>,
    /// The condition Progressing of a Deployment.
    pub progressing: Option<Condition>,
    /// The numbers of pods at the last step. A rollout has progressed if there are more updated or available pods, or
    /// fewer old ones, than at the last step.
    pub progress: Progress,
    /// When the next [`super::Event::Tick`] is due, unless another event occurs before.
    pub next_deadline: Option<Timestamp>,
}

/// One revision of a workload's template. For a Deployment it corresponds to a ReplicaSet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The annotation deployment.kubernetes.io/revision. A template that is applied again after another one gets the
    /// next number.
    pub number: u64,
    /// [`PodTemplate::hash`]. The pods of this revision have the same value as `PodPlan::hash`.
    pub hash: String,
    /// The template from which pods of this revision are created.
    pub template: PodTemplate,
    /// spec.template of the applied object, for `rollout undo` and `rollout history`.
    pub object: Value,
    /// The annotation kubernetes.io/change-cause that the Deployment had while this revision was the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_cause: Option<String>,
    /// metadata.uid of the ReplicaSet, which pods have as their owner reference.
    pub uid: String,
    /// When the revision was first applied.
    pub created: Timestamp,
    /// spec.replicas of the ReplicaSet: the number of pods that the ReplicaSet should have.
    pub replicas: u32,
    /// The annotation deployment.kubernetes.io/desired-replicas: [`super::Replicas::count`] when the ReplicaSet was
    /// last scaled. If the count is different now, the Deployment was scaled since.
    #[serde(default)]
    pub desired_replicas: u32,
    /// The annotation deployment.kubernetes.io/max-replicas: [`super::Replicas::max_total`] when the ReplicaSet was
    /// last scaled.
    #[serde(default)]
    pub max_replicas: u32,
}

impl Revision {
    /// Returns metadata.name of the ReplicaSet: the name of the Deployment followed by the hash of the template.
    pub fn name(&self) -> &str {
        self.template.pod.metadata.name.as_deref().unwrap_or_default()
    }
}

impl State {
    /// Returns the revision with the template of `spec`, if it exists. A paused Deployment does not create it.
    pub fn current(&self, spec: &Spec) -> Option<&Revision> {
        self.revisions.last().filter(|revision| revision.hash == spec.template.hash)
    }
}

/// A condition of a workload. Source: k8s apps/v1 DeploymentCondition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// status: True, False or Unknown (`None`). Progressing is Unknown while the Deployment is paused.
    pub status: Option<bool>,
    /// reason.
    pub reason: String,
    /// message.
    pub message: String,
    /// lastTransitionTime.
    pub since: Timestamp,
    /// lastUpdateTime.
    pub updated: Timestamp,
}

/// The numbers of pods that tell how far a rollout has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// The number of pods of the current revision.
    pub updated: u32,
    /// The number of available pods of all revisions.
    pub available: u32,
    /// The number of pods of earlier revisions.
    pub old: u32,
}
