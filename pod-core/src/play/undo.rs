//! Undoes a play that failed: removes what the play created and restores the former state.

use std::time::{Duration, Instant};

use super::diff::Step;
use super::{Instance, Report, objects};
use crate::controller::WorkloadChange;
use crate::observe::rollout::{AwaitedWorkload, Goal, Outcome, wait_for_workloads};
use crate::observe::wait::wait_for;
use crate::observe::watcher::Unwatched;
use crate::observe::{Awaited, readiness};
use crate::record::WorkloadRecord;
use crate::sandbox;
use crate::store;
use crate::supervisor::ipc::client;
use crate::traffic;
use crate::volume::claims;
use crate::workload::Spec;

/// How long an undo waits for restored workloads to start again.
const RESTORE: Duration = Duration::from_mins(1);

/// Restores the state before a play. An error is reported as a warning, and the undo continues.
pub(super) fn undo(
    instance: &Instance,
    objects: &[objects::Applied],
    steps: &[&Step],
    report: &mut dyn Report,
) {
    let mut failed = |e: &dyn std::fmt::Display| report.warning(&format!("undoing: {e}"));
    // A newer kube has taken over in the meantime, so this program must not change its state any more.
    if let Err(e) = store::format::refuse_newer(&instance.layout) {
        failed(&e);
        return;
    }
    for object in objects.iter().rev() {
        if let Err(e) = objects::undo(&instance.layout, object) {
            failed(&e);
        }
    }
    base::fail_point!(Command, "objects-undone");
    if objects.iter().any(objects::Applied::directs_traffic)
        && let Err(e) = traffic::sync(&instance.layout, &instance.exe)
    {
        failed(&e);
    }
    let (mut clients, mut leaving, mut restored) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps.iter().rev() {
        let id = &step.plan.id;
        // If the play failed before this workload's turn, there is nothing to undo for the workload.
        let now = match WorkloadRecord::load(&instance.layout, id) {
            Ok(Some(now)) if now.spec.generation == step.spec.generation && !now.deleting => now,
            Ok(_) => continue,
            Err(e) => {
                failed(&e);
                continue;
            }
        };
        let before = step.before.as_ref().filter(|before| !before.deleting);
        let made = made(step, &now);
        let change = match before {
            // No grace period, because the new pods never worked.
            None => WorkloadChange::Delete { grace_seconds: Some(0) },
            Some(before) => WorkloadChange::Apply {
                spec: Box::new(restoring(&before.spec, &now.spec)),
                kill: made.iter().map(|pod| pod.uid.clone()).collect(),
            },
        };
        leaving.extend(made);
        match client::apply(&instance.layout, &instance.exe, id, &change) {
            Ok(client) => clients.extend(client),
            Err(e) => failed(&e),
        }
        base::fail_point!(Command, "workload-undone");
        match WorkloadRecord::load(&instance.layout, id) {
            Ok(Some(now)) => {
                // The workload's supervisor may have created more pods in the meantime.
                let more = self::made(step, &now).into_iter().filter(|pod| !leaving.contains(pod));
                let going = now.pods.iter().filter(|pod| pod.removing).map(|pod| &pod.plan.uid);
                let going: Vec<&String> = going.collect();
                let more: Vec<Awaited> = more.filter(|pod| going.contains(&&pod.uid)).collect();
                leaving.extend(more);
            }
            Ok(None) => {}
            Err(e) => failed(&e),
        }
        if let Some(before) = before.filter(|before| before.spec.running) {
            let generation = now.spec.generation + 1;
            restored.push(AwaitedWorkload { id: before.id.clone(), generation, goal: Goal::Started });
        }
    }
    // Waits for the removal and not only for the end of the pods, because the claims below can be removed only once no
    // pod has them.
    let removed = wait_for(instance, &leaving, clients, None, readiness::removed);
    if let Err(e) = removed.and_then(|outcome| outcome.met("be removed", None)) {
        failed(&e);
    }
    base::fail_point!(Command, "undone-pods-gone");
    let added: Vec<&str> = leaving.iter().map(|pod| pod.uid.as_str()).collect();
    if let Err(e) = claims::remove_made_for(&instance.layout, &added) {
        failed(&e);
    }
    if let Err(e) = sandbox::networks(&instance.layout, &instance.exe).remove_made_for(&added) {
        failed(&e);
    }
    for object in objects {
        if let Err(e) = objects::undo_volume(&instance.layout, object) {
            failed(&e);
        }
    }
    // The undo is complete once the restored workloads have started. A workload whose
    // rollout stalls or whose init container fails is not waited for.
    let deadline = Some(Instant::now() + RESTORE);
    match wait_for_workloads(instance, &restored, Vec::new(), deadline, &mut Unwatched) {
        Ok(Outcome::Met | Outcome::FailedInit(_) | Outcome::Stalled(..) | Outcome::Interrupted) => {}
        Ok(Outcome::Failed(_, culprit)) => failed(&format!("{}: {}", culprit.pod, culprit.message)),
        Ok(Outcome::TimedOut(_)) => failed(&"the restored workloads have not started again yet"),
        Err(e) => failed(&e),
    }
}

/// Returns the pods of a workload that the play created.
fn made(step: &Step, now: &WorkloadRecord) -> Vec<Awaited> {
    let known: Vec<&String> =
        step.before.iter().flat_map(|record| &record.pods).map(|pod| &pod.plan.uid).collect();
    let pods = now.pods.iter().filter(|pod| !known.contains(&&pod.plan.uid));
    pods.map(|pod| Awaited::new(&now.id, &pod.plan)).collect()
}

/// Returns the former spec in a form that can be applied over the present one.
fn restoring(before: &Spec, now: &Spec) -> Spec {
    // The present value is kept, so that pods from before a `play --replace` still count as outdated, since they are
    // already being removed.
    let replaced = now.replaced;
    Spec { generation: now.generation + 1, replaced, ..before.clone() }
}
