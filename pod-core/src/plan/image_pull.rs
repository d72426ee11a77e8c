//! imagePullPolicy and imagePullSecrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Container, Secret};
use serde_json::Value;

use super::{PodPlan, PullPolicy};
use crate::image::Credential;
use crate::store::Objects;

/// The policy of an image for which none is given: Always for the tag `latest`, or neither tag nor digest;
/// else IfNotPresent.
pub fn default_policy(image: &str) -> PullPolicy {
    if image.contains('@') {
        return PullPolicy::IfNotPresent;
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        None | Some((_, "latest")) => PullPolicy::Always,
        Some(_) => PullPolicy::IfNotPresent,
    }
}

/// The imagePullPolicy of a container, or the default for its image.
pub fn policy(container: &Container) -> PullPolicy {
    let image = container.image.as_deref().unwrap_or_default();
    let given = container.image_pull_policy.as_deref().and_then(PullPolicy::parse);
    given.unwrap_or_else(|| default_policy(image))
}

impl PullPolicy {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }

    /// Reads what [`PullPolicy::as_str`] writes, and podman's `always`, `missing`, `never`, `newer`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "always" | "newer" => Some(Self::Always),
            "ifnotpresent" | "missing" => Some(Self::IfNotPresent),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}

/// The credentials of a pod's imagePullSecrets, in order, and a warning for each that gives none: as with the
/// kubelet, the pull is tried without it.
pub fn credentials(pod: &PodPlan, objects: &Objects) -> (Vec<Credential>, Vec<String>) {
    let mut found = Vec::new();
    let mut warnings = Vec::new();
    let references = pod.pod.spec.as_ref().and_then(|s| s.image_pull_secrets.as_ref());
    for reference in references.into_iter().flatten() {
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

/// One entry: `auth` is base64 of `user:password`; explicit names win. An empty entry is passed over.
fn credential(server: &str, entry: &Value) -> Result<Option<Credential>, String> {
    let text =
        |key: &str| entry.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
    let (mut username, mut password) = (text("username"), text("password"));
    if let Some(auth) = text("auth").filter(|_| username.is_none() || password.is_none()) {
        let bytes =
            STANDARD.decode(auth.trim()).map_err(|_| format!("the auth of {server} is not base64"))?;
        let decoded = String::from_utf8(bytes).map_err(|_| format!("the auth of {server} is not text"))?;
        let (name, secret) =
            decoded.split_once(':').ok_or_else(|| format!("the auth of {server} is not user:password"))?;
        username.get_or_insert_with(|| name.to_owned());
        password.get_or_insert_with(|| secret.trim_end_matches('\0').to_owned());
    }
    Ok(match (username, password) {
        (Some(username), Some(password)) => {
            Some(Credential { registry: registry(server), username, password })
        }
        _ => None,
    })
}

/// Docker writes `https://index.docker.io/v1/` for what images call docker.io.
fn registry(server: &str) -> String {
    let bare = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    match bare {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}
