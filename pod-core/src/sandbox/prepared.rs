//! Containers created in parallel with their pod's sandbox. Setting up a pod's network mostly means waiting for the
//! kernel. The creation of a container needs only the network namespace; only its start has to wait until the network
//! is complete.

use std::io::{PipeReader, PipeWriter, Read, Write};

use super::container;
use super::worker::{self, Worker};
use crate::plan::{ContainerError, PodPlan};
use crate::runtime::Sandbox;
use crate::store::Layout;

/// A container that a worker creates in parallel with the sandbox.
pub struct PreparedContainer {
    name: String,
    attempt: u32,
    /// The pipe on which the worker waits for the sandbox.
    sandbox: PipeWriter,
    /// The reading end, held open because otherwise a write to a worker that has ended would end this process by
    /// SIGPIPE.
    _reader: PipeReader,
    worker: Worker<Result<(), ContainerError>>,
}

impl PreparedContainer {
    /// Starts a worker for each of the `first` containers that can be created before the network is set up.
    pub fn spawn_all(layout: &Layout, plan: &PodPlan, first: &[(String, u32)]) -> Vec<Self> {
        let able = first.iter().filter(|(name, _)| container::can_be_created_early(plan, name));
        able.filter_map(|(name, attempt)| Self::spawn(layout, plan, name, *attempt).ok()).collect()
    }

    fn spawn(layout: &Layout, plan: &PodPlan, name: &str, attempt: u32) -> std::io::Result<Self> {
        let (mut reader, sandbox) = std::io::pipe()?;
        let held = reader.try_clone()?;
        let worker = worker::spawn(move || {
            container::create_early(layout, plan, name, attempt, || {
                let mut length = [0; 4];
                reader.read_exact(&mut length).ok()?;
                let mut bytes = vec![0; usize::try_from(u32::from_ne_bytes(length)).ok()?];
                reader.read_exact(&mut bytes).ok()?;
                serde_json::from_slice::<Option<Sandbox>>(&bytes).ok()?
            })
        })?;
        Ok(Self { name: name.to_owned(), attempt, sandbox, _reader: held, worker })
    }

    /// Sends the sandbox to the waiting worker; `None` means that it could not be created. A message is sent, because
    /// other workers hold the pipe open too and closing it would not be noticed.
    pub fn proceed(&mut self, sandbox: Option<&Sandbox>) {
        let bytes = serde_json::to_vec(&sandbox).unwrap_or_default();
        let length = u32::try_from(bytes.len()).unwrap_or_default().to_ne_bytes();
        // An error is ignored: a worker that has failed does not read its pipe.
        let _ = self.sandbox.write_all(&[&length[..], &bytes].concat());
    }

    /// Waits until the worker has ended. A container that failed here is cleaned up; the regular start tries again and
    /// reports the error.
    pub fn join(self, layout: &Layout, plan: &PodPlan) {
        match self.worker.wait() {
            Some(Ok(())) => {}
            failed => {
                tracing::debug!(container = self.name, ?failed, "not created in parallel with the sandbox");
                for problem in container::delete(layout, plan, &self.name, self.attempt) {
                    tracing::warn!("{problem}");
                }
            }
        }
    }
}
