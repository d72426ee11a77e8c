//! The images of a container: its own, and those of its volumes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::error;
use crate::image::{self, Image, ImageName, ImageStore, MappedOwners, MountOptions, PullOptions};
use crate::kind::WaitingReason;
use crate::plan::{ContainerError, PodPlan, PullPolicy};
use crate::runtime::selinux::Labels;
use crate::runtime::user_namespace::Staging;
use crate::store::{Layout, Objects};

/// Mounts images of a pod so that its containers may use them.
pub(super) struct ImageMounts<'a> {
    pub images: &'a ImageStore,
    /// Of a pod with a user namespace: files belong to the users of that namespace.
    pub staging: Option<&'a Staging>,
    pub labels: Option<&'a Labels>,
}

impl ImageMounts<'_> {
    /// Mounts an image as a read-only volume.
    pub fn volume(&self, image: &Image, scratch: &Path, target: &Path) -> Result<(), image::Error> {
        self.root(image, scratch, target)?;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, target, None::<&str>, flags, None::<&str>).map_err(|errno| {
            image::Error::Store(crate::store::Error::io("make read-only", target)(errno.into()))
        })
    }

    /// Mounts an image as the root of a container.
    pub fn root(&self, image: &Image, scratch: &Path, target: &Path) -> Result<(), image::Error> {
        let label = self.labels.map(|labels| labels.file.as_str());
        let Some(staging) = self.staging else {
            return self.images.mount(image, scratch, target, &MountOptions { label, owners: None });
        };
        let unmountable = |source: std::io::Error| image::Error::Mount {
            image: image.display_name(),
            target: target.to_owned(),
            hint: "the folders of its layers cannot be created",
            source,
        };
        let dir = staging.layers().map_err(|e| unmountable(std::io::Error::other(e.to_string())))?;
        let owners = MappedOwners {
            first_id: staging.first_id(),
            dir: &dir,
            map: &|layer, target| staging.map_at(layer, target),
        };
        self.images.mount(image, scratch, target, &MountOptions { label, owners: Some(&owners) })
    }
}

/// Gives folders that belong to the host's root to the root of a user namespace.
pub(super) fn own_folders(folders: &[PathBuf], first_id: u32) -> std::io::Result<()> {
    for folder in folders {
        if fs::metadata(folder)?.uid() == 0 {
            std::os::unix::fs::chown(folder, Some(first_id), Some(first_id))?;
        }
    }
    Ok(())
}

/// Opens the store of images.
pub(super) fn open_store(layout: &Layout) -> Result<ImageStore, ContainerError> {
    ImageStore::open(&layout.images()).map_err(|e| error(WaitingReason::CreateContainerError)(&e))
}

/// Parses the name of an image in a manifest.
pub(super) fn name(reference: Option<&str>) -> Result<ImageName, ContainerError> {
    ImageName::parse(reference.unwrap_or_default()).map_err(|e| error(WaitingReason::InvalidImageName)(&e))
}

/// Returns an image that is stored here. `play` has pulled what the policy asks for. Only a missing image is pulled here,
/// for example after an `image rm`.
pub(super) fn obtain(
    images: &ImageStore,
    pod: &PodPlan,
    objects: &Objects,
    name: &ImageName,
    policy: PullPolicy,
) -> Result<Image, ContainerError> {
    let pull_error = error(WaitingReason::ErrImagePull);
    match images.find(name) {
        Ok(Some(image)) => return Ok(image),
        Ok(None) => {}
        Err(e) => return Err(pull_error(&e)),
    }
    if policy == PullPolicy::Never {
        return Err(error(WaitingReason::ErrImageNeverPull)(&format!(
            "image {name} is not stored here and imagePullPolicy is Never"
        )));
    }
    let (credentials, warnings) = image::pull_secrets(pod, objects);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let options = PullOptions { credentials, ..PullOptions::default() };
    let reference = name.pullable().map_err(|e| pull_error(&e))?;
    images.pull(reference, &options, &Quiet).map_err(|e| pull_error(&e))
}

/// A progress display that prints nothing during a pull.
struct Quiet;

impl image::Progress for Quiet {
    fn layer(&self, _: &str, _: u64) {}
    fn advance(&self, _: &str, _: u64) {}
    fn done(&self, _: &str) {}
    fn note(&self, message: &str) {
        tracing::info!("{message}");
    }
}
