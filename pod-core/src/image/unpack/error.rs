//! Why a layer was not unpacked.

use std::io;

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Reading the archive or writing its files.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Removing what is in the way.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// Making one file.
    #[error("{action} {path:?}: {source}")]
    Entry {
        /// What was tried.
        action: &'static str,
        /// The path as the archive has it.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Not a tar archive, or a damaged one.
    #[error("the archive is malformed: {0}")]
    Malformed(String),
    /// Something this program does not unpack.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A path that leaves the root.
    #[error("{path:?} leads out of the image")]
    Escape {
        /// The path as the archive has it.
        path: String,
    },
    /// A hard link to what is no file of the layer.
    #[error("{path:?} is a hard link to {target:?}, which is not a file of the same layer")]
    HardLink {
        /// The link.
        path: String,
        /// What it should be the same as.
        target: String,
    },
    /// More than [`Limits`](super::Limits) allows.
    #[error("{what} is over the limit of {limit}: refusing what may be a decompression bomb")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much may be.
        limit: u64,
    },
    /// The content is not what its digest says.
    #[error("{what} should be {expected} but is {actual}")]
    Digest {
        /// The blob or the diff id.
        what: &'static str,
        /// What was promised.
        expected: String,
        /// What came.
        actual: String,
    },
}

impl From<base::file::Error> for UnpackError {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}
