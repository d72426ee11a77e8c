//! Why a layer was not unpacked.

use std::io;

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Reading the archive or writing its files failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Removing a replaced file failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// Creating one file failed.
    #[error("{action} {path:?}: {source}")]
    Entry {
        /// What was attempted.
        action: &'static str,
        /// The path as the archive has it.
        path: String,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The archive is not a tar archive, or is damaged.
    #[error("the archive is malformed: {0}")]
    Malformed(String),
    /// The archive uses a feature that this program does not support.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A path leads out of the root.
    #[error("{path:?} leads out of the image")]
    Escape {
        /// The path as the archive has it.
        path: String,
    },
    /// A hard link to something that is not a file of the layer.
    #[error("{path:?} is a hard link to {target:?}, which is not a file of the same layer")]
    HardLink {
        /// The link.
        path: String,
        /// The target of the link.
        target: String,
    },
    /// The archive exceeds [`Limits`](super::Limits).
    #[error("{what} is over the limit of {limit}: refusing what may be a decompression bomb")]
    Limit {
        /// What exceeds its limit.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The content does not match its digest.
    #[error("{what} should be {expected} but is {actual}")]
    Digest {
        /// The blob or the diff id.
        what: &'static str,
        /// The expected digest.
        expected: String,
        /// The actual digest.
        actual: String,
    },
}

impl From<base::file::Error> for UnpackError {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}
