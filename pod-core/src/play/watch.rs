//! Reports progress while workloads are waited for.

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use super::{PodView, Report};
use crate::controller::Status;
use crate::observe::watcher::Watcher;
use crate::store::WorkloadId;

/// Passes what is watched on to a report.
pub(super) struct ForwardProgress<'a>(pub &'a mut dyn Report);

impl Watcher for ForwardProgress<'_> {
    fn waiting(&mut self, pods: &[PodView]) {
        self.0.waiting(pods);
    }

    fn progress(&mut self, workload: &WorkloadId, status: &Status) {
        self.0.progress(workload, status);
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.fd()
    }

    fn woken(&mut self) -> ControlFlow<()> {
        self.0.woken()
    }
}
