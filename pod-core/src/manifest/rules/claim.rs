//! Rules of PersistentVolumeClaims.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::Rules;
use crate::manifest::quantity::Quantity;

impl Rules<'_> {
    pub(super) fn claim(&mut self, claim: &PersistentVolumeClaim) {
        let Some(spec) = &claim.spec else { return };
        let modes = spec.access_modes.as_deref().unwrap_or_default();
        if modes.is_empty() {
            self.error_hint("spec.accessModes", "must have at least one mode", "usually [ReadWriteOnce]");
        }
        if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
            self.error("spec.accessModes", "ReadWriteOncePod must be the only mode");
        }
        let Some(resources) = &spec.resources else { return };
        let storage = resources.requests.as_ref().and_then(|requests| requests.get("storage"));
        let at = "spec.resources.requests[storage]";
        match storage.map(|storage| Quantity::parse(&storage.0)) {
            None => {
                if !self.bad_below("spec.resources") {
                    self.error_hint(at, "is required", "add `requests: {storage: 1Gi}`");
                }
            }
            Some(Some(size)) if size.is_negative() || size.is_zero() => {
                self.error(at, "must be more than zero");
            }
            Some(_) => {}
        }
    }
}
