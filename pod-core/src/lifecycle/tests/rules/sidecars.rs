//! Sidecars: init containers with restartPolicy Always.

use super::*;

/// A pod with the sidecars `s` and `t`, an ordinary init container `i` between them, and the app container `a`. `more`
/// is added to `s`.
fn pod(policy: &str, more: &Value) -> Driver {
    let mut s = json!({"name": "s", "image": "img-s", "restartPolicy": "Always"});
    s.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Driver::of(&json!({
        "restartPolicy": policy,
        "initContainers": [
            s, {"name": "i", "image": "img-i"}, {"name": "t", "image": "img-t", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "a", "image": "img-a"}],
    }))
    .begun()
}

/// The same pod with every container running.
fn running(policy: &str, more: &Value) -> Driver {
    let mut d = pod(policy, more);
    d.started("s");
    d.started("i");
    d.exited("i", 0);
    d.started("t");
    d.started("a");
    d.todo();
    d
}

fn probed(d: &mut Driver, probe: ProbeKind, passed: bool) {
    let attempt = d.attempt("s");
    d.send(&Event::Probed { container: "s".to_owned(), attempt, probe, passed });
}

#[test]
fn the_next_init_container_starts_once_the_sidecar_runs() {
    let mut d = pod("Always", &json!({}));
    assert_eq!(d.todo(), [start("s", 0)]);
    assert_eq!(d.shown(), "Init:0/3");
    d.started("s");
    assert_eq!(d.todo(), [start("i", 0)]);
    assert_eq!(d.shown(), "Init:1/3");
    let status = d.status("s");
    assert_eq!((status.started, status.ready), (Some(true), true));
    d.started("i");
    d.exited("i", 0);
    assert_eq!(d.todo(), [start("t", 0)]);
    assert_eq!(d.condition("Initialized").2.unwrap(), "containers with incomplete status: [t]");
    d.started("t");
    assert_eq!(d.todo(), [start("a", 0)]);
    assert_eq!((d.condition("Initialized").0.as_str(), d.shown().as_str()), ("True", "PodInitializing"));
    d.started("a");
    let row = pod_row(&d.api(), d.now.wall);
    assert_eq!((row.ready.as_str(), row.status.as_str()), ("3/3", "Running"));
}

#[test]
fn the_next_init_container_waits_for_the_startup_probe_of_a_sidecar() {
    let mut d = pod("Always", &json!({"startupProbe": {"exec": {"command": ["true"]}}}));
    d.started("s");
    assert_eq!(d.todo(), [start("s", 0)]);
    assert_eq!((d.status("s").started, d.shown().as_str()), (Some(false), "Init:0/3"));
    probed(&mut d, ProbeKind::Startup, true);
    assert_eq!(d.todo(), [start("i", 0)]);
}

#[test]
fn the_next_init_container_waits_for_the_post_start_hook_of_a_sidecar() {
    let mut d = pod("Always", &json!({"lifecycle": {"postStart": {"exec": {"command": ["true"]}}}}));
    d.started("s");
    d.todo();
    let hook = HookKind::PostStart;
    d.send(&Event::HookEnded { container: "s".to_owned(), attempt: 0, hook, error: None });
    assert_eq!(d.todo(), [start("i", 0)]);
}

#[test]
fn a_sidecar_is_always_restarted_with_back_off_and_holds_back_nothing_that_has_started() {
    for policy in ["Always", "OnFailure", "Never"] {
        let mut d = pod(policy, &json!({}));
        d.started("s");
        d.started("i");
        d.todo();
        for code in [0, 1] {
            d.exited("s", code);
            if let Some(wait) = d.wait() {
                assert_eq!(wait, 10_000);
                assert_eq!(d.waiting_reason("s"), "CrashLoopBackOff");
                d.tick_after(wait);
            }
            assert_eq!(d.todo(), [start("s", u32::try_from(code + 1).unwrap())], "{policy}");
            d.started("s");
        }
        d.exited("s", 1);
        assert_eq!(d.wait(), Some(20_000));
        d.exited("i", 0);
        assert_eq!(d.todo(), [start("t", 0)], "a sidecar that has started once is not waited for again");
        d.started("t");
        d.started("a");
        assert_eq!((d.state.phase, d.condition("Ready").0.as_str()), (Phase::Running, "False"));
        assert_eq!(d.condition("Ready").2.unwrap(), "containers with unready status: [s]");
    }
}

#[test]
fn the_readiness_of_a_sidecar_counts_for_the_pod() {
    let mut d = running("Always", &json!({"readinessProbe": {"exec": {"command": ["true"]}}}));
    assert_eq!(d.condition("ContainersReady").0, "False");
    assert_eq!(pod_row(&d.api(), d.now.wall).ready, "2/3");
    probed(&mut d, ProbeKind::Readiness, true);
    assert_eq!(d.condition("Ready").0, "True");
}

#[test]
fn a_failing_liveness_probe_restarts_a_sidecar_whatever_the_policy_of_the_pod() {
    let mut d = running("Never", &json!({"livenessProbe": {"exec": {"command": ["true"]}}}));
    probed(&mut d, ProbeKind::Liveness, false);
    assert_eq!(d.todo(), [term("s")]);
    d.exited("s", 143);
    assert_eq!(d.todo(), [start("s", 1)]);
}

#[test]
fn sidecars_do_not_hold_a_pod_open_and_do_not_count_for_its_phase() {
    for (policy, code, phase) in
        [("Never", 0, Phase::Succeeded), ("Never", 3, Phase::Failed), ("OnFailure", 0, Phase::Succeeded)]
    {
        let mut d = running(policy, &json!({}));
        d.exited("a", code);
        assert_eq!(d.todo(), [term("t")], "sidecars are stopped, the last first");
        assert_eq!((d.state.phase, d.wait()), (Phase::Running, Some(30_000)));
        assert_eq!(d.api().metadata.deletion_timestamp, None, "nobody deletes the pod");
        d.exited("t", 143);
        assert_eq!(d.todo(), [term("s")]);
        d.exited("s", 137);
        assert_eq!(d.todo(), [Action::RemoveSandbox]);
        assert_eq!((d.state.phase, d.state.exit_code(&d.spec)), (phase, Some(code)));
        assert!(d.state.failed_containers(&d.spec).iter().all(|name| *name == "a"));
    }
}

#[test]
fn sidecars_are_stopped_in_reverse_order_after_the_app_containers_within_the_grace() {
    let mut d = running("Always", &json!({}));
    d.stop(None);
    assert_eq!(d.todo(), [term("a")]);
    d.pass(8 * SECOND);
    d.exited("a", 143);
    assert_eq!((d.todo(), d.wait()), (vec![term("t")], Some(22_000)));
    d.pass(2 * SECOND);
    d.exited("t", 143);
    assert_eq!((d.todo(), d.wait()), (vec![term("s")], Some(20_000)));
    d.tick_after(20_000);
    assert_eq!(d.todo(), [kill("s")]);
    d.exited("s", 137);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
}

#[test]
fn sidecars_whose_turn_has_not_come_have_two_seconds_when_the_grace_is_over() {
    let mut d = running("Always", &json!({}));
    d.stop(Some(5));
    d.todo();
    d.tick_after(5_000);
    assert_eq!(d.todo(), [term("s"), term("t"), kill("a")]);
    assert_eq!(d.wait(), Some(2_000));
    d.exited("a", 137);
    d.tick_after(2_000);
    assert_eq!(d.todo(), [kill("s"), kill("t")]);
}

#[test]
fn without_grace_sidecars_are_killed_at_once() {
    let mut d = running("Always", &json!({}));
    d.stop(Some(0));
    assert_eq!(d.todo(), [kill("s"), kill("t"), kill("a")]);
}

#[test]
fn a_pre_stop_hook_of_a_sidecar_begins_with_the_stop_and_its_signal_waits_for_hook_and_turn() {
    let hook = HookKind::PreStop;
    let run = || Action::RunHook { container: "s".to_owned(), attempt: 0, hook };
    let ended = || Event::HookEnded { container: "s".to_owned(), attempt: 0, hook, error: None };
    let stopped = || {
        let mut d = running("Always", &json!({"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}));
        d.stop(None);
        assert_eq!(d.todo(), [run(), term("a")]);
        d
    };
    let mut d = stopped();
    d.send(&ended());
    assert_eq!(d.todo(), [], "its turn has not come");
    assert_eq!(d.wait(), Some(30_000));
    d.exited("a", 0);
    d.exited("t", 0);
    assert_eq!(d.todo(), [term("t"), term("s")]);

    let mut d = stopped();
    d.exited("a", 0);
    d.exited("t", 0);
    assert_eq!(d.todo(), [term("t")], "its hook still runs");
    d.send(&ended());
    assert_eq!(d.todo(), [term("s")]);

    let mut d = stopped();
    d.send(&ended());
    d.tick_after(30_000);
    assert_eq!(d.todo(), [term("s"), term("t"), kill("a")], "the grace is over");
    d.tick_after(2_000);
    assert_eq!(d.todo(), [kill("s"), kill("t")]);
}

#[test]
fn sidecars_start_again_before_the_app_in_a_new_sandbox() {
    let mut d = running("Always", &json!({}));
    d.send(&Event::SandboxDied);
    assert_eq!(d.todo(), [kill("s"), kill("t"), kill("a")]);
    for name in ["s", "t", "a"] {
        d.exited(name, 137);
    }
    d.send(&Event::SandboxRemoved);
    d.todo();
    d.sandbox_ready();
    assert_eq!(d.todo(), [start("s", 1)]);
}

#[test]
fn a_failed_init_container_stops_the_sidecars_before_it() {
    let mut d = pod("Never", &json!({}));
    d.started("s");
    d.started("i");
    d.todo();
    d.exited("i", 4);
    assert_eq!(d.todo(), [term("s")]);
    d.exited("s", 0);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    assert_eq!((d.state.phase, d.state.exit_code(&d.spec)), (Phase::Failed, Some(4)));
    let why = d.state.fails_to_initialize(&d.spec).unwrap();
    assert_eq!(why, "init container i failed with exit code 4");
    assert_eq!(d.state.cannot_start(), None, "it ran, so nothing is undone");
}

#[test]
fn a_pod_whose_sidecars_were_being_stopped_has_ended_after_a_reboot() {
    let mut d = running("OnFailure", &json!({}));
    d.exited("a", 0);
    d.state = d.state.revive(&d.spec, d.now);
    assert_eq!((d.state.phase, d.state.is_gone()), (Phase::Succeeded, true));
}
