//! One step of the controller.

use jiff::Timestamp;

use super::replica_set::{Pod, ReplicaSet};
use super::{
    Action, Counts, Event, PodStatus, Replicas, Rule, Spec, State, Strategy, conditions, revisions, rolling,
    scaling,
};

/// Decides which pods to create and delete now, and what to tell.
///
/// The decision follows from the pods alone, so that a step can be repeated after a crash, and a second step without a
/// change in between returns no action. Pods that the actions create and delete must be in `pods` of the next step:
/// created ones as they are, deleted ones as `terminating` until they are gone.
pub fn step(
    spec: &Spec,
    mut state: State,
    pods: &[PodStatus],
    event: Event,
    now: Timestamp,
) -> (State, Vec<Action>) {
    let actions = match &spec.rule {
        Rule::Once => once(spec, &mut state, pods, now),
        Rule::Replicas(rule) => replicas(spec, rule, &mut state, pods, event, now),
    };
    state.observed_generation = spec.generation;
    state.observed_replaced = spec.replaced;
    (state, actions)
}

/// Kind Pod: one pod of the template. A pod that has ended stays.
fn once(spec: &Spec, state: &mut State, pods: &[PodStatus], now: Timestamp) -> Vec<Action> {
    if state.current(spec).is_none() {
        state.revisions.clear();
        revisions::create(spec, state, pods, now);
    }
    for revision in &mut state.revisions {
        revision.template.clone_from(&spec.template);
        revision.replicas = 1;
    }
    state.next_deadline = None;

    let mut actions = Vec::new();
    let is_kept = |pod: &&PodStatus| !pod.terminating && spec.is_current(pod);
    let kept = pods.iter().find(is_kept);
    for pod in pods.iter().filter(|pod| !pod.terminating && kept.is_none_or(|kept| kept.uid != pod.uid)) {
        actions.push(Action::DeletePod { uid: pod.uid.clone() });
    }
    match kept {
        None => actions.push(Action::CreatePods { hash: spec.template.hash.clone(), count: 1 }),
        Some(pod) if spec.running && !pod.should_run => {
            actions.push(Action::StartPod { uid: pod.uid.clone() });
        }
        Some(_) => {}
    }
    actions
}

/// Kinds Deployment and ReplicaSet. Source: `syncDeployment` of k8s pkg/controller/deployment.
fn replicas(
    spec: &Spec,
    rule: &Replicas,
    state: &mut State,
    pods: &[PodStatus],
    event: Event,
    now: Timestamp,
) -> Vec<Action> {
    let mut change = revisions::find(spec, state, pods);
    if !rule.paused && state.current(spec).is_none() {
        revisions::create(spec, state, pods, now);
        change = Some(revisions::Change::Created);
    }

    let mut controller = Controller::new(spec, rule, state, pods, now);
    if rule.paused || controller.was_scaled() {
        scaling::scale(&mut controller);
    }
    if !rule.paused {
        match rule.strategy {
            Strategy::RollingUpdate { .. } => rolling::rolling_update(&mut controller),
            Strategy::Recreate => rolling::recreate(&mut controller, pods),
        }
    }
    let mut actions = controller.pod_actions(pods);
    actions.append(&mut controller.events);
    controller.store(state);

    let counts = Counts::new(spec, pods, now);
    let change = change.filter(|_| !rule.paused);
    actions.extend(conditions::update(spec, rule, state, &counts, change, event, now));
    state.next_deadline = conditions::next_deadline(spec, rule, state, &counts, pods, now);
    revisions::clean_up(spec, rule, state, pods);
    actions
}

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
    fn new(spec: &'a Spec, rule: &'a Replicas, state: &State, pods: &'a [PodStatus], now: Timestamp) -> Self {
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
    fn store(&self, state: &mut State) {
        for (revision, set) in state.revisions.iter_mut().zip(&self.sets) {
            revision.replicas = set.replicas;
            revision.desired_replicas = set.desired_replicas;
            revision.max_replicas = set.max_replicas;
        }
    }

    /// What to do so that there are as many pods as the ReplicaSets want. Pods that have ended are deleted; they do not
    /// count, so that others take their place.
    fn pod_actions(&self, pods: &[PodStatus]) -> Vec<Action> {
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
    fn was_scaled(&self) -> bool {
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
        self.events.push(Action::Emit { warning: false, reason: "ScalingReplicaSet", message });
        true
    }
}
