//! Computes the phase and the conditions of a pod from the rest of its state.

use jiff::Timestamp;

use super::{Goal, Phase, PodSpec, PodState, RestartPolicy, Role, RunState, Sandbox};

impl PodState {
    /// Updates phase and conditions from the rest of the state.
    pub(super) fn update_phase_and_conditions(&mut self, spec: &PodSpec, now: Timestamp) {
        if !self.phase.is_terminal() {
            self.phase = self.current_phase(spec);
        }
        let initialized = self.is_initialized(spec);
        let containers_ready = !self.phase.is_terminal()
            && self.sandbox == Sandbox::Ready
            && self.by_role(spec, Role::App).all(|(_, c)| c.is_ready(Role::App));
        self.conditions.ready_to_start.set(self.sandbox == Sandbox::Ready, now);
        self.conditions.initialized.set(initialized, now);
        self.conditions.containers_ready.set(containers_ready, now);
        self.conditions.ready.set(containers_ready, now);
    }

    /// Returns the Initialized condition: every init container is done, or an app container has started already. The
    /// second case occurs when the sandbox was created again.
    fn is_initialized(&self, spec: &PodSpec) -> bool {
        self.by_role(spec, Role::Init).all(|(_, c)| c.done)
            || self.by_role(spec, Role::App).any(|(_, c)| c.has_run())
    }

    /// Returns the phase of a pod that has not ended.
    fn current_phase(&self, spec: &PodSpec) -> Phase {
        let shown = self.by_role(spec, Role::App).all(|(_, c)| c.has_run_in_status());
        if shown { Phase::Running } else { Phase::Pending }
    }

    /// Returns the final phase of a pod of which no container runs any more: Succeeded if the last run of every app
    /// container ended with exit code 0, else Failed.
    pub(super) fn final_phase(&self, spec: &PodSpec) -> Phase {
        let well = |c: &super::ContainerState| {
            c.state == RunState::Terminated && c.latest.as_ref().is_some_and(|t| t.exit_code == 0)
        };
        if self.by_role(spec, Role::App).all(|(_, c)| well(c)) { Phase::Succeeded } else { Phase::Failed }
    }

    /// Returns whether every app container has ended and none will run again.
    pub(super) fn has_finished(&self, spec: &PodSpec) -> bool {
        self.goal == Goal::Run
            && self.by_role(spec, Role::App).all(|(_, c)| {
                c.state == RunState::Terminated
                    && c.latest.as_ref().is_some_and(|t| !c.restarts(spec.restart_policy, t.exit_code))
            })
    }

    /// Returns whether an init container has failed and is not tried again.
    pub(super) fn init_has_failed(&self, spec: &PodSpec) -> bool {
        spec.restart_policy == RestartPolicy::Never
            && self.by_role(spec, Role::Init).any(|(_, c)| {
                !c.done
                    && c.state == RunState::Terminated
                    && c.latest.as_ref().is_some_and(|t| t.exit_code != 0)
            })
    }
}
