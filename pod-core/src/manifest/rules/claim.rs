//! Rules of PersistentVolumeClaims.

use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;

use super::{Rules, name};
use crate::manifest::quantity::Quantity;
use crate::manifest::shown;

impl Rules<'_> {
    /// Checks the spec of a claim, which is at `path`.
    pub(super) fn claim(&mut self, path: &str, spec: &PersistentVolumeClaimSpec) {
        self.access_modes(&format!("{path}.accessModes"), spec.access_modes.as_deref().unwrap_or_default());
        if let Some(selector) = &spec.selector {
            self.selector(&format!("{path}.selector"), selector);
        }
        if let Some(class) = spec.storage_class_name.as_deref().filter(|class| !class.is_empty()) {
            self.require(&format!("{path}.storageClassName"), name::dns_subdomain(class));
        }
        if let Some(volume) = spec.volume_name.as_deref().filter(|volume| !volume.is_empty()) {
            self.require(&format!("{path}.volumeName"), name::dns_subdomain(volume));
        }
        self.data_source(path, spec);
        let Some(resources) = &spec.resources else { return };
        let storage = resources.requests.as_ref().and_then(|requests| requests.get("storage"));
        let at = format!("{path}.resources.requests[storage]");
        match storage.map(|storage| Quantity::parse(&storage.0)) {
            None => {
                if !self.bad_below(&format!("{path}.resources")) {
                    self.error_hint(&at, "is required", "add `requests: {storage: 1Gi}`");
                }
            }
            Some(Some(size)) if size.is_negative() || size.is_zero() => {
                self.error(&at, "must be more than zero");
            }
            Some(_) => {}
        }
    }

    /// Checks the accessModes of a claim or a PersistentVolume.
    pub(super) fn access_modes(&mut self, path: &str, modes: &[String]) {
        if modes.is_empty() {
            self.error_hint(path, "must have at least one mode", "usually [ReadWriteOnce]");
        }
        if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
            self.error(path, "ReadWriteOncePod must be the only mode");
        }
    }

    fn data_source(&mut self, path: &str, spec: &PersistentVolumeClaimSpec) {
        let old = spec.data_source.as_ref();
        let old = old.map(|source| (&source.api_group, &source.kind, &source.name, None));
        let new = spec.data_source_ref.as_ref();
        let new =
            new.map(|source| (&source.api_group, &source.kind, &source.name, source.namespace.as_deref()));
        for (field, source) in [("dataSource", old), ("dataSourceRef", new)] {
            let Some((group, kind, name, namespace)) = source else { continue };
            let path = format!("{path}.{field}");
            let is_claim = group.as_deref().is_none_or(str::is_empty) && kind == "PersistentVolumeClaim";
            if !is_claim && !kind.is_empty() {
                let message = format!("the data of {} cannot be copied on one machine", shown(kind));
                self.error_hint(
                    &format!("{path}.kind"),
                    message,
                    "PersistentVolumeClaim copies another claim",
                );
            }
            if is_claim && !name.is_empty() {
                self.require(&format!("{path}.name"), name::dns_subdomain(name));
            }
            if namespace.is_some_and(|namespace| !namespace.is_empty()) {
                let message = "must not be given: the claim to copy is in the same namespace";
                self.error(&format!("{path}.namespace"), message);
            }
        }
        if let (Some(old), Some(new)) = (old, new)
            && (old.1, old.2) != (new.1, new.2)
        {
            self.error(&format!("{path}.dataSourceRef"), "must be the same as dataSource");
        }
    }
}
