//! Containers that are made beside their sandbox. The network of a pod is mostly waiting for the kernel, and a
//! container needs no more of it than the namespace; only its start comes after.

use std::io::{PipeReader, PipeWriter, Read, Write};

use super::container;
use super::worker::{self, Worker};
use crate::plan::{ContainerError, PodPlan};
use crate::runtime::Sandbox;
use crate::store::Layout;

/// A container that is made beside its sandbox.
pub struct Ahead {
    name: String,
    attempt: u32,
    /// Where its maker waits for the sandbox.
    go: PipeWriter,
    /// Held open, so that a maker that has ended before does not end us with SIGPIPE.
    _wait: PipeReader,
    maker: Worker<Result<(), ContainerError>>,
}

impl Ahead {
    /// Begins all that can be.
    pub fn all(layout: &Layout, plan: &PodPlan, first: &[(String, u32)]) -> Vec<Self> {
        let able = first.iter().filter(|(name, _)| container::can_be_ahead(plan, name));
        able.filter_map(|(name, attempt)| Self::begin(layout, plan, name, *attempt).ok()).collect()
    }

    fn begin(layout: &Layout, plan: &PodPlan, name: &str, attempt: u32) -> std::io::Result<Self> {
        let (mut wait, go) = std::io::pipe()?;
        let held = wait.try_clone()?;
        let maker = worker::spawn(move || {
            container::create_ahead(layout, plan, name, attempt, || {
                let mut length = [0; 4];
                wait.read_exact(&mut length).ok()?;
                let mut bytes = vec![0; usize::try_from(u32::from_ne_bytes(length)).ok()?];
                wait.read_exact(&mut bytes).ok()?;
                serde_json::from_slice::<Option<Sandbox>>(&bytes).ok()?
            })
        })?;
        Ok(Self { name: name.to_owned(), attempt, go, _wait: held, maker })
    }

    /// Tells that the sandbox stands, or that there is none to wait for. By a message: others of them hold the pipe
    /// open too, so that closing it would tell nobody.
    pub fn go_on(&mut self, sandbox: Option<&Sandbox>) {
        let bytes = serde_json::to_vec(&sandbox).unwrap_or_default();
        let length = u32::try_from(bytes.len()).unwrap_or_default().to_ne_bytes();
        // One that has failed listens no more.
        let _ = self.go.write_all(&[&length[..], &bytes].concat());
    }

    /// Waits for it. One that could not be made leaves nothing: it is made, or found impossible, in its turn.
    pub fn finish(self, layout: &Layout, plan: &PodPlan) {
        match self.maker.wait() {
            Some(Ok(())) => {}
            failed => {
                tracing::debug!(container = self.name, ?failed, "not made ahead");
                for problem in container::delete(layout, plan, &self.name, self.attempt) {
                    tracing::warn!("{problem}");
                }
            }
        }
    }
}
