//! The Services of a workload: those that were played and select its pods, and one that is generated for its ports.

use serde_json::{Map, Value, json};

use super::metadata::cut;
use super::recorded::{Workload, clean, labels};
use super::{Facts, RecordedService};
use crate::kind::Kind;
use crate::manifest::name::MAX_SERVICE;

/// Returns a Service for every port that the containers declare, each under its own number. If they declare no ports,
/// a warning is added and `None` is returned, except for a StatefulSet, which needs the Service for the names of its
/// pods.
pub(super) fn document(workload: &mut Workload, kind: Kind) -> Option<Value> {
    let id = workload.id.to_string();
    let ports = ports(workload);
    if ports.is_empty() && kind != Kind::StatefulSet {
        workload
            .warn(format!("{id}: no container declares a port, so there is no Service: add containerPort"));
        return None;
    }
    let name = workload.name().to_owned();
    let fitting = name_for(&name);
    if fitting != name {
        workload.warn(format!(
            "{id}: {name} cannot be the name of a Service, which begins with a letter and has at most {MAX_SERVICE} \
             characters and no dots: it is named {fitting}"
        ));
    }
    let labels = labels(workload);
    let mut metadata = Map::from_iter([("name".to_owned(), json!(fitting))]);
    if let Some(namespace) = workload.metadata.get("namespace") {
        metadata.insert("namespace".to_owned(), namespace.clone());
    }
    metadata.insert("labels".to_owned(), Value::Object(labels.clone()));
    let mut spec = Map::new();
    if kind == Kind::StatefulSet {
        // A headless Service, which gives each pod of a StatefulSet its DNS name.
        spec.insert("clusterIP".to_owned(), json!("None"));
    }
    spec.insert("selector".to_owned(), Value::Object(labels));
    if !ports.is_empty() {
        spec.insert("ports".to_owned(), Value::Array(ports));
    }
    Some(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}))
}

/// Returns the recorded Services that select the pods of a workload, as their authors gave them: without the addresses
/// and NodePorts that this machine chose, so that they are unchanged if they are played here again.
pub(super) fn recorded(workload: &Workload, facts: &Facts) -> Vec<Value> {
    let Some(labels) = workload.pod_metadata.get("labels").and_then(Value::as_object) else {
        return Vec::new();
    };
    let selects = |service: &RecordedService| {
        let selector = service.recorded.pointer("/spec/selector").and_then(Value::as_object);
        selector.is_some_and(|selector| {
            !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        })
    };
    let own = facts.services.iter().filter(|(id, _)| id.namespace == workload.id.namespace);
    own.filter(|(_, service)| selects(service)).map(|(_, service)| as_given(workload, service)).collect()
}

fn as_given(workload: &Workload, service: &RecordedService) -> Value {
    let mut object = service.given.as_object().cloned().unwrap_or_default();
    object.remove("status");
    object.insert("apiVersion".to_owned(), json!(Kind::Service.api_version()));
    object.insert("kind".to_owned(), json!(Kind::Service));
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        clean(metadata);
        // The namespace was filled in when the Service was recorded.
        metadata.remove("namespace");
        let namespace = workload.metadata.get("namespace").cloned();
        metadata.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace)));
    }
    Value::Object(object)
}

/// Returns the name of the Service of a workload.
pub(super) fn name_for(workload: &str) -> String {
    let fitting = cut(&workload.replace('.', "-"), MAX_SERVICE);
    if fitting.starts_with(|c: char| c.is_ascii_lowercase()) {
        fitting
    } else {
        cut(&format!("svc-{fitting}"), MAX_SERVICE)
    }
}

/// Returns the ports of the Service: one per port and protocol of the containers, in their order, each with a unique
/// name.
fn ports(workload: &Workload) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let mut taken: Vec<(u64, String)> = Vec::new();
    let containers = workload.pod.get("containers").and_then(Value::as_array);
    let all: Vec<&Value> =
        containers.into_iter().flatten().filter_map(|c| c.get("ports")?.as_array()).flatten().collect();
    let text = |port: &Value, key: &str| {
        port.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    // A generated name must not be equal to a given name.
    let mut names: Vec<String> = Vec::new();
    let given_names: Vec<String> = all.iter().filter_map(|port| text(port, "name")).collect();
    for port in all {
        let Some(number) = port.get("containerPort").and_then(Value::as_u64) else { continue };
        let protocol = text(port, "protocol").unwrap_or_else(|| "TCP".to_owned());
        if taken.contains(&(number, protocol.clone())) {
            continue;
        }
        let given = text(port, "name").filter(|name| !names.contains(name));
        let name = given.clone().unwrap_or_else(|| {
            let made = format!("{}-{number}", protocol.to_ascii_lowercase());
            if given_names.contains(&made) { format!("port-{made}") } else { made }
        });
        let mut entry =
            Map::from_iter([("name".to_owned(), json!(name)), ("port".to_owned(), json!(number))]);
        // The target port is given by name if the name is unique, so that the number can be changed in one place.
        let target = given.map_or_else(|| json!(number), |given| json!(given));
        entry.insert("targetPort".to_owned(), target);
        if protocol != "TCP" {
            entry.insert("protocol".to_owned(), json!(protocol));
        }
        found.push(Value::Object(entry));
        names.push(name);
        taken.push((number, protocol));
    }
    found
}
