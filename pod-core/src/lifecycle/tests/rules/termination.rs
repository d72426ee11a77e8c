//! The stop of a pod and its grace period.

use super::*;

#[test]
fn app_containers_are_stopped_together_and_killed_when_grace_is_over() {
    let mut d = Driver::running("Always", 2);
    d.stop(None);
    assert_eq!(d.todo(), [term("a"), term("b")]);
    assert_eq!((d.shown().as_str(), d.wait()), ("Terminating", Some(30_000)));
    d.exited("a", 143);
    d.tick_after(29_999);
    assert_eq!(d.todo(), []);
    d.tick_after(1);
    assert_eq!(d.todo(), [kill("b")]);
    d.exited("b", 137);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    d.send(&Event::SandboxRemoved);
    assert!(d.state.is_gone());
    assert_eq!((d.state.phase, d.wait()), (Phase::Failed, None));
}

#[test]
fn the_sandbox_is_removed_as_soon_as_the_last_container_has_ended() {
    let mut d = Driver::running("Always", 2);
    d.stop(None);
    d.todo();
    d.exited("a", 0);
    assert_eq!(d.todo(), []);
    d.exited("b", 0);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    assert_eq!(d.state.phase, Phase::Succeeded);
}

#[test]
fn no_grace_kills_at_once() {
    let mut d = Driver::running("Always", 2);
    d.stop(Some(0));
    assert_eq!(d.todo(), [kill("a"), kill("b")]);
}

#[test]
fn a_repeated_stop_may_only_shorten_the_grace() {
    let mut d = Driver::running("Always", 1);
    d.stop(Some(20));
    d.stop(Some(60));
    assert_eq!((d.todo(), d.wait()), (vec![term("a")], Some(20_000)));
    d.stop(Some(5));
    assert_eq!((d.todo(), d.wait()), (vec![], Some(5_000)));
    assert_eq!(d.api().metadata.deletion_grace_period_seconds, Some(5));
    d.stop(Some(0));
    assert_eq!(d.todo(), [kill("a")]);
    d.stop(None);
    assert_eq!(d.todo(), []);
}

#[test]
fn a_kill_that_is_not_answered_is_repeated() {
    let mut d = Driver::running("Always", 1);
    d.stop(Some(0));
    d.todo();
    let wait = d.wait().unwrap();
    d.tick_after(wait - 1);
    assert_eq!(d.todo(), []);
    d.tick_after(1);
    assert_eq!(d.todo(), [kill("a")]);
}

#[test]
fn stop_before_start_creates_nothing() {
    let mut d = Driver::new("Always", 0, 1);
    d.stop(None);
    d.send(&Event::Start);
    assert_eq!((d.todo(), d.state.is_gone()), (vec![], true));
}

#[test]
fn stop_while_the_sandbox_is_created_removes_it_once_it_is_ready() {
    let mut d = Driver::new("Always", 0, 1);
    d.send(&Event::Start);
    d.todo();
    d.stop(None);
    assert!(!d.state.is_gone());
    d.sandbox_ready();
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    d.send(&Event::SandboxRemoved);
    assert!(d.state.is_gone());

    let mut d = Driver::new("Always", 0, 1);
    d.send(&Event::Start);
    d.stop(None);
    d.todo();
    d.send(&Event::SandboxFailed { message: String::new() });
    assert_eq!((d.todo(), d.state.is_gone(), d.wait()), (vec![], true, None));
}

#[test]
fn stop_during_the_wait_after_a_sandbox_failure_ends_the_pod_at_once() {
    let mut d = Driver::new("Always", 0, 1);
    d.send(&Event::Start);
    d.send(&Event::SandboxFailed { message: String::new() });
    d.stop(None);
    assert!(d.state.is_gone());
}

#[test]
fn a_container_that_starts_after_the_stop_is_stopped() {
    let mut d = Driver::up("Always", 0, 2);
    d.started("a");
    d.todo();
    d.stop(Some(10));
    assert_eq!(d.todo(), [term("a")]);
    d.exited("a", 0);
    assert_eq!(d.todo(), [], "b has not answered");
    d.pass(4 * SECOND);
    d.started("b");
    assert_eq!((d.todo(), d.wait()), (vec![term("b")], Some(6_000)));
    d.exited("b", 0);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);

    let mut d = Driver::up("Always", 0, 1);
    d.stop(Some(10));
    d.todo();
    d.pass(11 * SECOND);
    d.started("a");
    assert_eq!(d.todo(), [kill("a")]);
}

#[test]
fn a_container_that_fails_to_start_after_the_stop_is_not_tried_again() {
    let mut d = Driver::up("Always", 0, 1);
    d.stop(None);
    d.todo();
    d.start_failed("a", "ErrImagePull");
    assert_eq!((d.todo(), d.wait()), (vec![Action::RemoveSandbox], None));
}

#[test]
fn stop_during_back_off_ends_the_pod_at_once_and_restarts_nothing() {
    let mut d = Driver::running("Always", 1);
    d.crash(1);
    d.exited("a", 9);
    d.todo();
    d.stop(None);
    assert_eq!((d.todo(), d.wait()), (vec![Action::RemoveSandbox], None));
    assert_eq!(d.terminated("a").0, 9);
    d.tick_after(3_600 * SECOND);
    assert_eq!(d.todo(), []);
}

#[test]
fn stop_while_an_init_container_runs_stops_it_and_starts_no_other() {
    let mut d = Driver::up("Always", 2, 1);
    d.started("i0");
    d.todo();
    d.stop(None);
    assert_eq!(d.todo(), [term("i0")]);
    d.exited("i0", 0);
    assert_eq!((d.todo(), d.state.phase), (vec![Action::RemoveSandbox], Phase::Failed));
}

#[test]
fn stop_while_a_dead_sandbox_is_removed_creates_no_new_one() {
    let mut d = Driver::running("Always", 1);
    d.send(&Event::SandboxDied);
    d.exited("a", 137);
    d.stop(None);
    d.todo();
    d.send(&Event::SandboxRemoved);
    assert_eq!((d.todo(), d.state.is_gone()), (vec![], true));
}
