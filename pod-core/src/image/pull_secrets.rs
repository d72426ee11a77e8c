//! Reads the imagePullSecrets of a pod.

use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;
use serde_json::Value;

use super::Credential;
use super::credentials::{AuthEntry, CredentialsError};
use crate::plan::PodPlan;
use crate::store::Objects;

/// Returns the credentials of a pod's imagePullSecrets, in order, and a warning for each Secret that has none. Like the
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

fn read_secret(secret: &Secret) -> Result<Vec<Credential>, CredentialsError> {
    let data = |key: &'static str| {
        secret.data.as_ref().and_then(|data| data.get(key)).ok_or(CredentialsError::NoKey(key)).and_then(
            |bytes| {
                serde_json::from_slice::<Value>(&bytes.0)
                    .map_err(|error| CredentialsError::KeyNotJson { key, error })
            },
        )
    };
    let auths = match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => {
            data(".dockerconfigjson")?.get("auths").cloned().ok_or(CredentialsError::NoAuths)?
        }
        Some("kubernetes.io/dockercfg") => data(".dockercfg")?,
        other => {
            return Err(CredentialsError::SecretType(other.unwrap_or("Opaque").to_owned()));
        }
    };
    let auths = auths.as_object().ok_or(CredentialsError::AuthsNotObject)?;
    auths.iter().filter_map(|(server, entry)| credential(server, entry).transpose()).collect()
}

/// Reads one entry; an empty one is ignored.
fn credential(server: &str, entry: &Value) -> Result<Option<Credential>, CredentialsError> {
    // serde's message may contain the password, so it is not used.
    let entry =
        Option::<AuthEntry>::deserialize(entry).map_err(|_| CredentialsError::WrongKind.of(server))?;
    let Some(entry) = entry.filter(AuthEntry::has_password) else { return Ok(None) };
    let (username, password) = entry.password().map_err(|error| error.of(server))?;
    Ok(Some(Credential { registry: server.to_owned(), username, password }))
}
