//! Computes the status of a pod for the controller of its workload.

use crate::lifecycle::{PodSpec, PodState};
use crate::record::{Desired, PodRecord};
use crate::workload::PodStatus;

/// The annotation of a pod that says how early the pod is deleted when its workload is scaled down.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Returns the status of a recorded pod for the controller of its workload. A pod without a state was just created.
pub fn pod_status(recorded: &PodRecord, spec: &PodSpec, state: Option<&PodState>) -> PodStatus {
    let metadata = &recorded.plan.pod.metadata;
    let cost = metadata.annotations.as_ref().and_then(|annotations| annotations.get(DELETION_COST));
    let created = PodStatus {
        uid: recorded.plan.uid.clone(),
        name: recorded.plan.name().to_owned(),
        hash: recorded.plan.hash.clone(),
        replaced: recorded.replaced,
        created: metadata.creation_timestamp.as_ref().map_or(jiff::Timestamp::UNIX_EPOCH, |time| time.0),
        terminating: recorded.removing,
        should_run: recorded.desired == Desired::Running,
        is_started: false,
        has_ended: false,
        ready_since: None,
        restarts: 0,
        deletion_cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
        problem: None,
        failed_init: None,
    };
    match state {
        Some(state) => observed(&created, spec, state),
        None => created,
    }
}

/// Returns `status` updated for a new state of the same pod.
pub fn observed(status: &PodStatus, spec: &PodSpec, state: &PodState) -> PodStatus {
    let ready = state.conditions.ready;
    PodStatus {
        is_started: state.all_started(spec),
        has_ended: state.is_terminal(),
        ready_since: ready.status.then_some(ready.since),
        restarts: state.containers.iter().map(|container| container.restart_count()).sum(),
        problem: state.cannot_start(),
        failed_init: state.fails_to_initialize(spec),
        ..status.clone()
    }
}
