//! One test for each rule of the kubelet about probes, named after it.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::lifecycle::*;

pub(super) const SECOND: u64 = 1000;

/// A pod with one container `web`, its machine and the schedule of its probes, driven by hand.
pub(super) struct Driver {
    pub(super) pod: Pod,
    pub(super) spec: PodSpec,
    pub(super) state: PodState,
    pub(super) schedule: ProbeSchedule,
    pub(super) now: Now,
    pub(super) actions: Vec<Action>,
}

impl Driver {
    /// Creates a pod whose container has these probes and has just started.
    pub(super) fn new(policy: &str, probes: Value) -> Self {
        let mut container = json!({"name": "web", "image": "img"});
        container.as_object_mut().unwrap().extend(probes.as_object().unwrap().clone());
        let pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "uid": "u-1"},
            "spec": {"restartPolicy": policy, "terminationGracePeriodSeconds": 20, "containers": [container]},
        }))
        .unwrap();
        let spec = PodSpec::from_pod(&pod);
        let now = Now { boot: 1_000_000, wall: "2026-11-23T18:00:00Z".parse().unwrap() };
        let state = PodState::new(&spec, now);
        let mut d = Self { pod, spec, state, schedule: ProbeSchedule::default(), now, actions: Vec::new() };
        d.send(&Event::Start);
        d.send(&Event::SandboxReady { ips: vec!["10.88.0.2".parse().unwrap()] });
        d.started();
        d.actions.clear();
        d
    }

    pub(super) fn send(&mut self, event: &Event) {
        let (state, actions) = step(&self.spec, self.state.clone(), event, self.now);
        self.state = state;
        self.actions.extend(actions);
        self.schedule.follow(&self.spec, &self.state, self.now);
    }

    pub(super) fn started(&mut self) {
        let attempt = self.state.container("web").unwrap().runs;
        self.send(&Event::Started {
            container: "web".to_owned(),
            attempt,
            pid: 100,
            container_id: "kube://web".to_owned(),
            image_id: "sha256:1".to_owned(),
            stop_signal: "SIGTERM".to_owned(),
        });
    }

    pub(super) fn exited(&mut self, code: i32) {
        let attempt = self.state.container("web").unwrap().restart_count();
        self.send(&Event::Exited {
            container: "web".to_owned(),
            attempt,
            code: Some(code),
            oom_killed: false,
            message: None,
        });
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now.boot += ms;
        self.now.wall += jiff::SignedDuration::from_millis(i64::try_from(ms).unwrap());
        self.schedule.follow(&self.spec, &self.state, self.now);
    }

    /// Returns the milliseconds until the next probe.
    pub(super) fn wait(&self) -> Option<u64> {
        self.schedule.next_deadline().map(|at| at.saturating_sub(self.now.boot))
    }

    /// Waits for the next probes and gives all of them one result. Returns which they were.
    pub(super) fn probe(&mut self, result: &ProbeResult) -> Vec<ProbeKind> {
        self.pass(self.wait().unwrap());
        let due = self.schedule.take_due(&self.spec, self.now);
        for run in &due {
            self.finish(run, result);
        }
        due.into_iter().map(|run| run.kind).collect()
    }

    pub(super) fn finish(&mut self, run: &ProbeRun, result: &ProbeResult) {
        let (told, event) = self.schedule.finish(&self.spec, &self.state, run, result);
        self.actions.extend(told);
        if let Some(event) = event {
            self.send(&event);
        }
    }

    pub(super) fn succeed(&mut self) -> Vec<ProbeKind> {
        self.probe(&ProbeResult::Success)
    }

    pub(super) fn fail(&mut self) -> Vec<ProbeKind> {
        self.probe(&ProbeResult::Failure("refused".to_owned()))
    }

    pub(super) fn todo(&mut self) -> Vec<Action> {
        let actions = std::mem::take(&mut self.actions);
        actions.into_iter().filter(|action| !matches!(action, Action::Emit { .. })).collect()
    }

    pub(super) fn told(&mut self) -> Vec<String> {
        let actions = std::mem::take(&mut self.actions);
        let told = actions.into_iter().filter_map(|action| match action {
            Action::Emit { kind, reason, message, .. } => Some(format!("{kind} {reason}: {message}")),
            _ => None,
        });
        told.collect()
    }

    /// Returns status.ready and status.started.
    pub(super) fn ready(&self) -> (bool, bool) {
        let status = pod_with_status(&self.pod, &self.state, &[]).status.unwrap();
        let web = &status.container_statuses.unwrap()[0];
        (web.ready, web.started.unwrap())
    }

    pub(super) fn condition(&self, name: &str) -> (String, Option<String>, Option<String>) {
        let conditions = pod_with_status(&self.pod, &self.state, &[]).status.unwrap().conditions.unwrap();
        let condition = conditions.into_iter().find(|condition| condition.type_ == name).unwrap();
        (condition.status, condition.reason, condition.message)
    }
}

pub(super) fn term() -> Action {
    Action::StopContainer { container: "web".to_owned(), signal: "SIGTERM".to_owned() }
}

pub(super) fn kill() -> Action {
    Action::KillContainer { container: "web".to_owned() }
}

pub(super) fn start(attempt: u32) -> Action {
    Action::StartContainer { container: "web".to_owned(), attempt }
}

#[test]
fn probe_defaults_are_0_10_1_1_3() {
    let given = serde_json::from_value(json!({"timeoutSeconds": 0})).unwrap();
    let probe = ProbeSpec::from_probe(&given);
    assert_eq!((probe.initial_delay, probe.period, probe.timeout), (0, 10 * SECOND, SECOND));
    assert_eq!((probe.success_threshold, probe.failure_threshold, probe.grace_seconds), (1, 3, None));
}

#[test]
fn readiness_is_false_until_first_success() {
    let mut d = Driver::new("Always", json!({"readinessProbe": {"initialDelaySeconds": 5}}));
    assert_eq!(d.ready(), (false, true));
    for name in ["Ready", "ContainersReady"] {
        let (status, reason, message) = d.condition(name);
        assert_eq!((status.as_str(), reason.as_deref()), ("False", Some("ContainersNotReady")), "{name}");
        assert_eq!(message.as_deref(), Some("containers with unready status: [web]"));
    }
    assert_eq!(d.wait(), Some(5 * SECOND));
    d.fail();
    assert_eq!(d.ready(), (false, true));
    d.succeed();
    assert_eq!((d.ready(), d.state.is_ready()), ((true, true), true));
    assert_eq!(d.wait(), Some(10 * SECOND));
}

#[test]
fn with_no_probe_readiness_is_true_while_the_container_runs() {
    let mut d = Driver::new("Always", json!({}));
    assert_eq!((d.ready(), d.wait()), ((true, true), None));
    d.exited(1);
    assert_eq!(d.ready(), (false, false));
}

#[test]
fn thresholds_count_results_in_a_row() {
    let probe = json!({"readinessProbe": {"successThreshold": 2, "failureThreshold": 3, "periodSeconds": 1}});
    let mut d = Driver::new("Always", probe);
    let mut ready = |passes: &[bool]| -> Vec<bool> {
        let mut seen = Vec::new();
        for passes in passes {
            if *passes {
                d.succeed()
            } else {
                d.fail()
            };
            seen.push(d.ready().0);
        }
        seen
    };
    assert_eq!(ready(&[true, false, true, true]), [false, false, false, true]);
    assert_eq!(ready(&[false, false, true, false, false, false]), [true, true, true, true, true, false]);
}

#[test]
fn an_undecided_probe_changes_nothing() {
    let probe = json!({"readinessProbe": {"failureThreshold": 1}, "livenessProbe": {"failureThreshold": 1}});
    let mut d = Driver::new("Always", probe);
    d.succeed();
    assert_eq!(d.ready(), (true, true));
    let before = d.state.clone();
    d.probe(&ProbeResult::Unknown("no such port".to_owned()));
    assert_eq!(d.state, before);
    assert_eq!(
        d.told()[0],
        "Warning Unhealthy: Liveness probe errored and resulted in unknown state: no such port"
    );
}

#[test]
fn until_a_startup_probe_has_passed_liveness_and_readiness_do_not_run() {
    use ProbeKind::{Liveness, Readiness, Startup};
    let probes =
        json!({"startupProbe": {}, "livenessProbe": {}, "readinessProbe": {"initialDelaySeconds": 1}});
    let mut d = Driver::new("Always", probes);
    assert_eq!(d.ready(), (false, false));
    assert_eq!(d.fail(), [Startup]);
    assert_eq!(d.succeed(), [Startup]);
    assert_eq!(d.ready(), (false, true));
    // Both are due at once: their delays are measured from the start of the container.
    assert_eq!((d.wait(), d.succeed()), (Some(0), vec![Liveness, Readiness]));
    assert_eq!(d.ready(), (true, true));
    assert_eq!(d.succeed(), [Liveness, Readiness]);
}

#[test]
fn failing_liveness_kills_the_container_with_its_grace_and_restart_policy_decides() {
    for (policy, code, restarts) in [("Always", 0, true), ("OnFailure", 0, true), ("Never", 1, false)] {
        let mut d = Driver::new(policy, json!({"livenessProbe": {"failureThreshold": 2}}));
        d.fail();
        assert_eq!(d.todo(), []);
        d.fail();
        let tail = if restarts { ", will be restarted" } else { "" };
        let killing = format!("Normal Killing: Container web failed liveness probe{tail}");
        assert_eq!(d.actions.iter().filter(|action| **action == term()).count(), 1, "{policy}");
        assert_eq!(d.told(), ["Warning Unhealthy: Liveness probe failed: refused".to_owned(), killing]);
        assert_eq!(d.wait(), None, "what is being stopped is not probed");
        assert_eq!(d.state.next_deadline(&d.spec), Some(d.now.boot + 20 * SECOND));
        d.pass(20 * SECOND);
        d.send(&Event::Tick);
        assert_eq!(d.todo(), [kill()]);
        d.exited(code);
        assert_eq!(d.todo(), if restarts { vec![start(1)] } else { vec![Action::RemoveSandbox] }, "{policy}");
    }
}

#[test]
fn the_probes_own_termination_grace_period_seconds_wins() {
    for probe in ["livenessProbe", "startupProbe"] {
        let probes = json!({probe: {"failureThreshold": 1, "terminationGracePeriodSeconds": 3}});
        let mut d = Driver::new("Always", probes);
        d.fail();
        assert_eq!(d.todo(), [term()]);
        assert_eq!(d.state.next_deadline(&d.spec), Some(d.now.boot + 3 * SECOND), "{probe}");
    }
}

#[test]
fn a_stop_of_the_pod_shortens_the_grace_of_a_failed_probe() {
    let mut d = Driver::new("Always", json!({"livenessProbe": {"failureThreshold": 1}}));
    d.fail();
    d.send(&Event::Stop { grace_seconds: Some(1) });
    assert_eq!(d.todo(), [term()]);
    d.pass(SECOND);
    d.send(&Event::Tick);
    assert_eq!(d.todo(), [kill()]);
    d.exited(137);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
}

#[test]
fn a_restarted_container_is_probed_anew() {
    let probes =
        json!({"readinessProbe": {}, "livenessProbe": {"failureThreshold": 1, "initialDelaySeconds": 7}});
    let mut d = Driver::new("Always", probes);
    d.succeed();
    assert_eq!(d.ready(), (true, true));
    d.fail();
    d.exited(143);
    d.todo();
    d.started();
    assert_eq!(d.ready(), (false, true));
    assert_eq!((d.wait(), d.succeed()), (Some(0), vec![ProbeKind::Readiness]));
    assert_eq!(d.ready(), (true, true));
}

#[test]
fn a_pod_that_is_stopped_is_probed_for_readiness_alone() {
    let mut d =
        Driver::new("Always", json!({"readinessProbe": {"failureThreshold": 1}, "livenessProbe": {}}));
    d.succeed();
    d.send(&Event::Stop { grace_seconds: Some(60) });
    assert_eq!(d.fail(), [ProbeKind::Readiness]);
    assert_eq!(d.ready(), (false, true));
}

#[test]
fn a_late_result_of_a_run_that_is_over_changes_nothing() {
    let mut d = Driver::new("Always", json!({"livenessProbe": {"failureThreshold": 1}}));
    let late = d.schedule.take_due(&d.spec, d.now).remove(0);
    d.exited(1);
    d.started();
    let before = d.state.clone();
    d.finish(&late, &ProbeResult::Failure("refused".to_owned()));
    assert_eq!(d.state, before);
}

#[test]
fn a_warning_counts_as_success() {
    let mut d = Driver::new("Always", json!({"readinessProbe": {}}));
    d.probe(&ProbeResult::Warning("redirected".to_owned()));
    assert_eq!(
        (d.ready(), d.told()),
        ((true, true), vec!["Warning ProbeWarning: Readiness probe warning: redirected".to_owned()])
    );
}

#[test]
fn readiness_stays_over_the_death_of_a_supervisor() {
    let mut d = Driver::new("Always", json!({"readinessProbe": {"failureThreshold": 2}}));
    d.succeed();
    d.state = serde_json::from_value(serde_json::to_value(&d.state).unwrap()).unwrap();
    d.schedule = ProbeSchedule::default();
    d.schedule.follow(&d.spec, &d.state, d.now);
    assert_eq!((d.ready(), d.wait()), ((true, true), Some(0)));
    d.fail();
    assert_eq!(d.ready(), (true, true));
    d.fail();
    assert_eq!(d.ready(), (false, true));
}

#[test]
fn a_probe_that_is_slow_runs_again_at_once_and_never_twice_at_the_same_time() {
    let mut d = Driver::new("Always", json!({"livenessProbe": {"periodSeconds": 1}}));
    let slow = d.schedule.take_due(&d.spec, d.now).remove(0);
    d.pass(5 * SECOND);
    assert_eq!((d.wait(), d.schedule.take_due(&d.spec, d.now)), (None, vec![]));
    d.finish(&slow, &ProbeResult::Success);
    assert_eq!(d.wait(), Some(0));
}
