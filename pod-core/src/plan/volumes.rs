//! volumeMounts, resolved.

use std::collections::HashMap;
use std::path::{Component, Path};

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use super::{ContainerError, ImageConfig, VolumeMountPlan};
use crate::manifest::mount_point;

/// Images declare one or two.
const MAX_IMAGE_VOLUMES: usize = 100;

/// A container's mounts in the order to make them: parents before what lies in them.
///
/// # Errors
/// `CreateContainerConfigError` for a mount that does not fit; validation refuses these first.
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

/// Where the volumes that an image declares (`VOLUME`) are mounted, parents first. A volumeMount at the same path wins,
/// as with containerd and podman; so does a read-only one above it, in which no mount point can be made. What the
/// runtime mounts itself stays.
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

/// ConfigMaps, Secrets and the like are never written through a mount; a claim may say so itself.
fn is_read_only(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
        || volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(true))
}

/// A relative path without `.` and doubled slashes; `None` when it is absolute or has `..`.
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
    fn parents_are_mounted_before_what_lies_in_them() {
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
    fn volumes_of_an_image_give_way_to_volume_mounts_at_the_same_path() {
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
