//! Tests of the rules of Kubernetes' Deployment controller, one per rule.

use super::*;

#[test]
fn max_surge_rounds_up_and_max_unavailable_rounds_down() {
    use IntOrPercent::{Int, Percent};
    for (count, surge, unavailable, expected) in [
        (10, Percent(25), Percent(25), (3, 2)),
        (1, Percent(25), Percent(25), (1, 0)),
        (2, Int(0), Percent(1), (0, 1)),
        (1, Percent(0), Percent(1), (0, 1)),
        (2, Percent(1), Percent(25), (1, 0)),
        (4, Int(2), Int(9), (2, 4)),
        (0, Percent(25), Percent(25), (0, 0)),
        (u32::MAX, Percent(100), Percent(100), (u32::MAX, u32::MAX)),
    ] {
        let rule = Replicas { strategy: rolling(surge, unavailable), ..rule(count) };
        let bounds = rule.bounds();
        assert_eq!((bounds.max_surge, bounds.max_unavailable), expected, "{count} {surge:?} {unavailable:?}");
    }
}

#[test]
fn a_new_deployment_creates_all_its_pods() {
    let mut world = World::new(Rule::Replicas(rule(3)));
    let actions = world.apply(|_| {});
    assert_eq!(actions[0], Action::CreatePods { hash: "a".to_owned(), count: 3 });
    assert_eq!(messages(&actions), ["Scaled up replica set web-a from 0 to 3"]);
    assert_eq!(world.progressing(), "NewReplicaSetCreated");
    assert_eq!(world.state.available.as_ref().unwrap().reason, "MinimumReplicasUnavailable");
    world.finish();
    assert_eq!(world.progressing(), "NewReplicaSetAvailable");
    assert_eq!(world.state.available.as_ref().unwrap().status, Some(true));
    assert_eq!(world.state.observed_generation, 2);
}

#[test]
fn a_rolling_update_keeps_within_its_bounds() {
    let mut world = World::rolled_out(rule(4));
    let actions = world.update("b");
    insta::assert_snapshot!(messages(&actions).join("\n"), @r"
    Scaled up replica set web-b from 0 to 1
    Scaled down replica set web-a from 4 to 3
    Scaled up replica set web-b from 1 to 2
    ");
    assert_eq!((world.active("a"), world.active("b")), (3, 2));
    assert_eq!(world.state.current(&world.spec).unwrap().number, 2);
    // No further action follows until a new pod is available.
    world.time += 1;
    assert_eq!(world.step(Event::PodsChanged), []);
    assert_eq!(world.progressing(), "ReplicaSetUpdated");
    world.ready("b", 1);
    assert_eq!(
        messages(&world.step(Event::PodsChanged)),
        ["Scaled down replica set web-a from 3 to 2", "Scaled up replica set web-b from 2 to 3"]
    );
    world.finish();
    assert_eq!((world.active("a"), world.active("b")), (0, 4));
    assert_eq!(world.progressing(), "NewReplicaSetAvailable");
}

#[test]
fn unhealthy_old_pods_are_deleted_first() {
    let mut world = World::rolled_out(Replicas {
        strategy: rolling(IntOrPercent::Int(0), IntOrPercent::Int(1)),
        ..rule(3)
    });
    world.pods[1].ready_since = None;
    let sick = world.pods[1].uid.clone();
    let actions = world.update("b");
    assert_eq!(actions[0], Action::DeletePod { uid: sick });
    assert_eq!((world.active("a"), world.active("b")), (2, 1));
}

#[test]
fn an_update_of_an_update_deletes_the_pods_that_never_became_available() {
    let mut world = World::rolled_out(rule(4));
    world.update("bad");
    assert_eq!((world.active("a"), world.active("bad")), (3, 2));
    world.update("c");
    assert_eq!((world.active("a"), world.active("bad"), world.active("c")), (3, 0, 2));
    world.finish();
    assert_eq!((world.active("a"), world.active("c")), (0, 4));
}

#[test]
fn recreate_waits_until_old_pods_are_gone() {
    let mut world = World::rolled_out(Replicas { strategy: Strategy::Recreate, ..rule(3) });
    let actions = world.update("b");
    assert_eq!(messages(&actions), ["Scaled down replica set web-a from 3 to 0"]);
    assert_eq!((world.active("a"), world.active("b")), (0, 0));
    assert_eq!(world.step(Event::PodsChanged), []);
    world.pods.pop();
    assert_eq!(world.step(Event::PodsChanged), []);
    world.gone();
    let actions = world.step(Event::PodsChanged);
    assert_eq!(messages(&actions), ["Scaled up replica set web-b from 0 to 3"]);
    assert_eq!(world.active("b"), 3);
}

#[test]
fn a_deployment_is_scaled_to_zero_and_back() {
    let mut world = World::rolled_out(rule(3));
    assert_eq!(messages(&world.scale(0)), ["Scaled down replica set web-a from 3 to 0"]);
    world.finish();
    assert_eq!(world.pods, []);
    // Scaling does not start a rollout.
    assert_eq!(world.progressing(), "NewReplicaSetAvailable");
    assert_eq!(messages(&world.scale(2)), ["Scaled up replica set web-a from 0 to 2"]);
    world.finish();
    assert_eq!(world.active("a"), 2);
    assert_eq!(world.state.revisions.len(), 1);
}

#[test]
fn a_deployment_without_replicas_is_rolled_out_at_once() {
    let mut world = World::new(Rule::Replicas(rule(0)));
    assert_eq!(messages(&world.apply(|_| {})), Vec::<&str>::new());
    assert_eq!(world.progressing(), "NewReplicaSetAvailable");
    world.update("b");
    assert_eq!(world.state.current(&world.spec).unwrap().number, 2);
    assert_eq!(world.progressing(), "NewReplicaSetAvailable");
}

#[test]
fn scaling_in_the_middle_of_a_rollout_keeps_proportions() {
    // The example of Kubernetes' documentation: 10 replicas, maxSurge 3, maxUnavailable 2, scaled to 15.
    let mut world = World::rolled_out(Replicas {
        strategy: rolling(IntOrPercent::Int(3), IntOrPercent::Int(2)),
        ..rule(10)
    });
    world.update("bad");
    assert_eq!((world.active("a"), world.active("bad")), (8, 5));
    let actions = world.scale(15);
    assert_eq!(
        messages(&actions),
        ["Scaled up replica set web-a from 8 to 11", "Scaled up replica set web-bad from 5 to 7"]
    );
    let desired: Vec<_> =
        world.state.revisions.iter().map(|r| (r.desired_replicas, r.max_replicas)).collect();
    assert_eq!(desired, [(15, 18), (15, 18)]);
    world.finish();
    assert_eq!((world.active("a"), world.active("bad")), (0, 15));
}

#[test]
fn a_paused_deployment_is_scaled_but_not_rolled_out() {
    let mut world = World::rolled_out(rule(4));
    world.change_rule(|rule| rule.paused = true);
    assert_eq!(world.progressing(), "DeploymentPaused");
    assert_eq!(world.state.progressing.as_ref().unwrap().status, None);
    assert_eq!(world.update("b"), []);
    assert_eq!(world.state.current(&world.spec), None);
    assert_eq!(messages(&world.scale(6)), ["Scaled up replica set web-a from 4 to 6"]);
    world.time += 10_000;
    assert_eq!(world.step(Event::Tick), []);
    assert_eq!(world.progressing(), "DeploymentPaused");
    world.change_rule(|rule| rule.paused = false);
    assert_eq!(world.progressing(), "NewReplicaSetCreated");
    world.finish();
    assert_eq!((world.active("a"), world.active("b")), (0, 6));
}

#[test]
fn a_rollout_that_is_paused_midway_continues_when_it_is_resumed() {
    let mut world = World::rolled_out(rule(4));
    world.update("b");
    world.change_rule(|rule| rule.paused = true);
    world.ready("b", 9);
    assert_eq!(world.step(Event::PodsChanged), []);
    assert_eq!((world.active("a"), world.active("b")), (3, 2));
    // A Deployment that is paused for longer than the deadline has not failed.
    world.time += 10_000;
    world.step(Event::Tick);
    let actions = world.change_rule(|rule| rule.paused = false);
    assert!(!actions.is_empty());
    assert_eq!(world.progressing(), "DeploymentResumed");
    world.finish();
    assert_eq!((world.active("a"), world.active("b")), (0, 4));
    assert_eq!(world.progressing(), "NewReplicaSetAvailable");
}

#[test]
fn a_new_deployment_that_is_paused_has_no_pods() {
    let mut world = World::new(Rule::Replicas(Replicas { paused: true, ..rule(2) }));
    assert_eq!(world.apply(|_| {}), []);
    assert_eq!(world.state.revisions, []);
    world.change_rule(|rule| rule.paused = false);
    assert_eq!(world.active("a"), 2);
}

#[test]
fn min_ready_seconds_delay_availability() {
    let mut world = World::rolled_out(Replicas { min_ready_seconds: 30, ..rule(1) });
    world.update("b");
    world.ready("b", 1);
    let ready = world.time;
    assert_eq!(world.step(Event::PodsChanged), []);
    assert_eq!(world.state.next_deadline, Some(at(ready + 30)));
    world.time = ready + 29;
    assert_eq!(world.step(Event::Tick), []);
    world.time = ready + 30;
    world.step(Event::Tick);
    assert_eq!((world.active("a"), world.active("b")), (0, 1));
}

#[test]
fn a_rollout_without_progress_exceeds_its_deadline() {
    let mut world = World::rolled_out(Replicas { progress_deadline_seconds: Some(60), ..rule(2) });
    world.update("b");
    let begun = world.time;
    world.time += 10;
    world.step(Event::PodsChanged);
    assert_eq!(world.progressing(), "ReplicaSetUpdated");
    assert_eq!(world.state.next_deadline, Some(at(begun + 70)));
    world.time = begun + 69;
    assert_eq!(world.step(Event::Tick), []);
    world.time = begun + 70;
    assert_eq!(messages(&world.step(Event::Tick)), [r#"ReplicaSet "web-b" has timed out progressing."#]);
    let condition = world.state.progressing.clone().unwrap();
    assert_eq!((condition.status, &*condition.reason), (Some(false), "ProgressDeadlineExceeded"));
    assert_eq!(world.state.next_deadline, None);
    assert_eq!(world.step(Event::Tick), []);
    // The rollout continues when a pod becomes available after all.
    world.finish();
    assert_eq!(world.progressing(), "NewReplicaSetAvailable");
}

#[test]
fn a_pod_that_fails_after_the_rollout_exceeds_no_deadline() {
    let mut world = World::rolled_out(Replicas { progress_deadline_seconds: Some(60), ..rule(2) });
    world.pods[0].ready_since = None;
    world.step(Event::PodsChanged);
    world.time += 1000;
    world.step(Event::Tick);
    assert_eq!(world.progressing(), "NewReplicaSetAvailable");
    assert_eq!(world.state.next_deadline, None);
}

#[test]
fn without_a_deadline_there_is_no_condition_progressing() {
    let mut world = World::rolled_out(Replicas { progress_deadline_seconds: None, ..rule(2) });
    assert_eq!(world.state.progressing, None);
    world.update("b");
    world.finish();
    assert_eq!(world.active("b"), 2);
}

#[test]
fn time_without_a_supervisor_does_not_count_against_the_deadline() {
    let mut world = World::rolled_out(Replicas { progress_deadline_seconds: Some(60), ..rule(2) });
    world.update("b");
    world.step(Event::PodsChanged);
    world.time += 1000;
    world.step(Event::Applied);
    assert_eq!(world.progressing(), "ReplicaSetUpdated");
    assert_eq!(world.state.next_deadline, Some(at(world.time + 60)));
}

#[test]
fn a_template_that_comes_back_gets_the_next_number_and_its_own_replica_set() {
    let mut world = World::rolled_out(rule(2));
    world.update("b");
    world.finish();
    world.update("a");
    assert_eq!(world.progressing(), "FoundNewReplicaSet");
    world.finish();
    let revisions: Vec<_> = world.state.revisions.iter().map(|r| (r.number, r.name(), &*r.uid)).collect();
    assert_eq!(revisions, [(2, "web-b", "rs-b"), (3, "web-a", "rs-a")]);
    assert_eq!((world.active("a"), world.active("b")), (2, 0));
}

#[test]
fn former_revisions_are_kept_up_to_the_limit() {
    let mut world = World::rolled_out(Replicas { revision_history_limit: 2, ..rule(1) });
    for hash in ["b", "c", "d", "e"] {
        world.update(hash);
        world.finish();
    }
    let numbers: Vec<_> = world.state.revisions.iter().map(|r| r.number).collect();
    assert_eq!(numbers, [3, 4, 5]);
    // A revision that has pods is kept.
    world.change_rule(|rule| rule.revision_history_limit = 0);
    world.update("f");
    assert_eq!(world.state.revisions.iter().map(|r| r.number).collect::<Vec<_>>(), [5, 6]);
    world.finish();
    assert_eq!(world.state.revisions.iter().map(|r| r.number).collect::<Vec<_>>(), [6]);
}

#[test]
fn a_pod_that_has_ended_is_replaced() {
    let mut world = World::rolled_out(rule(2));
    world.pods[0].has_ended = true;
    let uid = world.pods[0].uid.clone();
    let expected = [Action::DeletePod { uid }, Action::CreatePods { hash: "a".to_owned(), count: 1 }];
    assert_eq!(world.step(Event::PodsChanged), expected);
}

#[test]
fn scaling_down_deletes_pods_in_the_order_of_a_replica_set() {
    let mut world = World::rolled_out(rule(7));
    let now = world.now();
    for pod in &mut world.pods {
        pod.ready_since = Some(at(-100));
    }
    world.pods[1].deletion_cost = 5;
    world.pods[2].restarts = 3;
    world.pods[3].ready_since = Some(now);
    world.pods[4].deletion_cost = -5;
    world.pods[5].ready_since = None;
    world.pods[6].ready_since = None;
    world.pods[6].is_started = false;
    let mut order = Vec::new();
    for count in (0..7).rev() {
        let actions = world.scale(count);
        let Action::DeletePod { uid } = &actions[0] else { panic!("{actions:?}") };
        order.push(uid.trim_start_matches('0').parse::<usize>().unwrap() - 1);
        world.gone();
    }
    assert_eq!(order, [6, 5, 4, 3, 2, 0, 1]);
}

#[test]
fn the_youngest_of_equal_pods_is_deleted_first() {
    let mut world = World::rolled_out(rule(1));
    world.time += 100;
    world.scale(2);
    world.finish();
    for pod in &mut world.pods {
        pod.ready_since = Some(at(1));
    }
    let youngest = world.pods[1].uid.clone();
    assert_eq!(world.scale(1)[0], Action::DeletePod { uid: youngest });
}

#[test]
fn a_replaced_deployment_is_rolled_out_with_the_same_template() {
    let mut world = World::rolled_out(rule(4));
    world.apply(|spec| spec.replaced += 1);
    assert_eq!(world.pods.iter().filter(|pod| pod.terminating).count(), 1);
    assert_eq!(Counts::new(&world.spec, &world.pods, world.now()).updated, 2);
    assert_eq!(world.progressing(), "FoundNewReplicaSet");
    world.finish();
    assert!(world.pods.iter().all(|pod| pod.replaced == 1));
    assert_eq!(world.active("a"), 4);
    assert_eq!(world.state.revisions.len(), 1);
}

#[test]
fn pods_of_an_unknown_template_are_replaced() {
    let mut world = World::new(Rule::Replicas(rule(2)));
    world.create("old");
    world.create("old");
    world.ready("old", 2);
    world.apply(|_| {});
    assert_eq!((world.active("old"), world.active("a")), (2, 1));
    world.finish();
    assert_eq!((world.active("old"), world.active("a")), (0, 2));
}

#[test]
fn pods_that_an_earlier_version_created_are_adopted() {
    let mut world = World::new(Rule::Replicas(rule(2)));
    world.create("a");
    world.create("a");
    world.ready("a", 2);
    assert_eq!(world.apply(|_| {}), []);
    assert_eq!(world.state.revisions[0].replicas, 2);
    assert_eq!(world.progressing(), "NewReplicaSetAvailable");
}

#[test]
fn pods_that_are_not_started_are_started_later() {
    let mut world = World::new(Rule::Replicas(rule(2)));
    world.apply(|spec| spec.running = false);
    assert!(world.pods.iter().all(|pod| !pod.should_run));
    // An update does not wait for pods that are not started.
    world.update("b");
    assert_eq!((world.active("a"), world.active("b")), (0, 2));
    world.gone();
    assert_eq!(world.step(Event::PodsChanged), []);
    assert!(Counts::new(&world.spec, &world.pods, world.now()).is_complete(&world.spec));
    let actions = world.apply(|spec| spec.running = true);
    let uids: Vec<_> = world.pods.iter().map(|pod| Action::StartPod { uid: pod.uid.clone() }).collect();
    assert_eq!(actions, uids);
    world.finish();
    assert_eq!(world.progressing(), "NewReplicaSetAvailable");
}

#[test]
fn a_pod_is_replaced_at_once_when_its_template_changes() {
    let mut world = World::new(Rule::Once);
    assert_eq!(world.apply(|_| {}), [Action::CreatePods { hash: "a".to_owned(), count: 1 }]);
    assert_eq!(world.step(Event::PodsChanged), []);
    let old = world.pods[0].uid.clone();
    let expected = [Action::DeletePod { uid: old }, Action::CreatePods { hash: "b".to_owned(), count: 1 }];
    assert_eq!(world.update("b"), expected);
    assert_eq!(world.step(Event::PodsChanged), []);
    assert_eq!(world.state.revisions.len(), 0, "a pod has no revisions");
    assert_eq!(world.apply(|spec| spec.replaced += 1).len(), 2);
    // The first template is applied again while the pods of both templates still terminate.
    world.update("a");
    world.gone();
    assert_eq!(world.active("a"), 1);
    assert_eq!(world.step(Event::PodsChanged), []);
}

#[test]
fn a_pod_that_has_ended_is_kept() {
    let mut world = World::new(Rule::Once);
    world.apply(|_| {});
    world.pods[0].has_ended = true;
    assert_eq!(world.step(Event::PodsChanged), []);
    assert_eq!(world.update("b").len(), 2);
}

#[test]
fn a_pod_that_was_not_started_is_started() {
    let mut world = World::new(Rule::Once);
    world.apply(|spec| spec.running = false);
    assert!(!world.pods[0].should_run);
    world.apply(|spec| spec.running = true);
    assert!(world.pods[0].should_run);
}
