//! Mount points below a volume that is mounted read-only.
//!
//! An OCI runtime creates a mount point through the mount above it, which fails if that is read-only. In volumes that
//! belong to the pod (ConfigMap, Secret, emptyDir) the mount point is created beforehand, as the kubelet does. In other
//! volumes (hostPath, claim) it is not, because read-only means that nothing is written there.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Volume;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::{failed, lock, open_sub_path};
use crate::plan::{ContainerError, PodPlan, VolumeMountPlan};
use crate::store::Layout;

/// Creates the mount points below read-only mounts of the pod's own volumes, as folders or files depending on the
/// source. `sources` are the sources of `mounts`, in the same order.
///
/// # Errors
/// If a mount point cannot be created.
pub fn make_mount_points(
    layout: &Layout,
    pod: &PodPlan,
    mounts: &[VolumeMountPlan],
    sources: &[PathBuf],
) -> Result<(), ContainerError> {
    let volumes = pod.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let own: Vec<&str> = volumes.filter(|volume| is_own(volume)).map(|volume| volume.name.as_str()).collect();
    let mut held = None;
    for (nested, above, below) in nested(mounts) {
        let (Some(nested), Some(above), Some(source)) =
            (sources.get(nested), sources.get(above), mounts.get(above))
        else {
            continue;
        };
        if !source.read_only || !own.contains(&source.volume.as_str()) || !above.is_dir() {
            continue;
        }
        if held.is_none() {
            held = Some(lock(layout, &pod.uid)?);
        }
        make(&source.volume, above, &below, nested.is_dir())?;
    }
    Ok(())
}

/// Returns true for volumes that belong to one pod only.
fn is_own(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
}

/// Returns the mounts below another mount: index of the mount, index of the mount above it, and path inside of that.
fn nested(mounts: &[VolumeMountPlan]) -> Vec<(usize, usize, PathBuf)> {
    let above = |destination: &str| {
        let candidates = mounts.iter().enumerate().filter_map(|(n, mount)| {
            let below = Path::new(destination).strip_prefix(&mount.destination).ok()?;
            (!below.as_os_str().is_empty()).then(|| (n, below.to_owned()))
        });
        candidates.min_by_key(|(_, below)| below.components().count())
    };
    let places = mounts.iter().enumerate();
    places
        .filter_map(|(n, mount)| above(&mount.destination).map(|(other, below)| (n, other, below)))
        .collect()
}

fn make(volume: &str, root: &Path, below: &Path, is_folder: bool) -> Result<(), ContainerError> {
    let folder = if is_folder { Some(below) } else { below.parent() };
    let folder = open_sub_path(root, &folder.unwrap_or(below).to_string_lossy())?;
    let Some(name) = below.file_name().filter(|_| !is_folder) else { return Ok(()) };
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&folder, name, flags, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(Errno::EXIST) => Ok(()),
        Err(error) => {
            let place = below.display();
            Err(failed(volume, format!("cannot make {place} in it: {}", std::io::Error::from(error))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Propagation;

    #[test]
    fn a_mount_lies_below_the_nearest_one_above_it() {
        let mounts: Vec<VolumeMountPlan> = ["/s", "/c", "/s/sub/deep", "/s/sub", "/cc", "/c/a/b"]
            .iter()
            .map(|destination| VolumeMountPlan {
                volume: "v".to_owned(),
                destination: (*destination).to_owned(),
                read_only: true,
                sub_path: None,
                recursive_read_only: false,
                propagation: Propagation::None,
                options: Vec::new(),
            })
            .collect();
        assert_eq!(
            nested(&mounts),
            [(2, 3, PathBuf::from("deep")), (3, 0, PathBuf::from("sub")), (5, 1, PathBuf::from("a/b"))]
        );
    }
}
