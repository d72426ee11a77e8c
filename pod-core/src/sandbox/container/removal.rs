//! The end of a run: kills what is left of it, and removes what it had.

use std::fs;
use std::path::PathBuf;

use super::{bundle, id, scratch};
use crate::image::ImageStore;
use crate::plan::PodPlan;
use crate::runtime::{self, cgroup};
use crate::sandbox::info::runtime_state;
use crate::sandbox::process::Process;
use crate::store::Layout;

/// Kills every process in a container.
pub fn kill(cgroup: Option<&str>, id: &str, process: Option<Process>) {
    if let Some(process) = process {
        process.signal(libc::SIGKILL);
    }
    // In a shared PID namespace the other processes do not end with the container's process. They are killed by their
    // cgroup.
    if let Some(pod) = cgroup {
        cgroup::kill_all(&cgroup::container_path(pod, id));
    }
}

/// Returns how many processes of this run the kernel killed because memory ran out. Must be called before [`delete`],
/// which removes the counter.
pub fn oom_kills(cgroup: &str, id: &str) -> u64 {
    cgroup::oom_kills(&cgroup::container_path(cgroup, id)).unwrap_or(0)
}

/// Returns whether a run ended because memory ran out. An earlier kill of a child process does not say how the run
/// ended, so kills count only if the exit code is that of SIGKILL (a shell passes on that of its last child) and we did
/// not send that signal.
pub fn ended_by_oom(kills: u64, code: Option<i32>, killed_by_us: bool) -> bool {
    const KILLED: i32 = 128 + libc::SIGKILL;
    kills > 0 && code == Some(KILLED) && !killed_by_us
}

/// Releases the image layers of every remaining run of a pod.
pub fn release_images(layout: &Layout, uid: &str) -> Vec<String> {
    let folders = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
    folders(layout.pod(uid).join("containers"))
        .flat_map(folders)
        .filter_map(|scratch| Some(ImageStore::release(&layout.images(), &scratch).err()?.to_string()))
        .collect()
}

/// Removes what is left of a run that has ended. Returns problems with what could not be removed.
pub fn delete(layout: &Layout, pod: &PodPlan, name: &str, attempt: u32) -> Vec<String> {
    let mut problems = Vec::new();
    match runtime::open(pod.runtime.as_deref(), &runtime_state(layout)) {
        Ok(oci) => {
            if let Err(e) = oci.delete(&id(&pod.uid, name, attempt)) {
                problems.push(e.to_string());
            }
        }
        Err(e) => problems.push(e.to_string()),
    }
    let scratch = scratch(layout, &pod.uid, name, attempt);
    // The layers are released before the folder is removed: while the folder exists, the worker that purges the pod
    // finds what is left.
    if let Err(e) = ImageStore::release(&layout.images(), &scratch) {
        problems.push(e.to_string());
    }
    for dir in [bundle(layout, &pod.uid, name, attempt), scratch] {
        base::fail_point!(Worker, "container-files-going");
        if let Err(e) = base::file::remove_dir_if_exists(&dir) {
            problems.push(e.to_string());
        }
    }
    // Removes the container's folder when its last run is removed; fails while other runs exist.
    let _ = fs::remove_dir(layout.bundle(&pod.uid, name));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_the_kernel_kills_is_oom_killed() {
        assert!(ended_by_oom(1, Some(137), false));
        assert!(!ended_by_oom(0, Some(137), false), "killed by a user");
        assert!(!ended_by_oom(1, Some(137), true), "a child was killed for memory, then we killed the rest");
        for code in [Some(0), Some(1), Some(143), None] {
            assert!(!ended_by_oom(3, code, false), "{code:?}");
        }
    }
}
