//! How containers are stopped: all of a pod, or one whose probe failed.

use super::state::KILL_RETRY_MS;
use super::step::Machine;
use super::{Action, Goal, Halt, PodState, ProbeKind, RestartPolicy, RunState, Stopping};

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
            // A repeated stop can only move the deadline forward.
            Some(stop) if asked.deadline >= stop.deadline => {}
            stop => *stop = Some(asked),
        }
        self.end();
    }

    /// Asks all running containers to stop at the same time. Kills them when the grace period is over, or at once if
    /// the sandbox has died, because then there is no grace period.
    pub(super) fn halt_all(&mut self) {
        let deadline = self.state.stop.map_or(0, |s| s.deadline);
        for i in 0..self.state.containers.len() {
            if let Some(container) = self.halt(i, deadline) {
                self.emit_normal("Killing", format!("Stopping container {container}"), Some(&container));
            }
        }
    }

    /// Stops the containers that are to be stopped alone.
    pub(super) fn halt_failed(&mut self) {
        for i in 0..self.state.containers.len() {
            // Why they are stopped was told when that was decided.
            self.halt(i, u64::MAX);
        }
    }

    /// Asks a container to stop, if it runs and is to be stopped, and kills it at `deadline` or at its own, whichever
    /// comes first. A kill that is not answered is repeated. Returns its name if this was the first request.
    fn halt(&mut self, i: usize, deadline: u64) -> Option<String> {
        let now = self.now.boot;
        let c = self.state.containers.get_mut(i)?;
        let RunState::Running { stop_signal, halt, kill_at, .. } = &mut c.state else { return None };
        let deadline = kill_at.map_or(deadline, |at| at.min(deadline));
        if deadline == u64::MAX {
            return None;
        }
        let container = c.name.clone();
        let first = (*halt == Halt::None).then(|| container.clone());
        match *halt {
            Halt::Killed(at) if now < at.saturating_add(KILL_RETRY_MS) => {}
            Halt::Killed(_) => {
                *halt = Halt::Killed(now);
                self.actions.push(Action::KillContainer { container });
            }
            Halt::None | Halt::Signalled if deadline <= now => {
                *halt = Halt::Killed(now);
                self.actions.push(Action::KillContainer { container });
            }
            Halt::None => {
                *halt = Halt::Signalled;
                self.actions.push(Action::StopContainer { container, signal: stop_signal.clone() });
            }
            Halt::Signalled => {}
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
                c.must_restart = self.spec.restart_policy != RestartPolicy::Never;
                let restart = if c.must_restart { ", will be restarted" } else { "" };
                let probe = probe.as_str().to_ascii_lowercase();
                let message = format!("Container {container} failed {probe} probe{restart}");
                self.emit_normal("Killing", message, Some(container));
            }
        }
    }
}
