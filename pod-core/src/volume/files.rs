//! configMap, secret, downwardAPI and projected: volumes that consist of files which are written together.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Volume, VolumeProjection};

use super::Scope;
use super::atomic_writer::{self, Payload, PayloadFile};
use crate::plan::{self, ContainerError};

/// 0644.
const DEFAULT_MODE: i32 = 0o644;

/// Where the files of a volume are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// In the pod's folder.
    Disk,
    /// On a tmpfs, because a Secret must never be on disk.
    Memory,
}

/// Returns where the files of a volume are kept; `None` for a volume of another kind.
pub fn medium(volume: &Volume) -> Option<Medium> {
    if volume.config_map.is_some() || volume.downward_api.is_some() {
        Some(Medium::Disk)
    } else if volume.secret.is_some() || volume.projected.is_some() {
        Some(Medium::Memory)
    } else {
        None
    }
}

/// Returns the files of a volume as they should be now; `None` for a volume of another kind.
///
/// # Errors
/// `CreateContainerConfigError` if an object or a key is missing and not optional, or if a path leaves the volume.
pub fn payload(scope: &Scope<'_>, volume: &Volume) -> Result<Option<Payload>, ContainerError> {
    let files = |mode, user| Files { scope, volume: &volume.name, mode, user, payload: Payload::new() };
    let files = if let Some(source) = &volume.config_map {
        let mut files = files(source.default_mode, source.default_user);
        files.config_map(&source.name, source.items.as_deref(), source.optional)?;
        files
    } else if let Some(source) = &volume.secret {
        let mut files = files(source.default_mode, source.default_user);
        let name = source.secret_name.as_deref().unwrap_or_default();
        files.secret(name, source.items.as_deref(), source.optional)?;
        files
    } else if let Some(source) = &volume.downward_api {
        let mut files = files(source.default_mode, source.default_user);
        files.downward(source.items.as_deref())?;
        files
    } else if let Some(source) = &volume.projected {
        let mut files = files(source.default_mode, source.default_user);
        for source in source.sources.iter().flatten() {
            files.projection(source)?;
        }
        files
    } else {
        return Ok(None);
    };
    Ok(Some(files.payload))
}

/// Collects the files of a volume.
struct Files<'a> {
    scope: &'a Scope<'a>,
    volume: &'a str,
    /// defaultMode.
    mode: Option<i32>,
    /// defaultUser.
    user: Option<i64>,
    payload: Payload,
}

impl Files<'_> {
    fn error(&self, problem: impl std::fmt::Display) -> ContainerError {
        ContainerError::config(format!("volume {}: {problem}", self.volume))
    }

    /// Adds a file. One of an earlier source at the same path is replaced.
    fn add(
        &mut self,
        path: &str,
        contents: &[u8],
        mode: Option<i32>,
        user: Option<i64>,
    ) -> Result<(), ContainerError> {
        if !atomic_writer::is_safe(path) {
            return Err(self.error(format_args!(
                "{path:?} must be a relative path without \"..\" and must not begin with it"
            )));
        }
        let mode = mode.or(self.mode).unwrap_or(DEFAULT_MODE);
        let mode = u32::try_from(mode).unwrap_or(0o644) & 0o777;
        // Validation has refused what is no id.
        let user = user.or(self.user).and_then(|user| u32::try_from(user).ok()).unwrap_or(0);
        self.payload.insert(path.to_owned(), PayloadFile { contents: contents.to_vec(), mode, user });
        Ok(())
    }

    /// Adds the keys of an object: all of them, or those of `items` at their paths.
    fn keys(
        &mut self,
        what: &str,
        data: &BTreeMap<&str, &[u8]>,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), ContainerError> {
        let items = items.unwrap_or_default();
        if items.is_empty() {
            return data.iter().try_for_each(|(key, contents)| self.add(key, contents, None, None));
        }
        for item in items {
            match data.get(item.key.as_str()) {
                Some(contents) => self.add(&item.path, contents, item.mode, item.user)?,
                None if optional => {}
                None => return Err(self.error(format_args!("{what} has no key {:?}", item.key))),
            }
        }
        Ok(())
    }

    fn config_map(
        &mut self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
    ) -> Result<(), ContainerError> {
        let optional = optional == Some(true);
        let what = format!("configmap {name:?}");
        let key = (self.scope.pod.namespace().to_owned(), name.to_owned());
        let mut data: BTreeMap<&str, &[u8]> = BTreeMap::new();
        match self.scope.objects.config_maps.get(&key) {
            Some(map) => {
                data.extend(map.data.iter().flatten().map(|(k, v)| (k.as_str(), v.as_bytes())));
                data.extend(map.binary_data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.as_slice())));
            }
            None if optional => {}
            None => return Err(self.not_found(&what)),
        }
        self.keys(&what, &data, items, optional)
    }

    fn secret(
        &mut self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
    ) -> Result<(), ContainerError> {
        let optional = optional == Some(true);
        let what = format!("secret {name:?}");
        let key = (self.scope.pod.namespace().to_owned(), name.to_owned());
        let data: BTreeMap<&str, &[u8]> = match self.scope.objects.secrets.get(&key) {
            Some(secret) => secret.data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.as_slice())).collect(),
            None if optional => BTreeMap::new(),
            None => return Err(self.not_found(&what)),
        };
        self.keys(&what, &data, items, optional)
    }

    fn not_found(&self, what: &str) -> ContainerError {
        self.error(format_args!("{what} not found in namespace {:?}", self.scope.pod.namespace()))
    }

    /// Adds files about the pod itself.
    fn downward(&mut self, items: Option<&[DownwardAPIVolumeFile]>) -> Result<(), ContainerError> {
        let mut node = None;
        for item in items.unwrap_or_default() {
            let text = if let Some(field) = &item.field_ref {
                plan::downward::metadata(self.scope.pod, &field.field_path).ok_or_else(|| {
                    self.error(format_args!(
                        "fieldRef {:?} is not a field that a volume can show",
                        field.field_path
                    ))
                })?
            } else if let Some(reference) = &item.resource_field_ref {
                let root = &self.scope.layout.root;
                let node = node.get_or_insert_with(|| plan::node::node_with_storage(root));
                plan::downward::resource(self.scope.pod, node, None, reference)?
            } else {
                return Err(
                    self.error(format_args!("{:?} has neither fieldRef nor resourceFieldRef", item.path))
                );
            };
            self.add(&item.path, text.as_bytes(), item.mode, item.user)?;
        }
        Ok(())
    }

    fn projection(&mut self, source: &VolumeProjection) -> Result<(), ContainerError> {
        if let Some(source) = &source.config_map {
            self.config_map(&source.name, source.items.as_deref(), source.optional)
        } else if let Some(source) = &source.secret {
            self.secret(&source.name, source.items.as_deref(), source.optional)
        } else if let Some(source) = &source.downward_api {
            self.downward(source.items.as_deref())
        } else {
            Err(self.error("it has a source that needs an API server"))
        }
    }
}
