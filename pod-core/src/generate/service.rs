//! A Service for the ports of a workload.

use serde_json::{Map, Value, json};

use super::metadata::cut;
use super::recorded::{Workload, labels};
use crate::kind::Kind;
use crate::manifest::name::MAX_SERVICE;

/// A Service that leads to every port that the containers name, under its own number. `None`, with a warning,
/// where they name none, unless it is there for names alone, as a StatefulSet's is.
pub(super) fn document(workload: &mut Workload, kind: Kind) -> Option<Value> {
    let id = workload.id.to_string();
    let ports = ports(workload);
    if ports.is_empty() && kind != Kind::StatefulSet {
        workload.warn(format!("{id}: no container names a port, so there is no Service: add containerPort"));
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
        // The one that gives each pod its name.
        spec.insert("clusterIP".to_owned(), json!("None"));
    }
    spec.insert("selector".to_owned(), Value::Object(labels));
    if !ports.is_empty() {
        spec.insert("ports".to_owned(), Value::Array(ports));
    }
    Some(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}))
}

/// The name of the Service of a workload.
pub(super) fn name_for(workload: &str) -> String {
    let fitting = cut(&workload.replace('.', "-"), MAX_SERVICE);
    if fitting.starts_with(|c: char| c.is_ascii_lowercase()) {
        fitting
    } else {
        cut(&format!("svc-{fitting}"), MAX_SERVICE)
    }
}

/// A port of the Service for each port and protocol of the containers, in their order, each with a name of its own.
fn ports(workload: &Workload) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let mut taken: Vec<(u64, String)> = Vec::new();
    let containers = workload.pod.get("containers").and_then(Value::as_array);
    let all: Vec<&Value> =
        containers.into_iter().flatten().filter_map(|c| c.get("ports")?.as_array()).flatten().collect();
    let text = |port: &Value, key: &str| {
        port.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    // A name that is made does not take one that is given.
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
        // By its name where it is the only one of that name: so that the number may change in one place.
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
