//! Probes and hooks of the simulated pod.

use super::{Coming, Dice, HOUR, MINUTE, SECOND, World};
use crate::lifecycle::*;

/// Some probes of a container, or none.
pub(super) fn probes(dice: &mut Dice) -> ProbeSpecs {
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
        let is_condemned = self.condemned.contains_key(container);
        assert!(self.stop.is_some() || is_condemned, "only a stop or a failed probe stops");
        let has_hook = self.container_spec(container).hooks.pre_stop;
        let run = HookRun { container: container.to_owned(), attempt, kind: HookKind::PreStop };
        let ended = self.hooks.get(&run).copied();
        assert_eq!(ended.is_some(), has_hook, "preStop comes before the signal");
        assert!(
            ended != Some(false) || self.is_grace_over(container),
            "the signal waits for preStop until the grace is over"
        );
    }

    /// Runs a hook, after checking that it may run now.
    pub(super) fn run_hook(&mut self, run: HookRun, again: bool) {
        assert_eq!(self.process(&run.container).running, Some(run.attempt), "hooks run in what runs");
        match run.kind {
            HookKind::PostStart => assert!(self.stop.is_none(), "nothing starts after the stop"),
            HookKind::PreStop => {
                let is_condemned = self.condemned.contains_key(&run.container);
                assert!(self.stop.is_some() || is_condemned, "preStop belongs to a stop");
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

    fn container_spec(&self, name: &str) -> &ContainerSpec {
        self.spec.containers.iter().find(|container| container.name == name).unwrap()
    }

    /// Returns whether a container may be killed.
    pub(super) fn is_grace_over(&self, container: &str) -> bool {
        self.stop.is_some_and(|(_, deadline)| self.time >= deadline)
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
