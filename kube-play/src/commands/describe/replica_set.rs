//! A ReplicaSet, as `describeReplicaSet` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, labels_and_annotations, name, template};
use crate::commands::get::table::selector;
use crate::output::columns::Columns;

/// Returns the description of a ReplicaSet.
///
/// # Errors
/// The pods cannot be read.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let set: ReplicaSet = object.parse()?;
    let pods = with.reader.list(Kind::Pod)?;
    let is_of_it = |pod: &&Pod| {
        pod.metadata
            .owner_references
            .iter()
            .flatten()
            .any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref())
    };
    let pods: Vec<&Pod> = pods.iter().filter_map(Object::pod).filter(is_of_it).collect();
    Ok(text(&set, &pods, with))
}

fn text(set: &ReplicaSet, pods: &[&Pod], with: &Surroundings<'_>) -> String {
    let metadata = &set.metadata;
    let mut out = Columns::default();
    name(&mut out, metadata);
    out.line(0, ["Selector:", &selector(&set.spec.selector)]);
    labels_and_annotations(&mut out, metadata);
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    if let Some(owner) = owner {
        out.line(0, ["Controlled By:", &format!("{}/{}", owner.kind, owner.name)]);
    }
    let current = set.status.as_ref().map(|status| status.replicas).unwrap_or_default();
    let desired = set.spec.replicas.unwrap_or(1);
    out.line(0, ["Replicas:", &format!("{current} current / {desired} desired")]);
    let count = |phase: &str| {
        let is_in =
            |pod: &&&Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase);
        pods.iter().filter(is_in).count()
    };
    let counts = format!(
        "{} Running / {} Waiting / {} Succeeded / {} Failed",
        count("Running"),
        count("Pending"),
        count("Succeeded"),
        count("Failed")
    );
    out.line(0, ["Pods Status:", &counts]);
    template::describe(&mut out, set.spec.template.as_ref(), &with.clock);
    add_events(&mut out, Kind::ReplicaSet, metadata, with);
    out.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    #[test]
    fn a_replica_set_is_described_with_the_states_of_its_pods() {
        let set = json!({
            "metadata": {"name": "api-1", "namespace": "default", "uid": "r", "labels": {"app": "api"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "api", "uid": "d",
                    "controller": true}]},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "api"}},
                "template": {"metadata": {"labels": {"app": "api"}},
                    "spec": {"containers": [{"name": "main", "image": "localhost/api:2"}]}}},
            "status": {"replicas": 2},
        });
        let set = serde_json::from_value(set).unwrap();
        let pod = |phase: &str| serde_json::from_value::<Pod>(json!({"status": {"phase": phase}})).unwrap();
        let pods = [pod("Running"), pod("Pending")];
        with_surroundings(Some(Vec::new()), |with| {
            insta::assert_snapshot!(text(&set, &pods.iter().collect::<Vec<_>>(), with));
        });
    }
}
