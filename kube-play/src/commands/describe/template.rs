//! The template of the pods of a workload, as `DescribePodTemplate` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};

use super::{Clock, container, map, volume};
use crate::output::columns::Columns;

/// Adds the template.
pub fn describe(out: &mut Columns, template: Option<&PodTemplateSpec>, clock: &Clock) {
    out.line(0, ["Pod Template:"]);
    let Some(template) = template else {
        out.line(1, ["<unset>"]);
        return;
    };
    let metadata = template.metadata.clone().unwrap_or_default();
    let pod = Pod { metadata, spec: template.spec.clone(), status: None };
    map(out, 1, "Labels:", pod.metadata.labels.as_ref(), "=");
    if pod.metadata.annotations.is_some() {
        map(out, 1, "Annotations:", pod.metadata.annotations.as_ref(), ": ");
    }
    let Some(spec) = &pod.spec else { return };
    if let Some(init) = &spec.init_containers {
        out.line(1, ["Init Containers:"]);
        container::describe(out, &pod, init, None, clock);
    }
    out.line(1, ["Containers:"]);
    container::describe(out, &pod, &spec.containers, None, clock);
    volume::describe(out, spec.volumes.as_deref().unwrap_or_default());
}
