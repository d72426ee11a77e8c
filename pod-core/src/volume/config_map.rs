//! configMap: the keys of a ConfigMap as files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, KeyToPath};

use super::atomic_writer::{self, Payload, PayloadFile};
use super::{Scope, failed, make_dir};
use crate::plan::ContainerError;

/// 0644.
const DEFAULT_MODE: i32 = 0o644;

/// Writes the ConfigMap's contents to the volume, or updates them.
pub fn prepare(
    scope: &Scope<'_>,
    name: &str,
    source: &ConfigMapVolumeSource,
) -> Result<PathBuf, ContainerError> {
    let optional = source.optional == Some(true);
    let key = (scope.pod.namespace().to_owned(), source.name.clone());
    let mut data: BTreeMap<&str, &[u8]> = BTreeMap::new();
    match scope.objects.config_maps.get(&key) {
        Some(map) => {
            data.extend(map.data.iter().flatten().map(|(k, v)| (k.as_str(), v.as_bytes())));
            data.extend(map.binary_data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.as_slice())));
        }
        None if optional => {}
        None => {
            return Err(ContainerError::config(format!(
                "volume {name}: configmap {:?} not found in namespace {:?}",
                source.name,
                scope.pod.namespace()
            )));
        }
    }
    let what = format!("configmap {:?}", source.name);
    let payload = payload(name, &what, &data, source.items.as_deref(), source.default_mode, optional)?;
    let path = scope.disk(name);
    make_dir(&path, 0o755)
        .and_then(|()| atomic_writer::write(&path, &payload, scope.group(true)))
        .map_err(|e| failed(name, e))?;
    Ok(path)
}

/// Returns the files of a volume: every key, or the keys of `items` at their paths.
pub fn payload(
    volume: &str,
    what: &str,
    data: &BTreeMap<&str, &[u8]>,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
    optional: bool,
) -> Result<Payload, ContainerError> {
    let mode = |mode: Option<i32>| {
        u32::try_from(mode.or(default_mode).unwrap_or(DEFAULT_MODE)).unwrap_or(0o644) & 0o777
    };
    let mut payload = Payload::new();
    let mut add = |path: &str, contents: &[u8], mode: u32| {
        if !atomic_writer::is_safe(path) {
            return Err(ContainerError::config(format!(
                "volume {volume}: {path:?} must be a relative path without \"..\" and must not begin with it"
            )));
        }
        payload.insert(path.to_owned(), PayloadFile { contents: contents.to_vec(), mode, user: 0 });
        Ok(())
    };
    match items {
        None | Some([]) => {
            for (key, contents) in data {
                add(key, contents, mode(None))?;
            }
        }
        Some(items) => {
            for item in items {
                match data.get(item.key.as_str()) {
                    Some(contents) => add(&item.path, contents, mode(item.mode))?,
                    None if optional => {}
                    None => {
                        return Err(ContainerError::config(format!(
                            "volume {volume}: {what} has no key {:?}",
                            item.key
                        )));
                    }
                }
            }
        }
    }
    Ok(payload)
}
