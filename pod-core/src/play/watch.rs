//! What is told while workloads are waited for.

use super::{PodView, Report};
use crate::controller::Status;
use crate::observe::rollout::Watcher;
use crate::store::WorkloadId;

/// Tells a report.
pub(super) struct Telling<'a>(pub &'a mut dyn Report);

impl Watcher for Telling<'_> {
    fn waiting(&mut self, pods: &[PodView]) {
        self.0.waiting(pods);
    }

    fn progress(&mut self, workload: &WorkloadId, status: &Status) {
        self.0.progress(workload, status);
    }
}
