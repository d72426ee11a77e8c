//! What is on disk below the records of workloads: the layout of the two trees, the version of files, and played objects.
//!
//! `--root` survives reboots (images, volumes, recorded workloads, logs); `--runroot` does not (sockets,
//! bundles, status, network namespaces).

mod boot;
pub mod damage;
pub mod format;
mod layout;
mod objects;
mod trees;

pub use boot::boot_id;
pub use layout::{Layout, WORKLOAD_LEAVING, WORKLOAD_RECORD, WorkloadId};
pub use objects::Objects;

use std::path::PathBuf;

/// What can go wrong with files of ours.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read, written, or removed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried, in the words of a user: "read", "write", "create".
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A tree belongs to another user, who could always enter it.
    #[error(
        "{} belongs to uid {owner}, and kube runs as uid {caller}: name a folder of your own with --root or --runroot, \
         or give this one to uid {caller}",
        path.display()
    )]
    NotOurs {
        /// The tree.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The effective uid of this process.
        caller: u32,
    },
    /// A tree would have to be closed to other users, and holds what they may need.
    #[error(
        "{} is open to other users, and not kube's alone{}: name a folder of its own with --root or --runroot{}",
        path.display(),
        holds.as_ref().map(|it| format!(" (it holds {})", it.display())).unwrap_or_default(),
        if holds.is_some() { ", or close this one with chmod 700" } else { "" }
    )]
    Shared {
        /// The tree.
        path: PathBuf,
        /// What is not of the tree.
        holds: Option<PathBuf>,
    },
    /// A file of ours does not hold what it should.
    #[error("{} is damaged ({source}): {}", path.display(), damage::remedy(path))]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// A newer `kube` wrote a file of ours.
    #[error("{} has {newer}", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        newer: crate::version::Newer,
    },
}

impl Error {
    /// Text that cannot be read as what it should be: a newer `kube` wrote it, or it is damaged.
    pub fn unreadable(path: &std::path::Path, text: &[u8], source: serde_json::Error) -> Self {
        match crate::version::newer(text) {
            Some(newer) => Self::Newer { path: path.to_owned(), newer },
            None => Self::damaged(path, source),
        }
    }

    /// A file that does not hold what it should; shaped for a call with `path` at hand.
    pub fn damaged(path: &std::path::Path, source: serde_json::Error) -> Self {
        Self::Damaged { path: path.to_owned(), source }
    }

    /// An I/O error with what was tried and where; shaped for `map_err`.
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
