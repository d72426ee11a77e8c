//! Rules of metadata.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Rules, name};
use crate::kind::Kind;
use crate::manifest::{DeviceRequest, PidsAnnotation, Ulimit, escape};

/// Maximum total size of the annotations of an object, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;

impl Rules<'_> {
    pub(super) fn metadata(&mut self, kind: Kind, metadata: &ObjectMeta) {
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
            if kind.is_namespaced() {
                self.require("metadata.namespace", name::dns_label(namespace));
            } else {
                let message = format!("must not be given: {} is in no namespace", kind.with_article());
                self.error("metadata.namespace", message);
            }
        }
        self.labels_and_annotations("metadata", metadata);
    }

    pub(super) fn labels_and_annotations(&mut self, path: &str, metadata: &ObjectMeta) {
        if let Some(labels) = &metadata.labels {
            self.labels(&format!("{path}.labels"), labels);
        }
        let Some(annotations) = &metadata.annotations else { return };
        for (key, value) in annotations {
            self.limits(path, key, value);
            if self.of_podman(path, key, value) {
                continue;
            }
            // Kubernetes validates annotation keys in lower case.
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

    /// Checks an annotation that sets a limit or asks for a device.
    fn limits(&mut self, path: &str, key: &str, value: &str) {
        let ulimits = Ulimit::from_annotation(key, value).and_then(Result::err);
        let pids = PidsAnnotation::parse(key, value).and_then(|pids| pids.limit.err());
        if let Some(Err(invalid)) = DeviceRequest::from_annotation(key, value) {
            self.error(&format!("{path}.annotations[{}]", escape(key)), invalid.to_string());
        }
        if let Some(error) = ulimits.or(pids) {
            self.error(&format!("{path}.annotations[{}]", escape(key)), error.to_string());
        }
    }

    /// Warns about an annotation of podman that has no equivalent in Kubernetes and is not honoured. Returns true if no
    /// cluster accepts its key; then no other error about the key is reported.
    fn of_podman(&mut self, path: &str, key: &str, value: &str) -> bool {
        let Some(meaning) = podman_meaning(key, value) else { return false };
        let hint = (!meaning.is_empty()).then(|| meaning.to_owned());
        let path = format!("{path}.annotations[{}]", escape(key));
        self.warning(&path, "is for podman, and is not honoured", hint);
        // The form is `bind-mount-options:/PATH`.
        key.contains(':')
    }

    pub(super) fn labels(&mut self, path: &str, labels: &BTreeMap<String, String>) {
        for (key, value) in labels {
            let path = format!("{path}[{}]", escape(key));
            self.require(&path, name::qualified(key));
            self.require(&path, name::label_value(value));
        }
    }
}

/// Returns what to do instead of an annotation of podman; empty if there is no replacement. `None` for every other
/// annotation. Sources: podman's `libpod/define/annotations.go` and `pkg/util/kube.go`, its manual page of `kube play`.
fn podman_meaning(key: &str, value: &str) -> Option<&'static str> {
    let off = matches!(value.to_ascii_lowercase().as_str(), "" | "false" | "0" | "f");
    if key == "bind-mount-options" || key.starts_with("bind-mount-options:") {
        return Some("SELinux labels of files stay as they are: `chcon` changes them");
    }
    if let Some(option) = key.strip_prefix("volume.podman.io/") {
        return (!matches!((option, value), ("driver", "" | "local")))
            .then_some("a claim is a folder of its own");
    }
    if key.starts_with("io.containers.") {
        let update = key.starts_with("io.containers.autoupdate");
        return Some(if update { "`kube play --pull always FILE` takes new images" } else { "" });
    }
    let option = key.strip_prefix("io.podman.annotations.")?;
    // In podman the name of one of several containers follows a slash.
    let option = option.split('/').next().unwrap_or(option);
    match option {
        "pids-limit" | "ulimit" => None,
        "autoremove" | "init" | "privileged" | "publish-all" if off => None,
        "privileged" => Some("write securityContext.privileged of the container"),
        "publish-all" => Some("`kube play --publish-all` publishes every containerPort"),
        "seccomp" => Some("write securityContext.seccompProfile"),
        "apparmor" => Some("write securityContext.appArmorProfile"),
        "label" => Some("write securityContext.seLinuxOptions"),
        "userns" => Some("hostUsers: false gives the pod a user namespace of its own"),
        _ => Some(""),
    }
}
