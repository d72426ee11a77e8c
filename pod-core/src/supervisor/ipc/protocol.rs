//! The messages on a supervisor's socket (a Unix stream socket): one JSON object per line, in both directions.
//!
//! Both ends begin with [`Hello`]. A command sends its first request together with its `Hello`, so that no round trip
//! is added; a supervisor ignores requests of a format that is not its own. A request is answered by one [`Reply`],
//! [`Request::Watch`] and [`Request::Exec`] by several.
//!
//! `Hello`, [`Request::HandOver`], [`Reply::Failed`] and [`Reply::ExecExited`] have the same shape in every format.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::controller::{Status, WorkloadChange};
use crate::lifecycle::PodState;
use crate::log::Stream;
use crate::sandbox::Debug;
use crate::version;

/// The first message in each direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The format that the sender speaks.
    pub hello: u32,
    /// The version of the sender's program, for messages to users.
    #[serde(default)]
    pub kube: String,
}

impl Hello {
    /// Creates the message of this program.
    pub fn new() -> Self {
        Self { hello: version::format(), kube: version::KUBE.to_owned() }
    }
}

impl Default for Hello {
    fn default() -> Self {
        Self::new()
    }
}

/// The requests of `kube` commands to a supervisor. In format 1 the tag is `op`, so a supervisor of kube 0.1.0
/// understands none of these requests and does nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "camelCase")]
pub enum Request {
    /// Records a change of the workload, then carries it out. Answered with [`Reply::Done`] once the change is
    /// recorded.
    Change {
        /// The requested change.
        change: WorkloadChange,
    },
    /// Writes the record and the states again, because one of these files is damaged. Answered with [`Reply::Done`].
    Save,
    /// Continues as another program, whose descriptor is sent along by SCM_RIGHTS: that of the newer `kube` that asks.
    /// Answered with that program's [`Hello`]. This request has the same shape in every format.
    HandOver {
        /// The path of the program.
        program: PathBuf,
        /// The environment of a supervisor that the asking `kube` would start.
        environment: Vec<(String, String)>,
    },
    /// Sends the workload's status and every pod's state, [`Reply::Ended`] for pods that have ended and are being
    /// removed, and [`Reply::Done`]. After that, sends each change as [`Reply::Workload`], [`Reply::State`],
    /// [`Reply::Ended`] or [`Reply::Removed`], until the client disconnects.
    Watch,
    /// Runs a command in a container. Three descriptors (stdin, stdout, stderr) are sent along by SCM_RIGHTS. With
    /// `tty` none is sent; the terminal comes back with [`Reply::ExecStarted`].
    Exec {
        /// Pod uid.
        uid: String,
        /// Container name.
        container: String,
        /// argv.
        args: Vec<String>,
        /// True if the command gets a terminal.
        tty: bool,
        /// The terminal's initial rows and columns.
        #[serde(default)]
        size: Option<(u16, u16)>,
    },
    /// Runs a debug container in a pod. Descriptors and replies are those of [`Request::Exec`].
    Debug {
        /// Pod uid.
        uid: String,
        /// The container.
        debug: Debug,
        /// The terminal's initial rows and columns.
        #[serde(default)]
        size: Option<(u16, u16)>,
    },
    /// Sends the output of a container from now on: [`Reply::Attached`], then [`Reply::Output`] as it comes, until
    /// [`Reply::ContainerEnded`] or until the client disconnects.
    Attach {
        /// Pod uid.
        uid: String,
        /// Container name.
        container: String,
        /// True if the client wants to write to the container's stdin.
        stdin: bool,
    },
    /// Ends what this client writes to the stdin of the container that it is attached to. Not answered. A container with
    /// `stdinOnce: true` reads an end of file.
    CloseStdin,
    /// Gives the terminal of a container a size. Not answered: the terminal may just have ended.
    Resize {
        /// Pod uid.
        uid: String,
        /// Container name.
        container: String,
        /// Rows and columns.
        size: (u16, u16),
    },
}

impl Request {
    /// Returns a newer `kube`'s request for a hand-over; `None` for any other line.
    pub fn hand_over(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().filter(|request| matches!(request, Self::HandOver { .. }))
    }
}

/// The replies of a supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase")]
pub enum Reply {
    /// The request is recorded or complete.
    Done,
    /// The request failed.
    Failed {
        /// The error, for the user.
        message: String,
    },
    /// The status of the workload.
    Workload {
        /// The status.
        status: Box<Status>,
    },
    /// The state of a pod.
    State {
        /// Pod uid.
        uid: String,
        /// The state.
        state: Box<PodState>,
    },
    /// No process of the pod runs any more. Its removal is recorded and continues.
    Ended {
        /// Pod uid.
        uid: String,
    },
    /// A pod is removed, with all its resources.
    Removed {
        /// Pod uid.
        uid: String,
    },
    /// The command runs. With `tty` the pty's master is sent along by SCM_RIGHTS.
    ExecStarted {
        /// The command's process id.
        pid: i32,
    },
    /// The client receives the output of a container. With `stdin`, the writing end of the container's stdin is sent
    /// along by SCM_RIGHTS, unless the container has closed it.
    Attached {
        /// True if a descriptor was sent along.
        stdin: bool,
    },
    /// Output of a container.
    Output {
        /// The stream that it was written to.
        stream: Stream,
        /// The bytes, each as the character with its number, because output need not be text.
        bytes: String,
    },
    /// The container has ended.
    ContainerEnded {
        /// Its exit code, 128+n for signal n; `None` if it was lost.
        code: Option<i32>,
    },
    /// The command has ended.
    ExecExited {
        /// The command's exit code, 128+n for signal n.
        code: i32,
    },
}
