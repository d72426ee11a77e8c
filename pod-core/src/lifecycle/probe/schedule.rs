//! When the probes of a pod run, and what their results mean.

use super::{ProbeKind, ProbeResult, ProbeRun};
use crate::kind::EventType;
use crate::lifecycle::{Action, ContainerState, Event, Goal, Now, PodSpec, PodState, RunState};

/// When each probe of a pod is due, and what its latest results were.
#[derive(Debug, Clone, Default)]
pub struct ProbeSchedule {
    /// By container, in the order of the spec; then by kind, in the order of [`ProbeKind::ALL`].
    containers: Vec<[Option<Progress>; 3]>,
}

/// How far a probe of a run of a container is.
#[derive(Debug, Clone, Copy)]
struct Progress {
    attempt: u32,
    /// When it is due next, in milliseconds since boot.
    due: u64,
    is_running: bool,
    /// Whether the latest results passed.
    passed: Option<bool>,
    /// How many results in a row were the same.
    streak: u32,
}

impl ProbeSchedule {
    /// Makes the schedule follow the state of the pod: probes that apply now get a time, others lose it.
    pub fn follow(&mut self, spec: &PodSpec, state: &PodState, now: Now) {
        self.containers.resize(spec.containers.len(), [None; 3]);
        let all = spec.containers.iter().zip(&state.containers).zip(&mut self.containers);
        for ((spec, container), slots) in all {
            for (kind, slot) in ProbeKind::ALL.into_iter().zip(slots) {
                let probe = spec.probes.get(kind).filter(|_| applies(kind, state.goal, container));
                let (Some(probe), RunState::Running { since, .. }) = (probe, &container.state) else {
                    *slot = None;
                    continue;
                };
                let attempt = container.restart_count();
                if slot.is_some_and(|progress| progress.attempt == attempt) {
                    continue;
                }
                let age = u64::try_from(now.wall.duration_since(*since).as_millis()).unwrap_or(0);
                let due = now.boot.saturating_add(probe.initial_delay.saturating_sub(age));
                *slot = Some(Progress { attempt, due, is_running: false, passed: None, streak: 0 });
            }
        }
    }

    /// Returns when the next probe is due, in milliseconds since boot.
    pub fn next_deadline(&self) -> Option<u64> {
        let all = self.containers.iter().flatten().flatten();
        all.filter(|progress| !progress.is_running).map(|progress| progress.due).min()
    }

    /// Returns the probes that are due. Each is answered by [`finish`](Self::finish) or [`abort`](Self::abort).
    pub fn take_due(&mut self, spec: &PodSpec, now: Now) -> Vec<ProbeRun> {
        let mut due = Vec::new();
        for (spec, slots) in spec.containers.iter().zip(&mut self.containers) {
            for (kind, slot) in ProbeKind::ALL.into_iter().zip(slots) {
                let (Some(progress), Some(probe)) = (slot, spec.probes.get(kind)) else { continue };
                if !progress.is_running && progress.due <= now.boot {
                    progress.is_running = true;
                    // Measured from one start to the next: a slow probe does not run less often.
                    progress.due = now.boot.saturating_add(probe.period);
                    due.push(ProbeRun { container: spec.name.clone(), attempt: progress.attempt, kind });
                }
            }
        }
        due
    }

    /// Forgets an execution that ended without a result of its own: it runs again at its next time.
    pub fn abort(&mut self, spec: &PodSpec, run: &ProbeRun) {
        if let Some(progress) = self.progress(spec, run) {
            progress.is_running = false;
        }
    }

    /// Counts a result. Returns what the user is told, and what the state machine has to know if the result changes
    /// something. A result of a run of a container that is over changes nothing.
    pub fn finish(
        &mut self,
        spec: &PodSpec,
        state: &PodState,
        run: &ProbeRun,
        result: &ProbeResult,
    ) -> (Option<Action>, Option<Event>) {
        let Some(progress) = self.progress(spec, run) else { return (None, None) };
        progress.is_running = false;
        let kind = run.kind.as_str();
        let tell = |reason: &str, message: String| {
            let (reason, container) = (reason.to_owned(), Some(run.container.clone()));
            Some(Action::Emit { kind: EventType::Warning, reason, message, container })
        };
        let (passed, told) = match result {
            ProbeResult::Success => (true, None),
            ProbeResult::Warning(text) => {
                (true, tell("ProbeWarning", format!("{kind} probe warning: {text}")))
            }
            ProbeResult::Failure(text) => (false, tell("Unhealthy", format!("{kind} probe failed: {text}"))),
            ProbeResult::Unknown(text) => {
                let message = format!("{kind} probe errored and resulted in unknown state: {text}");
                return (tell("Unhealthy", message), None);
            }
        };
        progress.streak = if progress.passed == Some(passed) { progress.streak.saturating_add(1) } else { 1 };
        progress.passed = Some(passed);
        let streak = progress.streak;
        let spec = spec.containers.iter().find(|container| container.name == run.container);
        let Some(probe) = spec.and_then(|spec| spec.probes.get(run.kind)) else { return (told, None) };
        let threshold = if passed { probe.success_threshold } else { probe.failure_threshold };
        let changes = match run.kind {
            ProbeKind::Startup => true,
            ProbeKind::Liveness => !passed,
            ProbeKind::Readiness => state.container(&run.container).is_some_and(|c| c.unready == passed),
        };
        let event = (streak >= threshold && changes).then(|| Event::Probed {
            container: run.container.clone(),
            attempt: run.attempt,
            probe: run.kind,
            passed,
        });
        (told, event)
    }

    /// Returns whether an execution is still waited for.
    pub fn is_running(&mut self, spec: &PodSpec, run: &ProbeRun) -> bool {
        self.progress(spec, run).is_some()
    }

    fn progress(&mut self, spec: &PodSpec, run: &ProbeRun) -> Option<&mut Progress> {
        let index = spec.containers.iter().position(|container| container.name == run.container)?;
        let slot = ProbeKind::ALL.into_iter().position(|kind| kind == run.kind)?;
        let progress = self.containers.get_mut(index)?.get_mut(slot)?.as_mut()?;
        (progress.attempt == run.attempt && progress.is_running).then_some(progress)
    }
}

/// Whether a probe runs in this state: none until the postStart hook has returned, then startupProbe until it has passed,
/// the others after that. A container that is stopped is restarted by no probe, so that only its readiness is still of
/// interest.
fn applies(kind: ProbeKind, goal: Goal, container: &ContainerState) -> bool {
    if !container.is_running() || !container.post_start.is_done() {
        return false;
    }
    let stays = goal == Goal::Run && !container.is_stopping();
    match kind {
        ProbeKind::Startup => container.awaits_startup && stays,
        ProbeKind::Liveness => !container.awaits_startup && stays,
        ProbeKind::Readiness => !container.awaits_startup,
    }
}
