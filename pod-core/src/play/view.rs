//! Pods as commands see them: from what is on disk, asking nobody.

use super::PodView;
use crate::store::{self, Layout, WorkloadId, WorkloadRecord};

/// Every pod, by namespace and name.
pub fn pods(layout: &Layout) -> Result<Vec<PodView>, store::Error> {
    let mut found = Vec::new();
    for record in WorkloadRecord::list(layout)? {
        found.extend(views(layout, &record)?);
    }
    found.sort_by(|a: &PodView, b| {
        (a.plan.namespace(), a.plan.name()).cmp(&(b.plan.namespace(), b.plan.name()))
    });
    Ok(found)
}

/// The pods of one workload, oldest first.
pub fn pods_of(layout: &Layout, id: &WorkloadId) -> Result<Vec<PodView>, store::Error> {
    match WorkloadRecord::load(layout, id)? {
        Some(record) => views(layout, &record),
        None => Ok(Vec::new()),
    }
}

fn views(layout: &Layout, record: &WorkloadRecord) -> Result<Vec<PodView>, store::Error> {
    record
        .pods
        .iter()
        .map(|pod| {
            let state = crate::supervisor::last_state(layout, pod)?;
            Ok(PodView {
                workload: record.id.clone(),
                plan: pod.plan.clone(),
                state,
                terminating: pod.removing,
            })
        })
        .collect()
}
