//! One test for each rule of the kubelet about hooks, named after it.

use serde_json::{Value, json};

use super::probes::{Driver, SECOND, kill, start, term};
use crate::lifecycle::*;

/// A pod whose container has these hooks and has just started. Its grace period is 20 s.
fn with(policy: &str, hooks: &[&str]) -> Driver {
    let hooks: serde_json::Map<String, Value> =
        hooks.iter().map(|hook| ((*hook).to_owned(), json!({"exec": {"command": ["true"]}}))).collect();
    Driver::new(policy, json!({"lifecycle": hooks, "livenessProbe": {"failureThreshold": 1}}))
}

fn run(hook: HookKind, attempt: u32) -> Action {
    Action::RunHook { container: "web".to_owned(), attempt, hook }
}

fn remove() -> Action {
    Action::RemoveSandbox
}

fn end(d: &mut Driver, hook: HookKind, error: Option<&str>) {
    let attempt = d.state.container("web").unwrap().restart_count();
    let error = error.map(str::to_owned);
    d.send(&Event::HookEnded { container: "web".to_owned(), attempt, hook, error });
}

fn stop(d: &mut Driver, grace_seconds: Option<u64>) {
    d.send(&Event::Stop { grace_seconds });
}

fn tick_after(d: &mut Driver, ms: u64) {
    d.pass(ms);
    d.send(&Event::Tick);
}

/// Returns the reason for which the container waits, in the status; `None` if it does not wait.
fn waits(d: &Driver) -> Option<String> {
    let status = pod_with_status(&d.pod, &d.state, &[]).status.unwrap().container_statuses.unwrap().remove(0);
    status.state.unwrap().waiting.map(|waiting| waiting.reason.unwrap())
}

#[test]
fn post_start_runs_right_after_the_container_starts() {
    let mut d = with("Always", &["postStart"]);
    end(&mut d, HookKind::PostStart, None);
    d.exited(1);
    assert_eq!(d.todo(), [start(1)]);
    d.started();
    assert_eq!(d.todo(), [run(HookKind::PostStart, 1)]);
}

#[test]
fn the_container_is_not_running_until_post_start_returns() {
    let mut d = with("Always", &["postStart"]);
    assert_eq!(waits(&d).as_deref(), Some("ContainerCreating"));
    assert_eq!((d.ready(), d.state.phase), ((false, false), Phase::Pending));
    assert!(!d.state.all_started(&d.spec));
    assert_eq!(d.wait(), None, "nothing is probed before");
    d.pass(5 * SECOND);
    end(&mut d, HookKind::PostStart, None);
    assert_eq!(waits(&d), None);
    assert_eq!((d.ready(), d.state.phase), ((true, true), Phase::Running));
    assert!(d.state.all_started(&d.spec));
    assert_eq!(d.wait(), Some(0));
}

#[test]
fn a_restarted_container_is_shown_as_before_until_post_start_returns() {
    let mut d = with("Always", &["postStart"]);
    end(&mut d, HookKind::PostStart, None);
    d.exited(1);
    d.started();
    end(&mut d, HookKind::PostStart, None);
    d.exited(1);
    tick_after(&mut d, 10 * SECOND);
    d.started();
    assert_eq!((waits(&d).as_deref(), d.state.phase), (Some("CrashLoopBackOff"), Phase::Running));
    end(&mut d, HookKind::PostStart, None);
    assert_eq!(waits(&d), None);
}

#[test]
fn failure_of_post_start_kills_the_container_and_restart_policy_decides() {
    for (policy, code, restarts) in
        [("Always", 0, true), ("OnFailure", 0, false), ("OnFailure", 143, true), ("Never", 143, false)]
    {
        let mut d = with(policy, &["postStart"]);
        end(&mut d, HookKind::PostStart, Some("exited with 1"));
        let told =
            ["Warning FailedPostStartHook: PostStartHook failed", "Normal Killing: FailedPostStartHook"];
        assert!(d.actions.contains(&term()), "{policy}");
        assert_eq!(d.told(), told);
        assert_eq!((waits(&d).as_deref(), d.ready()), (Some("PostStartHookError"), (false, false)));
        assert_eq!(d.wait(), None, "it is not probed");
        tick_after(&mut d, 20 * SECOND);
        assert_eq!(d.todo(), [kill()]);
        d.exited(code);
        assert_eq!(d.todo(), if restarts { vec![start(1)] } else { vec![remove()] }, "{policy} {code}");
        let reason = restarts.then_some("PostStartHookError");
        assert_eq!(waits(&d).as_deref(), reason, "{policy} {code}");
    }
}

#[test]
fn the_message_of_a_failed_post_start_stands_in_the_status_and_not_in_events() {
    let mut d = with("Always", &["postStart"]);
    end(&mut d, HookKind::PostStart, Some("password is 1234"));
    assert!(!d.told().iter().any(|told| told.contains("1234")));
    d.exited(143);
    let status = pod_with_status(&d.pod, &d.state, &[]).status.unwrap().container_statuses.unwrap().remove(0);
    assert_eq!(status.state.unwrap().waiting.unwrap().message.as_deref(), Some("password is 1234"));
    assert_eq!(status.last_state.unwrap().terminated.unwrap().exit_code, 143);
}

#[test]
fn post_start_that_fails_again_and_again_backs_off() {
    let mut d = with("Always", &["postStart"]);
    end(&mut d, HookKind::PostStart, Some("no"));
    d.exited(143);
    d.started();
    assert_eq!(waits(&d).as_deref(), Some("PostStartHookError"));
    end(&mut d, HookKind::PostStart, Some("no"));
    d.exited(143);
    assert_eq!(waits(&d).as_deref(), Some("CrashLoopBackOff"));
}

#[test]
fn a_stop_ends_post_start() {
    let mut d = with("Always", &["postStart"]);
    stop(&mut d, None);
    assert_eq!(d.todo(), [term()]);
    let run = HookRun { container: "web".to_owned(), attempt: 0, kind: HookKind::PostStart };
    assert!(!d.state.may_run(&run));
    let before = d.state.clone();
    end(&mut d, HookKind::PostStart, Some("killed"));
    assert_eq!((d.told(), &d.state, d.ready()), (vec![], &before, (false, false)));
}

#[test]
fn pre_stop_runs_before_the_stop_signal_inside_the_grace_period() {
    for error in [None, Some("exited with 1")] {
        let mut d = with("Always", &["preStop"]);
        stop(&mut d, None);
        assert_eq!(d.todo(), [run(HookKind::PreStop, 0)]);
        d.pass(5 * SECOND);
        end(&mut d, HookKind::PreStop, error);
        let failed = d.told();
        assert_eq!(
            failed,
            error.map(|_| "Warning FailedPreStopHook: PreStopHook failed").into_iter().collect::<Vec<_>>()
        );
        assert_eq!(d.state.next_deadline(&d.spec), Some(d.now.boot + 15 * SECOND));
        tick_after(&mut d, 15 * SECOND);
        assert_eq!(d.todo(), [kill()]);
    }
}

#[test]
fn the_stop_signal_is_sent_once_pre_stop_has_ended() {
    let mut d = with("Always", &["preStop"]);
    stop(&mut d, None);
    d.todo();
    end(&mut d, HookKind::PreStop, None);
    assert_eq!(d.todo(), [term()]);
    end(&mut d, HookKind::PreStop, None);
    assert_eq!(d.todo(), []);
    d.exited(0);
    assert_eq!(d.todo(), [remove()]);
}

#[test]
fn pre_stop_does_not_run_when_the_container_has_already_ended() {
    let mut d = with("Never", &["preStop"]);
    d.exited(0);
    assert_eq!(d.todo(), [remove()]);
    let mut d = with("Always", &["preStop"]);
    d.exited(1);
    d.todo();
    stop(&mut d, None);
    assert_eq!(d.todo(), []);
}

#[test]
fn if_pre_stop_still_runs_when_grace_ends_2_more_seconds_once() {
    let mut d = with("Always", &["preStop"]);
    stop(&mut d, None);
    d.todo();
    tick_after(&mut d, 20 * SECOND);
    assert_eq!(d.todo(), [term()]);
    assert_eq!(d.state.next_deadline(&d.spec), Some(d.now.boot + 2 * SECOND));
    let hook = HookRun { container: "web".to_owned(), attempt: 0, kind: HookKind::PreStop };
    assert!(d.state.may_run(&hook), "it may use these seconds");
    tick_after(&mut d, 2 * SECOND - 1);
    end(&mut d, HookKind::PreStop, None);
    assert_eq!(d.todo(), []);
    tick_after(&mut d, 1);
    assert_eq!(d.todo(), [kill()]);
    assert!(!d.state.may_run(&hook));
}

#[test]
fn the_stop_signal_has_2_seconds_also_if_pre_stop_used_up_the_grace_period() {
    let mut d = with("Always", &["preStop"]);
    stop(&mut d, None);
    d.pass(19 * SECOND);
    end(&mut d, HookKind::PreStop, None);
    assert_eq!(d.state.next_deadline(&d.spec), Some(d.now.boot + 2 * SECOND));
}

#[test]
fn with_grace_0_no_hook_runs() {
    let mut d = with("Always", &["preStop"]);
    stop(&mut d, Some(0));
    assert_eq!(d.todo(), [kill()]);
    for sent in [false, true] {
        let mut d = with("Always", &["preStop"]);
        stop(&mut d, None);
        if sent {
            tick_after(&mut d, 20 * SECOND);
        }
        d.todo();
        stop(&mut d, Some(0));
        assert_eq!(d.todo(), [kill()], "a later stop without grace ends a hook that runs");
    }
}

#[test]
fn pre_stop_runs_before_a_failed_probe_stops_the_container() {
    let mut d = with("Always", &["preStop"]);
    d.fail();
    assert_eq!(d.todo(), [run(HookKind::PreStop, 0)]);
    assert_eq!(d.wait(), None, "what is being stopped is not probed");
    end(&mut d, HookKind::PreStop, None);
    assert_eq!(d.todo(), [term()]);
    d.exited(0);
    assert_eq!(d.todo(), [start(1)]);
    d.started();
    stop(&mut d, None);
    assert_eq!(d.todo(), [run(HookKind::PreStop, 1)], "each run has its own");
}

#[test]
fn pre_stop_runs_also_after_a_failed_post_start() {
    let mut d = with("Always", &["postStart", "preStop"]);
    end(&mut d, HookKind::PostStart, Some("no"));
    assert_eq!(d.todo(), [run(HookKind::PreStop, 0)]);
}

#[test]
fn stopping_is_told_once() {
    let mut d = with("Always", &["preStop"]);
    stop(&mut d, None);
    assert_eq!(d.told(), ["Normal Killing: Stopping container web"]);
    end(&mut d, HookKind::PreStop, None);
    stop(&mut d, Some(3));
    assert_eq!(d.told(), [""; 0]);
}

#[test]
fn pre_stop_of_a_dead_supervisor_runs_again_and_post_start_does_not() {
    assert!(HookKind::PreStop.runs_again() && !HookKind::PostStart.runs_again());
    let read_back = |state: &PodState| -> PodState {
        serde_json::from_value(serde_json::to_value(state).unwrap()).unwrap()
    };
    let mut d = with("Always", &["postStart", "preStop"]);
    d.state = read_back(&d.state);
    assert_eq!(d.state.pending_actions(), [run(HookKind::PostStart, 0)]);
    stop(&mut d, None);
    d.state = read_back(&d.state);
    assert_eq!(d.state.pending_actions(), [run(HookKind::PreStop, 0)]);
    tick_after(&mut d, 20 * SECOND);
    assert_eq!(read_back(&d.state).pending_actions(), [term()], "its time is over");
}

#[test]
fn a_late_end_of_a_hook_of_another_run_changes_nothing() {
    let mut d = with("Always", &["postStart"]);
    d.exited(1);
    d.started();
    let before = d.state.clone();
    let late = |hook| Event::HookEnded { container: "web".to_owned(), attempt: 0, hook, error: None };
    d.send(&late(HookKind::PostStart));
    d.send(&late(HookKind::PreStop));
    assert_eq!(d.state, before);
}

#[test]
fn a_state_without_hooks_is_stored_as_before() {
    let mut d = with("Always", &[]);
    stop(&mut d, None);
    let stored = serde_json::to_value(&d.state).unwrap();
    let container = &stored["containers"][0];
    assert_eq!((&container["post_start"], &container["pre_stop"]), (&Value::Null, &Value::Null));
}
