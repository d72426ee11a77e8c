//! A Namespace, as `describeNamespace` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::core::v1::Namespace;
use pod_core::observe::objects::Object;

use super::{Surroundings, labels_and_annotations};
use crate::output::columns::Columns;

/// Returns the description of a Namespace.
///
/// # Errors
/// The object is of another kind.
pub fn describe(object: &Object, _: &Surroundings<'_>) -> anyhow::Result<String> {
    let namespace: Namespace = object.parse()?;
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    let mut out = Columns::default();
    out.line(0, ["Name:", &object.id.name]);
    labels_and_annotations(&mut out, &namespace.metadata);
    out.line(0, ["Status:", phase.unwrap_or_default()]);
    out.line(0, [""]);
    out.line(0, ["No resource quota."]);
    out.line(0, [""]);
    out.line(0, ["No LimitRange resource."]);
    Ok(out.render())
}
