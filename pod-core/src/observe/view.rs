//! Pods as commands see them: read from disk, without asking a supervisor.
//!
//! A pod that is being removed and has no process left is not shown, because the command that took it down already
//! reported it as gone.

use super::awaited::Awaited;
use super::pod::PodView;
use crate::lifecycle::{PodSpec, PodState};
use crate::record::{PodRecord, WorkloadRecord, WorkloadSummary, now};
use crate::sandbox::debug::DebugContainer;
use crate::store::{self, Layout, WorkloadId};
use crate::supervisor::ipc::client;

/// Returns every pod, by namespace and name.
pub fn pods(layout: &Layout) -> Result<Vec<PodView>, store::Error> {
    let mut found = Vec::new();
    for record in WorkloadRecord::list(layout)? {
        found.extend(views(layout, &record));
    }
    found.sort_by(|a: &PodView, b| {
        (a.plan.namespace(), a.plan.name()).cmp(&(b.plan.namespace(), b.plan.name()))
    });
    Ok(found)
}

/// Returns the pods of one workload, oldest first.
pub fn pods_of(layout: &Layout, id: &WorkloadId) -> Result<Vec<PodView>, store::Error> {
    match WorkloadRecord::load(layout, id)? {
        Some(record) => Ok(views(layout, &record)),
        None => Ok(Vec::new()),
    }
}

fn views(layout: &Layout, record: &WorkloadRecord) -> Vec<PodView> {
    let mut found = Vec::new();
    for pod in &record.pods {
        let state = match pod.present_state(layout) {
            Ok(Some(state)) => state,
            Ok(None) => continue,
            Err(damaged) => match rewritten(layout, &record.id, pod) {
                Some(state) => state,
                None => {
                    store::damage::pass_over(&damaged);
                    let new = || PodState::new(&PodSpec::from_pod(&pod.plan.pod), now());
                    pod.former_state(layout).unwrap_or_else(new)
                }
            },
        };
        found.push(PodView {
            workload: record.id.clone(),
            plan: pod.plan.clone(),
            state,
            terminating: pod.removing,
            debugs: DebugContainer::list(layout, &pod.plan.uid),
        });
    }
    found
}

/// Returns the state of a pod whose state file is damaged, after its supervisor has written the file again. `None` if
/// there is no supervisor.
fn rewritten(layout: &Layout, id: &WorkloadId, pod: &PodRecord) -> Option<PodState> {
    client::rewrite(layout, id).then(|| pod.present_state(layout).ok().flatten()).flatten()
}

/// Returns every workload with its shown pods, by id.
pub fn workloads(layout: &Layout) -> Result<Vec<WorkloadRecord>, store::Error> {
    Ok(WorkloadRecord::list(layout)?
        .into_iter()
        .filter_map(|record| with_shown_pods(layout, record))
        .collect())
}

/// Returns the ids of workloads that exist without pods, as Deployments with `replicas: 0` do.
pub fn without_pods(layout: &Layout) -> Result<Vec<WorkloadId>, store::Error> {
    let summaries = WorkloadSummary::list(layout)?.into_iter();
    Ok(summaries
        .filter(|summary| summary.stands() && summary.pods.is_empty())
        .map(|summary| summary.id)
        .collect())
}

/// Returns one workload with its shown pods.
pub fn workload(layout: &Layout, id: &WorkloadId) -> Result<Option<WorkloadRecord>, store::Error> {
    Ok(WorkloadRecord::load(layout, id)?.and_then(|record| with_shown_pods(layout, record)))
}

/// Returns the record with its shown pods; `None` if no pod is shown, unless the workload exists without pods.
fn with_shown_pods(layout: &Layout, mut record: WorkloadRecord) -> Option<WorkloadRecord> {
    // A pod whose state cannot be read is shown, so that it can be taken down.
    record.pods.retain(|pod| !pod.removing || !matches!(pod.present_state(layout), Ok(None)));
    (!record.is_leftover()).then_some(record)
}

/// Returns the pods that are not shown, because they have ended and only their resources have to be released.
pub fn leaving(layout: &Layout) -> Result<Vec<Awaited>, store::Error> {
    let mut found = Vec::new();
    for summary in WorkloadSummary::list(layout)? {
        if !summary.pods.iter().any(|pod| pod.removing) {
            continue;
        }
        let record = store::damage::or_none(WorkloadRecord::load(layout, &summary.id));
        for pod in record.iter().flat_map(|record| &record.pods).filter(|pod| pod.removing) {
            if matches!(pod.present_state(layout), Ok(None)) {
                found.push(Awaited::new(&summary.id, &pod.plan));
            }
        }
    }
    Ok(found)
}
