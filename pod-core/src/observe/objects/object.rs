use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::Value;

use crate::kind::{Kind, ObjectRef};

/// An object as an API server would return it.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Kind, namespace and name.
    pub id: ObjectRef,
    content: Content,
}

/// Pods are kept in their own type, because a table of many pods would otherwise cost their conversion to JSON and back.
#[derive(Debug, Clone, PartialEq)]
enum Content {
    Pod(Box<Pod>),
    Json(Value),
}

impl Object {
    /// Creates an object from its JSON form, which contains apiVersion and kind.
    pub fn new(id: ObjectRef, json: Value) -> Self {
        Self { id, content: Content::Json(json) }
    }

    /// Creates the object of a pod.
    pub fn from_pod(pod: Pod) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let id = ObjectRef::new(Kind::Pod, &text(&pod.metadata.namespace), &text(&pod.metadata.name));
        Self { id, content: Content::Pod(Box::new(pod)) }
    }

    /// Returns the pod, if the object is one.
    pub fn pod(&self) -> Option<&Pod> {
        match &self.content {
            Content::Pod(pod) => Some(pod),
            Content::Json(_) => None,
        }
    }

    /// Returns the object as JSON, with apiVersion and kind.
    ///
    /// # Errors
    /// The object has no JSON form.
    pub fn to_json(&self) -> Result<Value, serde_json::Error> {
        match &self.content {
            Content::Pod(pod) => serde_json::to_value(pod),
            Content::Json(json) => Ok(json.clone()),
        }
    }

    /// Returns the object as a type of `k8s_openapi`.
    ///
    /// # Errors
    /// The object is of another kind, or a field has another type.
    pub fn parse<T: for<'de> Deserialize<'de>>(&self) -> Result<T, serde_json::Error> {
        match &self.content {
            Content::Pod(pod) => serde_json::from_value(serde_json::to_value(pod)?),
            Content::Json(json) => T::deserialize(json),
        }
    }

    /// Returns metadata.labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        match &self.content {
            Content::Pod(pod) => pod.metadata.labels.clone().unwrap_or_default(),
            Content::Json(json) => {
                let labels = json.pointer("/metadata/labels").and_then(Value::as_object);
                let label = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
                labels.into_iter().flatten().filter_map(label).collect()
            }
        }
    }
}
