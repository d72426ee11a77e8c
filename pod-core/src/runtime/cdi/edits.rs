//! What a CDI file adds to a container: variables, device nodes, mounts, hooks and groups.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::runtime::Error as RuntimeError;

/// Why the edits of a device cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// A device node does not exist on this machine.
    #[error("device node {}: {source}", path.display())]
    Node {
        /// The path on this machine.
        path: PathBuf,
        /// The kernel's error.
        #[source]
        source: std::io::Error,
    },
    /// The path is not a device.
    #[error("{} is not a device", .0.display())]
    NotDevice(PathBuf),
}

/// `containerEdits` of a CDI file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerEdits {
    env: Vec<String>,
    device_nodes: Vec<DeviceNode>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
    #[serde(rename = "additionalGids")]
    additional_gids: Vec<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeviceNode {
    path: String,
    host_path: Option<PathBuf>,
    #[serde(rename = "type")]
    kind: Option<String>,
    major: Option<i64>,
    minor: Option<i64>,
    file_mode: Option<u32>,
    permissions: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    host_path: PathBuf,
    container_path: String,
    #[serde(default)]
    options: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    #[serde(rename = "hookName")]
    name: String,
    path: PathBuf,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    timeout: Option<i64>,
}

/// The sum of what the devices of a container add to its spec, as JSON of the OCI runtime spec.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edits {
    env: Vec<String>,
    devices: Vec<Value>,
    rules: Vec<Value>,
    mounts: Vec<Value>,
    /// The name of each hook's list, and the hook.
    hooks: Vec<(String, Value)>,
    groups: Vec<u32>,
}

impl Edits {
    /// Returns whether nothing is added.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn add(&mut self, edits: &ContainerEdits) -> Result<(), EditError> {
        self.env.extend(edits.env.iter().cloned());
        for node in &edits.device_nodes {
            let (device, rule) = node.to_spec()?;
            self.devices.push(device);
            self.rules.push(rule);
        }
        self.mounts.extend(edits.mounts.iter().map(Mount::to_spec));
        self.hooks.extend(edits.hooks.iter().map(|hook| (hook.name.clone(), hook.to_spec())));
        self.groups.extend(&edits.additional_gids);
        Ok(())
    }
}

impl DeviceNode {
    /// Returns the device of `linux.devices` and its rule. What the file does not say is that of the node on this
    /// machine.
    fn to_spec(&self) -> Result<(Value, Value), EditError> {
        let host = self.host_path.clone().unwrap_or_else(|| PathBuf::from(&self.path));
        let (mut kind, mut major, mut minor) = (self.kind.clone(), self.major, self.minor);
        let (mut mode, mut uid, mut gid) = (self.file_mode, self.uid, self.gid);
        if kind.is_none() || major.is_none() || minor.is_none() {
            let meta =
                fs::metadata(&host).map_err(|source| EditError::Node { path: host.clone(), source })?;
            let found = match meta.file_type() {
                found if found.is_char_device() => "c",
                found if found.is_block_device() => "b",
                _ => return Err(EditError::NotDevice(host)),
            };
            kind = Some(found.to_owned());
            major = Some(i64::from(libc::major(meta.rdev())));
            minor = Some(i64::from(libc::minor(meta.rdev())));
            mode = mode.or(Some(meta.mode() & 0o7777));
            uid = uid.or(Some(meta.uid()));
            gid = gid.or(Some(meta.gid()));
        }
        let access = self.permissions.as_deref().unwrap_or("rwm");
        let mut device = json!({ "path": self.path, "type": kind, "major": major, "minor": minor });
        if let Some(fields) = device.as_object_mut() {
            let given = [("fileMode", mode), ("uid", uid), ("gid", gid)];
            fields.extend(
                given.iter().filter_map(|(name, value)| Some(((*name).to_owned(), json!((*value)?)))),
            );
        }
        let rule = json!({ "allow": true, "type": kind, "major": major, "minor": minor, "access": access });
        Ok((device, rule))
    }
}

impl Mount {
    fn to_spec(&self) -> Value {
        let mut options = self.options.clone();
        // The propagation and the kind of mount are always given in specs of ours.
        options.retain(|option| !matches!(option.as_str(), "bind" | "rbind" | "rprivate" | "private"));
        options.splice(0..0, ["rbind".to_owned(), "rprivate".to_owned()]);
        json!({
            "destination": self.container_path, "type": "bind", "source": self.host_path, "options": options,
        })
    }
}

impl Hook {
    fn to_spec(&self) -> Value {
        let mut hook = json!({ "path": self.path, "args": self.args, "env": self.env });
        if let (Some(fields), Some(timeout)) = (hook.as_object_mut(), self.timeout) {
            fields.insert("timeout".to_owned(), json!(timeout));
        }
        hook
    }
}

/// Adds edits to the spec of a container. A variable of a device replaces one of the container.
///
/// # Errors
/// If the file has values that no spec can have.
pub fn apply(spec: Spec, edits: &Edits) -> Result<Spec, RuntimeError> {
    if edits.is_empty() {
        return Ok(spec);
    }
    let invalid = |error: serde_json::Error| RuntimeError::Spec(error.to_string());
    let mut value = serde_json::to_value(&spec).map_err(invalid)?;
    let name_of = |variable: &Value| -> Option<String> {
        variable.as_str().map(|text| text.split('=').next().unwrap_or_default().to_owned())
    };
    let added: Vec<Value> = edits.env.iter().map(|variable| json!(variable)).collect();
    let names: Vec<Option<String>> = added.iter().map(name_of).collect();
    if let Some(env) = list(&mut value, &["process", "env"]) {
        env.retain(|variable| !names.contains(&name_of(variable)));
        env.extend(added);
    }
    if let Some(devices) = list(&mut value, &["linux", "devices"]) {
        devices.retain(|known| !edits.devices.iter().any(|device| device.get("path") == known.get("path")));
        devices.extend(edits.devices.iter().cloned());
    }
    let groups: Vec<Value> = edits.groups.iter().map(|gid| json!(gid)).collect();
    for (path, added) in [
        (&["process", "user", "additionalGids"][..], &groups),
        (&["linux", "resources", "devices"], &edits.rules),
        (&["mounts"], &edits.mounts),
    ] {
        if let Some(list) = list(&mut value, path) {
            list.extend(added.iter().cloned());
        }
    }
    for (name, hook) in &edits.hooks {
        if let Some(hooks) = list(&mut value, &["hooks", name]) {
            hooks.push(hook.clone());
        }
    }
    serde_json::from_value(value).map_err(invalid)
}

/// Returns the list at a path of a JSON object, which is made if it is missing. `None` if something else is there.
fn list<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Vec<Value>> {
    let (last, folders) = path.split_last()?;
    let mut place = value;
    for name in folders {
        place = place.as_object_mut()?.entry(*name).or_insert_with(|| json!({}));
    }
    place.as_object_mut()?.entry(*last).or_insert_with(|| json!([])).as_array_mut()
}
