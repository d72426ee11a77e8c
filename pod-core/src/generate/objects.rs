//! Finds and generates the ConfigMaps, Secrets and claims that a workload uses.

use serde_json::{Map, Value, json};

use super::recorded::{Workload, clean};
use super::{Facts, Options, order};
use crate::kind::{Kind, ObjectRef};
use crate::plan::{VALUES_LEFT_OUT, value_left_out};

/// An object that a pod refers to by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// ConfigMap, Secret or PersistentVolumeClaim.
    pub kind: Kind,
    /// metadata.name.
    pub name: String,
    /// Whether the pod can run without the object.
    pub optional: bool,
}

/// Returns the objects that the pod refers to, each once, in the order of the pod's spec.
pub(super) fn references(workload: &Workload) -> Vec<Reference> {
    let mut found: Vec<Reference> = Vec::new();
    let mut add = |kind: Kind, source: Option<&Value>, key: &str| {
        let Some(source) = source else { return };
        let Some(name) = source.get(key).and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            return;
        };
        let optional = source.get("optional") == Some(&Value::Bool(true));
        match found.iter_mut().find(|known| known.kind == kind && known.name == name) {
            Some(known) => known.optional &= optional,
            None => found.push(Reference { kind, name: name.to_owned(), optional }),
        }
    };
    for container in workload.containers() {
        for from in list(container.get("envFrom")) {
            add(Kind::ConfigMap, from.get("configMapRef"), "name");
            add(Kind::Secret, from.get("secretRef"), "name");
        }
        for from in list(container.get("env")).iter().filter_map(|var| var.get("valueFrom")) {
            add(Kind::ConfigMap, from.get("configMapKeyRef"), "name");
            add(Kind::Secret, from.get("secretKeyRef"), "name");
        }
    }
    for volume in list(workload.pod.get("volumes")) {
        add(Kind::ConfigMap, volume.get("configMap"), "name");
        add(Kind::Secret, volume.get("secret"), "secretName");
        add(Kind::PersistentVolumeClaim, volume.get("persistentVolumeClaim"), "claimName");
        for source in list(volume.pointer("/projected/sources")) {
            add(Kind::ConfigMap, source.get("configMap"), "name");
            add(Kind::Secret, source.get("secret"), "name");
        }
    }
    for secret in list(workload.pod.get("imagePullSecrets")) {
        add(Kind::Secret, Some(secret), "name");
    }
    found
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns the documents of the objects that the workload uses.
pub(super) fn documents(workload: &mut Workload, options: &Options, facts: &Facts) -> Vec<Value> {
    let mut documents = Vec::new();
    let namespace = workload.metadata.get("namespace").cloned();
    for Reference { kind, name, optional } in references(workload) {
        let key = ObjectRef::new(kind, &workload.id.namespace, &name);
        let object = match facts.objects.get(&key).and_then(Value::as_object) {
            Some(object) => object.clone(),
            None if kind == Kind::PersistentVolumeClaim => {
                let id = workload.id.to_string();
                workload.warn(format!(
                    "{id}: the claim {name} has no manifest: its size and accessModes are a guess, check them"
                ));
                made_on_first_use(&name)
            }
            None => {
                if !optional {
                    let id = workload.id.to_string();
                    workload.warn(format!(
                        "{id}: it uses the {} {name}, which does not exist here and is left out",
                        kind.name()
                    ));
                }
                continue;
            }
        };
        documents.push(document(workload, kind, object, namespace.as_ref(), options));
    }
    documents
}

fn made_on_first_use(name: &str) -> Map<String, Value> {
    let claim = json!({
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    claim.as_object().cloned().unwrap_or_default()
}

fn document(
    workload: &mut Workload,
    kind: Kind,
    mut object: Map<String, Value>,
    namespace: Option<&Value>,
    options: &Options,
) -> Value {
    object.remove("status");
    object.insert("apiVersion".to_owned(), json!(kind.api_version()));
    object.insert("kind".to_owned(), json!(kind));
    let mut name = String::new();
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        clean(metadata);
        // The namespace was filled in when the object was recorded.
        metadata.remove("namespace");
        metadata.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace.clone())));
        metadata.get("name").and_then(Value::as_str).unwrap_or_default().clone_into(&mut name);
    }
    if kind == Kind::Secret {
        let type_ = object.get("type").and_then(Value::as_str).unwrap_or("Opaque").to_owned();
        if type_ == "Opaque" {
            object.remove("type");
        }
        let has_values = object.get("data").and_then(Value::as_object).is_some_and(|data| !data.is_empty());
        if !options.include_secrets && has_values {
            leave_out(&mut object);
            if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
                let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
                if let Value::Object(annotations) = annotations {
                    annotations.insert(VALUES_LEFT_OUT.to_owned(), json!("true"));
                }
            }
            let id = workload.id.to_string();
            workload.warn(format!(
                "{id}: the values of Secret {name} are left empty: fill them in, or write them with --include-secrets"
            ));
        }
    }
    let mut document = Value::Object(object);
    order::object(&mut document);
    document
}

/// Replaces the values of a Secret with placeholders.
fn leave_out(secret: &mut Map<String, Value>) {
    let Some(Value::Object(data)) = secret.get_mut("data") else { return };
    for (key, value) in data.iter_mut() {
        *value = json!(value_left_out(key));
    }
}
