//! Handles damaged files. A damaged file only stops operations that need it: lists leave it out and log a warning, and
//! the error of an operation that needs the file says how to fix it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use super::{Error, WorkloadId};

/// Returns how to fix a damaged file, depending on its path.
pub fn remedy(path: &Path) -> String {
    let names: Vec<&str> = path.iter().rev().filter_map(|name| name.to_str()).collect();
    let stem = |file: &str| file.strip_suffix(".json").unwrap_or(file).to_owned();
    match names.as_slice() {
        ["workload.json" | "leaving.json", id, "workloads", ..] => match WorkloadId::from_dir_name(id) {
            Some(id) => format!(
                "`kube down --force {}` removes {id} and what is left of its pods; then play its manifest again",
                id.arguments()
            ),
            None => "remove the folder".to_owned(),
        },
        [file, namespace, kind, "objects", ..] => format!(
            "play its manifest again, or remove it with `kube down {kind}/{} -n {namespace}`",
            stem(file)
        ),
        [file, kind, "objects", ..] => {
            format!("play its manifest again, or remove it with `kube down {kind}/{}`", stem(file))
        }
        ["volume.json", _, _, "volumes", ..] => {
            "the data of the claim is not touched; play the claim again".to_owned()
        }
        ["index.json", "images", ..] => {
            "move it away, and pull or load the images again; running pods are not affected".to_owned()
        }
        ["layer.json", ..] => "remove the image with `kube image rm` and pull it again".to_owned(),
        ["state.json", _, "pods", ..] => {
            "it is written again when something happens to the pod; if not, take the pod down and play it again".to_owned()
        }
        _ => "remove it; it is created again when it is needed".to_owned(),
    }
}

/// Logs that a file cannot be read and is left out. Each error is logged once per process.
pub fn pass_over(error: &Error) {
    static LOGGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let text = error.to_string();
    if LOGGED.lock().is_ok_and(|mut logged| logged.insert(text.clone())) {
        tracing::warn!("{text}");
    }
}

/// Unwraps the result of reading a file. If the file cannot be read, the error is logged and `None` is returned.
pub fn or_none<T, E: Into<Error>>(read: Result<Option<T>, E>) -> Option<T> {
    read.unwrap_or_else(|error| {
        pass_over(&error.into());
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_file_has_its_remedy() {
        for (path, expected) in [
            ("/r/workloads/pod_default_web/workload.json", "`kube down --force pod/web` removes pod/web"),
            (
                "/r/workloads/deployment_prod_api/leaving.json",
                "`kube down --force deployment.apps/api -n prod`",
            ),
            ("/r/objects/configmap/default/c.json", "`kube down configmap/c -n default`"),
            ("/r/objects/persistentvolume/disk.json", "`kube down persistentvolume/disk`"),
            ("/r/volumes/default/data/volume.json", "play the claim again"),
            ("/r/images/index.json", "pull or load the images again"),
            ("/r/images/layers/ab/layer.json", "`kube image rm`"),
            ("/run/pods/uid/state.json", "take the pod down and play it again"),
            ("/run/boot", "remove it"),
        ] {
            assert!(remedy(Path::new(path)).contains(expected), "{path}: {}", remedy(Path::new(path)));
        }
    }
}
