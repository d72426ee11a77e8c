//! The working state of one step: the ReplicaSets with their pods, and what the step wants of them.

use jiff::Timestamp;

use super::replica_set::{Pod, ReplicaSet};
use super::{Action, PodStatus, Replicas, Spec, State};
use crate::kind::EventType;

/// What the parts of a step work on.
pub(super) struct Controller<'a> {
    pub spec: &'a Spec,
    pub rule: &'a Replicas,
    /// The ReplicaSets in the order of their revisions, then pods that no revision can create.
    pub sets: Vec<ReplicaSet<'a>>,
    /// Index of the ReplicaSet of the current revision.
    pub current: Option<usize>,
    /// [`Action::Emit`].
    pub events: Vec<Action>,
}

impl<'a> Controller<'a> {
    pub fn new(
        spec: &'a Spec,
        rule: &'a Replicas,
        state: &State,
        pods: &'a [PodStatus],
        now: Timestamp,
    ) -> Self {
        let mut sets: Vec<ReplicaSet<'a>> = state
            .revisions
            .iter()
            .map(|revision| ReplicaSet {
                name: revision.name().to_owned(),
                hash: revision.hash.clone(),
                created: revision.created,
                can_grow: true,
                is_running: spec.running,
                replicas: revision.replicas,
                desired_replicas: revision.desired_replicas,
                max_replicas: revision.max_replicas,
                pods: Vec::new(),
            })
            .collect();
        let current = state.current(spec).and_then(|_| state.revisions.len().checked_sub(1));
        for status in pods.iter().filter(|pod| pod.is_active()) {
            let is_available = status.is_available(rule.min_ready_seconds, now);
            let pod = Pod { status, is_available };
            let is_outdated = status.hash == spec.template.hash && !spec.is_current(status);
            let is_orphan = is_outdated || !state.revisions.iter().any(|r| r.hash == status.hash);
            let mut same = sets.iter_mut().filter(|set| set.hash == status.hash);
            if let Some(set) = same.find(|set| set.can_grow != is_orphan) {
                set.replicas += u32::from(is_orphan);
                set.pods.push(pod);
            } else {
                // A generated name ends in a hyphen and a suffix.
                let name = status.name.rsplit_once('-').map_or(status.name.as_str(), |(name, _)| name);
                sets.push(ReplicaSet {
                    name: name.to_owned(),
                    hash: status.hash.clone(),
                    created: status.created,
                    can_grow: false,
                    is_running: spec.running,
                    replicas: 1,
                    desired_replicas: rule.count,
                    max_replicas: rule.max_total(),
                    pods: vec![pod],
                });
            }
        }
        for set in &mut sets {
            set.sort();
        }
        Self { spec, rule, sets, current, events: Vec::new() }
    }

    /// Writes what is wanted of the revisions into the state.
    pub fn store(&self, state: &mut State) {
        for (revision, set) in state.revisions.iter_mut().zip(&self.sets) {
            revision.replicas = set.replicas;
            revision.desired_replicas = set.desired_replicas;
            revision.max_replicas = set.max_replicas;
        }
    }

    /// What to do so that there are as many pods as the ReplicaSets want. Pods that have ended are deleted; they do not
    /// count, so that others take their place.
    pub fn pod_actions(&self, pods: &[PodStatus]) -> Vec<Action> {
        let ended = pods.iter().filter(|pod| pod.has_ended && !pod.terminating);
        let surplus = self.sets.iter().flat_map(ReplicaSet::surplus).map(|pod| pod.status);
        let mut actions: Vec<Action> =
            ended.chain(surplus).map(|pod| Action::DeletePod { uid: pod.uid.clone() }).collect();
        for set in self.sets.iter().filter(|set| set.can_grow && set.missing() > 0) {
            actions.push(Action::CreatePods { hash: set.hash.clone(), count: set.missing() });
        }
        if self.spec.running {
            let kept = self.sets.iter().flat_map(ReplicaSet::kept).map(|pod| pod.status);
            actions.extend(
                kept.filter(|pod| !pod.should_run).map(|pod| Action::StartPod { uid: pod.uid.clone() }),
            );
        }
        actions
    }

    /// The Deployment was scaled since its ReplicaSets were. Source: `isScalingEvent`.
    pub fn was_scaled(&self) -> bool {
        self.sets.iter().any(|set| set.replicas > 0 && set.desired_replicas != self.rule.count)
    }

    /// How many pods the ReplicaSets want together.
    pub fn total(&self) -> u32 {
        self.sets.iter().map(|set| set.replicas).sum()
    }

    /// How many pods that the ReplicaSets keep are available.
    pub fn available(&self) -> u32 {
        self.sets.iter().map(ReplicaSet::available).sum()
    }

    /// Indexes of the ReplicaSets that are not current and have replicas, oldest first.
    pub fn old_active(&self) -> Vec<usize> {
        let mut indexes: Vec<usize> = self
            .sets
            .iter()
            .enumerate()
            .filter(|(index, set)| Some(*index) != self.current && set.replicas > 0)
            .map(|(index, _)| index)
            .collect();
        indexes.sort_by_key(|index| self.sets.get(*index).map(|set| set.created));
        indexes
    }

    /// Scales a ReplicaSet and tells of it. False if there was nothing to do.
    pub fn scale(&mut self, index: usize, replicas: u32) -> bool {
        let (count, max_total) = (self.rule.count, self.rule.max_total());
        let Some(set) = self.sets.get_mut(index) else { return false };
        set.desired_replicas = count;
        set.max_replicas = max_total;
        let before = set.replicas;
        if before == replicas || (replicas > before && !set.can_grow) {
            return false;
        }
        set.replicas = replicas;
        let direction = if replicas > before { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {before} to {replicas}", set.name);
        self.events.push(Action::Emit { kind: EventType::Normal, reason: "ScalingReplicaSet", message });
        true
    }
}
