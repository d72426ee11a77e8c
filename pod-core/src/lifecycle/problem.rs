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

    /// Returns which container that runs as long as the pod has failed by now: it has ended with a failure that no
    /// restartPolicyRules ask to restart it for, and it does not run again yet. `kubectl get` shows such a pod as `Error` or
    /// `CrashLoopBackOff`. This is a result of the pod, as that of [`PodState::fails_to_initialize`].
    pub fn has_failed(&self, spec: &PodSpec) -> Option<String> {
        if self.is_stopping() {
            return None;
        }
        if let Some(failure) = &self.failure {
            return Some(format!("{}: {}", failure.reason, failure.message.trim_end()));
        }
        self.lasting(spec).find_map(|(of, container)| {
            let end = container.latest.as_ref().filter(|end| end.exit_code != 0)?;
            let (name, code) = (&container.name, end.exit_code);
            // A sidecar that has ended for good was stopped.
            let was_stopped = of.role == Role::Sidecar && container.state == RunState::Terminated;
            if container.is_running() || was_stopped || of.has_rule_for(code) {
                return None;
            }
            let again = of.restarts(code);
            Some(match &container.state {
                RunState::Waiting(waiting) if waiting.reason == WaitingReason::CrashLoopBackOff => format!(
                    "container {name}: {}: it ended with exit code {code} and is tried again",
                    waiting.reason
                ),
                _ if again => format!("container {name} ended with exit code {code} and is started again"),
                _ => format!("container {name} failed with exit code {code}"),
            })
        })
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::lifecycle::{Event, Now, step};

    /// Returns why a pod has failed after its container has ended `runs` times with exit code 3.
    fn failed(policy: &str, container: Value, runs: u32) -> Option<String> {
        let mut container = container;
        container["name"] = json!("main");
        let pod = json!({"spec": {"restartPolicy": policy, "containers": [container]}});
        let spec = PodSpec::from_pod(&serde_json::from_value(pod).unwrap());
        let now = Now { boot: 0, wall: jiff::Timestamp::UNIX_EPOCH };
        let mut state = PodState::new(&spec, now);
        let mut events = vec![Event::Start, Event::SandboxReady { ips: Vec::new() }];
        for attempt in 0..=runs {
            events.push(Event::Started {
                container: "main".to_owned(),
                attempt,
                pid: 7,
                container_id: String::new(),
                image_id: String::new(),
                stop_signal: "SIGTERM".to_owned(),
            });
            if attempt < runs {
                let (container, oom_killed, message) = ("main".to_owned(), false, None);
                events.push(Event::Exited { container, attempt, code: Some(3), oom_killed, message });
            }
        }
        // The last event starts a run, which only one that was started again gets to.
        let last = events.pop();
        for event in &events {
            state = step(&spec, state, event, now).0;
        }
        let told = state.has_failed(&spec);
        if let (Some(last), RunState::Starting { .. }) = (last, &state.containers[0].state) {
            assert_eq!(step(&spec, state, &last, now).0.has_failed(&spec), None, "it runs again");
        }
        told
    }

    #[test]
    fn an_app_container_that_has_failed_is_told_unless_it_runs_again() {
        let of = |policy: &str, runs: u32| failed(policy, json!({}), runs).unwrap_or_default();
        assert_eq!(of("Always", 0), "");
        insta::assert_snapshot!(of("Never", 1), @"container main failed with exit code 3");
        insta::assert_snapshot!(of("OnFailure", 1), @"container main ended with exit code 3 and is started again");
        insta::assert_snapshot!(of("Always", 2), @"container main: CrashLoopBackOff: it ended with exit code 3 and is tried again");
    }

    #[test]
    fn an_exit_code_that_a_rule_restarts_is_no_failure() {
        let rule = json!({"restartPolicy": "Never", "restartPolicyRules": [
            {"action": "Restart", "exitCodes": {"operator": "In", "values": [3]}},
        ]});
        assert_eq!(failed("Always", rule, 1), None);
    }
}
