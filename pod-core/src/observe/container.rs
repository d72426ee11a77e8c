//! Chooses the container of a pod that a command is about.

use k8s_openapi::api::core::v1::PodSpec;

use super::nearest::nearest;
use super::pod::PodView;

/// The annotation that names a pod's default container (kubernetes.io, well-known annotations).
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Why no container was chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The pod has no container of this name.
    #[error("pod/{pod} has no container {container}")]
    NotFound {
        /// The name of the pod.
        pod: String,
        /// The name that was given.
        container: String,
        /// The container that was probably meant.
        similar: Option<String>,
        /// The containers of the pod, init containers first.
        known: Vec<String>,
    },
    /// The pod has no containers.
    #[error("pod/{0} has no containers")]
    NoContainers(String),
}

/// The container that a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The name of the container.
    pub name: String,
    /// All app containers, if there are several and neither the user nor an annotation named one. Empty otherwise.
    pub chosen_from: Vec<String>,
}

/// Returns the container `name`; if no name is given, the container that the pod's annotation names, else the first
/// app container.
///
/// # Errors
/// The pod has no such container, or no containers.
pub fn choose(pod: &PodView, name: Option<&str>) -> Result<Choice, Error> {
    let known = names(pod);
    if let Some(name) = name {
        if known.iter().any(|one| one == name) {
            return Ok(Choice { name: name.to_owned(), chosen_from: Vec::new() });
        }
        let similar = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        let (pod, container) = (pod.plan.name().to_owned(), name.to_owned());
        return Err(Error::NotFound { pod, container, similar, known });
    }
    let annotations = pod.plan.pod.metadata.annotations.as_ref();
    let annotated = annotations.and_then(|all| all.get(DEFAULT_CONTAINER));
    if let Some(name) = annotated.filter(|name| known.contains(name)) {
        return Ok(Choice { name: name.clone(), chosen_from: Vec::new() });
    }
    let mut apps = app_names(pod);
    let Some(name) = apps.first().cloned() else {
        return Err(Error::NoContainers(pod.plan.name().to_owned()));
    };
    if apps.len() == 1 {
        apps.clear();
    }
    Ok(Choice { name, chosen_from: apps })
}

/// Returns the names of all containers of a pod, init containers first.
pub fn names(pod: &PodView) -> Vec<String> {
    let spec = pod.plan.pod.spec.as_ref();
    let init = spec.into_iter().flat_map(|spec: &PodSpec| spec.init_containers.iter().flatten());
    init.map(|container| container.name.clone()).chain(app_names(pod)).collect()
}

fn app_names(pod: &PodView) -> Vec<String> {
    let containers = pod.plan.pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.map(|container| container.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::Kind;
    use crate::observe::pods;
    use crate::observe::tests::fixture::{layout, planned, record};

    fn chosen(name: Option<&str>, annotation: Option<&str>) -> Result<Choice, Error> {
        let (_dir, layout) = layout();
        let mut plan = planned("default", "web", &json!({}));
        if let Some(annotation) = annotation {
            plan.pod.metadata.annotations =
                Some([(DEFAULT_CONTAINER.to_owned(), annotation.to_owned())].into());
        }
        record(&layout, Kind::Pod, "default", "web", vec![plan]);
        choose(&pods(&layout).unwrap()[0], name)
    }

    #[test]
    fn the_container_is_the_named_the_annotated_or_the_first() {
        let all = || vec!["main".to_owned(), "side".to_owned()];
        let choice = |name: &str, chosen_from| Ok(Choice { name: name.to_owned(), chosen_from });
        assert_eq!(chosen(None, None), choice("main", all()));
        assert_eq!(chosen(Some("side"), Some("main")), choice("side", vec![]));
        assert_eq!(chosen(None, Some("side")), choice("side", vec![]));
        assert_eq!(chosen(None, Some("gone")), choice("main", all()));
        let not_found = |container: &str, similar: Option<&str>| {
            let (pod, container) = ("web".to_owned(), container.to_owned());
            Err(Error::NotFound { pod, container, similar: similar.map(str::to_owned), known: all() })
        };
        assert_eq!(chosen(Some("sied"), None), not_found("sied", Some("side")));
        assert_eq!(chosen(Some("x"), None), not_found("x", None));
    }
}
