//! One ReplicaSet while a step is taken: how many pods are wanted of it, and which of its pods go first.

use std::cmp::{Ordering, Reverse};

use jiff::Timestamp;

use super::PodStatus;

/// The pods of one revision, or pods that no revision can create any more.
#[derive(Debug)]
pub(super) struct ReplicaSet<'a> {
    /// metadata.name, for events.
    pub name: String,
    /// [`super::Revision::hash`].
    pub hash: String,
    /// [`super::Revision::created`].
    pub created: Timestamp,
    /// It has a template. Pods without one (of an unknown revision, or outdated by `play --replace`) can only go.
    pub can_grow: bool,
    /// Its pods are started. Where nothing is started, nothing becomes available that could be waited for, so that all
    /// of its pods count as available.
    pub is_running: bool,
    /// spec.replicas.
    pub replicas: u32,
    /// Annotation desired-replicas.
    pub desired_replicas: u32,
    /// Annotation max-replicas.
    pub max_replicas: u32,
    /// Active pods, those that go first when it is scaled down first.
    pub pods: Vec<Pod<'a>>,
}

/// An active pod.
#[derive(Debug)]
pub(super) struct Pod<'a> {
    pub status: &'a PodStatus,
    /// The pod counts as available.
    pub is_available: bool,
}

impl<'a> ReplicaSet<'a> {
    /// Sorts the pods so that those that go first when it is scaled down come first.
    pub fn sort(&mut self) {
        self.pods.sort_by(deleted_first);
    }

    /// The pods that are too many.
    pub fn surplus(&self) -> &[Pod<'a>] {
        self.pods.get(..self.first_kept()).unwrap_or_default()
    }

    /// The pods that stay.
    pub fn kept(&self) -> &[Pod<'a>] {
        self.pods.get(self.first_kept()..).unwrap_or_default()
    }

    /// How many pods are missing.
    pub fn missing(&self) -> u32 {
        self.replicas.saturating_sub(u32::try_from(self.pods.len()).unwrap_or(u32::MAX))
    }

    /// How many of the pods that are kept are available.
    pub fn available(&self) -> u32 {
        if !self.is_running {
            return self.replicas;
        }
        u32::try_from(self.kept().iter().filter(|pod| pod.is_available).count()).unwrap_or(u32::MAX)
    }

    fn first_kept(&self) -> usize {
        self.pods.len().saturating_sub(usize::try_from(self.replicas).unwrap_or(usize::MAX))
    }
}

/// The order in which pods are deleted. Source: `ActivePodsWithRanks` of k8s pkg/controller/controller_utils.go. Unlike
/// there, availability comes before the deletion cost, because a rollout counts available pods when it deletes some.
fn deleted_first(a: &Pod<'_>, b: &Pod<'_>) -> Ordering {
    let rank = |pod: &Pod<'_>| {
        let status = pod.status;
        (
            status.is_started,
            status.ready_since.is_some(),
            pod.is_available,
            status.deletion_cost,
            Reverse(status.ready_since),
            Reverse(status.restarts),
            Reverse(status.created),
        )
    };
    rank(a).cmp(&rank(b)).then_with(|| a.status.uid.cmp(&b.status.uid))
}
