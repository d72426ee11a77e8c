//! imagePullPolicy.

use k8s_openapi::api::core::v1::Container;

use serde_json::Value;

use super::{PodPlan, PullPolicy};
use crate::manifest::image::Reference;

/// Returns the policy of an image for which none is given: Always for the tag `latest`, which a reference without tag and
/// digest has, else IfNotPresent. An image whose name begins with `localhost/` was made on this machine by podman or
/// buildah and is in no registry.
pub fn default_policy(image: &str) -> PullPolicy {
    match Reference::parse(image) {
        Ok(reference) if reference.digest().is_some() || reference.is_of_this_machine() => {
            PullPolicy::IfNotPresent
        }
        Ok(reference) if reference.tag() == Some("latest") => PullPolicy::Always,
        // As Kubernetes has it, also for what is no reference.
        _ => PullPolicy::IfNotPresent,
    }
}

/// The imagePullPolicy of a container, or the default for its image.
pub fn policy(container: &Container) -> PullPolicy {
    let image = container.image.as_deref().unwrap_or_default();
    let given = container.image_pull_policy.as_deref().and_then(PullPolicy::parse);
    given.unwrap_or_else(|| default_policy(image))
}

/// Whether a manifest gives an imagePullPolicy for this container itself. `object` is the object as given, of any kind
/// that has pods.
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

/// What has to be done for an image before its containers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// A pull that must work.
    Pull,
    /// A pull; if the registry does not give the image, the one that is here will do.
    PullOrHere,
    /// It is not here, and must not be pulled.
    Missing,
}

/// What a container needs of the registry, from least to most: of several containers with one image, the most counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Eagerness {
    /// imagePullPolicy: Never.
    Never,
    /// imagePullPolicy: IfNotPresent.
    IfNotPresent,
    /// imagePullPolicy: Always, because the tag is `latest` and nobody said anything. As podman has it: asks for a newer
    /// image, and goes on without one. A locally built `app:latest` is in no registry.
    AlwaysByDefault,
    /// imagePullPolicy: Always, because somebody said so: never runs what the registry did not confirm.
    Always,
}

impl Eagerness {
    /// That of a policy; `given` when a manifest or a flag gives it.
    pub fn new(policy: PullPolicy, given: bool) -> Self {
        match policy {
            PullPolicy::Never => Self::Never,
            PullPolicy::IfNotPresent => Self::IfNotPresent,
            PullPolicy::Always if given => Self::Always,
            PullPolicy::Always => Self::AlwaysByDefault,
        }
    }

    /// What has to be done for an image that is `here` or not.
    pub fn need(self, here: bool) -> Need {
        match (self, here) {
            (Self::Never, false) => Need::Missing,
            (Self::Never | Self::IfNotPresent, true) => Need::Nothing,
            (Self::AlwaysByDefault, true) => Need::PullOrHere,
            (Self::IfNotPresent | Self::AlwaysByDefault, false) | (Self::Always, _) => Need::Pull,
        }
    }
}

/// The images of a pod's containers with how eagerly each is to be pulled. `forced` is `--pull`.
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
