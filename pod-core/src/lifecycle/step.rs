//! The transitions of the state machine.

use super::backoff::go_duration;
use super::{
    Action, Backoff, ContainerState, Event, Failure, Goal, Halt, HookKind, Now, PodSpec, PodState, PostStart,
    PreStop, RestartPolicy, Role, RunState, Sandbox, Terminated, Waiting,
};
use crate::kind::{EventType, TerminatedReason, WaitingReason};

/// The kubelet's pod workers' backOffPeriod: the wait before the next attempt after a failure whose cause is outside
/// the container. Examples are a sandbox that could not be created, a missing ConfigMap and an invalid image name.
const SYNC_RETRY_MS: u64 = 10_000;
/// How long `ErrImagePull` is shown before `ImagePullBackOff` replaces it.
const PULL_ERROR_SHOWN_MS: u64 = 3_000;
/// The exit code of a container whose process could not be started.
const START_ERROR_EXIT_CODE: i32 = 128;
/// status.reason and status.message of a pod that exceeds activeDeadlineSeconds. Source: k8s
/// pkg/kubelet/active_deadline.go.
const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";

/// Returns the state of the pod after `event`, and the actions that follow from the event. An event that does not fit
/// the state changes nothing: a late or repeated answer, or an answer for an older attempt.
pub fn step(spec: &PodSpec, state: PodState, event: &Event, now: Now) -> (PodState, Vec<Action>) {
    let mut machine = Machine { spec, state, now, actions: Vec::new() };
    machine.apply(event);
    machine.note_started_sidecars();
    machine.advance();
    machine.state.update_phase_and_conditions(spec, now.wall);
    (machine.state, machine.actions)
}

pub(super) struct Machine<'a> {
    pub(super) spec: &'a PodSpec,
    pub(super) state: PodState,
    pub(super) now: Now,
    pub(super) actions: Vec<Action>,
}

impl Machine<'_> {
    /// Records in the state what happened.
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Start => {
                if self.state.goal == Goal::Idle {
                    self.state.goal = Goal::Run;
                    let begun = *self.state.start_time.get_or_insert(self.now.wall);
                    self.state.active_deadline =
                        self.spec.active_deadline_seconds.map(|seconds| self.deadline(begun, seconds));
                }
            }
            Event::SandboxReady { ips } => {
                if self.state.sandbox == Sandbox::Creating {
                    self.state.sandbox = Sandbox::Ready;
                    self.state.ips.clone_from(ips);
                    self.state.sandbox_error = None;
                    self.state.sandbox_failures = 0;
                }
            }
            Event::SandboxFailed { message } => {
                if self.state.sandbox == Sandbox::Creating {
                    self.state.sandbox =
                        Sandbox::Failed { retry: self.now.boot.saturating_add(SYNC_RETRY_MS) };
                    self.state.sandbox_error = Some(message.clone());
                    self.state.sandbox_failures = self.state.sandbox_failures.saturating_add(1);
                    self.emit_warning(
                        "FailedCreatePodSandBox",
                        format!("Failed to create pod sandbox: {message}"),
                        None,
                    );
                }
            }
            Event::SandboxDied => {
                if self.state.sandbox == Sandbox::Ready {
                    self.sandbox_died();
                }
            }
            Event::SandboxRemoved => {
                if self.state.sandbox == Sandbox::Removing {
                    self.state.sandbox = Sandbox::Absent;
                    self.reset_init_containers();
                }
            }
            Event::Started { container, attempt, pid, container_id, image_id, stop_signal } => {
                let wall = self.now.wall;
                let spec = self.spec.containers.iter().find(|s| s.name == *container);
                let probes = spec.map(|s| s.probes.clone()).unwrap_or_default();
                // A container that is stopped at once runs no postStart hook.
                let has_post_start = spec.is_some_and(|s| s.hooks.post_start)
                    && (self.state.goal, self.state.sandbox) == (Goal::Run, Sandbox::Ready);
                let Some(c) = self.starting(container, *attempt) else { return };
                c.post_start = match &mut c.state {
                    RunState::Starting { waiting } if has_post_start => {
                        PostStart::Running { waiting: waiting.take() }
                    }
                    _ => PostStart::Done,
                };
                c.state = RunState::Running {
                    pid: *pid,
                    since: wall,
                    stop_signal: stop_signal.clone(),
                    halt: Halt::None,
                    kill_at: None,
                };
                c.must_restart = false;
                c.awaits_startup = probes.startup.is_some();
                c.unready = probes.readiness.is_some();
                c.runs = attempt.saturating_add(1);
                c.create_failures = 0;
                c.container_id.clone_from(container_id);
                c.image_id.clone_from(image_id);
                self.emit_normal("Created", format!("Created container: {container}"), Some(container));
                self.emit_normal("Started", format!("Started container {container}"), Some(container));
                if has_post_start {
                    let (container, attempt, hook) = (container.clone(), *attempt, HookKind::PostStart);
                    self.actions.push(Action::RunHook { container, attempt, hook });
                }
            }
            Event::StartFailed { container, attempt, reason, message } => {
                if self.starting(container, *attempt).is_some() {
                    self.start_failed(container, reason, message);
                }
            }
            Event::Exited { container, attempt, code, oom_killed, message } => {
                let reason = match code {
                    _ if *oom_killed => TerminatedReason::OOMKilled,
                    Some(0) => TerminatedReason::Completed,
                    _ => TerminatedReason::Error,
                };
                self.exited(container, *attempt, *code, reason, message.as_deref());
            }
            Event::Probed { container, attempt, probe, passed } => {
                self.probed(container, *attempt, *probe, *passed);
            }
            Event::HookEnded { container, attempt, hook, error } => {
                self.hook_ended(container, *attempt, *hook, error.as_deref());
            }
            Event::Fail { reason, message, grace_seconds } => self.fail(reason, message, *grace_seconds),
            Event::Changed => self.retry_at_once(),
            Event::Restart { container } => self.restart(container),
            Event::Stop { grace_seconds } => self.stop(*grace_seconds),
            Event::Tick => self.show_pull_backoff(),
        }
    }

    /// Requests every action that is due in the current state. No action is requested twice.
    fn advance(&mut self) {
        if self.state.goal == Goal::Run
            && (self.state.has_finished(self.spec)
                || self.state.init_has_failed(self.spec)
                || self.exceeds_deadline())
        {
            if self.state.containers.iter().any(ContainerState::is_busy) {
                let grace = self.spec.grace_seconds.saturating_mul(1000);
                self.state.end_by = Some(self.now.boot.saturating_add(grace));
            }
            self.end();
        }
        if (self.state.goal, self.state.sandbox) != (Goal::Run, Sandbox::Ready) {
            self.state.restart_all_by = None;
        }
        match (self.state.goal, self.state.sandbox) {
            (Goal::Idle, _) => {}
            (Goal::End, _) => self.wind_down(),
            (Goal::Run, Sandbox::Absent) => self.create_sandbox(),
            (Goal::Run, Sandbox::Failed { retry }) => {
                if retry <= self.now.boot {
                    self.create_sandbox();
                }
            }
            (Goal::Run, Sandbox::Creating | Sandbox::Removing) => {}
            (Goal::Run, Sandbox::Dead) => {
                self.halt_all();
                self.remove_sandbox_when_idle();
            }
            (Goal::Run, Sandbox::Ready) => {
                if self.state.restart_all_by.is_some() && !self.stop_for_restart() {
                    return;
                }
                self.halt_failed();
                self.run_containers();
            }
        }
    }

    /// Stops all containers so that they run again from the first init container on. Returns true once none runs.
    fn stop_for_restart(&mut self) -> bool {
        self.halt_all();
        if self.state.containers.iter().any(ContainerState::is_busy) {
            return false;
        }
        self.state.restart_all_by = None;
        for c in &mut self.state.containers {
            c.done = false;
            c.must_restart = c.has_run();
        }
        true
    }

    /// Returns when `seconds` have passed since `begun`, in milliseconds since boot. `begun` may lie in another boot.
    fn deadline(&self, begun: jiff::Timestamp, seconds: u64) -> u64 {
        let passed = u64::try_from(self.now.wall.duration_since(begun).as_millis()).unwrap_or(0);
        self.now.boot.saturating_add(seconds.saturating_mul(1000).saturating_sub(passed))
    }

    /// Returns whether the pod has been active for longer than activeDeadlineSeconds, and notes it as its failure.
    fn exceeds_deadline(&mut self) -> bool {
        if self.state.active_deadline.is_none_or(|at| self.now.boot < at) {
            return false;
        }
        let (reason, message) = (DEADLINE_EXCEEDED.to_owned(), DEADLINE_MESSAGE.to_owned());
        self.emit_normal(&reason, message.clone(), None);
        self.state.failure = Some(Failure { reason, message });
        true
    }

    /// Ends the pod as a whole. A pod that ends already keeps the reason that it ends for.
    fn fail(&mut self, reason: &str, message: &str, grace_seconds: u64) {
        if self.state.goal != Goal::Run || self.state.phase.is_terminal() {
            return;
        }
        self.emit_warning(reason, message.to_owned(), None);
        self.state.failure = Some(Failure { reason: reason.to_owned(), message: message.to_owned() });
        self.state.end_by = Some(self.now.boot.saturating_add(grace_seconds.saturating_mul(1000)));
        self.end();
    }

    /// Remembers which sidecars have started: the containers after them need not wait again if they crash.
    fn note_started_sidecars(&mut self) {
        for (of, c) in self.spec.containers.iter().zip(&mut self.state.containers) {
            c.done |= of.role == Role::Sidecar && c.is_started();
        }
    }

    fn create_sandbox(&mut self) {
        self.state.sandbox = Sandbox::Creating;
        self.actions.push(Action::CreateSandbox);
    }

    /// Starts and restarts the containers that are due: init containers and sidecars one by one, then the app containers
    /// together.
    fn run_containers(&mut self) {
        let mut due = Vec::new();
        let mut waits = Vec::new();
        for (i, c) in self.state.in_turn(self.spec) {
            match &c.state {
                RunState::Waiting(w) => {
                    if w.retry.is_none_or(|at| at <= self.now.boot) {
                        due.push(i);
                    }
                }
                RunState::Terminated => {
                    let (Some(end), Some(of)) = (&c.latest, self.spec.containers.get(i)) else { continue };
                    // An init container whose turn it is is not done: it has failed, or it has to run in this sandbox
                    // too.
                    if of.role != Role::Init && !c.restarts(of, end.exit_code) {
                        continue;
                    }
                    let at = Backoff::due(c.backoff, end.finished_boot);
                    if at <= self.now.boot { due.push(i) } else { waits.push((i, at)) }
                }
                RunState::Starting { .. } | RunState::Running { .. } => {}
            }
        }
        for (i, at) in waits {
            self.back_off(i, at);
        }
        for i in due {
            self.start_container(i);
        }
    }

    fn back_off(&mut self, i: usize, at: u64) {
        let Some(c) = self.state.containers.get_mut(i) else { return };
        let delay = go_duration(c.backoff.map_or(0, |b| b.delay));
        let PodSpec { name: pod, namespace, uid, .. } = self.spec;
        let name = c.name.clone();
        c.state = RunState::Waiting(Waiting {
            message: Some(format!(
                "back-off {delay} restarting failed container={name} pod={pod}_{namespace}({uid})"
            )),
            retry: Some(at),
            ..Waiting::new(WaitingReason::CrashLoopBackOff)
        });
        let message = format!("Back-off restarting failed container {name} in pod {pod}_{namespace}({uid})");
        self.emit_warning("BackOff", message, Some(&name));
    }

    fn start_container(&mut self, i: usize) {
        let now = self.now.boot;
        let Some(c) = self.state.containers.get_mut(i) else { return };
        let waiting = match &c.state {
            RunState::Waiting(w) if w.reason == WaitingReason::CrashLoopBackOff => {
                // The back-off is over; the message about it stays until the container runs.
                c.backoff =
                    Some(Backoff::next(c.backoff, c.latest.as_ref().map_or(now, |t| t.finished_boot), now));
                Some(w.clone())
            }
            RunState::Waiting(w) => Some(w.clone()),
            _ => {
                let end = c.latest.as_ref();
                c.backoff = Some(Backoff::next(c.backoff, end.map_or(now, |t| t.finished_boot), now));
                let not_started = end.filter(|t| t.reason == TerminatedReason::StartError).map(|t| Waiting {
                    message: t.message.clone(),
                    ..Waiting::new(WaitingReason::RunContainerError)
                });
                not_started.or_else(|| c.post_start.failure())
            }
        };
        let waiting = waiting.map(|w| Waiting { retry: None, backoff_shown_at: None, ..w });
        c.state = RunState::Starting { waiting };
        self.actions.push(Action::StartContainer { container: c.name.clone(), attempt: c.runs });
    }

    /// Stops the running containers, then removes the sandbox. The pod gets its final phase once no container runs.
    fn wind_down(&mut self) {
        self.halt_all();
        if self.state.containers.iter().any(ContainerState::is_busy) {
            return;
        }
        if !self.state.phase.is_terminal() {
            self.state.phase = self.state.final_phase(self.spec);
        }
        self.remove_sandbox_when_idle();
    }

    fn remove_sandbox_when_idle(&mut self) {
        if self.state.containers.iter().any(ContainerState::is_busy) {
            return;
        }
        match self.state.sandbox {
            Sandbox::Ready | Sandbox::Dead => {
                self.state.sandbox = Sandbox::Removing;
                self.actions.push(Action::RemoveSandbox);
            }
            Sandbox::Failed { .. } => self.state.sandbox = Sandbox::Absent,
            Sandbox::Absent | Sandbox::Creating | Sandbox::Removing => {}
        }
    }

    pub(super) fn end(&mut self) {
        self.state.goal = Goal::End;
        // No container is tried again: one that waits and has run before is shown as its last run ended.
        for c in &mut self.state.containers {
            if let RunState::Waiting(w) = &mut c.state {
                (w.retry, w.backoff_shown_at) = (None, None);
                if c.has_run() {
                    c.state = RunState::Terminated;
                }
            }
        }
    }

    fn sandbox_died(&mut self) {
        self.state.sandbox = Sandbox::Dead;
        if self.state.goal != Goal::Run {
            return;
        }
        let ran = self.state.containers.iter().any(ContainerState::has_run);
        if self.spec.restart_policy == RestartPolicy::Never && ran {
            // A container that has run must not run again, so no new sandbox is needed.
            self.end();
        } else {
            let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
            self.emit_normal("SandboxChanged", message, None);
        }
    }

    /// Marks all init containers as not done, because they run again in a new sandbox. Until then the status shows how
    /// they ended. Their back-off is kept.
    fn reset_init_containers(&mut self) {
        if self.state.goal == Goal::Run {
            for c in &mut self.state.containers {
                c.done = false;
            }
        }
    }

    /// Forgets failures to create the sandbox and containers, and tries again without a wait.
    fn retry_at_once(&mut self) {
        let now = self.now.boot;
        self.state.sandbox_failures = 0;
        if let Sandbox::Failed { retry } = &mut self.state.sandbox {
            *retry = now;
        }
        for container in self.state.containers.iter_mut().filter(|container| container.create_failures > 0) {
            container.create_failures = 0;
            if let RunState::Waiting(waiting) = &mut container.state {
                waiting.retry = waiting.retry.map(|_| now);
            }
        }
    }

    /// Returns the container if its start as this attempt was requested and has not been answered.
    fn starting(&mut self, container: &str, attempt: u32) -> Option<&mut ContainerState> {
        self.state.containers.iter_mut().find(|c| {
            c.name == container && c.runs == attempt && matches!(c.state, RunState::Starting { .. })
        })
    }

    fn start_failed(&mut self, container: &str, reason: &WaitingReason, message: &str) {
        let now = self.now;
        let image =
            self.spec.containers.iter().find(|c| c.name == container).map_or("", |c| c.image.as_str());
        let image = image.to_owned();
        let Some(c) = self.state.containers.iter_mut().find(|c| c.name == container) else { return };
        c.create_failures = c.create_failures.saturating_add(1);
        let mut waiting = Waiting {
            message: Some(message.to_owned()),
            retry: Some(now.boot.saturating_add(SYNC_RETRY_MS)),
            ..Waiting::new(reason.clone())
        };
        match reason {
            // The container was created and only its process could not be started: this counts as a run.
            WaitingReason::RunContainerError => {
                let end = Terminated {
                    exit_code: START_ERROR_EXIT_CODE,
                    reason: TerminatedReason::StartError,
                    message: Some(message.to_owned()),
                    started_at: None,
                    finished_at: now.wall,
                    finished_boot: now.boot,
                    container_id: String::new(),
                };
                c.runs = c.runs.saturating_add(1);
                c.terminate(end);
                self.emit_warning("Failed", format!("Error: {message}"), Some(container));
            }
            WaitingReason::ErrImagePull => {
                let entry = Backoff::next(c.pull_backoff, now.boot, now.boot);
                c.pull_backoff = Some(entry);
                let retry = now.boot.saturating_add(entry.delay);
                waiting.retry = Some(retry);
                waiting.backoff_shown_at = Some(now.boot.saturating_add(PULL_ERROR_SHOWN_MS));
                c.state = RunState::Waiting(waiting);
                self.emit_warning(
                    "Failed",
                    format!("Failed to pull image \"{image}\": {message}"),
                    Some(container),
                );
                self.emit_warning("Failed", format!("Error: {reason}"), Some(container));
            }
            WaitingReason::InvalidImageName => {
                c.state = RunState::Waiting(waiting);
                self.emit_warning("InspectFailed", format!("Image \"{image}\": {message}"), Some(container));
                self.emit_warning("Failed", format!("Error: {reason}"), Some(container));
            }
            WaitingReason::ErrImageNeverPull => {
                c.state = RunState::Waiting(waiting);
                let message = format!("Container image \"{image}\" is not present with pull policy of Never");
                self.emit_warning(reason.as_str(), message, Some(container));
                self.emit_warning("Failed", format!("Error: {reason}"), Some(container));
            }
            _ => {
                c.state = RunState::Waiting(waiting);
                self.emit_warning("Failed", format!("Error: {message}"), Some(container));
            }
        }
    }

    /// Replaces ErrImagePull with ImagePullBackOff where it has been shown long enough.
    fn show_pull_backoff(&mut self) {
        let now = self.now.boot;
        let mut backing_off = Vec::new();
        for (s, c) in self.spec.containers.iter().zip(&mut self.state.containers) {
            let RunState::Waiting(w) = &mut c.state else { continue };
            if w.backoff_shown_at.is_none_or(|at| now < at) {
                continue;
            }
            w.backoff_shown_at = None;
            let cause = w.message.take().unwrap_or_default();
            w.message = Some(format!("Back-off pulling image \"{}\": {}: {cause}", s.image, w.reason));
            w.reason = WaitingReason::ImagePullBackOff;
            backing_off.push((c.name.clone(), s.image.clone()));
        }
        for (container, image) in backing_off {
            self.emit_normal("BackOff", format!("Back-off pulling image \"{image}\""), Some(&container));
            self.emit_warning(
                "Failed",
                format!("Error: {}", WaitingReason::ImagePullBackOff),
                Some(&container),
            );
        }
    }

    fn exited(
        &mut self,
        container: &str,
        attempt: u32,
        code: Option<i32>,
        reason: TerminatedReason,
        said: Option<&str>,
    ) {
        let now = self.now;
        let Some((s, c)) =
            self.spec.containers.iter().zip(&mut self.state.containers).find(|(_, c)| c.name == container)
        else {
            return;
        };
        let started_at = match &c.state {
            RunState::Running { since, .. } if c.runs == attempt.saturating_add(1) => *since,
            // The container ended before its start was reported.
            RunState::Starting { .. } if c.runs == attempt => {
                c.runs = attempt.saturating_add(1);
                c.container_id.clear();
                now.wall
            }
            _ => return,
        };
        let mut end = match code {
            None => Terminated::lost(Some(started_at), now, &c.container_id),
            Some(exit_code) => Terminated {
                exit_code,
                reason,
                message: None,
                started_at: Some(started_at),
                finished_at: now.wall,
                finished_boot: now.boot,
                container_id: c.container_id.clone(),
            },
        };
        if let Some(said) = said {
            let own = end.message.map_or_else(String::new, |own| format!("{own}: "));
            end.message = Some(own + said);
        }
        let restarts_all = !c.is_stopping() && s.restarts_all(end.exit_code);
        c.done |= s.role == Role::Init && end.exit_code == 0;
        c.terminate(end);
        let state = &mut self.state;
        if restarts_all && (state.goal, state.sandbox) == (Goal::Run, Sandbox::Ready) {
            let grace = self.spec.grace_seconds.saturating_mul(1000);
            state.restart_all_by.get_or_insert(now.boot.saturating_add(grace));
            let message = format!("Container {container} requires a restart of all containers of the pod");
            self.emit_normal("RestartAllContainers", message, Some(container));
        }
    }

    pub(super) fn emit_normal(&mut self, reason: &str, message: String, container: Option<&str>) {
        self.emit(EventType::Normal, reason, message, container);
    }

    pub(super) fn emit_warning(&mut self, reason: &str, message: String, container: Option<&str>) {
        self.emit(EventType::Warning, reason, message, container);
    }

    fn emit(&mut self, kind: EventType, reason: &str, message: String, container: Option<&str>) {
        self.actions.push(Action::Emit {
            kind,
            reason: reason.to_owned(),
            message,
            container: container.map(str::to_owned),
        });
    }
}

impl ContainerState {
    pub(super) fn terminate(&mut self, end: Terminated) {
        // Why a hook has failed is shown until the next run.
        let has_failed = self.is_running() && matches!(self.post_start, PostStart::Failed { .. });
        if !has_failed {
            self.post_start = PostStart::Done;
        }
        self.pre_stop = PreStop::None;
        self.previous = self.latest.replace(end);
        self.state = RunState::Terminated;
    }
}
