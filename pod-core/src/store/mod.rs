//! The files on disk except the records of workloads: the layout of the two trees, the version of their format, and
//! played objects.
//!
//! The tree below `--root` survives reboots (images, volumes, recorded workloads, logs); the tree below `--runroot`
//! does not (sockets, bundles, status, network namespaces).

mod boot;
pub mod damage;
pub mod format;
mod instance;
mod layout;
mod objects;
mod trees;

pub use boot::boot_id;
pub use instance::Instance;
pub use layout::{Layout, WORKLOAD_LEAVING, WORKLOAD_RECORD, WorkloadId};
pub use objects::{Objects, Recorded};

use std::path::PathBuf;

/// An error with a file of the two trees.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read, written, or removed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was attempted, in words for the user: "read", "write", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the kernel.
        #[source]
        source: std::io::Error,
    },
    /// A tree belongs to another user, who can always enter it.
    #[error(
        "{} belongs to uid {owner}, and kube runs as uid {caller}: name a folder of your own with --root or --runroot, \
         or give this one to uid {caller}",
        path.display()
    )]
    NotOurs {
        /// The tree.
        path: PathBuf,
        /// The owner of the tree.
        owner: u32,
        /// The effective uid of this process.
        caller: u32,
    },
    /// A tree would have to be made private, but contains files that other users may need.
    #[error(
        "{} is open to other users, and not kube's alone{}: name a folder of its own with --root or --runroot{}",
        path.display(),
        holds.as_ref().map(|it| format!(" (it holds {})", it.display())).unwrap_or_default(),
        if holds.is_some() { ", or close this one with chmod 700" } else { "" }
    )]
    Shared {
        /// The tree.
        path: PathBuf,
        /// An entry that does not belong to the tree.
        holds: Option<PathBuf>,
    },
    /// The contents of a file are not valid.
    #[error("{} is damaged ({source}): {}", path.display(), damage::remedy(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The error of the parser.
        #[source]
        source: serde_json::Error,
    },
    /// A newer `kube` wrote a file.
    #[error("{} has {newer}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        newer: crate::version::Newer,
    },
}

impl Error {
    /// Creates the error for a file that cannot be parsed: a newer `kube` wrote the file, or it is damaged.
    pub fn unreadable(path: &std::path::Path, text: &[u8], source: serde_json::Error) -> Self {
        match crate::version::newer(text) {
            Some(newer) => Self::Newer { path: path.to_owned(), newer },
            None => Self::damaged(path, source),
        }
    }

    /// Creates the error for a damaged file.
    pub fn damaged(path: &std::path::Path, source: serde_json::Error) -> Self {
        Self::Damaged { path: path.to_owned(), source }
    }

    /// Returns a function that creates an I/O error from the attempted action and the path, for use with `map_err`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        match error {
            base::file::Error::Io { action, path, source } => Self::Io { action, path, source },
            base::file::Error::Damaged { path, source } => Self::Damaged { path, source },
        }
    }
}
