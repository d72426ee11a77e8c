//! Repairs what crashes and reboots left. Fast if nothing has to be repaired.

mod leftovers;
mod sweep;

pub use leftovers::remove_leftovers;
pub use sweep::temporary_files;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use base::file::{FileLock, LockKind};

use crate::record::{Desired, PodSummary, WorkloadSummary};
use crate::sandbox;
use crate::store::Instance;
use crate::store::{self, Error, Layout, WorkloadId, boot_id};
use crate::supervisor;
use crate::supervisor::ipc::client;
use crate::traffic;

/// What [`repair`] has done and found.
#[derive(Debug, Default)]
pub struct Repaired {
    /// What was repaired, for the log.
    pub log_lines: Vec<String>,
    /// Problems of the pods' networks that could not be repaired.
    pub problems: Vec<String>,
    /// True if no earlier command has reported these problems.
    pub are_new: bool,
}

/// Repairs what crashes and reboots left, and what other programs changed in the networks: replaces supervisors that
/// died, removes incomplete resources, sets rules and sysctls again. Every command calls this first.
pub fn repair(instance: &Instance) -> Result<Repaired, Error> {
    let mut log_lines = repair_pods(instance)?;
    let networks = sandbox::networks(&instance.layout, &instance.exe);
    let restarted = networks.repair_dns().unwrap_or_else(|e| {
        tracing::warn!("{e}");
        false
    });
    if restarted {
        log_lines.push("the name server of the pods had ended; a new one was started".to_owned());
    }
    // A user who may not change the networks may still list pods.
    let network = networks.repair().unwrap_or_else(|e| {
        tracing::warn!("{e}");
        network::Repaired::default()
    });
    match traffic::repair(&instance.layout, &instance.exe, restarted || !network.mended.is_empty()) {
        Ok(true) => log_lines.push("Services and Ingresses were not up to date; they are now".to_owned()),
        Ok(false) => {}
        Err(e) => tracing::warn!("{e}"),
    }
    log_lines.extend(network.mended.into_iter().map(|fault| format!("repaired: {fault}")));
    Ok(Repaired { log_lines, problems: network.problems, are_new: network.is_new })
}

fn repair_pods(instance: &Instance) -> Result<Vec<String>, Error> {
    let layout = &instance.layout;
    let mut log_lines = Vec::new();
    let boot_path = layout.runroot.join("boot");
    let this_boot = boot_id()?;
    let known = match fs::read_to_string(&boot_path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Ok(text) if !is_damaged_boot(&text, &this_boot) => Some(text),
        Ok(_) | Err(_) => {
            // The pods that run must not be taken for those of an earlier boot, so the file counts as written in this
            // boot.
            mend_boot(&boot_path, &this_boot);
            Some(this_boot.clone())
        }
    };
    if known.as_deref() != Some(this_boot.as_str()) {
        if known.is_none() && !layout.root.exists() && !layout.runroot.exists() {
            return Ok(log_lines);
        }
        let lock = FileLock::acquire(&layout.boot_lock(), LockKind::Exclusive)?;
        // Another command may have done this in the meantime.
        if fs::read_to_string(&boot_path).ok().as_deref() != Some(this_boot.as_str()) {
            after_boot(instance, known.is_some(), &mut log_lines)?;
            base::fail_point!(Command, "boot-cleared");
            base::file::write_atomic(&boot_path, this_boot.as_bytes(), 0o600)?;
        }
        drop(lock);
    }
    let mut orphaned = false;
    // The pods are listed before the records are read: what was found belongs to a pod that was recorded before, and a
    // pod that is recorded meanwhile is no leftover.
    let pods = pods_found(instance);
    let (mut records, damaged) = WorkloadSummary::list_with_damaged(layout)?;
    let damaged = mend(layout, damaged, &mut records);
    sweep::workloads(layout, &records, &damaged)?;
    sweep::pulls(layout);
    for record in &records {
        if !is_at_work(instance, record) {
            continue;
        }
        // A problem of one workload is reported by the command that needs that workload.
        let lock = FileLock::try_acquire(&layout.supervisor_lock(&record.id), LockKind::Exclusive);
        if store::damage::or_none(lock).is_some() {
            if let Err(e) = supervisor::spawn(&instance.exe, layout, &record.id) {
                tracing::warn!("{}: {e}", record.id);
                continue;
            }
            base::fail_point!(Command, "supervisor-replaced");
            log_lines.push(format!("{}: its supervisor had ended; a new one was started", record.id));
            orphaned = true;
        }
    }
    if orphaned || is_some_unrecorded(&pods, &records) {
        // The pods of a record that cannot be read would be taken for leftovers.
        if damaged.is_empty() {
            match remove_leftovers(layout, &instance.exe) {
                Ok(removed) => log_lines.extend(removed),
                Err(e) => store::damage::pass_over(&e),
            }
        }
        sweep::temporary_files(instance);
    }
    Ok(log_lines)
}

/// Returns whether the text of a `boot` file is no valid boot id: it is empty, cut off, or not text.
fn is_damaged_boot(text: &str, this_boot: &str) -> bool {
    let id = text.trim();
    id.is_empty() || id.contains(char::is_control) || (id != this_boot && this_boot.starts_with(id))
}

fn mend_boot(path: &Path, this_boot: &str) {
    // Removes an empty folder that has the file's name.
    let _ = fs::remove_dir(path);
    match base::file::write_atomic(path, this_boot.as_bytes(), 0o600) {
        Ok(()) => tracing::warn!("{} was damaged; it is written again, as of this boot", path.display()),
        Err(e) => tracing::warn!("{} is damaged and counts as of this boot; remove it: {e}", path.display()),
    }
}

/// Returns whether a workload needs a supervisor, because a pod of it runs, should run or is being removed.
pub(crate) fn is_at_work(instance: &Instance, record: &WorkloadSummary) -> bool {
    // A pod that is being removed is not shown, so no other command would finish its removal.
    if record.pods.iter().any(|pod| pod.removing) {
        return true;
    }
    let wanted = record.pods.iter().any(|p| p.desired == Desired::Running && !p.has_ended());
    wanted && !stays_stopped(instance, &record.id)
}

/// Returns whether a workload has no supervisor and a repair must not start one, because its supervisor was asked to
/// end, or none has run since the machine was started. The next play of the workload starts its pods.
pub(crate) fn stays_stopped(instance: &Instance, id: &WorkloadId) -> bool {
    !instance.layout.supervisor_lock(id).exists() || instance.layout.supervisor_left(id).exists()
}

/// Returns the uids of pods that have folders or addresses. Fast, because it only lists four directories.
fn pods_found(instance: &Instance) -> Vec<String> {
    let layout = &instance.layout;
    let dirs = [layout.runroot.join("pods"), layout.runroot.join("netns"), layout.root.join("pods")];
    let mut found: Vec<String> = dirs
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect();
    match sandbox::networks(layout, &instance.exe).leases() {
        Ok(leases) => found.extend(leases),
        Err(e) => tracing::warn!("{e}"),
    }
    found
}

/// Makes supervisors write damaged records again. Returns the workloads whose records stay damaged.
fn mend(
    layout: &Layout,
    damaged: Vec<crate::record::DamagedRecord>,
    records: &mut Vec<WorkloadSummary>,
) -> Vec<WorkloadId> {
    let mut left = Vec::new();
    for (id, error) in damaged {
        let mended = client::rewrite(layout, &id).then(|| WorkloadSummary::load(layout, &id).ok().flatten());
        match mended.flatten() {
            Some(record) => {
                let path = layout.workload_record(&id);
                tracing::warn!("{} was damaged; the supervisor of {id} has written it again", path.display());
                records.push(record);
            }
            None => {
                store::damage::pass_over(&error);
                left.push(id);
            }
        }
    }
    left
}

fn is_some_unrecorded(pods: &[String], records: &[WorkloadSummary]) -> bool {
    let known: HashSet<&str> = records.iter().flat_map(|w| &w.pods).map(PodSummary::uid).collect();
    pods.iter().any(|uid| !known.contains(uid.as_str()))
}

/// Handles the first command after a boot. If `--runroot` is on a disk, its contents are outdated and are removed.
fn after_boot(instance: &Instance, stale: bool, log_lines: &mut Vec<String>) -> Result<(), Error> {
    let layout = &instance.layout;
    if stale {
        for name in ["workloads", "pods", "netns", "networks", "runtime", "loops", "services", "ingress"] {
            base::file::remove_dir_if_exists(&layout.runroot.join(name))?;
        }
        log_lines
            .push("the machine was restarted; `kube play --all` starts the pods that should run".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_boot_file_is_distinguished_from_that_of_another_boot() {
        let this = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
        for damaged in ["", "\n", "3f2504e0-4f", "\u{0}\u{0}\u{0}"] {
            assert!(is_damaged_boot(damaged, this), "{damaged:?}");
        }
        for other in [this, "0b7e9c5e-4f89-11d3-9a0c-0305e82c3301", "another\n"] {
            assert!(!is_damaged_boot(other, this), "{other:?}");
        }
    }
}
