//! secret: the keys of a Secret as files on a tmpfs, never on disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::SecretVolumeSource;

use super::atomic_writer;
use super::config_map::payload;
use super::{Scope, failed, tmpfs};
use crate::plan::ContainerError;

/// Writes the Secret's contents to the volume, or updates them.
pub fn prepare(
    scope: &Scope<'_>,
    name: &str,
    source: &SecretVolumeSource,
) -> Result<PathBuf, ContainerError> {
    let optional = source.optional == Some(true);
    let secret_name = source.secret_name.clone().unwrap_or_default();
    let key = (scope.pod.namespace().to_owned(), secret_name.clone());
    let data: BTreeMap<&str, &[u8]> = match scope.objects.secrets.get(&key) {
        Some(secret) => secret.data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.as_slice())).collect(),
        None if optional => BTreeMap::new(),
        None => {
            return Err(ContainerError::config(format!(
                "volume {name}: secret {secret_name:?} not found in namespace {:?}",
                scope.pod.namespace()
            )));
        }
    };
    let what = format!("secret {secret_name:?}");
    let payload = payload(name, &what, &data, source.items.as_deref(), source.default_mode, optional)?;
    let path = scope.memory(name);
    let options = tmpfs::Options { size: None, mode: 0o755, private: true };
    tmpfs::mount(&path, &options)
        .and_then(|()| atomic_writer::write(&path, &payload, scope.group(true)))
        .map_err(|e| failed(name, e))?;
    Ok(path)
}
