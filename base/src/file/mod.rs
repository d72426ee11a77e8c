//! Files and folders that survive crashes.
//!
//! A reader sees the old or the new content of a file and nothing in between ([`write_atomic`], [`PendingFile`]). A
//! lock is worth something only while its file is still at its path ([`FileLock`]). Folders are private unless they
//! are opened on purpose ([`create_private_dir_all`]). Trees of foreign content are removed without crossing links or
//! mounts ([`remove_tree`]), and visited in the same way ([`walk_tree`]).

mod atomic;
mod lock;
mod mount_point;
mod private_dir;
mod remove;
mod walk;

use std::io;
use std::path::{Path, PathBuf};

pub use atomic::{
    Durability, PendingFile, Writers, names_in, read_if_exists, read_json, write_atomic, write_json,
    write_json_volatile, write_volatile, writer_of,
};
pub use lock::{FileLock, LockKind};
pub use mount_point::is_mount_point;
pub use private_dir::{close_dir, create_private_dir_all, is_private};
pub use remove::{remove_dir_if_exists, remove_file_if_exists, remove_tree, remove_tree_below_no_symlink};
pub use walk::{Visit, open_tree_root, walk_tree};

/// An operation on a file or folder that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused an operation.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was attempted, in the words of a user: "read", "write", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// The content of a file is not what it should be.
    #[error("{} is damaged ({source})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The message of the parser.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// Returns a function for `map_err` that makes an [`Error::Io`] of what was attempted, and on which path.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Returns an [`Error::Damaged`].
    pub fn damaged(path: &Path, source: serde_json::Error) -> Self {
        Self::Damaged { path: path.to_owned(), source }
    }
}
