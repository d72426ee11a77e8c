//! A Service for the ports of a workload.

use serde_json::{Map, Value, json};

use super::Kind;
use super::kind::{cut, labels};
use super::recorded::Workload;

/// A Service's name is a DNS label.
const MAX_NAME: usize = 63;

/// A Service that leads to every port that the containers name, under its own number. `None`, with a warning,
/// where they name none.
pub(super) fn document(workload: &mut Workload, kind: Kind) -> Option<Value> {
    let id = workload.id.to_string();
    let ports = ports(workload);
    if ports.is_empty() {
        workload.warn(format!("{id}: no container names a port, so there is no Service: add containerPort"));
        return None;
    }
    let name = workload.name().to_owned();
    let fitting = name_for(&name);
    if fitting != name {
        workload.warn(format!(
            "{id}: {name} cannot be the name of a Service, which begins with a letter and has at most {MAX_NAME} \
             characters and no dots: it is named {fitting}"
        ));
    }
    let labels = labels(workload);
    let mut metadata = Map::from_iter([("name".to_owned(), json!(fitting))]);
    if let Some(namespace) = workload.metadata.get("namespace") {
        metadata.insert("namespace".to_owned(), namespace.clone());
    }
    let mut sorted: Vec<_> = labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let labels: Map<String, Value> = sorted.into_iter().collect();
    metadata.insert("labels".to_owned(), Value::Object(labels.clone()));
    let mut spec = Map::new();
    if kind == Kind::StatefulSet {
        // The one that gives each pod its name.
        spec.insert("clusterIP".to_owned(), json!("None"));
    }
    spec.insert("selector".to_owned(), Value::Object(labels));
    spec.insert("ports".to_owned(), Value::Array(ports));
    Some(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}))
}

/// The name of the Service of a workload.
pub(super) fn name_for(workload: &str) -> String {
    let fitting = cut(&workload.replace('.', "-"), MAX_NAME);
    if fitting.starts_with(|c: char| c.is_ascii_lowercase()) {
        fitting
    } else {
        cut(&format!("svc-{fitting}"), MAX_NAME)
    }
}

/// A port of the Service for each port and protocol of the containers, in their order, each with a name of its own.
fn ports(workload: &Workload) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let mut taken: Vec<(u64, String)> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let containers = workload.pod.get("containers").and_then(Value::as_array);
    let all = containers.into_iter().flatten().filter_map(|c| c.get("ports")?.as_array()).flatten();
    for port in all {
        let Some(number) = port.get("containerPort").and_then(Value::as_u64) else { continue };
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_owned();
        if taken.contains(&(number, protocol.clone())) {
            continue;
        }
        let given = port.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let fallback = format!("{}-{number}", protocol.to_ascii_lowercase());
        let name = match given {
            Some(name) if !names.iter().any(|known| known == name) => name.to_owned(),
            _ => fallback,
        };
        let mut entry =
            Map::from_iter([("name".to_owned(), json!(name)), ("port".to_owned(), json!(number))]);
        // By its name where it is the only one of that name: so that the number may change in one place.
        let target = given.filter(|given| *given == name).map_or_else(|| json!(number), |given| json!(given));
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
