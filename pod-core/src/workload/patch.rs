//! Changes a Deployment without a manifest, as kubectl does. Each function changes the object and the fields of the
//! [`Spec`] that depend on the object.
//!
//! The result is the same as planning the changed object again with the flags of its `kube play`. The generation is
//! not changed; the command that applies the result raises it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Conflict, Exclusive, Revision, Rule, Spec, State, conflict};
use crate::kind::Kind;
use crate::plan::{self, PodTemplate};

/// The annotation that `rollout restart` sets in the template.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// The annotation of a Deployment that says why it was changed. Each revision stores its value.
pub(super) const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// Why a change of a Deployment was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The workload is not a Deployment.
    #[error("it is a single pod: only Deployments are scaled and rolled out")]
    NoReplicas,
    /// `rollout restart` of a paused Deployment.
    #[error("a paused Deployment cannot be restarted")]
    RestartPaused,
    /// `rollout undo` of a paused Deployment.
    #[error("a paused Deployment cannot be rolled back")]
    UndoPaused,
    /// `rollout pause` of a paused Deployment.
    #[error("it is already paused")]
    AlreadyPaused,
    /// `rollout resume` of a Deployment that is not paused.
    #[error("it is not paused")]
    NotPaused,
    /// `rollout undo` without an earlier revision.
    #[error("there is no earlier revision")]
    NoHistory,
    /// `rollout undo` or `rollout history` of a revision that is not in the history.
    #[error("revision {0} is not in its history")]
    NoRevision(u64),
    /// `rollout restart` twice within a second: the template would not change.
    #[error("it was restarted within the past second")]
    JustRestarted,
    /// `scale --current-replicas` with another number than the current one.
    #[error("expected replicas to be {expected}, was {actual}")]
    Replicas {
        /// The expected number of replicas.
        expected: u32,
        /// spec.replicas.
        actual: u32,
    },
    /// More replicas than the limit.
    #[error("replicas must not be more than {most}, is {0}", most = plan::MAX_REPLICAS)]
    TooMany(u32),
    /// More than one replica, although the pods need something that only one pod can have.
    #[error("only one pod can have {what}, but replicas is {replicas}")]
    OneOnly {
        /// The host port, claim or address.
        what: String,
        /// spec.replicas.
        replicas: u32,
    },
}

/// Sets the number of replicas. If `current` is given, the current number must be equal to it.
pub fn scale(spec: &Spec, replicas: u32, current: Option<u32>) -> Result<Spec, Error> {
    let Rule::Replicas(rule) = &spec.rule else { return Err(Error::NoReplicas) };
    if let Some(expected) = current.filter(|expected| *expected != rule.count) {
        return Err(Error::Replicas { expected, actual: rule.count });
    }
    if replicas > plan::MAX_REPLICAS {
        return Err(Error::TooMany(replicas));
    }
    let patched = set(spec, &["spec", "replicas"], json!(replicas));
    if replicas > 1 {
        let taken = conflict(&[], &patched.template, &patched.rule, &Exclusive::new());
        let attachments = &patched.template.network.attachments;
        let fixed = attachments.iter().find(|one| !one.ips.is_empty() || one.mac.is_some());
        let address = fixed.map(|one| format!("the address in network {}", one.network));
        if let Some(what) = taken.as_ref().map(Conflict::to_string).or(address) {
            return Err(Error::OneOnly { what, replicas });
        }
    }
    Ok(patched)
}

/// Pauses the rollout: while the Deployment is paused, a changed template is not rolled out.
pub fn pause(spec: &Spec) -> Result<Spec, Error> {
    if is_paused(spec)? {
        return Err(Error::AlreadyPaused);
    }
    Ok(set(spec, &["spec", "paused"], json!(true)))
}

/// Resumes a paused rollout.
pub fn resume(spec: &Spec) -> Result<Spec, Error> {
    if !is_paused(spec)? {
        return Err(Error::NotPaused);
    }
    let mut object = spec.object.clone();
    if let Some(fields) = object.pointer_mut("/spec").and_then(Value::as_object_mut) {
        fields.remove("paused");
    }
    Ok(planned(spec, object, spec.template.clone()))
}

/// Replaces every pod by a pod of the same template, as a rollout. An annotation with the time changes the template.
pub fn restart(spec: &Spec, now: Timestamp) -> Result<Spec, Error> {
    if is_paused(spec)? {
        return Err(Error::RestartPaused);
    }
    let mut object = spec.object.clone();
    let time = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    insert(&mut object, &["spec", "template", "metadata", "annotations", RESTARTED_AT], json!(time));
    if object == spec.object {
        return Err(Error::JustRestarted);
    }
    let template = plan::with_metadata(&spec.template, &object);
    Ok(planned(spec, object, template))
}

/// Returns to the template of the revision `to`, or of the revision before the current one. The spec is returned
/// unchanged if that revision is the current one.
pub fn undo(spec: &Spec, state: &State, to: Option<u64>) -> Result<Spec, Error> {
    if is_paused(spec)? {
        return Err(Error::UndoPaused);
    }
    let revision = match to {
        Some(number) => find(state, number)?,
        None => {
            let mut former = state.revisions.iter().rev();
            former.find(|revision| revision.hash != spec.template.hash).ok_or(Error::NoHistory)?
        }
    };
    if revision.hash == spec.template.hash {
        return Ok(spec.clone());
    }
    let mut object = spec.object.clone();
    insert(&mut object, &["spec", "template"], revision.object.clone());
    match &revision.change_cause {
        Some(cause) => insert(&mut object, &["metadata", "annotations", CHANGE_CAUSE], json!(cause)),
        None => {
            if let Some(annotations) =
                object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
            {
                annotations.remove(CHANGE_CAUSE);
            }
        }
    }
    Ok(planned(spec, object, revision.template.clone()))
}

/// Returns the revision with this number.
pub fn find(state: &State, number: u64) -> Result<&Revision, Error> {
    let mut revisions = state.revisions.iter();
    revisions.find(|revision| revision.number == number).ok_or(Error::NoRevision(number))
}

fn is_paused(spec: &Spec) -> Result<bool, Error> {
    match &spec.rule {
        Rule::Once => Err(Error::NoReplicas),
        Rule::Replicas(rule) => Ok(rule.paused),
    }
}

/// Returns the spec with a changed field of its object. The template must not depend on this field.
fn set(spec: &Spec, path: &[&str], value: Value) -> Spec {
    let mut object = spec.object.clone();
    insert(&mut object, path, value);
    planned(spec, object, spec.template.clone())
}

/// Returns the spec with a changed object and template, and with the fields that depend on these.
fn planned(spec: &Spec, object: Value, template: PodTemplate) -> Spec {
    let rule = Rule::of_object(Kind::Deployment, &object);
    let count = if let Rule::Replicas(rule) = &rule { rule.count } else { 1 };
    let hash = plan::hash::of_workload(&object, count, &template.hash);
    Spec { object, hash, rule, template, ..spec.clone() }
}

/// Sets a field of an object. Missing objects on the path are created.
fn insert(object: &mut Value, path: &[&str], value: Value) {
    let Some((field, rest)) = path.split_first() else {
        *object = value;
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    if let Value::Object(fields) = object {
        insert(fields.entry(*field).or_insert(Value::Null), rest, value);
    }
}
