//! One test per rule of the kubelet that the state machine follows. Each test is named after its rule.
//! The files follow the sections of the rules.

mod deadline;
mod eviction;
mod images;
mod init;
mod policies;
mod reports;
mod restarts;
mod sandbox;
mod sidecars;
mod termination;

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
        Self::of(&json!({"restartPolicy": policy, "initContainers": inits, "containers": apps}))
    }

    /// Creates a pod from its spec.
    fn of(spec: &Value) -> Self {
        let pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default", "uid": "u-1"},
            "spec": spec,
        }))
        .unwrap();
        let spec = PodSpec::from_pod(&pod);
        let now = Now { boot: 1_000_000, wall: "2026-11-23T18:00:00Z".parse().unwrap() };
        let state = PodState::new(&spec, now);
        Self { pod, spec, state, now, actions: Vec::new() }
    }

    /// Like [`Driver::new`], with the pod started and its sandbox ready.
    fn up(policy: &str, init: usize, app: usize) -> Self {
        Self::new(policy, init, app).begun()
    }

    /// Starts the pod and creates its sandbox.
    fn begun(self) -> Self {
        let mut d = self;
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
        let container = name.to_owned();
        self.send(&Event::Exited { container, attempt, code, oom_killed, message: None });
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
