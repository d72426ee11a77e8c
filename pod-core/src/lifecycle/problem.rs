//! Explains why a pod does not start or does not become ready.

use super::backoff::INITIAL_MS as FIRST_DELAY_MS;
use super::{ContainerState, Phase, PodSpec, PodState, Role, RunState, Sandbox};
use crate::kind::{TerminatedReason, WaitingReason};

impl PodState {
    /// Returns why not all containers of the pod can be started without the user's help; `None` if no such problem is
    /// known.
    pub fn cannot_start(&self) -> Option<String> {
        self.failed_to_start(1)
    }

    /// Returns the same as [`PodState::cannot_start`] for a pod that already has a supervisor. A failure to create the
    /// sandbox or a container counts only from the second time in a row, because its cause may be over: a process was
    /// killed, or another program has just released a port.
    pub fn keeps_failing(&self) -> Option<String> {
        self.failed_to_start(2)
    }

    fn failed_to_start(&self, tries: u32) -> Option<String> {
        if let Sandbox::Failed { .. } = self.sandbox
            && self.sandbox_failures >= tries
        {
            let why = self.sandbox_error.clone().unwrap_or_default();
            return Some(format!("cannot create its sandbox: {why}"));
        }
        for container in &self.containers {
            if let RunState::Waiting(waiting) = &container.state
                && container.runs == 0
                && !waiting.reason.is_transient()
                && (waiting.reason != WaitingReason::CreateContainerError
                    || container.create_failures >= tries)
            {
                let message = waiting.message.clone().unwrap_or_default();
                return Some(format!("container {}: {}: {message}", container.name, waiting.reason));
            }
            if let Some(ended) = &container.latest
                && ended.reason == TerminatedReason::StartError
                && container
                    .previous
                    .as_ref()
                    .is_none_or(|before| before.reason == TerminatedReason::StartError)
            {
                let message = ended.message.clone().unwrap_or_default();
                return Some(format!("container {}: cannot start: {message}", container.name));
            }
        }
        None
    }

    /// Returns why the pod's app containers do not start although everything could be created: an init container has
    /// failed for good, or it fails again and again. This is a result of the pod, which the user may look at; the pod
    /// stays as it is.
    pub fn fails_to_initialize(&self, spec: &PodSpec) -> Option<String> {
        if let Some(failure) = self.failure.as_ref().filter(|_| !self.apps_ran(spec)) {
            return Some(format!("{}: {}", failure.reason, failure.message));
        }
        if self.is_stopping() || self.apps_ran(spec) {
            return None;
        }
        for (of, container) in spec.containers.iter().zip(&self.containers) {
            let (Some(end), false) = (&container.latest, of.role == Role::App) else { continue };
            let (name, code) = (&container.name, end.exit_code);
            match &container.state {
                RunState::Terminated if self.phase == Phase::Failed && code != 0 => {
                    return Some(format!("init container {name} failed with exit code {code}"));
                }
                RunState::Waiting(waiting) if waiting.reason == WaitingReason::CrashLoopBackOff => {
                    return Some(format!(
                        "init container {name}: {}: it failed with exit code {code} and is tried again",
                        waiting.reason
                    ));
                }
                _ => {}
            }
        }
        (self.phase == Phase::Failed).then(|| "the pod failed before its containers were started".to_owned())
    }

    fn apps_ran(&self, spec: &PodSpec) -> bool {
        self.by_role(spec, Role::App).any(|(_, c)| c.has_run())
    }

    /// Returns which container does not stay up: it has ended so often in a row that it is not started again at once. A
    /// single crash, or two, are common while what the container needs is still starting.
    pub fn crash_loop(&self) -> Option<String> {
        let crashes = |container: &ContainerState| match &container.state {
            RunState::Waiting(waiting) => {
                waiting.reason == WaitingReason::CrashLoopBackOff
                    && container.backoff.is_some_and(|backoff| backoff.delay > FIRST_DELAY_MS)
            }
            _ => false,
        };
        let container = self.containers.iter().find(|container| crashes(container))?;
        let code = container.latest.as_ref().map_or(0, |end| end.exit_code);
        Some(format!(
            "container {}: {}: it ended with exit code {code} and is tried again",
            container.name,
            WaitingReason::CrashLoopBackOff
        ))
    }

    /// Returns the name and the state of the first container that keeps the pod from being Ready.
    pub fn why_unready(&self, spec: &PodSpec) -> Option<String> {
        let roles = spec.containers.iter().map(|container| container.role).zip(&self.containers);
        let unready = roles.into_iter().find(|(role, container)| !container.is_ready(*role));
        let Some((_, container)) = unready else { return self.unmet_gates(spec) };
        let name = &container.name;
        Some(match (&container.state, &container.latest) {
            (RunState::Waiting(waiting), _) => match &waiting.message {
                Some(message) => format!("container {name}: {}: {message}", waiting.reason),
                None => format!("container {name}: {}", waiting.reason),
            },
            (RunState::Terminated, Some(end)) => {
                format!("container {name} ended with exit code {}", end.exit_code)
            }
            _ => format!("container {name} is not ready"),
        })
    }
}
