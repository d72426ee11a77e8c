//! Converts a workload to the requested kind.

use serde_json::{Map, Value, json};

use super::metadata::{cut, remove_generated_labels};
use super::recorded::{Workload, labels};
use super::service::name_for;
use super::{Error, Options};
use crate::kind::Kind;
use crate::manifest::name::{MAX_JOB, MAX_STATEFUL_SET};

/// Returns true for kinds with spec.replicas.
fn has_replicas(kind: Kind) -> bool {
    matches!(kind, Kind::Deployment | Kind::StatefulSet)
}

/// Returns the number of replicas of the document; `None` for kinds without replicas.
pub(super) fn replicas(workload: &Workload, kind: Kind, options: &Options) -> Option<u64> {
    let given = || workload.spec.get("replicas").and_then(Value::as_u64);
    if has_replicas(kind) { options.replicas.map(u64::from).or_else(given) } else { None }
}

/// Returns the workload as a document of this kind.
pub(super) fn document(workload: &mut Workload, kind: Kind, options: &Options) -> Result<Value, Error> {
    if options.replicas.is_some() && !has_replicas(kind) {
        return Err(Error::NoReplicas { kind });
    }
    allowed(workload, kind);
    fields(workload, kind, options);
    let mut document = Map::from_iter([
        ("apiVersion".to_owned(), json!(kind.api_version())),
        ("kind".to_owned(), json!(kind)),
    ]);
    let mut metadata = workload.metadata.clone();
    let from_deployment = workload.is_deployment();
    if kind == Kind::Pod {
        if from_deployment {
            metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace"));
            metadata.extend(workload.pod_metadata.clone());
        }
        document.insert("metadata".to_owned(), Value::Object(metadata));
        document.insert("spec".to_owned(), Value::Object(workload.pod.clone()));
        return Ok(Value::Object(document));
    }
    if !from_deployment {
        // Labels and annotations of a pod become those of the template.
        labels(workload);
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace"));
        if let Some(labels) = workload.pod_metadata.get("labels") {
            metadata.insert("labels".to_owned(), labels.clone());
        }
    }
    fit_name(workload, &mut metadata, kind);

    let replicas = replicas(workload, kind, options);
    let mut spec = std::mem::take(&mut workload.spec);
    spec.remove("replicas");
    let mut own = Map::new();
    if let Some(replicas) = replicas {
        own.insert("replicas".to_owned(), json!(replicas));
    }
    if kind == Kind::StatefulSet {
        own.insert("serviceName".to_owned(), json!(name_for(workload.name())));
    }
    if kind == Kind::Job {
        // Kubernetes generates the selector of a Job.
        spec.remove("selector");
    } else {
        let selector = spec.remove("selector").unwrap_or_else(
            || json!({"matchLabels": workload.pod_metadata.get("labels").cloned().unwrap_or_default()}),
        );
        own.insert("selector".to_owned(), selector);
    }
    own.extend(spec);
    let mut template = Map::new();
    if !workload.pod_metadata.is_empty() {
        template.insert("metadata".to_owned(), Value::Object(workload.pod_metadata.clone()));
    }
    template.insert("spec".to_owned(), Value::Object(workload.pod.clone()));
    own.insert("template".to_owned(), Value::Object(template));
    document.insert("metadata".to_owned(), Value::Object(metadata));
    document.insert("spec".to_owned(), Value::Object(own));
    Ok(Value::Object(document))
}

/// Removes the labels of the former controller if the kind changes, because the new controller gives its own labels to
/// its pods.
pub(super) fn remove_labels_of_other_controllers(workload: &mut Workload, kind: Kind) {
    if kind == Kind::Pod || kind == Kind::Deployment && workload.is_deployment() {
        return;
    }
    for metadata in [&mut workload.metadata, &mut workload.pod_metadata] {
        metadata.get_mut("labels").map(remove_generated_labels).unwrap_or_default();
    }
    if let Some(selector) = workload.spec.get_mut("selector").and_then(|s| s.get_mut("matchLabels")) {
        remove_generated_labels(selector);
    }
}

/// Removes the fields of a Deployment that the new kind does not have. A warning is given only if the kind was
/// requested, but not if a single pod was requested by its name.
fn fields(workload: &mut Workload, kind: Kind, options: &Options) {
    let has = |field: &str| match field {
        "selector" => kind != Kind::Pod,
        "minReadySeconds" | "revisionHistoryLimit" => matches!(kind, Kind::DaemonSet | Kind::StatefulSet),
        "replicas" => has_replicas(kind),
        _ => false,
    };
    if kind == Kind::Deployment {
        return;
    }
    let mut left_out = Vec::new();
    workload.spec.retain(|field, value| {
        let one = field == "replicas" && matches!(value.as_u64(), None | Some(1));
        let kept = has(field);
        if !kept && !one && !value.is_null() && field != "selector" {
            left_out.push(field.clone());
        }
        kept
    });
    left_out.sort();
    if options.kind.is_some() && !left_out.is_empty() {
        let message =
            format!("{}: {} has no {}: left out", workload.id, kind.with_article(), left_out.join(", "));
        workload.warn(message);
    }
}

fn fit_name(workload: &mut Workload, metadata: &mut Map<String, Value>, kind: Kind) {
    let max = match kind {
        Kind::Job => MAX_JOB,
        Kind::StatefulSet => MAX_STATEFUL_SET,
        _ => return,
    };
    let name = workload.name().to_owned();
    // Each of these names is also used as a host name or the name of a Service, which may not contain dots.
    let fitting = cut(&name.replace('.', "-"), max);
    if fitting != name {
        let id = workload.id.to_string();
        workload.warn(format!(
            "{id}: {name} cannot be the name of {}, which has at most {max} characters and no dots: it is named \
             {fitting}",
            kind.with_article()
        ));
        metadata.insert("name".to_owned(), json!(fitting));
    }
}

/// Removes or changes fields of the pod that the kind does not allow, and adds a warning for each.
fn allowed(workload: &mut Workload, kind: Kind) {
    let id = workload.id.to_string();
    let what = kind.with_article();
    if workload.pod.remove("ephemeralContainers").is_some() {
        workload
            .warn(format!("{id}: ephemeralContainers are left out: they can only be added to running pods"));
    }
    let policy = workload.pod.get("restartPolicy").and_then(Value::as_str).unwrap_or("Always").to_owned();
    match kind {
        Kind::Job if matches!(policy.as_str(), "OnFailure" | "Never") => {}
        Kind::Job => {
            workload.pod.insert("restartPolicy".to_owned(), json!("OnFailure"));
            workload.warn(format!(
                "{id}: a Job's pods cannot have restartPolicy Always: it is changed to OnFailure"
            ));
        }
        Kind::Deployment | Kind::DaemonSet | Kind::StatefulSet => {
            if policy != "Always" {
                workload.pod.remove("restartPolicy");
                workload.warn(format!(
                    "{id}: the pods of {what} cannot have restartPolicy {policy}: it is changed to Always; \
                     --kind job keeps it"
                ));
            }
            if workload.pod.remove("activeDeadlineSeconds").is_some() {
                workload.warn(format!(
                    "{id}: the pods of {what} cannot have activeDeadlineSeconds: it is left out; --kind job keeps it"
                ));
            }
        }
        _ => {}
    }
}
