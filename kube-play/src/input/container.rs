//! Which container of a pod a user means.

use k8s_openapi::api::core::v1::PodSpec;
use pod_core::observe::PodView;

use crate::input::select::nearest;
use crate::output::exit::Failure;
use crate::output::terminal;

/// The annotation that names the container that commands mean (kubernetes.io, well-known annotations).
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The container that is named, else the one that the pod's annotation names, else the first, which is said
/// where there are several.
///
/// # Errors
/// There is no container of that name (4).
pub fn choose(pod: &PodView, name: Option<&str>, quiet: bool) -> anyhow::Result<String> {
    let names = names(pod);
    if let Some(name) = name {
        if names.iter().any(|known| known == name) {
            return Ok(name.to_owned());
        }
        let failure = Failure::not_found(format!("pod/{} has no container {name}", pod.plan.name()));
        let hint = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("its containers: {}", names.join(", ")),
        };
        return Err(failure.hint(hint).into());
    }
    let annotations = pod.plan.pod.metadata.annotations.as_ref();
    let annotated = annotations.and_then(|all| all.get(DEFAULT_CONTAINER));
    if let Some(name) = annotated.filter(|name| names.contains(name)) {
        return Ok(name.clone());
    }
    let apps = app_names(pod);
    let Some(first) = apps.first() else {
        return Err(Failure::not_found(format!("pod/{} has no containers", pod.plan.name())).into());
    };
    if apps.len() > 1 && !quiet {
        terminal::note(&format!("container {first} of: {} (choose with -c)", apps.join(", ")));
    }
    Ok(first.clone())
}

/// Every container of a pod, init containers first.
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
    use crate::tests::fixture::{context, pod, record};
    use pod_core::kind::Kind;

    fn chosen(name: Option<&str>, annotation: Option<&str>) -> Result<String, String> {
        let (_dir, context) = context();
        let mut plan = pod("default", "web", &json!({}));
        if let Some(annotation) = annotation {
            plan.pod.metadata.annotations =
                Some([(DEFAULT_CONTAINER.to_owned(), annotation.to_owned())].into());
        }
        record(&context, Kind::Pod, "default", "web", "-", vec![plan]);
        let pod = crate::input::select::pod_of(&context, "web").unwrap();
        choose(&pod, name, true).map_err(|error| {
            let failure = error.downcast_ref::<Failure>().unwrap();
            format!("{}: {}; {}", failure.code, failure.message, failure.hints.join("; "))
        })
    }

    #[test]
    fn the_container_is_the_named_the_annotated_or_the_first() {
        assert_eq!(chosen(None, None), Ok("main".to_owned()));
        assert_eq!(chosen(Some("side"), Some("main")), Ok("side".to_owned()));
        assert_eq!(chosen(None, Some("side")), Ok("side".to_owned()));
        assert_eq!(chosen(None, Some("gone")), Ok("main".to_owned()));
        assert_eq!(
            chosen(Some("sied"), None),
            Err("4: pod/web has no container sied; did you mean side?".to_owned())
        );
        assert_eq!(
            chosen(Some("x"), None),
            Err("4: pod/web has no container x; its containers: main, side".to_owned())
        );
    }
}
