//! Tests of the single rules of the controller, and a simulation of its life.

mod conflicts;
mod patches;
mod rules;
mod simulation;
mod views;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::*;
use crate::plan::{PodNetwork, PodTemplate};

/// Returns the time `seconds` after the test began.
fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + seconds)
}

fn template(hash: &str) -> PodTemplate {
    let pod = json!({
        "metadata": {
            "name": format!("web-{hash}"),
            "namespace": "default",
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("web-{hash}"), "uid": format!("rs-{hash}")},
            ],
        },
        "spec": {"containers": [{"name": "main", "image": hash}]},
    });
    PodTemplate {
        pod: serde_json::from_value(pod).unwrap(),
        hash: hash.to_owned(),
        network: PodNetwork::default(),
        runtime: None,
        suffixed: true,
    }
}

fn spec(rule: Rule, hash: &str) -> Spec {
    Spec {
        generation: 1,
        object: json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": hash}]}}}}),
        hash: hash.to_owned(),
        source: "/f.yaml".to_owned(),
        rule,
        template: template(hash),
        running: true,
        replaced: 0,
    }
}

/// Returns the defaults of a Deployment with `count` replicas.
fn rule(count: u32) -> Replicas {
    Replicas {
        count,
        strategy: rolling(IntOrPercent::Percent(25), IntOrPercent::Percent(25)),
        min_ready_seconds: 0,
        progress_deadline_seconds: Some(600),
        paused: false,
        revision_history_limit: 10,
    }
}

fn rolling(max_surge: IntOrPercent, max_unavailable: IntOrPercent) -> Strategy {
    Strategy::RollingUpdate { max_surge, max_unavailable }
}

/// A Deployment and its pods, as the controller sees them.
struct World {
    spec: Spec,
    state: State,
    pods: Vec<PodStatus>,
    time: i64,
    created: u32,
}

impl World {
    fn new(rule: Rule) -> Self {
        let spec = spec(rule, "a");
        Self { spec, state: State::default(), pods: Vec::new(), time: 0, created: 0 }
    }

    /// Creates a Deployment of template `a` that is rolled out completely.
    fn rolled_out(rule: Replicas) -> Self {
        let mut world = Self::new(Rule::Replicas(rule));
        world.apply(|_| {});
        world.finish();
        world
    }

    fn now(&self) -> Timestamp {
        at(self.time)
    }

    fn rule(&self) -> &Replicas {
        let Rule::Replicas(rule) = &self.spec.rule else { panic!("no Deployment") };
        rule
    }

    /// Changes the spec and applies it.
    fn apply(&mut self, change: impl FnOnce(&mut Spec)) -> Vec<Action> {
        change(&mut self.spec);
        self.spec.generation += 1;
        self.step(Event::Applied)
    }

    fn scale(&mut self, count: u32) -> Vec<Action> {
        self.change_rule(|rule| rule.count = count)
    }

    fn change_rule(&mut self, change: impl FnOnce(&mut Replicas)) -> Vec<Action> {
        self.apply(|spec| {
            let Rule::Replicas(rule) = &mut spec.rule else { panic!("no Deployment") };
            change(rule);
        })
    }

    fn update(&mut self, hash: &str) -> Vec<Action> {
        self.apply(|spec| set_template(spec, hash))
    }

    /// Takes a step and carries out its actions.
    fn step(&mut self, event: Event) -> Vec<Action> {
        let actions = self.decide(event);
        self.carry_out(&actions);
        actions
    }

    fn decide(&mut self, event: Event) -> Vec<Action> {
        let before = std::mem::take(&mut self.state);
        let (state, actions) = super::step(&self.spec, before, &self.pods, event, self.now());
        self.state = state;
        actions
    }

    fn carry_out(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::CreatePods { hash, count } => (0..*count).for_each(|_| self.create(hash)),
                Action::DeletePod { uid } => self.pod(uid).terminating = true,
                Action::StartPod { uid } => self.pod(uid).should_run = true,
                Action::Emit { .. } => {}
            }
        }
    }

    fn pod(&mut self, uid: &str) -> &mut PodStatus {
        self.pods.iter_mut().find(|pod| pod.uid == uid).expect("an action names a pod that exists")
    }

    fn create(&mut self, hash: &str) {
        self.created += 1;
        self.pods.push(PodStatus {
            uid: format!("{:04}", self.created),
            name: format!("web-{hash}-{:05}", self.created),
            hash: hash.to_owned(),
            replaced: self.spec.replaced,
            created: self.now(),
            terminating: false,
            should_run: self.spec.running,
            is_started: false,
            has_ended: false,
            ready_since: None,
            restarts: 0,
            deletion_cost: 0,
            problem: None,
            failed_init: None,
        });
    }

    /// Makes `count` pods of a template Ready.
    fn ready(&mut self, hash: &str, count: usize) {
        let now = self.now();
        let pods = self.pods.iter_mut().filter(|pod| pod.hash == hash && pod.is_active());
        for pod in pods.filter(|pod| pod.ready_since.is_none()).take(count) {
            pod.is_started = true;
            pod.ready_since = Some(now);
        }
    }

    /// Removes all terminating pods.
    fn gone(&mut self) {
        self.pods.retain(|pod| !pod.terminating);
    }

    /// Lets pods become Ready and terminate until nothing changes any more.
    fn finish(&mut self) {
        for _ in 0..1000 {
            self.time += 1;
            let now = self.now();
            for pod in self.pods.iter_mut().filter(|pod| pod.is_active() && pod.should_run) {
                pod.is_started = true;
                pod.ready_since = pod.ready_since.or(Some(now));
            }
            self.gone();
            let before = (self.state.clone(), self.pods.clone());
            let actions = self.step(Event::PodsChanged);
            if let Some(next) = self.state.next_deadline {
                self.time = self.time.max(next.as_second() - at(0).as_second());
            } else if actions.is_empty() && before == (self.state.clone(), self.pods.clone()) {
                return;
            }
        }
        panic!("does not come to rest: {:#?}", self.state);
    }

    /// Returns the number of active pods of a template.
    fn active(&self, hash: &str) -> usize {
        self.pods.iter().filter(|pod| pod.is_active() && pod.hash == hash).count()
    }

    /// Returns the reason of condition Progressing.
    fn progressing(&self) -> &str {
        self.state.progressing.as_ref().map_or("", |condition| &condition.reason)
    }
}

fn set_template(spec: &mut Spec, hash: &str) {
    let other = super::tests::spec(spec.rule.clone(), hash);
    spec.template = other.template;
    spec.object = other.object;
    spec.hash = other.hash;
}

/// Returns the messages of the events among `actions`.
fn messages(actions: &[Action]) -> Vec<&str> {
    actions
        .iter()
        .filter_map(|action| if let Action::Emit { message, .. } = action { Some(&**message) } else { None })
        .collect()
}
