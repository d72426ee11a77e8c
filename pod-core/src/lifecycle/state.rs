use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Action, Backoff, Conditions, Now, Phase, PodSpec, RestartPolicy, Role};
use crate::kind::{TerminatedReason, WaitingReason};
use crate::version::Version;

/// How long after an unanswered KillContainer it is asked for again.
pub(super) const KILL_RETRY_MS: u64 = 10_000;

/// The state of a pod; everything in its status follows from it. What is written to disk as JSON: fields may be
/// added with a default, none may change its meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodState {
    /// The format of the state.
    #[serde(default = "Version::first")]
    pub version: Version,
    /// status.podIPs.
    pub ips: Vec<IpAddr>,
    /// What the pod is heading for.
    pub goal: Goal,
    /// status.startTime: when it was first asked to run.
    #[serde(default)]
    pub start_time: Option<Timestamp>,
    /// Its sandbox.
    pub sandbox: Sandbox,
    /// Why the sandbox could not be made, the last time that it was tried.
    #[serde(default)]
    pub sandbox_error: Option<String>,
    /// How many times in a row the sandbox could not be created.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sandbox_failures: u32,
    /// Its containers, in the order of [`PodSpec::containers`].
    pub containers: Vec<ContainerState>,
    /// Set once the pod was asked to stop.
    #[serde(default)]
    pub stop: Option<Stopping>,
    /// status.phase. Succeeded and Failed are final.
    pub phase: Phase,
    /// status.conditions, and since when they are as they are.
    pub conditions: Conditions,
}

/// What a pod is heading for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Nothing: it was made, but not started.
    Idle,
    /// Running.
    Run,
    /// Its end: nothing is started any more, what runs is stopped, then the sandbox is removed.
    End,
}

/// The sandbox of a pod: namespaces, network and infra container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sandbox {
    /// There is none.
    Absent,
    /// CreateSandbox was asked for.
    Creating,
    /// It could not be made; tried again at `retry` (milliseconds since boot).
    Failed {
        /// When.
        retry: u64,
    },
    /// It stands.
    Ready,
    /// Its infra container has ended; what is left of it is to be removed.
    Dead,
    /// RemoveSandbox was asked for.
    Removing,
}

/// A pod that was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// When what still runs is killed, in milliseconds since boot.
    pub deadline: u64,
    /// The grace period that led to this deadline: metadata.deletionGracePeriodSeconds.
    pub grace_seconds: u64,
    /// When the grace period ends, on the wall clock: metadata.deletionTimestamp.
    pub until: Timestamp,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerState {
    /// Name.
    pub name: String,
    /// What it does now.
    pub state: RunState,
    /// How many runs of it there were; the current or last one has the number `runs - 1`, the next one `runs`.
    pub runs: u32,
    /// How many of them there were before the pod was made to run anew ([`PodState::revive`]).
    #[serde(default)]
    pub former_runs: u32,
    /// An init container that has done its work in this sandbox.
    #[serde(default)]
    pub done: bool,
    /// How its latest run ended, if that has ended, else the one before.
    #[serde(default)]
    pub latest: Option<Terminated>,
    /// How the run before `latest` ended.
    #[serde(default)]
    pub previous: Option<Terminated>,
    /// Back-off of its restarts.
    #[serde(default)]
    pub backoff: Option<Backoff>,
    /// Back-off of pulls of its image.
    #[serde(default)]
    pub pull_backoff: Option<Backoff>,
    /// How many times in a row the container could not be created.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub create_failures: u32,
    /// Image id of its latest run.
    #[serde(default)]
    pub image_id: String,
    /// Id of its latest run, `kube://<id>`.
    #[serde(default)]
    pub container_id: String,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RunState {
    /// Nothing: it waits.
    Waiting(Waiting),
    /// StartContainer was asked for, for attempt [`ContainerState::runs`].
    Starting {
        /// Shown as the waiting reason until it runs; `None`: the run before is shown as terminated.
        waiting: Option<Waiting>,
    },
    /// Its process runs.
    Running {
        /// Process id on the host.
        pid: i32,
        /// Since when.
        since: Timestamp,
        /// The signal that asks it to stop.
        stop_signal: String,
        /// How far its stop has got.
        halt: Halt,
    },
    /// It has ended; how, says [`ContainerState::latest`].
    Terminated,
}

/// Why a container waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// state.waiting.reason.
    pub reason: WaitingReason,
    /// state.waiting.message.
    #[serde(default)]
    pub message: Option<String>,
    /// When it is tried again, in milliseconds since boot; `None`: as soon as it is its turn.
    #[serde(default)]
    pub retry: Option<u64>,
    /// When ErrImagePull turns into ImagePullBackOff, in milliseconds since boot.
    #[serde(default, rename = "turns")]
    pub backoff_shown_at: Option<u64>,
}

/// How far the stop of a running container has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Halt {
    /// Nobody asked it to stop.
    None,
    /// StopContainer was asked for.
    Signalled,
    /// KillContainer was asked for, last at this moment in milliseconds since boot.
    Killed(u64),
}

/// How a run of a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminated {
    /// Exit code, 128+n for signal n.
    pub exit_code: i32,
    /// state.terminated.reason.
    pub reason: TerminatedReason,
    /// Why it could not start, or why nobody knows how it ended.
    #[serde(default)]
    pub message: Option<String>,
    /// When it started.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// When it ended, in milliseconds since boot.
    pub finished_boot: u64,
    /// Its id, `kube://<id>`.
    #[serde(default)]
    pub container_id: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl ContainerState {
    /// status.restartCount.
    pub fn restart_count(&self) -> u32 {
        self.runs.saturating_sub(1)
    }

    /// It has run since the pod was made, or made to run anew.
    pub fn has_run(&self) -> bool {
        self.runs > self.former_runs
    }

    /// The process runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, RunState::Running { .. })
    }

    /// status.ready. An init container is ready once it has done its work, an app container while it runs (it
    /// has no probes).
    pub fn is_ready(&self, role: Role) -> bool {
        match role {
            Role::Init => self.done,
            Role::App => self.is_running(),
        }
    }

    /// The attempt whose log `kube logs` shows, or with `previous` the one that `kube logs -p` shows: of what the
    /// status calls lastState. `None`: there was no such run.
    pub fn log_attempt(&self, previous: bool) -> Option<u32> {
        let latest = self.runs.checked_sub(1)?;
        let waits = match &self.state {
            RunState::Waiting(_) | RunState::Starting { waiting: Some(_) } => true,
            RunState::Starting { waiting: None } | RunState::Running { .. } | RunState::Terminated => false,
        };
        if previous && !waits { latest.checked_sub(1) } else { Some(latest) }
    }

    /// It runs, or was asked to and has not answered.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state, RunState::Running { .. } | RunState::Starting { .. })
    }
}

impl Terminated {
    /// The end of a container whose exit code nobody knows: as if killed.
    pub(super) fn lost(started_at: Option<Timestamp>, now: Now, container_id: &str) -> Self {
        Self {
            exit_code: 137,
            reason: TerminatedReason::ContainerStatusUnknown,
            message: Some("The exit code of the container is lost".to_owned()),
            started_at,
            finished_at: now.wall,
            finished_boot: now.boot,
            container_id: container_id.to_owned(),
        }
    }
}

impl PodState {
    /// A pod that was just made and not started.
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
            phase: Phase::Pending,
            conditions: Conditions::new(now.wall),
        };
        state.observe(spec, now.wall);
        state
    }

    /// The same pod in a new life, not started: after a reboot, or after it was stopped in order. Nothing of it
    /// runs and its sandbox is gone, but its runs are counted on. As in a cluster, a pod with restartPolicy Never
    /// that has run does not run again: it has ended.
    pub fn revive(mut self, spec: &PodSpec, now: Now) -> Self {
        if self.is_terminal() && self.stop.is_none() {
            // Whoever was about to remove it need not answer any more.
            self.sandbox = Sandbox::Absent;
            return self;
        }
        let over = spec.restart_policy == RestartPolicy::Never && self.containers.iter().any(|c| c.has_run());
        for c in &mut self.containers {
            match c.state {
                RunState::Running { since, .. } => {
                    c.terminate(Terminated::lost(Some(since), now, &c.container_id), false);
                }
                // It will not be started again: it is what its last run was.
                RunState::Starting { .. } | RunState::Waiting(_) if over && c.has_run() => {
                    c.state = RunState::Terminated;
                }
                _ => {}
            }
            // Moments of the former boot mean nothing now.
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
        self.stop = None;
        self.goal = if over { Goal::End } else { Goal::Idle };
        if over {
            self.phase = self.verdict(spec);
        } else {
            self.phase = Phase::Pending;
            self.ips.clear();
        }
        self.observe(spec, now.wall);
        self
    }

    /// When [`Event::Tick`](super::Event::Tick) is due, in milliseconds since boot; `None`: nothing is waited for.
    pub fn next_deadline(&self, spec: &PodSpec) -> Option<u64> {
        match (self.goal, self.sandbox) {
            (Goal::Idle, _) => None,
            (Goal::End, _) | (Goal::Run, Sandbox::Dead) => self
                .containers
                .iter()
                .filter_map(|c| match &c.state {
                    RunState::Running { halt: Halt::Killed(at), .. } => {
                        Some(at.saturating_add(KILL_RETRY_MS))
                    }
                    RunState::Running { .. } => self.stop.map(|s| s.deadline),
                    _ => None,
                })
                .min(),
            (Goal::Run, Sandbox::Failed { retry }) => Some(retry),
            (Goal::Run, Sandbox::Ready) => self
                .in_turn(spec)
                .filter_map(|(_, c)| match &c.state {
                    RunState::Waiting(w) => w.backoff_shown_at.into_iter().chain(w.retry).min(),
                    _ => None,
                })
                .min(),
            (Goal::Run, Sandbox::Absent | Sandbox::Creating | Sandbox::Removing) => None,
        }
    }

    /// The containers that may start or restart now: the first init container that is not done, else all app
    /// containers.
    pub(super) fn in_turn<'a>(
        &'a self,
        spec: &'a PodSpec,
    ) -> impl Iterator<Item = (usize, &'a ContainerState)> + 'a {
        let current = self.by_role(spec, Role::Init).find(|(_, c)| !c.done);
        let apps = if current.is_some() { None } else { Some(self.by_role(spec, Role::App)) };
        current.into_iter().chain(apps.into_iter().flatten())
    }

    /// The containers that start as soon as there is a sandbox, with the attempts that these will be.
    pub fn first_to_start(&self, spec: &PodSpec) -> Vec<(String, u32)> {
        let waits = |c: &ContainerState| matches!(&c.state, RunState::Waiting(w) if w.retry.is_none());
        self.in_turn(spec).filter(|(_, c)| waits(c)).map(|(_, c)| (c.name.clone(), c.runs)).collect()
    }

    /// The containers of a role with their place in the pod.
    pub(super) fn by_role<'a>(
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

    /// A container by name.
    pub fn container(&self, name: &str) -> Option<&ContainerState> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// What runs: container name, attempt and process id. What a new supervisor has to adopt.
    pub fn running(&self) -> impl Iterator<Item = (&str, u32, i32)> {
        self.containers.iter().filter_map(|c| match c.state {
            RunState::Running { pid, .. } => Some((c.name.as_str(), c.restart_count(), pid)),
            _ => None,
        })
    }

    /// What was asked for and has not been answered. A new supervisor finds out what became of it, and asks for
    /// it again or answers it; signals to running containers come again, which does no harm.
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
                _ => {}
            }
        }
        pending
    }

    /// The pod has Succeeded or Failed, for good.
    pub fn is_terminal(&self) -> bool {
        self.phase.is_terminal()
    }

    /// The pod has ended or was stopped, and nothing of it is left: no container and no sandbox.
    pub fn is_gone(&self) -> bool {
        self.goal == Goal::End
            && self.sandbox == Sandbox::Absent
            && !self.containers.iter().any(|c| c.is_busy())
    }

    /// The pod has ended or was stopped, and no container of it runs. Its sandbox may still have to be removed.
    pub fn has_ended(&self) -> bool {
        self.goal == Goal::End
            && matches!(self.sandbox, Sandbox::Absent | Sandbox::Removing)
            && !self.containers.iter().any(|c| c.is_busy())
    }

    /// The pod was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Every app container has run at least once, or the pod has ended: what `play` waits for.
    pub fn all_started(&self, spec: &PodSpec) -> bool {
        self.is_terminal() || self.by_role(spec, Role::App).all(|(_, c)| c.has_run())
    }

    /// The pod's Ready condition.
    pub fn is_ready(&self) -> bool {
        self.conditions.ready.status
    }

    /// What `--wait=complete` ends with once the pod has ended: 0 if it succeeded, else the code of the first
    /// container (init containers first) that failed, else 1.
    pub fn exit_code(&self) -> Option<i32> {
        match self.phase {
            Phase::Succeeded => Some(0),
            Phase::Failed => {
                let codes = self.containers.iter().filter_map(|c| c.latest.as_ref());
                Some(codes.map(|t| t.exit_code).find(|code| *code != 0).unwrap_or(1))
            }
            _ => None,
        }
    }
}

impl Waiting {
    /// What a container that was never tried waits for.
    pub(super) fn initial(spec: &PodSpec) -> Self {
        Self::new(if spec.has_init() {
            WaitingReason::PodInitializing
        } else {
            WaitingReason::ContainerCreating
        })
    }

    /// Creates one from a reason alone.
    pub(super) fn new(reason: WaitingReason) -> Self {
        Self { reason, message: None, retry: None, backoff_shown_at: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stored_wait_keeps_its_words_and_its_fields() {
        for reason in ["ErrImagePull", "ReasonOfAnotherVersion"] {
            let stored = json!({"reason": reason, "message": "no route", "retry": 20_000, "turns": 12_000});
            let waiting: Waiting = serde_json::from_value(stored.clone()).unwrap();
            assert_eq!((waiting.reason.as_str(), waiting.backoff_shown_at), (reason, Some(12_000)));
            assert_eq!(serde_json::to_value(&waiting).unwrap(), stored);
        }
    }
}
