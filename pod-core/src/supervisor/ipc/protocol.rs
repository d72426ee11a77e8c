//! What is said over a supervisor's socket (a Unix stream socket): one JSON object per line, each way.
//!
//! Both ends begin with [`Hello`]. A command sends its first request together with its `Hello`, so that no round trip is
//! added; a supervisor ignores requests of a format that is not its own. A request is answered by one [`Reply`],
//! [`Request::Watch`] and [`Request::Exec`] by several.
//!
//! `Hello`, [`Request::HandOver`], [`Reply::Failed`] and [`Reply::ExecExited`] have the same shape in every format.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::controller::{Status, WorkloadChange};
use crate::lifecycle::PodState;
use crate::version;

/// The first message each way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The format that its sender speaks.
    pub hello: u32,
    /// The version of the program, for people.
    #[serde(default)]
    pub kube: String,
}

impl Hello {
    /// Returns the message of this program.
    pub fn new() -> Self {
        Self { hello: version::format(), kube: version::KUBE.to_owned() }
    }
}

impl Default for Hello {
    fn default() -> Self {
        Self::new()
    }
}

/// What a `kube` command asks of a supervisor. In format 1 the tag is `op`: a supervisor of kube 0.1.0 understands none of
/// these, and so does nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "camelCase")]
pub enum Request {
    /// Records a change of the workload, then makes it. Answered with [`Reply::Done`] once it is recorded.
    Change {
        /// What is asked for.
        change: WorkloadChange,
    },
    /// Writes the record and the states again, because one of these files is damaged. Answered with [`Reply::Done`].
    Save,
    /// Goes on as another program, which came along as a descriptor by SCM_RIGHTS: that of the newer `kube` that asks.
    /// Answered with that program's [`Hello`]. This request has the same shape in every format.
    HandOver {
        /// The path of the program.
        program: PathBuf,
        /// The environment of a supervisor that the asker would start.
        environment: Vec<(String, String)>,
    },
    /// The workload's status and every pod's state now, [`Reply::Ended`] of those that have ended and are on their way
    /// out, [`Reply::Done`], then each change, as [`Reply::Workload`], [`Reply::State`], [`Reply::Ended`] and
    /// [`Reply::Removed`], until the asker hangs up.
    Watch,
    /// Runs a command in a container. Three descriptors (stdin, stdout, stderr) come along by SCM_RIGHTS, with
    /// `tty` one: the answer's terminal is sent back with [`Reply::ExecStarted`] instead.
    Exec {
        /// Pod uid.
        uid: String,
        /// Container name.
        container: String,
        /// argv.
        args: Vec<String>,
        /// With a terminal.
        tty: bool,
        /// Its rows and columns, from the start.
        #[serde(default)]
        size: Option<(u16, u16)>,
    },
}

impl Request {
    /// Returns the request of a newer `kube`, whatever else it may ask, if it asks for a hand-over.
    pub fn hand_over(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().filter(|request| matches!(request, Self::HandOver { .. }))
    }
}

/// What a supervisor answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase")]
pub enum Reply {
    /// It is recorded.
    Done,
    /// It could not be done.
    Failed {
        /// For a person.
        message: String,
    },
    /// How far the workload is.
    Workload {
        /// Its status.
        status: Box<Status>,
    },
    /// A pod's state.
    State {
        /// Pod uid.
        uid: String,
        /// Its state.
        state: Box<PodState>,
    },
    /// No process of the pod runs any more. Its removal is recorded and continues.
    Ended {
        /// Pod uid.
        uid: String,
    },
    /// A pod is gone, with everything of it.
    Removed {
        /// Pod uid.
        uid: String,
    },
    /// The command runs; with `tty` the pty master came along by SCM_RIGHTS.
    ExecStarted {
        /// Its process id.
        pid: i32,
    },
    /// The command ended.
    ExecExited {
        /// Exit code, 128+n for signal n.
        code: i32,
    },
}
