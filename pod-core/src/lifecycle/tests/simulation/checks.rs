//! The containers of the simulated pod, with their probes, hooks and policies, and what is checked about them.

use super::{Coming, Dice, HOUR, MINUTE, SECOND, World};
use crate::lifecycle::*;

/// A container with random probes, hooks and policies. Some init containers are sidecars.
pub(super) fn container(dice: &mut Dice, name: String, role: Role, policy: RestartPolicy) -> ContainerSpec {
    let role = if role == Role::Init && dice.percent(50) { Role::Sidecar } else { role };
    let restart_policy = match role {
        Role::Sidecar => RestartPolicy::Always,
        _ if dice.percent(70) => policy,
        Role::Init => dice.pick(&[RestartPolicy::OnFailure, RestartPolicy::Never]),
        Role::App => dice.pick(&[RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never]),
    };
    let lasts = role != Role::Init;
    ContainerSpec {
        name,
        role,
        restart_policy,
        restart_rules: if dice.percent(20) { vec![rule(dice)] } else { Vec::new() },
        image: "img".to_owned(),
        probes: if lasts { probes(dice) } else { ProbeSpecs::default() },
        hooks: HookSpecs { post_start: lasts && dice.percent(40), pre_stop: lasts && dice.percent(40) },
    }
}

fn rule(dice: &mut Dice) -> RestartRule {
    RestartRule {
        restarts_all: dice.percent(30),
        is_in: dice.percent(70),
        codes: vec![dice.pick(&[0, 1, 137])],
    }
}

/// Some probes of a container, or none.
fn probes(dice: &mut Dice) -> ProbeSpecs {
    let mut probe = |kills: bool| {
        dice.percent(50).then(|| ProbeSpec {
            initial_delay: dice.pick(&[0, 5 * SECOND, MINUTE]),
            period: dice.pick(&[SECOND, MINUTE, HOUR, 12 * HOUR]),
            timeout: SECOND,
            success_threshold: if kills { 1 } else { dice.pick(&[1, 2]) },
            failure_threshold: dice.pick(&[1, 3]),
            grace_seconds: if kills { dice.pick(&[None, Some(1), Some(100)]) } else { None },
        })
    };
    ProbeSpecs { startup: probe(true), liveness: probe(true), readiness: probe(false) }
}

impl World {
    /// Checks that a container may be sent its stop signal.
    pub(super) fn check_stop(&self, container: &str, attempt: u32) {
        self.check_turn(container);
        let of = self.container_spec(container);
        let run = HookRun { container: container.to_owned(), attempt, kind: HookKind::PreStop };
        let ended = self.hooks.get(&run).copied();
        let is_late = of.role == Role::Sidecar && self.is_grace_over(container);
        assert!(ended.is_some() == of.hooks.pre_stop || is_late, "preStop comes before the signal");
        assert!(
            ended != Some(false) || self.is_grace_over(container),
            "the signal waits for preStop until the grace is over"
        );
    }

    /// Checks that the stop of a container may begin: its pod ends, or it alone is to be stopped; and a sidecar is stopped
    /// when everything that started after it has ended.
    fn check_turn(&self, container: &str) {
        let is_condemned = self.condemned.contains_key(container);
        let ends = self.stop.is_some() || self.own_deadline().is_some();
        assert!(ends || is_condemned, "only a stop, an end or a failed probe stops");
        let mut after = self.spec.containers.iter().skip_while(|of| of.name != container).skip(1);
        let is_idle = |of: &ContainerSpec| {
            let process = &self.processes[&of.name];
            process.running.is_none() && process.starting.is_none()
        };
        assert!(
            self.container_spec(container).role != Role::Sidecar
                || is_condemned
                || self.is_grace_over(container)
                || after.all(is_idle),
            "sidecars are stopped last, in reverse order"
        );
    }

    /// Returns when the grace period of a pod is over that ends by itself, or whose containers all restart.
    fn own_deadline(&self) -> Option<u64> {
        self.state.end_by.or(self.state.restart_all_by).map(|at| at + self.booted)
    }

    /// Follows the restarts of all containers in the same sandbox: then init containers run again.
    pub(super) fn follow_restarts(&mut self, actions: &[Action]) {
        let begins = |action: &Action| matches!(action, Action::Emit { reason, .. } if reason == "RestartAllContainers");
        self.restarts_all |= actions.iter().any(begins);
        if self.restarts_all && self.state.restart_all_by.is_none() {
            self.restarts_all = false;
            if self.state.goal == Goal::Run && self.state.sandbox == Sandbox::Ready {
                self.processes.values_mut().for_each(|process| process.done = false);
            }
        }
    }

    pub(super) fn note_started_sidecars(&mut self) {
        if !self.sandbox {
            return;
        }
        for (of, container) in self.spec.containers.iter().zip(&self.state.containers) {
            if of.role == Role::Sidecar && container.is_started() {
                self.processes.get_mut(&of.name).unwrap().done = true;
            }
        }
    }

    /// Checks the phase of a pod that has ended, and that it ends in time.
    pub(super) fn check_end(&self) {
        if self.state.phase.is_terminal() && self.state.stop.is_none() {
            let code = |c: &ContainerState| c.latest.as_ref().map(|end| end.exit_code);
            let mut apps = self.state.by_role(&self.spec, Role::App);
            let well = self.state.failure.is_none() && apps.all(|(_, c)| code(c) == Some(0));
            assert_eq!(
                self.state.phase == Phase::Succeeded,
                well,
                "only app containers decide how a pod ends"
            );
        }
        if let (Some(seconds), Some(begun)) = (self.spec.active_deadline_seconds, self.state.start_time)
            && self.state.goal == Goal::Run
        {
            let active = u64::try_from(self.now().wall.duration_since(begun).as_millis()).unwrap();
            assert!(active < seconds * SECOND, "a pod ends at its deadline");
        }
        let lasting = self.spec.containers.iter().zip(&self.state.containers);
        let mut lasting = lasting.filter(|(of, _)| of.role != Role::Init);
        let ready = self.state.conditions.ready.status;
        assert!(!ready || lasting.all(|(of, c)| c.is_ready(of.role)), "the readiness of sidecars counts");
    }

    /// Runs a hook, after checking that it may run now.
    pub(super) fn run_hook(&mut self, run: HookRun, again: bool) {
        assert_eq!(self.process(&run.container).running, Some(run.attempt), "hooks run in what runs");
        match run.kind {
            HookKind::PostStart => assert!(self.stop.is_none(), "nothing starts after the stop"),
            HookKind::PreStop => {
                let is_condemned = self.condemned.contains_key(&run.container);
                let ends = self.stop.is_some() || self.own_deadline().is_some();
                assert!(ends || is_condemned, "preStop belongs to a stop");
                let has_grace = self.stop.is_none_or(|(asked, deadline)| asked < deadline);
                assert!(has_grace || is_condemned, "without grace there is no preStop");
            }
        }
        let before = self.hooks.insert(run.clone(), false);
        assert_eq!(before, again.then_some(false), "a hook runs once");
        if self.dice.percent(90) {
            let after = self.dice.span(5 * MINUTE);
            self.later(after, Coming::Hook(run));
        }
    }

    pub(super) fn container_spec(&self, name: &str) -> &ContainerSpec {
        self.spec.containers.iter().find(|container| container.name == name).unwrap()
    }

    /// Returns whether a container may be killed.
    pub(super) fn is_grace_over(&self, container: &str) -> bool {
        self.stop.is_some_and(|(_, deadline)| self.time >= deadline)
            || self.own_deadline().is_some_and(|at| self.time >= at)
            || self.condemned.get(container).is_some_and(|at| self.time >= *at)
    }

    pub(super) fn hook_runs(&self, container: &str, kind: HookKind) -> bool {
        self.hooks.iter().any(|(run, ended)| run.container == container && run.kind == kind && !ended)
    }

    /// Ends a hook, and checks what follows from it.
    pub(super) fn hook_ends(&mut self, run: &HookRun) {
        if self.processes[&run.container].running != Some(run.attempt) || self.hooks.get(run) != Some(&false)
        {
            return;
        }
        let may_run = self.state.may_run(run);
        let error = self.dice.percent(30).then(|| "exited with 1".to_owned());
        self.hooks.insert(run.clone(), true);
        if may_run && run.kind == HookKind::PostStart && error.is_some() {
            let kill_at = self.time + self.spec.grace_seconds * SECOND;
            self.condemned.insert(run.container.clone(), kill_at);
        }
        let (container, attempt, hook) = (run.container.clone(), run.attempt, run.kind);
        let event = Event::HookEnded { container, attempt, hook, error };
        self.echoes.push(event.clone());
        self.send(&event);
        let container = self.state.container(&run.container).unwrap();
        assert!(
            run.kind == HookKind::PostStart || !may_run || container.pending_hook().is_none(),
            "a preStop hook that has ended is not waited for"
        );
    }

    /// Checks that a probe may run now.
    pub(super) fn check_probe(&self, run: &ProbeRun) {
        assert_eq!(self.processes[&run.container].running, Some(run.attempt), "what is probed runs");
        let container = self.state.container(&run.container).unwrap();
        let starts = self.hook_runs(&run.container, HookKind::PostStart);
        assert!(!starts, "probes begin when postStart has returned");
        assert_eq!(
            run.kind == ProbeKind::Startup,
            container.awaits_startup,
            "a startupProbe holds back the others"
        );
        let kills = run.kind != ProbeKind::Readiness;
        assert!(!kills || self.stop.is_none(), "nothing restarts in a pod that is stopped");
    }

    /// Gives a probe a result, and checks what follows from it.
    pub(super) fn probed(&mut self, run: &ProbeRun) {
        let result = match self.dice.below(100) {
            0..70 => ProbeResult::Success,
            70..75 => ProbeResult::Warning("redirected".to_owned()),
            75..95 => ProbeResult::Failure("refused".to_owned()),
            _ => ProbeResult::Unknown("no fork".to_owned()),
        };
        let (_, event) = self.schedule.finish(&self.spec, &self.state, run, &result);
        let Some(event) = event else { return };
        let spec = self.spec.containers.iter().find(|container| container.name == run.container).unwrap();
        let own = spec.probes.get(run.kind).unwrap().grace_seconds;
        let passed = matches!(result, ProbeResult::Success | ProbeResult::Warning(_));
        if !passed && run.kind != ProbeKind::Readiness {
            let kill_at = self.time + own.unwrap_or(30) * SECOND;
            self.condemned.insert(run.container.clone(), kill_at);
        }
        self.send(&event);
        let container = self.state.container(&run.container).unwrap();
        match run.kind {
            ProbeKind::Readiness => assert_eq!(container.unready, !passed),
            ProbeKind::Startup => assert_eq!(container.awaits_startup, !passed),
            ProbeKind::Liveness => assert!(!passed),
        }
    }
}
