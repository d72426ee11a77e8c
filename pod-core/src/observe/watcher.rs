//! What a front end learns, and does, while it waits.

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use super::PodView;
use crate::controller::Status;
use crate::store::WorkloadId;

/// Receives progress while pods or workloads are waited for, and may do other work meanwhile.
pub trait Watcher {
    /// The wait takes long because of these pods. Called once.
    fn waiting(&mut self, pods: &[PodView]);
    /// How far a rollout is.
    fn progress(&mut self, workload: &WorkloadId, status: &Status);
    /// A descriptor that interrupts the wait whenever it is readable.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Called when that descriptor is readable. `Break` ends the wait.
    fn woken(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// A watcher that shows nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn waiting(&mut self, _: &[PodView]) {}
    fn progress(&mut self, _: &WorkloadId, _: &Status) {}
}
