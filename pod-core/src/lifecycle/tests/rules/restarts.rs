//! The phase of a pod, restarts of its containers and their back-off.

use super::*;

#[test]
fn first_crash_restarts_at_once_then_10_20_40_up_to_300_seconds() {
    let mut d = Driver::running("Always", 1);
    assert_eq!(d.crash(8), [0, 10, 20, 40, 80, 160, 300, 300]);
    assert_eq!(d.status("a").restart_count, 8);
}

#[test]
fn back_off_is_reset_after_10_minutes_of_running() {
    let mut d = Driver::running("Always", 1);
    d.crash(4);
    d.pass(600 * SECOND);
    assert_eq!(d.crash(1), [80], "ten minutes are not more than ten minutes");
    d.pass(601 * SECOND);
    assert_eq!(d.crash(3), [0, 10, 20]);
}

#[test]
fn no_restart_before_the_back_off_is_over() {
    let mut d = Driver::running("Always", 1);
    d.crash(1);
    d.exited("a", 1);
    d.todo();
    d.tick_after(9_999);
    assert_eq!(d.todo(), []);
    d.tick_after(1);
    assert_eq!(d.todo(), [start("a", 2)]);
}

#[test]
fn the_wait_shows_as_crash_loop_back_off() {
    let mut d = Driver::running("Always", 1);
    d.exited("a", 3);
    assert_eq!(d.terminated("a"), (3, "Error".to_owned()), "shown until it runs again");
    d.started("a");
    d.messages();
    d.exited("a", 3);
    let messages = d.messages();
    let status = d.status("a");
    let waiting = status.state.unwrap().waiting.unwrap();
    assert_eq!(waiting.reason.unwrap(), "CrashLoopBackOff");
    assert_eq!(waiting.message.unwrap(), "back-off 10s restarting failed container=a pod=web_default(u-1)");
    assert_eq!(status.last_state.unwrap().terminated.unwrap().exit_code, 3);
    assert_eq!(status.restart_count, 1);
    assert_eq!(messages, ["Warning BackOff: Back-off restarting failed container a in pod web_default(u-1)"]);
    assert_eq!(d.shown(), "CrashLoopBackOff");
    assert_eq!(d.api().status.unwrap().phase.unwrap(), "Running");
}

#[test]
fn restart_policy_always_restarts_after_success_too() {
    let mut d = Driver::running("Always", 1);
    d.exited("a", 0);
    assert_eq!(d.todo(), [start("a", 1)]);
    assert_eq!(d.state.phase, Phase::Running);
}

#[test]
fn restart_policy_on_failure_restarts_only_failed_containers() {
    let mut d = Driver::running("OnFailure", 2);
    d.exited("a", 1);
    assert_eq!(d.todo(), [start("a", 1)]);
    d.exited("b", 0);
    d.started("a");
    assert_eq!(d.todo(), []);
    assert_eq!((d.state.phase, d.shown().as_str()), (Phase::Running, "NotReady"));
    d.exited("a", 0);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    assert_eq!(d.state.phase, Phase::Succeeded);
    assert_eq!(d.state.exit_code(&d.spec), Some(0));
}

#[test]
fn restart_policy_never_restarts_nothing() {
    let mut d = Driver::running("Never", 2);
    d.exited("a", 5);
    assert_eq!((d.todo(), d.state.phase, d.wait()), (vec![], Phase::Running, None));
    d.exited("b", 0);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    assert_eq!((d.state.phase, d.state.exit_code(&d.spec)), (Phase::Failed, Some(5)));
    assert_eq!(d.shown(), "Error");
}

#[test]
fn an_ended_pod_loses_its_sandbox_and_keeps_its_status() {
    let mut d = Driver::running("Never", 1);
    d.exited("a", 0);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    assert!(d.state.is_terminal() && !d.state.is_gone());
    d.send(&Event::SandboxRemoved);
    assert!(d.state.is_gone());
    assert_eq!((d.todo(), d.wait()), (vec![], None));
    assert_eq!(d.shown(), "Completed");
    let completed = |status: &str| (status.to_owned(), Some("PodCompleted".to_owned()), None);
    assert_eq!(d.condition("Ready"), completed("False"));
    assert_eq!(d.condition("ContainersReady"), completed("False"));
    assert_eq!(d.condition("Initialized"), completed("True"));
    assert_eq!(d.condition("PodReadyToStartContainers").0, "False");
    // Stopping the ended pod takes no time and does not change its status.
    d.stop(None);
    assert!(d.state.is_gone());
    assert_eq!((d.todo(), d.state.phase), (vec![], Phase::Succeeded));
}

#[test]
fn a_pod_has_ended_once_no_container_runs_and_is_gone_with_its_sandbox() {
    let mut d = Driver::running("Always", 2);
    assert!(!d.state.has_stopped());
    d.stop(None);
    d.exited("a", 0);
    assert!(!d.state.has_stopped());
    d.exited("b", 0);
    assert_eq!(d.todo().last(), Some(&Action::RemoveSandbox));
    assert!(d.state.has_stopped() && !d.state.is_gone());
    d.send(&Event::SandboxRemoved);
    assert!(d.state.has_stopped() && d.state.is_gone());
    // Between two sandboxes no container runs either, but the pod has not ended.
    let mut d = Driver::running("Always", 1);
    d.send(&Event::SandboxDied);
    d.exited("a", 137);
    assert!(!d.state.has_stopped());
}

#[test]
fn phase_is_pending_until_every_container_has_started() {
    let mut d = Driver::up("Always", 0, 2);
    assert_eq!(d.todo(), [start("a", 0), start("b", 0)]);
    assert_eq!(d.shown(), "ContainerCreating");
    d.started("a");
    assert_eq!((d.state.phase, d.state.all_started(&d.spec)), (Phase::Pending, false));
    d.started("b");
    assert_eq!((d.state.phase, d.state.all_started(&d.spec)), (Phase::Running, true));
    assert_eq!(d.shown(), "Running");
}

#[test]
fn conditions_turn_true_one_after_another_with_their_times() {
    let mut d = Driver::new("Always", 1, 1);
    d.send(&Event::Start);
    let seen = |d: &Driver| {
        ["PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"]
            .map(|name| d.condition(name).0 == "True")
    };
    assert_eq!(seen(&d), [true, false, false, false, false]);
    d.pass(SECOND);
    d.sandbox_ready();
    assert_eq!(seen(&d), [true, true, false, false, false]);
    assert_eq!(
        d.condition("Initialized"),
        (
            "False".to_owned(),
            Some("ContainersNotInitialized".to_owned()),
            Some("containers with incomplete status: [i0]".to_owned())
        )
    );
    d.started("i0");
    d.exited("i0", 0);
    assert_eq!(seen(&d), [true, true, true, false, false]);
    let unready = (
        "False".to_owned(),
        Some("ContainersNotReady".to_owned()),
        Some("containers with unready status: [a]".to_owned()),
    );
    assert_eq!((d.condition("Ready"), d.condition("ContainersReady")), (unready.clone(), unready));
    d.pass(SECOND);
    d.started("a");
    assert_eq!(seen(&d), [true; 5]);
    let created = d.state.conditions.scheduled.since;
    assert_eq!(d.state.conditions.ready_to_start.since, created + jiff::SignedDuration::from_secs(1));
    assert_eq!(d.state.conditions.ready.since, created + jiff::SignedDuration::from_secs(2));
    assert!(d.state.is_ready());
    d.pass(SECOND);
    d.exited("a", 1);
    assert!(!d.state.is_ready());
    assert_eq!(d.state.conditions.ready.since, d.now.wall);
}

#[test]
fn failed_pods_are_not_ready_because_they_failed() {
    let mut d = Driver::running("Never", 1);
    d.exited("a", 2);
    assert_eq!(d.condition("Ready"), ("False".to_owned(), Some("PodFailed".to_owned()), None));
}

#[test]
fn a_process_that_cannot_start_is_a_run_that_ended_with_128() {
    let mut d = Driver::up("Never", 0, 1);
    d.todo();
    d.start_failed("a", "RunContainerError");
    assert_eq!(d.terminated("a"), (128, "StartError".to_owned()));
    assert_eq!((d.state.phase, d.state.exit_code(&d.spec)), (Phase::Failed, Some(128)));

    let mut d = Driver::up("Always", 0, 1);
    d.todo();
    d.start_failed("a", "RunContainerError");
    assert_eq!(d.todo(), [start("a", 1)]);
    assert_eq!(d.shown(), "RunContainerError");
    d.start_failed("a", "RunContainerError");
    assert_eq!((d.shown().as_str(), d.wait()), ("CrashLoopBackOff", Some(10_000)));
    let last = d.status("a").last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (128, Some("StartError")));
}

#[test]
fn terminated_reasons_are_completed_error_oom_killed_and_unknown() {
    let ended = |code, oom| {
        let mut d = Driver::running("Never", 2);
        d.exit("a", code, oom);
        d.terminated("a")
    };
    let is = |code: i32, reason: &str| (code, reason.to_owned());
    assert_eq!(ended(Some(0), false), is(0, "Completed"));
    assert_eq!(ended(Some(1), false), is(1, "Error"));
    assert_eq!(ended(Some(143), false), is(143, "Error"));
    assert_eq!(ended(Some(137), true), is(137, "OOMKilled"));
    assert_eq!(ended(None, false), is(137, "ContainerStatusUnknown"));
}
