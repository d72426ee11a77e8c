//! How containers are stopped: all of a pod, or one whose probe or postStart hook failed.

use super::container_state::KILL_RETRY_MS;
use super::step::Machine;
use super::{
    Action, ContainerState, Goal, Halt, HookKind, HookRun, PodState, PostStart, PreStop, ProbeKind,
    RestartPolicy, Role, RunState, Stopping,
};

/// The deadline of a stop without a grace period: no preStop hook runs.
const AT_ONCE: u64 = 0;

impl Machine<'_> {
    pub(super) fn stop(&mut self, grace_seconds: Option<u64>) {
        let grace = grace_seconds.unwrap_or(self.spec.grace_seconds);
        let asked = Stopping {
            deadline: self.now.boot.saturating_add(grace.saturating_mul(1000)),
            grace_seconds: grace,
            until: i64::try_from(grace)
                .ok()
                .and_then(|s| self.now.wall.checked_add(jiff::SignedDuration::from_secs(s)).ok())
                .unwrap_or(self.now.wall),
        };
        match &mut self.state.stop {
            // A stop without grace also ends the extension that a preStop hook has got.
            Some(stop) if grace == 0 => {
                *stop = Stopping {
                    deadline: stop.deadline.min(asked.deadline),
                    grace_seconds: 0,
                    until: stop.until.min(asked.until),
                };
            }
            // A repeated stop can only move the deadline forward.
            Some(stop) if asked.deadline >= stop.deadline => {}
            stop => *stop = Some(asked),
        }
        self.end();
    }

    /// Asks all running containers to stop: app containers at the same time, a sidecar once everything that started after
    /// it has ended. Kills them when the grace period is over, or at once if the sandbox has died, because then there is
    /// no grace period.
    pub(super) fn halt_all(&mut self) {
        let deadline = self.halt_deadline();
        for i in 0..self.state.containers.len() {
            let awaits = self.awaits_turn(i, deadline);
            let begun = if awaits { self.begin_pre_stop(i) } else { None };
            let halted = self.halt(i, if awaits { u64::MAX } else { deadline });
            if let Some(container) = begun.or(halted) {
                self.emit_normal("Killing", format!("Stopping container {container}"), Some(&container));
            }
        }
    }

    /// Returns when the containers of a pod that ends, or that restarts as a whole, are killed.
    fn halt_deadline(&self) -> u64 {
        match (self.state.stop, self.state.end_by.or(self.state.restart_all_by)) {
            (Some(stop), _) if stop.grace_seconds == 0 => AT_ONCE,
            (Some(stop), end_by) => end_by.unwrap_or(u64::MAX).min(stop.deadline),
            (None, Some(end_by)) => end_by.max(AT_ONCE + 1),
            (None, None) => AT_ONCE,
        }
    }

    /// Runs the preStop hook of a sidecar whose turn to be signalled has not come. As with the kubelet, hooks of sidecars
    /// begin with the stop of their pod. Returns the container's name if the hook began.
    fn begin_pre_stop(&mut self, i: usize) -> Option<String> {
        let has_pre_stop = self.spec.containers.get(i)?.hooks.pre_stop;
        let c = self.state.containers.get_mut(i)?;
        let RunState::Running { halt: Halt::None, kill_at: None, .. } = &c.state else { return None };
        if !has_pre_stop || !c.pre_stop.is_none() {
            return None;
        }
        c.pre_stop = PreStop::Running;
        let (container, attempt) = (c.name.clone(), c.restart_count());
        self.actions.push(Action::RunHook { container: container.clone(), attempt, hook: HookKind::PreStop });
        Some(container)
    }

    /// Returns whether a container is a sidecar that is not stopped yet, because the grace period is not over and a
    /// container that started after it still runs.
    fn awaits_turn(&self, i: usize, deadline: u64) -> bool {
        let is_sidecar = self.spec.containers.get(i).is_some_and(|of| of.role == Role::Sidecar);
        let mut later = self.state.containers.iter().skip(i.saturating_add(1));
        is_sidecar && self.now.boot < deadline && later.any(ContainerState::is_busy)
    }

    /// Stops the containers that are to be stopped alone.
    pub(super) fn halt_failed(&mut self) {
        for i in 0..self.state.containers.len() {
            // Why they are stopped was told when that was decided.
            self.halt(i, u64::MAX);
        }
    }

    /// Asks a container to stop, if it runs and is to be stopped: runs its preStop hook, then sends its stop signal. Kills
    /// it at `deadline` or at its own, whichever comes first, but not at once after its hook. A kill that is not answered
    /// is repeated. Returns its name if this was the first request.
    fn halt(&mut self, i: usize, deadline: u64) -> Option<String> {
        let now = self.now.boot;
        let of = self.spec.containers.get(i)?;
        let has_pre_stop = of.hooks.pre_stop;
        let c = self.state.containers.get_mut(i)?;
        let attempt = c.restart_count();
        let RunState::Running { stop_signal, halt, kill_at, .. } = &mut c.state else { return None };
        let deadline = kill_at.map_or(deadline, |at| at.min(deadline));
        if deadline == u64::MAX {
            return None;
        }
        let container = c.name.clone();
        let first = (*halt == Halt::None && c.pre_stop.is_none()).then(|| container.clone());
        let has_grace = deadline != AT_ONCE;
        match (*halt, c.pre_stop) {
            // A sidecar whose turn did not come within the grace period has a moment to end, as with the kubelet.
            (Halt::None, PreStop::None | PreStop::Over { .. })
                if of.role == Role::Sidecar && deadline <= now && has_grace =>
            {
                *halt = Halt::Signalled;
                c.pre_stop = PreStop::over(now);
                self.actions.push(Action::StopContainer { container, signal: stop_signal.clone() });
            }
            (Halt::Killed(at), _) if now < at.saturating_add(KILL_RETRY_MS) => {}
            (Halt::None, PreStop::Running) if deadline <= now && has_grace => {
                *halt = Halt::Signalled;
                c.pre_stop = PreStop::over(now);
                self.actions.push(Action::StopContainer { container, signal: stop_signal.clone() });
            }
            (Halt::Signalled, PreStop::Over { kill_after }) if now < kill_after && has_grace => {}
            (Halt::Killed(_), _) => {
                *halt = Halt::Killed(now);
                self.actions.push(Action::KillContainer { container });
            }
            (Halt::None | Halt::Signalled, _) if deadline <= now => {
                *halt = Halt::Killed(now);
                self.actions.push(Action::KillContainer { container });
            }
            (Halt::None, PreStop::None) if has_pre_stop => {
                c.pre_stop = PreStop::Running;
                self.actions.push(Action::RunHook { container, attempt, hook: HookKind::PreStop });
            }
            (Halt::None, PreStop::None | PreStop::Over { .. }) => {
                *halt = Halt::Signalled;
                self.actions.push(Action::StopContainer { container, signal: stop_signal.clone() });
            }
            (Halt::None, PreStop::Running) | (Halt::Signalled, _) => {}
        }
        first
    }

    /// Applies what a probe has decided about a run of a container.
    pub(super) fn probed(&mut self, container: &str, attempt: u32, probe: ProbeKind, passed: bool) {
        let PodState { goal, containers, .. } = &mut self.state;
        let all = self.spec.containers.iter().zip(containers);
        let Some((spec, c)) = all.into_iter().find(|(_, c)| c.name == container) else { return };
        let is_current = c.runs == attempt.saturating_add(1);
        let RunState::Running { halt, kill_at, .. } = &mut c.state else { return };
        if !is_current {
            return;
        }
        match (probe, passed) {
            (ProbeKind::Startup, true) => c.awaits_startup = false,
            (ProbeKind::Readiness, passed) => c.unready = !passed,
            (ProbeKind::Liveness, true) => {}
            (ProbeKind::Startup | ProbeKind::Liveness, false) => {
                // What is being stopped already is not stopped for another reason.
                if *goal != Goal::Run || *halt != Halt::None || kill_at.is_some() {
                    return;
                }
                let own = spec.probes.get(probe).and_then(|probe| probe.grace_seconds);
                let grace = own.unwrap_or(self.spec.grace_seconds);
                *kill_at = Some(self.now.boot.saturating_add(grace.saturating_mul(1000)));
                // restartPolicyRules are not asked, because there is no exit code yet (k8s pkg/kubelet/kuberuntime).
                c.must_restart = spec.restart_policy != RestartPolicy::Never;
                let restart = if c.must_restart { ", will be restarted" } else { "" };
                let probe = probe.as_str().to_ascii_lowercase();
                let message = format!("Container {container} failed {probe} probe{restart}");
                self.emit_normal("Killing", message, Some(container));
            }
        }
    }

    /// Stops a running container in order to restart it.
    pub(super) fn restart(&mut self, container: &str) {
        let PodState { goal, containers, .. } = &mut self.state;
        let Some(c) = containers.iter_mut().find(|c| c.name == container) else { return };
        let RunState::Running { halt, kill_at, .. } = &mut c.state else { return };
        if *goal != Goal::Run || *halt != Halt::None || kill_at.is_some() {
            return;
        }
        *kill_at = Some(self.now.boot.saturating_add(self.spec.grace_seconds.saturating_mul(1000)));
        c.must_restart = true;
        self.emit_normal(
            "Killing",
            format!("Container {container} resize requires restart"),
            Some(container),
        );
    }

    /// Applies the end of a hook.
    pub(super) fn hook_ended(&mut self, container: &str, attempt: u32, kind: HookKind, error: Option<&str>) {
        let run = HookRun { container: container.to_owned(), attempt, kind };
        if !self.state.may_run(&run) {
            return;
        }
        let now = self.now.boot;
        let grace = self.spec.grace_seconds.saturating_mul(1000);
        let Some(i) = self.state.containers.iter().position(|c| c.name == container) else { return };
        let awaits = self.awaits_turn(i, self.halt_deadline());
        let Some(c) = self.state.containers.get_mut(i) else { return };
        let RunState::Running { stop_signal, halt, kill_at, .. } = &mut c.state else { return };
        match (kind, error) {
            (HookKind::PostStart, None) => c.post_start = PostStart::Done,
            (HookKind::PostStart, Some(message)) => {
                c.post_start = PostStart::Failed { message: message.to_owned() };
                *kill_at = Some(now.saturating_add(grace));
                // As in a cluster, events do not say why: that is in the status, because it may contain secrets.
                self.emit_warning("FailedPostStartHook", "PostStartHook failed".to_owned(), Some(container));
                self.emit_normal("Killing", "FailedPostStartHook".to_owned(), Some(container));
            }
            (HookKind::PreStop, error) => {
                if *halt == Halt::None {
                    c.pre_stop = PreStop::over(now);
                    // A sidecar gets its signal when its turn has come.
                    if !awaits || kill_at.is_some() {
                        *halt = Halt::Signalled;
                        let (container, signal) = (c.name.clone(), stop_signal.clone());
                        self.actions.push(Action::StopContainer { container, signal });
                    }
                }
                if error.is_some() {
                    self.emit_warning("FailedPreStopHook", "PreStopHook failed".to_owned(), Some(container));
                }
            }
        }
    }
}
