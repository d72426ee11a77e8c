//! Conditions of a Deployment. Source: k8s pkg/controller/deployment/progress.go and `calculateStatus` of sync.go.

use jiff::Timestamp;

use super::revisions::Change;
use super::{Action, Condition, Counts, Event, PodStatus, Progress, Replicas, Spec, State, after};
use crate::kind::EventType;

/// Reasons of condition Progressing.
mod reason {
    pub const CREATED: &str = "NewReplicaSetCreated";
    pub const FOUND: &str = "FoundNewReplicaSet";
    pub const UPDATED: &str = "ReplicaSetUpdated";
    pub const COMPLETE: &str = "NewReplicaSetAvailable";
    pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";
    pub const PAUSED: &str = "DeploymentPaused";
    pub const RESUMED: &str = "DeploymentResumed";
}

/// Updates the conditions. `change` says how the current revision came to be current in this step.
pub(super) fn update(
    spec: &Spec,
    rule: &Replicas,
    state: &mut State,
    counts: &Counts,
    change: Option<Change>,
    event: Event,
    now: Timestamp,
) -> Option<Action> {
    let (status, reason, message) = if counts.available >= rule.min_available() {
        (true, "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        (false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut state.available, Some(status), reason, message.to_owned(), now);

    let before = state.progress;
    state.progress = Progress { updated: counts.updated, available: counts.available, old: counts.old() };
    let Some(deadline) = rule.progress_deadline_seconds else {
        state.progressing = None;
        return None;
    };

    let name = state.current(spec).map(|current| current.name().to_owned()).unwrap_or_default();
    let slot = &mut state.progressing;
    if rule.paused {
        if !has_reason(slot.as_ref(), reason::TIMED_OUT) {
            set(slot, None, reason::PAUSED, "Deployment is paused".to_owned(), now);
        }
        return None;
    }
    if has_reason(slot.as_ref(), reason::PAUSED) {
        set(slot, None, reason::RESUMED, "Deployment is resumed".to_owned(), now);
    }
    match change {
        Some(Change::Created) => {
            renew(slot, reason::CREATED, format!("Created new replica set {name:?}"), now);
        }
        Some(Change::Found) => renew(slot, reason::FOUND, format!("Found new replica set {name:?}"), now),
        None if slot.is_none() => {
            renew(slot, reason::FOUND, format!("Found new replica set {name:?}"), now);
        }
        None => {}
    }
    if !spec.running || has_reason(slot.as_ref(), reason::COMPLETE) && counts.old() == 0 {
        return None;
    }

    if counts.is_complete(spec) {
        let message = format!("ReplicaSet {name:?} has successfully progressed.");
        set(slot, Some(true), reason::COMPLETE, message, now);
    } else if counts.updated > before.updated
        || counts.old() < before.old
        || counts.available > before.available
    {
        renew(slot, reason::UPDATED, format!("ReplicaSet {name:?} is progressing."), now);
    } else if event == Event::Applied && !has_reason(slot.as_ref(), reason::TIMED_OUT) {
        // The rollout could not progress while the workload had no supervisor.
        if let Some(condition) = slot {
            condition.updated = now;
        }
    } else if is_late(slot.as_ref(), deadline, now) {
        let message = format!("ReplicaSet {name:?} has timed out progressing.");
        set(slot, Some(false), reason::TIMED_OUT, message.clone(), now);
        return Some(Action::Emit { kind: EventType::Warning, reason: reason::TIMED_OUT, message });
    }
    None
}

/// Returns when the next step is due if no pod changes: when a pod becomes available, or when the progress deadline
/// passes.
pub(super) fn next_deadline(
    spec: &Spec,
    rule: &Replicas,
    state: &State,
    counts: &Counts,
    pods: &[PodStatus],
    now: Timestamp,
) -> Option<Timestamp> {
    let available =
        pods.iter().filter_map(|pod| pod.available_at(rule.min_ready_seconds)).filter(|at| *at > now);
    let is_waited_for = spec.running && !rule.paused && !counts.is_complete(spec);
    let progressing = state.progressing.as_ref().filter(|condition| {
        is_waited_for && !matches!(&*condition.reason, reason::TIMED_OUT | reason::COMPLETE)
    });
    let late = rule.progress_deadline_seconds.zip(progressing);
    let late = late.map(|(deadline, condition)| after(condition.updated, deadline)).filter(|at| *at > now);
    available.chain(late).min()
}

/// Returns whether the rollout has not progressed for `deadline` seconds.
fn is_late(condition: Option<&Condition>, deadline: u32, now: Timestamp) -> bool {
    condition.is_some_and(|condition| {
        !matches!(&*condition.reason, reason::COMPLETE | reason::TIMED_OUT)
            && after(condition.updated, deadline) <= now
    })
}

fn has_reason(condition: Option<&Condition>, reason: &str) -> bool {
    condition.is_some_and(|condition| condition.reason == reason)
}

/// Sets a condition unless it has the same status and reason already. Source: `SetDeploymentCondition`.
fn set(slot: &mut Option<Condition>, status: Option<bool>, reason: &str, message: String, now: Timestamp) {
    let is_same = |condition: &Condition| condition.status == status && condition.reason == reason;
    if !slot.as_ref().is_some_and(is_same) {
        replace(slot, status, reason, message, now);
    }
}

/// Sets condition Progressing to True and its lastUpdateTime to now. The progress deadline is measured from
/// lastUpdateTime.
fn renew(slot: &mut Option<Condition>, reason: &str, message: String, now: Timestamp) {
    replace(slot, Some(true), reason, message, now);
}

fn replace(
    slot: &mut Option<Condition>,
    status: Option<bool>,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let before = slot.as_ref().filter(|before| before.status == status);
    let since = before.map_or(now, |before| before.since);
    *slot = Some(Condition { status, reason: reason.to_owned(), message, since, updated: now });
}
