//! Rules of environment variables of containers.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, ObjectFieldSelector};

use super::{Rules, name, near};
use crate::manifest::shown;

/// The longest key of a file of variables, in Kubernetes.
const MAX_FILE_KEY: usize = 128;

/// Fields that the value of a variable can refer to.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

impl Rules<'_> {
    pub(super) fn env(&mut self, path: &str, container: &Container) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let path = format!("{path}.env[{index}]");
            if !variable.name.is_empty() {
                self.require(&format!("{path}.name"), name::variable(&variable.name));
            }
            let Some(from) = &variable.value_from else { continue };
            if variable.value.as_deref().is_some_and(|value| !value.is_empty()) {
                self.error(&format!("{path}.valueFrom"), "cannot be given together with value");
            }
            self.value_from(&format!("{path}.valueFrom"), from);
        }
        for (index, from) in container.env_from.iter().flatten().enumerate() {
            let path = format!("{path}.envFrom[{index}]");
            let given = [from.config_map_ref.is_some(), from.secret_ref.is_some()];
            self.exactly_one(&path, &given, "configMapRef or secretRef");
            if let Some(prefix) = from.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
                self.require(&format!("{path}.prefix"), name::variable(prefix));
            }
            let references = [
                ("configMapRef", from.config_map_ref.as_ref().map(|source| source.name.as_str())),
                ("secretRef", from.secret_ref.as_ref().map(|source| source.name.as_str())),
            ];
            for (field, given) in references {
                if let Some(given) = given.filter(|given| !given.is_empty()) {
                    self.require(&format!("{path}.{field}.name"), name::dns_subdomain(given));
                }
            }
        }
    }

    /// Checks the variables that come from files of a volume.
    pub(super) fn file_keys(&mut self, path: &str, container: &Container, empty_dirs: &BTreeSet<&str>) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let Some(selector) = variable.value_from.as_ref().and_then(|from| from.file_key_ref.as_ref())
            else {
                continue;
            };
            let path = format!("{path}.env[{index}].valueFrom.fileKeyRef");
            let at = format!("{path}.volumeName");
            if !selector.volume_name.is_empty() && !empty_dirs.contains(selector.volume_name.as_str()) {
                let message = format!("the pod has no emptyDir volume {}", shown(&selector.volume_name));
                let hint = "the file is in an emptyDir that an init container mounts and writes to";
                self.error_hint(&at, message, hint);
            }
            let at = format!("{path}.path");
            self.require(&at, name::descending(&selector.path));
            if selector.path.starts_with("..") && !selector.path.split('/').any(|part| part == "..") {
                self.error(&at, "must not begin with `..`");
            }
            if !selector.key.is_empty() {
                self.require(&format!("{path}.key"), name::variable(&selector.key));
            }
            if selector.key.len() > MAX_FILE_KEY {
                let message = format!("must not be longer than {MAX_FILE_KEY} characters");
                self.error(&format!("{path}.key"), message);
            }
        }
    }

    fn value_from(&mut self, path: &str, from: &EnvVarSource) {
        let given = [
            from.config_map_key_ref.is_some(),
            from.secret_key_ref.is_some(),
            from.field_ref.is_some(),
            from.resource_field_ref.is_some(),
            from.file_key_ref.is_some(),
        ];
        self.exactly_one(
            path,
            &given,
            "configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef or fileKeyRef",
        );
        let keys = [
            ("configMapKeyRef", from.config_map_key_ref.as_ref().map(|key| (&key.name, &key.key))),
            ("secretKeyRef", from.secret_key_ref.as_ref().map(|key| (&key.name, &key.key))),
        ];
        for (field, selector) in keys {
            let Some((object, key)) = selector else { continue };
            if !object.is_empty() {
                self.require(&format!("{path}.{field}.name"), name::dns_subdomain(object));
            }
            if !key.is_empty() {
                self.require(&format!("{path}.{field}.key"), name::config_key(key));
            }
        }
        if let Some(field) = &from.resource_field_ref {
            self.resource_field(&format!("{path}.resourceFieldRef"), field);
        }
        if let Some(field) = &from.field_ref {
            self.field_ref(&format!("{path}.fieldRef"), field);
        }
    }

    fn field_ref(&mut self, path: &str, field: &ObjectFieldSelector) {
        if let Some(version) = field.api_version.as_deref()
            && !matches!(version, "v1" | "")
        {
            self.error(&format!("{path}.apiVersion"), format!("must be v1, is {}", shown(version)));
        }
        let at = format!("{path}.fieldPath");
        let text = field.field_path.as_str();
        for map in ["metadata.labels", "metadata.annotations"] {
            let Some(rest) = text.strip_prefix(map) else { continue };
            let key = rest.strip_prefix("['").and_then(|rest| rest.strip_suffix("']"));
            match key {
                Some(key) => self.require(&at, name::qualified(key)),
                None => {
                    let hint = format!("write {map}['KEY']");
                    self.error_hint(&at, format!("a variable takes one of them, not {}", shown(text)), hint);
                }
            }
            return;
        }
        if !text.is_empty() && !FIELDS.contains(&text) {
            let hint = match near(text, FIELDS.into_iter()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!(
                    "one of {}, metadata.labels['KEY'], metadata.annotations['KEY']",
                    FIELDS.join(", ")
                ),
            };
            self.error_hint(&at, format!("{} is not a field that a variable can have", shown(text)), hint);
        }
    }

    /// Checks a union of the API, of which exactly one member must be set.
    pub(super) fn exactly_one(&mut self, path: &str, given: &[bool], members: &str) {
        match given.iter().filter(|given| **given).count() {
            1 => {}
            // A member with an error counts as set.
            0 if self.bad_below(path) => {}
            0 => self.error(path, format!("must have one of {members}")),
            _ => self.error(path, format!("must have only one of {members}")),
        }
    }
}
