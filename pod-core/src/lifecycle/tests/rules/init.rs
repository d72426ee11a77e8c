//! Init containers.

use super::*;

#[test]
fn init_containers_run_one_after_another() {
    let mut d = Driver::up("Always", 2, 2);
    assert_eq!(d.todo(), [start("i0", 0)]);
    assert_eq!((d.shown().as_str(), d.waiting_reason("a").as_str()), ("Init:0/2", "PodInitializing"));
    d.started("i0");
    assert_eq!(d.todo(), []);
    d.exited("i0", 0);
    assert_eq!(d.todo(), [start("i1", 0)]);
    assert_eq!(d.shown(), "Init:1/2");
    assert!(d.status("i0").ready);
    d.started("i1");
    d.exited("i1", 0);
    assert_eq!(d.todo(), [start("a", 0), start("b", 0)]);
    assert_eq!((d.shown().as_str(), d.state.phase), ("PodInitializing", Phase::Pending));
}

#[test]
fn a_failed_init_container_is_retried_with_back_off() {
    for policy in ["Always", "OnFailure"] {
        let mut d = Driver::up(policy, 2, 1);
        d.started("i0");
        d.todo();
        d.exited("i0", 1);
        assert_eq!(d.todo(), [start("i0", 1)]);
        assert_eq!(d.shown(), "Init:Error");
        d.started("i0");
        d.exited("i0", 1);
        assert_eq!((d.todo(), d.wait(), d.shown().as_str()), (vec![], Some(10_000), "Init:CrashLoopBackOff"));
        assert_eq!(d.state.phase, Phase::Pending);
        d.tick_after(10_000);
        assert_eq!(d.todo(), [start("i0", 2)]);
        d.started("i0");
        d.exited("i0", 0);
        assert_eq!(d.todo(), [start("i1", 0)]);
    }
}

#[test]
fn a_failed_init_container_fails_the_pod_if_policy_is_never() {
    let mut d = Driver::up("Never", 2, 1);
    d.started("i0");
    d.todo();
    d.exited("i0", 7);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    assert_eq!(
        (d.state.phase, d.shown().as_str(), d.state.exit_code(&d.spec)),
        (Phase::Failed, "Init:Error", Some(7))
    );
    assert!(d.state.all_started(&d.spec));
}

#[test]
fn a_successful_init_container_is_not_run_again_though_policy_is_always() {
    let mut d = Driver::up("Always", 1, 1);
    d.started("i0");
    d.exited("i0", 0);
    d.started("a");
    d.todo();
    d.exited("a", 1);
    assert_eq!(d.todo(), [start("a", 1)]);
}
