//! One ReplicaSet during a step: how many pods it should have, and which of its pods are deleted first.

use std::cmp::{Ordering, Reverse};

use jiff::Timestamp;

use super::PodStatus;

/// The pods of one revision, or a set of pods that no revision can create any more.
#[derive(Debug)]
pub(super) struct ReplicaSet<'a> {
    /// metadata.name, for events.
    pub name: String,
    /// [`super::Revision::hash`].
    pub hash: String,
    /// [`super::Revision::created`].
    pub created: Timestamp,
    /// Whether the ReplicaSet has a template from which pods can be created. Pods without a template (of an unknown
    /// revision, or outdated by `play --replace`) can only be deleted.
    pub can_grow: bool,
    /// Whether the pods are started. If they are not, all of them count as available, because a rollout would
    /// otherwise wait forever.
    pub is_running: bool,
    /// spec.replicas.
    pub replicas: u32,
    /// The annotation desired-replicas.
    pub desired_replicas: u32,
    /// The annotation max-replicas.
    pub max_replicas: u32,
    /// The active pods, in the order in which they are deleted when the ReplicaSet is scaled down.
    pub pods: Vec<Pod<'a>>,
}

/// An active pod.
#[derive(Debug)]
pub(super) struct Pod<'a> {
    pub status: &'a PodStatus,
    /// Whether the pod counts as available.
    pub is_available: bool,
}

impl<'a> ReplicaSet<'a> {
    /// Sorts the pods into the order in which they are deleted when the ReplicaSet is scaled down.
    pub fn sort(&mut self) {
        self.pods.sort_by(deleted_first);
    }

    /// Returns the pods that exceed the wanted number.
    pub fn surplus(&self) -> &[Pod<'a>] {
        self.pods.get(..self.first_kept()).unwrap_or_default()
    }

    /// Returns the pods that are kept.
    pub fn kept(&self) -> &[Pod<'a>] {
        self.pods.get(self.first_kept()..).unwrap_or_default()
    }

    /// Returns how many pods are missing.
    pub fn missing(&self) -> u32 {
        self.replicas.saturating_sub(u32::try_from(self.pods.len()).unwrap_or(u32::MAX))
    }

    /// Returns how many of the pods that are kept are available.
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

/// Compares two pods by the order in which they are deleted. Source: `ActivePodsWithRanks` of k8s
/// pkg/controller/controller_utils.go. Unlike there, availability comes before the deletion cost, because a rollout
/// counts available pods when it deletes some.
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
