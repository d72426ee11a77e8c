//! A Deployment, as `describeDeployment` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, labels_and_annotations, name, template};
use crate::commands::get::table::selector;
use crate::output::columns::Columns;

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Returns the description of a Deployment.
///
/// # Errors
/// The ReplicaSets cannot be read.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let deployment: Deployment = object.parse()?;
    let mut sets: Vec<ReplicaSet> = Vec::new();
    for set in
        with.reader.list(Kind::ReplicaSet)?.iter().filter(|set| set.id.namespace == object.id.namespace)
    {
        let set: ReplicaSet = set.parse()?;
        let mut owners = set.metadata.owner_references.iter().flatten();
        if owners.any(|owner| owner.name == object.id.name) {
            sets.push(set);
        }
    }
    // The oldest revision first.
    sets.sort_by_key(|set| revision(&set.metadata).and_then(|number| number.parse::<u64>().ok()));
    Ok(text(&deployment, &sets, with))
}

/// Returns the number of a revision.
fn revision(metadata: &ObjectMeta) -> Option<String> {
    metadata.annotations.as_ref()?.get(REVISION).cloned()
}

fn text(deployment: &Deployment, sets: &[ReplicaSet], with: &Surroundings<'_>) -> String {
    let clock = &with.clock;
    let no_status = DeploymentStatus::default();
    let spec = &deployment.spec;
    let status = deployment.status.as_ref().unwrap_or(&no_status);
    let metadata = &deployment.metadata;
    let mut out = Columns::default();
    name(&mut out, metadata);
    if let Some(created) = &metadata.creation_timestamp {
        out.line(0, ["CreationTimestamp:", &clock.show(created)]);
    }
    labels_and_annotations(&mut out, metadata);
    out.line(0, ["Selector:", &selector(&spec.selector)]);
    let number = |number: Option<i32>| number.unwrap_or_default();
    let replicas = format!(
        "{} desired | {} updated | {} total | {} available | {} unavailable",
        spec.replicas.unwrap_or(1),
        number(status.updated_replicas),
        number(status.replicas),
        number(status.available_replicas),
        number(status.unavailable_replicas)
    );
    out.line(0, ["Replicas:", &replicas]);
    strategy(&mut out, spec);
    template::describe(&mut out, Some(&spec.template), clock);
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if !conditions.is_empty() {
        out.line(0, ["Conditions:"]);
        out.line(1, ["Type", "Status", "Reason"]);
        out.line(1, ["----", "------", "------"]);
        for condition in conditions {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let cells = [&condition.type_, &condition.status, &condition.reason].map(text);
            out.line(1, cells.each_ref().map(String::as_str));
        }
    }
    replica_sets(&mut out, metadata, sets);
    add_events(&mut out, Kind::Deployment, metadata, with);
    out.render()
}

fn strategy(out: &mut Columns, spec: &DeploymentSpec) {
    let strategy = spec.strategy.as_ref();
    let kind = strategy.and_then(|strategy| strategy.type_.as_deref()).unwrap_or("RollingUpdate");
    out.line(0, ["StrategyType:", kind]);
    out.line(0, ["MinReadySeconds:", &spec.min_ready_seconds.unwrap_or_default().to_string()]);
    if kind == "RollingUpdate" {
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let text = |value: Option<&IntOrString>| match value {
            Some(IntOrString::Int(number)) => number.to_string(),
            Some(IntOrString::String(text)) => text.clone(),
            // The default: apps/v1 RollingUpdateDeployment.
            None => "25%".to_owned(),
        };
        let unavailable = text(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()));
        let surge = text(rolling.and_then(|rolling| rolling.max_surge.as_ref()));
        let what = format!("{unavailable} max unavailable, {surge} max surge");
        out.line(0, ["RollingUpdateStrategy:", &what]);
    }
}

fn replica_sets(out: &mut Columns, metadata: &ObjectMeta, sets: &[ReplicaSet]) {
    let current = revision(metadata);
    let show = |set: &ReplicaSet| {
        let wanted = set.spec.replicas.unwrap_or_default();
        let created = set.status.as_ref().map(|status| status.replicas).unwrap_or_default();
        let name = set.metadata.name.as_deref().unwrap_or_default();
        format!("{name} ({created}/{wanted} replicas created)")
    };
    let list = |sets: Vec<String>| match sets.is_empty() {
        true => "<none>".to_owned(),
        false => sets.join(", "),
    };
    let (new, old): (Vec<_>, Vec<_>) = sets.iter().partition(|set| revision(&set.metadata) == current);
    out.line(0, ["OldReplicaSets:", &list(old.into_iter().map(show).collect())]);
    out.line(0, ["NewReplicaSet:", &list(new.into_iter().map(show).collect())]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    #[test]
    fn a_deployment_is_described_in_the_layout_of_kubectl() {
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "api", "namespace": "default", "creationTimestamp": "2026-11-23T18:00:00Z",
                "annotations": {REVISION: "2"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "api"}},
                "template": {"metadata": {"labels": {"app": "api"}},
                    "spec": {"containers": [{"name": "main", "image": "localhost/api:2"}]}}},
            "status": {"replicas": 4, "updatedReplicas": 2, "availableReplicas": 3, "unavailableReplicas": 1,
                "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]},
        });
        let set = |name: &str, revision: &str, replicas: u32| {
            json!({"metadata": {"name": name, "annotations": {REVISION: revision}},
                "spec": {"replicas": replicas, "selector": {}}, "status": {"replicas": replicas}})
        };
        let sets =
            [set("api-1", "1", 2), set("api-2", "2", 2)].map(|set| serde_json::from_value(set).unwrap());
        let deployment = serde_json::from_value(deployment).unwrap();
        with_surroundings(Some(Vec::new()), |with| insta::assert_snapshot!(text(&deployment, &sets, with)));
    }
}
