//! Volumes of a pod.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{KeyToPath, Volume};
use serde_json::Value;

use super::{Rules, name};
use crate::manifest::quantity::Quantity;
use crate::manifest::shown;

impl Rules<'_> {
    pub(super) fn volumes(&mut self, path: &str, volumes: &[Volume]) {
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
            self.volume_source(&path, value, &volume.name);
            self.honoured_source(&path, volume);
        }
    }

    fn volume_source(&mut self, path: &str, value: Option<&Value>, volume: &str) {
        let sources: Vec<&str> = value
            .and_then(Value::as_object)
            .map(|fields| fields.keys().map(String::as_str).filter(|key| *key != "name").collect())
            .unwrap_or_default();
        match sources.as_slice() {
            [_] => {}
            [] if self.bad_below(path) => {}
            [] if self.given(&format!("{path}.emptyDir")) => {
                let at = format!("{path}.emptyDir");
                self.error_hint(&at, "has no value, so the volume has no source", "write `emptyDir: {}`");
            }
            [] => {
                let hint = "give it emptyDir, hostPath, configMap, secret or persistentVolumeClaim";
                self.error_hint(path, format!("the volume {} has no source", shown(volume)), hint);
            }
            [first, second, ..] => {
                self.error(
                    &format!("{path}.{second}"),
                    format!("a volume has one source, and this one has {first}"),
                );
            }
        }
    }

    fn honoured_source(&mut self, path: &str, volume: &Volume) {
        if let Some(source) = &volume.empty_dir {
            let path = format!("{path}.emptyDir");
            let medium = source.medium.as_deref().unwrap_or_default();
            if medium == "HugePages" || medium.starts_with("HugePages-") {
                self.warning(&format!("{path}.medium"), "is not honoured yet: HugePages", None);
            } else if !matches!(medium, "" | "Memory") {
                let message = format!("must be \"\", Memory or HugePages, not {}", shown(medium));
                self.error(&format!("{path}.medium"), message);
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
        if let Some(source) = &volume.config_map {
            let path = format!("{path}.configMap");
            if !source.name.is_empty() {
                self.require(&format!("{path}.name"), name::dns_subdomain(&source.name));
            }
            self.items(&path, source.items.as_deref().unwrap_or_default());
        }
        if let Some(source) = &volume.secret {
            let path = format!("{path}.secret");
            if let Some(given) = source.secret_name.as_deref().filter(|given| !given.is_empty()) {
                self.require(&format!("{path}.secretName"), name::dns_subdomain(given));
            }
            self.items(&path, source.items.as_deref().unwrap_or_default());
        }
        if let Some(source) = &volume.persistent_volume_claim
            && !source.claim_name.is_empty()
        {
            let at = format!("{path}.persistentVolumeClaim.claimName");
            self.require(&at, name::dns_subdomain(&source.claim_name));
        }
    }

    fn items(&mut self, path: &str, items: &[KeyToPath]) {
        for (index, item) in items.iter().enumerate() {
            let at = format!("{path}.items[{index}].path");
            self.require(&at, name::descending(&item.path));
            if item.path.starts_with("..") && !item.path.split('/').any(|part| part == "..") {
                self.error(&at, "must not begin with `..`");
            }
            if !item.key.is_empty() {
                self.require(&format!("{path}.items[{index}].key"), name::config_key(&item.key));
            }
        }
    }
}
