//! Resolves the volumeMounts of a container.

use std::collections::HashMap;
use std::path::{Component, Path};

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use super::{ContainerError, ImageConfig, VolumeMountPlan};
use crate::manifest::mount_point;

/// The maximum number of volumes of an image. Real images declare one or two.
const MAX_IMAGE_VOLUMES: usize = 100;

/// Returns a container's mounts in the order in which they are mounted: parents before their children.
///
/// # Errors
/// `CreateContainerConfigError` for an invalid mount. Validation normally refuses such mounts before.
pub fn mounts(spec: &PodSpec, container: &Container) -> Result<Vec<VolumeMountPlan>, ContainerError> {
    let volumes: HashMap<&str, &Volume> =
        spec.volumes.iter().flatten().map(|volume| (volume.name.as_str(), volume)).collect();
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let bad = |what: String| {
            ContainerError::config(format!(
                "volumeMount {} of container {}: {what}",
                mount.name, container.name
            ))
        };
        let volume =
            volumes.get(mount.name.as_str()).ok_or_else(|| bad("the pod has no such volume".to_owned()))?;
        let destination = mount_point(&mount.mount_path);
        let sub_path = match mount.sub_path.as_deref() {
            None | Some("") => None,
            Some(path) => Some(
                clean_sub_path(path)
                    .ok_or_else(|| bad(format!("subPath {path:?} must be relative and without \"..\"")))?,
            ),
        };
        mounts.push(VolumeMountPlan {
            volume: mount.name.clone(),
            destination,
            read_only: mount.read_only == Some(true) || is_read_only(volume),
            sub_path: sub_path.filter(|path| !path.is_empty()),
        });
    }
    mounts.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    Ok(mounts)
}

/// Returns where the volumes that an image declares (`VOLUME`) are mounted, parents first. As with containerd and
/// podman, a volumeMount at the same path takes precedence. A read-only volumeMount above the path takes precedence
/// too, because no mount point can be created in it. Paths that the runtime mounts itself are left out.
pub fn of_image(image: &ImageConfig, mounts: &[VolumeMountPlan]) -> Vec<String> {
    const KEPT: [&str; 3] = ["/proc", "/sys", "/dev"];
    let is_kept = |path: &str| KEPT.iter().any(|kept| Path::new(path).starts_with(kept));
    let wins = |mount: &VolumeMountPlan, path: &str| {
        mount.destination == path || mount.read_only && Path::new(path).starts_with(&mount.destination)
    };
    let mut paths: Vec<String> = image
        .volumes
        .iter()
        .filter(|path| !path.contains('\0'))
        .map(|path| mount_point(path))
        .filter(|path| path != "/" && !is_kept(path) && !mounts.iter().any(|mount| wins(mount, path)))
        .collect();
    paths.sort();
    paths.dedup();
    paths.sort_by_key(|path| Path::new(path).components().count());
    paths.truncate(MAX_IMAGE_VOLUMES);
    paths
}

/// Returns whether a volume is always mounted read-only: ConfigMaps, Secrets and similar sources are, and a claim if
/// its volume says so.
fn is_read_only(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
        || volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(true))
}

/// Returns a relative path without `.` and doubled slashes; `None` if the path is absolute or has `..`.
fn clean_sub_path(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(volumes: Value, mounts_: Value) -> Result<Vec<VolumeMountPlan>, ContainerError> {
        let spec: PodSpec = serde_json::from_value(
            json!({"containers": [{"name": "c", "volumeMounts": mounts_}], "volumes": volumes}),
        )
        .unwrap();
        mounts(&spec, &spec.containers[0])
    }

    #[test]
    fn parents_are_mounted_before_their_children() {
        let found = of(
            json!([{"name": "v", "emptyDir": {}}]),
            json!([
                {"name": "v", "mountPath": "/a/b/c"},
                {"name": "v", "mountPath": "/z/"},
                {"name": "v", "mountPath": "/a//b/"},
                {"name": "v", "mountPath": "/a"},
            ]),
        )
        .unwrap();
        let order: Vec<_> = found.iter().map(|m| m.destination.as_str()).collect();
        assert_eq!(order, ["/z", "/a", "/a/b", "/a/b/c"]);
    }

    #[test]
    fn a_mount_path_leads_below_the_root() {
        for (given, expected) in [
            ("/data", "/data"),
            ("data/x", "/data/x"),
            ("./data", "/data"),
            ("/a/../b", "/b"),
            ("/a/../../../b/", "/b"),
            ("/", "/"),
            ("..", "/"),
        ] {
            let found =
                of(json!([{"name": "v", "emptyDir": {}}]), json!([{"name": "v", "mountPath": given}]));
            assert_eq!(found.unwrap()[0].destination, expected, "{given}");
        }
    }

    #[test]
    fn volume_mounts_replace_volumes_of_an_image_at_the_same_path() {
        let mounts = of(
            json!([{"name": "v", "emptyDir": {}}]),
            json!([
                {"name": "v", "mountPath": "/data/"},
                {"name": "v", "mountPath": "/var/lib"},
                {"name": "v", "mountPath": "/etc/app", "readOnly": true},
            ]),
        )
        .unwrap();
        let image = |volumes: &[&str]| ImageConfig {
            volumes: volumes.iter().map(|path| (*path).to_owned()).collect(),
            ..ImageConfig::default()
        };
        let found = of_image(
            &image(&["/var/lib/db/log", "/data", "/var/lib/db/", "cache", "/cache", "/etc/app/x"]),
            &mounts,
        );
        assert_eq!(found, ["/cache", "/var/lib/db", "/var/lib/db/log"]);
        let hostile =
            image(&["/", ".", "/proc", "/proc/self", "/sys/fs", "/dev", "/a/../../b", "/x\0y", "/procfs"]);
        assert_eq!(of_image(&hostile, &[]), ["/b", "/procfs"]);
    }

    #[test]
    fn config_maps_secrets_and_read_only_claims_are_mounted_read_only() {
        let found = of(
            json!([
                {"name": "config", "configMap": {"name": "x"}},
                {"name": "secret", "secret": {"secretName": "x"}},
                {"name": "claim", "persistentVolumeClaim": {"claimName": "x", "readOnly": true}},
                {"name": "scratch", "emptyDir": {}},
            ]),
            json!([
                {"name": "config", "mountPath": "/1"},
                {"name": "secret", "mountPath": "/2", "readOnly": false},
                {"name": "claim", "mountPath": "/3"},
                {"name": "scratch", "mountPath": "/4"},
                {"name": "scratch", "mountPath": "/5", "readOnly": true},
            ]),
        )
        .unwrap();
        let read_only: Vec<_> = found.iter().map(|m| m.read_only).collect();
        assert_eq!(read_only, [true, true, true, false, true]);
    }

    #[test]
    fn a_sub_path_never_leaves_its_volume() {
        let with = |sub: &str| {
            of(
                json!([{"name": "v", "emptyDir": {}}]),
                json!([{"name": "v", "mountPath": "/x", "subPath": sub}]),
            )
            .map(|m| m[0].sub_path.clone())
        };
        assert_eq!(with("./a//b/").unwrap().as_deref(), Some("a/b"));
        assert_eq!(with(".").unwrap(), None);
        assert_eq!(with("").unwrap(), None);
        assert_eq!(with("..data").unwrap().as_deref(), Some("..data"));
        assert!(with("/etc").is_err());
        assert!(with("a/../../b").is_err());
    }
}
