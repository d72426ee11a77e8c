//! Volumes on the real file system. They mount, so they need root.

mod claims;
mod contents;
mod group;
mod persistent;
mod projected;
mod sources;
mod sub_path;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use serde_json::{Value, json};

use crate::plan::{ContainerError, PodNetwork, PodPlan};
use crate::store::{Layout, Objects};

/// A separate root and runroot; mounts that a failed test left behind are unmounted.
struct Place {
    layout: Layout,
    objects: Objects,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
        Self { layout, objects: Objects::default(), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config_map(&mut self, name: &str, data: Value) {
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap();
        self.objects.config_maps.insert(("default".to_owned(), name.to_owned()), map);
    }

    /// Adds a Secret; `data` is in base64.
    fn secret(&mut self, name: &str, data: Value) {
        let secret: Secret = serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap();
        self.objects.secrets.insert(("default".to_owned(), name.to_owned()), secret);
    }

    /// Prepares the volume `v` of a pod.
    fn prepare(&self, source: Value) -> Result<PathBuf, ContainerError> {
        let plan = pod(source);
        prepared(self, &plan)
    }

    fn remove(&self) {
        super::remove(&self.layout, "u-1").unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        super::mounts::unmount_below(&[self.dir.path()]);
    }
}

/// Prepares the volume `v` of a pod, which is a file or folder.
fn prepared(place: &Place, plan: &PodPlan) -> Result<PathBuf, ContainerError> {
    let mut prepared = super::prepare(&place.layout, plan, &place.objects, "c", None)?;
    match prepared.remove("v").unwrap() {
        super::Prepared::Path(path) => Ok(path),
        other => panic!("{other:?}"),
    }
}

/// Returns a pod whose container `c` mounts the volume `v` with this source.
fn pod(source: Value) -> PodPlan {
    let mut volume = json!({"name": "v"});
    volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "containers": [
                {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
                {"name": "without"},
            ],
            "volumes": [volume, {"name": "unused", "hostPath": {"path": "/nowhere/at/all", "type": "File"}}],
        },
    }))
    .unwrap();
    PodPlan { uid: "u-1".to_owned(), pod, hash: String::new(), network: PodNetwork::default(), runtime: None }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Returns the lines of mountinfo that contain a path.
fn mounted(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().filter(|line| line.contains(path.to_str().unwrap())).map(str::to_owned).collect()
}
