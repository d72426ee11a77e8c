//! Removes a pod's sandbox, the rest of its containers, and its files. Runs in a worker.

use std::fs;
use std::path::Path;

use super::container::release_images;
use super::info::{INTENT, etc, networks, runtime_state};
use super::worker;
use crate::plan::PodPlan;
use crate::runtime::{self, cgroup};
use crate::store::Layout;

/// Removes the sandbox and all remaining containers of the pod. Continues after a failure, and returns problems with
/// what could not be removed.
pub fn remove(layout: &Layout, exe: &Path, plan: &PodPlan) -> Vec<String> {
    remove_sandbox(layout, exe, &plan.uid, plan.runtime.as_deref())
}

/// Does [`remove`] for a pod of which only the uid is known.
pub fn remove_sandbox(layout: &Layout, exe: &Path, uid: &str, runtime: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    // All processes are killed before their namespaces and cgroups are removed.
    let cgroups = cgroup::of_pod(uid);
    for path in &cgroups {
        cgroup::kill_all(path);
    }
    base::fail_point!(Worker, "pod-killed");
    let state = runtime_state(layout);
    match runtime::open(runtime, &state) {
        Ok(oci) => {
            for id in containers_of(&state, uid) {
                if let Err(e) = oci.delete(&id) {
                    problems.push(e.to_string());
                }
            }
        }
        Err(e) => problems.push(e.to_string()),
    }
    // The containers are looked up on disk, because the runtime of a pod without a record is not known, and a runtime
    // may not be installed any more.
    for id in containers_of(&state, uid) {
        if let Err(e) = runtime::forget_external(&state, &id) {
            problems.push(e.to_string());
        }
    }
    base::fail_point!(Worker, "pod-containers-deleted");
    problems.extend(crate::volume::claims::detach(layout, uid).iter().map(ToString::to_string));
    let (instance, id) = (networks(layout, exe), uid.to_owned());
    // Runs in a separate process, because netavark changes the namespaces of its thread.
    match worker::spawn(move || match instance.teardown(&id) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }) {
        Ok(worker) => {
            problems.extend(worker.wait().unwrap_or_else(|| vec!["network teardown was killed".to_owned()]));
        }
        Err(e) => problems.push(format!("cannot fork: {e}")),
    }
    base::fail_point!(Worker, "network-left");
    if let Err(e) = network::remove_netns(&layout.netns(uid)) {
        problems.push(e.to_string());
    }
    base::fail_point!(Worker, "namespace-removed");
    if let Err(e) = runtime::user_namespace::remove(&layout.user_namespace(uid)) {
        problems.push(e.to_string());
    }
    base::fail_point!(Worker, "user-namespace-removed");
    for path in &cgroups {
        if let Err(e) = cgroup::remove(path) {
            problems.push(e.to_string());
        }
    }
    base::fail_point!(Worker, "pod-cgroup-removed");
    let run = layout.pod_run(uid);
    if let Err(e) = runtime::infra::unmount_shm(&run.join("shm")) {
        problems.push(e.to_string());
    }
    base::fail_point!(Worker, "shm-unmounted");
    for file in ["sandbox.json", INTENT] {
        if let Err(e) = base::file::remove_file_if_exists(&run.join(file)) {
            problems.push(e.to_string());
        }
    }
    base::fail_point!(Worker, "sandbox-forgotten");
    for dir in [run.join("infra"), run.join("bundles"), etc(layout, uid)] {
        if let Err(e) = base::file::remove_dir_if_exists(&dir) {
            problems.push(e.to_string());
        }
    }
    problems
}

/// Returns the ids of this pod for which a runtime keeps state: libcontainer's bundles and containers, and for any
/// other runtime its own folder and the folder of our calls.
fn containers_of(state: &Path, uid: &str) -> std::collections::BTreeSet<String> {
    let prefix = format!("{uid}-");
    ["bundles", "containers", "runtime", "calls"]
        .iter()
        .filter_map(|dir| fs::read_dir(state.join(dir)).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&prefix))
        .collect()
}

/// Deletes all files of a pod whose sandbox is removed.
pub fn purge(layout: &Layout, exe: &Path, uid: &str, runtime: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    // A pod that did not run in this boot still holds the addresses of the last boot. The state machine does not ask
    // for the removal of a sandbox that a killed worker has not completed, because that is no sandbox for it.
    let is_half_made = layout.pod_run(uid).join(INTENT).exists();
    if is_half_made || networks(layout, exe).leases().is_ok_and(|leases| leases.iter().any(|id| id == uid)) {
        problems.extend(remove_sandbox(layout, exe, uid, runtime));
    }
    if let Err(errors) = crate::volume::remove(layout, uid) {
        problems.extend(errors.iter().map(ToString::to_string));
    }
    problems.extend(release_images(layout, uid));
    for dir in [layout.pod(uid), layout.pod_run(uid)] {
        base::fail_point!(Worker, "pod-files-going");
        if let Err(e) = base::file::remove_dir_if_exists(&dir) {
            problems.push(e.to_string());
        }
    }
    problems
}
