//! imagePullPolicy.

use k8s_openapi::api::core::v1::Container;

use super::PullPolicy;

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
