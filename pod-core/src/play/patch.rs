//! Changes of a workload without a manifest: scaling, rolling back, pausing.

use std::time::Instant;

use base::file::{FileLock, LockKind};

use super::watch::ForwardProgress;
use super::{Error, Instance, Report, conflicts, images, preflight};
use crate::controller::{Culprit, WorkloadChange};
use crate::observe::rollout::{AwaitedWorkload, Goal, Outcome, unready_names, wait_for_workloads};
use crate::record::WorkloadRecord;
use crate::store::{Objects, WorkloadId};
use crate::supervisor::ipc::client;
use crate::workload::{Spec, patch};

/// The result of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patched {
    /// False if the workload already was as requested.
    pub changed: bool,
    /// What to wait for with [`rollout_status`].
    pub awaited: AwaitedWorkload,
}

/// Changes the spec of a recorded workload. `patch` returns the new spec, given the record; this function raises the
/// generation. The images of a changed template are pulled and checked first. Returns once the change is recorded,
/// without waiting for the pods.
///
/// # Errors
/// The workload does not exist, the patch does not apply, or the new template cannot be run.
pub fn apply_patch(
    instance: &Instance,
    id: &WorkloadId,
    patch: &dyn Fn(&WorkloadRecord) -> Result<Spec, patch::Error>,
    report: &mut dyn Report,
) -> Result<Patched, Error> {
    loop {
        let before = standing(instance, id)?;
        let former = &before.spec;
        let patched =
            patch(&before).map_err(|source| Error::Unchangeable { object: id.to_string(), source })?;
        let mut spec = Spec { generation: former.generation, ..patched };
        if spec == *former {
            return Ok(Patched { changed: false, awaited: awaited(id, &spec) });
        }
        spec.generation += 1;
        if spec.template.hash != former.template.hash {
            if let Some(message) = conflicts::of(&instance.layout, &before, &spec) {
                return Err(Error::Failed { object: id.to_string(), message });
            }
            let pod = preflight::sample_pod(&spec.template);
            let objects = Objects::load(&instance.layout)?;
            let names = images::names(std::iter::once(&pod))?;
            images::pull(instance, std::iter::once((&pod, &spec.object)), &names, None, &objects, report)?;
            preflight::check(instance, &[(id.to_string(), pod)], &objects, &names)?;
        }
        let lock = FileLock::acquire(&instance.layout.play_lock(), LockKind::Exclusive)?;
        if !is_same(&before, Some(&standing(instance, id)?)) {
            continue;
        }
        let awaited = awaited(id, &spec);
        let change = WorkloadChange::Apply { spec: Box::new(spec), kill: Vec::new() };
        client::apply(&instance.layout, &instance.exe, id, &change)?;
        drop(lock);
        return Ok(Patched { changed: true, awaited });
    }
}

/// Waits until the rollout of a workload is complete, and reports its progress.
///
/// # Errors
/// The rollout makes no progress, one of its pods cannot start, or the deadline is over.
pub fn rollout_status(
    instance: &Instance,
    awaited: &AwaitedWorkload,
    deadline: Option<Instant>,
    report: &mut dyn Report,
) -> Result<(), Error> {
    let begun = Instant::now();
    let one = std::slice::from_ref(awaited);
    let outcome = wait_for_workloads(instance, one, Vec::new(), deadline, &mut ForwardProgress(report))?;
    require_met(instance, outcome, "be rolled out", begun.elapsed())
}

/// Returns an error unless the workloads have reached the state that was waited for. `after` is how long the wait took.
pub(super) fn require_met(
    instance: &Instance,
    outcome: Outcome,
    what: &str,
    after: std::time::Duration,
) -> Result<(), Error> {
    match outcome {
        Outcome::Met => Ok(()),
        Outcome::Interrupted => Err(Error::Interrupted),
        Outcome::Failed(_, culprit) => {
            Err(Error::PodFailed { object: culprit.pod, message: culprit.message })
        }
        Outcome::FailedInit(culprits) => {
            let others = culprits.len().saturating_sub(1);
            match culprits.into_iter().next() {
                Some(Culprit { pod: object, message }) => {
                    Err(Error::ContainerFailed { object, message, others })
                }
                None => Ok(()),
            }
        }
        Outcome::Stalled(workload, culprit) => {
            let (pod, message) = culprit.map_or_else(
                || (workload.to_string(), "not enough pods are available".to_owned()),
                |culprit| (culprit.pod, culprit.message),
            );
            Err(Error::Stalled { workload, pod, message })
        }
        Outcome::TimedOut(left) => {
            let what = format!("{} to {what}", unready_names(&instance.layout, &left));
            Err(Error::TimedOut { what, after })
        }
    }
}

/// Returns whether a workload is unchanged since a change of it was decided on.
pub(super) fn is_same(before: &WorkloadRecord, now: Option<&WorkloadRecord>) -> bool {
    now.is_some_and(|now| {
        (&now.uid, now.spec.generation, now.deleting)
            == (&before.uid, before.spec.generation, before.deleting)
    })
}

fn standing(instance: &Instance, id: &WorkloadId) -> Result<WorkloadRecord, Error> {
    let record = WorkloadRecord::load(&instance.layout, id)?.filter(|record| !record.deleting);
    record.ok_or_else(|| Error::NotFound { what: id.to_string() })
}

fn awaited(id: &WorkloadId, spec: &Spec) -> AwaitedWorkload {
    AwaitedWorkload { id: id.clone(), generation: spec.generation, goal: Goal::RolledOut }
}
