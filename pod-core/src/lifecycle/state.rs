//! The state of a pod.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::container_state::is_zero;
use super::{
    Action, Conditions, ContainerSpec, ContainerState, Halt, HookKind, HookRun, Now, Phase, PodSpec,
    PostStart, PreStop, RestartPolicy, Role, RunState, Terminated, Waiting,
};
use crate::kind::WaitingReason;
use crate::version::Version;

/// The state of a pod. The whole status of the pod is computed from it. It is stored on disk as JSON, so fields may be
/// added if they have a default, but no field may change its meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodState {
    /// The version of the stored format.
    #[serde(default = "Version::first")]
    pub version: Version,
    /// status.podIPs.
    pub ips: Vec<IpAddr>,
    /// Whether the pod should run or end.
    pub goal: Goal,
    /// status.startTime: when the pod was first asked to run.
    #[serde(default)]
    pub start_time: Option<Timestamp>,
    /// The state of the pod's sandbox.
    pub sandbox: Sandbox,
    /// Why the last attempt to create the sandbox failed.
    #[serde(default)]
    pub sandbox_error: Option<String>,
    /// How many attempts to create the sandbox have failed in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sandbox_failures: u32,
    /// The pod's containers, in the order of [`PodSpec::containers`].
    pub containers: Vec<ContainerState>,
    /// The deadline of the stop; set once the pod was asked to stop.
    #[serde(default)]
    pub stop: Option<Stopping>,
    /// Set once the pod ends by itself: when the containers that still run, such as sidecars, are killed, in
    /// milliseconds since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_by: Option<u64>,
    /// Set while all containers are stopped in order to run again in the same sandbox (RestartAllContainers): when those
    /// that still run are killed, in milliseconds since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_all_by: Option<u64>,
    /// When the pod exceeds activeDeadlineSeconds, in milliseconds since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline: Option<u64>,
    /// Why the pod has failed, whatever its containers ended with: status.reason and status.message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// status.phase. Succeeded and Failed are final and never change again.
    pub phase: Phase,
    /// status.conditions, with the times of their last transitions.
    pub conditions: Conditions,
}

/// The goal of a pod: the state that it is moved towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// No goal yet: the pod was created, but not started.
    Idle,
    /// The pod should run.
    Run,
    /// The pod should end: no container is started any more, running containers are stopped, then the sandbox is
    /// removed.
    End,
}

/// The state of a pod's sandbox: its namespaces, network and infra container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sandbox {
    /// The sandbox does not exist.
    Absent,
    /// CreateSandbox was requested and has not been answered.
    Creating,
    /// The sandbox could not be created; creating it is tried again at `retry`.
    Failed {
        /// The time of the next attempt, in milliseconds since boot.
        retry: u64,
    },
    /// The sandbox exists and containers can be started in it.
    Ready,
    /// The sandbox's infra container has ended; the rest of the sandbox has to be removed.
    Dead,
    /// RemoveSandbox was requested and has not been answered.
    Removing,
}

/// Why a pod has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// status.reason, such as `DeadlineExceeded`.
    pub reason: String,
    /// status.message.
    pub message: String,
}

/// The stop of a pod: its grace period and its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// When the containers that still run are killed, in milliseconds since boot.
    pub deadline: u64,
    /// The grace period from which the deadline was computed: metadata.deletionGracePeriodSeconds.
    pub grace_seconds: u64,
    /// When the grace period ends, on the wall clock: metadata.deletionTimestamp.
    pub until: Timestamp,
}

impl PodState {
    /// Returns whether a hook that runs may go on. A postStart hook ends when its container is stopped; a preStop hook
    /// that the grace period was too short for goes on until its container is killed.
    pub fn may_run(&self, run: &HookRun) -> bool {
        let Some(c) = self.container(&run.container) else { return false };
        let RunState::Running { halt, .. } = &c.state else { return false };
        let runs = match run.kind {
            HookKind::PostStart => c.pending_hook() == Some(HookKind::PostStart),
            HookKind::PreStop => !c.pre_stop.is_none() && !matches!(halt, Halt::Killed(_)),
        };
        runs && c.restart_count() == run.attempt
    }
}

impl PodState {
    /// Creates the state of a pod that was just created and not started.
    pub fn new(spec: &PodSpec, now: Now) -> Self {
        let containers = spec
            .containers
            .iter()
            .map(|c| ContainerState {
                name: c.name.clone(),
                state: RunState::Waiting(Waiting::initial(spec)),
                runs: 0,
                former_runs: 0,
                done: false,
                latest: None,
                previous: None,
                backoff: None,
                pull_backoff: None,
                create_failures: 0,
                image_id: String::new(),
                container_id: String::new(),
                awaits_startup: false,
                unready: false,
                must_restart: false,
                post_start: PostStart::Done,
                pre_stop: PreStop::None,
            })
            .collect();
        let mut state = Self {
            version: Version::current(),
            ips: Vec::new(),
            goal: Goal::Idle,
            start_time: None,
            sandbox: Sandbox::Absent,
            sandbox_error: None,
            sandbox_failures: 0,
            containers,
            stop: None,
            end_by: None,
            restart_all_by: None,
            active_deadline: None,
            failure: None,
            phase: Phase::Pending,
            conditions: Conditions::new(now.wall),
        };
        state.update_phase_and_conditions(spec, now.wall);
        state
    }

    /// Resets the pod so that it can be started again, after a reboot of the host or after a graceful stop. No
    /// container of the pod runs and its sandbox is gone, but the numbers of runs continue. As in a cluster, a pod
    /// with restartPolicy Never that has run does not run again: it has ended.
    pub fn revive(mut self, spec: &PodSpec, now: Now) -> Self {
        if self.is_terminal() && self.stop.is_none() {
            // If the sandbox was being removed, that removal needs no answer any more.
            self.sandbox = Sandbox::Absent;
            return self;
        }
        let ran = self.containers.iter().any(ContainerState::has_run);
        // A pod that was ending by itself, such as one whose sidecars were being stopped, has ended.
        let was_ending = self.goal == Goal::End && self.stop.is_none();
        let over = ran && (spec.restart_policy == RestartPolicy::Never || was_ending);
        for c in &mut self.containers {
            match c.state {
                RunState::Running { since, .. } => {
                    c.terminate(Terminated::lost(Some(since), now, &c.container_id));
                }
                // The container will not be started again, so it is shown as its last run ended.
                RunState::Starting { .. } | RunState::Waiting(_) if over && c.has_run() => {
                    c.state = RunState::Terminated;
                }
                _ => {}
            }
            // Times of the previous boot are meaningless now, because they count milliseconds since that boot.
            (c.backoff, c.pull_backoff) = (None, None);
            for end in c.latest.iter_mut().chain(&mut c.previous) {
                end.finished_boot = 0;
            }
            if !over {
                c.former_runs = c.runs;
                c.done = false;
            }
            if !over || !c.has_run() {
                c.state = RunState::Waiting(Waiting::initial(spec));
            }
        }
        self.sandbox = Sandbox::Absent;
        (self.stop, self.end_by, self.restart_all_by, self.active_deadline) = (None, None, None, None);
        self.goal = if over { Goal::End } else { Goal::Idle };
        if over {
            self.phase = self.final_phase(spec);
        } else {
            self.failure = None;
            self.phase = Phase::Pending;
            self.ips.clear();
        }
        self.update_phase_and_conditions(spec, now.wall);
        self
    }

    /// Returns when [`Event::Tick`](super::Event::Tick) is due, in milliseconds since boot. `None`: the pod waits for
    /// no time.
    pub fn next_deadline(&self, spec: &PodSpec) -> Option<u64> {
        let next = match (self.goal, self.sandbox) {
            (Goal::Idle, _) => None,
            (Goal::End, _) | (Goal::Run, Sandbox::Dead) => {
                let end = self.stop.map(|s| s.deadline).into_iter().chain(self.end_by).min();
                self.containers.iter().filter_map(|c| c.next_kill(end)).min()
            }
            (Goal::Run, Sandbox::Failed { retry }) => Some(retry),
            (Goal::Run, Sandbox::Ready) if self.restart_all_by.is_some() => {
                self.containers.iter().filter_map(|c| c.next_kill(self.restart_all_by)).min()
            }
            (Goal::Run, Sandbox::Ready) => self
                .in_turn(spec)
                .filter_map(|(_, c)| match &c.state {
                    RunState::Waiting(w) => w.backoff_shown_at.into_iter().chain(w.retry).min(),
                    _ => c.next_kill(None),
                })
                .min(),
            (Goal::Run, Sandbox::Absent | Sandbox::Creating | Sandbox::Removing) => None,
        };
        let active = self.active_deadline.filter(|_| self.goal == Goal::Run);
        next.into_iter().chain(active).min()
    }

    /// Returns the containers whose turn to start or restart it is: those before the first init container that is not
    /// done, or the first sidecar that has not started, and this one; if there is none, all sidecars and app containers.
    pub(super) fn in_turn<'a>(
        &'a self,
        spec: &'a PodSpec,
    ) -> impl Iterator<Item = (usize, &'a ContainerState)> + 'a {
        let all = || spec.containers.iter().zip(&self.containers);
        let current = all().position(|(of, c)| of.role != Role::App && !c.done);
        let until = current.map_or(usize::MAX, |current| current.saturating_add(1));
        let due = all().enumerate().take(until).filter(|(_, (of, c))| of.role != Role::Init || !c.done);
        due.map(|(i, (_, c))| (i, c))
    }

    /// Returns the containers that start as soon as there is a sandbox, with the numbers of these attempts.
    pub fn first_to_start(&self, spec: &PodSpec) -> Vec<(String, u32)> {
        let waits = |c: &ContainerState| matches!(&c.state, RunState::Waiting(w) if w.retry.is_none());
        self.in_turn(spec).filter(|(_, c)| waits(c)).map(|(_, c)| (c.name.clone(), c.runs)).collect()
    }

    /// Returns the containers of a role with their index in the pod.
    pub fn by_role<'a>(
        &'a self,
        spec: &'a PodSpec,
        role: Role,
    ) -> impl Iterator<Item = (usize, &'a ContainerState)> + 'a {
        spec.containers
            .iter()
            .zip(&self.containers)
            .enumerate()
            .filter(move |(_, (s, _))| s.role == role)
            .map(|(i, (_, c))| (i, c))
    }

    /// Returns the container with this name.
    pub fn container(&self, name: &str) -> Option<&ContainerState> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// Returns name, attempt and process id of every running container. A new supervisor has to adopt these processes.
    pub fn running(&self) -> impl Iterator<Item = (&str, u32, i32)> {
        self.containers.iter().filter_map(|c| match c.state {
            RunState::Running { pid, .. } => Some((c.name.as_str(), c.restart_count(), pid)),
            _ => None,
        })
    }

    /// Returns the actions that were requested and have not been answered. A new supervisor finds out the result of
    /// each, and repeats or answers it. Signals to running containers are sent again, which does no harm.
    pub fn pending_actions(&self) -> Vec<Action> {
        let mut pending = Vec::new();
        match self.sandbox {
            Sandbox::Creating => pending.push(Action::CreateSandbox),
            Sandbox::Removing => pending.push(Action::RemoveSandbox),
            _ => {}
        }
        for c in &self.containers {
            let container = c.name.clone();
            match &c.state {
                RunState::Starting { .. } => {
                    pending.push(Action::StartContainer { container, attempt: c.runs });
                }
                RunState::Running { halt: Halt::Signalled, stop_signal, .. } => {
                    pending.push(Action::StopContainer { container, signal: stop_signal.clone() });
                }
                RunState::Running { halt: Halt::Killed(_), .. } => {
                    pending.push(Action::KillContainer { container });
                }
                RunState::Running { .. } => {
                    let (attempt, hook) = (c.restart_count(), c.pending_hook());
                    pending.extend(hook.map(|hook| Action::RunHook { container, attempt, hook }));
                }
                _ => {}
            }
        }
        pending
    }

    /// Returns whether the pod has Succeeded or Failed, which are final.
    pub fn is_terminal(&self) -> bool {
        self.phase.is_terminal()
    }

    /// Returns whether the pod has ended or was stopped and is completely removed: it has no running container and no
    /// sandbox.
    pub fn is_gone(&self) -> bool {
        self.goal == Goal::End
            && self.sandbox == Sandbox::Absent
            && !self.containers.iter().any(|c| c.is_busy())
    }

    /// Returns whether the pod has ended or was stopped, and no container of it runs. Its sandbox may still have to be
    /// removed.
    pub fn has_stopped(&self) -> bool {
        self.goal == Goal::End
            && matches!(self.sandbox, Sandbox::Absent | Sandbox::Removing)
            && !self.containers.iter().any(|c| c.is_busy())
    }

    /// Returns whether the pod was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Returns whether every app container has run at least once and its postStart hook has ended, or the pod has ended.
    /// `kube play` waits for this.
    pub fn all_started(&self, spec: &PodSpec) -> bool {
        self.is_terminal() || self.by_role(spec, Role::App).all(|(_, c)| c.has_run_in_status())
    }

    /// Returns the status of the pod's Ready condition.
    pub fn is_ready(&self) -> bool {
        self.conditions.ready.status
    }

    /// Returns the exit code of `--wait=complete` once the pod has ended: 0 if the pod succeeded, else the exit code
    /// of the first container (init containers first) that failed, else 1. How sidecars ended does not count.
    pub fn exit_code(&self, spec: &PodSpec) -> Option<i32> {
        match self.phase {
            Phase::Succeeded => Some(0),
            Phase::Failed => {
                let counting = spec.containers.iter().zip(&self.containers);
                let counting = counting.filter(|(of, _)| of.role != Role::Sidecar);
                let codes = counting.filter_map(|(_, c)| Some(c.latest.as_ref()?.exit_code));
                Some(codes.into_iter().find(|code| *code != 0).unwrap_or(1))
            }
            _ => None,
        }
    }

    /// Returns the names of the containers whose latest run ended with a failure, init containers first. A sidecar that
    /// has ended for good was stopped, which is no failure.
    pub fn failed_containers(&self, spec: &PodSpec) -> Vec<&str> {
        let failed = |(of, c): &(&ContainerSpec, &ContainerState)| {
            c.latest.as_ref().is_some_and(|end| end.exit_code != 0)
                && (of.role != Role::Sidecar || c.state != RunState::Terminated)
        };
        let all = spec.containers.iter().zip(&self.containers).filter(failed);
        all.map(|(_, container)| container.name.as_str()).collect()
    }
}

impl Waiting {
    /// Creates the waiting reason of a container that has not been tried yet.
    pub(super) fn initial(spec: &PodSpec) -> Self {
        Self::new(if spec.has_init() {
            WaitingReason::PodInitializing
        } else {
            WaitingReason::ContainerCreating
        })
    }
}
