//! Images: references, pull, content store, unpack, config, overlay mounts.
//!
//! The store is an OCI image layout (`oci-layout`, `index.json`, `blobs/sha256/..`) with unpacked layers next to it.
//! Any number of processes may use it at the same time, and each may be killed at any point.

mod archives;
mod challenge;
mod content;
mod credentials;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod implied;
mod import;
mod layer;
mod lookup;
mod manifests;
mod overlay;
mod platforms;
mod proxies;
mod pull;
mod pull_secrets;
mod redirects;
mod registry;
mod removal;
mod tar_stream;
mod transport;
mod unpack;

pub use archives::{ArchiveFormat, Loaded};
pub(crate) use implied::copy_metadata;
pub use overlay::{MappedOwners, MountOptions};
pub use pull_secrets::pull_secrets;
pub use removal::Removed;
pub use transport::TimeLimits;
pub use unpack::{Limits, UnpackError};

use std::path::{Path, PathBuf};
use std::time::Duration;

use base::escape::escape;
use serde::{Deserialize, Serialize};

use crate::kind::WaitingReason;
pub use crate::manifest::image::{DEFAULT_REGISTRY, Digest, ImageName, InvalidName, Reference};
use crate::plan::ImageConfig;

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Digest of its config: `sha256:...`.
    pub id: String,
    /// Full names that refer to it, e.g. `docker.io/library/busybox:latest`.
    pub names: Vec<String>,
    /// `name@sha256:...` as registries gave them.
    pub repo_digests: Vec<String>,
    /// The part of its config that containers need.
    pub config: ImageConfig,
    /// Diff ids of its layers, lowest first.
    pub layers: Vec<String>,
    /// Total size of its unpacked layers in bytes.
    pub size: u64,
    /// When it was built (RFC 3339), if its config says so.
    pub created: Option<String>,
    /// CPU architecture: `amd64`, ...
    pub architecture: String,
}

impl Image {
    /// Returns the image's name for messages: its first name, or else its id.
    pub fn display_name(&self) -> String {
        self.names.first().unwrap_or(&self.id).clone()
    }
}

/// Credentials for one registry (imagePullSecrets).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Registry host (and path prefix), as in `.dockerconfigjson`.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
}

/// Options of a pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// Credentials that are tried before those in the user's files.
    pub credentials: Vec<Credential>,
    /// `os/arch[/variant]`; `None` means this machine's platform.
    pub platform: Option<String>,
}

/// Receives the progress of a pull; called from any thread.
pub trait Progress: Send + Sync {
    /// A layer's size became known.
    fn layer(&self, digest: &str, total: u64);
    /// Bytes of a layer were received.
    fn advance(&self, digest: &str, bytes: u64);
    /// A layer is in the store (just unpacked, or there before).
    fn done(&self, digest: &str);
    /// Reports something that belongs into a log: a retry, a fallback.
    fn note(&self, message: &str);
}

/// The content store below `<root>/images`.
#[derive(Debug, Clone)]
pub struct ImageStore {
    dir: PathBuf,
    limits: Limits,
    /// Wait before the first retry of a request; doubled for each further one.
    retry_wait: Duration,
    times: TimeLimits,
}

/// Errors of images. Each message is one line whatever a registry or an archive says, because foreign text could
/// otherwise add a line that looks like one of ours.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's own files cannot be read or written.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// Not a reference.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// An id prefix that several images have in common.
    #[error("{reference:?} is the beginning of several image ids: give more of it")]
    Ambiguous {
        /// The reference as given.
        reference: String,
    },
    /// An image whose layers are not all in the store.
    #[error("{image}: parts of the image are missing from the store; pull it again")]
    Incomplete {
        /// Its name.
        image: String,
    },
    /// A file or answer that exceeds its size limit.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A layer could not be unpacked.
    #[error("{image}: {}", escape(&error.to_string()))]
    Unpack {
        /// The image, or the archive's name.
        image: String,
        /// The cause.
        #[source]
        error: UnpackError,
    },
    /// Not `os/arch[/variant]`.
    #[error("{platform:?} is not a platform: write os/arch or os/arch/variant, e.g. linux/arm64")]
    InvalidPlatform {
        /// The platform as given.
        platform: String,
    },
    /// A file with credentials cannot be used.
    #[error("credentials in {}: {}", path.display(), escape(reason))]
    AuthFile {
        /// Which file.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// The registry has no such repository, tag or digest.
    #[error("{image}: no such image in the registry {registry}")]
    NoSuchImage {
        /// Its name.
        image: String,
        /// The registry.
        registry: String,
    },
    /// The registry refuses the credentials, or requires some.
    #[error("{image}: {registry} denies access: {}", escape(reason))]
    Denied {
        /// Its name.
        image: String,
        /// The registry.
        registry: String,
        /// The registry's message.
        reason: String,
    },
    /// The registry does not answer.
    #[error("{image}: cannot reach {registry}: {}", escape(reason))]
    Unreachable {
        /// Its name.
        image: String,
        /// The registry.
        registry: String,
        /// What went wrong.
        reason: String,
    },
    /// A name that begins with `localhost/` and is not in the store: no registry can have it.
    #[error(
        "image {image} is in no registry: a name that begins with localhost/ is that of an image made on this machine"
    )]
    NoRegistry {
        /// Its name.
        image: String,
    },
    /// The registry answers with an error or not according to the specification.
    #[error("{image}: {registry}: {}", escape(reason))]
    Registry {
        /// Its name.
        image: String,
        /// The registry.
        registry: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The whole pull took too long.
    #[error(
        "{image}: the pull from {registry} was given up after {}: layers that are complete are kept, pulling again goes on from there",
        format_duration(*.limit)
    )]
    TookTooLong {
        /// Its name.
        image: String,
        /// The registry.
        registry: String,
        /// The time limit of a pull.
        limit: Duration,
    },
    /// No image for the wanted platform.
    #[error("{image}: there is no image for {wanted}; there is: {}", escape(available))]
    NoPlatform {
        /// Its name.
        image: String,
        /// The platform.
        wanted: String,
        /// The platforms that are available.
        available: String,
    },
    /// The name belongs to something that is not a container image.
    #[error("{image} is no image that can be run: {}", escape(reason))]
    NotAnImage {
        /// Its name.
        image: String,
        /// Why it is not one.
        reason: String,
    },
    /// Content that does not match its digest.
    #[error(
        "{image}: {what} should be {expected} but is {actual}: the registry or the way to it is not to be trusted"
    )]
    Digest {
        /// Its name.
        image: String,
        /// Manifest or config.
        what: &'static str,
        /// The expected digest.
        expected: String,
        /// The actual digest.
        actual: String,
    },
    /// The image is not in the store.
    #[error("image {reference} not found")]
    NotHere {
        /// The reference as given.
        reference: String,
    },
    /// An image that is in use and therefore cannot be removed.
    #[error("{image} is in use by {}", users.join(", "))]
    InUse {
        /// Its name.
        image: String,
        /// Pods, or writable layers of containers.
        users: Vec<String>,
    },
    /// An image that has several names and was to be removed by its id.
    #[error("{image} has several names ({}): remove them one by one, or all with --force", names.join(", "))]
    SeveralNames {
        /// Its id.
        image: String,
        /// Its names.
        names: Vec<String>,
    },
    /// An archive of images that cannot be read or written.
    #[error("{archive}: {}", escape(reason))]
    Archive {
        /// Its file name.
        archive: String,
        /// Why it cannot be read or written.
        reason: String,
    },
    /// The kernel refused to mount the image.
    #[error("{image}: mount at {}: {source} ({hint})", target.display())]
    Mount {
        /// Its name.
        image: String,
        /// The mount point.
        target: PathBuf,
        /// What a user can do.
        hint: &'static str,
        /// The kernel's error.
        #[source]
        source: std::io::Error,
    },
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Formats a duration for a message: `4 hours`, `30 seconds`.
fn format_duration(time: Duration) -> String {
    let (count, unit) = match time.as_secs() {
        seconds if seconds > 0 && seconds % 3600 == 0 => (seconds / 3600, "hour"),
        seconds if seconds > 0 && seconds % 60 == 0 => (seconds / 60, "minute"),
        seconds => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

impl Error {
    /// Returns the kubelet's waiting reason for a container whose image is not available.
    pub fn reason(&self) -> WaitingReason {
        match self {
            Self::InvalidName { .. } => WaitingReason::InvalidImageName,
            Self::Mount { .. } => WaitingReason::CreateContainerError,
            _ => WaitingReason::ErrImagePull,
        }
    }

    /// Returns true if the registry did not deliver the image, for whatever reason; false if the image is bad or this
    /// machine could not store it.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::NoSuchImage { .. }
                | Self::Denied { .. }
                | Self::Unreachable { .. }
                | Self::NoRegistry { .. }
                | Self::Registry { .. }
                | Self::TookTooLong { .. }
        )
    }
}

impl ImageStore {
    /// Returns the directory of the store.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the same store with other limits for layers.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Returns the same store with other time limits for pulls.
    pub fn with_times(mut self, times: TimeLimits) -> Self {
        self.times = times;
        self
    }

    /// Returns the same store with another wait before the first retry of a request.
    pub fn with_retry_wait(mut self, wait: Duration) -> Self {
        self.retry_wait = wait;
        self
    }
}

#[cfg(test)]
mod tests;
