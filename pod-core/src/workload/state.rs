//! What the controller remembers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Spec;
use crate::plan::PodTemplate;

/// What the controller of a workload remembers between steps. It is part of the workload's record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// status.observedGeneration: the [`Spec::generation`] that the last step saw.
    pub observed_generation: u64,
    /// [`Spec::replaced`] that the last step saw.
    pub observed_replaced: u64,
    /// The templates that pods exist of or may be rolled back to, in the order of their numbers. The last one is the
    /// current one, but for a Deployment that is paused ([`State::current`]). Kind Pod has one entry.
    pub revisions: Vec<Revision>,
    /// Condition Available of a Deployment.
    pub available: Option<Condition>,
    /// Condition Progressing of a Deployment.
    pub progressing: Option<Condition>,
    /// What the last step counted. More updated or available pods, or fewer old ones, are progress.
    pub progress: Progress,
    /// When the next [`super::Event::Tick`] is due, if nothing else happens before.
    pub next_deadline: Option<Timestamp>,
}

/// One revision of a workload's template: what a ReplicaSet is to a Deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Annotation deployment.kubernetes.io/revision. A template that comes back gets the next number.
    pub number: u64,
    /// [`PodTemplate::hash`], which pods carry as `PodPlan::hash`.
    pub hash: String,
    /// What its pods are created from.
    pub template: PodTemplate,
    /// spec.template of the applied object, for `rollout undo` and `rollout history`.
    pub object: Value,
    /// Annotation kubernetes.io/change-cause of the Deployment while this revision was the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_cause: Option<String>,
    /// metadata.uid of the ReplicaSet; pods name it as their owner.
    pub uid: String,
    /// When the revision was first applied.
    pub created: Timestamp,
    /// spec.replicas of the ReplicaSet: how many of its pods the controller wants.
    pub replicas: u32,
    /// Annotation deployment.kubernetes.io/desired-replicas: [`super::Replicas::count`] when the ReplicaSet was last
    /// scaled. A difference tells that the Deployment was scaled since.
    #[serde(default)]
    pub desired_replicas: u32,
    /// Annotation deployment.kubernetes.io/max-replicas: [`super::Replicas::max_total`] at that time.
    #[serde(default)]
    pub max_replicas: u32,
}

impl Revision {
    /// metadata.name of the ReplicaSet: that of the Deployment and the hash of the template.
    pub fn name(&self) -> &str {
        self.template.pod.metadata.name.as_deref().unwrap_or_default()
    }
}

impl State {
    /// The revision that `spec` asks for, if it exists: a paused Deployment does not create it.
    pub fn current(&self, spec: &Spec) -> Option<&Revision> {
        self.revisions.last().filter(|revision| revision.hash == spec.template.hash)
    }
}

/// A condition of a workload. Source: k8s apps/v1 DeploymentCondition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// status: True or False (`None` is Unknown, as Progressing is while the Deployment is paused).
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

/// How far a rollout has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Pods of the current revision.
    pub updated: u32,
    /// Pods of all revisions that are available.
    pub available: u32,
    /// Pods of former revisions.
    pub old: u32,
}
