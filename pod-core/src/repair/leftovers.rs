//! Removes resources that carry the uid of a pod without a record.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use crate::record::WorkloadRecord;
use crate::sandbox::{networks, purge, remove_sandbox};
use crate::store::{self, Layout};

/// Removes everything on this host that carries the uid of a pod that no workload records, and returns one line per
/// removed pod.
///
/// # Errors
/// A record cannot be read, so its pods would be taken for leftovers.
pub fn remove_leftovers(layout: &Layout, exe: &Path) -> Result<Vec<String>, store::Error> {
    let mut found = BTreeSet::new();
    for dir in [layout.root.join("pods"), layout.runroot.join("pods"), layout.runroot.join("netns")] {
        if let Ok(read) = fs::read_dir(&dir) {
            found.extend(read.filter_map(|e| e.ok()?.file_name().into_string().ok()));
        }
    }
    found.extend(networks(layout, exe).leases().unwrap_or_default());
    // The records are read after the resources are listed: a resource that was found belongs to a pod that was recorded
    // before, and a pod that is recorded meanwhile was not found.
    let known: HashSet<String> = WorkloadRecord::list_all(layout)?
        .into_iter()
        .flat_map(|w| w.pods)
        .map(|p| p.plan.uid.clone())
        .collect();
    let mut removed = Vec::new();
    for uid in found {
        if known.contains(&uid) {
            continue;
        }
        for problem in remove_sandbox(layout, exe, &uid, None) {
            tracing::warn!("{problem}");
        }
        for problem in purge(layout, exe, &uid, None) {
            tracing::warn!("{problem}");
        }
        base::fail_point!(Worker, "leftovers-removed");
        removed.push(format!("removed what a crash had left of pod {uid}"));
    }
    Ok(removed)
}
