//! `down`: stops and removes workloads and objects in order, from their records.

use base::file::{FileLock, LockKind};

use super::watch::ForwardProgress;
use super::{Change, DownOptions, Error, Instance, Report, Target};
use crate::controller::WorkloadChange;
use crate::kind::Kind;
use crate::observe::Awaited;
use crate::observe::readiness;
use crate::observe::readiness::PodCheck;
use crate::observe::wait::{await_removals, wait_with_notice};
use crate::record::{WorkloadRecord, removal};
use crate::repair;
use crate::store::{self, Objects, WorkloadId};
use crate::supervisor::ipc::client;
use crate::traffic;
use crate::volume::{claims, persistent};
use crate::workload::Rule;

/// Stops and removes workloads and objects in order, from their records. Workloads are removed in parallel, each in its
/// own order. An error about one of them is reported once everything else is removed. Returns once no process runs any
/// more; resources that the kernel releases slowly are removed in the background.
pub fn down(
    instance: &Instance,
    targets: &[Target],
    options: &DownOptions,
    report: &mut dyn Report,
) -> Result<(), Error> {
    let mut records = Vec::new();
    let mut failed: Vec<(WorkloadId, Error)> = Vec::new();
    let mut discarded = Vec::new();
    for target in targets {
        match target {
            Target::Workload(id) => match WorkloadRecord::load(&instance.layout, id) {
                // A workload that was removed since the caller looked, for example by another down, needs nothing.
                Ok(record) => records.extend(record),
                Err(_) if options.force => discarded.push(id),
                Err(e) => failed.push((id.clone(), e.into())),
            },
            Target::Object(id) => {
                // A claim may exist without a record, because a pod used it.
                let stands = is_claim(target) && claims::exists(&instance.layout, &id.namespace, &id.name);
                if !stands && !Objects::exists(&instance.layout, id) {
                    return Err(Error::NotFound { what: id.to_string() });
                }
            }
        }
    }
    let grace_seconds = if options.force { Some(0) } else { options.grace_seconds };
    let change = || WorkloadChange::Delete { grace_seconds };
    let going: Vec<_> = records.iter().map(|record| (record.id.clone(), change())).collect();
    let (clients, unasked) = client::apply_all(&instance.layout, &instance.exe, &going, options.force);
    failed.extend(unasked.into_iter().map(|(id, e)| (id, Error::from(e))));
    let mut leaving = Vec::new();
    for record in records.iter().filter(|record| !failed.iter().any(|(id, _)| *id == record.id)) {
        leaving.extend(record.pods.iter().map(|pod| Awaited::new(&record.id, &pod.plan)));
        // The supervisor of a Deployment may have created pods since its record was read.
        if let Rule::Replicas(_) = record.spec.rule
            && let Some(now) = store::damage::or_none(WorkloadRecord::load(&instance.layout, &record.id))
        {
            let more =
                now.pods.iter().filter(|pod| !record.pods.iter().any(|old| old.plan.uid == pod.plan.uid));
            leaving.extend(more.map(|pod| Awaited::new(&record.id, &pod.plan)));
        }
    }
    base::fail_point!(Command, "removal-asked");
    // A claim can be removed only once no pod mounts it.
    let wait = options.wait || targets.iter().any(is_claim);
    let check: PodCheck = if wait { readiness::removed } else { readiness::deleted };
    wait_with_notice(instance, &leaving, clients, None, &mut ForwardProgress(report), check)?
        .met("be removed", None)?;
    if wait {
        await_removals(instance, &[])?;
    }
    base::fail_point!(Command, "pods-gone");
    for id in discarded {
        match discard(instance, id) {
            Ok(()) => report.changed(&id.to_string(), Change::Deleted),
            Err(e) => failed.push((id.clone(), e)),
        }
    }
    let mut first: Option<(String, Error)> = None;
    for record in records.iter().filter(|record| !failed.iter().any(|(id, _)| *id == record.id)) {
        report.changed(&record.id.to_string(), Change::Deleted);
        if removal::is_volatile(&instance.layout, &record.id) {
            report.warning(&format!(
                "{}: none of its processes runs any more, but {} cannot be changed or removed. A later command removes it once \
                 it can be; if the machine is restarted before, `kube play --all` starts it again",
                record.id,
                instance.layout.workload(&record.id).display()
            ));
        }
    }
    for (id, e) in failed {
        // The caller reports the last error.
        if let Some((id, e)) = first.replace((id.to_string(), e)) {
            report.warning(&format!("{id}: {e}"));
        }
    }
    // Claims are removed before the volumes that they have.
    let (volumes, others): (Vec<&Target>, Vec<&Target>) =
        targets.iter().partition(|target| is_of_kind(target, Kind::PersistentVolume));
    for target in others.into_iter().chain(volumes) {
        let Target::Object(id) = target else { continue };
        let removed = match id.kind {
            Kind::PersistentVolumeClaim => claims::remove(&instance.layout, &id.namespace, &id.name),
            Kind::PersistentVolume => match persistent::remove(&instance.layout, &id.name) {
                // Its reclaim policy has removed it with its claim.
                Err(claims::Error::NoVolume(_)) => Ok(()),
                removed => removed,
            },
            _ => Ok(()),
        };
        if let Err(e) = removed {
            let object = id.to_string();
            let e = Error::Failed { object: object.clone(), message: e.to_string() };
            if let Some((_, e)) = first.replace((object, e)) {
                report.warning(&e.to_string());
            }
            continue;
        }
        if let Err(e) = Objects::remove(&instance.layout, id) {
            let object = id.to_string();
            if let Some((object, e)) = first.replace((object, e.into())) {
                report.warning(&format!("{object}: {e}"));
            }
            continue;
        }
        base::fail_point!(Command, "object-removed");
        report.changed(&id.to_string(), Change::Deleted);
    }
    if let Err(e) = traffic::sync(&instance.layout, &instance.exe)
        && let Some((object, e)) = first.replace(("services".to_owned(), e.into()))
    {
        report.warning(&format!("{object}: {e}"));
    }
    repair::temporary_files(instance);
    first.map_or(Ok(()), |(_, e)| Err(e))
}

/// Returns whether a target is a claim, whose data is removed with it.
fn is_claim(target: &Target) -> bool {
    is_of_kind(target, Kind::PersistentVolumeClaim)
}

fn is_of_kind(target: &Target, kind: Kind) -> bool {
    matches!(target, Target::Object(id) if id.kind == kind)
}

/// Removes a workload whose record cannot be read. Its pods are not known, so the search for pods without a record
/// finds and removes them.
fn discard(instance: &Instance, id: &WorkloadId) -> Result<(), Error> {
    let layout = &instance.layout;
    client::kill_supervisor(layout, id)?;
    let Some(lock) = FileLock::try_acquire(&layout.supervisor_lock(id), LockKind::Exclusive)? else {
        let message = "another process uses the workload: try again".to_owned();
        return Err(Error::Failed { object: id.to_string(), message });
    };
    base::file::remove_dir_if_exists(&layout.workload(id))?;
    removal::forget_note(layout, id)?;
    base::file::remove_dir_if_exists(&layout.workload_run(id))?;
    drop(lock);
    for line in repair::remove_leftovers(layout, &instance.exe)? {
        tracing::info!("{line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play::PodView;
    use crate::store::{Layout, WorkloadId};

    struct Changes(Vec<String>);

    impl Report for Changes {
        fn changed(&mut self, object: &str, _: Change) {
            self.0.push(object.to_owned());
        }
        fn warning(&mut self, _: &str) {}
        fn waiting(&mut self, _: &[PodView]) {}
        fn hint(&mut self, _: &str) {}
        fn last_lines(&mut self, _: &str, _: &str, _: &[String]) {}
        fn pull(&mut self, _: &str) -> std::sync::Arc<dyn crate::image::Progress> {
            unreachable!("down pulls nothing")
        }
    }

    #[test]
    fn a_workload_that_was_removed_meanwhile_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
        let instance = Instance { layout, exe: "/bin/false".into() };
        let gone = [Target::Workload(WorkloadId::new(Kind::Pod, "default", "web"))];
        let mut report = Changes(Vec::new());
        down(&instance, &gone, &DownOptions::default(), &mut report).unwrap();
        assert!(report.0.is_empty());
    }
}
