//! The probes of a pod: when they run, and what their results mean. Pure, as the rest of the state machine.
//!
//! [`ProbeSchedule`] knows when each probe is due and how often in a row it has passed or failed. Only results that
//! change something become an [`Event::Probed`](super::Event::Probed) for [`step`](super::step), so that a probe that
//! passes again and again touches no state and no file. The schedule is not stored: a new supervisor starts to
//! count from zero, and the pod stays as ready as it was until a probe decides otherwise.

mod schedule;
mod spec;

use serde::{Deserialize, Serialize};

pub use schedule::ProbeSchedule;
pub use spec::{ProbeKind, ProbeSpec, ProbeSpecs};

/// One execution of a probe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeRun {
    /// Container.
    pub container: String,
    /// Which run of the container, from 0.
    pub attempt: u32,
    /// Which probe.
    pub kind: ProbeKind,
}

/// The result of one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeResult {
    /// It passed.
    Success,
    /// It passed, and the user has to know something.
    Warning(String),
    /// It failed, with the reason.
    Failure(String),
    /// It could not be done, with the reason. Changes nothing.
    Unknown(String),
}
