//! What a command reaches inside a running pod: the files of a container, and its network.
//!
//! A container may be hostile. Its files are opened through its root ([`ContainerRoot`]), so that no link of it leads
//! out; everything below is opened by name and descriptor ([`walk`]), never by a path that could be replaced in the
//! meantime. Only regular files are read and written, because a device or a FIFO of a container would act on the host or
//! block. [`copy`] brings sources and destinations together; [`connect`] opens connections in the network of a pod.

mod archive;
pub mod connect;
pub mod copy;
mod place;
mod root;
mod walk;

use std::path::{Path, PathBuf};

use rustix::io::Errno;

pub use root::ContainerRoot;

/// Why files cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The container has ended in the meantime.
    #[error("container {0} does not run any more")]
    Ended(String),
    /// The kernel's error about a path.
    #[error("{action} {}", path.display())]
    Path {
        /// What was attempted: `open`.
        action: &'static str,
        /// The path, as the user would write it.
        path: PathBuf,
        /// The kernel's error.
        #[source]
        source: std::io::Error,
    },
    /// The source is a device, a socket or a FIFO.
    #[error("{} is neither a file nor a folder", .0.display())]
    Special(PathBuf),
    /// The destination is something else than the source.
    #[error("{} exists and is not a {wanted}", path.display())]
    Exists {
        /// The destination.
        path: PathBuf,
        /// `file` or `folder`.
        wanted: &'static str,
    },
    /// A path has no last part that could name the copy.
    #[error("{} does not name a file or a folder", .0.display())]
    NoName(PathBuf),
    /// An archive contains a path that leads out of it.
    #[error("the archive contains {}, which leads out of the destination", .0.display())]
    LeadsOut(PathBuf),
    /// An archive cannot be read or written.
    #[error("{action} the archive")]
    Archive {
        /// `read` or `write`.
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Returns a function for `map_err` that adds what was attempted and on what.
    fn at<E: Into<std::io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_owned();
        move |source| Self::Path { action, path, source: source.into() }
    }
}

/// How often a lookup is repeated that a concurrent change disturbs (openat2(2), EAGAIN).
const RETRIES: usize = 1000;

/// Calls `open` again while the kernel asks for it.
fn retried<T>(open: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..RETRIES {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => std::thread::yield_now(),
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}
