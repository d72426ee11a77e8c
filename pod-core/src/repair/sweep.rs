//! Removes what killed writers left and no other code looks for: temporary files, and folders of workloads and claims
//! that were about to be created.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base::file::{FileLock, LockKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::image::ImageStore;
use crate::record::WorkloadSummary;
use crate::sandbox;
use crate::store::Instance;
use crate::store::{self, Error, Layout, WorkloadId};

/// Removes folders of workloads that have no record or a leftover one, because their supervisor, or the command that
/// was about to start it, was killed. A workload that exists without pods keeps its folders. Fast if there are none.
pub(super) fn workloads(
    layout: &Layout,
    records: &[WorkloadSummary],
    damaged: &[WorkloadId],
) -> Result<(), Error> {
    let at_work: BTreeSet<String> =
        records.iter().filter(|r| !r.is_leftover()).map(|r| r.id.dir_name()).collect();
    let mut names = BTreeSet::new();
    for dir in [layout.workloads(), layout.runroot.join("workloads")] {
        names.extend(
            entries(&dir).into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())),
        );
    }
    for id in names.difference(&at_work).filter_map(|name| WorkloadId::from_dir_name(name)) {
        if damaged.contains(&id) {
            continue;
        }
        // A process that is about to record the workload, or a supervisor that is about to end, holds this lock.
        let lock = FileLock::try_acquire(&layout.supervisor_lock(&id), LockKind::Exclusive);
        let Some(_lock) = store::damage::or_none(lock) else { continue };
        match WorkloadSummary::load(layout, &id) {
            Ok(record) if record.as_ref().is_none_or(WorkloadSummary::is_leftover) => {}
            _ => continue,
        }
        // A read-only disk must not prevent commands that only read, or that stop something.
        if let Err(error) = base::file::remove_dir_if_exists(&layout.workload(&id)) {
            tracing::warn!(%error, "the remains of {id} cannot be removed");
            continue;
        }
        base::file::remove_dir_if_exists(&layout.workload_run(&id))?;
    }
    crate::record::removal::sweep(layout)?;
    Ok(())
}

/// Removes what killed pulls left.
pub(super) fn pulls(layout: &Layout) {
    if !entries(&layout.images().join("tmp")).is_empty()
        && let Err(error) = ImageStore::open(&layout.images())
    {
        tracing::warn!(%error, "the remains of a killed pull cannot be removed");
    }
}

/// Removes temporary files of processes that have ended. Searches every folder that may contain one.
pub fn temporary_files(instance: &Instance) {
    let layout = &instance.layout;
    let mut dirs: Vec<PathBuf> = ["", "ingress", "pause", "services", "workloads/*", "runtime/seccomp"]
        .iter()
        .flat_map(|dir| below(&layout.runroot, dir))
        .collect();
    let in_root = [
        "",
        "ingress",
        "workloads/*",
        "objects/*",
        "objects/*/*",
        "persistentvolumes",
        "volumes/*/*",
        "images",
        "images/leases",
        "images/blobs/sha256",
    ];
    dirs.extend(in_root.iter().flat_map(|dir| below(&layout.root, dir)));
    for path in dirs.iter().flat_map(|dir| entries(dir)) {
        if path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(base::file::writer_of)
            .is_some_and(process_has_exited)
            && let Err(e) = base::file::remove_file_if_exists(&path)
        {
            tracing::warn!("{e}");
        }
    }
    if let Err(e) = crate::volume::claims::remove_unmade(layout) {
        tracing::warn!("{e}");
    }
    if let Err(e) = crate::volume::persistent::sweep(layout) {
        tracing::warn!("{e}");
    }
    if let Err(e) = sandbox::networks(layout, &instance.exe).remove_temporary_files() {
        tracing::warn!("{e}");
    }
}

/// Returns whether a process has ended. One that nobody has waited for yet (a zombie) has: its pidfd is readable
/// (pidfd_open(2)), while kill(2) still finds it.
fn process_has_exited(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return true };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => {
            let mut fds = [PollFd::new(&process, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1)
        }
        Err(error) => error == rustix::io::Errno::SRCH,
    }
}

/// Returns the folders that match a pattern in which a star stands for any name.
fn below(dir: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = match part {
            "*" => found.iter().flat_map(|dir| entries(dir)).collect(),
            name => found.iter().map(|dir| dir.join(name)).collect(),
        };
    }
    found
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}
