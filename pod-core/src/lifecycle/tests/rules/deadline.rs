//! activeDeadlineSeconds, readinessGates and what a container says about its end.

use super::*;

fn pod(spec: &Value) -> Driver {
    let mut spec = spec.clone();
    spec["containers"] = json!([{"name": "a", "image": "img-a"}, {"name": "b", "image": "img-b"}]);
    Driver::of(&spec)
}

#[test]
fn a_pod_that_is_active_for_longer_than_its_deadline_fails_with_deadline_exceeded() {
    let mut d = pod(&json!({"activeDeadlineSeconds": 60})).begun();
    d.started("a");
    d.started("b");
    d.exited("b", 0);
    d.started("b");
    d.todo();
    assert_eq!(d.wait(), Some(60_000));
    d.pass(60_000);
    d.send(&Event::Tick);
    let told = d.actions.clone();
    assert_eq!(d.todo(), [term("a"), term("b")], "it ends within its grace");
    let message = "Pod was active on the node longer than the specified deadline";
    assert!(told.iter().any(|action| matches!(action, Action::Emit { reason, message: told, .. }
        if reason == "DeadlineExceeded" && told == message)));
    assert_eq!(d.wait(), Some(30_000));
    d.exited("a", 0);
    d.exited("b", 0);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    let status = d.api().status.unwrap();
    assert_eq!(d.state.phase, Phase::Failed);
    assert_eq!(
        (status.reason.as_deref(), status.message.as_deref()),
        (Some("DeadlineExceeded"), Some(message))
    );
    assert_eq!(d.state.exit_code(&d.spec), Some(1));
}

#[test]
fn the_deadline_counts_while_the_pod_does_not_start() {
    let mut d = pod(&json!({"activeDeadlineSeconds": 60}));
    d.send(&Event::Start);
    d.send(&Event::SandboxFailed { message: "no".to_owned() });
    d.todo();
    d.tick_after(60_000);
    assert_eq!((d.state.phase, d.state.is_gone(), d.wait()), (Phase::Failed, true, None));
    let why = d.state.fails_to_initialize(&d.spec).unwrap();
    assert!(why.starts_with("DeadlineExceeded: "), "{why}");
}

#[test]
fn the_deadline_counts_from_the_start_time_also_after_a_reboot() {
    let mut d = pod(&json!({"activeDeadlineSeconds": 60, "restartPolicy": "Always"})).begun();
    d.pass(50_000);
    d.state = d.state.revive(&d.spec, d.now);
    d.now.boot = 5_000;
    d.send(&Event::Start);
    assert_eq!((d.todo().len(), d.wait()), (3, Some(10_000)));
    d.state = d.state.clone().revive(&d.spec, d.now);
    d.pass(11_000);
    d.send(&Event::Start);
    assert!(d.state.is_gone() && d.state.phase == Phase::Failed);
}

#[test]
fn a_pod_that_has_ended_before_its_deadline_is_not_touched_by_it() {
    let mut d = pod(&json!({"activeDeadlineSeconds": 60, "restartPolicy": "Never"})).begun();
    d.started("a");
    d.started("b");
    d.exited("a", 0);
    d.exited("b", 0);
    d.todo();
    assert_eq!(d.wait(), None);
    d.tick_after(60_000);
    assert_eq!((d.todo(), d.state.phase, d.api().status.unwrap().reason), (vec![], Phase::Succeeded, None));
}

#[test]
fn a_pod_is_ready_only_if_the_conditions_of_its_readiness_gates_are_true() {
    let gates = json!([{"conditionType": "example.com/lb"}, {"conditionType": "Initialized"}]);
    let mut d = pod(&json!({"readinessGates": gates})).begun();
    d.started("a");
    let unready = "containers with unready status: [b]".to_owned();
    assert_eq!(d.condition("Ready").2, Some(unready));
    d.started("b");
    assert_eq!(d.condition("ContainersReady").0, "True");
    let missing =
        "corresponding condition of pod readiness gate \"example.com/lb\" does not exist.".to_owned();
    let (status, reason, message) = d.condition("Ready");
    assert_eq!((status.as_str(), reason.as_deref()), ("False", Some("ReadinessGatesNotReady")));
    assert_eq!(message, Some(missing.clone()));
    assert_eq!(d.state.why_unready(&d.spec), Some(missing));
    let mut d = pod(&json!({"readinessGates": [{"conditionType": "Initialized"}]})).begun();
    d.started("a");
    d.started("b");
    assert_eq!(d.condition("Ready").0, "True");
}

#[test]
fn the_termination_message_is_in_the_status_and_then_in_last_state() {
    let mut d = Driver::running("Always", 1);
    let said = |d: &mut Driver, code: Option<i32>, text: &str| {
        let attempt = d.attempt("a");
        let (container, message) = ("a".to_owned(), Some(text.to_owned()));
        d.send(&Event::Exited { container, attempt, code, oom_killed: false, message });
    };
    said(&mut d, Some(3), "no config");
    let message = |state: Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.unwrap().terminated.unwrap().message.unwrap()
    };
    assert_eq!(message(d.status("a").state), "no config");
    d.started("a");
    assert_eq!(message(d.status("a").last_state), "no config");
    said(&mut d, None, "late");
    assert_eq!(message(d.status("a").last_state), "The exit code of the container is lost: late");
}

#[test]
fn the_termination_messages_of_a_pod_have_12_kib_together() {
    let app = |name: &str| json!({"name": name, "image": "i"});
    let containers: Vec<Value> = ["a", "b", "c", "d"].map(app).to_vec();
    let mut d = Driver::of(&json!({"restartPolicy": "Never", "containers": containers})).begun();
    d.started("a");
    let (container, message) = ("a".to_owned(), Some("ä".repeat(2000)));
    d.send(&Event::Exited { container, attempt: 0, code: Some(1), oom_killed: false, message });
    let message = d.status("a").state.unwrap().terminated.unwrap().message.unwrap();
    assert_eq!(message.len(), 12 * 1024 / 4);
}
