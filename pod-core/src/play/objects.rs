//! The objects of a play that are no workloads: records them, and restores the former ones when the play fails.

use serde_json::Value;

use super::{Change, Error};
use crate::kind::Kind;
use crate::manifest::{Diagnostic, Document, Severity};
use crate::plan::{ObjectPlan, PodPlan, VALUES_LEFT_OUT, references, value_left_out};
use crate::record::WorkloadRecord;
use crate::store::{Layout, Objects, damage};
use crate::volume::{self, claims, persistent};

/// The change of one object, and the object before it.
#[derive(Debug)]
pub struct Applied {
    plan: ObjectPlan,
    before: Option<Value>,
    /// The object before it as it was given, if that differs from `before`.
    given_before: Option<Value>,
    /// True for a claim whose volume this play creates.
    makes_volume: bool,
    /// The change in kubectl's words.
    pub change: Change,
}

impl Applied {
    /// Returns the object's kind.
    pub fn kind(&self) -> Kind {
        self.plan.id.kind
    }

    /// Returns whether the object says where traffic goes.
    pub fn directs_traffic(&self) -> bool {
        directs_traffic(self.kind())
    }

    /// Returns whether the object is of this kind and has this name, given as `NAMESPACE/NAME`.
    pub fn is_named(&self, kind: Kind, name: &str) -> bool {
        let id = &self.plan.id;
        id.kind == kind && name.split_once('/') == Some((id.namespace.as_str(), id.name.as_str()))
    }

    /// Returns the object's name for messages: `configmap/web`.
    pub fn object(&self) -> String {
        self.plan.id.to_string()
    }
}

/// Returns whether objects of a kind say where traffic goes. The certificate of an Ingress is a Secret.
pub fn directs_traffic(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Service
            | Kind::Endpoints
            | Kind::EndpointSlice
            | Kind::Ingress
            | Kind::IngressClass
            | Kind::Secret
    )
}

/// Fills in the values of a Secret that `generate` left empty, from the recorded Secret. Returns the keys without a
/// recorded value.
pub fn fill_in(layout: &Layout, plan: &mut ObjectPlan) -> Result<Vec<String>, Error> {
    let Some(Value::Object(metadata)) = plan.object.get_mut("metadata") else { return Ok(Vec::new()) };
    let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else { return Ok(Vec::new()) };
    if plan.id.kind != Kind::Secret || annotations.remove(VALUES_LEFT_OUT).is_none() {
        return Ok(Vec::new());
    }
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    let before = Objects::get(layout, &plan.id)?;
    let mut empty = Vec::new();
    for (key, value) in plan.object.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
        if value.as_str().is_none_or(|value| !value.is_empty() && value != value_left_out(key)) {
            continue;
        }
        match before.as_ref().and_then(|before| before.get("data")?.get(key)) {
            Some(known) => *value = known.clone(),
            None => empty.push(key.clone()),
        }
    }
    Ok(empty)
}

/// Returns what applying `plan` would change.
pub fn diff(layout: &Layout, plan: ObjectPlan) -> Applied {
    // A damaged object is replaced.
    let before = damage::or_none(Objects::get(layout, &plan.id));
    let given_before = damage::or_none(Objects::given(layout, &plan.id));
    let change = match &before {
        None => Change::Created,
        Some(before) if *before == plan.object && given_before == plan.given => Change::Unchanged,
        Some(_) => Change::Configured,
    };
    let makes_volume = plan.id.kind == Kind::PersistentVolumeClaim
        && !claims::exists(layout, &plan.id.namespace, &plan.id.name);
    Applied { plan, before, given_before, makes_volume, change }
}

/// Refuses a change of what is recorded as immutable, as an API server does.
///
/// # Errors
/// `Invalid`, at the place of the change in the manifest.
pub fn check_immutable(layout: &Layout, documents: &[Document], plans: &[ObjectPlan]) -> Result<(), Error> {
    for plan in plans.iter().filter(|plan| matches!(plan.id.kind, Kind::ConfigMap | Kind::Secret)) {
        let Some(before) = damage::or_none(Objects::get(layout, &plan.id)) else { continue };
        if before.get("immutable") != Some(&Value::Bool(true)) {
            continue;
        }
        let is_changed = |field: &&str| {
            let value = |object: &Value| object.get(field).filter(|value| !is_empty(value)).cloned();
            value(&before) != value(&plan.object)
        };
        let Some(field) = ["data", "binaryData", "type", "immutable"].into_iter().find(is_changed) else {
            continue;
        };
        let document = documents.iter().find(|document| {
            let metadata = document.object.metadata();
            document.object.kind() == plan.id.kind
                && metadata.name.as_deref() == Some(&plan.id.name)
                && metadata.namespace.as_deref() == Some(&plan.id.namespace)
        });
        let id = &plan.id;
        return Err(Error::Invalid(Box::new(Diagnostic {
            severity: Severity::Error,
            source: document.map(|document| document.source.clone()).unwrap_or_default(),
            position: document.map(|document| document.position_of(field)).unwrap_or_default(),
            path: field.to_owned(),
            message: format!("{id} is immutable, and this play changes its {field}"),
            hint: Some(format!(
                "give the changed object another name, or remove the recorded one first: kube down {id}"
            )),
        })));
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Records the object.
pub fn apply(layout: &Layout, applied: &Applied) -> Result<(), Error> {
    let plan = &applied.plan;
    if applied.change != Change::Unchanged {
        Objects::put_with(layout, &plan.id, &plan.object, plan.given.as_ref())?;
        base::fail_point!(Command, "object-recorded");
    }
    if plan.id.kind == Kind::PersistentVolumeClaim {
        let claim = serde_json::from_value(plan.object.clone()).ok();
        let made = claims::ensure(layout, &plan.id.namespace, &plan.id.name, claim.as_ref());
        made.map_err(|e| storage_error(plan, e))?;
    }
    if plan.id.kind == Kind::PersistentVolume {
        persistent::ensure(layout, &plan.id.name).map_err(|e| storage_error(plan, e))?;
    }
    Ok(())
}

fn storage_error(plan: &ObjectPlan, error: claims::Error) -> Error {
    match error {
        claims::Error::Store(error) => Error::Store(error),
        error => Error::Failed { object: plan.id.to_string(), message: error.to_string() },
    }
}

/// Removes the volume of a claim that this play created, once its pods are removed. A volume that existed before, or
/// that another pod uses by now, is kept.
pub fn undo_volume(layout: &Layout, applied: &Applied) -> Result<(), claims::Error> {
    if !applied.makes_volume {
        return Ok(());
    }
    match claims::remove(layout, &applied.plan.id.namespace, &applied.plan.id.name) {
        Err(claims::Error::NotFound { .. } | claims::Error::InUse { .. }) | Ok(()) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Updates changed ConfigMaps and Secrets in the pods that mount them. A volume that cannot be updated keeps its old
/// contents; a returned line says why.
pub fn update_volumes(layout: &Layout, applied: &[Applied]) -> Result<Vec<String>, Error> {
    let changed: Vec<&ObjectPlan> = applied
        .iter()
        .filter(|a| a.change != Change::Unchanged && matches!(a.kind(), Kind::ConfigMap | Kind::Secret))
        .map(|a| &a.plan)
        .collect();
    let mut kept = Vec::new();
    if changed.is_empty() {
        return Ok(kept);
    }
    let objects = Objects::load(layout)?;
    for record in WorkloadRecord::list(layout)? {
        for pod in record.pods.iter().filter(|pod| !pod.removing) {
            if changed.iter().any(|object| mounts(&pod.plan, object))
                && let Err(errors) = volume::update(layout, &pod.plan, &objects)
            {
                kept.extend(
                    errors.iter().map(|e| format!("pod/{} keeps old contents: {e}", pod.plan.name())),
                );
            }
        }
    }
    Ok(kept)
}

/// Returns whether a volume of the pod shows the object.
fn mounts(pod: &PodPlan, object: &ObjectPlan) -> bool {
    let volumes = pod.pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    let mut references = volumes.into_iter().flatten().flat_map(references::of_volume);
    pod.namespace() == object.id.namespace
        && references.any(|reference| reference.kind == object.id.kind && reference.name == object.id.name)
}

/// Restores the object as it was before.
pub fn undo(layout: &Layout, applied: &Applied) -> Result<(), Error> {
    let plan = &applied.plan;
    match (&applied.before, applied.change) {
        (_, Change::Unchanged) => {}
        (None, _) => Objects::remove(layout, &plan.id)?,
        (Some(before), _) => {
            Objects::put_with(layout, &plan.id, before, applied.given_before.as_ref())?;
        }
    }
    Ok(())
}
