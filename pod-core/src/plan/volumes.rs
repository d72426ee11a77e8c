//! Resolves the volumeMounts of a container.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Component, Path};

use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, Pod, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::environment::Variables;
use super::expansion::expand;
use super::{ContainerError, ImageConfig, Propagation, VolumeDevicePlan, VolumeMountPlan};
use crate::manifest::mount_point;

/// The maximum number of volumes of an image. Real images declare one or two.
const MAX_IMAGE_VOLUMES: usize = 100;

/// Returns a container's mounts in the order in which they are mounted: parents before their children.
///
/// # Errors
/// `CreateContainerConfigError` for an invalid mount. Validation normally refuses such mounts before.
pub fn mounts(
    spec: &PodSpec,
    container: &Container,
    variables: &Variables,
) -> Result<Vec<VolumeMountPlan>, ContainerError> {
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
        let sub_path = match mount.sub_path_expr.as_deref() {
            None | Some("") => mount.sub_path.clone().unwrap_or_default(),
            Some(expression) => expanded(expression, variables)
                .map_err(|unknown| bad(format!("subPathExpr {expression:?}: {unknown}")))?,
        };
        let sub_path = clean_sub_path(&sub_path)
            .ok_or_else(|| bad(format!("subPath {sub_path:?} must be relative and without \"..\"")))?;
        let recursive = matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"));
        let propagation = match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::None,
        };
        mounts.push(VolumeMountPlan {
            volume: mount.name.clone(),
            destination,
            read_only: mount.read_only == Some(true) || is_read_only(volume),
            sub_path: Some(sub_path).filter(|path| !path.is_empty()),
            recursive_read_only: recursive && mount.read_only == Some(true),
            propagation,
            options: mount.bind_mount_options.clone().unwrap_or_default(),
        });
    }
    mounts.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    Ok(mounts)
}

/// Returns a container's volumeDevices.
pub fn devices(spec: &PodSpec, container: &Container) -> Vec<VolumeDevicePlan> {
    let read_only = |name: &str| {
        let volume = spec.volumes.iter().flatten().find(|volume| volume.name == name);
        volume.is_some_and(is_read_only)
    };
    let devices = container.volume_devices.iter().flatten();
    devices
        .map(|device| VolumeDevicePlan {
            volume: device.name.clone(),
            path: mount_point(&device.device_path),
            read_only: read_only(&device.name),
        })
        .collect()
}

/// Returns the name of the claim of an ephemeral volume, which its pod owns.
pub fn ephemeral_claim(pod: &str, volume: &str) -> String {
    format!("{pod}-{volume}")
}

/// Returns the claim of an ephemeral volume; `None` for any other volume.
pub fn claim_of_ephemeral(namespace: &str, pod: &str, volume: &Volume) -> Option<PersistentVolumeClaim> {
    let template = volume.ephemeral.as_ref()?.volume_claim_template.as_ref()?;
    let given = template.metadata.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(ephemeral_claim(pod, &volume.name)),
        namespace: Some(namespace.to_owned()),
        labels: given.labels,
        annotations: given.annotations,
        ..ObjectMeta::default()
    };
    Some(PersistentVolumeClaim { metadata, spec: Some(template.spec.clone()), status: None })
}

/// Returns the names of the claims that a pod uses, those of its ephemeral volumes included.
pub fn claims(pod: &Pod) -> Vec<String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let names = volumes.filter_map(|volume| {
        let claim = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
        claim.or_else(|| volume.ephemeral.as_ref().map(|_| ephemeral_claim(name, &volume.name)))
    });
    names.collect()
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
        || volume.image.is_some()
        || volume.nfs.as_ref().is_some_and(|source| source.read_only == Some(true))
        || volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(true))
}

/// Returns an expression with its variables replaced.
///
/// # Errors
/// If the container does not have a variable. In other places such a reference is left as it is, but here two containers
/// that should have folders of their own would share one.
fn expanded(expression: &str, variables: &Variables) -> Result<String, NoVariable> {
    let unknown = RefCell::new(None);
    let text = expand(expression, |name| {
        let value = variables.get(name);
        if value.is_none() {
            unknown.borrow_mut().get_or_insert_with(|| name.to_owned());
        }
        value
    });
    unknown.into_inner().map_or(Ok(text), |name| Err(NoVariable { name }))
}

/// The container has no variable of this name.
#[derive(Debug, thiserror::Error)]
#[error("the container has no variable {name:?}")]
struct NoVariable {
    name: String,
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
        let mut variables = Variables::default();
        variables.set("POD", "web-1");
        variables.set("UP", "../x");
        mounts(&spec, &spec.containers[0], &variables)
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

    #[test]
    fn sub_path_expr_uses_the_environment_of_the_container_and_never_leaves_its_volume() {
        let with = |expression: &str| {
            of(
                json!([{"name": "v", "emptyDir": {}}]),
                json!([{"name": "v", "mountPath": "/x", "subPathExpr": expression}]),
            )
            .map(|m| m[0].sub_path.clone())
            .map_err(|error| error.to_string())
        };
        assert_eq!(with("logs/$(POD)").unwrap().as_deref(), Some("logs/web-1"));
        assert_eq!(with("$$(POD)").unwrap().as_deref(), Some("$(POD)"));
        assert!(with("$(NODE)").unwrap_err().contains("no variable \"NODE\""));
        assert!(with("$(UP)").unwrap_err().contains("must be relative"));
    }

    #[test]
    fn block_devices_are_read_only_if_their_claim_is() {
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "c", "volumeDevices": [
                {"name": "a", "devicePath": "/dev/xvda"}, {"name": "b", "devicePath": "/dev//xvdb/"},
            ]}],
            "volumes": [
                {"name": "a", "persistentVolumeClaim": {"claimName": "x", "readOnly": true}},
                {"name": "b", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            ],
        }))
        .unwrap();
        let found = devices(&spec, &spec.containers[0]);
        let found: Vec<_> = found.iter().map(|one| (one.path.as_str(), one.read_only)).collect();
        assert_eq!(found, [("/dev/xvda", true), ("/dev/xvdb", false)]);
    }

    #[test]
    fn the_claim_of_an_ephemeral_volume_is_named_after_pod_and_volume() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web"},
            "spec": {"containers": [], "volumes": [
                {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {
                    "metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]},
                }}},
                {"name": "data", "persistentVolumeClaim": {"claimName": "kept"}},
                {"name": "e", "emptyDir": {}},
            ]},
        }))
        .unwrap();
        assert_eq!(claims(&pod), ["web-scratch", "kept"]);
        let volumes = pod.spec.as_ref().unwrap().volumes.as_ref().unwrap();
        let claim = claim_of_ephemeral("prod", "web", &volumes[0]).unwrap();
        assert_eq!(claim.metadata.name.as_deref(), Some("web-scratch"));
        assert_eq!(claim.metadata.namespace.as_deref(), Some("prod"));
        assert_eq!(claim.metadata.labels.unwrap()["a"], "b");
        assert_eq!(claim_of_ephemeral("prod", "web", &volumes[1]), None);
    }

    #[test]
    fn recursive_read_only_and_mount_propagation_are_read() {
        let found = of(
            json!([{"name": "v", "hostPath": {"path": "/srv"}}]),
            json!([
                {"name": "v", "mountPath": "/1", "readOnly": true, "recursiveReadOnly": "Enabled"},
                {"name": "v", "mountPath": "/2", "readOnly": true, "recursiveReadOnly": "IfPossible"},
                {"name": "v", "mountPath": "/3", "readOnly": true, "recursiveReadOnly": "Disabled"},
                {"name": "v", "mountPath": "/4", "mountPropagation": "HostToContainer"},
                {"name": "v", "mountPath": "/5", "mountPropagation": "None"},
                {"name": "v", "mountPath": "/6", "mountPropagation": "Bidirectional"},
            ]),
        )
        .unwrap();
        let read_only: Vec<_> = found.iter().map(|m| m.recursive_read_only).collect();
        assert_eq!(read_only, [true, true, false, false, false, false]);
        let propagation: Vec<_> = found.iter().skip(3).map(|m| m.propagation).collect();
        let expected = [Propagation::HostToContainer, Propagation::None, Propagation::Bidirectional];
        assert_eq!(propagation, expected);
    }
}
