//! The mounts of a container: volumes, devices, and the volumes that its image declares.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::error;
use super::images::{self, ImageMounts};
use crate::image::Image;
use crate::kind::WaitingReason;
use crate::plan::{self, ContainerError, ContainerPlan, PodPlan, Propagation, PullPolicy};
use crate::runtime::host::{Device, Host};
use crate::runtime::spec;
use crate::store::{Layout, Objects};
use crate::volume::{self, Prepared, SharedMount};

/// The volumes of a pod that a container mounts or has as devices.
#[derive(Default)]
pub(super) struct Volumes {
    /// The paths of volumes, by volume name.
    paths: BTreeMap<String, PathBuf>,
    /// The paths of block devices, by volume name.
    devices: BTreeMap<String, PathBuf>,
    /// The volumes and parts of volumes whose owners are those of the pod's user namespace.
    pub mapped: Vec<PathBuf>,
}

/// The volumeMounts with mountPropagation Bidirectional, by their place in the plan. They are opened in the host's mount
/// namespace, because a mount that is copied with a namespace only receives what the host mounts.
pub(super) type Shared = BTreeMap<usize, SharedMount>;

/// Opens the volumeMounts that propagate mounts to the host.
pub(super) fn open_shared(
    plan: &ContainerPlan,
    prepared: &BTreeMap<String, Prepared>,
) -> Result<Shared, ContainerError> {
    let mut shared = Shared::new();
    for (n, wanted) in plan.mounts.iter().enumerate() {
        if wanted.propagation != Propagation::Bidirectional {
            continue;
        }
        let Some(Prepared::Path(path)) = prepared.get(&wanted.volume) else {
            let message = format!("volume {}: mountPropagation Bidirectional needs a folder", wanted.volume);
            return Err(error(WaitingReason::CreateContainerConfigError)(&message));
        };
        shared.insert(n, SharedMount::open(&wanted.volume, path, wanted.sub_path.as_deref())?);
    }
    Ok(shared)
}

impl Volumes {
    /// Mounts what has to be mounted of the pod's volumes, in the mount namespace of this process.
    pub fn mount(prepared: BTreeMap<String, Prepared>, bundle: &Path) -> Result<Self, ContainerError> {
        let mut volumes = Self::default();
        for (name, prepared) in prepared {
            match prepared {
                Prepared::Path(path) => drop(volumes.paths.insert(name, path)),
                Prepared::Device(path) => drop(volumes.devices.insert(name, path)),
                Prepared::Nfs(share) => {
                    let failed = |e: &dyn std::fmt::Display| {
                        error(WaitingReason::FailedMount)(&format!("volume {name}: {e}"))
                    };
                    let target = bundle.join("nfs").join(&name);
                    base::file::create_private_dir_all(&target).map_err(|e| failed(&e))?;
                    volume::nfs::mount_share(&share, &target).map_err(|e| failed(&e))?;
                    volumes.paths.insert(name, target);
                }
            }
        }
        Ok(volumes)
    }

    /// Mounts the images that are volumes of the container. `policy` replaces that of the volumes.
    pub fn mount_images(
        &mut self,
        mounts: &ImageMounts<'_>,
        of: &ImageVolumes<'_>,
        plan: &ContainerPlan,
    ) -> Result<(), ContainerError> {
        for volume in of.pod.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            let is_mounted = plan.mounts.iter().any(|mount| mount.volume == volume.name);
            let Some(source) = volume.image.as_ref().filter(|_| is_mounted) else { continue };
            let name = images::name(source.reference.as_deref())?;
            let policy = of.policy.unwrap_or_else(|| plan::image_pull::volume_policy(source));
            let image = images::obtain(mounts.images, of.pod, of.objects, &name, policy)?;
            let target = of.bundle.join("images").join(&volume.name);
            let scratch = of.scratch.join("images").join(&volume.name);
            mounts.volume(&image, &scratch, &target).map_err(|e| {
                error(WaitingReason::CreateContainerError)(&format!("volume {}: {e}", volume.name))
            })?;
            self.mapped.push(target.clone());
            self.paths.insert(volume.name.clone(), target);
        }
        Ok(())
    }

    /// Returns the mounts of the container's volumes. Those with a subPath, and those that propagate mounts to the host,
    /// are bound below the bundle first.
    pub fn binds(
        &mut self,
        pod: &PodPlan,
        plan: &ContainerPlan,
        mut shared: Shared,
        bundle: &Path,
    ) -> Result<Vec<spec::Mount>, ContainerError> {
        let mut mounts = Vec::new();
        for (n, wanted) in plan.mounts.iter().enumerate() {
            let volume = self.paths.get(&wanted.volume).ok_or_else(|| {
                ContainerError::config(format!("volume {} is not in the pod", wanted.volume))
            })?;
            let source = match (shared.remove(&n), &wanted.sub_path) {
                (Some(shared), _) => {
                    let target = bundle.join("shared").join(n.to_string());
                    shared.attach(&target)?;
                    target
                }
                (None, None) => volume.clone(),
                (None, Some(sub_path)) => {
                    let fd: OwnedFd = volume::open_sub_path(volume, sub_path)?;
                    let target = bundle.join("subpaths").join(n.to_string());
                    let from_host = wanted.propagation == Propagation::HostToContainer;
                    volume::bind_sub_path(fd.as_fd(), &target, from_host)?;
                    if self.mapped.contains(volume) {
                        self.mapped.push(target.clone());
                    }
                    target
                }
            };
            let device = volume::device(pod, &wanted.volume, &source);
            mounts.push(spec::Mount {
                source,
                destination: wanted.destination.clone(),
                read_only: wanted.read_only,
                recursive_read_only: wanted.recursive_read_only,
                propagation: wanted.propagation,
                device,
                options: wanted.options.clone(),
            });
        }
        Ok(mounts)
    }

    /// Adds the container's volumeDevices: to the devices of its plan and of `host`, or to its mounts.
    pub fn add_devices(
        &self,
        plan: &mut ContainerPlan,
        host: &mut Host,
        mounts: &mut Vec<spec::Mount>,
    ) -> Result<(), ContainerError> {
        let create = error(WaitingReason::CreateContainerError);
        for wanted in std::mem::take(&mut plan.volume_devices) {
            let path = self.devices.get(&wanted.volume).ok_or_else(|| {
                ContainerError::config(format!("volume {} is no block device", wanted.volume))
            })?;
            let device = Device::at(path)
                .map_err(|e| create(&format!("volume {}: {}: {e}", wanted.volume, path.display())))?;
            // A runtime makes device nodes below /dev only.
            if !Path::new(&wanted.path).starts_with("/dev") {
                let (block, major, minor) = (device.block, device.major, device.minor);
                mounts.push(spec::Mount {
                    source: path.clone(),
                    destination: wanted.path.clone(),
                    read_only: wanted.read_only,
                    device: Some(spec::DeviceNumber { block, major, minor }),
                    ..spec::Mount::default()
                });
                continue;
            }
            host.devices.retain(|known| known.path != device.path);
            host.devices.push(device);
            plan.devices.push(plan::DevicePlan {
                source: path.to_string_lossy().into_owned(),
                destination: wanted.path.clone(),
                access: if wanted.read_only { "r" } else { "rwm" }.to_owned(),
            });
        }
        let has = |wanted: &str| host.devices.iter().any(|device| device.path == Path::new(wanted));
        match plan.devices.iter().find(|device| !has(&device.source)) {
            Some(missing) => Err(create(&format!("this machine has no device {}", missing.source))),
            None => Ok(()),
        }
    }
}

/// What the images that are volumes are mounted for.
pub(super) struct ImageVolumes<'a> {
    pub pod: &'a PodPlan,
    pub objects: &'a Objects,
    pub policy: Option<PullPolicy>,
    pub bundle: &'a Path,
    pub scratch: &'a Path,
}

/// Creates the volumes that an image declares, filled from the mounted `rootfs`, and returns their mounts.
pub(super) fn of_image(
    layout: &Layout,
    uid: &str,
    image: &Image,
    plan: &ContainerPlan,
    rootfs: &Path,
    mounts: &ImageMounts<'_>,
) -> Result<Vec<spec::Mount>, ContainerError> {
    let create = error(WaitingReason::CreateContainerError);
    let declared = plan::volumes::of_image(&image.config, &plan.mounts);
    let folders = volume::prepare_image_volumes(layout, uid, &plan.name, &declared, rootfs)?;
    if let Some(staging) = mounts.staging {
        // They were copied from the root, so the owners are those of the namespace.
        images::own_folders(&folders, staging.first_id()).map_err(|e| create(&e))?;
    }
    if let Some(labels) = mounts.labels {
        for folder in &folders {
            crate::runtime::selinux::label_tree(folder, &labels.file).map_err(|e| create(&e))?;
        }
    }
    let mount = |(source, destination)| spec::Mount { source, destination, ..spec::Mount::default() };
    Ok(folders.into_iter().zip(declared).map(mount).collect())
}
