//! Field selectors in the syntax of kubectl's `--field-selector`: `metadata.name=web,status.phase!=Running`.
//!
//! Source: the Kubernetes documentation, "Field Selectors", and `GetAttrs` of each kind in k8s pkg/registry.

use serde_json::Value;

use super::Object;
use crate::kind::Kind;

/// A field selector: requirements that fields have to meet, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    field: String,
    value: String,
    is_equal: bool,
}

/// Why a text is not a field selector for objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text has another form.
    #[error("{0:?} is not a field selector: write metadata.name=web, status.phase!=Running")]
    Syntax(String),
    /// Objects of the kind are not selected by this field.
    #[error("{} are not selected by the field {field:?}: {}", kind.plural(), fields_of(*kind).join(", "))]
    Field {
        /// The kind.
        kind: Kind,
        /// The field as it was given.
        field: String,
    },
}

/// Returns the fields that objects of a kind can be selected by.
fn fields_of(kind: Kind) -> Vec<&'static str> {
    let own: &[&str] = match kind {
        Kind::Pod => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        Kind::Event => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        Kind::Secret => &["type"],
        Kind::Namespace => &["status.phase"],
        Kind::ReplicaSet => &["status.replicas"],
        Kind::Node => &["spec.unschedulable"],
        Kind::Service => &["spec.clusterIP", "spec.type"],
        _ => &[],
    };
    let name =
        if kind.is_namespaced() { &["metadata.name", "metadata.namespace"][..] } else { &["metadata.name"] };
    name.iter().chain(own).copied().collect()
}

impl FieldSelector {
    /// Parses a selector for objects of one kind.
    ///
    /// # Errors
    /// The text is not a field selector, or names a field that objects of this kind are not selected by.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, Error> {
        let mut requirements = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (field, value, is_equal) = match (part.split_once("!="), part.split_once("==")) {
                (Some((field, value)), _) => (field, value, false),
                (None, Some((field, value))) => (field, value, true),
                (None, None) => match part.split_once('=') {
                    Some((field, value)) => (field, value, true),
                    None => return Err(Error::Syntax(part.to_owned())),
                },
            };
            if !fields_of(kind).contains(&field) {
                return Err(Error::Field { kind, field: field.to_owned() });
            }
            requirements.push(Requirement { field: field.to_owned(), value: value.to_owned(), is_equal });
        }
        Ok(Self(requirements))
    }

    /// Returns true if an object meets every requirement.
    ///
    /// # Errors
    /// The object has no JSON form.
    pub fn matches(&self, object: &Object) -> Result<bool, serde_json::Error> {
        if self.0.is_empty() {
            return Ok(true);
        }
        let json = object.to_json()?;
        Ok(self.0.iter().all(|requirement| {
            (field(&json, &requirement.field) == requirement.value) == requirement.is_equal
        }))
    }
}

/// Returns a field as text; a missing one is empty, or `false` or `0` where that is its default.
fn field(json: &Value, path: &str) -> String {
    let path = if path == "source" { "source.component" } else { path };
    match json.pointer(&format!("/{}", path.replace('.', "/"))) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None if matches!(path, "spec.hostNetwork" | "spec.unschedulable") => {
            "false".to_owned()
        }
        Some(Value::Null) | None if path == "status.replicas" => "0".to_owned(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::ObjectRef;

    #[test]
    fn fields_select_objects_as_they_do_in_kubernetes() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"nodeName": "box"}, "status": {"phase": "Running"},
        });
        let object = Object::new(ObjectRef::new(Kind::Pod, "default", "web"), pod);
        let matches = |text| FieldSelector::parse(text, Kind::Pod).unwrap().matches(&object).unwrap();
        for yes in [
            "",
            "metadata.name=web",
            "metadata.name==web,metadata.namespace=default",
            "status.phase=Running",
            "status.phase!=Failed,spec.nodeName=box",
            "status.podIP=",
            "spec.hostNetwork=false",
        ] {
            assert!(matches(yes), "{yes}");
        }
        for no in ["metadata.name=db", "status.phase!=Running", "spec.nodeName=", "spec.hostNetwork=true"] {
            assert!(!matches(no), "{no}");
        }
    }

    #[test]
    fn a_field_that_selects_nothing_is_refused_with_those_that_do() {
        let error = |text, kind| FieldSelector::parse(text, kind).unwrap_err().to_string();
        assert_eq!(
            error("metadata.name", Kind::Pod),
            "\"metadata.name\" is not a field selector: write metadata.name=web, status.phase!=Running"
        );
        assert_eq!(
            error("spec.image=x", Kind::Secret),
            "secrets are not selected by the field \"spec.image\": metadata.name, metadata.namespace, type"
        );
        assert!(error("metadata.namespace=x", Kind::Node).contains("metadata.name, spec.unschedulable"));
    }
}
