//! One step of the controller.

use jiff::Timestamp;

use super::controller::Controller;
use super::{
    Action, Counts, Event, PodStatus, Replicas, Rule, Spec, State, Strategy, conditions, revisions, rolling,
    scaling,
};

/// Decides which pods to create and delete now, and which events to record.
///
/// The decision depends only on the arguments, so a step can be repeated after a crash, and a second step without a
/// change in between returns no action. The `pods` of the next step must include the effect of the actions: created
/// pods are listed, deleted pods are listed as `terminating` until they are gone.
pub fn step(
    spec: &Spec,
    mut state: State,
    pods: &[PodStatus],
    event: Event,
    now: Timestamp,
) -> (State, Vec<Action>) {
    let actions = match &spec.rule {
        Rule::Once => once(spec, &mut state, pods),
        Rule::Replicas(rule) => replicas(spec, rule, &mut state, pods, event, now),
    };
    state.observed_generation = spec.generation;
    state.observed_replaced = spec.replaced;
    (state, actions)
}

/// Decides for kind Pod: there should be one pod of the template. A pod that has ended is kept.
fn once(spec: &Spec, state: &mut State, pods: &[PodStatus]) -> Vec<Action> {
    // A pod has no revisions: its template is the one of the spec, and no command goes back to a former one.
    state.revisions.clear();
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

/// Decides for the kinds Deployment and ReplicaSet. Source: `syncDeployment` of k8s pkg/controller/deployment.
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
        revisions::create(spec, rule, state, pods, now);
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
