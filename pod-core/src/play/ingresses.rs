//! Gives the Ingresses of a play what an API server would give them, and says what cannot be honoured of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::objects::Applied;
use super::services::identify;
use super::{Error, Report};
use crate::ingress::{self, Synced};
use crate::kind::Kind;
use crate::plan::ObjectPlan;
use crate::store::{Layout, Objects, damage};

/// Completes all Ingresses and IngressClasses of a plan: the older one of two Ingresses keeps a path that both have, so it
/// has to be known when each was played first.
///
/// # Errors
/// If an object cannot be written as JSON.
pub fn complete(layout: &Layout, plans: &mut [ObjectPlan]) -> Result<(), Error> {
    let is_meant = |plan: &&mut ObjectPlan| matches!(plan.id.kind, Kind::Ingress | Kind::IngressClass);
    for plan in plans.iter_mut().filter(is_meant) {
        let metadata_of = |object: &Value| -> Option<ObjectMeta> {
            serde_json::from_value(object.get("metadata")?.clone()).ok()
        };
        let before = damage::or_none(Objects::get(layout, &plan.id)).and_then(|before| metadata_of(&before));
        let Some(mut metadata) = metadata_of(&plan.object) else { continue };
        identify(&mut metadata, before);
        let metadata = serde_json::to_value(metadata);
        let metadata =
            metadata.map_err(|e| Error::Failed { object: plan.id.to_string(), message: e.to_string() })?;
        plan.given = Some(plan.object.clone());
        if let Some(slot) = plan.object.get_mut("metadata") {
            *slot = metadata;
        }
    }
    Ok(())
}

/// Records the settings of the proxy that the environment of this play has, if it plays an Ingress.
///
/// # Errors
/// If they cannot be written.
pub fn record_settings(layout: &Layout, plans: &[ObjectPlan], report: &mut dyn Report) -> Result<(), Error> {
    if plans.iter().any(|plan| plan.id.kind == Kind::Ingress) {
        for bad in ingress::record_settings(layout)? {
            report.warning(&format!("{bad}; the settings of Ingresses stay as they are"));
        }
    }
    Ok(())
}

/// Reports what of the played Ingresses cannot be honoured now.
pub fn warn(objects: &[Applied], synced: &Synced, report: &mut dyn Report) {
    let played = |name: &str| objects.iter().find(|object| object.is_named(Kind::Ingress, name));
    let waits = synced.served.iter().find_map(|name| played(name));
    if let Some(object) = waits {
        for pending in &synced.pending {
            report.warning(&format!("{}: it waits, because {pending}", object.object()));
        }
    }
    for (name, problem) in &synced.problems {
        if let Some(object) = played(name) {
            report.warning(&format!("{}: {problem}", object.object()));
        }
    }
}
