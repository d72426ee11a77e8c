//! One test per rule of the kubelet that the state machine follows. Each test is named after its rule.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::{Value, json};

use crate::lifecycle::*;

/// A pod with its state and a clock that the test moves by hand.
struct Driver {
    pod: Pod,
    spec: PodSpec,
    state: PodState,
    now: Now,
    /// All actions since the last call of `todo` or `messages`.
    actions: Vec<Action>,
}

const SECOND: u64 = 1000;

impl Driver {
    /// Creates a pod whose init containers are `i0`, `i1` ... and whose app containers are `a`, `b` ...
    fn new(policy: &str, init: usize, app: usize) -> Self {
        let container = |name: String| json!({"name": name, "image": format!("img-{name}")});
        let inits: Vec<_> = (0..init).map(|i| container(format!("i{i}"))).collect();
        let apps: Vec<_> = ["a", "b", "c"].iter().take(app).map(|n| container((*n).to_owned())).collect();
        let pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default", "uid": "u-1"},
            "spec": {"restartPolicy": policy, "initContainers": inits, "containers": apps},
        }))
        .unwrap();
        let spec = PodSpec::from_pod(&pod);
        let now = Now { boot: 1_000_000, wall: "2026-11-23T18:00:00Z".parse().unwrap() };
        let state = PodState::new(&spec, now);
        Self { pod, spec, state, now, actions: Vec::new() }
    }

    /// Like [`Driver::new`], with the pod started and its sandbox ready.
    fn up(policy: &str, init: usize, app: usize) -> Self {
        let mut d = Self::new(policy, init, app);
        d.send(&Event::Start);
        assert_eq!(d.todo(), [Action::CreateSandbox]);
        d.sandbox_ready();
        d
    }

    /// Like [`Driver::up`], with every container running.
    fn running(policy: &str, app: usize) -> Self {
        let mut d = Self::up(policy, 0, app);
        for name in ["a", "b", "c"].iter().take(app) {
            d.started(name);
        }
        d.todo();
        d
    }

    fn send(&mut self, event: &Event) {
        let (state, actions) = step(&self.spec, self.state.clone(), event, self.now);
        self.state = state;
        self.actions.extend(actions);
    }

    fn sandbox_ready(&mut self) {
        self.send(&Event::SandboxReady {
            ips: vec!["10.88.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
        });
    }

    fn attempt(&self, name: &str) -> u32 {
        let c = self.state.container(name).unwrap();
        if c.is_running() { c.runs - 1 } else { c.runs }
    }

    fn started(&mut self, name: &str) {
        let event = Event::Started {
            container: name.to_owned(),
            attempt: self.attempt(name),
            pid: 100,
            container_id: format!("kube://{name}{}", self.attempt(name)),
            image_id: "sha256:1".to_owned(),
            stop_signal: "SIGTERM".to_owned(),
        };
        self.send(&event);
    }

    fn start_failed(&mut self, name: &str, reason: &str) {
        self.send(&Event::StartFailed {
            container: name.to_owned(),
            attempt: self.attempt(name),
            reason: reason.into(),
            message: "no such thing".to_owned(),
        });
    }

    fn exited(&mut self, name: &str, code: i32) {
        self.exit(name, Some(code), false);
    }

    fn exit(&mut self, name: &str, code: Option<i32>, oom_killed: bool) {
        let attempt = self.attempt(name);
        self.send(&Event::Exited { container: name.to_owned(), attempt, code, oom_killed });
    }

    fn stop(&mut self, grace_seconds: Option<u64>) {
        self.send(&Event::Stop { grace_seconds });
    }

    /// Moves both clocks forward.
    fn pass(&mut self, ms: u64) {
        self.now.boot += ms;
        self.now.wall += jiff::SignedDuration::from_millis(i64::try_from(ms).unwrap());
    }

    fn tick_after(&mut self, ms: u64) {
        self.pass(ms);
        self.send(&Event::Tick);
    }

    /// Returns the actions since the last look, without messages for the user.
    fn todo(&mut self) -> Vec<Action> {
        let actions = std::mem::take(&mut self.actions);
        actions.into_iter().filter(|a| !matches!(a, Action::Emit { .. })).collect()
    }

    /// Returns the messages for the user since the last look, as type, reason and message.
    fn messages(&mut self) -> Vec<String> {
        let actions = std::mem::take(&mut self.actions);
        let messages = actions.into_iter().filter_map(|a| match a {
            Action::Emit { kind, reason, message, .. } => Some(format!("{kind} {reason}: {message}")),
            _ => None,
        });
        messages.collect()
    }

    /// Returns the milliseconds until the next Tick.
    fn wait(&self) -> Option<u64> {
        self.state.next_deadline(&self.spec).map(|at| at.saturating_sub(self.now.boot))
    }

    fn api(&self) -> Pod {
        let host: IpAddr = "192.0.2.1".parse().unwrap();
        pod_with_status(&self.pod, &self.state, &[host])
    }

    fn status(&self, name: &str) -> ContainerStatus {
        let status = self.api().status.unwrap();
        let mut all = status
            .init_container_statuses
            .into_iter()
            .flatten()
            .chain(status.container_statuses.into_iter().flatten());
        all.find(|s| s.name == name).unwrap()
    }

    fn waiting_reason(&self, name: &str) -> String {
        self.status(name).state.unwrap().waiting.map_or_else(String::new, |w| w.reason.unwrap())
    }

    fn terminated(&self, name: &str) -> (i32, String) {
        let t = self.status(name).state.unwrap().terminated.unwrap();
        (t.exit_code, t.reason.unwrap())
    }

    fn condition(&self, name: &str) -> (String, Option<String>, Option<String>) {
        let conditions = self.api().status.unwrap().conditions.unwrap();
        let c = conditions.into_iter().find(|c| c.type_ == name).unwrap();
        (c.status, c.reason, c.message)
    }

    fn shown(&self) -> String {
        pod_row(&self.api(), self.now.wall).status
    }

    /// Lets `a` crash `times` times, each time as soon as it has started. Returns the wait before each restart, in
    /// seconds.
    fn crash(&mut self, times: usize) -> Vec<u64> {
        let mut waits = Vec::new();
        for _ in 0..times {
            self.exited("a", 1);
            let wait = self.wait();
            if let Some(wait) = wait {
                self.tick_after(wait);
            }
            waits.push(wait.unwrap_or(0) / SECOND);
            self.started("a");
        }
        waits
    }
}

fn start(container: &str, attempt: u32) -> Action {
    Action::StartContainer { container: container.to_owned(), attempt }
}

fn term(container: &str) -> Action {
    Action::StopContainer { container: container.to_owned(), signal: "SIGTERM".to_owned() }
}

fn kill(container: &str) -> Action {
    Action::KillContainer { container: container.to_owned() }
}

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
    assert_eq!(d.state.exit_code(), Some(0));
}

#[test]
fn restart_policy_never_restarts_nothing() {
    let mut d = Driver::running("Never", 2);
    d.exited("a", 5);
    assert_eq!((d.todo(), d.state.phase, d.wait()), (vec![], Phase::Running, None));
    d.exited("b", 0);
    assert_eq!(d.todo(), [Action::RemoveSandbox]);
    assert_eq!((d.state.phase, d.state.exit_code()), (Phase::Failed, Some(5)));
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
        (d.state.phase, d.shown().as_str(), d.state.exit_code()),
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

#[test]
fn image_pull_errors_back_off_on_the_same_curve() {
    let mut d = Driver::up("Never", 0, 1);
    let mut waits = Vec::new();
    for _ in 0..7 {
        d.todo();
        d.start_failed("a", "ErrImagePull");
        assert_eq!(d.shown(), "ErrImagePull");
        let shown = d.wait().unwrap();
        d.tick_after(shown);
        assert_eq!(d.shown(), "ImagePullBackOff");
        let rest = d.wait().unwrap();
        waits.push((shown + rest) / SECOND);
        d.tick_after(rest);
        assert_eq!(d.todo(), [start("a", 0)], "a pull that failed is not a run");
        assert_eq!(d.shown(), "ImagePullBackOff");
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
    d.started("a");
    assert_eq!((d.shown().as_str(), d.status("a").restart_count), ("Running", 0));
}

#[test]
fn image_pull_errors_are_reported_as_events() {
    let mut d = Driver::up("Always", 0, 1);
    d.start_failed("a", "ErrImagePull");
    d.tick_after(3_000);
    insta::assert_snapshot!(d.messages().join("\n"), @r#"
    Warning Failed: Failed to pull image "img-a": no such thing
    Warning Failed: Error: ErrImagePull
    Normal BackOff: Back-off pulling image "img-a"
    Warning Failed: Error: ImagePullBackOff
    "#);
    let waiting = d.status("a").state.unwrap().waiting.unwrap();
    assert_eq!(waiting.message.unwrap(), "Back-off pulling image \"img-a\": ErrImagePull: no such thing");
}

#[test]
fn config_and_image_name_errors_are_retried_every_10_seconds_whatever_the_policy() {
    for reason in
        ["CreateContainerConfigError", "CreateContainerError", "InvalidImageName", "ErrImageNeverPull"]
    {
        let mut d = Driver::up("Never", 0, 1);
        for _ in 0..4 {
            d.todo();
            d.start_failed("a", reason);
            assert_eq!((d.shown().as_str(), d.wait(), d.state.phase), (reason, Some(10_000), Phase::Pending));
            d.tick_after(10_000);
            assert_eq!(d.todo(), [start("a", 0)]);
            assert_eq!(d.shown(), reason, "shown until it runs");
        }
    }
}

#[test]
fn a_process_that_cannot_start_is_a_run_that_ended_with_128() {
    let mut d = Driver::up("Never", 0, 1);
    d.todo();
    d.start_failed("a", "RunContainerError");
    assert_eq!(d.terminated("a"), (128, "StartError".to_owned()));
    assert_eq!((d.state.phase, d.state.exit_code()), (Phase::Failed, Some(128)));

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
    assert_eq!(d.state.exit_code(), Some(137));

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
    assert_eq!((d.state.exit_code(), d.state.pending_actions()), (Some(1), vec![]));
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

#[test]
fn answers_for_an_older_attempt_change_nothing() {
    let mut d = Driver::running("Always", 1);
    d.exited("a", 1);
    d.started("a");
    let before = d.state.clone();
    d.todo();
    let exit =
        |attempt| Event::Exited { container: "a".to_owned(), attempt, code: Some(1), oom_killed: false };
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
    d.send(&Event::Exited { container: "ghost".to_owned(), attempt: 0, code: None, oom_killed: false });
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
