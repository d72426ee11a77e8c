//! metadata.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Rules, name};
use crate::manifest::escape;

/// All annotations of an object together, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;

impl Rules<'_> {
    pub(super) fn metadata(&mut self, kind: &str, metadata: &ObjectMeta) {
        match metadata.name.as_deref().unwrap_or_default() {
            "" if metadata.generate_name.is_some() => {
                let hint =
                    "a name that is made anew each time could not be played again: give it a fixed one";
                self.error_hint("metadata.name", "is required; generateName is not enough", hint);
            }
            "" => self.error("metadata.name", "is required"),
            given => self.require("metadata.name", name::of_kind(kind, given)),
        }
        if let Some(namespace) = metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            self.require("metadata.namespace", name::dns_label(namespace));
        }
        self.labels_and_annotations("metadata", metadata);
    }

    pub(super) fn labels_and_annotations(&mut self, path: &str, metadata: &ObjectMeta) {
        if let Some(labels) = &metadata.labels {
            self.labels(&format!("{path}.labels"), labels);
        }
        let Some(annotations) = &metadata.annotations else { return };
        for key in annotations.keys() {
            // Kubernetes compares annotation keys in lower case.
            if let Err(mut invalid) = name::qualified(&key.to_ascii_lowercase()) {
                if let Err(own) = name::qualified(key) {
                    invalid = own;
                }
                self.require(&format!("{path}.annotations[{}]", escape(key)), Err(invalid));
            }
        }
        let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > MAX_ANNOTATIONS {
            let message = format!("all annotations together must not exceed 256 KiB, are {size} bytes");
            self.error(&format!("{path}.annotations"), message);
        }
    }

    pub(super) fn labels(&mut self, path: &str, labels: &BTreeMap<String, String>) {
        for (key, value) in labels {
            let path = format!("{path}[{}]", escape(key));
            self.require(&path, name::qualified(key));
            self.require(&path, name::label_value(value));
        }
    }
}
