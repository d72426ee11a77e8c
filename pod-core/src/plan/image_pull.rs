//! Decides from imagePullPolicy whether an image has to be pulled.

use k8s_openapi::api::core::v1::Container;

use serde_json::Value;

use super::{PodPlan, PullPolicy};
use crate::manifest::image::Reference;

/// Returns the policy of an image for which no policy is given. It is Always for the tag `latest`, which a reference
/// without tag and digest has, else IfNotPresent. It is also IfNotPresent for an image whose name begins with
/// `localhost/`, because podman or buildah built that image on this host and no registry has it.
pub fn default_policy(image: &str) -> PullPolicy {
    match Reference::parse(image) {
        Ok(reference) if reference.digest().is_some() || reference.is_of_this_machine() => {
            PullPolicy::IfNotPresent
        }
        Ok(reference) if reference.tag() == Some("latest") => PullPolicy::Always,
        // As in Kubernetes, this includes text that is not a valid reference.
        _ => PullPolicy::IfNotPresent,
    }
}

/// Returns the imagePullPolicy of a container, or the default for its image.
pub fn policy(container: &Container) -> PullPolicy {
    let image = container.image.as_deref().unwrap_or_default();
    let given = container.image_pull_policy.as_deref().and_then(PullPolicy::parse);
    given.unwrap_or_else(|| default_policy(image))
}

/// Returns whether the manifest itself gives an imagePullPolicy for this container. `object` is the object as it was
/// given, of any kind that has pods.
pub fn is_given(object: &Value, container: &str) -> bool {
    const SPECS: [&str; 3] = ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
    let lists = SPECS.iter().filter_map(|path| object.pointer(path)).flat_map(|spec| {
        ["initContainers", "containers"].map(|list| spec.get(list).and_then(Value::as_array))
    });
    lists.flatten().flatten().any(|each| {
        let text = |key: &str| each.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        text("name") == Some(container) && text("imagePullPolicy").is_some()
    })
}

/// What has to be done for an image before its containers are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// No pull is needed.
    Nothing,
    /// The image must be pulled; a failure is an error.
    Pull,
    /// A newer image is pulled if possible; if the pull fails, the local image is used.
    PullOrHere,
    /// The image is not on this host, and must not be pulled.
    Missing,
}

/// How much a container needs the registry, from least to most. If several containers have the same image, the
/// greatest value is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Eagerness {
    /// imagePullPolicy: Never.
    Never,
    /// imagePullPolicy: IfNotPresent.
    IfNotPresent,
    /// imagePullPolicy: Always, as the default for the tag `latest`. As with podman, a newer image is requested, but a
    /// failed pull is ignored if the image is on this host, because a locally built `app:latest` is in no registry.
    AlwaysByDefault,
    /// imagePullPolicy: Always, given by the manifest or a flag. An image that the registry has not confirmed is never
    /// run.
    Always,
}

impl Eagerness {
    /// Creates the value for a policy. `given` says that the manifest or a flag gives the policy.
    pub fn new(policy: PullPolicy, given: bool) -> Self {
        match policy {
            PullPolicy::Never => Self::Never,
            PullPolicy::IfNotPresent => Self::IfNotPresent,
            PullPolicy::Always if given => Self::Always,
            PullPolicy::Always => Self::AlwaysByDefault,
        }
    }

    /// Returns what has to be done for an image. `here` says whether the image is on this host.
    pub fn need(self, here: bool) -> Need {
        match (self, here) {
            (Self::Never, false) => Need::Missing,
            (Self::Never | Self::IfNotPresent, true) => Need::Nothing,
            (Self::AlwaysByDefault, true) => Need::PullOrHere,
            (Self::IfNotPresent | Self::AlwaysByDefault, false) | (Self::Always, _) => Need::Pull,
        }
    }
}

/// Returns the image of each of the pod's containers, with how eagerly the image has to be pulled. `forced` is
/// `--pull`.
pub fn images<'a>(
    pod: &'a PodPlan,
    object: &'a Value,
    forced: Option<PullPolicy>,
) -> impl Iterator<Item = (&'a str, Eagerness)> {
    let containers =
        pod.pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
    containers.filter_map(move |container| {
        let given = forced.is_some() || is_given(object, &container.name);
        Some((container.image.as_deref()?, Eagerness::new(policy(container), given)))
    })
}

impl PullPolicy {
    /// Returns the policy as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }

    /// Parses what [`PullPolicy::as_str`] returns, in any case, and podman's `always`, `missing`, `never` and `newer`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "always" | "newer" => Some(Self::Always),
            "ifnotpresent" | "missing" => Some(Self::IfNotPresent),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}
