//! Explains why a pod does not start or does not become ready.

use super::{Phase, PodSpec, PodState, Role, RunState, Sandbox};
use crate::kind::{TerminatedReason, WaitingReason};

impl PodState {
    /// Returns why not all containers of the pod can be started without the user's help; `None` if no such problem is
    /// known.
    pub fn cannot_start(&self, spec: &PodSpec) -> Option<String> {
        self.failed_to_start(spec, 1)
    }

    /// Returns the same as [`PodState::cannot_start`] for a pod that already has a supervisor. A failure to create the
    /// sandbox or a container counts only from the second time in a row, because its cause may be over: a process was
    /// killed, or another program has just released a port.
    pub fn keeps_failing(&self, spec: &PodSpec) -> Option<String> {
        self.failed_to_start(spec, 2)
    }

    fn failed_to_start(&self, spec: &PodSpec, tries: u32) -> Option<String> {
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
        if self.phase == Phase::Failed && !self.is_stopping() && !self.apps_ran(spec) {
            let init = self.containers.iter().find(|c| c.latest.as_ref().is_some_and(|l| l.exit_code != 0));
            return Some(match init {
                Some(init) => {
                    let code = init.latest.as_ref().map_or(1, |l| l.exit_code);
                    format!("init container {} failed with exit code {code}", init.name)
                }
                None => "the pod failed before its containers were started".to_owned(),
            });
        }
        None
    }

    fn apps_ran(&self, spec: &PodSpec) -> bool {
        let apps = spec.containers.iter().filter(|c| c.role == Role::App);
        apps.filter_map(|c| self.container(&c.name)).all(|c| c.runs > 0)
    }

    /// Returns the name and the state of the first container that keeps the pod from being Ready.
    pub fn why_unready(&self, spec: &PodSpec) -> Option<String> {
        let roles = spec.containers.iter().map(|container| container.role).zip(&self.containers);
        let (_, container) = roles.into_iter().find(|(role, container)| !container.is_ready(*role))?;
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
