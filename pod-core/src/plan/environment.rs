//! Computes a container's environment.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, FileKeySelector, ObjectFieldSelector};

use super::expansion::{expand, expanded_length};
use super::inputs::Inputs;
use super::{ContainerError, bounds, downward, env_file, service_links, user::User};

/// The PATH of a container whose image does not set one. This is containerd's default.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables in the order in which they were first set. Setting a variable again replaces its value and keeps its
/// place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    list: Vec<(String, String)>,
    /// The index of each variable in the list.
    at: HashMap<String, usize>,
    /// How many bytes of [`super::MAX_STRINGS`] all variables take.
    taken: usize,
}

impl Variables {
    /// Returns the value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.at.get(name).and_then(|at| self.list.get(*at)).map(|(_, value)| value.as_str())
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        let size = |value: &str| bounds::taken(name.len() + 1 + value.len());
        self.taken = self.taken.saturating_sub(self.get(name).map_or(0, size)) + size(&value);
        match self.at.get(name).and_then(|at| self.list.get_mut(*at)) {
            Some(slot) => slot.1 = value,
            None => {
                self.at.insert(name.to_owned(), self.list.len());
                self.list.push((name.to_owned(), value));
            }
        }
    }

    /// Returns how many bytes of [`super::MAX_STRINGS`] all variables take.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Returns all variables, in order.
    pub fn into_inner(self) -> Vec<(String, String)> {
        self.list
    }
}

/// Returns the variables that the manifest declares: those of Services, then `envFrom` in list order, then `env` in list
/// order. `$(VAR)` in command and args refers to these variables.
///
/// # Errors
/// `CreateContainerConfigError` if a ConfigMap, Secret or key is missing and not `optional`, or if the variables are
/// too long or cannot be represented.
pub fn declared(inputs: &Inputs<'_>, container: &Container) -> Result<Variables, ContainerError> {
    let mut variables = Variables::default();
    for (name, value) in service_links::variables(inputs.pod, inputs.objects) {
        variables.set(&name, value);
    }
    for source in container.env_from.iter().flatten() {
        bounds::check_strings(variables.taken)?;
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            match inputs.config_map(&reference.name) {
                Some(map) => {
                    for (key, value) in map.data.iter().flatten() {
                        set_from(&mut variables, prefix, key, value);
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(missing("configmap", inputs, &reference.name)),
            }
        }
        if let Some(reference) = &source.secret_ref {
            match inputs.secret(&reference.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        set_from(&mut variables, prefix, key, &text(&reference.name, key, &value.0)?);
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(missing("secret", inputs, &reference.name)),
            }
        }
    }
    for var in container.env.iter().flatten() {
        if let Some(value) = value_of(inputs, container, var, &variables)? {
            variables.set(&var.name, value);
            bounds::check_strings(variables.taken)?;
        }
    }
    bounds::check_strings(variables.taken)?;
    for (name, value) in &variables.list {
        bounds::check_string(&format!("the variable {name}"), name.len() + 1 + value.len())?;
        if value.contains('\0') {
            return Err(ContainerError::config(format!("the value of variable {name} contains a NUL byte")));
        }
    }
    Ok(variables)
}

/// Returns the complete environment: the variables of the image and of the runtime, overridden by the declared
/// variables.
pub fn complete(
    inputs: &Inputs<'_>,
    declared: Variables,
    user: &User,
    hostname: &str,
    tty: bool,
) -> Variables {
    let mut variables = Variables::default();
    variables.set("PATH", DEFAULT_PATH);
    variables.set("HOSTNAME", hostname);
    if tty {
        variables.set("TERM", "xterm");
    }
    for entry in &inputs.image.env {
        if let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) {
            variables.set(name, value);
        }
    }
    for (name, value) in declared.list {
        variables.set(&name, value);
    }
    if variables.get("HOME").is_none() {
        variables.set("HOME", user.home.as_str());
    }
    variables
}

/// Sets a variable from a key of an envFrom source. As with the kubelet, a key that cannot be the name of a variable
/// is left out.
fn set_from(variables: &mut Variables, prefix: &str, key: &str, value: &str) {
    let name = format!("{prefix}{key}");
    if !name.is_empty() && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        variables.set(&name, value);
    }
}

fn text(secret: &str, key: &str, bytes: &[u8]) -> Result<String, ContainerError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        ContainerError::config(format!(
            "key {key} of secret {secret} is not UTF-8 text and cannot be a variable; mount it as a volume"
        ))
    })
}

fn missing(kind: &str, inputs: &Inputs<'_>, name: &str) -> ContainerError {
    ContainerError::config(format!("{kind} {name:?} not found in namespace {:?}", inputs.pod.namespace()))
}

fn missing_key(kind: &str, name: &str, key: &str) -> ContainerError {
    ContainerError::config(format!("{kind} {name:?} has no key {key:?}"))
}

fn value_of(
    inputs: &Inputs<'_>,
    container: &Container,
    var: &EnvVar,
    earlier: &Variables,
) -> Result<Option<String>, ContainerError> {
    let Some(from) = &var.value_from else {
        let value = var.value.as_deref().unwrap_or_default();
        let length = expanded_length(value, |name| earlier.get(name).map(str::len));
        bounds::check_string(&format!("the variable {}", var.name), length)?;
        return Ok(Some(expand(value, |name| earlier.get(name))));
    };
    if let Some(reference) = &from.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(map) = inputs.config_map(&reference.name) else {
            return if optional { Ok(None) } else { Err(missing("configmap", inputs, &reference.name)) };
        };
        return match map.data.as_ref().and_then(|data| data.get(&reference.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(missing_key("configmap", &reference.name, &reference.key)),
        };
    }
    if let Some(reference) = &from.secret_key_ref {
        let optional = reference.optional == Some(true);
        let Some(secret) = inputs.secret(&reference.name) else {
            return if optional { Ok(None) } else { Err(missing("secret", inputs, &reference.name)) };
        };
        return match secret.data.as_ref().and_then(|data| data.get(&reference.key)) {
            Some(value) => text(&reference.name, &reference.key, &value.0).map(Some),
            None if optional => Ok(None),
            None => Err(missing_key("secret", &reference.name, &reference.key)),
        };
    }
    if let Some(reference) = &from.field_ref {
        return field(inputs, reference).map(Some);
    }
    if let Some(reference) = &from.resource_field_ref {
        return downward::resource(inputs.pod, inputs.node, Some(container), reference).map(Some);
    }
    if let Some(reference) = &from.file_key_ref {
        return file_value(inputs, &var.name, reference);
    }
    Err(ContainerError::config(format!("variable {}: valueFrom has no supported source", var.name)))
}

/// Returns the value of a variable from a file of a volume. Before the pod exists, the file does not either.
fn file_value(
    inputs: &Inputs<'_>,
    variable: &str,
    reference: &FileKeySelector,
) -> Result<Option<String>, ContainerError> {
    let Some(files) = inputs.files else { return Ok(Some(String::new())) };
    let FileKeySelector { volume_name, path, key, .. } = reference;
    let optional = reference.optional == Some(true);
    let place = format!("file {path:?} of volume {volume_name}");
    let fail = |problem: String| ContainerError::config(format!("variable {variable}: {place}{problem}"));
    let file = files.get(&(volume_name.clone(), path.clone())).and_then(Option::as_ref);
    let Some(text) = file else {
        return if optional { Ok(None) } else { Err(fail(" does not exist".to_owned())) };
    };
    match env_file::value(text, key) {
        Ok(None) if !optional => Err(fail(format!(" has no key {key:?}"))),
        Ok(value) => Ok(value),
        Err(error) => Err(fail(format!(": {error}"))),
    }
}

/// Returns the value of a pod field that a variable refers to (EnvVarSource.fieldRef).
fn field(inputs: &Inputs<'_>, reference: &ObjectFieldSelector) -> Result<String, ContainerError> {
    let meta = &inputs.pod.pod.metadata;
    let spec = inputs.pod.pod.spec.as_ref();
    let path = reference.field_path.as_str();
    let join = |ips: &[std::net::IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let first = |ips: &[std::net::IpAddr]| ips.first().map(ToString::to_string).unwrap_or_default();
    Ok(match path {
        "metadata.name" => inputs.pod.name().to_owned(),
        "metadata.namespace" => inputs.pod.namespace().to_owned(),
        "metadata.uid" => inputs.pod.uid.clone(),
        "spec.nodeName" => spec
            .and_then(|s| s.node_name.clone())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| inputs.node.name.clone()),
        "spec.serviceAccountName" => {
            spec.and_then(|s| s.service_account_name.clone()).unwrap_or_else(|| "default".to_owned())
        }
        "status.hostIP" => first(&inputs.node.ips),
        "status.hostIPs" => join(&inputs.node.ips),
        "status.podIP" => first(inputs.pod_ips()),
        "status.podIPs" => join(inputs.pod_ips()),
        _ => {
            let keyed = |prefix: &str| {
                path.strip_prefix(prefix)
                    .and_then(|rest| rest.strip_prefix("['"))
                    .and_then(|rest| rest.strip_suffix("']"))
            };
            let map = if let Some(key) = keyed("metadata.labels") {
                Some((meta.labels.as_ref(), key))
            } else {
                keyed("metadata.annotations").map(|key| (meta.annotations.as_ref(), key))
            };
            match map {
                Some((map, key)) => map.and_then(|m| m.get(key)).cloned().unwrap_or_default(),
                None => {
                    return Err(ContainerError::config(format!(
                        "fieldRef {path:?} is not a field of a pod that a variable can show"
                    )));
                }
            }
        }
    })
}
