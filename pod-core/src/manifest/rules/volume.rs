//! Rules of volumes of a pod.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Volume;
use serde_json::Value;

use super::{Rules, name};
use crate::manifest::huge_pages::{is_medium, page_size};
use crate::manifest::quantity::Quantity;
use crate::manifest::support::{self, Status, Support};
use crate::manifest::{schema, shown};

/// Returns true for the path of a source of a volume: `spec.volumes[0].csi`, a source of a projected volume, or that of a
/// PersistentVolume (`spec.csi`).
pub(crate) fn is_volume_source(path: &str) -> bool {
    if let Some(field) = path.strip_prefix("spec.") {
        let of_persistent = support::of("PersistentVolumeSpec").iter();
        if of_persistent.clone().any(|(name, support)| *name == field && support.status != Status::Honoured) {
            return true;
        }
    }
    let volume = path.rsplit_once('.').map(|(volume, _)| volume.rsplit('.').next().unwrap_or_default());
    volume.is_some_and(|volume| volume.starts_with("volumes[") || volume.starts_with("sources["))
}

impl Rules<'_> {
    /// Checks the volumes of a pod. `mounted` has the names of the volumes that a container mounts, and `sizes` the sizes of
    /// the huge pages that the pod has, in bytes.
    pub(super) fn volumes(
        &mut self,
        path: &str,
        volumes: &[Volume],
        mounted: &BTreeSet<&str>,
        sizes: &BTreeSet<u64>,
    ) {
        let mut names: HashMap<&str, usize> = HashMap::new();
        let pointer = format!("/{}", path.replace('.', "/"));
        for (index, volume) in volumes.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if !volume.name.is_empty() {
                let at = format!("{path}.name");
                self.require(&at, name::dns_label(&volume.name));
                if let Some(first) = names.insert(&volume.name, index) {
                    self.error(
                        &at,
                        format!("{} is already the name of volumes[{first}]", shown(&volume.name)),
                    );
                }
            }
            let value = self.checked.value.pointer(&format!("{pointer}/{index}"));
            self.volume_source(&path, value, mounted.contains(volume.name.as_str()));
            self.honoured_source(&path, volume, sizes);
            self.files(&path, volume, mounted.contains(volume.name.as_str()));
        }
    }

    /// Checks that a volume has at most one source. Without one it is an emptyDir, as on an API server.
    fn volume_source(&mut self, path: &str, value: Option<&Value>, is_mounted: bool) {
        let sources: Vec<&str> = value
            .and_then(Value::as_object)
            .map(|fields| fields.keys().map(String::as_str).filter(|key| *key != "name").collect())
            .unwrap_or_default();
        match sources.as_slice() {
            [source] => self.mountable_source(&format!("{path}.{source}"), source, is_mounted),
            [] if self.bad_below(path) => {}
            [] => {
                let given = schema::VOLUME.fields.iter().map(|field| field.name);
                for source in given.filter(|name| !matches!(*name, "name" | "emptyDir")) {
                    let at = format!("{path}.{source}");
                    if self.given(&at) {
                        let message = "has no value, so that the volume is an emptyDir";
                        self.warning(&at, message, Some(format!("give {source} its fields or leave it out")));
                    }
                }
            }
            [first, second, ..] => {
                self.error(
                    &format!("{path}.{second}"),
                    format!("a volume has one source, and this one has {first}"),
                );
            }
        }
    }

    /// Reports an error for a mounted volume whose source is not supported: its container could never start, so the
    /// play fails before anything is created. A volume that no container mounts keeps its warning.
    fn mountable_source(&mut self, path: &str, source: &str, is_mounted: bool) {
        let support = support::of("Volume").iter().find(|(name, _)| *name == source);
        let Some((_, support)) = support.filter(|_| is_mounted) else { return };
        self.refuse_source(path, *support);
    }

    /// Reports an error for a source that is not supported.
    pub(super) fn refuse_source(&mut self, path: &str, support: Support) {
        let why = match support.status {
            Status::Honoured => return,
            Status::NotYet => "volumes of this kind cannot be mounted yet",
            Status::Meaningless => "volumes of this kind cannot be mounted on one machine",
        };
        let message =
            if support.note.is_empty() { why.to_owned() } else { format!("{why}: {}", support.note) };
        self.error_hint(path, message, "use hostPath, persistentVolumeClaim or emptyDir instead");
    }

    fn honoured_source(&mut self, path: &str, volume: &Volume, sizes: &BTreeSet<u64>) {
        if let Some(source) = &volume.empty_dir {
            let path = format!("{path}.emptyDir");
            let medium = source.medium.as_deref().unwrap_or_default();
            if is_medium(medium) {
                if let Err(error) = page_size(medium, sizes) {
                    self.error(&format!("{path}.medium"), error.to_string());
                }
            } else if !matches!(medium, "" | "Memory") {
                let message = format!("must be \"\", Memory or HugePages, not {}", shown(medium));
                self.error(&format!("{path}.medium"), message);
            }
            if let Some(mode) = source.mode.filter(|mode| !(0..=0o1777).contains(mode)) {
                self.error(&format!("{path}.mode"), format!("must be between 0 and 01777 (1023), is {mode}"));
            }
            if let Some(limit) = &source.size_limit
                && Quantity::parse(&limit.0).is_some_and(Quantity::is_negative)
            {
                self.error(&format!("{path}.sizeLimit"), format!("must not be negative, is {}", limit.0));
            }
        }
        if let Some(source) = &volume.host_path
            && source.path.starts_with('/')
            && source.path.split('/').any(|part| part == "..")
        {
            self.error(&format!("{path}.hostPath.path"), "must not contain `..`");
        }
        if let Some(source) = &volume.image
            && source.reference.as_deref().is_none_or(str::is_empty)
        {
            self.error(&format!("{path}.image.reference"), "is required");
        }
        if let Some(source) = &volume.nfs {
            self.nfs(&format!("{path}.nfs"), source);
        }
        if let Some(template) = volume.ephemeral.as_ref().and_then(|it| it.volume_claim_template.as_ref()) {
            let path = format!("{path}.ephemeral.volumeClaimTemplate");
            if let Some(metadata) = &template.metadata {
                self.labels_and_annotations(&format!("{path}.metadata"), metadata);
            }
            self.claim(&format!("{path}.spec"), &template.spec);
        }
        if let Some(source) = &volume.persistent_volume_claim
            && !source.claim_name.is_empty()
        {
            let at = format!("{path}.persistentVolumeClaim.claimName");
            self.require(&at, name::dns_subdomain(&source.claim_name));
        }
    }
}
