//! What a play that failed had made, taken back; what stood before, put back.

use std::time::{Duration, Instant};

use super::workloads::Applied;
use super::{Change, Host, Report, objects};
use crate::observe::Awaited;
use crate::observe::readiness;
use crate::observe::wait::{Outcome, wait_for};
use crate::plan::PodPlan;
use crate::sandbox;
use crate::store::{self, Desired, PodRecord, WorkloadRecord};
use crate::supervisor::ipc::client;
use crate::volume::claims;

/// How long an undo waits for what stood before to start again.
const RESTORE: Duration = Duration::from_mins(1);

/// Puts back what stood before. Whatever goes wrong is told, and the rest goes on.
pub(super) fn undo(host: &Host, objects: &[objects::Applied], applied: &[Applied], report: &mut dyn Report) {
    let mut failed = |e: &dyn std::fmt::Display| report.warning(&format!("undoing: {e}"));
    // A newer kube has taken over meanwhile: what this play made is not this program's to change any more.
    if let Err(e) = store::format::refuse_newer(&host.layout) {
        failed(&e);
        return;
    }
    for object in objects.iter().rev() {
        if let Err(e) = objects::undo(&host.layout, object) {
            failed(&e);
        }
    }
    base::fail_point!(Command, "objects-undone");
    let mut clients = Vec::new();
    let (mut leaving, mut restored) = (Vec::new(), Vec::new());
    for workload in applied.iter().rev().filter(|a| a.step.change != Change::Unchanged) {
        let mut record = match &workload.step.before {
            Some(before) => before.clone(),
            None => WorkloadRecord { stands_without_pods: false, ..workload.after.clone() },
        };
        record.pods.clone_from(&workload.step.keep);
        if let Some(before) = &workload.step.before {
            for pod in &mut record.pods {
                if let Some(old) = before.pods.iter().find(|old| old.plan.uid == pod.plan.uid) {
                    pod.desired = old.desired;
                }
            }
            // Those that this play stopped are made again, of what they were made of.
            record.pods.extend(workload.step.remove.iter().filter(|pod| !pod.removing).map(|pod| {
                PodRecord {
                    plan: renewed(&pod.plan),
                    desired: pod.desired,
                    removing: false,
                    grace_seconds: None,
                    ended: None,
                }
            }));
        }
        for pod in &workload.after.pods {
            if !record.pods.iter().any(|p| p.plan.uid == pod.plan.uid) {
                // Nobody wants to wait for what never worked.
                let grace_seconds = if pod.removing { pod.grace_seconds } else { Some(0) };
                record.pods.push(PodRecord {
                    desired: Desired::Stopped,
                    removing: true,
                    grace_seconds,
                    ..pod.clone()
                });
                leaving.push(Awaited::new(&record.id, &pod.plan));
            }
        }
        let runs = record.pods.iter().filter(|p| !p.removing && p.desired == Desired::Running);
        restored.extend(runs.map(|pod| Awaited::new(&record.id, &pod.plan)));
        // A play that failed before it came to this workload has left no trace of it.
        if matches!(WorkloadRecord::load(&host.layout, &record.id), Ok(None)) {
            leaving.retain(|pod: &Awaited| pod.workload != record.id);
            restored.retain(|pod: &Awaited| pod.workload != record.id);
            continue;
        }
        match client::apply(&host.layout, &host.exe, &record) {
            Ok(client) => clients.extend(client),
            Err(e) => failed(&e),
        }
        base::fail_point!(Command, "workload-undone");
    }
    // Not only ended: a claim that goes below must have no pod.
    let removed = wait_for(host, &leaving, clients, None, readiness::removed);
    if let Err(e) = removed.and_then(|outcome| outcome.met("be removed", None)) {
        failed(&e);
    }
    base::fail_point!(Command, "undone-pods-gone");
    let added: Vec<&str> = applied.iter().flat_map(Applied::added).map(|pod| pod.uid.as_str()).collect();
    if let Err(e) = claims::remove_made_for(&host.layout, &added) {
        failed(&e);
    }
    if let Err(e) = sandbox::networks(&host.layout, &host.exe).remove_made_for(&added) {
        failed(&e);
    }
    for object in objects {
        if let Err(e) = objects::undo_volume(&host.layout, object) {
            failed(&e);
        }
    }
    // What stood before is back when it has started; what did not then is not made to now.
    match wait_for(host, &restored, Vec::new(), Some(Instant::now() + RESTORE), readiness::started) {
        Ok(Outcome::TimedOut(_)) => failed(&"what stood before has not started again yet"),
        Ok(outcome) => {
            if let Err(e) = outcome.met("start", None) {
                failed(&e);
            }
        }
        Err(e) => failed(&e),
    }
}

/// The same pod with a uid of its own: what has been removed does not come back under its old one.
fn renewed(plan: &PodPlan) -> PodPlan {
    let mut plan = plan.clone();
    plan.uid = uuid::Uuid::new_v4().to_string();
    plan.pod.metadata.uid = Some(plan.uid.clone());
    plan
}
