//! Decides from imagePullPolicy whether an image has to be pulled.

use k8s_openapi::api::core::v1::{Container, ImageVolumeSource};

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

/// Returns the pullPolicy of an image volume, or the default for its image.
pub fn volume_policy(source: &ImageVolumeSource) -> PullPolicy {
    let given = source.pull_policy.as_deref().and_then(PullPolicy::parse);
    given.unwrap_or_else(|| default_policy(source.reference.as_deref().unwrap_or_default()))
}

/// Returns whether the manifest itself gives an imagePullPolicy for this container. `object` is the object as it was
/// given, of any kind that has pods.
pub fn is_given(object: &Value, container: &str) -> bool {
    let lists = ["initContainers", "containers"];
    named(object, &lists, container).any(|each| has_text(each, "imagePullPolicy"))
}

/// As [`is_given`], for the pullPolicy of an image volume.
fn is_given_for_volume(object: &Value, volume: &str) -> bool {
    let mut volumes = named(object, &["volumes"], volume);
    volumes.any(|each| each.get("image").is_some_and(|source| has_text(source, "pullPolicy")))
}

/// Returns the entries with this name in lists of a pod's spec.
fn named<'a>(object: &'a Value, lists: &'a [&str], name: &'a str) -> impl Iterator<Item = &'a Value> {
    const SPECS: [&str; 3] = ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
    let specs = SPECS.iter().filter_map(|path| object.pointer(path));
    let entries = specs.flat_map(|spec| lists.iter().filter_map(|list| spec.get(*list)?.as_array()));
    entries.flatten().filter(move |each| each.get("name").and_then(Value::as_str) == Some(name))
}

fn has_text(object: &Value, key: &str) -> bool {
    object.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
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

/// Returns the image of each of the pod's containers and image volumes, with how eagerly the image has to be pulled. `forced` is
/// `--pull`.
pub fn images<'a>(
    pod: &'a PodPlan,
    object: &'a Value,
    forced: Option<PullPolicy>,
) -> impl Iterator<Item = (&'a str, Eagerness)> {
    let containers =
        pod.pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
    let of_containers = containers.filter_map(move |container| {
        let given = forced.is_some() || is_given(object, &container.name);
        Some((container.image.as_deref()?, Eagerness::new(policy(container), given)))
    });
    let volumes = pod.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let of_volumes = volumes.filter_map(move |volume| {
        let source = volume.image.as_ref()?;
        let given = forced.is_some() || is_given_for_volume(object, &volume.name);
        Some((source.reference.as_deref()?, Eagerness::new(volume_policy(source), given)))
    });
    of_containers.chain(of_volumes)
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
