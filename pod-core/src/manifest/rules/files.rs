//! Rules of volumes that consist of files: configMap, secret, downwardAPI, projected.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Volume, VolumeProjection};

use super::{Rules, name, near};
use crate::manifest::shown;

/// Fields of a pod that a volume can show.
const FIELDS: [&str; 5] =
    ["metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"];
/// The maximum id of a user, in Kubernetes.
const MAX_ID: i64 = 2_147_483_647;

impl Rules<'_> {
    /// Checks a volume of files. The error that a source cannot be projected is only given if the volume is mounted.
    pub(super) fn files(&mut self, path: &str, volume: &Volume, is_mounted: bool) {
        if let Some(source) = &volume.config_map {
            let path = format!("{path}.configMap");
            if !source.name.is_empty() {
                self.require(&format!("{path}.name"), name::dns_subdomain(&source.name));
            }
            self.user(&format!("{path}.defaultUser"), source.default_user);
            self.items(&path, source.items.as_deref().unwrap_or_default());
        }
        if let Some(source) = &volume.secret {
            let path = format!("{path}.secret");
            if let Some(given) = source.secret_name.as_deref().filter(|given| !given.is_empty()) {
                self.require(&format!("{path}.secretName"), name::dns_subdomain(given));
            }
            self.user(&format!("{path}.defaultUser"), source.default_user);
            self.items(&path, source.items.as_deref().unwrap_or_default());
        }
        if let Some(source) = &volume.downward_api {
            let path = format!("{path}.downwardAPI");
            self.user(&format!("{path}.defaultUser"), source.default_user);
            self.downward_items(&path, source.items.as_deref().unwrap_or_default());
        }
        if let Some(source) = &volume.projected {
            let path = format!("{path}.projected");
            self.user(&format!("{path}.defaultUser"), source.default_user);
            let mut paths = HashSet::new();
            for (index, projection) in source.sources.iter().flatten().enumerate() {
                let path = format!("{path}.sources[{index}]");
                self.projection(&path, &volume.name, projection, is_mounted);
                for (at, given) in explicit_paths(projection) {
                    if !given.is_empty() && !paths.insert(given) {
                        let at = format!("{path}.{at}");
                        self.error(&at, format!("{} is already the path of another file", shown(given)));
                    }
                }
            }
        }
    }

    fn projection(&mut self, path: &str, volume: &str, source: &VolumeProjection, is_mounted: bool) {
        let of_server = [
            ("serviceAccountToken", source.service_account_token.is_some()),
            ("clusterTrustBundle", source.cluster_trust_bundle.is_some()),
            ("podCertificate", source.pod_certificate.is_some()),
        ];
        let given = [source.config_map.is_some(), source.secret.is_some(), source.downward_api.is_some()];
        let given: Vec<bool> = given.into_iter().chain(of_server.iter().map(|(_, given)| *given)).collect();
        self.exactly_one(path, &given, "configMap, secret or downwardAPI");
        for (field, _) in of_server.iter().filter(|(_, given)| *given && is_mounted) {
            let hint = if volume.starts_with("kube-api-access-") {
                "a cluster has added this volume to an exported pod: remove it and its volumeMounts"
            } else {
                "remove this source"
            };
            let message = "cannot be projected: there is no API server that could issue it";
            self.error_hint(&format!("{path}.{field}"), message, hint);
        }
        if let Some(source) = &source.config_map {
            let path = format!("{path}.configMap");
            if !source.name.is_empty() {
                self.require(&format!("{path}.name"), name::dns_subdomain(&source.name));
            }
            self.items(&path, source.items.as_deref().unwrap_or_default());
        }
        if let Some(source) = &source.secret {
            let path = format!("{path}.secret");
            if !source.name.is_empty() {
                self.require(&format!("{path}.name"), name::dns_subdomain(&source.name));
            }
            self.items(&path, source.items.as_deref().unwrap_or_default());
        }
        if let Some(source) = &source.downward_api {
            self.downward_items(&format!("{path}.downwardAPI"), source.items.as_deref().unwrap_or_default());
        }
    }

    fn items(&mut self, path: &str, items: &[KeyToPath]) {
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}.items[{index}]");
            self.file_path(&format!("{path}.path"), &item.path);
            self.user(&format!("{path}.user"), item.user);
            if !item.key.is_empty() {
                self.require(&format!("{path}.key"), name::config_key(&item.key));
            }
        }
    }

    fn downward_items(&mut self, path: &str, items: &[DownwardAPIVolumeFile]) {
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}.items[{index}]");
            self.file_path(&format!("{path}.path"), &item.path);
            self.user(&format!("{path}.user"), item.user);
            let given = [item.field_ref.is_some(), item.resource_field_ref.is_some()];
            self.exactly_one(&path, &given, "fieldRef or resourceFieldRef");
            if let Some(reference) = &item.resource_field_ref {
                let path = format!("{path}.resourceFieldRef");
                if reference.container_name.as_deref().is_none_or(str::is_empty) {
                    self.error(&format!("{path}.containerName"), "is required in a volume");
                }
                self.resource_field(&path, reference);
            }
            let Some(field) = item.field_ref.as_ref().map(|field| field.field_path.as_str()) else {
                continue;
            };
            let at = format!("{path}.fieldRef.fieldPath");
            let keyed = ["metadata.labels['", "metadata.annotations['"];
            let key = keyed.iter().find_map(|prefix| field.strip_prefix(prefix)?.strip_suffix("']"));
            match key {
                Some(key) => self.require(&at, name::qualified(key)),
                None if field.is_empty() || FIELDS.contains(&field) => {}
                None => {
                    let hint = match near(field, FIELDS.into_iter()) {
                        Some(near) => format!("did you mean {near}?"),
                        None => format!("one of {}", FIELDS.join(", ")),
                    };
                    let message = format!("{} is not a field that a volume can show", shown(field));
                    self.error_hint(&at, message, hint);
                }
            }
        }
    }

    fn file_path(&mut self, at: &str, path: &str) {
        self.require(at, name::descending(path));
        if path.starts_with("..") && !path.split('/').any(|part| part == "..") {
            self.error(at, "must not begin with `..`");
        }
    }

    fn user(&mut self, at: &str, user: Option<i64>) {
        if let Some(user) = user.filter(|user| !(0..=MAX_ID).contains(user)) {
            self.error(at, format!("must be between 0 and {MAX_ID}, is {user}"));
        }
    }
}

/// Returns the paths that a source gives its files, with the place of each below the source.
fn explicit_paths(source: &VolumeProjection) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    let lists = [
        ("configMap", source.config_map.as_ref().and_then(|source| source.items.as_ref())),
        ("secret", source.secret.as_ref().and_then(|source| source.items.as_ref())),
    ];
    for (field, items) in lists {
        let items = items.into_iter().flatten().enumerate();
        found.extend(items.map(|(n, item)| (format!("{field}.items[{n}].path"), item.path.as_str())));
    }
    let items = source.downward_api.iter().flat_map(|source| source.items.iter().flatten()).enumerate();
    found.extend(items.map(|(n, item)| (format!("downwardAPI.items[{n}].path"), item.path.as_str())));
    found
}
