//! Computes the phase and the conditions of a pod from the rest of its state.

use jiff::Timestamp;

use super::{
    ContainerSpec, ContainerState, Goal, Phase, PodSpec, PodState, Role, RunState, Sandbox, Transition,
};

impl PodState {
    /// Updates phase and conditions from the rest of the state.
    pub(super) fn update_phase_and_conditions(&mut self, spec: &PodSpec, now: Timestamp) {
        if !self.phase.is_terminal() {
            self.phase = self.current_phase(spec);
        }
        let initialized = self.is_initialized(spec);
        let containers_ready = !self.phase.is_terminal()
            && self.sandbox == Sandbox::Ready
            && self.lasting(spec).all(|(_, c)| c.is_ready(Role::App));
        self.conditions.ready_to_start.set(self.sandbox == Sandbox::Ready, now);
        self.conditions.initialized.set(initialized, now);
        self.conditions.containers_ready.set(containers_ready, now);
        let ready = containers_ready && self.unmet_gates(spec).is_none();
        self.conditions.ready.set(ready, now);
        if spec.containers.iter().any(ContainerSpec::may_restart_all) {
            let none = Transition { status: false, since: now };
            let condition = self.conditions.all_restarting.get_or_insert(none);
            condition.set(self.restart_all_by.is_some() && !self.phase.is_terminal(), now);
        }
    }

    /// Returns which conditions of readinessGates are not True, in the kubelet's words; `None` if all are.
    pub fn unmet_gates(&self, spec: &PodSpec) -> Option<String> {
        let unmet = spec.readiness_gates.iter().filter_map(|gate| match self.conditions.get(gate) {
            Some(true) => None,
            Some(false) => {
                Some(format!("the status of pod readiness gate \"{gate}\" is not \"True\", but False"))
            }
            None => Some(format!("corresponding condition of pod readiness gate \"{gate}\" does not exist.")),
        });
        let unmet: Vec<String> = unmet.collect();
        (!unmet.is_empty()).then(|| unmet.join(", "))
    }

    /// Returns the containers that run as long as the pod: sidecars and app containers.
    pub(super) fn lasting<'a>(
        &'a self,
        spec: &'a PodSpec,
    ) -> impl Iterator<Item = (&'a ContainerSpec, &'a ContainerState)> + 'a {
        spec.containers.iter().zip(&self.containers).filter(|(of, _)| of.role != Role::Init)
    }

    /// Returns the Initialized condition: every init container is done and every sidecar has started, or an app
    /// container has started already. The second case occurs when the sandbox was created again.
    fn is_initialized(&self, spec: &PodSpec) -> bool {
        self.incomplete(spec).next().is_none() || self.by_role(spec, Role::App).any(|(_, c)| c.has_run())
    }

    /// Returns the init containers that are not done, and the sidecars that have not started.
    pub(super) fn incomplete<'a>(
        &'a self,
        spec: &'a PodSpec,
    ) -> impl Iterator<Item = &'a ContainerState> + 'a {
        let all = spec.containers.iter().zip(&self.containers);
        let incomplete = all.filter(|(of, c)| match of.role {
            Role::Init => !c.done,
            Role::Sidecar => !c.is_started(),
            Role::App => false,
        });
        incomplete.map(|(_, c)| c)
    }

    /// Returns the phase of a pod that has not ended.
    fn current_phase(&self, spec: &PodSpec) -> Phase {
        let shown = self.by_role(spec, Role::App).all(|(_, c)| c.has_run_in_status());
        if shown { Phase::Running } else { Phase::Pending }
    }

    /// Returns the final phase of a pod of which no container runs any more: Succeeded if the last run of every app
    /// container ended with exit code 0 and the pod has not exceeded its deadline, else Failed. Sidecars do not count.
    pub(super) fn final_phase(&self, spec: &PodSpec) -> Phase {
        if self.failure.is_some() {
            return Phase::Failed;
        }
        let well = |c: &ContainerState| {
            c.state == RunState::Terminated && c.latest.as_ref().is_some_and(|t| t.exit_code == 0)
        };
        if self.by_role(spec, Role::App).all(|(_, c)| well(c)) { Phase::Succeeded } else { Phase::Failed }
    }

    /// Returns whether every app container has ended and none will run again.
    pub(super) fn has_finished(&self, spec: &PodSpec) -> bool {
        let ended = |(of, c): (&ContainerSpec, &ContainerState)| {
            of.role != Role::App
                || (c.state == RunState::Terminated
                    && c.latest.as_ref().is_some_and(|t| !c.restarts(of, t.exit_code)))
        };
        self.goal == Goal::Run
            && self.restart_all_by.is_none()
            && spec.containers.iter().zip(&self.containers).all(ended)
    }

    /// Returns whether an init container has failed and is not tried again.
    pub(super) fn init_has_failed(&self, spec: &PodSpec) -> bool {
        let mut all = spec.containers.iter().zip(&self.containers);
        self.restart_all_by.is_none()
            && all.any(|(of, c)| {
                of.role == Role::Init
                    && !c.done
                    && c.state == RunState::Terminated
                    && c.latest.as_ref().is_some_and(|t| t.exit_code != 0 && !of.restarts(t.exit_code))
            })
    }
}
