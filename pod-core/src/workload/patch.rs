//! Changes of a Deployment that need no manifest, as kubectl makes them: to its object and to all that follows from it.
//!
//! The result is what planning the changed object again would give, with the flags of its play. The generation stays:
//! whoever applies the result raises it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Conflict, Exclusive, Revision, Rule, Spec, State, conflict};
use crate::kind::Kind;
use crate::plan::{self, PodTemplate};

/// Annotation of a template that `rollout restart` sets.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Annotation of a Deployment that says why it was changed; a revision keeps it.
pub(super) const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// Why a Deployment cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no Deployment.
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
    /// `rollout resume` of one that is not paused.
    #[error("it is not paused")]
    NotPaused,
    /// `rollout undo` without an earlier revision.
    #[error("there is no earlier revision")]
    NoHistory,
    /// A revision that is not in the history.
    #[error("revision {0} is not in its history")]
    NoRevision(u64),
    /// `rollout restart` twice in a second: the template would be the same.
    #[error("it was restarted within the past second")]
    JustRestarted,
    /// `scale --current-replicas`.
    #[error("expected replicas to be {expected}, was {actual}")]
    Replicas {
        /// What the caller expects.
        expected: u32,
        /// spec.replicas.
        actual: u32,
    },
    /// More pods than there may be.
    #[error("replicas must not be more than {most}, is {0}", most = plan::MAX_REPLICAS)]
    TooMany(u32),
    /// Something that one pod can have.
    #[error("{what} can be had by one pod only, but replicas is {replicas}")]
    OneOnly {
        /// The host port or address.
        what: String,
        /// spec.replicas.
        replicas: u32,
    },
}

/// Sets the number of replicas, if there are `current` ones now.
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

/// Pauses the rollout: a changed template is not rolled out any more.
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

/// Has every pod replaced by one of the same template, a few at a time: the template gets an annotation with the time.
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

/// Goes back to the template of a revision, or to that of the one before the current one. The result is the same spec if
/// that revision is the current one.
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

/// Returns the revision with a number.
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

/// The spec with a field of its object changed that the template does not depend on.
fn set(spec: &Spec, path: &[&str], value: Value) -> Spec {
    let mut object = spec.object.clone();
    insert(&mut object, path, value);
    planned(spec, object, spec.template.clone())
}

/// Plans a changed object.
fn planned(spec: &Spec, object: Value, template: PodTemplate) -> Spec {
    let rule = Rule::of_object(Kind::Deployment, &object);
    let count = if let Rule::Replicas(rule) = &rule { rule.count } else { 1 };
    let hash = plan::hash::of_workload(&object, count, &template.hash);
    Spec { object, hash, rule, template, ..spec.clone() }
}

/// Sets a field of an object; what is on the way is created.
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
