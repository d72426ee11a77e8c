//! Finds and generates the ConfigMaps, Secrets and claims that a workload uses.

use serde_json::{Map, Value, json};

use super::recorded::{Workload, clean};
use super::{Facts, Options, order};
use crate::kind::{Kind, ObjectRef};
use crate::plan::{VALUES_LEFT_OUT, value_left_out};

/// An object that a pod refers to by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// ConfigMap, Secret, PersistentVolumeClaim or RuntimeClass.
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
    if let Some(name) = workload.pod.get("runtimeClassName").and_then(Value::as_str) {
        // Without a RuntimeClass of this name, the name is that of an OCI runtime.
        found.push(Reference { kind: Kind::RuntimeClass, name: name.to_owned(), optional: true });
    }
    found
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns the documents of the objects that the workload uses. A claim comes after the PersistentVolume that it is
/// bound to.
pub(super) fn documents(workload: &mut Workload, options: &Options, facts: &Facts) -> Vec<Value> {
    let mut documents = Vec::new();
    let namespace = workload.metadata.get("namespace").cloned();
    let user = workload.id.to_string();
    for Reference { kind, name, optional } in references(workload) {
        let key = ObjectRef::new(kind, &workload.id.namespace, &name);
        let (written, warnings) = with_volume(&key, &user, namespace.as_ref(), options, facts);
        if written.is_empty() && !optional {
            workload.warn(format!(
                "{user}: it uses the {} {name}, which does not exist here and is left out",
                kind.name()
            ));
        }
        documents.extend(written);
        for warning in warnings {
            workload.warn(warning);
        }
    }
    documents
}

/// Returns the documents of an object that is requested by its own name, and the warnings about it.
pub(super) fn named(id: &ObjectRef, options: &Options, facts: &Facts) -> (Vec<Value>, Vec<String>) {
    let namespace = Some(json!(id.namespace)).filter(|_| !matches!(id.namespace.as_str(), "" | "default"));
    with_volume(id, &id.to_string(), namespace.as_ref(), options, facts)
}

/// Returns the document of an object, after that of the PersistentVolume if the object is a claim that is bound to one
/// that was played. There is none if the object does not exist. `user` is the object that the warnings are about.
fn with_volume(
    id: &ObjectRef,
    user: &str,
    namespace: Option<&Value>,
    options: &Options,
    facts: &Facts,
) -> (Vec<Value>, Vec<String>) {
    let mut documents = Vec::new();
    let mut warnings = Vec::new();
    let volume = facts.volumes.get(id).map(|name| ObjectRef::new(Kind::PersistentVolume, "", name));
    let volume = volume.and_then(|volume| facts.objects.get(&volume)).and_then(Value::as_object);
    documents.extend(volume.map(|volume| document(Kind::PersistentVolume, volume.clone(), None)));
    match facts.objects.get(id).and_then(Value::as_object) {
        Some(object) => {
            let mut object = object.clone();
            if id.kind == Kind::Secret && !options.include_secrets && leave_out(&mut object) {
                let name = &id.name;
                warnings.push(format!(
                    "{user}: the values of Secret {name} are left empty: fill them in, or write them with \
                     --include-secrets"
                ));
            }
            documents.push(document(id.kind, object, namespace.filter(|_| id.kind.is_namespaced())));
        }
        None if id.kind == Kind::PersistentVolumeClaim => {
            let name = &id.name;
            warnings.push(format!(
                "{user}: the claim {name} has no manifest: its size and accessModes are a guess, check them"
            ));
            documents.push(document(id.kind, made_on_first_use(name), namespace));
        }
        None => {}
    }
    (documents, warnings)
}

fn made_on_first_use(name: &str) -> Map<String, Value> {
    let claim = json!({
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    claim.as_object().cloned().unwrap_or_default()
}

fn document(kind: Kind, mut object: Map<String, Value>, namespace: Option<&Value>) -> Value {
    object.remove("status");
    object.insert("apiVersion".to_owned(), json!(kind.api_version()));
    object.insert("kind".to_owned(), json!(kind));
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        clean(metadata);
        // The namespace was filled in when the object was recorded.
        metadata.remove("namespace");
        metadata.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace.clone())));
    }
    if kind == Kind::Secret && object.get("type").is_some_and(|type_| type_ == "Opaque") {
        object.remove("type");
    }
    let mut document = Value::Object(object);
    order::object(&mut document);
    document
}

/// Replaces the values of a Secret with placeholders and marks it. Returns false if it has no values.
fn leave_out(secret: &mut Map<String, Value>) -> bool {
    let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut).filter(|data| !data.is_empty())
    else {
        return false;
    };
    for (key, value) in data.iter_mut() {
        *value = json!(value_left_out(key));
    }
    if let Some(Value::Object(metadata)) = secret.get_mut("metadata") {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Value::Object(annotations) = annotations {
            annotations.insert(VALUES_LEFT_OUT.to_owned(), json!("true"));
        }
    }
    true
}
