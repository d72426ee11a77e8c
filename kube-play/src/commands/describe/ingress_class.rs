//! An IngressClass, as `describeIngressClassV1` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::networking::v1::IngressClass;
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, labels_and_annotations, name};
use crate::output::columns::Columns;

/// Returns the description of an IngressClass.
///
/// # Errors
/// The object is of another kind.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let class: IngressClass = object.parse()?;
    let spec = class.spec.unwrap_or_default();
    let mut out = Columns::default();
    name(&mut out, &class.metadata);
    labels_and_annotations(&mut out, &class.metadata);
    out.line(0, ["Controller:", spec.controller.as_deref().unwrap_or_default()]);
    if let Some(parameters) = &spec.parameters {
        out.line(0, ["Parameters:"]);
        if let Some(group) = &parameters.api_group {
            out.line(1, ["APIGroup:", group]);
        }
        out.line(1, ["Kind:", &parameters.kind]);
        out.line(1, ["Name:", &parameters.name]);
    }
    add_events(&mut out, Kind::IngressClass, &class.metadata, with);
    Ok(out.render())
}
