//! Sandboxes that fail or die, reboots, and pods that run again.

use super::*;

#[test]
fn a_sandbox_that_cannot_be_created_is_tried_again() {
    let mut d = Driver::new("Never", 0, 1);
    d.send(&Event::Start);
    d.messages();
    for _ in 0..3 {
        d.send(&Event::SandboxFailed { message: "no address left".to_owned() });
        assert_eq!(
            d.messages(),
            ["Warning FailedCreatePodSandBox: Failed to create pod sandbox: no address left"]
        );
        assert_eq!((d.shown().as_str(), d.wait()), ("ContainerCreating", Some(10_000)));
        d.tick_after(9_999);
        assert_eq!(d.todo(), []);
        d.tick_after(1);
        assert_eq!(d.todo(), [Action::CreateSandbox]);
    }
    d.sandbox_ready();
    assert_eq!(d.todo(), [start("a", 0)]);
}

#[test]
fn a_changed_pod_is_tried_again_at_once_and_former_failures_do_not_count() {
    let mut d = Driver::new("Always", 0, 1);
    d.send(&Event::Start);
    d.send(&Event::SandboxFailed { message: "no address left".to_owned() });
    assert!(d.state.cannot_start().is_some());
    d.todo();
    d.send(&Event::Changed);
    assert_eq!((d.todo(), d.state.cannot_start()), (vec![Action::CreateSandbox], None));
    d.sandbox_ready();
    d.todo();
    d.send(&Event::StartFailed {
        container: "a".to_owned(),
        attempt: 0,
        reason: WaitingReason::CreateContainerError,
        message: "killed".to_owned(),
    });
    assert!(d.state.cannot_start().is_some());
    d.todo();
    d.send(&Event::Changed);
    assert_eq!((d.todo(), d.state.cannot_start()), (vec![start("a", 0)], None));
}

#[test]
fn when_the_sandbox_dies_everything_is_killed_and_all_init_containers_run_again() {
    let mut d = Driver::up("Always", 1, 2);
    d.started("i0");
    d.exited("i0", 0);
    d.started("a");
    d.started("b");
    d.todo();
    d.send(&Event::SandboxDied);
    assert_eq!(d.condition("PodReadyToStartContainers").0, "False");
    assert_eq!(d.todo(), [kill("a"), kill("b")]);
    d.exited("a", 137);
    assert_eq!(d.todo(), []);
    d.exited("b", 137);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    d.send(&Event::SandboxRemoved);
    assert_eq!(d.todo(), [Action::CreateSandbox]);
    d.sandbox_ready();
    assert_eq!(d.todo(), [start("i0", 1)]);
    assert_eq!(d.state.phase, Phase::Running);
    d.started("i0");
    d.exited("i0", 0);
    assert_eq!(d.todo(), [start("a", 1), start("b", 1)]);
}

#[test]
fn when_the_sandbox_dies_policy_on_failure_does_not_restart_succeeded_containers() {
    let mut d = Driver::running("OnFailure", 2);
    d.exited("a", 0);
    d.send(&Event::SandboxDied);
    d.exited("b", 137);
    d.send(&Event::SandboxRemoved);
    d.todo();
    d.sandbox_ready();
    assert_eq!(d.todo(), [start("b", 1)]);
}

#[test]
fn when_the_sandbox_dies_and_policy_is_never_the_pod_fails() {
    let mut d = Driver::running("Never", 2);
    d.exited("a", 0);
    d.todo();
    d.send(&Event::SandboxDied);
    assert_eq!(d.todo(), [kill("b")]);
    d.exited("b", 137);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    d.send(&Event::SandboxRemoved);
    assert_eq!((d.todo(), d.state.phase, d.state.is_gone()), (vec![], Phase::Failed, true));
}

#[test]
fn a_container_that_starts_in_a_dead_sandbox_is_killed() {
    let mut d = Driver::up("Always", 0, 1);
    d.send(&Event::SandboxDied);
    d.todo();
    assert_eq!(d.wait(), None);
    d.started("a");
    assert_eq!(d.todo(), [kill("a")]);
}

#[test]
fn after_a_reboot_the_sandbox_is_created_again_and_exit_codes_are_lost() {
    let mut d = Driver::up("Always", 1, 1);
    d.started("i0");
    d.exited("i0", 0);
    d.started("a");
    d.crash(3);
    d.todo();
    let start_time = d.state.start_time;
    d.now.boot = 5_000;
    d.state = d.state.clone().revive(&d.spec, d.now);
    assert_eq!((d.state.phase, d.state.all_started(&d.spec)), (Phase::Pending, false));
    d.send(&Event::Start);
    assert_eq!(d.todo(), [Action::CreateSandbox]);
    d.sandbox_ready();
    assert_eq!(d.todo(), [start("i0", 1)]);
    d.started("i0");
    d.exited("i0", 0);
    assert_eq!(d.todo(), [start("a", 4)], "no wait measured on the clock of the former boot");
    let last = d.status("a").last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (137, Some("ContainerStatusUnknown")));
    d.started("a");
    assert_eq!((d.status("a").restart_count, d.state.all_started(&d.spec)), (4, true));
    assert_eq!(d.state.start_time, start_time);
}

#[test]
fn after_a_reboot_a_pod_whose_policy_is_never_does_not_run_again() {
    let mut d = Driver::running("Never", 2);
    d.exited("a", 0);
    d.todo();
    d.state = d.state.clone().revive(&d.spec, d.now);
    d.send(&Event::Start);
    assert_eq!((d.todo(), d.state.phase, d.state.is_gone()), (vec![], Phase::Failed, true));
    assert_eq!(d.state.exit_code(&d.spec), Some(137));

    // The same holds for a pod of which a container was about to run again in a new sandbox.
    let mut d = Driver::up("Never", 1, 1);
    d.started("i0");
    d.send(&Event::SandboxDied);
    d.exited("i0", 0);
    d.send(&Event::SandboxRemoved);
    d.sandbox_ready();
    d.todo();
    d.state = d.state.clone().revive(&d.spec, d.now);
    assert_eq!((d.state.pending_actions(), d.state.is_gone()), (vec![], true));

    // A pod of which no container has run yet is started.
    let mut d = Driver::up("Never", 0, 1);
    d.state = d.state.clone().revive(&d.spec, d.now);
    d.todo();
    d.send(&Event::Start);
    assert_eq!(d.todo(), [Action::CreateSandbox]);
}

#[test]
fn a_pod_that_had_ended_before_a_reboot_stays_ended_without_a_sandbox() {
    let mut d = Driver::running("Never", 1);
    d.exited("a", 1);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    // The host loses power before the sandbox is removed.
    d.state = d.state.clone().revive(&d.spec, d.now);
    assert_eq!((d.state.phase, d.state.is_gone()), (Phase::Failed, true));
    assert_eq!((d.state.exit_code(&d.spec), d.state.pending_actions()), (Some(1), vec![]));
}

#[test]
fn a_pod_that_was_stopped_gracefully_can_run_again_and_keeps_its_restart_count() {
    let mut d = Driver::running("Always", 1);
    d.stop(None);
    d.exited("a", 143);
    d.send(&Event::SandboxRemoved);
    assert!(d.state.is_gone());
    d.todo();
    d.state = d.state.clone().revive(&d.spec, d.now);
    assert_eq!((d.state.phase, d.shown().as_str()), (Phase::Pending, "ContainerCreating"));
    d.send(&Event::Start);
    d.sandbox_ready();
    assert_eq!(d.todo(), [Action::CreateSandbox, start("a", 1)]);
}
