use serde_json::json;

use super::*;
use crate::kind::Kind;
use crate::lifecycle::PodSpec;
use crate::plan::PodNetwork;

fn id() -> WorkloadId {
    WorkloadId::new(Kind::Deployment, "default", "api")
}

/// Returns the spec of a Deployment with `replicas` pods of a template.
fn spec(generation: u64, template: &str, replicas: u32) -> Spec {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": replicas}});
    let pod = json!({"metadata": {"name": format!("api-{template}"), "namespace": "default"}});
    Spec {
        generation,
        rule: crate::workload::Rule::of_object(Kind::Deployment, &object),
        object,
        hash: format!("{template}{replicas}"),
        source: "/api.yaml".to_owned(),
        template: PodTemplate {
            pod: serde_json::from_value(pod).unwrap(),
            hash: template.to_owned(),
            network: PodNetwork::default(),
            runtime: None,
            suffixed: true,
        },
        running: true,
        replaced: 0,
    }
}

/// Applies a change while either all pods are Ready or none is, as `ready` says.
fn changed(before: Option<&WorkloadRecord>, change: &WorkloadChange, ready: bool) -> Outcome {
    let now = Timestamp::UNIX_EPOCH;
    let status_of = |pod: &PodRecord| {
        let status = pod_status(pod, &PodSpec::from_pod(&pod.plan.pod), None);
        PodStatus { ready_since: ready.then_some(now), is_started: ready, ..status }
    };
    let mut count = before.map_or(0, |before| before.pods.len());
    let mut identity = || {
        count += 1;
        Identity { uid: format!("uid-{count}"), suffix: format!("{count}") }
    };
    let mut controller = Controller { status_of: &status_of, identity: &mut identity, now };
    controller.change(before, &id(), change).unwrap()
}

fn apply(spec: Spec) -> WorkloadChange {
    WorkloadChange::Apply { spec: Box::new(spec), kill: Vec::new() }
}

fn names(record: &WorkloadRecord) -> Vec<String> {
    record.standing().map(|pod| pod.plan.name().to_owned()).collect()
}

#[test]
fn a_new_workload_is_recorded_with_all_its_pods_at_once() {
    let Outcome { record, emitted } = changed(None, &apply(spec(1, "a", 2)), false);
    assert_eq!(names(&record).len(), 2);
    assert!(record.pods.iter().all(|pod| pod.desired == Desired::Running && !pod.removing));
    assert_eq!(record.state.observed_generation, 1);
    assert_eq!(emitted.iter().map(|emitted| emitted.reason).collect::<Vec<_>>(), ["ScalingReplicaSet"]);
    let again = changed(Some(&record), &apply(spec(1, "a", 2)), false);
    assert!(!again.record.differs_durably(&record), "a spec that comes twice changes nothing");
}

#[test]
fn a_workload_that_should_not_run_gets_pods_that_are_started_later() {
    let stopped = Spec { running: false, ..spec(1, "a", 1) };
    let Outcome { record, .. } = changed(None, &apply(stopped), false);
    assert_eq!(record.pods[0].desired, Desired::Stopped);
    let Outcome { record, .. } = changed(Some(&record), &apply(spec(2, "a", 1)), false);
    assert_eq!(record.pods[0].desired, Desired::Running);
}

#[test]
fn an_older_spec_changes_nothing() {
    let Outcome { record, .. } = changed(None, &apply(spec(2, "a", 1)), true);
    let after = changed(Some(&record), &apply(spec(1, "b", 3)), true);
    assert_eq!(after.record.spec, record.spec);
    assert_eq!(names(&after.record), names(&record));
}

#[test]
fn a_deleted_workload_gets_no_pods_and_applying_it_again_creates_a_new_workload() {
    let Outcome { record, .. } = changed(None, &apply(spec(1, "a", 1)), true);
    let deleted = changed(Some(&record), &WorkloadChange::Delete { grace_seconds: Some(3) }, true).record;
    assert!(deleted.deleting && deleted.pods.iter().all(|pod| pod.removing && pod.grace_seconds == Some(3)));
    let anew = changed(Some(&deleted), &apply(spec(1, "a", 1)), true).record;
    assert!(!anew.deleting && anew.uid != record.uid);
    assert_eq!(anew.pods.iter().map(|pod| pod.removing).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn pods_of_a_failed_play_are_killed_and_earlier_pods_are_kept() {
    let before = changed(None, &apply(spec(1, "a", 2)), true).record;
    // The new pod is not ready, so that both old ones are kept.
    let broken = changed(Some(&before), &apply(spec(2, "b", 2)), false).record;
    let made: Vec<String> =
        broken.pods.iter().filter(|pod| pod.plan.hash == "b").map(|pod| pod.plan.uid.clone()).collect();
    assert!(!made.is_empty());
    let restore = WorkloadChange::Apply { spec: Box::new(spec(3, "a", 2)), kill: made.clone() };
    let after = changed(Some(&broken), &restore, true).record;
    assert_eq!(names(&after).len(), 2);
    assert!(after.standing().all(|pod| pod.plan.hash == "a"));
    let killed = |pod: &&PodRecord| made.contains(&pod.plan.uid);
    assert!(after.pods.iter().filter(killed).all(|pod| pod.removing && pod.grace_seconds == Some(0)));
}

#[test]
fn the_status_shows_the_progress_of_a_workload() {
    let record = changed(None, &apply(spec(1, "a", 2)), true).record;
    let status = |ready: usize, problem: Option<&str>| {
        let pods = record.pods.iter().enumerate().map(|(n, pod)| {
            let status = pod_status(pod, &PodSpec::from_pod(&pod.plan.pod), None);
            let is_ready = n < ready;
            PodStatus {
                is_started: is_ready,
                ready_since: is_ready.then_some(Timestamp::UNIX_EPOCH),
                problem: problem.map(str::to_owned),
                ..status
            }
        });
        Status::new(&record, &pods.collect::<Vec<_>>(), Timestamp::UNIX_EPOCH, |_| None)
    };
    let one = status(1, None);
    assert_eq!((one.wanted, one.updated, one.ready, one.complete), (2, 2, 1, false));
    assert!(!one.has_started());
    let all = status(2, None);
    assert!(all.complete && all.has_started());
    let problem = status(0, Some("container main: ErrImagePull: no")).problem.unwrap();
    assert!(problem.pod.starts_with("pod/api-a-") && problem.message.contains("ErrImagePull"));
}
