//! imagePullSecrets of a pod.

use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;
use serde_json::Value;

use super::Credential;
use super::credentials::AuthEntry;
use crate::plan::PodPlan;
use crate::store::Objects;

/// The credentials of a pod's imagePullSecrets, in order, and a warning for each that gives none: as with the
/// kubelet, the pull is tried without it.
pub fn pull_secrets(pod: &PodPlan, objects: &Objects) -> (Vec<Credential>, Vec<String>) {
    let mut found = Vec::new();
    let mut warnings = Vec::new();
    let references = pod.pod.spec.as_ref().and_then(|s| s.image_pull_secrets.as_ref());
    // Validation has warned of an empty name.
    for reference in references.into_iter().flatten().filter(|reference| !reference.name.is_empty()) {
        match objects.secrets.get(&(pod.namespace().to_owned(), reference.name.clone())) {
            None => warnings.push(format!(
                "imagePullSecret {:?} not found in namespace {:?}; pulling without it",
                reference.name,
                pod.namespace()
            )),
            Some(secret) => match read_secret(secret) {
                Ok(credentials) => found.extend(credentials),
                Err(problem) => warnings
                    .push(format!("imagePullSecret {:?}: {problem}; pulling without it", reference.name)),
            },
        }
    }
    (found, warnings)
}

fn read_secret(secret: &Secret) -> Result<Vec<Credential>, String> {
    let data = |key: &str| {
        secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .ok_or_else(|| format!("it has no key {key}"))
            .and_then(|bytes| {
                serde_json::from_slice::<Value>(&bytes.0).map_err(|e| format!("{key} is not JSON: {e}"))
            })
    };
    let auths = match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => {
            data(".dockerconfigjson")?.get("auths").cloned().ok_or("it has no auths")?
        }
        Some("kubernetes.io/dockercfg") => data(".dockercfg")?,
        other => {
            return Err(format!(
                "its type is {:?}, not kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg",
                other.unwrap_or("Opaque")
            ));
        }
    };
    let auths = auths.as_object().ok_or("auths is not an object")?;
    auths.iter().filter_map(|(server, entry)| credential(server, entry).transpose()).collect()
}

/// One entry; an empty one is passed over.
fn credential(server: &str, entry: &Value) -> Result<Option<Credential>, String> {
    let bad = |reason: &str| format!("auths[{server:?}]: {reason}");
    // What serde says may hold the password.
    let entry = Option::<AuthEntry>::deserialize(entry).map_err(|_| bad("a value of the wrong kind"))?;
    let Some(entry) = entry.filter(AuthEntry::has_password) else { return Ok(None) };
    let (username, password) = entry.password().map_err(|reason| bad(&reason))?;
    Ok(Some(Credential { registry: server.to_owned(), username, password }))
}
