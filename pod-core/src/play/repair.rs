//! Putting right what crashes and reboots left. Quick when all is well.

use std::collections::HashSet;
use std::fs;

use super::{Error, Host, sweep};
use crate::store::{self, Desired, FileLock, LockKind, PodGlance, WorkloadGlance, WorkloadId, boot_id};
use crate::supervisor;

/// What [`repair`] did and found.
#[derive(Debug, Default)]
pub struct Repaired {
    /// What it did, for the log.
    pub told: Vec<String>,
    /// What is wrong with the pods' networks and could not be put right.
    pub problems: Vec<String>,
    /// An earlier command has not told of these problems.
    pub are_new: bool,
}

/// Puts right what crashes and reboots left, and what other programs did to the networks: supervisors that died are
/// replaced, half-made things removed, rules and sysctls set again. Every command calls it first.
pub fn repair(host: &Host) -> Result<Repaired, Error> {
    let mut told = repair_pods(host)?;
    let networks = supervisor::networks(&host.layout, &host.exe);
    match networks.repair_dns() {
        Ok(true) => told.push("the name server of the pods was gone; a new one runs".to_owned()),
        Ok(false) => {}
        Err(e) => tracing::warn!("{e}"),
    }
    // A user who may not change the networks may still look at pods.
    let network = networks.repair().unwrap_or_else(|e| {
        tracing::warn!("{e}");
        network::Repaired::default()
    });
    told.extend(network.mended.into_iter().map(|fault| format!("mended: {fault}")));
    Ok(Repaired { told, problems: network.problems, are_new: network.is_new })
}

fn repair_pods(host: &Host) -> Result<Vec<String>, Error> {
    let layout = &host.layout;
    let mut told = Vec::new();
    let boot_path = layout.runroot.join("boot");
    let this_boot = boot_id()?;
    let known = match fs::read_to_string(&boot_path) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(store::Error::io("read", &boot_path)(e).into()),
    };
    if known.as_deref() != Some(this_boot.as_str()) {
        if known.is_none() && !layout.root.exists() && !layout.runroot.exists() {
            return Ok(told);
        }
        let lock = FileLock::acquire(&layout.boot_lock(), LockKind::Exclusive)?;
        // Somebody else may have been quicker.
        if fs::read_to_string(&boot_path).ok().as_deref() != Some(this_boot.as_str()) {
            after_boot(host, known.is_some(), &mut told)?;
            network::fail_point("boot-cleared");
            store::write_atomic(&boot_path, this_boot.as_bytes(), 0o600)?;
        }
        drop(lock);
    }
    let mut orphaned = false;
    // Before the records: what was made before we looked is recorded, and what is recorded meanwhile is no leftover.
    let pods = pods_found(host)?;
    let records = WorkloadGlance::list(layout)?;
    sweep::workloads(layout, &records)?;
    sweep::pulls(layout);
    for record in &records {
        if !is_at_work(host, record) {
            continue;
        }
        if FileLock::try_acquire(&layout.supervisor_lock(&record.id), LockKind::Exclusive)?.is_some() {
            supervisor::spawn(&host.exe, layout, &record.id)?;
            network::fail_point("supervisor-replaced");
            told.push(format!("{}: its supervisor was gone; a new one is in charge", record.id));
            orphaned = true;
        }
    }
    if orphaned || is_some_unrecorded(&pods, &records) {
        told.extend(supervisor::remove_leftovers(layout, &host.exe)?);
        sweep::temporary_files(host);
    }
    Ok(told)
}

/// Something goes on, or should, in a workload: it needs a supervisor.
pub(super) fn is_at_work(host: &Host, record: &WorkloadGlance) -> bool {
    // Nobody sees a pod that is on its way out: nobody but us would ever finish that.
    if record.pods.iter().any(|pod| pod.removing) {
        return true;
    }
    let wanted = record.pods.iter().any(|p| p.desired == Desired::Running && !p.has_ended());
    wanted && !rests(host, &record.id)
}

/// Nobody runs a workload and no repair changes that: its supervisor was told to end, or none has run since the machine
/// was started. The next play of it starts its pods.
pub(super) fn rests(host: &Host, id: &WorkloadId) -> bool {
    !host.layout.supervisor_lock(id).exists() || host.layout.supervisor_left(id).exists()
}

/// Uids of pods that have folders, or addresses: a glance at four directories, no more.
fn pods_found(host: &Host) -> Result<Vec<String>, Error> {
    let layout = &host.layout;
    let dirs = [layout.runroot.join("pods"), layout.runroot.join("netns"), layout.root.join("pods")];
    let mut found: Vec<String> = dirs
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect();
    found.extend(supervisor::networks(layout, &host.exe).leases()?);
    Ok(found)
}

fn is_some_unrecorded(pods: &[String], records: &[WorkloadGlance]) -> bool {
    let known: HashSet<&str> = records.iter().flat_map(|w| &w.pods).map(PodGlance::uid).collect();
    pods.iter().any(|uid| !known.contains(uid.as_str()))
}

/// The first call after a boot: nothing of what `--runroot` tells is true any more, should it lie on a disk.
fn after_boot(host: &Host, stale: bool, told: &mut Vec<String>) -> Result<(), Error> {
    let layout = &host.layout;
    if stale {
        for name in ["workloads", "pods", "netns", "networks", "runtime"] {
            store::remove_dir_if_exists(&layout.runroot.join(name))?;
        }
        told.push("the machine was restarted since; `kube play --all` starts what should run".to_owned());
    }
    Ok(())
}
