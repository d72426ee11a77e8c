//! Rules of PersistentVolumes (`ValidatePersistentVolumeSpec` of Kubernetes), and of what cannot be mounted here.

use k8s_openapi::api::core::v1::{NFSVolumeSource, PersistentVolume, PersistentVolumeSpec};

use super::{Rules, name};
use crate::manifest::quantity::Quantity;
use crate::manifest::shown;
use crate::manifest::support::{self, Status};

/// The sources that can be mounted.
const SOURCES: &str = "hostPath, local or nfs";

impl Rules<'_> {
    pub(super) fn persistent_volume(&mut self, volume: &PersistentVolume) {
        let Some(spec) = &volume.spec else { return };
        self.access_modes("spec.accessModes", spec.access_modes.as_deref().unwrap_or_default());
        if let Some(class) = spec.storage_class_name.as_deref().filter(|class| !class.is_empty()) {
            self.require("spec.storageClassName", name::dns_subdomain(class));
        }
        self.capacity(spec);
        self.persistent_source(spec);
        if spec.persistent_volume_reclaim_policy.as_deref() == Some("Recycle") {
            let message = "Recycle is deprecated and counts as Retain: the files are kept";
            let hint = Some("write Retain, or Delete".to_owned());
            self.warning("spec.persistentVolumeReclaimPolicy", message, hint);
        }
        if let Some(claim) = &spec.claim_ref {
            for (field, value) in [("name", &claim.name), ("namespace", &claim.namespace)] {
                let at = format!("spec.claimRef.{field}");
                match value.as_deref().unwrap_or_default() {
                    "" => self.error(&at, "is required: a claim has a name and a namespace"),
                    given if field == "name" => self.require(&at, name::dns_subdomain(given)),
                    given => self.require(&at, name::dns_label(given)),
                }
            }
        }
    }

    fn capacity(&mut self, spec: &PersistentVolumeSpec) {
        let Some(capacity) = &spec.capacity else { return };
        for (resource, size) in capacity {
            let at = format!("spec.capacity[{resource}]");
            if resource != "storage" {
                self.error(&at, "is not a capacity of a volume: only storage is");
            } else if Quantity::parse(&size.0).is_some_and(|size| size.is_negative() || size.is_zero()) {
                self.error(&at, "must be more than zero");
            }
        }
        if !capacity.contains_key("storage") && !self.bad_below("spec.capacity") {
            self.error_hint("spec.capacity[storage]", "is required", "add `capacity: {storage: 1Gi}`");
        }
    }

    /// Checks that there is one source, and that it can be mounted.
    fn persistent_source(&mut self, spec: &PersistentVolumeSpec) {
        let sources = support::of("PersistentVolumeSpec").iter().filter(|(name, support)| {
            matches!(*name, "hostPath" | "local" | "nfs")
                || support.status == Status::Meaningless && *name != "volumeAttributesClassName"
        });
        let given: Vec<_> = sources.filter(|(name, _)| self.given(&format!("spec.{name}"))).collect();
        match given.as_slice() {
            [] => self.error_hint("spec", "must have a source", SOURCES),
            [(name, support)] => {
                if support.status != Status::Honoured {
                    self.refuse_source(&format!("spec.{name}"), *support);
                }
            }
            [(first, _), (second, _), ..] => {
                let message = format!("a volume has one source, and this one has {first}");
                self.error(&format!("spec.{second}"), message);
            }
        }
        let is_block = spec.volume_mode.as_deref() == Some("Block");
        if is_block && (spec.host_path.is_some() || spec.nfs.is_some()) {
            let hint = "give the path of a device as local.path";
            self.error_hint("spec.volumeMode", "Block needs the source local", hint);
        }
        let has_options = spec.mount_options.as_ref().is_some_and(|options| !options.is_empty());
        if has_options && spec.nfs.is_none() && (spec.host_path.is_some() || spec.local.is_some()) {
            self.error("spec.mountOptions", "only an nfs volume has them: a folder is mounted as it is");
        }
        for (index, option) in spec.mount_options.iter().flatten().enumerate() {
            if option.is_empty() || option.contains([',', '\0', '\n']) {
                let message = format!("must be one mount option, not {}", shown(option));
                self.error(&format!("spec.mountOptions[{index}]"), message);
            }
        }
        if let Some(source) = &spec.host_path
            && source.path.starts_with('/')
            && source.path.split('/').any(|part| part == "..")
        {
            self.error("spec.hostPath.path", "must not contain `..`");
        }
        if let Some(source) = &spec.local {
            if !source.path.is_empty() && !source.path.starts_with('/') {
                let message = format!("must be an absolute path, is {}", shown(&source.path));
                self.error("spec.local.path", message);
            }
            if source.path.split('/').any(|part| part == "..") {
                self.error("spec.local.path", "must not contain `..`");
            }
            let required = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
            if required.is_none() && !self.bad_below("spec.nodeAffinity") {
                let hint = "a cluster wants to know the node of a local volume; hostPath needs none";
                self.error_hint("spec.nodeAffinity", "is required with the source local", hint);
            }
        }
        if let Some(source) = &spec.nfs {
            self.nfs("spec.nfs", source);
        }
    }

    /// Checks an nfs source, of a pod's volume or a PersistentVolume.
    pub(super) fn nfs(&mut self, path: &str, source: &NFSVolumeSource) {
        let at = format!("{path}.server");
        if source.server.is_empty() {
            self.error(&at, "is required");
        } else if source.server.contains(|c: char| c.is_whitespace() || matches!(c, ',' | '/' | '\0')) {
            self.error(&at, format!("must be a host name or an address, not {}", shown(&source.server)));
        }
        let at = format!("{path}.path");
        if source.path.is_empty() {
            self.error(&at, "is required");
        } else if !source.path.starts_with('/') {
            self.error(&at, format!("must be an absolute path, is {}", shown(&source.path)));
        }
    }
}
