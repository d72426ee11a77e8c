//! The end of a pod as a whole, for a reason of its own.

use super::*;

fn evict(d: &mut Driver) {
    let message = "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ".to_owned();
    d.send(&Event::Fail { reason: "Evicted".to_owned(), message, grace_seconds: 1 });
}

#[test]
fn an_evicted_pod_is_failed_whatever_its_restart_policy() {
    for policy in ["Always", "OnFailure", "Never"] {
        let mut d = Driver::running(policy, 2);
        evict(&mut d);
        assert_eq!(
            d.messages(),
            [
                "Warning Evicted: Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ",
                "Normal Killing: Stopping container a",
                "Normal Killing: Stopping container b",
            ]
        );
        d.exited("a", 0);
        assert_eq!(d.wait(), Some(1_000));
        d.tick_after(1_000);
        assert_eq!(d.todo(), [kill("b")]);
        d.exited("b", 0);
        assert_eq!(d.todo(), [Action::RemoveSandbox], "no container runs again");
        d.send(&Event::SandboxRemoved);
        assert!(d.state.is_gone());
        let status = d.api().status.unwrap();
        assert_eq!(status.phase.as_deref(), Some("Failed"));
        assert_eq!(status.reason.as_deref(), Some("Evicted"));
        assert_eq!(
            status.message.as_deref(),
            Some("Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ")
        );
        assert_eq!(d.shown(), "Evicted");
        assert_eq!(d.state.clone().revive(&d.spec, d.now), d.state, "it stays so after a reboot");
    }
}

#[test]
fn a_pod_that_ends_already_is_not_evicted() {
    let mut d = Driver::running("Always", 1);
    d.stop(None);
    evict(&mut d);
    assert_eq!(d.state.failure, None);
    let mut d = Driver::running("Never", 1);
    d.exited("a", 0);
    evict(&mut d);
    assert_eq!((d.state.failure.as_ref(), d.state.phase), (None, Phase::Succeeded));
}

#[test]
fn an_evicted_pod_that_a_reboot_interrupts_does_not_run_again() {
    let mut d = Driver::running("Always", 1);
    evict(&mut d);
    let revived = d.state.clone().revive(&d.spec, d.now);
    assert_eq!((revived.phase, revived.goal), (Phase::Failed, Goal::End));
}

#[test]
fn a_stop_may_shorten_the_grace_of_an_eviction() {
    let mut d = Driver::running("Always", 1);
    evict(&mut d);
    assert_eq!(d.todo(), [term("a")]);
    d.stop(Some(0));
    assert_eq!(d.todo(), [kill("a")]);
}
