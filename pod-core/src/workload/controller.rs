//! The working state of one step: the ReplicaSets with their pods and their wanted sizes.

use jiff::Timestamp;

use super::replica_set::{Pod, ReplicaSet};
use super::{Action, PodStatus, Replicas, Spec, State};
use crate::kind::EventType;

/// The working state of one step.
pub(super) struct Controller<'a> {
    pub spec: &'a Spec,
    pub rule: &'a Replicas,
    /// The ReplicaSets in the order of their revisions, followed by ReplicaSets of pods that no revision can create
    /// any more.
    pub sets: Vec<ReplicaSet<'a>>,
    /// The index of the ReplicaSet of the current revision.
    pub current: Option<usize>,
    /// The events to record, each an [`Action::Emit`].
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

    /// Stores the wanted sizes of the ReplicaSets in the revisions of the state.
    pub fn store(&self, state: &mut State) {
        for (revision, set) in state.revisions.iter_mut().zip(&self.sets) {
            revision.replicas = set.replicas;
            revision.desired_replicas = set.desired_replicas;
            revision.max_replicas = set.max_replicas;
        }
    }

    /// Returns the actions after which every ReplicaSet has its wanted number of pods. Pods that have ended are
    /// deleted and do not count, so that other pods replace them.
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

    /// Returns whether the Deployment was scaled after its ReplicaSets were last scaled. Source: `isScalingEvent`.
    pub fn was_scaled(&self) -> bool {
        self.sets.iter().any(|set| set.replicas > 0 && set.desired_replicas != self.rule.count)
    }

    /// Returns the number of pods that all ReplicaSets together should have.
    pub fn total(&self) -> u32 {
        self.sets.iter().map(|set| set.replicas).sum()
    }

    /// Returns how many of the pods that the ReplicaSets keep are available.
    pub fn available(&self) -> u32 {
        self.sets.iter().map(ReplicaSet::available).sum()
    }

    /// Returns the indexes of the ReplicaSets that are not current and have replicas, the oldest first.
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

    /// Scales a ReplicaSet and records an event. Returns false if the ReplicaSet already had this size or cannot grow.
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
