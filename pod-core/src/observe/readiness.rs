//! Decides whether a pod meets the condition of a wait, and whether it still can. Pure.
//!
//! `kube play` and `kube wait` both ask here, so that a pod that cannot start ends both at once with its reason.

use super::pod::PodView;
use crate::lifecycle::{ContainerSpec, PodSpec, PodState, RestartPolicy, Role};

/// A function that decides whether a pod meets the condition of a wait.
pub type PodCheck = fn(&PodSpec, Known<'_>) -> Verdict;

/// What a check knows about a pod.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// Its state.
    State(&'a PodState),
    /// No process of the pod runs any more. Its removal is recorded and continues.
    Ended,
    /// The pod was removed or never existed.
    Removed,
}

/// The result of a check of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The pod meets the check.
    Met,
    /// Not yet.
    NotYet,
    /// The pod can no longer meet the check, with the reason.
    Failed(String),
}

/// Checks that every container has started.
pub fn started(spec: &PodSpec, known: Known<'_>) -> Verdict {
    let Known::State(state) = known else { return Verdict::Failed("it was removed meanwhile".to_owned()) };
    if let Some(why) = state.cannot_start().or_else(|| state.fails_to_initialize(spec)) {
        return Verdict::Failed(why);
    }
    if state.all_started(spec) { Verdict::Met } else { Verdict::NotYet }
}

/// Checks that the pod is Ready.
pub fn ready(spec: &PodSpec, known: Known<'_>) -> Verdict {
    let Known::State(state) = known else { return Verdict::Failed("it was removed meanwhile".to_owned()) };
    if state.is_ready() {
        return Verdict::Met;
    }
    if state.is_terminal() {
        let phase = state.phase.as_str();
        return Verdict::Failed(match &state.failure {
            Some(failure) => {
                format!("it has ended ({phase}): {}: {}", failure.reason, failure.message.trim_end())
            }
            None => format!("it has ended ({phase})"),
        });
    }
    // Nothing but its containers ever changes the conditions of a pod.
    let gates = state.unmet_gates(spec).filter(|_| state.conditions.containers_ready.status);
    match state.keeps_failing().or(gates) {
        Some(why) => Verdict::Failed(why),
        None => Verdict::NotYet,
    }
}

/// Checks that the pod is Ready, as [`ready`]. A container that fails again and again ends the wait.
pub fn ready_without_crash_loop(spec: &PodSpec, known: Known<'_>) -> Verdict {
    match (ready(spec, known), known) {
        (Verdict::NotYet, Known::State(state)) => {
            let why = state.fails_to_initialize(spec).or_else(|| state.crash_loop());
            why.map_or(Verdict::NotYet, Verdict::Failed)
        }
        (verdict, _) => verdict,
    }
}

/// Returns the pod that decides about several: the first that can no longer meet `check`, else the first that does
/// not meet it yet. `None` means that all pods meet it.
pub fn unmet<'a>(
    pods: impl IntoIterator<Item = &'a PodView>,
    check: PodCheck,
) -> Option<(&'a PodView, Verdict)> {
    let mut waiting = None;
    for pod in pods {
        match check(&PodSpec::from_pod(&pod.plan.pod), Known::State(&pod.state)) {
            Verdict::Met => {}
            Verdict::NotYet => waiting = waiting.or(Some((pod, Verdict::NotYet))),
            failed @ Verdict::Failed(_) => return Some((pod, failed)),
        }
    }
    waiting
}

/// Fails as soon as the pod has ended or is removed, and is never met: the first of several pods that ends also ends the
/// wait.
pub fn fails_once_ended(_: &PodSpec, known: Known<'_>) -> Verdict {
    match known {
        Known::State(state) if !state.is_terminal() => Verdict::NotYet,
        _ => Verdict::Failed("it has ended".to_owned()),
    }
}

/// Checks that the pod has ended (Succeeded or Failed).
pub fn complete(spec: &PodSpec, known: Known<'_>) -> Verdict {
    let Known::State(state) = known else { return Verdict::Failed("it was removed meanwhile".to_owned()) };
    if state.is_terminal() {
        return Verdict::Met;
    }
    let restarts = |of: &ContainerSpec| of.role == Role::App && of.restart_policy == RestartPolicy::Always;
    if spec.active_deadline_seconds.is_none() && spec.containers.iter().any(restarts) {
        return Verdict::Failed("its restartPolicy is Always: it starts again whenever it ends".to_owned());
    }
    match state.keeps_failing() {
        Some(why) => Verdict::Failed(why),
        None => Verdict::NotYet,
    }
}

/// Checks that no process of the pod runs any more. Its removal may still continue in the background.
pub fn deleted(_: &PodSpec, known: Known<'_>) -> Verdict {
    match known {
        Known::Ended | Known::Removed => Verdict::Met,
        Known::State(_) => Verdict::NotYet,
    }
}

/// Checks that nothing of the pod is left.
pub fn removed(_: &PodSpec, known: Known<'_>) -> Verdict {
    match known {
        Known::Removed => Verdict::Met,
        Known::Ended | Known::State(_) => Verdict::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::WaitingReason;
    use crate::lifecycle::{Event, Now, PodState, step};

    /// Returns a state whose containers have ended runs with these reasons, the latest last.
    fn ended(spec: &PodSpec, reasons: &[&str]) -> PodState {
        let now = Now { boot: 0, wall: jiff::Timestamp::UNIX_EPOCH };
        let mut state = PodState::new(spec, now);
        for container in &mut state.containers {
            for reason in reasons {
                let end = serde_json::json!({
                    "exit_code": 128, "reason": reason, "message": "no such file", "finished_at": now.wall,
                    "finished_boot": 0,
                });
                container.previous = container.latest.replace(serde_json::from_value(end).unwrap());
                container.runs += 1;
            }
        }
        state
    }

    #[test]
    fn a_container_whose_program_is_missing_cannot_start_however_often_it_is_tried() {
        let pod = serde_json::json!({"spec": {"containers": [{"name": "main"}]}});
        let spec = PodSpec::from_pod(&serde_json::from_value(pod).unwrap());
        for reasons in [&["StartError"][..], &["StartError", "StartError", "StartError"]] {
            let verdict = ready(&spec, Known::State(&ended(&spec, reasons)));
            assert_eq!(verdict, Verdict::Failed("container main: cannot start: no such file".to_owned()));
        }
        for reasons in [&["Error"][..], &["Error", "StartError"]] {
            assert_eq!(ready(&spec, Known::State(&ended(&spec, reasons))), Verdict::NotYet, "it ran before");
        }
    }

    #[test]
    fn a_sandbox_or_container_that_could_not_be_created_once_is_tried_again_before_a_wait_ends() {
        let pod = serde_json::json!({"spec": {"containers": [{"name": "main"}]}});
        let spec = PodSpec::from_pod(&serde_json::from_value(pod).unwrap());
        let now = |boot| Now { boot, wall: jiff::Timestamp::UNIX_EPOCH };
        let killed = || Event::SandboxFailed { message: "the worker process was killed".to_owned() };
        let (state, _) = step(&spec, PodState::new(&spec, now(0)), &Event::Start, now(0));
        let (state, _) = step(&spec, state, &killed(), now(1));
        assert_eq!(ready(&spec, Known::State(&state)), Verdict::NotYet);
        let why = "cannot create its sandbox: the worker process was killed".to_owned();
        assert_eq!(
            started(&spec, Known::State(&state)),
            Verdict::Failed(why.clone()),
            "a play is undone at once"
        );
        let again = state.next_deadline(&spec).unwrap();
        let (state, _) = step(&spec, state, &Event::Tick, now(again));
        assert_eq!(ready(&spec, Known::State(&state)), Verdict::NotYet);
        let (state, _) = step(&spec, state, &killed(), now(again + 1));
        assert_eq!(ready(&spec, Known::State(&state)), Verdict::Failed(why));

        let (state, _) = step(&spec, state, &Event::Tick, now(again * 3));
        let (mut state, _) = step(&spec, state, &Event::SandboxReady { ips: Vec::new() }, now(again * 3));
        for verdict in
            [Verdict::NotYet, Verdict::Failed("container main: CreateContainerError: no room".to_owned())]
        {
            let failed = Event::StartFailed {
                container: "main".to_owned(),
                attempt: 0,
                reason: WaitingReason::CreateContainerError,
                message: "no room".to_owned(),
            };
            (state, _) = step(&spec, state, &failed, now(again * 3 + 1));
            assert_eq!(ready(&spec, Known::State(&state)), verdict);
            let next = state.next_deadline(&spec).unwrap();
            (state, _) = step(&spec, state, &Event::Tick, now(next));
        }
    }

    #[test]
    fn a_pod_that_has_ended_is_deleted_though_something_of_it_is_left() {
        let spec = PodSpec::from_pod(&k8s_openapi::api::core::v1::Pod::default());
        let now = Now { boot: 0, wall: jiff::Timestamp::UNIX_EPOCH };
        let state = PodState::new(&spec, now);
        let here = Known::State(&state);
        assert_eq!([deleted(&spec, here), removed(&spec, here)], [Verdict::NotYet, Verdict::NotYet]);
        assert_eq!(
            [deleted(&spec, Known::Ended), removed(&spec, Known::Ended)],
            [Verdict::Met, Verdict::NotYet]
        );
        assert_eq!(
            [deleted(&spec, Known::Removed), removed(&spec, Known::Removed)],
            [Verdict::Met, Verdict::Met]
        );
        for known in [Known::Ended, Known::Removed] {
            for verdict in [started(&spec, known), ready(&spec, known), complete(&spec, known)] {
                assert_eq!(verdict, Verdict::Failed("it was removed meanwhile".to_owned()));
            }
        }
    }
}
