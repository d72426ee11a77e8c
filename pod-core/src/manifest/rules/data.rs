//! Rules of ConfigMaps and Secrets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::{Rules, name};
use crate::manifest::escape;

/// Maximum total size of the values of a ConfigMap or a Secret, in bytes.
const MAX_DATA: usize = 1 << 20;

impl Rules<'_> {
    pub(super) fn config_map(&mut self, map: &ConfigMap) {
        let empty = BTreeMap::new();
        let data = map.data.as_ref().unwrap_or(&empty);
        let mut size = 0;
        for (key, value) in data {
            self.require(&format!("data[{}]", escape(key)), name::config_key(key));
            size += value.len();
        }
        for (key, value) in map.binary_data.iter().flatten() {
            let path = format!("binaryData[{}]", escape(key));
            self.require(&path, name::config_key(key));
            if data.contains_key(key) {
                self.error(&path, "is in data too; a key can be in one of them");
            }
            size += value.0.len();
        }
        self.size(size);
    }

    pub(super) fn secret(&mut self, secret: &Secret) {
        let mut values: BTreeMap<&str, (&str, &[u8])> = BTreeMap::new();
        for (key, value) in secret.data.iter().flatten() {
            values.insert(key, ("data", &value.0));
        }
        // stringData takes precedence over data.
        for (key, value) in secret.string_data.iter().flatten() {
            values.insert(key, ("stringData", value.as_bytes()));
        }
        for (key, (field, _)) in &values {
            self.require(&format!("{field}[{}]", escape(key)), name::config_key(key));
        }
        self.size(values.values().map(|(_, value)| value.len()).sum());
        let secret_type = secret.type_.as_deref().unwrap_or_default();
        self.secret_type(secret_type, &values);
        let annotation = "kubernetes.io/service-account.name";
        let annotations = secret.metadata.annotations.as_ref();
        if secret_type == "kubernetes.io/service-account-token"
            && annotations.and_then(|all| all.get(annotation)).is_none_or(String::is_empty)
        {
            let message = format!("is required in a Secret of type {secret_type}");
            self.error(&format!("metadata.annotations[{annotation}]"), message);
        }
    }

    fn size(&mut self, size: usize) {
        if size > MAX_DATA {
            self.error("", format!("the values must not exceed 1 MiB together, have {size} bytes"));
        }
    }

    /// Checks that a Secret has the keys that its type requires in Kubernetes.
    fn secret_type(&mut self, secret_type: &str, values: &BTreeMap<&str, (&str, &[u8])>) {
        let required: &[&str] = match secret_type {
            "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
            "kubernetes.io/dockercfg" => &[".dockercfg"],
            "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
            "kubernetes.io/tls" => &["tls.crt", "tls.key"],
            "kubernetes.io/basic-auth" => {
                if !values.contains_key("username")
                    && !values.contains_key("password")
                    && !self.bad_below("data")
                {
                    self.error("data", format!("a Secret of type {secret_type} needs username or password"));
                }
                &[]
            }
            _ => &[],
        };
        for key in required {
            let path = format!("data[{key}]");
            match values.get(key) {
                None if self.checked.bad.contains(&path) => {}
                None => self.error(&path, format!("is required in a Secret of type {secret_type}")),
                Some((field, value)) if key.starts_with(".docker") => {
                    if serde_json::from_slice::<serde::de::IgnoredAny>(value).is_err() {
                        self.error(&format!("{field}[{key}]"), "must be JSON, as Docker's config.json is");
                    }
                }
                Some((field, value)) if *key == "ssh-privatekey" && value.is_empty() => {
                    self.error(&format!("{field}[{key}]"), "must not be empty");
                }
                Some(_) => {}
            }
        }
    }
}
