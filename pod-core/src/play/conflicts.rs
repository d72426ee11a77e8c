//! Detects rollouts that could never complete, before anything is changed.

use super::diff::Step;
use super::{Change, Error};
use crate::controller::resize_of;
use crate::manifest::{Diagnostic, Document, Severity};
use crate::plan::PodTemplate;
use crate::plan::resize::Resize;
use crate::record::WorkloadRecord;
use crate::store::Layout;
use crate::volume::claims;
use crate::workload::{Spec, conflict};

/// Returns an error for the first workload whose old and new pods exclude each other although both have to exist during
/// the rollout, or whose pod would change in a way that Kubernetes does not allow.
pub(super) fn check(layout: &Layout, documents: &[Document], steps: &[Step]) -> Result<(), Error> {
    for step in steps.iter().filter(|step| step.change == Change::Configured && step.spec.running) {
        let Some(before) = &step.before else { continue };
        let (path, message, hint) = if let Some(message) = changed_qos(before, &step.spec) {
            ("spec.containers", message, "`kube play --replace` makes a new pod")
        } else if let Some(message) = of(layout, before, &step.spec) {
            let hint = "write `strategy: {type: Recreate}`: old pods are stopped before new ones start";
            ("spec.strategy", message, hint)
        } else {
            continue;
        };
        let document = documents.iter().find(|document| {
            let metadata = document.object.metadata();
            document.object.kind() == step.plan.id.kind
                && metadata.name.as_deref() == Some(&step.plan.id.name)
                && metadata.namespace.as_deref() == Some(&step.plan.id.namespace)
        });
        let path = path.to_owned();
        return Err(Error::Invalid(Box::new(Diagnostic {
            severity: Severity::Error,
            source: document.map_or(&step.spec.source, |document| &document.source).clone(),
            position: document.map(|document| document.position_of(&path)).unwrap_or_default(),
            path,
            message,
            hint: Some(hint.to_owned()),
        })));
    }
    Ok(())
}

/// Returns the error about a changed pod that runs and whose QoS class would change with its cpu and memory. Source:
/// `ValidatePodResize` of pkg/apis/core/validation.
fn changed_qos(before: &WorkloadRecord, spec: &Spec) -> Option<String> {
    before.standing().find_map(|pod| match resize_of(pod, spec)? {
        Resize::ChangesQos { from, to } => Some(format!(
            "the QoS class of a pod that runs cannot change from {} to {} with its cpu and memory",
            from.as_str(),
            to.as_str()
        )),
        Resize::Impossible | Resize::InPlace { .. } => None,
    })
}

/// Returns why the rollout of `spec` over the pods of `before` could never complete, if that is so.
pub(super) fn of(layout: &Layout, before: &WorkloadRecord, spec: &Spec) -> Option<String> {
    let outdated =
        before.standing().filter(|pod| pod.plan.hash != spec.template.hash || pod.replaced < spec.replaced);
    let mut old: Vec<PodTemplate> = Vec::new();
    for pod in outdated {
        if !old.iter().any(|template| template.hash == pod.plan.hash) {
            old.push(pod.plan.template());
        }
    }
    if old.is_empty() {
        return None;
    }
    let probe = spec.template.instantiate("", "", before.created);
    let exclusive = claims::exclusive(layout, &probe);
    let found = conflict(&old.iter().collect::<Vec<_>>(), &spec.template, &spec.rule, &exclusive)?;
    Some(format!(
        "a rolling update could never complete: a new pod and an old one would have to have {found} at the same time"
    ))
}
