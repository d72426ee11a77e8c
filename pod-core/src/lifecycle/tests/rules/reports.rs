//! Events, the status, and what a new supervisor finds.

use super::*;

#[test]
fn answers_for_an_older_attempt_change_nothing() {
    let mut d = Driver::running("Always", 1);
    d.exited("a", 1);
    d.started("a");
    let before = d.state.clone();
    d.todo();
    let exit = |attempt| Event::Exited {
        container: "a".to_owned(),
        attempt,
        code: Some(1),
        oom_killed: false,
        message: None,
    };
    d.send(&exit(0));
    d.send(&exit(2));
    d.send(&Event::StartFailed {
        container: "a".to_owned(),
        attempt: 1,
        reason: WaitingReason::ErrImagePull,
        message: String::new(),
    });
    d.send(&Event::SandboxRemoved);
    d.send(&Event::SandboxReady { ips: Vec::new() });
    d.send(&Event::Start);
    d.send(&Event::Exited {
        container: "ghost".to_owned(),
        attempt: 0,
        code: None,
        oom_killed: false,
        message: None,
    });
    assert_eq!((d.state.clone(), d.todo()), (before, vec![]));
}

#[test]
fn an_exit_that_is_reported_before_its_start_is_recorded() {
    let mut d = Driver::up("Never", 0, 1);
    d.exited("a", 4);
    assert_eq!((d.terminated("a"), d.state.phase), ((4, "Error".to_owned()), Phase::Failed));
}

#[test]
fn a_new_supervisor_finds_running_containers_and_pending_actions() {
    let mut d = Driver::new("Always", 0, 3);
    d.send(&Event::Start);
    assert_eq!(d.state.pending_actions(), [Action::CreateSandbox]);
    d.sandbox_ready();
    d.started("a");
    d.started("b");
    d.exited("b", 1);
    assert_eq!(d.state.running().collect::<Vec<_>>(), [("a", 0, 100)]);
    assert_eq!(d.state.pending_actions(), [start("b", 1), start("c", 0)]);
    d.stop(Some(5));
    assert_eq!(d.state.pending_actions(), [term("a"), start("b", 1), start("c", 0)]);
    d.tick_after(5_000);
    d.start_failed("b", "RunContainerError");
    d.start_failed("c", "CreateContainerError");
    assert_eq!(d.state.pending_actions(), [kill("a")]);
    d.exited("a", 137);
    assert_eq!(d.state.pending_actions(), [Action::RemoveSandbox]);
    d.send(&Event::SandboxRemoved);
    assert_eq!(d.state.pending_actions(), []);
}

#[test]
fn starts_and_stops_are_reported_as_events() {
    let mut d = Driver::up("Always", 0, 1);
    d.started("a");
    d.stop(None);
    assert_eq!(
        d.messages(),
        [
            "Normal Created: Created container: a",
            "Normal Started: Started container a",
            "Normal Killing: Stopping container a"
        ]
    );
}

#[test]
fn the_status_of_a_running_pod_is_that_of_kubernetes() {
    let mut d = Driver::up("Always", 1, 1);
    d.started("i0");
    d.exited("i0", 0);
    d.pass(SECOND);
    d.started("a");
    let status: Value = serde_json::to_value(d.api().status.unwrap()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&status).unwrap());
}

#[test]
fn a_pod_without_defaults_gets_those_of_the_api() {
    let pod = serde_json::from_value(
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a"}]}}),
    );
    let spec = PodSpec::from_pod(&pod.unwrap());
    assert_eq!(
        (spec.restart_policy, spec.grace_seconds, spec.containers.len()),
        (RestartPolicy::Always, 30, 1)
    );
}

#[test]
fn a_state_written_before_a_field_was_added_is_read() {
    let d = Driver::running("Always", 1);
    let mut old = serde_json::to_value(&d.state).unwrap();
    let fields = old.as_object_mut().unwrap();
    for optional in ["stop", "start_time"] {
        fields.remove(optional);
    }
    fields["containers"][0]
        .as_object_mut()
        .unwrap()
        .retain(|k, _| ["name", "state", "runs"].contains(&k.as_str()));
    let read: PodState = serde_json::from_value(old).unwrap();
    assert!(read.container("a").unwrap().is_running());
}
